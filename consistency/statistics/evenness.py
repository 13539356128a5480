"""Whether answers are far from even over letters: one rule for right answers, training rows and pools of questions."""

from __future__ import annotations

# Cohen's w of this size, which even answers have by chance less often than this. Calibration makes answers even: of a model
# that knows 87 % of right answers with a smaller w, it takes less than some 2 points. Rows with a smaller w teach hardly any.
EFFECT, LEVEL = 0.2, 0.01


def far_from_even(effect: float, p: float | None) -> bool:
    """Whether answers are so uneven over letters that calibration misleads, and that training on them teaches letters.

    Parameters
    ----------
    effect : float
        Cohen's w: √(χ² / n) against an even spread; 0 for an even one, 1.73 for one letter of four.
    p : float or None
        Of Pearson's χ² test; None where there are too few answers for one.

    Examples
    --------
    >>> far_from_even(0.25, 0.001), far_from_even(0.15, 1e-9), far_from_even(0.25, 0.2), far_from_even(0.25, None)
    (True, False, False, False)
    """
    return p is not None and p < LEVEL and effect >= EFFECT
