"""Logs that are larger than memory would hold several times: parts of them give what the whole gives, in little memory."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from consistency.comparison.compare import compare
from consistency.errors import InputError
from consistency.logs.samples import read_samples
from consistency.report.pair.report import write_comparison
from consistency.support.sequences import JoinedBytes, Repeated, taken

DATE = "2026-01-01T00-00-00.000000"


def rows(n: int, seed: int, options: int, *, hashed: bool = True, nan: bool = False) -> list[dict]:
    rng, right = np.random.default_rng(seed), np.random.default_rng(0)
    found = []
    for i in range(n):
        scores = rng.normal(-3, 2, options).round(2).tolist()
        if nan and i % 5 == 0:
            scores[0] = float("nan")
        gold = int(right.integers(options))
        choices = [f"{letter} {i % 7}" for letter in "pqrs"[:options]]
        row = {
            "doc_id": i,
            # Some questions occur twice, and all share passages.
            "doc": {"passage": f"{i % 6} " * 120, "question": f"问 {i // 2 if i < 8 else i}?", "choices": choices},
            "target": str(gold),
            "arguments": [[f"Q{i}", f" {letter}"] for letter in "ABCD"[:options]],
            "resps": [[[x, False]] for x in scores],
            "filtered_resps": [[x, False] for x in scores],
            "acc": float(int(np.argmax(scores)) == gold) if i % 9 else None,
        }
        found.append(row | ({"doc_hash": f"h{i}", "prompt_hash": f"p{i}"} if hashed else {}))
    return found


def write(folder: Path, tasks: dict[str, list[dict]]) -> Path:
    folder.mkdir(parents=True)
    for task, found in tasks.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (folder / f"samples_{task}_{DATE}.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture
def logs(tmp_path):
    return [
        write(
            tmp_path / side,
            {
                "letters": rows(90, seed, 4),
                "pairs": rows(70, 10 + seed, 2, hashed=False)[:: 1 if seed == 1 else -1],
                "few": rows(40, 20 + seed, 3, nan=True)[seed:],
            },
        )
        for seed, side in ((1, "before"), (2, "after"))
    ]


def in_small_parts(monkeypatch) -> None:
    for name in ("items.MOST_KEPT", "estimation.MOST_KEPT", "compare.MOST_KEPT", "clusters._MOST_KEPT"):
        monkeypatch.setattr(f"consistency.comparison.{name}", 10)
    monkeypatch.setattr("consistency.report.pair.report._MOST_TEXTS", 30)
    for name in ("logs.scores", "metrics.rows", "statistics.divergences_by_question"):
        monkeypatch.setattr(f"consistency.{name}.AT_ONCE", 16)
    for name in ("statistics.means", "statistics.tails", "comparison.measure_estimates"):
        monkeypatch.setattr(f"consistency.{name}.MOST_VALUES", 150)
    monkeypatch.setattr("consistency.logs.row_reader._CHUNK", 3000)


def alike(one: object, other: object) -> bool:
    """Equal but for the last digits, which depend on the order of a sum."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-12, nan_ok=True)
    return one == other


@pytest.mark.parametrize("sampling", ["fixed", "sampled"])
def test_parts_give_what_the_whole_gives(logs, monkeypatch, sampling):
    whole = compare(*logs, task_sampling=sampling)
    in_small_parts(monkeypatch)
    parts = compare(*logs, task_sampling=sampling)
    assert whole.clusters
    assert alike(whole.to_dict(), parts.to_dict())
    assert whole.to_text() == parts.to_text()
    for task, columns in whole.items.items():
        assert list(columns) == list(parts.items[task])
        for name, values in columns.items():
            np.testing.assert_array_equal(values, parts.items[task][name], err_msg=name)


