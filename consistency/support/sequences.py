"""Sequences of millions of items that take little memory: texts in one piece, and one value over and over.

Each is compared with any other sequence by its items, and never changes once it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, repeat
from typing import Any, Generic, TypeVar, overload

import numpy as np

from consistency.support.arrays import Integers

T = TypeVar("T")
# Items whose places are converted to Python's numbers together.
_AT_ONCE = 4096


class _Items(Sequence[T]):
    """A sequence that equals any other with the same items."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return repr(tuple(self))


class JoinedBytes(_Items[bytes]):
    """Byte strings one after the other in one piece of memory; each alone would take 40 bytes more, and a pointer.

    Parameters
    ----------
    content : bytes or bytearray
    ends : ndarray of int64, shape [n]
        Where each ends in the content, and the next begins.

    Examples
    --------
    >>> found = JoinedBytes(b"onetwo", np.array([3, 6]))
    >>> found[1], found == (b"one", b"two"), found.take([1])
    (b'two', True, (b'two',))
    """

    def __init__(self, content: bytes | bytearray, ends: Integers) -> None:
        self._content = content
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(place, slice):
            return self.take(range(*place.indices(len(self))))
        row = range(len(self))[place]
        return bytes(self._content[self._ends[row - 1] if row else 0 : self._ends[row]])

    def __iter__(self) -> Iterator[bytes]:
        begin, content = 0, self._content
        for first in range(0, len(self), _AT_ONCE):
            ends = self._ends[first : first + _AT_ONCE].tolist()
            for start, end in pairwise([begin, *ends]):
                yield bytes(content[start:end])
            begin = ends[-1]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JoinedBytes):
            return np.array_equal(self._ends, other._ends) and self._content == other._content
        return super().__eq__(other)

    def take(self, rows: Sequence[int] | Integers) -> JoinedBytes:
        """The items of the given rows."""
        content = bytearray()
        for row in rows:
            content += self[row]
        picked = np.asarray(rows, dtype=np.int64)
        begins = np.where(picked > 0, self._ends[picked - 1], 0)
        return JoinedBytes(content, np.cumsum(self._ends[picked] - begins))


class Repeated(_Items[T], Generic[T]):
    """One value so many times.

    Examples
    --------
    >>> Repeated("A", 3) == ("A", "A", "A"), Repeated("A", 3).count("A"), Repeated("", 2).take([0])
    (True, 3, ('',))
    """

    def __init__(self, value: T, times: int) -> None:
        self._value = value
        self._times = times

    def __len__(self) -> int:
        return self._times

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        found = range(self._times)[place]
        return Repeated(self._value, len(found)) if isinstance(found, range) else self._value

    def __iter__(self) -> Iterator[T]:
        return repeat(self._value, self._times)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Repeated):
            return self._times == other._times and (not self._times or bool(self._value == other._value))
        return super().__eq__(other)

    def count(self, value: Any) -> int:
        """How often a value occurs."""
        return self._times if value == self._value else 0

    def take(self, rows: Sequence[int] | Integers) -> Repeated[T]:
        """The items of the given rows."""
        return Repeated(self._value, len(rows))


def taken(items: Sequence[T], rows: Sequence[int] | Integers) -> Sequence[T]:
    """The items of the given rows, in a sequence of the same kind.

    Examples
    --------
    >>> taken(("a", "b", "c"), [2, 0])
    ('c', 'a')
    """
    if isinstance(items, JoinedBytes | Repeated):
        return items.take(rows)
    return tuple([items[row] for row in (rows.tolist() if isinstance(rows, np.ndarray) else rows)])
