"""The bytes of a log's files as users hand them in: plain, compressed (`.gz`, `.zst`) or in a `.zip` archive.

A file in an archive has the path that it would have if the archive were a folder: `logs.zip/model/samples_….jsonl`. So it
has a name in messages, and can be opened again. Nothing is ever unpacked under a name: the content of a packed file goes
to a temporary file that has none, and ends with it.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import stat
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from consistency.errors import InputError

COMPRESSED = (".gz", ".zst")
# What the files of a log may grow to in all, and a file's size in relation to its compressed one beyond the first bytes.
# Logs of five shots shrink to a 38th.
MOST = 8 << 30
MOST_TIMES = 500
UNCHECKED = 64 << 20
_BLOCK = 1 << 20
# Of the files in an archive: how Zstandard is named, and what stands before each, with the lengths of its name and its extra.
_ZSTD = 93
_LOCAL_HEADER = struct.Struct("<26sHH")
_DRIVE = re.compile(r"[A-Za-z]:")
_DO = "copy it again, or unpack it and name the unpacked log"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def plain_name(path: Path) -> str:
    """A file's name without the ending of its compression.

    Examples
    --------
    >>> plain_name(Path("samples_a.jsonl.gz")), plain_name(Path("samples_a.jsonl"))
    ('samples_a.jsonl', 'samples_a.jsonl')
    """
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name


def is_archive(path: Path) -> bool:
    """Whether a path is a `.zip` file, or the log of Inspect that is one."""
    # Unlike Path.is_file, which raises for a name that is too long.
    return path.suffix.lower() in (".zip", ".eval") and os.path.isfile(path)  # noqa: PTH113


def archive_members(archive: Path, kinds: tuple[str, ...] = (".json",)) -> list[Path]:
    """Paths of the files in a `.zip` archive whose names hold one of the kinds; by default the JSON files.

    Raises
    ------
    InputError
        If it is none, a path in it leaves it, or its logs would grow too large.
    """
    _, found = _open_archive(archive)
    members = {name: member for name, member in found.items() if any(kind in name.lower() for kind in kinds)}
    paths = [archive / name for name in members]
    # A member never yields more than the size that the archive says it has.
    total = sum(member.file_size for member in members.values())
    for path in paths:
        if path.suffix in COMPRESSED and total <= MOST:
            # One that is damaged is an error when it is read.
            with suppress(InputError), open_log(path) as file:
                total += file.seek(0, io.SEEK_END)
    if total > MOST:
        raise _too_large(archive)
    return paths


def open_log(path: Path) -> io.BufferedReader:
    """Open a file of a log for reading from any place, as if it were not packed.

    Raises
    ------
    InputError
        If what packs it is damaged, or it would grow too large.
    OSError
        If the file cannot be opened.
    """
    if _is_plain(path):
        return path.open("rb")
    with ExitStack() as stack:
        # Without a name, so that nothing has to be removed even if the program is killed.
        target = stack.enter_context(tempfile.TemporaryFile())
        with _unpacking(path) as (source, packed):
            total = 0
            while block := source.read(_BLOCK):
                total += len(block)
                if total > MOST or (total > UNCHECKED and total > MOST_TIMES * packed):
                    raise _too_large(path)
                target.write(block)
        target.seek(0)
        stack.pop_all()
        return io.BufferedReader(target.detach())


def read_log(path: Path) -> bytes:
    """The whole content of a file of a log; it raises as `open_log` does."""
    with open_log(path) as file:
        return file.read()


def read_head(path: Path, size: int) -> bytes:
    """The first bytes of a file of a log; it raises as `open_log` does."""
    if _is_plain(path):
        with path.open("rb") as file:
            return file.read(size)
    with _unpacking(path) as (source, _):
        return source.read(size)


def on_disk(path: Path) -> Path:
    """The file that holds a file of a log: itself, or the archive that it is in."""
    return _archive_of(path) or path


def _is_plain(path: Path) -> bool:
    return path.suffix not in COMPRESSED and _archive_of(path) is None


def _archive_of(path: Path) -> Path | None:
    return next((above for above in path.parents if is_archive(above)), None)


@contextmanager
def _unpacking(path: Path) -> Iterator[tuple[_Readable, int]]:
    """The unpacked content of a file, and the size that it has packed."""
    with ExitStack() as stack:
        try:
            archive = _archive_of(path)
            if archive is None:
                source: IO[bytes] = stack.enter_context(path.open("rb"))
                size = os.fstat(source.fileno()).st_size
            else:
                opened, members = _open_archive(archive)
                member = members.get(path.relative_to(archive).as_posix())
                if member is None:
                    raise InputError("the archive has no such file", path=path)
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise InputError("a link in an archive, which is not followed", do=_DO, path=path)
                size = min(member.compress_size, archive.stat().st_size)
                if member.compress_type == _ZSTD and sys.version_info < (3, 14):
                    yield stack.enter_context(_zstd_member(archive, member)), size
                    return
                source = stack.enter_context(opened.open(member))
            yield _decompressing(source, path.suffix), size
        except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            # RuntimeError is of an archive with a password, NotImplementedError of a method that Python lacks.
            raise InputError(f"cannot be unpacked: {error}", do=_DO, path=path) from None
        except OSError as error:
            if error.errno is not None:
                raise
            # Of the decompressor.
            raise InputError(f"cannot be unpacked: {error}", do=_DO, path=path) from None


@contextmanager
def _zstd_member(archive: Path, member: zipfile.ZipInfo) -> Iterator[_Readable]:
    """The content of a file that is packed with Zstandard, which Python reads from 3.14 on."""
    with archive.open("rb") as file:
        # A damaged list of files may say that one begins before the archive.
        file.seek(max(member.header_offset, 0))
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\3\4" or member.flag_bits & 1:
            raise zipfile.BadZipFile(f"no readable entry {member.filename!r}")
        file.seek(sum(_LOCAL_HEADER.unpack(header)[1:]), io.SEEK_CUR)
        packed = file.read(member.compress_size)
    yield _decompressing(io.BytesIO(packed), ".zst")


def _decompressing(source: IO[bytes], suffix: str) -> _Readable:
    if suffix == ".gz":
        return gzip.open(source, "rb")
    if suffix == ".zst":
        # It comes with pyarrow, which reports need anyway; Python itself has none before 3.14.
        from pyarrow import CompressedInputStream

        return CompressedInputStream(source, "zstd")  # type: ignore[no-any-return]
    return source


def _open_archive(archive: Path) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """An archive and the files in it by their names, see `_members`."""
    try:
        about = archive.stat()
        return _opened(archive, about.st_mtime_ns, about.st_size, os.getpid())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        # ValueError is of a name that is no text, OSError of a place before the file's beginning.
        raise InputError(f"not a readable .zip archive: {error}", do=_DO, path=archive) from None


@lru_cache(2)
def _opened(archive: Path, changed: int, size: int, process: int) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    # Listing what is in an archive takes as long as it has files: once for all of them, as long as it does not change.
    opened = zipfile.ZipFile(archive)
    return opened, _members(opened, archive)


def _members(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by their names in it."""
    found = {}
    for member in opened.infolist():
        # Windows programs may write its separator.
        name = member.filename.replace("\\", "/")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or _DRIVE.match(name):
            raise InputError(
                f"a path in it leaves the archive: {member.filename!r}", do="do not trust it", path=archive
            )
        if not name.endswith("/"):
            found[path.as_posix()] = member
    return found


def _too_large(path: Path) -> InputError:
    return InputError(
        f"grows to more than {MOST >> 30} GiB, or {MOST_TIMES} times its size, when it is unpacked",
        do="if it is a log that you trust, unpack it and name the unpacked log",
        path=path,
    )
