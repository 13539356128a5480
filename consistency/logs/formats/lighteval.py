"""Details of lighteval and of the first Open LLM Leaderboard: Parquet files `details_TASK_DATE.parquet`.

Fields as in lighteval 0.3.0, 0.8.0, 0.10.0, 0.11.0 and 0.13.1.dev0: `logging/info_loggers.py` (DetailsLogger.Detail),
`logging/evaluation_tracker.py` (names of files), `tasks/requests.py` (Doc), `models/model_output.py` (ModelResponse). From
0.11 on a row holds `doc`, `model_response` and `metric`; before, one column each for what they hold.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from consistency.errors import InputError
from consistency.logs.formats.answers import Answer, Log, option_index, to_scores
from consistency.logs.formats.decoding import fault_of, parquet_rows, parquet_schema
from consistency.logs.formats.prompts import asked
from consistency.logs.labels import label_of
from consistency.logs.run_config import RunConfig
from consistency.logs.task_settings import TaskSettings
from consistency.support.json_files import read_json

_DATE = r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?"
_NAME = re.compile(rf"details_(?P<task>(?s:.+?))(?:_(?P<date>{_DATE}))?\.parquet")
_NEW = (
    *("doc.query", "doc.choices", "doc.gold_index", "doc.instruction", "metric"),
    *(f"model_response.{name}" for name in ("logprobs", "unconditioned_logprobs", "text", "input")),
)
_OLD = ("example", "instruction", "full_prompt", "predictions", "choices", "gold_index", "gold", "metrics")
# A column that was written as text is read as Python's values only up to this many characters.
_LONGEST = 1 << 20
# array([-0.5], dtype=float32), tensor([-0.5]), np.float64(-0.5)
_WRAPPER = re.compile(r"\b(?:np\.|numpy\.|torch\.)?(?:array|tensor|float\d*)\(|,\s*(?:dtype|device)=['\w.:]+")
_SCALAR = re.compile(r"\b(?:np|numpy)\.\w{1,12}\(([^()]*)\)")
_NOT_FINITE = re.compile(r"-?\b(?:nan|inf)\b")
_BETWEEN_NUMBERS = re.compile(r"[\s,()\[\]]+")
_WHAT = "details of lighteval"


class LightevalReader:
    """Reads the details of a task that lighteval wrote."""

    name = "lighteval"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether it is a Parquet file with the columns of lighteval's details."""
        schema = parquet_schema(file)
        names = set() if schema is None else set(schema.names)
        return {"doc", "model_response", "metric"} <= names or {"predictions", "full_prompt"} <= names

    def read(self, file: Path) -> Log:
        """The one task of a file."""
        schema = parquet_schema(file)
        new = schema is not None and "doc" in schema.names
        answers = []
        for number, row in parquet_rows(file, _NEW if new else _OLD):
            try:
                answers.append(_new(row, number) if new else _old(row, number))
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise InputError(f"row {number}: {fault_of(error)}", expected=_WHAT, path=file) from None
        named = _NAME.fullmatch(file.name)
        task, shots = _task(named["task"] if named else file.stem)
        date = (named["date"] or "" if named else "").replace(":", "-")
        content = _results(file, date)
        values = _mapping(_mapping(content, "results"), named["task"] if named else task)
        logged = {name for answer in answers for name in answer.metrics}
        settings = TaskSettings(
            values={
                (name, "none"): float(value)
                for name, value in values.items()
                if name in logged and isinstance(value, int | float)
            },
            documents=len(answers),
        )
        return Log({task: to_scores(task, answers, file, settings=settings)}, _config(content, task, shots, date, file))


def _new(row: Mapping[str, Any], number: int) -> Answer:
    doc, response = row["doc"], row["model_response"]
    sent = response.get("input")
    return _to_answer(
        number,
        query=doc["query"],
        choices=doc.get("choices"),
        gold=doc.get("gold_index"),
        instruction=doc.get("instruction"),
        logprobs=response.get("logprobs"),
        unconditional=response.get("unconditioned_logprobs"),
        text=response.get("text"),
        metrics=row.get("metric"),
        prompt=sent if isinstance(sent, str) else doc["query"],
    )


def _old(row: Mapping[str, Any], number: int) -> Answer:
    row = {
        name: _plain(value) if name not in ("example", "instruction", "full_prompt") else value
        for name, value in row.items()
    }
    found = row["predictions"]
    predictions = [found] if isinstance(found, str) else found or []
    if not isinstance(predictions, list | tuple):
        raise ValueError(f"predictions is {found!r}, and no list")
    # An option's log-probability, with or without whether the option was the greedy answer.
    scored = [item[0] if isinstance(item, list | tuple) and item else item for item in predictions]
    numbers = bool(scored) and all(isinstance(item, int | float) for item in scored)
    gold = row.get("gold_index")
    if gold in (None, []) and isinstance(row.get("gold"), int | list):
        gold = row["gold"]
    return _to_answer(
        number,
        query=row.get("example") or row["full_prompt"],
        choices=row.get("choices") or (row.get("gold") if not numbers else None),
        gold=gold,
        instruction=row.get("instruction"),
        logprobs=scored if numbers else None,
        unconditional=None,
        text=None if numbers else scored,
        metrics=row.get("metrics"),
        prompt=row["full_prompt"] if isinstance(row["full_prompt"], str) else "",
    )


