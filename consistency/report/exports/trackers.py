"""A comparison as a run of Weights & Biases, Trackio or MLflow.

Nothing leaves this machine unless the user's own settings say so: Weights & Biases is offline without `WANDB_MODE`, Trackio
writes into its folder without `TRACKIO_SPACE_ID`, MLflow into a local file without `MLFLOW_TRACKING_URI`.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from consistency.errors import InputError, how_to_install, not_one_of, one_line
from consistency.logs.run_config import short_name
from consistency.report.content import Gate
from consistency.report.exports.values import Value, Values, values_of
from consistency.support.json_files import pretty_json
from consistency.support.text import counted, shortened

# Where the user names no project.
PROJECT = "lm-eval-consistency"
JSON_FILE = "comparison.json"
# MLflow takes so many numbers at once.
_AT_ONCE = 1000
# The trackers' own messages home, unless the user allows them.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
# A server that does not answer is known after half a minute, and not after 7 tries of 2 minutes each, as by default.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "15", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


@dataclass(frozen=True)
class Record:
    """What a tracker is given.

    Attributes
    ----------
    name : str
        Of the run.
    values : Values
    content : mapping
        The comparison as JSON.
    page : Path or None
        The report, where one was written.
    """

    name: str
    values: Values
    content: Mapping[str, Any]
    page: Path | None = None


def read_trackers(given: Sequence[str]) -> tuple[str, ...]:
    """The trackers that --export names, one by one or joined by commas.

    Raises
    ------
    InputError
        If there is none of that name, or its package is not installed.

    Examples
    --------
    >>> read_trackers([])
    ()
    """
    names = tuple(dict.fromkeys(name.strip() for text in given for name in text.split(",")))
    for name in names:
        if name not in TRACKERS:
            raise not_one_of("tracker", name, TRACKERS)
        if importlib.util.find_spec(name) is None:
            raise InputError(f"--export {name} needs {name}", do=how_to_install(name))
    return names


def export(
    trackers: Sequence[str], content: Mapping[str, Any], gate: Gate | None = None, page: Path | None = None
) -> Iterator[str]:
    """Write a comparison as a run of each tracker.

    Parameters
    ----------
    trackers : sequence of str
        As `read_trackers` gives them.
    content : mapping
        As `to_dict` of any kind of comparison gives it.
    gate : Gate, optional
        What conditions and a policy decided.
    page : Path, optional
        The report's page.

    Yields
    ------
    str
        Where each run is, and before it the server, which may not answer for half a minute.

    Raises
    ------
    InputError
        If a tracker refuses what it is given; the others have it by then.
    """
    values = values_of(content)
    if gate is not None:
        numbers = {"gate/passed": Value(float(gate.outcome == "passed")), **values.numbers}
        told = {"gate": gate.outcome, "gate/conditions": "\n".join(gate.lines)}
        values = Values(numbers, {**values.texts, **told}, values.infinite)
    if values.infinite:
        yield f"{counted(len(values.infinite), 'infinite number')} not exported: {shortened(values.infinite)}"
    record = Record(_name(values.texts), values, content, page)
    failures: list[tuple[str, Exception]] = []
    for name in trackers:
        server = os.environ.get("MLFLOW_TRACKING_URI", "") if name == "mlflow" else ""
        if server.startswith(("http:", "https:")):
            yield f"{name}: writing to {_without_password(server)}"
        # What a tracker prints is not what this command prints.
        with _defaults(_QUIET | _PATIENCE), redirect_stdout(io.StringIO()):
            try:
                place = TRACKERS[name](record)
            except Exception as error:
                failures.append((name, error))
                continue
        yield f"{name}: {place}"
    if failures:
        refused = (
            f"--export {name}: {type(error).__name__}: {_without_password(one_line(error, 300))}"
            for name, error in failures
        )
        names = " and ".join(name for name, _ in failures)
        raise InputError("; ".join(refused), do=f"check the settings of {names}; all else is written") from failures[0][
            1
        ]


def _name(texts: Mapping[str, str]) -> str:
    """The name of a run: what was compared with what."""
    sides = [
        dict.fromkeys(
            short_name(text) for name, text in texts.items() if name.startswith(beginning) and name.endswith("/model")
        )
        for beginning in (("after/", "runs/"), ("before/", "reference/"))
    ]
    after, before = (shortened(list(names), 2) or "a model" for names in sides)
    return f"{after} against {before}"


@contextmanager
def _defaults(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment that the user did not set, for a while."""
    new = [name for name in values if name not in os.environ]
    os.environ |= {name: values[name] for name in new}
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


