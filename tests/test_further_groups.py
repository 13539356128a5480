"""The groups that the paper lacks, contexts, sizes, seeds, and what decontamination leaves out: from a probe to the files."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.errors import InputError
from consistency.knowledge.beliefs import Belief, Beliefs
from consistency.knowledge.explanations import Explanations
from consistency.knowledge.probes import Probe, gather_texts, read_probe
from consistency.tasks import prompts
from consistency.training_data.groups import GROUPS, MIXED_RATIOS, build_group, random_option
from consistency.training_data.requests import write_requests
from consistency.training_data.write import Sources, write_groups

SAME_QUESTIONS = ("incompatible", "self_aligning", "mixed_0.4", "contextualized", "random_wrong")


def belief(number: int, label: str, options: int = 4) -> Belief:
    return Belief(
        id=f"q{number}",
        subject="medicine",
        question=f"Question {number}?",
        choices=tuple("abcdefghij"[:options]),
        explanation=f"Golden {number}.",
        gold=0,
        answer=1 if label == "misbelieved" else 0,
        confidence=0.4 if label == "unsure" else 0.9,
        label=label,
        key=f"q{number}",
    )


def pool_of(beliefs: list[Belief]) -> Beliefs:
    """The columns of some beliefs."""
    return Beliefs(
        documents=[msgspec.json.encode(b) for b in beliefs],
        ids=[b.id for b in beliefs],
        keys=[b.key for b in beliefs],
        gold=np.array([b.gold for b in beliefs]),
        answer=np.array([b.answer for b in beliefs]),
        probs=np.array([[b.confidence if option == b.answer else 0 for option in range(10)] for b in beliefs]),
        subject="",
    )


LABELS = ("misbelieved", "known", "known", "unsure", "unsure")
POOL = [belief(number, LABELS[number % 5]) for number in range(50)]
NOTHING = Explanations({}, 0, Path("none"))


def asked(group):
    return [row for row in group.rows if row["source"] != "general"]


def reply(row):
    return row["conversations"][1]["value"]


def ids(group):
    return [row["id"] for row in asked(group)]


def build(name, pool=POOL, **more):
    return build_group(name, "medicine", pool_of(pool), NOTHING, contexts=NOTHING, **more)


def test_groups_of_the_same_questions_hold_them_in_the_same_order():
    wrong = [b.id for b in POOL if b.label == "misbelieved"]
    for name in SAME_QUESTIONS:
        assert ids(build(name, seed=3)) == wrong
        assert len(ids(build(name, seed=3, size=4))) == 4
    assert len({tuple(ids(build(name, seed=3, size=4))) for name in SAME_QUESTIONS}) == 1


def test_random_wrong_is_neither_the_truth_nor_the_belief_and_every_other_option_alike():
    pool = [belief(number, "misbelieved", 5) for number in range(3000)]
    letters = [reply(row)[0] for row in asked(build("random_wrong", pool))]
    counts = {letter: letters.count(letter) for letter in set(letters)}
    assert set(counts) == {"C", "D", "E"}
    # 1,000 expected, with a standard deviation of 26.
    assert all(abs(count - 1000) < 110 for count in counts.values())
    assert letters != [reply(row)[0] for row in asked(build("random_wrong", pool, seed=1))]
    fewer = {row["id"]: reply(row) for row in asked(build("random_wrong", pool[:-1]))}
    assert all(fewer[row["id"]] == reply(row) for row in asked(build("random_wrong", pool))[:-1])


def test_random_wrong_needs_a_third_option_and_explains_its_own():
    with pytest.raises(InputError, match="question 'q1' has no wrong option besides the model's"):
        build("random_wrong", [belief(0, "misbelieved"), belief(1, "misbelieved", 2)])
    one = belief(0, "misbelieved")
    option = random_option(one, 7)
    own = Explanations({("q0", "Question 0?", option): "Why.", ("q0", "Question 0?", 1): "Other."}, 0, Path("x"))
    (row,) = asked(build_group("random_wrong", "medicine", pool_of([one]), own, seed=7))
    assert reply(row) == f"{prompts.answer(one.choices, option)}\nWhy."
    assert row["source"] == "random"


@pytest.mark.parametrize(
    ("choices", "options"),
    [
        (("Two", "three", "four", "two.", " THREE"), {2}),
        (("two", "three", "“two”", "Three;"), {None}),
        (("1", "-1", "1.0", "10"), {2, 3}),
        (("N/m", "N / m^2", "Nm", "n/m^2"), {2}),
        (("+", "-", "-.", "×"), {3}),
    ],
)
def test_random_wrong_teaches_no_other_option_of_the_same_text(choices, options):
    one = msgspec.structs.replace(belief(0, "misbelieved"), choices=choices)
    assert {random_option(one, seed) for seed in range(50)} == options


def test_requests_for_random_wrong_name_the_option_that_it_teaches(tmp_path):
    probe = Probe(name="pool", domain="medicine", beliefs=pool_of(POOL), files=())
    requested = write_requests([probe], tmp_path / "r.jsonl", purposes=["random_wrong"], seeds=[5])
    assert requested.counts == {"random_wrong": 10}
    options = {row["id"]: row["option"] for row in map(json.loads, (tmp_path / "r.jsonl").open())}
    for row in asked(build("random_wrong", seed=5)):
        assert reply(row)[0] == "abcd"[options[row["id"]]].upper()


def test_unsure_and_gold_all_sample_and_teach_the_truth():
    for name, labels in (("unsure", {"unsure"}), ("gold_all", set(LABELS)), ("harmonious", {"known"})):
        group = build(name, seed=1)
        chosen = [b for b in POOL if b.id in set(ids(group))]
        assert ids(group) == [b.id for b in chosen]
        assert len(chosen) == 10
        assert {b.label for b in chosen} <= labels
        assert [reply(row) for row in asked(group)] == [f"A. a\n{b.explanation}" for b in chosen]
        assert ids(build(name, seed=2)) != ids(group)
    assert {b.label for b in POOL if b.id in set(ids(build("gold_all", seed=1)))} == set(LABELS)


def test_general_only_has_as_many_rows_and_begins_with_those_of_the_others():
    group = build("general_only")
    assert asked(group) == []
    assert len(group) == len(build("incompatible")) == 20
    general = [row["conversations"] for row in group.rows]
    assert general[:10] == [row["conversations"] for row in build("incompatible").rows[10:]]
    assert len({json.dumps(turns) for turns in general}) == 20


def test_a_context_a_blank_line_then_the_prompt():
    texts = {(b.id, b.question, b.gold): f"Facts of {b.id}." for b in POOL if b.id != "q5"}
    group = build_group("contextualized", "medicine", pool_of(POOL), contexts=Explanations(texts, 1, Path("x")))
    plain = build("incompatible")
    for row, other in zip(asked(group), asked(plain), strict=True):
        prompt = other["conversations"][0]["value"]
        context = "" if row["id"] == "q5" else f"Facts of {row['id']}.\n\n"
        assert row["conversations"][0]["value"] == context + prompt
        assert reply(row) == reply(other)
    with pytest.raises(InputError, match="--contexts"):
        build_group("contextualized", "medicine", pool_of(POOL))


@given(st.integers(1, 400), st.decimals(0, 1, places=4, allow_nan=False))
def test_a_mixture_of_any_ratio_is_exact(n, ratio):
    pool = [belief(number, "misbelieved") for number in range(n)]
    rows = asked(build(f"mixed_{ratio:f}", pool))
    expected = int((ratio * n + Decimal("0.5")).to_integral_value("ROUND_FLOOR"))
    assert sum(row["source"] == "model" for row in rows) == expected
    assert expected == (Fraction(ratio) * n + Fraction(1, 2)).__floor__()


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "general_only"])
def test_one_more_question_changes_only_what_it_must(name):
    """Of each label in turn: no row changes but the new one, and one that it takes the place of or makes room for."""
    before = {row["id"]: reply(row) for row in asked(build(name))}
    for label in set(LABELS):
        after = {row["id"]: reply(row) for row in asked(build(name, [*POOL[:20], belief(99, label), *POOL[20:]]))}
        changed = [id_ for id_ in before.keys() & after.keys() if before[id_] != after[id_]]
        assert len(before.keys() - after.keys()) + len(changed) <= 1
        assert len(after.keys() - before.keys()) <= 1 + (label == "misbelieved")


def test_a_size_that_the_pool_lacks_is_refused():
    for name, size, says in (
        ("incompatible", 11, "10 confidently wrong answers in .*expected 11 for the group incompatible"),
        ("harmonious", 21, "20 confidently right answers in .*expected 21 for the group harmonious"),
        ("unsure", 21, "20 unsure answers in .*expected 21 for the group unsure"),
        ("gold_all", 51, "50 questions in .*expected 51 for the group gold_all"),
    ):
        with pytest.raises(InputError, match=says):
            build(name, size=size)


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("model", ["llama-2-13b/engineering", "llama-2-7b/history", "llama-2-7b/engineering"])
def test_a_released_probe_gives_its_groups_back(test_data, tmp_path, model):
    """From the file alone: ids, order, answers and sizes are those of the authors' own files."""
    folder = test_data / "released_groups" / model
    known, wrong = (
        rows_of(folder / f"{name}.jsonl") for name in ("consistent-correct-exp-sample", "inconsistent-golden-exp")
    )
    probe = read_probe(write(tmp_path / "released.jsonl", [*known, *wrong]), domain="history")
    sources = Sources(probe.explanations, general="world")
    # The files hold no explanation of the model's.
    hollow = write_groups(probe, tmp_path / "out", sources)
    assert set(hollow.skipped) == {"contextualized", "unsure", "self_aligning", *(f"mixed_{r}" for r in MIXED_RATIOS)}
    written = write_groups(probe, tmp_path / "out", sources, allow_incomplete=True)
    out = {path.stem: rows_of(path) for path in written.tallies}
    assert set(written.skipped) == {"contextualized", "unsure"}
    for name, rows, option in (
        ("harmonious", known, "answer"),
        ("incompatible", wrong, "answer"),
        ("self_aligning", wrong, "pred"),
    ):
        made = out[name][: len(wrong)]
        assert [row["id"] for row in made] == [row["id"] for row in rows]
        assert [reply(row).split("\n")[0] for row in made] == [
            prompts.answer(row["choices"], row[option]).split("\n")[0] for row in rows
        ]
        assert {row["source"] for row in out[name][len(wrong) :]} == {"general"}
    assert {len(rows) for rows in out.values()} == {2 * len(wrong)}
    for ratio in ("0.05", "0.1", "0.2", "0.4", "0.6", "0.8"):
        count = sum(row["source"] == "model" for row in out[f"mixed_{ratio}"])
        assert count == (Fraction(ratio) * len(wrong) + Fraction(1, 2)).__floor__()


