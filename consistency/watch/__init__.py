"""A training watched while it runs: the model in training scored on fixed questions, and what of its knowledge changed so far.

`Watch` is the plugin for Axolotl, `WatchCallback` that for any Trainer of transformers or TRL. Both are loaded when they are
first asked for, so that reading settings or a record needs neither torch nor Axolotl.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {"Watch": "consistency.watch.plugin", "WatchCallback": "consistency.watch.callback"}
__all__ = ["Watch", "WatchCallback"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
