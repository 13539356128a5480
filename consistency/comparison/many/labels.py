"""What runs are called, and the numbers in their names that put them in an order."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from consistency.errors import InputError
from consistency.support.text import shortened

AUTO = "auto"
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[kKM](?![A-Za-z]))?")
_UNITS = {"k": 1e3, "K": 1e3, "M": 1e6}
_ENDINGS = (".zip", ".jsonl", ".json", ".gz", ".zst")


def labels_of(paths: Sequence[Path]) -> list[str]:
    """A short name for each log: the last parts of its path, as many as tell all of them apart.

    Raises
    ------
    InputError
        If two paths are the same.

    Examples
    --------
    >>> labels_of([Path("logs/q4"), Path("logs/q8.zip")]), labels_of([Path("a/logs"), Path("b/logs")])
    (['q4', 'q8'], ['a/logs', 'b/logs'])
    """
    for path in paths:
        if list(paths).count(path) > 1:
            raise InputError("one log, given twice", do="give each log once", path=path)
    parts = [_plain(path.resolve() if path.name in ("", ".", "..") else path) for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        found = ["/".join(part[-count:]) for part in parts]
        if len(set(found)) == len(found):
            return found
    return [str(path) for path in paths]


def _plain(path: Path) -> tuple[str, ...]:
    name = path.name
    while name.endswith(_ENDINGS):
        name = name.rsplit(".", 1)[0]
    return (*path.parts[:-1], name or path.name)


def positions_of(reference: str, labels: Sequence[str], order: str | Sequence[float]) -> dict[str, float]:
    """The position of each run of a series, in its order, and that of the reference where it has one.

    Parameters
    ----------
    reference : str
        The label of the reference.
    labels : sequence of str
        Those of the runs.
    order : str or sequence of float
        `"auto"`: the one number that differs between the names; the runs come by rising number, in whatever order they were
        given, or by falling number if that of the reference is above all of them. Else a position for each run, or one for the
        reference and one for each run, as numbers or as a text with commas.

    Returns
    -------
    dict of str to float
        Of `"auto"` as said there. Of positions the runs as they were given if these rise or fall throughout, else by rising
        position.

    Raises
    ------
    InputError
        If the names do not say it, or the positions are too few, too many, equal, or no numbers.

    Examples
    --------
    >>> positions_of("base", ["step-1k", "step-200", "step-30"], "auto")
    {'step-30': 30.0, 'step-200': 200.0, 'step-1k': 1000.0}
    >>> positions_of("q16", ["q4", "q8"], "auto")
    {'q16': 16.0, 'q8': 8.0, 'q4': 4.0}
    >>> positions_of("base", ["q8", "q4"], "16,8,4")
    {'base': 16.0, 'q8': 8.0, 'q4': 4.0}
    """
    if order == AUTO:
        found = _in_names(reference, labels)
    else:
        given = _numbers(order)
        if len(given) not in (len(labels), len(labels) + 1):
            raise InputError(
                f"--order: {len(given)} positions for {len(labels)} runs",
                expected=f"{len(labels)}, or {len(labels) + 1} with that of the reference first",
            )
        names = [reference, *labels] if len(given) > len(labels) else labels
        found = dict(zip(names, given, strict=True))
    if len(set(found.values())) < len(found):
        twice = next(x for x in found.values() if list(found.values()).count(x) > 1)
        same = [name for name, x in found.items() if x == twice]
        raise InputError(
            f"--order: {shortened(same)} have the position {twice:g}", expected="a position of its own for each"
        )
    if len(labels) < 2:
        raise InputError("--order: a single run is no series", expected="two runs or more")
    given_steps = [found[label] for label in labels]
    steps = sorted(given_steps)
    falling = found.get(reference, -math.inf) > steps[-1] if order == AUTO else given_steps == steps[::-1]
    if falling:
        steps.reverse()
    of = {x: name for name, x in found.items()}
    first = {reference: found[reference]} if reference in found else {}
    return first | {of[x]: x for x in steps}


def _numbers(order: str | Sequence[float]) -> list[float]:
    texts = order.split(",") if isinstance(order, str) else order
    try:
        found = [float(text) for text in texts]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise InputError(f"--order {order}", expected=f"{AUTO}, or numbers with commas, such as 100,200,300")
    return found


def _in_names(reference: str, labels: Sequence[str]) -> dict[str, float]:
    """The number that differs between names which are alike otherwise."""
    do = "give the positions: --order 100,200,300, one for each run"
    forms = {_NUMBER.sub("#", label) for label in labels}
    numbers = [_NUMBER.findall(label) for label in labels]
    if len(forms) > 1 or not numbers[0]:
        raise InputError(
            f"--order auto: the names {shortened(labels)} do not differ in one number alone",
            expected="names such as step-100 and step-200",
            do=do,
        )
    differ = [place for place in range(len(numbers[0])) if len({row[place] for row in numbers}) > 1]
    if len(differ) != 1:
        raise InputError(
            f"--order auto: the names {shortened(labels)} differ in {len(differ)} numbers", expected="one", do=do
        )
    found = {label: _value(row[differ[0]]) for label, row in zip(labels, numbers, strict=True)}
    own = _NUMBER.findall(reference)
    alike = _NUMBER.sub("#", reference) in forms
    others = [place for place in range(len(numbers[0])) if place not in differ]
    if alike and all(own[place] == numbers[0][place] for place in others):
        return {reference: _value(own[differ[0]]), **found}
    return found


def _value(text: str) -> float:
    return float(text.rstrip("kKM")) * _UNITS.get(text[-1], 1.0)
