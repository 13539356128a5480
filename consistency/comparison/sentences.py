"""A section in words: its verdict, its metrics, what was not paired."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from consistency.comparison.changed_most import change_among
from consistency.comparison.contradictions import filter_clauses, metric_clauses
from consistency.comparison.names import MOST_TASKS, short_names
from consistency.comparison.numbers import digits_of, interval, listed_changes, points, points_interval
from consistency.comparison.odd_scores import OddScores
from consistency.comparison.part_sentences import letters_clause
from consistency.comparison.quantities import quantity_named
from consistency.comparison.section import MetricChange, Readability, Section
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import minimum_detectable_effect, no_change
from consistency.statistics.intervals import at_confidence
from consistency.statistics.power import fewest_questions, power_of_flips, questions_near
from consistency.support.text import counted, decimal, of_points, p_equals, shortened

# A smaller share of texts without a readable answer is not worth a clause of the verdict.
_READABLE_ENOUGH = 0.01
# A smaller share of answers that moved between options is not worth a line.
_WORTH_MOVING = 0.02
# From this share the verdict itself says so, at the same level.
_MANY_MOVED = 0.1
NOT_KNOWLEDGE = "what follows says nothing of what the model knows"
_TOO_FEW = "too few questions for an interval"
# With fewer clusters an interval is much wider for not knowing how they vary.
_FEW_CLUSTERS = 30
# Levels of a verdict's tests: of all questions together; where these show no change, of its tasks (corrected for their number),
# and of their differences, other filters and other metrics. In simulations at most 5.3 % of the verdicts on two equal runs find
# anything.
ALPHA = 0.05
ALPHA_OF_TASKS, ALPHA_OF_DIFFERENCES = 0.005, 0.001


def metric_lines(section: Section) -> Iterator[str]:
    """The metrics of a task beside the one in the table, those of its other filters, and what cannot be compared."""
    metrics = section.metrics or {}
    beside = {name: metric for name, metric in metrics.items() if name != section.accuracy_metric}
    if beside:
        yield f"{section.name}:"
        yield from (_metric_line(name, metric) for name, metric in beside.items())
    for name, other in section.other_filters.items():
        yield f"{section.name}, filter {name} in place of {section.filter}:"
        yield from (_metric_line(metric, found) for metric, found in (other.metrics or {}).items())
    if section.readability is not None and any(section.readability.shares):
        yield f"{section.name}: {'; '.join(readability_clauses(section.readability, with_reasons=True))}"
    for item in section.uncompared:
        yield f"{section.name}: {item.metric} is not compared: {item.reason}"


def group_lines(section: Section) -> Iterator[str]:
    """How a group is weighed, its metrics beside the one in the table, and what it lacks."""
    counted = "each question counts the same" if section.weighting == "size" else "each task counts the same"
    missing = f", {section.absent} more are not compared" if section.absent else ""
    yield f"{section.name}: a group of {len(section.tasks)} tasks{missing}; {counted}"
    for name, metric in (section.metrics or {}).items():
        if name != section.accuracy_metric:
            yield _metric_line(name, metric)
    for item in section.uncompared:
        yield f"{section.name}: {item.metric} is not compared: {item.reason}"


def _metric_line(name: str, metric: MetricChange) -> str:
    values = " → ".join("–" if end.value is None else decimal(end.value, 4) for end in (metric.before, metric.after))
    delta = metric.delta
    better = "" if metric.higher_is_better is not False else " (lower is better)"
    if delta.ci_low is None or delta.value is None:
        return f"  {name}{better} {values}"
    # Where a question has a value in one run only, the change is not the difference of the two means.
    of = f" of {delta.n:,} questions with both" if delta.n < max(metric.before.n, metric.after.n) else ""
    change, *ends = (decimal(x, 4, "+") for x in (delta.value, delta.ci_low, delta.ci_high or 0.0))
    return f"  {name}{better} {values}, change{of} {change} [{', '.join(ends)}]"


def readability_clauses(found: Readability, *, with_reasons: bool) -> Iterator[str]:
    """From how many texts no answer can be read, and what changed among the others; each a clause."""
    ends = []
    for counts, share in zip((found.before, found.after), found.shares, strict=True):
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        ends.append(f"{100 * share:.1f} %" + (f" ({reasons})" if reasons and with_reasons else ""))
    yield f"no answer can be read in {' → '.join(ends)} of the texts"
    change = found.delta_accuracy
    if change.value is not None:
        among = f"among the {change.n:,} questions that both runs answer readably"
        yield f"{among} accuracy changed by {points(change.value, digits_of(change))} points{points_interval(change)}"


def accuracy_name(section: Section) -> str:
    """What says which answers are right, for a column of a table."""
    name = section.accuracy_metric or ("best option" if section.compares_options else "–")
    return f"{name},{section.filter}" if section.other_filters else name


def sentence(clauses: Sequence[str]) -> str:
    """The sentence of some clauses.

    Examples
    --------
    >>> sentence(["Accuracy fell", "in 2 of 3 tasks"])
    'Accuracy fell; in 2 of 3 tasks.'
    """
    return "; ".join(ended(clauses))


class Concluded(ABC):
    """What has conclusions, and says them as sentences."""

    @property
    @abstractmethod
    def conclusions(self) -> tuple[tuple[str, ...], ...]:
        """What was found: sentences by their clauses."""

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The `conclusions` as sentences."""
        return tuple(map(sentence, self.conclusions))

    @property
    def verdict(self) -> str:
        """The `verdicts` in one line."""
        return " ".join(self.verdicts)


