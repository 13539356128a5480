"""Where a document of any benchmark keeps its options and its gold answer, and how both are written there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

# MMLU, ARC, HellaSwag, AGIEval, SciQ-like sets and the formats derived from them.
_LISTS = ("choices", "options", "endings", "answer_choices", "candidates", "multiple_choice_targets")
# MedMCQA, PIQA, WinoGrande, COPA, Social IQa, MMLU-like CSV files.
_LETTERED = (
    ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J"),
    ("opa", "opb", "opc", "opd", "ope"),
    ("sol1", "sol2"),
    ("option1", "option2"),
    ("choice1", "choice2"),
    ("answerA", "answerB", "answerC"),
    ("option_a", "option_b", "option_c", "option_d", "option_e"),
)
# ending0, ending1 …; mc_answer1, mc_answer2 …; Option A, Option B …
_NUMBERED = re.compile(r"(.*?)(\d{1,2}|[A-Za-z])")


@dataclass(frozen=True)
class OptionFields:
    """The fields of a document that hold its options.

    Attributes
    ----------
    names : tuple of str
        One that holds them all, or one for each.
    together : bool
        Whether one holds them all: a list, or a mapping in the order of its keys.
    within : str
        The key of the texts where they are in a mapping each, or of their list where this is in one; empty elsewhere.
    """

    names: tuple[str, ...]
    together: bool = False
    within: str = ""

    def read(self, document: Mapping[str, Any]) -> list[Any]:
        """The options, in the order of the document.

        Examples
        --------
        >>> (found,) = option_fields({"choices": {"text": ["2", "3"], "label": ["A", "B"]}})
        >>> found.read({"choices": {"text": ["5", "6"], "label": ["A", "B"]}})
        ['5', '6']
        """
        if not self.together:
            texts = [document[name] for name in self.names]
            # A question with fewer options than others.
            while texts and texts[-1] is None:
                texts.pop()
            return texts
        held = self._held(document)
        texts = [held[key] for key in _keys(held)]
        return [text[self.within] if isinstance(text, Mapping) else text for text in texts]

    def write(self, document: Mapping[str, Any], texts: Sequence[Any]) -> dict[str, Any]:
        """The document with other options in their places.

        Examples
        --------
        >>> (found,) = option_fields({"q": "?", "opa": "2", "opb": "3"})
        >>> found.write({"q": "?", "opa": "2", "opb": "3"}, ["3", "2"])
        {'q': '?', 'opa': '3', 'opb': '2'}
        """
        if not self.together:
            return {**document, **dict(zip(self.names, texts, strict=False))}
        (name,) = self.names
        old = self._held(document)
        new: Any = dict(old) if isinstance(old, Mapping) else list(old)
        for key, text in zip(_keys(old), texts, strict=True):
            new[key] = {**old[key], self.within: text} if isinstance(old[key], Mapping) else text
        return {**document, name: new if old is document[name] else {**document[name], self.within: new}}

    def _held(self, document: Mapping[str, Any]) -> Any:
        """The list or mapping that holds the options."""
        held = document[self.names[0]]
        return held[self.within] if isinstance(held, Mapping) and isinstance(held.get(self.within), list) else held


def _keys(held: Any) -> list[Any]:
    return sorted(held) if isinstance(held, Mapping) else list(range(len(held)))


def option_fields(document: Mapping[str, Any]) -> Iterator[OptionFields]:
    """The fields that hold the options of a document, by the names that benchmarks use.

    Parameters
    ----------
    document : mapping

    Yields
    ------
    OptionFields
        The likeliest first; none where no name is known.

    Examples
    --------
    >>> [found.names for found in option_fields({"question": "?", "A": "1", "B": "2"})]
    [('A', 'B')]
    """
    for name in _LISTS:
        found = _held_in(name, document.get(name))
        if found is not None:
            yield found
    for names in _LETTERED:
        present = tuple(name for name in names if isinstance(document.get(name), str | int | float))
        if len(present) >= 2 and present == names[: len(present)]:
            yield OptionFields(present)


def possible_option_fields(document: Mapping[str, Any]) -> Iterator[OptionFields]:
    """Also fields under other names that have the form of options: lists, and names that count.

    Examples
    --------
    >>> document = {"mc_answer1": "yes", "mc_answer2": "no", "words": ["a", "b"]}
    >>> [found.names for found in possible_option_fields(document)]
    [('words',), ('mc_answer1', 'mc_answer2')]
    """
    seen = set()
    for found in option_fields(document):
        seen.add(found.names)
        yield found
    for name, value in document.items():
        held = _held_in(name, value)
        if held is not None and held.names not in seen:
            yield held
    stems: dict[str, list[str]] = {}
    for name, value in document.items():
        if isinstance(value, str | int | float) and (parts := _NUMBERED.fullmatch(name)):
            stems.setdefault(parts[1], []).append(parts[2])
    for stem, ends in stems.items():
        for counted in ("0123456789", "123456789", ascii_uppercase, ascii_uppercase.lower()):
            run = [end for end in counted if end in ends]
            names = tuple(stem + end for end in run)
            if len(run) >= 2 and run == list(counted[: len(run)]) and names not in seen:
                seen.add(names)
                yield OptionFields(names)


def _held_in(name: str, value: Any) -> OptionFields | None:
    """The options in one field, if it holds some."""
    within = ""
    if isinstance(value, dict):
        within = "text" if isinstance(value.get("text"), list) else ""
        texts = value["text"] if within else [value[key] for key in _keys(value)]
    elif isinstance(value, list):
        texts = value
    else:
        return None
    if not within and any(isinstance(item, dict) for item in texts):
        within = "text"
        texts = [item.get("text") if isinstance(item, dict) else item for item in texts]
    if not texts or not all(isinstance(text, str | int | float) for text in texts):
        return None
    return OptionFields((name,), True, within)


@dataclass(frozen=True)
class GoldField:
    """A field that says which option is right.

    Attributes
    ----------
    name : str
    code : str
        How it says so: a key of `CODES`.
    within : str
        The key where the field is a mapping; empty elsewhere.
    """

    name: str
    code: str
    within: str = ""

    def write(self, document: Mapping[str, Any], value: Any) -> dict[str, Any]:
        """The document with another value there."""
        return {**document, self.name: {**document[self.name], self.within: value} if self.within else value}


# What a field holds where the option of a number, of so many, is right; and where the options have labels.
CODES: dict[str, Callable[[int, Sequence[str]], Any]] = {
    "index": lambda gold, labels: gold,
    "number": lambda gold, labels: gold + 1,
    "label": lambda gold, labels: labels[gold],
    "letter": lambda gold, labels: ascii_uppercase[gold] if gold < len(ascii_uppercase) else None,
    "small letter": lambda gold, labels: ascii_uppercase[gold].lower() if gold < len(ascii_uppercase) else None,
    "index as text": lambda gold, labels: str(gold),
    "number as text": lambda gold, labels: str(gold + 1),
    "one of all": lambda gold, labels: [int(number == gold) for number in range(len(labels))],
    "list of one": lambda gold, labels: [gold],
}


def gold_fields(
    documents: Sequence[Mapping[str, Any]], golds: Sequence[int], labels: Sequence[Sequence[str]]
) -> list[GoldField]:
    """The fields that say in every document which option is right.

    Parameters
    ----------
    documents : sequence of mapping
    golds : sequence of int
        The index of the right option of each.
    labels : sequence of sequence of str
        What the options of each are called.

    Examples
    --------
    >>> documents = [{"q": "?", "answer": 1, "key": "B"}, {"q": "!", "answer": 0, "key": "A"}]
    >>> [(found.name, found.code) for found in gold_fields(documents, [1, 0], [["A", "B"]] * 2)]
    [('answer', 'index'), ('key', 'label')]
    """
    found = []
    for name, value in documents[0].items():
        for within in value if isinstance(value, Mapping) else ("",):
            values = [_within(document.get(name), within) for document in documents]
            for code, written in CODES.items():
                if all(
                    _same(value, written(gold, called))
                    for value, gold, called in zip(values, golds, labels, strict=True)
                ):
                    found.append(GoldField(name, code, within))
                    break
    return found


def _within(value: Any, key: str) -> Any:
    return (value.get(key) if isinstance(value, Mapping) else None) if key else value


def _same(value: Any, written: Any) -> bool:
    """Whether a field holds this; true and false are no numbers."""
    return type(value) is type(written) and value == written
