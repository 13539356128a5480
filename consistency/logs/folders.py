"""What a user hands in as a log, and which of its runs and files are read.

A run is what lm_eval wrote at one time: a results file and a samples file a task, whose names share a date. Tasks are
often evaluated one after another into one folder. Its runs are then one evaluation in parts, of which the newest samples
of each task count; but runs that differ in a setting of the whole run, such as the chat template, are evaluations of
their own, and so are those of different models.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.logs.packed import archive_members, is_archive, plain_name, read_head
from consistency.logs.run_config import RunConfig, differing_settings, merge_configs, read_config

_DATE = r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?"
_SAMPLES = re.compile(rf"samples_(?P<task>(?s:.+))_(?P<date>{_DATE})\.jsonl?")
_RESULTS = re.compile(rf"(?:.*_)?(?P<date>{_DATE})\.json")
_OLD = "_write_out_info.json"
# Copies that a notebook keeps; what a Mac adds to an archive has names that begin with `._`.
_NOT_LOGS = (".ipynb_checkpoints",)
_HEAD = 1 << 16
_BLANK = b"\xef\xbb\xbf \t\r\n"
NOT_SAMPLES = "not a samples file of lm_eval"


@dataclass(frozen=True)
class LeftOut:
    """A file of a log that was not read.

    Attributes
    ----------
    path : Path
    problem : str
        Why not.
    line : int or None
        Where the problem is, if it is in one line.
    task : str
        Of samples that cannot be read, their task; empty of other files.
    is_damaged : bool
        Of a file whose task is not known, whether it may have been a log.
    """

    path: Path
    problem: str
    line: int | None = None
    task: str = ""
    is_damaged: bool = False

    def to_text(self) -> str:
        """The file and why it was not read."""
        return f"left out: {self.path.name}{f':{self.line}' if self.line else ''} ({self.problem})"


@dataclass(frozen=True)
class Selection:
    """Which of the runs in a folder were read.

    Attributes
    ----------
    run : str
        Date of the newest run that was read; without one the name of its folder, or of the file that was named.
    others : tuple of str
        The runs of which nothing was read, the newest first.
    asked : bool
        Whether a date was asked for; otherwise the newest run was read.
    total : int
        Number of runs in the folder.
    is_file : bool
        Whether a samples file was named, and not a folder.
    parts : dict of str to tuple of str
        Where several runs were read together: the tasks of each, by its date, the newest first. Otherwise empty.
    differing : dict of str to tuple of str
        Those of `others` that are no part of the evaluation: the settings in which they differ from `run`.
    held : dict of str to tuple of str
        The tasks of each of `others`.
    left_out : tuple of LeftOut
        Files that were not read.
    without_samples : tuple of str
        Tasks of the results file of which there are no samples.

    Examples
    --------
    >>> print(Selection("2026-01-02", ("2026-01-01",), total=2).to_text())
    read the run 2026-01-02 (the newest of 2; others: 2026-01-01)
    """

    run: str
    others: tuple[str, ...] = ()
    asked: bool = False
    total: int = 1
    is_file: bool = False
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    differing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    without_samples: tuple[str, ...] = ()

    def without(self, tasks: Collection[str], files: Sequence[LeftOut]) -> Selection:
        """The selection where the samples files of some tasks turned out to be unreadable."""
        left = {run: tuple(task for task in found if task not in tasks) for run, found in self.parts.items()}
        parts = {run: found for run, found in left.items() if found}
        return replace(self, run=next(iter(parts), self.run), parts=parts, left_out=(*files, *self.left_out))

    def to_text(self) -> str:
        """The selection in a sentence, without a full stop."""
        if self.is_file:
            return f"read the file {self.run}"
        others = [
            f"{run} with another {' and '.join(self.differing[run])}" if run in self.differing else run
            for run in self.others
        ]
        if self.parts:
            read = "; ".join(f"{_shortened(tasks)} of the run {run}" for run, tasks in self.parts.items())
            more = f"; not read: {_shortened(others)}" if others else ""
            return f"read the newest of each task in {len(self.parts)} of {self.total} runs: {read}{more}"
        if not self.others:
            return f"read the run {self.run}"
        chosen = "as asked" if self.asked else "the newest"
        return f"read the run {self.run} ({chosen} of {self.total}; others: {_shortened(others)})"

    def to_lines(self) -> Iterator[str]:
        """A line for each file that could not be read, one for all that are no samples files, one for tasks without samples."""
        strangers = [item.path.name for item in self.left_out if item.problem == NOT_SAMPLES]
        yield from (item.to_text() for item in self.left_out if item.problem != NOT_SAMPLES)
        if strangers:
            yield f"left out: {_shortened(strangers)} ({NOT_SAMPLES})"
        if self.without_samples:
            count = len(self.without_samples)
            yield (
                f"{count} {'task of the results has' if count == 1 else 'tasks of the results have'} no samples, and cannot be "
                f"compared: {_shortened(self.without_samples)}"
            )


@dataclass(frozen=True)
class Found:
    """The samples files that are to be read, each with its task, and what is recorded of their run."""

    files: tuple[tuple[Path, str], ...]
    config: RunConfig
    selection: Selection


def find_logs(path: Path, run: str | None = None, *, or_newest: bool = False) -> Found:
    """Find the samples files in what a user handed in.

    Parameters
    ----------
    path : Path
        A folder or a `.zip` archive of one, a samples file, or a results file, which stands for the samples beside it.
    run : str, optional
        The date of the run to read, or its beginning.
    or_newest : bool
        Whether to read as if no run were asked for where none has that date.

    Raises
    ------
    InputError
        If there is no log, or several between which the user has to choose.
    """
    wanted = None if run is None else run.replace(":", "-")
    # Unlike Path.is_file, which raises for a name that is too long.
    if os.path.isfile(path) and not is_archive(path):  # noqa: PTH113
        found = _of_file(path)
        if wanted is not None and not or_newest and not (found.config.date or "").startswith(wanted):
            raise InputError(f"is not of the run {run!r}", expected="a folder, or no date", path=path)
        return found
    if not os.path.exists(path):  # noqa: PTH110
        raise InputError(
            "no such file or folder",
            expected="the folder that lm_eval --output_path wrote with --log_samples",
            path=path,
        )
    listing = _Listing.of(_files_below(path))
    if not listing.samples:
        _refuse_old(listing.old)
        raise InputError(
            "no samples files",
            expected="samples_TASK_DATE.jsonl, or a log of another program that docs/formats.md lists",
            do="run lm_eval with --log_samples --output_path",
            path=path,
        )
    labels = {key: _label(path, key) for key in listing.samples}
    if wanted is not None and not (or_newest and not any(label.startswith(wanted) for label in labels.values())):
        return _of_date(path, listing, labels, wanted)
    return _of_newest(path, listing, labels)


def is_samples_name(name: str) -> bool:
    """Whether a file has the name of lm_eval's samples of a task.

    Examples
    --------
    >>> is_samples_name("samples_arc_easy_2026-01-02T03-04-05.jsonl"), is_samples_name("samples.jsonl")
    (True, False)
    """
    return _SAMPLES.fullmatch(name) is not None


def is_results_name(name: str) -> bool:
    """Whether a file has the name of a results file: of lm_eval, or of another program that names its own alike."""
    return name == "results.json" or name.startswith("results_") or name.endswith("_results.json")


def is_log(file: Path) -> bool:
    """Whether a file holds documents of lm_eval: a line each, or in the one array that lm_eval 0.4.0 wrote."""
    try:
        return _holds_documents(file)
    except (OSError, InputError):
        return False


def _holds_documents(file: Path) -> bool:
    head = read_head(file, _HEAD).lstrip(_BLANK)
    line = head.partition(b"\n")[0]
    if not head.startswith(b"["):
        try:
            # Python's own json, which also reads a NaN.
            return "doc" in dict(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            # Damaged, or longer than the head.
            return b'"doc_id"' in line and b'"doc"' in line
    return b'"doc_id"' in head and b'"doc"' in head


def _may_be_log(file: Path) -> bool:
    """Whether a file holds documents, or cannot be opened: then the error of reading it says why."""
    try:
        return _holds_documents(file)
    except (OSError, InputError):
        return True


_RunKey = tuple[Path, str]


@dataclass(frozen=True)
class _Listing:
    """Files by (folder, date); lm_eval 0.4.0 dates nothing, its files beside results.json share the date ''.

    `old` are files of lm_eval 0.3.
    """

    samples: Mapping[_RunKey, list[Path]]
    results: Mapping[_RunKey, Path]
    old: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]

    @classmethod
    def of(cls, files: Iterable[Path]) -> _Listing:
        samples: dict[_RunKey, list[Path]] = {}
        results: dict[_RunKey, Path] = {}
        undated, old, left_out = [], [], []
        taken: dict[Path, Path] = {}
        # A file comes before its compressed copy.
        for file in sorted(files):
            name = plain_name(file)
            plain = file.with_name(name)
            dated = _SAMPLES.fullmatch(name)
            if plain in taken:
                left_out.append(LeftOut(file, f"{taken[plain].name} is beside it"))
            elif dated:
                samples.setdefault((file.parent, _date(dated)), []).append(file)
            elif name.endswith(".jsonl"):
                undated.append(file)
            elif name == "results.json":
                results[file.parent, ""] = file
            elif dated := _RESULTS.fullmatch(name):
                results.setdefault((file.parent, _date(dated)), file)
            elif name.endswith(_OLD):
                old.append(file)
            taken.setdefault(plain, file)
        logs = [file for file in undated if _may_be_log(file)]
        if not logs and not samples:
            # Whatever is wrong with them is an error that names them.
            logs = undated
        for file in logs:
            samples.setdefault((file.parent, ""), []).append(file)
        read = set(logs)
        left_out += [LeftOut(file, NOT_SAMPLES) for file in undated if file not in read]
        return cls(samples, results, tuple(old), tuple(left_out))

    def config(self, key: _RunKey) -> RunConfig:
        return read_config(self.results.get(key), key[1])


@dataclass(frozen=True)
class _Run:
    """One run of a folder: its samples files by task, a task of two files under both."""

    label: str
    config: RunConfig
    files: tuple[tuple[Path, str], ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(task for _, task in self.files))


def _of_file(path: Path) -> Found:
    """A samples file, or the samples beside a results file."""
    name = plain_name(path)
    try:
        head = read_head(path, _HEAD).lstrip(_BLANK)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", do="check the path and its permissions", path=path
        ) from None
    if name.endswith(_OLD) or (b'"prompt_0"' in head and b'"doc"' not in head):
        _refuse_old([path])
    dated = _SAMPLES.fullmatch(name)
    if not dated and name.endswith(".json") and not head.startswith(b"[") and not is_log(path):
        return _beside_results(path)
    results = _Listing.of(file for file in _files_in(path.parent) if plain_name(file).endswith(".json"))
    config = results.config((path.parent, _date(dated)))
    return Found(((path, _Names([config]).task(path)),), config, Selection(path.name, is_file=True))


def _beside_results(path: Path) -> Found:
    """The samples of the run whose results file this is."""
    date = _date(_RESULTS.fullmatch(plain_name(path)))
    config = read_config(path, date)
    if not isinstance(config.content.get("results"), dict):
        raise InputError(
            "neither a samples file nor a results file of lm_eval",
            expected="what lm_eval --log_samples --output_path writes",
            do="name its folder",
            path=path,
        )
    # Of a run with a date only files with dates, so that no others are opened.
    listing = _Listing.of(
        file
        for file in _files_in(path.parent)
        if not date or not file.name.endswith(".jsonl") or "samples_" in file.name
    )
    files = [file for file in listing.samples.get((path.parent, date), ()) if date or _may_be_log(file)]
    if not files:
        _refuse_old(listing.old)
        raise InputError(
            "a results file without samples beside it",
            expected=f"samples_TASK_{date or 'DATE'}.jsonl in its folder",
            do="run lm_eval again with --log_samples",
            path=path,
        )
    names = _Names([config])
    selection = Selection(date or path.name, left_out=listing.left_out)
    return Found(tuple((file, names.task(file)) for file in files), config, selection)


def _of_date(path: Path, listing: _Listing, labels: Mapping[_RunKey, str], wanted: str) -> Found:
    """Exactly the run whose label begins with `wanted`."""
    keys = [key for key, label in labels.items() if label.startswith(wanted)]
    if len(keys) != 1:
        same = len({labels[key] for key in keys}) < len(keys)
        raise InputError(
            f"{'several runs begin' if keys else 'no run begins'} with {wanted!r}",
            expected="one of " + ", ".join(sorted(set(labels.values()))),
            do=f"name one folder: {_shortened(_folders(path, keys))}" if same else None,
            path=path,
        )
    others = [key for key in labels if key != keys[0]]
    config = listing.config(keys[0])
    names = _Names([config])
    read = _Run(labels[keys[0]], config, tuple((file, names.task(file)) for file in listing.samples[keys[0]]))
    held = {labels[key]: tuple(map(names.task, listing.samples[key])) for key in others}
    selection = Selection(
        read.label,
        tuple(sorted(set(held), reverse=True)),
        asked=True,
        total=len(labels),
        held=held,
        left_out=listing.left_out,
    )
    return Found(read.files, read.config, selection)


def _of_newest(path: Path, listing: _Listing, labels: Mapping[_RunKey, str]) -> Found:
    """The newest run, and of the runs that agree with it the tasks that it lacks."""
    keys = sorted(labels, key=lambda key: (key[1], key[0]), reverse=True)
    configs, left_out = {keys[0]: listing.config(keys[0])}, [*listing.left_out]
    for key in keys[1:]:
        try:
            configs[key] = listing.config(key)
        except InputError as error:
            # Nobody knows whether that run agrees.
            left_out.append(LeftOut(error.path or path, error.problem, error.line))
    names = _Names(configs.values())
    runs = {
        key: _Run(labels[key], configs.get(key, RunConfig()), tuple((f, names.task(f)) for f in listing.samples[key]))
        for key in keys
    }
    newest = keys[0]
    differing = {key: differing_settings(config, configs[newest]) for key, config in configs.items() if key != newest}
    _ask_which(path, runs, any(differing.values()) or len(configs) < len(keys))
    parts: list[_Run] = []
    done: set[str] = set()
    for key in keys:
        # A run without a date is not of the release of one with a date.
        if key in configs and not differing.get(key) and bool(key[1]) == bool(newest[1]):
            files = tuple((file, task) for file, task in runs[key].files if task not in done)
            done.update(task for _, task in files)
            if files:
                parts.append(_Run(labels[key], configs[key], files))
    read = {part.label for part in parts}
    held: dict[str, tuple[str, ...]] = {}
    for key in keys:
        if labels[key] not in read:
            held[labels[key]] = runs[key].tasks
    selection = Selection(
        parts[0].label,
        tuple(held),
        total=len(keys),
        parts={part.label: part.tasks for part in parts} if len(parts) > 1 else {},
        differing={labels[key]: found for key, found in differing.items() if found},
        held=held,
        left_out=tuple(left_out),
    )
    config = merge_configs([(part.config, part.tasks) for part in parts]) if len(parts) > 1 else parts[0].config
    return Found(tuple(item for part in parts for item in part.files), config, selection)


def _ask_which(path: Path, runs: Mapping[_RunKey, _Run], differ: bool) -> None:
    """Refuse to choose between models, or between folders.

    Tasks that were evaluated one after another into folders of their own are one evaluation, if all runs name one model,
    agree in their settings, and no task is in two of the folders.
    """
    models: dict[str, list[str]] = {}
    for run in runs.values():
        if run.config.model_name is not None:
            models.setdefault(run.config.model_name, []).append(run.label)
    tasks: dict[Path, set[str]] = {}
    for (folder, _), run in runs.items():
        tasks.setdefault(folder, set()).update(run.tasks)
    if len(tasks) > 1:
        disjoint = len(set().union(*tasks.values())) == sum(map(len, tasks.values()))
        recorded = all(run.config.model_name is not None for run in runs.values())
        if len(models) == 1 and recorded and disjoint and not differ:
            return
        what = f"the logs of {len(models)} models" if len(models) == len(tasks) else f"logs in {len(tasks)} folders"
        raise InputError(
            f"holds {what}: {_shortened(_folders(path, runs), 10)}", do="name the folder of one of them", path=path
        )
    if len(models) > 1:
        found = "; ".join(f"{model} ({_shortened(sorted(dates))})" for model, dates in models.items())
        raise InputError(
            f"holds the logs of {len(models)} models: {found}", do="name the date of one run: --run DATE", path=path
        )


def _folders(path: Path, keys: Iterable[_RunKey]) -> list[str]:
    return sorted({str(folder.relative_to(path)) for folder, _ in keys})


def tasks_without_samples(found: Found) -> tuple[str, ...]:
    """The tasks in what is recorded of a run that have no samples file; a group has results, but is no task."""
    if found.selection.is_file:
        return ()
    recorded, configs = (found.config.content.get(key) for key in ("results", "configs"))
    if not isinstance(recorded, dict) or not isinstance(configs, dict):
        return ()
    sampled = {task for _, task in found.files}
    return tuple(sorted(task for task in recorded if task in configs and task not in sampled))


class _Names:
    """The tasks of samples files; a task's name in a file is sanitised, and behind the model's in lm_eval 0.4.0."""

    def __init__(self, configs: Iterable[RunConfig]) -> None:
        names: dict[str, None] = {}
        for config in configs:
            for key in ("configs", "results"):
                found: Any = config.content.get(key)
                names |= dict.fromkeys(found if isinstance(found, dict) else ())
        self._by_stem: dict[str, str] = {}
        for name in sorted(names, key=len, reverse=True):
            for stem in (name, re.sub(r"\W", "_", name)):
                self._by_stem.setdefault(stem, name)

    def task(self, file: Path) -> str:
        name = plain_name(file)
        dated = _SAMPLES.fullmatch(name)
        stem = os.fsencode(dated["task"] if dated else Path(name).stem).decode("utf-8", "replace")
        if not dated and stem not in self._by_stem:
            # Behind each underscore from the left, so that the longest name is found.
            for underscore in re.finditer("_", stem):
                found = self._by_stem.get(stem[underscore.end() :])
                if found is not None:
                    return found
        return self._by_stem.get(stem, stem)


def _date(dated: re.Match[str] | None) -> str:
    """The date in a file's name as newer releases write it, also on Windows; empty if it has none."""
    return dated["date"].replace(":", "-") if dated else ""


def _label(root: Path, key: _RunKey) -> str:
    folder, date = key
    return date or (str(folder.relative_to(root)) if folder != root else folder.name)


def _files_below(root: Path) -> Iterator[Path]:
    """The JSON files of a folder or an archive and the folders in it; links to folders are not followed."""
    for path in archive_members(root) if is_archive(root) else _walk(root):
        if ".json" in path.name and not path.name.startswith("._") and path.parent.name not in _NOT_LOGS:
            yield path


def _walk(root: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(root):
        yield from (Path(folder, name) for name in files)


def _files_in(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from (folder / entry.name for entry in entries if ".json" in entry.name and not entry.is_dir())


def _refuse_old(files: Sequence[Path]) -> None:
    if files:
        raise InputError(
            "a log of lm_eval 0.3 (--write_out), which lacks the documents and the texts of their options",
            do="run lm_eval 0.4 or newer with --log_samples",
            path=files[0],
        )


def _shortened(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
