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

    @classmethod
    def together(cls, parts: Iterable[CutPrompts]) -> CutPrompts | None:
        """Those of several tasks; None of none.

        Examples
        --------
        >>> CutPrompts.together([CutPrompts(40, 3, 2048, 51), CutPrompts(20)])
        CutPrompts(of=60, cut=3, limit=2048, tokens=51, few_shot=0, few_shot_lost=0)
        """
        found = list(parts)
        if not found:
            return None
        most = {
            name: max(getattr(part, name) for part in found)
            for name in ("limit", "tokens", "few_shot", "few_shot_lost")
        }
        return cls(sum(part.of for part in found), sum(part.cut for part in found), **most)


def cut_prompts(config: RunConfig, tasks: Iterable[str]) -> dict[str, CutPrompts]:
    """The prompts of some tasks that were cut, by task; without those of which the log does not say.

    Parameters
    ----------
    config : RunConfig
    tasks : iterable of str
        Their names in the log.

    Examples
    --------
    >>> record = {"law": {"prompts": 40, "cut": 3, "limit": 2048, "tokens": 51}}
    >>> cut_prompts(RunConfig(content={"config": {"truncated_prompts": record}}), ["law", "art"])
    {'law': CutPrompts(of=40, cut=3, limit=2048, tokens=51, few_shot=0, few_shot_lost=0)}
    """
    record = _mapping(_mapping(config.content.get("config")).get(TRUNCATED))
    named = {name: _mapping(record.get(name)) for name in tasks}
    return {
        name: CutPrompts(
            *(_count(item, key) for key in ("prompts", "cut", "limit", "tokens", "few_shot", "few_shot_lost"))
        )
        for name, item in named.items()
        if _count(item, "prompts")
    }


def says_cuts(config: RunConfig) -> bool:
    """Whether a log says of some task how many prompts were cut, be it none.

    Examples
    --------
    >>> says_cuts(RunConfig(content={"config": {"truncated_prompts": {"law": {"prompts": 40}}}})), says_cuts(RunConfig())
    (True, False)
    """
    return bool(_mapping(_mapping(config.content.get("config")).get(TRUNCATED)))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(item: dict[str, Any], key: str) -> int:
    value = item.get(key)
    return value if type(value) is int and value > 0 else 0
