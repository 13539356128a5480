"""How drawings look: colours, type, and an SVG that follows the page's theme."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1a1a1b", "#5f6064", "#d9dadc"
# Okabe and Ito's palette, which colour-blind readers can tell apart; every group also has a marker of its own.
BLUE, RED, GREEN, VIOLET, GREY = "#0072b2", "#d55e00", "#009e73", "#9467bd", "#8c8c8d"
# In the page these colours follow light and dark; a file on its own has white paper.
THEME = dict(
    zip(
        (INK, MUTED, RULE, BLUE, RED, GREEN, VIOLET, GREY),
        "ink muted rule blue red green violet grey".split(),
        strict=True,
    )
)
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.color": INK,
    # A dollar in a task's name is no formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "savefig.transparent": True,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


def settle(figure: Figure) -> None:
    """Lay a figure out for good, so that each of its files is the same bytes for the same drawing.

    The last digits of a constrained layout differ from run to run, and an SVG's ids are hashes of them.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        # With an engine, even "none", every file would be drawn twice.
        figure.set_layout_engine(None)
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def to_svg(figure: Figure) -> str:
    """The settled figure as SVG."""
    settle(figure)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def write_pdf(figure: Figure, path: Path | IO[bytes]) -> None:
    """Write a figure with its fonts embedded.

    Glyphs are placed one by one, so a font's layout tables are not needed, and cutting them down is most of the work of
    embedding it. fontTools drops the tables that its options name.
    """
    from fontTools.subset import Options

    dropped = getattr(Options, "_drop_tables_default", [])
    Options._drop_tables_default = [*dropped, "GSUB", "GPOS", "GDEF", "MATH", "kern"]
    try:
        figure.savefig(path, format="pdf", metadata={"CreationDate": None}, transparent=False)
    finally:
        Options._drop_tables_default = dropped


def inline(svg: str, prefix: str, alternative: str, cut: float = 0.0) -> str:
    """An SVG to set into a page: ids of its own, colours that follow the theme, a text in its place.

    Parameters
    ----------
    svg, prefix, alternative : str
    cut : float
        Points at its lower end that are not shown.
    """
    from markupsafe import escape

    # A style sheet inside would hold for the whole page, and two figures have the same ids.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    view = re.search(r'viewBox="(\S+ \S+ \S+) ([^"]+)"', svg)
    box = f'viewBox="{view[1]} {float(view[2]) - cut:g}"' if view else ""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{escape(alternative)}">'
    svg = re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r'xlink:href="#', f'href="#{prefix}-', svg)
    for colour, name in THEME.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.strip()
