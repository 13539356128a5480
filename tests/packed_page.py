"""What a page holds packed, read as its script reads it: by the formats' own libraries."""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import Any


def stored(page: str, name: str) -> Any:
    """The JSON of a script element."""
    (text,) = re.findall(rf'id="{name}">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text.translate(str.maketrans(".,:", "&<>"))))


def questions_of(page: str) -> list[dict[str, Any]]:
    """The questions, harmful flips first, then those of larger KL."""
    held = stored(page, "questions-data")
    numbers, words = (json.loads(unpacked(held[name])) for name in ("numbers", "words"))
    texts: list[list[Any]] = []
    for part in held["texts"]:
        whole = re.sub("[\ue000-\uf8ff]", lambda code: words[ord(code[0]) - 0xE000], unpacked(part).decode())
        texts += json.loads(whole)
    assert len(texts) == held["n"]
    found, at = [], 0
    for place, (text, options, *written) in enumerate(texts):
        question = {name: numbers[name][place] for name in ("doc_id", "gold")} | {"text": text, "options": options}
        for name in ("task", "run", "scope", "flip"):
            question[name] = numbers[name]["names"][numbers[name]["codes"][place]]
        others = max(0, numbers["options"][place] - 1)
        for name in ("before", "after"):
            steps = numbers[name][at : at + others]
            question[name] = [step / 1000 for step in (*steps, 1000 - sum(steps))] if numbers["options"][place] else []
        at += others
        question["measures"] = {name: numbers[name][place] for name in ("kl", "spearman")}
        if written:
            names = ("target", "answers", "unreadable", "pieces")
            question["generated"] = dict(zip(names, written[0], strict=True))
        found.append(question)

    def order(question: dict[str, Any]) -> tuple[bool, float, bool]:
        kl = question["measures"]["kl"]
        less = float("inf") if kl is None else -float("inf" if kl == "∞" else kl)
        return question["flip"] != "harmful", less, question["flip"] != "beneficial"

    return sorted(found, key=order)
