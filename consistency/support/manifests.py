"""Files of one folder with a manifest that says how they were made, and has the hash of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.support.files import Outputs, append_lines, fingerprint
from consistency.support.json_files import pretty_json, read_json


def write_with_manifest(
    folder: str | Path, manifest: str, content: Mapping[str, Any], files: Mapping[str, Iterable[bytes]]
) -> None:
    """Write files into a folder, and last the manifest that speaks of them.

    Parameters
    ----------
    folder : path-like
        It is made if it is missing.
    manifest : str
        Its name.
    content : dict of str to object
        What it says, beside `files`: the SHA-256 of each file.
    files : dict of str to iterable of bytes
        Names in the folder, and contents in pieces.

    Raises
    ------
    InputError
        If a file cannot be written; none appears then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     write_with_manifest(name, "manifest.json", {"of": "a"}, {"a.txt": [b"one", b"two"]})
    ...     check_manifest(name, "manifest.json", "a.txt")
    ...     sorted(path.name for path in Path(name).iterdir())
    ['a.txt', 'manifest.json']
    """
    with Outputs() as outputs:
        described = outputs.manifest(Path(folder, manifest))
        drafts = {name: outputs.file(Path(folder, name)) for name in files}
        for name, pieces in files.items():
            append_lines(drafts[name], pieces)
        hashes = {name: draft.sha256 for name, draft in drafts.items()}
        described.write(pretty_json({**content, "files": hashes}).encode())


def check_manifest(folder: str | Path, manifest: str, name: str) -> None:
    """Check that a file is the one that the manifest of its folder speaks of; without a manifest, or in none, it may be any.

    Raises
    ------
    InputError
        If the file is another, or the manifest cannot be read.
    """
    path = Path(folder, manifest)
    if not path.is_file():
        return
    again = "write the folder again, or remove the manifest of files that were edited"
    found = read_json(path, "a manifest", again)
    hashes = found.get("files") if isinstance(found, dict) else None
    if not isinstance(hashes, dict):
        raise InputError("is not a manifest", expected="files, with the SHA-256 of each", do=again, path=path)
    if name in hashes and fingerprint(Path(folder, name)) != hashes[name]:
        raise InputError(
            "is not the file that its manifest speaks of",
            expected=f"the SHA-256 in {path}",
            do=again,
            path=Path(folder, name),
        )
