"""The questions that a model is to write about, as the explain and context tasks read them."""

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
    prompt_language: str | None = None


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
        `id`, `subject`, `question`, `choices` and `option`, and `prompt_language` of those that are not in English.

    Raises
    ------
    InputError
        If the file does not exist, a line is not a request, their ids are of two kinds, a request is repeated, or none
        is about the subject.
    """
    # It comes from --metadata, which may hold any type.
    if path and not isinstance(path, str | Path):
        raise InputError(f"requests is {path!r}", expected="""the path of a file: '{"requests": "FILE"}'""")
    # Unlike Path.exists, which raises for a name that is too long.
    if not path or not os.path.exists(path):  # noqa: PTH110
        raise InputError(
            f"no file {str(path)!r}" if path else "no file of questions to write about",
            expected="""--metadata '{"requests": "FILE"}'""",
            do="write the file with: consistency requests --probe LOGS --task TASK --out FILE",
        )
    found: list[dict[str, Any]] = []
    lines: dict[tuple[str | int, str, int], int] = {}
    for number, request in read_jsonl(path, _Request, "a request"):
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
            first = lines.setdefault((request.id, request.question, request.option), number)
            if first != number:
                raise InputError(f"the same request as line {first}", expected="each once", path=path, line=number)
            fields = msgspec.structs.asdict(request)
            language = fields.pop("prompt_language") or ENGLISH
            found.append({**fields, **language_field(language)})
    if not found:
        what = f"no question about {subject}" if subject else "no question: no answer of the model is confidently wrong"
        raise InputError(what, expected="what consistency requests writes", do="probe more questions", path=path)
    return found
