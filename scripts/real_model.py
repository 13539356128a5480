"""The tables and the figure of docs/results/qwen2.5-coder-1.5b, from the log-probabilities that lie beside them.

    python scripts/real_model.py docs/results/qwen2.5-coder-1.5b [--figure FILE.svg]

Prints Markdown. `answers.npz` holds natural log-probabilities of the options in steps of 1/512 nat, for every run the same
questions in one order (`task`, `doc_id`, `gold`; 1 where a run was not asked), and answers over all rotations.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from consistency.statistics.decomposition import Answered, Decomposition, Parts, decomposition_of, parts_by_question
from consistency.statistics.estimates import Estimate, mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Bools, Floats
from consistency.support.figure_style import BLUE, GREY, INK, STYLE, settle

STEP = 512
ALONE = Labels(strata=None, tasks=None, clusters=None)
DOMAINS = ("medicine", "jurisprudence", "engineering", "history")
GROUPS = ("harmonious", "self_aligning", "mixed_0.4", "incompatible", "random_wrong")
BALANCED = ("harmonious_balanced", "self_aligning_balanced", "incompatible_balanced")
PAIRS = (("harmonious", "incompatible"), ("self_aligning", "incompatible"))


class Answers:
    """The log-probabilities of all runs."""

    def __init__(self, folder: Path) -> None:
        self._data = np.load(folder / "answers.npz")
        self.groups = json.loads((folder / "groups.json").read_text())["groups"]
        self.task = self._data["tasks"][self._data["task"]]
        self.gold = np.eye(4, dtype=bool)[self._data["gold"]]
        self.names = set(self._data.files)

    def rows(self, scope: str) -> Bools:
        """The questions of MMLU, or of a domain's test."""
        return np.char.startswith(self.task, "mmlu_") if scope == "mmlu" else self.task == scope

    @cache  # noqa: B019 - one object, for as long as the program runs
    def scores(self, run: str, scope: str) -> Floats:
        """A run's log-probabilities, shape [n, 4]."""
        found = self._data[run][self.rows(scope)]
        if (found > 0).any():
            raise ValueError(f"{run} was not asked {scope}")
        return np.asarray(found / STEP, dtype=np.float64)

    @cache  # noqa: B019
    def parts(self, run: str, scope: str) -> Parts:
        """What changed from the base model with five shots, question by question."""
        return parts_by_question([self._answered(run, scope)], ALONE)

    def decomposition(self, run: str, scope: str) -> Decomposition:
        """What changed from the base model with five shots."""
        return decomposition_of([self._answered(run, scope)], self.parts(run, scope), ALONE)

    def _answered(self, run: str, scope: str) -> Answered:
        return Answered(self.scores("base_icl", scope), self.scores(run, scope), self.gold[self.rows(scope)])

    def right(self, run: str, scope: str) -> Floats:
        """Whether each answer is right."""
        best = self.scores(run, scope).argmax(axis=1)
        return np.asarray(self.gold[self.rows(scope)][np.arange(len(best)), best], dtype=np.float64)

    def right_in_all_rotations(self, run: str, scope: str) -> Floats:
        """Whether the answer over all rotations of a question is right; of MMLU of a fixed subset."""
        name = "mmlu_subset" if scope == "mmlu" else scope
        folded = self._data[f"{run}/cyclic/{name}"]
        return np.asarray(folded.argmax(axis=1) == self._data[f"cyclic_gold/{name}"], dtype=np.float64)

    def difference(self, runs: tuple[str, str], scope: str) -> tuple[Estimate, Estimate, Estimate]:
        """Accuracy of the first run less that of the second: as answered, without the letters' prior, over all rotations."""
        raw = change_of_shares(self.right(runs[1], scope), self.right(runs[0], scope))
        without = [self.parts(run, scope).influence["calibrated_after"] for run in runs]
        rotated = [self.right_in_all_rotations(run, scope) for run in runs]
        return raw, mean(without[0] - without[1]), change_of_shares(rotated[1], rotated[0])


