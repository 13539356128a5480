"""The tokens of many texts that repeat each other's parts: each distinct part is encoded once (no torch)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, pairwise
from threading import Lock
from typing import Any

import numpy as np
from tokenizers import Encoding

from consistency.shared_prefix.boundaries import encodes_lines_apart
from consistency.shared_prefix.prefixes import Tokens

# A text is cut where a line begins with one of these: before the last line, and where it begins to differ from others.
_BEGINS_LINE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
# It is cut after empty lines too, which stand between few-shot examples, and what follows a context at each line.
_PARAGRAPH, _LINE = re.compile(r"(?<=\n\n)(?=[A-Za-z0-9])"), re.compile(r"(?<=\n)(?=[A-Za-z0-9])")
# What a part stands between while it is encoded, so that it is treated as in the middle of a text: before it a line, after it
# the beginning of one. Tokenizers tell letters from digits.
_BEFORE, _LETTER, _DIGIT = "x\n", "x", "1"
# A part of a text with what stands before and after it.
_Framed = tuple[str, str, str]
# The tokens of a context, and those that follow.
Pair = tuple[Tokens, list[int]]
# Of so many texts the tokens of one are compared before any are used; of fewer texts these many. Where the tokens are proven
# to be equal, this checks the proof.
_EVERY, _EVERY_PROVEN, _AT_LEAST = 49, 499, 10
# So many texts are compared at a time: what is encoded for the next pass waits as long.
_COMPARED = 100
# Texts that begin with as many equal characters are searched for what they share together, so many at a time.
_ALIKE, _TOGETHER = 200, 400


class Pieces:
    """A fast tokenizer that encodes texts part by part.

    Common tokenizers split a text at the ends of lines before they form tokens, so that what stands further away changes
    nothing. This is not taken for granted: see `is_proven` and `Verification`.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        A fast one.
    special : dict
        Arguments for its call: ``add_special_tokens``, or none.
    """

    def __init__(self, tokenizer: Any, special: dict[str, bool]) -> None:
        self.tokenizer, self.special = tokenizer, special
        self._known: dict[_Framed, Tokens | None] = {}
        self._thread = ThreadPoolExecutor(1)
        # The beginning that texts share, where one was seen, and its parts by whether a digit follows.
        self._head: str = ""
        self._of_head: dict[bool, list[_Framed]] = {}
        plain, around = self._plain(["x"])[0], self.whole(["x"])[0]
        starts = [at for at in range(len(around)) if around[at : at + len(plain)] == plain]
        at = starts[0] if starts else 0
        self._begin, self._end = np.array(around[:at], np.int32), np.array(around[at + len(plain) :], np.int32)
        self._before, *ends = self._plain([_BEFORE, _BEFORE + _LETTER, _BEFORE + _DIGIT])
        self._after = {text: ids[len(self._before) :] for text, ids in zip((_LETTER, _DIGIT), ends, strict=True)}

    @cached_property
    def is_proven(self) -> bool:
        """Whether the tokens of parts are proven to be those of whole texts, so that nothing has to be compared."""
        return encodes_lines_apart(self.tokenizer.backend_tokenizer)

    def whole(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, as the tokenizer gives them for the text as a whole."""
        if not texts:
            return []
        with _all_processors():
            found = self.tokenizer(
                list(texts), return_attention_mask=False, return_token_type_ids=False, **self.special
            )
        ids: list[list[int]] = found["input_ids"]
        return ids

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text, from those of its parts."""
        plans = self._plans(texts)
        self._begun(chain.from_iterable(plans))()
        return self._or_whole(texts, [self._joined(plan) for plan in plans])

    def pairs(self, asked: Sequence[tuple[str, str]]) -> list[Pair]:
        """What `begun_pairs` gives, at once."""
        return self.begun_pairs(asked)()

    def begun_pairs(self, asked: Sequence[tuple[str, str]]) -> Callable[[], list[Pair]]:
        """The tokens of each context, and those that the whole text has after as many: from those of the parts.

        Parameters
        ----------
        asked : sequence of (str, str)
            Contexts without space at their end, and what follows each. Contexts that are equal get one array.

        Returns
        -------
        callable of () to list of Pair
            The parts are encoded in a thread until it is called.
        """
        contexts, numbers = _distinct(asked)
        plans = self._plans(contexts)
        # A whole text differs from its context in the last line alone, and in what follows.
        rests = {rest: _of_rest(rest) for rest in dict.fromkeys(rest for _, rest in asked)}
        ends = [plan[-1][1] if plan else "" for plan in plans]
        lasts = {
            (end, rest): (_BEFORE, end + rests[rest][0], rests[rest][1])
            for end, rest in {(ends[number], rest) for number, (_, rest) in zip(numbers, asked, strict=True)}
            if end
        }
        learn = self._begun(chain(*plans, *(lines for _, _, lines in rests.values()), lasts.values()))

        def pairs() -> list[Pair]:
            learn()
            contexts_of_parts = [self._joined(plan) for plan in plans]
            following = {pair: self._following(pair[0], last, rests[pair[1]][2]) for pair, last in lasts.items()}
            found = [
                None if contexts_of_parts[number] is None else following.get((ends[number], rest))
                for number, (_, rest) in zip(numbers, asked, strict=True)
            ]
            tokens = self._or_whole(contexts, contexts_of_parts)
            missing = [place for place, rest in enumerate(found) if rest is None]
            texts = self.encode([context + rest for context, rest in (asked[place] for place in missing)])
            for place, text in zip(missing, texts, strict=True):
                found[place] = text[len(tokens[numbers[place]]) :].tolist()
            return [(tokens[number], rest) for number, rest in zip(numbers, found, strict=True) if rest is not None]

        return pairs

    def whole_pairs(self, asked: Sequence[tuple[str, str]]) -> list[Pair]:
        """The same as the tokenizer gives them for each text as a whole."""
        contexts, numbers = _distinct(asked)
        tokens = [np.array(ids, np.int32) for ids in self.whole(contexts)]
        texts = self.whole([context + rest for context, rest in asked])
        return [(tokens[number], text[len(tokens[number]) :]) for number, text in zip(numbers, texts, strict=True)]

    def is_equal(self, asked: Sequence[tuple[str, str]], pairs: Sequence[Pair]) -> bool:
        """Whether a sample of contexts, and of what follows them, has these tokens in the texts as a whole as well."""
        contexts = {context: ids for (context, _), (ids, _) in zip(asked, pairs, strict=True)}
        every = _EVERY_PROVEN if self.is_proven else _EVERY
        sample, whole = list(contexts)[:: _step(contexts, every)], slice(None, None, _step(asked, every))
        texts = self.whole([*sample, *(context + rest for context, rest in asked[whole])])
        return texts[: len(sample)] == [contexts[context].tolist() for context in sample] and all(
            text[len(ids) :] == rest for text, (ids, rest) in zip(texts[len(sample) :], pairs[whole], strict=True)
        )

    def is_equal_in_full(self, texts: Sequence[str], ids: Sequence[tuple[int, Sequence[int] | Tokens]]) -> bool:
        """Whether all of the texts have these tokens as a whole as well, each after so many others."""
        found = self._encode(texts, self.special.get("add_special_tokens", True))
        return all(
            np.array_equal(np.array(whole.ids[skipped:], np.int32), rest)
            for whole, (skipped, rest) in zip(found, ids, strict=True)
        )

    def _plans(self, texts: Sequence[str]) -> list[list[_Framed]]:
        """The parts of each text, the last of them its last line; none of a text that is not to be cut."""
        plans: list[list[_Framed]] = []
        for number, text in enumerate(texts):
            last = _last_cut(text, len(text))
            if not last:
                plans.append([])
                continue
            begin = self._shared(text, texts[number + 1] if number + 1 < len(texts) else "")
            head: list[_Framed] = []
            if begin:
                is_digit = text[begin].isdigit()
                head = self._of_head.get(is_digit) or self._of_head.setdefault(is_digit, _parts(text, 0, begin))
            plans.append([*head, *_parts(text, begin, last), (_BEFORE, text[last:], "")])
        return plans

    def _shared(self, text: str, following: str) -> int:
        """Where a text ends to begin as others do: as those before it, or else as the one that follows."""
        begin = len(self._head)
        if not (begin and text[begin : begin + 1] in _BEGINS_LINE and text.startswith(self._head)):
            begin = _last_cut(text, _common(text, following))
            if begin:
                self._head, self._of_head = text[:begin], {}
        return begin

    def _begun(self, parts: Iterable[_Framed]) -> Callable[[], None]:
        """Encode parts that are not known yet in a thread; what comes back waits for it, and keeps their tokens."""
        new = [part for part in dict.fromkeys(parts) if part not in self._known]
        encoded = self._thread.submit(self._encode, ["".join(part) for part in new], False)

        def learn() -> None:
            found = [item.ids for item in encoded.result()]
            # Lists of numbers are made arrays all at once.
            tokens = np.fromiter(chain.from_iterable(found), np.int32)
            end = 0
            for part, ids in zip(new, found, strict=True):
                begin, end = end, end + len(ids)
                before, after = self._before if part[0] else [], self._after[part[2]] if part[2] else []
                framed = ids[: len(before)] == before and ids[len(ids) - len(after) :] == after
                self._known[part] = tokens[begin + len(before) : end - len(after)] if framed else None

        return learn

    def _joined(self, plan: Sequence[_Framed]) -> Tokens | None:
        """The tokens of a text, from those of its parts; None where it has none, or they cannot be told apart."""
        parts = [self._known[part] for part in plan]
        found = [part for part in parts if part is not None]
        return np.concatenate([self._begin, *found, self._end]) if plan and len(found) == len(parts) else None

    def _following(self, end: str, last: _Framed, lines: Sequence[_Framed]) -> list[int] | None:
        """The tokens after those of a context, by its last line, this line with what follows, and further lines.

        None where tokens cannot be told apart.
        """
        short, *parts = (self._known[part] for part in ((_BEFORE, end, ""), last, *lines))
        found = [part for part in parts if part is not None]
        if short is None or len(found) < len(parts):
            return None
        ids: list[int] = np.concatenate([*found, self._end])[len(short) + len(self._end) :].tolist()
        return ids

    def _or_whole(self, texts: Sequence[str], found: Sequence[Tokens | None]) -> list[Tokens]:
        rest = iter(self.whole([text for text, ids in zip(texts, found, strict=True) if ids is None]))
        return [np.array(next(rest), np.int32) if ids is None else ids for ids in found]

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        return [item.ids for item in self._encode(texts, False)]

    def _encode(self, texts: Sequence[str], special: bool) -> list[Encoding]:
        # The library's own call: transformers' takes longer over the result than this one over all.
        if not texts:
            return []
        with _all_processors():
            encoded: list[Encoding] = self.tokenizer.backend_tokenizer.encode_batch_fast(
                list(texts), add_special_tokens=special
            )
        return encoded


def _distinct(asked: Sequence[tuple[str, str]]) -> tuple[list[str], list[int]]:
    """The distinct contexts, and for each request the number of its own."""
    places: dict[str, int] = {}
    numbers: list[int] = []
    last, number = None, 0
    for context, _ in asked:
        # The options of a question have the same object.
        if context is not last:
            last, number = context, places.setdefault(context, len(places))
        numbers.append(number)
    return list(places), numbers


def _last_cut(text: str, end: int) -> int:
    """The last place, up to `end`, where a line begins with a letter or a digit; 0 if there is none."""
    while (end := text.rfind("\n", 0, end)) >= 0:
        if text[end + 1 : end + 2] in _BEGINS_LINE:
            return end + 1
    return 0


def _common(first: str, second: str) -> int:
    """How many characters two texts have in common from their start."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first.startswith(second[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


