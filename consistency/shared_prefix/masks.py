"""The masks that transformers makes for lm_eval's own path, compared with the windows that layers name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

SDPA = "sdpa"


class Masks:
    """What the masks of one forward pass over one prompt were.

    Attributes
    ----------
    right : int
        The first so many tokens attend, in all layers, to themselves and all tokens before them that are in the window that
        the layer names, and to nothing else.
    """

    def __init__(self) -> None:
        self.right = 2**31

    def note(self, mask: Tensor | None, tokens: int, window: int | None, *, causal: bool) -> None:
        """Compare the mask of a layer.

        Parameters
        ----------
        mask : Tensor [1, 1 or heads, tokens, tokens], optional
            Boolean, or what is added to the products of queries and keys. None: all tokens up to the query's own.
        tokens : int
            Length of the prompt.
        window : int or None
            The layer's window.
        causal : bool
            Whether, without a mask, later tokens are hidden.
        """
        if mask is None:
            # In closed form: a matrix for each layer would take longer than the pass.
            first = max(0, window if window is not None else tokens) if causal else 0
            if first < tokens - (not causal):
                self.right = min(self.right, first)
            return
        at = torch.arange(tokens, device=mask.device)
        right = at <= at[:, None]
        if window is not None:
            right = right & (at > at[:, None] - window)
        if mask.dtype == torch.bool:
            wrong = mask != right
        else:
            wrong = torch.where(right, mask != 0, mask > torch.finfo(mask.dtype).min / 2)
        rows = wrong.any(-1).flatten(0, -2).any(0) if wrong.ndim > 2 else wrong.any(-1)
        if rows.any():
            self.right = min(self.right, int(rows.int().argmax()))


@contextmanager
def watched_masks() -> Iterator[Masks]:
    """Note the masks of what models compute inside a `with` block by transformers' usual attention."""
    masks = Masks()
    compute = AttentionInterface._global_mapping[SDPA]

    def watched(
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *arguments: Any,
        sliding_window: int | None = None,
        is_causal: bool | None = None,
        **rest: Any,
    ) -> Any:
        causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
        masks.note(attention_mask, query.shape[2], sliding_window, causal=causal)
        return compute(
            module,
            query,
            key,
            value,
            attention_mask,
            *arguments,
            sliding_window=sliding_window,
            is_causal=is_causal,
            **rest,
        )

    AttentionInterface.register(SDPA, watched)
    try:
        yield masks
    finally:
        AttentionInterface.register(SDPA, compute)
