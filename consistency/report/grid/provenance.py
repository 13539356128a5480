"""Where a grid's figures come from: what was paired in each run, what was trained on, how the logs differ from the method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.experiment.grid import Experiment, TunedRun
from consistency.experiment.row_manifest import check_rows
from consistency.metrics.measures import MEASURE
from consistency.report.document import Log
from consistency.report.grid.cells import RunAudit
from consistency.report.grid.document import GridPairing, Result, RunPairing, TrainingRows
from consistency.report.provenance import cut_notes, difference_notes, inputs_hash, limit_notes, shots_of
from consistency.support.json_files import read_json
from consistency.support.version import VERSION
from consistency.support.yaml_files import read_yaml
from consistency.tasks.templates import OWN, template_title

_SHOTS = {"base_few_shot": 5, "base_zero_shot": 0, "tuned": 0}
_CHAT = {"base_few_shot": False, "base_zero_shot": True, "tuned": True}
_ROLES = {"base_few_shot": "base model, 5-shot", "base_zero_shot": "base model, 0-shot", "tuned": "tuned models"}


def grid_pairing(runs: Iterable[tuple[TunedRun, RunAudit]]) -> GridPairing:
    """What was paired, what was dropped and which tasks are absent: in total, and for each run."""
    rows: list[RunPairing] = []
    absent: dict[str, list[str]] = {}
    for run, audit in runs:
        rows.append(
            RunPairing(
                run.model,
                run.domain,
                run.group,
                run.seed,
                questions=dict(audit.questions),
                paired=audit.paired.total(),
                dropped=dict(sorted(audit.dropped.items())),
                zero_shot_paired=audit.zero_paired.total(),
                zero_shot_dropped=dict(sorted(audit.zero_dropped.items())),
                not_in_all_three_logs=audit.unshared.total(),
                absent_tasks=sorted(audit.absent),
            )
        )
        for task, logs in audit.absent.items():
            absent[task] = sorted({*absent.get(task, []), *logs})
    return GridPairing(
        questions=sum(sum(row.questions.values()) for row in rows),
        paired=sum(row.paired for row in rows),
        dropped=sum(sum(row.dropped.values()) for row in rows),
        not_in_all_three_logs=sum(row.not_in_all_three_logs for row in rows),
        absent_tasks=dict(sorted(absent.items())),
        runs=rows,
    )


def training_rows(run: TunedRun) -> TrainingRows:
    """What a run was trained on, from its manifest: row counts by source, labels of the pool, the rows' SHA-256."""
    place = {"model": run.model, "domain": run.domain, "group": run.group, "seed": run.seed, **_training(run)}
    manifest = check_rows(run.rows) or {}
    try:
        return msgspec.convert({**manifest, **place}, TrainingRows)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"is not a manifest: {error}", do="write the group again", path=run.manifest) from error


def _training(run: TunedRun) -> dict[str, Any]:
    """How a run was trained, as far as the grid's folder still says it."""
    found: dict[str, Any] = {}
    if run.config.is_file():
        expected = "the config that the group was trained with"
        config = read_yaml(run.config, expected)
        if not isinstance(config, dict):
            raise InputError("is not a mapping", expected=expected, path=run.config)
        text = config.get("chat_template_jinja")
        found = {
            "learning_rate": _rate(config.get("learning_rate"), run.config),
            "precision": _precision(config),
            "template": OWN if text is None else template_title(str(text)),
        }
    if run.host.is_file():
        host = read_json(run.host, "what the grid noted of the host", "remove it")
        if not isinstance(host, dict):
            raise InputError(
                "is not a mapping", expected="what the grid noted of the host", do="remove it", path=run.host
            )
        found |= {key: host.get(key) for key in ("hardware", "git_commit", "packages")}
    return found


def _rate(given: Any, config: Path) -> float | None:
    """A learning rate; YAML takes 2e-5, which lacks a point, for text."""
    try:
        return None if given is None else float(given)
    except (TypeError, ValueError) as error:
        raise InputError(f"learning_rate: {given!r}", expected="a number", path=config) from error


def _precision(config: Mapping[str, Any]) -> str:
    """The types of weights and products in a training config."""
    if config.get("load_in_4bit"):
        return "4 bits"
    if config.get("bf16") == "auto":
        return "bfloat16 where the device has it"
    weights = "bfloat16" if config.get("bf16") else "float16" if config.get("fp16") else "float32"
    if any("autocast" in str(plugin) for plugin in config.get("plugins") or ()):
        return f"{weights}, products in bfloat16"
    return f"{weights}, products in TF32" if config.get("tf32") else weights


