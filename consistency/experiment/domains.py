"""The key `domains` of an experiment file: names of the four domains, and own domains with their files and scopes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from consistency.errors import InputError, not_one_of
from consistency.experiment.arguments import check_path
from consistency.support.json_files import read_json
from consistency.tasks import mmlu
from consistency.tasks.own_domain import SPLITS, OwnDomain, Shot, mmlu_tasks, name_problem
from consistency.tasks.prompts import ENGLISH, LANGUAGES, LETTERS
from consistency.tasks.question_tables import HUB, Columns, QuestionSource, read_columns
from consistency.tasks.questions import text_problem
from consistency.tasks.task_files import shipped_tasks
from consistency.world.fields import DOMAINS

KEYS = (*SPLITS, "header", "language", "subjects", "id", "ood", "explain_shot", "context_shot", "columns")
_SOURCE_KEYS = ("file", "columns", "split", "config")
_TASK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_MOST_HEADER = 200


@dataclass(frozen=True)
class _Place:
    """Where a value stands: the experiment file, and the keys that lead to it."""

    path: Path
    keys: str

    def at(self, key: str) -> _Place:
        return _Place(self.path, f"{self.keys}: {key}")

    def error(self, problem: str, expected: str, do: str | None = None) -> InputError:
        return InputError(f"{self.keys}: {problem}", expected=expected, do=do, path=self.path)

    def find(self, name: str) -> str:
        """A path of the user's: relative to the experiment file, or to the current folder where only that one has it."""
        check_path(self.keys, name)
        beside = self.path.parent / Path(name).expanduser()
        return str(beside if beside.exists() or not Path(name).exists() else Path(name))


def read_domains(given: Any, path: Path) -> tuple[tuple[str, ...], dict[str, OwnDomain]]:
    """The domains of an experiment.

    Parameters
    ----------
    given : object
        The value of `domains`: a list of names of the four domains, or a mapping of names, in which one of the four has no
        value and an own domain has a mapping with the keys `KEYS`.
    path : Path
        The experiment file. Files that it names are sought beside it, and where they are not there in the current folder.

    Returns
    -------
    names : tuple of str
        All domains in the file's order.
    own : dict of str to OwnDomain
        Those with a value.

    Raises
    ------
    InputError
        Naming the key, if a name is unknown or a value is not as described. Files are not read, but for a worked example.
    """
    where = _Place(path, "domains")
    if given is None:
        raise InputError("no key 'domains'", expected="a list of domains, or a mapping of names", path=path)
    if not isinstance(given, list | dict) or not given:
        raise where.error(repr(given), "a list of domains, or a mapping of names")
    if not all(isinstance(name, str) for name in given) or len({name.lower() for name in given}) < len(given):
        raise where.error(repr(list(given)), "distinct names")
    values = given if isinstance(given, dict) else dict.fromkeys(given)
    own: dict[str, OwnDomain] = {}
    for name, value in values.items():
        if value is None:
            if name not in DOMAINS:
                do = f"give an own domain its files: {name}: {{pool: …, test: …, dev: …}}"
                raise InputError(f"no domain {name!r}", expected=f"one of {', '.join(DOMAINS)}", do=do, path=path)
        elif name in DOMAINS:
            raise where.error(f"{name} is one of the four domains", "no value", do="or give yours another name")
        else:
            own[name] = _read_domain(name, value, where.at(name))
    headers: dict[str, str] = {name: name for name in values if name not in own}
    for domain in own.values():
        # Requests are told apart by what the prompts call their domain.
        if (other := headers.setdefault(domain.header, domain.name)) != domain.name:
            raise where.at(domain.name).error(f"the header {domain.header!r} is that of {other}", "distinct headers")
    return tuple(values), own


def _read_domain(name: str, value: Any, where: _Place) -> OwnDomain:
    if problem := name_problem(name, shipped_tasks()):
        raise where.error("cannot be the name of a domain", problem)
    if not isinstance(value, dict):
        raise where.error(repr(value), f"a mapping with the keys {', '.join(SPLITS)}")
    for key in value:
        if key not in KEYS:
            raise not_one_of(f"key of {where.keys}:", key, KEYS, path=where.path)
    columns = value.get("columns")
    default = None if columns is None else read_columns(columns, f"{where.keys}: columns", where.path)
    sources = {}
    for split in SPLITS:
        if value.get(split) is None:
            raise where.error(f"no key {split!r}", "pool, test and dev: files of questions")
        sources[split] = _read_source(value[split], default, where.at(split))
    header = name if value.get("header") is None else value["header"]
    if not isinstance(header, str) or not header.strip() or not header.isprintable() or len(header) > _MOST_HEADER:
        raise where.at("header").error(repr(header), f"one line of text, at most {_MOST_HEADER} characters")
    language = ENGLISH if value.get("language") is None else value["language"]
    if language not in LANGUAGES:
        raise where.at("language").error(repr(language), f"one of {', '.join(LANGUAGES)}")
    id_tasks, ood_tasks = _read_scopes(value, where)
    shots = {key: _read_shot(value[key], text, where.at(key)) for key, text in _SHOT_TEXTS.items() if value.get(key)}
    return OwnDomain(
        *(name, header.strip(), sources, id_tasks, ood_tasks),
        explain_shot=shots.get("explain_shot"),
        context_shot=shots.get("context_shot"),
        language=language,
    )


