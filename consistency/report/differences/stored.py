"""A report that was written before: its rows, its settings and its questions, from its folder alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import UnsetType, structs

from consistency.errors import InputError, one_line
from consistency.metrics.measures import HEADLINE, Measure
from consistency.report.differences.document import DifferencesReport
from consistency.report.document import Figure
from consistency.report.grid.cells import Cell, stacked
from consistency.report.grid.document import GridReport, Mean
from consistency.report.grid.estimates import MEAN
from consistency.report.many.document import ManyReport
from consistency.report.pair.document import PairReport
from consistency.report.schema import read_document
from consistency.report.sides.document import SidesReport
from consistency.report.upgrade import RENAMED
from consistency.report.watch.document import WatchReport
from consistency.statistics.crossed import matching_df
from consistency.statistics.estimates import Estimate

Key = tuple[str, ...]
DIMENSIONS = {"grid": ("model", "domain", "group", "seed", "scope"), "pair": ("section",)}
# Columns that say which question a row is about, and what stands in them where that is not known.
IDENTITY, UNKNOWN = ("gold", "doc_hash"), -1
TEXTS = {"model", "domain", "group", "scope", "task", "doc_hash"}
# Where a grid's row has the measures by which reports are compared: the part, and the name in it.
_OF_ACCURACY = {"accuracy_before": "base", "accuracy_after": "tuned", "delta_accuracy": "change"}
COMPARED = {
    measure: (_OF_ACCURACY[measure.name], "accuracy") if measure.name in _OF_ACCURACY else ("tuned", measure.name)
    for measure in HEADLINE
}
# Columns of whole numbers.
_WHOLE = ("doc_id", "seed", "cluster", "gold")
NUMBERS = tuple(dict.fromkeys(name for measure in COMPARED for name in measure.columns))


@dataclass(frozen=True)
class Result:
    """One row of a report's results.

    Attributes
    ----------
    key : tuple of str
        By the report's dimensions: model, domain, group, seed and scope of a grid; the section of a pair.
    level : str
        What it is a mean over: the rows of one level are tested together.
    figures : dict of Measure to Estimate
    over : tuple of str
        The domains or tasks that it is a mean over; empty where its name says it.
    """

    key: Key
    level: str
    figures: Mapping[Measure, Estimate]
    over: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredReport:
    """A report's folder, read.

    Attributes
    ----------
    folder, document : Path, GridReport or PairReport
        `report.json`.
    """

    folder: Path
    document: GridReport | PairReport

    @property
    def kind(self) -> Literal["grid", "pair"]:
        """Of what it is a report."""
        return "grid" if isinstance(self.document, GridReport) else "pair"

    @cached_property
    def results(self) -> list[Result]:
        """Its rows, in the report's order."""
        document = self.document
        return list(_grid_rows(document) if isinstance(document, GridReport) else self._pair_rows(document))

    def _pair_rows(self, document: PairReport) -> Iterator[Result]:
        found = document.comparison
        levels = {
            "all tasks": {"overall": found.overall} if found.overall else {},
            "scopes": found.by_scope or {},
            "tasks": found.by_task,
        }
        for level, sections in levels.items():
            for name, section in sections.items():
                estimates = {measure: section.estimate(measure.name) for measure in COMPARED}
                figures = {measure: estimate for measure, estimate in estimates.items() if estimate is not None}
                yield Result((name,), level, figures, self._pooled() if level == "all tasks" else ())

    def _pooled(self) -> tuple[str, ...]:
        """The tasks that are pooled: those whose options were scored."""
        assert isinstance(self.document, PairReport)
        by_task = self.document.comparison.by_task
        return tuple(name for name, section in by_task.items() if section.estimate("kl") is not None)

    def values(self, dimension: str) -> list[str]:
        """The values of one dimension, means left out, in their order."""
        place = DIMENSIONS[self.kind].index(dimension)
        return list(dict.fromkeys(row.key[place] for row in self.results if row.key[place] != MEAN))

    @cached_property
    def settings(self) -> dict[str, str]:
        """What it was made from and with, by name."""
        document = self.document
        found: dict[str, str] = {}
        if isinstance(document, GridReport):
            found |= {name: _formatted(value) for name, value in structs.asdict(document.experiment).items()}
        else:
            for when, run in (("before", document.comparison.before), ("after", document.comparison.after)):
                for name in ("model", "model_args", "lm_eval_version"):
                    found[f"{when}: {name}"] = _formatted(getattr(run, name))
            found |= {name: _formatted(getattr(document.comparison, name)) for name in ("score", "margin")}
            sampling, clusters = document.comparison.task_sampling, document.comparison.clusters
            # Reports of the version before do not say.
            if not isinstance(sampling, UnsetType):
                found["tasks"] = sampling
            if not isinstance(clusters, UnsetType):
                found["clusters"] = (
                    ", ".join(f"{item.clusters} by {item.field or item.kind}" for item in clusters) or "none"
                )
        for role in dict.fromkeys(log.role for log in document.logs):
            logs = [log for log in document.logs if log.role == role]
            for name in ("lm_eval_version", "dtype", "shots", "chat_template", "limit"):
                values = sorted({_formatted(getattr(log, name)) for log in logs})
                found[f"{role.replace('_', ' ')}: {name}"] = _formatted(values)
            if len(logs) == 1:
                found[f"{role.replace('_', ' ')}: sha256"] = logs[0].sha256[:16]
        return found | {f"version of {name}": _formatted(value) for name, value in document.versions.items()}

    def cells(self, codes: dict[str, int]) -> dict[Key, Cell] | None:
        """The questions of each run and scope (of a pair: of each task), with the columns of `COMPARED`.

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
        parts: dict[Key, list[Cell]] = {}
        # The first cell of each model, domain and scope, whose arrays the others share where they are the same.
        shared: dict[tuple[str, ...], Cell] = {}
        try:
            # Opened here, since Arrow takes no path that is not UTF-8.
            with path.open("rb") as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
                lacking = {"task", "doc_id", *by}.difference(file.schema_arrow.names)
                if lacking:
                    raise ValueError(f"no column {', '.join(sorted(lacking))}")
                # The version before called some columns otherwise.
                stored = {RENAMED.get(name, name): name for name in file.schema_arrow.names}
                wanted = sorted({"task", "doc_id", "cluster", *by, *TEXTS, *IDENTITY, *NUMBERS} & set(stored))
                whole = {"task", "doc_id", *by}
                # Run by run, as it was written, so that a grid is never held in memory as a table.
                for number in range(file.num_row_groups):
                    table = file.read_row_group(number, columns=[stored[name] for name in wanted])
                    if not table.num_rows:
                        continue
                    columns = {
                        name: _numbered(table[stored[name]], name, codes, name in whole)
                        if name in TEXTS
                        else _numbers(table[stored[name]], name)
                        for name in wanted
                    }
                    for key, cell in self._split(columns, by, codes):
                        first = shared.setdefault((cell.model, cell.domain, cell.scope), cell)
                        parts.setdefault(key, []).append(cell if cell is first else cell.sharing(first))
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise InputError(f"cannot be read: {one_line(error)}", do="write the report again", path=path) from error
        return {key: stacked(cells) for key, cells in parts.items()}

    def _split(
        self, columns: Mapping[str, Any], by: Sequence[str], codes: Mapping[str, int]
    ) -> Iterator[tuple[Key, Cell]]:
        """The cells of some rows, each with its key."""
        names = {number: text for text, number in codes.items()}
        ends = np.flatnonzero(np.any([np.diff(columns[name]) != 0 for name in by], axis=0)) + 1
        if len(ends):
            keys, which = np.unique(np.stack([columns[name] for name in by]), axis=1, return_inverse=True)
            blocks = np.split(
                np.argsort(which.reshape(-1), kind="stable"), np.cumsum(np.bincount(which.reshape(-1)))[:-1]
            )
        else:
            keys, blocks = np.stack([columns[name][:1] for name in by]), [np.arange(len(columns["task"]))]
        for place, rows in zip(keys.T.tolist(), blocks, strict=True):
            key = tuple(str(value) if name == "seed" else names[value] for name, value in zip(by, place, strict=True))
            scope = names.get(int(columns["scope"][rows[0]]), "") if "scope" in columns else ""
            model, domain, group, seed, _ = key if self.kind == "grid" else ("", "", "", "0", "")
            yield (
                key,
                Cell(
                    model=model,
                    domain=domain,
                    group=group,
                    seed=int(seed),
                    scope=scope,
                    task=columns["task"][rows],
                    doc_id=columns["doc_id"][rows],
                    arrays={name: columns[name][rows] for name in {"cluster", *NUMBERS, *IDENTITY} & set(columns)},
                ),
            )

    def members(self, key: Key, cells: Mapping[Key, Cell]) -> list[Cell]:
        """The cells whose mean a row is, in the order of their names; none where the folder does not hold all of them."""
        if self.kind == "grid":
            singles = [row.key for row in self.results if row.level == "single runs"]
            names = [one for one in singles if all(own in (MEAN, other) for own, other in zip(key, one, strict=True))]
        elif key == ("overall",):
            names = [(name,) for name in self._pooled()]
        elif any(row.key == key and row.level == "tasks" for row in self.results):
            names = [key]
        else:
            names = [name for name, cell in cells.items() if cell.scope == key[0]]
        # Two reports may list the same domains or tasks in another order.
        return [cells[name] for name in sorted(names)] if all(name in cells for name in names) else []


def _numbers(column: Any, name: str) -> Any:
    """Numbers: integers of what names a question, `UNKNOWN` for a right answer that is not known, other values as floats."""
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise ValueError(f"the column {name} is of type {kind}, not numbers")
    if name not in _WHOLE:
        return column.cast(pa.float64()).to_numpy()
    if name == "gold":
        column = column.fill_null(UNKNOWN)
    if column.null_count:
        raise ValueError(f"the column {name} has {column.null_count} empty cells")
    return column.cast(pa.int64()).to_numpy()


def _numbered(column: Any, name: str, codes: dict[str, int], whole: bool) -> Any:
    """Texts as numbers, `UNKNOWN` where there is none: of millions of rows a fraction of their memory."""
    import pyarrow as pa
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if not (types.is_string(kind) or types.is_large_string(kind) or (types.is_null(kind) and not whole)):
        raise ValueError(f"the column {name} is of type {kind}, not texts")
    if whole and column.null_count:
        raise ValueError(f"the column {name} has {column.null_count} empty cells")
    # A column of texts, or one that numbers its own.
    texts = column.cast(pa.string()).combine_chunks().dictionary_encode()
    numbers = [codes.setdefault(text, len(codes)) for text in texts.dictionary.to_pylist()]
    places = texts.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    return np.array([*numbers, UNKNOWN], dtype=np.int64)[places]


def _grid_rows(document: GridReport) -> Iterator[Result]:
    for row in [*document.means, *document.results]:
        key = tuple(MEAN if (value := getattr(row, name)) is None else str(value) for name in DIMENSIONS["grid"])
        over = [name for name, value in zip(DIMENSIONS["grid"], key, strict=True) if value == MEAN]
        level = f"means over {' and '.join(f'{name}s' for name in over)}" if over else "single runs"
        parts = {measure: getattr(row, part).get(name) for measure, (part, name) in COMPARED.items()}
        figures = {measure: _estimate(figure, row) for measure, figure in parts.items() if figure is not None}
        yield Result(key, level, figures, tuple(document.experiment.domains) if "domain" in over else ())


def _estimate(figure: Figure, row: Mean) -> Estimate:
    """A grid's figure, whose degrees of freedom are not stored: of few training runs they follow from the interval."""
    ends = (figure.value, figure.se, figure.ci_low, figure.ci_high)
    told: dict[str, Any] = {
        "unit": row.unit,
        "warnings": () if isinstance(figure.warnings, UnsetType) else tuple(figure.warnings),
    }
    if figure.value is None or figure.ci_low is None or figure.ci_high is None:
        return Estimate(*ends, row.n, None, figure.undefined, method="none", **told)
    # An end may be cut at the bounds of the measure.
    half = max(figure.value - figure.ci_low, figure.ci_high - figure.value)
    df = matching_df(half / figure.se) if row.unit == "run" and figure.se else None
    method = row.method if isinstance(figure.method, UnsetType) else figure.method
    return Estimate(*ends, row.n, df, figure.undefined, method=method, **told)


def read_stored(folder: str | Path) -> StoredReport:
    """Read a report's folder.

    Raises
    ------
    InputError
        If there is no report of a grid or a pair, or one that this version cannot read.
    """
    document = read_document(folder)
    if isinstance(document, DifferencesReport | WatchReport | ManyReport | SidesReport):
        what = {
            DifferencesReport: "a report of differences",
            WatchReport: "a report of a watched training",
            ManyReport: "a report of many runs",
            SidesReport: "a report of several runs a side",
        }[type(document)]
        raise InputError(what, expected="one of a pair or a grid", path=folder)
    return StoredReport(Path(folder), document)


def _formatted(value: Any) -> str:
    if value is None or value == []:
        return "unknown"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_formatted, value))
    return str(value)
