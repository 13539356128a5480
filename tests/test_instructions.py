"""General instructions from files of every kind, the real Alpaca one among them."""

import json
import re

import pytest

from consistency.errors import InputError
from consistency.training_data.instructions import Instructions

ALPACA = [{"instruction": f"Do {n}.", "input": "" if n % 2 else f"With {n}.", "output": f"Done {n}."} for n in range(6)]
CHAT = {"conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}], "id": "x"}


def chosen_from(source, count, seed):
    return list(Instructions(source, seed).take(count))


def test_alpaca_rows_become_conversations(test_data):
    file = test_data / "alpaca_en_demo.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    expected = {(row["instruction"] + ("\n\n" + row["input"] if row["input"] else ""), row["output"]) for row in rows}
    found = chosen_from(str(file), 999, 0)
    assert [[turn["from"] for turn in turns] for turns in found] == [["human", "gpt"]] * 999
    assert {(human["value"], gpt["value"]) for human, gpt in found} == expected
    assert sum("\n\n" in human for human, _ in expected) >= 412
    chosen = chosen_from(str(file), 50, 1)
    assert chosen == chosen_from(str(file), 50, 1) != chosen_from(str(file), 50, 2)
    assert len({turns[0]["value"] for turns in chosen}) == 50
    with pytest.raises(InputError, match=f"^{re.escape(str(file))}: holds 999 instructions; expected at least 1000"):
        chosen_from(str(file), 1000, 0)


@pytest.mark.parametrize("layout", ["array", "lines", "blank lines", "windows lines", "marked lines", "marked array"])
def test_json_and_jsonl_are_read_alike(tmp_path, layout):
    file = tmp_path / "general"
    lines = [json.dumps(row, ensure_ascii=False) for row in [*ALPACA, CHAT]]
    joined = {
        "array": "\n [" + ",\n".join(lines) + "]",
        "marked array": "\ufeff[" + ",".join(lines) + "]",
        "marked lines": "\ufeff" + "\n".join(lines),
        "lines": "\n".join(lines),
        "blank lines": "\n\n".join(lines) + "\n \n",
        "windows lines": "\r\n".join(lines) + "\r\n",
    }
    file.write_bytes(joined[layout].encode())
    found = chosen_from(str(file), 7, 0)
    expected = [(f"Do {n}." if n % 2 else f"Do {n}.\n\nWith {n}.", f"Done {n}.") for n in range(6)] + [
        ("Hi.", "Hello.")
    ]
    assert sorted((turns[0]["value"], turns[1]["value"]) for turns in found) == sorted(expected)
    assert all(set(turn) == {"from", "value"} for turns in found for turn in turns)


def test_a_conversation_keeps_all_its_turns(tmp_path):
    file = tmp_path / "chats.jsonl"
    turns = [{"from": ("human", "gpt")[n % 2], "value": str(n)} for n in range(4)]
    file.write_text(json.dumps({"conversations": turns}))
    assert chosen_from(str(file), 1, 0) == [turns]


def test_a_data_set_is_loaded_by_the_hubs_own_library_and_only_when_asked(tmp_path):
    pytest.importorskip("datasets")
    folder = tmp_path / "general"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ALPACA))
    found = chosen_from(f"hub:{folder}", 6, 0)
    (tmp_path / "same.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ALPACA))
    assert found == chosen_from(str(tmp_path / "same.jsonl"), 6, 0)
    with pytest.raises(InputError, match=r"^hub:.*general holds 6 instructions; expected at least 7"):
        chosen_from(f"hub:{folder}", 7, 0)
    with pytest.raises(InputError, match=r"^the data set 'nobody/nothing' cannot be loaded \(.*file instead$"):
        chosen_from("hub:nobody/nothing@v1", 1, 0)
    with pytest.raises(InputError, match="nobody/nothing: cannot be read"):
        chosen_from("nobody/nothing", 1, 0)


def test_one_instruction_more_moves_no_other(tmp_path):
    chosen = []
    for count in (5, 6):
        file = tmp_path / f"{count}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in ALPACA[:count]))
        chosen.append([turns[0]["value"] for turns in chosen_from(str(file), count, 3)])
    assert [text for text in chosen[1] if text in chosen[0]] == chosen[0]
    assert chosen_from(str(file), 4, 3) == chosen_from(str(file), 6, 3)[:4]


def test_the_worlds_own_are_endless_and_fixed_by_the_seed():
    first = chosen_from("world", 200, 0)
    assert len(first) == 200
    assert chosen_from("world", 100, 0) == first[:100]
    assert chosen_from("world", 200, 1) != first
    assert all(
        [turn["from"] for turn in turns] == ["human", "gpt"] and all(t["value"] for t in turns) for turns in first
    )


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"", None, "holds 0 instructions"),
        (b"[]", None, "holds 0 instructions"),
        (b'[{"instruction": ', None, "not JSON"),
        (b'{"instruction": "a", "output": "b"}\n{"instr', 2, "truncated"),
        (b'{"instruction": "\xff", "output": "b"}', 1, "utf-8"),
        (b'[{"instruction": "\xff", "output": "b"}]', None, "not JSON"),
        (b"[" * 100_000, None, "not JSON"),
        (b"3", 1, "is not an instruction"),
        (b'{"instruction": "a"}', 1, "is not an instruction"),
        (b'{"instruction": "", "output": "b"}', 1, "is not an instruction"),
        (b'{"instruction": "a", "output": "b", "input": 3}', 1, "is not an instruction"),
        (b'\n\n{"instruction": "a", "output": ["b"]}', 3, "is not an instruction"),
        (b'{"conversations": [{"from": "user", "value": "a"}]}', 1, "is not an instruction"),
        (b'[\n{"instruction": "b", "output": "c"},\n{"instruction": "a"}]', 2, "is not an instruction"),
    ],
)
def test_what_is_no_instruction_is_refused_with_its_place(tmp_path, content, line, says):
    file = tmp_path / "general.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        chosen_from(str(file), 1, 0)
    assert str(error.value).startswith(f"{file}:{line}: " if line else f"{file}: ")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(InputError, match=f"^{re.escape(str(path))}: cannot be read"):
            chosen_from(str(path), 1, 0)
