"""What a log records of prompts that were longer than what the model reads, and lost their beginning.

`consistency eval` and the model `hf-shared-prefix` record it; lm_eval's other models do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from consistency.logs.run_config import TRUNCATED, RunConfig


@dataclass(frozen=True)
class CutPrompts:
    """How many prompts of some tasks were cut.

    Attributes
    ----------
    of, cut : int
        The prompts, and those that were cut.
    limit : int
        The most tokens that the model read, of any task with such prompts; 0 without.
    tokens : int
        The most that one prompt lost.
    few_shot, few_shot_lost : int
        The few-shot examples of a prompt, and the most that one lost; 0 where the log does not say.
    """

    of: int = 0
    cut: int = 0
    limit: int = 0
    tokens: int = 0
    few_shot: int = 0
    few_shot_lost: int = 0


def cut_prompts(config: RunConfig, tasks: Iterable[str]) -> tuple[CutPrompts | None, list[str]]:
    """The prompts of some tasks that were cut, and the tasks that have such prompts.

    Parameters
    ----------
    config : RunConfig
    tasks : iterable of str
        Their names in the log.

    Returns
    -------
    tuple of CutPrompts or None, and list of str
        None where the log does not say of all these tasks.

    Examples
    --------
    >>> record = {"law": {"prompts": 40, "cut": 3, "limit": 2048, "tokens": 51}, "art": {"prompts": 20, "cut": 0}}
    >>> cut_prompts(RunConfig(content={"config": {"truncated_prompts": record}}), ["law", "art"])
    (CutPrompts(of=60, cut=3, limit=2048, tokens=51, few_shot=0, few_shot_lost=0), ['law'])
    """
    record = _mapping(_mapping(config.content.get("config")).get(TRUNCATED))
    found = {name: _mapping(record.get(name)) for name in tasks}
    if not all(_count(item, "prompts") for item in found.values()):
        return None, []
    most = {
        key: max((_count(item, key) for item in found.values()), default=0)
        for key in ("limit", "tokens", "few_shot", "few_shot_lost")
    }
    cut = sum(_count(item, "cut") for item in found.values())
    named = [name for name, item in found.items() if _count(item, "cut")]
    return CutPrompts(sum(_count(item, "prompts") for item in found.values()), cut, **most), named


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(item: dict[str, Any], key: str) -> int:
    value = item.get(key)
    return value if type(value) is int and value > 0 else 0
