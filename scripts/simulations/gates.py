"""Draws of the decisions of gates: policies, budgets of checks, noise between runs, and `surely`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from consistency.comparison.decision import Outcome, judge
from consistency.comparison.noise import beside_noise, with_run_variance
from consistency.comparison.pairing import PairingReport
from consistency.comparison.policy import Policy, Rule
from consistency.comparison.quantities import quantity_named
from consistency.comparison.result import Comparison, TaskNames
from consistency.comparison.section import Section
from consistency.logs.folders import Selection
from consistency.logs.run_config import RunConfig
from consistency.statistics.hypotheses import t_test
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares, paired_change
from consistency.statistics.shares import clopper_pearson, larger_share
from consistency.statistics.spending import SPENDINGS, spent
from consistency.support.arrays import Integers
from simulations.draws import Table, covers, rejects

LIMITS = (0.001, 0.01, 0.05)
MARGIN = 0.02
TASKS = 10
CHECKS = 20


def compared(turned: Integers, n: int) -> Comparison:
    """A comparison of tasks of n questions, from the answers of each that turned to wrong and to right."""
    sections = {
        f"task {number}": Section(
            name=f"task {number}",
            n=n,
            estimates={"delta_accuracy": paired_change(int(lost), int(won), n)},
            pairing=PairingReport(n),
            equivalence_p=None,
            minimum_detectable_change=None,
            flips={"harmful": int(lost), "beneficial": int(won)},
        )
        for number, (lost, won) in enumerate(turned)
    }
    nothing = Selection("", ())
    return Comparison(
        before=RunConfig(),
        after=RunConfig(),
        paths=("before", "after"),
        overall=None,
        by_task=sections,
        by_scope={},
        score="raw",
        margin=MARGIN,
        selection=(nothing, nothing),
        names=TaskNames({}, (), ()),
        unpaired=(),
        settings=(),
        warnings=(),
        items={},
    )


def of_gates(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """A policy where each of ten tasks falls by just its margin, twenty checks of such a task with a budget, and `surely`."""
    quantity = quantity_named("delta accuracy")
    rule = Rule(1, 1, ("*",), (), "blocking", True, quantity, -MARGIN, None, "fail")
    policy = Policy(Path("gate.yaml"), 0.05, "questions", (rule,), None)
    chances = [0.01 + MARGIN, 0.01, 0.98 - MARGIN]
    findings = judge(policy, compared(rng.multinomial(n, chances, TASKS)[:, :2], n))
    checks = [
        judge(policy, compared(turned[None, :2], n)).rules[0].findings[0].p_harmful or 0.0
        for turned in rng.multinomial(n, chances, CHECKS)
    ]
    return (
        findings.outcome is Outcome.FAILED,
        findings.rules[0].findings[0].outcome is Outcome.PASSED,
        *(
            any(p <= spent(number, CHECKS, 0.05, spending) for number, p in enumerate(checks, start=1))
            for spending in SPENDINGS
        ),
        *((clopper_pearson(int(rng.binomial(n, limit)), n).ci_low or 0.0) > limit for limit in LIMITS),
    )


def answered(rights: tuple[Integers, Integers], clusters: Integers) -> Comparison:
    """A comparison of two runs of one task whose questions are in clusters, from who was right."""
    first, second = (each.astype(np.float64) for each in rights)
    change = change_of_shares(first, second, clusters=clusters)
    flips = {"harmful": int((second < first).sum()), "beneficial": int((second > first).sum())}
    found = compared(np.array([list(flips.values())]), len(first))
    section = replace(found.by_task["task 0"], estimates={"delta_accuracy": change}, flips=flips)
    columns = {"doc_id": np.arange(len(first)), "doc_hash": np.full(len(first), "", dtype=object)}
    columns |= {"correct_before": first, "correct_after": second, "cluster": clusters}
    return replace(found, by_task={"task 0": section}, items={"task 0": columns})


def of_clustered_noise(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Four runs of one model, each question in six languages, of which answers turn together."""
    outcomes = []
    for alike in (0.2, 0.5, 0.8):
        clusters = np.repeat(np.arange(-(-n // 6)), 6)[:n]
        sure = rng.random(clusters.max() + 1)[clusters] < 0.6
        level = np.where(sure, rng.choice([-9.0, 9.0], clusters.max() + 1)[clusters], 0.0)
        rights = []
        for _ in range(4):
            shared = rng.normal(size=clusters.max() + 1)[clusters]
            rights.append(
                (math.sqrt(alike) * shared + math.sqrt(1 - alike) * rng.normal(size=n) < level).astype(np.int64)
            )
        pair, runs = answered((rights[0], rights[1]), clusters), answered((rights[2], rights[3]), clusters)
        found = beside_noise(pair, runs).by_section["task 0"]
        outcomes += [found.exceeded, found.difference_p is not None and found.difference_p < 0.05]
    return tuple(outcomes)


def of_noise(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Four runs of one model: single answers turn in a tenth of the questions, or runs differ as wholes besides."""
    found: list[bool] = []
    for between in (0.0, 0.5, 2.0):
        level = np.where(rng.random(n) < 0.1, rng.normal(0, 1.5, n), rng.choice([-50.0, 50.0], n))
        before, after, one, two = (
            (rng.logistic(size=n) < level + rng.normal(0, between)).astype(np.int64) for _ in range(4)
        )
        harmful, turned = before * (1 - after), np.abs(two - one)
        alone = int((harmful > turned).sum()), int((turned > harmful).sum())
        excess = mean(harmful - turned / 2)
        p = larger_share(alone[0], sum(alone), 1 / 3)
        if sum(alone) >= 40 and excess.value is not None:
            p = (t_test(excess) or 1.0) / 2 if excess.value > 0 else 1.0
        found.append(rejects(p))
        change = paired_change(int(harmful.sum()), int((after * (1 - before)).sum()), n)
        over = with_run_variance(change, float((two - one).mean()), 0.95)
        found.append(not covers(over, 0))
    return tuple(found)


TABLES: dict[str, Table] = {
    "False decisions of gates at 5 %, by number of questions": (
        (100, 300, 1000),
        [
            (
                of_gates,
                (
                    f"policy, any false fail of {TASKS} tasks that fall by just the margin",
                    "policy, false pass of such a task",
                    *(f"any false fail in {CHECKS} checks, budget spent {spending}" for spending in SPENDINGS),
                    *(f"`surely` more than {100 * limit:g} %, which is the true share" for limit in LIMITS),
                ),
            ),
            (
                of_noise,
                (
                    *(
                        f"another run of the same model, {differ}: {what}"
                        for differ in (
                            "answers turn one by one",
                            "runs differ a little as wholes",
                            "runs differ much as wholes",
                        )
                        for what in ("more harmful flips than noise", "0 outside the interval over other runs")
                    ),
                ),
            ),
            (
                of_clustered_noise,
                tuple(
                    f"the same model, each question in six languages, correlated {alike}: {what}"
                    for alike in (".2", ".5", ".8")
                    for what in ("more harmful flips than noise", "the two runs differ")
                ),
            ),
        ],
    ),
}
