"""Prompts that are longer than what a model reads: counted by task, said in one line, and recorded in the log."""

from __future__ import annotations

import logging
import pickle
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from lm_eval.api.model import hash_args
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from consistency.errors import InputError
from consistency.shared_prefix.prefixes import Tokens
from consistency.shared_prefix.requests import Encoded
from consistency.support.text import shortened

logger = logging.getLogger("lm_eval.models.truncation")

# The name of the record, in the `config` of a results file and in a cache of answers.
RECORD = "truncated_prompts"
# In so many prompts of a task the few-shot examples are looked for.
LOOKED_AT = 50


@dataclass
class _OfTask:
    """The prompts of one task.

    Attributes
    ----------
    prompts : set of object
        Which there are, by the number of their document.
    lost : dict of object to int
        How many tokens were cut from each that was cut.
    limit : int
        The most tokens that the model reads of a prompt, with its answer where that is scored.
    shots : int
        The few-shot examples of a prompt; 0 where it is not known where they begin.
    shots_lost : int
        The most that one prompt lost, in part or whole.
    """

    prompts: set[Any] = field(default_factory=set)
    lost: dict[Any, int] = field(default_factory=dict)
    limit: int = 0
    shots: int = 0
    shots_lost: int = 0

    def join(self, other: _OfTask) -> None:
        """Count what another process found, too."""
        self.prompts |= other.prompts
        self.lost |= other.lost
        for name in ("limit", "shots", "shots_lost"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


class Truncation:
    """Which prompts of an evaluation were cut at the left.

    Parameters
    ----------
    tasks : mapping of str to lm_eval's tasks
        Those that are evaluated, as far as they are known: they tell where few-shot examples begin.
    """

    def __init__(self, tasks: Mapping[str, Any]) -> None:
        self.tasks = tasks
        self._found: dict[str, _OfTask] = defaultdict(_OfTask)
        self._said = ""

    def add(self, request: Any, lost: int, limit: int, shots: tuple[int, int] = (0, 0)) -> None:
        """Count a request that lost so many tokens, and of its few-shot examples so many of so many."""
        found = self._found[getattr(request, "task_name", None) or ""]
        document = getattr(request, "doc_id", None)
        prompt = request.args[0] if document is None else document
        found.prompts.add(prompt)
        if lost > 0:
            found.lost[prompt] = max(lost, found.lost.get(prompt, 0))
            found.limit = limit
            found.shots, found.shots_lost = max(found.shots, shots[1]), max(found.shots_lost, shots[0])

    def to_bytes(self) -> bytes:
        """What was counted, for `join`."""
        return pickle.dumps(dict(self._found))

    def join(self, counted: bytes) -> None:
        """Count what another process of the same evaluation found, too."""
        for name, found in pickle.loads(counted).items():
            self._found[name].join(found)

    def shots_of(self, request: Any, kept: str) -> tuple[int, int]:
        """How many few-shot examples of a cut prompt are no longer whole, and how many it had; 0, 0 where that is unknown."""
        name = getattr(request, "task_name", None) or ""
        found = self._found.get(name)
        if name not in self.tasks or (found and len(found.lost) >= LOOKED_AT):
            return 0, 0
        context = request.args[0]
        begins = shot_starts(self.tasks[name], request.doc, context)
        return sum(start < len(context) - len(kept) for start in begins), len(begins)

    def say(self) -> None:
        """Log one line if prompts were cut that have not been named yet."""
        cut = {name: found for name, found in self._found.items() if found.lost}
        if not cut:
            return
        prompts = sum(len(found.prompts) for found in self._found.values())
        line = (
            f"{sum(len(found.lost) for found in cut.values()):,} of {prompts:,} prompts are longer than the "
            f"{_range(found.limit for found in cut.values())} tokens that the model reads, and lose their beginning: up to "
            f"{max(max(found.lost.values()) for found in cut.values()):,} tokens"
        )
        shots = [found for found in cut.values() if found.shots]
        if shots:
            most = max(shots, key=lambda found: found.shots_lost)
            line += f", up to {most.shots_lost} of {most.shots} few-shot examples"
        names = [name for name in cut if name]
        line += f" (in {shortened(names)})" if names else ""
        if line != self._said:
            logger.warning(line)
            self._said = line

    def to_dict(self) -> dict[str, Any]:
        """The record for the log, by task.

        `prompts` and how many were `cut`; if any, at which `limit`, and the most that one lost, in `tokens` and in
        `few_shot_lost` of its `few_shot` examples.
        """
        record: dict[str, Any] = {}
        for name, found in self._found.items():
            record[name] = {"prompts": len(found.prompts), "cut": len(found.lost)}
            if found.lost:
                record[name] |= {"limit": found.limit, "tokens": max(found.lost.values())}
            if found.shots:
                record[name] |= {"few_shot": found.shots, "few_shot_lost": found.shots_lost}
        return record


def shot_starts(task: Any, document: Any, context: str) -> list[int]:
    """Where the few-shot examples of a prompt begin, as places in its text.

    Parameters
    ----------
    task : lm_eval's task
    document : object
        The document that is asked.
    context : str
        The prompt.

    Returns
    -------
    list of int
        In order; empty where there are none, or not all are found.
    """
    count = task.config.num_fewshot or 0
    examples = getattr(getattr(task, "sampler", None), "df", None)
    if not count or not examples:
        return []
    own = task.doc_to_text(document)
    texts = {task.doc_to_text(example, task.fewshot_cfg.doc_to_text) for example in examples}
    if not all(isinstance(text, str) and text.strip() for text in (own, *texts)):
        return []
    end = context.rfind(own.strip())
    spans = [(context.find(text.strip(), 0, end), len(text.strip())) for text in texts if end > 0]
    taken: list[tuple[int, int]] = []
    # A short question may be a part of another.
    for start, length in sorted((span for span in spans if span[0] >= 0), key=lambda span: -span[1]):
        if all(start + length <= other or other + size <= start for other, size in taken):
            taken.append((start, length))
    return sorted(start for start, _ in taken) if len(taken) == count else []


class CountsTruncation(HFLM):  # type: ignore[misc]  # lm_eval has no types
    """lm_eval's `hf`, which counts the prompts that it cuts.

    Attributes
    ----------
    evaluated : mapping of str to lm_eval's tasks
        The tasks that are evaluated, where that is known.
    """

    evaluated: Mapping[str, Any] = MappingProxyType({})
    _asked: Sequence[Any] = ()

    @cached_property
    def cut_prompts(self) -> Truncation:
        """The prompts that were cut so far."""
        return Truncation(self.evaluated)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
        """Log-probabilities of continuations, as in lm_eval."""
        self._asked = requests
        try:
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        finally:
            self._asked = ()

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None) -> Any:
        self.count_asked(requests)
        return super()._loglikelihood_tokens(requests, disable_tqdm=disable_tqdm, override_bs=override_bs)

    def count_asked(self, encoded: Sequence[Encoded]) -> None:
        """Count the prompts of all requests that are being answered, and say which were cut."""
        asked, self._asked = self._asked, ()
        if encoded and len(asked) == len(encoded):
            self.count_scored(asked, encoded)
            self.share_counts()

    def count_scored(self, asked: Sequence[Any], encoded: Sequence[Encoded]) -> None:
        """Count the prompts of some requests.

        Parameters
        ----------
        asked : sequence of lm_eval's requests
        encoded : sequence of (strings, context tokens, continuation tokens)
            Their tokens.

        Raises
        ------
        InputError
            If an answer alone is longer than what the model reads, or has no token and `hf` refuses it.
        """
        limit = int(self.max_length)
        causal = self.backend == "causal"
        # What the tokenizer joins with the end of the context. To hf it is certain, beside one that reads the same tokens, if
        # it computes these once.
        if empty := [number for number, item in enumerate(encoded) if not len(item[2])]:
            is_once = causal and self.logits_cache
            read = {(*context, *answer[:-1]) for _, context, answer in encoded if is_once and len(answer)}
            alone = [asked[number] for number in empty if tuple(encoded[number][1]) not in read]
            if alone:
                raise InputError(
                    f"an answer without a token of its own ({_place(alone[0])}): {alone[0].args[1]!r:.60}",
                    expected="answers that the tokenizer does not join with the prompt",
                    do="change the answer, or leave the question out",
                )
        longest = max(range(len(encoded)), key=lambda number: len(encoded[number][2]))
        if len(encoded[longest][2]) > limit:
            raise InputError(
                f"an answer of {len(encoded[longest][2]):,} tokens ({_place(asked[longest])}), where the model reads {limit:,}",
                do="give a larger max_length if the model allows it, or leave the question out",
            )
        self._count(
            "loglikelihood",
            limit,
            (
                # The last token of an answer is not read.
                (request, context, len(context) + len(answer) - 1 if causal else len(context))
                for request, (_, context, answer) in zip(asked, encoded, strict=True)
            ),
        )

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
        """Generated texts, as in lm_eval."""
        encoded = {context: self.tok_encode(context) for context in {request.args[0] for request in requests}}
        # With `truncation` the tokenizer cuts the end of a prompt, before hf cuts its beginning.
        most = self.tokenizer.model_max_length if self.truncation else max(map(len, encoded.values()), default=0)
        if ends := sum(len(ids) > most for ids in encoded.values()):
            logger.warning(
                "truncation=True: %d of %d prompts lose their end, behind the %d tokens of the tokenizer's model_max_length",
                ends,
                len(encoded),
                most,
            )
        by_limit: dict[int, list[tuple[Any, list[int], int]]] = {}
        for request in requests:
            context, generation = request.args
            limit = int(self.max_length)
            if self.backend == "causal":
                limit -= normalize_gen_kwargs(generation, self.max_gen_toks)["max_gen_toks"]
            if limit <= 0:
                raise InputError(
                    f"{self.max_length - limit:,} tokens to generate ({_place(request)}), where the model reads "
                    f"{self.max_length:,} with its prompt",
                    do="give a smaller max_gen_toks with --gen_kwargs",
                )
            by_limit.setdefault(limit, []).append((request, encoded[context], min(len(encoded[context]), most)))
        for limit, counted in by_limit.items():
            self._count("generate_until", limit, counted)
        self.share_counts()
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def _count(self, kind: str, limit: int, requests: Iterable[tuple[Any, Sequence[int] | Tokens, int]]) -> None:
        cut: dict[str, tuple[int, int, tuple[int, int]]] = {}
        for request, context, length in requests:
            lost, shots = max(0, length - limit), (0, 0)
            if lost:
                shots = self.cut_prompts.shots_of(request, self.tokenizer.decode(list(context[lost:])))
                cut[hash_args(kind, request.args)] = lost, limit, shots
            self.cut_prompts.add(request, lost, limit, shots)
        answers = self.cache_hook.dbdict
        if cut and answers is not None:
            # Before the answers: those of a run that is killed are not asked again.
            answers[RECORD] = {**answers.get(RECORD, {}), **cut}

    def recall(self, kind: str, requests: Sequence[Any], cut: Mapping[str, tuple[int, int, tuple[int, int]]]) -> None:
        """Count prompts whose answers may be in a cache, with what it holds of those that were cut."""
        for request in requests:
            self.cut_prompts.add(request, *(cut.get(hash_args(kind, request.args), (0, 0)) if cut else (0, 0)))
        if self.world_size > 1:
            self.share_counts()

    def share_counts(self) -> None:
        """Say which prompts were cut; of several processes, let the first one do so when all have counted theirs."""
        if self.world_size > 1:
            _store().set(f"{RECORD}/{self.rank}", self.cut_prompts.to_bytes())
        else:
            self.cut_prompts.say()

    def get_model_info(self) -> dict[str, Any]:
        """What lm_eval logs of the model, and the prompts that were cut; called by the first process, when all are done."""
        for rank in range(1, self.world_size):
            key = f"{RECORD}/{rank}"
            # A process that was asked nothing has counted nothing.
            if _store().check([key]):
                self.cut_prompts.join(_store().get(key))
                _store().delete_key(key)
        self.cut_prompts.say()
        return {**super().get_model_info(), RECORD: self.cut_prompts.to_dict()}


def counting(kind: type, evaluated: Mapping[str, Any]) -> type:
    """A class of lm_eval's models built on `hf` that also counts the prompts that it cuts.

    Parameters
    ----------
    kind : class of models
    evaluated : mapping of str to lm_eval's tasks
        Those that are evaluated; filled before the model is asked.
    """
    bases = (kind,) if issubclass(kind, CountsTruncation) else (CountsTruncation, kind)
    return type(kind.__name__, bases, {"evaluated": evaluated})


def _store() -> Any:
    """What the processes of an evaluation keep together. Reading it waits for nobody, as a process may have nothing to ask."""
    return torch.distributed.distributed_c10d._get_default_store()


def _place(request: Any) -> str:
    name, document = getattr(request, "task_name", None), getattr(request, "doc_id", None)
    return f"{name}, document {document}" if name else "of one request"


def _range(limits: Iterable[int]) -> str:
    found = sorted(set(limits))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
