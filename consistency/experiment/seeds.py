"""How many training seeds a claim about the recipe needs, before anyone pays for a run."""

from __future__ import annotations

from dataclasses import dataclass

from consistency.errors import InputError
from consistency.experiment.grid import Experiment
from consistency.statistics.crossed import RunSpread, power_of_runs
from consistency.support.text import joined, of_points

CHANGE = 0.05
POWER = 0.8
MOST_SEEDS = 30
# Of the difference of two groups' accuracies. Assumed; the embedded world has 2.5 points, 0.65 and 0.3.
ASSUMED = RunSpread(runs=0.02, questions=0.6, chance=0.3)


@dataclass(frozen=True)
class SeedPlan:
    """How many seeds find a difference of two groups' accuracies, the mean over the domains.

    Attributes
    ----------
    change : float
        The difference that matters, as a fraction.
    power : float
        How often it is to be found: 4 times in 5.
    spread : RunSpread
        Of the difference of two groups in one domain.
    origin : str
        Where the spread is from.
    seeds, domains, questions : int
        Of the experiment: seeds, domains, and questions of the smallest domain's test set.
    needed : int or None
        The fewest seeds, at least 2; None where 30 are too few.
    found : dict of int to float
        By number of seeds, how often the difference is found.
    """

    change: float
    power: float
    spread: RunSpread
    origin: str
    seeds: int
    domains: int
    questions: int
    needed: int | None
    found: dict[int, float]

    def to_text(self) -> str:
        """The answer, what it assumes, and what the experiment's own seeds can say."""
        where = f"{self.domains} domain{'s' * (self.domains > 1)} of {self.questions:,} questions"
        powers = ", ".join(f"{n}: {100 * share:.0f} %" for n, share in self.found.items())
        answer = (
            f"{self.needed} seeds"
            if self.needed
            else f"more than {MOST_SEEDS} seeds, since the questions are too few or the seeds too unlike"
        )
        spread = (
            f"{100 * self.spread.runs:.2g} points between seeds (standard deviation, in one domain), "
            f"{100 * self.spread.questions:.2g} between questions, of whose variance {100 * self.spread.chance:.0f} % is new "
            "with each seed"
        )
        lines = [
            f"to find a difference of {of_points(100 * self.change)} between two groups, on {where}, 4 times in 5: {answer} "
            f"({powers})",
            f"that takes differences of two groups to spread by {spread}: {self.origin}; one test, not corrected for others",
        ]
        if self.seeds == 1:
            lines.append(
                "this experiment has one seed: it says what these training runs did; a claim about the recipe needs several"
            )
        return joined(lines)


def plan_seeds(
    experiment: Experiment,
    questions: int,
    *,
    change: float = CHANGE,
    spread: RunSpread | None = None,
    measured_in: str = "",
) -> SeedPlan:
    """How many seeds an experiment needs for a claim about its groups.

    Parameters
    ----------
    experiment : Experiment
    questions : int
        In the test set of a domain.
    change : float
        The difference of two groups' accuracies that matters, as a fraction.
    spread : RunSpread, optional
        Of such differences in one domain. Default: `ASSUMED`.
    measured_in : str
        The report that it is from.

    Returns
    -------
    SeedPlan

    Raises
    ------
    InputError
        If the change is no fraction.
    """
    if not 0 < change < 1:
        raise InputError(f"--change {100 * change:g}", expected="points between 0 and 100, such as 5")
    taken, domains = spread or ASSUMED, len(experiment.domains)

    def power(seeds: int) -> float:
        return power_of_runs(change, taken, seeds=seeds, recipes=domains, questions=max(2, questions))

    needed = next((n for n in range(2, MOST_SEEDS + 1) if power(n) >= POWER), None)
    shown = sorted(
        {2, 3, 5, *([needed] if needed else [MOST_SEEDS]), *([len(experiment.seeds)] * (len(experiment.seeds) > 1))}
    )
    return SeedPlan(
        change=change,
        power=POWER,
        spread=taken,
        origin=f"measured in {measured_in}"
        if measured_in
        else "an assumption; --report FOLDER of a grid with several seeds measures it",
        seeds=len(experiment.seeds),
        domains=domains,
        questions=questions,
        needed=needed,
        found={n: power(n) for n in shown},
    )
