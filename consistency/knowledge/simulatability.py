"""Which explanations argue for their option: rounds of explaining and checking, read from their logs.

An explanation is simulatable if a reader who sees it with its question is sure which option it was written for. The reader is
the base model. Since these are the model's own confident answers, it picks most of them with any explanation: what tells
explanations apart is how sure it is (docs/groups.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from consistency.errors import InputError
from consistency.knowledge.beliefs import decode_documents, unusable_document
from consistency.knowledge.explanations import Checked, Explanations, read_explanations
from consistency.logs.runs import read_run
from consistency.logs.scores import Scores
from consistency.metrics.distributions import log_probabilities
from consistency.support.arrays import Floats
from consistency.support.files import write_lines
from consistency.support.json_files import json_lines
from consistency.tasks.requests import read_requests
from consistency.tasks.scopes import explain_task, simulate_task

# A question's id, its text and the option's index.
Key = tuple[str | int, str, int]
EXPLAIN, CHECK = "explain", "check"
_REQUESTS, _CHECKS = "requests.jsonl", "checks.jsonl"
# The least probability that a reader gives the option of an explanation that passes.
LEAST = 0.95
# A model that passes fewer of its first explanations cannot be the reader: a capable one passes some three quarters, a model of
# 135 M parameters none, whatever they say.
LEAST_READ = 0.2


class _Document(msgspec.Struct):
    id: int
    asked: str | int
    question: str
    option: int
    rotation: int


@dataclass(frozen=True, eq=False)
class Judgements:
    """Which option a reader of each explanation of a log finds it to argue for.

    Attributes
    ----------
    keys : tuple of (str or int, str, int)
        The answers that are explained.
    logprobs : ndarray of float64, shape [n, k]
        Log-probabilities of the options: means over the rotations of the options, normalised, so that a preference for a
        letter drops out. NaN-padded.
    """

    keys: tuple[Key, ...]
    logprobs: Floats

    @property
    def passed(self) -> dict[Key, bool]:
        """Whether the reader gives each explanation's own option a probability of at least `LEAST`."""
        probabilities = np.exp(self.logprobs)
        return {key: bool(row[key[2]] >= LEAST) for key, row in zip(self.keys, probabilities, strict=True)}


def read_judgements(scores: Scores) -> Judgements:
    """Read the log of a simulate task.

    Parameters
    ----------
    scores : Scores
        The log of a task whose documents `consistency.tasks.simulation.checks` made.

    Returns
    -------
    Judgements
        Of the explanations of which the log has all documents.

    Raises
    ------
    InputError
        If a document is not one of these, or is logged twice.
    """
    logged = log_probabilities(scores.logprobs)
    rows_of: dict[int, dict[int, int]] = {}
    key_of: dict[int, Key] = {}
    expected = "the fields of a simulate task's documents"
    for row, document in enumerate(decode_documents(scores, _Document, expected)):
        key_of[document.id] = document.asked, document.question, document.option
        rows = rows_of.setdefault(document.id, {})
        if document.rotation in rows:
            problem = f"rotation {document.rotation} of explanation {document.id} once more"
            raise unusable_document(
                scores, row, problem, expected="each rotation once", do="check the explanations again"
            )
        rows[document.rotation] = row
    complete = {
        number: rows for number, rows in rows_of.items() if len(rows) == scores.n_options[next(iter(rows.values()))]
    }
    means = np.full((len(complete), logged.shape[1]), np.nan)
    for place, rows in enumerate(complete.values()):
        count = len(rows)
        by_letter = logged[[rows[rotation] for rotation in range(count)], :count]
        # In rotation r, option o has the letter (o - r) mod count.
        turned = [np.roll(values, rotation) for rotation, values in enumerate(by_letter)]
        means[place, :count] = np.mean(turned, axis=0)
    logprobs = log_probabilities(means)
    answered = np.array(np.isfinite(logprobs).any(axis=1), dtype=bool)
    keys = [key_of[number] for number in complete]
    return Judgements(
        keys=tuple(key for key, known in zip(keys, answered.tolist(), strict=True) if known),
        logprobs=logprobs[answered],
    )