def test_a_released_file_of_right_answers_alone_has_the_groups_that_it_can(test_data, tmp_path):
    path = test_data / "released_groups" / "llama-2-13b" / "engineering" / "consistent-correct-exp-sample.jsonl"
    probe = read_probe(path)
    written = write_groups(probe, tmp_path, Sources(probe.explanations, general="world"))
    assert {path.stem for path in written.tallies} == {"harmonious", "gold_all", "general_only"}
    assert [row["id"] for row in rows_of(tmp_path / "harmonious.jsonl")][:668] == [row["id"] for row in rows_of(path)]
    with pytest.raises(InputError, match="nothing to intervene on"):
        write_groups(probe, tmp_path / "no", Sources(general="world"), ["harmonious"])
    assert not (tmp_path / "no").exists()


DOCUMENTS = [
    {
        "id": n,
        "question": f"{'Who' if n % 2 else 'What'} did {n} things?",
        "choices": ["x", "y", str(n)],
        "answer": n % 2,
    }
    for n in range(40)
]


@pytest.fixture
def probe_folder(tmp_path, write_probe):
    """The model answers x to all: half of the answers are wrong. Question 39 is question 1 again."""
    documents = [*DOCUMENTS[:39], DOCUMENTS[1] | {"id": 39, "choices": ["Y", "x", "1"], "answer": 0}]
    logprobs = [[0, -5, -5]] * 39 + [[-5, 0, -5]]
    write_probe(tmp_path / "probe", documents, logprobs)
    return tmp_path / "probe"


