"""What a results file says of a task: its metrics and how each is aggregated, its filters, the harness's own values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Of lm_eval's own metrics, where a task does not name an aggregation: all others are means.
_AGGREGATIONS = {
    "perplexity": "perplexity",
    "word_perplexity": "weighted_perplexity",
    "byte_perplexity": "weighted_perplexity",
    "bits_per_byte": "bits_per_byte",
    "f1": "f1",
    "mcc": "matthews_corrcoef",
    "brier_score": "brier_score",
    "bleu": "bleu",
    "chrf": "chrf",
    "ter": "ter",
    "bypass": "bypass",
}
_LOWER_IS_BETTER = {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter"}


@dataclass(frozen=True)
class TaskSettings:
    """What a results file says of one task.

    Attributes
    ----------
    metrics : tuple of str
        Its metrics, in the order of the task's own list; empty where the file has no list.
    aggregations : dict of str to str
        How a metric becomes one number, by lm_eval's name; absent where the file does not say. The source of a function of
        the task's own is no such name.
    higher_is_better : dict of str to bool
    filters : tuple of str
        In the task's order; empty where the file has no list.
    values : dict of tuple of str to float
        The harness's numbers, by metric and filter.
    documents : int or None
        How many documents were run.
    most_tokens : int or None
        The longest text that the model may generate, in tokens.
    fallbacks : dict of str to str
        What a filter gives where it finds no answer, by the filter's name, where the task says so.
    """

    metrics: tuple[str, ...] = ()
    aggregations: Mapping[str, str] = field(default_factory=dict)
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    filters: tuple[str, ...] = ()
    values: Mapping[tuple[str, str], float] = field(default_factory=dict)
    documents: int | None = None
    most_tokens: int | None = None
    fallbacks: Mapping[str, str] = field(default_factory=dict)

    def aggregation(self, metric: str) -> str:
        """How a metric becomes one number: as the task says, else as lm_eval does with a metric of this name.

        Examples
        --------
        >>> TaskSettings().aggregation("word_perplexity"), TaskSettings().aggregation("acc_norm")
        ('weighted_perplexity', 'mean')
        """
        return self.aggregations.get(metric) or _AGGREGATIONS.get(metric, "mean")

    def is_higher_better(self, metric: str) -> bool | None:
        """Whether a larger value is better: as the task says, else as for lm_eval's metric of this name; None where unknown.

        Examples
        --------
        >>> TaskSettings().is_higher_better("bits_per_byte"), TaskSettings(("toxicity",)).is_higher_better("toxicity")
        (False, None)
        """
        # lm_eval's registry says of the translation error rate that more of it is better.
        if metric in self.higher_is_better and self.aggregation(metric) != "ter":
            return self.higher_is_better[metric]
        if metric in _LOWER_IS_BETTER:
            return False
        return True if metric in _AGGREGATIONS or metric.startswith(("acc", "exact_match", "em", "pass")) else None


def read_task_settings(content: Mapping[str, Any], task: str) -> TaskSettings:
    """What a results file says of a task.

    Parameters
    ----------
    content : mapping
        The results file; what is not of the form that lm_eval writes is passed over.
    task : str

    Examples
    --------
    >>> content = {"configs": {"t": {"metric_list": [{"metric": "acc", "aggregation": "mean"}]}},
    ...            "results": {"t": {"alias": "t", "acc,none": 0.5, "acc_stderr,none": 0.1}}}
    >>> settings = read_task_settings(content, "t")
    >>> settings.metrics, dict(settings.values)
    (('acc',), {('acc', 'none'): 0.5})
    """
    config = _mapping(_mapping(content, "configs"), task)
    listed = {item["metric"]: item for item in _items(config, "metric_list") if isinstance(item.get("metric"), str)}
    counts = _mapping(_mapping(content, "n-samples"), task)
    generation = _mapping(config, "generation_kwargs")
    filters = {item["name"]: item for item in _items(config, "filter_list") if isinstance(item.get("name"), str)}
    return TaskSettings(
        metrics=tuple(listed),
        aggregations={
            name: item["aggregation"] for name, item in listed.items() if isinstance(item.get("aggregation"), str)
        },
        higher_is_better={
            name: value
            for name, value in _mapping(_mapping(content, "higher_is_better"), task).items()
            if isinstance(value, bool)
        }
        | {
            name: item["higher_is_better"]
            for name, item in listed.items()
            if isinstance(item.get("higher_is_better"), bool)
        },
        filters=tuple(filters),
        values=dict(read_values(_mapping(_mapping(content, "results"), task))),
        documents=counts["effective"] if type(counts.get("effective")) is int else None,
        most_tokens=next(
            (
                generation[key]
                for key in ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
                if type(generation.get(key)) is int
            ),
            None,
        ),
        fallbacks={
            name: str(step["fallback"])
            for name, item in filters.items()
            for step in _items(item, "filter")
            if step.get("fallback") is not None
        },
    )


def read_values(results: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], float]]:
    """The harness's numbers of a task or a group, by metric and filter, without standard errors.

    Examples
    --------
    >>> dict(read_values({"alias": "t", "samples": 3, "acc,none": 0.5, "acc_stderr,none": "N/A"}))
    {('acc', 'none'): 0.5}
    """
    for key, value in results.items():
        metric, comma, name = key.rpartition(",")
        if comma and not metric.endswith("_stderr") and isinstance(value, int | float):
            yield (metric, name), _as_float(value)


def _as_float(value: float) -> float:
    """A number of JSON, which has integers of any size."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = content.get(key)
    return found if isinstance(found, dict) else {}


def _items(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = content.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
