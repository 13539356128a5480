"""What happened, in a sentence made from the numbers and honest in every direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from consistency.experiment.grid import Experiment
from consistency.experiment.group_names import is_balanced, plain
from consistency.report.document import Figure
from consistency.report.formats.numbers import points, signed
from consistency.report.grid.document import Claim, Contrast, Grid, GridVerdict, Mean, ModelVerdict, RunsCorrelation
from consistency.report.grid.estimates import MEAN
from consistency.support.text import p_equals
from consistency.tasks.scopes import SCOPES

# The claims of the paper that a grid can test, as contrasts that it says are positive.
CLAIMS = (
    ("harmonious", "incompatible", "accuracy"),
    ("self_aligning", "incompatible", "accuracy"),
    ("self_aligning", "incompatible", "spearman"),
)
LEVEL = 0.05
ONE_RUN = (
    "Each group was trained once: another seed may move these figures by more than their intervals, and a claim about the "
    "recipe needs several."
)
CORRELATION = "Spearman ρ with the base model"


def group_title(group: str) -> str:
    """A group's name as the paper writes it.

    Examples
    --------
    >>> group_title("self_aligning"), group_title("mixed_0.05_balanced")
    ('SELF-ALIGNING', 'MIXED 0.05 BALANCED')
    """
    title = plain(group).upper().replace("MIXED_", "MIXED ").replace("_", "-")
    return f"{title} BALANCED" if is_balanced(group) else title


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
        Rows of `contrasts`.
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
        once = f" {ONE_RUN}" if seed is not None and any(claim.state != "unknown" for claim in claims) else ""
        models.append(
            ModelVerdict(
                model,
                lead=title + _lead(claims, changes, "these training runs" if seed is not None else "") + once,
                detail=_detail(headline, tuned, experiment) if headline else "",
                scopes=_other_scopes(claims),
                claims=claims,
            )
        )
    sentences = [" ".join(part for part in (m.lead, m.detail, m.scopes) if part) for m in models]
    return GridVerdict(" ".join(sentences), models)


def interval_text(experiment: Experiment) -> str:
    """What the report's intervals contain, and what they do not."""
    beyond = "They do not contain what other tasks or another base model would change"
    if len(experiment.seeds) == 1:
        return (
            "95 % intervals say how far a figure of these training runs would move with other questions of the same tasks. "
            f"{beyond}, nor another seed of the group's sampling and of the training: one seed was run, so that the figures "
            "are those of one training run of each group, and not of the recipe."
        )
    return (
        "95 % intervals of means over seeds say how far a figure would move with other training seeds and with other questions "
        f"of the same tasks; those of a single seed, with other questions. {beyond}. What the {len(experiment.seeds)} seeds "
        "changed is in the table of seeds."
    )


def dose_text(correlations: Sequence[RunsCorrelation], experiment: Grid) -> list[str]:
    """What becomes of the partial correlation where the mixing ratio is held constant, a sentence for each model."""
    texts = []
    for model in experiment.models:
        found = {(row.variant, row.scope): row.value for row in correlations if row.model == model}
        scopes = [
            scope
            for scope in SCOPES
            if all(found.get((variant, scope)) is not None for variant in ("standard", "given_dose", "given_mix"))
        ]
        if not scopes:
            continue
        given, dose, mix = (
            ", ".join(f"{signed(found[variant, scope])} ({scope.upper()})" for scope in scopes)
            for variant in ("standard", "given_dose", "given_mix")
        )
        weaker = all(abs(found["given_dose", scope] or 0) < abs(found["standard", scope] or 0) for scope in scopes)
        follows = (
            "much of the correlation is the dose: the mixing ratio moves ranking and accuracy together. Only what is left is "
            "about models that were trained alike"
            if weaker
            else "the mixing ratio does not make the correlation on every scope"
        )
        title = f"{model}: partial" if len(experiment.models) > 1 else "Partial"
        texts.append(
            f"{title} correlation of ranking and accuracy given base accuracy, which has one value for each domain: {given}. "
            f"Within domains and given the mixing ratio: {dose}; each mix with an effect of its own: {mix}. So {follows}."
        )
    return texts


def _headline_scope(claims: Sequence[Claim]) -> str:
    return next((scope for scope in SCOPES if any(claim.scope == scope for claim in claims)), "homo")


def _lead(claims: Sequence[Claim], changes: Mapping[str, Figure], of: str = "") -> str:
    """The first sentence.

    Parameters
    ----------
    claims : sequence of Claim
        Contrasts with their states.
    changes : dict of str to Figure
        By scope, the change of accuracy from the base model to INCOMPATIBLE.
    of : str
        The runs that the sentence is about, where it is not about the recipe.
    """
    states = [claim.state for claim in claims]
    if not states:
        return "No verdict: there is no INCOMPATIBLE group beside HARMONIOUS or SELF-ALIGNING to compare it with."
    if set(states) == {"unknown"}:
        return "No verdict: too few questions for intervals."
    seen, reversed_ = states.count("seen"), states.count("reversed")
    harmed = [scope for scope, change in changes.items() if change.ci_high is not None and change.ci_high < 0]
    # Worse than another group is not yet worse than the model was.
    worse = "more harm than" if len(harmed) == len(changes) else "less accuracy and consistency than"
    better = "less harm than" if len(harmed) == len(changes) else "more accuracy and consistency than"
    verb = ("does", "leaves") if not of else ("did", "left")
    worse, better = (f"{verb['harm' not in text]} {text}" for text in (worse, better))
    against, along = "Fine-tuning against what the base model believes", "fine-tuning in line with it"
    if of:
        against = f"In {of}, {against[0].lower()}{against[1:]}"
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
    if found.ci_low is None or found.ci_high is None:
        return f"{what} of {first} against {second}: {values}without an interval"
    how = {"seen": "is higher than", "reversed": "is lower than"}.get(claim.state, "cannot be distinguished from that")
    interval = f"[{form(found.ci_low)}, {form(found.ci_high)}]"
    if claim.state == "unclear" and claim.p_holm is not None and not found.ci_low <= 0 <= found.ci_high:
        interval += f", but {p_equals(claim.p_holm)} after Holm's correction"
    return f"{what} after {first} {how} after {second} ({values}difference {form(found.value)}{unit} {interval})"


def _other_scopes(claims: Sequence[Claim]) -> str:
    first = _headline_scope(claims)
    texts = []
    for scope in SCOPES:
        states = [claim.state for claim in claims if claim.scope == scope]
        if scope != first and states:
            seen, reversed_ = states.count("seen"), states.count("reversed")
            texts.append(f"{scope.upper()} {seen} of {len(states)}" + (f", {reversed_} reversed" if reversed_ else ""))
    return f"Elsewhere, beyond chance and in the direction that the paper found: {'; '.join(texts)}." if texts else ""
