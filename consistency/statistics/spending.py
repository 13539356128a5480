"""An error probability spent over repeated checks: how much of it each check may use, so that all together use no more."""

from __future__ import annotations

import math
from typing import Literal

Spending = Literal["even", "pocock", "obrien-fleming"]
SPENDINGS: tuple[Spending, ...] = ("even", "pocock", "obrien-fleming")


def spent(number: int, of: int, alpha: float, spending: Spending = "even") -> float:
    """The level of one of several checks.

    Parameters
    ----------
    number, of : int
        Which check, counted from 1, of how many.
    alpha : float
        What all checks may spend.
    spending : {"even", "pocock", "obrien-fleming"}
        The same for each; a little more for the first; or little for the first and most for the last.

    Returns
    -------
    float
        0 for a check beyond the last. The levels of all checks add up to `alpha`, so the chance that any of them errs is no
        larger, however the checks depend on each other.

    References
    ----------
    Lan and DeMets (1983), Discrete sequential boundaries for clinical trials. Biometrika 70, 659-663.

    Examples
    --------
    >>> [round(spent(k, 4, 0.05, "obrien-fleming"), 4) for k in (1, 2, 3, 4, 5)]
    [0.0001, 0.0055, 0.0181, 0.0264, 0.0]
    """
    if number > of:
        return 0.0
    return _until(number / of, alpha, spending) - _until((number - 1) / of, alpha, spending)


def _until(share: float, alpha: float, spending: Spending) -> float:
    """What is spent after a share of the checks."""
    if spending == "even":
        return alpha * share
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * share)
    if share == 0:
        return 0.0
    from scipy.special import ndtr, ndtri

    return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(share)))
