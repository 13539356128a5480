"""Results of NeMo Evaluator: `results.jsonl` beside the `eval-….json` of its run.

Fields as in nemo-evaluator 0.4.0: `engine/eval_loop.py` (a result), `engine/artifacts.py` (the two files). It asks through chat,
so that its files hold no log-probabilities of options. Harnesses that its older launcher runs in containers write their own logs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec

from consistency.logs.formats.answers import ACC, Answer, Log, right_options, to_scores
from consistency.logs.formats.decoding import check_count, has_keys, json_lines_of
from consistency.logs.formats.prompts import asked
from consistency.logs.packed import read_head
from consistency.logs.run_config import RunConfig
from consistency.support.json_files import read_json
from consistency.tasks.option_fields import option_fields

_WHAT = "a result of NeMo Evaluator"


class _Result(msgspec.Struct, gc=False):
    problem_idx: Annotated[int, msgspec.Meta(ge=0)]
    reward: float
    repeat: int = 0
    prompt: str = ""
    model_response: str | None = None
    extracted_answer: Any = None
    expected_answer: Any = None
    metadata: dict[str, Any] | None = None
    scorer_rewards: dict[str, float] | None = None


class NemoReader:
    """Reads results of NeMo Evaluator."""

    name = "NeMo Evaluator"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether its first line has the keys of a result."""
        return has_keys(head, "problem_idx", "reward")

    def read(self, file: Path) -> Log:
        """The one benchmark of a file."""
        results = [*json_lines_of(file, _Result, _WHAT)]
        above, bundle = _bundle(file)
        check_count(file, len(results), results[-1][0], above, bundle.get("n_results"))
        results.sort(key=lambda item: item[1].repeat)
        answers = [_answer(result) for _, result in results]
        golds = right_options([[result.expected_answer] for _, result in results], [row.options for row in answers])
        answers = [
            # Options of which none is the expected answer are those of something else.
            replace(answer, options=() if gold is None else answer.options, gold=() if gold is None else (gold,))
            for answer, (gold,) in zip(answers, golds, strict=True)
        ]
        benchmark, config = _mapping(bundle, "benchmark"), _mapping(bundle, "config")
        task = str(benchmark.get("name") or file.resolve().parent.name or "results")
        system, limit = config.get("system_prompt"), config.get("max_problems")
        version, date = bundle.get("sdk_version"), bundle.get("timestamp")
        scores = to_scores(task, answers, file, repeats="repeats")
        return Log(
            {task: scores},
            RunConfig(
                model_name=str(config["model"]) if config.get("model") else None,
                date=date if isinstance(date, str) else None,
                system_instruction=system if isinstance(system, str) else None,
                limit=limit if isinstance(limit, int) else None,
                harness=self.name,
                harness_version=version if isinstance(version, str) else None,
            ),
        )


def _bundle(file: Path) -> tuple[Path, dict[str, Any]]:
    """The file of the run beside its results, and what it holds; nothing where there is none, or several."""
    found = [
        path
        for path in sorted(file.parent.glob("eval-*.json"))
        if b'"benchmark"' in read_head(path, 1 << 16) and path.is_file()
    ]
    if len(found) != 1:
        return file, {}
    content = read_json(found[0], "the run of NeMo Evaluator", "remove it or copy it again")
    return found[0], content if isinstance(content, dict) else {}


def _mapping(content: dict[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _answer(result: _Result) -> Answer:
    row = result.metadata or {}
    question, options = asked(result.prompt)
    # The row of the benchmark's data says better what was asked than the prompt does.
    fields = next(option_fields(row), None)
    if fields is not None and not options:
        options = tuple(map(str, fields.read(row)))
    stem = next((row[name] for name in ("question", "Question") if isinstance(row.get(name), str)), None)
    expected = result.expected_answer
    taken = result.extracted_answer
    return Answer(
        id=result.problem_idx,
        question=stem or question,
        options=options,
        target=_text(expected),
        text=result.model_response or "",
        answer=None if taken is None else _text(taken),
        # A scorer may have the name of what is reported.
        metrics={**(result.scorer_rewards or {}), ACC: result.reward},
        prompt=result.prompt,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