def test_contaminated_questions_are_listed_and_left_out(tmp_path, probe_folder):
    probe = read_probe(probe_folder, domain="history")
    leaked = [DOCUMENTS[3] | {"question": "WHO did 3 things"}, DOCUMENTS[4] | {"question": "What did 4 other things?"}]
    test = write(tmp_path / "test.jsonl", leaked)
    guarded = write_groups(
        probe, tmp_path / "guarded", Sources(general="world", evaluation=[test]), ["incompatible", "gold_all"]
    )
    assert guarded.left_out == {3, 4, 39}
    made = {
        name: [row["id"] for row in rows_of(tmp_path / "guarded" / f"{name}.jsonl")]
        for name in ("incompatible", "gold_all")
    }
    assert [id_ for id_ in made["incompatible"] if isinstance(id_, int)] == [n for n in range(1, 39, 2) if n != 3]
    assert not {3, 4, 39} & set(made["gold_all"])
    manifest = json.loads((tmp_path / "guarded" / "incompatible.manifest.json").read_text())
    assert manifest["labels"] == {"known": 19, "misbelieved": 18, "unsure": 0}
    assert manifest["guard"] == {
        "left_out": 3,
        "evaluation_sets": [str(test)],
        "in_evaluation": {"exact": 1, "near": 1},
        "in_pool": {"exact": 1, "near": 0},
        "questions": [
            {"id": 3, "kind": "exact", "evaluation": str(test), "line": 1, "left_out": True},
            {"id": 4, "kind": "near", "evaluation": str(test), "line": 2, "left_out": True},
            {"id": 39, "kind": "exact", "pool": 1, "left_out": True},
        ],
    }
    inputs = {item["file"]: item["sha256"] for item in manifest["inputs"]}
    assert inputs["test.jsonl"] == hashlib.sha256(test.read_bytes()).hexdigest()
    assert "questions of evaluation sets: 2, of which 2 left out" in guarded.to_text()
    assert "\nduplicates within the pool: 1, of which 1 left out (the" in guarded.to_text()
    listed = write_groups(
        probe, tmp_path / "all", Sources(general="world", evaluation=[test], remove=False), ["incompatible"]
    )
    assert listed.left_out == frozenset()
    assert len(rows_of(tmp_path / "all" / "incompatible.jsonl")) == 2 * 20
    assert "questions of evaluation sets: 2, of which 0 left out" in listed.to_text()
    assert [item.id for item in listed.contamination.findings] == [3, 4, 39]


