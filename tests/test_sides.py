"""Two sides of several runs: against loops over pairs of runs with scipy, variance components by hand, and one run a side."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy, spearmanr
from scipy.stats import t as student
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.cli.sides import spread
from consistency.comparison.compare import compare
from consistency.comparison.conditions import check, read_condition
from consistency.comparison.sides.compare import compare_sides
from consistency.comparison.sides.result import SideComparison
from consistency.errors import InputError
from consistency.report.schema import read_document
from consistency.report.sides.document import SidesReport
from consistency.report.sides.report import write_sides
from consistency.statistics.crossed import over_runs
from consistency.statistics.means import mean
from consistency.statistics.sampling import Labels
from consistency.statistics.sides import among_runs, beyond_runs
from consistency.support.text import width

ALONE = Labels(strata=None, tasks=None, clusters=None)
N = 120
Write = Callable[..., Path]


def logits_of(seed: int, n: int = N, shift: float = 0.0) -> np.ndarray:
    """Scores of a run that shares its questions with all others; the first option is right."""
    known = np.random.default_rng(1).normal(0, 1, (n, 4)) + np.array([0.8, 0, 0, 0])
    rng = np.random.default_rng(seed)
    return known + rng.normal(0, 0.7, (n, 4)) + np.array([shift + rng.normal(0, 0.2), 0, 0, 0])


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory, write_probe: Callable[..., Path]) -> Write:
    """Write a run of these scores."""
    root = tmp_path_factory.mktemp("runs")

    def run(name: str, logits: np.ndarray, task: str = "pool") -> Path:
        documents = [
            {"question": f"Question {i}?", "choices": ["one", "two", "three", "four"], "answer": 0}
            for i in range(len(logits))
        ]
        write_probe(root / name, documents, logits.tolist(), task)
        return root / name

    return run


@pytest.fixture(scope="module")
def sides(write: Write) -> tuple[list[Path], list[Path]]:
    before = [write(f"before-{seed}", logits_of(seed)) for seed in (10, 11)]
    return before, [write(f"after-{seed}", logits_of(seed, shift=-0.8)) for seed in (20, 21, 22)]


@pytest.fixture(scope="module")
def found(sides: tuple[list[Path], list[Path]]) -> SideComparison:
    return compare_sides(*sides)


def logs(seed: int, shift: float = 0.0) -> np.ndarray:
    logits = logits_of(seed, shift=shift)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


BEFORE, AFTER = [logs(10), logs(11)], [logs(20, -0.8), logs(21, -0.8), logs(22, -0.8)]


def right(scores: np.ndarray) -> np.ndarray:
    return (scores.argmax(axis=1) == 0) * 1.0


def test_measures_are_means_over_all_pairs_of_runs(found: SideComparison) -> None:
    assert found.overall is not None
    estimates = found.overall.section.estimates
    pairs = list(itertools.product(BEFORE, AFTER))
    kl = [entropy(np.exp(one), np.exp(two), axis=1).mean() for one, two in pairs]
    rho = [np.mean([spearmanr(a, b).statistic for a, b in zip(one, two, strict=True)]) for one, two in pairs]
    lost = [(right(one) * (1 - right(two))).mean() for one, two in pairs]
    for name, values in (("kl", kl), ("spearman", rho), ("harmful_flips", lost)):
        assert estimates[name].value == pytest.approx(np.mean(values), rel=1e-9), name
    assert found.overall.runs[1] == pytest.approx([right(scores).mean() for scores in AFTER])
    assert found.overall.deviations[0] == pytest.approx(np.std([right(s).mean() for s in BEFORE], ddof=1))


def test_noise_is_that_of_pairs_within_a_side(found: SideComparison) -> None:
    assert found.overall is not None
    noise = found.overall.noise
    kl = {
        side: np.mean([entropy(np.exp(a), np.exp(b), axis=1).mean() for a, b in itertools.permutations(runs, 2)])
        for side, runs in (("before", BEFORE), ("after", AFTER))
    }
    assert noise["kl"].before is not None
    assert noise["kl"].after is not None
    assert (noise["kl"].before.value, noise["kl"].after.value) == pytest.approx((kl["before"], kl["after"]))
    between = np.mean(
        [
            entropy(np.exp(one), np.exp(two), axis=1).mean()
            for a, b in itertools.product(BEFORE, AFTER)
            for one, two in ((a, b), (b, a))
        ]
    )
    assert noise["kl"].beyond.value == pytest.approx(between - (kl["before"] + kl["after"]) / 2)
    turned = [np.abs(right(a) - right(b)).mean() / 2 for a, b in itertools.combinations(AFTER, 2)]
    assert noise["harmful_flips"].after is not None
    assert noise["harmful_flips"].after.value == pytest.approx(np.mean(turned))


def test_the_interval_of_the_change_has_the_parts_of_runs_and_questions(found: SideComparison) -> None:
    """Mean squares of runs, questions and single answers of each side, put together by hand."""
    sides = [np.stack([right(scores) for scores in runs]) for runs in (BEFORE, AFTER)]
    differences = sides[1].mean(axis=0) - sides[0].mean(axis=0)
    questions, parts, cells = differences.var(ddof=1) / N, [], 0.0
    for side in sides:
        runs = len(side)
        parts.append((side.mean(axis=1).var(ddof=1) / runs, runs - 1))
        left = side - side.mean(axis=0) - side.mean(axis=1, keepdims=True) + side.mean()
        cells += (left**2).sum() / ((runs - 1) * (N - 1)) / (runs * N)
    of_runs = sum(part for part, _ in parts)
    df = of_runs**2 / sum(part**2 / freedom for part, freedom in parts)
    z = student.ppf(0.975, N - 1)
    half = np.sqrt(max(z**2 * max(questions - cells, 0) + student.ppf(0.975, df) ** 2 * of_runs, z**2 * questions))
    assert found.overall is not None
    change = found.overall.section.estimates["delta_accuracy"]
    assert change.value == pytest.approx(differences.mean())
    assert change.ci_low == pytest.approx(differences.mean() - half, rel=1e-6)
    assert change.ci_high == pytest.approx(differences.mean() + half, rel=1e-6)
    assert (change.unit, change.method) == ("run", "t-crossed")


def test_p_is_the_largest_error_whose_interval_excludes_no_change() -> None:
    rng = np.random.default_rng(0)
    sides = [np.stack([rng.normal(level, 1, 400) for _ in range(runs)]) for level, runs in ((0.0, 3), (0.15, 2))]
    differences = mean(sides[1].mean(axis=0) - sides[0].mean(axis=0))
    p = over_runs(differences, sides).p
    assert p is not None
    assert 0.01 < p < 0.9
    at = mean(sides[1].mean(axis=0) - sides[0].mean(axis=0), confidence=1 - p)
    end = over_runs(at, sides, confidence=1 - p).estimate.ci_low
    assert end == pytest.approx(0, abs=1e-6)


def test_arms_of_other_intervals_are_kept() -> None:
    """The longer arm of an interval over questions is the longer one over runs, too, in the root of a sum of squares."""
    rng = np.random.default_rng(3)
    side = rng.exponential(1, 300) + np.array([[0.0], [0.3], [0.1]])
    symmetric = mean(side.mean(axis=0))
    corrected = mean(side.mean(axis=0), always_corrected=True)
    plain, skewed = (over_runs(each, [side]).estimate for each in (symmetric, corrected))
    of_runs = side.mean(axis=1).var(ddof=1) / 3 * student.ppf(0.975, 2) ** 2
    assert skewed.value is not None
    assert corrected.value is not None
    assert skewed.ci_high is not None
    assert corrected.ci_high is not None
    # No answer is a run's and a question's own here.
    assert skewed.ci_high - skewed.value == pytest.approx(
        np.hypot(corrected.ci_high - corrected.value, np.sqrt(of_runs))
    )
    assert plain.ci_high != skewed.ci_high


def test_the_jackknife_leaves_out_one_run_with_all_its_pairs() -> None:
    rng = np.random.default_rng(5)
    runs = rng.normal(0, 1, (4, 200)) + np.array([[0.0], [0.5], [0.1], [0.9]])
    pairs = {(a, b): np.abs(runs[a] - runs[b]) for a, b in itertools.combinations(range(4), 2)}
    values = np.mean(list(pairs.values()), axis=0)
    of_each = np.stack([np.mean([x for pair, x in pairs.items() if run in pair], axis=0) for run in range(4)])
    left = [np.mean([x.mean() for pair, x in pairs.items() if run not in pair]) for run in range(4)]
    variance = 3 / 4 * np.sum((np.array(left) - np.mean(left)) ** 2)
    plain = mean(values)
    found = among_runs(plain, of_each)
    assert plain.se is not None
    assert found.se == pytest.approx(np.sqrt(plain.se**2 + variance))
    factor = np.exp(student.ppf(0.975, 4 / 2) * np.sqrt(variance) / values.mean())
    over_questions = student.ppf(0.975, 199) * plain.se
    assert found.ci_high == pytest.approx(values.mean() + np.hypot(over_questions, values.mean() * (factor - 1)))
    assert found.ci_low == pytest.approx(values.mean() - np.hypot(over_questions, values.mean() * (1 - 1 / factor)))
    assert among_runs(plain, of_each[:2]) == plain
    # A share of the same answers is as far from 1 as the share of others is from 0.
    alike = among_runs(mean(1 - values), 1 - of_each, alike=1.0)
    assert found.ci_low is not None
    assert (alike.ci_high, alike.ci_low) == pytest.approx((1 - found.ci_low, 1 - found.ci_high))


def test_what_runs_differ_by_is_covered_where_it_is_their_chance() -> None:
    """Squared distances of levels drawn from a normal distribution have a mean of twice its variance."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        levels = rng.normal(0, 1, 5)
        pairs = (levels[:, None] - levels) ** 2
        of_each = np.repeat(pairs.sum(axis=1, keepdims=True) / 4, 2, axis=1)
        found = among_runs(mean(of_each.mean(axis=0)), of_each)
        assert found.ci_low is not None
        assert found.ci_high is not None
        covered.append(found.ci_low <= 2 <= found.ci_high)
    # 400 draws of 95 %: three standard errors below.
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)


