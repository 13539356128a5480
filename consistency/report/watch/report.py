"""The record of a watched training as a report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from consistency.report.citations import bibtex
from consistency.report.content import Report, Section, Table
from consistency.report.document import Verdict
from consistency.report.drawings import draw_all
from consistency.report.formats.numbers import DASH, fixed, signed
from consistency.report.provenance import versions
from consistency.report.watch.document import WatchReport
from consistency.report.watch.figures import pools, watch_plots
from consistency.support.text import counted, p_value, shortened
from consistency.watch.record import WatchRecord
from consistency.watch.rows import NOTHING, WORDS, Number, Pool, limits_text, most_harm

INTERVALS = (
    "95 % intervals say how far a figure of one step would move with other questions of the same tasks. They do not contain what "
    "another training would change, and they are of each step alone: the alarm is what may be looked at at every step."
)
# Of a table: the figure, its heading, its scale, digits, and whether it has a sign.
_COLUMNS = (
    ("change", "change, points", 100.0, 1, True),
    ("change_calibrated", "corrected for letter bias", 100.0, 1, True),
    ("harmful_flips", "right → wrong, %", 100.0, 1, False),
    ("beneficial_flips", "wrong → right, %", 100.0, 1, False),
    ("accuracy", "accuracy, %", 100.0, 1, False),
    ("kl", "KL, nats", 1.0, 3, False),
    ("kl_calibrated", "KL corrected", 1.0, 3, False),
    ("spearman", "ρ", 1.0, 3, False),
    ("spearman_calibrated", "ρ corrected", 1.0, 3, False),
)
_OF_TEXT = (
    ("kl", "KL, mean, nats", 1.0, 4),
    ("kl_median", "median", 1.0, 4),
    ("kl_p90", "90 %", 1.0, 4),
    ("kl_p95", "95 %", 1.0, 3),
    ("kl_p99", "99 %", 1.0, 3),
    ("kl_p999", "99.9 %", 1.0, 3),
    ("kl_max", "largest", 1.0, 2),
    ("same_top", "same top token, %", 100.0, 1),
    ("perplexity", "perplexity", 1.0, 2),
    ("perplexity_ratio", "its ratio", 1.0, 3),
)
_TEXT = (
    "KL from the model as the training began to the model of each step, over the whole vocabulary, at each token of the text; "
    "the figures are those of llama.cpp's --kl-divergence.",
)


def watch_content(record: WatchRecord, folder: Path) -> Report:
    """The content of the report; its figures are drawn into the folder.

    Parameters
    ----------
    record : WatchRecord
    folder : Path
        With an empty folder `figures`.
    """
    drawings = {drawing.name: drawing for drawing in draw_all(watch_plots(record), folder / "figures")}
    curves, plane = ([drawings[name]] if name in drawings else [] for name in ("drift", "plane"))
    last = record.rows[-1]
    sections = [
        Section("curves", "Step by step", (), (*curves, _step_table(record))),
        *([Section("plane", "Learned against kept", _plane_text(record), tuple(plane))] if plane else []),
        *([Section("alarm", "The alarm", _alarm_text(record), (_look_table(record),))] if record.limits else []),
        *([Section("text", "On the text", _TEXT, (_text_table(record),))] if record.text else []),
        *([Section("tasks", f"Task by task, at step {last.step}", (), (_task_table(record),))] if last.tasks else []),
    ]
    document = watch_document(record)
    return Report(
        title=f"{record.model}: a watched training",
        kicker=f"{record.model} · {counted(len(record.rows), 'step')} · {counted(last.asked, 'question')} to be kept",
        leads=((document.verdict.sentence,),),
        details=tuple(_details(record)),
        intervals=INTERVALS,
        notes=tuple(document.notes),
        signature=document.signature,
        sections=tuple(sections),
        methods=(_methods(record),),
        bibtex=bibtex([]),
        document=document,
    )


def watch_document(record: WatchRecord) -> WatchReport:
    """The content of `report.json`."""
    last, alarm = record.rows[-1], record.alarm
    if alarm is not None:
        sentence = f"Alarm at {alarm.headline}."
    elif not record.limits:
        sentence = "Looked at before the training only."
    else:
        change = None if last.kept is None else last.kept.figures.get("change")
        so_far = (
            ""
            if change is None
            else f" Accuracy in the tasks to be kept: {_text(last.kept, 'change', 100, 1, True)} points."
        )
        harm = most_harm(last)
        possible = f" At step {last.step}, with 95 % confidence: {harm}." if harm else ""
        sentence = f"No alarm in {counted(len(record.rows) - 1, 'look')}.{so_far}{possible}"
    found = versions()
    return WatchReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        signature="|".join(
            [
                f"n:{last.asked}",
                f"kept:{len(record.kept)}",
                f"learned:{len(record.learned)}",
                f"steps:{len(record.rows)}",
                *(f"{name}:{limit:g}" for name, limit in record.limits.items()),
                f"version:{found['consistency']}",
            ]
        ),
        intervals=INTERVALS,
        notes=list(dict.fromkeys(note for row in record.rows for note in row.notes)),
        verdict=Verdict(sentence),
        model=record.model,
        kept=record.kept,
        learned=record.learned,
        limits=record.limits,
        alarm=alarm,
        frontier=record.frontier,
        best_step=record.best_step,
        rollback=record.rollback,
        steps=list(record.rows),
        text=list(record.text),
        versions=found,
    )


def _details(record: WatchRecord) -> Iterator[str]:
    """What is watched, how the training stands, and the step to go back to."""
    learned = f", and to learn {shortened(record.learned)}" if record.learned else ""
    yield f"The training is to keep {shortened(record.kept)}{learned}."
    for name, pool in pools(record.rows[-1]).items():
        what = "to be kept" if name == "kept" else "to be learned"
        letters = pool.figures.get("change_calibrated")
        corrected = (
            f", corrected for letter bias by {signed(100 * letters.value, 1)}"
            if letters and letters.value is not None
            else ""
        )
        yield f"In the tasks {what} accuracy changed by {_text(pool, 'change', 100, 1, True)} points{corrected}."
    if record.alarm is not None:
        step = record.best_step or "0, the model before the training"
        yield f"The last step on the frontier that keeps within the limits is {step}."
    if record.rollback is not None:
        yield f"After the alarm the model was given the weights of step {record.rollback} again."


def _plane_text(record: WatchRecord) -> tuple[str, ...]:
    return (f"On the frontier: {', '.join(f'step {step}' for step in record.frontier)}.",)


def _alarm_text(record: WatchRecord) -> tuple[str, ...]:
    lines = [
        "An alarm says that the limit is exceeded among all questions of which these are a sample. It is raised where p is no "
        "larger than the level of the look. The levels are chosen so that all looks together raise a false one in at most 5 % of "
        "trainings, unless another level was asked for; that they do so is shown by simulation (docs/watch.md)."
    ]
    return (*([f"Alarm at {record.alarm.to_text()}."] if record.alarm is not None else []), *lines)


def _methods(record: WatchRecord) -> str:
    limits = limits_text(record.limits) or "none"
    last = record.rows[-1]
    questions = sum(last.tasks[name].n for name in record.learned)
    learned = f", and {questions} of {counted(len(record.learned), 'task')} to be learned," if questions else ""
    return (
        f"The model in training answered the same {last.asked} questions of {counted(len(record.kept), 'task')} to be "
        f"kept{learned} at {counted(len(record.rows), 'step')}. Each step was compared with the baseline as two runs are. The "
        f"alarm tests at each look whether a share of the answers exceeds its limit ({limits}), by a test whose levels are spent "
        "over the training (Lan and DeMets 1989), with the correlations between looks that are observed over the questions. The "
        "p of a look is exact for independent questions (asymptotic where 100 answers or more turn each way); the levels are "
        "approximate."
    )


def _step_table(record: WatchRecord) -> Table:
    known = [(row, name, pool) for row in record.rows for name, pool in pools(row).items()]
    columns = [column for column in _COLUMNS if any(column[0] in pool.figures for _, _, pool in known)]
    return Table(
        name="steps",
        title="All steps",
        caption="In brackets: 95 % intervals.",
        head=("step", "tasks", *(column[1] for column in columns), "questions", "epoch", "loss"),
        rows=tuple(
            (
                str(row.step),
                "kept" if name == "kept" else "learned",
                *(_text(pool, figure, scale, digits, sign) for figure, _, scale, digits, sign in columns),
                str(pool.n),
                fixed(row.epoch),
                fixed(row.loss, 3),
            )
            for row, name, pool in known
        ),
        labels=2,
        data=[
            {
                "step": row.step,
                "epoch": row.epoch,
                "tasks": name,
                "n": pool.n,
                "loss": row.loss,
                "seconds": row.seconds,
                **{figure: msgspec.structs.asdict(found) for figure, found in pool.figures.items()},
            }
            for row, name, pool in known
        ],
    )


def _look_table(record: WatchRecord) -> Table:
    looks = [(row, name, look) for row in record.rows for name, look in row.looks.items()]
    return Table(
        name="looks",
        title="Each look",
        caption="Shares of the answers to the questions that are to be kept.",
        head=("step", "condition", "share, %", "limit, %", "p", "level", "alarm"),
        rows=tuple(
            (
                str(row.step),
                WORDS[name],
                fixed(100 * look.estimate, 1),
                fixed(100 * look.limit, 1),
                p_value(look.p),
                p_value(look.level),
                "alarm" if look.p <= look.level else DASH,
            )
            for row, name, look in looks
        ),
        labels=2,
        data=[{"step": row.step, "condition": name, **msgspec.structs.asdict(look)} for row, name, look in looks],
    )


def _text_table(record: WatchRecord) -> Table:
    columns = [column for column in _OF_TEXT if any(column[0] in row.figures for row in record.text)]
    return Table(
        name="text",
        title="The text at each step",
        caption="In brackets: 95 % intervals over blocks of neighbouring tokens.",
        head=("step", "tokens", *(heading for _, heading, _, _ in columns)),
        rows=tuple(
            (
                str(row.step),
                str(row.tokens),
                *(_number(row.figures.get(figure), scale, digits, sign=False) for figure, _, scale, digits in columns),
            )
            for row in record.text
        ),
        labels=1,
        data=[
            {"step": row.step, "tokens": row.tokens}
            | {figure: msgspec.structs.asdict(found) for figure, found in row.figures.items()}
            for row in record.text
        ],
    )


def _task_table(record: WatchRecord) -> Table:
    last = record.rows[-1]
    columns = [column for column in _COLUMNS if any(column[0] in pool.figures for pool in last.tasks.values())]
    kept = set(record.kept)
    return Table(
        name="tasks",
        title=f"Each task at step {last.step}",
        caption="In brackets: 95 % intervals. All steps are in tasks.csv.",
        head=("task", *(column[1] for column in columns), "questions", "to be"),
        rows=tuple(
            (
                name,
                *(_text(pool, figure, scale, digits, sign) for figure, _, scale, digits, sign in columns),
                str(pool.n),
                "kept" if name in kept else "learned",
            )
            for name, pool in last.tasks.items()
        ),
        labels=1,
        data=[
            {
                "task": name,
                "step": row.step,
                "n": pool.n,
                **{figure: msgspec.structs.asdict(found) for figure, found in pool.figures.items()},
            }
            for row in record.rows
            for name, pool in row.tasks.items()
        ],
        folded=len(last.tasks) > 12,
    )


def _text(pool: Pool | None, name: str, scale: float, digits: int, sign: bool) -> str:
    """A figure with its interval."""
    return _number(None if pool is None else pool.number(name), scale, digits, sign=sign)


def _number(found: Number | None, scale: float, digits: int, *, sign: bool) -> str:
    form = signed if sign else fixed
    return (found or NOTHING).to_text(lambda value: form(scale * value, digits))
