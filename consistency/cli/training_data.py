"""Commands from a probe to training data: arguments in, calls out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from consistency.support.memory import gc_disabled
from consistency.support.streams import say, show

Probe = Annotated[
    Path,
    typer.Option(
        help="Log folder of the base model's probe, or rows in the authors' released format.", show_default=False
    ),
]
Probes = Annotated[
    list[Path], typer.Option("--probe", help="Log folder, or rows in the released format; may be repeated.")
]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="Task; may be repeated. Default: all with questions.")]
Domain = Annotated[str | None, typer.Option(help="Name of the domain. Default: the task's, or the folder's.")]
Threshold = Annotated[float, typer.Option(help="Confidence that an answer must exceed to count as knowledge.")]
Evaluation = Annotated[
    list[Path] | None,
    typer.Option("--guard", help="Evaluation set: question file, samples file or folder; may be repeated."),
]

NoGuard = Annotated[
    bool, typer.Option("--no-guard", help="List contaminated and duplicate questions, but leave none out.")
]
Seeds = Annotated[list[int] | None, typer.Option(help="Seed of the sampling; may be repeated. Default: 0.")]
Size = Annotated[
    int | None, typer.Option(min=1, help="Questions in each group. Default: as many as are confidently wrong.")
]


def requests(
    probe: Probe,
    out: Annotated[Path, typer.Option(help="JSONL file to write.")],
    task: Annotated[list[str] | None, typer.Option(help="Task of the probe; may be repeated.")] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Group to ask for; may be repeated. Default: the one of each --for.")
    ] = None,
    purpose: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help="What is to be written: explain, random_wrong or context; may be repeated. Default: what the groups "
            "need, or explain.",
        ),
    ] = None,
    domain: Domain = None,
    threshold: Threshold = 0.5,
    seed: Seeds = None,
    size: Size = None,
    evaluation: Evaluation = None,
    no_guard: NoGuard = False,
    preference: Annotated[
        bool, typer.Option("--preference", help="For preference pairs, which also explain the answer that they reject.")
    ] = False,
) -> None:
    """Write the answers that a model is to explain, or the questions that need a context, for groups of the same flags."""
    from consistency.knowledge.probes import read_all, read_probe
    from consistency.training_data.requests import write_requests

    if task:
        probes, _ = read_all([probe], list(dict.fromkeys(task)), domain, threshold)
    else:
        probes = [read_probe(probe, None, domain, threshold)]
    requested = write_requests(
        probes,
        out,
        group or (),
        purpose or (),
        seeds=seed or (0,),
        size=size,
        evaluation=evaluation or (),
        remove=not no_guard,
        preference=preference,
    )
    show(requested.to_text())
    say(*(note for item in probes for note in item.notes))


def rounds(
    folder: Annotated[Path, typer.Argument(help="Folder of the rounds.")],
    requests: Annotated[Path, typer.Option(help="What consistency requests wrote.")],
    explain: Annotated[str, typer.Option(help="Tasks in which the model explains, joined by commas.")],
    check: Annotated[str, typer.Option(help="Tasks that check the explanations, joined by commas.")],
    attempts: Annotated[int, typer.Option(min=0, help="Most rounds; 0: one, which is not checked.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the first round's sampling.")] = 1234,
) -> None:
    """Print what lm_eval is to run next so that each answer gets an explanation that argues for it; nothing at the end.

    Four lines: the value of --tasks, of --metadata, the seed, and the folder for the log.
    """
    from consistency.knowledge.simulatability import next_step

    step = next_step(folder, requests, attempts, explain.split(","), check.split(","), seed)
    if step is not None:
        show(f"{','.join(step.tasks)}\n{json.dumps(step.metadata)}\n{step.seed}\n{step.logs}", exact=True)


def groups(
    probe: Probe,
    out: Annotated[Path, typer.Option(help="Where the result goes.", show_default=False)],
    task: Annotated[
        str | None, typer.Option(help="Task of the probe. Default: the only one, or the only pool.")
    ] = None,
    domain: Domain = None,
    group: Annotated[list[str] | None, typer.Option(help="Intervention group; may be repeated. Default: all.")] = None,
    explanations: Annotated[
        list[Path] | None,
        typer.Option(help="Log folder of the explain task, or the folder of consistency rounds; may be repeated."),
    ] = None,
    as_released: Annotated[
        bool,
        typer.Option("--as-released", help="Keep the answer that a gold explanation begins with (Ans. B. …)."),
    ] = False,
    contexts: Annotated[
        list[Path] | None, typer.Option(help="Log folder of the context task; may be repeated.")
    ] = None,
    explanation_column: Annotated[
        str | None, typer.Option(help="Column of --explanations FILE.jsonl, or of the probe's documents.")
    ] = None,
    context_column: Annotated[str | None, typer.Option(help="The same of --contexts.")] = None,
    general: Annotated[
        str | None,
        typer.Option(
            help="General instructions: a JSON or JSONL file, hub:NAME, hub:NAME@REVISION, 'none' or 'world'. Default: "
            "'world' for the embedded world's questions; others must name theirs.",
            show_default=False,
        ),
    ] = None,
    threshold: Threshold = 0.5,
    seed: Seeds = None,
    size: Size = None,
    evaluation: Evaluation = None,
    no_guard: NoGuard = False,
    allow_incomplete: Annotated[
        bool,
        typer.Option(
            "--allow-incomplete", help="Write groups of which more than a tenth lack explanations or contexts."
        ),
    ] = False,
    preference: Annotated[
        bool,
        typer.Option(
            "--preference", help="Write chosen and rejected replies for the preset dpo, instead of conversations."
        ),
    ] = False,
) -> None:
    """Write the training rows of intervention groups, each with a manifest."""
    from consistency.knowledge.probes import gather_texts, read_probe
    from consistency.training_data.write import Sources, write_groups

    with gc_disabled():
        found = read_probe(probe, task, domain, threshold)
        if as_released:
            found = replace(found, beliefs=replace(found.beliefs, as_released=True))
        sources = Sources(
            explanations=gather_texts(found, "explain", explanations or (), explanation_column),
            contexts=gather_texts(found, "context", contexts or (), context_column),
            general=general,
            evaluation=evaluation or (),
            remove=not no_guard,
        )
        written = write_groups(
            found,
            out,
            sources,
            group or (),
            seeds=seed or (0,),
            size=size,
            allow_incomplete=allow_incomplete,
            preference=preference,
        )
        show(written.to_text())


def knowledge_map(
    probe: Annotated[
        list[Path], typer.Option(help="Log folder, or rows in the released format; several for finer categories.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for map.json, labels.jsonl, map.svg and map.png.")],
    task: Tasks = None,
    domain: Domain = None,
    threshold: Threshold = 0.5,
) -> None:
    """Map what a model knows: labels, categories, confidence and calibration by domain and subject."""
    from consistency.knowledge.map import read_map
    from consistency.knowledge.map_figure import write_map

    found = read_map(probe, task or (), domain, threshold)
    write_map(found, out)
    show(found.to_text())


def audit(
    training_set: Annotated[Path, typer.Argument(help="Questions, conversations or Alpaca rows: JSONL or JSON.")],
    probe: Probes,
    task: Tasks = None,
    domain: Domain = None,
    threshold: Threshold = 0.5,
    out: Annotated[Path | None, typer.Option(help="Folder for audit.md, audit.json and examples.jsonl.")] = None,
) -> None:
    """Audit a training set: how much of it contradicts what a model believes, and which rows to drop or rewrite."""
    from consistency.training_data.audit import audit as judge
    from consistency.training_data.audit_page import page, write_audit

    found = judge(training_set, probe, task or (), domain, threshold)
    if out is not None:
        write_audit(found, out)
    show(page(found))


def leakage(
    pool: Annotated[Path, typer.Argument(help="JSONL file of questions.")],
    evaluation: Evaluation = None,
    out: Annotated[Path | None, typer.Option(help="JSONL file: a line for each of these questions.")] = None,
) -> None:
    """List the questions of a pool that are in an evaluation set, or duplicates within the pool."""
    from consistency.support.files import write_lines
    from consistency.support.json_files import json_lines
    from consistency.tasks.questions import read_questions
    from consistency.training_data.decontamination import find_contamination

    questions = read_questions(pool, "")
    found = find_contamination(questions, [question.id for question in questions], evaluation or ())
    if out is not None:
        write_lines(out, json_lines(item.to_dict() for item in found.findings))
    show(found.to_text(len(questions)))
