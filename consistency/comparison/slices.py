"""The change of accuracy by the values of a field of the documents, or by the harness's groups and tags of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from consistency.comparison.change_tests import no_change_of
from consistency.comparison.measure_estimates import are_whole
from consistency.comparison.measured_task import MeasuredTask
from consistency.comparison.sampling import Analysis, Sampling
from consistency.comparison.slice_result import Slice, Slices
from consistency.errors import InputError
from consistency.logs.documents import fields_of, names_in, value_of
from consistency.logs.run_config import RunConfig, leaf_tasks
from consistency.metrics.answers import flips
from consistency.statistics.hypotheses import holm
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.partial_pooling import partially_pooled
from consistency.statistics.shares import rate
from consistency.support.arrays import Floats

# What stands for the harness's own slices, whatever fields the documents have; those of this name are asked for with `doc.`.
TASK, GROUP, TAG = "task", "group", "tag"
_DOCUMENT = "doc."
# A field of more values says which question it is, and not of which kind.
MOST_SLICES = 500
# Names of fields in a message.
_MOST_NAMES = 40


def slices_by(field: str, tasks: Mapping[str, MeasuredTask], analysis: Analysis, config: RunConfig) -> Slices:
    """The change of accuracy in each slice of the questions.

    Parameters
    ----------
    field : str
        A field of the documents, of a nested one with dots; or `"task"`, `"group"` or `"tag"`: the harness's. A list in a field
        puts its question into several slices.
    tasks : mapping of str to MeasuredTask
    analysis : Analysis
        Its tasks are taken as fixed: a slice says what other questions of its kind would show.
    config : RunConfig
        The run whose results file has the groups and tags.

    Raises
    ------
    InputError
        If no document has the field, it has more than 500 values, or no accuracy is known.
    """
    found, missing = _members(field, tasks, config)
    if not found:
        raise _unknown(field, tasks, config)
    if len(found) > MOST_SLICES:
        raise InputError(
            f"{field} has {len(found):,} values in {sum(len(task.pairs) for task in tasks.values()):,} questions",
            expected=f"a field of at most {MOST_SLICES} values, such as a subject or a level",
        )
    measured = list(tasks.values())
    before, after = (
        np.concatenate([task.arrays[f"correct_{when}"] for task in measured]) for when in ("before", "after")
    )
    if not np.isfinite(before + after).any():
        raise InputError(
            f"--by {field}: no answer is known to be right or wrong", expected="tasks that log an accuracy"
        )
    sampling = Sampling.of(measured, replace(analysis, tasks="fixed"))
    of_task = np.array(list(tasks), dtype=object)[sampling.tasks]
    rows_of = {name: np.array(rows, dtype=np.int64) for name, rows in found.items()}
    plain = [
        _slice(name, before[rows], after[rows], len(set(of_task[rows])), _within(sampling, rows, len(before)))
        for name, rows in rows_of.items()
    ]
    # A question of several slices would count in each as if it were another one.
    together = sum(map(len, rows_of.values())) > len(np.unique(np.concatenate(list(rows_of.values()))))
    pooled = None
    if not together:
        known = [item for item in plain if item.delta_accuracy.n]
        every = np.concatenate([rows_of[item.name] for item in known])
        turned = int((np.abs(after - before)[every] > 0).sum())
        pooled = partially_pooled([item.delta_accuracy for item in known], turned)
    shrunk = {} if pooled is None else dict(zip((item.name for item in known), pooled.changes, strict=True))
    adjusted = holm([np.nan if item.p is None else item.p for item in plain]).tolist()
    return Slices(
        by=field,
        slices=tuple(
            item.adjusted(shrunk.get(item.name), None if item.p is None else p)
            for item, p in zip(plain, adjusted, strict=True)
        ),
        between=None if pooled is None else pooled.between,
        missing=missing,
        overlapping=together,
    )


def _within(sampling: Sampling, rows: Any, n: int) -> Sampling:
    chosen = np.zeros(n, dtype=bool)
    chosen[rows] = True
    return sampling.within(chosen)


def _slice(name: str, before: Floats, after: Floats, tasks: int, sampling: Sampling) -> Slice:
    labels = sampling.labels
    whole = are_whole(before) and are_whole(after)
    share = rate if whole else mean
    change = change_of_shares(before, after, **labels) if whole else mean(after - before, **labels)
    return Slice(
        name=name,
        n=len(before),
        tasks=tasks,
        accuracy_before=share(before, **labels),
        accuracy_after=share(after, **labels),
        delta_accuracy=change,
        flips=flips(before, after) if whole and change.n else None,
        p=no_change_of(change, after - before, sampling),
    )


def _members(field: str, tasks: Mapping[str, MeasuredTask], config: RunConfig) -> tuple[dict[str, list[int]], int]:
    """The rows of each slice, over all tasks, in the order of their values; and how many rows are in none."""
    found: dict[str, list[int]] = {}
    numbers: dict[str, float] = {}
    start = missing = 0
    for task, values in _values(field, tasks, config):
        for row, value in enumerate(values, start):
            names = list(dict.fromkeys(_names(value)))
            missing += not names
            for name in names:
                found.setdefault(name, []).append(row)
                if isinstance(value, int | float):
                    numbers[name] = value
        start += len(tasks[task].pairs)
    # Levels stand in the order of their numbers.
    return {name: found[name] for name in sorted(found, key=lambda name: (numbers.get(name, np.inf), name))}, missing


def _values(field: str, tasks: Mapping[str, MeasuredTask], config: RunConfig) -> Iterator[tuple[str, Sequence[Any]]]:
    if field in (TASK, GROUP, TAG):
        of_task = {
            TASK: lambda: {task: [task] for task in tasks},
            GROUP: lambda: _groups(config),
            TAG: lambda: _tags(config),
        }
        names = of_task[field]()
        yield from (
            (task, [names.get(task.split(",")[0], names.get(task, []))] * len(one.pairs)) for task, one in tasks.items()
        )
        return
    name = field.removeprefix(_DOCUMENT)
    for task, one in tasks.items():
        yield task, [value_of(fields_of(document), name) for document in one.pairs.before.documents]


def _groups(config: RunConfig) -> dict[str, list[str]]:
    """The harness's groups that each task is in."""
    found: dict[str, list[str]] = {}
    for group in config.groups:
        for task in leaf_tasks(group, config.groups):
            found.setdefault(task, []).append(group)
    return found


