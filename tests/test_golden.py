"""Numbers of comparisons and reports, to the last digit, as they were before the code was moved or renamed.

`tests/golden/*.json` holds them; what they should be is judged by the other tests, against scipy, statsmodels and cases
computed by hand. After a change that is meant to change numbers: `python tests/test_golden.py` writes the files again.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consistency import compare
from consistency.report.grid.report import write_report

GOLDEN = Path(__file__).with_name("golden")
REAL = ("qwen2.5-1.5b-instruct-0shot", "qwen2.5-1.5b-instruct-5shot", "vicuna-33b-lm_eval-0.4.0")
LISTS = ("results", "means", "contrasts", "partial_correlations", "checkpoints")
NAMES = ("model", "domain", "group", "seed", "epoch", "scope", "minuend", "subtrahend", "measure", "x", "variant")


Numbers = dict[str, dict[str, float]]


def numbers(value: Mapping[str, Any], place: str) -> Iterator[tuple[str, dict[str, float]]]:
    """The numbers of each mapping in nested data, with its place."""
    own = {key: item for key, item in value.items() if isinstance(item, (int, float)) and not isinstance(item, bool)}
    if own:
        yield place, own
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from numbers(item, f"{place}/{key}")


def of_pair(before: Path, after: Path, tasks: Sequence[str], **how: Any) -> Numbers:
    """The numbers of a comparison: of all tasks, of its scopes and of some tasks."""
    found = compare(before, after, **how).to_dict()
    sections = {"overall": found["overall"], **found.get("by_scope", {})}
    sections |= {name: found["by_task"][name] for name in tasks}
    return {place: own for name, section in sections.items() for place, own in numbers(section, name)}


def of_grid(folder: Path) -> Numbers:
    """The numbers of a grid's report: of runs only those in one scope."""
    document, found = json.loads((folder / "report.json").read_text()), {}
    for name in LISTS:
        for row in document[name]:
            if name not in ("results", "checkpoints") or row["scope"] == "id":
                place = "/".join([name, *(str(row[key]) for key in NAMES if key in row)])
                found |= dict(numbers({key: item for key, item in row.items() if key not in NAMES}, place))
    return found


def write_pair(folder: Path) -> tuple[Path, Path]:
    """Two logs of twelve tasks with options, of unequal sizes and lengths, and one whose answers are generated."""
    rng = np.random.default_rng(16)
    for number in range(12):
        n, k = 5 + 7 * number, 2 + number % 4
        before = rng.normal(size=(n, k))
        after = before + rng.normal(size=(n, k)) * (0.2 + number / 10)
        after[:2] = after[:2].round()
        before[2] = 0.0
        before[3, 0] = -np.inf
        gold = rng.integers(k, size=n)
        for when, scores in (("before", before), ("after", after)):
            rows = [
                {
                    "doc_id": row,
                    "doc": {
                        "question": f"{number}.{row}?",
                        "choices": [f"{row} " * (1 + option) for option in range(k)],
                    },
                    "target": str(gold[row]),
                    "arguments": {f"gen_args_{o}": {"arg_0": "…", "arg_1": f"{row} " * (1 + o)} for o in range(k)},
                    "filtered_resps": [[float(x), False] for x in scores[row]],
                    "filter": "none",
                    "metrics": ["acc"],
                    "acc": float(scores[row].argmax() == gold[row]),
                    "doc_hash": f"{number}-{row}",
                }
                for row in range(n)
            ]
            write_samples(folder / when, f"task_{number}", rows)
    for when in ("before", "after"):
        rows = [
            {
                "doc_id": row,
                "doc": {"question": f"g{row}"},
                "target": "7",
                "filter": "none",
                "doc_hash": f"g{row}",
                "filtered_resps": ["7"],
                "metrics": ["exact_match", "length"],
                "exact_match": float(rng.integers(2)),
                "length": float(rng.normal()),
            }
            for row in range(40)
        ]
        write_samples(folder / when, "generated", rows)
    return folder / "before", folder / "after"


def write_samples(folder: Path, task: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_2026-01-02T03-04-05.000006.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows).replace("-Infinity", '"-inf"'))


def synthetic(folder: Path) -> Numbers:
    scopes = {
        "few": [f"task_{number}" for number in range(1, 4)],
        "many": [f"task_{number}" for number in range(1, 12)],
    }
    before, after = write_pair(folder)
    found = of_pair(before, after, ["task_0", "task_11", "generated"], scopes=scopes)
    return found | {f"acc_norm/{place}": x for place, x in of_pair(before, after, (), score="acc_norm").items()}


def real(data: Path) -> Numbers:
    first, second, old = (data / "harness_logs" / name for name in REAL)
    found = of_pair(first, second, ["mmlu_abstract_algebra"], scopes={"id": ["mmlu_college_computer_science"]})
    return found | {f"releases/{place}": x for place, x in of_pair(old, second, ()).items()}


def agree(found: Numbers, name: str) -> None:
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    assert not set(expected) - set(found)
    for place, own in expected.items():
        # Another processor may sum in another order: a few units in the last place.
        assert {key: found[place].get(key) for key in own} == pytest.approx(own, rel=1e-12, abs=1e-15), place


def test_of_a_pair(tmp_path: Path) -> None:
    agree(synthetic(tmp_path), "pair")


def test_of_real_logs(test_data: Path) -> None:
    agree(real(test_data), "real_logs")


def test_of_a_grid(make_experiment: Callable[..., Any], tmp_path: Path) -> None:
    groups = ("harmonious", "incompatible", "mixed_0.2", "self_aligning")
    folder = write_report(make_experiment(groups=groups, epochs=(1,)), tmp_path / "report").parent
    agree(of_grid(folder), "grid")


def write(name: str, found: Numbers) -> None:
    """Write the numbers that hold from now on."""
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(
        "{\n" + ",\n".join(f"{json.dumps(place)}: {json.dumps(own)}" for place, own in found.items()) + "\n}\n"
    )


if __name__ == "__main__":
    from conftest import make_experiment as fixture

    with tempfile.TemporaryDirectory() as name:
        made = Path(name)

        class Folders:
            """What the fixture asks of pytest."""

            @staticmethod
            def mktemp(folder: str) -> Path:
                return made / folder

        (made / "experiment").mkdir()
        build = fixture.__wrapped__(Folders())
        groups = ("harmonious", "incompatible", "mixed_0.2", "self_aligning")
        write("pair", synthetic(made / "pair"))
        write("grid", of_grid(write_report(build(groups=groups, epochs=(1,)), made / "report").parent))
        if os.environ.get("CONSISTENCY_TEST_DATA"):
            write("real_logs", real(Path(os.environ["CONSISTENCY_TEST_DATA"])))
