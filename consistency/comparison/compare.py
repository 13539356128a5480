"""Compare two runs: read, pair, measure, estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.items import accuracy_metric, answers, question_arrays
from consistency.comparison.pairing import Pairs, pair
from consistency.comparison.result import Comparison, Section
from consistency.comparison.runs import common_tasks, comparable, not_compared, one_run, read_both, settings
from consistency.errors import InputError, not_one_of
from consistency.logs.runs import Run
from consistency.metrics.answers import expected_calibration_error, flipped, flips, quantiles
from consistency.metrics.selection_bias import OptionCounts, strongest_preference
from consistency.statistics.estimates import Estimate, macro_mean, mean, paired_difference, root_mean_square
from consistency.statistics.hypotheses import (
    benjamini_hochberg,
    equivalence,
    holm,
    mcnemar_exact,
    minimum_detectable_effect,
    sign_flip_test,
)
from consistency.statistics.shares import rate
from consistency.support.arrays import Floats

# With fewer subjects, or subjects of which a few hold nearly all questions, a cluster-robust interval needs so wide a t
# quantile that it says nothing, and rests on the variance of a handful of numbers: questions are then the unit, and the
# output says so.
MIN_CLUSTERS = 10
MIN_EFFECTIVE_CLUSTERS = 5
AVERAGED = (
    *("same_top", "kl", "kl_reverse", "js", "total_variation", "cosine", "hellinger"),
    *("rank_pearson", "rank_pearson_paper", "tau_b", "weighted_tau"),
    *("delta_gold", "delta_margin", "delta_entropy", "brier_before", "brier_after"),
)


def compare(
    before: str | Path | Run,
    after: str | Path | Run,
    *,
    tasks: Mapping[str, str] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    score: str = "raw",
    margin: float = 0.01,
    run: str | tuple[str, str] | None = None,
) -> Comparison:
    """Compare two evaluations of the same questions.

    Parameters
    ----------
    before, after : path-like or Run
        Logs of `lm_eval --log_samples`, or runs already read.
    tasks : mapping of str to str, optional
        Which task of `before` pairs with which of `after`; equal names by default.
    scopes : mapping of str to sequence of str, optional
        Tasks (of `before`) that belong to each scope, for `by_scope`.
    score : {"raw", "acc_norm", "acc_bytes", "acc_mutual_info"}
        How options of unequal length are made comparable, as lm_eval's metrics of these names do.
    margin : float
        The largest change of accuracy that counts as none, as a fraction.
    run : str or tuple of str, optional
        Dates of the runs to read, see `read_both`; the newest by default.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If a log cannot be read, or the two have no question in common.

    Examples
    --------
    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for run_, scores in (("base", ["-0.1", "-2.3"]), ("tuned", ["-1.2", "-0.4"])):
    ...         row = {"doc_id": 0, "doc": {"question": "1+1?", "choices": ["2", "3"]}, "target": "0",
    ...                "filtered_resps": [[score, "False"] for score in scores]}
    ...         file = Path(folder, run_, "samples_sums_2026-01-01T00-00-00.000000.jsonl")
    ...         file.parent.mkdir()
    ...         _ = file.write_text(json.dumps(row))
    ...     comparison = compare(Path(folder, "base"), Path(folder, "tuned"))
    >>> comparison.overall.counts["flips"]
    {'harmful': 1, 'beneficial': 0, 'wrong_to_wrong': 0}
    """
    first, second = read_both(before, after, (run,) if isinstance(run, str) else run or ())
    if not margin > 0:
        raise InputError(f"a margin of {margin:g}", expected="a positive fraction such as 0.01")
    chosen = common_tasks(first, second) if tasks is None else dict(tasks)
    for run_, names in ((first, chosen.keys()), (second, chosen.values())):
        for name in names:
            if name not in run_.tasks:
                raise not_one_of("task", name, sorted(run_.tasks), path=run_.path)
    measured: dict[str, _Task] = {}
    unpaired: list[str] = []
    for name, other in chosen.items():
        pairs = pair(comparable(first.tasks[name], score), comparable(second.tasks[other], score))
        if len(pairs):
            measured[name] = _Task(pairs, question_arrays(pairs))
        else:
            reasons = ", ".join(f"{dropped.count} {reason}" for reason, dropped in pairs.audit.dropped.items())
            unpaired.append(f"{name}: no question in common ({reasons})")
    if not measured:
        raise InputError("; ".join(unpaired[:3]), do="compare two runs of the same tasks", path=second.path)
    items = {name: {**answers(task.pairs), **task.arrays} for name, task in measured.items()}
    by_task = {name: _section(name, [task], margin) for name, task in measured.items()}
    _adjust(by_task)
    with_options = {name: task for name, task in measured.items() if task.has_options}
    by_scope = {}
    for scope, members in (scopes or {}).items():
        found = [with_options[name] for name in members if name in with_options]
        if found:
            by_scope[scope] = _section(scope, found, margin)
    return Comparison(
        before=first.config,
        after=second.config,
        paths=(str(first.path), str(second.path)),
        overall=_section("overall", list(with_options.values()), margin) if with_options else None,
        by_task=by_task,
        by_scope=by_scope,
        score=score,
        margin=margin,
        messages=(
            f"before: {first.selection.to_text()}",
            f"after: {second.selection.to_text()}",
            *one_run(first, second),
            *unpaired,
            *not_compared(first, second, chosen),
            *settings(first, second, chosen),
            *_preferences(with_options, items),
        ),
        items=items,
        sources={name: (first.tasks[name].source, second.tasks[chosen[name]].source) for name in measured},
        scopes=scopes or {},
    )


@dataclass(frozen=True, eq=False)
class _Task:
    pairs: Pairs
    arrays: Mapping[str, Floats]

    @property
    def has_options(self) -> bool:
        return self.pairs.before.has_options


def _section(name: str, tasks: list[_Task], margin: float) -> Section:
    """Estimates and tests over the questions of one or several tasks of one kind."""
    pooled = {key: np.concatenate([task.arrays[key] for task in tasks]) for key in tasks[0].arrays}
    sizes = np.array([len(task.pairs) for task in tasks])
    subjects = np.repeat(np.arange(len(tasks)), sizes)
    remark = "" if len(tasks) == 1 else f"; {len(tasks)} tasks are too few to be clusters"
    clusters = None
    if len(tasks) >= MIN_CLUSTERS:
        remark = f"; {len(tasks)} tasks of such unequal sizes are too few to be clusters"
        if sizes.sum() ** 2 / (sizes**2).sum() >= MIN_EFFECTIVE_CLUSTERS:
            clusters, remark = subjects, ""

    def estimated(make: Callable[..., Estimate], *arrays: Floats) -> Estimate:
        estimate = make(*arrays, clusters=clusters)
        return replace(estimate, estimator=estimate.estimator + remark)

    before, after = pooled["correct_before"], pooled["correct_after"]
    averaged = {"accuracy_before": before, "accuracy_after": after, "delta_accuracy": after - before}
    if tasks[0].has_options:
        averaged |= {key: pooled[key] for key in AVERAGED}
    estimates = {key: estimated(mean, values) for key, values in averaged.items()}
    counts: dict[str, Any] = {}
    if tasks[0].has_options:
        estimates["rms_delta_gold"] = estimated(root_mean_square, pooled["delta_gold"])
        counts |= _distribution_counts(pooled)
    else:
        counts["note"] = "no options were scored: distribution metrics are absent"
        counts["accuracy_metric"] = accuracy_metric(tasks[0].pairs)
        counts["metrics"] = {
            metric: {
                "before": estimated(mean, pooled[f"before:{metric}"]).to_dict(),
                "after": estimated(mean, pooled[f"after:{metric}"]).to_dict(),
                "delta": estimated(paired_difference, pooled[f"before:{metric}"], pooled[f"after:{metric}"]).to_dict(),
            }
            for metric in (key.removeprefix("before:") for key in pooled if key.startswith("before:"))
        }
    change = estimates["delta_accuracy"]
    for kind, happened in flipped(before, after, pooled.get("same_top")).items():
        found = rate(happened, clusters=clusters)
        estimates[f"{kind}_flips"] = replace(found, estimator=found.estimator + remark)
    if change.n:
        turned = flips(before, after, pooled.get("same_top"))
        counts["flips"] = turned
        counts["mcnemar_p"] = mcnemar_exact(turned["harmful"], turned["beneficial"])
        counts["sign_flip_p"] = sign_flip_test(after - before, clusters=clusters)
    counts["equivalence_p"] = equivalence(change, margin)
    counts["minimum_detectable_change"] = minimum_detectable_effect(change)
    if len(tasks) > 1:
        few = clusters is None
        counts["macro"] = {key: macro_mean(v, subjects, fixed=few).to_dict() for key, v in averaged.items()}
    counts["pairing"] = _pooled_audit(tasks)
    return Section(name, len(before), estimates, counts)


def _distribution_counts(pooled: Mapping[str, Floats]) -> dict[str, Any]:
    calibration = {
        when: expected_calibration_error(pooled[f"confidence_{when}"], pooled[f"correct_{when}"])
        for when in ("before", "after")
    }
    return {
        "kl_quantiles": quantiles(pooled["kl"]),
        "ties": {when: int(pooled[f"tied_{when}"].sum()) for when in ("before", "after")},
        "tie_rate": {when: float(pooled[f"tied_{when}"].mean()) for when in ("before", "after")},
        "ece": {when: value if np.isfinite(value) else None for when, value in calibration.items()},
    }


def _preferences(tasks: Mapping[str, _Task], items: Mapping[str, Mapping[str, NDArray[Any]]]) -> Iterator[str]:
    """In which run, and in which of its tasks, the answers favour an option."""
    for when in ("before", "after"):
        pooled, each = OptionCounts(), {name: OptionCounts() for name in tasks}
        for name, task in tasks.items():
            known = task.pairs.gold.sum(axis=1) == 1
            # What stood in another order stands here as `before` was shown it.
            seen = known & ~task.pairs.reordered if when == "after" else known
            for counts in (pooled, each[name]):
                counts.add_task(items[name][f"probs_{when}"], np.where(seen, items[name]["gold"], -1))
        alone = sum(bool(counts.preference()) for counts in each.values())
        if len(tasks) > 1 and (found := strongest_preference({"overall": pooled})):
            yield f"{when}: {found}; {alone} of {len(tasks)} tasks show it by themselves"
        elif found := strongest_preference(each):
            yield f"{when}: {found}"


def _pooled_audit(tasks: list[_Task]) -> dict[str, Any]:
    audits: list[dict[str, Any]] = [task.pairs.audit.to_dict() for task in tasks]
    if len(audits) == 1:
        return audits[0]
    total: dict[str, Any] = {
        key: sum(audit[key] for audit in audits)
        for key in ("paired", "by_hash", "by_content", "identical", "reordered")
    }
    for key in ("prompts", "dropped"):
        reasons = dict.fromkeys(reason for audit in audits for reason in audit[key])
        total[key] = {reason: sum(audit[key].get(reason, 0) for audit in audits) for reason in reasons}
    return total


def _adjust(by_task: dict[str, Section]) -> None:
    """Add the p-values adjusted over all tasks."""
    tested = {name: section.counts["mcnemar_p"] for name, section in by_task.items() if "mcnemar_p" in section.counts}
    p = np.array(list(tested.values()))
    if len(p) < 2:
        return
    for name, by_holm, by_bh in zip(tested, holm(p).tolist(), benjamini_hochberg(p).tolist(), strict=True):
        adjusted = {"mcnemar_p_holm": by_holm, "mcnemar_p_bh": by_bh}
        by_task[name] = replace(by_task[name], counts={**by_task[name].counts, **adjusted})