@dataclass(frozen=True)
class Step:
    """What is to be run next in a folder of rounds.

    Attributes
    ----------
    kind : {"explain", "check"}
        Whether the model writes explanations, or picks options.
    tasks : tuple of str
        The tasks to run.
    metadata : dict of str to str
        What lm_eval's ``--metadata`` names: the file of `requests` or `checks`.
    seed : int
        Of the sampling: a new one in each round.
    logs : Path
        The folder for the log.
    """

    kind: str
    tasks: tuple[str, ...]
    metadata: dict[str, str]
    seed: int
    logs: Path


def has_rounds(path: str | Path) -> bool:
    """Whether a folder holds rounds of explaining, and is not a log of lm_eval.

    Examples
    --------
    >>> has_rounds("no/such/folder")
    False
    """
    return _round(Path(path), 1).is_dir()


def next_step(
    folder: str | Path,
    requests: str | Path,
    attempts: int,
    explain_tasks: Sequence[str],
    check_tasks: Sequence[str],
    seed: int = 1234,
) -> Step | None:
    """What is to be run next, from what the folder holds.

    A round has `requests.jsonl`, the answers that are to be explained, and the log `explain`; then `checks.jsonl`, what the
    model wrote, and the log `check`. The next round asks again for what has no text that passed. Nothing is left to do
    after the last round, where all have passed, or where the first round shows that the model cannot be the reader
    (`LEAST_READ`).

    Parameters
    ----------
    folder : path-like
        The folder of the rounds; the next round's file is written into it.
    requests : path-like
        What is to be explained: what `write_requests` wrote.
    attempts : int
        The most rounds. 0: one round, whose explanations are not checked.
    explain_tasks, check_tasks : sequence of str
        The tasks of the domains, or the embedded world's one. Those of domains about which nothing is asked are not run.
    seed : int
        Seed of the first round.

    Returns
    -------
    Step or None
        None if nothing is left to do.

    Raises
    ------
    InputError
        If a log or the requests cannot be read.
    """
    folder = Path(folder)
    wanted = read_requests(requests)
    for number in range(1, max(attempts, 1) + 1):
        place = _round(folder, number)
        asked = place / _REQUESTS
        if not asked.exists():
            write_lines(asked, json_lines(wanted))
        wanted = read_requests(asked)
        if not (place / EXPLAIN).is_dir():
            tasks = _about(explain_tasks, wanted)
            return Step(EXPLAIN, tasks, {"requests": str(asked)}, seed + number - 1, place / EXPLAIN)
        if not attempts:
            return None
        texts = _texts(place, wanted)
        wanted = [request for request in wanted if request["purpose"] == "explain"]
        checks = [{**request, "explanation": texts[_key(request)]} for request in wanted if _key(request) in texts]
        if checks and not (place / CHECK).is_dir():
            write_lines(place / _CHECKS, json_lines(checks))
            tasks = _about(check_tasks, checks)
            return Step(CHECK, tasks, {"checks": str(place / _CHECKS)}, seed + number - 1, place / CHECK)
        passed = _passed(place, wanted) if checks else {}
        failed = [request for request in wanted if not passed.get(_key(request), False)]
        if not failed or (number == 1 and len(wanted) - len(failed) < LEAST_READ * len(wanted)):
            return None
        wanted = failed
    return None


