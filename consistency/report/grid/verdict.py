"""What happened, in a sentence made from the numbers and honest in every direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from consistency.experiment.grid import Experiment
from consistency.report.formats.numbers import points, signed
from consistency.report.grid.estimates import MEAN
from consistency.report.schema import Claim, Contrast, Figure, GridVerdict, Mean, ModelVerdict
from consistency.tasks.scopes import SCOPES

# The claims of the paper that a grid can test, as contrasts that it says are positive.
CLAIMS = (
    ("harmonious", "incompatible", "accuracy"),
    ("self_aligning", "incompatible", "accuracy"),
    ("self_aligning", "incompatible", "spearman"),
)
LEVEL = 0.05
CORRELATION = "Spearman ρ with the base model"


def group_title(group: str) -> str:
    """A group's name as the paper writes it.

    Examples
    --------
    >>> group_title("self_aligning"), group_title("mixed_0.05")
    ('SELF-ALIGNING', 'MIXED 0.05')
    """
    return group.upper().replace("MIXED_", "MIXED ").replace("_", "-")


def state(row: Contrast) -> str:
    """Whether a contrast that the paper says is positive is seen.

    "seen" or "reversed": its interval excludes 0 and so does the test corrected for all contrasts of its kind (Holm).
    "unclear": one of them does not. "unknown": too few questions for an interval.
    """
    found = row.difference
    if found.value is None or found.ci_low is None or found.ci_high is None or row.p_holm is None:
        return "unknown"
    if found.ci_low <= 0 <= found.ci_high or row.p_holm >= LEVEL:
        return "unclear"
    return "seen" if found.value > 0 else "reversed"


def verdict(contrasts: Sequence[Contrast], rows: Sequence[Mean], experiment: Experiment) -> GridVerdict:
    """The sentence of a report, by model, and the contrasts that it rests on.

    Parameters
    ----------
    contrasts : sequence of Contrast
        Rows of `estimates.contrasts`.
    rows : sequence of Mean
        Rows of `results` and `means`, whose values the sentence names.
    experiment : Experiment
    """
    several = len(experiment.domains) > 1
    domain = MEAN if several else experiment.domains[0]
    seed = None if len(experiment.seeds) > 1 else experiment.seeds[0]
    models = []
    for model in experiment.models:
        claims = [
            Claim(**structs.asdict(row), state=state(row))
            for minuend, subtrahend, measure in CLAIMS
            for scope in SCOPES
            for row in contrasts
            if (row.model, row.domain, row.seed, row.scope) == (model, domain, seed, scope)
            and (row.minuend, row.subtrahend, row.measure) == (minuend, subtrahend, measure)
        ]
        chosen = [row for row in rows if (row.model, row.domain, row.seed) == (model, domain, seed)]
        tuned = {(row.group, row.scope): row.tuned for row in chosen}
        changes = {row.scope: row.change["accuracy"] for row in chosen if row.group == "incompatible"}
        headline = [claim for claim in claims if claim.scope == _headline_scope(claims)]
        title = f"{model}: " if len(experiment.models) > 1 else ""
        models.append(
            ModelVerdict(
                model,
                lead=title + _lead(claims, changes),
                detail=_detail(headline, tuned, experiment) if headline else "",
                scopes=_other_scopes(claims),
                claims=claims,
            )
        )
    sentences = [" ".join(part for part in (m.lead, m.detail, m.scopes) if part) for m in models]
    return GridVerdict(" ".join(sentences), models)


def interval_text(experiment: Experiment) -> str:
    """What the report's intervals contain, and what they do not."""
    text = (
        "95 % intervals say how far a figure would move with other questions of the same tasks. They do not contain "
        "what other tasks or another base model would change"
    )
    if len(experiment.seeds) == 1:
        return text + ", nor another seed of the group's sampling and of the training: one seed was run."
    return text + f", nor other seeds; what the {len(experiment.seeds)} seeds changed is in the table of seeds."


def _headline_scope(claims: Sequence[Claim]) -> str:
    return next((scope for scope in SCOPES if any(claim.scope == scope for claim in claims)), "homo")


