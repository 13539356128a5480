"""General instructions: what every group is trained on besides its questions."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError, one_line
from consistency.support.json_files import read_rows
from consistency.world.instructions import general_instruction

WORLD = "world"
NONE = "none"
HUB = "hub:"
Conversation = list[dict[str, str]]


class Instructions:
    """A source of general instructions in the order that a seed gives them.

    Parameters
    ----------
    source : str
        A JSON or JSONL file in Alpaca format (`instruction`, `input`, `output`) or with `conversations`; ``hub:NAME``
        or ``hub:NAME@REVISION`` for the training split of a data set of the Hugging Face hub in either format;
        ``world`` for the embedded world's own, which are generated without end; or ``none``.
    seed : int
        Seed of the order. An instruction's place depends on the seed and its own text alone, so that another one more
        or less in the source moves no other.

    Raises
    ------
    InputError
        If the source cannot be read, or a row has neither format.
    """

    def __init__(self, source: str, seed: int) -> None:
        self.source, self.seed = source, seed
        self._ordered: list[Conversation] | None = None
        if source == NONE:
            self._ordered = []
        elif source != WORLD:
            found = _from_hub(source.removeprefix(HUB)) if source.startswith(HUB) else _from_file(Path(source))
            self._ordered = sorted(found, key=self._place)

    def take(self, count: int) -> Iterator[Conversation]:
        """The first `count` of them, each a list of turns with the keys `from` ("human" or "gpt") and `value`.

        Raises
        ------
        InputError
            If there are too few.
        """
        if self._ordered is None:
            rng = random.Random(f"general-{self.seed}")
            return (conversation(*general_instruction(rng)) for _ in range(count))
        if len(self._ordered) < count:
            problem, expected = f"holds {len(self._ordered)} instructions", f"at least {count}"
            if self.source.startswith(HUB):
                raise InputError(f"{self.source} {problem}", expected=expected)
            raise InputError(problem, expected=expected, path=self.source)
        return islice(self._ordered, count)

    def _place(self, turns: Conversation) -> bytes:
        return hashlib.sha256(f"general-{self.seed}|".encode() + msgspec.json.encode(turns)).digest()


def _from_file(path: Path) -> list[Conversation]:
    return [_conversation(row, path, line) for line, row in read_rows(path, "an instruction")]


def _from_hub(name: str) -> list[Conversation]:
    from datasets import load_dataset

    name, _, revision = name.partition("@")
    try:
        rows: Iterable[Any] = load_dataset(name, revision=revision or None, split="train")
    except Exception as error:  # each library between here and the network has errors of its own
        raise InputError(
            f"the data set {name!r} cannot be loaded ({one_line(error)})",
            expected="a data set of the hub with a training split, and a network or a cached copy",
            do="name a JSON or JSONL file instead",
        ) from error
    return [_conversation(dict(row), f"{HUB}{name}", line) for line, row in enumerate(rows, 1)]


def _conversation(row: Any, path: str | Path, line: int) -> Conversation:
    fields = row if isinstance(row, dict) else {}
    turns = fields.get("conversations")
    if isinstance(turns, list) and turns and all(_is_turn(turn) for turn in turns):
        return [{"from": turn["from"], "value": turn["value"]} for turn in turns]
    # A column that a row leaves out is None in a table.
    instruction, context, output = (fields.get(name) or "" for name in ("instruction", "input", "output"))
    if not all(isinstance(text, str) for text in (instruction, context, output)) or not (instruction and output):
        raise InputError(
            f"{str(row)[:60]!r} is not an instruction",
            expected="instruction and output (Alpaca), or conversations with turns from human and gpt",
            path=path,
            line=line,
        )
    return conversation(f"{instruction}\n\n{context}" if context else instruction, output)


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and turn.get("from") in ("human", "gpt") and isinstance(turn.get("value"), str)


def conversation(request: str, reply: str) -> Conversation:
    """A conversation of one request and one reply."""
    return [{"from": "human", "value": request}, {"from": "gpt", "value": reply}]
