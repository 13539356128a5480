"""Write pairs of logs in many ways, damage them, and compare them: the right figures or one clear error, never anything else.

    python scripts/fuzz_logs.py --cases 10000

What is right is known in two ways. A pair is made from questions and scores, from which NumPy and SciPy give the figures: they
must come out however the logs are written (rows and keys in any order, other white space, other files beside them, options
in another order together with their scores), and after changes whose result is known. Damage at random may end in an error
of one line that names the file; where it leaves rows that are still well-formed, another reader of a few lines gives the
figures that must come out.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from fuzzing import End, FaultError, as_json, check_end, damage_bytes, damage_json, run_campaign
from scipy.special import log_softmax

DATE = "2026-01-01T00-00-00.000000"
EARLIER = "2025-12-01T00-00-00.000000"
LATER = "2026-02-01T00-00-00.000000"
KINDS = ("strings", "numbers", "unequal", "array", "texts", "generated")
LETTERS = "ABCDEFGHIJKL"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Item:
    """A question, and two models' log-probabilities of its options; of a generated answer whether it is right."""

    number: int
    question: str
    choices: tuple[str, ...]
    gold: int
    scores: tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Writing:
    """How a log is written, none of which may matter."""

    order: tuple[int, ...]
    repeated: tuple[int, ...] = ()
    permutations: dict[int, tuple[int, ...]] = field(default_factory=dict)
    letters: dict[int, tuple[int, ...]] = field(default_factory=dict)
    shuffled_keys: bool = False
    ascii: bool = False
    separators: tuple[str, str] | None = None
    line_end: bytes = b"\n"
    around: tuple[bytes, bytes] = (b"", b"")
    extra: bool = False
    swapped_types: bool = False
    packed: str = ""
    shift: int = 0


def make_items(kind: str, rng: np.random.Generator, n: int = 12) -> list[Item]:
    """Questions and scores, without ties."""
    items = []
    for i in range(n):
        count = int(rng.integers(2, 6)) if kind == "unequal" else 12 if kind == "strings" and n % 2 else 4
        first = tuple((-rng.exponential(3, count)).round(6).tolist())
        second = tuple((np.array(first) - rng.exponential(1, count)).round(6).tolist())
        if kind == "generated":
            first, second = ((float(rng.random() < 0.5),), (float(rng.random() < 0.5),))
        choices = tuple(f"{o} é of {i}" for o in range(count))
        items.append(
            Item(i, f"How many are {i} and {count}?", choices, int(rng.integers(len(choices))), (first, second))
        )
    return items


def truth(items: list[Item], generated: bool) -> dict[str, float | int]:
    """The figures of a comparison, from the questions and scores alone."""
    found: dict[str, list[float]] = {name: [] for name in ("before", "after", "same", "kl")}
    for item in items:
        first, second = map(np.array, item.scores)
        if generated:
            found["before"].append(first[0])
            found["after"].append(second[0])
            continue
        found["before"].append(float(first.argmax() == item.gold))
        found["after"].append(float(second.argmax() == item.gold))
        if np.isnan(first).any() or np.isnan(second).any():
            continue
        found["same"].append(float(first.argmax() == second.argmax()))
        before, after = log_softmax(first), log_softmax(second)
        possible = np.exp(before) > 0
        before, after = before[possible], after[possible]
        found["kl"].append(float((np.exp(before) * (before - after)).sum()))
    before, after = np.array(found["before"]), np.array(found["after"])
    figures: dict[str, float | int] = {
        "n": len(items),
        "accuracy_before": float(before.mean()),
        "accuracy_after": float(after.mean()),
        "harmful": int(((before == 1) & (after == 0)).sum()),
        "beneficial": int(((before == 0) & (after == 1)).sum()),
    }
    if not generated:
        # A divergence that is infinite has no mean, and is left out.
        kl = [value for value in found["kl"] if math.isfinite(value)]
        figures |= {"same_top": float(np.mean(found["same"])), "kl": float(np.mean(kl))}
    return figures


