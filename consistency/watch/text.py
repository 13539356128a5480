"""How far a model in training is from the model that it was, over the whole vocabulary, on a text of the user's.

The figures are those of ``llama.cpp --kl-divergence``: the text in windows of 512 tokens, of which the second half is scored,
each token behind all before it in its window; KL from the first model's distribution to the present one's, in nats.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from consistency.errors import InputError
from consistency.statistics.bootstrap import bootstrap_interval, draw_counts
from consistency.support.arrays import Floats
from consistency.support.files import write_lines
from consistency.support.json_files import json_lines
from consistency.watch.rows import TEXT, Number, TextRow, read_text

REFERENCE = "text-reference"
# Of a text so many tokens are read, in windows of so many.
TOKENS, WINDOW = 4096, 512
# Neighbouring tokens depend on each other: so many are drawn together.
BLOCK = 64
_QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
_RESAMPLES = 999


class TokenScores(msgspec.Struct, frozen=True):
    """What was found at each scored token, shape [tokens] each.

    Attributes
    ----------
    kl : list of float
        In nats.
    same_top : list of bool
    before, after : list of float
        Logprob of the text's own token.
    """

    kl: list[float]
    same_top: list[bool]
    before: list[float]
    after: list[float]


class Text:
    """A text that is scored again and again.

    Parameters
    ----------
    path : Path
    tokenizer : transformers.PreTrainedTokenizerBase
    longest : int
        The most tokens that the model reads.
    folder : Path
        Where the first model's distributions are kept, as logprobs in float16.

    Raises
    ------
    InputError
        If the text cannot be read or is shorter than two windows.
    """

    def __init__(self, path: Path, tokenizer: Any, longest: int, folder: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"watch.text: cannot be read ({error})", expected="a text in UTF-8", path=path) from None
        # A token has no more than 16 characters on average.
        found = tokenizer(text[: 16 * TOKENS], add_special_tokens=False)["input_ids"][:TOKENS]
        self.window = min(WINDOW, longest)
        if len(found) < 2 * self.window:
            raise InputError(
                f"watch.text: {len(found):,} tokens", expected=f"{2 * self.window:,} or more (two windows)", path=path
            )
        count = len(found) // self.window
        self.windows = np.array(found[: count * self.window]).reshape(count, self.window)
        begins = tokenizer("a")["input_ids"][:1]
        if begins == [tokenizer.bos_token_id] and begins != [None]:
            self.windows[:, 0] = tokenizer.bos_token_id
        self.folder = folder / REFERENCE

    @property
    def scored(self) -> int:
        """Scored tokens of a window: its second half, of which the last token predicts nothing that is there."""
        return self.window - 1 - self.window // 2

    def score(self, number: int, logprobs: Callable[[NDArray[np.int64], int], torch.Tensor]) -> TokenScores:
        """The scores of one window; the first time its distributions become those that later ones are held against.

        Parameters
        ----------
        number : int
            Of the window.
        logprobs : callable
            Takes tokens and how many positions at the end; gives logprobs [positions, vocabulary] in float32.
        """
        tokens = self.windows[number]
        now = logprobs(tokens, self.scored + 1)[:-1]
        own = now.gather(-1, torch.from_numpy(tokens[-self.scored :]).to(now.device)[:, None])[:, 0]
        top = now.argmax(-1)
        path = self.folder / f"window-{number:04d}.npz"
        if not path.exists():
            self._keep(path, now, own, top)
        with np.load(path) as kept:
            first, first_own, first_top = kept["logprobs"], kept["own"], kept["top"]
        kl: list[float] = []
        for begin in range(0, self.scored, BLOCK):
            block = torch.from_numpy(first[begin : begin + BLOCK]).to(now.device, torch.float32)
            # Rounding took some from the sum of the probabilities.
            block = functional.log_softmax(block, dim=-1)
            share, later = block.exp(), now[begin : begin + BLOCK]
            # A token that was impossible adds nothing; of a model that gives no numbers there is no KL.
            kl += torch.where((share == 0) & ~later.isnan(), 0.0, share * (block - later)).sum(-1).tolist()
        return TokenScores(
            kl=kl,
            same_top=(torch.from_numpy(first_top) == top.cpu()).tolist(),
            before=first_own.tolist(),
            after=own.tolist(),
        )

    def _keep(self, path: Path, logprobs: torch.Tensor, own: torch.Tensor, top: torch.Tensor) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        half, exact, best = (item.cpu().numpy() for item in (logprobs.to(torch.float16), own, top))
        with draft.open("wb") as stream:
            np.savez(stream, logprobs=half, own=exact, top=best)
        draft.rename(path)

    @property
    def size(self) -> int:
        """Bytes of the first model's distributions in this folder."""
        return sum(path.stat().st_size for path in self.folder.glob("window-*.npz"))

    def remove_reference(self) -> None:
        """Remove the first model's distributions."""
        shutil.rmtree(self.folder, ignore_errors=True)


