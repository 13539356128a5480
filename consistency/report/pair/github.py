"""A comparison as Markdown for a pull request or a job's summary: short, and with no name that acts as markup."""

from __future__ import annotations

from collections.abc import Iterator

from consistency.comparison.checked import NO_CONDITIONS, Checked
from consistency.comparison.decision import Outcome, PolicyOutcome
from consistency.comparison.left_out import dropped_lines
from consistency.comparison.noise import NoiseComparison
from consistency.comparison.result import Comparison
from consistency.comparison.section import MCNEMAR, Section
from consistency.comparison.sentences import accuracy_name
from consistency.logs.run_config import model_name
from consistency.metrics.measures import HEADLINE, MEASURE
from consistency.report.content import Table
from consistency.report.formats.github import MOST_COLUMNS, MOST_TASKS, code, conditions, page_of, plain, table_of
from consistency.report.formats.numbers import DASH, formatted
from consistency.report.pair.metric_tables import group_table, metric_table
from consistency.report.pair.tables import has_headline, headline_sections, selection_note
from consistency.support.text import p_value

_SIGNS = {Outcome.PASSED: "✅", Outcome.INCONCLUSIVE: "❔", Outcome.FAILED: "❌"}
_ROWS = (*HEADLINE, MEASURE["harmful_flips"], MEASURE["beneficial_flips"])


def to_markdown(
    comparison: Comparison,
    checked: Checked = NO_CONDITIONS,
    policy: PolicyOutcome | None = None,
    noise: NoiseComparison | None = None,
    *,
    folded: bool = False,
) -> str:
    """Verdict, policy, noise, conditions, headline, unreadable answers, groups, metrics, largest changes, notes, signature.

    Parameters
    ----------
    comparison : Comparison
    checked : Checked
        Conditions that were judged.
    policy : PolicyOutcome, optional
        A policy that was judged.
    noise : NoiseComparison, optional
        What two runs of the same model show.
    folded : bool
        Whether notes and signature are folded away, with HTML as GitHub shows it.

    Returns
    -------
    str
        GitHub's Markdown. Names of tasks and models, and notes, are shown as they are, whatever they hold.
    """
    models = [code(model_name(config)) for config in (comparison.before, comparison.after)]
    parts = [f"{models[0]} → {models[1]}"]
    if policy is not None:
        *rules, last = policy.to_lines()
        parts.append(f"{_SIGNS[policy.outcome]} {plain(last)}\n\n" + "\n".join(f"- {plain(line)}" for line in rules))
    if noise is not None:
        parts.append("\n".join(f"- {plain(line)}" for line in noise.to_lines(comparison)))
    parts += conditions(checked)
    if has_headline(comparison):
        parts.append(_headline(comparison))
    parts += _unreadable(comparison)
    for table in (group_table(comparison), metric_table(comparison)):
        if table is not None:
            parts.append(_first_rows(table))
    if len(comparison.by_task) > 1:
        parts.append(_tasks(comparison))
    return page_of(comparison.verdicts, parts, _notes(comparison), comparison.signature, folded=folded)


def _headline(comparison: Comparison) -> str:
    found = headline_sections(comparison)
    shown = dict(list(found.items())[:MOST_COLUMNS])
    heads = [_head(comparison, name, section) for name, section in shown.items()]
    sections = list(shown.values())
    rows = [["questions", *(f"{section.n:,}" for section in sections)]]
    if len(sections) > 1:
        rows.insert(0, ["metric", *(code(accuracy_name(section), cell=True) for section in sections)])
    for measure in _ROWS:
        estimates = [section.estimates.get(measure.name) for section in sections]
        if any(estimate is not None for estimate in estimates):
            rows.append([measure.heading, *(formatted(estimate, measure) for estimate in estimates)])
    adjusted = any(section.p_holm is not None for section in comparison.by_scope.values())
    unadjusted = " (unadjusted)" if adjusted else ""
    if all(section.test == MCNEMAR for section in sections):
        rows.append([f"McNemar's p{unadjusted}", *(_p(section.sign_flip_p) for section in sections)])
    else:
        rows.append(["test of no change", *(section.test for section in sections)])
        rows.append([f"p{unadjusted}", *(_p(section.sign_flip_p) for section in sections)])
    if adjusted:
        rows.append(["p (Holm)", *(_p(section.p_holm) for section in sections)])
    more = len(found) - len(shown)
    return (
        table_of(["", *heads], rows)
        + "\n\n95 % intervals in brackets."
        + (f" {more} more columns are in the JSON." if more else "")
    )


def _head(comparison: Comparison, name: str, section: Section) -> str:
    """The head of a column: the tasks that it is about."""
    if section is not comparison.overall:
        return name.upper() if name in comparison.by_scope else code(name, cell=True)
    with_options = [own.name for own in comparison.by_task.values() if own.compares_options]
    if len(with_options) == 1:
        return code(with_options[0], cell=True)
    return "all tasks" if len(with_options) == len(comparison.by_task) else "all tasks with options"


def _unreadable(comparison: Comparison) -> Iterator[str]:
    """Of which tasks or pools some answers cannot be read."""
    for pool in comparison.pools:
        if pool.readability is not None and any(pool.readability.shares):
            item = pool.readability
            before, after = (f"{100 * share:.1f} %" for share in item.shares)
            found = f"{code(pool.name)}: no answer can be read in {before} of the texts before and {after} after"
            if item.both:
                among = formatted(item.delta_accuracy, MEASURE["delta_accuracy"])
                found += f"; among the {item.both} questions that both runs answer readably accuracy changed by {among} points"
            yield f"{found}."


def _first_rows(table: Table) -> str:
    """The first rows of a table under its title; what names a row is code."""
    rows = [
        [*(code(cell, cell=True) for cell in row[: table.labels]), *(plain(cell) for cell in row[table.labels :])]
        for row in table.rows[:MOST_TASKS]
    ]
    which = f", the first {MOST_TASKS} of {len(table.rows)}" if len(table.rows) > MOST_TASKS else ""
    return f"{table.title}{which}:\n\n" + table_of(table.head, rows)


def _tasks(comparison: Comparison) -> str:
    found = comparison.changed_most
    # Where no accuracy is known, the tasks in their order.
    shown = found.sections if found else tuple(comparison.by_task.values())[:MOST_TASKS]
    before, after, change, kl = (MEASURE[n] for n in ("accuracy_before", "accuracy_after", "delta_accuracy", "kl"))
    rows = [
        [
            code(section.name, cell=True),
            f"{section.n:,}",
            formatted(section.estimates["accuracy_before"], before, interval=False),
            formatted(section.estimates["accuracy_after"], after, interval=False),
            formatted(found.changes[section.name] if found else None, change),
            " / ".join(str((section.flips or {}).get(kind, DASH)) for kind in ("harmful", "beneficial")),
            _p(section.p_holm),
            formatted(section.estimates.get("kl"), kl, interval=False),
        ]
        for section in shown
    ]
    of = found.of if found else len(comparison.by_task)
    which = f"{len(rows)} of {of} tasks" if len(rows) < of else f"{of} tasks"
    head = ["task", "n", "before", "after", "change (points)", "flips −/+", "p (Holm)", "KL"]
    table = table_of(head, rows)
    if found is None:
        return f"{which}:\n\n{table}"
    return f"{which}, largest change of accuracy first:\n\n{table}\n\n{selection_note(found)}"


def _notes(comparison: Comparison) -> list[str]:
    return [plain(line) for line in (*comparison.messages, *dropped_lines(comparison.by_task))]


def _p(value: float | None) -> str:
    return plain(p_value(value))
