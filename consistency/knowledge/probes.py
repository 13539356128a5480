"""A probe, whatever it comes from: a log of lm_eval, rotated or not, or rows in the authors' released format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError, not_one_of
from consistency.knowledge.beliefs import THRESHOLD, Beliefs, Document, check_threshold, read_beliefs
from consistency.knowledge.explanations import (
    Explanations,
    Purpose,
    read_column,
    read_contexts,
    read_explanations,
    read_probe_column,
)
from consistency.knowledge.released import is_released, read_released, released_files
from consistency.knowledge.simulatability import has_rounds, read_rounds
from consistency.logs.rotations import fold_rotations
from consistency.logs.runs import read_run
from consistency.logs.scores import Scores
from consistency.metrics.selection_bias import OptionCounts
from consistency.statistics.selection_bias import strongest_bias
from consistency.support.streams import tell
from consistency.tasks.questions import CYCLIC
from consistency.tasks.scopes import asks_pool, domain_of
from consistency.world.fields import DOMAINS


@dataclass(frozen=True, eq=False, kw_only=True)
class Probe:
    """What one model answered to the questions of one task, or of a file of released rows.

    Attributes
    ----------
    name : str
        Of the task, or of the file or folder.
    domain : str
        Name of the domain.
    beliefs : Beliefs
        The labelled questions.
    files : tuple of Path
        What was read.
    task : str or None
        The lm_eval task; None for released rows.
    rotated : Scores or None
        The answers to all rotations, before they were folded; None where the options were not rotated.
    explanations : Explanations or None
        The model's own explanations in released rows, which may be empty; None for a log.
    incomplete : int
        Questions left out because the log of a rotated task lacks some of their rotations.
    notes : tuple of str
        What a reader should know of the log, such as rows left out.
    """

    name: str
    domain: str
    beliefs: Beliefs
    files: tuple[Path, ...]
    task: str | None = None
    rotated: Scores | None = None
    explanations: Explanations | None = None
    incomplete: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Coverage:
    """What was read of a model's probes, and what was not.

    Attributes
    ----------
    probes : tuple of str
        Names of the tasks and files that were read.
    skipped : dict of str to str
        Tasks without questions that can be labelled, and why.
    incomplete : dict of str to int
        How many questions of rotated tasks are left out, since some of their rotations are missing.
    notes : tuple of str
        What a reader should know of the logs, such as rows left out.
    """

    probes: tuple[str, ...]
    skipped: dict[str, str]
    incomplete: dict[str, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The four fields by name, for JSON."""
        return asdict(self)


def read_probe(
    path: str | Path, task: str | None = None, domain: str | None = None, threshold: float = THRESHOLD
) -> Probe:
    """Read one domain's probe.

    Parameters
    ----------
    path : path-like
        A log folder or samples file of lm_eval; or a file, or a folder of files, in the released format.
    task : str, optional
        The task to read from a log; by default the only one with options, or the only training pool among several.
    domain : str, optional
        Name of the domain, which is also what questions without a subject are about; by default that of the task, or
        for released rows the folder's if it is named like one of the paper's domains, and else the file's, with a
        notice on stderr where questions have no subject.
    threshold : float
        The confidence that an answer must exceed to count as knowledge.

    Returns
    -------
    Probe
        Of a task whose name has `_cyclic`, the rotations are folded into one distribution per question.

    Raises
    ------
    InputError
        If the probe cannot be read, or it is not clear which task is meant.
    """
    path = Path(path)
    if is_released(path):
        if task is not None:
            raise InputError(f"no task {task}", expected="no --task: the file is in the released format", path=path)
        return _released_probe(path, domain, threshold)
    tasks = read_run(path).tasks
    name = _choose(tasks, path) if task is None else task
    if name not in tasks:
        raise not_one_of("task", name, sorted(tasks), path=path)
    return _logged_probe(tasks[name], domain, threshold)


def read_all(
    paths: Sequence[str | Path], tasks: Sequence[str] = (), domain: str | None = None, threshold: float = THRESHOLD
) -> tuple[list[Probe], Coverage]:
    """Label all questions that logs and files of released rows hold.

    Parameters
    ----------
    paths : sequence of path-like
        Each as for `read_probe`.
    tasks : sequence of str
        The tasks to read from the logs; without any, all whose documents are multiple-choice questions.
    domain : str, optional
        As for `read_probe`; of all tasks.
    threshold : float
        The confidence that an answer must exceed to count as knowledge.

    Returns
    -------
    probes : list of Probe
        One for each task, and for each file of released rows.
    coverage : Coverage

    Raises
    ------
    InputError
        If nothing can be read from one of the paths, or a log lacks one of the tasks.
    """
    probes: list[Probe] = []
    skipped: dict[str, str] = {}
    for path in map(Path, paths):
        if is_released(path):
            probes.append(_released_probe(path, domain, threshold))
        else:
            found, reasons = _read_log(path, tasks, domain, threshold)
            probes += found
            skipped |= reasons
    incomplete: Counter[str] = Counter()
    for probe in probes:
        if probe.incomplete:
            incomplete[probe.name] += probe.incomplete
    names = tuple(probe.name for probe in probes)
    return probes, Coverage(names, skipped, dict(incomplete), tuple(note for probe in probes for note in probe.notes))


def _read_log(
    path: Path, tasks: Sequence[str], domain: str | None, threshold: float
) -> tuple[list[Probe], dict[str, str]]:
    """The probes of a log's tasks; where no task is named, also why others are skipped."""
    found = read_run(path).tasks
    for task in tasks:
        if task not in found:
            raise not_one_of("task", task, sorted(found), path=path)
    check_threshold(threshold)
    probes: list[Probe] = []
    skipped: dict[str, str] = {}
    for task in tasks or found:
        try:
            probes.append(_logged_probe(found[task], domain, threshold))
        except InputError as error:
            if tasks:
                raise
            skipped[task] = error.problem
    if not probes:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise InputError(f"no labelled questions ({reasons})", expected="a log of a multiple-choice task", path=path)
    return probes, skipped


