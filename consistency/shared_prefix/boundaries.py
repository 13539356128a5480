r"""Whether a tokenizer is proven to encode the lines of a text apart, by how it is built (no torch).

A text is cut where a letter or digit of ASCII follows the end of a line. Nothing reaches over such a cut if

- no added token has other characters beside the end of a line, or begins with a letter or digit: those of a text are found
  before all else, and what stands before one is then split as if the text ended there;
- normalization is Unicode's: a line's end, and an ASCII letter or digit, are never joined with what stands before them;
- the text is split by a pattern of which no alternative goes from the end of a line to a letter or digit, and which looks
  ahead for no more than whether a character is space: a search that comes to the cut begins anew, whatever was before;
- what splits further, or forms tokens, sees one part at a time, and draws nothing at random;
- what is added to a text is added at its ends.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD"}
_POST_PROCESSORS = {"TemplateProcessing", "ByteLevel", "RobertaProcessing", "BertProcessing"}
# Alternatives of the patterns of GPT-2, GPT-4, Llama 3, Qwen, Mistral, OLMo, DeepSeek and others. None of them matches the
# end of a line and then a letter or digit.
_ALTERNATIVES = frozenset(
    (
        # English contractions
        r"'s",
        r"'t",
        r"'re",
        r"'ve",
        r"'m",
        r"'ll",
        r"'d",
        r"'(?:[sdmt]|ll|ve|re)",
        r"'(?i:[sdmt]|ll|ve|re)",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        # words
        r" ?\p{L}+",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"[^\r\n\p{L}\p{N}]?+\p{L}+",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        # numbers
        r" ?\p{N}+",
        r" ?\p{N}",
        r"\p{N}+",
        r"\p{N}",
        r"\p{N}{1,3}",
        r"\p{N}{1,3}+",
        # the rest
        r" ?[^\s\p{L}\p{N}]+",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s+",
    )
)
# Of these the first has to be there: without it, what no alternative matches could go from one line to the next.
_SPACE = r"\s+"


def encodes_lines_apart(tokenizer: Any) -> bool:
    """Whether the tokens of a text are proven to be those of its lines, one after the other.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer

    Returns
    -------
    bool
        False does not say that they are not.
    """
    if tokenizer.truncation or tokenizer.padding or getattr(tokenizer.model, "dropout", None):
        return False
    if any(_is_found_at_cuts(token.content) for token in tokenizer.get_added_tokens_decoder().values()):
        return False
    normalizer, splitter, ending = (
        _state(part) for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.post_processor)
    )
    return (
        all(item["type"] in _NORMALIZERS for item in _parts(normalizer, "normalizers"))
        and all(item["type"] in _POST_PROCESSORS for item in _parts(ending, "processors"))
        and _splits_lines(_parts(splitter, "pretokenizers"))
    )


def _is_found_at_cuts(token: str) -> bool:
    """Whether an added token may go over a cut, or begin at one, also after normalization."""
    first = unicodedata.normalize("NFKD", token)[:1]
    return ("\n" in token and bool(token.strip())) or (first.isascii() and first.isalnum())


def _splits_lines(splitters: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a pattern that splits at the cuts comes before all that sees more than two characters at a time."""
    found = False
    for item in splitters:
        if item["type"] == "Digits":
            # A character is a digit or not, whatever is near it.
            continue
        if item["type"] == "ByteLevel":
            if item.get("add_prefix_space"):
                return False
            found |= bool(item.get("use_regex", True))
        elif item["type"] == "Split" and item["behavior"] == "Isolated" and not item["invert"]:
            # What is split before is split alone, so that its pattern no longer matters.
            found = found or _is_known(item["pattern"])
        else:
            return False
        if not found:
            return False
    return found


def _is_known(pattern: Mapping[str, str]) -> bool:
    found = _alternatives(pattern.get("Regex", ""))
    return _SPACE in found and all(item in _ALTERNATIVES for item in found)


def _alternatives(pattern: str) -> list[str]:
    r"""The alternatives of a pattern, as far as none is in a group or a class.

    Examples
    --------
    >>> _alternatives(r"(?i:'s|'t)|[^\s|]+|\s+")
    ["(?i:'s|'t)", '[^\\s|]+', '\\s+']
    """
    found, begin, depth, place = [], 0, 0, 0
    while place < len(pattern):
        character = pattern[place]
        if character == "\\":
            place += 1
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "|" and not depth:
            found.append(pattern[begin:place])
            begin = place + 1
        place += 1
    return [*found, pattern[begin:]]


def _state(part: Any) -> dict[str, Any] | None:
    return None if part is None else json.loads(part.__getstate__())


def _parts(state: dict[str, Any] | None, members: str) -> list[dict[str, Any]]:
    """The parts of a sequence, in order, also of one within another."""
    if state is None:
        return []
    if state["type"] != "Sequence":
        return [state]
    return [part for member in state[members] for part in _parts(member, members)]
