"""The questions that a model is to write about, and what it wrote, as the explain, context and simulate tasks read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.support.json_files import read_jsonl
from consistency.tasks.prompts import ENGLISH, LANGUAGES, language_field
from consistency.tasks.questions import id_problem, text_problem


class _Request(msgspec.Struct):
    id: str | int
    subject: str
    question: str
    choices: list[str]
    option: int
    # The name of the domain in tasks, where prompts call it otherwise.
    domain: str = ""
    purpose: str = "explain"
    prompt_language: str | None = None


class _Check(_Request, kw_only=True):
    explanation: str


def read_requests(path: str | Path, subject: str | None = None) -> list[dict[str, Any]]:
    """The requests of a file, about one subject or all.

    Parameters
    ----------
    path : path-like
        The file that `write_requests` wrote; empty if the user named none.
    subject : str, optional
        The domain whose questions to take.

    Returns
    -------
    list of dict
        `id`, `subject`, `question`, `choices`, `option`, `domain` (its name in tasks; `subject` where the file has none),
        `purpose` ("explain": the model's own answer, unless the file says "random_wrong" or "context"), and
        `prompt_language` of those that are not in English.

    Raises
    ------
    InputError
        If the file does not exist, a line is not a request, their ids are of two kinds, a request is repeated, or none
        is about the subject.
    """
    write = "write the file with: consistency requests --probe LOGS --task TASK --out FILE"
    found = _read(_existing(path, "requests", write), _Request, "a request", subject)
    if not found:
        what = f"no question about {subject}" if subject else "no question: no answer of the model is confidently wrong"
        raise InputError(
            what,
            expected="what consistency requests writes",
            do="leave this task out, since lm_eval runs none without documents, or probe more questions",
            path=path,
        )
    return found


def read_checks(path: str | Path, subject: str | None = None) -> list[dict[str, Any]]:
    """The explanations of a file that are to be checked, about one subject or all.

    Parameters
    ----------
    path : path-like
        The file that `consistency rounds` wrote; empty if the user named none.
    subject : str, optional
        The domain whose questions to take.

    Returns
    -------
    list of dict
        Requests, as of `read_requests`, with their `explanation`.

    Raises
    ------
    InputError
        As of `read_requests`.
    """
    found = _read(_existing(path, "checks", "consistency rounds writes it"), _Check, "an explanation", subject)
    if not found:
        raise InputError(f"no explanation about {subject or 'anything'}", expected="some to check", path=path)
    return found


def _existing(path: str | Path, key: str, do: str) -> str | Path:
    """The path of a file that a task was given."""
    # It comes from --metadata, which may hold any type.
    if path and not isinstance(path, str | Path):
        raise InputError(f"{key} is {path!r}", expected=f"""the path of a file: '{{"{key}": "FILE"}}'""")
    # Unlike Path.exists, which raises for a name that is too long.
    if not path or not os.path.exists(path):  # noqa: PTH110
        raise InputError(
            f"no file {str(path)!r}" if path else "no file of questions to write about",
            expected=f"""--metadata '{{"{key}": "FILE"}}'""",
            do=do,
        )
    return path


def _read(path: str | Path, kind: type[_Request], expected: str, subject: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    lines: dict[tuple[str, str | int, str, int], int] = {}
    for number, request in read_jsonl(path, kind, expected):
        if not 0 <= request.option < len(request.choices):
            raise InputError(
                f"the option is {request.option}", expected="an index of its choices", path=path, line=number
            )
        problem = text_problem(request.question, request.choices) or id_problem(request.id)
        if not problem and request.prompt_language not in (None, *LANGUAGES):
            problem = f"prompt_language is {request.prompt_language!r}", f"one of {', '.join(LANGUAGES)}"
        if problem:
            raise InputError(problem[0], expected=problem[1], path=path, line=number)
        if subject in (None, request.subject):
            if found and type(found[0]["id"]) is not type(request.id):
                raise InputError(
                    f"id {request.id!r}", expected="ids of one kind (texts or whole numbers)", path=path, line=number
                )
            first = lines.setdefault((request.domain, request.id, request.question, request.option), number)
            if first != number:
                raise InputError(f"the same request as line {first}", expected="each once", path=path, line=number)
            fields = msgspec.structs.asdict(request)
            language, domain = fields.pop("prompt_language") or ENGLISH, fields.pop("domain")
            found.append({**fields, "domain": domain or request.subject, **language_field(language)})
    return found
