"""Instance records of every_eval_ever: JSON lines, a line a question and an evaluation.

Fields as in the schemas 0.2.2 and 0.3.0: `every_eval_ever/schemas/instance_level_eval.schema.json`; names of files as in
`converters/lm_eval/instance_level_adapter.py` of 0.2.3rc1. The schema has no place for log-probabilities: this
project's own records (`consistency.report.exports.records`) have them in the metadata of an answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from consistency.errors import InputError
from consistency.logs.formats.answers import ACC, Answer, Log, option_index, right_options, to_scores
from consistency.logs.formats.decoding import AGAIN, check_count, has_keys, json_lines_of
from consistency.logs.formats.prompts import asked
from consistency.logs.labels import label_of
from consistency.logs.metrics import accuracy_names
from consistency.logs.packed import plain_name
from consistency.logs.run_config import RunConfig
from consistency.logs.scores import Scores
from consistency.support.json_files import read_json

T = TypeVar("T")


class _Input(msgspec.Struct, gc=False):
    raw: str
    reference: list[str]
    formatted: str | None = None
    choices: list[str] | None = None


class _Output(msgspec.Struct, gc=False):
    raw: list[str] = []


class _Attribution(msgspec.Struct, gc=False):
    extracted_value: str = ""
    is_terminal: bool = True


class _Evaluation(msgspec.Struct, gc=False):
    score: float
    is_correct: bool


class _Record(msgspec.Struct, gc=False):
    evaluation_name: str
    sample_id: str
    model_id: str
    input: _Input
    evaluation: _Evaluation
    output: _Output | None = None
    messages: list[Any] | None = None
    answer_attribution: list[_Attribution] = []
    metadata: dict[str, str] | None = None
    evaluation_result_id: str | None = None


class EveryEvalEverReader:
    """Reads instance records of every_eval_ever."""

    name = "every_eval_ever"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether its first line has the keys of an instance record."""
        return has_keys(head, "schema_version", "evaluation_name", "sample_id", "evaluation")

    def read(self, file: Path) -> Log:
        """The tasks of a file, by the names of its evaluations."""
        tasks: defaultdict[str, list[tuple[int, _Record]]] = defaultdict(list)
        models: dict[str, int] = {}
        line = 1
        for line, record in json_lines_of(file, _Record, "an instance record of every_eval_ever"):
            models.setdefault(record.model_id, line)
            if len(models) > 1:
                raise InputError(
                    f"a record of {record.model_id!r} in a log of {next(iter(models))!r}",
                    expected="one model",
                    do="write the records of each model to a file of their own",
                    path=file,
                    line=line,
                )
            tasks[record.evaluation_name].append((line, record))
        check_count(file, sum(map(len, tasks.values())), line, *_announced(file))
        found = {task: _scores(task, records, file) for task, records in sorted(tasks.items())}
        return Log(found, RunConfig(model_name=next(iter(models)), harness=self.name))


def _scores(task: str, records: Sequence[tuple[int, _Record]], file: Path) -> Scores:
    """The scores of a task: a record a question, or one for each question and metric."""
    main, notes = _deciding([record for _, record in records])
    others: defaultdict[str, dict[str, float]] = defaultdict(dict)
    rows = [(line, record) for line, record in records if main in (None, record.evaluation_result_id or "")]
    known = {record.sample_id for _, record in rows}
    for line, record in records:
        if record.evaluation_result_id and main not in (None, record.evaluation_result_id):
            others[record.sample_id].setdefault(record.evaluation_result_id, record.evaluation.score)
            if record.sample_id not in known:
                known.add(record.sample_id)
                rows.append((line, record))
    listed = [asked(record.input.raw, len(record.input.choices or ())) for _, record in rows]
    golds = _golds([record for _, record in rows], [options for _, options in listed])
    answers = []
    for (line, record), gold, (question, options) in zip(rows, golds, listed, strict=True):
        answer = _answer(record, question, options, gold, file, line)
        own = answer.metrics if main in (None, record.evaluation_result_id or "") else {}
        answers.append(replace(answer, metrics={**own, **others[record.sample_id]}))
    return to_scores(task, answers, file, notes=notes, repeats="records")