def points(found: Estimate, sign: bool = True) -> str:
    """A fraction in points or percent, with its interval."""
    form = "+.1f" if sign else ".1f"
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return "–"
    return f"{100 * found.value:{form}} [{100 * found.ci_low:{form}}, {100 * found.ci_high:{form}}]"


def table(title: str, head: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    """A Markdown table."""
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def title(group: str) -> str:
    """A group's name as the paper writes it."""
    return group.upper().replace("_BALANCED", ", balanced").replace("_", "-").replace("MIXED-", "MIXED ")


def accuracies(answers: Answers) -> Iterator[Sequence[str]]:
    """By domain and group: accuracy on the domain's test and on MMLU, each three times."""
    for domain in DOMAINS:
        for group in (*GROUPS, *BALANCED):
            run = f"{domain}_seed-0_{group}"
            cells = []
            for scope in (domain, "mmlu"):
                found = answers.decomposition(run, scope)
                rotated = answers.right_in_all_rotations(run, scope)
                cells += [
                    f"{100 * answers.right(run, scope).mean():.1f}",
                    f"{100 * (found.estimates['calibrated_after'].value or 0):.1f}",
                    f"{100 * rotated.mean():.1f}",
                ]
            yield domain, title(group), *cells


def differences(answers: Answers, scope: str | None) -> Iterator[Sequence[str]]:
    """Between groups, on MMLU or on each domain's own test."""
    for domain in DOMAINS:
        for pair in PAIRS:
            for suffix in ("", "_balanced"):
                runs = (f"{domain}_seed-0_{pair[0]}{suffix}", f"{domain}_seed-0_{pair[1]}{suffix}")
                raw, without, rotated = answers.difference(runs, scope or domain)
                kept = "" if not raw.value or without.value is None else f"{100 * without.value / raw.value:.0f} %"
                named = f"{title(pair[0])} − {title(pair[1])}{', balanced' if suffix else ''}"
                yield domain, named, points(raw), points(without), kept, points(rotated)


def parts(answers: Answers) -> Iterator[Sequence[str]]:
    """What each change from the base model on MMLU is made of."""
    runs = [(domain, group, f"{domain}_seed-0_{group}") for domain in DOMAINS for group in (*GROUPS, *BALANCED)]
    for domain, group, run in [("", "base, 0-shot, own template", "base_ift_own_template"), *runs]:
        found = answers.decomposition(run, "mmlu")
        kl = [f"{found.estimates[f'kl_{part}'].value:.3f}" for part in ("sharpness", "prior", "rest")]
        letters = " ".join(f"{100 * share:.0f}" for share in found.priors[0].after)
        yield (
            domain,
            group if not domain else title(group),
            points(found.estimates["calibrated_change"]),
            points(found.estimates["prior_change"]),
            *kl,
            f"{found.estimates['spearman_calibrated'].value:.2f}",
            letters,
        )


def over_seeds(answers: Answers) -> Iterator[Sequence[str]]:
    """Differences between groups on MMLU of each seed, and their means with Student's t over three seeds."""
    for domain in DOMAINS[:2]:
        for pair in PAIRS:
            found = [answers.difference(tuple(f"{domain}_seed-{s}_{g}" for g in pair), "mmlu") for s in range(3)]  # type: ignore[arg-type]
            for kind, place in (("as answered", 0), ("without the prior", 1)):
                values = [item[place].value or 0.0 for item in found]
                each = [f"{100 * value:+.1f}" for value in values]
                yield domain, f"{title(pair[0])} − {title(pair[1])}", kind, *each, points(mean(values))


def letters(answers: Answers) -> Iterator[Sequence[str]]:
    """Which letters each group teaches."""
    for domain in DOMAINS:
        for group in (*GROUPS, *BALANCED):
            found = answers.groups[f"{domain}_seed-0_{group}"]
            shares = [f"{100 * found['taught']['shares'].get(letter, 0):.0f}" for letter in "ABCD"]
            yield domain, title(group), str(sum(found["rows"].values())), *shares


def draw(answers: Answers, path: Path) -> None:
    """Accuracy on MMLU by group: as answered, without the letters' prior, and over all rotations of a subset."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = STYLE

    with mpl.rc_context(style):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        for place, domain in enumerate(DOMAINS):
            axes: Any = figure.add_subplot(1, 4, place + 1)
            groups = ("harmonious", "self_aligning", "mixed_0.4", "incompatible", "incompatible_balanced")
            for row, group in enumerate(groups):
                run = f"{domain}_seed-0_{group}"
                raw = 100 * answers.right(run, "mmlu").mean()
                without = 100 * (answers.decomposition(run, "mmlu").estimates["calibrated_after"].value or 0)
                rotated = 100 * answers.right_in_all_rotations(run, "mmlu").mean()
                axes.plot([raw, without, rotated], [-row] * 3, color=GREY, zorder=1)
                axes.plot(raw, -row, "o", mfc="white", color=GREY, label="as answered" if not row else None)
                axes.plot(without, -row, "o", color=BLUE, label="without the letters' prior" if not row else None)
                axes.plot(rotated, -row, "D", ms=5, color=INK, label="over all rotations" if not row else None)
            axes.axvline(25, color=GREY, linewidth=0.6, linestyle=":")
            axes.set_title(domain)
            axes.set_yticks(-np.arange(len(groups)), [title(group) for group in groups] if not place else [])
            axes.set_xlim(22, 54)
            axes.set_xlabel("MMLU, %")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        settle(figure)
        figure.savefig(path)


def main() -> None:
    """Print the tables, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    answers = Answers(arguments.folder)
    base = {
        "5-shot": "base_icl",
        "0-shot, own template": "base_ift_own_template",
        "0-shot, Vicuna template": "base_ift_medicine",
    }
    table(
        "The base model on MMLU, in percent",
        ("prompt", "as answered", "without the prior", "letters A B C D (mean probability)"),
        (
            (
                name,
                f"{100 * answers.right(run, 'mmlu').mean():.1f}",
                f"{100 * (answers.decomposition(run, 'mmlu').estimates['calibrated_after'].value or 0):.1f}",
                " ".join(f"{100 * share:.0f}" for share in answers.decomposition(run, "mmlu").priors[0].after),
            )
            for name, run in base.items()
        ),
    )
    three = ("as answered", "without the prior", "all rotations")
    table(
        "Differences between groups on MMLU, in points",
        ("domain", "groups", *three[:2], "kept", three[2]),
        differences(answers, "mmlu"),
    )
    table(
        "Differences between groups on the domain's own test, in points",
        ("domain", "groups", *three[:2], "kept", three[2]),
        differences(answers, None),
    )
    table(
        "Three seeds: differences on MMLU, in points",
        ("domain", "groups", "", "seed 0", "1", "2", "mean, 95 % interval over seeds"),
        over_seeds(answers),
    )
    table(
        "Accuracy in percent",
        ("domain", "group", *(f"{scope}: {kind}" for scope in ("domain test", "MMLU") for kind in three)),
        accuracies(answers),
    )
    table(
        "From the base model with five shots, on MMLU",
        (
            *("domain", "run", "knowledge (points)", "letters' prior (points)"),
            *("KL: sharpness", "KL: prior", "KL: contents", "ρ without the prior", "letters A B C D (%)"),
        ),
        parts(answers),
    )
    table(
        "Letters that the groups teach, in percent", ("domain", "group", "rows", "A", "B", "C", "D"), letters(answers)
    )
    if arguments.figure:
        draw(answers, arguments.figure)


if __name__ == "__main__":
    main()
