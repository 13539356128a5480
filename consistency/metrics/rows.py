"""Reductions over the options of each question: arrays of shape [n, k] in, one number per question out.

NumPy reduces a row of four options by a call of a function, which takes longer than the rest of most measures. Column by
column the numbers are the same, to the last bit: up to seven options NumPy adds them in this order, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from consistency.support.arrays import Bools, Floats

# From eight numbers on NumPy adds in another order.
_NARROW = 7
# Rows that are worked on together where there are many: intermediate results then take next to no memory.
AT_ONCE = 30_000


def row_sum(x: NDArray[Any]) -> NDArray[Any]:
    """The sum of each row, as ``x.sum(axis=1)``; of truth values their number.

    Examples
    --------
    >>> row_sum(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [3.0, 7.0]
    """
    if x.shape[1] > _NARROW:
        return np.asarray(x.sum(axis=1))
    total = np.zeros(len(x), dtype=np.int64 if x.dtype == bool else x.dtype)
    for column in x.T:
        total += column
    return total


def row_nansum(x: Floats) -> Floats:
    """The sum of the numbers of each row, as ``np.nansum(x, axis=1)``.

    Examples
    --------
    >>> row_nansum(np.array([[1.0, np.nan], [np.nan, np.nan]])).tolist()
    [1.0, 0.0]
    """
    return row_sum(np.where(np.isnan(x), 0.0, x))


def row_max(x: Floats, initial: float = -np.inf) -> Floats:
    """The largest number of each row and `initial`, as ``np.fmax.reduce(x, axis=1, initial=initial)``: NaN does not count.

    Examples
    --------
    >>> row_max(np.array([[1.0, np.nan], [np.nan, np.nan]])).tolist()
    [1.0, -inf]
    """
    largest = np.full(len(x), initial)
    for column in x.T:
        np.fmax(largest, column, out=largest)
    return largest


def row_any(x: Bools) -> Bools:
    """Whether any of each row is true, as ``x.any(axis=1)``.

    Examples
    --------
    >>> row_any(np.array([[True, False], [False, False]])).tolist()
    [True, False]
    """
    found = np.zeros(len(x), dtype=bool)
    for column in x.T:
        found |= column
    return found


def row_all(x: Bools) -> Bools:
    """Whether all of each row are true, as ``x.all(axis=1)``.

    Examples
    --------
    >>> row_all(np.array([[True, False], [True, True]])).tolist()
    [False, True]
    """
    return ~row_any(~x)


def in_parts(of_rows: Callable[..., Floats], *arrays: NDArray[Any]) -> Floats:
    """What a function gives of some arrays, row by row, computed for a part of many rows at a time.

    Parameters
    ----------
    of_rows : callable
        From the arrays, or some of their rows, to an array with a row for each.
    arrays : ndarray, shape [n, ...]

    Examples
    --------
    >>> in_parts(lambda x, y: x + y, np.array([1.0, 2.0]), np.array([3.0, 4.0])).tolist()
    [4.0, 6.0]
    """
    n = len(arrays[0])
    if n <= AT_ONCE:
        return of_rows(*arrays)
    found: Floats | None = None
    for rows in slices(n):
        part = of_rows(*(array[rows] for array in arrays))
        if found is None:
            # In the order in memory that the parts have.
            order: Literal["C", "F"] = "F" if part.ndim > 1 and part.flags.f_contiguous else "C"
            found = np.empty((n, *part.shape[1:]), dtype=part.dtype, order=order)
        found[rows] = part
    assert found is not None
    return found


def slices(n: int) -> list[slice]:
    """The parts of n rows that are worked on one after another.

    Examples
    --------
    >>> [(part.start, part.stop) for part in slices(40_000)]
    [(0, 30000), (30000, 60000)]
    """
    return [slice(start, start + AT_ONCE) for start in range(0, n, AT_ONCE)]
