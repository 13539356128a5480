"""The numbers and settings of a comparison's JSON, as one flat list of names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from consistency.support.text import visible

# Of the numbers that are no estimates: counts, tests, and what says how good a run is. The JSON has the rest.
_PLAIN = frozenset(
    "n harmful beneficial wrong_to_wrong sign_flip_p mcnemar_p p p_holm p_simultaneous equivalence_p heterogeneity_p "
    "minimum_detectable_change temperature best p_best_set".split()
)
# What is said again elsewhere, or is of single questions.
_LEFT = frozenset("messages notes clusters warnings settings unpaired task_names changed_most policy".split())
# Which runs were compared, and how.
_TEXTS = frozenset("verdict signature score margin task_sampling before after reference runs".split())
_ESTIMATE = frozenset(("value", "ci_low", "ci_high"))
# What an item of a list is named by.
_TOLD_APART = (("label",), ("name",), ("run", "task", "metric"))
# MLflow takes 250 characters of letters, digits and these.
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.\- ]+")
_LONGEST = 60


@dataclass(frozen=True)
class Value:
    """A number with the ends of its 95 % interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Values:
    """What a comparison says, by name.

    Attributes
    ----------
    numbers : dict of str to Value
        `by_task/TASK/delta_accuracy`, `overall/decomposition/prior_change`, …
    texts : dict of str to str
        The verdict, the signature, which runs were compared and how.
    infinite : tuple of str
        Numbers that are left out, since no tracker shows them.
    """

    numbers: Mapping[str, Value]
    texts: Mapping[str, str]
    infinite: tuple[str, ...] = field(default=())

    def flat(self) -> dict[str, float]:
        """The numbers alone: the ends of an interval are `NAME/ci_low` and `NAME/ci_high`."""
        found = {}
        for name, item in self.numbers.items():
            found[name] = item.value
            if item.low is not None and item.high is not None:
                found |= {f"{name}/ci_low": item.low, f"{name}/ci_high": item.high}
        return found


def values_of(content: Mapping[str, Any]) -> Values:
    """The numbers and texts of a comparison.

    Parameters
    ----------
    content : mapping
        As `to_dict` of any kind of comparison gives it.

    Returns
    -------
    Values
        Of each section every estimate, its counts and its tests. In names, only letters, digits and `_.- ` of tasks and runs
        stay; where two would become one, the second has a number.

    Examples
    --------
    >>> share = {"value": 0.5, "se": 0.1, "ci_low": 0.3, "ci_high": 0.7}
    >>> found = values_of({"by_task": {"a/b": {"n": 9, "kl": share}}, "verdict": "Nothing."})
    >>> found.flat(), found.texts
    ({'by_task/a_b/n': 9.0, 'by_task/a_b/kl': 0.5, 'by_task/a_b/kl/ci_low': 0.3, 'by_task/a_b/kl/ci_high': 0.7},
     {'verdict': 'Nothing.'})
    """
    numbers: dict[str, Value] = {}
    texts: dict[str, str] = {}
    infinite: list[str] = []
    leaves = list(_leaves(content, ()))
    part_names = _names(part for path, _ in leaves for part in path)

    def name_of(path: tuple[str, ...]) -> str:
        return "/".join(part_names[part] for part in path)

    for path, leaf in leaves:
        if path[0] in _TEXTS or path[-1] == "judgement":
            texts[name_of(path)] = visible(str(leaf))
        elif isinstance(leaf, Value) or (isinstance(leaf, float) and path[-1] in _PLAIN):
            found = leaf if isinstance(leaf, Value) else Value(leaf)
            name = name_of(tuple(part for part in path if part != "estimates"))
            if all(map(math.isfinite, (found.value, found.low or 0.0, found.high or 0.0))):
                numbers[name] = found
            else:
                infinite.append(name)
    return Values(numbers, texts, tuple(infinite))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Value | float | str]]:
    """The estimates, numbers and texts of plain data, each with its path; in lists, of what has a name alone."""
    if isinstance(value, Mapping):
        if value.keys() >= _ESTIMATE:
            if value["value"] is not None:
                yield path, Value(value["value"], value["ci_low"], value["ci_high"])
            return
        for key, inner in value.items():
            if path or key not in _LEFT:
                yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            names = _names_in(inner) if isinstance(inner, Mapping) else ()
            if names:
                yield from _leaves(inner, (*path, *names))
    elif isinstance(value, str):
        yield path, value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def _names_in(item: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells an item of a list from the others: its label or name, or its run, task and metric; empty where nothing does."""
    for keys in _TOLD_APART:
        if all(item.get(key) for key in keys):
            return tuple(str(item[key]) for key in keys)
    return ()


def _names(parts: Iterable[str]) -> dict[str, str]:
    """For each part of a name one that every tracker takes: itself where it can be, else a different one for each."""
    plain = {part: _FORBIDDEN.sub("_", part)[:_LONGEST].strip() for part in dict.fromkeys(parts)}
    found = {part: name for part, name in plain.items() if part == name and name.strip(".")}
    taken = set(found)
    for part, name in plain.items():
        if part in found:
            continue
        stem, number = name if name.strip(".") else f"_{name}", 1
        found[part] = stem
        while found[part] in taken:
            number += 1
            found[part] = f"{stem}-{number}"
        taken.add(found[part])
    return found
