"""Write the training rows of a probe's intervention groups, each file with a manifest that says how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.experiment.group_names import balanced, is_balanced
from consistency.experiment.row_manifest import manifest_of
from consistency.knowledge.explanations import Explanations
from consistency.knowledge.probes import Probe
from consistency.logs.packed import on_disk
from consistency.support.files import Outputs, fingerprint
from consistency.support.json_files import pretty_json
from consistency.support.text import joined
from consistency.support.version import VERSION
from consistency.tasks.scopes import asks_world
from consistency.training_data.balance import Balancer
from consistency.training_data.completeness import Completeness, completeness_of
from consistency.training_data.decontamination import Contamination
from consistency.training_data.groups import GROUPS, build_group, mixed_ratio
from consistency.training_data.instructions import NONE, WORLD, Instructions
from consistency.training_data.letters import Letters, letters_of
from consistency.training_data.row_writer import lines_of
from consistency.training_data.rows import SOURCES, Group
from consistency.training_data.selection import Selection, select

_NOTHING = Explanations({}, 0, Path())


@dataclass(frozen=True)
class Sources:
    """What groups are made of besides the probe.

    Attributes
    ----------
    explanations, contexts : Explanations or None
        What models wrote.
    general : str or None
        Where the general instructions come from: see `Instructions`. None is the embedded world's for a probe of its
        own tasks, and refused for others.
    evaluation : sequence of Path
        Evaluation sets whose questions are not to be trained on.
    remove : bool
        Whether to leave out contaminated questions, or only to list them.
    """

    explanations: Explanations | None = None
    contexts: Explanations | None = None
    general: str | None = None
    evaluation: Sequence[Path] = ()
    remove: bool = True


@dataclass(frozen=True)
class Written:
    """What was written, what was not and why, and which questions of the pool are contaminated.

    Attributes
    ----------
    tallies : dict of Path to Counter
        What each file holds: see `lines_of`.
    completeness : dict of Path to Completeness
        How many rows of each file have the texts that they should.
    skipped : dict of str to str
        Reasons by group.
    contamination : Contamination
        Questions that are in evaluation sets, or duplicates within the pool.
    left_out : frozenset of int
        The places of the questions that no group holds.
    task : str or None
        The probe's task; with the embedded world's no evaluation set is asked for.
    notes : tuple of str
        What a reader should know of the probe's log.
    general : str
        Where the general instructions come from.
    letters : tuple of Letters
        Of each file: which letters it teaches.
    unpermuted : mapping of str to int
        How many questions are in no balanced variant since their options cannot be permuted, by the reason; of several seeds
        the most.
    """

    tallies: dict[Path, Counter[str]]
    completeness: dict[Path, Completeness]
    skipped: dict[str, str]
    contamination: Contamination
    left_out: frozenset[int]
    task: str | None = None
    notes: tuple[str, ...] = ()
    general: str = WORLD
    letters: tuple[Letters, ...] = ()
    unpermuted: Mapping[str, int] = field(default_factory=dict)

    def to_text(self) -> str:
        """A line for each file, and one for each thing that a user should know."""
        lines = []
        for path, tally in self.tallies.items():
            texts = self.completeness[path]
            missing = {"an explanation": texts.unexplained, "a context": texts.without_context}
            notes = [f"{count} answers without {what}" for what, count in missing.items() if count]
            rows = sum(tally[source] for source in SOURCES)
            lines.append(f"{path}: {rows} rows" + (f" ({', '.join(notes)})" if notes else ""))
        lines += [f"no {name}: {reason}" for name, reason in self.skipped.items()]
        lines += dict.fromkeys(note for texts in self.completeness.values() for note in texts.notes())
        if self.general == NONE:
            lines.append(
                "preference pairs: general instructions are left out, since they have one reply"
                if any(texts.pairs for texts in self.completeness.values())
                else "no general instructions (--general none): each group holds its questions alone"
            )
        if uneven := dict.fromkeys(letters.in_short() for letters in self.letters if letters.taught.uneven):
            lines.append(f"letters taught far from evenly, which --balance would mend: {', '.join(uneven)}")
        lines += [
            f"in no balanced group: {count} questions, since {reason}" for reason, count in self.unpermuted.items()
        ]
        lines += self.notes
        findings = self.contamination.findings
        in_sets = [item for item in findings if item.file is not None]
        exact, near = (
            [item for item in findings if item.file is None and item.kind == kind] for kind in ("exact", "near")
        )
        stay = "; groups that were released are reproduced as they are" if self.task is None else ""
        for what, found, why in (
            ("questions of evaluation sets", in_sets, ""),
            ("duplicates within the pool", exact, stay),
            ("near duplicates within the pool", near, "; they may ask different things"),
        ):
            if found:
                count = sum(item.row in self.left_out for item in found)
                lines.append(f"{what}: {len(found)}, of which {count} left out{why} (the manifests list them)")
        if not self.contamination.files and not asks_world(self.task or ""):
            lines.append("no evaluation set was checked: name those that you will test on with --guard")
        return joined(lines)


def write_groups(
    probe: Probe,
    out: str | Path,
    sources: Sources,
    names: Sequence[str] = (),
    *,
    seeds: Sequence[int] = (0,),
    size: int | None = None,
    allow_incomplete: bool = False,
    preference: bool = False,
    balance: bool = False,
) -> Written:
    """Write the training rows of a probe's intervention groups.

    Parameters
    ----------
    probe : Probe
        The labelled pool.
    out : path-like
        The folder for the files; with several seeds, each has a folder ``seed-N`` in it.
    sources : Sources
        What models wrote, general instructions, evaluation sets.
    names : sequence of str
        The groups, or their balanced variants; without any, all of `GROUPS` that can be made.
    seeds : sequence of int
        Seeds of the sampling.
    size : int, optional
        Questions in each group; by default as many as are misbelieved, but for the cases of `group_size`.
    allow_incomplete : bool
        Whether to write groups whose rows lack the texts that make them what they are: see `Completeness.check`.
    preference : bool
        Whether to write preference pairs, for Axolotl's `rl: dpo`; without general instructions, which have one reply.
    balance : bool
        Whether to write the balanced variants of the groups: see `Balance`.

    Returns
    -------
    Written

    Raises
    ------
    InputError
        If a named group cannot be made or is hollow, none can be made, or no general instructions are named for a probe
        of real questions; nothing is written then.
    """
    for name in names:
        mixed_ratio(name)
    general = NONE if preference else _general(probe, sources.general)
    listed = list(dict.fromkeys(balanced(name) if balance else name for name in names or GROUPS))
    selection = select(
        probe, sources.evaluation, sources.remove, size, every_group=not names, balanced=any(map(is_balanced, listed))
    )
    found = selection.contamination
    paths = [*probe.files, *found.files, *(() if general in (NONE, WORLD) else (Path(general),))]
    for written in (sources.explanations, sources.contexts):
        paths += [written.source, *written.others] if written else []
    # Hashing leaves the interpreter to the sampling.
    with ThreadPoolExecutor(1) as thread:
        inputs = thread.submit(identify, paths)
        if allow_incomplete:
            sources = replace(sources, explanations=sources.explanations or _NOTHING)
        instructions = [Instructions(general, seed) for seed in dict.fromkeys(seeds)]
        groups, skipped = _build(probe.domain, selection, sources, listed, bool(names), instructions, preference)
        complete, hollow = _complete(groups, names, allow_incomplete)
    folder = Path(out)
    tallies = write_all(
        [
            (group, texts, folder / f"seed-{group.instructions.seed}" if len(set(seeds)) > 1 else folder)
            for group, texts in complete
        ],
        inputs=inputs.result(),
        settings={"task": probe.task, "notes": list(probe.notes), "guard": found.to_dict(selection.left_out)},
    )
    return Written(
        tallies,
        dict(zip(tallies, (texts for _, texts in complete), strict=True)),
        skipped | hollow,
        found,
        selection.left_out,
        probe.task,
        probe.notes,
        general,
        tuple(letters_of(group) for group, _ in complete),
        _unpermuted(group for group, _ in complete),
    )


def _unpermuted(groups: Iterable[Group]) -> dict[str, int]:
    """How many questions are in no balanced variant, by the reason; of several seeds the most."""
    found: dict[str, int] = {}
    for group in groups:
        for reason, count in (group.balance or {}).get("left_out", {}).items():
            found[reason] = max(count, found.get(reason, 0))
    return found


def _general(probe: Probe, named: str | None) -> str:
    """Where the general instructions come from; the fictional world's are a default for its own probes alone."""
    if named is not None or asks_world(probe.task or ""):
        return named or WORLD
    raise InputError(
        "no general instructions are named",
        expected="--general FILE or hub:NAME, none, or world for those of the embedded, fictional world",
        do="the paper's are alpaca-gpt4: the file alpaca_gpt4_data.json of the repository "
        "Instruction-Tuning-with-GPT-4/GPT-4-LLM, or hub:vicgalle/alpaca-gpt4",
    )