def to_rows(items: list[Item], kind: str, side: int, how: Writing) -> Rows:
    """The rows of one side's log, in one of the forms that lm_eval has written."""
    rows: Rows = []
    for i in [*how.order, *how.repeated]:
        item = items[i]
        count = len(item.choices)
        places = how.permutations.get(i, tuple(range(count)))
        gold = places.index(item.gold)
        number = (kind in ("numbers", "array")) != how.swapped_types
        row: dict[str, Any] = {
            "doc_id": item.number + how.shift,
            "doc": {
                "question": item.question,
                "choices": [item.choices[p] for p in places],
                "answer": gold,
            },
            "target": gold if number else str(gold),
        }
        if kind == "generated":
            right = bool(item.scores[side][0])
            text = str(item.gold if right else item.gold + 1)
            row |= {
                "target": str(item.gold),
                "arguments": {"gen_args_0": {"arg_0": "…", "arg_1": {"until": []}}},
                "resps": [[text]],
                "filtered_resps": [text],
                "exact_match": float(right),
            }
        else:
            scores = [item.scores[side][p] for p in places]
            texts = [f" {item.choices[p]}" if kind == "texts" else f" {LETTERS[o]}" for o, p in enumerate(places)]
            acc = float(int(np.argmax(scores)) == gold)
            # A row may score its letters in any order.
            letters = how.letters.get(i, tuple(range(count))) if i not in how.permutations else tuple(range(count))
            scores, texts = [scores[o] for o in letters], [texts[o] for o in letters]
            row |= {
                "arguments": [["…", t] for t in texts]
                if kind == "array"
                else {f"gen_args_{o}": {"arg_0": "…", "arg_1": t} for o, t in enumerate(texts)},
                "filtered_resps": [[s, False] if number else [str(s), "False"] for s in scores],
                "acc": acc,
            }
        if kind != "array":
            told = "".join(map(str, places)) if i in how.permutations else ""
            row |= {"doc_hash": f"hash-{item.number}-{told}", "prompt_hash": "p", "filter": "none"}
            row["metrics"] = ["exact_match"] if kind == "generated" else ["acc"]
        if how.extra:
            row |= {"note": "of another program", "more": {"a": [None]}}
        rows.append(row)
    return rows


