"""The error budget of a policy: a ledger of the checks that were made, and the level that the next one may use."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from consistency.comparison.policy import Budget, Policy
from consistency.comparison.result import Comparison
from consistency.errors import InputError
from consistency.statistics.spending import spent
from consistency.support.files import write_atomically
from consistency.support.json_files import pretty_json, read_json
from consistency.support.places import unwritable

_SCHEMA_VERSION = 1
_EXPECTED = "a ledger that this program wrote"


def spend(policy: Policy, comparison: Comparison, noise: Comparison | None = None) -> tuple[int, float]:
    """Enter a check into the ledger of a policy's budget.

    Parameters
    ----------
    policy : Policy
        With a budget.
    comparison : Comparison
        What is judged.
    noise : Comparison, optional
        Two runs of one model, where they are part of the check.

    Returns
    -------
    number : int
        Which check it is, counted from 1. The same policy with the same answers is the same check, and is entered once.
    level : float
        What it may spend; 0 where the budget is spent.

    Raises
    ------
    InputError
        If the ledger cannot be read or written, or was begun with another budget.
    """
    budget = policy.budget
    if budget is None:
        raise ValueError("a policy without a budget spends nothing")
    terms = {"alpha": budget.alpha, "over": budget.over, "spend": budget.spend}
    key = check_key(policy, comparison, noise)
    with _alone(budget.ledger):
        checks = _read(budget, terms)
        known = {str(item["check"]): number for number, item in enumerate(checks, start=1)}
        if key in known:
            number = known[key]
        else:
            number = len(checks) + 1
            level = spent(number, budget.over, budget.alpha, budget.spend)
            if level:  # a ledger does not grow once the budget is spent
                checks.append({"check": key, "after": comparison.paths[1], "level": level})
                text = pretty_json({"schema_version": _SCHEMA_VERSION, "budget": terms, "checks": checks})
                write_atomically(budget.ledger, text)
    return number, spent(number, budget.over, budget.alpha, budget.spend)


def check_key(policy: Policy, comparison: Comparison, noise: Comparison | None = None) -> str:
    """SHA-256 of what a check depends on: the policy, the answers of all runs, wherever their logs lie, and what is sampled."""
    digest = hashlib.sha256(policy.fingerprint.encode())
    for name, part in (("pair", comparison), ("noise", noise)):
        if part is None:
            continue
        digest.update(f"{name} {part.score} {part.task_sampling} {[asdict(item) for item in part.clusters]}".encode())
        for task, columns in sorted(part.items.items()):
            for column, values in sorted(columns.items()):
                text = json.dumps(values.tolist()) if values.dtype == object else f"{values.dtype.str}{values.shape}"
                digest.update(f"{task}\0{column}\0{text}".encode())
                if values.dtype != object:
                    digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _read(budget: Budget, terms: dict[str, Any]) -> list[dict[str, Any]]:
    """The checks of the ledger; none where there is no ledger yet."""
    path = budget.ledger
    if not path.exists():
        return []
    if not path.is_file():
        raise InputError("is no file", expected=_EXPECTED, do="name a file as the ledger", path=path)
    do = "restore it, or name a new one"
    found = read_json(path, _EXPECTED, do)
    try:
        version, begun, checks = found["schema_version"], found["budget"], found["checks"]
        known = [{"check": str(x["check"]), "after": str(x["after"]), "level": float(x["level"])} for x in checks]
        sound = all(0 <= float(x["level"]) < 1 for x in checks)
    except (ValueError, KeyError, TypeError, OverflowError):
        sound = False
    if not sound:
        raise InputError("is no ledger", expected=_EXPECTED, do=do, path=path)
    if version != _SCHEMA_VERSION:
        raise InputError(f"a ledger of version {version!r}", expected=f"version {_SCHEMA_VERSION}", path=path)
    if begun != terms:
        raise InputError(
            f"was begun with another budget: {json.dumps(begun)}",
            expected=json.dumps(terms),
            do="name a new ledger: what was spent cannot be counted again",
            path=path,
        )
    return known


@contextmanager
def _alone(ledger: Path) -> Iterator[None]:
    """Keep other checks from spending at the same time."""
    try:
        ledger = Path(os.path.realpath(ledger))
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with ledger.with_name(f".{ledger.name}.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise unwritable(ledger, error) from error
