"""Decontamination: which questions of a pool are in an evaluation set, or duplicates of other questions of the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.knowledge.beliefs import decode_documents, unusable_document
from consistency.logs.documents import find_lines, options_of
from consistency.logs.folders import is_log
from consistency.logs.runs import read_run
from consistency.logs.scores import Scores
from consistency.support.text import joined
from consistency.tasks.questions import read_questions
from consistency.training_data.duplicates import Index, MultipleChoice


class _Document(msgspec.Struct, gc=False):
    question: str


class _Place(msgspec.Struct, gc=False):
    """A question of an evaluation set, and the line that holds it."""

    question: str
    choices: Sequence[str]
    file: Path
    line: int | None


@dataclass(frozen=True)
class Finding:
    """A question of the pool that is in an evaluation set, or a duplicate of an earlier question of the pool.

    Attributes
    ----------
    row : int
        Its place in the pool.
    id : str or int
        Its id.
    kind : {"exact", "near"}
        See `consistency.training_data.duplicates`.
    file : Path or None
        The evaluation file that holds it; None if it is the pool itself.
    line : int or None
        The line there, from 1; None where the file does not hold the document as it was read.
    of : str, int or None
        The id of the earlier question of the pool.
    """

    row: int
    id: str | int
    kind: str
    file: Path | None = None
    line: int | None = None
    of: str | int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding as a line of a list."""
        place = {"pool": self.of} if self.file is None else {"evaluation": str(self.file), "line": self.line}
        return {"id": self.id, "kind": self.kind, **place}


@dataclass(frozen=True)
class Contamination:
    """The questions of a pool that are in evaluation sets, or duplicates within the pool.

    Attributes
    ----------
    files : tuple of Path
        The evaluation sets.
    findings : tuple of Finding
        In the order of the pool.
    """

    files: tuple[Path, ...]
    findings: tuple[Finding, ...]

    def left_out(self, duplicates: bool = True) -> list[int]:
        """Places of the questions that are not to be trained on.

        Parameters
        ----------
        duplicates : bool
            Whether exact duplicates of an earlier question are among them, besides everything that is in an
            evaluation set. Near duplicates within a pool never are: "What is direct current?" and "What is alternating
            current?" may share their options.
        """
        return [item.row for item in self.findings if item.file is not None or (duplicates and item.kind == "exact")]

    def to_text(self, questions: int) -> str:
        """Counts, of a pool of so many questions."""
        in_sets = Counter((str(item.file), item.kind) for item in self.findings if item.file is not None)
        in_pool = Counter(item.kind for item in self.findings if item.file is None)
        lines = [
            f"{questions} questions: {len(self.left_out())} are in an evaluation set, or duplicates within the pool"
        ]
        lines += [f"  {file}: {count} {kind}" for (file, kind), count in sorted(in_sets.items())]
        lines += [f"  the pool itself: {count} {kind}" for kind, count in sorted(in_pool.items())]
        return joined(lines)

    def to_dict(self, removed: Collection[int] = ()) -> dict[str, Any]:
        """Counts and list for a manifest, with the places of the questions that were indeed left out."""
        counts = Counter(("pool" if item.file is None else "evaluation", item.kind) for item in self.findings)
        return {
            "left_out": len(removed),
            "evaluation_sets": [str(file) for file in self.files],
            "in_evaluation": {kind: counts["evaluation", kind] for kind in ("exact", "near")},
            "in_pool": {kind: counts["pool", kind] for kind in ("exact", "near")},
            "questions": [item.to_dict() | {"left_out": item.row in removed} for item in self.findings],
        }


def find_contamination(
    pool: Sequence[MultipleChoice], ids: Sequence[str | int], evaluation: Sequence[str | Path] = ()
) -> Contamination:
    """The questions of a pool that are in evaluation sets, or duplicates within the pool.

    Parameters
    ----------
    pool : sequence
        Objects with `question` and `choices`.
    ids : sequence of str or int
        Their ids.
    evaluation : sequence of path-like
        Files of questions, samples files of lm_eval, or folders of such files.

    Returns
    -------
    Contamination

    Raises
    ------
    InputError
        If an evaluation set cannot be read.
    """
    files = _all_files(evaluation)
    index = Index(pool)
    findings: dict[int, Finding] = {}
    if files:
        places = [place for file in files for place in _places(file)]
        for found in index.found_in(Index(places)):
            place = places[found.other]
            findings[found.row] = Finding(found.row, ids[found.row], found.kind, place.file, place.line)
    for found in index.duplicates():
        row = found.row
        findings.setdefault(row, Finding(row, ids[row], found.kind, of=ids[found.other]))
    return Contamination(files, tuple(findings[row] for row in sorted(findings)))


def evaluation_questions(evaluation: Sequence[str | Path]) -> Sequence[MultipleChoice]:
    """The questions of evaluation sets.

    Parameters
    ----------
    evaluation : sequence of path-like
        As `find_contamination` takes them.

    Raises
    ------
    InputError
        If an evaluation set cannot be read.
    """
    return [place for file in _all_files(evaluation) for place in _places(file)]


def _all_files(evaluation: Sequence[str | Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(file for path in evaluation for file in _files(Path(path))))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob("*.jsonl"))
    if not files:
        raise InputError("no JSONL files", expected="a folder with evaluation sets", path=path)
    return files


def _places(file: Path) -> list[_Place]:
    if not is_log(file):
        questions = read_questions(file, "")
        return [_Place(item.question, item.choices, file, line) for line, item in enumerate(questions, 1)]
    return [place for scores in read_run(file).tasks.values() for place in _logged(scores)]


def _logged(scores: Scores) -> Iterator[_Place]:
    """The questions of a log, each with its line."""
    expected, do = "a question and its options", "name the logs of multiple-choice tasks"
    lines = find_lines(scores.source, scores.documents, scores.doc_id.tolist())
    for row, (fields, line) in enumerate(zip(decode_documents(scores, _Document, expected, do), lines, strict=True)):
        options = options_of(scores.documents[row])
        if len(options) < 2:
            raise unusable_document(scores, row, "no options", expected=expected, do=do)
        yield _Place(fields.question, options, scores.source, line)