def _read_source(given: Any, default: Columns | None, where: _Place) -> QuestionSource:
    value = {"file": given} if isinstance(given, str) else given
    if not isinstance(value, dict) or not isinstance(value.get("file"), str) or not value["file"]:
        raise where.error(repr(given), "a file, hub:ORG/NAME@REVISION, or a mapping with the key file")
    for key, text in value.items():
        if key not in _SOURCE_KEYS:
            raise not_one_of(f"key of {where.keys}:", key, _SOURCE_KEYS, path=where.path)
        if key in ("split", "config") and not (isinstance(text, str) and text):
            raise where.at(key).error(repr(text), "the name that the data set gives it")
    columns = default
    if value.get("columns") is not None:
        columns = read_columns(value["columns"], f"{where.keys}: columns", where.path)
    place = value["file"]
    if not place.startswith(HUB):
        place = where.find(place)
        for key in ("split", "config"):
            if key in value:
                raise where.at(key).error("a file has none", "hub:ORG/NAME")
    return QuestionSource(place, columns, value.get("split"), value.get("config"))


def _read_scopes(value: Mapping[str, Any], where: _Place) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tasks of ID and OOD; without any key, OOD is all of MMLU."""
    if value.get("subjects") is not None and value.get("id") is not None:
        raise where.error(
            "both subjects and id", "one of them", do="name subjects of MMLU as consistency_mmlu_icl_SUBJECT"
        )
    subjects = _names(value, "subjects", where)
    for subject in subjects:
        if subject not in mmlu.SUBJECTS:
            near = get_close_matches(subject.lower().replace(" ", "_").removeprefix("mmlu_"), mmlu.SUBJECTS)
            hint = ", ".join(near) or "one of the 57, such as anatomy"
            raise where.at("subjects").error(f"no subject of MMLU {subject!r}", f"perhaps {hint}" if near else hint)
    inside = mmlu_tasks(subjects) or _names(value, "id", where)
    outside = _names(value, "ood", where)
    if value.get("ood") is None:
        outside = tuple(task for task in mmlu_tasks(mmlu.SUBJECTS) if task not in inside)
    if both := sorted(set(inside) & set(outside)):
        raise where.error(f"{both[0]} is in both ID and OOD", "each task in one scope")
    return inside, outside


def _names(value: Mapping[str, Any], key: str, where: _Place) -> tuple[str, ...]:
    given = value.get(key)
    names = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and _TASK.fullmatch(name) for name in names):
        raise where.at(key).error(repr(given), "a list of names")
    if file := next((name for name in names if name.endswith((".yaml", ".yml"))), None):
        # lm_eval would read it as a file of a task, with the functions that it names.
        raise where.at(key).error(f"{file} is the name of a file", "the name of a task")
    if len(set(names)) < len(names):
        raise where.at(key).error(repr(given), "distinct names")
    return tuple(names)


# A worked example, and the key of its text.
_SHOT_TEXTS = {"explain_shot": "explanation", "context_shot": "context"}


def _read_shot(given: Any, text_key: str, where: _Place) -> Shot:
    """A worked example: a mapping, or a JSON file that holds one."""
    expected = f"question, choices, answer and {text_key}, or a JSON file with them"
    if isinstance(given, str):
        file = Path(where.find(given))
        try:
            given = read_json(file, expected)
        except InputError as error:
            raise where.error(f"{file} {error.problem}", expected) from error
    keys = {"question", "choices", "answer", text_key}
    if not isinstance(given, dict) or set(given) != keys:
        raise where.error(
            f"has the keys {', '.join(map(str, given))}" if isinstance(given, dict) else repr(given), expected
        )
    question, choices, text = given["question"], given["choices"], given[text_key]
    if not isinstance(choices, list) or not all(isinstance(item, str) for item in (question, text, *choices)):
        raise where.error("a value that is no text", expected)
    if problem := text_problem(question, choices):
        raise where.error(*problem)
    if not text.strip():
        raise where.at(text_key).error("is empty", "a text")
    answer = given["answer"]
    if isinstance(answer, str):
        letter = LETTERS.find(answer.upper()) if len(answer) == 1 else -1
        answer = choices.index(answer) if answer in choices else letter
    if type(answer) is not int or not 0 <= answer < len(choices):
        raise where.at("answer").error(repr(given["answer"]), "an index from 0, a letter or the text of an option")
    return Shot(question, tuple(choices), answer, text.strip())
