"""A task of the questions in a training set, so that its base model can be asked what it believed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from consistency.support.files import write_lines
from consistency.support.json_files import json_lines
from consistency.tasks.own_domain import SPLITS, OwnDomain
from consistency.tasks.own_tasks import SHOTS, write_own_tasks
from consistency.tasks.prompts import LETTERS
from consistency.tasks.question_tables import QuestionSource
from consistency.tasks.questions import Question
from consistency.training_data.normalization import normal_form
from consistency.training_data.training_sets import read_training_set

_NAME = "training_set"
_HEADER = "various subjects"


@dataclass(frozen=True)
class TrainingProbe:
    """A task that asks the multiple-choice questions of training sets with five examples, as the paper probes a base model.

    Attributes
    ----------
    task : str
        Its name.
    folder : Path
        Of its files, for ``--include_path``.
    questions : tuple of Question
        All different questions; the answer is the option that the first row with them teaches. The first five are the
        examples and are not asked.
    """

    task: str
    folder: Path
    questions: tuple[Question, ...]


def write_probe(training_sets: Sequence[Path], folder: Path) -> TrainingProbe | None:
    """Write the task.

    Parameters
    ----------
    training_sets : sequence of Path
        As `read_training_set` takes them.
    folder : Path
        Where the files go.

    Returns
    -------
    TrainingProbe or None
        None where there are too few multiple-choice questions for five examples and one that is asked.

    Raises
    ------
    InputError
        If a row is in no known format, or a file cannot be written.
    """
    found: dict[tuple[str, ...], Question] = {}
    for path in training_sets:
        for row in read_training_set(path):
            # Rows with digits or small letters may be other instructions that hold a list.
            if row.taught is not None and len(row.choices) > 1 and row.labels == LETTERS:
                item = Question(len(found), _HEADER, row.question, row.choices, row.taught)
                found.setdefault(normal_form(row.question, row.choices), item)
    questions = tuple(found.values())
    if len(questions) <= SHOTS:
        return None
    examples, asked = questions[:SHOTS], questions[SHOTS:]
    files = {}
    for split, rows in zip(SPLITS, (asked, examples, examples), strict=True):  # its tasks of the test are not asked
        files[split] = folder / f"{split}.jsonl"
        write_lines(files[split], json_lines(row.to_dict() for row in rows))
    domain = OwnDomain(_NAME, _HEADER, {split: QuestionSource(str(path)) for split, path in files.items()})
    tasks = folder / "tasks"
    write_own_tasks(domain, tasks)
    return TrainingProbe(domain.task("pool_icl"), tasks, questions)
