"""The tables and the figure of docs/results/qwen2.5-coder-1.5b, from the log-probabilities that lie beside them.

    python scripts/real_model.py docs/results/qwen2.5-coder-1.5b [--figure FILE.svg]

Prints Markdown. `answers.npz` holds natural log-probabilities of the options in steps of 1/512 nat, for every run the same
questions in one order (`task`, `doc_id`, `gold`; 1 where a run was not asked), and answers over all rotations, with which
question of its scope each is of.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from consistency.metrics.divergences import kl_of_logs
from consistency.metrics.ranking import spearman
from consistency.statistics.accuracy_by_question import Parts, parts_by_question
from consistency.statistics.answered import Answered
from consistency.statistics.decomposition import Decomposition, decomposition_of
from consistency.statistics.divergences_by_question import Divergences
from consistency.statistics.estimates import Estimate
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.partial_correlation import PartialCorrelation, partial_correlation
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Bools, Floats
from consistency.support.figure_style import BLUE, GREY, INK, STYLE, settle

STEP = 512
ALONE = Labels(strata=None, tasks=None, clusters=None)
DOMAINS = ("medicine", "jurisprudence", "engineering", "history")
GROUPS = ("harmonious", "self_aligning", "mixed_0.4", "incompatible", "random_wrong")
BALANCED = ("harmonious_balanced", "self_aligning_balanced", "incompatible_balanced")
PAIRS = (("harmonious", "incompatible"), ("self_aligning", "incompatible"))
# Ren et al. 2024: accuracy points on held-out questions of the domain, means over models and domains; and of both parts of MMLU.
PUBLISHED = {PAIRS[0]: (11.27, (14.57, 14.58)), PAIRS[1]: (5.25, (6.97, 9.78))}
# Smallest accuracy first.
ORDER = ("incompatible", "self_aligning", "harmonious")
# From no share of the model's own answers to all of them.
DOSES = ("incompatible", "mixed_0.4", "self_aligning")


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

    def unexplained(self, run: str, scope: str) -> Floats:
        """What neither a temperature nor letter offsets explain of each question's KL, fitted to the other questions."""
        return Divergences([self._answered(run, scope)], ALONE).parts("kl", crossed=True)["rest"]

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

    def of_rotated(self, values: Floats, scope: str) -> Floats:
        """Of values of all questions of a scope those of the questions that were asked in all rotations."""
        return np.asarray(values[self._data[f"cyclic_question/{'mmlu_subset' if scope == 'mmlu' else scope}"]])

    def answered(self, run: str, scope: str) -> str:
        """How often each letter is the answer, in percent."""
        counts = np.bincount(self.scores(run, scope).argmax(axis=1), minlength=4)
        return " ".join(f"{100 * count / counts.sum():.0f}" for count in counts)

    def folded(self, run: str, domain: str) -> tuple[Floats, Floats]:
        """The distributions over all rotations of the base model with five shots and of a run, on a domain's test."""
        both = (self._data[f"{name}/cyclic/{domain}"] / STEP for name in ("base_icl_cyclic", run))
        before, after = (np.asarray(values, dtype=np.float64) for values in both)
        return before, after

    def difference(self, runs: tuple[str, str], scope: str) -> tuple[Estimate, Estimate, Estimate, Estimate]:
        """Accuracy of the first run less that of the second.

        As answered, corrected for letter bias, and over all rotations; of the questions of the latter also as answered.
        """
        raw = change_of_shares(self.right(runs[1], scope), self.right(runs[0], scope))
        without = [self.parts(run, scope).influence["calibrated_after"] for run in runs]
        rotated = [self.right_in_all_rotations(run, scope) for run in runs]
        same = [self.of_rotated(self.right(run, scope), scope) for run in runs]
        return (
            raw,
            mean(without[0] - without[1]),
            change_of_shares(rotated[1], rotated[0]),
            change_of_shares(same[1], same[0]),
        )


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
                raw, without, rotated, same = answers.difference(runs, scope or domain)
                named = f"{title(pair[0])} − {title(pair[1])}{', balanced' if suffix else ''}"
                yield domain, named, points(raw), points(without), *([points(same)] if scope else []), points(rotated)


