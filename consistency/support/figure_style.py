"""How drawings look: colours, type, and an SVG that follows the page's theme."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from consistency.support.text import visible, visible_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1a1a1b", "#5f6064", "#d9dadc"
# The first has the Latin, Greek, Cyrillic, Arabic, Hebrew and other alphabets; of the others those that a machine has draw the
# characters which it lacks.
FONTS = (
    *(
        "DejaVu Sans",
        "Noto Sans CJK SC",
        "Noto Sans CJK JP",
        "Noto Sans SC",
        "Source Han Sans SC",
        "Source Han Sans CN",
    ),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Heiti TC"),
    *("Apple SD Gothic Neo", "Microsoft YaHei", "SimHei", "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Bengali"),
    *(
        "Noto Sans Tamil",
        "Noto Sans Telugu",
        "Noto Sans Thai",
        "Noto Sans Ethiopic",
        "Noto Sans Symbols 2",
        "Noto Emoji",
    ),
    *("FreeSans", "FreeSerif", "Unifont", "Arial Unicode MS"),
)
# Characters of a label beside an axis.
LONGEST_LABEL = 44
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
    "font.sans-serif": [FONTS[0]],
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

    The last digits of a constrained layout differ from run to run, and an SVG's ids are hashes of them. Its texts are made
    visible, and get fonts that have their glyphs, as far as there are any here.
    """
    _make_visible(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        with _without_glyphs():
            engine.execute(figure)
        # With an engine, even "none", every file would be drawn twice.
        figure.set_layout_engine(None)
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def _make_visible(figure: Figure) -> None:
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    labels: list[Text] = []
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        form = axis.get_major_formatter()
        if isinstance(form, FuncFormatter) and getattr(form.func, "func", None) is not _visible_label:
            axis.set_major_formatter(FuncFormatter(partial(_visible_label, form)))
        labels += axis.get_ticklabels()
    texts = figure.findobj(Text)
    for text in texts:
        text.set_text(visible_lines(text.get_text()))
    used = set().union(*(text.get_text() for text in (*texts, *labels))) - {"\n", "\t"}
    if further := _fonts_for({character for character in used if not character.isascii()}):
        family = ["sans-serif", *further]
        for text in texts:
            text.set_fontfamily(family)
        for axes in figure.axes:
            axes.tick_params(which="both", labelfontfamily=family)


def _visible_label(form: Callable[[float, int | None], str], value: float, place: int | None = None) -> str:
    text = visible(form(value, place))
    # A longer one would leave no room for the drawing.
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 16]}…{text[-15:]}"


def _fonts_for(characters: set[str]) -> list[str]:
    """The fonts of this machine that have the glyphs which the first font lacks."""
    from matplotlib.font_manager import fontManager, get_font

    files = {font.name: font.fname for font in fontManager.ttflist}

    def lacked(name: str, wanted: set[str]) -> set[str]:
        glyphs = get_font(files[name]).get_charmap()
        return {character for character in wanted if ord(character) not in glyphs}

    found: list[str] = []
    missing = lacked(FONTS[0], characters) if characters else set()
    for name in FONTS[1:]:
        if missing and name in files and (left := lacked(name, missing)) != missing:
            found.append(name)
            missing = left
    return found


@contextmanager
def _without_glyphs() -> Iterator[None]:
    """Nothing is printed about glyphs that no font here has: a browser has more, and elsewhere a box stands for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def save(figure: Figure, target: Path | IO[bytes] | IO[str], **options: Any) -> None:
    """Write a settled figure, with the options of `Figure.savefig`."""
    with _without_glyphs():
        figure.savefig(target, **options)


def to_svg(figure: Figure) -> str:
    """The settled figure as SVG."""
    settle(figure)
    text = io.StringIO()
    save(figure, text, format="svg", metadata={"Date": None})
    # Which fonts were found here is of no use elsewhere: a browser looks by itself.
    return re.sub(rf"(?<=sans-serif)(?:, '(?:{'|'.join(FONTS[1:])})')+", "", text.getvalue())


def write_pdf(figure: Figure, path: Path | IO[bytes]) -> None:
    """Write a figure with its fonts embedded.

    Glyphs are placed one by one, so a font's layout tables are not needed, and cutting them down is most of the work of
    embedding it. fontTools drops the tables that its options name.
    """
    from fontTools.subset import Options

    dropped = getattr(Options, "_drop_tables_default", [])
    Options._drop_tables_default = [*dropped, "GSUB", "GPOS", "GDEF", "MATH", "kern"]
    try:
        save(figure, path, format="pdf", metadata={"CreationDate": None}, transparent=False)
    finally:
        Options._drop_tables_default = dropped


def inline(svg: str, prefix: str, alternative: str, cut: float = 0.0, *, themed: bool = True) -> str:
    """An SVG to set into a page: ids of its own, colours that follow the theme, a text in its place.

    Parameters
    ----------
    svg, prefix, alternative : str
    cut : float
        Points at its lower end that are not shown.
    themed : bool
        Whether the page has colours by the names of `THEME`.
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
    for colour, name in THEME.items() if themed else ():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.strip()