def test_without_several_runs_there_is_nothing_beyond() -> None:
    between = np.zeros((1, 5)), np.zeros((1, 5))
    assert beyond_runs(between, (None, None), ALONE).estimate.value is None


def test_one_run_a_side_is_a_comparison_of_two(sides: tuple[list[Path], list[Path]]) -> None:
    pair = compare(sides[0][0], sides[1][0])
    found = compare_sides(sides[0][:1], sides[1][:1])
    assert found.overall is not None
    assert pair.overall is not None
    assert dict(found.overall.section.estimates) == dict(pair.overall.estimates)
    assert found.by_task["pool"].section.to_dict() == pair.by_task["pool"].to_dict()
    assert found.verdict == pair.verdict
    assert not found.overall.noise


def test_a_side_of_one_run_is_taken_as_it_is(sides: tuple[list[Path], list[Path]]) -> None:
    found = compare_sides(sides[0][:1], sides[1])
    assert found.overall is not None
    noise = found.overall.noise["same_top"]
    same = found.overall.section.estimates["same_top"]
    assert noise.before is None
    assert noise.after is not None
    assert noise.after.value is not None
    assert same.value is not None
    assert noise.beyond.value == pytest.approx(same.value - noise.after.value)
    change, after = found.overall.section.estimates["delta_accuracy"], np.stack([right(x) for x in AFTER])
    assert change.se is not None
    assert change.se**2 >= after.mean(axis=1).var(ddof=1) / 3
    assert "before: a single run" in found.to_text()