def test_a_report_of_parts_has_the_same_rows(logs, monkeypatch, tmp_path):
    import pyarrow.parquet as pq

    write_comparison(compare(*logs), tmp_path / "whole")
    in_small_parts(monkeypatch)
    write_comparison(compare(*logs), tmp_path / "parts")
    whole, parts = (pq.read_table(tmp_path / name / "items.parquet") for name in ("whole", "parts"))
    assert whole.schema == parts.schema
    # As text, in which NaN equals itself.
    assert str(whole.to_pylist()) == str(parts.to_pylist())
    for file in (tmp_path / "whole" / "tables").iterdir():
        assert file.read_bytes() == (tmp_path / "parts" / "tables" / file.name).read_bytes()


@pytest.mark.parametrize("indent", [2, None, 0])
@pytest.mark.parametrize("nan", [False, True])
def test_an_array_read_in_parts_is_the_array(tmp_path, monkeypatch, indent, nan):
    file = tmp_path / "model_sums.jsonl"
    logged = rows(60, 1, 4, nan=nan)
    logged[7]["doc"]["question"] = '}, {"doc_id": 3'
    logged[8]["doc"]["parts"] = [{"a": 1}, {"doc_id": 5}]
    file.write_text(json.dumps(logged, indent=indent, ensure_ascii=False), encoding="utf-8")
    (whole,) = read_samples(file, "sums").values()
    monkeypatch.setattr("consistency.logs.row_reader._CHUNK", 900)
    (parts,) = read_samples(file, "sums").values()
    assert [json.loads(document) for document in parts.documents] == [row["doc"] for row in logged]
    assert len(parts) == len(whole) == 60
    np.testing.assert_array_equal(parts.logprobs, whole.logprobs)
    np.testing.assert_array_equal(parts.correct, whole.correct)


def test_a_fault_in_a_later_part_of_an_array_has_its_line(tmp_path, monkeypatch):
    file = tmp_path / "model_sums.jsonl"
    text = json.dumps(rows(60, 1, 4), indent=2)
    place = text.index('"doc_id": 50')
    file.write_text(text[:place] + '"doc_id" 50' + text[place + 12 :])
    monkeypatch.setattr("consistency.logs.row_reader._CHUNK", 900)
    with pytest.raises(InputError, match="not JSON") as caught:
        read_samples(file, "sums")
    assert caught.value.line == text.count("\n", 0, place) + 1


def test_columns_of_a_log_take_less_than_the_log(tmp_path):
    """Rows as small as rows can be: what is kept of them, with the index of what each document is, is about half."""
    file = tmp_path / f"samples_sums_{DATE}.jsonl"
    with file.open("w") as lines:
        for i in range(20_000):
            row = {
                "doc_id": i,
                "doc": {"q": f"{i}?"},
                "target": str(i % 2),
                "filtered_resps": [[f"-{i % 97}.25", "False"], ["-1.5", "False"]],
                "acc": float(i % 3 == 0),
            }
            lines.write(json.dumps(row) + "\n")
    read_samples(file, "sums")
    tracemalloc.start()
    (scores,) = read_samples(file, "sums").values()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(scores) == 20_000
    assert kept < 0.75 * file.stat().st_size


def test_sequences_are_what_they_stand_for():
    items = (b"", b"one", "二".encode(), b"one")
    joined = JoinedBytes(b"".join(items), np.cumsum([len(item) for item in items]))
    assert joined == items
    assert items == joined
    assert [joined[row] for row in range(-4, 4)] == [items[row] for row in range(-4, 4)]
    assert joined[1:3] == items[1:3]
    assert taken(joined, np.array([3, 0, 2])) == (b"one", b"", items[2])
    assert joined != (*items[:3], b"two")
    with pytest.raises(IndexError):
        joined[4]
    same = Repeated("A", 3)
    assert (list(same), same[-1], same[1:], len(same)) == (["A"] * 3, "A", ("A", "A"), 3)
    assert same != ("A", "A", "B")
    assert Repeated("A", 0) == Repeated("B", 0) == ()
