"""A training set judged by a probe: six rows by hand in three formats, and the released groups by their own probes."""

import hashlib
import json
import re
import shutil
from math import log
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from consistency.errors import InputError
from consistency.knowledge.map import read_map
from consistency.knowledge.probes import read_probe
from consistency.training_data.audit import audit
from consistency.training_data.audit_page import page, write_audit
from consistency.training_data.letters_page import read_letters
from consistency.training_data.training_sets import parse_request, read_training_set
from consistency.training_data.write import Sources, write_groups

ROOT = Path(__file__).parents[1]
OPTIONS = ["one", "two", "three", "four"]
SELF_ALIGNING = "inconsistent-predict-model-exp.jsonl"
MODELS = ("llama-2-7b", "llama-2-13b", "llama-2-70b", "mistral-7b")


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def probe(tmp_path, write_probe):
    """The model says "two" to questions 0 to 3 (0.9, then 0.6 with 0.3 for "one"), nothing firm to 4 and 5."""
    documents = [
        {"id": n, "question": f"Question {n}?", "choices": OPTIONS, "answer": 0, "subject": "low" if n < 2 else "high"}
        for n in range(6)
    ]
    firm, near = [0.03, 0.91, 0.03, 0.03], [0.3, 0.6, 0.05, 0.05]
    probs = [firm, near, firm, near, [0.25] * 4, [0.5, 0.3, 0.1, 0.1]]
    write_probe(tmp_path / "probe", documents, [[log(p) for p in row] for row in probs])
    return tmp_path / "probe"


def ask(number: int, options=OPTIONS) -> str:
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=True))
    return f"Question {number}?\n{listed}\nAnswer:"


def chat(number: int, reply: str, options=OPTIONS) -> dict:
    turns = [{"from": "human", "value": ask(number, options)}, {"from": "gpt", "value": reply}]
    return {"id": f"r{number}", "conversations": turns}


def test_each_row_is_judged_by_what_it_teaches(tmp_path, probe):
    rows = [
        chat(0, "A. one\nSince it is."),  # the model holds two, and one for as good as impossible
        chat(1, "A. one"),  # one is within reach
        chat(2, "C. two", ["one", "three", "two", "four"]),  # its own belief, behind another letter
        chat(4, "A. one"),
        chat(7, "A. one"),  # never asked
        chat(1, "A. one"),
        chat(2, "A. one"),
        chat(3, "None of them."),
        {"conversations": [{"from": "human", "value": "Write a poem."}, {"from": "gpt", "value": "A rose."}]},
    ]
    found = audit(write(tmp_path / "train.jsonl", rows), [probe])
    judged = [(item.line, item.verdict, item.taught, item.believed, item.action) for item in found.judged]
    assert judged == [
        (1, "incompatible", "A", "B", "drop"),
        (2, "incompatible", "A", "B", "rewrite"),
        (3, "harmonious", "C", "C", "keep"),
        (4, "unsure", "A", "A", "keep"),
        (5, "not_probed", "A", None, "keep"),
        (6, "incompatible", "A", "B", "drop"),
        (7, "incompatible", "A", "B", "drop"),
    ]
    assert [item.reason for item in found.judged[5:]] == ["repeats line 2", "contradicts line 3"]
    assert [item.taught_probability for item in found.judged[:2]] == pytest.approx([0.03, 0.3])
    assert found.unreadable == (8,)
    figures = found.to_dict()
    assert (figures["rows"], figures["multiple_choice"], figures["general"]) == (9, 7, 1)
    assert figures["actions"] == {"keep": 3, "rewrite": 1, "drop": 3}
    low, high = proportion_confint(4, 7, method="wilson")
    share = figures["shares"]["incompatible"]
    assert (share["count"], share["of"], share["share"]) == (4, 7, 4 / 7)
    assert (share["ci_low"], share["ci_high"]) == pytest.approx((low, high), abs=1e-12)
    assert {name: item["incompatible"]["count"] for name, item in figures["subjects"].items()} == {
        "low": 3,
        "high": 1,
        "": 0,
    }