def against_base(answers: Answers) -> Iterator[Sequence[str]]:
    """Accuracy over all rotations of the base model and of each group, and the groups' change from the base model.

    On the domains' tests, means over them, from five shots and from none; on MMLU from none: with five shots the base model was
    not asked all of its rotations.
    """
    few = [answers.right_in_all_rotations("base_icl_cyclic", domain) for domain in DOMAINS]
    none = [answers.right_in_all_rotations(f"base_ift_{domain}", domain) for domain in DOMAINS]
    of_mmlu = answers.right_in_all_rotations("base_ift_medicine", "mmlu")

    def percent(each: Sequence[Floats]) -> str:
        return f"{100 * float(np.mean([values.mean() for values in each])):.1f}"

    yield "base, 5-shot", percent(few), "", "", "–", ""
    yield "base, 0-shot, Vicuna template", percent(none), "", "", percent([of_mmlu]), ""
    for group in (*GROUPS, *BALANCED):
        runs = [f"{domain}_seed-0_{group}" for domain in DOMAINS]
        tests = [answers.right_in_all_rotations(run, domain) for run, domain in zip(runs, DOMAINS, strict=True)]
        mmlu = [answers.right_in_all_rotations(run, "mmlu") for run in runs]
        changes = [
            points(_mean_of_tests([after - before for after, before in zip(tests, base, strict=True)]))
            for base in (few, none)
        ]
        of_four = np.mean([values - of_mmlu for values in mmlu], axis=0)
        yield title(group), percent(tests), *changes, percent(mmlu), points(mean(of_four))
    lost = [points(over_domains(answers, ("random_wrong", "incompatible"), scope)[2]) for scope in (None, "mmlu")]
    yield "RANDOM-WRONG − INCOMPATIBLE", "", lost[0], lost[0], "", lost[1]


def parts(answers: Answers) -> Iterator[Sequence[str]]:
    """What each change from the base model on MMLU is made of."""
    runs = [(domain, group, f"{domain}_seed-0_{group}") for domain in DOMAINS for group in (*GROUPS, *BALANCED)]
    for domain, group, run in [("", "base, 0-shot, own template", "base_ift_own_template"), *runs]:
        found = answers.decomposition(run, "mmlu")
        order = ("sharpness", "prior", "prior_first", "sharpness_last", "rest")
        kl = [f"{found.estimates[f'kl_{part}'].value:.3f}" for part in order]
        letters = " ".join(f"{100 * share:.0f}" for share in found.priors[0].after)
        yield (
            domain,
            group if not domain else title(group),
            points(found.estimates["calibrated_change"]),
            points(found.estimates["prior_change"]),
            *kl,
            f"{found.estimates['spearman_calibrated'].value:.2f}",
            letters,
            answers.answered(run, "mmlu"),
        )


def over_seeds(answers: Answers) -> Iterator[Sequence[str]]:
    """Differences between groups on MMLU of each seed, and their means with Student's t over three seeds."""
    for domain in DOMAINS[:2]:
        for pair in PAIRS:
            found = [answers.difference(tuple(f"{domain}_seed-{s}_{g}" for g in pair), "mmlu") for s in range(3)]  # type: ignore[arg-type]
            for kind, place in (("as answered", 0), ("corrected for letter bias", 1)):
                values = [item[place].value or 0.0 for item in found]
                each = [f"{100 * value:+.1f}" for value in values]
                yield domain, f"{title(pair[0])} − {title(pair[1])}", kind, *each, points(mean(values))


def other_claims(answers: Answers) -> Iterator[Sequence[str]]:
    """The paper's claims about the base model's ranking and distribution."""
    places = (("domain tests", None), ("MMLU", "mmlu"))
    for place, scope in places:
        yield "ranking correlation goes with accuracy, ρ", place, "0.78 to 0.87", *go_together(answers, scope)
    for place, scope in places:
        found = [nats(each) for each in more_kl(answers, scope)]
        yield "KL: INCOMPATIBLE above MIXED 0.4, nats", place, "+0.13", *found, *["–"] * (3 - len(found))


def nats(found: Estimate) -> str:
    """A difference of KL with its interval, and whether it is above 0."""
    return f"{found.value:+.2f} [{found.ci_low:+.2f}, {found.ci_high:+.2f}]: {agrees(found)}"


def over_domains(answers: Answers, pair: tuple[str, str], scope: str | None) -> tuple[Estimate, ...]:
    """Differences of a seed between two groups, means over the four domains: as answered, corrected for letters, over rotations.

    The models of the domains answer the same questions of MMLU, and questions of their own in the domains' tests.
    """
    runs = [(f"{domain}_seed-0_{pair[0]}", f"{domain}_seed-0_{pair[1]}") for domain in DOMAINS]
    scopes = [scope or domain for domain in DOMAINS]
    kinds = (
        [answers.right(one, at) - answers.right(two, at) for (one, two), at in zip(runs, scopes, strict=True)],
        [
            answers.parts(one, at).influence["calibrated_after"] - answers.parts(two, at).influence["calibrated_after"]
            for (one, two), at in zip(runs, scopes, strict=True)
        ],
        [
            answers.right_in_all_rotations(one, at) - answers.right_in_all_rotations(two, at)
            for (one, two), at in zip(runs, scopes, strict=True)
        ],
    )
    if scope:
        return tuple(mean(np.mean(of_domains, axis=0)) for of_domains in kinds)
    return tuple(_mean_of_tests(of_domains) for of_domains in kinds)


