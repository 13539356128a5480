"""What a section leaves out, in words: unusual pairs, questions without a partner, and those without a finite value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from consistency.comparison.names import MOST_TASKS
from consistency.comparison.pairing import Dropped
from consistency.comparison.section import Section
from consistency.metrics.measures import MEASURE
from consistency.support.text import shortened


def undefined_notes(section: Section) -> list[str]:
    """Which measures leave questions out because they have no finite value there: a line for each number of questions."""
    names: dict[int, list[str]] = {}
    for name, estimate in section.estimates.items():
        if estimate.undefined and estimate.n:
            names.setdefault(estimate.undefined, []).append(MEASURE[name].title)
    return [
        f"{shortened(found, MOST_TASKS)} {'have' if len(found) > 1 else 'has'} no finite value for {count:,} of {section.n:,} "
        "questions"
        for count, found in names.items()
    ]


def pairing_line(section: Section) -> list[str]:
    """A line on unusual pairs; none if every pair is an ordinary one."""
    pairing = section.pairing
    special = {
        "paired by what they ask": pairing.by_content,
        "identical to others and paired by doc_id": pairing.identical,
        "with options in another order": pairing.reordered,
        "with another prompt": pairing.prompts.get("different", 0),
    }
    found = ", ".join(f"{count:,} {what}" for what, count in special.items() if count)
    return [f"{section.name}: of {pairing.paired:,} questions {found}"] if found else []


def dropped_lines(by_task: Mapping[str, Section]) -> Iterator[str]:
    """Why questions were left out, and what reading the logs brought up: each once, with the tasks that it is about."""
    dropped: dict[str, dict[str, Dropped]] = {}
    notes: dict[str, list[str]] = {}
    for name, section in by_task.items():
        for reason, found in section.pairing.dropped.items():
            dropped.setdefault(reason, {})[name] = found
        for note in section.pairing.notes:
            notes.setdefault(note, []).append(name)
    yield from (line for reason, tasks in dropped.items() for line in _dropped_for(reason, tasks))
    yield from (f"{shortened(names, MOST_TASKS)}, {note}" for note, names in notes.items())


def _dropped_for(reason: str, tasks: Mapping[str, Dropped]) -> Iterator[str]:
    """What was left out for one reason."""
    if len(tasks) == 1:
        ((name, found),) = tasks.items()
        more = ", …" if found.count > len(found.examples) else ""
        which = f" (doc_id {', '.join(map(str, found.examples))}{more})" if found.examples else ""
        yield f"left out of {name}: {found.count:,} {reason}{which}"
        return
    counts = {found.count for found in tasks.values()}
    named = [f"{name} {found.count}" for name, found in sorted(tasks.items(), key=lambda item: -item[1].count)]
    each = f"{counts.pop()} of each" if len(counts) == 1 else shortened(named, MOST_TASKS)
    yield f"left out of {len(tasks)} tasks: {sum(found.count for found in tasks.values()):,} {reason} ({each})"