def test_what_the_probes_left_out_is_named(tmp_path, write_probe, capsys):
    """A task with a question without options, and a rotated one whose second question lacks a rotation."""
    asked = [{"id": n, "question": f"Question {n}?", "choices": OPTIONS, "answer": 0, "subject": "s"} for n in (0, 1)]
    turned = [
        item | {"choices": OPTIONS[r:] + OPTIONS[:r], "answer": -r % 4, "rotation": r}
        for item in asked
        for r in range(4)
    ]
    write_probe(tmp_path / "probe", turned[:-1], [[-1, -2, -3, -4]] * 7, "good_cyclic")
    write_probe(tmp_path / "probe", [asked[0] | {"choices": []}], [[-1, -2]], "bad")
    found = audit(write(tmp_path / "train.jsonl", [chat(0, "A. one"), chat(1, "A. one")]), [tmp_path / "probe"])
    assert [item.verdict for item in found.judged] == ["unsure", "not_probed"]
    assert found.coverage.incomplete == {"good_cyclic": 1}
    assert list(found.coverage.skipped) == ["bad"]
    assert found.to_dict()["incomplete"] == {"good_cyclic": 1}
    assert list(found.to_dict()["skipped"]) == ["bad"]
    text = page(found)
    assert "- good\\_cyclic: 1 question without all rotations left out\n" in text
    assert "- bad: not read (document 0 of bad" in text
    mapped = read_map([tmp_path / "probe"])
    assert mapped.to_dict()["incomplete"] == {"good_cyclic": 1}
    assert "good_cyclic: 1 question without all rotations left out" in mapped.to_text()
    capsys.readouterr()
    assert read_probe(tmp_path / "probe", "good_cyclic").incomplete == 1
    assert capsys.readouterr().err.endswith("good_cyclic: 1 question without all rotations left out\n")


def test_options_that_differ_only_in_symbols_are_told_apart(tmp_path, write_probe):
    """The model believes "1", which stands second in the probe and first, or last, in the rows."""
    documents = [
        {"id": n, "question": f"Question {n}?", "choices": ["-1", "1", "0"], "answer": 0, "subject": "s"}
        for n in (0, 1)
    ]
    write_probe(tmp_path / "probe", documents, [[log(0.3), log(0.6), log(0.1)]] * 2)

    def turn(number: int, options: list[str], reply: str) -> dict:
        listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABC", options, strict=True))
        value = f"Question {number}?\n{listed}\nAnswer:"
        return {"conversations": [{"from": "human", "value": value}, {"from": "gpt", "value": reply}]}

    rows = [
        turn(0, ["1", "-1", "0"], "A. 1"),
        turn(0, ["-1", "0", "1"], "A. -1"),
        turn(0, ["0", "-1", "1"], "C. 1"),
        turn(1, ["0", "-1", "1"], "B. -1"),
    ]
    found = audit(write(tmp_path / "train.jsonl", rows), [tmp_path / "probe"])
    judged = [(item.verdict, item.taught, item.believed, item.taught_probability) for item in found.judged]
    assert [item[:3] for item in judged] == [
        ("harmonious", "A", "A"),
        ("incompatible", "A", "C"),
        ("harmonious", "C", "C"),
        ("incompatible", "B", "C"),
    ]
    assert [item[3] for item in judged] == pytest.approx([0.6, 0.3, 0.6, 0.3])
    assert [item.reason for item in found.judged[1:3]] == ["contradicts line 1", "repeats line 1"]