def _parts(text: str, begin: int, end: int) -> list[_Framed]:
    """The parts of a range of a text, which ends where a line begins with a letter or a digit."""
    if begin == end:
        return []
    starts = _PARAGRAPH.finditer(text, begin + 1, end) if text.find("\n\n", begin, end) >= 0 else ()
    places = [begin, *(match.start() for match in starts), end]
    return [
        (_BEFORE if first else "", text[first:stop], _DIGIT if text[stop].isdigit() else _LETTER)
        for first, stop in pairwise(places)
    ]


def _of_rest(rest: str) -> tuple[str, str, list[_Framed]]:
    """What follows a context up to the first line that it begins; what this line begins with; and that line and all others."""
    places = [*(match.start() for match in _LINE.finditer(rest)), len(rest)]
    lines = [
        (_BEFORE, rest[first:stop], "" if stop == len(rest) else _DIGIT if rest[stop].isdigit() else _LETTER)
        for first, stop in pairwise(places)
    ]
    return rest[: places[0]], (_DIGIT if lines[0][1][0].isdigit() else _LETTER) if lines else "", lines


def _step(items: Sized, every: int) -> int:
    # An odd number, so that the texts are not always those of the same option.
    return min(every, len(items) // _AT_LEAST) | 1


def portions(texts: Sequence[str]) -> Iterator[list[int]]:
    """The places of distinct texts in portions: what begins alike is next to each other, the longest is in the first.

    Examples
    --------
    >>> list(portions(["a", "b", "c b"]))
    [[2, 0, 1]]
    """
    alike: dict[str, list[int]] = {}
    longest = max(range(len(texts)), key=lambda place: len(texts[place]), default=0)
    for place in (*range(longest, len(texts)), *range(longest)):
        alike.setdefault(texts[place][:_ALIKE], []).append(place)
    portion: list[int] = []
    for places in alike.values():
        places.sort(key=lambda place: (place != longest, texts[place]))
        for place in places:
            portion.append(place)
            if len(portion) == _TOGETHER:
                yield portion
                portion = []
        if len(portion) > _TOGETHER // 2:
            yield portion
            portion = []
    if portion:
        yield portion


class Verification:
    """Compares tokens with those of each text as a whole, beside other work; to be used as a context manager."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._found: list[Future[bool]] = []

    def __enter__(self) -> Verification:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, pieces: Pieces, asked: Sequence[tuple[str, str]], pairs: Sequence[Pair]) -> None:
        """Compare the tokens of contexts, and of what follows them with lines of its own."""
        ids: dict[str, tuple[int, Sequence[int] | Tokens]] = {}
        last = None
        for (context, rest), (found, after) in zip(asked, pairs, strict=True):
            if context is not last:
                last, ids[context] = context, (0, found)
            if "\n" in rest:
                ids[context + rest] = len(found), after
        texts = list(ids)
        for first in range(0, len(texts), _COMPARED):
            block = texts[first : first + _COMPARED]
            self._found.append(self._thread.submit(pieces.is_equal_in_full, block, [ids[text] for text in block]))

    def is_equal(self) -> bool:
        """Whether all tokens were equal; waits until they are compared."""
        return all(found.result() for found in self._found)


_parallel = Lock()
_users: list[str | None] = []


@contextmanager
def _all_processors() -> Iterator[None]:
    """Let the tokenizer use all processors, which lm_eval's command line forbids; several threads may do so at a time."""
    with _parallel:
        _users.append(os.environ.get("TOKENIZERS_PARALLELISM") if not _users else _users[0])
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        with _parallel:
            before = _users.pop()
            if not _users:
                if before is None:
                    os.environ.pop("TOKENIZERS_PARALLELISM", None)
                else:
                    os.environ["TOKENIZERS_PARALLELISM"] = before
