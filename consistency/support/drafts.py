"""Files and folders in the making, beside their places; those of a process that was killed are removed by the next one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from consistency.errors import InputError
from consistency.support.exchange import ASIDE, hidden, put_in_place
from consistency.support.locks import alone_in, is_at, try_lock
from consistency.support.places import find_target, refusals, write_through

# The end of a draft's name. Its writer holds a lock on it.
_DRAFT = ".partial"
# What stands between the beginning and the end: of `tempfile`, or of a folder that was set aside.
_RANDOM = r"[a-z0-9_]{8}"


class FileDraft:
    """A file in the making, which takes its place by renaming, or is written through what is no regular file.

    A file that is replaced keeps its mode, and its owner where the system allows it. Links are followed. Another hard link to
    it keeps the earlier content.

    Parameters
    ----------
    path : Path
        Its place; missing folders are made.
    only_new : bool
        Whether to refuse a place that holds other content.

    Raises
    ------
    InputError
        If it cannot be written there.
    """

    def __init__(self, path: Path, only_new: bool = False) -> None:
        self.path, self._digest, self._only_new = path, hashlib.sha256(), only_new
        with refusals(path):
            self.target, self.through = find_target(path)
            if self.through:
                self._draft, self._stream = None, _unnamed()
            else:
                self.target.parent.mkdir(parents=True, exist_ok=True)
                clear_leftovers(self.target)
                handle, self._draft = _begin(self.target, _make_file)
                self._stream = os.fdopen(handle, "r+b", buffering=0)

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, piece: bytes) -> None:
        """Append to its content."""
        self._digest.update(piece)
        with refusals(self.path):
            left = memoryview(piece)
            while left:
                left = left[self._stream.write(left) :]

    def check(self) -> None:
        """Refuse to take a place that holds something else, if the file is to be new."""
        if self._only_new and self.target.exists() and self._sha256_in_place() != self.sha256:
            raise InputError("exists", do="choose another folder", path=self.path)

    def retire(self) -> None:
        """Remove the file that is replaced, since it speaks of others that are replaced before it."""
        if not self.through:
            with refusals(self.path):
                self.target.unlink(missing_ok=True)

    def place(self) -> None:
        """Take the place."""
        with refusals(self.path):
            if self._draft is None:
                self._stream.seek(0)
                write_through(self.target, self._stream)
                return
            if self._only_new and self.target.exists():
                return  # it has this content: see `check`
            _take_after(self._stream.fileno(), self.target, 0o666)
            self._draft.replace(self.target)

    def close(self) -> None:
        """End the draft, and remove it if it did not take its place."""
        if self._draft is not None and is_at(self._stream.fileno(), self._draft):
            self._draft.unlink(missing_ok=True)
        self._stream.close()

    def _sha256_in_place(self) -> str:
        with refusals(self.path), self.target.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


class FolderDraft:
    """A folder in the making, which takes its place by renaming.

    Parameters
    ----------
    path : Path
        Its place; the folders above it are made.
    mark : str or None
        An earlier folder is replaced if it holds this file, which only this program writes, or nothing. Without a mark none is.

    Raises
    ------
    InputError
        If something else is at `path`, it is the current folder or holds it, or the system refuses to write there.
    """

    through = False

    def __init__(self, path: Path, mark: str | None) -> None:
        self.path, self._mark = path, mark
        with refusals(path):
            # As it is: the name of "." is empty, and the one of ".." another folder's.
            self.target = Path(os.path.realpath(path))
            if Path.cwd().is_relative_to(self.target):
                raise InputError(
                    "is the current folder or holds it", expected="a new folder", do="name another one", path=path
                )
            if self.target.parent.is_dir():
                with alone_in([self.target.parent]):
                    _heal(self.target, mark)
            self.check()
            self.target.parent.mkdir(parents=True, exist_ok=True)
            clear_leftovers(self.target)
            self._handle, self.folder = _begin(self.target, _make_folder)

    def check(self) -> None:
        """Refuse to take a place that holds something else."""
        place, mark = self.target, self._mark
        if mark is None:
            if place.exists():
                raise InputError("exists already", expected="a new folder", path=self.path)
        elif place.exists() and not (place / mark).is_file() and (not place.is_dir() or any(place.iterdir())):
            raise InputError(
                f"exists and has no {mark}", expected="a new folder", do="name another one", path=self.path
            )

    def place(self) -> None:
        """Take the place, and remove the folder that was there."""
        with refusals(self.path):
            _take_after(self._handle, self.target, 0o777)
            earlier = put_in_place(self.folder, self.target)
        if earlier is not None:
            shutil.rmtree(earlier, ignore_errors=True)

    def close(self) -> None:
        """End the draft, and remove it if it did not take its place."""
        if is_at(self._handle, self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._handle)


def clear_leftovers(target: Path) -> None:
    """Remove drafts of a place whose writers are gone; those of writers at work stay.

    Parameters
    ----------
    target : Path
        Links are not followed.
    """
    for draft in _beside(target, _DRAFT):
        _remove_unlocked(draft)


def _beside(place: Path, end: str) -> list[Path]:
    """What this program made beside a place, by the end of its name; nothing where the folder cannot be listed."""
    name = re.compile(re.escape(hidden(place.name)) + _RANDOM + re.escape(end))
    try:
        return sorted(found for found in place.parent.iterdir() if name.fullmatch(found.name))
    except OSError:
        return []


def _heal(place: Path, mark: str | None) -> None:
    """Put back a folder that was set aside, and end what earlier versions began, where a kill left it so.

    Others must be kept out of the folder above.
    """
    for aside in _beside(place, ASIDE):
        if place.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(place)
    # Earlier versions filled a folder of this name, then removed the old one, file by file.
    earlier = place.with_name(f".{place.name}{_DRAFT}")
    if mark is None or not earlier.is_dir() or earlier.is_symlink():
        return
    if (earlier / mark).is_file() and place.is_dir() and any(place.iterdir()) and not (place / mark).is_file():
        gutted = put_in_place(earlier, place)
        shutil.rmtree(gutted or earlier, ignore_errors=True)
    else:
        shutil.rmtree(earlier, ignore_errors=True)


def _begin(target: Path, make: Callable[[Path, str], tuple[int, str]]) -> tuple[int, Path]:
    """A new draft beside its place, opened and locked."""
    while True:
        handle, name = make(target.parent, hidden(target.name))
        # Between the two another process may have taken it for a leftover.
        if try_lock(handle) is not False and is_at(handle, Path(name)):
            return handle, Path(name)
        os.close(handle)


def _make_file(folder: Path, name: str) -> tuple[int, str]:
    return tempfile.mkstemp(dir=folder, prefix=name, suffix=_DRAFT)


def _make_folder(folder: Path, name: str) -> tuple[int, str]:
    while True:
        made = tempfile.mkdtemp(dir=folder, prefix=name, suffix=_DRAFT)
        with contextlib.suppress(FileNotFoundError):
            return os.open(made, os.O_RDONLY | os.O_DIRECTORY), made


def _remove_unlocked(path: Path) -> None:
    """Remove a draft if nobody holds it, where the file system can say so."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if try_lock(handle) and is_at(handle, path):
                if stat.S_ISDIR(os.fstat(handle).st_mode):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
        finally:
            os.close(handle)


def _take_after(handle: int, earlier: Path, mode: int) -> None:
    """Give a draft the mode and owner of what it replaces; a new one is as readable as any other."""
    try:
        found = earlier.stat()
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(handle, mode & ~umask)
        return
    made = os.fstat(handle)
    if (found.st_uid, found.st_gid) != (made.st_uid, made.st_gid):
        with contextlib.suppress(OSError):
            os.fchown(handle, found.st_uid, found.st_gid)
    os.fchmod(handle, stat.S_IMODE(found.st_mode))


def _unnamed() -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=0)
