"""Write what models are to write about: the answers of groups that need an explanation, or the questions that need a context."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from consistency.errors import InputError, not_one_of
from consistency.knowledge.beliefs import Belief
from consistency.knowledge.explanations import Explanations
from consistency.knowledge.probes import Probe
from consistency.support.files import write_lines
from consistency.support.json_files import json_lines
from consistency.support.text import joined
from consistency.tasks.prompts import language_field
from consistency.training_data.groups import build_group, mixed_ratio
from consistency.training_data.instructions import NONE, Instructions
from consistency.training_data.selection import Selection, select

# What is to be written, and the group that uses it for each of its questions.
GROUP_OF = {"explain": "self_aligning", "random_wrong": "random_wrong", "context": "contextualized"}
PURPOSES = tuple(GROUP_OF)
_COUNTED = {
    "explain": "answers to explain",
    "random_wrong": "random wrong answers to explain",
    "context": "questions to write contexts for",
}
_TO_COME = Explanations({}, 0, Path())


@dataclass(frozen=True)
class Requested:
    """What models are asked to write.

    Attributes
    ----------
    path : Path
        The file of the requests.
    counts : dict of str to int
        How many there are for each purpose.
    domains : dict of str to int
        How many there are about each probe's domain.
    skipped : dict of str to str
        Groups for which nothing is requested, and why.
    """

    path: Path
    counts: dict[str, int]
    domains: dict[str, int]
    skipped: dict[str, str]

    def to_text(self) -> str:
        """The counts, and what is to be done where nothing is requested."""
        lines = [f"{self.path}: " + ", ".join(f"{count} {_COUNTED[name]}" for name, count in self.counts.items())]
        if len(self.domains) > 1:
            lines.append("  " + ", ".join(f"{domain}: {count}" for domain, count in self.domains.items()))
        lines += [f"nothing for {group}: {reason}" for group, reason in self.skipped.items()]
        empty = [domain for domain, count in self.domains.items() if not count]
        if empty:
            lines.append(
                f"no request about {', '.join(empty)}: lm_eval runs no task without documents, so leave that one out; an "
                "empty folder stands for its log"
            )
        return joined(lines)


def write_requests(
    probes: Sequence[Probe],
    path: str | Path,
    groups: Sequence[str] = (),
    purposes: Sequence[str] = (),
    *,
    seeds: Sequence[int] = (0,),
    size: int | None = None,
    evaluation: Sequence[Path] = (),
    remove: bool = True,
    preference: bool = False,
) -> Requested:
    """Write what models are to write for groups: exactly the texts that `write_groups` puts in with the same arguments.

    Parameters
    ----------
    probes : sequence of Probe
        The labelled pools.
    path : path-like
        The JSONL file that the explain and context tasks read.
    groups : sequence of str
        The groups. SELF-ALIGNING and MIXED need explanations of the model's own answers, RANDOM-WRONG of other wrong
        ones, CONTEXTUALIZED contexts, the others nothing. Without any, the one of each purpose; and without `size` then
        every question that it could ask.
    purposes : sequence of {"explain", "random_wrong", "context"}
        What to ask for: explanations by the base model of its own answers, or of the options of RANDOM-WRONG; or the
        knowledge that the gold answers need, by any model. By default whatever the groups need, or without groups
        "explain".
    seeds : sequence of int
        Seeds of the sampling; what any of them needs is requested.
    size, evaluation, remove, preference
        As `write_groups` takes them. Preference pairs need an explanation of the answer that they reject, too.

    Returns
    -------
    Requested

    Raises
    ------
    InputError
        If there is no such group or purpose, contexts and explanations are asked for together, a group cannot be made
        (of several probes: of none), or a file cannot be read or written.
    """
    for purpose in purposes:
        if purpose not in PURPOSES:
            raise not_one_of("purpose", purpose, PURPOSES)
    names = tuple(dict.fromkeys(groups or (GROUP_OF[purpose] for purpose in purposes or ("explain",))))
    needs = {name: _needs(name, preference) for name in names}
    wanted = [
        purpose for purpose in PURPOSES if purpose in (purposes or {need for found in needs.values() for need in found})
    ]
    if "context" in wanted and len(wanted) > 1:
        raise InputError(
            "contexts and explanations in one file",
            expected="a file for each, since different tasks read them",
            do="write one with --for context, and one with --for explain --for random_wrong",
        )
    requests: dict[tuple[str, str | int, str, int], tuple[str, dict[str, object]]] = {}
    domains, idle, impossible, made = Counter[str](), dict[str, str](), dict[str, str](), False
    for probe in probes:
        domains[probe.domain] += 0
        selection = select(probe, evaluation, remove, size)
        if not groups and size is None:
            # Whatever the groups will be, of any seed and behind any guard.
            selection = replace(selection, size=None)
        misbelieved = bool(selection.beliefs.labelled("misbelieved"))
        for name, found in needs.items():
            asked = [need for need in found if need in wanted]
            if not asked:
                idle[name] = f"its texts are those of --for {' and '.join(found)}" if found else "it needs no text"
                continue
            try:
                answers = _answers(name, asked, probe, selection, seeds, preference) if misbelieved else []
            except InputError as error:
                if len(probes) == 1:
                    raise
                impossible[f"{name} of {probe.domain}"] = str(error)
                continue
            made = True
            for belief, option, need in answers:
                # Two tasks of a domain may have asked the same question, and got the same answer.
                key = probe.domain, belief.id, belief.question, option
                if key not in requests:
                    requests[key] = need, _request(belief, option, probe.domain, need)
                    domains[probe.domain] += 1
    if impossible and not made:
        raise InputError("; ".join(dict.fromkeys(impossible.values())))
    counts = Counter(need for need, _ in requests.values())
    write_lines(path, json_lines(request for _, request in requests.values()))
    by_purpose = {purpose: counts[purpose] for purpose in wanted or ["explain"]}
    return Requested(Path(path), by_purpose, dict(domains), idle | impossible)


def _needs(group: str, preference: bool) -> tuple[str, ...]:
    """The purposes of what a group needs."""
    found = [purpose for purpose, name in GROUP_OF.items() if name == group]
    ratio = mixed_ratio(group)
    # Beside a gold reply, a pair rejects the model's own.
    if ratio or (preference and (ratio is not None or group == "contextualized")):
        found.append("explain")
    return tuple(dict.fromkeys(found))


def _answers(
    name: str, purposes: Sequence[str], probe: Probe, selection: Selection, seeds: Sequence[int], preference: bool
) -> Iterator[tuple[Belief, int, str]]:
    """What a group needs for some purposes, in the order of the pool, as (question, option, purpose); of all seeds together."""
    found = set()
    for seed in dict.fromkeys(seeds):
        group = build_group(
            name,
            probe.domain,
            selection.beliefs,
            _TO_COME,
            contexts=_TO_COME,
            general=Instructions(NONE, seed),
            seed=seed,
            size=selection.size,
        )
        for row, option, source in group.answers:
            for purpose in purposes:
                if purpose == "explain" and (preference or source == "model"):
                    found.add((row, int(selection.beliefs.answer[row]), purpose))
                elif purpose != "explain":
                    found.add((row, option, purpose))
    return ((selection.beliefs[row], option, purpose) for row, option, purpose in sorted(found))


def _request(belief: Belief, option: int, domain: str, purpose: str) -> dict[str, object]:
    return {
        "id": belief.id,
        "subject": belief.subject,
        "question": belief.question,
        "choices": belief.choices,
        "option": option,
        **({} if domain == belief.subject else {"domain": domain}),
        **({} if purpose == "explain" else {"purpose": purpose}),
        **language_field(belief.language),
    }
