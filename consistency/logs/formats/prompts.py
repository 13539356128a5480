"""A question and its options out of the prompt that a program logged whole."""

from __future__ import annotations

import re
from string import ascii_uppercase

# "A. Paris", "B) Rome", "(C) Oslo" at the beginning of a line.
_LABEL = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]*", re.MULTILINE)
_ANSWER = r"(?:(?:(?:The )?[Cc]orrect )?[Aa]nswer|A|答案|Antwort|Réponse|Respuesta|Risposta|Resposta)[ \t]*"
# The end of an example before the question.
_ANSWERED = re.compile(
    rf"^[ \t]*{_ANSWER}[:：](?!=)[ \t]*\S[^\n]*$|^[^\n]*\b[Tt]he (?:correct )?answer is:?[ \t]*\(?[A-Z]\)?\.?[ \t]*$",
    re.MULTILINE,
)
# Behind the options, or behind the question where it has none.
_ASKS = re.compile(rf"\s*(?:^|\n)[ \t]*{_ANSWER}[:：]?[ \t]*\Z")
# What chat templates put before a turn, and behind the last.
_TURN = re.compile(
    r"(?:(?:<\|[^<>|\n]{1,40}\|>|<｜[^<>｜\n]{1,40}｜>|<(?:start|end)_of_turn>|<[be]os>)"
    r"(?:[ \t]*(?:system|user|assistant|human|model)\b)?|\[/?INST\]|</?s>)\s*"
)
_LAST_TURNS = re.compile(rf"(?:\s*{_TURN.pattern})+\Z")
# Where the last option ends, if more follows: how to answer.
_END = re.compile(
    rf"\n[ \t]*\n|\n[ \t]*{_ANSWER}[:：](?!=)|<[|｜]|<end_of_turn>"
    r"|\n[ \t]*(?:Answer (?:with|the question|using|by|only)|Please |(?:Respond|Reply) (?:with|only|by)"
    r"|(?:Your|The best|The correct|The) answer\b|(?:Select|Choose) (?:the|one)|Only (?:give|answer|reply)|Let's think)"
)
_BEFORE = re.compile(r"\A\s*(?:Question|Q)[ \t]*:[ \t]*", re.IGNORECASE)
_BEHIND = re.compile(r"\n[ \t]*(?:Choices|Options|Answer choices)[ \t]*:?[ \t]*\Z", re.IGNORECASE)
# Paragraphs that harnesses put before a question.
_HEADER = re.compile(
    r"\A\s*(?:The following (?:is|are) |Answer the following |Choose the |Please )[^\n]*\n[ \t]*\n", re.IGNORECASE
)


def asked(prompt: str, count: int = 0, instruction: str = "") -> tuple[str, tuple[str, ...]]:
    r"""The last question of a prompt, and its options where they are listed behind letters.

    Parameters
    ----------
    prompt : str
        With examples and instructions, or the question alone.
    count : int
        How many options there are, where that is known: another number of lettered lines is no list of them.
    instruction : str
        What is known to stand before the question.

    Returns
    -------
    str
        Without the words around it; the whole prompt where nothing else is left.
    tuple of str

    Examples
    --------
    >>> asked("Answer the following question.\n\nQ: 1+1?\nA. 2\nB. 3\nAnswer: A\n\nQ: 2+2?\nA. 3\nB. 4\nAnswer:")
    ('2+2?', ('3', '4'))
    """
    text = _ASKS.sub("", _LAST_TURNS.sub("", prompt.replace("\r\n", "\n")))
    if instruction and text.startswith(instruction):
        text = text[len(instruction) :]
    labels = _last_run([*_LABEL.finditer(text)])
    options: tuple[str, ...] = ()
    question = text
    if len(labels) > 1 and count in (0, len(labels)):
        ends = [label.start() for label in labels[1:]] + [len(text)]
        options = tuple(text[label.end() : end].strip() for label, end in zip(labels, ends, strict=True))
        options = (*options[:-1], _END.split(options[-1], maxsplit=1)[0].strip())
        question = text[: labels[0].start()]
    for end in (_ANSWERED, _TURN):
        before = [found.end() for found in end.finditer(question) if question[found.end() :].strip()]
        question = question[before[-1] :] if before else question
    question = _BEHIND.sub("", _BEFORE.sub("", _HEADER.sub("", question.rstrip()))).strip()
    return question or prompt.strip(), options


def _last_run(labels: list[re.Match[str]]) -> list[re.Match[str]]:
    """The last of the label lines that count from A."""
    starts = [place for place, label in enumerate(labels) if label[1] == "A"]
    if not starts:
        return []
    run = labels[starts[-1] :]
    for place, (label, letter) in enumerate(zip(run, ascii_uppercase, strict=False)):
        if label[1] != letter:
            return run[:place]
    return run[: len(ascii_uppercase)]
