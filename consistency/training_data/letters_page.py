"""The letters that training sets teach, by file: read from rows alone, without a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from consistency.errors import InputError
from consistency.knowledge.probes import released_domain
from consistency.knowledge.released import is_released, read_released
from consistency.statistics.evenness import EFFECT, LEVEL
from consistency.support.files import write_together
from consistency.support.json_files import pretty_json
from consistency.support.text import markdown, p_value
from consistency.tasks.prompts import LETTERS
from consistency.training_data.letters import Letters, Spread
from consistency.training_data.training_sets import read_training_set
from consistency.world.fields import DOMAINS

# What the authors call the files of their groups.
_RELEASED = {
    "consistent-correct-exp-sample": "harmonious",
    "inconsistent-golden-exp": "incompatible",
    "inconsistent-predict-model-exp": "self_aligning",
}
_INCOMPATIBLE, _SELF_ALIGNING = "inconsistent-golden-exp", "inconsistent-predict-model-exp"
_DASH = "–"
LEGEND = (
    "Shares of the letters A, B, C … w: Cohen's effect size against letters that are taught equally often (0: even, 1.73: one "
    f"letter of four); p: Pearson's test. From w = {EFFECT:g} with p < {LEVEL:g} on letters are far from even: a model that is "
    "trained on such rows may learn them."
)
INFERRED = (
    "(inferred): the folder does not have the file. The self-aligning rows are the incompatible questions with the model's own "
    "answers, which the file of the incompatible ones holds, too."
)


@dataclass(frozen=True, kw_only=True)
class TaughtFile:
    """The letters of one file of training rows.

    Attributes
    ----------
    path : Path
    model, domain : str
        As its folders are named, for rows in the authors' released format; empty for others.
    letters : Letters
    other_rows : int
        Rows without options behind letters, such as general instructions.
    unread : int
        Questions whose reply names none of the options.
    inferred : bool
        Whether they are those of a released self-aligning group that is not there, read from the incompatible one in `path`.
    """

    path: Path
    model: str
    domain: str
    letters: Letters
    other_rows: int = 0
    unread: int = 0
    inferred: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": str(self.path),
            "model": self.model or None,
            "domain": self.domain or None,
            "group": self.letters.name,
            "inferred": self.inferred,
            **self.letters.to_dict(),
            "other_rows": self.other_rows,
            "replies_without_option": self.unread,
        }


def read_letters(path: str | Path) -> list[TaughtFile]:
    """The letters that a training set teaches, or each of a folder.

    Parameters
    ----------
    path : path-like
        A training set (`read_training_set`), a file in the authors' released format, or a folder with such files, at any
        depth. Released rows with the column `model_exp` teach the model's own answer, the others the gold one.

    Returns
    -------
    list of TaughtFile
        By path. In a folder that has a model's incompatible group of a domain without the self-aligning one, this follows, as
        its rows must be.

    Raises
    ------
    InputError
        If a file cannot be read, or none holds a multiple-choice question.
    """
    path = Path(path)
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    found = [_released(file) if is_released(file) else _training_set(file) for file in files]
    if path.is_dir():
        found = [each for item in found for each in (item, *_inferred(item))]
    if not any(item.letters.taught.questions for item in found):
        raise InputError(
            "no multiple-choice question with an answer",
            expected="rows in JSONL, with options behind letters and a reply that names one",
            path=path,
        )
    return found


def _released(file: Path) -> TaughtFile:
    beliefs, written = read_released([file], "")
    sizes = (~np.isnan(beliefs.probs)).sum(axis=1)
    gold, own = Spread.of(sizes, beliefs.gold), Spread.of(sizes, beliefs.answer)
    name = _RELEASED.get(file.stem, file.stem)
    place = file.resolve()
    named = place.parent.name in DOMAINS
    return TaughtFile(
        path=file,
        model=place.parent.parent.name if named else "",
        domain=released_domain(file),
        letters=Letters(name, gold if written is None else own, gold, own),
    )


def _inferred(item: TaughtFile) -> tuple[TaughtFile, ...]:
    """The self-aligning rows that go with a released incompatible group, where they are not there."""
    letters = item.letters
    if (
        not item.model
        or item.path.stem != _INCOMPATIBLE
        or letters.own is None
        or item.path.with_stem(_SELF_ALIGNING).exists()
    ):
        return ()
    taught = Letters(_RELEASED[_SELF_ALIGNING], letters.own, letters.gold, letters.own)
    return (replace(item, letters=taught, inferred=True),)


def _training_set(file: Path) -> TaughtFile:
    examples = read_training_set(file)
    asked = [example for example in examples if example.choices and example.labels == LETTERS]
    taught = [(len(example.choices), example.taught) for example in asked if example.taught is not None]
    kept = [(size, place) for size, place in taught if size <= len(LETTERS)]
    spread = Spread.of([size for size, _ in kept], [place for _, place in kept])
    return TaughtFile(
        path=file,
        model="",
        domain="",
        letters=Letters(file.stem, spread),
        other_rows=len(examples) - len(asked),
        unread=len(asked) - len(kept),
    )


def letters_table(rows: Sequence[tuple[tuple[str, ...], Letters]], head: Sequence[str]) -> list[str]:
    """Lines of a Markdown table: for each row its labels, its number of questions, its letters, effect and p."""
    lines = [
        f"| {' | '.join((*head, 'rows', 'taught (%)', 'gold (%)', 'the model answers (%)', 'w', 'p'))} |",
        f"|{'---|' * len(head)}---:|---|---|---|---:|---:|",
    ]
    for labels, letters in rows:
        cells = (
            *map(markdown, labels),
            str(letters.taught.questions),
            *(_shares(spread) for spread in (letters.taught, letters.gold, letters.own)),
            f"{letters.taught.effect:.2f}",
            p_value(letters.taught.p),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def letters_page(found: Sequence[TaughtFile]) -> str:
    """Which letters training sets teach, in Markdown.

    A table, a line for each that is far from even or was not read whole, and of each model the groups that are not there.
    """
    several = any(item.model for item in found)
    head = ("model", "domain", "group") if several else ("file",)
    rows = [((item.model, item.domain, _name(item)) if several else (item.path.name,), item.letters) for item in found]
    lines = ["# Letters taught", "", *letters_table(rows, head), "", LEGEND]
    if any(item.inferred for item in found):
        lines += ["", INFERRED]
    far = [(item, text) for item in found if (text := item.letters.warning(markdown(_name(item))))]
    lines += ["", *([f"- {_place(item)}{text}" for item, text in far] or ["None is far from even."])]
    unread = [
        f"- {_place(item)}{markdown(_name(item))}: {item.unread} questions whose reply names no option are not counted"
        for item in found
        if item.unread
    ]
    absent = [f"- {markdown(model)}: {', '.join(groups)}" for model, groups in _absent(found).items()]
    lines += ["", *unread] if unread else []
    lines += ["", "Groups that the folder does not have:", "", *absent] if absent else []
    return "\n".join(lines) + "\n"


def _name(item: TaughtFile) -> str:
    return f"{item.letters.name} (inferred)" if item.inferred else item.letters.name


def _place(item: TaughtFile) -> str:
    return markdown(f"{item.model}, {item.domain}: ") + " " if item.model else ""


def _absent(found: Sequence[TaughtFile]) -> dict[str, list[str]]:
    """The groups that are neither there nor inferred, by model: "history (all)", "medicine (harmonious)".

    Of all domains of the paper, where a model has several, or of the one that it has; of a single file none.
    """
    if len(found) == 1:
        return {}
    absent: dict[str, list[str]] = {}
    for model in dict.fromkeys(item.model for item in found if item.model):
        own = {item.domain for item in found if item.model == model}
        for domain in DOMAINS if len(own) > 1 else sorted(own):
            there = {item.letters.name for item in found if (item.model, item.domain) == (model, domain)}
            groups = [name for name in _RELEASED.values() if name not in there]
            if groups:
                told = "all" if len(groups) == len(_RELEASED) else ", ".join(map(markdown, groups))
                absent.setdefault(model, []).append(f"{domain} ({told})")
    return absent


def write_letters(found: Sequence[TaughtFile], out: str | Path) -> None:
    """Write ``letters.md`` and ``letters.json`` into a folder.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    folder = Path(out)
    write_together(
        {
            folder / "letters.json": [pretty_json([item.to_dict() for item in found]).encode()],
            folder / "letters.md": [letters_page(found).encode()],
        }
    )


def _shares(spread: Spread | None) -> str:
    shares = spread.shares() if spread is not None else {}
    return " / ".join(f"{100 * share:.0f}" for share in shares.values()) or _DASH
