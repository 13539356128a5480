"""Damage logs at random and compare them with themselves: a right result or one clear error, never anything else.

    python scripts/fuzz_logs.py --logs 10000

Each log is a small run in one of the forms that lm_eval has written. Some damage does not matter (rows in another order,
rows twice, white space): then the comparison with the undamaged log must find no change. Any other must end in a result
within its bounds, or in one error that names the file and, where there are lines, the line. The exit code is 1
otherwise, and the first failures are printed with their seeds.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from consistency.comparison.compare import compare
from consistency.comparison.result import Comparison
from consistency.errors import InputError
from consistency.metrics.measures import MEASURE

NAME = "samples_sums_2026-01-01T00-00-00.000000.jsonl"
LINE = b'{"doc_id": 0, "doc": {}}\n'
KINDS = ("strings", "numbers", "unequal", "array", "texts", "generated")
JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, 10**400, 1.5, -1e308, 1e308, math.nan, math.inf, -math.inf, "", "x", "nan", "-1e999"),
    *(
        "\ud800",
        "é" * 50,
        [],
        {},
        [[]],
        [["-1", "True"]],
        [[[[0]]]],
        {"a": {"b": [1]}},
        "[0, 1]",
        "1",
        "-inf",
        "x" * 5000,
    ),
)
BYTES = (
    b"\xff",
    b"\x00",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b"\\",
    b"\n",
    b"\xef\xbb\xbf",
    b"NaN",
    b"1e999",
    b"\xed\xa0\x80",
)
# What no single line is at fault for.
OF_THE_WHOLE = ("file is empty", "holds no document", "logs no options", "no question in common", "no task in common")
Log = list[dict[str, Any]]


def make_log(kind: str, rng: np.random.Generator) -> Log:
    """A small log in one of the forms that lm_eval has written."""
    rows: Log = []
    for i in range(12):
        count = int(rng.integers(2, 6)) if kind == "unequal" else 4
        scores = (-rng.exponential(3, count)).round(3).tolist()
        texts = (
            [f" option {o} {'x' * o}" for o in range(count)] if kind == "texts" else [f" {c}" for c in "ABCDE"[:count]]
        )
        gold = int(rng.integers(count))
        number = kind in ("numbers", "array")
        row: dict[str, Any] = {
            "doc_id": i,
            "doc": {
                "question": f"How many are {i} and {count}?",
                "choices": [f"{o} é" for o in range(count)],
                "answer": gold,
            },
            "target": gold if number else str(gold),
            "arguments": [["…", t] for t in texts]
            if kind == "array"
            else {f"gen_args_{o}": {"arg_0": "…", "arg_1": t} for o, t in enumerate(texts)},
            "filtered_resps": [[s, False] if number else [str(s), "False"] for s in scores],
            "acc": float(np.argmax(scores) == gold),
        }
        if kind == "generated":
            row |= {"filtered_resps": [str(gold)], "arguments": {"gen_args_0": {"arg_0": "…", "arg_1": {"until": []}}}}
            row["exact_match"] = row.pop("acc")
        if kind != "array":
            row |= {"doc_hash": f"hash-{i}", "prompt_hash": "p", "filter": "none"}
            row["metrics"] = ["exact_match"] if kind == "generated" else ["acc"]
        rows.append(row)
    return rows


def written(rows: Log, kind: str) -> bytes:
    """The bytes of a log, as the harness writes them."""
    if kind == "array":
        return json.dumps(rows, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for row in rows)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def damage(rows: Log, kind: str, rng: np.random.Generator) -> tuple[bytes, bool]:
    """A damaged log, and whether the damage is harmless."""
    rows = copy.deepcopy(rows)
    how = int(rng.integers(6))
    if how == 0:
        order = rng.permutation(len(rows)).tolist()
        return written([rows[i] for i in [*order, *order[: rng.integers(4)]]], kind), True
    if how == 1 and kind != "array":
        return b"\n".join([b"", *written(rows, kind).splitlines(), b" ", b""]), True
    if how in (2, 3):
        for _ in range(int(rng.integers(1, 4))):
            places = list(_places(rows))
            holder, key = places[rng.integers(len(places))]
            if rng.random() < 0.3:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(JUNK[rng.integers(len(JUNK))])
        return written(rows, kind), False
    content = bytearray(written(rows, kind))
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(content)))
        end = at + int(rng.choice([0, 1, 5, 200, len(content)], p=[0.4, 0.3, 0.1, 0.1, 0.1]))
        piece = LINE if rng.random() < 0.1 else BYTES[rng.integers(len(BYTES))]
        content[at:end] = piece if rng.random() < 0.7 else b""
        if not content:
            break
    return bytes(content), False


def judge(before: Path, after: Path, harmless: bool) -> str:
    """What became of a comparison: "result" or "error"; anything else raises."""
    try:
        comparison = compare(before, after)
    except InputError as refused:
        error = refused
    else:
        _check(comparison, harmless)
        return "result"
    assert error.path is not None, f"no file in: {error}"
    assert "\n" not in str(error), f"several lines: {error}"
    assert error.line is not None or any(text in str(error) for text in OF_THE_WHOLE), f"no line in: {error}"
    assert not harmless, f"refused: {error}"
    return "error"


def _check(comparison: Comparison, harmless: bool) -> None:
    json.dumps(comparison.to_dict(), allow_nan=False).encode()
    comparison.to_text().encode()
    section = comparison.main
    for name, estimate in section.estimates.items():
        low, high = MEASURE[name].bounds
        assert estimate.value is None or low - 1e-9 <= estimate.value <= high + 1e-9, f"{name} is {estimate.value}"
    if harmless:
        flips = section.flips or {}
        assert (section.n, flips.get("harmful"), flips.get("beneficial")) == (12, 0, 0), f"{section.n} pairs, {flips}"
        assert "kl" not in section.estimates or section.estimates["kl"].value == 0, "KL of equal logs"


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=1000, help="number of damaged logs")
    parser.add_argument("--seed", type=int, default=0, help="of the first; each log has the next")
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before", NAME), Path(folder, "after", NAME)
        before.parent.mkdir()
        after.parent.mkdir()
        for seed in range(arguments.seed, arguments.seed + arguments.logs):
            rng = np.random.default_rng(seed)
            kind = KINDS[seed % len(KINDS)]
            rows = make_log(kind, rng)
            before.write_bytes(written(rows, kind))
            content, harmless = damage(rows, kind, rng)
            after.write_bytes(content)
            try:
                outcomes[judge(before, after, harmless)] += 1
            except Exception:
                outcomes["failure"] += 1
                if outcomes["failure"] <= 5:
                    print(f"seed {seed} ({kind}):\n{traceback.format_exc()}", file=sys.stderr)
    print(
        f"{arguments.logs} damaged logs: " + ", ".join(f"{count} {name}s" for name, count in sorted(outcomes.items()))
    )
    return int(outcomes["failure"] > 0)


if __name__ == "__main__":
    sys.exit(main())
