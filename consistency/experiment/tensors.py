"""The tensors of safetensors files, read a piece at a time and without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from consistency.errors import InputError
from consistency.support.json_files import read_json

# By the format's name: the type's name, bytes of a value, and the bits that are all set in an infinity and in a NaN.
# float8_e4m3fn has no infinity, and its NaN has all bits set.
FLOATS = {
    "F64": ("float64", 8, 0x7FF0 << 48),
    "F32": ("float32", 4, 0x7F800000),
    "F16": ("float16", 2, 0x7C00),
    "BF16": ("bfloat16", 2, 0x7F80),
    "F8_E5M2": ("float8_e5m2", 1, 0x7C),
    "F8_E4M3": ("float8_e4m3fn", 1, 0x7F),
}
# Those that NumPy knows, or that are the upper half of one that it knows.
COMPARED = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
PIECE = 1 << 22  # values
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
REPEAT = "save the model again; a program that was stopped while it saved leaves such files"


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors file.

    Attributes
    ----------
    name, dtype : str
        As in the file's header.
    shape : tuple of int
    file : pathlib.Path
    start, end : int
        Its place in the file, in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int


class _Entry(msgspec.Struct):
    """What the header of a safetensors file says of a tensor."""

    dtype: str
    shape: tuple[_Count, ...]
    data_offsets: tuple[_Count, _Count]


def json_object(path: Path) -> dict[str, Any]:
    """The content of a file that holds a JSON object.

    Raises
    ------
    InputError
        If it cannot be read, or holds something else.
    """
    content = read_json(path, "a JSON object", REPEAT)
    if not isinstance(content, dict):
        raise InputError("is not a JSON object", do=REPEAT, path=path)
    return content


def tensors_of(folder: Path, stem: str) -> list[Tensor]:
    """All tensors of a checkpoint: of the one file, or of the shards that its index names.

    Parameters
    ----------
    folder : pathlib.Path
    stem : str
        The name of the one file without its ending, such as "model".

    Raises
    ------
    InputError
        If there is none, or one is incomplete.
    """
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if whole.is_file():
        tensors = read_header(whole)
    elif index.is_file():
        places = json_object(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(name, str) and name for name in places.values()):
            raise InputError("has no weight_map", expected="the file of each tensor", do=REPEAT, path=index)
        tensors = [tensor for name in sorted(set(places.values())) for tensor in read_header(folder / name)]
        found = {tensor.name: tensor.file.name for tensor in tensors}
        for name, file in places.items():
            if found.get(name) != file:
                raise InputError(f"{file} does not hold {name}", do=REPEAT, path=index)
    elif any(folder.glob("pytorch_model_fsdp*")):
        raise InputError(
            f"has the shards of FSDP and no {whole.name}",
            do="join them with axolotl merge-sharded-fsdp-weights",
            path=folder,
        )
    else:
        raise InputError("has no weights", expected=f"{whole.name}, or shards and {index.name}", path=folder)
    if not tensors:
        raise InputError("has no tensor", do=REPEAT, path=folder)
    return tensors


def read_header(file: Path) -> list[Tensor]:
    """The tensors of a safetensors file, as its header describes them.

    A file is 8 bytes with the length of a JSON object, the object, and the values:
    https://huggingface.co/docs/safetensors/index#format

    Parameters
    ----------
    file : pathlib.Path

    Raises
    ------
    InputError
        If the file cannot be read, is not a safetensors file, or does not have the length that its header gives.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = msgspec.json.decode(stream.read(length) if length < size else b"", type=dict[str, msgspec.Raw])
        begin = 8 + length
        entries = {
            name: msgspec.json.decode(entry, type=_Entry) for name, entry in header.items() if name != "__metadata__"
        }
    except (OSError, ValueError, RecursionError) as error:
        # ValueError is also of a name that no file can have.
        problem = "is not a complete safetensors file"
        problem = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else problem
        raise InputError(problem, do=REPEAT, path=file) from None
    tensors = [
        Tensor(name, entry.dtype, entry.shape, file, *(begin + place for place in entry.data_offsets))
        for name, entry in entries.items()
    ]
    for tensor in tensors:
        if tensor.start > tensor.end:
            raise InputError(f"{tensor.name} ends before it begins", do=REPEAT, path=file)
    expected = max((tensor.end for tensor in tensors), default=begin)
    if size != expected:
        raise InputError(f"has {size:,} bytes", expected=f"{expected:,}, as its header says", do=REPEAT, path=file)
    return tensors


def pieces(tensor: Tensor, count: int | None = None) -> Iterator[np.ndarray[Any, Any]]:
    """The values of a tensor, or the first so many of them, a piece at a time; of bfloat16 the bits."""
    kind, count = np.dtype(COMPARED[tensor.dtype]).newbyteorder("<"), prod(tensor.shape) if count is None else count
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        for done in range(0, count, PIECE):
            yield np.fromfile(stream, kind, min(PIECE, count - done))


def numbers(tensor: Tensor, piece: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The values of a piece as numbers, those of bfloat16 in float32."""
    return (piece.astype(np.uint32) << 16).view(np.float32) if tensor.dtype == "BF16" else piece


def is_constant(tensor: Tensor, value: float) -> bool:
    """Whether all values of a tensor are this one."""
    return all((numbers(tensor, piece) == value).all() for piece in pieces(tensor))


def is_same(new: Tensor, old: Tensor) -> bool:
    """Whether the values that a tensor begins with are those of another one, rounded to its type."""
    for after, before in zip(pieces(new, prod(old.shape)), pieces(old), strict=True):
        if old.dtype != new.dtype:
            wide = numbers(old, before)
            before = _to_bfloat16(wide) if new.dtype == "BF16" else wide.astype(after.dtype)
        if not np.array_equal(after, before):
            return False
    return True


def _to_bfloat16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bits of the nearest bfloat16 numbers, of two equally near ones the even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
