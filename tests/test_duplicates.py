"""Duplicate questions: planted ones, those of the real pools, and what must not be taken for the same."""

import json
import random
import re
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.errors import InputError
from consistency.tasks.questions import Question, read_questions
from consistency.training_data.decontamination import find_contamination
from consistency.training_data.duplicates import Duplicate, Index
from consistency.training_data.normalization import normal_form

DOMAINS = ("medicine", "history", "engineering", "jurisprudence")


def ask(question: str, *choices: str) -> Question:
    return Question(0, "", question, choices or ("yes", "no", "perhaps"), 0)


def kind(one: Question, two: Question) -> str | None:
    """How the first question repeats the second, by both ways of looking."""
    found = [item.kind for item in Index([one]).found_in(Index([two]))]
    within = [item.kind for item in Index([two, one]).duplicates()]
    assert found == within
    return found[0] if found else None


def pools(test_data) -> dict[str, list[Question]]:
    return {name: read_questions(test_data / "pool" / f"{name}.jsonl", name) for name in DOMAINS}


SAME = [
    ("Who was the first?", "WHO was the First", "exact"),
    ("Who was the first?", "Who, was –the– first ?!", "exact"),
    ("Who was the first?", "  Who was\nthe first?", "exact"),
    ("What is first-aid?", "What is first aid", "exact"),
    ("What is first-aid?", "What is firstaid", "exact"),
    ("Is it the Chang'e?", "Is it the Chang’e?", "exact"),
    ("Is it ２０ ℃?", "Is it 20 ℃", "exact"),
    ("Straße?", "STRASSE?", "exact"),
    ("Where is the caf\u00e9 of the Mus\u00e9e?", "Where is the cafe\u0301 of the Muse\u0301e?", "exact"),
    ("Where is the caf\u00e9?", "Where was the cafe\u0301?", "near"),
    ("Who was the first?", "Who was the last?", "near"),
    ("Who was the first?", "Who was first?", "near"),
    ("Who was the first?", "Who was the very first?", "near"),
    ("Who was the first?", "Then who was the first?", "near"),
    ("Who was the first-aid man?", "who was the tall man", "near"),
    ("谁是第一", "谁是第二", "near"),
    ("Who was the first?", "Who is the last?", None),
    ("Who was the first?", "Who the was first?", None),
    ("Who?", "Why?", "near"),
    ("Who?", "?", None),
    ("?", "!", None),
    ("Who was the first?", "Who was the first of the two?", None),
]


@pytest.mark.parametrize(("one", "two", "expected"), SAME)
def test_questions_with_the_same_options(one, two, expected):
    assert kind(ask(one), ask(two)) == expected
    assert kind(ask(two), ask(one)) == expected
    assert (normal_form(one, ["a"]) == normal_form(two, ["a"])) == (expected == "exact")


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (("a", "b", "c"), ("c", "A.", "b"), "exact"),
        (("a", "b", "c"), ("d", "a", "b"), "near"),
        (("a", "b", "c"), ("d", "c", "b"), "near"),
        (("a", "b", "c"), ("d", "e", "c"), None),
        (("a", "b", "c"), ("b", "a"), "near"),
        (("a", "b", "c"), ("a", "d", "e"), None),
        (("+", "-", "x"), ("-", "+", "x"), "exact"),
        (("+", "-", "x"), ("-.", "+.", "“x”."), "exact"),
        (("+", "-", "×"), ("?", "!", "÷"), None),
        ((".", "?", "+"), (".", "!", "+"), "near"),
        (("a", "a", "b"), ("a", "b", "b"), None),
    ],
)
def test_the_same_question_with_options(one, two, expected):
    # Two of three options of (a, a, b) and (a, b, b) agree, so one is changed.
    expected = "near" if one == ("a", "a", "b") else expected
    assert kind(ask("Which of them?", *one), ask("Which of them?", *two)) == expected


def test_a_changed_word_and_a_changed_option_are_two_changes():
    assert kind(ask("Which of them?", "a", "b", "c"), ask("Which of those?", "a", "b", "d")) is None


def test_the_first_of_several_is_named():
    first, second = ask("Who was the first?"), ask("Why was the first?")
    pool = Index([first, second, first, ask("Else?"), second])
    expected = [Duplicate(1, 0, "near"), Duplicate(2, 0, "exact"), Duplicate(4, 1, "exact")]
    assert pool.duplicates() == expected
    kinds = {0: "exact", 1: "near", 2: "exact", 4: "near"}
    assert pool.found_in(Index([ask("No, never."), first])) == [Duplicate(row, 1, kinds[row]) for row in kinds]