def _mean_of_tests(differences: Sequence[Floats]) -> Estimate:
    """The mean over tests of unequal sizes, each counting the same."""
    total = sum(map(len, differences))
    weighted = [values * (total / (len(differences) * len(values))) for values in differences]
    strata = np.repeat(np.arange(len(differences)), [len(values) for values in differences])
    return mean(np.concatenate(weighted), strata=strata)


def agrees(found: Estimate | PartialCorrelation) -> str:
    """Whether a difference that the paper found above 0 is: yes, no, or not told apart from 0."""
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return "unknown"
    return "yes" if found.ci_low > 0 else "no" if found.ci_high < 0 else "not told from 0"


def claims(answers: Answers) -> Iterator[Sequence[str]]:
    """The paper's claims about accuracy: as answered, corrected for letter bias, over all rotations, each with a verdict."""
    for pair, (homo, (low, high)) in PUBLISHED.items():
        for place, scope, published in (("domain tests", None, f"+{homo}"), ("MMLU", "mmlu", f"+{low} and +{high}")):
            found = over_domains(answers, pair, scope)
            cells = [f"{points(each)}: {agrees(each)}" for each in found]
            yield f"{title(pair[0])} above {title(pair[1])}", place, published, *cells, verdict(found)
    for place, scope in (("domain tests", None), ("MMLU", "mmlu")):
        orders = [order(answers, scope, kind) for kind in range(3)]
        held = [found == " < ".join(map(title, ORDER)) for found in orders]
        told = "the order holds" if all(held) else "only as answered" if held[0] and not any(held[1:]) else "it differs"
        yield "order of accuracies (no test)", place, " < ".join(map(title, ORDER)), *orders, told


def go_together(answers: Answers, scope: str | None) -> Iterator[str]:
    """Ranking correlation with the base model, and accuracy: their partial correlation over groups, domains held constant."""
    runs = [(domain, f"{domain}_seed-0_{group}") for domain in DOMAINS for group in DOSES]
    found: tuple[list[tuple[float, float]], ...] = ([], [], [])
    for domain, run in runs:
        at = scope or domain
        parts = answers.decomposition(run, at).estimates
        raw = spearman(answers.scores("base_icl", at), answers.scores(run, at))
        found[0].append((float(np.nanmean(raw)), answers.right(run, at).mean()))
        found[1].append((parts["spearman_calibrated"].value or 0, parts["calibrated_after"].value or 0))
        if not scope:
            rotated = spearman(*answers.folded(run, domain))
            found[2].append((float(np.nanmean(rotated)), answers.right_in_all_rotations(run, at).mean()))
    for pairs in found:
        if not pairs:
            yield "–"
            continue
        x, y = zip(*pairs, strict=True)
        r = partial_correlation(x, y, np.empty((len(runs), 0)), groups=[domain for domain, _ in runs])
        yield f"{r.value:.2f} [{r.ci_low:.2f}, {r.ci_high:.2f}]: {agrees(r)}"


def more_kl(answers: Answers, scope: str | None) -> tuple[Estimate, ...]:
    """KL of INCOMPATIBLE less that of MIXED 0.4, means over the domains: as answered, of what neither explains, and rotated."""
    each: tuple[list[Floats], ...] = ([], [], [])
    for domain in DOMAINS:
        at = scope or domain
        runs = [f"{domain}_seed-0_{group}" for group in ("incompatible", "mixed_0.4")]
        raw = [kl_of_logs(answers.scores("base_icl", at), answers.scores(run, at)) for run in runs]
        contents = [answers.unexplained(run, at) for run in runs]
        rotated = [] if scope else [kl_of_logs(*answers.folded(run, domain)) for run in runs]
        for kept, kl in zip(each, (raw, contents, rotated), strict=True):
            kept += [kl[0] - kl[1]] if kl else []
    if scope:
        return tuple(mean(np.mean(of_domains, axis=0)) for of_domains in each if of_domains)
    return tuple(map(_mean_of_tests, each))


def order(answers: Answers, scope: str | None, kind: int) -> str:
    """The three groups by mean accuracy over the domains: as answered, corrected for letter bias, or over all rotations."""

    def accuracy(group: str) -> float:
        found = []
        for domain in DOMAINS:
            run, at = f"{domain}_seed-0_{group}", scope or domain
            found.append(
                answers.right(run, at).mean()
                if kind == 0
                else answers.decomposition(run, at).estimates["calibrated_after"].value or 0
                if kind == 1
                else answers.right_in_all_rotations(run, at).mean()
            )
        return float(np.mean(found))

    return " < ".join(title(group) for group in sorted(ORDER, key=accuracy))


