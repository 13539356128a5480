"""Samples of lm_eval as Parquet: what the Hub makes of a data set of samples, or `datasets` writes.

The rows are those of `samples_TASK_DATE.jsonl` (`lm_eval/loggers/evaluation_tracker.py` of 0.4.11 and 0.4.13.dev0), in which
every row has the fields of all: those that a document or a question lacks are null. They are read as the lines that they were.
"""

from __future__ import annotations

import re
import tempfile
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
_OF_SEVERAL = re.compile(r"-\d+-of-(?P<all>\d{1,9})$")


class SamplesParquetReader:
    """Reads samples of lm_eval that were written as Parquet."""

    name = "lm_eval"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether it is a Parquet file with the columns of samples."""
        schema = parquet_schema(file)
        return schema is not None and {"doc_id", "doc", "filtered_resps"} <= set(schema.names)

    def read(self, file: Path) -> Log:
        """The task of a file, by each of its filters."""
        schema = parquet_schema(file)
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
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as lines:
            for _, row in parquet_rows(file, [] if schema is None else schema.names):
                try:
                    lines.write(msgspec.json.encode(_without_nulls(row)) + b"\n")
                except (TypeError, ValueError) as error:
                    raise InputError(f"a value that no samples file holds: {error}", path=file) from None
            lines.flush()
            try:
                tasks = read_samples(Path(lines.name), task)
            except InputError as error:
                # A row is a line.
                problem = f"row {error.line}: {error.problem}" if error.line else error.problem
                raise InputError(problem, expected=error.expected, do=error.do, path=file) from None
        part = _OF_SEVERAL.search(file.stem)
        parts = 1 if part is None else int(part["all"])
        notes = (f"the file is one of {parts} parts of a data set, and the others are not read",) if parts > 1 else ()
        scores = {name: replace(found, source=file, notes=(*found.notes, *notes)) for name, found in tasks.items()}
        return Log(scores, RunConfig(date=named["date"].replace(":", "-") if named else None))


def _without_nulls(value: Any) -> Any:
    """A value without the fields that only other rows have."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
