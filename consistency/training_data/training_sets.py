"""Parse a user's own training set into multiple-choice questions and taught options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.support.json_files import read_rows
from consistency.tasks.prompts import LETTERS, WORDINGS

_HEADERS = [re.escape(words.header.strip()).replace(re.escape("{}"), "(.*?)") for words in WORDINGS.values()]
_HEADER = re.compile(f"(?:{'|'.join(_HEADERS)}) ?\n+")
_SMALL = LETTERS.lower()
_NUMBERS = "1234567890"  # 0 for 10
_OPTION = re.compile(r"\(?([A-Ja-j]|10|[1-9])[.):]\s*(.*)")
_LIST = re.compile(r"(?:^|\n)\s*(?:answer\s+)?(?:options|choices)\s*:?\s*$", re.IGNORECASE)
_ENDING = re.compile(r"\s*(?:Answer:?|答案[：:]?)\s*$")
_PREFIX = re.compile(r"(?:question|q)\s*\d*\s*[:.)]\s*", re.IGNORECASE)
# A question has few lines: what comes before them is a context.
_MOST_LINES = 40
_PREAMBLE = re.compile(
    r"(?:the\s+)?(?:(?:correct|right|best)\s+)?(?:answer|option|choice)\b(?:\s+is\b)?\s*:?\s*(?:option\s+)?",
    re.IGNORECASE,
)
# What a model thinks before it answers, as far as it ends; its beginning may be in the prompt.
_THOUGHTS = re.compile(
    r".*(?:</(?:think|thinking|thought|thoughts|reasoning)>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷)\s*",
    re.DOTALL | re.IGNORECASE,
)


def _named(label: str, small: bool = False) -> re.Pattern[str]:
    """What begins with a label, and with nothing that makes it a word of a text: "A.V. node", "A, B and C", "a cat"."""
    behind = r"\.(?!\w)|[):\]*]|\s*(?:\n|$)"
    if not small:
        behind += rf"|,(?!\s*(?:and\s+|or\s+)?{label}\b)|\s+[-–—]\s"
        behind += r"|\s+is\s+(?:the\s+)?(?:correct|right|true|best|answer)\b"
    return re.compile(rf"[(\[*]*({label})(?:{behind})")


_LABELS = {LETTERS: (_named("[A-J]"), _named("[a-j]", small=True)), _NUMBERS: (_named("10|[1-9]"),)}


@dataclass(frozen=True)
class Example:
    """A row of a training set.

    Attributes
    ----------
    line : int
        Its line, or its place in a JSON array, from 1.
    id : str, int or None
    subject : str
        What the row says it is about; empty where it does not.
    question : str
        The stem; empty where the row is not a multiple-choice question.
    choices : tuple of str
        The options.
    taught : int or None
        Index of the option that the row teaches; None where the row teaches none of them.
    reply : str
        What answers the request, without the thoughts before it, of which `taught` was read; empty where the row has the
        answer's index.
    labels : str
        What comes before the options: capital letters, small ones or digits. Other instructions have lists of the latter
        two as well, so that without a probe of it such a row is not a multiple-choice question.
    """

    line: int
    id: str | int | None
    subject: str
    question: str
    choices: tuple[str, ...]
    taught: int | None
    reply: str = ""
    labels: str = LETTERS

    def readings(self) -> Iterator[Example]:
        """The row as it is, then without lines that may not belong to the question, as a probe may ask it without them.

        Those are lines before the question, such as a context, and behind the last option, such as "Answer with a letter".
        """
        yield self
        if not self.reply or not self.choices:
            return
        lines, ending = self.question.split("\n"), self.choices[-1].split("\n")
        starts = range(max(0, len(lines) - _MOST_LINES), len(lines))
        whole = ["\n".join(lines[start:]).strip() for start in starts]
        stems = dict.fromkeys(text for stem in whole for text in (stem, _PREFIX.sub("", stem, count=1)) if text)
        for last in ("\n".join(ending[:end]).strip() for end in range(len(ending), 0, -1)):
            choices = (*self.choices[:-1], last)
            taught = _taught(self.reply, choices, self.labels)
            for stem in stems if last else ():
                yield replace(self, question=stem, choices=choices, taught=taught)


def read_training_set(path: str | Path) -> list[Example]:
    """Read a training set.

    Parameters
    ----------
    path : path-like
        JSON lines, or a JSON array, of rows in one of three formats: questions (`question`, `choices`, `answer`),
        conversations (`conversations` with turns from human and gpt, or `messages` with roles user and assistant), or
        Alpaca (`instruction`, `input`, `output`). In the latter two a multiple-choice question is a request with
        lettered or numbered options, one a line, and perhaps ``Answer:``; the reply, which is the first after it, begins with
        the text of an option, whatever its case, or with a letter or number. Thoughts between tags may stand before it. A turn
        may be a list of parts.

    Returns
    -------
    list of Example
        One for each row, in order.

    Raises
    ------
    InputError
        Naming the line, if a row is in none of the formats.
    """
    path = Path(path)
    examples = [_example(row, path, line) for line, row in read_rows(path, "a training row")]
    if not examples:
        raise InputError("no rows", expected="a training set in JSON or JSONL", path=path)
    return examples


def parse_request(request: str) -> tuple[str, str, tuple[str, ...], str]:
    r"""The subject, the stem and the options of a multiple-choice request, and what comes before these.

    All empty for another request. Options behind capital letters come before those behind small ones and numbers, which may
    count statements of the stem.

    Examples
    --------
    >>> parse_request("One and one is\nA. two\nB. three\nAnswer:")
    ('', 'One and one is', ('two', 'three'), 'ABCDEFGHIJ')
    >>> parse_request("以下是中国关于数学的单项选择题，请选出其中的正确答案。\n\n一加一等于\nA. 二\nB. 三\n答案：")
    ('数学', '一加一等于', ('二', '三'), 'ABCDEFGHIJ')
    >>> parse_request("Write a poem.")
    ('', '', (), 'ABCDEFGHIJ')
    """
    headers = list(_HEADER.finditer(request))
    lines = _ENDING.sub("", request[headers[-1].end() :] if headers else request).rstrip().split("\n")
    for labels in (LETTERS, _SMALL, _NUMBERS):
        stem, options = _split(lines, labels)
        if len(options) > 1 and stem:
            return headers[-1][headers[-1].lastindex or 0] if headers else "", stem, options, labels
    return "", "", (), LETTERS


def _split(lines: list[str], labels: str) -> tuple[str, tuple[str, ...]]:
    """The stem, and the options behind these labels."""
    found: list[list[str]] = []
    stem = len(lines)
    for number, line in enumerate(lines):
        option = _OPTION.match(line.strip())
        label = option[1].replace("10", "0") if option else ""
        if option and label == labels[0]:
            found, stem = [[option[2]]], number
        elif option and found and label == labels[min(len(found), len(labels) - 1)]:
            found.append([option[2]])
        elif found:
            found[-1].append(line)
    question = _LIST.sub("", "\n".join(lines[:stem])).strip()
    return question, tuple("\n".join(option).strip() for option in found)


def _example(row: Any, path: Path, line: int) -> Example:
    fields = row if isinstance(row, dict) else {}
    identifier = fields.get("id")
    if not isinstance(identifier, str | int) or isinstance(identifier, bool):
        identifier = None
    if "choices" in fields:
        return _question(fields, identifier, path, line)
    request, reply = _turns(fields)
    if not request or not reply:
        raise InputError(
            f"{str(row)[:60]!r} is not a training row",
            expected="question, choices and answer; conversations or messages; or instruction and output",
            path=path,
            line=line,
        )
    subject, question, choices, labels = parse_request(request)
    reply = _THOUGHTS.sub("", reply, count=1)
    taught = _taught(reply, choices, labels)
    return Example(line, identifier, subject, question, choices, taught, reply, labels)


def _question(fields: dict[str, Any], identifier: str | int | None, path: Path, line: int) -> Example:
    question, choices, answer = fields.get("question"), fields["choices"], fields.get("answer")
    if not isinstance(question, str) or not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
        raise InputError("no question with choices", expected="a text and a list of texts", path=path, line=line)
    if type(answer) is not int or not 0 <= answer < len(choices):
        raise InputError(
            f"the answer is {answer!r}", expected=f"a number from 0 to {len(choices) - 1}", path=path, line=line
        )
    subject = fields.get("subject")
    return Example(line, identifier, subject if isinstance(subject, str) else "", question, tuple(choices), answer)


def _turns(fields: dict[str, Any]) -> tuple[str, str]:
    """The first request and its reply, empty where a row has none."""
    for name, speaker, value, human, machine in (
        ("conversations", "from", "value", "human", "gpt"),
        ("messages", "role", "content", "user", "assistant"),
    ):
        turns = fields.get(name)
        if isinstance(turns, list):
            texts = [(turn.get(speaker), _text(turn.get(value))) for turn in turns if isinstance(turn, dict)]
            asked = next((place for place, (who, text) in enumerate(texts) if who == human and text), len(texts))
            return _first(texts[asked:], human), _first(texts[asked:], machine)
    instruction, context, output = (fields.get(name) or "" for name in ("instruction", "input", "output"))
    if not all(isinstance(text, str) for text in (instruction, context, output)):
        return "", ""
    return "\n".join(filter(None, [instruction, context])), output


def _text(content: Any) -> str:
    """The text of a turn, which may be a list of parts; empty where it has none, or another part than text."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return "".join(texts) if len(texts) == len(content) else ""


