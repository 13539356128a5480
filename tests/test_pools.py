"""What decontamination leaves of a pool, counted by `consistency experiment validate` before anything runs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Call = Callable[..., tuple[int, str, str]]


def facts(first: int, last: int) -> list[dict[str, Any]]:
    """Questions that have no words in common but for the frame."""
    return [
        {
            "question": f"Who won cup{number} of town{number * 31} in year{number * 7}?",
            "choices": [f"club{number * 4 + place}" for place in range(4)],
            "answer": number % 4,
        }
        for number in range(first, last)
    ]


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Callable[..., list[str]]:
    """What is said of an experiment on a domain with such questions in its files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONSISTENCY_DATA", raising=False)

    def check(files: dict[str, list[dict[str, Any]]], **changes: Any) -> list[str]:
        for name, rows in ({"dev": facts(900, 905), "test": facts(500, 520)} | files).items():
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        content = {
            "name": "mine",
            "models": {"tiny": "embedded"},
            "tasks": "paper",
            "domains": {"sport": {split: f"{split}.jsonl" for split in ("pool", "test", "dev")} | {"ood": []}},
            "groups": ["harmonious"],
            "seeds": [0],
            "general": "none",
        }
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content | changes))
        code, _, error = call("experiment", "validate", "mine.yaml")
        found = re.findall(r"^problem: mine\.yaml:(?:\d+:)? (.*)", error, re.MULTILINE)
        assert code == (2 if found else 0)
        return found

    return check


def test_a_pool_inside_the_test_set_is_named(problems: Callable[..., list[str]]) -> None:
    assert problems({"pool": facts(0, 40)}) == []
    (whole,) = problems({"pool": facts(500, 520)})
    assert whole.startswith("domains: sport: ")
    # Forty questions, 34 of them in test: 6 are left.
    mostly = {"pool": facts(0, 40), "test": facts(6, 60)}
    assert problems(mostly) == problems(mostly, size=6) == []
    (few,) = problems(mostly, size=7)
    assert few.startswith("domains: sport: ")
    assert {"7", "40", "6"} <= set(few.replace(";", " ").split())
    # Right answers and wrong ones are different questions.
    assert problems(mostly, size=3, groups=["harmonious", "incompatible"]) == []
    (_,) = problems(mostly, size=4, groups=["harmonious", "incompatible"])


def test_what_the_limit_asks_is_counted_and_each_question_once(problems: Callable[..., list[str]]) -> None:
    late = {"pool": facts(500, 520) + facts(0, 20)}
    assert problems(late, size=10) == []
    (problem,) = problems(late, size=5, limit=20)
    assert problem.startswith("domains: sport: ")
    (repeated,) = problems({"pool": facts(0, 4) * 10}, size=5)
    assert repeated.startswith("domains: sport: ")


def test_a_pool_that_is_too_small_by_itself_is_named_once(problems: Callable[..., list[str]]) -> None:
    (problem,) = problems({"pool": facts(0, 5)}, size=6)
    assert problem.startswith("size: ")


def test_the_evaluation_sets_of_other_domains_and_the_guard_count(problems: Callable[..., list[str]]) -> None:
    splits = {split: f"{split}.jsonl" for split in ("pool", "test", "dev")} | {"ood": []}
    both = {"sport": splits, "games": splits | {"pool": "other.jsonl", "test": "pool.jsonl"}}
    files = {"pool": facts(0, 40), "other": facts(100, 140)}
    (problem,) = problems(files, domains=both)
    assert problem.startswith("domains: sport: ")
    (guarded,) = problems(files, guard="pool.jsonl")
    assert guarded.startswith("domains: sport: ")
    Path("broken.jsonl").write_text("{\n")
    (unreadable,) = problems(files, guard="broken.jsonl")
    assert unreadable.startswith("guard: broken.jsonl")


def test_the_pools_of_the_folder_of_questions_are_counted(
    problems: Callable[..., list[str]], test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSISTENCY_DATA", str(test_data))
    settings: dict[str, Any] = {"domains": ["medicine", "history"], "size": 20, "limit": 60}
    assert problems({}, guard=str(test_data / "domains"), **settings) == []
    found = problems({}, guard=str(test_data / "pool" / "medicine.jsonl"), **settings)
    assert [problem.split(": ")[1] for problem in found] == ["medicine"]
