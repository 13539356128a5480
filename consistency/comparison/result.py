"""The result of a comparison, and how it is printed: a table for a terminal, a sentence, a signature line, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from consistency.comparison.pairing import PairingReport
from consistency.logs.folders import Selection
from consistency.logs.run_config import RunConfig
from consistency.metrics.measures import HEADLINE, MEASURE
from consistency.metrics.selection_bias import SelectionBias
from consistency.statistics.estimates import Estimate
from consistency.support.text import visible
from consistency.support.version import own_version

SCHEMA_VERSION = 2
NO_OPTIONS = "no options were scored: measures of distributions are absent"


@dataclass(frozen=True)
class MetricChange:
    """A metric of a task without options, before, after and the change."""

    before: Estimate
    after: Estimate
    delta: Estimate

    def to_dict(self) -> dict[str, Any]:
        """The three estimates, for JSON."""
        return {"before": self.before.to_dict(), "after": self.after.to_dict(), "delta": self.delta.to_dict()}


@dataclass(frozen=True, kw_only=True)
class Section:
    """What changed in one set of questions: a task, a scope, or all of them.

    Attributes
    ----------
    name : str
        The task, the scope, or "overall".
    n : int
        Pairs of questions.
    estimates : dict of str to Estimate
        By the name of the measure (`consistency.metrics.measures`).
    pairing : PairingReport
    flips : dict of str to int, or None
        Answers that turned, by kind; None where no answer is known to be right or wrong.
    mcnemar_p, sign_flip_p : float or None
        Of no change of accuracy: exact; by flipping the signs of whole tasks where they are clusters.
    mcnemar_p_holm, mcnemar_p_bh : float or None
        Of a task, adjusted over all tasks.
    equivalence_p : float or None
        Of a change of accuracy of at least the margin.
    minimum_detectable_change : float or None
        The true change that would be found four times in five.
    kl_quantiles : dict of str to float or None, or None
        `p01` ... `p99`, in nats.
    ties, tie_rate, ece : dict of str to float, or None
        `before` and `after`: questions with tied options, their share, the expected calibration error.
    macro : dict of str to Estimate, or None
        With several tasks: the same estimates with equal weight for each task.
    accuracy_metric : str or None
        Of a task without options: the metric that says which answers are right.
    metrics : dict of str to MetricChange, or None
        Of a task without options: its metrics.
    """

    name: str
    n: int
    estimates: Mapping[str, Estimate]
    pairing: PairingReport
    equivalence_p: float | None
    minimum_detectable_change: float | None
    flips: Mapping[str, int] | None = None
    mcnemar_p: float | None = None
    mcnemar_p_holm: float | None = None
    mcnemar_p_bh: float | None = None
    sign_flip_p: float | None = None
    kl_quantiles: Mapping[str, float | None] | None = None
    ties: Mapping[str, int] | None = None
    tie_rate: Mapping[str, float] | None = None
    ece: Mapping[str, float | None] | None = None
    macro: Mapping[str, Estimate] | None = None
    accuracy_metric: str | None = None
    metrics: Mapping[str, MetricChange] | None = None

    @property
    def compares_options(self) -> bool:
        """Whether its questions have options, and so distributions."""
        return "kl" in self.estimates

    def to_dict(self) -> dict[str, Any]:
        """The section as plain data, for JSON; what does not apply to it is left out."""
        found = {
            "kl_quantiles": self.kl_quantiles,
            "ties": self.ties,
            "tie_rate": self.tie_rate,
            "ece": self.ece,
            "flips": self.flips,
            "mcnemar_p": self.mcnemar_p,
            "mcnemar_p_holm": self.mcnemar_p_holm,
            "mcnemar_p_bh": self.mcnemar_p_bh,
            "sign_flip_p": self.sign_flip_p,
            "macro": None if self.macro is None else {name: found.to_dict() for name, found in self.macro.items()},
        }
        generated = {} if self.metrics is None else {
            "note": NO_OPTIONS,
            "accuracy_metric": self.accuracy_metric,
            "metrics": {name: metric.to_dict() for name, metric in self.metrics.items()},
        }  # fmt: skip
        return {
            "n": self.n,
            **{name: estimate.to_dict() for name, estimate in self.estimates.items()},
            **{name: value for name, value in found.items() if value is not None},
            **generated,
            "equivalence_p": self.equivalence_p,
            "minimum_detectable_change": self.minimum_detectable_change,
            "pairing": self.pairing.to_dict(),
        }


@dataclass(frozen=True)
class UnpairedTask:
    """A task of both runs without a question in common."""

    task: str
    dropped: Mapping[str, int]

    def to_text(self) -> str:
        """The task, and why its questions were left out."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        return f"{self.task}: no question in common ({reasons})"


