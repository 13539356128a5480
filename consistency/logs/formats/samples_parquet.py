"""Samples of lm_eval as Parquet: what the Hub makes of a data set of samples, or `datasets` writes.

The rows are those of `samples_TASK_DATE.jsonl` (`lm_eval/loggers/evaluation_tracker.py` of 0.4.11 and 0.4.13.dev0), in which
every row has the fields of all: those that a document or a question lacks are null. They are read as the lines that they were.
"""

from __future__ import annotations

import re
import tempfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.logs.formats.answers import Log
from consistency.logs.formats.decoding import parquet_rows, parquet_schema
from consistency.logs.run_config import RunConfig
from consistency.logs.samples import read_samples

_NAME = re.compile(r"samples_(?P<task>(?s:.+))_(?P<date>\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?)\.parquet")
# Names that say nothing of the task: 0000.parquet, train-00000-of-00001.parquet.
_PART = re.compile(r"(?:\w+-)?\d+(?:-of-\d+)?|train|latest")
# One of several files of a data set.
_OF_SEVERAL = re.compile(r"-(?P<number>\d{1,9})-of-(?P<all>\d{1,9})$")


class SamplesParquetReader:
    """Reads samples of lm_eval that were written as Parquet."""

    name = "lm_eval"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether it is a Parquet file with the columns of samples."""
        schema = parquet_schema(file)
        return schema is not None and {"doc_id", "doc", "filtered_resps"} <= set(schema.names)

    def read(self, file: Path) -> Log:
        """The task of a file, by each of its filters."""
        return self.read_parts([file])

    def read_parts(self, files: Sequence[Path]) -> Log:
        """The task of the files of one data set, by each of its filters."""
        file = files[0]
        named = _NAME.fullmatch(file.name)
        task = (
            named["task"]
            if named
            else next(
                (
                    part
                    for part in (file.stem, *(above.name for above in file.parents))
                    if part and not _PART.fullmatch(part)
                ),
                file.stem,
            )
        )
        # A row is a line: the file and the number of each, for messages.
        ends: list[int] = []
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as lines:
            written = 0
            for part in files:
                schema = parquet_schema(part)
                for _, row in parquet_rows(part, [] if schema is None else schema.names):
                    try:
                        lines.write(msgspec.json.encode(_without_nulls(row)) + b"\n")
                    except (TypeError, ValueError) as error:
                        raise InputError(f"a value that no samples file holds: {error}", path=part) from None
                    written += 1
                ends.append(written)
            lines.flush()
            try:
                tasks = read_samples(Path(lines.name), task)
            except InputError as error:
                place = bisect_left(ends, error.line) if error.line else 0
                before = ends[place - 1] if place else 0
                problem = f"row {error.line - before}: {error.problem}" if error.line else error.problem
                raise InputError(problem, expected=error.expected, do=error.do, path=files[place]) from None
        found = _OF_SEVERAL.search(file.stem)
        lacking = 0 if found is None else int(found["all"]) - len(files)
        notes = (
            (f"the file is one of {lacking + 1} parts of a data set, and the others are not read",)
            if lacking > 0
            else ()
        )
        scores = {name: replace(held, source=file, notes=(*held.notes, *notes)) for name, held in tasks.items()}
        return Log(scores, RunConfig(date=named["date"].replace(":", "-") if named else None))


def whole_data_sets(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """The parts of each data set of which all are there, in their order, by the first of them.

    Examples
    --------
    >>> names = ["a-00000-of-00002.parquet", "a-00001-of-00002.parquet", "b-00000-of-00002.parquet"]
    >>> [[part.name for part in parts] for parts in whole_data_sets(map(Path, names)).values()]
    [['a-00000-of-00002.parquet', 'a-00001-of-00002.parquet']]
    """
    sets: defaultdict[tuple[Path, int], dict[int, Path]] = defaultdict(dict)
    for file in files:
        if (found := _OF_SEVERAL.search(file.stem)) and int(found["all"]) > 1:
            sets[file.with_name(file.stem[: found.start()]), int(found["all"])][int(found["number"])] = file
    return {
        parts[0]: [parts[number] for number in range(count)]
        for (_, count), parts in sets.items()
        if parts.keys() == {*range(len(parts))} and len(parts) == count
    }


def _without_nulls(value: Any) -> Any:
    """A value without the fields that only other rows have."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
