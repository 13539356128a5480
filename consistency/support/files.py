"""Files that appear whole or not at all, and fingerprints of what was read."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

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
    """Write a file line by line, by renaming a finished one into place: see `write_together`."""
    write_together({Path(path): lines})


def write_together(files: Mapping[Path, Iterable[bytes]]) -> None:
    """Write several files, and rename them into place when all are done.

    Parameters
    ----------
    files : mapping of Path to iterable of bytes
        Contents; missing folders are made. On an error while they are made, no file appears.

    Raises
    ------
    InputError
        If a file cannot be written there.
    """
    write_pieces(files, ((path, piece) for path, lines in files.items() for piece in _joined(lines)))


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    remaining = iter(lines)
    while some := list(islice(remaining, 1000)):
        yield b"".join(some)


def write_pieces(paths: Iterable[Path], pieces: Iterable[tuple[Path, bytes]]) -> dict[Path, str]:
    """Write several files side by side, and rename them into place when all are done.

    Parameters
    ----------
    paths : iterable of Path
        The files; missing folders are made.
    pieces : iterable of (Path, bytes)
        The next piece of any of them. On an error while they are made, no file appears. Pieces of 100 KB or more are
        written, and their hash is taken, on another core while the next ones are made.

    Returns
    -------
    dict of Path to str
        SHA-256 of each file's content, in hexadecimal.

    Raises
    ------
    InputError
        If a file cannot be written there.
    """
    partials: dict[Path, _Partial] = {}
    check_targets(paths := list(paths))
    with ExitStack() as stack:
        for path in paths:
            partials[path] = stack.enter_context(_Partial(path))
        threads = stack.enter_context(ThreadPoolExecutor())
        pending: dict[Path, Future[None]] = {}
        for path, piece in pieces:
            if path in pending:
                pending[path].result()
            pending[path] = threads.submit(partials[path].write, piece)
        for written in pending.values():
            written.result()
        for partial in partials.values():
            partial.put_in_place()
    return {path: partial.digest.hexdigest() for path, partial in partials.items()}


class _Partial:
    """A file in the making, beside its place; it is removed if it is not put there."""

    def __init__(self, path: Path) -> None:
        self._path, self.digest = path, hashlib.sha256()

    def __enter__(self) -> _Partial:
        with _refusals(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        self._partial, self._stream = Path(name), os.fdopen(handle, "wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._partial.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """The next piece of its content."""
        self.digest.update(piece)
        with _refusals(self._path):
            left = memoryview(piece)
            while left:
                left = left[self._stream.write(left) :]

    def put_in_place(self) -> None:
        # mkstemp makes private files; a result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        with _refusals(self._path):
            self._stream.close()
            self._partial.chmod(0o666 & ~umask)
            self._partial.replace(self._path)


def check_targets(paths: Iterable[Path]) -> None:
    """Refuse to begin with a set of files one of which could not be renamed into place.

    Raises
    ------
    InputError
        If a file is to have the name of a folder that exists.
    """
    for path in paths:
        if path.is_dir():
            raise InputError("cannot be written (a folder of this name exists)", do="choose another place", path=path)


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
        If something else is at `path`, it is the current folder or holds it, or the system refuses to write there.
    """
    try:
        # As it is: the name of "." is empty, and the one of ".." another folder's.
        place = path.resolve()
        if Path.cwd().is_relative_to(place):
            raise InputError(
                "is the current folder or holds it", expected="a new folder", do="name another one", path=path
            )
        partial = place.with_name(f".{place.name}.partial")
        if path.exists() and not (path / mark).is_file() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"exists and has no {mark}", expected="a new folder", do="name another one", path=path)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            if place.exists():
                shutil.rmtree(place)
            partial.rename(place)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InputError:
    """The error for a `path` that the system refuses to write."""
    occupied = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "a file of this name is in the way" if occupied else error.strerror
    return InputError(f"cannot be written ({reason})", do="choose another place", path=path)


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    # In long strides, since a thread waits for the interpreter between two of them.
    with Path(path).open("rb", buffering=0) as stream:
        while block := stream.read(1 << 23):
            digest.update(block)
    return digest.hexdigest()