def verdict(found: Sequence[Estimate]) -> str:
    """What is left of a claim."""
    raw, without, rotated = (each.ci_low is not None and each.ci_low > 0 for each in found)
    if not raw:
        return "not seen"
    if not without:
        return "as answered alone: letters"
    kept = f"{100 * (found[1].value or 0) / (found[0].value or 1):.0f} % left when corrected"
    return f"{kept}, and over all rotations" if rotated else f"{kept}, nothing seen over all rotations"


def seeds_of_one_pair(answers: Answers) -> Iterator[Sequence[str]]:
    """HARMONIOUS less INCOMPATIBLE on MMLU by seed, of every domain that has the two runs."""
    for domain in DOMAINS:
        for seed in range(3):
            runs = tuple(f"{domain}_seed-{seed}_{group}" for group in PAIRS[0])
            if set(runs) <= answers.names:
                raw, without, rotated, _ = answers.difference((runs[0], runs[1]), "mmlu")
                yield (
                    domain,
                    str(seed),
                    points(raw),
                    points(without),
                    points(rotated),
                    answers.answered(runs[1], "mmlu"),
                )


def letters(answers: Answers) -> Iterator[Sequence[str]]:
    """Which letters each group teaches."""
    for domain in DOMAINS:
        for group in (*GROUPS, *BALANCED):
            found = answers.groups[f"{domain}_seed-0_{group}"]
            shares = [f"{100 * found['taught']['shares'].get(letter, 0):.0f}" for letter in "ABCD"]
            yield domain, title(group), str(sum(found["rows"].values())), *shares


def draw(answers: Answers, path: Path) -> None:
    """Accuracy on MMLU by group: as answered, corrected for letter bias, and over all rotations of a subset."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = STYLE

    base = 100 * answers.right_in_all_rotations("base_ift_medicine", "mmlu").mean()
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
                axes.plot(without, -row, "o", color=BLUE, label="corrected for letter bias" if not row else None)
                axes.plot(rotated, -row, "D", ms=5, color=INK, label="over all rotations" if not row else None)
            axes.axvline(25, color=GREY, linewidth=0.6, linestyle=":", label="chance")
            axes.axvline(base, color=INK, linewidth=0.6, label="base model, over all rotations")
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
        ("prompt", "as answered", "corrected for letter bias", "letters A B C D (mean probability)"),
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
    three = ("as answered", "corrected for letter bias", "all rotations")
    table(
        "The paper's claims about accuracy, and this model: means over the four domains, seed 0, in points",
        ("claim", "on", "paper", *three, "verdict"),
        claims(answers),
    )
    table(
        "The paper's claims about ranking and KL, and this model: INCOMPATIBLE, MIXED 0.4, SELF-ALIGNING of four domains, seed 0",
        (
            "claim",
            "on",
            "paper",
            "as answered",
            "corrected for letter bias (KL: what neither explains)",
            "all rotations",
        ),
        other_claims(answers),
    )
    table(
        "Differences between groups on MMLU, in points",
        ("domain", "groups", *three[:2], "as answered, of the rotated 1,000", three[2]),
        differences(answers, "mmlu"),
    )
    table(
        "Differences between groups on the domain's own test, in points",
        ("domain", "groups", *three),
        differences(answers, None),
    )
    table(
        "Over all rotations: accuracy in percent, its change from the base model in points; means over the four domains, seed 0",
        (
            *("group", "domain tests", "change from 5-shot", "change from 0-shot", "MMLU, 1,000 questions"),
            "change from 0-shot",
        ),
        against_base(answers),
    )
    table(
        "Three seeds: differences on MMLU, in points",
        ("domain", "groups", "", "seed 0", "1", "2", "mean, 95 % interval over seeds"),
        over_seeds(answers),
    )
    table(
        "HARMONIOUS − INCOMPATIBLE on MMLU by seed, in points, and the letters that INCOMPATIBLE then answers",
        ("domain", "seed", *three, "answers A B C D (%)"),
        seeds_of_one_pair(answers),
    )
    table(
        "Accuracy in percent",
        ("domain", "group", *(f"{scope}: {kind}" for scope in ("domain test", "MMLU") for kind in three)),
        accuracies(answers),
    )
    table(
        "From the base model with five shots, on MMLU",
        (
            *("domain", "run", "change corrected for letter bias (points)", "due to letter bias (points)"),
            *(
                "KL: temperature",
                "letters besides",
                "letters first",
                "temperature besides",
                "neither",
                "ρ corrected for letter bias",
            ),
            *("mean probability A B C D (%)", "answers A B C D (%)"),
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
