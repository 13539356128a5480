"""Intervals of what was chosen because it is extreme."""

from __future__ import annotations


def selected_confidence(selected: int, of: int, rate: float = 0.05) -> float:
    """The confidence at which the intervals of the most extreme of several estimates miss, on average, at a given rate.

    The intervals of the ten largest of 57 changes hold too rarely at 95 %, since the largest are those that chance made so.
    At a level of 1 - rate * selected / of, the expected share of the selected intervals that miss their truth (the false
    coverage rate) is at most `rate`, whatever the true values are.

    Parameters
    ----------
    selected, of : int
        How many estimates were selected, of how many.
    rate : float
        Of the intervals that miss.

    Returns
    -------
    float
        1 - rate where all are selected.

    References
    ----------
    Benjamini and Yekutieli (2005), False discovery rate-adjusted multiple confidence intervals for selected parameters.
    JASA 100, 71-81.

    Examples
    --------
    >>> round(selected_confidence(10, 57), 4), selected_confidence(8, 8)
    (0.9912, 0.95)
    """
    if not 0 < selected <= of:
        raise ValueError(f"expected some of {of} estimates, got {selected}")
    return 1 - rate * selected / of
