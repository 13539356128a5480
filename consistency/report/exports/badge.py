"""A badge: the change of accuracy with its interval as a small SVG that loads nothing."""

from __future__ import annotations

from markupsafe import escape

from consistency.report.exports.card import Card, change_of
from consistency.statistics.estimates import Estimate
from consistency.support.text import visible

LABEL = "change of accuracy"
# Dark enough for white letters, and told apart by the colour-blind; the sign says the same.
COLOURS = {"worse": "#b34700", "better": "#00618f", "unclear": "#5f6064"}
_LABEL_COLOUR = "#333335"
_HEIGHT, _PAD, _SIZE = 20, 7, 11
# Of a letter in the sans serif of a browser, on average; the text is then fitted to it.
_WIDTH = 6.1


def badge(card: Card) -> str:
    """The badge of a comparison: a text of one line, with a title for those who cannot see it."""
    main = card.main
    change = None if main is None else main.estimate("delta_accuracy")
    text = "not measured" if change is None else f"{change_of(change)} points"
    before, after = card.models
    title = escape(visible(f"{after} against {before}: {LABEL} {text}"))
    left, right = (round(_WIDTH * len(words)) for words in (LABEL, text))
    split, width = left + 2 * _PAD, left + right + 4 * _PAD
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" role="img" aria-labelledby="title">',
        f'<title id="title">{title}</title>',
        f'<rect width="{width}" height="{_HEIGHT}" rx="3" fill="{_LABEL_COLOUR}"/>',
        f'<path d="M{split} 0h{width - split - 3}a3 3 0 0 1 3 3v{_HEIGHT - 6}a3 3 0 0 1 -3 3h-{width - split - 3}z" '
        f'fill="{COLOURS[judged(change)]}"/>',
        f'<g fill="#fff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="{_SIZE}" aria-hidden="true">',
        _text(_PAD, left, LABEL),
        _text(split + _PAD, right, text),
        "</g>",
        "</svg>",
    ]
    return "\n".join(pieces) + "\n"


def judged(change: Estimate | None) -> str:
    """Whether the interval of a change lies on one side of 0: "worse", "better" or "unclear".

    Examples
    --------
    >>> judged(Estimate(-0.1, 0.01, -0.12, -0.08, 100)), judged(Estimate(-0.1, 0.1, -0.3, 0.1, 100))
    ('worse', 'unclear')
    """
    if change is None or change.ci_high is None or not change.excludes_zero:
        return "unclear"
    return "worse" if change.ci_high < 0 else "better"


def _text(x: int, length: int, words: str) -> str:
    return f'<text x="{x}" y="14" textLength="{length}">{escape(words)}</text>'