@dataclass(frozen=True)
class TaskNames:
    """How the tasks of two runs were matched by name.

    Attributes
    ----------
    renamed : dict of str to str
        Tasks of the first run that go by another name in the second.
    only_before, only_after : tuple of str
        Tasks that only one run holds.
    """

    renamed: Mapping[str, str]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    def to_lines(self) -> Iterator[str]:
        """A line for each task under another name, and one for each run with tasks of its own."""
        yield from (f"{name} is compared with {other}" for name, other in self.renamed.items())
        for when, names in (("before", self.only_before), ("after", self.only_after)):
            if names:
                yield f"{when}: no counterpart for {shortened(names)}"


@dataclass(frozen=True)
class SettingDifference:
    """A setting in which two runs differ, and which may move scores without any change of the model.

    Attributes
    ----------
    setting : {"few-shot", "task version", "chat template", "system instruction"}
    before, after : str
        Its values.
    tasks : tuple of str
        The tasks that it concerns; empty where it concerns all.
    """

    setting: str
    before: str
    after: str
    tasks: tuple[str, ...] = ()

    def to_text(self) -> str:
        """The setting with both values."""
        where = f" in {shortened(self.tasks)}" if self.tasks else ""
        return f"{self.setting} differs: {self.before} → {self.after}{where}"


@dataclass(frozen=True)
class SameRun:
    """Both sides were read from the same files: a control, or a mistake."""

    kind: str = "same run"

    def to_text(self) -> str:
        """A sentence for readers."""
        return "before and after are one run, compared with itself"


