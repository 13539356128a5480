"""The tokens of many texts that repeat each other's lines: each distinct line is encoded once (no torch)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

# A text is cut where a line begins with a letter or a digit.
_CUT = re.compile(r"(?<=\n)(?=[A-Za-z0-9])")
_LAST_CUT = re.compile(r".*\n(?=[A-Za-z0-9])", re.DOTALL)
# What a line stands between while it is encoded, so that it is treated as in the middle of a text: before it a line, after it
# the beginning of one. Tokenizers tell letters from digits.
_BEFORE, _LETTER, _DIGIT = "x\n", "x", "1"
# A line with what stands before and after it.
_Framed = tuple[str, str, str]
# Of so many texts the tokens of one are compared before any are used; of fewer texts these many.
_EVERY, _AT_LEAST = 50, 10


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
        cuts = [match.end() if (match := _LAST_CUT.match(text)) else 0 for text in texts]
        parts = [(text[:cut], text[cut:]) for text, cut in zip(texts, cuts, strict=True)]
        heads = {head: _framed(head, tail) for head, tail in dict(parts).items() if head}
        tails = {tail: (_BEFORE, tail, "") for head, tail in parts if head}
        self._learn([*(line for lines in heads.values() for line in lines), *tails.values()])
        begun = {head: self._joined(lines) for head, lines in heads.items()}
        found: list[list[int] | None] = []
        for head, tail in parts:
            first = begun.get(head)
            last = self._known[tails[tail]] if head else None
            found.append(None if first is None or last is None else [*first, *last, *self._end])
        missing = [place for place, ids in enumerate(found) if ids is None]
        rest = iter(self.whole([texts[place] for place in missing]))
        return [next(rest) if ids is None else ids for ids in found]

    def is_equal(self, texts: Sequence[str], ids: Sequence[list[int]]) -> bool:
        """Whether a sample of texts has these tokens as a whole as well."""
        step = max(1, min(_EVERY, len(texts) // _AT_LEAST))
        return self.whole(texts[::step]) == list(ids[::step])

    def _learn(self, framed: Sequence[_Framed]) -> None:
        new = [line for line in dict.fromkeys(framed) if line not in self._known]
        for line, ids in zip(new, self._plain(["".join(line) for line in new]), strict=True):
            self._known[line] = self._stripped(line, ids)

    def _stripped(self, framed: _Framed, ids: list[int]) -> list[int] | None:
        """The tokens of a line without those around it; None where they cannot be told apart."""
        before, _, after = framed
        first = self._before if before else []
        last = self._after[after] if after else []
        end = len(ids) - len(last)
        return ids[len(first) : end] if ids[: len(first)] == first and ids[end:] == last else None

    def _joined(self, lines: Sequence[_Framed]) -> list[int] | None:
        joined = list(self._begin)
        for line in lines:
            ids = self._known[line]
            if ids is None:
                return None
            joined += ids
        return joined

    def is_equal_in_full(self, texts: Sequence[str], ids: Sequence[list[int]]) -> bool:
        """Whether all of the texts have these tokens as a whole as well."""
        return self._encode(texts, self.special.get("add_special_tokens", True)) == list(ids)

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        return self._encode(texts, False)

    def _encode(self, texts: Sequence[str], special: bool) -> list[list[int]]:
        # The library's own call: transformers' takes longer over the result than this one over all.
        if not texts:
            return []
        with _all_processors():
            encoded = self.tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)
        return [item.ids for item in encoded]


def _framed(head: str, tail: str) -> list[_Framed]:
    """The lines of a text's head, each with what it stands between while it is encoded."""
    lines = _CUT.split(head)
    following = [*lines[1:], tail]
    return [
        (_BEFORE if place else "", line, _DIGIT if after[0].isdigit() else _LETTER)
        for place, (line, after) in enumerate(zip(lines, following, strict=True))
    ]


class Verification:
    """Compares tokens with those of each text as a whole, beside other work; to be used as a context manager."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[Pieces, Sequence[str], Sequence[list[int]]]] = []
        self._found: list[Future[bool]] = []

    def __enter__(self) -> Verification:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, pieces: Pieces, texts: Sequence[str], ids: Sequence[list[int]]) -> None:
        """Compare these texts once it is started: until then the processors are for what is encoded."""
        self._waiting.append((pieces, texts, ids))

    def start(self) -> None:
        """Begin to compare all texts that were added."""
        self._found += [self._thread.submit(item[0].is_equal_in_full, *item[1:]) for item in self._waiting]
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
