"""What a model is to write about, as the explain and context tasks read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.support.json_files import UNREADABLE
from consistency.tasks.questions import id_problem, text_problem


class _Request(msgspec.Struct):
    id: str | int
    subject: str
    question: str
    choices: list[str]
    option: int


def read_requests(path: str | Path, subject: str | None = None) -> list[dict[str, Any]]:
    """Read what is to be written, about one subject or all.

    Parameters
    ----------
    path : path-like
        The file that `write_requests` wrote; empty if the user named none.
    subject : str, optional
        The domain whose questions to take.

    Returns
    -------
    list of dict
        `id`, `subject`, `question`, `choices` and `option`.

    Raises
    ------
    InputError
        If there is no such file, a line is no request, their ids are of two kinds, one stands twice, or none is about
        the subject.
    """
    # It comes from --metadata, where anything may stand.
    if path and not isinstance(path, str | Path):
        raise InputError(f"requests is {path!r}", expected="""the path of a file: '{"requests": "FILE"}'""")
    try:
        content = Path(path).read_bytes() if path else None
    except OSError:
        content = None
    if content is None:
        raise InputError(
            f"no file {str(path)!r}" if path else "no file of questions to write about",
            expected="""--metadata '{"requests": "FILE"}'""",
            do="write the file with: consistency requests --probe LOGS --task TASK --out FILE",
        )
    found: list[dict[str, Any]] = []
    lines: dict[tuple[str | int, str, int], int] = {}
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n") if content else [], 1):
        try:
            request = msgspec.json.decode(line, type=_Request)
        except UNREADABLE as error:
            raise InputError(str(error), expected="a request", path=path, line=number) from error
        if not 0 <= request.option < len(request.choices):
            raise InputError(
                f"the option is {request.option}", expected="an index of its choices", path=path, line=number
            )
        problem = text_problem(request.question, request.choices) or id_problem(request.id)
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
            found.append(msgspec.structs.asdict(request))
    if not found:
        what = f"no question about {subject}" if subject else "no question: the model has no confident error"
        raise InputError(what, expected="what consistency requests writes", do="probe more questions", path=path)
    return found
