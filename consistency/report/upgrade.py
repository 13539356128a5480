"""Convert reports of schema version 2: its other names, and its values that were parts of sentences."""

from __future__ import annotations

import re
from typing import Any

from consistency.statistics.estimates import Caveat, Method, Unit

# Names of version 2, and those of today.
RENAMED = {"rank_pearson": "spearman", "rank_pearson_paper": "spearman_paper"}


def upgrade(value: Any, version: int) -> Any:
    """A document that version 2 wrote, with the names and fields of the present version.

    Parameters
    ----------
    value : object
        The document, or a part of it, as decoded JSON.
    version : int
        The present version.

    Examples
    --------
    >>> upgrade({"measure": "rank_pearson", "estimator": "mean over questions, t interval"}, 3)["measure"]
    'spearman'
    """
    if isinstance(value, list):
        return [upgrade(item, version) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, item in value.items():
        # A measure's name is the key of a figure; elsewhere a key may be the name of a task, which stays.
        renamed = RENAMED.get(str(key), str(key)) if isinstance(item, dict) and "value" in item else str(key)
        found[renamed] = upgrade(item, version)
    if "schema_version" in found and "kind" in found:
        found["schema_version"] = version
    for key in ("measure", "x"):
        if isinstance(found.get(key), str):
            found[key] = RENAMED.get(found[key], found[key])
    if isinstance(found.get("estimator"), str):
        found |= _estimator_fields(found.pop("estimator"))
    if isinstance(found.get("measure"), str) and all(
        isinstance(found.get(key), dict) for key in ("a", "b", "difference")
    ):
        # Of two reports: the text of the estimator began with it, and the figures of a grid were no estimates.
        found["paired"] = str(value["difference"].get("estimator", "")).startswith("paired by question")
        found["a"], found["b"] = ({"n": found["difference"].get("n", 0), **found[side]} for side in "ab")
    return found


def _estimator_fields(text: str) -> dict[str, Any]:
    """The fields of an estimate that version 2 described in one text."""
    unit: Unit = "stratum" if "within fixed tasks" in text else "question"
    if re.search(r"clusters|tasks' means", text.split(",")[0]):
        unit = "cluster"
    methods: dict[str, Method] = {
        "corrected for skewness": "t-hall",
        "Wilson": "wilson",
        "exact interval": "exact",
        "Welch": "welch",
        "normal interval": "normal",
        "(CR3), t interval": "t-cr3",
        "t interval": "t",
    }
    caveats: dict[str, Caveat] = {
        "no question has a value": "no values",
        "a cell has no value": "no values",
        "one of the means": "missing group",
        "too few questions": "too few",
        "too few clusters": "too few",
        "too large": "too large",
        "do not vary": "constant",
        "skewed values": "skewed",
        "values in few steps": "uneven",
        "unequal sizes": "few clusters",
        "tasks are too few": "few clusters",
    }
    statistic = "root mean square" if text.startswith("root of") else "share" if text.startswith("share") else "mean"
    return {
        "statistic": statistic,
        "unit": unit,
        "method": next((method for words, method in methods.items() if words in text), "none"),
        "warnings": [caveat for words, caveat in caveats.items() if words in text],
    }