def _to_answer(
    number: int,
    *,
    query: str,
    choices: Any,
    gold: Any,
    instruction: Any,
    logprobs: Any,
    unconditional: Any,
    text: Any,
    metrics: Any,
    prompt: str,
) -> Answer:
    if not isinstance(query, str):
        raise ValueError("no text of the question")
    if not isinstance(instruction, str | None):
        raise ValueError(f"instruction is {instruction!r}, and no text")
    scored = tuple(map(str, choices)) if isinstance(choices, list | tuple) else ()
    options: tuple[str, ...] = ()
    values = tuple(map(float, logprobs)) if logprobs else ()
    if values and len(values) != len(scored):
        raise ValueError(f"{len(scored)} choices and {len(values)} log-probabilities")
    golds = tuple(int(item) for item in (gold if isinstance(gold, list | tuple) else [gold]) if isinstance(item, int))
    if any(item < 0 or item >= max(len(scored), 1) for item in golds):
        raise ValueError(f"the right option {golds} of {len(scored)}")
    question, listed = asked(query, len(scored) if values else 0, instruction or "")
    if values:
        # Letters are scored where the prompt lists the options, else their texts.
        options = listed if len(listed) == len(scored) else tuple(item.strip() for item in scored)
        named = [None if label_of(text) else option_index(text, options) for text in scored]
        places = [place for place in named if place is not None]
        if len({*places}) == len(scored):
            # "B. Rome" is the second of the list, in whatever place it is scored.
            options = tuple(options[place] for place in places)
    elif listed:
        options = listed
    target = ", ".join(scored[item] for item in golds if item < len(scored))
    if not values and listed:
        # By the letters that were to be written, one for each option, or by their texts.
        are_letters = [label_of(text) for text in scored] == [*ascii_uppercase[: len(listed)]]
        right = {item if are_letters else option_index(scored[item], listed) for item in golds if item < len(scored)}
        golds = tuple(sorted(place for place in right if place is not None))
    written = text[0] if isinstance(text, list | tuple) and text else text
    return Answer(
        id=number,
        question=question,
        options=options,
        gold=golds if values or options else (),
        logprobs=values,
        unconditional=tuple(map(float, unconditional)) if unconditional and len(unconditional) == len(values) else (),
        scored=scored if values else (),
        target=target,
        text=None if values or written is None else str(written),
        metrics={
            str(name): float(value)
            for name, value in (metrics.items() if isinstance(metrics, dict) else ())
            if isinstance(value, int | float)
        },
        prompt=prompt,
    )


def _plain(value: Any) -> Any:
    """A value that old releases wrote as the text of one."""
    if not isinstance(value, str):
        return value
    if len(value) > _LONGEST:
        raise ValueError(f"a value of {len(value):,} characters")
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    found = _numbers(value)
    if not isinstance(found, str):
        return found
    try:
        return ast.literal_eval(_NOT_FINITE.sub("None", _SCALAR.sub(r"\1", value)))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _numbers(text: str) -> str | list[float]:
    """The numbers of a text that holds nothing else, as NumPy and PyTorch print them; any other text as it is.

    Examples
    --------
    >>> _numbers("[array([-0.5, -inf], dtype=float32)]"), _numbers("[-0.5 nan]"), _numbers("[B]")
    ([-0.5, -inf], [-0.5, nan], '[B]')
    """
    if not text.lstrip().startswith(("[", "(", "array(", "tensor(")):
        return text
    parts = _BETWEEN_NUMBERS.split(_WRAPPER.sub(" ", text))
    try:
        return [float(part) for part in parts if part not in ("", "True", "False")]
    except ValueError:
        return text


def _task(name: str) -> tuple[str, int | None]:
    """A task's name without its number of shots, and that number: `suite|task|shots`, in old releases `…|shots|0`."""
    found = re.fullmatch(r"(.+?)\|(\d+)(?:\|[01])?", name)
    return (found[1], int(found[2])) if found else (name, None)


def _results(file: Path, date: str) -> Mapping[str, Any]:
    """The results file of a run: at the top of a data set of the Hub, or in `results` beside `details`."""
    name = f"results_{date}.json"
    places = [above / name for above in file.parents[:3]] if date else []
    if date and "details" in file.parts:
        at = len(file.parts) - 1 - file.parts[::-1].index("details")
        places.append(Path(*file.parts[:at], "results", *file.parts[at + 1 : -2], name))
    for place in places:
        if place.is_file():
            content = read_json(place, "the results file of lighteval", "remove it or copy it again")
            return content if isinstance(content, dict) else {}
    return {}


def _model(file: Path) -> str | None:
    """The model that the folders of a file without results name: `details/ORG/MODEL/DATE`."""
    above = file.parts[:-2]
    named = above[len(above) - above[::-1].index("details") :] if "details" in above else ()
    return "/".join(named) or None


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _config(content: Mapping[str, Any], task: str, shots: int | None, date: str, file: Path) -> RunConfig:
    general = _mapping(content, "config_general")
    model = _mapping(general, "model_config")
    name = general.get("model_name") or model.get("model_name") or _model(file)
    limit, commit = general.get("max_samples"), general.get("lighteval_sha")
    system, dtype = model.get("system_prompt"), model.get("dtype")
    return RunConfig(
        model_name=name if isinstance(name, str) else None,
        date=date or None,
        num_fewshot={} if shots is None else {task: shots},
        limit=limit if isinstance(limit, int) else None,
        dtype=dtype.removeprefix("torch.") if isinstance(dtype, str) else None,
        system_instruction=system if isinstance(system, str) else None,
        harness=LightevalReader.name,
        harness_version=commit if isinstance(commit, str) and commit not in ("", "?") else None,
    )
