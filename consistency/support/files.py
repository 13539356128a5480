"""Files and folders that appear whole or not at all, and fingerprints of what was read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType

from consistency.errors import InputError
from consistency.support.drafts import FileDraft, FolderDraft
from consistency.support.locks import alone_in
from consistency.support.places import refusals, unwritable


class Outputs:
    """What a command writes: each file and folder is made beside its place, and all take their places at the end, together.

    Two processes with the same places do so one after the other, so that all of it is of the last one. On an error in between
    nothing appears. After a kill everything is as before, or the same command makes it whole: a manifest that is there speaks
    of what is there.

    Parameters
    ----------
    locked : collection of Path
        Folders that the caller keeps others out of already, by `alone_in`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Outputs() as outputs:
    ...         rows = outputs.file(Path(folder, "rows.jsonl"))
    ...         rows.write(b"{}")
    ...         outputs.manifest(Path(folder, "manifest.json")).write(rows.sha256.encode())
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['manifest.json', 'rows.jsonl']
    """

    def __init__(self, locked: Collection[Path] = ()) -> None:
        self._locked = locked
        self._folders: list[FolderDraft] = []
        self._files: list[FileDraft] = []
        self._manifests: list[FileDraft] = []

    def __enter__(self) -> Outputs:
        return self

    def file(self, path: Path, only_new: bool = False) -> FileDraft:
        """Begin a file.

        Parameters
        ----------
        path : Path
            Links are followed; a device, a pipe or an open descriptor is written through. Missing folders are made. One in a
            folder that was begun appears with it, and takes the place of nothing else in it.
        only_new : bool
            Whether to refuse a place that holds other content.

        Raises
        ------
        InputError
            If it cannot be written there, or another output takes the place or holds it.
        """
        within = next((folder for folder in self._folders if folder.holds(path)), None)
        if within is None:
            self._refuse_shared(path)
        self._files.append(draft := FileDraft(path, only_new or within is not None, within))
        if within is not None:
            draft.check()
        return draft

    def manifest(self, path: Path) -> FileDraft:
        """Begin a file that speaks of the others: an earlier one is removed before they take their places, and it comes last."""
        self._refuse_shared(path)
        self._manifests.append(draft := FileDraft(path))
        return draft

    def folder(self, path: Path, mark: str | None) -> Path:
        """Begin a folder that is replaced as a whole.

        Parameters
        ----------
        path : Path
            Where it appears.
        mark : str or None
            An earlier folder is replaced if it holds this file, or nothing; without a mark none is.

        Returns
        -------
        Path
            The folder to fill.

        Raises
        ------
        InputError
            If something else is at `path`, it is the current folder or holds it, another output takes the place, holds it or is
            within it, or the system refuses to write there.
        """
        self._refuse_shared(path, holds=True)
        self._folders.append(draft := FolderDraft(path, mark))
        return draft.folder

    def write_pieces(self, paths: Iterable[Path], pieces: Iterable[tuple[Path, bytes]]) -> dict[Path, str]:
        """Write several files side by side.

        Parameters
        ----------
        paths : iterable of Path
        pieces : iterable of (Path, bytes)
            The next piece of any of them. Pieces of 100 KB or more are written, and their hash is taken, on another core while
            the next ones are made.

        Returns
        -------
        dict of Path to str
            SHA-256 of each file's content, in hexadecimal.

        Raises
        ------
        InputError
            If a file cannot be written there.
        """
        drafts = {path: self.file(path) for path in paths}
        from concurrent.futures import Future, ThreadPoolExecutor  # not for a comparison that is only printed

        pending: dict[Path, Future[None]] = {}
        with ThreadPoolExecutor() as threads:
            for path, piece in pieces:
                if path in pending:
                    pending[path].result()
                pending[path] = threads.submit(drafts[path].write, piece)
            for written in pending.values():
                written.result()
        return {path: draft.sha256 for path, draft in drafts.items()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._take_places()
        finally:
            for draft in self._drafts():
                draft.close()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            for folder in self._folders:
                # Of a library, such as Arrow's, it may not say where.
                if error.filename is None or folder.folder in Path(error.filename).parents:
                    raise unwritable(folder.path, error) from error

    def _refuse_shared(self, path: Path, *, holds: bool = False) -> None:
        """Refuse a place that another output takes too, or that is lost where a folder is replaced as a whole."""
        with refusals(path):
            place = Path(os.path.realpath(path))
        for draft in self._drafts():
            within = place.is_relative_to(draft.target) or (holds and draft.target.is_relative_to(place))
            if within and not draft.through:
                raise InputError(
                    f"is, holds or is in another output: {draft.path}", do="choose another place", path=path
                )

    def _drafts(self) -> list[FolderDraft | FileDraft]:
        return [*self._folders, *self._files, *self._manifests]

    def _take_places(self) -> None:
        # First what is in a folder that takes its place later.
        for inner in self._files:
            if inner.within is not None:
                inner.check()
                inner.place()
        # Then what may fail on the way, and cannot be taken back.
        for draft in self._drafts():
            if draft.through:
                draft.place()
        rest = [draft for draft in self._drafts() if not draft.through and draft.within is None]
        held = {folder.resolve() for folder in self._locked}
        with alone_in({draft.target.parent for draft in rest} - held):
            for draft in rest:
                draft.check()
            if self._folders or self._files:
                for manifest in self._manifests:
                    manifest.retire()
            for draft in rest:
                draft.place()


def write_atomically(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8 by renaming a finished one into place.

    Parameters
    ----------
    path : path-like
        Where the file appears: see `Outputs.file`.
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


def write_lines(path: str | Path, lines: Iterable[bytes], locked: Collection[Path] = ()) -> None:
    """Write a file line by line, by renaming a finished one into place: see `write_atomically`, and `Outputs` for `locked`."""
    with Outputs(locked) as outputs:
        append_lines(outputs.file(Path(path)), lines)


def append_lines(draft: FileDraft, lines: Iterable[bytes]) -> None:
    """Write lines to a file in the making, many at once."""
    remaining = iter(lines)
    while some := list(islice(remaining, 1000)):
        draft.write(b"".join(some))


def write_together(files: Mapping[Path, Iterable[bytes]], only_new: bool = False) -> None:
    """Write several files, and rename them into place when all are done.

    Parameters
    ----------
    files : mapping of Path to iterable of bytes
        Contents; missing folders are made. On an error while they are made, no file appears.
    only_new : bool
        Whether to refuse a place that holds other content.

    Raises
    ------
    InputError
        If a file cannot be written there.
    """
    with Outputs() as outputs:
        drafts = [(outputs.file(path, only_new), lines) for path, lines in files.items()]
        for draft, lines in drafts:
            append_lines(draft, lines)


@contextmanager
def folder_in_place(path: Path, mark: str | None) -> Iterator[Path]:
    """Fill a new folder that takes its place by renaming once all of it is written: see `Outputs.folder`.

    Yields
    ------
    pathlib.Path
        The folder to fill; on any error it is removed and `path` stays as it was.
    """
    with Outputs() as outputs:
        yield outputs.folder(path, mark)


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    # In long strides, since a thread waits for the interpreter between two of them.
    with Path(path).open("rb", buffering=0) as stream:
        while block := stream.read(1 << 23):
            digest.update(block)
    return digest.hexdigest()
