"""Read the log of a run: a folder or a file that `lm_eval --log_samples` wrote in, one `Scores` per task out.

Every lm_eval since 0.4.0 is supported: JSON arrays (0.4.0) and JSON lines, log-probabilities as numbers and as strings,
logs with and without document hashes. A document is one question; its key is (task, doc_id, filter).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from consistency.errors import InputError
from consistency.logs.run_config import RunConfig, read_config
from consistency.logs.samples import read_samples
from consistency.logs.scores import Scores
from consistency.logs.task_settings import read_task_settings
from consistency.support.json_files import first_line

__all__ = ["Run", "Scores", "read_run"]

_DATE = r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?"
_SAMPLES = re.compile(rf"samples_(?P<task>.+)_(?P<date>{_DATE})\.jsonl?")
_RESULTS = re.compile(rf"(?:.*_)?(?P<date>{_DATE})\.json")


@dataclass(frozen=True)
class Selection:
    """Which of the runs in a folder was read.

    Attributes
    ----------
    run : str
        Its date; without one the name of its folder, or of the file that was named.
    others : tuple of str
        The other runs of the folder, the newest first.
    asked : bool
        Whether a date was asked for; otherwise the newest run was read.
    total : int
        Number of runs in the folder; two of them, in folders of two models, may have one date.
    is_file : bool
        Whether a samples file was named, and not a folder.

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

    def to_text(self) -> str:
        """The selection in a sentence, without a full stop."""
        if self.is_file:
            return f"read the file {self.run}"
        if not self.others:
            return f"read the run {self.run}"
        chosen = "as asked" if self.asked else "the newest"
        others = ", ".join(self.others[:5]) + (", …" if len(self.others) > 5 else "")
        return f"read the run {self.run} ({chosen} of {self.total}; others: {others})"


@dataclass(frozen=True)
class Run:
    """One evaluation of one model.

    Attributes
    ----------
    path : Path
        What was asked for.
    tasks : dict of str to Scores
        By task name; a task logged under several filters appears as `"task,filter"`.
    config : RunConfig
    selection : Selection
        Which run was read, and which others the folder holds.
    """

    path: Path
    tasks: Mapping[str, Scores]
    config: RunConfig
    selection: Selection


def read_run(path: str | Path, run: str | None = None, *, or_newest: bool = False) -> Run:
    """Read the log of one evaluation.

    Parameters
    ----------
    path : path-like
        An `--output_path` folder, a model's folder inside it, or one samples file.
    run : str, optional
        The date of the run to read, or its beginning (`2026-07-13T18`); the newest run by default.
    or_newest : bool
        Whether to read the newest run where none has that date.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If nothing is found, or a file cannot be understood.

    Examples
    --------
    >>> import json, tempfile
    >>> row = {"doc_id": 0, "doc": {"question": "1+1?", "choices": ["2", "3"]}, "target": "0", "acc": 1.0,
    ...        "filtered_resps": [["-0.1", "True"], ["-2.3", "False"]], "filter": "none", "metrics": ["acc"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "samples_sums_2026-01-01T00-00-00.000000.jsonl"
    ...     _ = file.write_text(json.dumps(row))
    ...     sums = read_run(folder).tasks["sums"]
    >>> sums.logprobs.tolist(), sums.target.tolist(), sums.correct.tolist()
    ([[-0.1, -2.3]], [0], [1.0])
    """
    path = Path(path)
    (folder, date), files, selection = _find(path, run, or_newest)
    config, names = read_config(_results(folder, date), date)
    tasks: dict[str, Scores] = {}
    for file in sorted(files):
        task = _task_name(file, names)
        for name, scores in read_samples(file, task, read_task_settings(config.content, task)).items():
            if name in tasks:
                raise InputError(
                    f"a second log of the task {name}, beside {tasks[name].source.name}",
                    do="name one of the files, or move the other away",
                    path=file,
                )
            tasks[name] = scores
    return Run(path, tasks, config, selection)


def is_log(file: Path) -> bool:
    """Whether a file holds documents of lm_eval: a line each, or in the one array that lm_eval 0.4.0 wrote."""
    first = first_line(file)
    try:
        # Python's own json, which also reads a NaN.
        return first.startswith(b"[") or "doc" in dict(json.loads(first))
    except (ValueError, TypeError, RecursionError):
        return False


