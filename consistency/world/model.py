"""The base model that ships with the embedded world."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from consistency.errors import InputError
from consistency.support.files import unwritable

BASE_MODEL = Path(__file__).parent / "base_model"


def copy_base_model(out: str | Path) -> None:
    """Copy the base model, its tokenizer and its card to a new folder, whole or not at all.

    Parameters
    ----------
    out : path-like
        The folder to make.

    Raises
    ------
    InputError
        If the folder exists or cannot be written.
    """
    out = Path(out)
    if out.exists():
        raise InputError("exists already", expected="a new folder", path=out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as partial:
            shutil.copytree(BASE_MODEL, Path(partial) / out.name)
            (Path(partial) / out.name).rename(out)
    except OSError as error:
        raise unwritable(out, error) from error
