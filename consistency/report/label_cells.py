"""How probable each label of the options is to two runs, as the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence

from consistency.report.document import LetterPrior
from consistency.report.formats.numbers import fixed
from consistency.statistics.label_priors import Prior

CAPTION = "Mean probability of each letter or other label, {runs}, in percent; in brackets: how often it is right, in percent."


def label_columns(priors: Sequence[Prior | LetterPrior]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The heads of the columns, and the cells of each row.

    Examples
    --------
    >>> label_columns([Prior(80, ("no", "yes"), (0.25, 0.75), (0.5, 0.5), (0.6, 0.4), (0.5, 0.5), None)])
    (('no', 'yes'), [('25.0 → 50.0 (60.0)', '75.0 → 50.0 (40.0)')])
    """
    longest = max((tuple(prior.labels) for prior in priors), key=len)
    alike = all(tuple(prior.labels) == longest[: len(prior.labels)] for prior in priors)
    heads = longest if alike else tuple(f"label {number}" for number in range(1, len(longest) + 1))
    return heads, [_cells(prior, len(longest), named=not alike) for prior in priors]


def _cells(prior: Prior | LetterPrior, width: int, *, named: bool) -> tuple[str, ...]:
    cells = [
        (f"{label}: " if named else "") + f"{fixed(100 * before, 1)} → {fixed(100 * after, 1)} ({fixed(100 * gold, 1)})"
        for label, before, after, gold in zip(prior.labels, prior.before, prior.after, prior.gold, strict=True)
    ]
    return (*cells, *[""] * (width - len(cells)))
