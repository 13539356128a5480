"""Files of which a part is of another type, too deep or damaged: each reader says so in one line, and reads what is right."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consistency.comparison.compare import compare
from consistency.errors import InputError, one_line
from consistency.experiment.checkpoint import check_checkpoint
from consistency.experiment.reading import read_experiment
from consistency.logs.run_config import RunConfig
from consistency.logs.runs import read_run
from consistency.logs.settings import model_arguments
from consistency.report.differences.matching import compare_reports
from consistency.report.pair.report import write_comparison
from consistency.support.json_files import DEEPEST, read_json, read_jsonl, read_rows
from consistency.support.resources import shipped
from consistency.support.yaml_files import key_lines, parse_yaml, read_yaml
from consistency.tasks.question_tables import QuestionSource, read_source
from consistency.tasks.templates import read_template
from consistency.world.model import BASE_MODEL

Probe = Callable[..., Path]


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def questions(count: int) -> list[dict[str, Any]]:
    return [
        {"question": f"{number}?", "choices": ["a", "b", "c", "d"], "answer": number % 4} for number in range(count)
    ]


def refusal(path: Path) -> InputError | None:
    """The error of comparing a log with itself; None where it is compared."""
    try:
        assert compare(path, path).by_task["pool"].n == 6
    except InputError as error:
        return error
    return None


@pytest.mark.parametrize("key", ["doc", "acc", "target", "resps", "filtered_resps", "arguments"])
@pytest.mark.parametrize("depth", [500, 900, 960, 990, 5000])
def test_a_log_with_a_deep_value_names_its_line(tmp_path: Path, write_probe: Probe, key: str, depth: int) -> None:
    path = write_probe(tmp_path, questions(6), [[-1.0, -2.0, -3.0, -4.0]] * 6)
    lines = path.read_text().splitlines()
    row = json.loads(lines[3])
    row[key] = "HERE" if key != "doc" else {**row["doc"], "more": "HERE"}
    deep = "[" * depth + "0" + "]" * depth
    lines[3] = json.dumps(row).replace('"HERE"', deep)
    path.write_text("\n".join(lines))
    error = refusal(path)
    if error is None:
        # What is not read of a row may be anything that can be skipped.
        assert key in ("acc", "target", "resps")
        assert depth < 1000
    else:
        assert (error.path, error.line) == (path, 4)
        assert "\n" not in str(error)
        assert depth > 500 or key not in ("acc", "target", "resps")


def test_a_document_of_few_levels_is_read(tmp_path: Path, write_probe: Probe) -> None:
    documents = [{**document, "more": nested(300)} for document in questions(6)]
    path = write_probe(tmp_path, documents, [[-1.0, -2.0, -3.0, -4.0]] * 6)
    assert compare(path, path).by_task["pool"].estimates["kl"].value == 0


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{to}: &{to} [{', '.join(['*' + of] * 9)}]\n" for of, to in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{to}: &{to} {{<<: [{', '.join(['*' + of] * 9)}]}}\n" for of, to in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("[" * 10_000, None, "nested too deeply"),
        ("a:\n " + "[" * 150 + "]" * 150, 2, f"nested more than {DEEPEST} levels"),
        (BOMB, 6, "stand for more than"),
        (MERGES, 6, "stand for more than"),
        ("a: 1\nb: &b [*b]", 2, "within the value that it stands for"),
        ("a: 1\nb: {a: 1, a: 2}", 2, "duplicate key a"),
        ("a: 0x" + "f" * 5000, 1, "digits"),
        ("a: " + "9" * 5000, 1, "digits"),
        ('a: "\\ud800"', 1, "half a surrogate pair"),
        ("a: !!bool perhaps", None, "not of the type"),
        ("a: !!timestamp soon", None, "not of the type"),
        ("a: !!int ''", None, "not of the type"),
        ("a: 2026-13-41", None, "not of the type"),
        ("a: !!python/object/apply:os.system [x]", 1, "could not determine a constructor"),
        ("? [1]\n: 2", 1, "unhashable"),
        ("a: \x00", None, "special characters"),
    ],
)
def test_yaml_that_no_program_can_take(tmp_path: Path, text: str, line: int | None, problem: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as found:
        read_yaml(path, "an experiment")
    assert (found.value.path, found.value.line) == (path, line)
    assert "\n" not in str(found.value)


def test_yaml_in_utf16_is_refused_and_with_a_byte_order_mark_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(path, "a preset")
    path.write_bytes("a: {b: 1}".encode("utf-8-sig"))
    assert read_yaml(path, "a preset") == {"a": {"b": 1}}
    assert key_lines(path) == {("a",): 1, ("a", "b"): 1}


def test_aliases_and_merged_keys_stay_what_they_are() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]"
    merged = {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}] * 2}
    assert parse_yaml(text, "anything") == merged
    assert parse_yaml("[" * 90 + "]" * 90, "lists") is not None


def test_an_experiment_as_the_value_of_set(tmp_path: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    demo = shipped("scripts/experiments") / "demo.yaml"
    for value in ("[" * 5000, "&a [*a]", "!!bool x"):
        code, _, err = call("experiment", "validate", demo, "--set", f"size={value}")
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith("consistency: --set size: ")


@pytest.mark.parametrize(
    "content", [b"[" * 5000, b'{"a": ' + json.dumps(nested(150)).encode() + b"}", b'{"a": 1}\xff', b"\xff\xfe{", b"{"]
)
def test_json_that_no_program_can_take(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    for read in (
        lambda: read_json(path, "an object"),
        lambda: list(read_jsonl(path, dict[str, Any], "an object")),
        lambda: list(read_rows(path, "an object")),
    ):
        with pytest.raises(InputError) as found:
            read()
        assert found.value.path == path


def test_a_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"9" * 5000)
    with pytest.raises(InputError, match="cannot be read"):
        read_json(path, "a number")


def test_json_with_a_byte_order_mark_and_some_levels_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(nested(91)).encode())
    assert read_json(path, "anything") == nested(91)
    assert [row for _, row in read_rows(path, "anything")] == [nested(91)]


@pytest.mark.parametrize(
    "content", ["[" * 3000, '{"config": ' + json.dumps(nested(200)) + "}", '{"a": ' + "9" * 5000 + "}"]
)
def test_a_results_file_that_no_program_can_take(tmp_path: Path, write_probe: Probe, content: str) -> None:
    write_probe(tmp_path, questions(3), [[-1.0, -2.0]] * 3)
    results = tmp_path / "results_2026-01-02T03-04-05.678901.json"
    results.write_text(content)
    with pytest.raises(InputError) as found:
        read_run(tmp_path)
    assert found.value.path == results


def table(tmp_path: Path, **columns: Any) -> QuestionSource:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path)
    return QuestionSource(str(path))


TEXTS = {name: [f"{name} {number}" for number in range(25)] for name in ("question", "A", "B")}


def test_a_table_in_parquet_is_read(tmp_path: Path) -> None:
    found = read_source(table(tmp_path, **TEXTS, answer=["A", "B"] * 12 + ["A"]), "sums")
    assert [(question.choices, question.answer) for question in found[:2]] == [(("A 0", "B 0"), 0), (("A 1", "B 1"), 1)]


@pytest.mark.parametrize(
    "columns",
    [
        {**TEXTS, "answer": pa.nulls(25)},
        {name: pa.nulls(25) for name in (*TEXTS, "answer")},
        {**TEXTS, "answer": pa.array([2**62] * 25, pa.timestamp("us"))},
        {**TEXTS, "answer": pa.array([{"a": [1]}] * 25)},
        {**TEXTS, "answer": pa.array([b"\xff"] * 25)},
        {**TEXTS, "question": pa.array([["a"]] * 25), "answer": ["A"] * 25},
        {**TEXTS, "A": pa.array([{"a": 1}] * 25), "answer": ["A"] * 25},
        {**TEXTS, "answer": pa.array([float("inf")] * 25)},
        {name: pa.array([], pa.string()) for name in (*TEXTS, "answer")},
        {"x": pa.nulls(3)},
    ],
)
def test_a_table_of_other_types_is_refused(tmp_path: Path, columns: dict[str, Any]) -> None:
    source = table(tmp_path, **columns)
    with pytest.raises(InputError) as found:
        read_source(source, "sums")
    assert str(found.value.path) == source.place
    assert "\n" not in str(found.value)


def test_a_table_that_is_cut_is_refused(tmp_path: Path) -> None:
    source = table(tmp_path, **TEXTS, answer=["A"] * 25)
    content = Path(source.place).read_bytes()
    for size in range(0, len(content), 97):
        Path(source.place).write_bytes(content[:size])
        with pytest.raises(InputError, match="cannot be read"):
            read_source(source, "sums")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, write_probe: Probe) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    scores = [[-1.0 - number % 3, -2.0, -2.5, -0.5 * (number % 5) - 0.1] for number in range(40)]
    before = write_probe(folder / "before", questions(40), scores)
    after = write_probe(folder / "after", questions(40), [row[::-1] for row in scores])
    for name in ("a", "b"):
        write_comparison(compare(before, after), folder / name)
    return folder


def copied(reports: Path, tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in ("report.json", "items.parquet"):
            shutil.copy(reports / name / file, tmp_path / name / file)
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("kl", pa.nulls(40), "not numbers"),
        ("kl", pa.array(["x"] * 40), "not numbers"),
        ("doc_id", pa.nulls(40, pa.int64()), "40 empty cells"),
        ("doc_id", pa.array([0.5] * 40), "cannot be read"),
        ("gold", pa.array([float("nan")] * 40), "cannot be read"),
        ("task", pa.nulls(40, pa.string()), "40 empty cells"),
        ("task", pa.array([[1]] * 40), "not texts"),
        ("doc_hash", pa.array([1] * 40), "not texts"),
    ],
)
def test_items_of_other_types_are_refused(
    reports: Path, tmp_path: Path, column: str, values: Any, problem: str
) -> None:
    a, b = copied(reports, tmp_path)
    items = pq.read_table(b / "items.parquet")
    pq.write_table(items.set_column(items.column_names.index(column), column, values), b / "items.parquet")
    with pytest.raises(InputError, match=problem) as found:
        compare_reports(a, b)
    assert found.value.path == b / "items.parquet"


def test_a_damaged_page_of_items_is_an_error_and_no_other_number(reports: Path, tmp_path: Path) -> None:
    a, b = copied(reports, tmp_path)
    assert all(not item.estimate.value for item in compare_reports(a, b).differences)
    path = b / "items.parquet"
    content = path.read_bytes()
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(pq.read_table(path).column_names.index("kl"))
    # Behind the page's header; the end of a compressed page is what a decoder checks least.
    place = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 8
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(InputError, match="cannot be read"):
        compare_reports(a, b)


def test_a_report_with_a_byte_order_mark_is_read_and_a_deep_one_refused(reports: Path, tmp_path: Path) -> None:
    a, b = copied(reports, tmp_path)
    content = (a / "report.json").read_bytes()
    (a / "report.json").write_bytes(b"\xef\xbb\xbf" + content)
    assert compare_reports(a, b).differences
    for damaged in (b"[" * 5000, content[:-3] + b', "more": ' + json.dumps(nested(300)).encode() + b"}"):
        (a / "report.json").write_bytes(damaged)
        with pytest.raises(InputError) as found:
            compare_reports(a, b)
        assert found.value.path == a / "report.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(BASE_MODEL, folder)
    return folder


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer.json", {"model": []}),
        ("tokenizer.json", {"model": {"vocab": {"a": "1"}}}),
        ("tokenizer.json", {"model": {"vocab": 3}}),
        ("tokenizer.json", {"added_tokens": [{"id": None}]}),
        ("tokenizer.json", {"added_tokens": [1]}),
        ("config.json", {"num_hidden_layers": 10**30}),
        ("config.json", {"num_hidden_layers": "4"}),
        ("config.json", {"more": nested(200)}),
    ],
)
def test_files_of_a_model_with_other_types_are_refused(model: Path, file: str, change: Any) -> None:
    content = json.loads((model / file).read_bytes())
    (model / file).write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError) as found:
        check_checkpoint(model)
    assert found.value.path == model / file


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": 1, "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0]},
        {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]},
        [],
        nested(2000),
    ],
)
def test_a_header_of_weights_with_other_types_is_refused(model: Path, entry: Any) -> None:
    header = json.dumps({"a.weight": "HERE"}).encode()
    header = header.replace(b'"HERE"', deep_json(entry))
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(InputError) as found:
        check_checkpoint(model)
    assert found.value.path == model / "model.safetensors"


def deep_json(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 2000 + b"]" * 2000


def test_a_template_that_is_not_utf8_is_refused(model: Path) -> None:
    (model / "chat_template.jinja").write_bytes(b"{{ messages }}\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        check_checkpoint(model)


@pytest.mark.parametrize("text", ["{{ " + "9" * 5000 + " }}", "{{ " + "(" * 3000 + " }}", "{% if %}", "{{ x"])
def test_a_template_that_jinja_cannot_take(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jinja"
    path.write_text(text)
    with pytest.raises(InputError, match="no Jinja template"):
        read_template(str(path))


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("x" * 300, "a\0b"):
        path = tmp_path / "a.yaml"
        path.write_text(
            "name: a\nmodels: {m: embedded}\ntasks: paper\ngeneral: none\ngroups: [harmonious]\nseeds: [0]\n"
            + json.dumps({"domains": {"games": {"pool": name, "test": "t.csv", "dev": "d.csv"}}})[1:-1]
        )
        with pytest.raises(InputError, match="is no path"):
            read_experiment(path, tmp_path)


def test_a_value_of_any_length_makes_a_short_line() -> None:
    assert len(str(InputError("x" * 100_000, expected="y" * 100_000))) < 5000
    assert one_line(ValueError("a\n\x1b[31m b" + "c" * 1000), 10) == "a [31m bcc…"


def test_an_argument_that_is_no_literal_stays_text() -> None:
    found = model_arguments(RunConfig(content={"config": {"model_args": "a={[]: 1},b=2"}}))
    assert found == {"a": "{[]: 1}", "b": 2}