def _deciding(records: Sequence[_Record]) -> tuple[str | None, list[str]]:
    """The metric that says what is right where a question has records of several, with a note; else None."""
    results = {(record.sample_id, record.evaluation_result_id or "") for record in records}
    if len(results) == len({question for question, _ in results}):
        # Results of one question each are parts of the task, not metrics.
        return None, []
    names = sorted({name for _, name in results})
    # A metric's name, what it is of, how it was disturbed: exact_match:test:typos.
    first = next(iter(accuracy_names(list(dict.fromkeys(name.partition(":")[0] for name in names)))), "")
    main = next((name for name in names if name.partition(":")[0] == first), names[0])
    return main, [f"of the {len(names)} metrics of a question, {main} says whether its answer is right"]


def _golds(records: Sequence[_Record], listed: Sequence[tuple[str, ...]]) -> list[tuple[int, ...]]:
    """The right options of each record: among its choices, else among those that its prompt lists."""
    references = [record.input.reference for record in records]
    choices = [tuple(record.input.choices or ()) or texts for record, texts in zip(records, listed, strict=True)]
    found = []
    for named, places, texts in zip(references, right_options(references, choices), listed, strict=True):
        # Letters may be the choices, and a text of the prompt the reference.
        own = [option_index(name, texts) if place is None else place for name, place in zip(named, places, strict=True)]
        found.append(tuple(sorted({place for place in own if place is not None})))
    return found


def _announced(file: Path) -> tuple[Path, Any]:
    """The file of the evaluation beside its records, and how many records it says there are."""
    above = file.with_name(plain_name(file).removesuffix(".jsonl").removesuffix("_samples") + ".json")
    content = read_json(above, "an evaluation of every_eval_ever", AGAIN) if above.is_file() else {}
    details = content.get("detailed_evaluation_results") if isinstance(content, dict) else None
    return above, details.get("total_rows") if isinstance(details, dict) else None


def _answer(
    record: _Record, question: str, listed: tuple[str, ...], gold: tuple[int, ...], file: Path, line: int
) -> Answer:
    choices = tuple(record.input.choices or ())
    labelled = bool(choices) and all(map(label_of, choices))
    # Letters alone say nothing of the options that the prompt lists behind them.
    options = listed if labelled and listed else choices or listed
    terminal = [item.extracted_value for item in record.answer_attribution if item.is_terminal]
    written = record.output.raw if record.output is not None else []
    said = terminal[-1] if terminal else None
    metadata = record.metadata or {}
    logprobs = _own(metadata, "option_logprobs", list[float], len(options), file, line)
    scored = _own(metadata, "option_continuations", list[str], len(options), file, line)
    return Answer(
        id=record.sample_id,
        question=question,
        options=options,
        gold=gold,
        logprobs=tuple(logprobs),
        scored=tuple(scored),
        target=", ".join(record.input.reference),
        text=written[0] if written else said or "",
        answer=said,
        metrics={ACC: float(record.evaluation.is_correct), "score": record.evaluation.score},
        # Where the prompt is known by its hash, what stands here may be the question alone.
        prompt="" if "prompt_hash" in metadata else record.input.formatted or record.input.raw,
        prompt_hash=metadata.get("prompt_hash", ""),
        doc_hash=metadata.get("doc_hash", ""),
    )


def _own(metadata: Mapping[str, str], key: str, kind: type[list[T]], count: int, file: Path, line: int) -> list[T]:
    """What this project's records say of each option; nothing in those of others."""
    if key not in metadata:
        return []
    try:
        found = msgspec.json.decode(metadata[key], type=kind)
    except (msgspec.DecodeError, RecursionError):
        found = []
    if len(found) != count or not count:
        raise InputError(
            f"metadata.{key} {metadata[key][:80]!r}",
            expected=f"a JSON list of {count}, one for each option",
            path=file,
            line=line,
        )
    return found
