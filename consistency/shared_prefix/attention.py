"""Attention over a row of trees: computed range by range, and merged exactly by the log-sum-exp of each range.

The keys of a query are split into ranges that need no mask: its own segment (causal), its stem, its prefix. Softmax over
several ranges is the average of the softmax over each, weighted by exp(log-sum-exp) (Milakov and Gimelshein 2018, "Online
normalizer calculation for softmax").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

from consistency.shared_prefix.passes import Bounds, Row
from consistency.shared_prefix.prefixes import Tokens
from consistency.support.arrays import Integers

NAME = "consistency_shared_prefix"
# Arguments of transformers' attention functions that may be ignored: no training, no cache, positions already applied.
IGNORED = frozenset(
    "cache_position cumulative_seqlens_k cumulative_seqlens_q cu_seq_lens_k cu_seq_lens_q deterministic dropout is_causal "
    "layer_idx max_length_k max_length_q output_attentions output_hidden_states output_router_logits past_key_values "
    "position_embeddings position_ids return_dict scaling sliding_window token_type_ids use_cache".split()
)

# For each computation of attention in a pass, in order, keys and values of the prefix that the next pass still needs.
Carried = dict[int, tuple[Tensor, Tensor]]


class UnsupportedAttentionError(Exception):
    """A model needs a kind of attention that this module does not compute."""


def to_device(device: torch.device, array: Integers | Tokens) -> Tensor:
    """A copy of an array on a device; a copy to a GPU does not wait for what runs there."""
    tensor = torch.from_numpy(array)
    # From ordinary memory the copy would wait for the pass before.
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Spans:
    """`Bounds` in the form that the attention kernels take, with a copy on each device that needs one.

    Parameters
    ----------
    bounds : Bounds
        Pairs of a query range and a key range.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.queries = bounds.queries.tolist()
        self.keys = bounds.keys.tolist()
        # With queries of one token only, the flash kernel swaps queries and heads.
        self.longest_query = max([2, *np.diff(bounds.queries).tolist()])
        self.longest_key = max(np.diff(bounds.keys).tolist(), default=0)
        self._on: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.queries) - 1

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The cumulative lengths as int32 tensors."""
        if device not in self._on:
            first, second = (np.array(values, np.int32) for values in (self.queries, self.keys))
            self._on[device] = to_device(device, first), to_device(device, second)
        return self._on[device]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Spans,
    *,
    causal: bool,
    scale: float | None,
    window: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attention of each query range to its key range, for ranges of any length.

    Parameters
    ----------
    query : Tensor [queries, heads, width]
        In float32, float16 or bfloat16; on a CPU or a CUDA device.
    key, value : Tensor [keys, key heads, width]
        The number of heads is a multiple of the key heads.
    spans : Spans
        The ranges.
    causal : bool
        Whether a query attends only to keys up to its own; the last query of a range is at its last key.
    scale : float or None
        Factor of the products; None for one over the square root of the width.
    window : int, optional
        How many keys, its own included, a query attends to at most; only with `causal`.

    Returns
    -------
    output : Tensor [queries, heads, width]
    lse : Tensor [queries, heads], float32, or None
        Natural logarithm of the sum of the exponentials that the softmax divides by. None with a window.
    """
    if query.device.type == "cuda" and query.dtype != torch.float32 and query.shape[-1] % 8 == 0:
        starts, ends = spans.on(query.device)
        left = {} if window is None else {"window_size_left": window - 1, "window_size_right": 0}
        output, lse, *_ = torch.ops.aten._flash_attention_forward(
            query,
            key,
            value,
            starts,
            ends,
            spans.longest_query,
            spans.longest_key,
            0.0,
            causal,
            False,
            scale=scale,
            **left,
        )
        return output, lse.transpose(0, 1)
    if window is not None:
        return _attend_in_window(query, key, value, spans, scale, window), None
    if query.device.type == "cuda":
        starts, ends = spans.on(query.device)
        repeats = query.shape[1] // key.shape[1]
        wide = (item.repeat_interleave(repeats, dim=1)[None] if repeats > 1 else item[None] for item in (key, value))
        longest = (spans.longest_query, spans.longest_key)
        bottom_right = 2 if causal else 0
        output, lse, *_ = torch.ops.aten._efficient_attention_forward(
            query[None], *wide, None, starts, ends, *longest, 0.0, bottom_right, True, scale=scale
        )
        # [ranges, heads, longest range, rounded up] -> [queries, heads]
        lengths = (starts[1:] - starts[:-1]).long()
        number = torch.repeat_interleave(torch.arange(len(spans), device=query.device), lengths, output_size=len(query))
        return output[0], lse[number, :, torch.arange(len(query), device=query.device) - starts[number]]
    output = torch.empty_like(query)
    lse = torch.empty(query.shape[:2], dtype=torch.float32)
    for start, stop, first, last in _ranges(spans):
        part, norm = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            *(item.transpose(0, 1)[None] for item in (query[start:stop], key[first:last], value[first:last])),
            0.0,
            causal,
            scale=scale,
        )
        output[start:stop] = part[0].transpose(0, 1)
        lse[start:stop] = norm[0].transpose(0, 1)
    return output, lse


def _ranges(spans: Spans) -> Iterator[tuple[int, int, int, int]]:
    return zip(spans.queries, spans.queries[1:], spans.keys, spans.keys[1:], strict=False)


