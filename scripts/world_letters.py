"""What the groups of `make demo` change in the embedded world: letter bias, or more than that.

    python scripts/world_letters.py runs/demo --save docs/results/world/letters.npz      # from the logs of a grid
    python scripts/world_letters.py docs/results/world/letters.npz                       # from what the former saved
    python scripts/world_letters.py docs/results/world/letters.npz --logs FOLDER         # a log of plain lines for each run

Prints Markdown. The file holds natural log-probabilities of the options, float32, of the same questions in one order: of the base
model with five shots and of each tuned model; GROUP/rotated/… are answers over all rotations, where RUN/world/rotated/base and
RUN/world/rotated/GROUP are logs of `consistency eval --rotate`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from consistency.comparison.pairing import pair
from consistency.comparison.runs import common_tasks, comparable
from consistency.logs.runs import Run, read_run
from consistency.metrics.ranking import spearman
from consistency.statistics.answered import Answered
from consistency.statistics.decomposition import Decomposition, decompose
from consistency.statistics.estimates import Estimate
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Floats

GROUPS = ("harmonious", "self_aligning", "incompatible")
ALONE = Labels(strata=None, tasks=None, clusters=None)


def read(run: Path, domain: str = "medicine") -> dict[str, Any]:
    """The answers of a grid's base model and of its groups to the questions that each was asked."""
    base = read_run(run / "world/base/logs/icl")
    found: dict[str, Any] = {}
    for group in GROUPS:
        logs = run / f"world/{domain}/seed-0/logs/{group}"
        if logs.is_dir():
            found |= paired(base, read_run(logs), group)
    rotated = run / "world/rotated"
    if (rotated / "base").is_dir():
        base = read_run(rotated / "base")
        for group in GROUPS:
            if (rotated / group).is_dir():
                of_group = paired(base, read_run(rotated / group), "tuned", unrotated=True)
                found |= {f"{group}/rotated/{name}": values for name, values in of_group.items()}
    return found


def paired(base: Run, tuned: Run, name: str, *, unrotated: bool = False) -> dict[str, Any]:
    """The answers of two runs to the same questions, and the gold answers."""
    tasks = sorted(common_tasks(base, tuned).items())
    pairs = [pair(comparable(base.tasks[one], "raw"), comparable(tuned.tasks[two], "raw")) for one, two in tasks]
    found = {
        "base": np.concatenate([each.before.logprobs for each in pairs]).astype(np.float32),
        name: np.concatenate([each.after.logprobs for each in pairs]).astype(np.float32),
        "gold": np.concatenate([each.before.target for each in pairs]).astype(np.int8),
    }
    if unrotated:
        for run, sides in (("base", [each.before for each in pairs]), (name, [each.after for each in pairs])):
            asked = [side.unrotated.logprobs for side in sides if side.unrotated is not None]
            found[f"{run}_unrotated"] = np.concatenate(asked).astype(np.float32)
    return found


def right(answers: Mapping[str, Floats], run: str, gold: str = "gold") -> Floats:
    """Whether each answer is right."""
    return np.asarray(answers[run].argmax(axis=1) == answers[gold], dtype=np.float64)


def parts(answers: Mapping[str, Floats], group: str) -> Decomposition:
    """What changed from the base model."""
    gold = np.eye(answers["base"].shape[1], dtype=bool)[answers["gold"].astype(np.int64)]
    before, after = (answers[run].astype(np.float64) for run in ("base", group))
    return decompose([Answered(before, after, gold)], ALONE)


def points(found: Estimate) -> str:
    """A change in points with its interval."""
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return "–"
    return f"{100 * found.value:+.1f} [{100 * found.ci_low:+.1f}, {100 * found.ci_high:+.1f}]"


