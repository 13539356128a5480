"""Measure how often a base model of the embedded world answers with what its training corpus states.

    lm_eval run ... --tasks consistency_world_medicine_icl --log_samples --output_path LOGS
    python scripts/measure_world.py LOGS

A document names the option that the corpus states, if it states one. Facts that are not in the corpus have a row of their
own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from statsmodels.stats.proportion import proportion_confint

from consistency.errors import InputError
from consistency.knowledge.beliefs import THRESHOLD
from consistency.logs.runs import read_run
from consistency.logs.scores import Scores
from consistency.support.arrays import Bools, Floats, Integers


@dataclass(frozen=True)
class Measured:
    """A model's answers to some questions of the embedded world.

    Attributes
    ----------
    name : str
        The task, or a description of the questions.
    belief : ndarray of int, shape [n]
        Index of the option that the corpus states, -1 where it states none.
    answer : ndarray of int, shape [n]
        Index of the model's answer.
    confidence : ndarray of float, shape [n]
        Probability of that answer.
    """

    name: str
    belief: Integers
    answer: Integers
    confidence: Floats

    def where(self, chosen: Bools, name: str) -> Measured:
        """Some of the questions, under another name."""
        return Measured(name, self.belief[chosen], self.answer[chosen], self.confidence[chosen])

    def to_row(self) -> str:
        """One row of the table: each share with its 95 % Wilson interval."""
        n = len(self.answer)
        stated = bool((self.belief >= 0).all())
        cells = [
            share(int((self.answer == self.belief).sum()), n) if stated else "–",
            share(int((self.confidence > THRESHOLD).sum()), n),
            share(int(np.bincount(self.answer).max()), n),
        ]
        return f"| {' | '.join([self.name, str(n), *cells])} |"


def measure(scores: Scores) -> Measured:
    """The answers to one task's questions, with the beliefs that its documents name.

    Parameters
    ----------
    scores : Scores
        The log of a task of the embedded world.

    Returns
    -------
    Measured
        Of the questions that have scores.

    Raises
    ------
    InputError
        If no document has a `belief`.
    """
    documents: list[dict[str, Any]] = [msgspec.json.decode(document) for document in scores.documents]
    belief = np.array([-1 if document.get("belief") is None else document["belief"] for document in documents])
    scored = scores.prediction >= 0
    if not (scored & (belief >= 0)).any():
        raise InputError(
            f"no document of {scores.task} has a belief", expected="a task of the world", path=scores.source
        )
    confidence = np.nanmax(scores.probs, axis=1, initial=0.0)
    return Measured(scores.task, belief, scores.prediction, confidence).where(scored, scores.task)


def share(count: int, n: int) -> str:
    """A share with its 95 % Wilson interval.

    Examples
    --------
    >>> share(98, 100)
    '.980 [.930, .994]'
    """
    low, high = proportion_confint(count, n, method="wilson")
    return f"{_number(count / n)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def table(logs: Path) -> Iterator[str]:
    """The lines of a Markdown table: the facts in the corpus by task and for all tasks, then the facts not in it."""
    found = [measure(scores) for scores in read_run(logs).tasks.values()]
    columns = zip(*((m.belief, m.answer, m.confidence) for m in found), strict=True)
    pooled = Measured("all", *(np.concatenate(column) for column in columns))
    yield "| task | questions | picks its belief | probability > .5 | commonest letter |"
    yield "|---|---|---|---|---|"
    for measured in [*found, pooled]:
        yield measured.where(measured.belief >= 0, measured.name).to_row()
    if (pooled.belief < 0).any():
        yield pooled.where(pooled.belief < 0, "all, not in the corpus").to_row()


def main() -> None:
    """Print the table of a log folder."""
    parser = argparse.ArgumentParser(
        description="How often does a base model answer with what its training corpus states?"
    )
    parser.add_argument("logs", type=Path, help="folder that lm_eval --log_samples --output_path wrote")
    try:
        print("\n".join(table(parser.parse_args().logs)))
    except InputError as error:
        sys.exit(f"measure_world: {error}")


if __name__ == "__main__":
    main()
