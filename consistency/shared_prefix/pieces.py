"""The tokens of many texts that repeat each other's lines: each distinct line is encoded once (no torch)."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

# A text is cut where a line begins with a letter or a digit.
_CUT = re.compile(r"(?<=\n)(?=[A-Za-z0-9])")
_LAST_CUT = re.compile(r".*\n(?=[A-Za-z0-9])", re.DOTALL)
# What a line stands between while it is encoded, so that it is treated as in the middle of a text: before it a line, after it
# the beginning of one. Tokenizers tell letters from digits.
_BEFORE, _LETTER, _DIGIT = "x\n", "x", "1"
# A line with what stands before and after it.
_Framed = tuple[str, str, str]
# The tokens of a context, and those that follow.
Pair = tuple[list[int], list[int]]
# Of so many texts the tokens of one are compared before any are used; of fewer texts these many. An odd number, so that the
# texts are not always those of the same option.
_EVERY, _AT_LEAST = 49, 10
# So many lines are encoded, and so many texts compared, at a time: the library needs a hundred bytes for a token.
_AT_A_TIME, _COMPARED = 20_000, 1000


class Pieces:
    """A fast tokenizer that encodes texts line by line.

    Common tokenizers split a text at the ends of lines before they form tokens, so that what stands further away changes
    nothing. This is not taken for granted: see `Verification`.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        A fast one.
    special : dict
        Arguments for its call: ``add_special_tokens``, or none.
    """

    def __init__(self, tokenizer: Any, special: dict[str, bool]) -> None:
        self.tokenizer, self.special = tokenizer, special
        self._known: dict[_Framed, list[int] | None] = {}
        plain, around = self._plain(["x"])[0], self.whole(["x"])[0]
        starts = [at for at in range(len(around)) if around[at : at + len(plain)] == plain]
        at = starts[0] if starts else 0
        self._begin, self._end = around[:at], around[at + len(plain) :]
        self._before, *ends = self._plain([_BEFORE, _BEFORE + _LETTER, _BEFORE + _DIGIT])
        self._after = {text: ids[len(self._before) :] for text, ids in zip((_LETTER, _DIGIT), ends, strict=True)}

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

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, from those of its lines."""
        return self._or_whole(texts, self._from_lines([_parts(text) for text in texts]))

    def pairs(self, asked: Sequence[tuple[str, str]]) -> list[Pair]:
        """The tokens of each context, and those that the whole text has after as many: from those of the lines.

        Parameters
        ----------
        asked : sequence of (str, str)
            Contexts without space at their end, and what follows each. Contexts that are equal get one list.
        """
        parts = {context: _parts(context) for context in dict.fromkeys(context for context, _ in asked)}
        begun = self._from_lines(list(parts.values()))
        by_line = {context for context, ids in zip(parts, begun, strict=True) if ids is not None}
        contexts = dict(zip(parts, self._or_whole(list(parts), begun), strict=True))
        # A whole text differs from its context in its last line alone, unless what follows has lines of its own.
        last = [
            (_BEFORE, parts[context][1] + rest, "") if context in by_line and not _CUT.search(rest) else None
            for context, rest in asked
        ]
        self._learn([line for line in last if line is not None])
        found: list[list[int] | None] = []
        for (context, _), line in zip(asked, last, strict=True):
            short = self._known[_BEFORE, parts[context][1], ""] if line else None
            long = self._known[line] if line else None
            found.append(None if short is None or long is None else [*long, *self._end][len(short) + len(self._end) :])
        missing = [pair for pair, ids in zip(asked, found, strict=True) if ids is None]
        rest_of = iter(_after(missing, contexts, self.encode([context + rest for context, rest in missing])))
        return [
            (contexts[context], next(rest_of) if ids is None else ids)
            for (context, _), ids in zip(asked, found, strict=True)
        ]

    def whole_pairs(self, asked: Sequence[tuple[str, str]]) -> list[Pair]:
        """The same as the tokenizer gives them for each text as a whole."""
        distinct = list(dict.fromkeys(context for context, _ in asked))
        contexts = dict(zip(distinct, self.whole(distinct), strict=True))
        rests = _after(asked, contexts, self.whole([context + rest for context, rest in asked]))
        return [(contexts[context], ids) for (context, _), ids in zip(asked, rests, strict=True)]

    def is_equal(self, asked: Sequence[tuple[str, str]], pairs: Sequence[Pair]) -> bool:
        """Whether a sample of contexts, and of what follows them, has these tokens in the texts as a whole as well."""
        contexts = {context: ids for (context, _), (ids, _) in zip(asked, pairs, strict=True)}
        sample, whole = list(contexts)[:: _step(contexts)], slice(None, None, _step(asked))
        texts = self.whole([*sample, *(context + rest for context, rest in asked[whole])])
        return texts[: len(sample)] == [contexts[context] for context in sample] and all(
            text[len(ids) :] == rest for text, (ids, rest) in zip(texts[len(sample) :], pairs[whole], strict=True)
        )

    def _from_lines(self, parts: Sequence[tuple[str, str]]) -> list[list[int] | None]:
        """The tokens of texts, each a head and its last line; None where they cannot be put together."""
        heads: dict[str, _Head] = {}
        before = _Head("", [], [])
        for head, tail in parts:
            if head and head not in heads:
                heads[head] = before = _head(head, tail, before)
        tails = {tail: (_BEFORE, tail, "") for head, tail in parts if head}
        self._learn([*(line for head in heads.values() for line in head.lines[head.shared :]), *tails.values()])
        begun = self._joined(heads)
        found: list[list[int] | None] = []
        for head, tail in parts:
            first = begun.get(head)
            last = self._known[tails[tail]] if head else None
            found.append(None if first is None or last is None else [*first, *last, *self._end])
        return found

    def _or_whole(self, texts: Sequence[str], found: Sequence[list[int] | None]) -> list[list[int]]:
        rest = iter(self.whole([text for text, ids in zip(texts, found, strict=True) if ids is None]))
        return [next(rest) if ids is None else ids for ids in found]

    def _learn(self, framed: Sequence[_Framed]) -> None:
        new = [line for line in dict.fromkeys(framed) if line not in self._known]
        for first in range(0, len(new), _AT_A_TIME):
            block = new[first : first + _AT_A_TIME]
            for line, ids in zip(block, self._plain(["".join(line) for line in block]), strict=True):
                self._known[line] = self._stripped(line, ids)

    def _stripped(self, framed: _Framed, ids: list[int]) -> list[int] | None:
        """The tokens of a line without those around it; None where they cannot be told apart."""
        before, _, after = framed
        first = self._before if before else []
        last = self._after[after] if after else []
        end = len(ids) - len(last)
        return ids[len(first) : end] if ids[: len(first)] == first and ids[end:] == last else None

    def _joined(self, heads: Mapping[str, _Head]) -> dict[str, list[int] | None]:
        """The tokens of each head, with those of the lines that it shares with the one before taken from there."""
        found: dict[str, list[int] | None] = {}
        before: list[int] | None = None
        # How many tokens the one before has up to the end of each line.
        ends: list[int] = []
        for text, head in heads.items():
            shared = head.shared if before is not None else 0
            joined = before[: ends[shared - 1]] if before is not None and shared else list(self._begin)
            ends = ends[:shared]
            for line in head.lines[shared:]:
                ids = self._known[line]
                if ids is None:
                    break
                joined += ids
                ends.append(len(joined))
            before = found[text] = joined if len(ends) == len(head.lines) else None
        return found

    def is_equal_in_full(self, texts: Sequence[str], ids: Sequence[tuple[int, list[int]]]) -> bool:
        """Whether all of the texts have these tokens as a whole as well, each after so many others."""
        found = self._encode(texts, self.special.get("add_special_tokens", True))
        return all(whole[skipped:] == rest for whole, (skipped, rest) in zip(found, ids, strict=True))

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        return self._encode(texts, False)

    def _encode(self, texts: Sequence[str], special: bool) -> list[list[int]]:
        # The library's own call: transformers' takes longer over the result than this one over all.
        if not texts:
            return []
        with _all_processors():
            encoded = self.tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)
        return [item.ids for item in encoded]


