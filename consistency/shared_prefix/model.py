"""The lm_eval model ``hf-shared-prefix``: lm_eval's own ``hf``, with each shared prefix computed once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from consistency.shared_prefix.answer_cache import check_owner
from consistency.shared_prefix.attention import Carried
from consistency.shared_prefix.compatibility import NOT_CAUSAL, longest_served, why_unsupported
from consistency.shared_prefix.forward import LONGEST_PASS, Forward, to_device
from consistency.shared_prefix.passes import Row, Unit, end_of_pass, lay_out, units_of
from consistency.shared_prefix.pieces import Pair, Pieces, Verification
from consistency.shared_prefix.requests import Encoded, Requests
from consistency.shared_prefix.truncation import CountsTruncation
from consistency.support.arrays import Integers
from consistency.support.memory import gc_disabled, gc_of_new_objects

# Below lm_eval's own logger, so that it is shown where lm_eval's lines are.
logger = logging.getLogger("lm_eval.models.hf_shared_prefix")

Answer = tuple[float, bool]
# A request's strings and its tokens; None where lm_eval is to encode it.
_Ahead = tuple[tuple[str, str], Pair | None]

# Requests that are encoded at a time.
BLOCK = 8000


@register_model("hf-shared-prefix")
class SharedPrefixLM(CountsTruncation, HFLM):  # type: ignore[misc]  # lm_eval has no types
    """lm_eval's ``hf`` model, with the tokens that prompts share computed once.

    Loglikelihood requests are grouped by the tokens that they share: few-shot examples, then a question. Requests that
    share nothing, generation, rolling loglikelihoods, and models whose attention is not plain causal attention (full or
    in a sliding window) take lm_eval's own path; so do prompts that are longer than what was shown to be equal, as where
    a window is in the mask alone. The log says how many and why.

    Parameters
    ----------
    *args, **kwargs
        Those of ``hf``. `batch_size` holds for lm_eval's own path only; passes are sized by free memory.
    pass_tokens : int, optional
        The most tokens in a forward pass. Default: by free memory.

    Notes
    -----
    Without `softmax_dtype`, logprobs are taken in float32, whereas ``hf`` takes them in the model's type.

    Examples
    --------
    >>> import lm_eval, consistency.shared_prefix.model  # doctest: +SKIP
    >>> lm_eval.simple_evaluate("hf-shared-prefix", "pretrained=gpt2", tasks=["arc_easy"])  # doctest: +SKIP
    """

    def __init__(self, *args: Any, pass_tokens: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.forward = Forward(
            self.model,
            self.device,
            softmax_dtype=self.softmax_dtype,
            mixed_precision_dtype=self.mixed_precision_dtype,
            pass_tokens=pass_tokens,
        )
        self._served: tuple[int, str | None] = (0, None)
        self._ahead: Iterator[_Ahead] = iter(())

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Take a cache of answers, as in lm_eval, but none of another checkpoint."""
        check_owner(self, cache_hook.dbdict)
        super().set_cache_hook(cache_hook)

    # Tokens

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Answer]:
        """Log-probabilities of continuations, as in lm_eval; strings are encoded many at a time, and each line once."""
        # Tokenizers that are not transformers' own, such as mistral-common's, do not say whether they are fast.
        fast = getattr(self.tokenizer, "is_fast", False)
        if not fast:
            logger.info("%s is not a fast tokenizer: each text is encoded as hf does", type(self.tokenizer).__name__)
        if not (fast and self.backend == "causal"):
            answers: list[Answer] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
            return answers
        with Verification() as verification:
            answers = self._encoded_ahead(requests, disable_tqdm, verification)
            if verification.is_equal():
                return answers
        logger.warning("this tokenizer joins lines: the prompts are encoded and scored again, as hf encodes them")
        return self._encoded_ahead(requests, disable_tqdm, None)

    def _encoded_ahead(
        self, requests: list[Any], disable_tqdm: bool, verification: Verification | None
    ) -> list[Answer]:
        # Each collection would visit the documents and strings of all requests.
        with gc_of_new_objects():
            with gc_disabled():
                asked = [request.args for request in requests]
                ahead = [*self._encode_ahead([strings for strings in asked if strings[0]], verification)]
                pairs = [pair for _, pair in ahead if pair is not None]
            answers: list[Answer]
            if len(pairs) == len(asked):
                self._asked = requests
                encoded = [(strings, *pair) for strings, pair in zip(asked, pairs, strict=True)]
                return self._loglikelihood_tokens(encoded, disable_tqdm=disable_tqdm)
            self._ahead = iter(ahead)
            try:
                answers = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
            finally:
                self._ahead = iter(())
            return answers

    def _encode_pair(self, context: str, continuation: str) -> Pair:
        """The tokens of a context and a continuation, as in lm_eval; from those encoded ahead where they have it."""
        asked, found = next(self._ahead, (None, None))
        if found is not None and asked == (context, continuation):
            return found
        encoded: Pair = super()._encode_pair(context, continuation)
        return encoded

    def _encode_ahead(self, requests: Sequence[tuple[str, str]], verification: Verification | None) -> Iterator[_Ahead]:
        """The tokens of requests in their order, encoded many at a time."""
        # A string that starts with BOS gets no second one.
        usual = {} if self.add_bos_token is None else {"add_special_tokens": self.add_bos_token}
        kinds = [Pieces(self.tokenizer, special) for special in (usual, {"add_special_tokens": False})]
        begin = self.tokenizer.decode(self.prefix_token_id)
        by_part, compared = verification is not None, set()
        for first in range(0, len(requests), BLOCK):
            block = requests[first : first + BLOCK]
            found: list[Pair | None] = [None] * len(block)
            for pieces, (places, asked) in zip(kinds, _by_beginning(block, begin), strict=True):
                if not places:
                    continue
                pairs = pieces.pairs(asked) if by_part else pieces.whole_pairs(asked)
                if by_part and not pieces.is_equal(asked, pairs):
                    by_part = False
                    pairs = pieces.whole_pairs(asked)
                if pieces not in compared and (pairs[0][0].tolist(), pairs[0][1]) != super()._encode_pair(*asked[0]):
                    # This release of lm_eval encodes differently: let it encode each string itself.
                    return
                compared.add(pieces)
                if verification and by_part and not pieces.is_proven:
                    verification.add(pieces, asked, pairs)
                for place, pair in zip(places, pairs, strict=True):
                    found[place] = pair
            if verification and first + BLOCK >= len(requests):
                verification.start()
            yield from zip(block, found, strict=True)

    # Scoring

    def _loglikelihood_tokens(
        self, requests: Sequence[Encoded], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[Answer]:
        self.count_scored(requests)
        if override_bs is not None or not requests:
            return self._as_hf(requests, disable_tqdm, override_bs)
        reason = self.why_unsupported
        if reason is not None:
            logger.warning("%d requests take lm_eval's own path: %s", len(requests), reason)
            return self._as_hf(requests, disable_tqdm, None)
        # Asking for it takes a while.
        longest = int(self.max_length)
        lengths = [min(len(context) + len(answer) - 1, longest) for _, context, answer in requests]
        served = self._longest_served(max(lengths))
        apart = [number for number, length in enumerate(lengths) if length > served]
        if apart:
            logger.warning("%d requests take lm_eval's own path: %s", len(apart), self._served[1])
            return self._in_two_parts(requests, apart, disable_tqdm)
        return self._share_prefixes(requests, disable_tqdm)

    def _share_prefixes(self, requests: Sequence[Encoded], disable_tqdm: bool) -> list[Answer]:
        with gc_disabled():
            batch = Requests(requests, self.max_length)
            forest = batch.forest()
            units = units_of((tree for tree in forest if tree.children), LONGEST_PASS[self.device.type])
        alone = [number for tree in forest if not tree.children for number, _ in batch.answers[tree.sequence]]
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
        with (
            # Each collection would visit the tokens of all requests.
            gc_of_new_objects(),
            tqdm(
                total=len(requests) - len(alone), disable=disable_tqdm or self.rank != 0, desc="Shared prefixes"
            ) as bar,
        ):
            for scores in self._score_units(units, batch):
                scored = scores.read()
                for number, answer in scored:
                    answers[number] = answer
                    if requests[number][0] is not None:
                        self.cache_hook.add_partial("loglikelihood", requests[number][0], answer)
                # Once a pass: a bar that moves with each answer is drawn at the first of a pass and lags behind by the others.
                bar.update(len(scored))
        return [answers[number] for number in range(len(requests))]

    def _longest_served(self, length: int) -> int:
        """The most tokens of a prompt that can share prefixes, shown up to this length."""
        shown, reason = self._served
        if reason is None and length > shown:
            self._served = longest_served(self.forward, length)
        return self._served[0]

    def _in_two_parts(self, requests: Sequence[Encoded], apart: Sequence[int], disable_tqdm: bool) -> list[Answer]:
        """The answers where some requests have to take lm_eval's own path."""
        far = set(apart)
        near = [number for number in range(len(requests)) if number not in far]
        answers: dict[int, Answer] = {}
        found = self._as_hf([requests[number] for number in apart], disable_tqdm, self._lone_batch(requests, apart))
        answers.update(zip(apart, found, strict=True))
        found = self._share_prefixes([requests[number] for number in near], disable_tqdm)
        answers.update(zip(near, found, strict=True))
        return [answers[number] for number in range(len(requests))]

    def _as_hf(self, requests: Sequence[Encoded], disable_tqdm: bool, batch: int | None) -> list[Answer]:
        # Its own code counts on lists.
        listed = [(strings, np.asarray(context).tolist(), answer) for strings, context, answer in requests]
        answers: list[Answer] = super()._loglikelihood_tokens(listed, disable_tqdm=disable_tqdm, override_bs=batch)
        return answers

    def _lone_batch(self, requests: Sequence[Encoded], alone: Sequence[int]) -> int | None:
        # lm_eval's search for a batch size waits for all processes, and the others may have nothing to search for.
        if self.world_size == 1 or self.batch_size != "auto":
            return None
        return self._batch_of(max(len(requests[number][1]) + len(requests[number][2]) for number in alone))

    def _detect_batch_size(self, requests: Sequence[Encoded] | None = None, pos: int = 0) -> int:
        """The batch size of ``auto`` on lm_eval's own path.

        Lm_eval computes larger and smaller batches until one fits. A CPU is no faster with a large one, and where memory
        runs out the system kills the process: there the size follows from that of the logits.
        """
        if self.device.type == "cuda":
            found: int = super()._detect_batch_size(requests, pos)
            return found
        longest = len(requests[pos][1]) + len(requests[pos][2]) if requests else int(self.max_length)
        return min(self._batch_of(longest), int(self.max_batch_size))

    def _batch_of(self, longest: int) -> int:
        """How many prompts of so many tokens a pass of free memory holds."""
        return max(1, self.forward.budget()[1] // min(longest, int(self.max_length)))

    def _score_units(self, units: Sequence[Unit], batch: Requests) -> Iterator[_Scores]:
        tokens, positions = self.forward.budget()
        carried: Carried = {}
        waiting: _Scores | None = None
        first = 0
        with self.forward.prefix_attention():
            while first < len(units):
                last = end_of_pass(units, first, batch.counts, tokens, positions)
                row = lay_out(units, first, last, batch.sequences)
                scores, kept = self._try_pass(row, carried, batch)
                if scores is None:
                    if last - first == 1:
                        raise torch.OutOfMemoryError(
                            f"no memory for one question of {len(row.tokens)} tokens: use a shorter type, or another device"
                        )
                    scored = sum(batch.counts[leaf.sequence] for leaf in row.leaves)
                    tokens, positions = len(row.tokens) // 2, max(1, scored // 2)
                    logger.warning("out of memory: passes of at most %d tokens from here", tokens)
                    if self.device.type == "cuda":
                        torch.cuda.empty_cache()
                    continue
                # The answers of a pass are read once the next pass has started, so that the device never waits.
                if waiting is not None:
                    yield waiting
                waiting = scores
                first, carried = last, kept
        if waiting is not None:
            yield waiting

    def _try_pass(self, row: Row, carried: Carried, batch: Requests) -> tuple[_Scores | None, Carried]:
        """The scores of one pass, None if memory ran out, and what it leaves for the next one."""
        places, targets, owners = batch.scored_tokens(row)
        try:
            logprobs, current = self.forward.logprobs(row, carried, batch.counts)
            at, chosen = (to_device(logprobs.device, item) for item in (places, targets))
            return _Scores(owners, logprobs[at, chosen], logprobs.argmax(-1)[at] == chosen), current.kept
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                return None, carried
            raise

    @cached_property
    def why_unsupported(self) -> str | None:
        """Why this model cannot share prefixes, or None if it can; found once, by a trial on a few tokens."""
        return why_unsupported(self.forward, self._model_call) if self.backend == "causal" else NOT_CAUSAL


def _by_beginning(
    requests: Sequence[tuple[str, str]], begin: str
) -> tuple[tuple[list[int], list[tuple[str, str]]], tuple[list[int], list[tuple[str, str]]]]:
    """The requests that do not begin with a text, and those that do: their places, and their strings as lm_eval cuts them.

    Those of which only the context with its continuation begins with it are in neither.
    """
    found: tuple[tuple[list[int], list[tuple[str, str]]], ...] = (([], []), ([], []))
    last, context, space, begins, is_short = None, "", "", False, False
    for place, (asked, answer) in enumerate(requests):
        if asked is not last:
            # Space at the end of a context belongs to the continuation.
            last, context = asked, asked.rstrip()
            space = asked[len(context) :]
            begins, is_short = context.startswith(begin), begin.startswith(context)
        after = space + answer if space else answer
        if context and (begins or not (is_short and (context + after).startswith(begin))):
            places, texts = found[begins]
            places.append(place)
            texts.append((context, after))
    return found[0], found[1]


class _Scores:
    """The logprobs of a pass, on the model's device until they are read.

    Parameters
    ----------
    owners : int64 array [tokens]
        The request of each scored token; the tokens of a request are consecutive.
    values, greedy : Tensor [tokens]
        Logprob of each, and whether it is the most probable.
    """

    def __init__(self, owners: Integers, values: torch.Tensor, greedy: torch.Tensor) -> None:
        self.owners, self.values, self.greedy = owners, values, greedy

    def read(self) -> list[tuple[int, Answer]]:
        """For each request its number, the sum of its logprobs, and whether all its tokens are the most probable."""
        starts = np.flatnonzero(np.r_[True, self.owners[1:] != self.owners[:-1]])
        sums = np.add.reduceat(self.values.double().cpu().numpy(), starts).tolist()
        greedy = np.logical_and.reduceat(self.greedy.cpu().numpy(), starts).tolist()
        return list(zip(self.owners[starts].tolist(), zip(sums, greedy, strict=True), strict=True))