def _tags(config: RunConfig) -> dict[str, list[str]]:
    """The tags that each task's configuration has; before lm_eval 0.4.4 they are called groups."""
    configs = config.content.get("configs")
    found = {}
    for task, own in (configs if isinstance(configs, dict) else {}).items():
        tags = own.get("tag") or own.get("group") if isinstance(own, dict) else None
        found[task] = list(_names(tags))
    return found


def _names(value: Any) -> Iterator[str]:
    """The slices of a value: each part of a list, else itself; none of what is empty or has fields of its own."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and item.strip():
            yield " ".join(item.split())
        elif isinstance(item, bool | int | float):
            yield f"{item:g}" if isinstance(item, float) else str(item)


def _unknown(field: str, tasks: Mapping[str, MeasuredTask], config: RunConfig) -> InputError:
    """The error of a field that no document has, or of groups and tags that are not recorded."""
    first = next(iter(tasks.values())).pairs.before
    if field in (GROUP, TAG):
        return InputError(
            f"the results file records no {field} of these tasks",
            expected=f"a results file of lm_eval whose tasks have a {field}",
            do=f"slice by another field, or by {_DOCUMENT}{field} if the documents have one of this name",
            path=config.results or first.source,
        )
    name = field.removeprefix(_DOCUMENT)
    fields = [fields_of(task.pairs.before.documents[0]) for task in tasks.values()]
    known = list(dict.fromkeys(inner for one in fields for inner in names_in(one)))
    if any(isinstance(value_of(one, name), Mapping) for one in fields):
        inside = [inner for inner in known if inner.startswith(f"{name}.")]
        return InputError(
            f"the field {name} has fields of its own", expected=f"one of {', '.join(inside)}", path=first.source
        )
    if name in known:
        return InputError(f"the field {name} is empty, or a list of lists, in all documents", path=first.source)
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return InputError(
        f"no document has a field {name!r}",
        expected=f"one of {', '.join(known[:_MOST_NAMES])}{more}; or {TASK}, {GROUP} or {TAG} of the harness",
        do=f"did you mean {near[0]}?" if near else None,
        path=first.source,
    )