def ended(clauses: Sequence[str]) -> tuple[str, ...]:
    """The clauses of a sentence with its full stop behind the last."""
    *most, last = clauses
    return (*most, f"{last}.")


def conclusions_of(
    pools: Sequence[Section], tasks: Mapping[str, Section], margin: float
) -> tuple[tuple[str, ...], ...]:
    """Of each pool what happened to its accuracy or first metric, and of many that have no accuracy one sentence together.

    Parameters
    ----------
    pools : sequence of Section
    tasks : dict of str to Section
        By name, those that the pools are of.
    margin : float
        A change that matters, as a fraction.

    Returns
    -------
    tuple of tuple of str
        Sentences by their clauses, see `sentence`; of several pools each begins with its name.
    """
    alone = [pool for pool in pools if pool.estimates["delta_accuracy"].value is None]
    together = alone if len(alone) > MOST_TASKS else []
    found = []
    for pool in pools:
        if not any(pool is other for other in together):
            clauses = conclusion(pool, 100 * margin, list(_tasks_of(pool, tasks)), tasks)
            first, *rest = clauses
            found.append(clauses if len(pools) == 1 else (f"{short_names([pool.name], tasks)[0]}: {first}", *rest))
    return (*found, _metrics_conclusion(together, tasks)) if together else tuple(found)


def _direction(metric: MetricChange) -> int:
    """Whether a metric is surely better (1) or worse (-1), or neither (0)."""
    return 0 if metric.is_better is None else 1 if metric.is_better else -1


def _tasks_of(pool: Section, tasks: Mapping[str, Section]) -> Iterator[Section]:
    """The tasks of a pool; of one that is not named after its only task, that with options."""
    names = pool.tasks or (pool.name,)
    yield from [tasks[name] for name in names if name in tasks] or (
        section for section in tasks.values() if pool.compares_options and section.compares_options
    )


