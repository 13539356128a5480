"""Packed training: how long a group's rows are, and how many rows of packed conversations hold a batch of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import TemplateError

from consistency.errors import InputError
from consistency.experiment.training_config import TrainingConfig

# A row on each device is the least that they can take; up to here the batch is said, beyond it is another one.
_MOST = 1.5
# Splits that come as close are alike, and the larger micro batch is the faster. It is more than halved only where all larger
# ones are further off.
_CLOSE, _FAR = 0.05, 0.1
_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


def packed(config: TrainingConfig, rows: str | Path) -> TrainingConfig:
    """Let a batch of packed rows hold as many conversations, on average, as the config asks for.

    Parameters
    ----------
    config : TrainingConfig
        With `sample_packing`, and a `base_model` whose tokenizer can be loaded.
    rows : path-like
        The group's rows.

    Returns
    -------
    TrainingConfig
        With other `micro_batch_size` and `gradient_accumulation_steps`; `batch` is then an average.

    Raises
    ------
    InputError
        If the tokenizer cannot be loaded, the rows cannot be read, or one row on each device is far more than a batch.
    """
    from consistency.tasks.tokenizers import load_tokenizer

    values = config.values
    tokenizer = load_tokenizer(str(values["base_model"]))
    mean = fmean(row_lengths(rows, tokenizer, values["chat_template_jinja"], values["sequence_len"]))
    micro, steps = split(config.batch, mean, values["sequence_len"], values["micro_batch_size"], config.devices)
    conversations = micro * steps * config.devices * values["sequence_len"] / mean
    # One device takes one row at least, and the header says what that holds; more of them are a choice.
    if config.devices > 1 and conversations > _MOST * config.batch:
        raise InputError(
            f"a packed row on each of {config.devices} devices: {conversations:.0f} conversations of {mean:.0f} tokens",
            expected=f"fewer devices, for a batch of {config.batch}",
            do="another batch would be another experiment",
        )
    return replace(
        config,
        values=values | {"micro_batch_size": micro, "gradient_accumulation_steps": steps},
        conversations=conversations,
    )


def row_lengths(rows: str | Path, tokenizer: Any, template: str, longest: int) -> list[int]:
    """Tokens of each training row in a chat template.

    Parameters
    ----------
    rows : path-like
        JSONL of conversations, as `consistency groups` writes it.
    tokenizer : transformers tokenizer
    template : str
        In Jinja.
    longest : int
        Where a row is cut.

    Returns
    -------
    list of int

    Raises
    ------
    InputError
        If the file cannot be read, a line is no row with conversations, or there is none.
    """
    texts = []
    for number, turns in enumerate(read_turns(rows), 1):
        try:
            texts.append(tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False))
        except TemplateError as error:
            raise InputError(f"the chat template fails: {error}", path=rows, line=number) from error
    return [min(len(ids), longest) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


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
        If the file cannot be read, a line is no row with conversations, or there is none.
    """
    try:
        # A text's own separators of lines are none in bytes.
        lines = Path(rows).read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", do="write the group again", path=rows) from error
    if not lines:
        raise InputError("holds no training row", do="write the group again", path=rows)
    for number, line in enumerate(lines, 1):
        try:
            turns = [
                {"role": _ROLES[turn["from"]], "content": turn["value"]} for turn in json.loads(line)["conversations"]
            ]
            # Half a surrogate pair is no text, either.
            encoded = [turn["content"].encode() for turn in turns]
        except (ValueError, KeyError, TypeError, AttributeError):
            encoded = []
        if not encoded:
            raise InputError(
                "no training row",
                expected='{"conversations": [{"from": "human" or "gpt", "value": text}, …]}',
                do="write the group again",
                path=rows,
                line=number,
            )
        yield turns


def split(batch: int, mean: float, length: int, micro: int, devices: int = 1) -> tuple[int, int]:
    """Micro batch and accumulation of packed rows that hold about `batch` conversations.

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

    def best(least: int) -> int:
        return min(range(least, micro + 1), key=lambda rows: (max(off[rows], _CLOSE), -rows))

    found = best((micro + 1) // 2)
    found = found if off[found] <= _FAR else best(1)
    return found, steps[found]