@dataclass(frozen=True)
class Comparison:
    """Two runs compared.

    Attributes
    ----------
    before, after : RunConfig
        How the two runs were made.
    paths : tuple of str
        Where their logs are.
    overall : Section or None
        All tasks that have options, pooled; None where no task has.
    by_task : dict of str to Section
        By task, named as in `before`.
    by_scope : dict of str to Section
        By scope, where scopes were asked for.
    score : str
        Normalisation of the scores, `"raw"` by default.
    margin : float
        The largest change of accuracy that counts as none, as a fraction.
    selection : tuple of Selection
        Which run of each log was read, and which others there are.
    names : TaskNames
        How the tasks were matched by name.
    unpaired : tuple of UnpairedTask
        Tasks of both runs without a question in common.
    settings : tuple of SettingDifference
    warnings : tuple of SameRun or SelectionBias
        What can make the numbers misleading.
    items : dict of str to dict of str to ndarray
        By task, one row per question: what `items.answers` and `items.question_arrays` give.
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
    selection: tuple[Selection, Selection]
    names: TaskNames
    unpaired: tuple[UnpairedTask, ...]
    settings: tuple[SettingDifference, ...]
    warnings: tuple[SameRun | SelectionBias, ...]
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
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before the numbers: what was not read or compared, settings that differ, warnings."""
        return (
            *(
                f"{when}: {line}"
                for when, log in zip(("before", "after"), self.selection, strict=True)
                for line in log.to_lines()
            ),
            *(item.to_text() for item in self.unpaired),
            *self.names.to_lines(),
            *(item.to_text() for item in self.settings),
            *(item.to_text() for item in self.warnings),
        )

    @property
    def messages(self) -> tuple[str, ...]:
        """Which runs were read, then the notes."""
        before, after = self.selection
        return (f"before: {before.to_text()}", f"after: {after.to_text()}", *self.notes)

    @property
    def signature(self) -> str:
        """One line that says how the figures were made."""
        change = self.main.estimates["delta_accuracy"]
        return "|".join(
            [
                f"n:{self.main.n}",
                f"tasks:{sum(section.compares_options for section in self.by_task.values()) or 1}",
                f"score:{self.score}",
                f"unit:{change.unit}",
                f"interval:{change.method}",
                "ci:95",
                f"margin:{self.margin:g}",
                f"lm_eval:{self.before.lm_eval_version or 'unknown'}/{self.after.lm_eval_version or 'unknown'}",
                f"version:{own_version()}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for JSON; the schema is versioned by `schema_version`."""
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
            "unpaired": [asdict(item) for item in self.unpaired],
            "task_names": asdict(self.names),
            "settings": [asdict(item) for item in self.settings],
            "warnings": [asdict(item) for item in self.warnings],
            "verdict": self.verdict,
            "signature": self.signature,
        }

    def to_text(self) -> str:
        """A table for a terminal, the verdict and the signature."""
        sections = [*self.by_task.values(), *self.by_scope.values()]
        if self.overall is not None and len(self.by_task) > 1:
            sections.append(self.overall)
        width = max(len(section.name) for section in sections)
        head = " ".join(f"{measure.short:>10}" for measure in HEADLINE)
        lines = [*self.messages, "", f"{'task':<{width}} {'n':>6} {head}   flips −/+       p"]
        for section in sections:
            cells = [_cell(section.estimates.get(measure.name)) for measure in HEADLINE]
            turned, p = section.flips, section.mcnemar_p
            flipped = f"{turned['harmful']:>5}/{turned['beneficial']:<5}" if turned else f"{'–':>5}{'':6}"
            tested = f"{'–':>7}" if p is None else f"{p:7.4f}" if p >= 0.0001 else "< .0001"
            lines.append(f"{section.name:<{width}} {section.n:>6} " + " ".join(cells) + f" {flipped} {tested}")
        change = self.main.estimates["delta_accuracy"]
        lines.append("")
        if change.ci_low is not None:
            interval = f"[{_points(change.ci_low)}, {_points(change.ci_high)}]"
            lines.append(f"change {_points(change.value)} points, 95 % interval {interval}: {change.describe()}")
        generated = [section for section in self.by_task.values() if not section.compares_options]
        for section in [*([self.overall] if self.overall else []), *generated]:
            lines += _pairing_line(section)
        for section in self.by_task.values():
            lines += _dropped_lines(section)
            if section.metrics is not None:
                lines.append(f"{section.name}: {NO_OPTIONS}")
                lines += [_metric_line(name, metric) for name, metric in section.metrics.items()]
        lines += undefined_notes(self.main)
        return "\n".join(map(visible, [*lines, self.verdict, self.signature]))


def undefined_notes(section: Section) -> list[str]:
    """Which measures leave questions out because they have no finite value there."""
    return [
        f"{MEASURE[name].title} has no finite value for {estimate.undefined} of {section.n} questions"
        for name, estimate in section.estimates.items()
        if estimate.undefined
    ]


def shortened(names: Sequence[str], most: int = 5) -> str:
    """Names in one line, at most so many of them.

    Examples
    --------
    >>> shortened(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _config_dict(config: RunConfig) -> dict[str, Any]:
    return {
        "model": config.model_name or config.model,
        "model_args": config.model_args,
        "date": config.date,
        "lm_eval_version": config.lm_eval_version,
    }


def _pairing_line(section: Section) -> list[str]:
    """A line on unusual pairs; none if every pair is an ordinary one."""
    pairing = section.pairing
    special = {
        "paired by what they ask": pairing.by_content,
        "identical to others and paired by doc_id": pairing.identical,
        "with options in another order": pairing.reordered,
        "with another prompt": pairing.prompts.get("different", 0),
    }
    found = ", ".join(f"{count} {what}" for what, count in special.items() if count)
    return [f"{section.name}: of {pairing.paired} questions {found}"] if found else []


def _dropped_lines(section: Section) -> list[str]:
    lines = []
    for reason, dropped in section.pairing.dropped.items():
        more = ", …" if dropped.count > len(dropped.examples) else ""
        which = f" (doc_id {', '.join(map(str, dropped.examples))}{more})" if dropped.examples else ""
        lines.append(f"left out of {section.name}: {dropped.count} {reason}{which}")
    return [*lines, *(f"{section.name}, {note}" for note in section.pairing.notes)]


def _metric_line(name: str, metric: MetricChange) -> str:
    values = " → ".join("–" if end.value is None else f"{end.value:.4f}" for end in (metric.before, metric.after))
    delta = metric.delta
    if delta.ci_low is None:
        return f"  {name} {values}"
    return f"  {name} {values}, change {delta.value:+.4f} [{delta.ci_low:+.4f}, {delta.ci_high:+.4f}]"


def _cell(estimate: Estimate | None) -> str:
    return f"{'–':>10}" if estimate is None or estimate.value is None else f"{estimate.value:10.4f}"


def _points(x: float | None) -> str:
    return "–" if x is None else f"{100 * x:+.2f}"


def _verdict(section: Section, limit: float) -> str:
    change = section.estimates["delta_accuracy"]
    if change.value is None:
        return f"{section.n} questions were paired, but the logs do not say which answers are right."
    points, p_same = _points(change.value), section.equivalence_p
    small = p_same is not None and p_same < 0.05
    excluded = change.ci_low is not None and change.ci_high is not None and not change.ci_low <= 0 <= change.ci_high
    # With few flips the interval is an approximation: the exact test must agree.
    if excluded and section.sign_flip_p is not None and section.sign_flip_p < 0.05:
        sentence = f"Accuracy {'rose' if change.value > 0 else 'fell'} by {abs(100 * change.value):.2f} points"
        if small:
            sentence += f", which is within {limit:g}"
    elif change.value == 0 and change.se == 0:
        sentence = "No change: every answer is as right as before"
    elif small:
        sentence = f"No change of accuracy by more than {limit:g} points ({points})"
    else:
        sentence = f"No change of accuracy distinguishable from chance ({points} points"
        found = section.minimum_detectable_change
        sentence += ")" if found is None or found > 1 else f"; one of {100 * found:.1f} would be found 4 times in 5)"
    same = section.estimates.get("same_top")
    if same is not None and same.value is not None:
        sentence += f"; {100 * same.value:.1f} % of {same.n} questions keep their answer"
    return sentence + "."
