"""Gates of comparisons that lack something: cut, empty and missing samples, lost questions, scores that decide nothing."""

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consistency.comparison.compare import compare
from consistency.comparison.conditions import check, read_condition
from consistency.comparison.decision import judge
from consistency.comparison.gaps import SameRun, UncomparedTasks, UnpairedQuestions
from consistency.comparison.many.compare import compare_many
from consistency.comparison.policy import read_policy
from consistency.comparison.sides.compare import compare_sides
from consistency.report.exports.card import card_of, section
from consistency.report.pair.github import to_markdown

Write = Callable[..., Path]
Call = Callable[..., tuple[int, str, str]]
DATE = "2026-01-01T00-00-00.000000"
TASKS = ("t_art", "t_law", "t_tax")
PASSES, FAILS = "accuracy drop > 90 points", "accuracy drop > -90 points"
CONDITION = ("--fail-if", PASSES)


@pytest.fixture
def write() -> Write:
    """A log of three tasks of 40 questions as lm_eval writes it; each question has four options, of which the first is best."""

    def log(folder: Path, scores: Callable[[str, int], list[float]], *, of: int = 40, limit: int | None = None) -> Path:
        folder.mkdir(parents=True)
        for task in TASKS:
            rows = []
            for number in range(of):
                document = {"question": f"{task} {number}?", "choices": list("wxyz"), "answer": number % 2}
                rows.append(
                    {
                        "doc_id": number,
                        "doc": document,
                        "target": str(number % 2),
                        "arguments": [["", f" {letter}"] for letter in "ABCD"],
                        "filtered_resps": [[str(score), "False"] for score in scores(task, number)],
                        "doc_hash": f"{task}{number}",
                        "prompt_hash": "p",
                        "target_hash": "t",
                        "acc": float(number % 2 == 0),
                    }
                )
            samples(folder, task).write_text("".join(json.dumps(row) + "\n" for row in rows))
        configs = {task: {"task": task} for task in TASKS}
        results: dict[str, Any] = {"results": {task: {"acc,none": 0.5} for task in TASKS}, "configs": configs}
        results["config"] = {"model": "hf", "model_args": f"pretrained={folder.name}", "limit": limit}
        (folder / f"results_{DATE}.json").write_text(json.dumps(results))
        return folder

    return log


def samples(folder: Path, task: str) -> Path:
    return folder / f"samples_{task}_{DATE}.jsonl"


def known(task: str, number: int) -> list[float]:
    """Scores that differ from question to question, and whose best option is the first."""
    return [-1.0 - number / 100, -2.0, -3.0, -4.0 - len(task)]


def moved(task: str, number: int) -> list[float]:
    return [score - 0.1 * place for place, score in enumerate(known(task, number))]


def cut(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:29]) + lines[29][:50])


def empty(path: Path) -> None:
    path.write_text("")


