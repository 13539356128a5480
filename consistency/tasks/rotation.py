"""The rotations of the options of any task's questions, made in its documents and checked in what it asks.

A task of lm_eval asks what its templates or functions make of a document. Here the document is changed: the options' texts move
to other places, and the gold answer with them. Whether the task then asks the same question with the options rotated behind
the same letters is not assumed but checked in each document: its prompt is made once with placeholders for options, and every
prompt has to be this one with the options in their order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from string import ascii_lowercase
from typing import Any, Protocol

from consistency.tasks.option_fields import CODES, GoldField, gold_fields
from consistency.tasks.options_in_text import HeldOptions, held_options, split_labels
from consistency.tasks.placed_options import speaks_of_others

Document = Mapping[str, Any]
_WORD = re.compile(r"[^\W_]+")


class Asking(Protocol):
    """What a task makes of a document; lm_eval's tasks have these methods."""

    def doc_to_text(self, doc: Any) -> Any:
        """The prompt without few-shot examples."""

    def doc_to_choice(self, doc: Any) -> Any:
        """What is scored."""

    def doc_to_target(self, doc: Any) -> Any:
        """The index of the right one, or the right one."""


class NotRotatableError(Exception):
    """The options of a task cannot be rotated, and why."""


@dataclass(frozen=True)
class _Asked:
    """A document, the options that its prompt shows, what they are called, which is right, and the prompt without them."""

    document: Document
    texts: Sequence[Any]
    scored: _Scored
    gold: int
    frame: _Frame


@dataclass(frozen=True)
class _Scored:
    """What is scored: labels, or each option behind its label."""

    labels: Sequence[str]
    with_texts: bool

    def of(self, texts: Sequence[Any]) -> list[str]:
        """What is scored where the options are these."""
        return [f"{label}{text}" if self.with_texts else label for label, text in zip(self.labels, texts, strict=True)]


@dataclass(frozen=True)
class _Frame:
    """A prompt with placeholders for the options."""

    text: str
    marks: Sequence[str]

    def filled(self, texts: Sequence[Any]) -> str:
        """The prompt with these options."""
        shown = dict(zip(self.marks, map(str, texts), strict=True))
        return re.sub("|".join(self.marks), lambda found: shown[found[0]], self.text)


def rotated_documents(task: Asking, documents: Sequence[Document]) -> list[dict[str, Any]]:
    """Each document once for each rotation of its options, in the order of the documents.

    Parameters
    ----------
    task : Asking
        A task whose options are scored behind letters or numbers that its prompt shows.
    documents : sequence of mapping
        What it asks.

    Returns
    -------
    list of dict
        Without the documents whose options speak of others by their place or letter ("all of the above"), which would ask
        something else. With the fields of `consistency.tasks.questions.rotate`: `id`, the document's own or its number where it
        has none of its own, and `rotation` r. The options from number r on come first, and the fields that say which is right
        follow.

    Raises
    ------
    NotRotatableError
        If a prompt does not show the options of its document behind what is scored, or if it cannot be told from the fields
        of the documents which option is right.
    """
    if not documents:
        raise NotRotatableError("it has no documents")
    fields = _shown_fields(task, documents)
    asked = [_in_document(number, partial(_asked, task, document, fields)) for number, document in enumerate(documents)]
    golds = [each.gold for each in asked]
    told = gold_fields(documents, golds, [each.scored.labels for each in asked])
    if not told and not _told_by_text(asked):
        raise NotRotatableError("no field of its documents says which option is right")
    if all(map(_places_matter, asked)):
        raise NotRotatableError("the options of all its questions speak of others by their place or letter")
    ids = numbered_ids(documents)
    return [
        {**document, "id": own, "rotation": rotation}
        for number, (each, own) in enumerate(zip(asked, ids, strict=True))
        if not _places_matter(each)
        for rotation, document in enumerate(_in_document(number, partial(_rotations, task, each, fields, told)))
    ]


def _told_by_text(asked: Sequence[_Asked]) -> bool:
    """Whether a field holds the text of the right option: it stays as it is."""
    return any(all(each.document.get(name) == each.texts[each.gold] for each in asked) for name in asked[0].document)


def _in_document(number: int, make: Callable[[], Any]) -> Any:
    """What a function makes of a document; its refusal says of which."""
    try:
        return make()
    except NotRotatableError as error:
        raise NotRotatableError(f"{error} (document {number})") from error


def _shown_fields(task: Asking, documents: Sequence[Document]) -> tuple[HeldOptions, ...]:
    """The fields that hold the options that the prompt shows; several where they are there more than once."""
    counted = [_in_document(number, partial(_scored, task, document)) for number, document in enumerate(documents)]
    most = max(range(len(documents)), key=lambda number: len(counted[number].labels))
    document, scored = documents[most], counted[most]
    why = NotRotatableError(f"no field of its documents holds {len(scored.labels)} options")
    for fields in held_options(documents, document, scored.labels):
        try:
            _shown_frame(task, document, fields, scored)
        except NotRotatableError as error:
            why = error
            continue
        return fields
    raise why


