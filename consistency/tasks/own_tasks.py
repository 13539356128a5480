"""The task files of users' own domains and their questions, kept in one folder that needs nothing else of the user's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import yaml

from consistency.errors import InputError
from consistency.support.files import fingerprint, write_lines
from consistency.support.json_files import json_lines, pretty_json, read_json
from consistency.support.locks import alone_in
from consistency.support.places import refusals
from consistency.support.resources import shipped
from consistency.tasks import prompts
from consistency.tasks.answer_prefixes import strip_answer
from consistency.tasks.own_domain import SPLITS, OwnDomain, Shot
from consistency.tasks.question_tables import read_source
from consistency.tasks.questions import Question
from consistency.tasks.scopes import context_task, explain_task, simulate_task

# Raised when a domain has to be asked again: its prompts are others, or its kept files no longer work.
VERSION = 1
SHOTS = 5
# The lists of the files in the folder, and what these can be called.
_LISTS = "manifest-*.json"
_KEPT = re.compile(r"(questions/)?[A-Za-z0-9_-]+(\.[a-z]+)?")
# Template, and further arguments of the loader, by the end of the task's name.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "icl": ("icl", {}),
    "ift": ("ift", {"shots": False}),
    "icl_cyclic": ("icl", {"rotated": True}),
    "pool_icl": ("icl", {"split": "pool"}),
    "pool_icl_cyclic": ("icl", {"split": "pool", "rotated": True}),
}
# What the templates of the explain and context tasks set, but for the end of a text.
_GENERATION = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "max_gen_toks": 256}
# The example of the context prompt, which has none by itself.
_CONTEXT_EXAMPLE = {
    "fewshot_split": "dev",
    "num_fewshot": 1,
    "fewshot_config": {"sampler": "first_n"},
    "fewshot_delimiter": "\n\n",
    "target_delimiter": " ",
    "doc_to_target": "explanation",
}


@dataclass(frozen=True)
class KeptDomain:
    """A domain as it is kept with a run.

    Attributes
    ----------
    domain : OwnDomain
    questions : mapping of str to list of Question
        Of "pool", "test" and "dev".
    explain_shot : Shot or None
        The example of the explain prompt; without one there is no explain task.
    """

    domain: OwnDomain
    questions: Mapping[str, Sequence[Question]]
    explain_shot: Shot | None


@dataclass(frozen=True)
class Written:
    """What `write_own_tasks` did.

    Attributes
    ----------
    folder : Path
    changed, removed : tuple of str
        Files that were written, and files of an earlier run that the domain has no more; all others stay untouched.
    counts : dict of str to int
        Questions by split.
    """

    folder: Path
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    counts: Mapping[str, int]

    def to_text(self) -> str:
        """What the folder holds and how many files changed, in one line."""
        counts = ", ".join(f"{split} {count}" for split, count in self.counts.items())
        removed = f", {len(self.removed)} removed" if self.removed else ""
        return f"{self.folder}: {counts} questions; {len(self.changed)} files written{removed}"


def read_own_domain(domain: OwnDomain) -> KeptDomain:
    """A domain with its questions, read from where the user has them.

    Raises
    ------
    InputError
        If a source cannot be read, a row is no question, or there are fewer than five few-shot examples.
    """
    questions = {split: read_source(domain.sources[split], domain.header) for split in SPLITS}
    if len(questions["dev"]) < SHOTS:
        raise InputError(
            f"{domain.name}: {len(questions['dev'])} few-shot examples",
            expected=f"at least {SHOTS}",
            path=domain.sources["dev"].place,
        )
    shot = domain.explain_shot
    for item in questions["dev"] if shot is None else ():
        if why := _why(item):
            shot = Shot(item.question, item.choices, item.answer, why)
            break
    return KeptDomain(domain, questions, shot)


def _why(item: Question) -> str:
    """The explanation of a question without the answer that it begins with."""
    return strip_answer(item.explanation, item.choices, item.answer).strip()


def made_from(domain: OwnDomain) -> str:
    """A hash of what a user decides of a domain's kept files: sources, names and examples.

    Not of the templates and functions: a new release of this project asks nothing twice, unless it raises `VERSION`.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    parts = [
        VERSION,
        domain.name,
        domain.header,
        domain.language,
        {split: domain.sources[split].fingerprint() for split in SPLITS},
        domain.explain_shot,
        domain.context_shot,
    ]
    return sha256(msgspec.json.encode(parts)).hexdigest()


def manifest_name(domain: OwnDomain) -> str:
    """The name of the list of a domain's kept files; it is another one as soon as they are made from something else."""
    return f"manifest-{made_from(domain)[:16]}.json"


def write_own_tasks(domain: OwnDomain, folder: Path) -> Written:
    """Write the task files and questions of an own domain.

    Parameters
    ----------
    domain : OwnDomain
    folder : Path
        Holds ``NAME.yaml`` for each task, their templates and functions, ``questions/SPLIT.jsonl``, and last the list of
        them (`manifest_name`). It is complete: it can be moved, and the user's own files may change.

    Returns
    -------
    Written

    Raises
    ------
    InputError
        As for `read_own_domain`; nothing is written then. Or if a file cannot be written.
    """
    name, kept = manifest_name(domain), read_own_domain(domain)
    files = _shared_files() | _questions(kept)
    files |= {f"{task}.yaml": text.encode() for task, text in task_files(kept).items()}
    counts = {split: len(found) for split, found in kept.questions.items()}
    manifest = {
        "version": VERSION,
        "domain": domain.name,
        "header": domain.header,
        "questions": counts,
        "from": {split: domain.sources[split].place for split in SPLITS},
        "scopes": domain.scopes("icl"),
        "files": {file: sha256(content).hexdigest() for file, content in sorted(files.items())},
    }
    files[name] = pretty_json(manifest).encode()
    with refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in([folder]):
            return Written(folder, *_bring_up_to_date(folder, name, files), counts)