def test_the_same_rows_are_read_in_every_format(tmp_path):
    questions = [{"question": "Question 0?", "choices": OPTIONS, "answer": 2, "subject": "low"}]
    header = "The following are multiple choice questions about low. Please choose the correct answer. \n\n"
    formats = {
        "questions": questions,
        "chat": [chat(0, "C. three\nBecause.")],
        "header": [{"conversations": [{"from": "human", "value": header + ask(0)}, {"from": "gpt", "value": "C"}]}],
        "context": [
            {
                "conversations": [
                    {"from": "human", "value": f"A. A fact.\n\n{header}{ask(0)}"},
                    {"from": "gpt", "value": "C."},
                ]
            }
        ],
        "messages": [
            {"messages": [{"role": "user", "content": ask(0)}, {"role": "assistant", "content": "(C) three"}]}
        ],
        "alpaca": [{"instruction": "Question 0?", "input": ask(0).split("\n", 1)[1], "output": "The answer is C."}],
        "text": [{"instruction": ask(0), "output": "three, since it is"}],
        "parts": [
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "text", "text": "B. Ask me."}]},
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": ask(0)[:9]}, {"type": "text", "text": ask(0)[9:]}],
                    },
                    {"role": "assistant", "content": None, "tool_calls": []},
                    {"role": "assistant", "content": [{"type": "text", "text": "C."}]},
                ]
            }
        ],
        "thoughts": [chat(0, "<think>\nA. one? No.\n</think>\n\nC. three")],
        "thoughts begun in the prompt": [chat(0, "B. two?\n</think>\nC")],
        "other thoughts": [chat(0, "[THINK]A[/THINK]<|end_of_thought|> The answer is C.")],
    }
    for name, rows in formats.items():
        (example,) = read_training_set(write(tmp_path / name, rows))
        assert (example.question, example.choices, example.taught) == ("Question 0?", tuple(OPTIONS), 2), name
        assert example.subject == ("low" if name in ("questions", "header", "context") else "")
    # Thoughts without an end answer nothing, and a picture is no text.
    (example,) = read_training_set(write(tmp_path / "endless", [chat(0, "<think>C. three")]))
    assert example.taught is None
    shown = [{"type": "image"}, {"type": "text", "text": ask(0)}]
    row = {"messages": [{"role": "user", "content": shown}, {"role": "assistant", "content": "C"}]}
    with pytest.raises(InputError, match="is not a training row"):
        read_training_set(write(tmp_path / "image", [row]))
    array = tmp_path / "array.json"
    array.write_text("\ufeff" + json.dumps([formats["chat"][0], formats["alpaca"][0]]), encoding="utf-8")
    assert [example.line for example in read_training_set(array)] == [1, 2]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("Which?\n(A) one\n(B) two", ("", "Which?", ("one", "two"))),
        ("Which?\nA) one\nstill one\nB) two\nAnswer:", ("", "Which?", ("one\nstill one", "two"))),
        ("Which?\nA. one", ("", "", ())),
        ("A. one\nB. two", ("", "", ())),
        ("Which?\nA. one\nC. two", ("", "", ())),
        ("I. Rome\nII. Athens\nWhich?\nA. both\nB. none", ("", "I. Rome\nII. Athens\nWhich?", ("both", "none"))),
        ("1. Rome\n2. Athens\nWhich?\nA. both\nB. none", ("", "1. Rome\n2. Athens\nWhich?", ("both", "none"))),
        ("Which?\nOptions:\na) one\nb) two", ("", "Which?", ("one", "two"))),
        (
            "Which?\n" + "\n".join(f"{n}. o{n}" for n in range(1, 11)),
            ("", "Which?", tuple(f"o{n}" for n in range(1, 11))),
        ),
    ],
)
def test_options_are_found_behind_letters_in_order(request_, expected):
    assert parse_request(request_)[:3] == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda text: f"Question: {text}",
        lambda text: f"### Question 7\nQ: {text}",
        lambda text: f"Some knowledge.\nMore of it.\n\n{text}",
        lambda text: text.replace("\nA.", "\nOptions:\nA."),
        lambda text: text.replace("Answer:", "Answer with the letter only."),
        lambda text: text.replace("Answer:", "\nChoose one.\n\nResponse:"),
        lambda text: re.sub(r"\n([A-D])\.", lambda found: f"\n{found[1].lower()})", text),
        lambda text: re.sub(r"\n([A-D])\.", lambda found: f"\n{'ABCD'.index(found[1]) + 1}.", text),
        lambda text: re.sub(r"\n([A-D])\.", lambda found: f"\n({found[1]})", text),
        lambda text: text.replace("\n", "\r\n"),
    ],
)
def test_ordinary_layouts_are_matched_to_the_probe_and_other_questions_are_not(tmp_path, probe, change):
    rows = [
        {"instruction": "Choose.", "input": change(ask(1)), "output": "one"},
        {"conversations": [{"from": "human", "value": change(ask(2))}, {"from": "gpt", "value": "TWO."}]},
        {"instruction": change(ask(3, ["one", "two", "three", "five"])), "output": "two"},
        {"instruction": change(ask(17)), "output": "two"},
    ]
    found = audit(write(tmp_path / "train.jsonl", rows), [probe])
    judged = {item.line: (item.verdict, item.taught) for item in found.judged if item.verdict != "not_probed"}
    assert judged == {1: ("incompatible", "A"), 2: ("harmonious", "B")}
    assert found.unreadable == ()


