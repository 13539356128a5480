"""The record of a training, which its plugin writes beside the weights: its base model, its steps, and what each epoch saw."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from consistency.errors import InputError
from consistency.support.json_files import UNREADABLE

RECORD = "epochs.json"
# Axolotl's own log, which begins with the config as JSON.
_LOG, _LOGGED = "debug.log", re.compile(r'^ *"base_model": ("(?:[^"\\\\]|\\\\.)*")', re.MULTILINE)
_LOG_BEGINS = 1 << 16  # characters
_DO = "remove it, if it is not of this training"
# Beside the state of a training that can be resumed.
SO_FAR = "epochs_so_far.json"
_DO_SO_FAR = (
    "resume from an earlier checkpoint; or remove the file: then the record has only what is trained from here on"
)
T = TypeVar("T")


class Epoch(msgspec.Struct, frozen=True):
    """What one epoch was trained on.

    Attributes
    ----------
    rows, tokens, labels : int
        Conversations or pairs, their tokens, and those of them that count in the loss.
    """

    rows: int
    tokens: int
    labels: int


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a training saw of its rows.

    Attributes
    ----------
    base_model : str
        The absolute path of a folder, or a name of the hub.
    devices, steps : int
        Processes, and optimizer steps that were taken.
    rows_in_file : int or None
        Rows of the file that was read; None for what is not one JSONL file.
    rows : int
        Those that can be trained on.
    tokens, labels : int or None
        Of these rows, once; None for pairs.
    sequence_len : int
        Tokens after which a row is cut.
    full_rows : int or None
        Rows of that length: they were cut, or are just as long. None for pairs.
    unlabelled_rows : int or None
        Rows of which nothing is trained: Axolotl leaves them out where rows are packed. None for pairs.
    epochs : tuple of Epoch
        What each epoch saw.
    """

    base_model: str
    devices: int
    steps: int
    rows_in_file: int | None
    rows: int
    tokens: int | None
    labels: int | None
    sequence_len: int
    full_rows: int | None
    unlabelled_rows: int | None
    epochs: tuple[Epoch, ...]

    @property
    def dropped(self) -> float:
        """The share of the rows' tokens, of pairs their number, that the epochs did not see."""
        there = (self.tokens or self.rows) * len(self.epochs)
        seen = sum(epoch.tokens if self.tokens else epoch.rows for epoch in self.epochs)
        return max(0.0, 1 - seen / there) if there else 1.0

    def to_text(self) -> str:
        """The record in one line.

        Examples
        --------
        >>> epochs = (Epoch(rows=40, tokens=3880, labels=810),) * 3
        >>> sizes = {"rows_in_file": 41, "rows": 40, "tokens": 3880, "labels": 810, "full_rows": 2, "unlabelled_rows": 0}
        >>> record = TrainingRecord(base_model="m", devices=1, steps=9, sequence_len=512, epochs=epochs, **sizes)
        >>> print(record.to_text())
        9 steps, 3 epochs of 40 rows, 0.0 % of their tokens not seen; 2 rows cut at 512 tokens; 1 row of the file left out
        """
        kind = "tokens" if self.tokens else "number"
        sizes = f"{_count(self.steps, 'step')}, {_count(len(self.epochs), 'epoch')} of {_count(self.rows, 'row')}"
        text = f"{sizes}, {self.dropped:.1%}".replace("%", " %")
        text += f" of their {kind} not seen"
        if (twice := max((epoch.rows for epoch in self.epochs), default=0) - self.rows) > 0:
            text += f", and up to {_count(twice, 'row')} of an epoch seen twice"
        if self.full_rows:
            text += f"; {_count(self.full_rows, 'row')} cut at {self.sequence_len:,} tokens"
        if self.unlabelled_rows:
            text += f"; {_count(self.unlabelled_rows, 'row')} without anything to train on"
        left = (self.rows_in_file or 0) - self.rows
        return text + (f"; {_count(left, 'row')} of the file left out" if left > 0 else "")


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def no_step(path: Path) -> InputError:
    """The error of a training that took no step.

    Parameters
    ----------
    path : Path
        Its record.
    """
    return InputError(
        "the training took no step",
        expected="at least one",
        do="train more rows or epochs, or a smaller micro_batch_size",
        path=path,
    )


def read_record(folder: Path) -> TrainingRecord | None:
    """The record of the training that made a model.

    Parameters
    ----------
    folder : Path
        Of the model, or of one that was kept after an epoch, inside it.

    Returns
    -------
    TrainingRecord or None
        None for a model that was trained without the plugin, or not here.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    for file in (folder / RECORD, folder.absolute().parent / RECORD):
        if (record := _read(file, TrainingRecord, _DO)) is not None:
            return record
    return None


def read_so_far(checkpoint: Path) -> list[Epoch]:
    """What the epochs of a training were trained on until its state was saved, the last of them so far.

    Parameters
    ----------
    checkpoint : Path
        The folder of the state.

    Returns
    -------
    list of Epoch
        Empty if it was trained without the plugin.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    return _read(checkpoint / SO_FAR, list[Epoch], _DO_SO_FAR) or []


def _read(file: Path, kind: type[T], do: str) -> T | None:
    """What a file holds; None without one."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", do=do, path=file) from error
    except UNREADABLE as error:
        raise InputError(f"is not a record of a training: {error}", do=do, path=file) from error


def base_model_of(folder: Path) -> str | None:
    """The base model of a training, as its record names it, or Axolotl's log of a training without the plugin.

    Parameters
    ----------
    folder : Path
        As `read_record` takes it.

    Returns
    -------
    str or None
        A folder or a name of the hub; None if nothing names it.

    Raises
    ------
    InputError
        If the record is damaged.
    """
    if record := read_record(folder):
        return record.base_model
    for file in (folder / _LOG, folder.absolute().parent / _LOG):
        if file.is_file():
            with file.open(encoding="utf-8", errors="replace") as stream:
                named = _LOGGED.search(stream.read(_LOG_BEGINS))
            return str(json.loads(named[1], strict=False)) if named else None
    return None