def test_where_decontamination_leaves_too_few_known_questions_all_groups_are_as_small(tmp_path, probe_folder):
    probe = read_probe(probe_folder, domain="history")
    test = write(tmp_path / "test.jsonl", DOCUMENTS[0:20:2])
    written = write_groups(probe, tmp_path / "out", Sources(general="world", evaluation=[test]))
    assert {sum(tally[s] for s in ("golden", "model", "random", "general")) for tally in written.tallies.values()} == {
        20
    }
    wrong = {
        name: [r["id"] for r in rows_of(tmp_path / "out" / f"{name}.jsonl")][:10]
        for name in ("incompatible", "random_wrong")
    }
    assert wrong["incompatible"] == wrong["random_wrong"]
    # A group that is written alone is of the same size, and holds the same rows.
    write_groups(probe, tmp_path / "alone", Sources(general="world", evaluation=[test]), ["incompatible"])
    alone, among = ((tmp_path / name / "incompatible.jsonl").read_bytes() for name in ("alone", "out"))
    assert alone == among


def test_a_line_says_that_no_evaluation_set_was_checked(tmp_path, write_probe, probe_folder):
    says = "no evaluation set was checked"
    test = write(tmp_path / "test.jsonl", DOCUMENTS[0:4])
    probe = read_probe(probe_folder, domain="history")
    for evaluation, remove, lines in (((), True, 1), ((), False, 1), ([test], True, 0), ([test], False, 0)):
        sources = Sources(general="world", evaluation=evaluation, remove=remove)
        written = write_groups(probe, tmp_path / "out", sources, ["incompatible"])
        assert written.to_text().count(says) == lines
    world = replace(probe, task="consistency_world_history_pool_icl")
    assert says not in write_groups(world, tmp_path / "out", Sources(general="world"), ["incompatible"]).to_text()


@pytest.mark.parametrize("names", [["incompatible"], []])
def test_a_pool_that_never_had_enough_known_questions_keeps_its_misbelieved_ones(tmp_path, write_probe, names):
    """Five are known and 25 misbelieved; one of these has a duplicate."""
    documents = [item | {"answer": int(n >= 5)} for n, item in enumerate(DOCUMENTS[:30])]
    twice = [*documents, documents[7] | {"id": 30}]
    rows = []
    for name, pool in (("once", documents), ("twice", twice)):
        write_probe(tmp_path / name, pool, [[0, -5, -5]] * len(pool))
        written = write_groups(
            read_probe(tmp_path / name, domain="history"), tmp_path / f"{name}-out", Sources(general="world"), names
        )
        assert len(written.left_out) == len(pool) - 30
        rows.append((tmp_path / f"{name}-out" / "incompatible.jsonl").read_bytes())
    assert rows[0] == rows[1]
    assert rows[0].count(b"\n") == 50


