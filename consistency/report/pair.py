"""A comparison of two runs as files: JSON, a table of tasks, and one Parquet row per question."""

from __future__ import annotations

from pathlib import Path

import msgspec

from consistency.comparison import Comparison
from consistency.files import folder_in_place
from consistency.report.tables import write_csv


def write_comparison(comparison: Comparison, out: str | Path) -> Path:
    """Write a comparison's folder.

    Parameters
    ----------
    comparison : Comparison
    out : path-like
        The folder to write: `comparison.json` (docs/comparison_schema.md), `comparison.txt`, `tables/tasks.csv` and
        `items.parquet`. It appears whole, by renaming; an earlier comparison there is replaced.

    Returns
    -------
    pathlib.Path
        `comparison.json`.

    Raises
    ------
    InputError
        If `out` holds something else, or cannot be written.
    """
    import pandas as pd

    out = Path(out)
    with folder_in_place(out, "comparison.json") as folder:
        (folder / "tables").mkdir()
        (folder / "comparison.json").write_text(as_json(comparison), encoding="utf-8")
        (folder / "comparison.txt").write_text(comparison.to_text() + "\n", encoding="utf-8")
        sections = [*comparison.by_task.values(), *comparison.by_scope.values()]
        sections += [] if comparison.overall is None else [comparison.overall]
        write_csv(folder / "tables" / "tasks.csv", [{"name": s.name, **s.to_dict()} for s in sections])
        items = [pd.DataFrame({"task": task, **arrays}) for task, arrays in comparison.items.items()]
        pd.concat(items, ignore_index=True).astype({"task": "category"}).to_parquet(folder / "items.parquet")
    return out / "comparison.json"


def as_json(comparison: Comparison) -> str:
    """`comparison.json`'s text."""
    return msgspec.json.format(msgspec.json.encode(comparison.to_dict()), indent=1).decode() + "\n"