def doubted(
    found: tuple[tuple[str, ...], ...], doubts: Sequence[str], odd: OddScores | None
) -> tuple[tuple[str, ...], ...]:
    """Conclusions with what makes them doubtful; scores that decide nothing for most questions come first.

    Parameters
    ----------
    found : tuple of tuple of str
        Sentences by their clauses, see `sentence`.
    doubts : sequence of str
        A clause each.
    odd : OddScores or None

    Examples
    --------
    >>> doubted((("Accuracy fell",),), ["1 of 2 tasks was not compared: law"], None)
    (('Accuracy fell', 'but 1 of 2 tasks was not compared: law'),)
    """
    first, *others = found
    scores = () if odd is None else odd.clauses
    if odd is not None and odd.are_most:
        return ((*scores, NOT_KNOWLEDGE, *(f"but {doubt}" for doubt in doubts)), *found)
    clauses = [f"but {doubt}" for doubt in (*scores, *doubts)]
    if not clauses or not others:
        return ((*first, *clauses), *others)
    # Of several sentences none is alone in doubt; those after the second are not in every output.
    doubt = clauses[0].removeprefix("but ")
    return (first, (f"{doubt[0].upper()}{doubt[1:]}", *clauses[1:]), *others)


def conclusion(section: Section, limit: float, tasks: Sequence[Section], names: Collection[str]) -> tuple[str, ...]:
    """What happened to accuracy, or to the first metric, in which tasks, and how many answers stayed, by clauses.

    Parameters
    ----------
    section : Section
    limit : float
        The largest change that counts as none, in points.
    tasks : sequence of Section
        Those that it pools, or the only one.
    names : collection of str
        Of all compared tasks.

    Returns
    -------
    tuple of str
        Clauses of one sentence, see `sentence`.
    """
    change = section.estimates["delta_accuracy"]
    if change.value is None:
        told = _first_metric(section)
        if told is None:
            return _metric_conclusion(section)
        direction = _direction(told[1])
        said: dict[str, tuple[str | None, int]] = {task.name: (told[0], direction) for task in tasks}
        others = metric_clauses(tasks, names, said, ALPHA if direction else ALPHA_OF_DIFFERENCES)
        return (*_metric_conclusion(section), *others)
    found = f"{points(change.value, digits_of(change))} points{points_interval(change)}"
    accuracy = "accuracy" if section.accuracy_metric in ("acc", None) else f"accuracy ({section.accuracy_metric})"
    small = section.equivalence_p is not None and section.equivalence_p < ALPHA
    # The interval and the exact test agree but at the border: both must speak for a change.
    moved = change.excludes_zero and section.sign_flip_p is not None and section.sign_flip_p < ALPHA
    several = tasks if len(tasks) > 1 else ()
    changed = _changed(several, ALPHA if moved else ALPHA_OF_TASKS)
    listed = f"(Holm): {_listed(changed, len(tasks), names)}"
    fell = sum(_change(task) < 0 for task in changed)
    rose = len(changed) - fell
    if moved:
        turned, other, against = ("rose", "fell", fell) if change.value > 0 else ("fell", "rose", rose)
        within = f", which is within {of_points(limit)}" if small else ""
        but = f", but {other} in {against} of {len(tasks)} tasks" if against else ""
        clauses = [f"{accuracy.capitalize()} {turned}: {found}{within}{but}"]
        if letters := letters_clause(section):
            clauses.append(letters)
        if changed:
            clauses.append(f"beyond chance in {len(changed)} of {len(tasks)} tasks {listed}{_macro(section)}")
    elif changed:
        ways = [f"{verb} in {count}" for verb, count in (("fell", fell), ("rose", rose)) if count]
        where = f"{' and '.join(ways)} of {len(tasks)} tasks"
        clauses = [f"{accuracy.capitalize()} {where} {listed}", f"over all questions {found}{_macro(section)}"]
    elif change.value == 0 and section.flips is not None and not section.flips["harmful"]:
        clauses = [_unchanged(section, accuracy)]
    elif change.ci_low is None:
        clauses = [f"{accuracy.capitalize()}: {found}", _TOO_FEW]
    elif small:
        at = quantity_named("delta accuracy").at(section, 1 - 2 * ALPHA) or change
        found = f"{points(change.value)} points, 90 %{points_interval(at)}"
        clauses = [f"No change of {accuracy} by more than {of_points(limit)}: {found}"]
    elif change.excludes_zero and section.sign_flip_p is not None:
        exact = f"by the exact test ({p_equals(section.sign_flip_p)})"
        clauses = [f"No change of {accuracy} distinguishable from chance {exact}: {found}, an interval that excludes 0"]
    else:
        clauses = [f"No change of {accuracy} distinguishable from chance: {found}"]
        if section.sign_flip_p is not None and section.sign_flip_p < ALPHA:
            clauses.append(_test_alone(section, change))
        if section.minimum_detectable_change is not None and section.minimum_detectable_change <= 1:
            power = f"a true change of {100 * section.minimum_detectable_change:.1f} points would be found 4 times in 5"
            needed = _needed(section, limit / 100)
            if needed is not None and needed > section.n:
                power += f", one of {of_points(limit)} with about {needed:,} questions"
            clauses.append(power)
    unsure = [task for task in _changed(several, ALPHA) if task not in changed]
    if unsure:
        less = f"less surely, with p (Holm) from {_p_bound(ALPHA_OF_TASKS)} to {_p_bound(ALPHA)}"
        clauses.append(f"{less}: {_listed(unsure, len(tasks), names)}")
    differ = section.heterogeneity_p
    if not changed and differ is not None and differ < (ALPHA if moved else ALPHA_OF_DIFFERENCES):
        clauses.append(f"the tasks change differently ({p_equals(differ)}){_macro(section)}")
    clauses += _guess_clause(section)
    pooled = 0 if not moved else 1 if change.value > 0 else -1
    # Tasks that the verdict names have a direction of their own.
    own = {task.name: 1 if _change(task) > 0 else -1 for task in (*changed, *unsure)}
    said = {task.name: (None, own.get(task.name, pooled)) for task in tasks}
    alpha = ALPHA if moved else ALPHA_OF_DIFFERENCES
    clauses += filter_clauses(tasks, names, alpha)
    clauses += metric_clauses(tasks, names, said, alpha)
    same = section.estimates.get("same_top")
    if same is not None and same.value is not None:
        keep = "keeps its" if same.n == 1 else "keep their"
        clauses.append(
            f"{100 * same.value:.1f} %{interval(same, 100, 1)} of {counted(same.n, 'question')} {keep} answer"
        )
    clauses += _exchange_clause(section)
    clauses += _shift_sentence(section, lambda share: share >= _MANY_MOVED)
    if section.readability is not None and max(section.readability.shares) >= _READABLE_ENOUGH:
        clauses += readability_clauses(section.readability, with_reasons=False)
    return tuple(clauses)


