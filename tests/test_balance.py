"""Balanced variants of groups: letters are taught evenly, orders are the same everywhere, and nothing else changes."""

import json
import re
from collections import Counter
from dataclasses import replace
from math import log
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from consistency.errors import InputError
from consistency.knowledge.beliefs import Beliefs
from consistency.knowledge.explanations import Explanations
from consistency.knowledge.option_letters import move_letters
from consistency.knowledge.probes import read_probe
from consistency.report.grid.report import write_report
from consistency.tasks.placed_options import depends_on_places
from consistency.training_data.balance import WRITTEN_TEXT, Balancer, movable
from consistency.training_data.groups import build_group
from consistency.training_data.instructions import NONE, Instructions
from consistency.training_data.letters import Letters, Spread
from consistency.training_data.write import Sources, write_groups

NAMES = ("harmonious", "incompatible", "self_aligning", "random_wrong", "mixed_0.1", "mixed_0.4", "mixed_0.8", "unsure")
# Explanations as templates of an option's number: [0] becomes the letter of option 0.
TEMPLATES = (
    "It is so because vitamin A and hepatitis B say so.",
    "The answer is [0], since [1] is wrong.",
    "Options [1] and [0] differ: a cat is (option [0]), not choice ([1]). So it is.",
    'Look: "[0]" is correct. Franklin D. Roosevelt said so, and A cat agrees.',
    "**[0]** is correct:\n- <b>[1]</b>: wrong\nIt is vitamin A and option [1], or C. difficile.",
)
LABELS = ("known", "misbelieved", "unsure")


def letters_in(template: str, places: list[int]) -> str:
    """A template with the letters that its options have."""
    return re.sub(r"\[(\d)\]", lambda found: "ABCDEFGHIJ"[places[int(found[1])]], template)


def pool_of(sizes: list[int], labels: list[str], seed: int) -> tuple[Beliefs, Explanations, list[str]]:
    """Questions with so many options and these labels, the model's explanations, and the templates of these."""
    rng = np.random.default_rng(seed)
    documents, gold, answer, texts, templates = [], [], [], {}, []
    probs = np.full((len(sizes), max(sizes)), np.nan)
    for number, (size, label) in enumerate(zip(sizes, labels, strict=True)):
        right, wrong = rng.permutation(size)[:2].tolist()
        own = wrong if label == "misbelieved" else right
        probs[number, :size] = (1 - (p := 0.45 if label == "unsure" and size > 2 else 0.9)) / (size - 1)
        if label == "unsure" and size == 2:
            probs[number, :size] = p = 0.5
            own = 0
        probs[number, own] = p
        template = TEMPLATES[rng.integers(len(TEMPLATES))].replace("[1]", f"[{own if own != right else wrong}]")
        template = template.replace("[0]", f"[{right}]")
        templates.append(template)
        question, choices = f"Question {number}?", [f"text {number}-{option}" for option in range(size)]
        same = list(range(size))
        documents.append(
            msgspec.json.encode(
                {"id": number, "question": question, "choices": choices, "explanation": letters_in(template, same)}
            )
        )
        for option in same:
            texts[number, question, option] = f"Since option {'ABCDEFGHIJ'[option]} holds."
        gold.append(right)
        answer.append(own)
    ids = list(range(len(sizes)))
    beliefs = Beliefs(
        documents=documents,
        ids=ids,
        keys=ids,
        gold=np.array(gold),
        answer=np.array(answer),
        probs=probs,
        subject="sums",
    )
    return beliefs, Explanations(texts, 0, Path("explain.jsonl")), templates


def parsed(row: dict) -> tuple[list[str], str, str, str]:
    """Of a row as a reader sees it: the options, the letter and the text of the answer, and what explains it."""
    request, reply = (turn["value"] for turn in row["conversations"])
    options = re.findall(r"^[A-J]\. (.*)$", request, re.MULTILINE)
    first, _, explanation = reply.partition("\n")
    return options, first[0], first[3:], explanation