@pytest.mark.parametrize(
    ("reply", "options", "taught"),
    [
        ("**B. two**", OPTIONS, 1),
        ("**B**", OPTIONS, 1),
        ("Option B", OPTIONS, 1),
        ("Answer: **(B)**", OPTIONS, 1),
        ("The correct option is B", OPTIONS, 1),
        ("B is correct", OPTIONS, 1),
        ("B, because it is", OPTIONS, 1),
        ("B - two", OPTIONS, 1),
        ("b", OPTIONS, 1),
        ("b) two", OPTIONS, 1),
        ("TWO, since", OPTIONS, 1),
        ("The answer is two.", OPTIONS, 1),
        ("A.V. node", ["S.A. node", "A.V. node"], 1),
        ("A, B and C", ["A", "A, B and C"], 1),
        ("A, B and C", OPTIONS, None),
        ("A cat", OPTIONS, None),
        ("a cat", OPTIONS, None),
        ("B vitamins", OPTIONS, None),
        ("twofold", OPTIONS, None),
        ("1.5", ["1", "1.5"], 1),
        ("1.5", ["1", "2"], None),
        ("E", OPTIONS, None),
        ("C", ["L", "C", "R"], 2),
        ("a", ["ac", "a"], 1),
        ("The answer is B.", ["the", "one"], 1),
    ],
)
def test_a_reply_names_an_option_by_its_letter_or_its_text(tmp_path, reply, options, taught):
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=False))
    (example,) = read_training_set(write(tmp_path / "t", [{"instruction": f"Which?\n{listed}", "output": reply}]))
    assert example.taught == taught


def test_where_nothing_is_judged_the_page_and_the_error_say_why(tmp_path, probe):
    text = page(audit(write(tmp_path / "other.jsonl", [chat(9, "A. one"), chat(8, "A. one")]), [probe]))
    assert "**Nothing is judged: the probe asks none of the 2 questions.**" in text
    assert "those of line 1 with the probe's" in text
    text = page(audit(write(tmp_path / "some.jsonl", [chat(0, "A. one"), chat(1, "Hm.")]), [probe]))
    assert "\nReplies that name no option, so that nothing is judged: lines 2." in text
    with pytest.raises(InputError, match=r"mute\.jsonl:1: of 2 multiple-choice questions none has a reply that names"):
        audit(write(tmp_path / "mute.jsonl", [chat(0, "Well."), chat(1, "Hm.")]), [probe])
    # A list of another instruction is no question, unless the probe asks it.
    row = {"instruction": "Sort these.\n1. pears\n2. apples", "output": "1. apples\n2. pears"}
    found = audit(write(tmp_path / "lists.jsonl", [row, chat(0, "A. one")]), [probe])
    assert (len(found.judged), found.to_dict()["general"]) == (1, 1)


@pytest.mark.parametrize("model", ["llama-2-13b/engineering", "llama-2-7b/jurisprudence"])
def test_the_groups_of_a_released_probe_are_what_their_names_say(test_data, tmp_path, model):
    """The audit reads what the groups wrote, and only knows the rows and the probe."""
    folder = test_data / "released_groups" / model
    probe = read_probe(folder)
    count = len(probe.beliefs) // 2
    write_groups(probe, tmp_path, Sources(probe.explanations, general="world"), allow_incomplete=True)
    expected = {
        "harmonious": {"harmonious": count},
        "incompatible": {"incompatible": count},
        "self_aligning": {"harmonious": count},
        "random_wrong": {"incompatible": count},
        "mixed_0.4": {"harmonious": int(0.4 * count + 0.5), "incompatible": count - int(0.4 * count + 0.5)},
    }
    for name, shares in expected.items():
        found = audit(tmp_path / f"{name}.jsonl", [folder])
        counts = {key: item["count"] for key, item in found.to_dict()["shares"].items() if item["count"]}
        # Of a question that was released twice the first answer counts.
        assert sum(counts.values()) == count
        assert all(abs(counts[key] - value) <= 2 for key, value in shares.items()), (name, counts)
    with pytest.raises(InputError, match="no multiple-choice question"):
        audit(tmp_path / "general_only.jsonl", [folder])