def _attend_in_window(
    query: Tensor, key: Tensor, value: Tensor, spans: Spans, scale: float | None, window: int
) -> Tensor:
    output = torch.empty_like(query)
    for start, stop, first, last in _ranges(spans):
        places = torch.arange(first, last, device=query.device)
        at = places[last - first - (stop - start) :, None]
        seen = (places <= at) & (places > at - window)
        q, k, v = (item.transpose(0, 1)[None] for item in (query[start:stop], key[first:last], value[first:last]))
        part = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale, enable_gqa=True)
        output[start:stop] = part[0].transpose(0, 1)
    return output


def merge(output: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor, target: Tensor) -> None:
    """Write the attention over two ranges together into `target`, which may be `output`.

    Parameters
    ----------
    output, other : Tensor [queries, heads, width]
        The attention over each range.
    lse, other_lse : Tensor [queries, heads]
        Their log-sum-exp.
    target : Tensor [queries, heads, width]
        The result, in the type of `output`; summed in float32.
    """
    share = torch.sigmoid(other_lse - lse).unsqueeze(-1)
    if output.dtype == torch.float32:
        torch.lerp(output, other, share, out=target)
    else:
        torch.addcmul(other * share, output, 1 - share, out=target)


class Pass:
    """The attention of one forward pass over a row, layer by layer.

    Parameters
    ----------
    row : Row
        The layout.
    carried : mapping of int to (Tensor, Tensor)
        Keys and values [length, key heads, width] of the prefix that the pass before left: for each computation of attention,
        by its number in the pass. Some models go through a layer several times.

    Attributes
    ----------
    kept : dict of int to (Tensor, Tensor)
        The same for the next pass, filled while this one runs.
    windows : list of int or None
        The window of each computation of attention so far.
    """

    def __init__(self, row: Row, carried: Carried) -> None:
        self.row = row
        self.carried = carried
        self.kept: Carried = {}
        self.windows: list[int | None] = []
        self._own, self._trees, self._stems = Spans(row.own), Spans(row.trees), Spans(row.stems)
        self._longest = int(row.positions.max()) + 1
        self._rows = {"branches": row.branch_rows, "stems": row.stem_rows}
        self._places: dict[tuple[str, torch.device], Tensor] = {}
        self._windowed: dict[int, Spans] = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None, window: int | None) -> Tensor:
        """The attention of the whole row in the next layer: see `attend` for the arguments."""
        layer = len(self.windows)
        self.windows.append(window)
        query, key, value = (item.transpose(0, 1) for item in (query, key, value))
        before = self.carried.get(layer)
        prefix = [key[: self.row.prefixes], value[: self.row.prefixes]]
        if before is not None:
            prefix = [torch.cat(both) for both in zip(before, prefix, strict=True)]
        if self.row.kept.stop:
            self.kept[layer] = (prefix[0][self.row.kept].clone(), prefix[1][self.row.kept].clone())
        if window is not None and self._longest > window:
            return self._attend_in_window(query, key, value, before, scale, window)
        output, lse = attend(query, key, value, self._own, causal=True, scale=scale)
        assert lse is not None
        rest = slice(self.row.prefixes, None)
        if len(self._stems):
            branches, stems = self._place("branches", query.device), self._place("stems", query.device)
            part, norm = attend(query[branches], key[stems], value[stems], self._stems, causal=False, scale=scale)
            assert norm is not None
            merged, both = output[branches], torch.logaddexp(lse[branches], norm)
            merge(merged, lse[branches], part, norm, merged)
            output[branches] = merged
            lse = lse.index_copy(0, branches, both)
        part, norm = attend(query[rest], prefix[0], prefix[1], self._trees, causal=False, scale=scale)
        assert norm is not None
        merge(output[rest], lse[rest], part, norm, output[rest])
        return output

    def _attend_in_window(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        before: tuple[Tensor, Tensor] | None,
        scale: float | None,
        window: int,
    ) -> Tensor:
        name = f"window {window}"
        if window not in self._windowed:
            self._rows[name], bounds = self.row.window_keys(window)
            self._windowed[window] = Spans(bounds)
        seen = self._place(name, query.device)
        if before is not None:
            key, value = torch.cat([before[0], key]), torch.cat([before[1], value])
        spans = self._windowed[window]
        return attend(query, key[seen], value[seen], spans, causal=True, scale=scale, window=window)[0]

    def _place(self, name: str, device: torch.device) -> Tensor:
        if (name, device) not in self._places:
            self._places[name, device] = to_device(device, self._rows[name])
        return self._places[name, device]


_running: list[Pass] = []


@contextmanager
def running(current: Pass) -> Iterator[Pass]:
    """Let the attention implementation `NAME` compute this pass inside a `with` block."""
    _running.append(current)
    try:
        yield current
    finally:
        _running.pop()


def _forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **rest: object,
) -> tuple[Tensor, None]:
    """The function that transformers calls in each layer: query [1, heads, row, width] -> [1, row, heads, width]."""
    unknown = sorted(name for name, given in rest.items() if given is not None and name not in IGNORED)
    if attention_mask is not None:
        unknown.append("attention_mask")
    if unknown or rest.get("is_causal") is False or not getattr(module, "is_causal", True):
        raise UnsupportedAttentionError(", ".join(unknown) or "attention that is not causal")
    if query.shape[0] != 1:
        raise UnsupportedAttentionError("a batch")
    if torch.is_autocast_enabled(query.device.type):
        shorter = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(shorter), key.to(shorter), value.to(shorter)
    output = _running[-1].attend(query[0], key[0], value[0], scaling, sliding_window)
    return output[None], None


AttentionInterface.register(NAME, _forward)
