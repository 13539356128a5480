"""The base model that ships with the embedded world."""

from __future__ import annotations

import shutil
from pathlib import Path

from consistency.support.files import folder_in_place
from consistency.support.resources import not_installed

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
        If the folder exists or cannot be written, or the model is not installed.
    """
    if not BASE_MODEL.is_dir():
        raise not_installed(BASE_MODEL)
    with folder_in_place(Path(out), mark=None) as folder:
        shutil.copytree(BASE_MODEL, folder, dirs_exist_ok=True)
