"""The lm_eval model ``hf-shared-prefix``: lm_eval's own ``hf``, with each shared prefix computed once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from consistency.shared_prefix.answer_cache import check_owner
from consistency.shared_prefix.attention import Carried, to_device
from consistency.shared_prefix.compatibility import NOT_CAUSAL, longest_served, why_unsupported
from consistency.shared_prefix.forward import LONGEST_PASS, Forward
from consistency.shared_prefix.passes import Row, Unit, end_of_pass, lay_out, units_of
from consistency.shared_prefix.pieces import Pair, Pieces, Verification, portions
from consistency.shared_prefix.requests import Encoded, Requests
from consistency.shared_prefix.truncation import CountsTruncation
from consistency.support.arrays import Integers
from consistency.support.memory import gc_of_new_objects

# Below lm_eval's own logger, so that it is shown where lm_eval's lines are.
logger = logging.getLogger("lm_eval.models.hf_shared_prefix")

Answer = tuple[float, bool]
# Why requests are left to hf.
EMPTY = "an answer to the same prompt has no token of its own, since the tokenizer joins it with the prompt: it counts as certain"
# The most tokens of the first pass; each may be twice as long as the one before. A device begins once a pass is full.
FIRST_PASS = 16384

# So many texts are encoded at a time: parts of the next ones in a thread, beside what is put together.
ENCODED = 100

# Numbers of requests, their tokens, and whether those since the last such block are to be searched for what they share.
_Block = tuple[Sequence[int], Sequence[Encoded], bool]
# The places of requests in a block, and their strings; and what encodes them.
_Asked = tuple[list[int], list[tuple[str, str]]]
_Begun = tuple[Pieces, _Asked, Callable[[], list[Pair]] | None]


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
            answers = self._encoded_by_part(requests, disable_tqdm, verification)
            if verification.is_equal():
                return answers
        logger.warning("this tokenizer joins lines: the prompts are encoded and scored again, as hf encodes them")
        return self._encoded_by_part(requests, disable_tqdm, None)

    def _encoded_by_part(
        self, requests: list[Any], disable_tqdm: bool, verification: Verification | None
    ) -> list[Answer]:
        left: list[int] = []
        answers = self._scored(self._blocks(requests, verification, left), len(requests), disable_tqdm)
        self.share_counts()
        if left:
            found = super().loglikelihood([requests[number] for number in left], disable_tqdm=disable_tqdm)
            answers.update(zip(left, found, strict=True))
        return [answers[number] for number in range(len(requests))]

    def _blocks(self, requests: Sequence[Any], verification: Verification | None, left: list[int]) -> Iterator[_Block]:
        """The numbers of requests, and their tokens, block by block.

        Numbers of those that lm_eval has to encode by itself are added to `left`.
        """
        # A string that starts with BOS gets no second one.
        usual = {} if self.add_bos_token is None else {"add_special_tokens": self.add_bos_token}
        kinds = [Pieces(self.tokenizer, special) for special in (usual, {"add_special_tokens": False})]
        begin = self.tokenizer.decode(self.prefix_token_id)
        by_part, compared = verification is not None, set()
        by_context: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            by_context.setdefault(request.args[0], []).append(number)
        contexts = [context for context in by_context if context]
        left += by_context.get("", [])

        def begun() -> Iterator[tuple[list[int], list[tuple[str, str]], bool, list[_Begun]]]:
            for portion in portions(contexts):
                for first in range(0, len(portion), ENCODED):
                    part = portion[first : first + ENCODED]
                    places = [number for place in part for number in by_context[contexts[place]]]
                    block = [requests[number].args for number in places]
                    asked = [item for item in zip(kinds, _by_beginning(block, begin), strict=True) if item[1][0]]
                    pairs = [(*item, item[0].begun_pairs(item[1][1]) if by_part else None) for item in asked]
                    yield places, block, first + ENCODED >= len(portion), pairs

        # Of each block the parts are encoded in a thread while the one before is put together.
        for (places, block, is_last, asked), _ in pairwise(chain(begun(), [([], [], True, [])])):
            numbers: list[int] = []
            encoded: list[Encoded] = []
            for pieces, (those, texts), by_parts in asked:
                pairs = by_parts() if by_part and by_parts else pieces.whole_pairs(texts)
                if pieces not in compared:
                    if by_part and not pieces.is_equal(texts, pairs):
                        by_part = False
                        pairs = pieces.whole_pairs(texts)
                    if (pairs[0][0].tolist(), pairs[0][1]) != self._encode_pair(*texts[0]):
                        # This release of lm_eval encodes differently: let it encode each string itself.
                        continue
                    compared.add(pieces)
                if verification and by_part and not pieces.is_proven:
                    verification.add(pieces, texts, pairs)
                numbers += [places[place] for place in those]
                encoded += [(block[place], *pair) for place, pair in zip(those, pairs, strict=True)]
            if len(numbers) < len(places):
                left += sorted(set(places).difference(numbers))
            if numbers:
                self.count_scored([requests[number] for number in numbers], encoded)
            yield numbers, encoded, is_last

    # Scoring

    def _loglikelihood_tokens(
        self, requests: Sequence[Encoded], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[Answer]:
        self.count_asked(requests)
        if override_bs is not None or not requests:
            return self._as_hf(requests, disable_tqdm, override_bs)
        numbers = range(len(requests))
        answers = self._scored([(numbers, requests, True)], len(requests), disable_tqdm)
        return [answers[number] for number in numbers]

    def _scored(self, blocks: Iterable[_Block], total: int, disable_tqdm: bool) -> dict[int, Answer]:
        """The answers to the requests of all blocks, by their numbers."""
        answers: dict[int, Answer] = {}
        if not total:
            return answers
        # Found by a trial that needs the model's own attention.
        reason = self.why_unsupported
        # Each collection would visit the tokens of all requests.
        with (
            gc_of_new_objects(),
            tqdm(total=total, disable=disable_tqdm or self.rank != 0, desc="Shared prefixes") as bar,
        ):
            work = _Work(Requests([], self.max_length))
            for scores in self._score_units(self._units(blocks, work, reason), work.batch):
                scored = scores.read()
                for number, answer in scored:
                    answers[number] = answer
                    if work.encoded[number][0] is not None:
                        self.cache_hook.add_partial("loglikelihood", work.encoded[number][0], answer)
                bar.total = total - sum(map(len, work.own.values()))
                # Once a pass: a bar that moves with each answer is drawn at the first of a pass and lags behind by the others.
                bar.update(len(scored))
        alone = work.own.get(None, [])
        if answers or alone:
            logger.info(
                "%d requests stand behind %d shared prefixes: %d tokens were computed instead of %d; %d share nothing and "
                "take lm_eval's own path",
                len(answers),
                work.trees,
                work.computed,
                work.read,
                len(alone),
            )
        for reason, numbers in work.own.items():
            if reason is not None:
                logger.warning("%d requests take lm_eval's own path: %s", len(numbers), reason)
            requests = [work.encoded[number] for number in numbers]
            found = self._as_hf(requests, disable_tqdm, self._lone_batch(requests))
            answers.update(zip(numbers, found, strict=True))
        return answers

    def _units(self, blocks: Iterable[_Block], work: _Work, reason: str | None) -> Iterator[list[Unit]]:
        """The units of requests that were searched together; none if there is a reason why the model cannot share prefixes."""
        # Asking for it takes a while.
        longest, batch = int(self.max_length), work.batch
        waiting: list[int] = []
        for numbers, requests, is_last in blocks:
            work.encoded.update(zip(numbers, requests, strict=True))
            if reason is not None:
                work.own.setdefault(reason, []).extend(numbers)
                continue
            waiting += numbers
            if not is_last or not waiting:
                continue
            waiting = self._without_empty(waiting, work)
            asked = [work.encoded[number] for number in waiting]
            lengths = [min(len(context) + len(answer) - 1, longest) for _, context, answer in asked]
            served = self._longest_served(max(lengths, default=0))
            near = [number for number, length in zip(waiting, lengths, strict=True) if length <= served]
            if len(near) < len(waiting):
                work.own.setdefault(self._served[1], []).extend(sorted(set(waiting).difference(near)))
            first = len(batch.sequences)
            batch.add(near, [work.encoded[number] for number in near])
            forest = batch.forest(first)
            trees = [tree for tree in forest if tree.children]
            units = units_of(trees, LONGEST_PASS[self.device.type])
            alone = [number for tree in forest if not tree.children for number, _ in batch.answers[tree.sequence]]
            if alone:
                work.own.setdefault(None, []).extend(alone)
            work.trees += len(trees)
            work.computed += sum(map(len, units)) + sum(map(len, trees))
            work.read += sum(len(batch.sequences[leaf.sequence]) for unit in units for leaf in unit.leaves)
            waiting = []
            yield units

    def _without_empty(self, numbers: list[int], work: _Work) -> list[int]:
        """The requests, but for answers of no token, and those that `hf` takes with them since they read the same tokens."""
        if all(len(work.encoded[number][2]) for number in numbers):
            return numbers
        texts = {number: (*work.encoded[number][1], *work.encoded[number][2][:-1]) for number in numbers}
        empty = {texts[number] for number in numbers if not len(work.encoded[number][2])}
        work.own.setdefault(EMPTY, []).extend(number for number in numbers if texts[number] in empty)
        return [number for number in numbers if texts[number] not in empty]

    def _longest_served(self, length: int) -> int:
        """The most tokens of a prompt that can share prefixes, shown up to this length."""
        shown, reason = self._served
        if reason is None and length > shown:
            # Of later prompts some may be a little longer.
            self._served = longest_served(self.forward, min(length + length // 8, int(self.max_length)))
        return self._served[0]

    def _as_hf(self, requests: Sequence[Encoded], disable_tqdm: bool, batch: int | None) -> list[Answer]:
        # Its own code counts on lists.
        listed = [(strings, np.asarray(context).tolist(), answer) for strings, context, answer in requests]
        answers: list[Answer] = super()._loglikelihood_tokens(listed, disable_tqdm=disable_tqdm, override_bs=batch)
        return answers

    def _lone_batch(self, requests: Sequence[Encoded]) -> int | None:
        # lm_eval's search for a batch size waits for all processes, and the others may have nothing to search for.
        if self.world_size == 1 or self.batch_size != "auto":
            return None
        return self._batch_of(max(len(context) + len(answer) for _, context, answer in requests))

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

    def _score_units(self, found: Iterator[list[Unit]], batch: Requests) -> Iterator[_Scores]:
        tokens, positions = self.forward.budget()
        begin = FIRST_PASS
        units: list[Unit] = []
        carried: Carried = {}
        waiting: _Scores | None = None
        first = 0
        with self.forward.prefix_attention():
            while True:
                most = min(tokens, begin)
                last = end_of_pass(units, first, batch.counts, most, positions)
                while last == len(units) and (more := next(found, None)) is not None:
                    units += more
                    last = end_of_pass(units, first, batch.counts, most, positions)
                if first == last:
                    break
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
                first, carried, begin = last, kept, 2 * begin
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


def _by_beginning(requests: Sequence[tuple[str, str]], begin: str) -> tuple[_Asked, _Asked]:
    """The requests that do not begin with a text, and those that do: their places, and their strings as lm_eval cuts them.

    Those of which only the context with its continuation begins with it are in neither.
    """
    found: tuple[_Asked, _Asked] = (([], []), ([], []))
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
    return found


@dataclass
class _Work:
    """The requests that were encoded so far, and what became of them.

    Parameters
    ----------
    batch : Requests
        Those that are computed here.

    Attributes
    ----------
    encoded : dict of int to Encoded
        All, by their numbers.
    own : dict of str or None to list of int
        The numbers of those that take lm_eval's own path, by the reason; None for those that share nothing.
    trees, computed, read : int
        Of those that are computed here: how many prefixes they share, how many tokens are computed, and how many they have.
    """

    batch: Requests
    encoded: dict[int, Encoded] = field(default_factory=dict)
    own: dict[str | None, list[int]] = field(default_factory=dict)
    trees: int = 0
    computed: int = 0
    read: int = 0


class _Scores:
    """The logprobs of a pass, on their way from the model's device until they are read.

    Parameters
    ----------
    owners : int64 array [tokens]
        The request of each scored token; the tokens of a request are consecutive.
    values, greedy : Tensor [tokens]
        Logprob of each, and whether it is the most probable.
    """

    def __init__(self, owners: Integers, values: torch.Tensor, greedy: torch.Tensor) -> None:
        self.owners = owners
        # A copy that is asked for later would wait for the passes in between.
        self._found = torch.stack([values.double(), greedy.double()]).to("cpu", non_blocking=True)
        self._copied = torch.cuda.current_stream(values.device).record_event() if values.is_cuda else None

    def read(self) -> list[tuple[int, Answer]]:
        """For each request its number, the sum of its logprobs, and whether all its tokens are the most probable."""
        starts = np.flatnonzero(np.r_[True, self.owners[1:] != self.owners[:-1]])
        if self._copied is not None:
            self._copied.synchronize()
        values, are_greedy = self._found.numpy()
        sums = np.add.reduceat(values, starts).tolist()
        greedy = np.logical_and.reduceat(are_greedy > 0, starts).tolist()
        return list(zip(self.owners[starts].tolist(), zip(sums, greedy, strict=True), strict=True))