def notes(logs: Sequence[Log], pairing: GridPairing, experiment: Experiment) -> list[str]:
    """What a reader must know before believing the figures: limits, unusual settings, questions left out."""
    lines = [*limit_notes(logs), *cut_notes(logs), *_template_notes(logs, experiment)]
    for role, name in _ROLES.items():
        members = [log for log in logs if log.role == role]
        shots = sorted({shot for log in members for shot in log.shots} - {_SHOTS[role]})
        if shots:
            lines.append(
                f"{name}: {', '.join(map(str, shots))} shots in some tasks, where the method has {_SHOTS[role]}"
            )
        if any(log.chat_template is not None and log.chat_template != _CHAT[role] for log in members):
            lines.append(f"{name}: {'no' if _CHAT[role] else 'a'} chat template, against the method")
    lines += [line for line in difference_notes(logs) if "chat template" not in line]
    if pairing.absent_tasks:
        names = list(pairing.absent_tasks)
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        listed = ", ".join(names[:5]) + more
        lines.append(f"{len(names)} tasks of the scopes are in no or not all logs, or have no options: {listed}")
    for count, text in (
        (pairing.dropped, "could not be paired"),
        (pairing.not_in_all_three_logs, "were paired but are not in all three logs"),
    ):
        if count:
            lines.append(f"{count} answers {text} and were left out")
    return lines


def _template_notes(logs: Sequence[Log], experiment: Experiment) -> list[str]:
    """In which chat template each base model and its tuned models were asked."""
    asked: dict[str, set[str]] = {}
    for log in logs:
        if log.role in ("base_zero_shot", "tuned") and log.template:
            asked.setdefault(experiment.recipe(log.model).base, set()).add(log.template)
    lines = [
        f"{base}: the tuned models and their base model were asked in different chat templates, so that their accuracies and "
        f"rankings differ by the format as well: {', '.join(sorted(templates))}"
        for base, templates in asked.items()
        if len(templates) > 1
    ]
    one = sorted({template for templates in asked.values() for template in templates})
    if asked and not lines:
        lines.append(f"each base model was asked in the chat template of its tuned models: {', '.join(one)}")
    return lines


def check_notes(rows: Iterable[TrainingRows]) -> list[str]:
    """Which models could not judge their own explanations, so that these were trained on unchecked."""
    unread = {(row.model, row.domain): row.explanations for row in rows if row.explanations and row.explanations.unread}
    return [
        f"{model}, {domain}: only {found.passed_first} of {found.requested} explanations passed the check that they argue for "
        "the model's answer; a model that passes so few does not read them, so all were trained on, unchecked"
        for (model, domain), found in unread.items()
    ]


def letter_notes(rows: Iterable[TrainingRows]) -> list[str]:
    """Which groups teach letters far from evenly, of several seeds the first; and balanced groups of unlike orders."""
    uneven: dict[tuple[str, str], dict[str, str]] = {}
    orders: dict[tuple[str, str, int], set[str]] = {}
    for row in rows:
        if row.letters is not None and row.letters.warning:
            uneven.setdefault((row.model, row.domain), {}).setdefault(row.group, row.letters.warning)
        if row.balance is not None:
            orders.setdefault((row.model, row.domain, row.seed), set()).add(row.balance.orders_sha256)
    unlike = [place for place, found in orders.items() if len(found) > 1]
    return [
        *(
            f"{model}, {domain}: letters are taught far from evenly, and may be what is learned: {'; '.join(found.values())}"
            for (model, domain), found in uneven.items()
        ),
        *(
            f"{model}, {domain}, seed {seed}: the balanced groups do not have the same order of options in all; write them with "
            "the same --explanations, --contexts, --size and --guard"
            for model, domain, seed in unlike
        ),
    ]


def undefined_notes(results: Sequence[Result]) -> list[str]:
    """Which means leave questions out because they have no finite value there, such as an infinite KL."""
    counts: Counter[str] = Counter()
    for row in results:
        counts.update({name: figure.undefined for name, figure in row.tuned.items()})
    answers = sum(row.n for row in results)
    return [
        f"{count} of {answers} answers have no finite {MEASURE[name].title if name in MEASURE else name} and do not enter "
        "its means"
        for name, count in counts.items()
        if count
    ]


def signature(experiment: Experiment, logs: Sequence[Log], interval: str) -> str:
    """One line that identifies the figures: what was measured, how, with which versions, from which inputs."""
    return "|".join(
        [
            f"experiment:{experiment.name}",
            f"models:{','.join(experiment.models)}",
            f"domains:{','.join(experiment.domains)}",
            f"groups:{','.join(experiment.groups)}",
            f"seeds:{','.join(map(str, experiment.seeds))}",
            f"shots:{shots_of(logs, 'base_few_shot')}→{shots_of(logs, 'tuned')}",
            f"dtype:{_values(logs, 'dtype')}",
            f"interval:{interval}",
            f"lm_eval:{_values(logs, 'lm_eval_version')}",
            f"consistency:{VERSION}",
            inputs_hash(logs),
        ]
    )


def _values(logs: Sequence[Log], name: str) -> str:
    """What the logs say of a setting, "unknown" where none does."""
    return "/".join(sorted({str(getattr(log, name)) for log in logs if getattr(log, name) is not None})) or "unknown"
