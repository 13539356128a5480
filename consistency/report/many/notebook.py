"""Many runs in a notebook: the conclusion and the ranking, as HTML."""

from __future__ import annotations

from consistency.comparison.many.result import ManyComparison
from consistency.report.many.tables import judgement_table, ranking_table
from consistency.report.notebook_html import fewer, to_piece


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
