"""The paper's published figures beside those of a report: whether sign, order and interval agree.

    python scripts/published_claims.py runs/world-paper/report > claims.md

Reads `report.json` of a grid with the paper's groups. Accuracies are means over the domains.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from consistency.experiment.group_names import is_balanced
from consistency.report.grid.document import Grid, RunsCorrelation
from consistency.report.grid.tables import HELD_CONSTANT
from consistency.report.grid.verdict import dose_text, group_title
from consistency.support.text import p_value

Row = Mapping[str, Any]
SCOPES = ("homo", "id", "ood")
# Ren et al. 2024: accuracy points, means over models and domains.
POINTS = {
    ("harmonious", "incompatible"): (11.27, 14.58, 14.57),
    ("self_aligning", "incompatible"): (5.25, 9.78, 6.97),
}
# From the smallest to the largest accuracy, as these figures imply on every scope.
ORDER = ("incompatible", "self_aligning", "harmonious")


def claims(report: Row) -> str:
    """The table of each kind of claim, as Markdown.

    Parameters
    ----------
    report : mapping
        `report.json` of a grid.

    Returns
    -------
    str
    """
    experiment = report["experiment"]
    models = ", ".join(experiment["models"])
    seeds = experiment["seeds"]
    over = (
        "95 % intervals over questions, of one training run of each group: they are about these runs, and not about the recipe."
        if len(seeds) == 1
        else "95 % intervals over training seeds and questions."
    )
    parts = [
        f"# Published claims, and {experiment['name']}",
        f"Paper: Llama-2 7B, 13B, 70B and Mistral-7B. Here: {models}; domains: {', '.join(experiment['domains'])}; training "
        f"seeds: {', '.join(map(str, seeds))}. {over} yes, no: the whole interval lies on the side that the paper names, or on "
        "the other; sign only: the figure does, the interval reaches 0, or the robust p of a correlation .05. Orders go by the "
        "figures alone.",
        "## Accuracy between groups, points",
        table(("difference", "scope", "paper", "here", "agrees"), differences(report)),
        "## Order of the three groups by accuracy",
        table(("scope", "paper", "here, %", "agrees"), orders(report)),
        "## Does consistency go with accuracy? Partial correlation",
        table(
            ("held constant", "scope", "paper", "here", "p", "robust p", "permuted p", "agrees"), correlations(report)
        ),
        *what_follows(report),
    ]
    if any(map(is_mix, experiment["groups"])):
        parts += [
            "## KL(base ‖ tuned), nats",
            "The paper has 0.37 for INCOMPATIBLE and 0.24 for the best mix (Mistral-7B).",
            table(("scope", "INCOMPATIBLE", "smallest of the mixes", "agrees"), divergences(report)),
            "## A mix is most often better than either pure end",
            mixes(report),
        ]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def differences(report: Row) -> Iterator[Sequence[str]]:
    """Differences of accuracy between groups, published and found."""
    for (minuend, subtrahend), published in POINTS.items():
        for scope, points in zip(SCOPES, published, strict=True):
            for row in averaged(report, "contrasts"):
                pair = (row["minuend"], row["subtrahend"], row["scope"], row["measure"])
                if pair == (minuend, subtrahend, scope, "accuracy"):
                    found = row["difference"]
                    title = f"{group_title(minuend)} − {group_title(subtrahend)}"
                    here = interval(found, 100, 1, signed=True)
                    yield title, scope.upper(), f"+{points:.2f}", here, agreement(points, found)


def orders(report: Row) -> Iterator[Sequence[str]]:
    """The order of the three groups on each scope."""
    means = averaged(report, "means") or averaged(report, "results")
    for scope in SCOPES:
        found = {row["group"]: row["tuned"]["accuracy"]["value"] for row in means if row["scope"] == scope}
        here = sorted(ORDER, key=lambda group: found[group])
        ordered = " < ".join(f"{group_title(group)} {100 * found[group]:.1f}" for group in here)
        paper = " < ".join(map(group_title, ORDER))
        yield scope.upper(), paper, ordered, "yes" if tuple(here) == ORDER else "no"


def correlations(report: Row) -> Iterator[Sequence[str]]:
    """Partial correlations: as the paper computes them, as is standard, within domains, and given the dose as well."""
    for variant, held in HELD_CONSTANT.items():
        for row in report["partial_correlations"]:
            if row["variant"] == variant:
                published = "0.78 to 0.87" if variant in ("paper", "standard") else "not told"
                tests = (p_value(row["p"]), p_value(row["robust_p"]), p_value(row["within_p"]))
                yield (
                    f"{held}, {row['n']} runs",
                    row["scope"].upper(),
                    published,
                    interval(row, 1, 2),
                    *tests,
                    agreement(1, row) + (f": {row['reason']}" if row["reason"] else ""),
                )


def what_follows(report: Row) -> list[str]:
    """What the correlations given the dose say of the claim; nothing without them."""
    rows = msgspec.convert(report["partial_correlations"], list[RunsCorrelation])
    told = dose_text(rows, msgspec.convert(report["experiment"], Grid))
    if not told:
        return []
    return [
        *told,
        "Base accuracy has one value for each domain, here and in the paper: to hold it constant is to tell the domains apart. "
        "The runs of a domain differ by the mixing ratio, which was chosen to move accuracy and ranking, so that a correlation "
        "near the published one is to be expected wherever mixing works. It is no evidence that a model keeps its accuracy "
        "because it keeps its ranking.",
        "The ratio's rank leaves a part of a dose that acts along a curve, which makes its p too small; with an effect of each "
        "mix the robust p is the one to read (docs/statistics.md). What is left there is the evidence: runs of one mix, beside "
        "each other.",
    ]


def is_mix(group: str) -> bool:
    """Whether a group is one of the paper's mixes; their balanced variants are not."""
    return group.startswith("mixed_") and not is_balanced(group)