def _test_alone(section: Section, change: Estimate) -> str:
    """Why a small p is not taken for a change where the interval holds 0."""
    test = f"the test alone ({section.test}) has {p_equals(section.sign_flip_p)}, but the interval holds 0"
    if change.unit == "question cluster" and change.df is not None and change.df < _FEW_CLUSTERS:
        return f"{test}: it allows for what so few clusters do not show of others; a change is said where both agree"
    return f"{test}; a change is said where both agree"


def _needed(section: Section, change: float) -> int | None:
    """How many questions like these find a change of accuracy 4 times in 5, to two digits."""
    found = section.estimates["delta_accuracy"]
    if section.flips is None or found.method != "score" or found.unit not in ("question", "question cluster"):
        return None
    idle = 2 * min(section.flips["harmful"], section.flips["beneficial"]) / found.n
    questions = fewest_questions(lambda n: power_of_flips(n, idle, change), near=questions_near(idle, change))
    if questions is None:
        return None
    alike = questions * found.n / (found.effective_n or found.n)
    return int(float(f"{alike:.2g}"))


def gold_lines(section: Section) -> Iterator[str]:
    """What happened to the probability of the gold option: another number than accuracy, and often a surer one."""
    change = section.estimates.get("delta_gold")
    if change is None or change.value is None or change.ci_low is None:
        return
    least = minimum_detectable_effect(change)
    power = "" if least is None else f"; a true change of {100 * least:.1f} points would be found 4 times in 5"
    yield f"{gold_change(change)}{power}"