def balanced(beliefs: Beliefs, explanations: Explanations, names=NAMES, seed=0) -> dict[str, list[dict]]:
    questions = movable(beliefs)
    balancer = Balancer(questions, "sums", explanations)
    return {name: balancer.build(name, Instructions(NONE, seed)).rows for name in names}


@given(
    sizes=st.lists(st.integers(2, 6), min_size=40, max_size=120),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_letters_mapped_back_give_the_row_of_the_plain_group(sizes, seed, data):
    labels = [LABELS[number % 5 % 3] for number in range(len(sizes))]
    beliefs, explanations, templates = pool_of(sizes, labels, seed)
    names = [name for name in ("incompatible", "self_aligning", "mixed_0.4") if "misbelieved" in labels]
    orders: dict[int, list[str]] = {}
    for name, rows in balanced(beliefs, explanations, names, seed=seed % 7).items():
        plain = build_group(name, "sums", beliefs, explanations, general=NONE, seed=seed % 7).rows
        assert [row["id"] for row in rows] == [row["id"] for row in plain]
        for new, old in zip(rows, plain, strict=True):
            options, letter, text, explanation = parsed(new)
            before, old_letter, old_text, _ = parsed(old)
            assert (new["source"], new["group"], text) == (old["source"], f"{old['group']}_balanced", old_text)
            assert sorted(options) == sorted(before)
            assert options["ABCDEFGHIJ".index(letter)] == text == before["ABCDEFGHIJ".index(old_letter)]
            # The same order in every group.
            assert orders.setdefault(new["id"], options) == options
            places = [options.index(option) for option in before]
            expected = "Since option [0] holds.".replace("0", str(before.index(text)))
            if new["source"] == "golden":
                expected = templates[new["id"]]
            assert explanation == letters_in(expected, places)
            # Back: the plain row, byte for byte.
            back = move_letters(explanation, options, places)
            assert f"{old_letter}. {text}\n{back}" == old["conversations"][1]["value"]


@pytest.mark.parametrize("size", [2, 3, 4, 5, 10])
@pytest.mark.parametrize("count", [7, 60, 101])
def test_every_letter_is_taught_and_gold_equally_often(size, count):
    labels = [label for label in LABELS for _ in range(count)]
    beliefs, explanations, _ = pool_of([size] * len(labels), labels, seed=count)
    names = [name for name in NAMES if size > 2 or name != "random_wrong"]
    gold = {belief.id: belief.choices[belief.gold] for belief in beliefs}
    own = {belief.id: belief.choices[belief.answer] for belief in beliefs}
    for name, rows in balanced(beliefs, explanations, names).items():
        assert len(rows) == count
        places = {"taught": Counter(), "gold": Counter(), "own": Counter()}
        for row in rows:
            options, letter, _, _ = parsed(row)
            places["taught"][letter] += 1
            places["gold"]["ABCDEFGHIJ"[options.index(gold[row["id"]])]] += 1
            places["own"]["ABCDEFGHIJ"[options.index(own[row["id"]])]] += 1
        for what, counts in places.items():
            found = [counts[letter] for letter in "ABCDEFGHIJ"[:size]]
            if what == "taught" and name.startswith("mixed"):
                assert max(abs(n - count / size) for n in found) < 3
            elif what != "own" or name != "unsure":
                assert max(found) - min(found) <= 1, (name, what, found)
            if what != "own" and count >= 60:
                assert stats.chisquare(found).pvalue > 0.5


def test_the_places_of_the_gold_and_the_own_option_go_through_all_ordered_pairs():
    beliefs, explanations, _ = pool_of([4] * 240, ["misbelieved"] * 240, seed=3)
    rows = balanced(beliefs, explanations, ["incompatible"])["incompatible"]
    pairs = Counter()
    for row, belief in zip(rows, beliefs, strict=True):
        options = parsed(row)[0]
        pairs[options.index(belief.choices[belief.gold]), options.index(belief.choices[belief.answer])] += 1
    assert pairs == {(gold, own): 20 for gold in range(4) for own in range(4) if gold != own}


def test_orders_depend_on_the_seed_alone():
    beliefs, explanations, _ = pool_of([4] * 90, list(LABELS) * 30, seed=1)
    first, again, other = (balanced(beliefs, explanations, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["incompatible"] != other["incompatible"]
    orders = [[parsed(row)[0] for row in made["incompatible"]] for made in (first, other)]
    assert sum(a == b for a, b in zip(*orders, strict=True)) < 15


def test_questions_whose_options_cannot_be_permuted_are_left_out_and_counted(write_probe, tmp_path, call):
    options, documents = ["one", "two", "three", "four"], []
    explanations = {2: "Here D does it.", 5: "The first option holds.", 8: "It is so.", 11: "So B is right."}
    for number in range(30):
        choices = [f"{text} {number}" for text in options]
        if number == 4:
            choices[3] = "All of the above"
        if number == 7:
            choices[2] = "Both A and B"
        if number == 10:
            choices[3] = "None of these"
        documents.append(
            {
                "id": f"q{number}",
                "question": f"Question {number}?",
                "choices": choices,
                "answer": 1,
                "subject": "sums",
                "explanation": explanations.get(number, "Since it is."),
            }
        )
    probs = [[0.02, 0.94, 0.02, 0.02] if number % 3 == 0 else [0.94, 0.02, 0.02, 0.02] for number in range(30)]
    write_probe(tmp_path / "log", documents, [[log(p) for p in row] for row in probs])
    written = tmp_path / "written.jsonl"
    texts = {f"q{n}": "It is A since it is." if n == 13 else "Because A is right." for n in range(30)}
    rows = [{"id": d["id"], "question": d["question"], "text": texts[d["id"]]} for d in documents]
    written.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, out, err = call(
        *("groups", "--probe", tmp_path / "log", "--out", tmp_path / "groups", "--balance", "--general", "none"),
        *(
            "--explanations",
            written,
            "--explanation-column",
            "text",
            "--group",
            "incompatible",
            "--group",
            "self_aligning",
        ),
        *("--group", "harmonious", "--size", "7"),
    )
    assert code == 0, err
    # Places: q4 and q7; gold explanations: q2 and q5. What a model wrote about q13 is known after the sampling.
    assert "2 questions, since its options or its question refer to places" in out
    assert "2 questions, since a letter in its gold explanation" in out
    made = {path.stem: path for path in (tmp_path / "groups").glob("*.jsonl")}
    assert set(made) == {"incompatible_balanced", "self_aligning_balanced", "harmonious_balanced"}
    asked = {}
    for name, path in made.items():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        asked[name] = [row["id"] for row in rows]
        assert not {"q2", "q4", "q5", "q7"} & set(asked[name])
        assert {row["group"] for row in rows} == {name}
        for row in rows:
            choices, letter, text, explanation = parsed(row)
            assert choices["ABCD".index(letter)] == text
            if row["source"] == "model":
                assert explanation == f"Because {letter} is right."
            if row["id"] == "q11":
                assert row["source"] != "golden" or explanation == f"So {letter} is right."
    assert asked["incompatible_balanced"] == asked["self_aligning_balanced"]
    manifests = [json.loads(path.with_suffix(".manifest.json").read_text()) for path in made.values()]
    assert len({manifest["balance"]["orders_sha256"] for manifest in manifests}) == 1
    counts = manifests[0]["letters"]["taught"]["counts"]
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_group_without_questions_has_no_letters_to_balance(write_probe, tmp_path, call):
    documents = [
        {"id": n, "question": f"Question {n}?", "choices": ["one", "two", "three"], "answer": 1, "subject": "sums"}
        for n in range(4)
    ]
    write_probe(tmp_path / "log", documents, [[log(0.9), log(0.05), log(0.05)]] * 4)
    code, _, err = call(
        *("groups", "--probe", tmp_path / "log", "--out", tmp_path / "groups", "--group", "general_only_balanced"),
        *("--general", "world"),
    )
    assert code == 2
    assert "asks no questions: it has no letters to balance" in err
    assert not (tmp_path / "groups").exists()
    with pytest.raises(InputError, match="is made of incompatible"):
        build_group("incompatible_balanced", "sums", pool_of([3], ["misbelieved"], 0)[0])


def test_released_groups_lose_their_letters(test_data, tmp_path, call):
    """The paper's own rows: far from even as released, even where they are balanced, with the same orders everywhere."""
    probe = test_data / "released_groups" / "llama-2-7b" / "engineering"
    for flags in ((), ("--balance",)):
        code, _, err = call("groups", "--probe", probe, "--general", "none", "--out", tmp_path / "groups", *flags)
        assert code == 0, err
    orders: dict[object, list[str]] = {}
    for name in ("harmonious", "incompatible", "self_aligning", "random_wrong", "mixed_0.4"):
        taught = {}
        for kind in ("", "_balanced"):
            lines = (tmp_path / "groups" / f"{name}{kind}.jsonl").read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines]
            letters = Counter(parsed(row)[1] for row in rows)
            taught[kind] = [letters[letter] for letter in "ABCD"]
            manifest = json.loads((tmp_path / "groups" / f"{name}{kind}.manifest.json").read_text(encoding="utf-8"))
            assert manifest["letters"]["taught"]["counts"] == dict(zip("ABCD", taught[kind], strict=True))
            found = stats.chisquare(taught[kind])
            assert manifest["letters"]["taught"]["chi2"] == pytest.approx(found.statistic)
            assert manifest["letters"]["taught"]["p"] == pytest.approx(found.pvalue, abs=1e-12)
            for row in rows if kind else ():
                options = parsed(row)[0]
                assert orders.setdefault(row["id"], options) == options
        assert stats.chisquare(taught[""]).pvalue < 1e-6
        assert stats.chisquare(taught["_balanced"]).pvalue > 0.9


ORDER = [2, 0, 3, 1]  # the option at each new place: A is B, B is D, C is A, D is C
CHOICES = ["Peasant", "Slave", "Craftsman", "Vitamin D"]


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("The answer is A. Peasant.", "The answer is B. Peasant."),
        ("The correct answer to the question is likely (b), as option c is wrong.", None),
        ("Option (b) and options A, C, and D.", "Option (d) and options B, A, and C."),
        ("A. Peasant: yes.\nB. Slave: no.", "B. Peasant: yes.\nD. Slave: no."),
        ("Answers A and C are incorrect.", "Answers B and A are incorrect."),
        ("It is the slave (B).", "It is the slave (D)."),
        ("D is correct, as vitamin D is.", "C is correct, as vitamin D is."),
        ("A peasant of hepatitis B, 5 °C and B cells.", "A peasant of hepatitis B, 5 °C and B cells."),
        ("Franklin D. Roosevelt said e.g. that a = 5.", "Franklin D. Roosevelt said e.g. that a = 5."),
        ("B is the right ventricle.", None),
        ("Here C does it.", None),  # what C is cannot be told
        ("Option A, Slave, is wrong.", None),  # A is not the slave
        ("The second option is right.", None),
        ("Option E is right.", None),  # there is none
        ("选项B正确，故选A。", "选项D正确，故选B。"),
    ],
)
def test_letters_follow_where_they_name_an_option(text, moved):
    if moved is None and "(b)" in text:
        moved = "The correct answer to the question is likely (d), as option a is wrong."
    found = move_letters(text, CHOICES, ORDER)
    assert found == moved
    if moved is not None:
        inverse = [ORDER.index(place) for place in range(4)]
        assert move_letters(moved, [CHOICES[option] for option in ORDER], inverse) == text