def test_a_question_that_only_resembles_does_not_hide_the_one_that_is_repeated():
    """Without its first and its last word, (a b c) and (b c d) are alike, but two words apart."""
    pool, decoy, repeated = ask("b c d"), ask("a b c"), ask("b c")
    assert Index([pool]).found_in(Index([decoy, repeated])) == [Duplicate(0, 1, "near")]
    assert Index([decoy, repeated, pool]).duplicates()[-1] == Duplicate(2, 1, "near")
    assert Index([pool]).found_in(Index([decoy])) == []


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_first_that_is_repeated_is_found_among_many_that_resemble_it(texts):
    """Against a comparison of all pairs."""
    questions = [ask(" ".join(f"<{word * 3}>" for word in words)) for words in texts]
    expected = {}
    for row, one in enumerate(questions):
        kinds = [kind(one, other) for other in questions[:row]]
        if (found := "exact" if "exact" in kinds else "near" if "near" in kinds else None) is not None:
            expected[row] = Duplicate(row, kinds.index(found), found)
    assert Index(questions).duplicates() == list(expected.values())


def test_what_no_pair_shares_is_not_looked_for_in_pairs():
    """Symbols, and questions that are alike once each has lost a word: none repeats another."""
    words = [f"word{number}" for number in range(10_000)]
    symbols = [ask("+" * number) for number in range(1, 1000)]
    assert Index(symbols).found_in(Index([ask(word) for word in words])) == []
    front = [ask(f"{word} and so on") for word in words]
    back = [ask(f"and so on {word}") for word in words]
    assert Index(back).found_in(Index(front)) == []


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=5), st.lists(st.sampled_from("abcd"), min_size=1, max_size=5)
)
def test_one_word_apart_is_an_edit_distance_of_one(one, two):
    """Against the edit distance between words, by dynamic programming."""
    rows = [list(range(len(two) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(two, 1):
            row.append(min(row[-1] + 1, rows[-1][j] + 1, rows[-1][j - 1] + (a != b)))
        rows.append(row)
    # Words of several letters, so that joining them makes no other word.
    texts = [" ".join(f"<{word * 3}>" for word in words) for words in (one, two)]
    distance = rows[-1][-1]
    expected = "exact" if distance == 0 else "near" if distance == 1 else None
    if "".join(one) != "".join(two):
        assert kind(ask(texts[0]), ask(texts[1])) == expected


def plant(how: str, item: Question, rng: random.Random) -> Question:
    words = item.question.split(" ")
    place = rng.randrange(len(words))
    changed = " ".join([*words[:place], "planted", *words[place + 1 :]])
    bare = re.compile(r"[^\w\s]")
    shuffled = tuple(rng.sample(item.choices, len(item.choices)))
    added = rng.randrange(len(words) + 1)
    # A word that is more than punctuation, so that something is missing.
    missing = rng.choice([i for i, word in enumerate(words) if bare.sub("", word)])
    return {
        "case": lambda: msgspec.structs.replace(
            item, question=item.question.upper(), choices=tuple(c.upper() for c in item.choices)
        ),
        "punctuation": lambda: msgspec.structs.replace(
            item,
            question=bare.sub("", item.question) + " …?!",
            choices=tuple(bare.sub("", c) or c for c in item.choices),
        ),
        "order": lambda: msgspec.structs.replace(item, choices=shuffled),
        "word": lambda: msgspec.structs.replace(item, question=changed),
        "word added": lambda: msgspec.structs.replace(
            item, question=" ".join([*words[:added], "planted", *words[added:]])
        ),
        "word missing": lambda: msgspec.structs.replace(
            item, question=" ".join(words[:missing] + words[missing + 1 :])
        ),
        "option": lambda: msgspec.structs.replace(
            item, choices=(*shuffled[1:], rng.choice(("0 planted", "zz planted")))
        ),
        "option missing": lambda: msgspec.structs.replace(item, choices=shuffled[1:]),
        "everything": lambda: msgspec.structs.replace(item, question=bare.sub("", changed).title(), choices=shuffled),
    }[how]()


@pytest.mark.parametrize(
    "how",
    [
        *("case", "punctuation", "order", "word", "word added", "word missing"),
        *("option", "option missing", "everything"),
    ],
)
def test_every_planted_duplicate_of_500_is_found_and_nothing_else(test_data, how):
    everything = [item for pool in pools(test_data).values() for item in pool]
    rng = random.Random(how)
    rng.shuffle(everything)
    # Those of a single word are among the first 500, unless it goes missing: then nothing is left to be found.
    everything.sort(key=lambda item: (len(re.findall(r"\w+", item.question)) > 1) == (how != "word missing"))
    test, rest = everything[:500], everything[500:]
    planted = [plant(how, item, rng) for item in test]
    found = Index([*planted, *rest]).found_in(Index(test))
    assert {item.row for item in found if item.row < 500} == set(range(500))
    # What else is found stands in the pools more than once, nearly or exactly, as they were released.
    alarms = [item for item in found if item.row >= 500]
    assert len(alarms) <= 0.01 * len(rest)


def test_the_pools_questions_in_the_real_test_sets_are_named(test_data):
    """Against a count by a set of lower-case texts, which finds what is the same to the letter."""
    evaluation = [test_data / "domains"]
    plain: dict[tuple[str, frozenset[str]], str] = {}
    for path in sorted((test_data / "domains").rglob("*.jsonl")):
        for line in path.open(encoding="utf-8"):
            row = json.loads(line)
            plain[row["question"].lower(), frozenset(row["choices"])] = str(path)
    counts, near = {}, 0
    for name, pool in pools(test_data).items():
        leaked = [
            item
            for item in find_contamination(pool, [q.id for q in pool], evaluation).findings
            if item.file is not None
        ]
        found = {pool[item.row].id for item in leaked}
        to_the_letter = {q.id for q in pool if (q.question.lower(), frozenset(q.choices)) in plain}
        assert to_the_letter <= found
        counts[name] = Counter(item.kind for item in leaked)["exact"]
        near += len(leaked) - counts[name]
        for item in leaked:
            row = json.loads(item.file.read_text(encoding="utf-8").splitlines()[item.line - 1])
            same = normal_form(row["question"], row["choices"]) == normal_form(
                *(pool[item.row].question, pool[item.row].choices)
            )
            assert same == (item.kind == "exact")
    assert counts == {"medicine": 0, "history": 105, "engineering": 7, "jurisprudence": 97}
    assert near == 3  # "Which material classification does glass belong to?" for titanium


def test_mmlu_and_the_pools_share_no_question(test_data):
    pool = [item for questions in pools(test_data).values() for item in questions]
    found = find_contamination(pool, [item.id for item in pool], [test_data / "mmlu"])
    assert [item for item in found.findings if item.file is not None] == []
    assert len(found.files) == 114


def test_thirty_thousand_variants_of_one_question_take_no_time():
    """The look-up is by hash: all pairs would be four hundred and fifty million."""
    pool = Index([ask(f"What is the value of field {number} in the long table?") for number in range(30_000)])
    assert len(pool.duplicates()) == 29_999


def test_the_logs_of_every_lm_eval_and_of_other_tasks_are_evaluation_sets(test_data, tmp_path, write_probe):
    """JSON arrays of 0.4.0; ARC's options, a NaN, a byte order mark and rows in another order."""
    log = next((test_data / "harness_logs" / "vicuna-33b-lm_eval-0.4.0").glob("*virology.jsonl"))
    logged = [row["doc"] for row in json.loads(log.read_text(encoding="utf-8"))]
    pool = [ask(row["question"].upper(), *row["choices"]) for row in logged]
    findings = find_contamination(pool, range(len(pool)), [log]).findings
    assert {item.kind for item in findings if item.file == log} == {"exact"}
    lines = log.read_text(encoding="utf-8").splitlines()
    assert all(
        msgspec.json.encode(pool[item.row].choices[0]).decode() in "".join(lines[item.line - 1 :]) for item in findings
    )
    assert len(findings) == len(pool)
    documents = [
        {"question": f"Who was {n}?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answer": 0}
        for n in range(4)
    ]
    arc = write_probe(tmp_path, documents, [[float("nan"), -1], *[[-1, -2]] * 3])
    rows = arc.read_text().splitlines()
    arc.write_text("\ufeff" + "\n".join([rows[2], "", rows[0], rows[3], rows[1]]), encoding="utf-8")
    findings = find_contamination([ask(f"who was {n}", "b", "a") for n in range(4)], range(4), [arc]).findings
    assert [(item.line, item.kind) for item in findings] == [(3, "exact"), (5, "exact"), (1, "exact"), (4, "exact")]
    path = write_probe(tmp_path / "bare", [{"question": "?", "choices": ["a", "b"], "answer": 0}] * 3, [[-1, -2]] * 3)
    for good, bad, says in (('"choices"', '"others"', "no options"), ('"question": "?"', '"question": 3', "question")):
        changed = path.read_text().splitlines()
        changed[1] = changed[1].replace(good, bad)
        (tmp_path / "changed.jsonl").write_text("\n".join(changed))
        with pytest.raises(InputError, match=rf"changed\.jsonl:2: document 1 of .*{says}"):
            find_contamination(pool, range(len(pool)), [tmp_path / "changed.jsonl"])


def test_an_evaluation_set_may_be_a_log_and_what_cannot_be_read_is_named(tmp_path, write_probe):
    document = {"question": "Who was it?", "choices": ["a", "b"], "answer": 0}
    log = write_probe(tmp_path / "logs", [document, document | {"question": "And then?"}], [[-1, -2]] * 2)
    pool = [ask("and then", "b", "a")]
    (finding,) = find_contamination(pool, ["q"], [tmp_path / "logs"]).findings
    assert finding.to_dict() == {"id": "q", "kind": "exact", "evaluation": str(log), "line": 2}
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jsonl").write_text('{"question": "?", "choices": ["a", "b"], "answer": 0}\n{"question": 3}\n')
    for path, says in (("nowhere", "cannot be read"), ("empty", "no JSONL files"), ("bad.jsonl", "bad.jsonl:2: ")):
        with pytest.raises(InputError, match=says) as error:
            find_contamination(pool, ["q"], [tmp_path / path])
        assert str(tmp_path / path) in str(error.value)