def no_text(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def gone(path: Path) -> None:
    path.unlink()


@pytest.fixture
def logs(tmp_path: Path, write: Write) -> tuple[Path, Path]:
    return write(tmp_path / "before", known), write(tmp_path / "after", moved)


@pytest.mark.parametrize("damage", [cut, empty, no_text, gone])
@pytest.mark.parametrize("side", [0, 1])
def test_a_task_that_was_not_compared_is_in_the_verdict_and_passes_no_gate(
    logs: tuple[Path, Path], damage: Callable[[Path], None], side: int, call: Call
) -> None:
    damaged = samples(logs[side], "t_law")
    damage(damaged)
    found = compare(*logs)
    (gap,) = found.gaps
    assert isinstance(gap, UncomparedTasks)
    assert (list(gap.why), gap.of, list(found.by_task)) == (["t_law"], 3, ["t_art", "t_tax"])
    # The file, and of a cut one the line.
    if damage is not gone:
        assert f"{damaged}{':30' if damage is cut else ''}" in gap.why["t_law"].to_text()
    stored = found.to_dict()
    assert stored["warnings"][0]["why"] == {"t_law": gap.why["t_law"].to_text()}
    for text in (found.to_text(), stored["verdict"], to_markdown(found), section(card_of(found)), repr(found)):
        assert gap.clause in text.replace("\\_", "_")
    code, printed, said = call("compare", *logs, *CONDITION)
    assert (code, said.count("\n")) == (2, 1)
    assert "t_law" in said
    assert said.removeprefix("consistency: ") in printed
    assert json.loads(call("compare", *logs, *CONDITION, "--json", "-")[1])["missing"] == [gap.to_text()]
    assert call("compare", *logs, *CONDITION, "--missing", "ignore")[0] == 0
    assert call("compare", *logs)[0] == 0
    # What surely fails fails.
    assert call("compare", *logs, "--fail-if", FAILS)[0] == 1


def test_the_page_says_first_what_was_not_compared(logs: tuple[Path, Path], call: Call, tmp_path: Path) -> None:
    cut(samples(logs[1], "t_law"))
    assert call("compare", *logs, *CONDITION, "--out", tmp_path / "report")[0] == 2
    page = (tmp_path / "report" / "report.html").read_text().replace("<wbr>", "")
    (gap,) = compare(*logs).gaps
    first, gate = page.index(gap.clause), page.index('<div class="gate incomplete">')
    assert max(first, gate) < page.index("<section")


@pytest.mark.parametrize("kind", ["pair", "many", "sides"])
def test_a_condition_of_an_incomplete_comparison_is_not_judged_in_any_format(
    logs: tuple[Path, Path], write: Write, call: Call, tmp_path: Path, kind: str
) -> None:
    again = write(tmp_path / "again", lambda task, number: [score - 0.2 for score in moved(task, number)])
    runs = {
        "pair": logs,
        "many": (*logs, again),
        "sides": ("--before", logs[0], "--after", logs[1], again),
    }[kind]
    cut(samples(logs[1], "t_law"))
    out, found = tmp_path / "report", {}
    files = (out / "report.html", out / "report.md", out / "gate.json", tmp_path / "found.json")
    for form, options in (("text", ("--out", out, "--json", files[-1])), ("markdown", ()), ("github", ())):
        code, found[form], _ = call("compare", *runs, *CONDITION, "--format", form, *options)
        assert code == 2
    found |= {path.name: path.read_text().replace("<wbr>", "") for path in files}
    for name, text in found.items():
        assert "not judged, accuracy drop" in text, name
        assert not re.search(r"passed, accuracy|[1-9]\d* of \d+ conditions passed|Gate passed|Gate: passed", text), name
    # What surely fails fails, and makes no other pass.
    code, text, _ = call("compare", *runs, *CONDITION, "--fail-if", FAILS, "--format", "github")
    assert code == 1
    assert ("not judged, accuracy drop" in text, "FAILED, accuracy drop" in text) == (True, True)
    assert re.search(r"❌ 0 of \d+ conditions passed, 1 not judged", text)
    code, text, _ = call("compare", *runs, *CONDITION, "--missing", "ignore")
    assert code == 0
    assert "passed, accuracy drop" in text
    assert "not judged" not in text


@pytest.mark.parametrize(("missing", "code"), [("fail", 1), ("inconclusive", 3), ("ignore", 0)])
@pytest.mark.parametrize(
    ("rule", "side"),
    [
        ("tasks: 't_*'", 1),
        ("tasks: 't_*'", 0),
        ("groups: overall", 1),
        ("groups: overall", 0),
        ("tasks: [t_art, t_law]", 1),
    ],
)
def test_a_policy_judges_all_tasks_of_both_logs(
    logs: tuple[Path, Path], tmp_path: Path, missing: str, code: int, rule: str, side: int
) -> None:
    cut(samples(logs[side], "t_law"))
    policy = tmp_path / "gate.yaml"
    policy.write_text(f"margin: 20 points\nmissing: {missing}\nrules: [{{{rule}}}]")
    assert judge(read_policy(policy), compare(*logs)).outcome.exit_code == code
    policy.write_text("margin: 20 points\nmissing: fail\nrules: [{tasks: [t_art, t_tax]}]")
    assert judge(read_policy(policy), compare(*logs)).outcome.exit_code == 0


@pytest.mark.parametrize(("lost", "code"), [(1, 0), (4, 2), (20, 2)])
def test_lost_questions_are_judged_as_a_lost_task_is(
    logs: tuple[Path, Path], lost: int, code: int, call: Call, tmp_path: Path
) -> None:
    path = samples(logs[1], "t_law")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[: 40 - lost]))
    found = compare(*logs)
    # Few of a task are no loss to speak of.
    assert [gap.lost for gap in found.gaps if isinstance(gap, UnpairedQuestions)] == ([{"t_law": lost}] if code else [])
    assert (f"{lost} of 120 questions" in found.verdict) == bool(code)
    assert call("compare", *logs, *CONDITION)[0] == code
    policy = tmp_path / "gate.yaml"
    policy.write_text("margin: 20 points\nrules: [{tasks: t_law}]")
    assert judge(read_policy(policy), found).outcome.exit_code == (1 if code else 0)