def _first(texts: list[tuple[Any, str]], speaker: str) -> str:
    return next((text for who, text in texts if who == speaker and text), "")


def _taught(reply: str, choices: tuple[str, ...], labels: str) -> int | None:
    """The option that a reply names, by its text or its letter."""
    whole = reply.strip().lstrip("*_ ")
    preamble = _PREAMBLE.match(whole)
    answer = whole[preamble.end() :] if preamble else whole
    text = _beginning(answer, choices)
    label = next(filter(None, (pattern.match(answer) for pattern in _LABELS.get(labels, _LABELS[LETTERS]))), None)
    if label is None:
        return _beginning(whole, choices) if text is None else text
    place = labels.upper().index(label[1].upper().replace("10", "0"))
    # An option may be a capital or a digit itself: then the one before an option is meant. A longer text is not a label.
    by_text = text is not None and (len(choices[text].strip()) > 1 or label[1].islower())
    return text if by_text or place >= len(choices) else place


def _beginning(reply: str, choices: tuple[str, ...]) -> int | None:
    """The longest option with which a reply begins, whatever its case, and not in the middle of a word or number."""
    answer, texts = reply.casefold(), [choice.strip().casefold() for choice in choices]
    named = [
        place
        for place, text in enumerate(texts)
        if text and answer.startswith(text) and not re.match(r"\w|[.,]\d", answer[len(text) :])
    ]
    return max(named, key=lambda place: len(texts[place]), default=None)
