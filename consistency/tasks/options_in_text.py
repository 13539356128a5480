"""Options within texts: in a prompt that is a field of the document, or behind their labels in a list.

Where the last option of a text ends is told by the texts of all documents: behind it they are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from consistency.tasks.option_fields import OptionFields, possible_option_fields

Document = Mapping[str, Any]
_WORD = re.compile(r"[^\W_]+")
# A label before an option, and what sets it apart: "(A)", "A.", "1)", "b:".
_LABEL = re.compile(r"\s*[(\[]?([^\W_]{1,2})[)\].:、．-]+\s*")
_COUNTED = ("ABCDEFGHIJ", "abcdefghij", "123456789")
# Lines first: "A." may also be a name. {} is the label.
_FORMS = (
    *(rf"^[ \t]*{form}" for form in (r"\({}\)", r"{}[.):：、．-]")),
    *(r"\({}\)", r"\[{}\]", r"(?<!\S){}[.):：、．-]"),
)


class HeldOptions(Protocol):
    """Where a document holds its options."""

    def read(self, document: Document) -> list[Any]:
        """The options, in the order of the document."""

    def write(self, document: Document, texts: Sequence[Any]) -> dict[str, Any]:
        """The document with other options in their places."""


def split_labels(scored: Sequence[Any]) -> tuple[list[str], list[str]] | None:
    """The labels with which texts begin, which count, and what is behind them; None where they do not begin so.

    Examples
    --------
    >>> split_labels(["(A)21", "(B)22"])
    (['(A)', '(B)'], ['21', '22'])
    >>> split_labels(["A priori", "B-movies"])
    """
    found = [_LABEL.match(text) if isinstance(text, str) else None for text in scored]
    labels = [match[0] for match in found if match]
    words = "".join(match[1] for match in found if match)
    if len(labels) < len(scored) or not any(run.startswith(words) for run in _COUNTED):
        return None
    texts = [text[len(label) :] for text, label in zip(scored, labels, strict=True)]
    return (labels, texts) if len(texts) > 1 and all(texts) else None


@dataclass(frozen=True)
class LabelledOptions:
    """Options in a list, each behind its label.

    Examples
    --------
    >>> held = LabelledOptions(OptionFields(("choices",), True))
    >>> held.write({"choices": ["(A)21", "(B)22"]}, ["22", "21"])
    {'choices': ['(A)22', '(B)21']}
    """

    fields: OptionFields

    def read(self, document: Document) -> list[Any]:
        """The options without their labels."""
        return self._split(document)[1]

    def write(self, document: Document, texts: Sequence[Any]) -> dict[str, Any]:
        """Other options behind the labels."""
        labels = self._split(document)[0]
        return self.fields.write(document, [f"{label}{text}" for label, text in zip(labels, texts, strict=True)])

    def _split(self, document: Document) -> tuple[list[str], list[str]]:
        split = split_labels(self.fields.read(document))
        if split is None:
            raise LookupError("an option without a label")
        return split


@dataclass(frozen=True)
class OptionsInText:
    r"""Options in one text, each behind its label.

    Attributes
    ----------
    name : str
        The field.
    form : str
        A regular expression of a label, {} the label.
    labels : tuple of str
        Of the document with the most options.
    tail : str
        What is behind the last option, to the end of the text.

    Examples
    --------
    >>> held = OptionsInText("query", r"\({}\)", ("A", "B"), tail="\nAnswer:")
    >>> document = {"query": "1 + 1? (A)2 (B)3\nAnswer:"}
    >>> held.read(document)
    ['2', '3']
    >>> held.write(document, ["3", "2"])
    {'query': '1 + 1? (A)3 (B)2\nAnswer:'}
    """

    name: str
    form: str
    labels: tuple[str, ...]
    tail: str

    def read(self, document: Document) -> list[Any]:
        """The options, without white space around them."""
        return [document[self.name][start:end] for start, end in self._spans(document)]

    def write(self, document: Document, texts: Sequence[Any]) -> dict[str, Any]:
        """The document with other options in their places."""
        text: str = document[self.name]
        parts, done = [], 0
        for (start, end), other in zip(self._spans(document), texts, strict=True):
            parts += [text[done:start], str(other)]
            done = end
        return {**document, self.name: "".join([*parts, text[done:]])}

    def _spans(self, document: Document) -> list[tuple[int, int]]:
        text = document[self.name]
        places = label_places(text, self.form, self.labels) if isinstance(text, str) else []
        if not places or not text.endswith(self.tail):
            raise LookupError("no options behind labels, or another text behind the last")
        ends = [*(start for start, _ in places[1:]), len(text) - len(self.tail)]
        return [_core(text, start, end) for (_, start), end in zip(places, ends, strict=True)]


def _core(text: str, start: int, end: int) -> tuple[int, int]:
    """A part of a text without the white space around it."""
    found = text[start:end]
    if not found.strip():
        raise LookupError("an empty option")
    return start + len(found) - len(found.lstrip()), end - len(found) + len(found.rstrip())


def label_places(text: str, form: str, labels: Sequence[str]) -> list[tuple[int, int]]:
    r"""Where the labels begin and end: the longest run of them from the first on, and of these the last.

    Options may name others ("both (A) and (B)"), and questions with options may stand before.

    Examples
    --------
    >>> label_places("(A)no (B)yes (C)both (A) and (B)", r"\({}\)", "ABCD")
    [(0, 3), (6, 9), (13, 16)]
    """
    found: list[tuple[int, int]] = []
    markers = [re.compile(form.format(re.escape(label)), re.MULTILINE) for label in labels]
    for first in markers[0].finditer(text):
        run = [first.span()]
        for marker in markers[1:]:
            following = marker.search(text, run[-1][1])
            if following is None:
                break
            run.append(following.span())
        if len(run) >= max(len(found), 2):
            found = run
    return found


def held_options(
    documents: Sequence[Document], document: Document, labels: Sequence[str]
) -> Iterator[tuple[HeldOptions, ...]]:
    """The fields that may hold a document's options, each with those that hold them once more.

    Parameters
    ----------
    documents : sequence of mapping
        All.
    document : mapping
        One of them, with the most options.
    labels : sequence of str
        Of its options.

    Yields
    ------
    tuple of HeldOptions
        The likeliest first.
    """
    lists: list[HeldOptions] = []
    for fields in possible_option_fields(document):
        if split_labels(fields.read(document)):
            lists.append(LabelledOptions(fields))
        lists.append(fields)
    lists = [held for held in lists if len(held.read(document)) == len(labels)]
    in_text = [held for held in _in_texts(documents, document, labels) if len(held.read(document)) == len(labels)]
    for held in [*lists, *in_text]:
        texts = [str(text).strip() for text in held.read(document)]
        same = [other for other in lists if [str(text).strip() for text in other.read(document)] == texts]
        yield held, *(other for other in same if other != held)


def _in_texts(documents: Sequence[Document], document: Document, labels: Sequence[str]) -> Iterator[OptionsInText]:
    words = tuple("".join(_WORD.findall(label)) for label in labels)
    if not all(words):
        return
    for name, text in document.items():
        if not isinstance(text, str):
            continue
        for form in _FORMS:
            places = label_places(text, form, words)
            if len(places) == len(words):
                in_lines = form.startswith("^") and "\n" in text[places[-2][1] : places[-1][0]]
                texts = [] if in_lines else [str(other.get(name)) for other in documents]
                tail = _tail(texts, text[places[-1][1] :])
                if tail is not None:
                    yield OptionsInText(name, form, words, tail)
                    break


def _tail(texts: Sequence[str], behind: str) -> str | None:
    """What is behind the last option, of a text from there on; None where that cannot be told.

    Given are all texts whose options are not lines of their own.
    """
    option = behind.lstrip()
    end = option.find("\n")
    if end >= 0:
        return option[end:]
    # In one line, what all texts end with may belong to the option or not.
    same = 0
    while len(set(texts)) > 1 and same < len(option) and len({text[-same - 1 :] for text in texts}) == 1:
        same += 1
    return None if re.search(r"\s\S*\w", option[len(option) - same :]) else ""
