"""The content of a report, before it is a page, Markdown or LaTeX: sections of tables and figures, and questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from consistency.report.schema import AnyReport
from consistency.report.word_diff import Piece

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A row of data, with every digit: a type of `report.json`, or plain data.
Row: TypeAlias = "Struct | DataclassInstance | Mapping[str, Any]"


@dataclass(frozen=True)
class Mark:
    """How a series looks, in a drawing and in its legend.

    Attributes
    ----------
    label, glyph : str
        The name of the series, and its marker as a character.
    theme : str
        Name of the page's colour: "blue", "red", "green", "violet" or "grey".
    """

    label: str
    glyph: str
    theme: str


@dataclass(frozen=True)
class Span:
    """A value with its interval, to be drawn in a row of a table; the ends are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Drawing:
    """One figure: its file name, what a reader should see, its data and its panels.

    `drawings.draw_all` makes it from a `Plot`, which it writes into files.

    Attributes
    ----------
    name : str
        Of its files `figures/NAME.svg`, `.pdf` and `.csv`.
    title, caption : str
    rows : sequence of Row
        The data that are drawn: the CSV beside the figure.
    panels : dict of str to str
        By scope or other name, an SVG to set into the page. Our own drawings, whose texts are escaped.
    legend : tuple of Mark
    """

    name: str
    title: str
    caption: str
    rows: Sequence[Row]
    panels: Mapping[str, str]
    legend: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class CellQuestions:
    """Questions of a row of a heat map, and how their answers turned in each column.

    Attributes
    ----------
    doc_ids : tuple of int
    texts : tuple of str
    turned : dict of str to str
        By the head of a column, a character for each question: "-" from right to wrong, "+" from wrong to right, or a space.
    """

    doc_ids: tuple[int, ...]
    texts: tuple[str, ...]
    turned: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """One table, formatted for readers and with every digit.

    Attributes
    ----------
    name : str
        Of its files `tables/NAME.csv` (data) and `tables/NAME.tex` (rows).
    title, caption : str
    head : tuple of str
    rows : tuple of tuple of str
        Cells as readers see them; the first `labels` of each name the row.
    labels : int
    data : sequence of Row
        Rows with every digit: those of the CSV. Where the table shows a selection, the CSV holds all.
    folded : bool
        Shown on demand: long, or needed by few.
    shades : tuple of tuple of str
        Of a heat map: the class of each cell, "lost1" to "lost4", "won1" to "won4", or empty.
    hints : tuple of tuple of str
        Of a heat map: what each cell says where it is pointed at or has the focus, and to those who hear it; empty for nothing.
    commands : dict of str to str
        Of a heat map: by the head of a column, the command that writes a page with all answers of its cells.
    questions : dict of str to CellQuestions
        Of a heat map: by the first cell of a row, what a click on one of its cells shows.
    pinned : str
        The head of the column that stays in sight beside the first label where the table is wider than the screen.
    names_tasks : bool
        Whether the first label is a task, whose questions are a click away.
    legend : tuple of Mark
        The series that a column of its own draws.
    spans : tuple of tuple of Span or None
        For each row what is drawn there, one of each series, all in one unit.
    unit : str
        Of the spans.
    """

    name: str
    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int
    data: Sequence[Row]
    folded: bool = False
    shades: tuple[tuple[str, ...], ...] = ()
    hints: tuple[tuple[str, ...], ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, CellQuestions] = field(default_factory=dict)
    pinned: str = ""
    names_tasks: bool = False
    legend: tuple[Mark, ...] = ()
    spans: tuple[tuple[Span | None, ...], ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page: a heading, paragraphs, then tables and figures in their order.

    Attributes
    ----------
    id : str
        Anchor, of letters, digits and hyphens.
    title : str
    text : tuple of str
        Paragraphs.
    blocks : tuple of Table or Drawing
    """

    id: str
    title: str
    text: tuple[str, ...] = ()
    blocks: tuple[Table | Drawing, ...] = ()


@dataclass(frozen=True)
class KeyNumber:
    """A number of the first screen: its name, its value as readers see it, and its interval or what else belongs to it."""

    name: str
    value: str
    interval: str = ""


GateOutcome = Literal["passed", "inconclusive", "incomplete", "failed"]


@dataclass(frozen=True)
class Gate:
    """Whether the conditions and the policy that a comparison had to keep were kept, with a line for each."""

    outcome: GateOutcome
    lines: tuple[str, ...]


@dataclass(frozen=True)
class GeneratedAnswers:
    """What two models wrote about one question. Texts of a data set and of models: never markup.

    Attributes
    ----------
    target : str
        What is right.
    answers : tuple of str
        What was taken from the text before and after; empty where nothing was.
    unreadable : tuple of str
        Why no answer can be read before and after; empty where one can.
    pieces : tuple of (kind, text)
        The words of both texts, shortened: see `word_diff`.
    """

    target: str
    answers: tuple[str, str]
    unreadable: tuple[str, str]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class ChangedQuestion:
    """A question whose answer changed, with both distributions over its options, or with what the models wrote.

    Attributes
    ----------
    task : str
    doc_id : int
    run : str
        Which tuned model answered, such as "medicine · INCOMPATIBLE · seed 0"; empty for a pair.
    scope : str
        "homo", "id", "ood", or empty.
    flip : str
        "harmful", "beneficial", "wrong_to_wrong", "right" (stays right) or "wrong" (stays at the same wrong option).
    text : str
        The question. Text of a dataset: never markup.
    options : tuple of str
    gold : int or None
        Index of the right option.
    before, after : tuple of float
        Probabilities of the options.
    measures : dict of str to float or None
        "kl" (nats), "delta_gold" (probability), "spearman".
    generated : GeneratedAnswers or None
        Of a question without options, where texts were generated.
    """

    task: str
    doc_id: int
    run: str
    scope: str
    flip: str
    text: str
    options: tuple[str, ...]
    gold: int | None
    before: tuple[float, ...]
    after: tuple[float, ...]
    measures: Mapping[str, float | None]
    generated: GeneratedAnswers | None = None


@dataclass(frozen=True)
class Report:
    """The whole content of a report, of a pair of runs, of a grid or of two reports, in the order of the page.

    Attributes
    ----------
    title : str
        Of the window and the Markdown file.
    kicker : str
        The line above the verdict: what was compared, and when.
    leads : tuple of tuple of str
        The verdict, a sentence with its uncertainty, by its clauses, the full stop behind the last; one for each base model.
    details : tuple of str
        What a reader should know next.
    intervals : str
        What the intervals contain.
    notes : tuple of str
        Warnings.
    signature : str
        One line that makes the figures reproducible.
    sections : tuple of Section
    questions : tuple of ChangedQuestion
        Those that the page holds, in any order.
    questions_note : str
        How many of how many, and how they were chosen.
    methods : tuple of str
        Paragraphs for a paper, from the actual settings.
    bibtex : str
    document : PairReport, ManyReport, SidesReport, GridReport, DifferencesReport or WatchReport
        `report.json`.
    numbers : dict of str to tuple of KeyNumber
        Those of the first screen, by what they are about.
    gate : Gate or None
    last : tuple of Section
        What comes behind the questions: how the report was made.
    text : str
        What was compared, as it is printed: `comparison.txt`; empty without one.
    """

    title: str
    kicker: str
    leads: tuple[tuple[str, ...], ...]
    details: tuple[str, ...]
    intervals: str
    notes: tuple[str, ...]
    signature: str
    document: AnyReport
    sections: tuple[Section, ...]
    questions: tuple[ChangedQuestion, ...] = ()
    questions_note: str = ""
    methods: tuple[str, ...] = ()
    bibtex: str = ""
    numbers: Mapping[str, tuple[KeyNumber, ...]] = field(default_factory=dict)
    gate: Gate | None = None
    last: tuple[Section, ...] = ()
    text: str = ""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, in their order."""
        return tuple(block for part in self.parts for block in part.blocks if isinstance(block, Table))

    @property
    def parts(self) -> tuple[Section, ...]:
        """All sections, in their order."""
        return (*self.sections, *self.last)