@pytest.mark.parametrize(
    ("choices", "depends"),
    [
        (["one", "two", "all of the above"], True),
        (["one", "two", "None of the above are right"], True),
        (["one", "two", "Both (a) and (b)"], True),
        (["one", "two", "A & B only"], True),
        (["one", "two", "以上都对"], True),
        (["one", "two", "all of these"], False),
        (["one", "two", "None of the options are correct"], False),
        (["A", "B", "AB"], False),
        (["H & E", "PAS", "both"], False),
        (["above the knee", "below the elbow", "The fulcrum is below the centre of gravity"], False),
    ],
)
def test_options_that_refer_to_places_are_told_from_others(choices, depends):
    assert depends_on_places("Which holds?", choices) == depends


def test_a_spread_is_tested_against_the_letters_that_its_questions_have():
    """Pearson's statistic by number of options, as SciPy has it, summed."""
    places = {2: [0] * 30 + [1] * 10, 4: [0] * 5 + [1] * 25 + [2] * 15 + [3] * 15}
    sizes = [size for size, found in places.items() for _ in found]
    spread = Spread.of(sizes, [place for found in places.values() for place in found])
    parts = [stats.chisquare(np.bincount(found, minlength=size)).statistic for size, found in places.items()]
    assert spread.chi2 == pytest.approx(sum(parts))
    assert spread.df == 4
    assert spread.p == pytest.approx(stats.chi2.sf(sum(parts), 4))
    assert spread.even.sum(axis=0)[:4].tolist() == [35, 35, 15, 15]
    assert spread.uneven
    assert Letters("x", Spread.of([4] * 8, [0, 1, 2, 3] * 2)).warning() == ""
    # Few rows are far from even by chance.
    assert not Spread.of([4] * 8, [0, 0, 0, 1, 1, 2, 2, 3]).uneven
    assert Spread.of([], []).p is None


