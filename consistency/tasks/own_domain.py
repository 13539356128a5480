"""A user's own domain: its questions, what its prompts call it, and the tasks of its scopes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consistency.errors import InputError
from consistency.tasks import mmlu
from consistency.tasks.prompts import ENGLISH
from consistency.tasks.question_tables import QuestionSource
from consistency.tasks.scopes import SCOPES, asks_pool, context_task, domain_of, explain_task, simulate_task

MMLU_GROUP = "consistency_mmlu_icl"
SPLITS = ("pool", "test", "dev")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
# Names of our own tasks that have a counterpart in the chat format.
_FEW_SHOT = re.compile(r"(consistency_.+?_)icl(?!_paper|_cyclic)(?=_|$)(.*)")


@dataclass(frozen=True)
class Shot:
    """A worked example of a prompt.

    Attributes
    ----------
    question : str
        The stem.
    choices : tuple of str
        Its options.
    option : int
        The option that the text is about.
    text : str
        The explanation of the option, or the knowledge that leads to it.
    """

    question: str
    choices: tuple[str, ...]
    option: int
    text: str

    def to_dict(self, subject: str) -> dict[str, Any]:
        """The example as the document of a task."""
        return {
            "id": "shot",
            "subject": subject,
            "question": self.question,
            "choices": list(self.choices),
            "option": self.option,
            "explanation": self.text,
        }


@dataclass(frozen=True)
class OwnDomain:
    """A domain of a user's own.

    Attributes
    ----------
    name : str
        Its name in tasks, folders and reports.
    header : str
        What the prompts call it: "The following are multiple choice questions about …".
    sources : mapping of str to QuestionSource
        Where the questions of "pool", "test" and "dev" come from.
    id_tasks, ood_tasks : tuple of str
        lm_eval's tasks or groups that belong to the domain, and those that do not. This project's five-shot tasks
        (``…_icl…``) are asked as their zero-shot counterparts (``…_ift…``) in the chat format, others as they are in both.
    explain_shot : Shot or None
        The example of the explain prompt; None: the first question of "dev" with an explanation.
    context_shot : Shot or None
        The example of the context prompt; None: there is none in it.
    language : str
        In which its questions are asked: see `consistency.tasks.prompts.WORDINGS`.
    """

    name: str
    header: str
    sources: Mapping[str, QuestionSource]
    id_tasks: tuple[str, ...] = ()
    ood_tasks: tuple[str, ...] = ()
    explain_shot: Shot | None = None
    context_shot: Shot | None = None
    language: str = ENGLISH

    def task(self, variant: str) -> str:
        """The task of a variant, such as "icl", "ift" and "pool_icl".

        Examples
        --------
        >>> OwnDomain("sport", "sport", {}).task("pool_icl")
        'consistency_sport_pool_icl'
        """
        return f"consistency_{self.name}_{variant}"

    def scopes(self, style: str, groups: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[str]]:
        """The tasks of each scope, without those that have none.

        Parameters
        ----------
        style : {"icl", "ift"}
            Few-shot plain text, or zero-shot with the chat template.
        groups : mapping, optional
            The members of lm_eval's groups, as a log of the "icl" style gives them; a group is replaced by its leaves.

        Examples
        --------
        >>> sport = OwnDomain("sport", "sport", {}, ("consistency_mmlu_icl_anatomy",), ("arc",))
        >>> sport.scopes("ift", {"arc": ["arc_easy", "arc_challenge"]})
        {'homo': ['consistency_sport_ift'], 'id': ['consistency_mmlu_ift_anatomy'], 'ood': ['arc_easy', 'arc_challenge']}
        """
        given = {"homo": (self.task("icl"),), "id": self.id_tasks, "ood": self.ood_tasks}
        return {
            scope: [in_style(task, style) for task in leaves(tasks, groups or {})]
            for scope, tasks in given.items()
            if tasks
        }

    def asked(self, style: str) -> list[str]:
        """The tasks to give lm_eval in one style; all subjects of MMLU are asked as their group."""
        tasks = [*self.id_tasks, *self.ood_tasks]
        whole = set(mmlu_tasks(mmlu.SUBJECTS))
        if whole <= set(tasks):
            tasks = [MMLU_GROUP, *(task for task in tasks if task not in whole)]
        return [in_style(task, style) for task in (self.task("icl"), *tasks)]

    @property
    def asks_mmlu(self) -> bool:
        """Whether a scope of it has questions of MMLU, in this project's tasks or lm_eval's."""
        return any(re.match(rf"({MMLU_GROUP}|mmlu)(_|$)", task) for task in (*self.id_tasks, *self.ood_tasks))

    def find_scopes(
        self, tasks: Iterable[str], groups: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, list[str]]:
        """The scopes of the domain among the tasks of a log of either style.

        Raises
        ------
        InputError
            If no task belongs to it.
        """
        tasks = list(tasks)
        wanted = [self.scopes(style, groups) for style in ("icl", "ift")]
        found = {
            scope: [task for task in tasks if any(task in scopes.get(scope, ()) for scopes in wanted)]
            for scope in SCOPES
        }
        if not any(found.values()):
            raise InputError(f"no task belongs to {self.name}: {', '.join(tasks[:5])}", expected=self.task("icl"))
        return {scope: names for scope, names in found.items() if names}


def mmlu_tasks(subjects: Iterable[str]) -> tuple[str, ...]:
    """The five-shot tasks of subjects of MMLU."""
    return tuple(f"{MMLU_GROUP}_{subject}" for subject in subjects)


def in_style(task: str, style: str) -> str:
    """The name of a task in a style: one of this project's has a counterpart in the chat format, another has not.

    Examples
    --------
    >>> in_style("consistency_world_mmlu_icl_games", "ift"), in_style("arc_easy", "ift")
    ('consistency_world_mmlu_ift_games', 'arc_easy')
    """
    found = _FEW_SHOT.fullmatch(task) if style == "ift" and not asks_pool(task) else None
    return f"{found[1]}ift{found[2]}" if found else task


def leaves(tasks: Iterable[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The tasks, each group replaced by its members down to the single tasks; each once.

    Examples
    --------
    >>> leaves(["mmlu"], {"mmlu": ["stem", "law"], "stem": ["algebra"]})
    ['algebra', 'law']
    """
    found: dict[str, None] = {}

    def collect(task: str, above: tuple[str, ...]) -> None:
        members = [member for member in groups.get(task, ()) if member not in (*above, task)]
        for member in members:
            collect(member, (*above, task))
        if not members:
            found[task] = None

    for task in tasks:
        collect(task, ())
    return list(found)


