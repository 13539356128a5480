"""The manifest of a group's training rows, which says how they were made, and whether it speaks of the rows that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.support.files import fingerprint
from consistency.support.json_files import read_json


def manifest_of(rows: Path) -> Path:
    """The place of the manifest of a file of rows."""
    return rows.with_suffix(".manifest.json")


def check_rows(rows: Path, digest: str | None = None) -> dict[str, Any] | None:
    """Check that rows are those that their manifest speaks of.

    Parameters
    ----------
    rows : Path
        A group's file; rows that are not there are not checked.
    digest : str, optional
        Its SHA-256, if it is known.

    Returns
    -------
    dict or None
        The manifest; None if there is none, as of rows from elsewhere.

    Raises
    ------
    InputError
        If the manifest cannot be read, or the rows are others: `consistency groups` was killed, or they were edited.
    """
    manifest = manifest_of(rows)
    if not manifest.exists():
        return None
    found: dict[str, Any] = read_json(manifest, "a manifest of rows", "write the group again")
    if not isinstance(found, dict) or "sha256" not in found:
        raise InputError(
            "is not a manifest", expected="the sha256 of the rows", do="write the group again", path=manifest
        )
    try:
        wrong = rows.is_file() and (digest or fingerprint(rows)) != found["sha256"]
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=rows) from error
    if wrong:
        raise InputError(
            "are not the rows that their manifest speaks of",
            expected=f"the SHA-256 in {manifest.name}",
            do="write the group again, or remove the manifest of rows that were edited",
            path=rows,
        )
    return found