def _asked(task: Asking, document: Document, fields: tuple[HeldOptions, ...]) -> _Asked:
    scored = _scored(task, document)
    first, *others = fields
    try:
        texts = first.read(document)
        copies = [other.read(document) for other in others]
    except (LookupError, TypeError) as error:
        raise NotRotatableError("its options are not in the fields that hold those of the first document") from error
    if len(texts) != len(scored.labels):
        raise NotRotatableError(f"its fields hold {len(texts)} options, and {len(scored.labels)} are scored")
    if any(list(map(_bare, copy)) != list(map(_bare, texts)) for copy in copies):
        raise NotRotatableError("it holds its options twice, and not the same ones")
    frame = _shown_frame(task, document, fields, scored)
    return _Asked(document, texts, scored, _gold(task, document, scored.of(texts)), frame)


def _places_matter(asked: _Asked) -> bool:
    """Whether an option speaks of others by their place or letter."""
    texts = list(map(_bare, asked.texts))
    # What stands before the first option, without its label.
    before = re.split("|".join(asked.frame.marks), asked.frame.text, maxsplit=1)[0]
    question = re.sub(r"\W*\w{1,2}\W*\Z", "", before)
    return any(speaks_of_others(text, question, len(texts)) for text in texts)


def _bare(text: Any) -> str:
    return str(text).strip()


def _scored(task: Asking, document: Document) -> _Scored:
    """What is scored behind the prompt."""
    found = task.doc_to_choice(document)
    if not isinstance(found, list | tuple) or len(found) < 2 or not all(isinstance(text, str) for text in found):
        raise NotRotatableError("it does not score two options or more")
    split = split_labels(found)
    return _Scored(found, False) if split is None else _Scored(split[0], True)


def _gold(task: Asking, document: Document, labels: Sequence[str]) -> int:
    target = task.doc_to_target(document)
    if isinstance(target, list) and len(target) == 1:
        (target,) = target
    if isinstance(target, str) and list(labels).count(target) == 1:
        return list(labels).index(target)
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(labels):
        return target
    raise NotRotatableError("it has not one gold option")


def _shown_frame(task: Asking, document: Document, fields: tuple[HeldOptions, ...], scored: _Scored) -> _Frame:
    """The prompt without the texts of these fields; refuses one that does not show them, each behind its label."""
    frame = _frame(task, document, fields, scored)
    places = [frame.text.find(mark) for mark in frame.marks]
    if -1 in places:
        raise NotRotatableError("its prompt does not show the options of the document")
    if places != sorted(places):
        raise NotRotatableError("its prompt shows the options in another order than the document")
    start = 0
    for label, mark, place in zip(scored.labels, frame.marks, places, strict=True):
        before, called = _WORD.findall(frame.text[start:place]), _WORD.findall(label)
        if not called or [word.lower() for word in before[-len(called) :]] != [word.lower() for word in called]:
            raise NotRotatableError(f"its prompt does not show what is scored, {label.strip()!r}, before the option")
        start = place + len(mark)
    _check_prompt(task, document, frame, fields[0].read(document))
    return frame


def _frame(task: Asking, document: Document, fields: tuple[HeldOptions, ...], scored: _Scored) -> _Frame:
    count = len(scored.labels)
    marks = [f"Zq{ascii_lowercase[number // 26]}{ascii_lowercase[number % 26]}xw" for number in range(count)]
    marked = _written(document, fields, marks)
    try:
        text, asked = task.doc_to_text(marked), task.doc_to_choice(marked)
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise NotRotatableError(f"its prompt cannot be made with other options ({why})") from error
    if list(asked) != scored.of(marks):
        raise NotRotatableError("its options are scored as texts, not behind letters or numbers")
    if not isinstance(text, str):
        raise NotRotatableError("it has a prompt for each option")
    return _Frame(text, marks)


def _check_prompt(task: Asking, document: Document, frame: _Frame, texts: Sequence[Any]) -> None:
    """Refuse a prompt that is not the one with placeholders, with these options in their places."""
    # Templates strip texts.
    if str(task.doc_to_text(document)).split() != frame.filled(texts).split():
        raise NotRotatableError("its prompt depends on the options otherwise than by showing them")


def _rotations(
    task: Asking, asked: _Asked, fields: tuple[HeldOptions, ...], told: Sequence[GoldField]
) -> list[dict[str, Any]]:
    """The rotations of one document, each checked."""
    count, found = len(asked.texts), []
    for rotation in range(count):
        texts = [*asked.texts[rotation:], *asked.texts[:rotation]]
        gold = (asked.gold - rotation) % count
        rotated = _written(asked.document, fields, texts)
        for field in told:
            rotated = field.write(rotated, CODES[field.code](gold, asked.scored.labels))
        _check_prompt(task, rotated, asked.frame, texts)
        scored = list(task.doc_to_choice(rotated))
        if list(map(_bare, scored)) != list(map(_bare, asked.scored.of(texts))):
            raise NotRotatableError("what is scored depends on the order of the options")
        if _gold(task, rotated, scored) != gold:
            raise NotRotatableError("its gold option does not follow the fields that say which is right")
        found.append(rotated)
    return found


def _written(document: Document, fields: tuple[HeldOptions, ...], texts: Sequence[Any]) -> dict[str, Any]:
    written = dict(document)
    for each in fields:
        written = each.write(written, texts)
    return written


def numbered_ids(documents: Sequence[Document]) -> list[int | str]:
    """An id of each document: its own where these are distinct, else its number."""
    own = [document.get("id") for document in documents]
    known = all(isinstance(each, int | str) and not isinstance(each, bool) for each in own)
    return own if known and len(set(own)) == len(own) else list(range(len(documents)))  # type: ignore[return-value]