def test_questions_that_a_run_lacks_are_left_out_for_all(write: Write) -> None:
    runs = [write(f"short-{seed}", logits_of(seed)) for seed in (30, 31)]
    short = write("short-32", logits_of(32))
    (file,) = short.iterdir()
    file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[10:100]), encoding="utf-8")
    found = compare_sides(runs, [short, write("short-33", logits_of(33))])
    assert found.by_task["pool"].section.n == 90
    expected = [right(logits_of(seed))[10:100].mean() for seed in (30, 31)]
    assert found.by_task["pool"].runs[0] == pytest.approx(expected)
    assert any("30 questions of 120 left out" in note for note in found.notes)


def test_a_run_given_twice_is_refused(sides: tuple[list[Path], list[Path]]) -> None:
    (one, two), after = sides
    with pytest.raises(InputError, match="before 1 and before 3 are one run"):
        compare_sides([one, two, one], after)


def test_copies_of_a_run_are_named(write: Write, sides: tuple[list[Path], list[Path]]) -> None:
    found = compare_sides([*sides[0], write("copy", logits_of(10))], sides[1])
    assert [note.partition(":")[0] for note in found.notes if "the same to the last bit" in note] == [
        "before 1 and before 3 are the same to the last bit"
    ]
    assert not any("to the last bit" in note for note in compare_sides(*sides).notes)


def test_conditions_are_about_all_runs(found: SideComparison) -> None:
    (item,) = check([read_condition("measured accuracy drop > 5 points")], found.changes)
    change = found.changes.pools[0].estimates["delta_accuracy"].value
    assert change is not None
    assert item.estimate.value == pytest.approx(-change)
    assert item.failed == (-change > 0.05)
    (calibrated,) = check([read_condition("calibrated drop > 90 points")], found.changes)
    assert not calibrated.failed
    with pytest.raises(InputError, match="has no kl sharpness"):
        check([read_condition("kl sharpness > 1 nats")], found.changes)


