"""The tables of a change with and without the prior of the options' letters, and of what explains KL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.report.content import Table
from consistency.report.formats.numbers import fixed, signed
from consistency.report.label_cells import CAPTION, label_columns
from consistency.statistics.decomposition import Decomposition
from consistency.statistics.estimates import Estimate

FOLDED = 12


def part_tables(comparison: Comparison) -> tuple[Table, ...]:
    """The parts of accuracy and of KL, the letters answered, and what all rotations show; none where no options have letters."""
    tasks = _found(comparison.by_task)
    overall = {} if comparison.overall is None else {"all questions": comparison.overall}
    sections = {**overall, **comparison.by_scope}
    rotated = _over_rotations(sections)
    found = _found(sections)
    if not found:
        return rotated
    each = (_accuracy(tasks, "parts_by_task"),) if len(tasks) > 1 else ()
    letters = (_letters(found),) if any(parts.priors for _, _, parts in found) else ()
    return _accuracy(found, "parts_of_accuracy"), *each, _divergence(found), *letters, *rotated


_Found = list[tuple[str, Section, Decomposition]]


def _found(sections: Mapping[str, Section]) -> _Found:
    """The sections some of whose options have letters."""
    return [
        (name, section, section.decomposition)
        for name, section in sections.items()
        if section.decomposition is not None and section.decomposition.lettered
    ]


def _accuracy(found: _Found, name: str) -> Table:
    rows = []
    for of, section, parts in found:
        change = section.estimates["delta_accuracy"]
        rows.append(
            (
                of,
                str(parts.lettered),
                _cell(change, 100, sign=True),
                *(_cell(parts.estimates[key], 100, sign=True) for key in ("calibrated_change", "prior_change")),
                *(_cell(parts.estimates[f"calibrated_{when}"], 100) for when in ("before", "after")),
            )
        )
    return Table(
        name=name,
        title="The change of accuracy, and what of it is letter bias"
        + (", task by task" if name == "parts_by_task" else ""),
        caption=""
        if name == "parts_by_task"
        else "Change of accuracy in points = change corrected for letter bias + change due to letter bias, with 95 % intervals "
        "that allow for the estimation of the offsets. Correction: one offset for each letter, the same in all questions of the "
        "row, so that all letters are equally probable on average (each question's fitted to the others); the parts of all "
        "questions need not lie between those of the tasks, whose offsets are their own. What remains may be a "
        "letter bias that differs between questions. Where gold letters are uneven both parts mislead, which is not "
        "always found in fewer than some 300 questions.",
        head=(
            *("questions of", "questions with letters", "change", "corrected change", "due to letter bias"),
            *("corrected accuracy: before, %", "after, %"),
        ),
        rows=tuple(rows),
        labels=1,
        data=[{"questions_of": of, **parts.to_dict()} for of, _, parts in found],
        folded=len(rows) > FOLDED,
        pinned="change",
        names_tasks=name == "parts_by_task",
    )


def _divergence(found: _Found) -> Table:
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Any]] = []
    keys, shown = ("kl_sharpness", "kl_prior", "kl_rest", "kl_prior_first", "kl_sharpness_last"), (0, 3, 2)
    for name, section, parts in found:
        total, plain = section.estimates["kl"], section.estimates["spearman"]
        calibrated = parts.estimates["spearman_calibrated"]
        rows.append(
            (
                name,
                fixed(total.value, 3),
                *(_cell(parts.estimates[keys[place]], digits=3) for place in shown),
                fixed(parts.temperature, 2),
                fixed(plain.value, 3),
                _cell(calibrated, digits=3),
            )
        )
        kept = {key: parts.estimates[key].to_dict() for key in (*keys, "spearman_calibrated")}
        data.append({"questions_of": name, "temperature": parts.temperature, **kept})
    return Table(
        name="parts_of_kl",
        title="What a temperature and letter offsets explain of KL",
        caption="KL(before ‖ after) in nats: what one temperature of the second run's scores explains alone, what one offset for "
        "each letter explains alone, and what neither explains. Both overlap: their sum may be more than what both explain "
        "together. Fitted to the other questions each time. Temperature above 1: the second run is sharper than the first. "
        "Ranking correlation: Spearman's ρ as answered, and corrected for the letter bias of both runs.",
        head=(
            *("questions of", "KL", "temperature alone", "letter offsets alone", "unexplained"),
            *("fitted temperature", "ρ as answered", "ρ corrected"),
        ),
        rows=tuple(rows),
        labels=1,
        data=data,
        folded=len(rows) > FOLDED,
    )


def _letters(found: _Found) -> Table:
    priors = [(name, item) for name, _, parts in found for item in parts.priors]
    heads, cells = label_columns([item for _, item in priors])
    return Table(
        name="letters",
        title="How probable each letter is",
        caption=CAPTION.format(runs="before → after"),
        head=("questions of", "questions", *heads),
        rows=tuple((name, str(item.n), *row) for (name, item), row in zip(priors, cells, strict=True)),
        labels=1,
        data=[{"questions_of": name, **asdict(item)} for name, item in priors],
        folded=len(priors) > FOLDED,
    )


def _over_rotations(sections: Mapping[str, Section]) -> tuple[Table, ...]:
    """What letters did to the answers to unrotated questions, where both runs were asked all rotations."""
    found = [(name, section, section.rotations) for name, section in sections.items() if section.rotations is not None]
    if not found:
        return ()
    parts = ("unrotated_change", "letters_change", "prior_change")
    return (
        Table(
            name="over_rotations",
            title="What letters change, by all rotations of the options",
            caption="Changes of accuracy in points with 95 % intervals: of the questions as they stand; of the answers over all "
            "rotations of their options, in which every option had every letter; and the difference of both, question by "
            "question, which is letters. What one offset for each letter explains is of the questions as they stand.",
            head=(
                *("questions of", "questions", "change as asked", "over all rotations", "due to letters"),
                "one offset for each letter explains",
            ),
            rows=tuple(
                (
                    name,
                    str(rotations["letters_change"].n),
                    _cell(rotations["unrotated_change"], 100, sign=True),
                    _cell(section.estimates["delta_accuracy"], 100, sign=True),
                    *(_cell(rotations[key], 100, sign=True) for key in parts[1:]),
                )
                for name, section, rotations in found
            ),
            labels=1,
            data=[
                {"questions_of": name, **{key: rotations[key].to_dict() for key in parts}}
                for name, _, rotations in found
            ],
            folded=len(found) > FOLDED,
        ),
    )


def _cell(found: Estimate, scale: float = 1.0, digits: int = 1, *, sign: bool = False) -> str:
    form, shown = signed if sign else fixed, found.scaled(scale)
    if shown.value is None or shown.ci_low is None:
        return form(shown.value, digits)
    return f"{form(shown.value, digits)} [{form(shown.ci_low, digits)}, {form(shown.ci_high, digits)}]"
