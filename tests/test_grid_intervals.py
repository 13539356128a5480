"""The intervals of a grid's figures: those of a comparison, none without width, and as often right as they say."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from consistency import compare
from consistency.experiment.grid import Experiment
from consistency.report.differences.stored import read_stored
from consistency.report.grid.report import write_report
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.pooled_means import Pool, pooled_change, pooled_share, pooled_within
from consistency.statistics.shares import rate
from consistency.statistics.task_means import mean_of_means
from consistency.tasks.scopes import scope_tasks

MEASURES = {
    "accuracy_before": ("base", "accuracy"),
    "accuracy_after": ("tuned", "accuracy"),
    "delta_accuracy": ("change", "accuracy"),
    **{name: ("tuned", name) for name in ("kl", "cosine", "same_top", "spearman")},
}


@pytest.fixture(scope="module")
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    return make_experiment()


@pytest.fixture(scope="module")
def folder(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(experiment, tmp_path_factory.mktemp("intervals") / "report").parent


def read(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def ends(figure: Any) -> tuple[float, float]:
    return (figure["ci_low"], figure["ci_high"]) if isinstance(figure, dict) else (figure.ci_low, figure.ci_high)


def as_few_shot(log: Path, folder: Path) -> Path:
    """A copy of a log whose tasks have the names that they have in the log with shots."""
    shutil.copytree(log, folder)
    for path in (folder / "model").glob("samples_*_ift_*"):
        path.rename(path.with_name(path.name.replace("_ift_", "_icl_")))
    return folder


def test_a_single_run_has_the_intervals_of_a_comparison(experiment: Experiment, folder: Path, tmp_path: Path) -> None:
    report = read(folder)
    items = pd.read_parquet(folder / "items.parquet")
    for number, run in enumerate(experiment.runs()):
        copy = as_few_shot(run.logs, tmp_path / str(number))
        found = compare(
            experiment.base_logs("tiny", "icl"), copy, scopes=scope_tasks(run.domain, "icl"), cluster="none"
        )
        for scope, section in found.by_scope.items():
            (row,) = (
                row
                for row in report["results"]
                if (row["domain"], row["group"], row["scope"]) == (run.domain, run.group, scope)
            )
            assert row["n"] == section.n
            for measure, (part, key) in MEASURES.items():
                figure, estimate = row[part][key], section.estimates[measure]
                assert figure["value"] == pytest.approx(estimate.value)
                if scope == "homo" or measure == "delta_accuracy":
                    assert ends(figure) == pytest.approx(ends(estimate)), measure
                    assert figure.get("method", "t") == estimate.method
                    assert figure.get("warnings", []) == list(estimate.warnings)
                elif measure in ("kl", "cosine"):
                    assert figure["method"] == "bounded"
                    assert figure["ci_low"] <= estimate.ci_low + 1e-12
                    assert figure["ci_high"] >= estimate.ci_high - 1e-12
            # Several tasks are strata of a share.
            chosen = items[(items.domain == run.domain) & (items.group == run.group) & (items.scope == scope)]
            share = rate(chosen.correct_after, strata=chosen.task.astype(str) if scope != "homo" else None)
            assert ends(row["tuned"]["accuracy"]) == pytest.approx(ends(share))
    assert {row["unit"] for row in report["results"]} == {"stratum"}


def test_nothing_that_turned_is_no_certainty(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    """All models answer as the base model does: changes and KL are 0, whose intervals have a width all the same."""
    experiment = make_experiment(seeds=(0, 1))
    few = experiment.base_logs("tiny", "icl")
    for run in experiment.runs():
        for path in (run.logs / "model").glob("samples_*"):
            shutil.copy(few / "model" / path.name.replace("_ift_", "_icl_"), path)
    report = read(write_report(experiment, tmp_path / "report").parent)
    for row in report["results"]:
        assert ends(row["change"]["accuracy"]) == pytest.approx(ends(paired_change(0, 0, row["n"])))
    for row in [*report["results"], *report["means"]]:
        assert row["tuned"]["kl"]["value"] == pytest.approx(0, abs=1e-9)
        for part, key in (("change", "accuracy"), ("tuned", "kl"), ("tuned", "cosine"), ("tuned", "same_top")):
            low, high = ends(row[part][key])
            assert high - low > 3 / row["n"]
            assert "warnings" not in row[part][key]
    # The groups differ in no question: of accuracy Tango's interval is z² / (n + z²), another without width has to say so.
    for row in report["contrasts"]:
        if row["measure"] == "accuracy":
            low, high = ends(row["difference"])
            least = 1.959963984540054**2 / (row["n"] + 1.959963984540054**2)
            assert -low == pytest.approx(high)
            if row["seed"] is not None and row["domain"] != "mean":
                assert high == pytest.approx(least)
            # Two runs on the same questions say no more than one.
            assert high >= least * (1 - 1e-6)
            assert "warnings" not in row["difference"]
            continue
        assert row["difference"]["ci_low"] == pytest.approx(row["difference"]["ci_high"], abs=1e-9)
        assert row["difference"]["warnings"] == ["constant", "rare"] or row["measure"] == "kl"
        assert "rare" in row["difference"]["warnings"]
    # Two equal runs of one domain are, over questions, one; the interval contains that of t and Wilson's.
    one = next(
        row for row in report["means"] if (row["domain"], row["seed"], row["scope"]) == ("history", None, "homo")
    )
    right = one["base"]["accuracy"]
    se = np.sqrt(right["value"] * (1 - right["value"]) / 29)
    student = stats.t.interval(0.95, 29, right["value"], se)
    wilson = proportion_confint(29 * right["value"], 29, method="wilson")
    assert right["ci_low"] == pytest.approx(student[0])
    assert right["ci_high"] == pytest.approx(max(student[1], wilson[1]), abs=0.01)


def test_the_tables_mark_what_an_interval_cannot_promise(folder: Path) -> None:
    report = read(folder)
    text = (folder / "report.md").read_text()
    warned = [row for row in report["contrasts"] if "rare" in row["difference"].get("warnings", [])]
    assert warned
    assert text.count("too few questions to exclude rare ones") == sum(
        any("rare" in figure.get("warnings", []) for figure in figures)
        for figures in (
            [row["difference"] for row in report["contrasts"]],
            list(shown(report["means"])),
            list(shown(report["results"])),
        )
    )
    assert text.count("]†") == sum(
        bool(figure.get("warnings"))
        for figure in [
            *(row["difference"] for row in report["contrasts"]),
            *shown([row for row in report["means"] if row["domain"] == "mean"]),
            *shown(report["results"]),
        ]
    )
    stored = {row.key: row for row in read_stored(folder).results}
    for row in report["results"]:
        key = tuple(str(row[name]) for name in ("model", "domain", "group", "seed", "scope"))
        for measure, found in stored[key].figures.items():
            part, name = MEASURES[measure.name]
            assert list(found.warnings) == row[part][name].get("warnings", [])
            assert found.method == row[part][name].get("method", "t")


def shown(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The figures of some rows that a table shows."""
    for row in rows:
        yield from (row[part]["accuracy"] for part in ("base", "base_zero_shot", "tuned", "change"))
        yield from (row["tuned"][name] for name in ("spearman", "kl"))