def gold_change(change: Estimate) -> str:
    """The change of the gold option's probability with its interval and p, and the method that both are of."""
    p = no_change(change)
    method = "Gaffke's bound" if change.method == "bounded" else "t test"
    tested = "" if p is None else f", {p_equals(p)} ({method})"
    return (
        f"gold option's probability {points(change.value, digits_of(change))} points{points_interval(change)}{tested}"
    )


def _changed(tasks: Sequence[Section], alpha: float) -> list[Section]:
    """The tasks that changed beyond chance, corrected for their number: what fell most first, then what rose most."""
    found = [task for task in tasks if task.p_holm is not None and task.p_holm < alpha]
    return sorted(found, key=lambda task: (_change(task) > 0, -abs(_change(task))))


def _change(task: Section) -> float:
    return task.estimates["delta_accuracy"].value or 0.0


def _listed(tasks: Sequence[Section], of: int, names: Collection[str]) -> str:
    """The tasks that fell most, then those that rose, each with its change and the interval that tables of so many tasks have."""
    shown = tasks[:MOST_TASKS]
    changes = [change_among(task, of) for task in shown]
    short = short_names([task.name for task in shown], names)
    return listed_changes([*zip(short, changes, strict=True)], len(tasks), "task")


def _macro(section: Section) -> str:
    """The mean of the tasks' changes."""
    mean = (section.macro or {}).get("delta_accuracy")
    if mean is None:
        return ""
    # Where no task's answers vary, the interval has no width, and says nothing.
    return f", in the mean of the tasks {points(mean.value)}{points_interval(mean) if mean.se else ''}"


def _unchanged(section: Section, accuracy: str) -> str:
    """What it means that no answer turned."""
    if all(section.estimates[f"accuracy_{when}"].value == 0 for when in ("before", "after")):
        return f"No answer is right, before or after: {accuracy} at the floor shows no change"
    change = section.estimates["delta_accuracy"]
    if change.undefined:
        return f"No change in the {counted(change.n, 'question')} of which both answers are known to be right or wrong"
    return "No change: every answer is as right as before"


def _p_bound(p: float) -> str:
    return f"{p:g}".removeprefix("0")


def shift_lines(section: Section) -> Iterator[str]:
    """To which option the answers moved, where they did beyond chance and the verdict does not say so."""
    yield from _shift_sentence(section, lambda share: _WORTH_MOVING <= share < _MANY_MOVED)


def _guess_clause(section: Section) -> Iterator[str]:
    """That neither run is shown to know anything, where no interval of accuracy lies above guesses."""
    ends = [section.estimates[f"accuracy_{when}"].ci_low for when in ("before", "after")]
    if section.guessing is not None and all(low is not None and low <= section.guessing for low in ends):
        yield f"but neither run is shown to answer better than guesses would ({100 * section.guessing:.1f} %)"


def _exchange_clause(section: Section) -> Iterator[str]:
    """Which letters stand for which, where nearly all answers are those of the first run but for that."""
    shift = None if section.selection_bias is None else section.selection_bias.shift
    if shift is not None and shift.exchanged is not None and shift.exchanged_share is not None:
        pairs = ", ".join(f"{one} → {other}" for one, other in shift.exchanged.items() if one != other)
        yield (
            f"but {100 * shift.exchanged_share:.1f} % of the answers are the same under other letters ({pairs}), as if options "
            "or letters had been exchanged"
        )


