"""What is watched, how often, and what counts as harm: the mapping under `watch:` in, checked settings out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, cast

from consistency.errors import InputError
from consistency.watch.rows import CONDITIONS, Condition
from consistency.watch.schedule import LEAST, MOST

OnAlarm = Literal["warn", "stop", "rollback"]
ON_ALARM: tuple[OnAlarm, ...] = ("warn", "stop", "rollback")
# The baseline that is the model as its training begins.
FIRST = "step-0"
AUTO = "auto"
_MOST_MARGIN = 0.5
# Of whole numbers: what a float and JSON hold as well.
_MOST_WHOLE = 2**53
_SHARE = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*(%|percent|points?)\s*", re.IGNORECASE)
_EXAMPLE = "such as {tasks: [mmlu], stop: {margin: 1 %}}"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Stop:
    """What counts as harm.

    Attributes
    ----------
    margin : float or None
        The largest share of answers that may be lost on balance, as a fraction; None where that is not judged.
    harmful_flips : float or None
        The largest share of answers that may turn from right to wrong, whatever was gained elsewhere.
    """

    margin: float | None = None
    harmful_flips: float | None = None

    @property
    def limits(self) -> dict[Condition, float]:
        """The limits that are judged, by condition."""
        both: dict[Condition, float | None] = {"margin": self.margin, "harmful_flips": self.harmful_flips}
        return {name: limit for name, limit in both.items() if limit is not None}


@dataclass(frozen=True)
class WatchSettings:
    """What is watched.

    Attributes
    ----------
    tasks : tuple of str
        Tasks or groups of the harness.
    every : int or None
        Steps between two looks; None for as many as `share` allows (`auto`).
    share : float
        Where `every` or `questions` are to be found: the part of the training's time that the looks may take.
    questions : int or None
        In all, shared between the tasks by their sizes; None for all that there are (`full`).
    least : int or None
        So few questions may be asked where more would cost too much (`auto`); None where no fewer are asked.
    baseline : str
        `step-0`, the model as its training begins, or a folder of logs of the base model.
    learn : tuple of str
        Names or patterns of the tasks, or groups of them, that the training is to teach; the others are to be kept.
    stop : Stop
    on_alarm : {"warn", "stop", "rollback"}
    level : float
        The largest chance of a false alarm over the whole training.
    text : Path or None
        A text file for KL over the whole vocabulary.
    num_fewshot : int or None
    apply_chat_template : bool or str
    system_instruction : str or None
    include_path : str or None
        A folder of further tasks.
    seed : int
        Of the choice of the questions.
    folder : Path or None
        Where the logs appear; by default `watch` in the training's output folder.
    """

    tasks: tuple[str, ...]
    every: int | None = None
    share: float = 0.05
    questions: int | None = MOST
    least: int | None = LEAST
    baseline: str = FIRST
    learn: tuple[str, ...] = ()
    stop: Stop = Stop(margin=0.01)
    on_alarm: OnAlarm = "warn"
    level: float = 0.05
    text: Path | None = None
    num_fewshot: int | None = None
    apply_chat_template: bool | str = True
    system_instruction: str | None = None
    include_path: str | None = None
    seed: int = 0
    folder: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data, for `watch.json`, without the folder that holds it."""
        found = asdict(replace(self, folder=None, text=None)) | {"text": self.text and str(self.text)}
        plain: dict[str, Any] = json.loads(json.dumps(found))
        return plain


_KEYS = tuple(field.name for field in fields(WatchSettings) if field.name != "least")


def read_settings(mapping: Any, *, planned_steps: int | None) -> WatchSettings:
    """Read the settings of a watch.

    Parameters
    ----------
    mapping : mapping
        The value of `watch:` in a training's configuration. Shares may be written as "3 %", "3%" or .03.
    planned_steps : int or None
        Steps of the whole training; None where that is not known before.

    Returns
    -------
    WatchSettings

    Raises
    ------
    InputError
        If a key is unknown or a value cannot be one of it; it names the key.

    Examples
    --------
    >>> found = read_settings({"tasks": "mmlu", "every": "5 %", "stop": {"harmful_flips": "3 %"}}, planned_steps=300)
    >>> found.every, found.stop
    (15, Stop(margin=None, harmful_flips=0.03))
    >>> read_settings({"tasks": ["mmlu"], "evry": 20}, planned_steps=300)
    Traceback (most recent call last):
    consistency.errors.InputError: watch: unknown key 'evry'; expected every
    """
    if not isinstance(mapping, Mapping):
        raise InputError(f"watch: {mapping!r}", expected=f"a mapping, {_EXAMPLE}")
    given = {key: value for key, value in mapping.items() if value is not None}
    _refuse_unknown("watch", mapping, _KEYS)
    if "tasks" not in given:
        _fail("watch", "no tasks", f"the tasks to watch, {_EXAMPLE}")
    read: dict[str, Callable[[str, Any], Any]] = {
        "tasks": _names,
        "learn": _names,
        "share": lambda key, value: _share(key, value, 1.0),
        "questions": _questions,
        "every": lambda key, value: _every(key, value, planned_steps),
        "baseline": _text,
        "stop": _stop,
        "on_alarm": lambda key, value: _one_of(key, value, ON_ALARM),
        "level": lambda key, value: _share(key, value, _MOST_MARGIN),
        "text": lambda key, value: Path(_text(key, value)),
        "num_fewshot": lambda key, value: _whole(key, value, 0),
        "apply_chat_template": _template,
        "system_instruction": _text,
        "include_path": _text,
        "seed": lambda key, value: _whole(key, value, 0),
        "folder": lambda key, value: Path(_text(key, value)),
    }
    values = {key: read[key](f"watch.{key}", value) for key, value in given.items() if not _is_auto(key, value)}
    return WatchSettings(**values, least=None if "questions" in values else LEAST)


