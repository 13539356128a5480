"""A report that was written before: its rows, its settings and its questions, from its folder alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from consistency.errors import InputError
from consistency.report.grid.cells import Cell
from consistency.report.schema import read_document

Figure = Mapping[str, Any]
Key = tuple[str, ...]
DIMENSIONS = {"grid": ("model", "domain", "group", "seed", "scope"), "pair": ("section",)}
MEAN = "mean"
# Columns that say which question a row is about, and what stands in them where that is not known.
IDENTITY, UNKNOWN = ("gold", "doc_hash"), -1
TEXTS = {"model", "domain", "group", "scope", "task", "doc_hash"}


@dataclass(frozen=True)
class Measure:
    """A measure that reports hold, of grids and of pairs.

    Attributes
    ----------
    name, title : str
    scale : float
        100 for what is told in percent or points, else 1.
    grid : tuple of str
        Where it stands in a row of `results`.
    pair : str
        Where it stands in a section of a pair.
    arrays : tuple of str
        The column of `items.parquet` whose mean it is; or two, the first less the second.
    """

    name: str
    title: str
    scale: float
    grid: tuple[str, str]
    pair: str
    arrays: tuple[str, ...]


MEASURES = (
    Measure("accuracy_before", "accuracy before", 100, ("base", "accuracy"), "accuracy_before", ("correct_before",)),
    Measure("accuracy", "accuracy after", 100, ("tuned", "accuracy"), "accuracy_after", ("correct_after",)),
    Measure("change", "change", 100, ("change", "accuracy"), "delta_accuracy", ("correct_after", "correct_before")),
    Measure("same_top", "same answer", 100, ("tuned", "same_top"), "same_top", ("same_top",)),
    Measure("spearman", "ranking correlation", 1, ("tuned", "spearman"), "spearman", ("spearman",)),
    Measure("kl", "KL", 1, ("tuned", "kl"), "kl", ("kl",)),
)


NUMBERS = tuple(dict.fromkeys(name for measure in MEASURES for name in measure.arrays))


@dataclass(frozen=True)
class Result:
    """One row of a report's results.

    Attributes
    ----------
    key : tuple of str
        By the report's dimensions: model, domain, group, seed and scope of a grid; the section of a pair.
    level : str
        What it is a mean over: the rows of one level are tested together.
    figures : dict of str to dict
        By measure: value, standard error, interval.
    over : tuple of str
        The domains or tasks that it is a mean over; empty where its name says it.
    """

    key: Key
    level: str
    figures: Mapping[str, Figure]
    over: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredReport:
    """A report's folder, read.

    Attributes
    ----------
    folder : Path
    kind : {"grid", "pair"}
    content : dict
        Where its results stand: the document of a grid, `comparison` of a pair.
    document : dict
        `report.json`.
    """

    folder: Path
    kind: Literal["grid", "pair"]
    content: Mapping[str, Any]
    document: Mapping[str, Any]

    @cached_property
    def results(self) -> list[Result]:
        """Its rows, in the report's order."""
        return list(self._grid_rows() if self.kind == "grid" else self._pair_rows())

    def _grid_rows(self) -> Iterator[Result]:
        for row in [*self.content["means"], *self.content["results"]]:
            key = tuple(MEAN if row[name] is None else str(row[name]) for name in DIMENSIONS["grid"])
            over = [name for name, value in zip(DIMENSIONS["grid"], key, strict=True) if value == MEAN]
            level = f"means over {' and '.join(f'{name}s' for name in over)}" if over else "single runs"
            figures = {m.name: row[m.grid[0]][m.grid[1]] for m in MEASURES if m.grid[1] in row.get(m.grid[0], {})}
            yield Result(key, level, figures, tuple(self.content["experiment"]["domains"]) if "domain" in over else ())

    def _pair_rows(self) -> Iterator[Result]:
        overall, scopes, tasks = (self.content.get(name) for name in ("overall", "by_scope", "by_task"))
        levels = {"all tasks": {"overall": overall} if overall else {}, "scopes": scopes or {}, "tasks": tasks or {}}
        for level, sections in levels.items():
            for name, section in sections.items():
                figures = {m.name: section[m.pair] for m in MEASURES if m.pair in section}
                yield Result((name,), level, figures, self._pooled() if level == "all tasks" else ())

    def _pooled(self) -> tuple[str, ...]:
        """The tasks that are pooled: those whose options were scored."""
        return tuple(name for name, section in self.content["by_task"].items() if "kl" in section)

    def values(self, dimension: str) -> list[str]:
        """The values of one dimension, means left out, in their order."""
        place = DIMENSIONS[self.kind].index(dimension)
        return list(dict.fromkeys(row.key[place] for row in self.results if row.key[place] != MEAN))

    @cached_property
    def settings(self) -> dict[str, str]:
        """What it was made from and with, by name."""
        found: dict[str, str] = {}
        if self.kind == "grid":
            found |= {name: _told(value) for name, value in self.content["experiment"].items()}
        else:
            for when in ("before", "after"):
                names = ("model", "model_args", "lm_eval_version")
                found |= {f"{when}: {name}": _told(self.content[when].get(name)) for name in names}
            found |= {name: _told(self.content[name]) for name in ("score", "margin")}
        for role in dict.fromkeys(log["role"] for log in self.document["logs"]):
            logs, spoken = [log for log in self.document["logs"] if log["role"] == role], role.replace("_", " ")
            for name in ("lm_eval_version", "dtype", "shots", "chat_template", "limit"):
                found[f"{spoken}: {name}"] = _told(sorted({_told(log[name]) for log in logs}))
            if len(logs) == 1:
                found[f"{spoken}: sha256"] = logs[0]["sha256"][:16]
        return found | {f"version of {name}": _told(value) for name, value in self.document["versions"].items()}

    def cells(self, codes: dict[str, int]) -> dict[Key, Cell] | None:
        """The questions of each run and scope (of a pair: of each task), with what `MEASURES` average.

        Parameters
        ----------
        codes : dict of str to int
            Numbers of the tasks and hashes met so far; grows. Two reports read with one dict number theirs alike.

        Returns
        -------
        dict of tuple of str to Cell, or None
            None where the folder has no `items.parquet`.
        """
        path = self.folder / "items.parquet"
        if not path.is_file():
            return None
        import pyarrow as pa
        import pyarrow.parquet as pq

        by = DIMENSIONS["grid"] if self.kind == "grid" else ("task",)
        try:
            file = pq.ParquetFile(path)
            lacking = {"task", "doc_id", *by}.difference(file.schema_arrow.names)
            if lacking:
                raise ValueError(f"no column {', '.join(sorted(lacking))}")
            wanted = {"task", "doc_id", *by, *TEXTS, *IDENTITY, *NUMBERS} & set(file.schema_arrow.names)
            table = file.read(columns=sorted(wanted))
            columns = {name: _numbered(table[name], codes) for name in wanted & TEXTS}
            columns |= {name: table[name].to_numpy() for name in wanted - TEXTS}
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise InputError(f"cannot be read: {error}", do="write the report again", path=path) from error
        if not table.num_rows:
            return {}
        if "gold" in columns:
            columns["gold"] = np.nan_to_num(columns["gold"], nan=UNKNOWN).astype(np.int64)
        names = {number: text for text, number in codes.items()}
        keys, which = np.unique(np.stack([columns[name] for name in by]), axis=1, return_inverse=True)
        order = np.argsort(which, kind="stable")
        ends = np.cumsum(np.bincount(which.reshape(-1)))
        out: dict[Key, Cell] = {}
        for place, rows in zip(keys.T.tolist(), np.split(order, ends[:-1]), strict=True):
            key = tuple(str(value) if name == "seed" else names[value] for name, value in zip(by, place, strict=True))
            scope = names.get(int(columns["scope"][rows[0]]), "") if "scope" in columns else ""
            model, domain, group, seed, _ = key if self.kind == "grid" else ("", "", "", "0", "")
            out[key] = Cell(
                model=model,
                domain=domain,
                group=group,
                seed=int(seed),
                scope=scope,
                task=columns["task"][rows],
                doc_id=columns["doc_id"][rows],
                arrays={name: columns[name][rows] for name in {*NUMBERS, *IDENTITY} & set(columns)},
            )
        return out

    def members(self, key: Key, cells: Mapping[Key, Cell]) -> list[Cell]:
        """The cells whose mean a row is, in the order of their names; none where the folder does not hold all of them."""
        if self.kind == "grid":
            singles = [row.key for row in self.results if row.level == "single runs"]
            names = [one for one in singles if all(own in (MEAN, other) for own, other in zip(key, one, strict=True))]
        elif key == ("overall",):
            names = [(name,) for name in self._pooled()]
        elif key[0] in self.content["by_task"]:
            names = [key]
        else:
            names = [name for name, cell in cells.items() if cell.scope == key[0]]
        # Two reports may list the same domains or tasks in another order.
        return [cells[name] for name in sorted(names)] if all(name in cells for name in names) else []


def _numbered(column: Any, codes: dict[str, int]) -> Any:
    """Texts as numbers, `UNKNOWN` where there is none: of millions of rows a fraction of their memory."""
    import pyarrow as pa

    # A column of texts, or one that numbers its own.
    texts = column.cast(pa.string()).combine_chunks().dictionary_encode()
    numbers = [codes.setdefault(text, len(codes)) for text in texts.dictionary.to_pylist()]
    places = texts.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    return np.array([*numbers, UNKNOWN], dtype=np.int64)[places]


def read_stored(folder: str | Path) -> StoredReport:
    """Read a report's folder.

    Raises
    ------
    InputError
        If there is no report of a grid or a pair, or one that this version cannot read.
    """
    document = read_document(folder)
    if document["kind"] not in DIMENSIONS:
        raise InputError(f"a report of {document['kind']}", expected="one of a pair or a grid", path=folder)
    results = document["comparison"] if document["kind"] == "pair" else document
    return StoredReport(Path(folder), document["kind"], results, document)


def _told(value: Any) -> str:
    if value is None or value == []:
        return "unknown"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_told, value))
    return str(value)
