"""Packed training: the tokens of a group's rows, and how many packed rows hold a batch of its conversations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, inf
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import msgspec
from jinja2 import TemplateError

from consistency.errors import InputError
from consistency.experiment.training_config import TrainingConfig
from consistency.support.json_files import read_jsonl

# Each device takes one packed row at least. With several devices that may be more than the batch that was asked for: up to
# this many times as much is written into the config's header, more is an error.
_MOST = 1.5
# Splits that miss the batch by less than _CLOSE count as equal, and the larger micro batch is then taken, since it is faster.
# The micro batch becomes less than half of what was asked for only where all larger ones miss the batch by more than _FAR.
_CLOSE, _FAR = 0.05, 0.1
_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
_EXPECTED = '{"conversations": [{"from": "human", "gpt" or "system", "value": text}, …]}'


class _Turn(msgspec.Struct):
    role: Literal["human", "gpt", "system"] = msgspec.field(name="from")
    value: str


class _Row(msgspec.Struct):
    conversations: list[_Turn]


def packed(config: TrainingConfig, rows: str | Path) -> TrainingConfig:
    """The config with a batch of packed rows that holds, on average, as many conversations as the config asks for.

    Parameters
    ----------
    config : TrainingConfig
        With `sample_packing`, its `base_model` is one whose tokenizer can be loaded.
    rows : path-like
        The group's rows.

    Returns
    -------
    TrainingConfig
        With other `micro_batch_size` and `gradient_accumulation_steps`; `batch` is then an average. The config as it is
        without `sample_packing`, or if there is no such file yet.

    Raises
    ------
    InputError
        If the tokenizer cannot be loaded, the rows cannot be read, or one row on each device is far more than a batch.
    """
    from consistency.tasks.tokenizers import load_tokenizer

    values = config.values
    if not values["sample_packing"] or not Path(rows).is_file():
        return config
    tokenizer = load_tokenizer(str(values["base_model"]))
    longest = values["sequence_len"]
    whole = row_lengths(rows, tokenizer, values["chat_template_jinja"])
    lengths = [min(length, longest) for length in whole]
    mean = fmean(lengths)
    # No more at once than there are: Axolotl alone would train on nothing.
    most = min(values["micro_batch_size"], max(1, ceil(sum(lengths) / longest) // config.devices))
    micro, steps = split(config.batch, mean, longest, most, config.devices)
    conversations = micro * steps * config.devices * longest / mean
    # On one device a packed row is the least there is; a number of devices can be changed.
    if config.devices > 1 and conversations > _MOST * config.batch:
        raise InputError(
            f"a packed row on each of {config.devices} devices: {conversations:.0f} conversations of {mean:.0f} tokens",
            expected=f"fewer devices, for a batch of {config.batch}",
            do=f"choose devices and micro batch so that the batch stays {config.batch}",
        )
    return replace(
        config,
        values=values | {"micro_batch_size": micro, "gradient_accumulation_steps": steps},
        conversations=conversations,
        cut=(sum(length > longest for length in whole), 1 - sum(lengths) / sum(whole)),
    )


def row_lengths(rows: str | Path, tokenizer: Any, template: str, longest: float = inf) -> list[int]:
    """The number of tokens of each training row, written in a chat template.

    Parameters
    ----------
    rows : path-like
        JSONL of conversations, as `consistency groups` writes it.
    tokenizer : transformers tokenizer
    template : str
        In Jinja.
    longest : float
        Tokens after which a row is cut. Default: none.

    Returns
    -------
    list of int

    Raises
    ------
    InputError
        If the file cannot be read, a line is not a row with conversations, or there is no row.
    """
    texts = []
    for number, turns in enumerate(read_turns(rows), 1):
        try:
            texts.append(tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False))
        except TemplateError as error:
            raise InputError(f"the chat template fails: {error}", path=rows, line=number) from error
    return [int(min(len(ids), longest)) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def read_turns(rows: str | Path) -> Iterator[list[dict[str, str]]]:
    """The conversations of training rows, as a chat template takes them.

    Parameters
    ----------
    rows : path-like
        JSONL of conversations, as `consistency groups` writes it.

    Yields
    ------
    list of dict of str to str
        Turns with `role` and `content`.

    Raises
    ------
    InputError
        If the file cannot be read, a line is not a row with conversations, or there is no row.
    """
    number = 0
    for number, row in read_jsonl(rows, _Row, _EXPECTED):
        if not row.conversations:
            raise InputError("no turns", expected=_EXPECTED, do="write the group again", path=rows, line=number)
        yield [{"role": _ROLES[turn.role], "content": turn.value} for turn in row.conversations]
    if not number:
        raise InputError("no training row", expected=_EXPECTED, do="write the group again", path=rows)


def split(batch: int, mean: float, length: int, micro: int, devices: int = 1) -> tuple[int, int]:
    """The micro batch and the accumulation whose packed rows hold about `batch` conversations.

    Parameters
    ----------
    batch : int
        Conversations in an optimizer step.
    mean : float
        Tokens of a conversation, on average.
    length : int
        Tokens of a packed row.
    micro : int
        Rows that a device takes at once, at most.
    devices : int

    Returns
    -------
    tuple of int

    Examples
    --------
    256 conversations of 278 tokens are 34.75 rows of 2,048: five times seven are 35.

    >>> split(256, 278, 2048, micro=8)
    (7, 5)
    """
    share = batch * mean / length / devices
    steps = {rows: max(1, round(share / rows)) for rows in range(1, micro + 1)}
    off = {rows: abs(rows * count / share - 1) for rows, count in steps.items()}

    def best(least: int) -> int:  # the micro batch, from `least` on, that misses the batch by least
        return min(range(least, micro + 1), key=lambda rows: (max(off[rows], _CLOSE), -rows))

    found = best((micro + 1) // 2)
    found = found if off[found] <= _FAR else best(1)
    return found, steps[found]
