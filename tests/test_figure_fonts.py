"""Texts of figures: visible, never formulas, and with fonts for all scripts where a machine has them."""

import io
import re
import warnings
from pathlib import Path

import matplotlib
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from consistency.support.figure_style import LONGEST_LABEL, STYLE, save, to_svg, write_pdf


def _font(path: Path, family: str, characters: str) -> Path:
    """A font of boxes for some characters."""
    names = [".notdef", *(f"u{ord(character)}" for character in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
    pen = TTGlyphPen(None)
    pen.moveTo((50, 0))
    for corner in ((50, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    box = pen.glyph()
    builder.setupGlyf(dict.fromkeys(names, box))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 50)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return path


def _drawn(*labels: str) -> tuple[str, bytes, bytes]:
    """A figure with labels, as SVG, PDF and PNG; a warning is an error."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "test"}), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = Figure(figsize=(3.5, 2), layout="constrained")
        axes = figure.subplots()
        axes.set_yticks(range(len(labels)), labels, fontsize=7)
        axes.set_title(labels[0][:5])
        svg, pdf, png = to_svg(figure), io.BytesIO(), io.BytesIO()
        write_pdf(figure, pdf)
        save(figure, png, format="png")
    return svg, pdf.getvalue(), png.getvalue()


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("$\\frac{$ $$ _^ \\", "$\\frac{$ $$ _^ \\"),
        ("a\x1b[31m\u202e\x00\ud800", "a\\x1b[31m\\u202e\\x00\\ud800"),
        ("two\nlines", "two\\nlines"),
        ("中文 العربية 👩\u200d🔬", "中文 العربية 👩\u200d🔬"),
        ("a & <b>", "a &amp; &lt;b&gt;"),
    ],
)
def test_a_label_is_drawn_as_text(label, shown):
    svg, pdf, png = _drawn("first", label)
    assert f">{shown}</text>" in svg
    assert pdf.startswith(b"%PDF")
    assert png.startswith(b"\x89PNG")


def test_a_long_label_leaves_room_for_the_drawing():
    svg, _, _ = _drawn("begin" + "x" * 300 + "end")
    (label,) = re.findall(r">(begin[^<]*…[^<]*end)</text>", svg)
    assert len(label) == LONGEST_LABEL


def test_fonts_of_this_machine_draw_what_the_first_one_lacks(tmp_path, monkeypatch):
    svg, without, _ = _drawn("中文", "plain")
    plain = _drawn("plain")
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    fontManager.addfont(_font(tmp_path / "font.ttf", "Noto Sans CJK SC", "中文"))
    again, within, _ = _drawn("中文", "plain")
    embedded = [set(re.findall(rb"/FontName /[A-Z]{6}\+(\S+)", pdf)) for pdf in (without, within)]
    assert embedded[1] - embedded[0]
    # A browser chooses fonts by itself: the page is the same everywhere.
    families = [set(re.findall(r"font(?:-family)?: [^;\"]+", text)) for text in (svg, again)]
    assert families[0] == families[1]
    assert _drawn("plain") == plain
