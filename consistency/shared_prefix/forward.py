"""The forward pass of a model over one row of segments: a layout in, the logprobs of its scored positions out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from consistency.shared_prefix import attention
from consistency.shared_prefix.attention import Carried, to_device
from consistency.shared_prefix.passes import Row
from consistency.shared_prefix.prefixes import Tokens

# A longer pass is not faster: its matrices are large enough, and of a small model the processor starts it in less time than a
# GPU computes it.
LONGEST_PASS = {"cpu": 4096, "cuda": 65536}


class Forward:
    """A causal language model that runs one row of segments at a time.

    Parameters
    ----------
    model : transformers.PreTrainedModel, or PEFT's model around one
        The model.
    device : torch.device
        Where its input goes.
    softmax_dtype : torch.dtype, optional
        Type in which logprobs are taken; float32 by default.
    mixed_precision_dtype : torch.dtype, optional
        Type of autocast; by default there is none.
    pass_tokens : int, optional
        The most tokens in a pass; by default as many as free memory allows.

    Attributes
    ----------
    without_gradients : class
        PyTorch's `inference_mode`, or `no_grad` for a model that is trained on afterwards: what it keeps of a pass, such as
        gathered weights, could not be used with gradients else.
    """

    without_gradients: type[torch.inference_mode | torch.no_grad] = torch.inference_mode

    def __init__(
        self,
        model: Any,
        device: torch.device,
        *,
        softmax_dtype: torch.dtype | None = None,
        mixed_precision_dtype: torch.dtype | None = None,
        pass_tokens: int | None = None,
    ) -> None:
        self.model, self.device = model, device
        self.softmax_dtype, self.mixed_precision_dtype = softmax_dtype, mixed_precision_dtype
        self.pass_tokens = pass_tokens
        self._usual_attention: str | None = None

    def logprobs(self, row: Row, carried: Carried, counts: Sequence[int]) -> tuple[torch.Tensor, attention.Pass]:
        """Run one pass; `prefix_attention` must be on.

        Parameters
        ----------
        row : Row
            The layout of the pass.
        carried : mapping of int to (Tensor, Tensor)
            Keys and values that the pass before left.
        counts : sequence of int
            How many positions at the end of each sequence are scored.

        Returns
        -------
        tuple of Tensor [scored positions, vocabulary] and Pass
            Logprobs of the row's leaves in order, and the attention that was computed.
        """
        scored = [np.arange(end - counts[leaf.sequence], end) for leaf, end in zip(row.leaves, row.ends, strict=True)]
        keep = np.concatenate(scored)
        with (
            self.without_gradients(),
            self._autocast(),
            attention.running(attention.Pass(row, carried)) as current,
        ):
            output = self.model(
                input_ids=to_device(self.device, row.tokens)[None],
                position_ids=to_device(self.device, row.positions)[None],
                use_cache=False,
                # In a model on several devices the head may be on another one, and a tensor would be sent to the first.
                logits_to_keep=keep.tolist() if len(self.devices) > 1 else to_device(self.device, keep),
            )
            logprobs = functional.log_softmax(output.logits[0], dim=-1, dtype=self.softmax_dtype or torch.float32)
        return logprobs, current

    def plain_logprobs(self, tokens: Tokens, count: int) -> torch.Tensor:
        """The logprobs [count, vocabulary] of the last positions of a prompt, computed without any shared prefix."""
        with self._attention(self._usual_attention), self.without_gradients(), self._autocast():
            inputs = to_device(self.device, tokens.astype(np.int64))[None]
            output = self.model(input_ids=inputs, use_cache=False, logits_to_keep=count)
            return functional.log_softmax(output.logits[0], dim=-1, dtype=self.softmax_dtype or torch.float32)

    def _autocast(self) -> torch.autocast:
        kind = self.mixed_precision_dtype
        return torch.autocast(device_type=self.device.type, dtype=kind, enabled=kind is not None)

    @contextmanager
    def prefix_attention(self) -> Iterator[None]:
        """Replace the model's attention by this package's inside a `with` block."""
        before = self.base_model.config._attn_implementation
        if before != attention.NAME:
            self._usual_attention = before
        with self._attention(attention.NAME):
            yield

    @contextmanager
    def _attention(self, name: str | None) -> Iterator[None]:
        base = self.base_model
        before = base.config._attn_implementation
        if name in (None, before):
            yield
            return
        base.set_attn_implementation(name)
        try:
            yield
        finally:
            base.set_attn_implementation(before)

    @property
    def base_model(self) -> Any:
        """The model without PEFT's wrapper."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def config(self) -> Any:
        """The configuration of the language model, also where the model reads images as well."""
        return self.base_model.config.get_text_config()

    @property
    def devices(self) -> list[torch.device]:
        """The devices of the model's layers; the device of its input comes first."""
        places = getattr(self.base_model, "hf_device_map", {}).values()
        found = [self.device, *(torch.device(place) for place in places if place != "disk")]
        # `cuda` is `cuda:0`. Layers that are offloaded to the host are computed on a GPU.
        alike = (torch.device(place.type, place.index or 0) for place in found if place.type == self.device.type)
        return list(dict.fromkeys(alike))

    def budget(self) -> tuple[int, int]:
        """The most tokens and the most scored positions of a pass that free memory allows."""
        most = self.pass_tokens or LONGEST_PASS[self.device.type]
        config = self.config
        logits = config.vocab_size * 12
        if self.device.type != "cuda":
            return most, max(1, 2**30 // logits)
        free = min(map(_free_memory, self.devices))
        hidden, inner = config.hidden_size, getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        # Hidden states, queries, keys and values, two of the inner layer, and two attention outputs in float32.
        token = torch.finfo(self.model.dtype).bits // 8 * (8 * hidden + 3 * inner) + 12 * hidden
        return max(1, min(most, free // 2 // token)), max(1, min(most, free // 4 // logits))


def _free_memory(device: torch.device) -> int:
    """Bytes that a tensor on a CUDA device could take."""
    cache = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cache