def test_strata_say_no_more_than_their_questions() -> None:
    right = np.tile([1.0, 1.0, 1.0, 0.0], 20)
    share = rate(right, strata=np.repeat(np.arange(20), 4))
    # Each task has the same share, so that within them all the variance is left: as many as without tasks.
    assert share.effective_n is not None
    assert share.effective_n <= 80
    apart = rate(np.repeat([1.0, 0.0], 40), strata=np.repeat([0, 0, 1, 1], 20))
    assert apart.effective_n == 80
    assert ends(apart) == pytest.approx(proportion_confint(40, 80, method="wilson"))


def test_means_of_shares_cover_as_they_say() -> None:
    """Two domains of 25 and 50 questions, all outcomes weighed by their probability."""
    sizes, truth = (25, 50), 0.98
    question, covered, by_t = np.arange(75), 0.0, 0.0
    for wrong in np.ndindex(12, 16):
        samples = [np.r_[np.zeros(k), np.ones(n - k)] for k, n in zip(wrong, sizes, strict=True)]
        found = mean_of_means(samples, question, np.repeat([0, 1], sizes))
        low, high = ends(pooled_share(found, Pool.of(samples, question)))
        chance = np.prod([stats.binom.pmf(k, n, 1 - truth) for k, n in zip(wrong, sizes, strict=True)])
        covered += chance * (low <= truth <= high)
        by_t += chance * (found.ci_low <= truth <= found.ci_high)
    assert covered > 0.93 > 0.8 > by_t


def test_means_of_changes_cover_as_they_say() -> None:
    """Two domains of 30 questions, of which 3 in 100 turn to right and 1 in 100 to wrong: all likely outcomes."""
    up, down, n = 0.03, 0.01, 30
    question, covered, by_t = np.arange(2 * n), 0.0, 0.0
    outcomes = [(won, lost) for won in range(6) for lost in range(4)]
    chances = [
        stats.multinomial.pmf([won, lost, n - won - lost], n, [up, down, 1 - up - down]) for won, lost in outcomes
    ]
    turned = [np.r_[np.ones(won), -np.ones(lost), np.zeros(n - won - lost)] for won, lost in outcomes]
    for one, first in zip(turned, chances, strict=True):
        for other, second in zip(turned, chances, strict=True):
            samples = [one, other]
            found = mean_of_means(samples, question, np.repeat([0, 1], n))
            lost, won = (Pool.of([(x == sign).astype(float) for x in samples], question) for sign in (-1, 1))
            low, high = ends(pooled_change(found, lost, won))
            covered += first * second * (low <= up - down <= high)
            by_t += first * second * (found.ci_low <= up - down <= found.ci_high)
    assert covered > 0.95 > 0.92 > by_t


def test_means_of_rare_values_cover_as_they_say() -> None:
    """Three training runs of two domains of 100 questions, 1 in 100 of which is reversed by all runs."""
    rng = np.random.default_rng(3)
    question = np.concatenate([np.tile(np.arange(100), 3), np.tile(np.arange(100, 200), 3)])
    covered, by_t, draws = 0, 0, 400
    for _ in range(draws):
        reversed_ = rng.random(200) < 0.01
        samples = [
            np.where(reversed_[half], 8.0, 0.05 * rng.random(100))
            for half in (slice(100), slice(100), slice(100), slice(100, 200), slice(100, 200), slice(100, 200))
        ]
        truth = 0.01 * 8 + 0.99 * 0.025
        found = mean_of_means(samples, question, np.repeat([0, 1], 100))
        low, high = ends(pooled_within(found, Pool.of(samples, question), 0.0, 9.0))
        covered += low <= truth <= high
        by_t += found.ci_low <= truth <= found.ci_high
    assert covered / draws > 0.94 > 0.88 > by_t / draws
