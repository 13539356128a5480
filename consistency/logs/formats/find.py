"""Which reader a log is for: a file by its content, a folder by the files in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.errors import InputError
from consistency.logs.folders import LeftOut, Selection, is_log, is_results_name, is_samples_name
from consistency.logs.packed import archive_members, is_archive, plain_name, read_head
from consistency.logs.run_config import RunConfig, moment
from consistency.logs.scores import Scores
from consistency.support.text import shortened

if TYPE_CHECKING:
    from consistency.logs.formats.answers import Log, Reader

_ENDINGS = (".eval", ".parquet", ".json", ".jsonl", ".txt", ".log", ".out")
# Of which a stranger beside logs is named.
_ONLY_LOGS = (".eval", ".parquet", ".jsonl")
NOT_A_LOG = "no log of a known format"
_HEAD = 1 << 16
_BOM = b"\xef\xbb\xbf"


@cache
def readers() -> tuple[Reader, ...]:
    """The readers of other programs' logs: a file is for the first that recognises it."""
    # Imported only where no log of lm_eval is at hand: the first answer is to come at once.
    from consistency.logs.formats.every_eval_ever import EveryEvalEverReader
    from consistency.logs.formats.inspect_ai import InspectReader
    from consistency.logs.formats.lighteval import LightevalReader
    from consistency.logs.formats.llama_cpp import LlamaCppReader
    from consistency.logs.formats.lmms import LmmsReader
    from consistency.logs.formats.nemo import NemoReader
    from consistency.logs.formats.plain import PlainReader
    from consistency.logs.formats.samples_parquet import SamplesParquetReader

    return (
        InspectReader(),
        SamplesParquetReader(),
        LightevalReader(),
        EveryEvalEverReader(),
        NemoReader(),
        LmmsReader(),
        PlainReader(),
        LlamaCppReader(),
    )


def reader_of(file: Path) -> Reader | None:
    """The reader of a file of another program than lm_eval; None where no reader recognises it.

    Raises
    ------
    InputError
        If what packs it is damaged.
    """
    try:
        head = read_head(file, _HEAD).removeprefix(_BOM)
    except OSError:
        return None
    return next((reader for reader in readers() if reader.recognises(file, head)), None)


def read_foreign(
    path: Path, run: str | None, *, or_newest: bool = False
) -> tuple[Mapping[str, Scores], RunConfig, Selection] | None:
    """Read a log of another program than lm_eval.

    Parameters
    ----------
    path : Path
        A file, or a folder or a `.zip` with files of one program and one model. Of each task the newest counts.
    run : str or None
        The date of the run to read, or its beginning.
    or_newest : bool
        Whether to read as if no run were asked for where none has that date.

    Returns
    -------
    tuple or None
        Scores by task, how the run was made, and which files were read; None where it is a log of lm_eval, or of nothing known.

    Raises
    ------
    InputError
        If a file is damaged, or the folder holds the logs of several programs or models.
    """
    archive = is_archive(path) and path.suffix.lower() == ".zip"
    # Unlike those of Path, which raise for a name that is too long.
    if os.path.isfile(path) and not archive:  # noqa: PTH113
        reader = None if is_samples_name(plain_name(path)) or is_log(path) else reader_of(path)
        if reader is None:
            return None
        log = reader.read(path)
        return log.tasks, log.config, Selection(path.name, is_file=True)
    files = _files(path) if archive or os.path.isdir(path) else []  # noqa: PTH112
    found: dict[Path, Reader] = {}
    left_out: list[LeftOut] = []
    damaged: list[InputError] = []
    for file in files:
        try:
            reader = reader_of(file)
        except InputError as error:
            damaged.append(error)
            left_out.append(LeftOut(file, error.problem, error.line, is_damaged=True))
            continue
        if archive and file.suffix == ".eval":
            left_out.append(LeftOut(file, "an archive in an archive"))
            continue
        if reader is not None:
            found[file] = reader
        elif plain_name(file).endswith(_ONLY_LOGS):
            left_out.append(LeftOut(file, NOT_A_LOG))
    if not found:
        if damaged:
            raise damaged[0]
        return None
    names = sorted({reader.name for reader in found.values()})
    if len(names) > 1:
        raise InputError(f"holds logs of {' and '.join(names)}", do="name the files of one of them", path=path)
    logs = _read(found)
    models = sorted({log.config.model_name for log in logs.values() if log.config.model_name is not None})
    if len(models) > 1:
        raise InputError(
            f"holds the logs of {len(models)} models: {shortened(models)}",
            do="name the file or folder of one",
            path=path,
        )
    tasks, config, selection = _joined(path, logs, run, or_newest=or_newest)
    return tasks, config, replace(selection, left_out=tuple(left_out))


