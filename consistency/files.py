"""Files that appear whole or not at all, and fingerprints of what was read."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from consistency.errors import InputError


def write_atomically(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8 by renaming a finished one into place.

    Parameters
    ----------
    path : path-like
        Where the file appears; missing folders are made.
    text : str
        Its content.

    Raises
    ------
    InputError
        If the file cannot be written there.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder, "new", "a.txt"), "done")
    ...     Path(folder, "new", "a.txt").read_text()
    'done'
    """
    write_lines(path, [text.encode()])


def write_lines(path: str | Path, lines: Iterable[bytes]) -> None:
    """Write a file piece by piece, by renaming a finished one into place: see `write_together`."""
    write_together({Path(path): lines})


def write_together(files: Mapping[Path, Iterable[bytes]]) -> None:
    """Write several files side by side, a thousand pieces of each in turn, and rename them into place when all are done.

    Parameters
    ----------
    files : mapping of Path to iterable of bytes
        Contents; missing folders are made. On an error while they are made, no file appears.

    Raises
    ------
    InputError
        If a file cannot be written there.
    """
    check_targets(files)
    with ExitStack() as stack:
        partials: dict[Path, Path] = {}
        writing: list[tuple[Path, BinaryIO, Iterator[bytes]]] = []
        for path, pieces in files.items():
            with _refusals(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
                partials[path] = Path(partial)
                stack.callback(partials[path].unlink, missing_ok=True)
                writing.append((path, stack.enter_context(os.fdopen(handle, "wb")), iter(pieces)))
        while writing:
            for item in list(writing):
                path, stream, iterator = item
                with _refusals(path):
                    if written := list(islice(iterator, 1000)):
                        stream.writelines(written)
                    else:
                        stream.close()
                        writing.remove(item)
        # mkstemp makes private files; a result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        for path, finished in partials.items():
            with _refusals(path):
                finished.chmod(0o666 & ~umask)
                finished.replace(path)


def check_targets(paths: Iterable[Path]) -> None:
    """Refuse to begin with a set of files one of which could not be renamed into place.

    Raises
    ------
    InputError
        If a folder stands where a file is to be.
    """
    for path in paths:
        if path.is_dir():
            raise InputError("cannot be written (a folder stands there)", do="choose another place", path=path)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def folder_in_place(path: Path, mark: str) -> Iterator[Path]:
    """Fill a new folder that takes its place by renaming once all of it is written.

    Parameters
    ----------
    path : Path
        Where the folder appears. An earlier one is replaced if it holds the file `mark`, or nothing.
    mark : str
        Name of a file that only this program writes.

    Yields
    ------
    pathlib.Path
        The folder to fill; on any error it is removed and `path` stays as it was.

    Raises
    ------
    InputError
        If something else stands at `path`, or the system refuses to write there.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.exists() and not (path / mark).is_file() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"exists and holds no {mark}", expected="a new folder", do="name another one", path=path)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            if path.exists():
                shutil.rmtree(path)
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InputError:
    """What to tell the user when the system refuses to write `path`."""
    occupied = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "a file stands where its folder should be" if occupied else error.strerror
    return InputError(f"cannot be written ({reason})", do="choose another place", path=path)


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