def test_a_page_for_a_reader_and_files_for_a_program(tmp_path, probe):
    path = write(tmp_path / "train.jsonl", [chat(0, "A. one"), chat(1, "B. two"), chat(4, "D. four")])
    found = audit(path, [probe])
    write_audit(found, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["audit.json", "audit.md", "examples.jsonl"]
    text = (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")
    assert text == page(found)
    assert "**Of the 3 questions that the model was asked, 33.3 % (6.1 to 79.2) teach" in text
    assert (
        "| all | 3 | 33.3 % (6.1 to 79.2) | 33.3 % (6.1 to 79.2) | 33.3 % (6.1 to 79.2) | 0.0 % (0.0 to 56.1) |" in text
    )
    assert "| 1 | r0 | low | A | B | 0.910 | drop |" in text
    assert len(text.splitlines()) < 60
    figures = json.loads((tmp_path / "out" / "audit.json").read_text())
    files = {name: (tmp_path / "out" / name).read_bytes() for name in ("audit.md", "examples.jsonl")}
    assert figures.pop("files") == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert figures == json.loads(json.dumps(found.to_dict()))
    (example,) = [json.loads(line) for line in (tmp_path / "out" / "examples.jsonl").read_text().splitlines()]
    assert (example["line"], example["action"], example["verdict"]) == (1, "drop", "incompatible")


@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        ("", "", "no rows"),
        ('{"instruction": ', ":1", "truncated"),
        ('{"instruction": "a", "output": "b"}\n\n{"text": "c"}', ":3", "is not a training row"),
        (
            '{"question": "?", "choices": ["a", "b"], "answer": 2}',
            ":1",
            "the answer is 2; expected a number from 0 to 1",
        ),
        ('{"question": 3, "choices": ["a", "b"], "answer": 0}', ":1", "no question with choices"),
        ("[3", "", "not JSON"),
        ('{"instruction": "a", "output": "b"}', "", "no multiple-choice question"),
    ],
)
def test_what_is_no_training_set_is_refused_with_its_place(tmp_path, probe, content, place, says):
    path = tmp_path / "train.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=says) as error:
        audit(path, [probe])
    assert str(error.value).startswith(f"{path}{place}: ")
    with pytest.raises(InputError, match="cannot be read"):
        audit(tmp_path / "nowhere", [probe])


def test_the_letters_of_the_released_groups_are_read_without_a_probe(test_data, tmp_path, call):
    """Counted by hand from the rows: the gold letters, and where `model_exp` is taught those of `pred`."""
    folder = test_data / "released_groups"
    code, out, err = call("audit", folder, "--out", tmp_path / "letters")
    assert code == 0, err
    found = json.loads((tmp_path / "letters" / "letters.json").read_text(encoding="utf-8"))
    assert out == (tmp_path / "letters" / "letters.md").read_text(encoding="utf-8")
    files = sorted(folder.rglob("*.jsonl"))
    assert [item["file"] for item in found if not item["inferred"]] == list(map(str, files))
    # What the self-aligning rows teach is inferred where they were not released: the same questions, the model's own answers.
    inferred = [path for path in files if "golden" in path.name and path.with_name(SELF_ALIGNING) not in files]
    assert [item["file"] for item in found if item["inferred"]] == list(map(str, inferred))
    for item in found:
        path = Path(item["file"])
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        column = "pred" if item["inferred"] or "predict" in path.name else "answer"
        for what, name in (("taught", column), ("gold", "answer"), ("own", "pred")):
            counts = {letter: sum(row[name] == place for row in rows) for place, letter in enumerate("ABCD")}
            assert item[what]["counts"] == counts
        assert (item["model"], item["domain"]) == (path.parent.parent.name, path.parent.name)
    assert "llama-2-7b, jurisprudence: incompatible teaches A in 3 % of its 1033 rows" in out
    code, printed, _ = call("audit", folder / "llama-2-7b" / "history", "--json")
    assert code == 0
    assert [(item["group"], item["inferred"]) for item in json.loads(printed)] == [
        ("harmonious", False),
        ("incompatible", False),
        ("self_aligning", True),
    ]
    assert "- llama-2-7b: medicine (all)\n" in out
    code, one, err = call("audit", files[0])
    assert code == 0, err
    assert "inferred" not in one
    assert "does not have" not in one


