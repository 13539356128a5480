"""Text packed for a page: compressed, in characters that are safe inside a script element."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from consistency.report.content import ChangedQuestion
from consistency.support.text import visible_lines

# Base85 takes a quarter more than the bytes, base64 a third. Three of Python's characters could end the element.
_SAFE = str.maketrans("&<>", ".,:")
# Questions whose texts are unpacked at once.
SIZE = 1000
# Probabilities are whole numbers of thousandths: a page shows tenths of a percent.
_STEPS = 1000
# Frequent words of many texts are one character each, from this on: zlib then makes them 8 % smaller. No text has these
# characters, since what Unicode leaves to private use is made visible.
_FIRST_CODE, _MOST_CODES = 0xE000, 4000
_WORD = re.compile(r" [a-z]{2,}|[A-Za-z]{3,}")


def pack(content: bytes) -> str:
    r"""Bytes as zlib compresses them, in base85 without the characters of markup.

    Examples
    --------
    >>> set("&<>\"'") & set(pack(bytes(range(256))))
    set()
    """
    return base64.b85encode(zlib.compress(content, 9)).decode().translate(_SAFE)


def pack_json(value: Any) -> str:
    """Plain data, packed."""
    return pack(_json(value).encode())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def pack_questions(questions: Sequence[ChangedQuestion]) -> dict[str, Any]:
    """Questions as a page holds them: their numbers at once, and their texts in parts that are unpacked when they are read.

    Returns
    -------
    dict of str to Any
        `n`; `size`, questions in a part; `numbers`, packed; `words`, packed, for which single characters stand in the texts;
        `texts`, the packed parts.
    """
    # Neighbours of a log share passages and words.
    questions = sorted(questions, key=lambda one: (one.run, one.task, one.doc_id))
    parts = [_json([_texts(one) for one in questions[i : i + SIZE]]) for i in range(0, len(questions), SIZE)]
    codes = _codes(parts) if len(parts) > 1 else {}
    return {
        "n": len(questions),
        "size": SIZE,
        "numbers": pack_json(_numbers(questions)),
        "words": pack_json(list(codes)),
        "texts": [pack(_coded(part, codes).encode()) for part in parts],
    }


def _codes(parts: Sequence[str]) -> dict[str, str]:
    """The words that take most room, and the character that stands for each."""
    counts = Counter(word for part in parts for word in _WORD.findall(part))
    most = sorted(counts, key=lambda word: (-(len(word) - 2) * counts[word], word))[:_MOST_CODES]
    most.sort(key=lambda word: (-counts[word], word))
    return {word: chr(_FIRST_CODE + code) for code, word in enumerate(most)}


def _coded(part: str, codes: dict[str, str]) -> str:
    return _WORD.sub(lambda found: codes.get(found[0], found[0]), part) if codes else part


def _texts(question: ChangedQuestion) -> list[Any]:
    found: list[Any] = [question.text, question.options]
    if question.generated is not None:
        written = question.generated
        found.append([written.target, written.answers, written.unreadable, written.pieces])
    return [_shown(part) for part in found]


def _numbers(questions: Sequence[ChangedQuestion]) -> dict[str, Any]:
    """A column for each number, and the names that stand for codes."""
    columns: dict[str, Any] = {
        "doc_id": [one.doc_id for one in questions],
        "gold": [one.gold for one in questions],
        "options": [len(one.before) for one in questions],
    }
    for name in ("task", "run", "scope", "flip"):
        values = [visible_lines(getattr(one, name)) for one in questions]
        names = {value: code for code, value in enumerate(dict.fromkeys(values))}
        columns[name] = {"names": list(names), "codes": [names[value] for value in values]}
    for name in ("before", "after"):
        # The last option has the rest.
        columns[name] = [round(_STEPS * p) for one in questions for p in getattr(one, name)[:-1]]
    for name in ("kl", "spearman"):
        columns[name] = [_number(one.measures.get(name)) for one in questions]
    return columns


def _number(value: float | None) -> float | str | None:
    """A measure as JSON has it: what is undefined is null, and an infinite divergence a text."""
    if value is None or math.isnan(value):
        return None
    return "∞" if math.isinf(value) else float(f"{value:.4g}")


def _shown(value: Any) -> Any:
    """Plain data whose texts are visible: a question may have several lines."""
    if isinstance(value, str):
        return visible_lines(value)
    return [_shown(inner) for inner in value]