def test_a_limit_explains_the_questions_that_it_leaves_out(tmp_path: Path, write: Write, call: Call) -> None:
    logs = write(tmp_path / "before", known), write(tmp_path / "after", moved, of=10, limit=10)
    found = compare(*logs)
    (gap,) = found.gaps
    assert isinstance(gap, UnpairedQuestions)
    assert (gap.questions, gap.of, gap.lost) == (90, 120, {})
    assert [(item.setting, item.no_effect) for item in found.settings if item.setting == "limit"] == [
        ("limit", "same shared questions")
    ]
    # Thirty of each of three tasks, in one line.
    assert sum("only in the first log" in line for line in found.to_text().splitlines()) == 1
    assert call("compare", *logs, *CONDITION)[0] == 0
    # Of sides, questions that runs without a limit lack are lost all the same: of those beyond the limit as well.
    again = write(tmp_path / "again", lambda task, number: [score - 0.2 for score in known(task, number)])
    sides = ("compare", "--before", logs[0], again, "--after", logs[1])
    (warning,) = compare_sides([logs[0], again], [logs[1]]).warnings
    assert isinstance(warning, UnpairedQuestions)
    assert (warning.questions, warning.of, warning.reasons, warning.lost) == (90, 120, ("--limit 10",), {})
    assert call(*sides, *CONDITION)[0] == 0
    path = samples(again, "t_law")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    (warning,) = compare_sides([logs[0], again], [logs[1]]).warnings
    assert isinstance(warning, UnpairedQuestions)
    assert (warning.questions, warning.of, warning.lost) == (90, 120, {"t_law": 20})
    assert call(*sides, *CONDITION)[0] == 2
    # Fewer than the limit lets the run ask are lost.
    path = samples(logs[1], "t_law")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    assert call("compare", *logs, *CONDITION)[0] == 2


def nan(_: str, number: int) -> list[float]:
    return [float("nan"), -2.0 - number, -3.0, -4.0]


def equal(_: str, number: int) -> list[float]:
    return [-1.0 - number] * 4


