"""Columns that are computed when they are asked for, since all of them at once would take more memory than their source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Computed(Mapping[str, T], Generic[T]):
    """Values by name, each computed whenever it is asked for, and not kept.

    Parameters
    ----------
    compute : callable
        From a name to its value.
    names : iterable of str

    Examples
    --------
    >>> found = Computed(str.upper, ["a", "b"])
    >>> found["a"], "c" in found, dict(found)
    ('A', False, {'a': 'A', 'b': 'B'})
    """

    def __init__(self, compute: Callable[[str], T], names: Iterable[str]) -> None:
        self._compute = compute
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        return self._compute(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def computed(compute: Callable[[str], T], names: Iterable[str], *, kept: bool) -> Mapping[str, T]:
    """Values by name: all of them at once where they are kept, else each whenever it is asked for.

    Examples
    --------
    >>> computed(len, ["ab"], kept=True)
    {'ab': 2}
    """
    found = Computed(compute, names)
    return dict(found) if kept else found