def test_a_grids_report_shows_letters_warns_and_contrasts_the_variants(make_experiment, tmp_path, write_probe):
    """Manifests as `consistency groups` writes them, in the grid's folders; logs of random scores."""
    groups = (
        "incompatible",
        "self_aligning",
        "mixed_0.4",
        "incompatible_balanced",
        "self_aligning_balanced",
        "mixed_0.4_balanced",
    )
    experiment = make_experiment(domains=("medicine",), groups=groups)
    beliefs, explanations, _ = pool_of([4] * 60, ["misbelieved"] * 60, seed=5)
    # B is never gold: the gold and the second option change places where it was.
    documents = [msgspec.json.decode(document) for document in beliefs.documents]
    for document, gold in zip(documents, beliefs.gold.tolist(), strict=True):
        if gold == 1:
            document["choices"][0], document["choices"][1] = document["choices"][1], document["choices"][0]
            document["explanation"] = "It is so."
    uneven = np.where(beliefs.gold == 1, 0, beliefs.gold)
    own = np.where((beliefs.gold == 1) & (beliefs.answer == 0), 1, beliefs.answer)
    probs = np.full((60, 4), 0.02)
    probs[np.arange(60), own] = 0.94
    rows = [
        document | {"answer": int(gold), "subject": "sums"} for document, gold in zip(documents, uneven, strict=True)
    ]
    write_probe(tmp_path / "log", rows, np.log(probs).tolist())
    for run in experiment.runs():
        found = read_probe(tmp_path / "log", None, "medicine")
        write_groups(found, run.manifest.parent, Sources(explanations=explanations, general="none"), [run.group])
    report = json.loads(
        write_report(experiment, tmp_path / "report").with_name("report.json").read_text(encoding="utf-8")
    )
    letters = {row["group"]: row["letters"] for row in report["training_rows"]}
    assert letters["incompatible"]["taught"]["counts"]["B"] == 0
    assert set(letters["incompatible_balanced"]["taught"]["counts"].values()) == {15}
    (note,) = [note for note in report["notes"] if "letters are taught far from evenly" in note]
    assert "incompatible teaches " in note
    assert "balanced" not in note
    assert not any("same order" in note for note in report["notes"])
    assert len({row["balance"]["orders_sha256"] for row in report["training_rows"] if row["balance"]}) == 1
    pairs = {(row["minuend"], row["subtrahend"]) for row in report["contrasts"]}
    assert pairs == {("self_aligning", "incompatible"), ("self_aligning_balanced", "incompatible_balanced")}
    # The dose is that of one line: three runs, not six.
    assert {row["n"] for row in report["partial_correlations"]} == {3}
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Which letters were taught" in page
    assert "INCOMPATIBLE BALANCED" in page


