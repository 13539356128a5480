"""Tables of pandas, which only some users have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from consistency.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame


def frame_of(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> DataFrame:
    """A table of pandas with a row for each of the mappings, or with the columns of one.

    Raises
    ------
    InputError
        If pandas is not installed.

    Examples
    --------
    >>> frame_of([{"task": "law", "change": -0.05}]).to_dict("records")
    [{'task': 'law', 'change': -0.05}]
    """
    try:
        from pandas import DataFrame
    except ImportError:
        raise InputError("pandas is not installed", do="pip install pandas") from None
    return DataFrame(rows)
