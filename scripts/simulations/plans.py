"""Draws with the questions and seeds that `plan-eval` asks for."""

from __future__ import annotations

from functools import cache

import numpy as np

from consistency.statistics.hypotheses import holm, mcnemar_exact, t_test
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import equivalence_of_shares, power_of_equivalence
from consistency.statistics.power import fewest_questions, fewest_seeds, power_of_flips, power_of_seeds
from simulations.draws import Table, rejects


@cache
def planned(change: float, flips: float) -> tuple[int, int, int]:
    """The questions that plan-eval asks for: to find a change, to show that there is none, and in one of 57 tasks."""
    found = (
        fewest_questions(lambda n: power_of_flips(n, flips, change)),
        fewest_questions(lambda n: power_of_equivalence(n, flips, change)),
        fewest_questions(lambda n: power_of_flips(n, flips, change, 0.05 / 57)),
    )
    return found[0] or 0, found[1] or 0, found[2] or 0


@cache
def planned_seeds(change: float, run_sd: float, n: int) -> int:
    """The seeds that plan-eval asks for where 5 % of the answers turn anyway."""
    return fewest_seeds(lambda k: power_of_seeds(k, change, run_sd, 0.05, n)) or 0


def of_plans(rng: np.random.Generator, points: int) -> tuple[bool, ...]:
    """What is found with the questions and seeds that are asked for, for a change of so many points."""
    change, found = points / 100, []
    for flips in (0.01, 0.05, 0.2):
        find, show, one = planned(change, flips)
        moved = [flips / 2 + change, flips / 2, 1 - flips - change]
        lost, won, _ = rng.multinomial(find, moved)
        found.append(rejects(mcnemar_exact(int(lost), int(won))))
        lost, won, _ = rng.multinomial(show, [flips / 2, flips / 2, 1 - flips])
        found.append(equivalence_of_shares(int(lost), int(won), show, change) < 0.05)
        tasks = rng.multinomial(one, [flips / 2, flips / 2, 1 - flips], 57)
        tasks[0] = rng.multinomial(one, moved)
        found.append(rejects(holm([mcnemar_exact(int(lost), int(won)) for lost, won, _ in tasks])[0]))
    n, run_sd = 2000, change / 2
    true = rng.normal(change, run_sd, planned_seeds(change, run_sd, n)).clip(-0.9, 0.9)
    turned = [rng.multinomial(n, [(0.05 + abs(x) - x) / 2, (0.05 + abs(x) + x) / 2, 0.95 - abs(x)]) for x in true]
    return (*found, rejects(t_test(mean([(won - lost) / n for lost, won, _ in turned]))))


TABLES: dict[str, Table] = {
    "Power with what `plan-eval` asks for 80 %, by change in points": (
        (1, 2, 5),
        [
            (
                of_plans,
                (
                    *(
                        f"{what}, {flips} % turn anyway"
                        for flips in (1, 5, 20)
                        for what in ("a change is found", "its absence is shown", "a change in one of 57 tasks (Holm)")
                    ),
                    "a change over seeds with an sd of half of it (t test)",
                ),
            )
        ],
    ),
}