def _fail(key: str, problem: str, expected: str) -> NoReturn:
    raise InputError(f"{key}: {problem}", expected=expected)


def _refuse_unknown(what: str, mapping: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for key in mapping:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            _fail(what, f"unknown key {key!r}", near[0] if near else f"one of {', '.join(known)}")


def _names(key: str, value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) and name.strip() for name in listed):
        _fail(key, f"{value!r}", "a name, or a list of names")
    if not listed and key == "watch.tasks":
        _fail(key, "no task", "one task or more")
    return tuple(dict.fromkeys(name.strip() for name in listed))


def _text(key: str, value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        _fail(key, f"{value!r}", "text")
    return value


def _is_auto(key: str, value: Any) -> bool:
    return key in ("every", "questions") and isinstance(value, str) and value.strip().lower() == AUTO


def _whole(key: str, value: Any, least: int) -> int:
    if not _is_whole(value, least):
        _fail(key, f"{value!r}", f"a whole number from {least} to {_MOST_WHOLE}")
    return int(value)


def _is_whole(value: Any, least: int) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= _MOST_WHOLE
    return known and value == int(value)


def _questions(key: str, value: Any) -> int | None:
    if isinstance(value, str):
        if value.strip().lower() == "full":
            return None
        _fail(key, f"{value!r}", "how many questions in all, such as 500, full, or auto")
    return _whole(key, value, 1)


def _every(key: str, value: Any, planned_steps: int | None) -> int:
    expected = "so many steps, such as 20, a share of the training, such as 5 %, or auto"
    share = isinstance(value, str) or (isinstance(value, float) and 0 < value < 1)
    if not share:
        if not _is_whole(value, 1):
            _fail(key, f"{value!r}", expected)
        return int(value)
    found = _fraction(value)
    if found is None or not 0 < found <= 1:
        _fail(key, f"{value!r}", expected)
    if not planned_steps:
        _fail(key, f"{value!r} of a training whose length is not known before", "so many steps, such as 20")
    return max(1, math.ceil(found * planned_steps - 1e-9))


def _fraction(value: Any) -> float | None:
    """A share as a fraction; None where it cannot be read as one."""
    if isinstance(value, str):
        matched = _SHARE.fullmatch(value)
        if matched:
            return float(matched[1]) / 100
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A larger whole number is no float.
    return float(value) if abs(value) <= _MOST_WHOLE else math.inf


def _share(key: str, value: Any, below: float) -> float:
    found = _fraction(value)
    if found is None or not 0 < found < below:
        _fail(key, f"{value!r}", f"more than 0 % and less than {100 * below:g} %, such as 1 % or 0.01")
    return found


def _stop(key: str, value: Any) -> Stop:
    if not isinstance(value, Mapping):
        _fail(key, f"{value!r}", "a mapping, such as {harmful_flips: 3 %, margin: 1 %}")
    _refuse_unknown(key, value, CONDITIONS)
    limits = {name: _share(f"{key}.{name}", limit, _MOST_MARGIN) for name, limit in value.items() if limit is not None}
    if not limits:
        _fail(key, "no limit", "harmful_flips or margin, or both, such as {margin: 1 %}")
    return Stop(**limits)


def _template(key: str, value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    return _text(key, value)


def _one_of(key: str, value: Any, known: tuple[_T, ...]) -> _T:
    if value not in known:
        near = get_close_matches(str(value), [str(name) for name in known], n=1)
        _fail(key, f"{value!r}", near[0] if near else f"one of {', '.join(map(str, known))}")
    return cast("_T", value)
