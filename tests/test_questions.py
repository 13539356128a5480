"""Question files: what is read, what is refused, and that nothing in between happens."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from consistency.errors import InputError
from consistency.tasks import sources
from consistency.tasks.questions import Question, read_questions

GOOD = [
    {"id": 3, "question": "One and one is", "choices": ["two", "three"], "answer": 0, "explanation": "It is."},
    {"id": 1, "question": "Ünë?\n", "choices": list("abcdefghij"), "answer": 9, "raw": {"x": [1, None]}},
    {"id": 2, "question": " ① ", "choices": ["no ", "yes", "“?”"], "answer": 2, "explanation": None},
]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD[1].items() if key not in keys}


def test_questions_are_read_verbatim(tmp_path):
    assert read_questions(write(tmp_path / "q.jsonl", GOOD), "sums") == [
        Question(3, "sums", "One and one is", ("two", "three"), 0, "It is."),
        Question(1, "sums", "Ünë?\n", tuple("abcdefghij"), 9, ""),
        Question(2, "sums", " ① ", ("no ", "yes", "“?”"), 2, ""),
    ]


def test_a_file_without_ids_counts_its_rows_and_may_repeat_a_question(tmp_path):
    path = write(tmp_path / "q.jsonl", [without("id"), without("id")])
    questions = read_questions(path, "sums")
    assert [question.id for question in questions] == [0, 1]
    first, second = (question.to_dict()["id"] for question in questions)
    assert second == f"{first}-2"


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_windows_marks_and_line_ends_and_a_missing_last_one_are_fine(tmp_path, start):
    path = tmp_path / "q.jsonl"
    path.write_bytes((start + "\r\n".join(json.dumps(row) for row in GOOD)).encode())
    assert len(read_questions(path, "sums")) == 3


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (without("answer") | {"answer": 10}, r"\b10;.* 9$"),
        (without("answer") | {"answer": -1}, r"-1;.* 9$"),
        (without("answer"), "`answer`"),
        (without("answer") | {"answer": "B"}, r"`str`.*\$\.answer"),
        (without("choices") | {"choices": ["a", " ", "c"], "answer": 0}, "option B"),
        (without("choices") | {"choices": ["a", ""], "answer": 0}, "option B"),
        (without("choices") | {"choices": ["a"], "answer": 0}, "2 to 10"),
        (without("choices") | {"choices": [], "answer": 0}, "2 to 10"),
        (without("choices") | {"choices": list("abcdefghijk"), "answer": 0}, "11 options;.*2 to 10"),
        (without("choices") | {"choices": ["a", 2], "answer": 0}, r"`int`.*choices\[1\]"),
        (without("question") | {"question": "\n"}, "question is empty"),
        (without("id") | {"id": 3}, r"\b3\b.*line 1"),
        (without("id") | {"id": "1"}, "'1'.*one kind"),
        (without("id"), "no id.*one kind"),
        (without("id") | {"id": 2**63}, f"{2**63}.*64 bits"),
        ([], "`array`"),
    ],
)
def test_a_row_that_is_not_a_question_is_named_with_its_line(row, word, tmp_path):
    path = write(tmp_path / "q.jsonl", [GOOD[0], row, GOOD[2]])
    with pytest.raises(InputError, match=word) as caught:
        read_questions(path, "sums")
    assert (caught.value.path, caught.value.line) == (path, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"question": "Who?", "choices": ["a", "b"], "ans', 1),
        (b'{"question": "Who?", "choices": ["a", "b"], "answer": 0}\n\n', 2),
        (b'{"question": "\xff", "choices": ["a", "b"], "answer": 0}\n', 1),
        (b'{"question": "\\ud800", "choices": ["a", "b"], "answer": 0}\n', 1),
        (b'{"a":' * 5000, 1),
        (b"", None),
    ],
)
def test_a_damaged_file_is_named_with_its_line(content, line, tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_questions(path, "sums")
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="No such file") as caught:
        read_questions(tmp_path / "dev.jsonl", "sums")
    assert caught.value.path == tmp_path / "dev.jsonl"


def test_a_missing_dev_set_is_named(tmp_path):
    folder = tmp_path / "domains" / "history"
    folder.mkdir(parents=True)
    write(folder / "test.jsonl", GOOD)
    assert len(sources.domain_questions("history", "test", str(tmp_path))) == 3
    with pytest.raises(InputError, match=re.escape(str(folder / "dev.jsonl"))):
        sources.domain_questions("history", "dev", str(tmp_path))


def test_a_dev_set_of_fewer_than_five_is_refused(tmp_path):
    pytest.importorskip("datasets")
    from consistency.tasks.harness import load_domain

    (tmp_path / "domains" / "history").mkdir(parents=True)
    for split in ("dev", "test"):
        write(tmp_path / "domains" / "history" / f"{split}.jsonl", GOOD)
    with pytest.raises(InputError, match=r"\b3 questions.*\b5\b") as caught:
        load_domain("history", data_dir=str(tmp_path))
    assert caught.value.path == tmp_path / "domains" / "history" / "dev.jsonl"


def mutate(lines: list[bytes], generator: random.Random) -> bytes:
    """Damage a file as editors, disks and scripts do."""
    lines = list(lines)
    at = generator.randrange(len(lines))
    line = lines[at]
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        4,
        99,
        2.5,
        1e99,
        10**30,
        "",
        " ",
        "x",
        "\x00",
        [],
        ["a"],
        ["", "b"],
        {},
        GOOD,
    ]
    kind = generator.randrange(10)
    if kind == 0:
        lines[at] = line[: generator.randrange(len(line))]
    elif kind == 1:
        position = generator.randrange(len(line))
        lines[at] = line[:position] + bytes([generator.randrange(256)]) + line[position + 1 :]
    elif kind == 2:
        lines.insert(generator.randrange(len(lines) + 1), generator.choice([b"", b" ", b"null", b"[]", line]))
    elif kind == 3:
        del lines[at]
    elif kind == 4:
        lines[at] = line + lines[generator.randrange(len(lines))]
    elif kind == 5:
        lines[at] = generator.choice([b"\xef\xbb\xbf", b"\x00", b"//", b"\xff"]) + line
    else:
        row = json.loads(line)
        key = generator.choice(["question", "choices", "answer", "id", "explanation", "raw"])
        if kind == 6:
            row.pop(key, None)
        elif kind == 7:
            row[key] = generator.choice(values)
        elif kind == 8:
            row["choices"] = [generator.choice(["a", "b c", " ", "é"]) for _ in range(generator.randrange(13))]
        else:
            row["choices"][generator.randrange(len(row["choices"]))] = generator.choice(values)
        lines[at] = json.dumps(row, ensure_ascii=generator.random() < 0.5).encode()
    return generator.choice([b"\n", b"\n", b"\r\n"]).join(lines) + generator.choice([b"\n", b"\n", b"", b"\n\n"])


def expected_prompts(content: bytes) -> list[tuple[str, list[str]]]:
    found = []
    for line in content.removesuffix(b"\n").split(b"\n"):
        row = json.loads(line)
        options = "".join(f"{chr(65 + n)}. {choice}\n" for n, choice in enumerate(row["choices"]))
        found.append((f"{row['question']}\n{options}Answer:", [chr(65 + n) for n in range(len(row["choices"]))]))
    return found


def test_2000_damaged_files_end_in_one_line_or_in_correct_prompts(tmp_path):
    """Never in a traceback, never in a silent skip: the task's own loader reads each of them."""
    pytest.importorskip("datasets")
    from consistency.tasks.harness import letters, load_domain, question

    folder = tmp_path / "domains" / "history"
    folder.mkdir(parents=True)
    path = folder / "test.jsonl"
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in GOOD]
    generator = random.Random(0)
    refusals, read = [], 0
    for _ in range(2000):
        content = mutate(lines, generator)
        if generator.random() < 0.3 and content.strip():
            content = mutate(content.split(b"\n"), generator) if parses(content) else content
        path.write_bytes(content)
        try:
            documents = load_domain("history", shots=False, data_dir=str(tmp_path))["test"]
        except InputError as error:
            refusals.append(str(error))
        else:
            assert [(question(d), letters(d)) for d in documents] == expected_prompts(content)
            assert all(0 <= d["answer"] < len(d["choices"]) for d in documents)
            read += 1
    assert all(re.fullmatch(rf"{re.escape(str(path))}(:\d+)?: \S.*", text) for text in refusals)
    assert len(refusals) > 800
    assert read > 200