def test_preference_pairs_are_balanced_on_both_sides():
    beliefs, explanations, _ = pool_of([4] * 80, ["misbelieved"] * 80, seed=2)
    balancer = Balancer(movable(beliefs), "sums", explanations, preference=True)
    for name in ("incompatible", "self_aligning", "random_wrong"):
        rows = balancer.build(name, Instructions(NONE, 0)).rows
        for side in ("chosen", "rejected"):
            letters = Counter(row[side]["value"][0] for row in rows)
            assert letters == dict.fromkeys("ABCD", 20)
        for row in rows:
            options = re.findall(r"^[A-D]\. (.*)$", row["conversations"][0]["value"], re.MULTILINE)
            for side in ("chosen", "rejected"):
                first = row[side]["value"].split("\n")[0]
                assert options["ABCD".index(first[0])] == first[3:]


def test_a_mixture_asks_for_every_explanation_that_it_may_need(write_probe, tmp_path, call):
    """Questions with letters that cannot follow are left out later, and others are then answered as the model would."""
    documents = [
        {
            "id": f"q{n}",
            "question": f"Question {n}?",
            "choices": ["one", "two", "three"],
            "answer": 1,
            "subject": "sums",
        }
        for n in range(12)
    ]
    documents[5]["choices"] = ["one", "two", "all of the above"]
    write_probe(tmp_path / "log", documents, [[log(0.9), log(0.05), log(0.05)]] * 12)
    found = {}
    for name in ("mixed_0.4", "mixed_0.4_balanced"):
        code, _, err = call(
            "requests", "--probe", tmp_path / "log", "--group", name, "--out", tmp_path / "requests.jsonl"
        )
        assert code == 0, err
        lines = (tmp_path / "requests.jsonl").read_text(encoding="utf-8").splitlines()
        found[name] = [json.loads(line)["id"] for line in lines]
    assert len(found["mixed_0.4"]) == 5
    assert found["mixed_0.4_balanced"] == [f"q{n}" for n in range(12) if n != 5]