def test_values_follow_an_option_or_repeat_it() -> None:
    plain = ["--before", "a", "--before", "b", "--after", "c", "--after", "d", "--margin", "0.02"]
    assert spread(["--before", "a", "b", "--after", "c", "d", "--margin", "0.02"]) == plain
    assert spread(plain) == plain
    assert spread(["one", "two", "--json", "-"]) == ["one", "two", "--json", "-"]
    assert spread(["--before", "a", "--", "b"]) == ["--before", "a", "--", "b"]


def test_the_command_prints_writes_and_judges(sides: tuple[list[Path], list[Path]], tmp_path: Path) -> None:
    (a1, a2), (b1, b2, b3) = (list(map(str, side)) for side in sides)
    runner = CliRunner()
    together = runner.invoke(app, ["compare", "--before", a1, a2, "--after", b1, b2, b3, "--json", "-"])
    apart = ["--after", b1, "--after", b2, "--before", a1, "--before", a2, "--after", b3]
    each = runner.invoke(app, ["compare", "--json", "-", *apart])
    assert together.exit_code == each.exit_code == 0, together.output
    assert json.loads(together.stdout) == json.loads(each.stdout)
    gate = ["--fail-if", "measured accuracy drop > 1 points", "--out", str(tmp_path / "out")]
    printed = runner.invoke(app, ["compare", *apart, *gate])
    assert printed.exit_code == 1
    rows = printed.stdout.split("\n\n")[2]
    assert max(map(width, rows.splitlines())) <= 80
    document = read_document(tmp_path / "out")
    assert isinstance(document, SidesReport)
    assert len(document.logs) == 5
    stored = json.loads(together.stdout)["by_task"]["pool"]["estimates"]["kl"]["value"]
    assert document.by_task["pool"].estimates["kl"].value == pytest.approx(stored)
    for arguments in (["--before", a1], [a1, "--before", a1, "--after", b1], [a1]):
        assert runner.invoke(app, ["compare", *arguments]).exit_code == 2
    page = runner.invoke(app, ["compare", *apart, "--format", "markdown", *gate[:2]])
    assert page.exit_code == 1
    assert "❌ 0 of 1 conditions passed:" in page.stdout
    assert "| `pool` | 120 |" in page.stdout
    assert runner.invoke(app, ["compare", *apart, "--policy", "x.yaml"]).exit_code == 2


def test_a_prompt_shows_a_few_lines(found: SideComparison) -> None:
    assert len(repr(found)) < 400
    assert repr(found).splitlines()[0] == "SideComparison"
    assert f"{len(found.runs[1])} runs" in repr(found)


def test_names_of_tasks_are_text_on_the_page(write: Write, tmp_path: Path) -> None:
    task = "<script>alert(1)<b>"
    runs = [write(f"hostile-{seed}", logits_of(seed, 20), task=task) for seed in range(40, 44)]
    compared = compare_sides(runs[:2], runs[2:])
    page = write_sides(compared, tmp_path / "out").read_text(encoding="utf-8")
    for html in (page, compared._repr_html_()):
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert" in html


def test_a_comparison_of_sides_shows_itself_in_a_few_lines(found: SideComparison) -> None:
    lines = repr(found).splitlines()
    assert 3 < len(lines) < 16
    assert max(map(width, lines)) <= 80
    assert found.overall is not None
    change = found.overall.section.estimates["delta_accuracy"].value
    assert change is not None
    assert f"{100 * change:+.1f}" in found._repr_html_()


def test_a_right_answer_that_one_run_alone_logs_is_that_of_all(tmp_path: Path) -> None:
    """Forty questions, whose options are right in turn, as the third run says; the fourth denies it of the last four."""
    runs = []
    for number, right in enumerate((20, 20, 25, 30)):
        folder = tmp_path / str(number)
        folder.mkdir()
        lines = []
        for row in range(40):
            answer = row % 2 if row < right else 1 - row % 2
            line = {
                "doc_id": row,
                "doc": {"question": f"Which is the {row}th?", "choices": ["p", "q"]},
                "target": {2: str(row % 2), 3: str(1 - row % 2) if row >= 36 else ""}.get(number, ""),
                "filtered_resps": [[str(-1.0 - (option != answer)), "False"] for option in range(2)],
            }
            lines.append(json.dumps(line))
        (folder / "samples_things_2026-01-01T00-00-00.000000.jsonl").write_text("\n".join(lines))
        runs.append(folder)
    comparison = compare_sides(runs[:2], runs[2:])
    found = comparison.by_task["things"].section.estimates
    assert found["accuracy_before"].value == pytest.approx(20 / 36)
    assert found["accuracy_after"].value == pytest.approx((25 + 30) / 2 / 36)
    assert [note for note in comparison.notes if re.search(r"right answers? .*4 questions", note)]
