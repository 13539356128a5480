"""Raw records of Xiezhi and MedMCQA: what becomes a question, and what is dropped for which reason."""

import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.errors import InputError
from consistency.tasks.conversion import convert_file, convert_medmcqa, convert_xiezhi
from consistency.tasks.questions import read_questions

XIEZHI = {"question": "Q", "labels": ["History"], "answer": "b", "options": "a\nb\nc\nd"}
MEDMCQA = {
    "question": "Q",
    "opa": "a",
    "opb": "b",
    "opc": "c",
    "opd": "d",
    "cop": 2,
    "exp": "E.",
    "choice_type": "single",
}


@pytest.mark.parametrize("domain", ["history", "engineering", "jurisprudence", "medicine"])
@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_released_questions_come_out_of_their_raw_records(domain, split, test_data, tmp_path):
    lines = (test_data / "domains" / domain / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    released = [json.loads(line) for line in lines]
    raw = tmp_path / "raw.json"
    raw.write_text(json.dumps([row["raw"] for row in released]))
    written, dropped = convert_file(raw, tmp_path / "q.jsonl", "medmcqa" if domain == "medicine" else "xiezhi")
    assert (written, dropped) == (len(released), {})
    for row, question in zip(released, read_questions(tmp_path / "q.jsonl", domain), strict=True):
        assert (question.question, list(question.choices), question.answer) == (
            row["question"],
            row["choices"],
            row["answer"],
        )
        if domain == "medicine":
            assert question.explanation == row["explanation"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "e"}, "the answer is not among the options"),
        ({"answer": None}, "no answer"),
        ({"answer": 1}, "answer is not a text"),
        ({"options": "a"}, "fewer than 2 options or more than 10"),
        ({"options": "\n".join("abcdefghijk")}, "fewer than 2 options or more than 10"),
        ({"options": "a\n\nb"}, "an empty option"),
        ({"options": ["a", "b"]}, "options is not a text"),
        ({"question": " "}, "question is empty"),
    ],
)
def test_xiezhi_records_are_dropped_for_a_reason(change, reason):
    questions, dropped = convert_xiezhi([XIEZHI, XIEZHI | change, "text"], "history")
    assert [(q.id, q.subject, q.choices, q.answer) for q in questions] == [(0, "history", ("a", "b", "c", "d"), 1)]
    assert dropped == {reason: 1, "not an object": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cop": 5}, "the answer is not among the options"),
        ({"cop": 0}, "the answer is not among the options"),
        ({"cop": -1}, "the answer is not among the options"),
        ({"cop": True}, "the answer is not among the options"),
        ({"choice_type": "multi"}, "several right answers"),
        ({"exp": 0}, "exp is not a text"),
        ({"exp": ["E."]}, "exp is not a text"),
        ({"opc": ""}, "opc is empty"),
        ({"opd": None}, "no opd"),
        ({"question": None}, "no question"),
    ],
)
def test_medmcqa_records_are_dropped_for_a_reason(change, reason):
    questions, dropped = convert_medmcqa([MEDMCQA | change, MEDMCQA], first_option=1)
    assert [(q.id, q.answer, q.explanation) for q in questions] == [(1, 1, "E.")]
    assert dropped == {reason: 1}


def test_the_records_tell_how_they_count_options():
    def answers(*numbers: int) -> list[int]:
        return [q.answer for q in convert_medmcqa([MEDMCQA | {"cop": n} for n in numbers])[0]]

    assert answers(1, 4) == [0, 3]
    assert answers(0, 3) == [0, 3]
    mixed: list[Any] = [MEDMCQA | {"cop": cop} for cop in ([1], {"0": 0}, False, 0.0, 4)]
    questions, dropped = convert_medmcqa(mixed)
    assert [(q.id, q.answer) for q in questions] == [(4, 3)]
    assert dropped == {"the answer is not among the options": 4}
    for numbers in ((1, 2), (0, 4)):
        with pytest.raises(InputError, match="--first-option"):
            answers(*numbers)


def test_a_missing_explanation_is_none_at_all():
    records = [{key: value for key, value in MEDMCQA.items() if key != "exp"}, MEDMCQA | {"exp": None}]
    questions, dropped = convert_medmcqa(records, first_option=1)
    assert [question.explanation for question in questions] == ["", ""]
    assert not dropped


def test_options_are_counted_from_0_or_1_alone(tmp_path):
    raw = tmp_path / "raw.json"
    raw.write_bytes(b"\xef\xbb\xbf" + json.dumps([MEDMCQA]).encode())
    assert convert_file(raw, tmp_path / "q.jsonl", "medmcqa", 1) == (1, {})
    with pytest.raises(InputError, match=r"\b5\b.*0 or 1"):
        convert_file(raw, tmp_path / "q.jsonl", "medmcqa", 5)


def test_the_command_counts_what_it_drops(tmp_path):
    raw, out = tmp_path / "raw.jsonl", tmp_path / "new" / "q.jsonl"
    records: list[Any] = [XIEZHI, XIEZHI | {"answer": "e"}, XIEZHI | {"answer": "f"}, 3]
    raw.write_text("".join(json.dumps(record) + "\n" for record in records))
    result = CliRunner().invoke(app, ["convert", str(raw), str(out), "--from", "xiezhi"])
    assert result.output.startswith(f"{out}: 1 questions\n")
    assert re.findall(r"dropped: (\d)", result.output) == ["1", "2"]
    assert json.loads(out.read_text()) == {
        "id": 0,
        "question": "Q",
        "choices": ["a", "b", "c", "d"],
        "answer": 1,
        "explanation": "",
    }


@pytest.mark.parametrize(
    ("content", "form", "line", "word"),
    [
        ('{"question": "Q"\n', "xiezhi", 1, "truncated"),
        ("[{]", "xiezhi", None, "JSON"),
        ('{"question": "Q"}\n3\n4', "xiezhi", None, "1 × no options, 2 × not an object"),
        ("", "xiezhi", None, "no records"),
        ("\n", "medmcqa", None, "no records"),
        ('{"cop": 2}', "medmcqa", None, "cop"),
        ("{}", "mmlu", None, "xiezhi, medmcqa"),
    ],
)
def test_a_file_without_questions_is_one_error(content, form, line, word, tmp_path):
    raw = tmp_path / "raw.jsonl"
    raw.write_text(content)
    with pytest.raises(InputError) as caught:
        convert_file(raw, tmp_path / "q.jsonl", form)
    assert word in str(caught.value)
    assert (caught.value.path, caught.value.line) == (raw if form in ("xiezhi", "medmcqa") else None, line)
    assert not (tmp_path / "q.jsonl").exists()
    with pytest.raises(InputError, match="cannot be read"):
        convert_file(tmp_path / "nowhere", tmp_path / "q.jsonl", "xiezhi")
