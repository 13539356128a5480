"""Did fine-tuning teach a model something, or break what it knew? Read, pair, compare and report lm_eval logs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consistency.comparison.compare import compare
    from consistency.comparison.result import Comparison
    from consistency.errors import InputError
    from consistency.logs.runs import Run, read_run

__all__ = ["Comparison", "InputError", "Run", "compare", "read_run"]
_HOMES = {
    "Comparison": "comparison.result",
    "InputError": "errors",
    "Run": "logs.runs",
    "compare": "comparison.compare",
    "read_run": "logs.runs",
}


def __getattr__(name: str) -> object:
    # numpy costs a quarter of a second, which `consistency --help` need not pay.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"consistency.{_HOMES[name]}"), name)
