"""What each token of a prompt attends to in lm_eval's own path, measured in every layer.

A window, a chunk or a sink may be in a mask, in a keyword of the attention function, or in that function alone, and each
implementation (eager, SDPA, flash, flex, a kernel) has another form of it. So nothing is read from masks: each layer's
function is called once more with queries of zero, for which attention is the average of the values that a token sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

# Frequencies of the values, between which sums over any range of tokens are small, so that rounding does not count.
_LOWEST, _HIGHEST = 0.5, 2.6
# The share of one token's value by which an average is another.
_DIFFERENT = 0.25
# Computes the attention of a layer for other queries and values.
Compute = Callable[[Tensor, Tensor], tuple[Tensor, Any]]


class Visibility:
    """What the tokens of one prompt attend to in a forward pass, compared with windows.

    Parameters
    ----------
    windows : sequence of int or None
        For each computation of attention in the pass, in order, how many tokens one attends to, itself included; None for all
        before it.

    Attributes
    ----------
    right : int
        The first so many tokens attend, in all layers that were seen, to themselves and all tokens before them that are in the
        window, and to nothing else.
    layers : int
        How many computations of attention were seen.
    """

    def __init__(self, windows: Sequence[int | None]) -> None:
        self.windows = windows
        self.right = 2**31
        self.layers = 0

    def note(self, compute: Compute, query: Tensor, value: Tensor) -> None:
        """Measure the next layer.

        Parameters
        ----------
        compute : callable of (Tensor, Tensor) to (Tensor [1, tokens, heads, width], object)
            The layer's attention, with its mask, for queries and values.
        query, value : Tensor [1, heads, tokens, width]
            In the shape and type of those of the layer.
        """
        number = self.layers
        self.layers += 1
        if number < len(self.windows):
            values = _values(value)
            averages, _ = compute(torch.zeros_like(query), values.expand_as(value).contiguous())
            self.right = min(self.right, _right(averages[0], values, self.windows[number]))


def _values(like: Tensor) -> Tensor:
    """Values [tokens, width] that differ from token to token, and whose sums over any range are small."""
    tokens, width = like.shape[-2:]
    frequencies = torch.linspace(_LOWEST, _HIGHEST, (width + 1) // 2, dtype=torch.float64, device=like.device)
    angles = torch.arange(tokens, device=like.device)[:, None] * frequencies
    # Where a cosine is near zero, its sine is not.
    return torch.stack([angles.cos(), angles.sin()], -1).flatten(1)[:, :width].to(like.dtype)


def _right(averages: Tensor, values: Tensor, window: int | None) -> int:
    """How many tokens [tokens, heads, width] have the averages of their windows."""
    tokens = len(values)
    sums = torch.cat([values.new_zeros(1, values.shape[1], dtype=torch.float64), values.double().cumsum(0)])
    ends = torch.arange(1, tokens + 1, device=values.device)
    starts = (ends - (window or tokens)).clamp(min=0)
    seen = (ends - starts)[:, None, None]
    expected = (sums[ends] - sums[starts])[:, None]
    # A NaN is wrong, too.
    right = (averages.double() * seen - expected).abs().amax((1, 2)) < _DIFFERENT
    return tokens if right.all() else int((~right).int().argmax())


@contextmanager
def measured_visibility(windows: Sequence[int | None]) -> Iterator[Visibility]:
    """Measure what tokens attend to in a pass over one prompt inside a `with` block, whatever attention the model uses.

    Parameters
    ----------
    windows : sequence of int or None
        As `Visibility` takes them.
    """
    visibility = Visibility(windows)
    usual, item = AttentionInterface.get_interface, AttentionInterface.__getitem__
    # A function that transformers finds by its name in the same table is wrapped there already.
    wrapped: set[Callable[..., Any]] = set()

    def measured(compute: Callable[..., Any]) -> Callable[..., Any]:
        if compute in wrapped:
            return compute

        def attend(
            module: torch.nn.Module,
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attention_mask: Any = None,
            *arguments: Any,
            **settings: Any,
        ) -> Any:
            def other(query: Tensor, value: Tensor) -> Any:
                return compute(module, query, key, value, attention_mask, *arguments, **settings)

            visibility.note(other, query, value)
            return other(query, value)

        wrapped.add(attend)
        return attend

    def get_interface(self: AttentionInterface, *arguments: Any, **settings: Any) -> Any:
        return measured(usual(self, *arguments, **settings))

    def get_item(self: AttentionInterface, name: str) -> Any:
        return measured(item(self, name))

    AttentionInterface.get_interface = get_interface
    AttentionInterface.__getitem__ = get_item
    try:
        yield visibility
    finally:
        AttentionInterface.get_interface = usual
        AttentionInterface.__getitem__ = item
