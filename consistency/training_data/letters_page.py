"""The letters that training sets teach, by file: read from rows alone, without a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consistency.errors import InputError
from consistency.knowledge.probes import released_domain
from consistency.knowledge.released import is_released, read_released
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
_DASH = "–"
LEGEND = (
    "Shares of the letters A, B, C … w: Cohen's effect size against letters that are taught equally often (0: even, 1.73: one "
    "letter of four); p: Pearson's test. From w = 0.2 with p < 0.01 a line below says so: a model that is trained on such rows "
    "may learn letters."
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
    """

    path: Path
    model: str
    domain: str
    letters: Letters
    other_rows: int = 0
    unread: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": str(self.path),
            "model": self.model or None,
            "domain": self.domain or None,
            "group": self.letters.name,
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
        By path.

    Raises
    ------
    InputError
        If a file cannot be read, or none holds a multiple-choice question.
    """
    path = Path(path)
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    found = [_released(file) if is_released(file) else _training_set(file) for file in files]
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
    """Which letters training sets teach, in Markdown: a table, and a line for each that is far from even."""
    several = any(item.model for item in found)
    head = ("model", "domain", "group") if several else ("file",)
    rows = [
        ((item.model, item.domain, item.letters.name) if several else (item.path.name,), item.letters) for item in found
    ]
    lines = ["# Letters taught", "", *letters_table(rows, head), "", LEGEND]
    for item in found:
        place = markdown(f"{item.model}, {item.domain}: ") + " " if several else ""
        name, remarks = markdown(item.letters.name), []
        if warning := item.letters.warning(name):
            remarks.append(warning)
        if item.unread:
            remarks.append(f"{name}: {item.unread} questions whose reply names no option are not counted")
        for remark in remarks:
            lines += [""] * (not lines[-1].startswith("- ")) + [f"- {place}{remark}"]
    return "\n".join(lines) + "\n"


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
