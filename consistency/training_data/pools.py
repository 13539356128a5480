"""What decontamination leaves of an experiment's pools, counted before a model is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from consistency.errors import InputError
from consistency.experiment.grid import Experiment
from consistency.experiment.requirements import disjoint_kinds, read_pools
from consistency.experiment.workflow import guards
from consistency.tasks.own_tasks import read_own_domain
from consistency.training_data.decontamination import evaluation_questions
from consistency.training_data.duplicates import Duplicate, Index, MultipleChoice


def count_left(pool: Index, found: Iterable[Sequence[Duplicate]]) -> int:
    """How many questions of a pool are left to train on: without those of evaluation sets, and each once.

    Parameters
    ----------
    pool : Index
    found : iterable of sequence of Duplicate
        The questions of the pool that are in each evaluation set: `Index.found_in`.

    Examples
    --------
    >>> from consistency.tasks.questions import Question
    >>> pool = Index([Question(n, "", text, ("a", "b"), 0) for n, text in enumerate(("One?", "One?", "And two?"))])
    >>> count_left(pool, []), count_left(pool, [[Duplicate(2, 0, "exact")]])
    (2, 1)
    """
    taken = {item.row for part in found for item in part}
    return len(pool) - len(taken | {item.row for item in pool.duplicates() if item.kind == "exact"})


def pool_problems(experiment: Experiment, data: str = "") -> Iterator[str]:
    """Which pools decontamination leaves too few questions of, whatever the model knows; those of the hub are not read.

    Parameters
    ----------
    experiment : Experiment
    data : str
        The folder of questions, as CONSISTENCY_DATA names it; empty without one.

    Yields
    ------
    str
        A problem, with its key. What cannot be read is left out, but for evaluation sets: `validate` names the other files.
    """
    evaluation: list[MultipleChoice] = []
    for own in experiment.own_domains.values():
        if not any(source.is_hub for source in own.sources.values()):
            with suppress(InputError):
                kept = read_own_domain(own)
                evaluation += [*kept.questions["test"], *kept.questions["dev"]]
    # The grid keeps the files of own domains itself, later.
    made = [experiment.own_tasks(name) for name in experiment.own_domains]
    for place in guards(experiment, data):
        if Path(place).exists() and not any(Path(place).is_relative_to(folder) for folder in made):
            try:
                evaluation += evaluation_questions([place])
            except InputError as error:
                yield f"guard: {error}"
    needed = (experiment.size or 1) * disjoint_kinds(experiment)
    index = Index(evaluation)
    for domain, pool in read_pools(experiment):
        asked = Index(pool[: experiment.limit])
        left = count_left(asked, [asked.found_in(index)])
        if left < needed <= len(asked):
            yield (
                f"domains: {domain}: the groups need {needed:,} questions; of {len(asked):,} of the pool {left:,} are left, "
                "since the others are in evaluation sets (test, dev, guard), or duplicates; expected a pool apart from them"
            )