@dataclass(slots=True)
class _Head:
    """The lines of a text but the last, each with what it stands between while it is encoded.

    Attributes
    ----------
    text : str
    lines : list of (str, str, str)
    starts : list of int
        Where each line but the first begins.
    shared : int
        So many lines are those of the head before.
    """

    text: str
    lines: list[_Framed]
    starts: list[int]
    shared: int = 0


def _head(text: str, tail: str, before: _Head) -> _Head:
    """A head, cut into lines where it differs from the one before."""
    # A line is shared if the letter or digit that follows it is.
    shared = bisect_left(before.starts, True, key=lambda start: not text.startswith(before.text[: start + 1]))
    begin = before.starts[shared - 1] if shared else 0
    starts = [match.start() for match in _CUT.finditer(text, begin + 1)]
    places = [begin, *starts, len(text)]
    lines = before.lines[:shared]
    for first, end in pairwise(places):
        after = text[end] if end < len(text) else tail[0]
        lines.append((_BEFORE if first else "", text[first:end], _DIGIT if after.isdigit() else _LETTER))
    return _Head(text, lines, [*before.starts[:shared], *starts], shared)


def _parts(text: str) -> tuple[str, str]:
    """A text up to its last line, and that line; nothing and the text where it has but one."""
    match = _LAST_CUT.match(text)
    cut = match.end() if match else 0
    return text[:cut], text[cut:]


def _after(
    asked: Sequence[tuple[str, str]], contexts: Mapping[str, list[int]], texts: Sequence[list[int]]
) -> list[list[int]]:
    """The tokens of whole texts after as many as their contexts have."""
    return [text[len(contexts[context]) :] for (context, _), text in zip(asked, texts, strict=True)]


def _step(items: Sized) -> int:
    return max(1, min(_EVERY, len(items) // _AT_LEAST))


class Verification:
    """Compares tokens with those of each text as a whole, beside other work; to be used as a context manager."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[Pieces, Mapping[str, tuple[int, list[int]]]]] = []
        self._found: list[Future[bool]] = []

    def __enter__(self) -> Verification:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, pieces: Pieces, asked: Sequence[tuple[str, str]], pairs: Sequence[Pair]) -> None:
        """Have the tokens of contexts compared once the comparison starts, and of what follows them with lines of its own."""
        ids = {context: (0, found) for (context, _), (found, _) in zip(asked, pairs, strict=True)}
        for (context, rest), (found, after) in zip(asked, pairs, strict=True):
            if "\n" in rest:
                ids[context + rest] = len(found), after
        self._waiting.append((pieces, ids))

    def start(self) -> None:
        """Compare what was added: once nothing else is to be encoded, which would have to wait."""
        for pieces, ids in self._waiting:
            texts = list(ids)
            for first in range(0, len(texts), _COMPARED):
                block = texts[first : first + _COMPARED]
                self._found.append(self._thread.submit(pieces.is_equal_in_full, block, [ids[text] for text in block]))
        self._waiting = []

    def is_equal(self) -> bool:
        """Whether all tokens were equal; waits until they are compared."""
        self.start()
        return all(found.result() for found in self._found)


@contextmanager
def _all_processors() -> Iterator[None]:
    """Let the tokenizer use all processors, which lm_eval's command line forbids."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TOKENIZERS_PARALLELISM", None)
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
