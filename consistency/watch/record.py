"""A watched training as its folder tells it: settings, steps, the alarm, the frontier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.support.json_files import read_json
from consistency.watch.frontier import best_step, frontier
from consistency.watch.rows import DRIFT, Alarm, Condition, DriftRow, TextRow, first_alarm, read_drift, read_text
from consistency.watch.settings import WatchSettings

ABOUT = "watch.json"
_SCHEMA_VERSION = 1
# What stays the same in one training.
_JUDGED_BY = ("baseline", "learn", "stop", "level")


@dataclass(frozen=True)
class WatchRecord:
    """A watched training.

    Attributes
    ----------
    folder : Path
    rows : tuple of DriftRow
        The steps that were looked at.
    about : dict of str to object
        The content of `watch.json`: model, settings, planned steps and looks; empty where there is none.
    text : tuple of TextRow
        The steps on the user's text; empty without one.
    """

    folder: Path
    rows: tuple[DriftRow, ...]
    about: Mapping[str, Any]
    text: tuple[TextRow, ...] = ()

    @property
    def alarm(self) -> Alarm | None:
        """The first alarm."""
        return first_alarm(self.rows)

    @property
    def rollback(self) -> int | None:
        """The step whose weights the model was given after the alarm; None where it kept its own."""
        step = self.about.get("rollback")
        return step if isinstance(step, int) else None

    @property
    def limits(self) -> dict[Condition, float]:
        """What counts as harm, by condition; empty before the first look."""
        return {name: look.limit for name, look in self.rows[-1].looks.items()} if self.rows else {}

    @property
    def frontier(self) -> list[int]:
        """The steps that no other step is better than."""
        return frontier(self.rows)

    @property
    def best_step(self) -> int:
        """The last step on the frontier of those that keep within the limits."""
        return best_step(self.rows, self.limits)

    @property
    def model(self) -> str:
        """The last part of the model's path or name; "a model" where the folder does not say."""
        name = self.about.get("model")
        parts = [part for part in name.split("/") if part] if isinstance(name, str) else []
        return parts[-1] if parts else "a model"

    @property
    def kept(self) -> list[str]:
        """The tasks that are to be kept."""
        return list(self.rows[0].lost) if self.rows else []

    @property
    def learned(self) -> list[str]:
        """The tasks that are to be learned."""
        return [name for name in self.rows[0].tasks if name not in self.rows[0].lost] if self.rows else []

    @property
    def is_over(self) -> bool:
        """Whether the training ended by itself or was stopped by an alarm, as far as the record says."""
        steps, settings = self.about.get("max_steps"), self.about.get("settings")
        if not self.rows:
            return False
        stops = isinstance(settings, dict) and settings.get("on_alarm", "warn") != "warn"
        came_to_end = isinstance(steps, int) and self.rows[-1].step >= steps > 0
        return "ended" in self.about or (self.alarm is not None and stops) or came_to_end

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data, for JSON."""
        alarm = self.alarm
        return {
            "schema_version": _SCHEMA_VERSION,
            "model": self.model,
            "kept": self.kept,
            "learned": self.learned,
            "limits": self.limits,
            "alarm": None if alarm is None else {**msgspec.structs.asdict(alarm), "text": alarm.to_text()},
            "frontier": self.frontier,
            "best_step": self.best_step if self.rows else None,
            "rollback": self.rollback,
            "steps": [msgspec.to_builtins(row) for row in self.rows],
            "text": [msgspec.to_builtins(row) for row in self.text],
        }


def find_record(folder: str | Path) -> Path:
    """The folder of a watch: the given one, or `watch` in it where a training's output folder is given."""
    path = Path(folder)
    return path / "watch" if not (path / DRIFT).exists() and (path / "watch").is_dir() else path


def settings_before(folder: Path, settings: WatchSettings) -> dict[str, Any]:
    """What `watch.json` says of a training that goes on from a checkpoint.

    Parameters
    ----------
    folder : Path
        Of the watch.
    settings : WatchSettings
        What by now is asked for.

    Raises
    ------
    InputError
        If it was not watched before, or was judged by something else.
    """
    about = folder / ABOUT
    if not about.exists() or not (folder / DRIFT).exists():
        raise InputError(
            "watch: this training goes on from a checkpoint, and was not watched before",
            do="train from the start, or leave watch out",
            path=folder,
        )
    found = read_json(about, "the settings of a watch")
    if not isinstance(found, dict) or not all(isinstance(found.get(key), dict) for key in ("settings", "tasks")):
        raise InputError("without settings and tasks", expected="the settings of a watch", path=about)
    given = settings.to_dict()
    for key in _JUDGED_BY:
        before = found["settings"].get(key)
        if before != given[key]:
            raise InputError(
                f"watch.{key}: {given[key]!r}, and {before!r} before the checkpoint that this training goes on from",
                do="give the settings that it had, or train from the start",
                path=about,
            )
    return found


def refuse_over_record(record: Path, option: str, place: Path) -> None:
    """Refuse to write into the record itself.

    Parameters
    ----------
    record : Path
        The folder of the watch.
    option : str
        That names the place.
    place : Path
        Where something is to be written.

    Raises
    ------
    InputError
        If it is the folder of the watch or within it.
    """
    if place.resolve().is_relative_to(record.resolve()):
        raise InputError(f"{option}: is the record of the watch, or in it", do="choose another place", path=place)


def read_record(folder: str | Path) -> WatchRecord:
    """Read the record of a watched training.

    Parameters
    ----------
    folder : path-like
        That of the watch, or a training's output folder with `watch` in it.

    Raises
    ------
    InputError
        If there is no `drift.jsonl`, or it, `text.jsonl` or `watch.json` is damaged.
    """
    path = find_record(folder)
    if not (path / DRIFT).exists():
        raise InputError(
            f"no {DRIFT}", expected="the folder of a watched training, such as OUTPUT_DIR/watch", path=path
        )
    rows = read_drift(path)
    if not rows:
        raise InputError("no step", expected="a line for each step", path=path / DRIFT)
    about = read_json(path / ABOUT, "what is watched") if (path / ABOUT).exists() else {}
    if not isinstance(about, dict):
        raise InputError("not a mapping", expected="what is watched", path=path / ABOUT)
    return WatchRecord(path, tuple(rows), about, tuple(read_text(path)))