def _read(found: Mapping[Path, Reader]) -> dict[Path, Log]:
    """The logs of files; of the parts of a data set that are all there, one log under the first."""
    from consistency.logs.formats.samples_parquet import SamplesParquetReader, whole_data_sets

    parts = whole_data_sets(file for file, reader in found.items() if isinstance(reader, SamplesParquetReader))
    later = {file for files in parts.values() for file in files[1:]}
    return {
        file: reader.read_parts(parts[file])
        if isinstance(reader, SamplesParquetReader) and file in parts
        else reader.read(file)
        for file, reader in found.items()
        if file not in later
    }


def _joined(
    path: Path, logs: Mapping[Path, Log], run: str | None, *, or_newest: bool
) -> tuple[Mapping[str, Scores], RunConfig, Selection]:
    """The newest of each task, or those of a date."""
    dates = {file: (log.config.date or "").replace(":", "-") for file, log in logs.items()}
    order = sorted(logs, key=lambda file: (moment(logs[file].config.date or ""), str(file)), reverse=True)
    if run is not None:
        dated = [file for file in order if dates[file].startswith(run.replace(":", "-"))]
        order = dated or (order if or_newest else [])
        if not order:
            held = shortened(sorted({date or "no date" for date in dates.values()}))
            raise InputError(f"no run begins with {run!r}", expected=f"one of {held}", path=path)
    tasks: dict[str, Scores] = {}
    read: list[Path] = []
    for file in order:
        new = {name: scores for name, scores in logs[file].tasks.items() if name not in tasks}
        known = [name for name in logs[file].tasks if name in tasks]
        if known and dates[file] == dates[tasks[known[0]].source]:
            raise InputError(
                f"a second log of the task {known[0]}, beside {tasks[known[0]].source.name}",
                do="name one of the files, or move the other away; parts of one log have to be joined in one file",
                path=file,
            )
        if new:
            read.append(file)
            tasks |= new
    newest = logs[read[0]].config
    config = replace(
        newest,
        num_fewshot=_merged([logs[file].config.num_fewshot for file in read]),
        versions=_merged([logs[file].config.versions for file in read]),
        documents=_merged([logs[file].config.documents for file in read]),
    )
    labels = {file: dates[file] or file.name for file in logs}
    others = tuple(dict.fromkeys(labels[file] for file in order if file not in read))
    selection = Selection(
        labels[read[0]],
        tuple(label for label in others if label != labels[read[0]]),
        asked=run is not None,
        total=len(set(labels.values())),
        held={labels[file]: tuple(logs[file].tasks) for file in order if file not in read},
    )
    return tasks, config, selection


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in reversed(parts):
        merged |= part
    return merged


def _files(folder: Path) -> list[Path]:
    """The files of a folder or archive that may be logs of other programs; none where it is a log of lm_eval."""
    found = []
    held = (
        archive_members(folder, _ENDINGS)
        if is_archive(folder)
        else (Path(above, name) for above, _, names in os.walk(folder) for name in names)
    )
    for file in held:
        plain = plain_name(file)
        if is_samples_name(plain):
            return []
        if plain.endswith(_ENDINGS) and not file.name.startswith("._") and not is_results_name(plain):
            found.append(file)
    undated = (file for file in found if plain_name(file).endswith((".jsonl", ".json")))
    return [] if any(map(is_log, undated)) else sorted(found)