def divergences(report: Row) -> Iterator[Sequence[str]]:
    """KL of INCOMPATIBLE, and the smallest KL of a mix."""
    means = averaged(report, "means") or averaged(report, "results")
    for scope in SCOPES:
        found = {row["group"]: row["tuned"]["kl"] for row in means if row["scope"] == scope}
        mixed = {group: kl for group, kl in found.items() if is_mix(group)}
        best = min(mixed, key=lambda group: mixed[group]["value"])
        pure = found["incompatible"]
        apart = mixed[best]["ci_high"] < pure["ci_low"]
        agrees = "yes" if apart else "sign only" if mixed[best]["value"] < pure["value"] else "no"
        yield scope.upper(), interval(pure, 1, 2), f"{group_title(best)}: {interval(mixed[best], 1, 2)}", agrees


def mixes(report: Row) -> str:
    """How often the best mix has a higher accuracy than both ends, domain by domain."""
    experiment = report["experiment"]
    counts = 0
    cells = [
        (domain, seed, scope) for domain in experiment["domains"] for seed in experiment["seeds"] for scope in SCOPES
    ]
    number = sum(map(is_mix, experiment["groups"]))
    for domain, seed, scope in cells:
        found = {
            row["group"]: row["tuned"]["accuracy"]["value"]
            for row in report["results"]
            if (row["domain"], row["seed"], row["scope"]) == (domain, seed, scope)
        }
        best = max(value for group, value in found.items() if is_mix(group))
        counts += best > max(found["incompatible"], found["self_aligning"])
    by_chance = len(cells) * number / (number + 2)
    return (
        f"Here the best of {number} mixes lies above both ends in {counts} of {len(cells)} combinations of domain and "
        f"scope. If no group differed from another, the best of {number + 2} would be a mix in {by_chance:.0f} of "
        f"{len(cells)}: the claim says little without a test, here and in the paper."
    )


def averaged(report: Row, key: str) -> list[Row]:
    """Rows over all domains and seeds that the experiment has."""
    experiment = report["experiment"]
    domain = "mean" if len(experiment["domains"]) > 1 else experiment["domains"][0]
    seed = None if len(experiment["seeds"]) > 1 else experiment["seeds"][0]
    return [row for row in report[key] if (row["domain"], row["seed"]) == (domain, seed)]


def interval(found: Row, scale: float, digits: int, *, signed: bool = False) -> str:
    """A figure with its interval."""
    if found["value"] is None:
        return "–"
    sign = "+" if signed else ""
    keys = ("value",) if found["ci_low"] is None else ("value", "ci_low", "ci_high")
    value, *ends = (f"{scale * found[key]:{sign}.{digits}f}".replace("-", "−") for key in keys)
    return f"{value} [{', '.join(ends)}]" if ends else value


def agreement(published: float, found: Row) -> str:
    """Whether a figure has the published sign, and its interval (or its p if it has none) and its robust p exclude 0."""
    if found["value"] is None:
        return "unknown"
    same = (found["value"] > 0) == (published > 0)
    if found["ci_low"] is None:  # the paper's correlation has only a p
        significant = found["p"] is not None and found["p"] < 0.05
    else:
        robust = found.get("robust_p")
        significant = (found["ci_low"] > 0 or found["ci_high"] < 0) and (robust is None or robust < 0.05)
    if significant:
        return "yes" if same else "no"
    return "sign only" if same else "opposite sign, not significant"


def parse(doc: str | None, needed: str, *names: str) -> list[Path]:
    """The folders of reports on the command line; each must contain the file that is needed."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    for name in names:
        parser.add_argument(name, type=Path, help="folder of a report")
    folders: list[Path] = list(vars(parser.parse_args()).values())
    for folder in folders:
        if not (folder / needed).is_file():
            parser.error(f"{folder} is not the folder of a report: {needed} is missing")
    return folders


if __name__ == "__main__":
    sys.stdout.write(
        claims(msgspec.json.decode((parse(__doc__, "report.json", "report")[0] / "report.json").read_bytes()))
    )
