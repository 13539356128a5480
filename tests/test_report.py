import csv
import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from consistency.errors import InputError
from consistency.experiment.grid import Experiment
from consistency.report.document import Figure
from consistency.report.grid.cells import Cell
from consistency.report.grid.document import Contrast, Mean
from consistency.report.grid.estimates import estimate
from consistency.report.grid.report import write_report
from consistency.report.grid.verdict import verdict
from consistency.support.text import p_equals
from consistency.tasks.scopes import scope_tasks


@pytest.fixture(scope="module")
def folder(make_experiment: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two domains and three groups."""
    return write_report(make_experiment(), tmp_path_factory.mktemp("report") / "report").parent


def read(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def test_figures_are_those_of_the_items(folder: Path) -> None:
    report, items = read(folder), pd.read_parquet(folder / "items.parquet")
    assert len(report["results"]) == 2 * 3 * 3
    for row in report["results"]:
        chosen = items[(items.domain == row["domain"]) & (items.group == row["group"]) & (items.scope == row["scope"])]
        assert row["n"] == len(chosen) == {"homo": 30, "id": 24, "ood": 96}[row["scope"]]
        assert row["tuned"]["accuracy"]["value"] == pytest.approx(chosen.correct_after.mean())
        assert row["tuned"]["kl"]["value"] == pytest.approx(chosen.kl.mean())
        # Fixed tasks: their variances add.
        tasks = chosen.groupby("task", observed=True).kl
        variance = (tasks.var(ddof=1) * tasks.count()).sum() / len(chosen) ** 2
        assert row["tuned"]["kl"]["se"] == pytest.approx(np.sqrt(variance))
        assert row["flips"]["harmful"] == ((chosen.correct_before == 1) & (chosen.correct_after == 0)).sum()
        discordant = row["flips"]["harmful"] + row["flips"]["beneficial"]
        assert row["mcnemar_p"] == pytest.approx(stats.binomtest(row["flips"]["harmful"], discordant).pvalue)


def test_one_task_has_the_interval_of_scipy(folder: Path) -> None:
    items = pd.read_parquet(folder / "items.parquet")
    for row in read(folder)["results"]:
        if row["scope"] == "homo":
            chosen = items[(items.domain == row["domain"]) & (items.group == row["group"]) & (items.scope == "homo")]
            low, high = stats.ttest_1samp(chosen.spearman, 0).confidence_interval()
            found = row["tuned"]["spearman"]
            # Of skewed values it is corrected (Hall 1992), as in a comparison.
            if 25 * stats.skew(chosen.spearman, bias=False) ** 2 < len(chosen):
                assert (found["ci_low"], found["ci_high"]) == pytest.approx((low, high))
            else:
                assert found["method"] == "t-hall"
            for part, column in (("tuned", "correct_after"), ("base", "correct_before")):
                share = proportion_confint(chosen[column].sum(), len(chosen), method="wilson")
                found = row[part]["accuracy"]
                assert (found["ci_low"], found["ci_high"]) == pytest.approx(share)
                assert found["method"] == "wilson"


@pytest.mark.parametrize(
    ("who", "label"),
    [
        ("icl", "base 5-shot, medicine"),
        ("ift", "base 0-shot, medicine"),
        ("tuned", "HARMONIOUS, medicine, seed 0"),
    ],
)
def test_a_model_that_favours_an_option_is_named_first(
    who: str, label: str, make_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    experiment = make_experiment(domains=("medicine",))
    logs = next(experiment.runs()).logs if who == "tuned" else experiment.base_logs("tiny", who)
    ood = [name for style in ("icl", "ift") for name in scope_tasks("medicine", style)["ood"]]
    for path in (logs / "model").glob("samples_*.jsonl"):
        if any(f"samples_{name}_2026" in path.name for name in ood):
            samples = [json.loads(line) for line in path.read_text().splitlines()]
            for sample in samples:
                sample["filtered_resps"][3][0] = "9"
            path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    report = read(write_report(experiment, tmp_path / "report").parent)
    items = pd.read_parquet(tmp_path / "report" / "items.parquet")
    own = items[(items.group == "harmonious") & (items.scope == "ood")]
    # 96 questions: 20 for each of four options.
    note = report["notes"][0]
    assert note.startswith(f"tiny, {label}, OOD: 100.0 % of the answers are option D")
    assert f"{100 * (own.gold == 3).mean():.1f} %" in note


def score_interval(lost: int, won: int, n: int) -> list[float]:
    """Tango's 95 % interval of a change of paired shares, from his equations (1998, section 3)."""

    def score(change: float) -> float:
        # The likeliest chance of a lost answer if this is the true change: the larger root of 2 n q² + b q + c.
        b, c = -lost - won + (2 * n - won + lost) * change, -lost * change * (1 - change)
        chance = max(np.roots([2 * n, b, c]).real)
        return float((won - lost - n * change) / np.sqrt(n * (2 * chance + change * (1 - change))))

    z, value = stats.norm.ppf(0.975), (won - lost) / n
    return [
        brentq(lambda change: score(change) - z, -0.999, value, xtol=1e-14),
        brentq(lambda change: score(change) + z, value, 0.999, xtol=1e-14),
    ]


def test_contrasts_are_paired_and_corrected(folder: Path) -> None:
    report, items = read(folder), pd.read_parquet(folder / "items.parquet")
    row = next(
        row
        for row in report["contrasts"]
        if (row["minuend"], row["measure"], row["scope"], row["domain"]) == ("harmonious", "kl", "homo", "history")
    )
    homo = items[(items.scope == "homo") & (items.domain == "history")].pivot(
        index="doc_id", columns="group", values="kl"
    )
    tested = stats.ttest_rel(homo.harmonious, homo.incompatible)
    assert row["difference"]["value"] == pytest.approx((homo.harmonious - homo.incompatible).mean())
    assert row["difference"]["ci_low"] == pytest.approx(tested.confidence_interval().low)
    assert row["p"] == pytest.approx(tested.pvalue)
    # Of accuracy the interval is that of a pair of the two groups' runs.
    right = items[(items.scope == "homo") & (items.domain == "history")].pivot(
        index="doc_id", columns="group", values="correct_after"
    )
    change = right.harmonious - right.incompatible
    expected = score_interval(int((change == -1).sum()), int((change == 1).sum()), len(change))
    (row,) = (
        other
        for other in report["contrasts"]
        if (other["minuend"], other["scope"], other["domain"], other["seed"], other["measure"])
        == ("harmonious", "homo", "history", row["seed"], "accuracy")
    )
    assert (row["difference"]["ci_low"], row["difference"]["ci_high"]) == pytest.approx(expected, rel=1e-6)
    for family in {row["family"] for row in report["contrasts"]}:
        members = [row for row in report["contrasts"] if row["family"] == family]
        adjusted = multipletests([row["p"] for row in members], method="holm")[1]
        assert [row["p_holm"] for row in members] == pytest.approx(list(adjusted))


def test_a_question_of_two_domains_is_one_draw(folder: Path) -> None:
    """Means over domains: OOD questions are shared, so their two values add before a variance is taken."""
    report, items = read(folder), pd.read_parquet(folder / "items.parquet")
    row = next(row for row in report["means"] if (row["group"], row["scope"]) == ("incompatible", "ood"))
    chosen = items[(items.group == "incompatible") & (items.scope == "ood")]
    sizes = chosen.groupby("domain", observed=True).size()
    weighted = chosen.kl / chosen.domain.map(sizes).astype(float) / 2
    totals = weighted.groupby([chosen.task.astype(str), chosen.doc_id]).sum()
    assert row["n"] == len(totals) < len(chosen)
    by_task = totals.groupby(level=0)
    assert row["tuned"]["kl"]["value"] == pytest.approx(totals.sum())
    assert row["tuned"]["kl"]["se"] == pytest.approx(np.sqrt((by_task.var(ddof=1) * by_task.count()).sum()))


def test_seeds_are_summarised(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    write_report(make_experiment(domains=("medicine",), seeds=(0, 1, 2)), tmp_path / "report")
    report = read(tmp_path / "report")
    row = next(row for row in report["seed_summary"] if (row["group"], row["scope"]) == ("incompatible", "homo"))
    values = [
        other["tuned"]["accuracy"]["value"]
        for other in report["results"]
        if (other["group"], other["scope"]) == ("incompatible", "homo")
    ]
    assert (row["seeds"], row["accuracy"]["value"]) == (3, pytest.approx(np.mean(values)))
    assert row["accuracy"]["sd"] == pytest.approx(np.std(values, ddof=1))


def test_the_partial_correlation_says_why_there_is_none(
    make_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    write_report(make_experiment(domains=("medicine",)), tmp_path / "report")
    rows = read(tmp_path / "report")["partial_correlations"]
    assert {(row["scope"], row["variant"]) for row in rows} == {
        (scope, variant)
        for scope in ("homo", "id", "ood")
        for variant in ("standard", "paper", "within_domains", "given_dose", "given_mix")
    }
    # With so many runs, three degrees of freedom would be left.
    assert all(row["value"] is None and f"{row['n']} runs" in row["reason"] for row in rows)
    assert all(f"{row['n'] - row['df'] + 3} are needed" in row["reason"] for row in rows)


def test_the_partial_correlation_is_pingouins(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    pingouin = pytest.importorskip("pingouin")
    groups = ("incompatible", "mixed_0.2", "mixed_0.6", "self_aligning")
    write_report(make_experiment(groups=groups), tmp_path / "report")
    report = read(tmp_path / "report")
    for scope in ("homo", "id", "ood"):
        frame = pd.DataFrame(
            [
                (
                    row["tuned"]["spearman"]["value"],
                    row["tuned"]["accuracy"]["value"],
                    row["base"]["accuracy"]["value"],
                )
                for row in report["results"]
                if row["scope"] == scope
            ],
            columns=["x", "y", "z"],
        )
        expected = pingouin.partial_corr(frame, "x", "y", "z", method="spearman")
        found = next(
            row for row in report["partial_correlations"] if (row["scope"], row["variant"]) == (scope, "standard")
        )
        assert found["n"] == 8
        assert found["value"] == pytest.approx(expected["r"].iloc[0])
    assert (tmp_path / "report" / "figures" / "ratios.svg").is_file()


def test_given_the_dose_it_is_pingouins_within_domains(
    make_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    pingouin = pytest.importorskip("pingouin")
    groups = ("incompatible", "mixed_0.05", "mixed_0.2", "mixed_0.6", "self_aligning")
    folder = write_report(make_experiment(groups=groups), tmp_path / "report").parent
    report = read(folder)
    ratios = dict(zip(groups, (0, 0.05, 0.2, 0.6, 1), strict=True))
    for scope in ("homo", "id", "ood"):
        rows = [row for row in report["results"] if row["scope"] == scope]
        frame = pd.DataFrame(
            {
                "x": [row["tuned"]["spearman"]["value"] for row in rows],
                "y": [row["tuned"]["accuracy"]["value"] for row in rows],
                "ratio": [ratios[row["group"]] for row in rows],
            }
        ).rank()
        frame["domain"] = [float(row["domain"] == "history") for row in rows]
        mixes = pd.get_dummies(frame.ratio, dtype=float).iloc[:, 1:].add_prefix("mix_")
        frame = pd.concat([frame, mixes], axis=1)
        found = {row["variant"]: row for row in report["partial_correlations"] if row["scope"] == scope}
        for variant, controls in (
            ("within_domains", ["domain"]),
            ("given_dose", ["domain", "ratio"]),
            ("given_mix", ["domain", *mixes]),
        ):
            expected = pingouin.partial_corr(frame, "x", "y", controls).iloc[0]
            row = found[variant]
            assert (row["value"], row["p"]) == pytest.approx((expected["r"], expected["p_val"]))
            assert row["df"] == 10 - len(controls) - 2
            assert row["within_p"] > 0
        # Two domains, two values of what the paper holds constant.
        assert "base accuracy has 2 values" in found["standard"]["remark"]
        assert "base accuracy has 2 values" in found["paper"]["remark"]
    text = (folder / "report.md").read_text()
    assert f"{found['given_dose']['value']:+.2f}".replace("-", "−") in text.partition("Within domains and given the")[2]


def test_contrasts_over_seeds_take_training_runs_as_units(
    make_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    folder = write_report(make_experiment(domains=("medicine",), seeds=(0, 1, 2)), tmp_path / "report").parent
    report, items = read(folder), pd.read_parquet(folder / "items.parquet")
    homo = items[items.scope == "homo"].pivot(index="doc_id", columns=["group", "seed"], values="kl")
    x = (homo["harmonious"] - homo["incompatible"]).to_numpy()
    rows = {
        row["seed"]: row
        for row in report["contrasts"]
        if (row["minuend"], row["measure"], row["scope"]) == ("harmonious", "kl", "homo")
    }
    left = x - x.mean(axis=0) - x.mean(axis=1, keepdims=True) + x.mean()
    over_runs, over_questions = x.mean(axis=0).var(ddof=1) / 3, x.mean(axis=1).var(ddof=1) / 30
    both = over_runs + over_questions - (left**2).sum() / (2 * 29) / 90
    found = rows[None]
    assert (found["unit"], found["method"]) == ("run", "t-crossed")
    assert found["difference"]["value"] == pytest.approx(x.mean())
    assert found["difference"]["se"] == pytest.approx(np.sqrt(max(both, over_runs, over_questions)))
    assert found["question_se"] == pytest.approx(np.sqrt(over_questions))
    assert found["p"] >= max(stats.ttest_1samp(x.mean(axis=axis), 0).pvalue for axis in (0, 1))
    assert rows[1]["unit"] == "stratum"
    assert rows[1]["p"] == pytest.approx(stats.ttest_1samp(x[:, 1], 0).pvalue)
    means = {row["group"]: row for row in report["means"] if row["scope"] == "homo"}
    assert {row["unit"] for row in means.values()} == {"run"}
    # The base model was trained with no seed: its figure has the interval over questions.
    base = items[(items.scope == "homo") & (items.group == "harmonious") & (items.seed == 0)].correct_before
    assert means["harmonious"]["base"]["accuracy"]["se"] == pytest.approx(stats.sem(base))
    assert "not of the recipe" not in report["intervals"]
    assert "seeds" in report["intervals"]


def test_the_same_logs_give_the_same_files(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = make_experiment(domains=("medicine",))
    for name in ("one", "two"):
        write_report(experiment, tmp_path / name)
    first = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert {path.name for path in first} >= {"report.html", "report.md", "results.csv", "groups.svg", "groups.pdf"}
    created = [read(tmp_path / name)["created"] for name in ("one", "two")]
    for path in first:
        one, two = ((tmp_path / name / path).read_bytes() for name in ("one", "two"))
        assert one.replace(created[0].encode(), b"") == two.replace(created[1].encode(), b""), path


def test_tables_have_every_digit(folder: Path) -> None:
    report = read(folder)
    with (folder / "tables" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report["results"])
    for line, row in zip(rows, report["results"], strict=True):
        assert float(line["tuned_kl"]) == row["tuned"]["kl"]["value"]
        assert float(line["change_accuracy_ci_low"]) == row["change"]["accuracy"]["ci_low"]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]


def test_the_page_needs_no_other_file_and_escapes(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = replace(make_experiment(domains=("medicine",)), name="<script>alert('x')</script> | $x_1$")
    page = Page()
    text = write_report(experiment, tmp_path / "report").read_text()
    page.feed(text)
    # One is the page's own; the questions, the tables to be copied and the files that it holds are JSON.
    assert page.tags.count("script") == 4
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    # Beside itself it names the files of its folder, and asks for none.
    assert all(address.startswith(("#", "tables/", "figures/", "items.parquet")) for address in page.addresses)
    assert all((tmp_path / "report" / address).is_file() for address in page.addresses if address[0] != "#")
    # Groups, flips, and consistency with accuracy, each in three scopes.
    assert page.tags.count("svg") == 9
    assert page.tags.count("table") >= 4
    *prose, signature = (tmp_path / "report" / "report.md").read_text().splitlines()
    assert "<script>" not in "\n".join(prose)
    # Four spaces make it code.
    assert signature.startswith("    experiment:<script>")


def test_a_missing_task_is_named(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = make_experiment(domains=("medicine",))
    run = next(experiment.runs())
    task = scope_tasks("medicine", "ift")["id"][0]
    next(run.logs.rglob(f"samples_{task}_*")).unlink()
    write_report(experiment, tmp_path / "report")
    report = read(tmp_path / "report")
    name = task.replace("_ift", "_icl")
    assert report["pairing"]["absent_tasks"] == {name: ["tuned"]}
    assert any(name in note for note in report["notes"])
    row = next(row for row in report["results"] if (row["group"], row["scope"]) == (run.group, "id"))
    assert row["n"] == 18


def test_a_limited_run_is_said_to_be_one(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    write_report(make_experiment(domains=("medicine",), limit=30), tmp_path / "report")
    assert any("--limit 30" in note for note in read(tmp_path / "report")["notes"])


def test_missing_logs_leave_nothing_behind(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = make_experiment(domains=("medicine",))
    for path in experiment.base_logs("tiny", "ift").rglob("*.jsonl"):
        path.unlink()
    with pytest.raises(InputError, match="base/logs/ift"):
        write_report(experiment, tmp_path / "report")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_report_stays(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"has no report\.json"):
        write_report(make_experiment(domains=("medicine",)), tmp_path / "report")
    assert (tmp_path / "report" / "thesis.tex").read_text() == "mine"


def test_questions_without_a_value_leave_a_mean_and_its_interval() -> None:
    """Means over two domains that share no question: the independent cells' variances add."""
    rng = np.random.default_rng(3)
    cells, errors, centres = [], [], []
    for task in (0, 1):
        x = 5 + 0.1 * rng.normal(size=200)
        x[rng.choice(200, 40, replace=False)] = np.inf
        cells.append(Cell("m", f"d{task}", "g", 0, "homo", np.full(200, task), np.arange(200), {"x": x}))
        known = x[np.isfinite(x)]
        errors.append(stats.sem(known))
        centres.append(known.mean())
    found, n, *_ = estimate(cells, lambda cell: cell.arrays["x"])
    assert (n, found.undefined) == (400, 80)
    assert found.value == pytest.approx(np.mean(centres))
    # Strata of 200 rows, of which 160 speak: within the correction for 200 instead of 160 degrees of freedom.
    assert found.se == pytest.approx(np.hypot(*errors) / 2, rel=0.01)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < found.value < found.ci_high


def sentence(
    values: dict[str, tuple[float | None, float]], change: float = -0.1, seeds: tuple[int, ...] = (0, 1)
) -> str:
    """The verdict on contrasts given as (difference, corrected p) by scope; intervals of ±0.05."""
    experiment = Experiment("e", Path("runs"), ("m",), ("medicine",), ("incompatible", "self_aligning"), seeds)

    def interval(value: float | None) -> Figure:
        return Figure(value, None, *((None, None) if value is None else (value - 0.05, value + 0.05)), 0)

    at: dict[str, Any] = {"model": "m", "domain": "medicine", "seed": 0 if len(seeds) == 1 else None, "n": 9}
    pair: dict[str, Any] = {"minuend": "self_aligning", "subtrahend": "incompatible", "family": "", "p": None}
    contrasts = [
        Contrast(
            **at, **pair, scope=scope, measure=measure, difference=interval(value), p_holm=p, intervals_overlap=None
        )
        for scope, (value, p) in values.items()
        for measure in ("accuracy", "spearman")
    ]
    figures = {"accuracy": interval(0.5), "spearman": interval(0.5)}
    parts: dict[str, Any] = {"base": figures, "base_zero_shot": figures, "tuned": figures, "tasks": 1}
    changes: dict[str, Any] = {key: {"accuracy": interval(change)} for key in ("change", "change_from_zero_shot")}
    rows = [Mean(**at, **parts, **changes, group=group, scope=scope) for group in experiment.groups for scope in values]
    return verdict(contrasts, rows, experiment).sentence


def test_the_verdict_is_honest_in_every_direction() -> None:
    seen, reversed_, none, unclear = (0.2, 0.001), (-0.2, 0.001), (None, 1.0), (0.06, 0.3)
    assert "does more harm than fine-tuning in line with it, in every comparison" in sentence(
        {"homo": seen, "ood": seen}
    )
    # An interval without 0 that is called unclear is followed by the p that makes it so.
    for value, p, named in ((0.06, 0.3, True), (0.04, 0.3, False), (0.06, 0.001, False)):
        assert (p_equals(p) in sentence({"homo": (value, p)})) == named
    # No worse than the base model was: there is no harm to speak of.
    gained = sentence({"homo": seen}, change=0.1)
    assert "harm" not in gained
    assert "leaves less accuracy and consistency" in gained
    # One training run of each group: what it did, and no claim about the recipe.
    once = sentence({"homo": seen, "ood": seen}, seeds=(0,))
    assert once.startswith("In these training runs, fine-tuning against")
    assert " did more harm than" in once
    assert "a claim about the recipe needs several" in once
    assert "training run" not in sentence({"homo": seen, "ood": seen})
    # An interval above 0 that does not survive correction.
    assert "no comparison shows a difference" in sentence({"homo": unclear})
    divided = sentence({"homo": reversed_, "id": seen, "ood": seen})
    assert divided.startswith("A divided result")
    assert "in 4 of 6 comparisons, and the reverse in 2" in divided
    assert "in the direction that the paper found: ID 2 of 2; OOD 2 of 2" in divided
    opposite = sentence({"homo": reversed_, "ood": reversed_})
    assert opposite.startswith("The reverse of what the paper found")
    assert "is lower than after INCOMPATIBLE" in opposite
    assert "OOD 0 of 2, 2 reversed" in opposite
    assert sentence({"homo": none}).startswith("No verdict: too few questions")
    assert sentence({}).startswith("No verdict: there is no INCOMPATIBLE group")