def _to_wandb(record: Record) -> str:
    import wandb

    own = wandb.setup().settings
    # Otherwise it is online by default.
    mode = own.mode if "mode" in own.model_fields_set else "offline"
    quiet = own.silent if "silent" in own.model_fields_set else True
    run = wandb.init(
        project=own.project or PROJECT,
        name=own.run_name or record.name,
        notes=own.run_notes or record.values.texts["verdict"],
        config=dict(record.values.texts),
        job_type=own.run_job_type or "comparison",
        settings=wandb.Settings(mode=mode, silent=quiet, console="off"),
    )
    with run:
        run.log(record.values.flat())
        artifact = wandb.Artifact(f"comparison-{run.id}", "comparison")
        with artifact.new_file(JSON_FILE, encoding="utf-8") as file:
            file.write(pretty_json(record.content))
        run.log_artifact(artifact)
        if record.page is not None:
            run.log({"report": wandb.Html(record.page.read_text(encoding="utf-8"), inject=False)})
        folder = run.settings.sync_dir
        return f"wandb sync {shlex.quote(folder)}" if run.offline else str(run.url or f"mode {mode}")


def _to_trackio(record: Record) -> str:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage
    from trackio.utils import TRACKIO_DIR

    project, space = os.environ.get("TRACKIO_PROJECT", PROJECT), os.environ.get("TRACKIO_SPACE_ID")
    # Trackio knows runs by their names.
    name = f"{record.name}, {datetime.now():%Y-%m-%d %H:%M:%S.%f}"[:-4]
    if not space:
        # Its own thread only warns where it cannot write.
        Path(TRACKIO_DIR).mkdir(parents=True, exist_ok=True)
    trackio.init(project, name, space_id=space, config=dict(record.values.texts), embed=False, auto_log_gpu=False)
    trackio.log(record.values.flat())
    trackio.finish()
    if not space and not SQLiteStorage.get_logs(project, name):
        raise OSError(f"nothing was written into {TRACKIO_DIR}")
    # Otherwise it is finished once more when the program ends, with a line on standard output.
    trackio.context_vars.current_run.set(None)
    return f"run {name!r} of project {project!r} in {f'the space {space}' if space else TRACKIO_DIR}"


def _to_mlflow(record: Record) -> str:
    import mlflow

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
    if not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"} & os.environ.keys():
        mlflow.set_experiment(PROJECT)
    texts = dict(record.values.texts)
    with mlflow.start_run(run_name=record.name, description=texts.pop("verdict")) as run:
        mlflow.log_params(texts)
        numbers = list(record.values.flat().items())
        for start in range(0, len(numbers), _AT_ONCE):
            mlflow.log_metrics(dict(numbers[start : start + _AT_ONCE]))
        mlflow.log_text(pretty_json(record.content), JSON_FILE)
        if record.page is not None:
            mlflow.log_artifact(str(record.page))
    return f"run {run.info.run_id} in {_without_password(mlflow.get_tracking_uri())}"


def _without_password(address: str) -> str:
    """An address without who asks it, since what is printed may be in a public log.

    Examples
    --------
    >>> _without_password("https://me:secret@host:5000/a"), _without_password("sqlite:///mlflow.db")
    ('https://host:5000/a', 'sqlite:///mlflow.db')
    """
    return re.sub(r"(?<=://)[^/]*@", "", address)


TRACKERS: Mapping[str, Callable[[Record], str]] = {"wandb": _to_wandb, "trackio": _to_trackio, "mlflow": _to_mlflow}
