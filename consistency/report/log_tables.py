"""Tables of where a report's figures come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from consistency.report.content import Row, Table
from consistency.report.formats.numbers import DASH
from consistency.report.grid.verdict import group_title


def log_table(logs: Sequence[Row]) -> Table:
    """The logs that were read, and what they say of themselves."""
    several = len({log["model"] for log in logs}) > 1
    rows: list[tuple[str, ...]] = [
        (
            log["role"].replace("_", " "),
            *((str(log["model"]) or DASH,) if several else ()),
            log["folder"],
            _minute(log["date"]),
            log["lm_eval_version"] or DASH,
            log["dtype"] or DASH,
            ", ".join(map(str, log["shots"])) or DASH,
            {True: "yes", False: "no", None: DASH}[log["chat_template"]],
            str(log["tasks"]),
            str(log["questions"]),
            log["sha256"][:16],
        )
        for log in logs
    ]
    return Table(
        name="logs",
        title="Logs",
        caption="SHA-256 over the samples of all tasks; the CSV has all of its digits.",
        head=(
            *("log", *(("model",) if several else ()), "folder", "date", "lm_eval", "dtype", "shots", "chat template"),
            *("tasks", "questions", "SHA-256"),
        ),
        rows=tuple(rows),
        labels=3 if several else 2,
        data=[{**log, "shots": " ".join(map(str, log["shots"]))} for log in logs],
        folded=len(logs) > 2,
    )


def _minute(date: str | None) -> str:
    """A run's date as lm_eval writes it in file names, to the minute."""
    if not date:
        return DASH
    day, _, time = date.partition("T")
    return f"{day} {time[:5].replace('-', ':')}".strip()


def run_pairing_table(audit: Mapping[str, Any]) -> Table:
    """What entered of each run of a grid, and what did not."""
    return Table(
        name="pairing",
        title="What was paired",
        caption="By run: questions answered in all three logs (base model with and without shots, tuned model), those that "
        "two of them hold, documents that could not be paired with the base model's, and tasks that a log lacks.",
        head=("model", "domain", "group", "seed", "questions", "not in all three", "left out", "absent tasks"),
        rows=tuple(
            (
                *_run(row),
                str(sum(row["questions"].values())),
                str(row["not_in_all_three_logs"]),
                str(sum(row["dropped"].values())),
                str(len(row["absent_tasks"])),
            )
            for row in audit["runs"]
        ),
        labels=4,
        data=[{**row, "absent_tasks": " ".join(row["absent_tasks"])} for row in audit["runs"]],
        folded=True,
    )


def training_table(rows: Sequence[Row]) -> Table:
    """What each run was trained on."""
    told = []
    for row in rows:
        sources = ", ".join(f"{count} {source}" for source, count in (row["rows"] or {}).items())
        without = row["rows_without_explanation"]
        told.append(
            (
                *_run(row),
                sources or "no manifest",
                DASH if without is None else str(without),
                (row["sha256"] or DASH)[:16],
            )
        )
    return Table(
        name="training_rows",
        title="What the models were trained on",
        caption="From the manifests of the groups.",
        head=("model", "domain", "group", "seed", "rows", "without explanation", "SHA-256"),
        rows=tuple(told),
        labels=4,
        data=rows,
        folded=True,
    )


def _run(row: Row) -> tuple[str, str, str, str]:
    return row["model"], row["domain"], group_title(row["group"]), str(row["seed"])