def _build(
    domain: str,
    selection: Selection,
    sources: Sources,
    names: Sequence[str],
    chosen: bool,
    general: Sequence[Instructions],
    preference: bool,
) -> tuple[list[Group], dict[str, str]]:
    """The groups, and why others cannot be made where they were not chosen."""
    groups: list[Group] = []
    skipped: dict[str, str] = {}
    balancer = None
    if selection.movable is not None:
        balancer = Balancer(selection.movable, domain, sources.explanations, sources.contexts, preference=preference)
    for instructions in general:
        for name in names:
            try:
                if balancer is not None and is_balanced(name):
                    groups.append(balancer.build(name, instructions))
                    continue
                group = build_group(
                    name,
                    domain,
                    selection.beliefs,
                    sources.explanations,
                    contexts=sources.contexts,
                    general=instructions,
                    seed=instructions.seed,
                    size=selection.size,
                    preference=preference,
                )
            except InputError as error:
                if chosen:
                    raise
                skipped[name] = str(error)
            else:
                groups.append(group)
    if not groups:
        # What stops most of them first.
        raise InputError("; ".join(reason for reason, _ in Counter(skipped.values()).most_common()))
    return groups, skipped


def _complete(
    groups: Sequence[Group], names: Sequence[str], allow_incomplete: bool
) -> tuple[list[tuple[Group, Completeness]], dict[str, str]]:
    """The groups that are not hollow, and why the others are where none is named."""
    complete: list[tuple[Group, Completeness]] = []
    hollow: dict[str, str] = {}
    for group, texts in zip(groups, completeness_of(groups), strict=True):
        try:
            if not allow_incomplete:
                texts.check()
        except InputError as error:
            if names:
                raise
            hollow[group.name] = str(error)
        else:
            complete.append((group, texts))
    if not complete:
        raise InputError("; ".join(hollow.values()))
    return complete, hollow


