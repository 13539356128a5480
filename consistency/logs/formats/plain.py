"""JSON lines under plain names, for whoever writes a log by hand or with a program that has no format of its own.

A line a question: `question`, `choices`, `gold`, and either `logprobs` or `answer` and `correct`. docs/formats.md describes
each field.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Literal

import msgspec

from consistency.errors import InputError
from consistency.logs.documents import normalised
from consistency.logs.doubts import ABOVE_ZERO
from consistency.logs.formats.answers import ACC, Answer, Log, option_index, to_scores
from consistency.logs.formats.decoding import has_keys, json_lines_of
from consistency.logs.formats.prompts import asked
from consistency.logs.packed import plain_name
from consistency.logs.run_config import RunConfig
from consistency.support.text import counted

_WHAT = "a question with choices, gold and logprobs, or with answer and correct"


class _Row(msgspec.Struct, gc=False):
    question: str
    choices: list[str] = []
    gold: int | str | list[int | str] | None = None
    logprobs: list[float] | None = None
    answer: int | str | None = None
    correct: bool | float | None = None
    task: str = ""
    id: int | str | None = None
    prompt: str = ""
    model: str | None = None
    shots: int | None = None
    scored: Literal["letters", "texts"] | None = None


class PlainReader:
    """Reads JSON lines under plain names."""

    name = "plain JSON lines"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether its first line has a question, and log-probabilities or whether the answer is correct."""
        return any(has_keys(head, "question", *names) for names in (("logprobs",), ("correct",), ("answer", "gold")))

    def read(self, file: Path) -> Log:
        """The tasks of a file: by `task`, else one of the file's name."""
        answers: defaultdict[str, list[Answer]] = defaultdict(list)
        # Questions of each task of which nothing says whether letters were scored.
        untold: Counter[str] = Counter()
        models: set[str | None] = set()
        shots: dict[str, int] = {}
        lines: dict[tuple[str, int | str], int] = {}
        named: dict[str, bool] = {}
        for line, row in json_lines_of(file, _Row, _WHAT):
            try:
                task = row.task or plain_name(file).removesuffix(".jsonl")
                if (before := lines.setdefault((task, line if row.id is None else row.id), line)) != line:
                    raise ValueError(f"the id {row.id!r} again, as in line {before}")
                if named.setdefault(task, row.id is not None) != (row.id is not None):
                    raise ValueError("an id in some lines and not in others")
                answers[task].append(_answer(row, len(answers[task])))
                untold[task] += bool(row.logprobs) and row.scored is None and not answers[task][-1].scored
                models.add(row.model)
                if row.shots is not None and shots.setdefault(task, row.shots) != row.shots:
                    raise ValueError(f"{row.shots} shots, and {shots[task]} before")
                if len(models) > 1:
                    raise ValueError("another model than the lines before")
            except ValueError as error:
                raise InputError(str(error), expected=_WHAT, do="see docs/formats.md", path=file, line=line) from None
        tasks = {
            task: to_scores(task, found, file, notes=_notes(found, untold[task]))
            for task, found in sorted(answers.items())
        }
        return Log(tasks, RunConfig(model_name=next(iter(models)), num_fewshot=shots, harness=self.name))


def _notes(answers: list[Answer], untold: int) -> Iterator[str]:
    """How many answers are none of the options, or right and wrong at once, or may have been scored by their letters."""
    if untold:
        yield (
            f"{counted(untold, 'question', 'leave')} open whether letters or texts were scored, and letter bias is looked "
            'for in none of them: if it was letters, add "scored": "letters" to the lines'
        )
    # By what they say alone: where the log says itself whether they are right, that counts.
    lost = sum(answer.answer == "" for answer in answers)
    if lost:
        yield f"{counted(lost, 'answer', 'name')} none of the choices, and {'counts' if lost == 1 else 'count'} as wrong"
    other = sum(
        answer.metrics[ACC] in (0, 1)
        and answer.metrics[ACC] != float(max(range(len(scored)), key=scored.__getitem__) in answer.gold)
        for answer in answers
        if ACC in answer.metrics and answer.gold and (scored := answer.logprobs)
    )
    if other:
        yield (
            f"{counted(other, 'question', 'have')} another `correct` than gold and logprobs give: "
            "accuracy is by `correct` where both logs have it"
        )


def _are_letters(row: _Row) -> bool:
    """Whether log-probabilities are of letters: where the line says so, or a prompt lists the choices behind letters."""
    if row.logprobs is None or row.scored == "texts" or len(row.choices) > len(ascii_uppercase):
        return False
    listed = asked(row.prompt, len(row.choices))[1] if row.prompt else ()
    return row.scored == "letters" or (
        len(listed) > 1 and [*map(normalised, listed)] == [*map(normalised, row.choices)]
    )


def _answer(row: _Row, place: int) -> Answer:
    options = tuple(row.choices)
    named = row.gold if isinstance(row.gold, list) else [] if row.gold is None else [row.gold]
    golds = [option_index(item, options) for item in named] if options else []
    if None in golds:
        raise ValueError(f"gold {row.gold!r} is none of the {len(options)} choices")
    correct = None if row.correct is None else float(row.correct)
    if correct is not None and not 0 <= correct <= 1:
        raise ValueError(f"correct is {correct:g}, and not true, false, or from 0 to 1")
    if row.logprobs is not None and len(row.logprobs) != len(options):
        raise ValueError(f"{len(options)} choices and {len(row.logprobs)} logprobs")
    above = max(row.logprobs or (), default=0.0)
    if above > ABOVE_ZERO:
        raise ValueError(
            f"logprobs holds {above:g}: the logarithm of a probability is not above 0, and a loss is its negative"
        )
    chosen = option_index(row.answer, options)
    lost = False
    if row.logprobs is None and correct is None:
        if row.answer is None or not named:
            raise ValueError("neither logprobs, nor correct, nor answer and gold")
        if options and chosen is None and isinstance(row.answer, str) and row.answer.strip().isdecimal():
            raise ValueError(
                f"answer {row.answer!r} is none of the {len(options)} choices; a place is a number without quotes"
            )
        lost = bool(options) and chosen is None
        right = chosen in golds if options else normalised(str(row.answer)) in [normalised(str(item)) for item in named]
        correct = float(right)
    said = "" if row.answer is None else options[chosen] if chosen is not None else str(row.answer)
    return Answer(
        id=place if row.id is None else row.id,
        question=row.question,
        options=options,
        gold=tuple(sorted({item for item in golds if item is not None})),
        logprobs=tuple(row.logprobs or ()),
        scored=tuple(f" {letter}" for letter in ascii_uppercase[: len(options)]) if _are_letters(row) else (),
        target=", ".join(map(str, named)),
        text=None if row.logprobs is not None or row.answer is None else said,
        # As in other logs, an empty one is an answer that could not be taken from the text.
        answer="" if lost else None,
        metrics={} if correct is None else {ACC: correct},
        prompt=row.prompt,
    )