def joined_tasks(parts: Iterable[Iterable[str]]) -> list[str]:
    """The tasks of several domains for one run of lm_eval: each once, and no subject of MMLU beside the whole of it.

    Examples
    --------
    >>> joined_tasks([["a", "consistency_mmlu_ift"], ["consistency_mmlu_ift_anatomy", "a"]])
    ['a', 'consistency_mmlu_ift']
    """
    tasks = list(dict.fromkeys(task for part in parts for task in part))
    whole = {task for style in ("icl", "ift") if (task := in_style(MMLU_GROUP, style)) in tasks}
    return [task for task in tasks if not any(task.startswith(f"{group}_") for group in whole)]


def name_problem(name: str, shipped: Iterable[str]) -> str | None:
    """Why a domain cannot have a name; None if it can.

    Parameters
    ----------
    name : str
    shipped : iterable of str
        The names of this project's tasks and groups, which no generated task may have.

    Examples
    --------
    >>> name_problem("sport", []), name_problem("../sport", [])
    (None, "letters, digits, '_' and '-', beginning with a letter")
    """
    if not _NAME.fullmatch(name):
        return "letters, digits, '_' and '-', beginning with a letter"
    made = {f"consistency_{name}_{variant}" for variant in ("icl", "ift", "pool_icl", "icl_cyclic", "pool_icl_cyclic")}
    if (
        asks_pool(f"consistency_{name}_ift")
        or any(domain_of(task) != name for task in made)
        or re.match(r"(world|explain|context|simulate)(_|$)", name)
    ):
        return "a name without a part that names a style, such as icl, pool or world"
    taken = {explain_task(name), simulate_task(name), context_task(name), *made} & set(shipped)
    # The folder of a base model is called base, beside those of its domains.
    if taken or name.lower() in ("mmlu", "cmmlu", "ceval", "base"):
        return "a name that no task or folder of this project has"
    return None
