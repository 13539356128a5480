"""The result of a comparison and its faces: a table, a sentence, a signature line, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from consistency.logs.runs import RunConfig
from consistency.statistics.estimates import Estimate

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Section:
    """What changed in one set of questions: a task, a scope, or all of them.

    Attributes
    ----------
    name : str
    n : int
        Pairs of questions.
    estimates : dict of str to Estimate
        `accuracy_before`, `accuracy_after`, `delta_accuracy`, and with options `same_top`, `kl`, `spearman` …
    counts : dict of str to Any
        Everything else of the JSON: `flips`, `mcnemar_p`, `kl_quantiles`, `ties`, `pairing`, …
    """

    name: str
    n: int
    estimates: Mapping[str, Estimate]
    counts: Mapping[str, Any]

    @property
    def compares_options(self) -> bool:
        """Whether its questions have options, and so distributions."""
        return "kl" in self.estimates

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        estimates = {name: estimate.to_dict() for name, estimate in self.estimates.items()}
        return {"n": self.n, **estimates, **self.counts}


@dataclass(frozen=True)
class Comparison:
    """Two runs compared.

    Attributes
    ----------
    overall : Section or None
        All tasks that have options, pooled; None where no task has.
    by_task : dict of str to Section
        By task, named as in `before`.
    by_scope : dict of str to Section
        By scope, where scopes were asked for.
    before, after : RunConfig
        How the two runs were made.
    paths : tuple of str
        Where their logs are.
    score : str
        Normalisation of the scores, `"raw"` by default.
    margin : float
        The largest change of accuracy that counts as none, as a fraction.
    messages : tuple of str
        Which runs were read, and whether they are one; what was not compared; settings in which the runs differ; whether
        answers favour an option.
    items : dict of str to dict of str to ndarray
        By task, one row per question: what `question_arrays.answers` and `question_arrays.question_arrays` give.
    sources : dict of str to tuple of Path
        By task, the samples files that it was read from.
    scopes : dict of str to sequence of str
        Tasks of each scope, where scopes were asked for.
    """

    before: RunConfig
    after: RunConfig
    paths: tuple[str, str]
    overall: Section | None
    by_task: Mapping[str, Section]
    by_scope: Mapping[str, Section]
    score: str
    margin: float
    messages: tuple[str, ...]
    items: Mapping[str, Mapping[str, NDArray[Any]]]
    sources: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)
    scopes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def main(self) -> Section:
        """What the verdict is about: `overall`, or the first task where no task has options."""
        return self.overall or next(iter(self.by_task.values()))

    @property
    def verdict(self) -> str:
        """One sentence: what happened to accuracy, and how many answers stayed; of the first of tasks that are not pooled."""
        of = f"{self.main.name}: " if self.overall is None and len(self.by_task) > 1 else ""
        return of + _verdict(self.main, 100 * self.margin)

    @property
    def signature(self) -> str:
        """One line that says how the figures were made."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            own = version("lm-eval-consistency")
        except PackageNotFoundError:
            own = "source"
        return "|".join(
            [
                f"n:{self.main.n}",
                f"tasks:{sum(section.compares_options for section in self.by_task.values()) or 1}",
                f"score:{self.score}",
                f"estimator:{self.main.estimates['delta_accuracy'].estimator}",
                "ci:95",
                f"margin:{self.margin:g}",
                f"lm_eval:{self.before.lm_eval_version or 'unknown'}/{self.after.lm_eval_version or 'unknown'}",
                f"version:{own}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON; the schema is versioned by `schema_version`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "before": {"path": self.paths[0], **_config_dict(self.before)},
            "after": {"path": self.paths[1], **_config_dict(self.after)},
            "score": self.score,
            "margin": self.margin,
            "overall": None if self.overall is None else self.overall.to_dict(),
            "by_task": {name: section.to_dict() for name, section in self.by_task.items()},
            **({"by_scope": {n: s.to_dict() for n, s in self.by_scope.items()}} if self.by_scope else {}),
            "messages": list(self.messages),
            "verdict": self.verdict,
            "signature": self.signature,
        }

    def to_text(self) -> str:
        """A table for a terminal, the verdict and the signature."""
        lines = [*self.messages, ""] if self.messages else []
        columns = ("accuracy_before", "accuracy_after", "delta_accuracy", "same_top", "spearman", "kl")
        titles = ("before", "after", "change", "same top", "rank r", "KL (nats)")
        sections = [*self.by_task.values(), *self.by_scope.values()]
        if self.overall is not None and len(self.by_task) > 1:
            sections.append(self.overall)
        width = max(len(section.name) for section in sections)
        lines.append(
            f"{'task':<{width}} {'n':>6} " + " ".join(f"{title:>9}" for title in titles) + "   flips −/+       p"
        )
        for section in sections:
            cells = [_cell(section.estimates.get(column)) for column in columns]
            turned, p = section.counts.get("flips"), section.counts.get("mcnemar_p")
            flipped = f"{turned['harmful']:>5}/{turned['beneficial']:<5}" if turned else f"{'–':>5}{'':6}"
            tested = f"{'–':>7}" if p is None else f"{p:7.4f}" if p >= 0.0001 else "< .0001"
            lines.append(f"{section.name:<{width}} {section.n:>6} " + " ".join(cells) + f" {flipped} {tested}")
        change = self.main.estimates["delta_accuracy"]
        lines.append("")
        if change.ci_low is not None:
            interval = f"[{_points(change.ci_low)}, {_points(change.ci_high)}]"
            lines.append(f"change {_points(change.value)} points, 95 % interval {interval}: {change.estimator}")
        generated = [section for section in self.by_task.values() if not section.compares_options]
        for section in [*([self.overall] if self.overall else []), *generated]:
            lines += _pairing_line(section)
        for section in self.by_task.values():
            lines += _dropped_lines(section)
            if not section.compares_options:
                lines.append(f"{section.name}: {section.counts['note']}")
                lines += [_metric_line(name, metric) for name, metric in section.counts["metrics"].items()]
        for name, estimate in self.main.estimates.items():
            if estimate.undefined:
                lines.append(f"{name} has no finite value for {estimate.undefined} of {self.main.n} questions")
        return "\n".join([*lines, self.verdict, self.signature])


def _config_dict(config: RunConfig) -> dict[str, Any]:
    return {
        "model": config.model_name or config.model,
        "model_args": config.model_args,
        "date": config.date,
        "lm_eval_version": config.lm_eval_version,
    }


def _pairing_line(section: Section) -> list[str]:
    """What of the pairing a reader should know: nothing, if every question found its counterpart asked alike."""
    audit = section.counts["pairing"]
    special = {
        "paired by what they ask": audit["by_content"],
        "identical to others and paired by doc_id": audit["identical"],
        "with options in another order": audit["reordered"],
        "with another prompt": audit["prompts"].get("different", 0),
    }
    found = ", ".join(f"{count} {what}" for what, count in special.items() if count)
    return [f"{section.name}: of {audit['paired']} questions {found}"] if found else []


def _dropped_lines(section: Section) -> list[str]:
    audit, lines = section.counts["pairing"], []
    for reason, count in audit["dropped"].items():
        shown = audit["examples"].get(reason, [])
        which = f" (doc_id {', '.join(map(str, shown))}{', …' if count > len(shown) else ''})" if shown else ""
        lines.append(f"left out of {section.name}: {count} {reason}{which}")
    return [*lines, *(f"{section.name}, {note}" for note in audit["notes"])]


def _metric_line(name: str, metric: Mapping[str, Any]) -> str:
    before, after, delta = (metric[key] for key in ("before", "after", "delta"))
    values = " → ".join("–" if end["value"] is None else f"{end['value']:.4f}" for end in (before, after))
    if delta["ci_low"] is None:
        return f"  {name} {values}"
    return f"  {name} {values}, change {delta['value']:+.4f} [{delta['ci_low']:+.4f}, {delta['ci_high']:+.4f}]"


def _cell(estimate: Estimate | None) -> str:
    return f"{'–':>9}" if estimate is None or estimate.value is None else f"{estimate.value:9.4f}"


def _points(x: float | None) -> str:
    return "–" if x is None else f"{100 * x:+.2f}"


def _verdict(section: Section, limit: float) -> str:
    change = section.estimates["delta_accuracy"]
    if change.value is None:
        return f"{section.n} questions were paired, but the logs do not say which answers are right."
    points, p_same = _points(change.value), section.counts["equivalence_p"]
    small = p_same is not None and p_same < 0.05
    excluded = change.ci_low is not None and change.ci_high is not None and not change.ci_low <= 0 <= change.ci_high
    # With few flips the interval is an approximation: the exact test must agree.
    if excluded and section.counts["sign_flip_p"] < 0.05:
        sentence = f"Accuracy {'rose' if change.value > 0 else 'fell'} by {abs(100 * change.value):.2f} points"
        if small:
            sentence += f", which is within {limit:g}"
    elif change.value == 0 and change.se == 0:
        sentence = "No change: every answer is as right as before"
    elif small:
        sentence = f"No change of accuracy by more than {limit:g} points ({points})"
    else:
        sentence = f"No change of accuracy that can be told from chance ({points} points"
        found = section.counts["minimum_detectable_change"]
        sentence += ")" if found is None or found > 1 else f"; one of {100 * found:.1f} would be found 4 times in 5)"
    same = section.estimates.get("same_top")
    if same is not None and same.value is not None:
        sentence += f"; {100 * same.value:.1f} % of {same.n} questions keep their answer"
    return sentence + "."
