"""Values as the bytes of files of many formats, also values that no file of the format should hold."""

from __future__ import annotations

import csv
import io
import json
import struct
from typing import Any

import numpy as np
from fuzzing import as_json

# Levels of a column: Arrow writes deeper ones with memory that grows with their square, gigabytes for 3,000.
_DEEPEST = 300


def rows_of(content: bytes) -> list[Any]:
    """The rows of JSON lines."""
    return [json.loads(line) for line in content.split(b"\n") if line]


def lines_of(value: Any, rng: np.random.Generator) -> bytes:
    """Rows as JSON lines."""
    return b"".join(as_json(row) + b"\n" for row in (value if isinstance(value, list) else [value]))


def yaml_of(value: Any, rng: np.random.Generator) -> bytes:
    """A value as YAML: in JSON, which it contains, or in blocks, with what only YAML has."""
    import yaml

    if rng.random() < 0.1:
        bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{to}: &{to} [{', '.join(['*' + of] * 9)}]\n" for of, to in zip("abcdefgh", "bcdefghi", strict=True)
        )
        odd = ("a: &a [*a]\n", bomb, "<<: {a: 1}\n", "? [1]\n: 2\n", "a: !!python/name:os.system\n", "!!set {a}\n")
        content = as_json(value)
        return odd[rng.integers(len(odd))].encode() + (content if rng.random() < 0.3 else b"")
    try:
        return yaml.safe_dump(value, allow_unicode=bool(rng.random() < 0.5)).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, RecursionError, ValueError):
        return as_json(value)


def parse_yaml(content: bytes) -> Any:
    """The value of a YAML file."""
    import yaml

    return yaml.safe_load(content)


def table_of(content: bytes) -> list[list[str]]:
    """The cells of a CSV file."""
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def csv_of(value: Any, rng: np.random.Generator) -> bytes:
    """Cells as CSV, at times with another delimiter."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=",;\t|"[rng.integers(4)] if rng.random() < 0.1 else ",")
    for row in value if isinstance(value, list) else [value]:
        cells = row if isinstance(row, list) else [row]
        try:
            writer.writerow([str(cell)[:200_000] for cell in cells])
        except (csv.Error, ValueError, RecursionError):
            writer.writerow(["x"])
    return stream.getvalue().encode("utf-8", "surrogatepass")


def parquet_rows(content: bytes) -> Any:
    """The columns of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(content)).to_pydict()


def _depth(kind: Any) -> int:
    """Levels of a type of Arrow."""
    levels, kinds = 0, [kind]
    while kinds:
        levels += 1
        kinds = [
            each.value_type if hasattr(each, "value_type") else each.field(place).type
            for each in kinds
            for place in range(each.num_fields)
        ]
    return levels


def parquet_of(value: Any, rng: np.random.Generator) -> bytes:
    """Columns as Parquet; columns that no table can hold become texts, or nulls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = value if isinstance(value, dict) else {"a": [1]}
    length = max([len(column) for column in columns.values() if isinstance(column, list)] or [1])
    arrays = {}
    for name, column in columns.items():
        cells = (column if isinstance(column, list) else [column])[:length]
        cells = cells + [None] * (length - len(cells))
        try:
            array = pa.array(cells)
            if _depth(array.type) > _DEEPEST:
                raise ValueError
            arrays[str(name).encode("utf-8", "replace").decode()] = array
        except (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError):
            kind = int(rng.integers(4))
            arrays[str(name).encode("utf-8", "replace").decode()] = (
                pa.nulls(length),
                pa.array([b"\xff"] * length),
                pa.array([2**62] * length, pa.timestamp("us")),
                pa.array([[{"a": [1]}]] * length),
            )[kind]
    if rng.random() < 0.1:
        arrays = {name: pa.nulls(length) for name in arrays}
    sink = io.BytesIO()
    try:
        pq.write_table(pa.table(arrays), sink, row_group_size=int(rng.integers(1, 20)))
    except pa.ArrowException:
        return b"PAR1"
    return sink.getvalue()


def parquet_written_otherwise(content: bytes) -> bytes:
    """The same table in small groups of rows, without compression and dictionaries."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    table = pq.read_table(pa.BufferReader(content))
    pq.write_table(table, sink, row_group_size=7, compression="none", use_dictionary=False, data_page_version="2.0")
    return sink.getvalue()


def header_of(content: bytes) -> Any:
    """The header of a safetensors file, and how many bytes follow it."""
    (length,) = struct.unpack("<Q", content[:8])
    return {"header": json.loads(content[8 : 8 + length]), "rest": len(content) - 8 - length}


def safetensors_of(value: Any, rng: np.random.Generator) -> bytes:
    """A safetensors file with this header, and zeros for its values."""
    value = value if isinstance(value, dict) else {}
    header = as_json(value.get("header"))
    rest = value.get("rest")
    size = rest if isinstance(rest, int) and 0 <= rest < 1 << 24 else 0
    return struct.pack("<Q", len(header)) + header + bytes(size)