def _lead(claims: Sequence[Claim], changes: Mapping[str, Figure]) -> str:
    """The first sentence.

    Parameters
    ----------
    claims : sequence of Claim
        Contrasts with their states.
    changes : dict of str to Figure
        By scope, the change of accuracy from the base model to INCOMPATIBLE.
    """
    states = [claim.state for claim in claims]
    if not states:
        return "No verdict: there is no INCOMPATIBLE group beside HARMONIOUS or SELF-ALIGNING to compare it with."
    if set(states) == {"unknown"}:
        return "No verdict: too few questions for intervals."
    seen, reversed_ = states.count("seen"), states.count("reversed")
    harmed = [scope for scope, change in changes.items() if change.ci_high is not None and change.ci_high < 0]
    # Worse than another group is not yet worse than the model was.
    worse = "does more harm than" if len(harmed) == len(changes) else "leaves less accuracy and consistency than"
    better = "does less harm than" if len(harmed) == len(changes) else "leaves more accuracy and consistency than"
    against, along = "Fine-tuning against what the base model believes", "fine-tuning in line with it"
    if seen == len(states):
        return f"{against} {worse} {along}, in every comparison made."
    if seen and reversed_:
        return (
            f"A divided result: {against[0].lower()}{against[1:]} {worse} {along} in {seen} of {len(states)} "
            f"comparisons, and the reverse in {reversed_}."
        )
    if seen:
        return (
            f"{against} {worse} {along} in {seen} of {len(states)} comparisons; the others cannot be distinguished from "
            "chance."
        )
    if reversed_:
        return (
            f"The reverse of what the paper found: {against[0].lower()}{against[1:]} {better} {along} in {reversed_} "
            f"of {len(states)} comparisons; the others cannot be distinguished from chance."
        )
    return f"{against} cannot be distinguished from {along}: no comparison shows a difference."


def _detail(
    claims: Sequence[Claim], tuned: Mapping[tuple[str, str], Mapping[str, Figure]], experiment: Experiment
) -> str:
    scope = claims[0].scope
    where = "held-out questions" if scope == "homo" else f"{scope.upper()} questions"
    over = experiment.domains[0] if len(experiment.domains) == 1 else f"mean of {len(experiment.domains)} domains"
    if len(experiment.seeds) > 1:
        over += f" and {len(experiment.seeds)} seeds"
    parts = [_clause(claim, tuned) for claim in claims]
    return f"On {where} ({scope.upper()}, {over}): {'; '.join(parts)}."


def _clause(claim: Claim, tuned: Mapping[tuple[str, str], Mapping[str, Figure]]) -> str:
    found, accuracy = claim.difference, claim.measure == "accuracy"
    first, second = group_title(claim.minuend), group_title(claim.subtrahend)
    one, two = (tuned[group, claim.scope][claim.measure].value for group in (claim.minuend, claim.subtrahend))
    what, unit, form = ("accuracy", " points", points) if accuracy else (CORRELATION, "", signed)
    values = ""
    if one is not None and two is not None:
        texts = (f"{100 * one:.1f} %", f"{100 * two:.1f} %") if accuracy else (signed(one), signed(two))
        values = f"{texts[0]} against {texts[1]}, "
    if found.ci_low is None:
        return f"{what} of {first} against {second}: {values}without an interval"
    how = {"seen": "is higher than", "reversed": "is lower than"}.get(claim.state, "cannot be distinguished from that")
    interval = f"[{form(found.ci_low)}, {form(found.ci_high)}]"
    return f"{what} after {first} {how} after {second} ({values}difference {form(found.value)}{unit} {interval})"


def _other_scopes(claims: Sequence[Claim]) -> str:
    first = _headline_scope(claims)
    texts = []
    for scope in SCOPES:
        states = [claim.state for claim in claims if claim.scope == scope]
        if scope != first and states:
            seen, reversed_ = states.count("seen"), states.count("reversed")
            texts.append(f"{scope.upper()} {seen} of {len(states)}" + (f", {reversed_} reversed" if reversed_ else ""))
    return f"Elsewhere, in the direction that the paper found: {'; '.join(texts)}." if texts else ""
