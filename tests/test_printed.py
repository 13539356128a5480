"""What `consistency compare` shows on a terminal: lines that fit, colours only where they are wanted, the conclusion first."""

import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Sequence
from fcntl import ioctl
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consistency import compare
from consistency.support.progress_line import progress_line
from consistency.support.terminal import BETTER, WORSE, wrapped

DATE = "2026-03-04T05-06-07.000000"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CJK = "高中物理与天文学以及化学的综合性考试题目大全"
HOSTILE = "\x1b]0;title\x07\x1b[31mred\x1b[2J\x9b31m\r\u202eover"
WIDTHS = (60, 80, 120, 200)


def columns_of(text: str) -> int:
    """The columns of a line, counted apart from the program's own count."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def write(
    folder: Path, task: str, right: Sequence[bool], *, generated: bool = False, model: str = "org/tiny-7b"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, good in enumerate(right):
        gold = number % 4
        row: dict[str, Any] = {
            "doc_id": number,
            "doc": {"question": f"{task} {number}?", "choices": list("wxyz"), "answer": gold},
            "target": str(gold),
            "filter": "none",
            "doc_hash": f"{task}{number}",
        }
        if generated:
            row |= {"doc": {"question": f"{task} {number}?", "answer": str(gold)}, "metrics": ["exact_match"]}
            row |= {"filtered_resps": [str(gold if good else gold + 1)], "exact_match": float(good)}
        else:
            answered = gold if good else (gold + 1) % 4
            row |= {"filtered_resps": [[str(-0.3 if place == answered else -2.1), "False"] for place in range(4)]}
            row |= {"metrics": ["acc"], "acc": float(good)}
        rows.append(json.dumps(row) + "\n")
    (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(rows))
    results = {"model_name": model, "config": {"model": "hf"}, "configs": {}, "results": {}}
    (folder / f"results_{DATE}.json").write_text(json.dumps(results))


def pair(root: Path, tasks: dict[str, tuple[int, float, bool]], model: str = "org/tiny-7b") -> tuple[Path, Path]:
    """Two runs: by task, its number of questions, the share of right answers that turn wrong, and whether texts are generated."""
    rng = np.random.default_rng(3)
    for name, (n, lost, generated) in tasks.items():
        before = rng.random(n) < 0.7
        after = before & (rng.random(n) >= lost)
        for side, right in (("before", before), ("after", after)):
            write(root / side, name, [bool(good) for good in right], generated=generated, model=model)
    return root / "before", root / "after"


SUITES: dict[str, dict[str, tuple[int, float, bool]]] = {
    "many": {
        f"mmlu_high_school_government_and_politics_{place:02}": (20, 0.05 * (place % 7), False) for place in range(57)
    },
    "one": {"arc_easy": (50, 0.2, False)},
    "generated": {"gsm8k": (50, 0.2, True), "math": (50, 0.0, True)},
    "mixed": {"arc_easy": (50, 0.2, False), "gsm8k": (50, 0.3, True), "boolq": (30, 0.0, False)},
    "names": {CJK: (30, 0.4, False), HOSTILE: (30, 0.1, False), "x" * 150: (30, 0.0, False), "short": (30, 0.2, False)},
}


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    root = tmp_path_factory.mktemp("suites")
    found = {name: pair(root / name, tasks) for name, tasks in SUITES.items()}
    return found | {"model": pair(root / "model", SUITES["one"], model=f"org/{HOSTILE}{CJK * 5}")}


def on_terminal(
    command: Sequence[object], wide: int, program: Sequence[str] = ("-m", "consistency"), **environment: str
) -> tuple[int, str, str]:
    """What a program shows on a terminal of so many columns: exit code, standard output, standard error (a terminal, too)."""
    ends = [pty.openpty() for _ in range(2)]
    for _, terminal in ends:
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, wide, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "LINES")}
    process = subprocess.Popen(
        [sys.executable, *program, *map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=ends[0][1],
        stderr=ends[1][1],
        env=kept | {"TERM": "xterm-256color"} | environment,
    )
    for _, terminal in ends:
        os.close(terminal)
    shown, waiting = {ends[0][0]: b"", ends[1][0]: b""}, {ends[0][0], ends[1][0]}
    until = time.monotonic() + 120
    while waiting and time.monotonic() < until:
        for handle in select.select(list(waiting), [], [], 1)[0]:
            try:
                read = os.read(handle, 65536)
            except OSError:  # the other end is closed
                read = b""
            shown[handle] += read
            if not read:
                waiting.discard(handle)
    code = process.wait(10)
    out, err = (shown[handle].decode().replace("\r\n", "\n") for handle, _ in ends)
    for handle, _ in ends:
        os.close(handle)
    return code, out, err


@pytest.mark.parametrize("suite", [*SUITES, "model"])
@pytest.mark.parametrize("wide", WIDTHS)
def test_every_line_fits(suites: dict[str, tuple[Path, Path]], suite: str, wide: int) -> None:
    comparison = compare(*suites[suite])
    for most in (10, None):
        text = comparison.to_text(most, columns=wide, styles=True)
        lines = COLOUR.sub("", text).split("\n")
        assert max(map(columns_of, lines)) <= wide
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", "".join(lines))
        # The rows of the table stand under each other.
        start = next(place for place, line in enumerate(lines) if line.startswith("task"))
        rows = lines[start : lines.index("", start)]
        rows = rows[: 1 + min(len(comparison.by_task), most or 10**6)]
        assert len({columns_of(row) for row in rows}) <= 2
        assert len(rows) - 1 >= min(len(comparison.by_task), most or 10**6)
    # More room shows more.
    if wide == 200:
        narrow, whole = (
            next(line for line in comparison.to_text(columns=room).splitlines() if line.startswith("task"))
            for room in (60, 200)
        )
        assert len(whole.split()) > len(narrow.split())


def test_a_terminal_shows_the_conclusion_first_with_colours(suites: dict[str, tuple[Path, Path]]) -> None:
    code, out, _ = on_terminal(["compare", *suites["many"]], 80)
    assert code == 0
    lines = COLOUR.sub("", out).splitlines()
    assert max(map(columns_of, lines)) <= 80
    overall = compare(*suites["many"]).overall.estimates["delta_accuracy"]
    assert (
        lines[0]
        == f"Accuracy fell: {100 * overall.value:+.1f} points [{100 * overall.ci_low:+.1f}, {100 * overall.ci_high:+.1f}]"
    )
    assert "before  tiny-7b, 2026-03-04 05:06:07" in lines
    assert "after   tiny-7b, 2026-03-04 05:06:07" in lines
    assert WORSE in out
    assert BETTER not in out
    # Not red and green: those who see neither tell blue from vermilion.
    assert set(COLOUR.findall(out)) <= {"\x1b[1m", "\x1b[0m", "\x1b[38;5;166m", "\x1b[38;5;32m"}
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_terminal(["compare", *suites["one"]], 80, **environment)[1]


def test_the_width_is_that_of_the_terminal_or_of_columns(suites: dict[str, tuple[Path, Path]]) -> None:
    heads = [
        next(
            line
            for line in COLOUR.sub("", on_terminal(["compare", *suites["mixed"]], wide, **given)[1]).splitlines()
            if line.startswith("task")
        )
        for wide, given in ((60, {}), (140, {}), (60, {"COLUMNS": "140"}))
    ]
    assert len(heads[0]) <= 60 < len(heads[1])
    assert heads[1] == heads[2]


def test_the_ten_largest_changes_come_first(suites: dict[str, tuple[Path, Path]], call: Callable[..., Any]) -> None:
    comparison = compare(*suites["many"])
    changes = {name: section.estimates["delta_accuracy"].value for name, section in comparison.by_task.items()}
    for flags, count in (((), 10), (("--all",), 57)):
        out = call("compare", *suites["many"], *flags)[1]
        lines = out.splitlines()
        start = next(place for place, line in enumerate(lines) if line.startswith("task"))
        shown = [
            abs(float(re.search(r" % +([+-]?[\d.]+) +\[", line)[1])) for line in lines[start + 1 : start + 1 + count]
        ]
        largest = sorted((abs(round(100 * change, 1)) for change in changes.values()), reverse=True)[:count]
        assert shown == pytest.approx(largest, abs=0.051)
        # Adjusted p is named so; that of all tasks together is not adjusted.
        assert lines[start].rstrip().endswith("p (Holm)")
        assert "p " in next(line for line in lines if line.startswith("overall"))[-8:]


def test_explain_needs_no_logs(call: Callable[..., Any]) -> None:
    assert call("compare", "--explain", "slice") == call("explain", "slice")
    code, out, err = call("compare", "--explain", "shrnk")
    assert (code, out) == (2, "")
    assert "shrunk" in err


def test_how_far_it_is_stands_on_standard_error_until_the_end(suites: dict[str, tuple[Path, Path]]) -> None:
    # As if it took a second, however fast the machine is.
    soon = "from consistency.support import progress_line; progress_line.TERMINAL = (0.0, 0.0); "
    program = ("-c", f"{soon}from consistency.cli import main; main()")
    code, out, err = on_terminal(["compare", *suites["many"]], 80, program)
    assert code == 0
    assert "consistency: " in err
    # It is gone at the end.
    assert err.rstrip("\n").endswith("\r")
    assert "consistency: " not in out


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_one_long_part_shows_what_it_is_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consistency.support.progress_line.TERMINAL", (0.05, 0.05))
    stream = Terminal()
    with progress_line(stream) as tell:
        tell("reading a large file", 0, 1)
        until = time.monotonic() + 60
        while not stream.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        assert "consistency: reading a large file" in stream.getvalue()
    assert stream.getvalue().endswith("\r")


def test_lines_end_at_words() -> None:
    text = "accuracy fell by 3.1 % [-4.0, -2.2] (p < .001) in 高中物理与天文学 and elsewhere"
    for most in range(8, 60):
        lines = wrapped(text, most, "  ")
        assert max(map(columns_of, lines)) <= most
        assert "".join("".join(lines).split()) == "".join(text.split())
    assert "[-4.0, -2.2]" in wrapped(text, 30)[1]