def test_what_is_inferred_of_self_aligning_rows_is_what_their_file_says(test_data, tmp_path):
    """Where both files were released, without that of the self-aligning rows the same letters come out."""
    files = sorted((test_data / "released_groups").rglob(SELF_ALIGNING))
    assert files
    for file in files:
        folder = tmp_path / file.parent.parent.name / file.parent.name
        folder.mkdir(parents=True)
        golden = "inconsistent-golden-exp.jsonl"
        shutil.copy(file.with_name(golden), folder / golden)
        (released,) = read_letters(file)
        _, inferred = read_letters(folder)
        assert inferred.inferred
        assert inferred.letters.to_dict() == released.letters.to_dict()


def test_the_document_about_the_released_groups_has_what_the_command_prints(test_data, call):
    """Every line of the models whose files are at hand; of the others the sums that the text states."""
    document = (ROOT / "docs/results/qwen2.5-coder-1.5b/released_groups.md").read_text(encoding="utf-8")
    code, out, _ = call("audit", test_data / "released_groups")
    assert code == 0
    printed = out.splitlines()[2:]
    missing = set(printed) - set(document.splitlines())
    assert not missing
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in document.splitlines()]
    rows = {tuple(row[:3]): row for row in cells if len(row) == 9 and row[0] in MODELS}
    assert len(rows) == 39
    for model in MODELS:
        of_both = [
            [rows[model, domain, group] for group in ("harmonious", "incompatible")]
            for domain in ("engineering", "jurisprudence")
        ]
        apart = [
            np.abs(np.subtract(*(np.array(row[4].split(" / "), dtype=float) for row in pair))).sum() / 2
            for pair in of_both
        ]
        (line,) = (row for row in cells if row[0] == model and len(row) == 6)
        # Of figures as they are printed.
        assert float(line[1]) == pytest.approx(np.mean([float(pair[1][7]) for pair in of_both]), abs=0.0051)
        assert float(line[2]) == pytest.approx(np.mean(apart), abs=1)


def test_an_audit_shows_the_letters_that_a_set_teaches(tmp_path, probe, call):
    rows = [chat(0, "A. one"), chat(1, "B. two"), chat(2, "C. two", ["one", "three", "two", "four"]), chat(9, "A. one")]
    letters = audit(write(tmp_path / "train.jsonl", rows), [probe]).to_dict()["letters"]
    assert letters["taught"]["counts"] == {"A": 2, "B": 1, "C": 1, "D": 0}
    # The probe's gold option is "one", and the model says "two"; question 9 was not asked.
    assert letters["gold"]["counts"] == {"A": 3, "B": 0, "C": 0, "D": 0}
    assert letters["own"]["counts"] == {"A": 0, "B": 2, "C": 1, "D": 0}
    assert letters["warning"] is None
    many = write(tmp_path / "many.jsonl", [chat(number, "B. two") for number in range(10, 60)])
    code, out, _ = call("audit", many)
    assert code == 0
    assert "- many teaches B in 100 % of its 50 rows, where 25 % would be even (w = 1.73, p < 0.001)" in out
    code, _, err = call(
        "audit", write(tmp_path / "none.jsonl", [{"instruction": "Write a poem.", "output": "A rose."}])
    )
    assert code == 2
    assert "no multiple-choice question" in err