def read_rounds(path: str | Path, domain: str) -> Explanations:
    """The explanations of a domain's answers that passed, from a folder of rounds.

    Parameters
    ----------
    path : path-like
        The folder; see `next_step`.
    domain : str
        The domain whose answers to take.

    Returns
    -------
    Explanations
        Each answer's first text that passed; where nothing was checked, or the model cannot be the reader (`LEAST_READ`),
        every usable one. `checked` counts.

    Raises
    ------
    InputError
        If a log cannot be read, or the folder holds nothing about the domain.
    """
    folder = Path(path)
    texts: dict[Key, str] = {}
    every: dict[Key, str] = {}
    sources: list[Path] = []
    first: list[Key] = []
    others: dict[Key, str] = {}
    missing = 0
    generated, usable, first_usable, passed_first = 0, 0, 0, 0
    checked = False
    rounds = list(_finished(folder))
    for number, place in enumerate(rounds):
        wanted = [request for request in read_requests(place / _REQUESTS) if request["domain"] == domain]
        if not wanted:
            break
        found = read_explanations(place / EXPLAIN, domain)
        sources.append(found.source)
        if number == 0:
            # Of other options than the model's it explains each once, and nothing is left out for it.
            random = {_key(request) for request in wanted if request["purpose"] != "explain"}
            others = {key: text for key, text in found.texts.items() if key in random}
            missing = len(random) - len(others)
        wanted = [request for request in wanted if request["purpose"] == "explain"]
        keys = {_key(request) for request in wanted}
        written = {key: text for key, text in found.texts.items() if key in keys}
        judged = (place / CHECK).is_dir()
        checked = checked or judged or number > 0
        passed = _passed(place, wanted) if judged and written else dict.fromkeys(written, not checked)
        good = {key: text for key, text in written.items() if passed.get(key, False)}
        if number == 0:
            first, first_usable, passed_first = list(keys), len(written), len(good)
        generated += len(wanted)
        usable += len(written)
        texts, every = {**good, **texts}, {**written, **every}
    if not sources:
        raise InputError(f"no answer about {domain}", expected="rounds that explain some", path=folder)
    unread = checked and passed_first < LEAST_READ * len(first)
    counts = Checked(
        attempts=len(sources),
        requested=len(first),
        generated=generated,
        usable=usable,
        first_usable=first_usable,
        passed_first=passed_first,
        passed=len(texts),
        failed=frozenset() if unread else frozenset(first) - frozenset(texts),
        unread=unread,
    )
    if unread:
        texts = every
    unusable = generated - usable + missing
    found_in = sources[0], tuple(sources[1:])
    return Explanations({**others, **texts}, unusable, *found_in, checked=counts if checked and first else None)


def _finished(folder: Path) -> Iterator[Path]:
    number = 1
    while (_round(folder, number) / EXPLAIN).is_dir():
        yield _round(folder, number)
        number += 1


def _round(folder: Path, number: int) -> Path:
    return folder / f"round-{number}"


def _key(request: dict[str, Any]) -> Key:
    return request["id"], request["question"], request["option"]


def _about(tasks: Sequence[str], requests: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The tasks that ask about the requests' domains; a single task, as the embedded world's, asks about all."""
    domains = {request["domain"] for request in requests}
    names = {name(domain) for domain in domains for name in (explain_task, simulate_task)}
    return tuple(task for task in tasks if task in names) or tuple(tasks)


def _texts(place: Path, requests: Sequence[dict[str, Any]]) -> dict[Key, str]:
    """What the model wrote in a round, of all domains."""
    domains = dict.fromkeys(request["domain"] for request in requests)
    found = [read_explanations(place / EXPLAIN, domain) for domain in domains]
    return {key: text for explanations in found for key, text in explanations.texts.items()}


def _passed(place: Path, requests: Sequence[dict[str, Any]]) -> dict[Key, bool]:
    """Which texts of a round passed; those that the log lacks are absent."""
    tasks = read_run(place / CHECK).tasks
    names = {simulate_task(), *(simulate_task(request["domain"]) for request in requests)} & set(tasks)
    if not names:
        raise InputError(
            "no simulate task",
            expected=f"a log of {', '.join(sorted(simulate_task(request['domain']) for request in requests[:1]))}",
            path=place / CHECK,
        )
    return {key: value for name in sorted(names) for key, value in read_judgements(tasks[name]).passed.items()}