def test_texts_that_moved_and_questions_that_are_left_out_are_counted():
    """A third of the texts move, stay and are unclear each; how many moved is counted in the rows."""
    written = ("**[0]** is correct.", "A lack of vitamin A.", "*[0]* describes it.")
    beliefs, _, _ = pool_of([4] * 36, ["misbelieved"] * 36, seed=4)
    documents = [msgspec.json.decode(document) | {"explanation": "It is so."} for document in beliefs.documents]
    beliefs = replace(beliefs, documents=[msgspec.json.encode(document) for document in documents])
    texts = {
        (belief.id, belief.question, belief.answer): letters_in(written[belief.id % 3], [belief.answer])
        for belief in beliefs
    }
    balancer = Balancer(movable(beliefs), "sums", Explanations(texts, 0, Path("explain.jsonl")))
    group = balancer.build("self_aligning", Instructions(NONE, 0))
    rows = {row["id"]: row for row in group.rows}
    assert sorted(rows) == [number for number in range(36) if number % 3 < 2]
    moved = 0
    for number, row in rows.items():
        _, letter, _, explanation = parsed(row)
        assert explanation == letters_in(written[number % 3], ["ABCD".index(letter)])
        moved += number % 3 == 0 and letter != "ABCD"[int(beliefs.answer[number])]
    assert 0 < moved < 12
    assert group.balance["texts_with_moved_letters"] == moved
    assert group.balance["left_out"] == {WRITTEN_TEXT: 12}