def _shuffled(value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        return {keys[i]: _shuffled(value[keys[i]], rng) for i in rng.permutation(len(keys))}
    return [_shuffled(item, rng) for item in value] if isinstance(value, list) else value


def to_bytes(rows: Rows, kind: str, how: Writing, rng: np.random.Generator) -> bytes:
    """The content of a log."""
    if how.shuffled_keys:
        rows = [_shuffled(row, rng) for row in rows]
    options: dict[str, Any] = {"separators": how.separators}
    lines = [(json.dumps(row, **options).encode() if how.ascii else as_json(row, **options)) for row in rows]
    first, last = how.around
    if kind == "array":
        return first + b"[" + (b"," + how.line_end).join(lines) + b"]" + last
    return first + how.line_end.join(lines) + how.line_end + last


def draw_writing(items: list[Item], kind: str, rng: np.random.Generator) -> Writing:
    """A way of writing a log."""
    n = len(items)
    how = Writing(order=tuple(range(n)))
    some: dict[str, Callable[[], Writing]] = {
        "order": lambda: replace(how, order=tuple(rng.permutation(n).tolist())),
        "keys": lambda: replace(how, shuffled_keys=True),
        "ascii": lambda: replace(how, ascii=True),
        "space": lambda: replace(how, separators=[(" , ", " :\t"), (",", ":")][rng.integers(2)]),
        "lines": lambda: replace(
            how, line_end=[b"\r\n", b"\n\n", b" \n \n"][rng.integers(3)], around=(b"\xef\xbb\xbf", b"\n \n")
        ),
        "extra": lambda: replace(how, extra=True),
        "types": lambda: replace(how, swapped_types=True),
        "packed": lambda: replace(how, packed=[".gz", ".zst", ".zip"][rng.integers(3)]),
        "shift": lambda: replace(how, shift=int(rng.choice([1, 100, 2**40]))),
        "repeated": lambda: replace(how, repeated=tuple(rng.integers(n, size=2).tolist())),
    }
    if kind != "generated":
        chosen = [i for i in range(n) if rng.random() < 0.5]
        drawn = {i: tuple(rng.permutation(len(items[i].choices)).tolist()) for i in chosen}
        kept = {i: _with_fixed(places, items[i].gold) for i, places in drawn.items()}
        some["permutations"] = lambda: replace(how, permutations=drawn)
        some["letters"] = lambda: replace(how, letters=kept)
    names = list(some)
    for name in rng.permutation(names)[: rng.integers(1, 4)].tolist():
        how = some[name]()
    if how.repeated and not how.shift and kind in ("array",):
        how = replace(how, repeated=())
    return how


def _with_fixed(places: tuple[int, ...], fixed: int) -> tuple[int, ...]:
    """A permutation that leaves one place as it is: a row names its right option by its place."""
    others = [place for place in places if place != fixed]
    return (*others[:fixed], fixed, *others[fixed:])


def write_log(folder: Path, content: bytes, how: Writing, task: str = "sums", date: str = DATE) -> Path:
    """Write a log's samples file, packed as asked; what is to be compared."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"samples_{task}_{date}.jsonl"
    if how.packed == ".zip":
        with zipfile.ZipFile(folder / "log.zip", "w") as archive:
            archive.writestr(f"model/{name}", content)
        return folder / "log.zip"
    if how.packed == ".gz":
        content = gzip.compress(content)
    elif how.packed == ".zst":
        import pyarrow

        content = pyarrow.compress(content, "zstd", asbytes=True)
    (folder / f"{name}{how.packed}").write_bytes(content)
    return folder


def write_tasks(folder: Path, kind: str, rng: np.random.Generator) -> tuple[list[Path], list[Item]]:
    """Two tasks of both models, evaluated one after the other into one folder or with the same date; their questions."""
    dates = (DATE, LATER) if rng.random() < 0.5 else (DATE, DATE)
    found: list[Item] = []
    paths = [folder / "before", folder / "after"]
    for task, date in zip(("sums", "more_sums"), dates, strict=True):
        items = make_items(kind, rng, 9)
        found += items
        for side, path in enumerate(paths):
            how = replace(draw_writing(items, kind, rng), packed="")
            write_log(path, to_bytes(to_rows(items, kind, side, how), kind, how, rng), how, task, date)
    return paths, found


def add_files(folder: Path, rng: np.random.Generator) -> None:
    """Put files and folders beside a log that are no part of it."""
    for name in (f"samples_other_{LATER}.jsonl", "x.json", ".hidden"):
        if rng.random() < 0.5:
            (folder / name).mkdir()
    for name, content in (
        ("README.md", b"# \xff"),
        ("notes\nof two lines.txt", b"x"),
        (f"samples_sums_{DATE}.jsonl.tmp", b"{"),
        (".samples_sums.jsonl.swp", b"\x00"),
        ("report.json", b"[" * 5000),
        ("_.jsonl", b'{"a": 1}\n'),
    ):
        if rng.random() < 0.5:
            (folder / name).write_bytes(content)


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    question: str
    choices: list[str]
    answer: int


class _Argument(msgspec.Struct):
    arg_0: str
    arg_1: str | dict[str, Any]


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    """A row as lm_eval writes it, and nothing else."""

    doc_id: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
    doc: _Document
    target: int | str
    filtered_resps: list[tuple[float | str, bool | str] | str]
    arguments: dict[str, _Argument] | list[tuple[str, str]]
    acc: float | None = None
    exact_match: float | None = None
    resps: Any = None
    doc_hash: str | None = None
    prompt_hash: str | None = None
    filter: Literal["none"] | None = None
    metrics: list[str] | None = None


def read_well_formed(content: bytes, generated: bool) -> dict[Any, Item] | None:
    """The questions of one log by text and hash, if each row is as lm_eval writes it; None otherwise.

    Each item has this log's scores twice.
    """
    try:
        text = content.decode("utf-8-sig")
        if text.lstrip().startswith("["):
            rows = msgspec.json.decode(text, type=list[_Row])
        else:
            rows = [msgspec.json.decode(line, type=_Row) for line in text.split("\n") if line.strip(" \t\r")]
    except (ValueError, RecursionError):
        return None
    found: dict[Any, Item] = {}
    ids: set[int] = set()
    for row in rows:
        item = _item(row, generated)
        if item is None or item.number in ids:
            return None
        ids.add(item.number)
        key = (item.question, tuple(sorted(item.choices)), row.doc_hash)
        if key in found:
            return None
        found[key] = item
    hashes = {key[2] for key in found}
    return found if found and (hashes == {None} or (None not in hashes and len(hashes) == len(found))) else None


def _item(row: _Row, generated: bool) -> Item | None:
    """The question of a row whose parts agree with each other."""
    question, choices, gold = row.doc.question, tuple(row.doc.choices), row.doc.answer
    if not 0 <= gold < len(choices) or str(row.target) != str(gold) or len(question) < 5:
        return None
    if len({" ".join(choice.split()) for choice in choices}) < len(choices) or row.doc_hash == "":
        return None
    metric, value = ("exact_match", row.exact_match) if generated else ("acc", row.acc)
    if value not in (0.0, 1.0) or row.metrics not in (None, [metric]):
        return None
    if generated:
        return Item(row.doc_id, question, choices, gold, ((float(value),), (float(value),)))
    arguments = row.arguments
    if isinstance(arguments, dict):
        if list(arguments) != [f"gen_args_{o}" for o in range(len(arguments))]:
            return None
        texts: list[Any] = [argument.arg_1 for argument in arguments.values()]
    else:
        texts = [text for _, text in arguments]
    try:
        responses = [response for response in row.filtered_resps if not isinstance(response, str)]
        scores = tuple(float(score) for score, _ in responses)
    except ValueError:
        return None
    if not all(map(math.isfinite, scores)) or not len(set(scores)) == len(scores) == len(texts) == len(choices):
        return None
    if not all(greedy in (False, "False") for _, greedy in responses):
        return None
    if texts not in ([f" {c}" for c in choices], [f" {c}" for c in LETTERS[: len(choices)]]):
        return None
    return (
        Item(row.doc_id, question, choices, gold, (scores, scores))
        if value == float(np.argmax(scores) == gold)
        else None
    )


def joined(before: dict[Any, Item], after: dict[Any, Item]) -> list[Item] | None:
    """The questions of both logs, paired; None where it takes more than equal documents to pair them."""
    if {key[2] for key in before if key not in after} & {key[2] for key in after if key not in before} - {None}:
        return None
    if {key[0] for key in before if key not in after} & {key[0] for key in after if key not in before}:
        return None
    items = []
    for key in before.keys() & after.keys():
        one, two = before[key], after[key]
        if one.choices != two.choices or one.gold != two.gold:
            return None
        items.append(replace(one, scores=(one.scores[0], two.scores[1])))
    return items


def check_figures(end: End, expected: dict[str, float | int]) -> None:
    """Refuse figures that differ from those that are right."""
    section = figures(end)
    flips = section.get("flips") or {}
    found = {
        "n": section["n"],
        **{
            name: (section.get(name) or {}).get("value")
            for name in expected
            if name not in ("n", "harmful", "beneficial")
        },
        **{name: flips.get(name) for name in ("harmful", "beneficial")},
    }
    for name, value in expected.items():
        other = found[name]
        if other is None or not math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-9):
            raise FaultError(
                f"wrong {name}", f"{name} is {other} and should be {value}\nright: {expected}\nfound: {found}"
            )


def figures(end: End) -> dict[str, Any]:
    """The figures of all tasks, or of the one task, in what was printed."""
    found = json.loads(end.out)
    section: dict[str, Any] = found.get("overall") or next(iter(found["by_task"].values()))
    return section


def check_bounds(end: End) -> None:
    """Refuse figures that no comparison can have."""
    from consistency.metrics.measures import MEASURE

    def refuse_constant(text: str) -> None:
        raise FaultError("not JSON", text)

    found = json.loads(end.out, parse_constant=refuse_constant)
    for section in [found.get("overall") or {}, *found["by_task"].values()]:
        for name, estimate in section.items():
            if name in MEASURE and isinstance(estimate, dict):
                low, high = MEASURE[name].bounds
                value, ends = estimate["value"], (estimate["ci_low"], estimate["ci_high"])
                if value is not None and not low - 1e-9 <= value <= high + 1e-9:
                    raise FaultError(f"{name} out of bounds", str(estimate))
                if None not in ends and not ends[0] <= value <= ends[1]:
                    raise FaultError(f"{name} outside of its interval", str(estimate))


def change(items: list[Item], rng: np.random.Generator, generated: bool) -> tuple[list[Item], list[Item], list[Item]]:
    """Items of the first log and of the second, changed in a way whose result is known, and those that it is of."""
    first, second, both = list(items), list(items), list(items)
    how = int(rng.integers(5))
    i = int(rng.integers(len(items)))
    if how == 0:
        left = [j for j in range(len(items)) if j != i]
        second = [items[j] for j in left]
        both = second
    elif how == 1:
        one = items[i]
        turned = (one.scores[0], tuple(1 - s for s in one.scores[1]) if generated else tuple(reversed(one.scores[1])))
        first[i] = second[i] = both[i] = replace(one, scores=turned)
    elif how == 2 and not generated:
        one = items[i]
        # A constant in the log-probabilities of one question is no difference.
        moved = (tuple(s - 2.5 for s in one.scores[0]), one.scores[1])
        first[i] = second[i] = both[i] = replace(one, scores=moved)
    elif how == 3 and not generated:
        # A score of an option that is not the right one, in one log or in both.
        one, value = items[i], (-math.inf, math.nan)[rng.integers(2)]
        place = (one.gold + 1) % len(one.choices)
        odd = [tuple(value if o == place else s for o, s in enumerate(scores)) for scores in one.scores]
        turned = (odd[0] if rng.random() < 0.5 else one.scores[0], odd[1])
        first[i] = second[i] = both[i] = replace(one, scores=turned)
    else:
        one = items[i]
        gold = (one.gold + 1) % len(one.choices)
        first[i] = second[i] = both[i] = replace(one, gold=gold)
    return first, second, both


def case(seed: int, folder: Path, called: Callable[[list[str]], End]) -> tuple[str, str]:
    """One pair of logs."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    items = make_items(kind, rng, int(rng.choice([9, 12])))
    kinds = ("writing", "change", "folder", "tasks", "packed", "values", "values", "bytes", "bytes")
    what = kinds[int(rng.integers(len(kinds)))]
    if what in ("values", "bytes"):
        return _damaged(what, items, kind, folder, rng, called)
    ways = ""
    if what == "tasks":
        paths, expected = write_tasks(folder, kind, rng)
    elif what == "packed":
        paths, expected = _write_packed(items, kind, folder, rng), items
    else:
        paths, expected, ways = _write_known(what, items, kind, folder, rng)
    end = called(["compare", *map(str, paths), "--json", "-"])
    if check_end(end, place=str(folder)) == "refused":
        if what == "packed":
            return what, "refused"
        raise FaultError("refused what is right", f"{end.err}\n{ways}")
    # Of several tasks whose answers are generated no figures are pooled.
    if not (what == "tasks" and kind == "generated"):
        try:
            check_figures(end, truth(expected, kind == "generated"))
        except FaultError as fault:
            raise FaultError(fault.args[0], f"{fault.args[1]}\n{ways}") from None
    return what, "right"


def _write_known(
    what: str, items: list[Item], kind: str, folder: Path, rng: np.random.Generator
) -> tuple[list[Path], list[Item], str]:
    """Logs that are written in some way, or changed in a known way; their questions, and how they are written."""
    first, second, both = change(items, rng, kind == "generated") if what == "change" else (items, items, items)
    ways = [draw_writing(log, kind, rng) for log in (first, second)]
    paths = []
    for side, (log, how) in enumerate(zip((first, second), ways, strict=True)):
        place = folder / ("before", "after")[side]
        paths.append(write_log(place, to_bytes(to_rows(log, kind, side, how), kind, how, rng), how))
        if what == "folder":
            add_files(place, rng)
            if how.packed != ".zip" and rng.random() < 0.5:
                # An earlier run with other answers, of which none may be read.
                plain = Writing(order=tuple(range(len(log))))
                other = [replace(item, scores=item.scores[::-1]) for item in log]
                write_log(place, to_bytes(to_rows(other, kind, side, plain), kind, plain, rng), plain, date=EARLIER)
    return paths, both, "\n".join(map(str, ways))


def _write_packed(items: list[Item], kind: str, folder: Path, rng: np.random.Generator) -> list[Path]:
    """Compressed logs, of which one is damaged; both formats have checksums, so that it is refused or as it was."""
    how = Writing(order=tuple(range(len(items))), packed=(".gz", ".zip")[rng.integers(2)])
    contents = [to_bytes(to_rows(items, kind, side, how), kind, how, rng) for side in (0, 1)]
    paths = [
        write_log(folder / name, content, how) for name, content in zip(("before", "after"), contents, strict=True)
    ]
    packed = next(path for path in [paths[1], *paths[1].rglob("*")] if path.is_file())
    packed.write_bytes(damage_bytes(packed.read_bytes(), rng))
    return paths


def _damaged(
    what: str,
    items: list[Item],
    kind: str,
    folder: Path,
    rng: np.random.Generator,
    called: Callable[[list[str]], End],
) -> tuple[str, str]:
    """Logs of which one or both are damaged at random."""
    generated = kind == "generated"
    plain = Writing(order=tuple(range(len(items))))
    contents = [to_bytes(to_rows(items, kind, side, plain), kind, plain, rng) for side in (0, 1)]
    for side in [side for side in (0, 1) if rng.random() < 0.6] or [1]:
        if what == "bytes":
            contents[side] = damage_bytes(contents[side], rng)
        else:
            rows = damage_json(to_rows(items, kind, side, plain), rng, int(rng.integers(1, 4)))
            contents[side] = to_bytes(rows, kind, plain, rng)
    paths = [
        write_log(folder / name, content, plain) for name, content in zip(("before", "after"), contents, strict=True)
    ]
    end = called(["compare", *map(str, paths), "--json", "-"])
    ended = check_end(end, place=str(folder))
    logs = [read_well_formed(content, generated) for content in contents]
    paired = joined(logs[0], logs[1]) if logs[0] and logs[1] else None
    if ended == "refused":
        if paired and [len(log or ()) for log in logs] == [len(paired)] * 2:
            raise FaultError("refused what is well-formed", end.err)
        return what, "refused"
    check_bounds(end)
    if paired:
        check_figures(end, truth(paired, generated))
        return f"{what}, well-formed", "right"
    return what, "right"


if __name__ == "__main__":
    sys.exit(run_campaign(__doc__ or "", "pairs of logs", case))
