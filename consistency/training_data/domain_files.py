"""A new own domain: a commented experiment file, and a table of questions split into pool, test set and few-shot examples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from consistency.errors import InputError
from consistency.support.files import write_together
from consistency.support.json_files import json_lines
from consistency.tasks.own_domain import name_problem
from consistency.tasks.own_tasks import SHOTS
from consistency.tasks.question_tables import QuestionSource, read_source
from consistency.tasks.questions import Question
from consistency.tasks.task_files import shipped_tasks
from consistency.training_data.duplicates import Index
from consistency.world.fields import DOMAINS

TEST_SHARE = 0.25
_FEWEST = 20
_EXAMPLE = """\
question,A,B,C,D,answer,explanation
How many players of a football team are on the pitch?,nine,ten,eleven,twelve,C,"Example row: ten in the field, and a goalkeeper."
Which of these is played with a shuttlecock?,badminton,squash,table tennis,tennis,A,Example row: the explanation may be empty.
"""
_SKELETON = """\
# An experiment on a domain of your own: probe, training sets, training, evaluation and report.
#   consistency domain check {file}
#   consistency experiment validate --full {file}
#   snakemake --snakefile SNAKEFILE --configfile {file} --profile PROFILE
name: {name}

# Base models: a name of your choice, and a folder, a name of the hub, or embedded.
models: {{base: embedded}}

# Questions of the four domains and of MMLU, not of the embedded world. They are read from the folder that the variable
# CONSISTENCY_DATA names, or from their public source.
tasks: paper

domains:
  {name}:
    # Files are sought beside this one. Each is JSON lines ({{"question", "choices", "answer"}}), a CSV file with the columns
    # question, A, B, C, D, answer (a letter, an index from 0 or the text) and explanation, a JSON or Parquet file, or a
    # data set of the hub: {{file: hub:ORG/NAME@REVISION, split: train}}.
    pool: {pool}  # to train on
    test: {test}  # held out: HOMO
    dev: {dev}  # at least five few-shot examples
    # Names of columns, where they are others:
    # columns: {{question: stem, choices: [a, b, c, d], answer: key, answer_as: letter, explanation: why}}
    # What the prompts call the domain: "The following are multiple choice questions about …".
    # header: {header}
    # The language of the prompts: en, or zh for questions in Chinese.
    # language: en
    # Subjects of MMLU that belong to the domain (ID); all others are OOD. Without them OOD is all of MMLU.
    # subjects: [miscellaneous, high_school_us_history]
    # Or any tasks of lm_eval:
    # id: [sciq]
    # ood: [arc_easy]
    # The example of the prompt in which the base model explains its answers; without it, the first question of dev with an
    # explanation.
    # explain_shot: {{question: "…", choices: ["…", "… …"], answer: A, explanation: "…"}}
    # The example of the prompt that asks for the knowledge behind a question; there is none without it.
    # context_shot: {{question: "…", choices: ["…", "… …"], answer: A, context: "…"}}
  # One of the four domains may stand beside it, without a value:
  # medicine:

groups: {groups}
seeds: [0]