@pytest.mark.parametrize(("scores", "field"), [(nan, "no_numbers"), (equal, "equal")])
def test_scores_that_decide_nothing_are_counted_in_every_verdict(
    tmp_path: Path, write: Write, call: Call, scores: Callable[[str, int], list[float]], field: str
) -> None:
    logs = write(tmp_path / "before", known), write(tmp_path / "after", scores)
    found = compare(*logs)
    assert found.overall is not None
    assert found.overall.odd_scores is not None
    counts = {name: {"before": 0, "after": 120 if name == field else 0} for name in ("no_numbers", "equal")}
    assert found.overall.odd_scores.to_dict() == {"of": 120, **counts}
    assert found.to_dict()["overall"]["odd_scores"] == {"of": 120, **counts}
    (clause,) = found.overall.odd_scores.clauses
    assert found.verdict.startswith(clause)
    for text in (found.to_text(), to_markdown(found), section(card_of(found))):
        assert clause in text
        assert "change of knowledge" not in text
    (judged,) = check([read_condition(CONDITION[1])], found)
    assert clause in judged.to_text()
    assert call("compare", *logs, *CONDITION)[0] == 2


def test_few_scores_that_are_no_numbers_are_one_doubt_and_one_line(tmp_path: Path, write: Write, call: Call) -> None:
    logs = (
        write(tmp_path / "before", known),
        write(
            tmp_path / "after",
            lambda task, number: (nan if task == "t_law" and number < 7 else moved)(task, number),
        ),
    )
    found = compare(*logs)
    assert "7 of 120 questions" in found.verdict
    assert not found.verdict.startswith("7")
    assert sum("no finite value for 7 of 120" in line for line in found.to_text().splitlines()) == 1
    assert call("compare", *logs, *CONDITION)[0] == 0


@pytest.mark.parametrize("gate", [CONDITION, ("--policy", "gate.yaml")])
def test_no_gate_judges_a_run_against_itself(
    logs: tuple[Path, Path], tmp_path: Path, call: Call, gate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gate.yaml").write_text("margin: 20 points\nrules: [{groups: overall}]")
    code, printed, said = call("compare", logs[0], logs[0], *gate)
    assert (code, printed, said.count("\n")) == (2, "", 1)
    shutil.copytree(logs[0], "copy")
    assert call("compare", logs[0], "copy", *gate)[0] == 0
    found = compare(logs[0], logs[0])
    assert SameRun() in found.warnings
    assert SameRun().clause in found.verdict


def test_many_runs_and_sides_have_the_same_doubts(tmp_path: Path, write: Write, call: Call) -> None:
    base, good, damaged, broken = (
        write(tmp_path / name, scores)
        for name, scores in (("base", known), ("good", moved), ("damaged", moved), ("broken", nan))
    )
    cut(samples(damaged, "t_law"))
    many = compare_many(base, {"good": good, "damaged": damaged, "broken": broken})
    (gap,) = next(run.warnings for run in many.runs if run.label == "damaged")
    assert isinstance(gap, UncomparedTasks)
    assert list(gap.why) == ["t_law"]
    assert gap.clause in many.verdict
    # All tasks together are those that every run holds.
    assert many.verdict.startswith("broken: 80 of 80 questions")
    stored = {run["label"]: run.get("warnings") for run in many.to_dict()["runs"]}
    assert stored == {"good": None, "damaged": [json.loads(json.dumps(stored["damaged"][0]))], "broken": None}
    assert call("compare", base, good, damaged, *CONDITION)[0] == 2
    assert call("compare", base, good, damaged, *CONDITION, "--missing", "ignore")[0] == 0
    sides = compare_sides([base, good], [damaged])
    assert gap.clause in sides.verdict
    assert call("compare", "--before", base, good, "--after", damaged, *CONDITION)[0] == 2
    # What else two runs' verdict doubts: scores of another model that are the same to the last bit.
    copied = write(tmp_path / "copied", known)
    (doubt,) = compare(base, copied).doubts
    assert doubt in compare_many(base, {"good": good, "copied": copied}).verdict
    assert doubt in compare_sides([base, good], [copied]).verdict
    # A question is odd where the scores of any run of a side are.
    sides = compare_sides([base, good], [broken])
    assert sides.overall is not None
    assert sides.overall.section.odd_scores is not None
    assert sides.overall.section.odd_scores.no_numbers.after == 120
