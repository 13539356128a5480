"""Many runs in a notebook: the conclusion and the ranking, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consistency.comparison.many.result import ManyComparison
from consistency.report.many.figures import many_plots
from consistency.report.many.tables import judgement_table, ranking_table
from consistency.report.notebook_html import fewer, to_piece
from consistency.support.figure_style import STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In inches.
_WIDE = 6.4


def to_html(comparison: ManyComparison) -> str:
    """What was found, which runs were compared, and their ranking with judgements, as a piece of HTML.

    Parameters
    ----------
    comparison : ManyComparison

    Returns
    -------
    str
        Without scripts; whatever the names of runs and tasks hold is text.
    """
    ranking = ranking_table(comparison)
    judged = {row[0]: row[1] for row in judgement_table(comparison).rows}
    return to_piece(
        comparison.conclusions,
        comparison.to_lines(),
        (*ranking.head, "judgement"),
        [(*row, judged.get(row[0], "")) for row in ranking.rows],
        ranking.caption,
        fewer(comparison.notes),
    )


def plot(comparison: ManyComparison, axes: Axes | None = None) -> Axes:
    """The axes on which the change of each run is drawn, with intervals that hold together; new ones by default."""
    from matplotlib import pyplot, rc_context

    drawn, *_ = many_plots(comparison)
    style: Any = STYLE
    with rc_context(style):
        if axes is None:
            axes = pyplot.subplots(figsize=(_WIDE, sum(drawn.heights) + 0.4), layout="constrained")[1]
        drawn.draw([axes], next(iter(drawn.panels)))
        if len(drawn.panels) == 1 < len(drawn.looks):
            marks = ", ".join(f"{look.mark.glyph} {look.mark.label}" for look in drawn.looks)
            axes.set_xlabel(f"{axes.get_xlabel()} ({marks})")
    return axes