def parses(content: bytes) -> bool:
    try:
        return all(
            isinstance(json.loads(line).get("choices"), list) and json.loads(line)["choices"]
            for line in content.split(b"\n")
        )
    except (ValueError, AttributeError):
        return False


def test_public_sources_are_read_by_the_same_rules(monkeypatch, tmp_path):
    """What would come over the network, put in its place."""
    monkeypatch.delenv("CONSISTENCY_DATA", raising=False)
    subject = [{"question": "Q", "subject": "anatomy", "choices": ["a", "b", "c", "d"], "answer": 3}]
    record = {"question": "Q", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "exp": "E.", "choice_type": "single"}
    train = [record | {"cop": 0}, record | {"cop": 1, "choice_type": "multi"}, record | {"cop": 2, "exp": None}]
    train += [record | {"cop": 3}, record | {"cop": 1}]
    asked = []

    def hub(name: str, split: str, config: str | None = None) -> list[dict[str, Any]]:
        asked.append((name, split, config))
        return subject if config else train

    monkeypatch.setattr(sources, "_hub", hub)
    monkeypatch.setattr(sources, "_released", lambda files, domain: [Question(3, domain, "Q", ("a", "b"), 0)])
    (question,) = sources.benchmark_questions("mmlu", "anatomy", "test")
    assert question == Question(0, "anatomy", "Q", ("a", "b", "c", "d"), 3, text_id=question.text_id)
    pool = sources.domain_questions("medicine", "pool")
    assert [(q.id, q.answer) for q in pool] == [(0, 0), (4, 1)]
    assert asked == [("cais/mmlu", "test", "anatomy"), ("openlifescienceai/medmcqa", "train", None)]


def test_the_released_groups_make_a_pool_of_each_question_once(monkeypatch, test_data):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)

    class Manager:
        def __init__(self, download_config: Any) -> None:
            pass

        def download(self, urls: list[str]) -> list[Path]:
            base = f"https://raw.githubusercontent.com/{sources.RELEASE}/{sources.RELEASE_COMMIT}/data/group/"
            assert all(url.startswith(base) for url in urls)
            return [test_data / "released_groups" / url.removeprefix(base) for url in urls]

    monkeypatch.setattr(datasets, "DownloadManager", Manager)
    here = {
        domain: tuple(m for m in models if "70b" not in m and "mistral" not in m)
        for domain, models in sources._RELEASED_MODELS.items()
    }
    monkeypatch.setattr(sources, "_RELEASED_MODELS", here)
    monkeypatch.delenv("CONSISTENCY_DATA", raising=False)
    pool = sources.domain_questions("engineering", "pool")
    released = {q.id: q for q in read_questions(test_data / "pool" / "engineering.jsonl", "engineering")}
    assert len(pool) > 2000
    assert [q.id for q in pool] == sorted(q.id for q in pool)
    for found in pool:
        expected = released[found.id]
        assert (found.question, found.choices, found.answer) == (expected.question, expected.choices, expected.answer)
