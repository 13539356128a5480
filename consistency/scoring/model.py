"""The lm_eval model ``hf-shared-prefix``: lm_eval's own ``hf``, with each shared prefix computed once."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
import transformers
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from torch.nn import functional
from tqdm import tqdm

from consistency.scoring import attention
from consistency.scoring.passes import Ints, Row, Unit, fill, lay_out, units_of
from consistency.scoring.prefixes import Tokens, share

logger = logging.getLogger(__name__)

Encoded = tuple[Any, list[int], list[int]]
Answer = tuple[float, bool]
Carried = dict[int, tuple[torch.Tensor, torch.Tensor]]

# Strings per call of the tokenizer.
BLOCK = 2000
# A pass longer than this gains nothing: its matrices are large enough.
LONGEST_PASS = {"cpu": 4096, "cuda": 32768}
# Largest error of the attention kernels that rounding explains, on inputs of unit variance.
KERNEL_ERROR = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}
# Two ways to the same logprobs differ by this in float32; in the shorter types by a share of what another prefix changes.
SAME, SHARE = 1e-3, 0.3


@register_model("hf-shared-prefix")
class SharedPrefixLM(HFLM):
    """lm_eval's ``hf`` model, which computes what prompts have in common once.

    Loglikelihood requests are grouped by the tokens that they share: few-shot examples, then a question. Requests that
    share nothing, generation, rolling loglikelihoods, and models whose attention is not plain causal attention (full or
    in a sliding window) take lm_eval's own path; the log says how many and why.

    Parameters
    ----------
    *args, **kwargs
        Those of ``hf``. `batch_size` holds for lm_eval's own path only; passes are sized by free memory.
    pass_tokens : int, optional
        The most tokens in a forward pass. Default: by free memory.

    Notes
    -----
    Logprobs are taken in float32 unless `softmax_dtype` says otherwise, where ``hf`` takes them in the model's type.

    Examples
    --------
    >>> import lm_eval, consistency.scoring.model  # doctest: +SKIP
    >>> lm_eval.simple_evaluate("hf-shared-prefix", "pretrained=gpt2", tasks=["arc_easy"])  # doctest: +SKIP
    """

    def __init__(self, *args: Any, pass_tokens: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pass_tokens = pass_tokens
        self._ahead: dict[str, list[int]] = {}
        self._upcoming: Iterator[str] = iter(())
        self._why_not: str | None = None
        self._checked = False

    # Tokens

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Answer]:
        """See lm_eval; strings are encoded many at a time, and each once."""
        if self.tokenizer.is_fast and self.backend == "causal":
            pairs = (request.args for request in requests)
            self._upcoming = (text for context, answer in pairs if context for text in (context.rstrip(), context + answer))
        try:
            answers: list[Answer] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        finally:
            self._ahead, self._upcoming = {}, iter(())
        return answers

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **kwargs: Any
    ) -> list[int]:
        """See lm_eval."""
        usual = add_special_tokens is None and not left_truncate_len and not kwargs
        if usual and string not in self._ahead:
            self._encode_ahead()
        if usual and string in self._ahead:
            return self._ahead[string]
        encoded: list[int] = super().tok_encode(string, add_special_tokens, left_truncate_len, **kwargs)
        return encoded

    def _encode_ahead(self) -> None:
        block = list(dict.fromkeys(islice(self._upcoming, BLOCK)))
        # A string that brings its own BOS is encoded without another one, by itself.
        begin = self.tokenizer.decode(self.prefix_token_id)
        block = [string for string in block if not string.startswith(begin)]
        self._ahead = {}
        if not block:
            return
        special = {} if self.add_bos_token is None else {"add_special_tokens": self.add_bos_token}
        before = os.environ.get("TOKENIZERS_PARALLELISM")
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        try:
            encoded = self.tokenizer(block, return_attention_mask=False, return_token_type_ids=False, **special)["input_ids"]
        finally:
            if before is None:
                del os.environ["TOKENIZERS_PARALLELISM"]
            else:
                os.environ["TOKENIZERS_PARALLELISM"] = before
        if encoded[0] == super().tok_encode(block[0]):
            self._ahead = dict(zip(block, encoded, strict=True))
        else:
            self._upcoming = iter(())

    # Scoring

    def _loglikelihood_tokens(
        self, requests: list[Encoded], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[Answer]:
        if override_bs is not None or not requests:
            return self._as_hf(requests, disable_tqdm, override_bs)
        reason = self.why_not()
        if reason is not None:
            logger.warning("%d requests take lm_eval's own path: %s", len(requests), reason)
            return self._as_hf(requests, disable_tqdm, None)
        batch = _Batch(requests, self.max_length)
        forest = share(batch.sequences, [len(t) - n for t, n in zip(batch.sequences, batch.counts, strict=True)])
        alone = [number for tree in forest if not tree.children for number, _ in batch.answers[tree.sequence]]
        units = units_of((tree for tree in forest if tree.children), LONGEST_PASS[self.device.type])
        computed = sum(len(unit) for unit in units) + sum(len(tree) for tree in forest if tree.children)
        logger.info(
            "%d requests stand behind %d shared prefixes: %d tokens to compute instead of %d; %d share nothing and take "
            "lm_eval's own path",
            len(requests) - len(alone),
            len({unit.tree for unit in units}),
            computed,
            sum(len(batch.sequences[leaf.sequence]) for unit in units for leaf in unit.leaves),
            len(alone),
        )
        answers: dict[int, Answer] = {}
        if alone:
            found = self._as_hf([requests[number] for number in alone], disable_tqdm, self._lone_batch(requests, alone))
            answers.update(zip(alone, found, strict=True))
        with tqdm(total=len(requests) - len(alone), disable=disable_tqdm or self.rank != 0, desc="Shared prefixes") as bar:
            for number, answer in self._behind_prefixes(units, batch):
                answers[number] = answer
                if requests[number][0] is not None:
                    self.cache_hook.add_partial("loglikelihood", requests[number][0], answer)
                bar.update()
        return [answers[number] for number in range(len(requests))]

    def _as_hf(self, requests: list[Encoded], disable_tqdm: bool, batch: int | None) -> list[Answer]:
        answers: list[Answer] = super()._loglikelihood_tokens(requests, disable_tqdm=disable_tqdm, override_bs=batch)
        return answers

    def _lone_batch(self, requests: Sequence[Encoded], alone: Sequence[int]) -> int | None:
        # lm_eval's search for a batch size is a meeting of all processes, and the others may have nothing to search for.
        if self.world_size == 1 or self.batch_size != "auto":
            return None
        longest = max(len(requests[number][1]) + len(requests[number][2]) for number in alone)
        return max(1, self._budget()[1] // min(longest, self.max_length))

    def _behind_prefixes(self, units: Sequence[Unit], batch: _Batch) -> Iterator[tuple[int, Answer]]:
        tokens, positions = self._budget()
        carried: Carried = {}
        first = 0
        with self._attending():
            while first < len(units):
                last = fill(units, first, batch.counts, tokens, positions)
                row = lay_out(units, first, last, batch.sequences)
                answers, kept = self._try_pass(row, carried, batch)
                if answers is not None:
                    yield from answers
                    first, carried = last, kept
                    continue
                if last - first == 1:
                    raise torch.OutOfMemoryError(
                        f"no memory for one question of {len(row.tokens)} tokens: use a shorter type or another device"
                    )
                scored = sum(batch.counts[leaf.sequence] for leaf in row.leaves)
                tokens, positions = len(row.tokens) // 2, max(1, scored // 2)
                logger.warning("out of memory: passes of at most %d tokens from here", tokens)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _try_pass(
        self, row: Row, carried: Carried, batch: _Batch
    ) -> tuple[list[tuple[int, Answer]] | None, Carried]:
        """The answers of one pass and the prefix that it leaves; None for lack of memory."""
        places, targets, owners = batch.asked(row)
        try:
            logprobs, current = self._logprobs(row, carried, batch.counts)
            chosen = torch.from_numpy(targets).to(logprobs.device)
            at = torch.from_numpy(places).to(logprobs.device)
            values = logprobs[at, chosen].double().cpu().numpy()
            greedy = (logprobs.argmax(-1)[at] == chosen).cpu().numpy()
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                return None, carried
            raise
        starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
        sums, all_greedy = np.add.reduceat(values, starts), np.logical_and.reduceat(greedy, starts)
        numbers = owners[starts].tolist()
        return list(zip(numbers, zip(sums.tolist(), all_greedy.tolist(), strict=True), strict=True)), current.kept

    def _logprobs(self, row: Row, carried: Carried, counts: Sequence[int]) -> tuple[torch.Tensor, attention.Pass]:
        """Logprobs [scored positions, vocabulary] of a row, and the pass."""
        scored = [np.arange(end - counts[leaf.sequence], end) for leaf, end in zip(row.leaves, row.ends, strict=True)]
        keep = torch.from_numpy(np.concatenate(scored))
        # Spread over several devices, only an index on the CPU fits wherever the head is.
        if len(set(getattr(self.model, "hf_device_map", {}).values())) <= 1:
            keep = keep.to(self.device)
        tokens, positions = (torch.from_numpy(item)[None].to(self.device) for item in (row.tokens, row.positions))
        with (
            torch.inference_mode(),
            torch.autocast(
                device_type=self.device.type,
                dtype=self.mixed_precision_dtype,
                enabled=self.mixed_precision_dtype is not None,
            ),
            attention.running(attention.Pass(row, carried)) as current,
        ):
            logits = self.model(input_ids=tokens, position_ids=positions, use_cache=False, logits_to_keep=keep).logits[0]
            return functional.log_softmax(logits, dim=-1, dtype=self.softmax_dtype or torch.float32), current

    @contextmanager
    def _attending(self) -> Iterator[None]:
        """With this package's attention in the place of the model's own."""
        base = self._transformer()
        before = base.config._attn_implementation
        base.set_attn_implementation(attention.NAME)
        try:
            yield
        finally:
            base.set_attn_implementation(before)

    def _transformer(self) -> Any:
        """The model without what PEFT wraps around it."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def _budget(self) -> tuple[int, int]:
        """The most tokens of a pass, and the most scored positions, from free memory."""
        most = self._pass_tokens or LONGEST_PASS[self.device.type]
        config = self._transformer().config.get_text_config()
        logits = config.vocab_size * 12
        if self.device.type != "cuda":
            return most, max(1, 2**30 // logits)
        cache = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + cache
        hidden, inner = config.hidden_size, getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        # Hidden states, queries, keys and values, two of the inner layer, and two attention outputs in float32.
        token = torch.finfo(self.model.dtype).bits // 8 * (8 * hidden + 3 * inner) + 12 * hidden
        return max(1, min(most, free // 2 // token)), max(1, min(most, free // 4 // logits))

    # Whether this model can be served

    def why_not(self) -> str | None:
        """Why prefixes cannot be shared with this model, or None if they can; found out once, on a few tokens."""
        if not self._checked:
            self._checked = True
            self._why_not = self._unfit() or self._wrong()
        return self._why_not

    def _unfit(self) -> str | None:
        base = self._transformer()
        if self.backend != "causal" or not isinstance(base, transformers.PreTrainedModel):
            return "not a causal language model of transformers"
        if self.device.type not in LONGEST_PASS:
            return f"no attention kernel for the device {self.device.type}"
        if any(getattr(adapter, "is_prompt_learning", False) for adapter in getattr(self.model, "peft_config", {}).values()):
            return "its adapter puts virtual tokens before each prompt"
        if not base._supports_attention_backend:
            return f"{type(base).__name__} computes attention by itself"
        if {"position_ids", "logits_to_keep"} - set(inspect.signature(base.forward).parameters):
            return f"{type(base).__name__} takes no position_ids, or no logits_to_keep"
        config = base.config.get_text_config()
        other = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
        if other:
            return f"layers of type {', '.join(sorted(other))}"
        rope = getattr(config, "rope_parameters", None) or {}
        kinds = {str(item.get("rope_type")) for item in (rope, *rope.values()) if isinstance(item, dict)}
        if kinds & {"dynamic", "longrope"}:
            return "its rotary positions depend on the length of a batch"
        return None

    def _wrong(self) -> str | None:
        """Compare with lm_eval's own path on a few random tokens."""
        base = self._transformer()
        config = base.config.get_text_config()
        dtype = self.mixed_precision_dtype or self.model.dtype
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        try:
            error = attention.kernel_error(
                self.device, dtype, heads, getattr(config, "num_key_value_heads", None) or heads, width
            )
            if not error <= KERNEL_ERROR.get(dtype, 0.0):
                return f"its attention in {dtype} on {self.device} is off by {error:.1e}"
            with self._attending():
                layers, ours = self._on_probe()
        except (RuntimeError, TypeError, AttributeError, KeyError, IndexError, attention.UnsupportedAttentionError) as error:
            return f"its attention cannot be served ({type(error).__name__}: {str(error).splitlines()[0]})"
        if layers != config.num_hidden_layers:
            return f"only {layers} of {config.num_hidden_layers} layers are attention that can be served"
        sequences, counts, others = _probe(config.vocab_size)
        theirs, elsewhere = (
            torch.cat([self._plain_logprobs(tokens)[-count:] for tokens, count in zip(items, counts, strict=True)])
            for items in (sequences, others)
        )
        difference, effect = (ours - theirs).abs(), (elsewhere - theirs).square().mean().sqrt()
        near = difference.max() <= SAME if dtype == torch.float32 else difference.square().mean().sqrt() <= SHARE * effect
        return None if near else f"a trial on random tokens differed from lm_eval's by {difference.max():.1e}"

    def _on_probe(self) -> tuple[int, torch.Tensor]:
        """How many layers attended, and the logprobs of the probe's sequences in order, from several passes."""
        sequences, counts, _ = _probe(self._transformer().config.get_text_config().vocab_size)
        units = units_of(share(sequences, [len(t) - n for t, n in zip(sequences, counts, strict=True)]), 2**20)
        carried: Carried = {}
        found: dict[int, torch.Tensor] = {}
        first = layers = 0
        while first < len(units):
            last = fill(units, first, counts, 40, 2**20)
            row = lay_out(units, first, last, sequences)
            logprobs, current = self._logprobs(row, carried, counts)
            sizes = [counts[leaf.sequence] for leaf in row.leaves]
            found |= zip([leaf.sequence for leaf in row.leaves], logprobs.float().cpu().split(sizes), strict=True)
            first, carried, layers = last, current.kept, current.layers
        return layers, torch.cat([found[index] for index in range(len(sequences))])

    def _plain_logprobs(self, tokens: Tokens) -> torch.Tensor:
        logits = self._model_call(torch.from_numpy(tokens.astype(np.int64))[None].to(self.device))[0]
        return functional.log_softmax(logits, dim=-1, dtype=torch.float32).cpu()


class _Batch:
    """Requests by the distinct sequences that the model has to read.

    Parameters
    ----------
    requests : sequence of (strings, context tokens, continuation tokens)
        As lm_eval passes them.
    longest : int
        The most tokens that the model reads; what exceeds it is cut off at the left, as lm_eval does.

    Attributes
    ----------
    sequences : list of int32 arrays
        The distinct inputs.
    counts : list of int
        How many positions at the end of each are scored at most.
    answers : list of list of (int, list of int)
        For each the requests that it answers: their numbers and continuations.
    """

    def __init__(self, requests: Sequence[Encoded], longest: int) -> None:
        self.sequences: list[Tokens] = []
        self.counts: list[int] = []
        self.answers: list[list[tuple[int, list[int]]]] = []
        places: dict[bytes, int] = {}
        # The options of a question come with the same context, often the same list.
        last: list[int] = []
        context_bytes = b""
        for number, (_, context, continuation) in enumerate(requests):
            if not context or not 0 < len(continuation) <= longest:
                raise ValueError(f"request {number}: a continuation of {len(continuation)} tokens after {len(context)}")
            if context is not last:
                last, context_bytes = context, np.array(context, np.int32).tobytes()
            key = (context_bytes + np.array(continuation[:-1], np.int32).tobytes())[-4 * longest :]
            place = places.setdefault(key, len(places))
            if place == len(self.sequences):
                self.sequences.append(np.frombuffer(key, np.int32))
                self.counts.append(0)
                self.answers.append([])
            self.counts[place] = max(self.counts[place], len(continuation))
            self.answers[place].append((number, continuation))

    def asked(self, row: Row) -> tuple[Ints, Ints, Ints]:
        """For each scored token of a row's requests: its place among the row's scored positions, itself, the request."""
        places: list[Ints] = []
        targets: list[int] = []
        owners: list[int] = []
        end = 0
        for leaf in row.leaves:
            end += self.counts[leaf.sequence]
            for number, continuation in self.answers[leaf.sequence]:
                places.append(np.arange(end - len(continuation), end))
                targets.extend(continuation)
                owners.extend([number] * len(continuation))
        return np.concatenate(places), np.array(targets), np.array(owners)


def _probe(vocabulary: int) -> tuple[list[Tokens], list[int], list[Tokens]]:
    """Sequences with what requests have: two prefixes, questions, options; and the same with other tokens before them."""
    generator = np.random.default_rng(0)

    def some(length: int) -> list[int]:
        numbers: list[int] = generator.integers(0, vocabulary, length).tolist()
        return numbers

    sequences: list[list[int]] = []
    counts: list[int] = []
    for shots in (30, 20):
        before, question = some(shots), some(12)
        for rest, count in ((some(5), 1), (some(11), 2), ([*question, *some(3)], 3), ([*question, *some(4)], 4)):
            sequences.append([*before, *rest])
            counts.append(count)
    others = [[*some(20), *tokens[20:]] for tokens in sequences]
    return [np.array(item, np.int32) for item in sequences], counts, [np.array(item, np.int32) for item in others]
