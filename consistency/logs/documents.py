"""The question and the options of a logged document, whatever its task calls them, and its line in the file.

lm_eval logs a document as the data set delivers it, so every benchmark has names of its own. Two runs are paired by
the text of their questions only where they have no common hash.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from consistency.logs.packed import read_log
from consistency.tasks.option_fields import option_fields

# Bytes of `question_key`.
KEY_SIZE = 16
# They differ between releases of one data set, or hold the answer, and are not part of the question.
_ANSWERS = (
    *("answer", "answers", "answer_idx", "answer_index", "answerKey", "answer_key", "gold", "target", "cop", "labels"),
    *("label", "correct", "solution", "answer_number"),
)
_NOT_QUESTION = {
    *_ANSWERS,
    *("id", "idx", "ind", "index", "_id", "uid", "question_id", "source", "source_id", "split", "subset"),
    *("subject", "category", "subcategory", "domain", "task", "topic", "subject_name", "topic_name"),
    *("exp", "explanation", "choice_type", "context_id", "activity_label", "split_type", "few_shot"),
}


def fields_of(document: bytes) -> dict[str, Any]:
    """The fields of a document in JSON; none where it is no JSON, and one named `document` where it is no object.

    Examples
    --------
    >>> fields_of(b'{"question": "1+1?", "answer": 2}')
    {'question': '1+1?', 'answer': 2}
    """
    try:
        decoded = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return decoded if isinstance(decoded, dict) else {"document": decoded}


def value_of(fields: Any, name: str) -> Any:
    """The value of a field, or of a nested one by a name with dots; None without it.

    Examples
    --------
    >>> value_of({"metadata": {"level": 3}}, "metadata.level"), value_of({"a.b": 1}, "a.b")
    (3, 1)
    """
    if isinstance(fields, Mapping) and name in fields:
        return fields[name]
    outer, _, inner = name.partition(".")
    return value_of(fields[outer], inner) if inner and isinstance(fields, Mapping) and outer in fields else None


def names_in(fields: Mapping[str, Any], outer: str = "") -> Iterator[str]:
    """The names of fields, those of nested ones with dots.

    Examples
    --------
    >>> list(names_in({"question": "1+1?", "metadata": {"level": 3}}))
    ['question', 'metadata.level']
    """
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            yield from names_in(value, f"{outer}{name}.")
        else:
            yield f"{outer}{name}"


def _options(fields: dict[str, Any]) -> tuple[tuple[str, ...], set[str]]:
    """The options' texts, and the fields that hold them."""
    for found in option_fields(fields):
        return tuple(str(text) for text in found.read(fields)), set(found.names)
    return (), set()


def labelled_options(document: bytes) -> list[tuple[tuple[str, ...], tuple[bool, ...]]]:
    """Sets of options in a document in JSON, with a label for each that says whether it is right.

    Examples
    --------
    >>> labelled_options(b'{"mc2_targets": {"choices": ["yes", "aye", "no"], "labels": [1, 1, 0]}}')
    [(('yes', 'aye', 'no'), (True, True, False))]
    """
    fields = fields_of(document)
    found = []
    for holder in (fields, *fields.values()):
        choices, labels = (holder.get("choices"), holder.get("labels")) if isinstance(holder, dict) else (None, None)
        if (
            isinstance(choices, list)
            and isinstance(labels, list)
            and len(choices) == len(labels)
            and all(isinstance(text, str) for text in choices)
            and all(label in (0, 1) for label in labels)
        ):
            found.append((tuple(choices), tuple(map(bool, labels))))
    return found


def answer_in(fields: Mapping[str, Any]) -> Any:
    """The right answer among the fields of a document, in numbers rather than words; None where none is recognised.

    Examples
    --------
    >>> answer_in({"question": "1+1?", "answer": "It is 2.", "answer_number": 2})
    2
    """
    found = [fields[name] for name in _ANSWERS if fields.get(name) not in (None, "")]
    numbers = [value for value in found if isinstance(value, int | float)]
    return next(iter(numbers or found), None)


def options_of(document: bytes) -> tuple[str, ...]:
    """Texts of the options of a document in JSON, in its own order; empty where none are recognised.

    Examples
    --------
    >>> options_of(b'{"question": "1+1?", "choices": {"text": ["2", "3"], "label": ["A", "B"]}}')
    ('2', '3')
    """
    return _options(fields_of(document))[0]


def question_of(document: bytes) -> str:
    """The question of a document in JSON: its texts but for options, answer and origin, in the document's own order.

    Examples
    --------
    >>> question_of(b'{"question": "1+1?", "choices": ["2", "3"], "subject": "sums", "answer": 0}')
    '1+1?'
    """
    return question_and_options(document)[0]


