"""Read the log of a run: what `lm_eval --log_samples` wrote in, one `Scores` per task out.

Every lm_eval since 0.4.0 is supported: JSON arrays (0.4.0) and JSON lines, log-probabilities as numbers and as strings,
logs with and without document hashes. A document is one question; its key is (task, doc_id, filter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from consistency.errors import InputError
from consistency.logs.folders import LeftOut, Selection, find_logs, tasks_without_samples
from consistency.logs.formats.find import read_foreign, reader_of
from consistency.logs.formats.hub import fetch, is_remote
from consistency.logs.run_config import RunConfig
from consistency.logs.samples import read_samples
from consistency.logs.scores import Scores
from consistency.logs.task_settings import read_task_settings
from consistency.support.progress_line import Tell, silent

__all__ = ["Run", "Scores", "read_run"]


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
        Which runs and files were read, and which others there are.
    """

    path: Path
    tasks: Mapping[str, Scores]
    config: RunConfig
    selection: Selection


def read_run(
    path: str | Path,
    run: str | None = None,
    *,
    or_newest: bool = False,
    skip_unreadable: bool = False,
    progress: Tell = silent,
) -> Run:
    """Read the log of one evaluation: of each task the newest samples in one model's folder.

    Runs that differ in a setting of the whole run are not mixed: then only those are read that agree with the newest.

    Parameters
    ----------
    path : path-like
        An `--output_path` folder or a model's folder inside it, also as a `.zip` archive; one samples file, also as `.gz`
        or `.zst`; or a results file, which stands for the samples beside it. Also a file or folder of another program that
        docs/formats.md lists, and `hub:ORG/NAME@REVISION`, a data set of the Hugging Face Hub, which is fetched.
    run : str, optional
        The date of the one run to read, or its beginning (`2026-07-13T18`).
    or_newest : bool
        Whether to read as without `run` where no run has that date.
    skip_unreadable : bool
        Whether to leave out samples files that are empty or broken, and name them in `selection.left_out`, as long as
        another can be read. By default the first is an error.
    progress : callable
        Told how many of the files have been read, see `consistency.support.progress_line`.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If nothing is found, there are several models, or a file cannot be understood.

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
    path = named = Path(path)
    if is_remote(path):
        path, shown = fetch(path)
        named = Path(shown)
    foreign = read_foreign(path, run, or_newest=or_newest)
    if foreign is not None:
        return Run(named, *foreign)
    found = find_logs(path, run, or_newest=or_newest)
    tasks: dict[str, Scores] = {}
    unreadable: list[tuple[str, InputError]] = []
    for number, (file, task) in enumerate(sorted(found.files)):
        progress(f"reading {path.name}", number, len(found.files))
        try:
            read = read_file(file, task, found.config)
        except InputError as error:
            if not skip_unreadable:
                raise
            unreadable.append((task, error))
            continue
        for name, scores in read.items():
            if name in tasks:
                raise InputError(
                    f"a second log of the task {name}, beside {tasks[name].source.name}",
                    do="name one of the files, or move the other away",
                    path=file,
                )
            tasks[name] = scores
    if not tasks:
        raise unreadable[0][1]
    left_out = [LeftOut(error.path or path, error.problem, error.line, task) for task, error in unreadable]
    selection = found.selection.without({task for task, _ in unreadable}, left_out)
    return Run(named, tasks, found.config, replace(selection, without_samples=tasks_without_samples(found)))


def read_file(file: Path, task: str, config: RunConfig) -> Mapping[str, Scores]:
    """The scores of one file by task name, of lm_eval by `"task,filter"` where it holds several filters.

    Parameters
    ----------
    file : Path
    task : str
        Name of the task, which a samples file of lm_eval does not contain.
    config : RunConfig
        Of its run.
    """
    if config.harness is not None or file.suffix == ".parquet":
        reader = reader_of(file)
        if reader is not None:
            return reader.read(file).tasks
    return read_samples(file, task, read_task_settings(config.content, task))
