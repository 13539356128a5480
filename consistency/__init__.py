"""Did fine-tuning teach a model something, or break what it knew? Read, compare and report logs of lm_eval.

Two logs
    `compare` two logs of `lm_eval --log_samples`, print or `write_comparison`; `compare_many` with one reference, `write_many`;
    `read_run` gives the `Scores` behind them.
Several runs a side
    `compare_sides` of training seeds or sampled answers, whose noise is then estimated; `write_sides`.
A model's knowledge
    `read_probe` labels what a base model knows, `read_map` counts it by subject, `audit` holds a training set against it,
    `write_groups` writes the training rows of intervention groups, `preference_pairs` reads pairs for Axolotl.
An experiment
    `read_experiment` reads its file, `write_report` measures its runs, `compare_reports` compares two of its reports.

Names are imported when they are first used: numpy alone would cost `consistency --help` a quarter of a second.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from consistency.comparison.views import View, provide

if TYPE_CHECKING:
    from consistency.comparison.compare import compare
    from consistency.comparison.many.compare import compare_many
    from consistency.comparison.many.result import ManyComparison
    from consistency.comparison.result import Comparison
    from consistency.comparison.sides.compare import compare_sides
    from consistency.comparison.sides.result import SideComparison
    from consistency.errors import InputError
    from consistency.experiment.grid import Experiment
    from consistency.experiment.reading import read_experiment
    from consistency.knowledge.map import read_map
    from consistency.knowledge.probes import Probe, read_probe
    from consistency.logs.runs import Run, read_run
    from consistency.logs.scores import Scores
    from consistency.preference import preference_pairs
    from consistency.report.differences.matching import compare_reports
    from consistency.report.grid.report import write_report
    from consistency.report.many.report import write_many
    from consistency.report.pair.report import write_comparison
    from consistency.report.sides.report import write_sides
    from consistency.statistics.estimates import Estimate
    from consistency.training_data.audit import audit
    from consistency.training_data.write import write_groups

    __version__: str

_HOMES = {
    "Comparison": "comparison.result",
    "Estimate": "statistics.estimates",
    "Experiment": "experiment.grid",
    "InputError": "errors",
    "ManyComparison": "comparison.many.result",
    "Probe": "knowledge.probes",
    "Run": "logs.runs",
    "Scores": "logs.scores",
    "SideComparison": "comparison.sides.result",
    "audit": "training_data.audit",
    "compare": "comparison.compare",
    "compare_many": "comparison.many.compare",
    "compare_reports": "report.differences.matching",
    "compare_sides": "comparison.sides.compare",
    "preference_pairs": "preference",
    "read_experiment": "experiment.reading",
    "read_map": "knowledge.map",
    "read_probe": "knowledge.probes",
    "read_run": "logs.runs",
    "write_comparison": "report.pair.report",
    "write_groups": "training_data.write",
    "write_many": "report.many.report",
    "write_report": "report.grid.report",
    "write_sides": "report.sides.report",
}
__all__ = [
    "Comparison",
    "Estimate",
    "Experiment",
    "InputError",
    "ManyComparison",
    "Probe",
    "Run",
    "Scores",
    "SideComparison",
    "__version__",
    "audit",
    "compare",
    "compare_many",
    "compare_reports",
    "compare_sides",
    "preference_pairs",
    "read_experiment",
    "read_map",
    "read_probe",
    "read_run",
    "write_comparison",
    "write_groups",
    "write_many",
    "write_report",
    "write_sides",
]


# What methods of comparisons call in the rooms above them.
_VIEWS: dict[View, tuple[str, str]] = {
    "pair_html": ("report.pair.notebook", "to_html"),
    "pair_frame": ("report.pair.notebook", "to_frame"),
    "pair_plot": ("report.pair.notebook", "plot"),
    "pair_report": ("report.pair.report", "write_comparison"),
    "many_html": ("report.many.notebook", "to_html"),
    "many_plot": ("report.many.notebook", "plot"),
    "sides_html": ("report.sides.notebook", "to_html"),
    "sides_frame": ("report.sides.notebook", "to_frame"),
    "sides_plot": ("report.sides.notebook", "plot"),
}


def _named(home: str, name: str) -> Any:
    return getattr(import_module(f"consistency.{home}"), name)


for _view, (_home, _name) in _VIEWS.items():
    provide(_view, partial(_named, _home, _name))


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("consistency.support.version").VERSION
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _named(_HOMES[name], name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