def task_files(kept: KeptDomain) -> dict[str, str]:
    """The text of each task file of a domain, by the task's name."""
    domain = kept.domain
    words = prompts.wording(domain.language)
    common = {"domain": domain.name, "header": domain.header}
    asks: dict[str, Any] = {}
    writes: dict[str, Any] = {}
    if domain.language != prompts.ENGLISH:
        common["language"] = domain.language
        asks = {"target_delimiter": words.space}
        writes = {"generation_kwargs": {**_GENERATION, "until": [f"\n{words.answer}"]}}
    # The hash of what is asked stands in every log.
    hashes = {split: _rows_hash(kept.questions[split]) for split in SPLITS}
    found = {}
    for variant, (template, arguments) in VARIANTS.items():
        asked = hashes[arguments.get("split", "test")]
        more = {} if variant == "ift" else {"description": description(domain.header, domain.language)}
        found[domain.task(variant)] = _task_file(
            domain.task(variant), template, {**common, **arguments, "questions_sha256": asked}, {**more, **asks}
        )
    if kept.explain_shot is not None:
        more = {"description": words.explain_header, **writes} if writes else {}
        found[explain_task(domain.name)] = _task_file(explain_task(domain.name), "explain", common, more)
        asked_by_shot = {kept.explain_shot.question}
        explained = 1 + sum(bool(_why(item)) and item.question not in asked_by_shot for item in kept.questions["dev"])
        shown = {"num_fewshot": min(SHOTS, explained), **asks}
        if asks:
            shown["description"] = words.simulate_header
        found[simulate_task(domain.name)] = _task_file(simulate_task(domain.name), "simulate", common, shown)
    example = {} if domain.context_shot is None else {**_CONTEXT_EXAMPLE, **asks}
    found[context_task(domain.name)] = _task_file(context_task(domain.name), "context", common, {**example, **writes})
    return found


def description(header: str, language: str = prompts.ENGLISH) -> str:
    """The header of a prompt as lm_eval's templates render it to the very text, whatever braces it has.

    Examples
    --------
    >>> print(description("{{1}}").strip())
    The following are multiple choice questions about {{ '{' }}{{ '{' }}1}}. Please choose the correct answer.
    """
    return prompts.header(header, language).replace("{", "{{ '{' }}")


def _task_file(task: str, template: str, arguments: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    values = {
        "include": f"_{template}_template_yaml",
        "task": task,
        # A tag of the template would replace the one that lists the shipped tasks.
        "tag": [],
        **more,
        "dataset_kwargs": dict(arguments),
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def _questions(kept: KeptDomain) -> dict[str, bytes]:
    """The files of a domain's questions and examples, by their place in its folder."""
    files = {f"questions/{split}.jsonl": b"".join(_rows(found)) for split, found in kept.questions.items()}
    for name, shot in (("explain_shot", kept.explain_shot), ("context_shot", kept.domain.context_shot)):
        if shot is not None:
            row = {**shot.to_dict(kept.domain.header), **prompts.language_field(kept.domain.language)}
            files[f"questions/{name}.jsonl"] = b"".join(json_lines([row]))
    return files


def _rows(questions: Iterable[Question]) -> Iterable[bytes]:
    return json_lines({key: value for key, value in item.to_dict().items() if key != "subject"} for item in questions)


def _rows_hash(questions: Iterable[Question]) -> str:
    return sha256(b"".join(_rows(questions))).hexdigest()


def _shared_files() -> dict[str, bytes]:
    """The functions and templates of the task files, as this version ships them."""
    tasks = shipped("lm_eval_tasks")
    places = {"utils.py": tasks / "own" / "utils.py"}
    for name in ("icl", "ift", "explain", "context", "simulate"):
        folder = "domains" if name in ("icl", "ift") else "explain"
        places[f"_{name}_template_yaml"] = tasks / folder / f"_{name}_template_yaml"
    return {name: path.read_bytes() for name, path in places.items()}


def _bring_up_to_date(
    folder: Path, manifest: str, files: Mapping[str, bytes]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write what has changed and remove what earlier runs wrote and is no more; the names of both.

    While files change, each list of them has a hidden name: whoever finds a list finds the files that it names, and the next
    run after a kill knows them all.
    """
    changed = [file for file, content in files.items() if _digest(folder / file) != sha256(content).hexdigest()]
    listed = _listed(folder)
    removed = [file for file in listed if file not in files and (folder / file).is_file()]
    if changed or removed:
        new = folder / ".manifest-new.json"
        write_here = partial(write_lines, locked=[folder])
        write_here(new, [files[manifest]])
        for path in folder.glob(_LISTS):
            path.replace(folder / f".{path.name}")
            if path.name not in files:
                removed.append(path.name)
        for file in changed:
            if file != manifest:
                write_here(folder / file, [files[file]])
        for file in removed:
            (folder / file).unlink(missing_ok=True)
        new.replace(folder / manifest)
    for path in folder.glob(f".{_LISTS}"):
        path.unlink()
    return tuple(changed), tuple(removed)


def _listed(folder: Path) -> list[str]:
    """The files that earlier runs wrote into the folder."""
    found: list[str] = []
    for path in sorted([*folder.glob(_LISTS), *folder.glob(f".{_LISTS}")]):
        try:
            files = read_json(path, "the files of a domain")["files"]
            found += [name for name in files if _KEPT.fullmatch(name)]
        except (InputError, KeyError, TypeError):
            continue
    return list(dict.fromkeys(found))


def _digest(path: Path) -> str | None:
    return fingerprint(path) if path.is_file() else None
