"""What the documents say of the watched trainings of a real model is what their files hold."""

from pathlib import Path

import pytest

from consistency.watch.rows import Number, read_drift

FOLDER = Path(__file__).resolve().parent.parent / "docs/results/qwen2.5-coder-1.5b"


def cell(found: Number) -> str:
    low, value, high = (f"{100 * x:+.1f}".replace("-", "−") for x in (found.ci_low, found.value, found.ci_high))
    return f"{value} [{low}, {high}]"


@pytest.mark.parametrize(("group", "alarm"), [("incompatible", 4), ("harmonious", None)])
def test_the_table_of_the_document_is_that_of_the_files(group: str, alarm: int | None) -> None:
    rows = {row.step: row for row in read_drift(FOLDER / "watch" / group)}
    raised = [step for step, row in rows.items() if row.alarm is not None]
    assert raised[:1] == ([] if alarm is None else [alarm])
    document = (FOLDER / "watch.md").read_text(encoding="utf-8")
    for step in (0, 1, 4, 8, 15):
        (line,) = [line for line in document.splitlines() if line.startswith((f"| {step} ", f"| {step},"))]
        if step or group == "incompatible":
            for figure in ("change", "change_calibrated"):
                assert cell(rows[step].kept.figures[figure]) in line