def text_row(step: int, windows: Mapping[int, TokenScores]) -> TextRow:
    """The figures of a step from the scores of all windows.

    Intervals hold for other passages like those that were read: blocks of neighbouring tokens are drawn.

    Parameters
    ----------
    step : int
    windows : mapping of int to TokenScores
        By number.
    """
    parts = [windows[number] for number in sorted(windows)]
    kl, same, before, after = (
        np.concatenate([np.asarray(getattr(part, name), dtype=np.float64) for part in parts])
        for name in ("kl", "same_top", "before", "after")
    )
    lengths = [len(part.kl) for part in parts]
    blocks = np.concatenate([1000 * number + np.arange(length) // BLOCK for number, length in enumerate(lengths)])
    codes = np.unique(blocks, return_inverse=True)[1].reshape(-1)
    figures = {"kl": _mean(kl, codes), **_quantiles(kl, codes)}
    figures["kl_max"] = Number(float(kl.max()) if np.isfinite(kl).all() else None, None, None, len(kl))
    figures["same_top"] = _mean(same, codes)
    figures["perplexity"] = _exponential(_mean(-after, codes))
    figures["perplexity_ratio"] = _exponential(_mean(before - after, codes))
    return TextRow(step, len(kl), figures)


def _mean(values: Floats, codes: NDArray[np.int64]) -> Number:
    """The mean; of values of which some are not finite there is none."""
    if not np.isfinite(values).all():
        return Number(None, None, None, len(values))
    found = bootstrap_interval(values, clusters=codes, resamples=_RESAMPLES)
    return Number(found.value, found.ci_low, found.ci_high, len(values))


def _exponential(figure: Number) -> Number:
    low, value, high = (
        None if item is None else float(np.exp(item)) for item in (figure.ci_low, figure.value, figure.ci_high)
    )
    return Number(value, low, high, figure.n)


def _quantiles(values: Floats, codes: NDArray[np.int64]) -> dict[str, Number]:
    if not np.isfinite(values).all():
        return {f"kl_{name}": Number(None, None, None, len(values)) for name in _QUANTILES}
    order = np.argsort(values)
    counts = draw_counts(int(codes.max()) + 1, _RESAMPLES, np.random.default_rng(0))[:, codes[order]].cumsum(axis=1)
    found = {}
    for name, share in _QUANTILES.items():
        places = (counts >= share * counts[:, -1:]).argmax(axis=1)
        low, high = np.quantile(values[order][places], [0.025, 0.975])
        found[f"kl_{name}"] = Number(float(np.quantile(values, share)), float(low), float(high), len(values))
    return found


def add_row(folder: Path, row: TextRow) -> None:
    """Write a step into `text.jsonl`, in the place of those from it on that were written before."""
    earlier = [other for other in read_text(folder) if other.step < row.step]
    write_lines(folder / TEXT, json_lines([*earlier, row]))
