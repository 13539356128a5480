"""Samples of lmms-eval: `DATE_samples_TASK.jsonl` beside `DATE_results.json`.

Fields as in lmms-eval 0.3.0, 0.4.1, 0.6 and 0.7.2: `loggers/evaluation_tracker.py` (names and fields), `evaluator.py` (the
sample), `api/task.py` (what multiple choice is scored by). They are those of lm_eval without the document, and with the prompt
as `input`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.logs.formats.answers import Answer, Log, right_options, to_scores
from consistency.logs.formats.decoding import fault_of, has_keys, json_lines_of
from consistency.logs.formats.prompts import asked
from consistency.logs.packed import plain_name
from consistency.logs.run_config import RunConfig, read_config
from consistency.logs.task_settings import read_task_settings
from consistency.support.text import shortened

_NAME = re.compile(r"(?:(?P<date>\d{8}_\d{6}|\d{4}-\d\d-\d\dT[\d.-]+)_)?(?:samples_)?(?P<task>.+)\.jsonl")
_KNOWN = {
    *("doc_id", "doc", "target", "arguments", "input", "resps", "filtered_resps", "filter", "doc_hash", "prompt_hash"),
    *("token_counts", "input_media", "target_hash"),
}
_WHAT = "a sample of lmms-eval"


class LmmsReader:
    """Reads samples of lmms-eval."""

    name = "lmms-eval"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether its first line has the keys of a sample with an input and without a document."""
        return has_keys(head, "doc_id", "input", "filtered_resps")

    def read(self, file: Path) -> Log:
        """The one task of a file."""
        answers, targets = [], []
        unread: dict[str, None] = {}
        for line, row in json_lines_of(file, dict[str, Any], _WHAT):
            try:
                answers.append(_answer(row))
                targets.append(row.get("target"))
                unread |= dict.fromkeys(name for name in row if name not in _KNOWN and name not in answers[-1].metrics)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise InputError(fault_of(error), expected=_WHAT, path=file, line=line) from None
        named = _NAME.fullmatch(plain_name(file))
        task, date = (named["task"], named["date"] or "") if named else (file.stem, "")
        results = file.with_name(f"{date}_results.json")
        recorded = read_config(results if date and results.is_file() else None, date)
        # A question whose options are not in its prompt has at least their number.
        names = [answer.options or ("",) * len(answer.logprobs) for answer in answers]
        golds = right_options([[target] for target in targets], names)
        answers = [
            replace(answer, gold=() if gold is None else (gold,))
            for answer, (gold,) in zip(answers, golds, strict=True)
        ]
        answers, notes = _with_logprobs(answers)
        told = [name for name in unread if not any(name in answer.metrics for answer in answers)]
        if told:
            notes.append(f"{shortened(told)}: no number of each question, and not compared")
        settings = read_task_settings(recorded.content, task)
        version = recorded.content.get("lmms_eval_version")
        config = RunConfig(
            model=recorded.model,
            model_args=recorded.model_args,
            model_name=recorded.model_name,
            date=recorded.date,
            num_fewshot=recorded.num_fewshot,
            versions=recorded.versions,
            limit=recorded.limit,
            git_commit=recorded.git_commit,
            results=recorded.results,
            content=recorded.content,
            harness=self.name,
            harness_version=version if isinstance(version, str) else None,
        )
        return Log({task: to_scores(task, answers, file, settings=settings, notes=notes)}, config)


def _answer(row: Mapping[str, Any]) -> Answer:
    number = row["doc_id"]
    if type(number) is not int or number < 0:
        raise ValueError(f"doc_id {number!r}")
    said, sent, target = row["filtered_resps"], row["input"], row.get("target")
    prompt = sent if isinstance(sent, str) else ""
    scored = _scored(said)
    question, options = asked(prompt, len(scored))
    text = said[0] if isinstance(said, list) and said else said
    return Answer(
        id=number,
        question=question,
        options=options,
        logprobs=scored,
        target="" if target is None else str(target),
        text=None if scored else str(text),
        metrics={
            name: float(value) for name, value in row.items() if name not in _KNOWN and isinstance(value, int | float)
        },
        prompt=prompt,
        doc_hash=row["doc_hash"] if isinstance(row.get("doc_hash"), str) else "",
    )


def _scored(said: Any) -> tuple[float, ...]:
    """The numbers of options: of each a pair with whether it was the greedy answer; empty for generated texts."""
    if not (isinstance(said, list) and len(said) > 1):
        return ()
    if not all(isinstance(item, list) and len(item) == 2 and str(item[1]) in ("True", "False") for item in said):
        return ()
    return tuple(float(item[0]) for item in said)


def _with_logprobs(answers: list[Answer]) -> tuple[list[Answer], list[str]]:
    """The answers with log-probabilities, and a note: lmms-eval's answer is the smallest number, for its models give losses."""
    numbers = [number for answer in answers for number in answer.logprobs]
    if not numbers or max(numbers) <= 0:
        return answers, []
    if min(numbers) < 0:
        without = [replace(answer, logprobs=()) for answer in answers]
        return without, ["the options' numbers are neither losses nor log-probabilities: they are not used"]
    turned = [replace(answer, logprobs=tuple(-number for number in answer.logprobs)) for answer in answers]
    return turned, ["the options' losses are read as log-probabilities"]
