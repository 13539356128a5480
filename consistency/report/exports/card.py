"""A comparison as a section of a model card of the Hugging Face Hub, and as the metadata of it."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import yaml

from consistency.comparison.numbers import digits_of
from consistency.comparison.result import SCHEMA_VERSION, Comparison
from consistency.comparison.section import MetricChange
from consistency.errors import InputError
from consistency.logs.run_config import short_name
from consistency.metrics.measures import MEASURE
from consistency.report.exports.records import dataset_of
from consistency.report.formats.github import code, plain, table_of
from consistency.report.formats.numbers import DASH, formatted
from consistency.report.metric_cells import BETTER, in_own_unit
from consistency.report.pair.document import Comparison as StoredComparison
from consistency.report.pair.document import PairReport, SectionBase
from consistency.report.pair.tables import PARTS
from consistency.report.schema import read_document
from consistency.statistics.estimates import Estimate
from consistency.support.json_files import read_json
from consistency.support.text import counted, p_equals, p_value, visible

_EXPECTED = "what `consistency compare BEFORE AFTER --json FILE` writes, or the folder of --out"
_OF_TWO = "of many runs, compare the model of the card with its base model alone"
# Rows of the table; the metadata has all tasks.
MOST_TASKS = 30
# Of an absolute path, not of an address or a path that begins elsewhere; also where a long value was cut at one of its ends.
_FOLDERS = re.compile(
    r"""(?:(?<![^\s"'=(\[{,])(?:[A-Za-z]:)?[\\/](?:[^\s"',\\/]+[\\/])+|…[^\s"',\\/…]*[\\/](?:[^\s"',\\/]+[\\/])*)"""
    r"""(?=[^\s"',\\/])(?:[^\s"',\\/…]*(?=…))?"""
)
_DEFAULTS = {"score": "raw", "margin": 0.01, "task_sampling": "fixed"}


@dataclass(frozen=True)
class Card:
    """What a model card says of a comparison.

    Attributes
    ----------
    found : Comparison
        The comparison, as its JSON.
    datasets : dict of str to dict of str to str
        Of each task where its questions are from, as `dataset_of` gives it; a task without is its own data set.
    name : str
        The model's name in the metadata.
    """

    found: StoredComparison
    datasets: Mapping[str, Mapping[str, str]]
    name: str

    @property
    def main(self) -> SectionBase | None:
        """The questions that the headline is about; None where no answer is known to be right or wrong."""
        pools = [*_pools(self.found).values(), *self.found.by_task.values()]
        return next((pool for pool in pools if _value(pool, "delta_accuracy") is not None), None)

    @property
    def models(self) -> tuple[str, str]:
        """The names of the model before and of the model after."""
        before, after = (short_name(run.model or "a model") for run in (self.found.before, self.found.after))
        return before, after


def read_card(path: str | Path, name: str | None = None) -> Card:
    """What a model card says of a comparison that was written before.

    Parameters
    ----------
    path : path-like
        What `consistency compare --json` wrote, or the folder of `--out`.
    name : str, optional
        Of the model; by default that of the log after.

    Raises
    ------
    InputError
        If it is none, or one of more than two runs.
    """
    if Path(path).is_dir():
        if not Path(path, "report.json").exists():
            raise InputError(
                "holds no report.json", expected=_EXPECTED, do="or name the logs of both models", path=path
            )
        document = read_document(path)
        if not isinstance(document, PairReport):
            raise InputError(
                "is no report of two runs, and a card is of two", expected=_EXPECTED, do=_OF_TWO, path=path
            )
        return _card(document.comparison, {}, name)
    content = read_json(path, _EXPECTED)
    if not isinstance(content, dict) or "by_task" not in content:
        raise InputError("is no comparison", expected=_EXPECTED, path=path)
    if "reference" in content or isinstance(content.get("before"), list):
        raise InputError("is a comparison of more than two runs, and a card is of two", do=_OF_TWO, path=path)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"schema_version {content.get('schema_version')!r}",
            expected=str(SCHEMA_VERSION),
            do="compare the logs again",
            path=path,
        )
    try:
        return _card(msgspec.convert(content, StoredComparison), {}, name)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InputError(f"is no comparison: {error}", expected=_EXPECTED, path=path) from None


def card_of(comparison: Comparison, name: str | None = None) -> Card:
    """What a model card says of a comparison; `name` as in `read_card`."""
    renamed = comparison.names.renamed
    datasets = {
        task: dataset_of(renamed.get(task, task), comparison.after) or dataset_of(task, comparison.before)
        for task in comparison.by_task
    }
    return _card(msgspec.convert(comparison.to_dict(), StoredComparison), datasets, name)


def _card(found: StoredComparison, datasets: Mapping[str, Mapping[str, str]], name: str | None) -> Card:
    return Card(found, datasets, name or short_name(found.after.model or "a model"))


# The section


def section(card: Card, badge: str | None = None) -> str:
    """The section of a comparison in Markdown, every name in it as text.

    Parameters
    ----------
    card : Card
    badge : str, optional
        Where the badge is, from the card.

    Returns
    -------
    str
        Ends with a line feed.
    """
    found, (before, after) = card.found, card.models
    parts = [f"## What changed from {plain(before)}"]
    if badge is not None:
        parts.append(f"![{plain(headline(card))}]({quote(badge)})")
    questions = sum(item.n for item in found.by_task.values())
    parts += [
        f"**{plain(found.verdict)}**",
        f"{code(after)} against {code(before)}: {counted(questions, 'question')} of {counted(len(found.by_task), 'task')}, "
        f"the same in both runs. 95 % intervals in brackets{_of_named(found)}.",
        *_tasks(found),
        *_metrics_of_tasks(found),
        *_parts(found),
        *_measured(card),
        "```console\n$ " + visible(_command(found)) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _of_named(found: StoredComparison) -> str:
    """How the verdict's own intervals account for a choice among many tasks."""
    if isinstance(found.changed_most, msgspec.UnsetType):
        return ""
    level = 100 * found.changed_most.confidence
    return (
        "; of tasks in the sentence above, which are chosen for the size of their change, "
        f"{level:.1f} % intervals, so that 95 % of them hold"
    )


def headline(card: Card) -> str:
    """The change of accuracy in a few words."""
    main = card.main
    if main is None:
        return "no accuracy"
    return f"change of accuracy {change_of(main.estimate('delta_accuracy'))} points"


def change_of(found: Estimate | None) -> str:
    """A change of accuracy in points with its interval."""
    return formatted(found, MEASURE["delta_accuracy"], digits=None if found is None else digits_of(found))


def _value(item: SectionBase, name: str) -> float | None:
    found = item.estimate(name)
    return None if found is None else found.value


def _tasks(found: StoredComparison) -> Iterator[str]:
    """The accuracy and its change of every task that has one; of many those that changed most."""
    order = [name for name, item in found.by_task.items() if _value(item, "delta_accuracy") is not None]
    if not order:
        return
    if len(order) > MOST_TASKS:
        order.sort(key=lambda name: -abs(_value(found.by_task[name], "delta_accuracy") or 0.0))
    rows = [_row(code(name, cell=True), found.by_task[name]) for name in order[:MOST_TASKS]]
    if len(order) > 1:
        rows += [_row(name, pool) for name, pool in _pools(found).items()]
    table = table_of(["task", "questions", "before, %", "after, %", "change, points", "p (Holm)"], rows)
    of = "" if len(order) <= MOST_TASKS else f"Of {len(order)} tasks the {MOST_TASKS} whose accuracy changed most:\n\n"
    yield of + table


def _metrics_of_tasks(found: StoredComparison) -> Iterator[str]:
    """The harness's metrics of the tasks that have no accuracy, such as perplexities."""
    items = [
        (name, metric, item)
        for name, section in found.by_task.items()
        for metric, item in _other_metrics(section).items()
    ]
    if not items:
        return
    order = sorted(items, key=lambda each: not each[2].is_sure) if len(items) > MOST_TASKS else items
    rows = [
        [
            code(name, cell=True),
            code(metric, cell=True),
            BETTER[item.higher_is_better],
            f"{item.delta.n:,}",
            in_own_unit(item.before),
            in_own_unit(item.after),
            in_own_unit(item.delta, sign=True),
        ]
        for name, metric, item in order[:MOST_TASKS]
    ]
    of = (
        f"{MOST_TASKS} of {len(items)} metrics, those first whose interval excludes 0:\n\n"
        if len(rows) < len(items)
        else ""
    )
    yield of + table_of(["task", "metric", "better", "questions", "before", "after", "change"], rows)
    if any(item.delta.n < max(item.before.n, item.after.n) for _, _, item in order[:MOST_TASKS]):
        yield "The change is of the questions that have the metric in both runs, so it may differ from after less before."


def _pools(found: StoredComparison) -> dict[str, SectionBase]:
    """The tasks that are pooled, by what a table calls them."""
    pools = {"all with options": found.overall} if found.overall is not None else {}
    by_metric = found.by_metric if isinstance(found.by_metric, dict) else {}
    return pools | {f"all by {code(metric, cell=True)}": pool for metric, pool in by_metric.items()}


def _other_metrics(item: SectionBase) -> Mapping[str, MetricChange]:
    return item.metrics if _value(item, "delta_accuracy") is None and isinstance(item.metrics, dict) else {}


def _row(name: str, item: SectionBase) -> list[str]:
    shown = [formatted(item.estimate(measure), MEASURE[measure]) for measure in ("accuracy_before", "accuracy_after")]
    shown.append(change_of(item.estimate("delta_accuracy")))
    if isinstance(item.p_holm, float):
        return [name, f"{item.n:,}", *shown, plain(p_value(item.p_holm))]
    # Of one task, or of all together, nothing is adjusted.
    return [
        name,
        f"{item.n:,}",
        *shown,
        plain(p_equals(item.sign_flip_p)) if isinstance(item.sign_flip_p, float) else DASH,
    ]


def _parts(found: StoredComparison) -> Iterator[str]:
    """Knowledge and letters apart, where options stand behind letters."""
    sections = dict(found.by_task) if len(found.by_task) <= MOST_TASKS else {}
    if found.overall is not None and len(found.by_task) > 1:
        sections["all with options"] = found.overall
    rows = []
    for name, item in sections.items():
        parts = item.decomposition
        if parts is msgspec.UNSET or not parts.lettered:
            continue
        shown = name if item is found.overall else code(name, cell=True)
        rows.append([shown, *(change_of(parts.estimates[part]) for part in PARTS)])
    if rows:
        yield (
            "Of these changes, what one offset for each letter explains is letter bias: the model answers a letter more often, "
            "whatever is asked. What remains without it is knowledge, or a letter bias that differs between questions."
        )
        yield table_of(["task", "without letter bias, points", "due to letter bias, points"], rows)


def _measured(card: Card) -> Iterator[str]:
    """How the numbers were made, and what differs between the runs."""
    main, found = card.main, card.found
    metrics = (item.delta for section in found.by_task.values() for item in _other_metrics(section).values())
    change = next(metrics, None) if main is None else main.estimate("delta_accuracy")
    method = "" if change is None else f" Change: {plain(change.describe())}."
    yield (f"Measured with lm-eval-consistency on logs of both runs.{method} Signature: {code(found.signature)}")
    settings = found.settings if isinstance(found.settings, list) else []
    if settings:
        yield "\n".join(f"- {plain(without_folders(item.to_text()))}" for item in settings)


def without_folders(text: str) -> str:
    r"""A text in which absolute paths are without their folders, for these say who made it, and on which machine.

    Examples
    --------
    >>> without_folders("tokenizer: none → /home/me/tokenizer, https://host/a/b"), without_folders("C:\\Users\\me\\logs")
    ('tokenizer: none → …/tokenizer, https://host/a/b', '…/logs')
    """
    return _FOLDERS.sub("…/", text)


def _named(path: str, other: str) -> str:
    """An absolute path's last parts, as many as tell it from another; any other path as it is."""
    parts, others = Path(path).parts, Path(other).parts
    if not Path(path).is_absolute():
        return path
    count = next((count for count in range(1, len(parts)) if parts[-count:] != others[-count:]), 1)
    return Path(*parts[-count:]).as_posix()


def _command(found: StoredComparison) -> str:
    """The command that made the comparison."""
    before, after = found.before.path, found.after.path
    words = ["consistency", "compare", _named(before, after), _named(after, before)]
    for name, option in (("score", "--score"), ("margin", "--margin"), ("task_sampling", "--tasks")):
        value = getattr(found, name)
        if value not in (_DEFAULTS[name], msgspec.UNSET):
            words += [option, f"{value:g}" if isinstance(value, float) else value]
    filters = {item.filter for item in found.by_task.values() if item.other_filters not in ({}, msgspec.UNSET)}
    if len(filters) == 1:
        words += ["--filter", *(text for text in filters if isinstance(text, str))]
    for clusters in found.clusters if isinstance(found.clusters, list) else []:
        words += ["--cluster", clusters.field] if clusters.kind == "field" else []
    return shlex.join(words)


# The metadata


def model_index(card: Card) -> list[dict[str, Any]]:
    """The accuracy of every task after (without one its metrics), and its change, as `model-index` of the Hub's metadata.

    Shares are in percent and changes in points; an interval is in `args` of its metric.
    """
    found = card.found
    identities = {task: _identity(card, task) for task in found.by_task}
    times = Counter(map(str, identities.values()))
    results = []
    for task, item in found.by_task.items():
        metrics = list(_metrics(card, item))
        if not metrics:
            continue
        # Two tasks of the same questions are two data sets for the Hub's parser.
        known = identities[task]
        dataset = {"name": visible(task), **(known if times[str(known)] == 1 else {"type": visible(task)})}
        results.append(
            {
                "task": {"type": "text-generation"},
                "dataset": dataset,
                "metrics": metrics,
            }
        )
    return [{"name": visible(card.name), "results": results}]


def metadata(card: Card) -> str:
    """The lines of YAML that hold `model_index`; none where no task has a number."""
    index = model_index(card)
    if not index[0]["results"]:
        return ""
    return yaml.safe_dump(
        {"model-index": index},
        sort_keys=False,
        allow_unicode=True,
        width=1_000_000,
        default_flow_style=False,
    )


def _identity(card: Card, task: str) -> dict[str, str]:
    """Which data set a task is of."""
    known = card.datasets.get(task, {})
    found = {
        "type": _named(known.get("path", task), ""),
        "config": known.get("name", ""),
        "split": known.get("split", ""),
    }
    return {key: visible(text) for key, text in found.items() if text}


def _metrics(card: Card, item: SectionBase) -> Iterator[dict[str, Any]]:
    accuracy, change = (item.estimate(name) for name in ("accuracy_after", "delta_accuracy"))
    if accuracy is None or accuracy.value is None or change is None or change.value is None:
        for name, found in _other_metrics(item).items():
            if found.after.value is not None:
                yield _metric(visible(name), visible(name), found.after, 1)
            if found.delta.value is not None:
                told = f"change of {visible(name)} from {visible(card.models[0])}"
                yield _metric(f"delta_{visible(name)}", told, found.delta, 1)
        return
    metric = item.accuracy_metric if isinstance(item.accuracy_metric, str) else "acc"
    yield _metric(visible(metric), f"{visible(metric)}, %", accuracy)
    yield _metric("delta_accuracy", f"change of accuracy from {visible(card.models[0])}, points", change)


def _metric(kind: str, name: str, found: Estimate, scale: int = 100) -> dict[str, Any]:
    assert found.value is not None
    args: dict[str, Any] = {"questions": found.n}
    if found.ci_low is not None and found.ci_high is not None:
        args |= {"ci_low": _rounded(found.ci_low, scale), "ci_high": _rounded(found.ci_high, scale), "confidence": 0.95}
        args["method"] = visible(found.describe())
    return {"type": kind, "value": _rounded(found.value, scale), "name": name, "args": args}


def _rounded(value: float, scale: int) -> float:
    return round(scale * value, 2 if scale > 1 else 4)