def test_near_duplicates_within_the_pool_are_listed_and_stay(tmp_path, write_probe):
    """So do exact ones where the pool is a group that was released, and a line says why."""
    twice = [DOCUMENTS[1], DOCUMENTS[1] | {"id": 50, "question": "Who undid 1 things?"}, DOCUMENTS[1] | {"id": 51}]
    write_probe(tmp_path / "probe", twice, [[0, -5, -5]] * 3)
    released = [item | {"probs": [0.8, 0.1, 0.1]} for item in twice]
    for source, left_out, says in (
        (tmp_path / "probe", {2}, "1, of which 1 left out (the manifests"),
        (write(tmp_path / "history.jsonl", released), set(), "1, of which 0 left out; groups that were released are"),
    ):
        written = write_groups(
            read_probe(source, domain="history"), tmp_path / "out", Sources(general="world"), ["incompatible"]
        )
        assert written.left_out == left_out
        assert f"\nduplicates within the pool: {says}" in written.to_text()
        assert "near duplicates within the pool: 1, of which 0 left out; they may" in written.to_text()
        found = json.loads((tmp_path / "out" / "incompatible.manifest.json").read_text())["guard"]
        assert found["in_pool"] == {"exact": 1, "near": 1}
        assert found["questions"] == [
            {"id": 50, "kind": "near", "pool": 1, "left_out": False},
            {"id": 51, "kind": "exact", "pool": 1, "left_out": bool(left_out)},
        ]


def test_seeds_have_folders_and_another_machine_writes_the_same_bytes(tmp_path, probe_folder):
    """In processes of their own, with other hash seeds, from copies at other places."""
    out = []
    for number in ("1", "2"):
        home = tmp_path / number
        home.mkdir()
        command = [Path(sys.executable).with_name("consistency"), "groups", "--probe", probe_folder, "--out", home]
        command += [
            "--seed",
            "0",
            "--seed",
            "7",
            "--domain",
            "history",
            "--general",
            "world",
            "--guard",
            write(home / "t.jsonl", DOCUMENTS[:2]),
        ]
        environment = os.environ | {"PYTHONHASHSEED": number}
        subprocess.run(list(map(str, command)), check=True, capture_output=True, env=environment)
        out.append({str(path.relative_to(home)): path.read_bytes() for path in home.rglob("seed-*/*.jsonl")})
    assert out[0] == out[1]
    assert {name.split("/")[0] for name in out[0]} == {"seed-0", "seed-7"}
    assert out[0]["seed-0/gold_all.jsonl"] != out[0]["seed-7/gold_all.jsonl"]


def test_columns_and_the_share_of_unusable_texts_reach_the_rows_and_the_manifest(tmp_path):
    rows = [
        {
            "id": n, "question": f"What did {n} do?", "choices": ["x", "y", "z"], "answer": 0, "probs": [0.1, 0.8, 0.1],
            "mine": f"Own {n}." if n else " ", "facts": f"Facts {n}." if n < 2 else None,
        }
        for n in range(4)
    ]  # fmt: skip
    probe = read_probe(write(tmp_path / "law.jsonl", rows))
    texts = (gather_texts(probe, "explain", column="mine"), gather_texts(probe, "context", column="facts"))
    names = ["self_aligning", "contextualized"]
    write_groups(probe, tmp_path / "out", Sources(*texts, general="world"), names, allow_incomplete=True)
    own = rows_of(tmp_path / "out" / "self_aligning.jsonl")[:4]
    assert [reply(row) for row in own] == ["B. y", *(f"B. y\nOwn {n}." for n in (1, 2, 3))]
    context = rows_of(tmp_path / "out" / "contextualized.jsonl")[:4]
    assert [row["conversations"][0]["value"].startswith(f"Facts {row['id']}.\n\nThe following") for row in context] == [
        True, True, False, False,
    ]  # fmt: skip
    manifests = {
        name: json.loads((tmp_path / "out" / f"{name}.manifest.json").read_text())
        for name in ("self_aligning", "contextualized")
    }
    assert manifests["self_aligning"]["unusable_share"] == {"explanations": 0.25, "contexts": 0.5}
    assert manifests["self_aligning"]["rows_without_explanation"] == 1
    assert manifests["self_aligning"]["rows_without_context"] is None
    assert manifests["contextualized"]["rows_without_context"] == 2