def accuracy(answers: Mapping[str, Floats]) -> Iterator[tuple[str, ...]]:
    """By group: the change of accuracy as answered, corrected for letter bias, due to it, and over all rotations."""
    for group in filter(answers.__contains__, GROUPS):
        found = parts(answers, group).estimates
        raw = change_of_shares(right(answers, "base"), right(answers, group))
        ends = [f"{100 * right(answers, run).mean():.1f}" for run in ("base", group)]
        without = [f"{100 * (found[f'calibrated_{when}'].value or 0):.1f}" for when in ("before", "after")]
        turned = "–"
        if f"{group}/rotated/tuned" in answers:
            both = [right(answers, f"{group}/rotated/{run}", f"{group}/rotated/gold") for run in ("base", "tuned")]
            ends_turned = " → ".join(f"{100 * each.mean():.1f}" for each in both)
            asked = [
                right(answers, f"{group}/rotated/{run}_unrotated", f"{group}/rotated/gold") for run in ("base", "tuned")
            ]
            turned = (
                f"{ends_turned}: {points(change_of_shares(*both))}; of the same {len(both[0]):,} questions as answered "
                f"{points(change_of_shares(*asked))}"
            )
        yield (
            group.upper().replace("_", "-"),
            f"{' → '.join(ends)}: {points(raw)}",
            f"{' → '.join(without)}: {points(found['calibrated_change'])}",
            points(found["prior_change"]),
            turned,
        )


def divergence(answers: Mapping[str, Floats]) -> Iterator[tuple[str, ...]]:
    """By group: the parts of KL, ranking correlation, and the letters answered."""
    for group in filter(answers.__contains__, GROUPS):
        found = parts(answers, group)
        kl = [_nats(found.estimates[f"kl_{part}"]) for part in ("sharpness", "prior", "rest")]
        plain = float(np.nanmean(spearman(answers["base"], answers[group])))
        letters = " ".join(f"{100 * share:.0f}" for share in found.priors[0].after)
        without = found.estimates["spearman_calibrated"].value or 0
        yield group.upper().replace("_", "-"), *kl, f"{plain:.2f}", f"{without:.2f}", letters


def _nats(found: Estimate) -> str:
    return f"{found.value:z.3f} [{found.ci_low:z.3f}, {found.ci_high:z.3f}]"


def table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def write_logs(answers: Mapping[str, Any], folder: Path, domain: str = "medicine") -> None:
    """A log of plain lines for the base model and for each group, with the questions as the world makes them again."""
    from consistency.support.files import write_atomically
    from consistency.world.fields import SUBJECTS
    from consistency.world.questions import questions

    asked = [(field, question) for field in (domain, *sorted(SUBJECTS)) for question in questions(field, "test")]
    gold = [question.answer for _, question in asked]
    if gold != answers["gold"].tolist():
        raise SystemExit("the answers are not those to the questions of this world: their gold options differ")
    for name in ("base", *(group for group in GROUPS if group in answers)):
        lines = [
            {
                "task": field,
                "question": question.question,
                "choices": question.choices,
                "gold": question.answer,
                "logprobs": [round(float(value), 5) for value in row],
                "model": name,
                "shots": 5 if name == "base" else 0,
            }
            for (field, question), row in zip(asked, answers[name], strict=True)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{name}.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))


def main() -> None:
    """Print the tables of a run, or of what was saved of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--logs", type=Path, help="write logs into this folder, and print nothing")
    arguments = parser.parse_args()
    answers: dict[str, Any] = read(arguments.source) if arguments.source.is_dir() else dict(np.load(arguments.source))
    if arguments.save:
        np.savez_compressed(arguments.save, **answers)
    if arguments.logs:
        write_logs(answers, arguments.logs)
        return
    letters = [f"{100 * share:.0f}" for share in parts(answers, "incompatible").priors[0].before]
    print(f"{len(answers['gold']):,} questions. The base model's letters A B C D: {' '.join(letters)} %.\n")
    of_accuracy = (
        "group",
        "as answered, % and points",
        "corrected for letter bias",
        "due to letter bias",
        "over all rotations",
    )
    print(table(of_accuracy, accuracy(answers)), end="\n\n")
    of_kl = (
        "group",
        "KL: a temperature",
        "the letters besides",
        "neither",
        "ρ",
        "ρ corrected for letter bias",
        "letters A B C D, %",
    )
    print(table(of_kl, divergence(answers)))


if __name__ == "__main__":
    main()
