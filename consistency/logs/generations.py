"""The texts that a model generated, each with the question that it was asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from consistency.support.json_files import read_jsonl


class Request(msgspec.Struct):
    """What a model was asked to write about.

    Attributes
    ----------
    id : str or int
        The question's.
    question : str
        The stem.
    option : int
        Index of the option that the text is about.
    choices : list of str
        All options; empty where the log does not hold them.
    """

    id: str | int
    question: str
    option: int
    choices: list[str] = []


class _Sample(msgspec.Struct):
    doc: Request
    filtered_resps: list[str]


def read_generations(path: str | Path, task: str) -> Iterator[tuple[Request, str]]:
    """Read a samples file of a task of this project that asks a model to write a text.

    Parameters
    ----------
    path : path-like
        The samples file.
    task : str
        Name of the task, for error messages.

    Yields
    ------
    Request
    str
        What the model wrote; empty where nothing is logged.

    Raises
    ------
    InputError
        Naming the line, if the file cannot be read or holds something else.
    """
    for _, sample in read_jsonl(path, _Sample, f"a generation of {task}"):
        yield sample.doc, sample.filtered_resps[0] if sample.filtered_resps else ""
