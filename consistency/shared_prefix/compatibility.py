"""Which prompts of a model can share prefixes: by its configuration, and by trials on random tokens."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch.nn import functional

from consistency.shared_prefix.attention import Carried, Spans, UnsupportedAttentionError, attend, merge
from consistency.shared_prefix.forward import Forward
from consistency.shared_prefix.passes import Bounds, end_of_pass, lay_out, units_of
from consistency.shared_prefix.prefixes import Tokens
from consistency.shared_prefix.requests import Requests
from consistency.shared_prefix.visibility import measured_visibility

DEVICES = ("cpu", "cuda")
NOT_CAUSAL = "not a causal language model of transformers"
# Largest error of the attention kernels that rounding explains, on inputs of unit variance.
KERNEL_ERROR = {torch.float32: 2e-3, torch.float16: 5e-3, torch.bfloat16: 4e-2}
# How far the logprobs of the trial may be from lm_eval's: in float32 the largest difference; in the shorter types the root
# mean square of the differences, as a share of what another prefix changes.
LARGEST_DIFFERENCE, LARGEST_SHARE = 1e-3, 0.3
# Tokens of a pass of the trial, so that it takes several passes.
TRIAL_PASS = 45
# The trial has prompts of this length.
TRIAL_LENGTH = 40
# Tokens at the end of the trial of a longer prompt, and how many of them are scored.
TRIAL_QUESTION, TRIAL_ANSWER = 24, 8


def why_unsupported(forward: Forward, hf_logits: Callable[[torch.Tensor], torch.Tensor]) -> str | None:
    """Why a causal model cannot share prefixes, or None if it can.

    Parameters
    ----------
    forward : Forward
        With its model loaded.
    hf_logits : callable of Tensor [sequences, tokens] to Tensor [sequences, tokens, vocabulary]
        What lm_eval's own ``hf`` computes with the same model.

    Returns
    -------
    str or None
        The reason, for the log.
    """
    return _why_by_configuration(forward) or _why_by_trial(forward, hf_logits)


def _why_by_configuration(forward: Forward) -> str | None:
    base = forward.base_model
    if not isinstance(base, transformers.PreTrainedModel):
        return NOT_CAUSAL
    if forward.device.type not in DEVICES:
        return f"no attention kernel for the device {forward.device.type}"
    adapters = getattr(forward.model, "peft_config", {}).values()
    if any(getattr(adapter, "is_prompt_learning", False) for adapter in adapters):
        return "its adapter puts virtual tokens before each prompt"
    if not base._supports_attention_backend:
        return f"{type(base).__name__} computes attention by itself"
    if {"position_ids", "logits_to_keep"} - set(inspect.signature(base.forward).parameters):
        return f"{type(base).__name__} takes no position_ids, or no logits_to_keep"
    other = set(getattr(forward.config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if other:
        return f"layers of type {', '.join(sorted(other))}"
    rope = getattr(forward.config, "rope_parameters", None) or {}
    kinds = {str(item.get("rope_type")) for item in (rope, *rope.values()) if isinstance(item, dict)}
    if kinds & {"dynamic", "longrope"}:
        return "its rotary positions depend on the length of a batch"
    return None


def longest_served(forward: Forward, length: int) -> tuple[int, str | None]:
    """The longest prompt that is computed as lm_eval's ``hf`` computes it, and why no longer one is.

    A window, or another limit of what a token attends to, may show only in prompts that are longer, and in bfloat16 be no
    larger than rounding. So what each token attends to in ``hf`` is measured, layer by layer, and the logprobs of one prompt of
    that length are compared.

    Parameters
    ----------
    forward : Forward
        With a model for which `why_unsupported` gave None.
    length : int
        Tokens of the longest prompt that is to be scored, the last scored token not included.

    Returns
    -------
    int
        `length`, or the most tokens of a prompt that can be served; 0 if none can.
    str or None
        The reason if it is less than `length`.
    """
    reason = None
    while length > 0:
        try:
            right, why = _trial_of(forward, max(length, TRIAL_LENGTH))
        except (RuntimeError, TypeError, AttributeError, KeyError, IndexError, UnsupportedAttentionError) as error:
            right, why = 0, f"{length} tokens cannot be served ({type(error).__name__}: {str(error).splitlines()[0]})"
        if right >= length:
            break
        reason = reason or why
        length = right
    return length, reason


def _trial_of(forward: Forward, length: int) -> tuple[int, str | None]:
    """How many tokens of a prompt of this length are computed as in hf, and why not all."""
    generator = np.random.default_rng(0)
    before, first, second = (
        generator.integers(0, forward.config.vocab_size, count).tolist()
        for count in (length - TRIAL_QUESTION, TRIAL_QUESTION + 1, TRIAL_QUESTION + 1)
    )
    questions = ((None, [*before, *item[:-TRIAL_ANSWER]], item[-TRIAL_ANSWER:]) for item in (first, second))
    trial = Requests([*questions], length)
    # The last one in the order of computation: its prefix is left by the pass before.
    last = trial.forest()[-1].children[-1].sequence
    with forward.prefix_attention():
        windows, logprobs = _trial_logprobs(forward, trial)
    ours = torch.split(logprobs, TRIAL_ANSWER)[last]
    with measured_visibility(windows) as seen:
        theirs = forward.plain_logprobs(trial.sequences[last], TRIAL_ANSWER).float().cpu()
    if seen.layers != len(windows):
        return 0, f"{seen.layers} of {len(windows)} computations of attention can be measured"
    if seen.right < length:
        return seen.right, f"beyond {seen.right} tokens they attend to others than those of their layer's window"
    difference = (ours - theirs).abs()
    if _is_near(forward, difference, theirs.roll(1, 0) - theirs):
        return length, None
    return 0, f"{length} random tokens differed from lm_eval's by {difference.max():.1e}"


def _is_near(forward: Forward, difference: torch.Tensor, usual: torch.Tensor) -> bool:
    """Whether rounding explains a difference of logprobs, by what other tokens usually change."""
    if (forward.mixed_precision_dtype or forward.model.dtype) == torch.float32:
        return bool(difference.max() <= LARGEST_DIFFERENCE)
    return bool(difference.square().mean().sqrt() <= LARGEST_SHARE * usual.square().mean().sqrt())


def _why_by_trial(forward: Forward, hf_logits: Callable[[torch.Tensor], torch.Tensor]) -> str | None:
    config, device = forward.config, forward.device
    dtype = forward.mixed_precision_dtype or forward.model.dtype
    trial, changed = _trial(config.vocab_size)
    try:
        error = kernel_error(device, dtype, *_heads(config))
        if not error <= KERNEL_ERROR.get(dtype, 0.0):
            return f"its attention in {dtype} on {device} is off by {error:.1e}"
        with forward.prefix_attention():
            windows, ours = _trial_logprobs(forward, trial)
    except (RuntimeError, TypeError, AttributeError, KeyError, IndexError, UnsupportedAttentionError) as error:
        return f"its attention cannot be served ({type(error).__name__}: {str(error).splitlines()[0]})"
    if len(windows) != config.num_hidden_layers:
        return f"{len(windows)} of {config.num_hidden_layers} layers are attention that can be served"
    theirs, others = (
        _hf_logprobs(hf_logits, device, sequences, trial.counts) for sequences in (trial.sequences, changed)
    )
    difference = (ours - theirs).abs()
    near = _is_near(forward, difference, others - theirs)
    return None if near else f"a trial on random tokens differed from lm_eval's by {difference.max():.1e}"


def kernel_error(device: torch.device, dtype: torch.dtype, heads: int, key_heads: int, width: int) -> float:
    """Largest difference between this package's attention on a device and a masked softmax in float64.

    Parameters
    ----------
    device, dtype
        Where, and in which type, to compute attention.
    heads, key_heads, width : int
        The shape of the model's attention.

    Returns
    -------
    float
        The largest absolute difference on random queries, keys and values of unit variance: three questions after a
        prefix, and the questions alone in a sliding window.
    """
    generator = torch.Generator().manual_seed(0)
    prefix, ends, window = 70, [0, 5, 24, 27], 9
    length = ends[-1]
    query, key, value = (
        torch.randn(size, count, width, generator=generator).to(device, dtype)
        for size, count in ((length, heads), (prefix + length, key_heads), (prefix + length, key_heads))
    )
    own = Spans(Bounds(np.array(ends), np.array(ends)))
    behind = Spans(Bounds(np.array([0, length]), np.array([0, prefix])))
    windowed, _ = attend(query, key[prefix:], value[prefix:], own, causal=True, scale=None, window=window)
    output, lse = attend(query, key[prefix:], value[prefix:], own, causal=True, scale=None)
    part, norm = attend(query, key[:prefix], value[:prefix], behind, causal=False, scale=None)
    assert lse is not None
    assert norm is not None
    merge(output, lse, part, norm, output)

    at = torch.arange(length)
    question = torch.bucketize(at, torch.tensor(ends[1:]), right=True)
    seen = (question[:, None] == question) & (at <= at[:, None])
    everything = torch.cat([torch.ones(length, prefix, dtype=torch.bool), seen], dim=1)
    nearby = torch.cat([torch.zeros(length, prefix, dtype=torch.bool), seen & (at > at[:, None] - window)], dim=1)
    wide = [item.double().cpu().repeat_interleave(heads // key_heads, dim=1) for item in (key, value)]
    products = torch.einsum("qhw,khw->hqk", query.double().cpu(), wide[0]) / width**0.5
    errors = []
    for found, mask in ((output, everything), (windowed, nearby)):
        exact = torch.einsum("hqk,khw->qhw", products.masked_fill(~mask, -torch.inf).softmax(-1), wide[1])
        errors.append(float((found.double().cpu() - exact).abs().max()))
    return max(errors)


def _heads(config: Any) -> tuple[int, int, int]:
    heads = config.num_attention_heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return heads, key_heads, getattr(config, "head_dim", None) or config.hidden_size // heads


def _trial_logprobs(forward: Forward, trial: Requests) -> tuple[list[int | None], torch.Tensor]:
    """The windows of the computations of attention in a pass, and the logprobs of scored positions, sequence by sequence."""
    units = units_of(trial.forest(), TRIAL_PASS)
    carried: Carried = {}
    found: dict[int, torch.Tensor] = {}
    windows: list[int | None] = []
    first = 0
    while first < len(units):
        last = end_of_pass(units, first, trial.counts, TRIAL_PASS, TRIAL_PASS)
        row = lay_out(units, first, last, trial.sequences)
        logprobs, current = forward.logprobs(row, carried, trial.counts)
        sequences = [leaf.sequence for leaf in row.leaves]
        parts = torch.split(logprobs.float().cpu(), [trial.counts[sequence] for sequence in sequences])
        found.update(zip(sequences, parts, strict=True))
        first, carried, windows = last, current.kept, current.windows
    return windows, torch.cat([found[sequence] for sequence in range(len(trial.sequences))])


def _hf_logprobs(
    hf_logits: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    sequences: Sequence[Tokens],
    counts: Sequence[int],
) -> torch.Tensor:
    """The logprobs of the scored positions by lm_eval's own path, in one batch with padding at the right."""
    padded = np.zeros((len(sequences), max(len(tokens) for tokens in sequences)), np.int64)
    for row, tokens in zip(padded, sequences, strict=True):
        row[: len(tokens)] = tokens
    logits = hf_logits(torch.from_numpy(padded).to(device))
    scored = [
        row[len(tokens) - count : len(tokens)] for row, tokens, count in zip(logits, sequences, counts, strict=True)
    ]
    return functional.log_softmax(torch.cat(scored), dim=-1, dtype=torch.float32).cpu()


def _trial(vocabulary: int) -> tuple[Requests, list[Tokens]]:
    """Requests like those of two tasks, and the same sequences with other tokens at the start."""
    generator = np.random.default_rng(0)

    def some(length: int) -> list[int]:
        numbers: list[int] = generator.integers(0, vocabulary, length).tolist()
        return numbers

    encoded: list[tuple[None, list[int], list[int]]] = []
    for shots in (30, 20):
        before, question = some(shots), some(12)
        contexts = ([*before, *some(5)], [*before, *some(11)], [*before, *question], [*before, *question])
        encoded += [(None, context, some(count)) for count, context in enumerate(contexts, 1)]
    trial = Requests(encoded, 2**20)
    changed = [np.array([*some(15), *tokens[15:]], np.int32) for tokens in trial.sequences]
    return trial, changed