def write_all(
    groups: Sequence[tuple[Group, Completeness, Path]],
    *,
    inputs: Sequence[Mapping[str, str]],
    settings: Mapping[str, Any],
) -> dict[Path, Counter[str]]:
    """Write the rows of groups of one probe, then for each a manifest that says how they were made.

    Parameters
    ----------
    groups : sequence of (Group, Completeness, Path)
        What `build_group` made, the texts that its rows have, and the folder for its ``NAME.jsonl`` and
        ``NAME.manifest.json``.
    inputs : sequence of mapping
        What was read: see `identify`.
    settings : mapping
        Further fields of the manifest.

    Returns
    -------
    dict of Path to Counter
        The files of the rows, and what they hold: see `lines_of`.

    Raises
    ------
    InputError
        If a file cannot be written; no rows appear then.
    """
    tallies: dict[Path, Counter[str]] = {folder / f"{group.name}.jsonl": Counter() for group, _, folder in groups}
    paths = list(tallies)
    with Outputs() as outputs:
        manifests = {path: outputs.manifest(manifest_of(path)) for path in paths}
        pieces = lines_of([group for group, _, _ in groups], list(tallies.values()))
        normalized = {id(group.beliefs): group.beliefs.normalized_explanations() for group, _, _ in groups}
        digests = outputs.write_pieces(paths, ((paths[place], lines) for place, lines in pieces))
        for (group, texts, _), (path, tally) in zip(groups, tallies.items(), strict=True):
            beliefs = group.beliefs
            manifest = {
                "version": VERSION,
                "group": group.name,
                "domain": group.domain,
                "seed": group.instructions.seed,
                "general": group.instructions.source,
                "format": "preference" if group.preference else "conversations",
                **settings,
                "threshold": beliefs.threshold,
                "questions": len(beliefs),
                "labels": beliefs.counts(),
                "rows": {source: tally[source] for source in SOURCES if tally[source]},
                "rows_without_explanation": texts.unexplained,
                "explanations": group.explanations.checked.to_dict()
                if group.explanations and group.explanations.checked
                else None,
                "normalized_gold_explanations": normalized[id(beliefs)],
                "unusable_explanations": group.explanations.unusable if group.explanations else None,
                "unusable_share": {
                    "explanations": group.explanations.unusable_share if group.explanations else None,
                    "contexts": group.contexts.unusable_share if group.contexts else None,
                },
                "rows_without_context": texts.without_context,
                "completeness": texts.to_dict(),
                "letters": letters_of(group).to_dict(),
                "balance": group.balance,
                "sha256": digests[path],
                "inputs": list(inputs),
            }
            manifests[path].write(pretty_json(manifest).encode())
    return tallies


def identify(paths: Iterable[Path]) -> list[dict[str, str]]:
    """Name and SHA-256 of each file that is there, once; of an archive's files those of the archive."""
    files = dict.fromkeys(map(on_disk, paths))
    return [{"file": path.name, "sha256": fingerprint(path)} for path in files if path.is_file()]