def question_and_options(document: bytes) -> tuple[str, tuple[str, ...]]:
    """What `question_of` and `options_of` give, of a document that is decoded once."""
    fields = fields_of(document)
    options, named = _options(fields)
    skipped = _NOT_QUESTION | named
    texts = [value for name, value in fields.items() if isinstance(value, str) and value and name not in skipped]
    # Some data sets hold the parts of a question, and also their sum.
    parts = [text for i, text in enumerate(texts) if not any(text in other for other in texts[:i] + texts[i + 1 :])]
    return "\n".join(parts or texts[:1]) or document.decode("utf-8", "replace"), options


def normalised(text: str) -> str:
    r"""Text with its white space evened out and accents in one form (NFC), as it is compared between runs.

    Examples
    --------
    >>> normalised(" Paris,\n France "), normalised("Bogota\u0301") == "Bogotá"
    ('Paris, France', True)
    """
    found = " ".join(text.split())
    return found if found.isascii() else unicodedata.normalize("NFC", found)


def _text(value: Any) -> str:
    return normalised(value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode())


def question_key(document: bytes, options: tuple[str, ...]) -> bytes:
    """Digest of a question: its fields and its options in any order, without its answer, number and origin.

    Parameters
    ----------
    document : bytes
        The document as JSON.
    options : tuple of str
        Its options, from the document or from what was scored.

    Examples
    --------
    >>> first = question_key(b'{"question": "1+1?", "choices": ["2", "3"], "answer": 0}', ("2", "3"))
    >>> first == question_key(b'{"question": "1+1? ", "choices": ["3", "2"], "answer": 1}', ("3", "2"))
    True
    """
    asked, texts = asked_fields(document, options)
    content = msgspec.json.encode([sorted(asked.values()), texts])
    return hashlib.blake2b(content, digest_size=KEY_SIZE).digest()


def asked_fields(document: bytes, options: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What a question asks, by field, and its options in an order of their own, as `question_key` takes both.

    Examples
    --------
    >>> asked_fields(b'{"question": "1+1?", "choices": ["3", "2"], "answer": 1, "hint": "even"}', ())
    ({'question': '1+1?', 'hint': 'even'}, ('2', '3'))
    """
    fields = fields_of(document)
    texts, option_fields = _options(fields)
    skipped = _NOT_QUESTION | option_fields
    asked = {name: _text(value) for name, value in fields.items() if value not in ("", None) and name not in skipped}
    if not asked:
        # No field is recognised as a question: only the whole document identifies it.
        asked = {"": msgspec.json.encode(fields, order="deterministic").decode() if fields else document.hex()}
    return asked, tuple(sorted(normalised(text) for text in (texts or options)))


def find_line(path: Path, document: bytes, doc_id: int) -> int | None:
    """Line of a samples file that holds a document, for a message about it; None where it is not found.

    Parameters
    ----------
    path : Path
        The file.
    document : bytes
        The document as JSON. One that Python's json parsed has other bytes than the file; then the line that has its
        doc_id is found.
    doc_id : int
        Its number.
    """
    return _find_line(read_log(path), document, doc_id)


def find_lines(path: Path, documents: Iterable[bytes], doc_ids: Iterable[int]) -> Iterator[int | None]:
    """Lines of many documents of a samples file, see `find_line`; the file is read once."""
    content = read_log(path)
    line, counted, start = 1, 0, 0
    for document, doc_id in zip(documents, doc_ids, strict=True):
        place = content.find(document, start)
        if place < 0:
            yield _find_line(content, document, doc_id)
            continue
        # Most files have their documents in this order, so that the next one is further down.
        line += content.count(b"\n", counted, place)
        counted, start = place, place + 1
        yield line


def _find_line(content: bytes, document: bytes, doc_id: int) -> int | None:
    number = re.compile(rb'"doc_id"\s*:\s*"?%d\b' % doc_id)
    places = [found.start() for found in re.finditer(re.escape(document), content)]
    named = number.search(content)
    for place in places:
        # On its own line in a file of lines, on the line before in an array that is written over many.
        around = content[
            content.rfind(b"\n", 0, max(content.rfind(b"\n", 0, place), 0)) + 1 : content.find(b"\n", place)
        ]
        if number.search(around):
            return content.count(b"\n", 0, place) + 1
    best = places[0] if places else named.start() if named else None
    return None if best is None else content.count(b"\n", 0, best) + 1