def _shift_sentence(section: Section, worth: Callable[[float], bool]) -> Iterator[str]:
    """How the answers moved between options, where they did beyond chance and by a share that is worth it."""
    if section.selection_bias is None:
        return
    shift = section.selection_bias.shift
    p = shift.p if shift.p_holm is None else shift.p_holm
    if p is not None and p < ALPHA and worth(shift.moved):
        ends = "" if shift.moved_estimate is None else interval(shift.moved_estimate, 100, 1)
        moved = f"{100 * shift.moved:.1f} %{ends} of the answers moved to other options on balance"
        yield f"{moved}, most of them to {shift.option} ({p_equals(p)})"


def told_change(section: Section) -> Estimate:
    """The change that a sentence is about: of accuracy, or where there is none of the first metric."""
    change, first = section.estimates["delta_accuracy"], _first_metric(section)
    return change if change.value is not None or first is None else first[1].delta


def ways(changes: Sequence[MetricChange]) -> str:
    """How many changes of metrics are surely for the worse, for the better, or of neither known; empty where none is sure."""
    counts = Counter(change.is_better for change in changes if change.is_sure)
    words = {False: "for the worse", True: "for the better", None: "clear, but the logs do not say what is better"}
    parts = [
        f"{counts[way]} {'is' if counts[way] == 1 else 'are'} {word}" for way, word in words.items() if counts[way]
    ]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _metrics_conclusion(sections: Sequence[Section], tasks: Mapping[str, Section]) -> tuple[str, ...]:
    """What happened to the first metrics of many tasks whose answers are not right or wrong, by intervals that hold together."""
    first = {section.name: _first_metric(section) for section in sections}
    each = 1 - ALPHA / len(first)
    found = {
        name: replace(metric[1], delta=at_confidence(metric[1].delta, each))
        for name, metric in first.items()
        if metric is not None
    }
    together = f"95 % intervals that hold for all {len(first)} together (Bonferroni)"
    moved = ways(list(found.values()))
    said: dict[str, tuple[str | None, int]] = {}
    for section in sections:
        told = first[section.name]
        direction = _direction(found[section.name]) if section.name in found else 0
        said |= {task.name: (None if told is None else told[0], direction) for task in _tasks_of(section, tasks)}
    others = metric_clauses([tasks[name] for name in said], tasks, said, ALPHA if moved else ALPHA_OF_DIFFERENCES)
    if not moved:
        return f"No change of the metrics in {len(first)} tasks distinguishable from chance", f"by {together}", *others
    named = short_names([name for name, metric in found.items() if metric.is_sure], tasks)
    what = f"Of the changes of metrics in {len(first)} tasks {moved}: {shortened(named, MOST_TASKS)}"
    return what, f"by {together}", *others


def _first_metric(section: Section) -> tuple[str, MetricChange] | None:
    """The first metric that both runs have, with its name."""
    return next(
        (
            (name, metric)
            for name, metric in (section.metrics or {}).items()
            if None not in (metric.before.value, metric.after.value, metric.delta.value)
        ),
        None,
    )


def _metric_conclusion(section: Section) -> tuple[str, ...]:
    """What happened to the first metric of a task whose answers are not right or wrong."""
    first = _first_metric(section)
    if first is not None:
        name, metric = first
        before, after, delta = metric.before.value, metric.after.value, metric.delta
        assert before is not None
        assert after is not None
        assert delta.value is not None
        ends = f"{before:.4g} → {after:.4g}"
        if delta.value == 0 and delta.se == 0:
            return (f"No change of {name}: it is the same in all {delta.n:,} questions that have it in both runs",)
        if delta.ci_low is None:
            return f"{name}: {ends}", _TOO_FEW
        change = f"{delta.value:+.4g}, 95 % interval [{delta.ci_low:+.4g}, {delta.ci_high:+.4g}]"
        if not metric.is_sure:
            return (f"No change of {name} distinguishable from chance: {ends} (change {change})",)
        better = {None: "", True: ", better", False: ", worse"}[metric.is_better]
        turned = "rose" if delta.value > 0 else "fell"
        return (f"{name} {turned}: {ends}{better} (change {change})",)
    return (f"{section.n:,} questions were paired, but the logs do not say which answers are right",)