# General instructions, as many as questions in each training set: a JSON or JSONL file (the paper takes alpaca_gpt4_data.json of
# GPT-4-LLM), hub:NAME@REVISION, or none.
general: none
# Further evaluation sets whose questions are left out of the training sets; those of this domain always are.
# guard: evaluation_sets
# Questions in each training set; as many as the model is confidently wrong about without it.
# size: 500
# device: cuda
# The chat format that models train in, and that they and their base models are asked in: vicuna, chatml, model (that of the
# tokenizer), or a file that ends in .jinja.
# template: vicuna
"""


@dataclass(frozen=True)
class Split:
    """Questions split into three parts that share none, not even nearly.

    Attributes
    ----------
    parts : dict of str to list of Question
        "pool", "test" and "dev", each in the order of the source.
    repeated : int
        Exact duplicates that were left out.
    shared : int
        Questions left out since a part before theirs holds nearly the same one.
    """

    parts: dict[str, list[Question]]
    repeated: int
    shared: int

    def to_text(self) -> str:
        """The counts in one line."""
        counts = ", ".join(f"{split} {len(questions)}" for split, questions in self.parts.items())
        return f"{counts}; left out: {self.repeated} exact duplicates, {self.shared} near duplicates of another part"


def split_questions(questions: Sequence[Question], seed: int = 0, test_share: float = TEST_SHARE) -> Split:
    """Questions split at random into a pool, a test set and five few-shot examples.

    Parameters
    ----------
    questions : sequence of Question
    seed : int
        Of the random order.
    test_share : float
        Share of the test set among all but the few-shot examples, between 0 and 1.

    Returns
    -------
    Split
        Near duplicates are in one part. The few-shot examples are questions without near duplicates, those with an
        explanation first.

    Raises
    ------
    InputError
        If the share is none, or there are too few questions.
    """
    if not 0 < test_share < 1:
        raise InputError(f"a share of {test_share}", expected="a number between 0 and 1")
    duplicates = Index(questions).duplicates()
    repeated = {item.row for item in duplicates if item.kind == "exact"}
    # Near duplicates stay together: each belongs to the family of the first.
    family = {row: row for row in range(len(questions))}
    for item in duplicates:
        family[item.row] = family[item.other]
    families: dict[int, list[int]] = {}
    for row, first in family.items():
        if row not in repeated:
            families.setdefault(first, []).append(row)
    if sum(map(len, families.values())) < _FEWEST:
        raise InputError(f"{len(questions) - len(repeated)} different questions", expected=f"at least {_FEWEST}")
    order = list(families.values())
    random.Random(seed).shuffle(order)
    single = [rows for rows in order if len(rows) == 1]
    single.sort(key=lambda rows: not questions[rows[0]].explanation.strip())
    if len(single) < SHOTS:
        raise InputError(
            f"{len(single)} questions without near duplicates", expected=f"at least {SHOTS} few-shot examples"
        )
    dev = [row for rows in single[:SHOTS] for row in rows]
    rest = [rows for rows in order if rows[0] not in dev]
    wanted = test_share * sum(map(len, rest))
    test: list[int] = []
    pool: list[int] = []
    for rows in rest:
        (test if len(test) + len(rows) / 2 <= wanted else pool).extend(rows)
    parts = {"dev": [questions[row] for row in sorted(dev)]}
    shared = 0
    # A family is found by its first member; two others of it may be of two parts.
    for name, rows in (("test", test), ("pool", pool)):
        part = [questions[row] for row in sorted(rows)]
        before = [question for found in parts.values() for question in found]
        found = {item.row for item in Index(part).found_in(Index(before))}
        shared += len(found)
        parts[name] = [question for row, question in enumerate(part) if row not in found]
    for name in ("test", "pool"):
        if not parts[name]:
            raise InputError(f"no question for the {name}", expected="another share", do="give --test-share")
    return Split({name: parts[name] for name in ("pool", "test", "dev")}, len(repeated), shared)


def write_domain(
    name: str, out: Path, source: QuestionSource | None = None, seed: int = 0, test_share: float = TEST_SHARE
) -> tuple[Path, Split | None]:
    """Write a commented experiment file for a new domain, with an example table or with a table split into its files.

    Parameters
    ----------
    name : str
        Name of the domain.
    out : Path
        A folder; it gets NAME.yaml, and ``example.csv`` or, with `source`, ``pool.jsonl``, ``test.jsonl`` and ``dev.jsonl``.
    source : QuestionSource, optional
        Questions to split.
    seed, test_share
        See `split_questions`.

    Returns
    -------
    file : Path
        The experiment file.
    split : Split or None

    Raises
    ------
    InputError
        If the name cannot be that of a domain, a file exists with other content, or the questions cannot be read or split.
    """
    problem = "a name that none of the four domains has" if name in DOMAINS else name_problem(name, shipped_tasks())
    if problem:
        raise InputError(f"{name!r} cannot be the name of a domain", expected=problem)
    file = out / f"{name}.yaml"
    split = None
    files: dict[Path, list[bytes]] = {}
    if source is None:
        places = {part: f"{part}.csv" for part in ("pool", "test", "dev")}
        files[out / "example.csv"] = [_EXAMPLE.encode()]
    else:
        try:
            split = split_questions(read_source(source, name), seed, test_share)
        except InputError as error:
            if error.path is not None:
                raise
            raise InputError(error.problem, expected=error.expected, do=error.do, path=source.place) from error
        places = {part: f"{part}.jsonl" for part in split.parts}
        for part, questions in split.parts.items():
            rows = [{k: v for k, v in question.to_dict().items() if k != "subject"} for question in questions]
            files[out / places[part]] = list(json_lines(rows))
    explained = split is not None and any(question.explanation.strip() for question in split.parts["dev"])
    groups = ["harmonious", "incompatible", *(["self_aligning"] if explained or split is None else [])]
    text = _SKELETON.format(
        file=file.name,
        name=_yaml(name),
        header=_yaml(name.replace("_", " ")),
        groups=f"[{', '.join(groups)}]",
        **places,
    )
    files[file] = [text.encode()]
    # The experiment file comes last: where it is missing, what is there is of a run that was killed.
    write_together(files, only_new=True)
    return file, split


def _yaml(text: str) -> str:
    """A text as YAML reads it back, such as 'on' in quotes."""
    return yaml.safe_dump(text).removesuffix("...\n").strip()