_RunKey = tuple[Path, str]


def _find(path: Path, run: str | None, or_newest: bool) -> tuple[_RunKey, list[Path], Selection]:
    """Folder and date of the run to read, its samples files, and how it was selected."""
    wanted = run.replace(":", "-") if run is not None else ""
    # Unlike Path.is_file, which raises for a name that is too long.
    if os.path.isfile(path):  # noqa: PTH113
        dated = _SAMPLES.fullmatch(path.name)
        date = dated["date"].replace(":", "-") if dated else ""
        if not or_newest and not date.startswith(wanted):
            raise InputError(f"is not of the run {run!r}", expected="a folder, or no date", path=path)
        return (path.parent, date), [path], Selection(path.name, is_file=True)
    if not os.path.isdir(path):  # noqa: PTH112
        raise InputError(
            "no such file or folder",
            expected="the folder that lm_eval --output_path wrote with --log_samples",
            path=path,
        )
    runs = _by_run(sorted(p for p in path.rglob("*.json*") if p.suffix in (".json", ".jsonl")))
    if not runs:
        raise InputError(
            "no samples files",
            expected="samples_TASK_DATE.jsonl",
            do="run lm_eval with --log_samples --output_path",
            path=path,
        )
    labels = {key: _label(path, key) for key in runs}
    if or_newest and not any(label.startswith(wanted) for label in labels.values()):
        run = None
    key = _choose(path, labels, run)
    others = sorted({label for other, label in labels.items() if other != key}, reverse=True)
    return key, runs[key], Selection(labels[key], tuple(others), asked=bool(run), total=len(runs))


def _by_run(files: Iterable[Path]) -> dict[_RunKey, list[Path]]:
    """Samples files by (folder, date); lm_eval 0.4.0 dates nothing, its files beside results.json share the date ''."""
    runs: dict[_RunKey, list[Path]] = {}
    for file in files:
        dated = _SAMPLES.fullmatch(file.name)
        if dated:
            runs.setdefault((file.parent, dated["date"].replace(":", "-")), []).append(file)
        elif file.suffix == ".jsonl":
            runs.setdefault((file.parent, ""), []).append(file)
    return runs


def _label(root: Path, key: _RunKey) -> str:
    folder, date = key
    return date or (str(folder.relative_to(root)) if folder != root else folder.name)


def _choose(path: Path, labels: Mapping[_RunKey, str], run: str | None) -> _RunKey:
    """The run whose label begins with `run`, or the newest."""
    if run is not None:
        wanted = [key for key, label in labels.items() if label.startswith(run.replace(":", "-"))]
        if len(wanted) != 1:
            raise InputError(
                f"{'several runs begin' if wanted else 'no run begins'} with {run!r}",
                expected="one of " + ", ".join(sorted(labels.values())),
                path=path,
            )
        return wanted[0]
    newest = max(date for _, date in labels)
    wanted = [key for key in labels if key[1] == newest]
    if len(wanted) > 1:
        raise InputError(
            "several runs of the same date: " + ", ".join(sorted(str(folder) for folder, _ in wanted)),
            do="name one model's folder",
            path=path,
        )
    return wanted[0]


def _results(folder: Path, date: str) -> Path | None:
    """The results file of a run."""
    if not date:
        file = folder / "results.json"
        return file if file.is_file() else None
    for file in sorted(folder.glob("*.json")):
        dated = _RESULTS.fullmatch(file.name)
        if dated and not file.name.startswith("samples_") and dated["date"].replace(":", "-") == date:
            return file
    return None


def _task_name(file: Path, names: list[str]) -> str:
    """The task of a samples file; its name in the file is sanitised, and behind the model's in lm_eval 0.4.0."""
    dated = _SAMPLES.fullmatch(file.name)
    stem = os.fsencode(dated["task"] if dated else file.stem).decode("utf-8", "replace")
    for name in sorted(names, key=len, reverse=True):
        sanitised = re.sub(r"\W", "_", name)
        if stem in (name, sanitised) or (not dated and stem.endswith((f"_{name}", f"_{sanitised}"))):
            return name
    return stem
