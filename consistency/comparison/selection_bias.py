"""In which of two runs, and in which of its tasks, the answers favour an option, and whether that changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.measured_task import MeasuredTask
from consistency.comparison.sampling import Analysis, Sampling
from consistency.comparison.section import OptionBias, Section
from consistency.metrics.selection_bias import OptionCounts, OptionShift, count_both
from consistency.statistics.selection_bias import Preference, SelectionBias, describe, favours, preferences, shifts


class Biases:
    """The selection bias of both runs, by task and over all of them.

    Parameters
    ----------
    tasks : dict of str to MeasuredTask
        Those that have options.
    items : dict of str to dict of str to ndarray
        By task, its columns `gold`, `probs_before` and `probs_after`.
    analysis : Analysis
        What is taken as sampled.
    """

    def __init__(
        self,
        tasks: Mapping[str, MeasuredTask],
        items: Mapping[str, Mapping[str, NDArray[Any]]],
        analysis: Analysis,
    ) -> None:
        self.before, self.after, moves = [], [], []
        for name, task in tasks.items():
            columns = items[name]
            known = np.where(task.pairs.gold.sum(axis=1) == 1, columns["gold"], -1)
            # Reordered questions do not count: their options are in the order of `before`.
            before, after, shift = count_both(
                columns["probs_before"],
                columns["probs_after"],
                known,
                task.pairs.reordered,
                None if task.clusters is None else task.clusters.labels,
            )
            shift.clustered = Sampling.of([task], analysis).clusters is not None
            self.before.append(before)
            self.after.append(after)
            moves.append(shift)
        self.names = list(tasks)
        # All tasks together are the last; one task alone is looked at once.
        self.tasks = len(tasks)
        if self.tasks > 1:
            self.names.append("all tasks")
            self.before.append(OptionCounts.pooled(self.before))
            self.after.append(OptionCounts.pooled(self.after))
            together = OptionShift.pooled(moves)
            together.clustered = Sampling.of(list(tasks.values()), analysis).clusters is not None
            moves.append(together)
        tested = preferences([*self.before, *self.after])
        sides = tested[: len(self.names)], tested[len(self.names) :]
        self.found = [OptionBias(*each) for each in zip(*sides, shifts(moves), strict=True)]

    def warnings(self) -> Iterator[SelectionBias]:
        """For each run what favours an option the most, as much as a warning needs and beyond chance."""
        yield from self._strongest("before", self.before, [each.before for each in self.found])
        yield from self._strongest("after", self.after, [each.after for each in self.found])

    def added(self, section: Section) -> Section:
        """A section of one task, or of all of them, with its selection bias."""
        row = self.names.index(section.name) if section.of_tasks == 1 and section.name in self.names else -1
        return replace(section, selection_bias=self.found[row])

    def _strongest(self, when: str, counts: list[OptionCounts], tested: list[Preference]) -> Iterator[SelectionBias]:
        """All tasks if their answers together favour an option, else the task whose answers do the most; none without one."""
        favour = [row for row, each in enumerate(counts) if favours(each, tested[row])]
        if favour:
            alone = [row for row in favour if row < self.tasks]
            row = max(alone, key=lambda row: counts[row].bias) if len(alone) == len(favour) else favour[-1]
            yield describe(f"{when}, {self.names[row]}", counts[row], tested[row], len(alone), self.tasks)
