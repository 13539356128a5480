"""Text that a terminal, a browser or a spreadsheet would not show as it is."""

import csv
import unicodedata

import msgspec
import pytest

from consistency.report.formats.csv import cell, write_csv
from consistency.report.formats.latex import escape
from consistency.support.json_files import json_lines, pretty_json
from consistency.support.text import joined, markdown, padded, visible, visible_lines, width

HIDDEN = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
    *"\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u206f\u2800\u3164\ufe00\ufe0f\ufeff\uffa0\ufff9\ufffe\uffff",
    *"\ud800\udbff\udc80\udfff\ue000\U000e0001\U000e0041\U000e007f\U000e0100\U000f0000\U0010ffff",
]
READABLE = [
    "medical_genetics 5-shot, 50 % → 60 %",
    "中文任务　（农业）",
    "日本語 葛\U000e0100城",
    "한국어",
    "العربية، ١٢٣",
    "می\u200cخواهم",
    "עברית שָׁלוֹם",
    "हिन्दी क्\u200dष",
    "ไทย",
    "e\u0301 Å ñ ﬁ",
    "👩\u200d🔬 👩🏽\u200d🚀 👨\u200d👩\u200d👧\u200d👦 🏳\ufe0f\u200d🌈 ❤\ufe0f 1\ufe0f\u20e3 ©\ufe0f",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 🇩🇪",
    "no\u00a0break, narrow\u202fone",
]


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_what_cannot_be_seen_is_escaped_wherever_it_stands(character):
    for text in (character, f"a{character}b", f"中{character}", f"{character}é"):
        shown = visible(text)
        # Chinese characters have variants, which a selector chooses.
        if text[0] == "中" and character in "\ufe00\ufe0f\U000e0100":
            assert shown == text
            continue
        assert character not in shown
        assert shown == text.replace(character, character.encode("unicode_escape").decode())
        assert shown.replace("\u00a0", " ").isprintable()


@pytest.mark.parametrize("text", READABLE)
def test_texts_of_all_scripts_stay(text):
    assert visible(text) == text
    assert visible_lines(f"{text}\n{text}") == f"{text}\n{text}"


def test_every_character_of_unicode_is_kept_or_escaped():
    """Categories are Unicode's own: those without a look are escaped, letters, marks, numbers, punctuation and signs stay."""
    unseen, seen = [], []
    for character in map(chr, range(0x110000)):
        kind = unicodedata.category(character)
        if kind in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp"):
            unseen.append(character)
        elif kind[0] in "LNPS" and character not in "\u115f\u1160\u2800\u3164\uffa0":
            seen.append(character)
    assert visible(" ".join(seen)) == " ".join(seen)
    assert len(visible(" ".join(unseen)).split(" ")) == len(unseen)
    assert not set(visible(" ".join(unseen))) & set(unseen)


def test_visible_text_stays_as_it_is():
    for character in HIDDEN:
        assert visible(visible(f"x{character}")) == visible(f"x{character}")


def test_a_name_cannot_begin_a_line():
    assert joined(["task a", "b\nFAILED", "c\u2028d"]) == "task a\nb\\nFAILED\nc\\u2028d"


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("中文", 4), ("e\u0301", 1), ("ｆｕｌｌ", 8), ("한국", 4), ("שָׁ", 1), ("", 0)],
)
def test_columns_of_a_terminal(text, columns):
    assert width(text) == columns
    assert width(padded(text, 9)) == width(padded(text, 9, right=True)) == 9


def test_json_holds_the_same_values_in_what_can_be_seen():
    value = {
        f"a{character}": [f"{character}b", {"c": character}]
        for character in HIDDEN
        if character.isprintable() or not "\ud800" <= character <= "\udfff"
    }
    value |= {text: text for text in READABLE}
    pretty, (line,) = pretty_json(value), json_lines([value])
    for text in (pretty, line.decode()):
        assert msgspec.json.decode(text) == value
        assert visible(text, keep="\n") == text
    assert all(text in pretty for text in READABLE)


def test_json_of_a_path_that_is_not_utf8():
    assert msgspec.json.decode(pretty_json({"path\udcff": ("a\udcfe", 1, None)})) == {
        "path\\udcff": ["a\\udcfe", 1, None]
    }
    assert list(json_lines(["\ud800"])) == [b'"\\\\ud800"\n']


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", '"=', "'@", " \t+", "\u00a0="])
def test_no_field_of_a_csv_is_a_formula(start, tmp_path):
    name = f"{start}HYPERLINK(1)"
    write_csv(tmp_path / "a.csv", [{name: name, "number": -0.5, "text": "-0.5", "none": None}])
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row.values())[1:] == ["-0.5", "-0.5", ""]
    for text in (next(iter(row)), row[next(iter(row))]):
        assert text.startswith("'")
        assert text == visible(f"'{name}")


@pytest.mark.parametrize("value", ["-1", "+2.5e-3", "−5", "−0.50 [−1, 2]", "a-b", "–", "1 = 1", 5, None, True])
def test_numbers_and_other_texts_stay_as_they_are(value):
    assert cell(value) == value


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_markdown_and_latex_show_what_is_hidden(character):
    for shown in (markdown(f"a{character}b"), escape(f"a{character}b")):
        assert character not in shown
        assert visible(shown) == shown