def _released_probe(path: Path, domain: str | None, threshold: float) -> Probe:
    files = released_files(path)
    name = domain or released_domain(path)
    beliefs, explanations = read_released(files, name, threshold)
    if domain is None:
        _warn_of_subject(beliefs, path)
    return Probe(
        name=str(path),
        domain=name,
        beliefs=beliefs,
        files=tuple(files),
        explanations=explanations or Explanations({}, 0, files[0]),
    )


def _logged_probe(scores: Scores, domain: str | None, threshold: float) -> Probe:
    """A task's questions, labelled; rotations are folded into one distribution per question first."""
    rotated = CYCLIC in scores.task
    asked, incomplete = scores, 0
    if rotated:
        folded = fold_rotations(scores, keep_placed=True)
        asked, incomplete = folded.scores, folded.incomplete
    name = domain or domain_of(scores.task)
    beliefs = read_beliefs(asked, threshold, name)
    if incomplete:
        tell(f"consistency: {scores.source}: {left_out(scores.task, incomplete)}")
    return Probe(
        name=scores.task,
        domain=name,
        beliefs=beliefs,
        files=(scores.source,),
        task=scores.task,
        rotated=scores if rotated else None,
        incomplete=incomplete,
        notes=_notes(scores, beliefs),
    )


def left_out(task: str, incomplete: int) -> str:
    """A note that questions of a task are left out.

    Examples
    --------
    >>> left_out("sums_cyclic", 1)
    'sums_cyclic: 1 question without all rotations left out'
    """
    return f"{task}: {incomplete} question{'' if incomplete == 1 else 's'} without all rotations left out"


def _notes(scores: Scores, beliefs: Beliefs) -> tuple[str, ...]:
    counts = OptionCounts()
    counts.add_task(beliefs.probs, beliefs.gold)
    found = strongest_bias({scores.task: counts})
    hint = "" if CYCLIC in scores.task else "; a task with _cyclic in its name tells them apart"
    return (*(f"{scores.task}: {note}" for note in scores.notes), *([found.to_text() + hint] if found else []))


def released_domain(path: str | Path) -> str:
    """The domain of released rows: the name of the folder if it is one of the paper's domains, else of the file.

    Examples
    --------
    >>> released_domain("llama-2-7b/history/inconsistent-golden-exp.jsonl"), released_domain("mine/law.jsonl")
    ('history', 'law')
    """
    path = Path(path).resolve()
    return next((part for part in (path.name, path.parent.name) if part in DOMAINS), path.stem)


def _warn_of_subject(beliefs: Beliefs, path: Path) -> None:
    """Print a notice on stderr if rows have no subject, so that they are about whatever the file's name is."""
    if beliefs.subject in DOMAINS:
        return
    decode = msgspec.json.Decoder(Document).decode
    if any(not decode(document).subject for document in beliefs.documents):
        tell(
            f"consistency: {path}: rows without a subject are about {beliefs.subject!r}, after the file's name; "
            "name another with --domain"
        )


def _choose(tasks: Mapping[str, Scores], path: Path) -> str:
    names = [name for name, scores in tasks.items() if scores.has_options]
    pools = [name for name in names if asks_pool(name)]
    for candidates in (names, pools):
        if len(candidates) == 1:
            return candidates[0]
    raise InputError(
        "several tasks" if names else "no task with options",
        expected=f"--task, one of {', '.join(sorted(names))}" if names else "the log of a multiple-choice task",
        path=path,
    )


def _read_explained(path: Path, domain: str) -> Explanations:
    return read_rounds(path, domain) if has_rounds(path) else read_explanations(path, domain)


def gather_texts(
    probe: Probe, purpose: Purpose, logs: Sequence[Path] = (), column: str | None = None
) -> Explanations | None:
    """What models wrote about a probe's questions.

    Parameters
    ----------
    probe : Probe
        The labelled questions.
    purpose : {"explain", "context"}
        Explanations of options, or the knowledge that the gold answers need.
    logs : sequence of Path
        Log folders of the explain or context task, or a folder of rounds of explaining and checking (`next_step`); with
        `column`, JSONL files that have it.
    column : str, optional
        A column with the texts; without `logs`, of the probe's own documents.

    Returns
    -------
    Explanations or None
        Of several sources together, the first that has a text. Without any source what the probe itself holds.

    Raises
    ------
    InputError
        If a source cannot be read, or holds nothing of the kind.
    """
    if column is not None:
        found = [read_column(path, column, probe.beliefs, purpose) for path in logs]
        found = found or [read_probe_column(probe.beliefs, column, purpose, probe.files[0])]
    elif purpose == "explain":
        found = [_read_explained(path, probe.domain) for path in logs]
    else:
        found = [read_contexts(path, probe.domain) for path in logs]
    if not found:
        return probe.explanations if purpose == "explain" else None
    if len(found) == 1:
        return found[0]
    texts = {key: text for written in reversed(found) for key, text in written.texts.items()}
    others = tuple(written.source for written in found[1:])
    requested = [written.requested for written in found if written.requested is not None]
    # A text that two logs hold was requested twice, and is there once.
    repeated = sum(len(written.texts) for written in found) - len(texts)
    return Explanations(
        texts,
        sum(written.unusable for written in found),
        found[0].source,
        others,
        sum(requested) - repeated if len(requested) == len(found) else None,
        next((written.limit for written in found if written.limit is not None), None),
        next((written.checked for written in found if written.checked), None),
    )
