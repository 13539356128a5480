"""Intervention groups of a pool small enough to check by hand, and of the paper's own released probes."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from math import log
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.errors import InputError
from consistency.knowledge.beliefs import Belief, Beliefs, read_beliefs
from consistency.knowledge.explanations import Explanations
from consistency.logs.runs import read_run
from consistency.support.json_files import json_lines
from consistency.training_data.completeness import completeness_of
from consistency.training_data.groups import GROUPS, MIXED_RATIOS, build_group, mixed_ratio
from consistency.training_data.instructions import Instructions
from consistency.training_data.write import identify, write_all

HEADER = "The following are multiple choice questions about medicine. Please choose the correct answer. \n\n"


def belief(number: int, label: str) -> Belief:
    """Question `number`: its gold option is A; a misbelieved one is answered C."""
    return Belief(
        id=f"q{number}",
        subject="medicine",
        question=f"Question {number}?",
        choices=("one", "two", "three", "four"),
        explanation=f"Golden {number}.",
        gold=0,
        answer=2 if label == "misbelieved" else 0,
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


# Ten questions: numbers 0, 3, 6 and 8 are misbelieved, 5 and 9 unsure.
LABELS = [
    "misbelieved",
    "known",
    "known",
    "misbelieved",
    "known",
    "unsure",
    "misbelieved",
    "known",
    "misbelieved",
    "unsure",
]
ROWS = [belief(number, label) for number, label in enumerate(LABELS)]
POOL = pool_of(ROWS)
OWN = Explanations(
    {(f"q{number}", f"Question {number}?", 2): f"Own {number}." for number in (0, 3, 6)},
    unusable=1,
    source=Path("explain.jsonl"),
)

FACTS = Explanations(
    {(f"q{number}", f"Question {number}?", 0): f"Facts of {number}." for number in (0, 3, 8)},
    unusable=1,
    source=Path("context.jsonl"),
)


def asked(group):
    return [row for row in group.rows if row["source"] != "general"]


def replies(group):
    return [row["conversations"][1]["value"] for row in asked(group)]


def planned(groups, folder):
    """Groups as they are written: each with what its rows hold, and its folder."""
    return [(group, texts, folder) for group, texts in zip(groups, completeness_of(groups), strict=True)]


def test_no_rows_appear_where_a_manifest_cannot(tmp_path):
    (tmp_path / "harmonious.manifest.json").mkdir()
    groups = planned([build_group(name, "medicine", POOL) for name in ("incompatible", "harmonious")], tmp_path)
    with pytest.raises(InputError, match=r"harmonious\.manifest\.json: cannot be written"):
        write_all(groups, inputs=[], settings={})
    assert [path.name for path in tmp_path.iterdir()] == ["harmonious.manifest.json"]


def test_rows_hide_nothing_and_say_the_same(tmp_path):
    hostile = "a\x7f\x9b2J\u202eb\u200bc\u2066 é 中 👩\u200d🔬"
    pool = pool_of([msgspec.structs.replace(belief(number, "misbelieved"), explanation=hostile) for number in range(3)])
    group = build_group("incompatible", "medicine", pool)
    write_all(planned([group], tmp_path), inputs=[], settings={})
    written = (tmp_path / "incompatible.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in written.split("\n")[:-1]] == list(group.rows)
    assert replies(group)[0].endswith(hostile)
    assert not set("\x7f\x9b\u202e\u200b\u2066") & set(written)
    assert "é 中 👩\u200d🔬" in written


def test_incompatible_teaches_the_truth_on_every_confident_error():
    group = build_group("incompatible", "medicine", POOL)
    assert [row["id"] for row in asked(group)] == ["q0", "q3", "q6", "q8"]
    assert replies(group) == [f"A. one\nGolden {number}." for number in (0, 3, 6, 8)]
    assert {row["source"] for row in asked(group)} == {"golden"}
    human = group.rows[0]["conversations"][0]
    assert human == {
        "from": "human",
        "value": HEADER + "Question 0?\nA. one\nB. two\nC. three\nD. four\nAnswer:",
    }
    assert {(row["domain"], row["group"]) for row in group.rows} == {("medicine", "incompatible")}


def test_self_aligning_asks_the_same_in_the_same_order_and_confirms_the_model():
    group = build_group("self_aligning", "medicine", POOL, OWN)
    other = build_group("incompatible", "medicine", POOL)
    questions = [[row["conversations"][0] for row in asked(g)] for g in (group, other)]
    assert questions[0] == questions[1]
    assert replies(group) == ["C. three\nOwn 0.", "C. three\nOwn 3.", "C. three\nOwn 6.", "C. three"]
    assert {row["source"] for row in asked(group)} == {"model"}


def test_harmonious_confirms_as_many_known_answers():
    group = build_group("harmonious", "medicine", POOL)
    assert [row["id"] for row in asked(group)] == ["q1", "q2", "q4", "q7"]
    assert replies(group) == [f"A. one\nGolden {number}." for number in (1, 2, 4, 7)]
    assert {row["source"] for row in asked(group)} == {"golden"}


def test_harmonious_samples_in_the_order_of_the_pool_and_by_the_seed():
    pool = pool_of([belief(number, "misbelieved" if number < 20 else "known") for number in range(200)])
    drawn = {}
    for seed in range(30):
        ids = [row["id"] for row in asked(build_group("harmonious", "medicine", pool, seed=seed))]
        assert len(ids) == len(set(ids)) == 20
        assert ids == sorted(ids, key=lambda name: int(name[1:]))
        assert all(int(name[1:]) >= 20 for name in ids)
        drawn[seed] = tuple(ids)
    assert len(set(drawn.values())) == 30
    # Each of 180 questions is expected 30 * 20 / 180 = 3.3 times; 12 would be odds of one in thousands.
    assert max(Counter(name for ids in drawn.values() for name in ids).values()) < 12


@given(st.integers(1, 60), st.integers(0, 5), st.sampled_from([*MIXED_RATIOS, "0", "1", "0.5", "0.125"]))
def test_mixed_holds_exactly_its_share_and_the_incompatible_questions(n, seed, ratio):
    pool = pool_of([belief(number, "misbelieved") for number in range(n)])
    own = Explanations({(b.id, b.question, 2): "Own." for b in pool}, unusable=0, source=Path("x"))
    group = build_group(f"mixed_{ratio}", "medicine", pool, own, seed=seed)
    assert [row["id"] for row in asked(group)] == [b.id for b in pool]
    # Half a question is rounded up: 0.05 of 10 is one.
    quotient, remainder = divmod(Fraction(ratio) * n, 1)
    assert sum(row["source"] == "model" for row in asked(group)) == quotient + (remainder >= Fraction(1, 2))
    for row, reply in zip(asked(group), replies(group), strict=True):
        assert reply == ("C. three\nOwn." if row["source"] == "model" else f"A. one\nGolden {row['id'][1:]}.")


def test_smaller_mixtures_are_nested_in_larger_ones():
    pool = pool_of([belief(number, "misbelieved") for number in range(100)])
    own = Explanations({}, unusable=0, source=Path("x"))
    for seed in (0, 1):
        before: set[str] = set()
        for ratio in MIXED_RATIOS:
            rows = asked(build_group(f"mixed_{ratio}", "medicine", pool, own, seed=seed))
            now = {row["id"] for row in rows if row["source"] == "model"}
            assert len(now) == round(100 * float(ratio))
            assert before < now
            before = now


def test_the_ends_of_the_mixture_are_the_pure_groups():
    for mixed, pure in (("mixed_0", "incompatible"), ("mixed_1", "self_aligning")):
        rows = [build_group(name, "medicine", POOL, OWN).rows for name in (mixed, pure)]
        assert [row | {"group": ""} for row in rows[0]] == [row | {"group": ""} for row in rows[1]]


def test_one_question_less_changes_no_other_row():
    pool = pool_of([belief(number, "misbelieved" if number % 2 else "known") for number in range(100)])
    own = Explanations({}, unusable=0, source=Path("x"))
    for name in ("harmonious", "mixed_0.4"):
        whole, less = (asked(build_group(name, "medicine", beliefs, own)) for beliefs in (pool, pool[:98]))
        ids = {row["id"]: row["source"] for row in whole}
        kept = [row["id"] for row in less if row["id"] in ids and ids[row["id"]] == row["source"]]
        assert len(kept) >= len(less) - 1


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_has_as_many_general_instructions(name):
    def build(name: str, seed: int):
        return build_group(name, "medicine", POOL, OWN, contexts=FACTS, seed=seed, size=2)

    group = build(name, 3)
    general = [row for row in group.rows if row["source"] == "general"]
    assert len(group) == len(group.rows) == 4
    assert len(general) == (4 if name == "general_only" else 2)
    assert group.rows[-len(general) :] == general
    assert [row["id"] for row in general] == [f"general-{number:05d}" for number in range(len(general))]
    assert [[turn["from"] for turn in row["conversations"]] for row in group.rows] == [["human", "gpt"]] * 4
    assert len({row["id"] for row in group.rows}) == 4
    # The same ones beside every group, so that groups differ in their questions alone.
    other = build("incompatible", 3)
    assert [row["conversations"] for row in general[:2]] == [row["conversations"] for row in other.rows[2:]]
    assert [row["conversations"] for row in build(name, 4).rows[-2:]] != [row["conversations"] for row in general[-2:]]


def test_alpaca_instructions_are_chosen_by_the_seed(test_data):
    file = test_data / "alpaca_en_demo.json"
    alpaca = {row["output"] for row in json.loads(file.read_text(encoding="utf-8"))}
    group = build_group("incompatible", "medicine", POOL, general=str(file))
    assert {row["conversations"][1]["value"] for row in group.rows[4:]} < alpaca


def test_the_released_groups_come_out_of_the_released_probes(test_data, tmp_path, write_probe):
    """Probabilities in, the paper's files out: which questions, in which order, with whose answer and explanation."""
    folder = test_data / "released_groups" / "llama-2-13b" / "engineering"

    def read(name: str) -> list[dict]:
        return [json.loads(line) for line in (folder / f"{name}.jsonl").open()]

    known, golden, model = map(
        read, ("consistent-correct-exp-sample", "inconsistent-golden-exp", "inconsistent-predict-model-exp")
    )
    # The two files of the released pool, one question of each in turn.
    pool = [row for pair in zip(known, golden, strict=True) for row in pair]
    path = write_probe(tmp_path, pool, [[log(p) for p in row["probs"]] for row in pool])
    (scores,) = read_run(path).tasks.values()
    beliefs = replace(read_beliefs(scores), as_released=True)
    own = Explanations(
        {(row["id"], row["question"], row["output"]): row["model_exp"] for row in model}, unusable=0, source=path
    )

    def expected(rows: list[dict], option: str, text: str) -> list[tuple[int, str]]:
        letters = [f"{'ABCD'[row[option]]}. {row['choices'][row[option]]}" for row in rows]
        return [(row["id"], f"{answer}\n{row[text]}".rstrip("\n")) for row, answer in zip(rows, letters, strict=True)]

    for name, rows in (
        ("harmonious", expected(known, "answer", "explanation")),
        ("incompatible", expected(golden, "answer", "explanation")),
        ("self_aligning", expected(model, "output", "model_exp")),
    ):
        group = build_group(name, "engineering", beliefs, own)
        found = [(row["id"], text.rstrip("\n")) for row, text in zip(asked(group), replies(group), strict=True)]
        assert found == rows, name


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("harmonious", None),
        ("incompatible", 0),
        ("self_aligning", 1),
        ("mixed_0.05", Fraction(1, 20)),
        ("mixed_0.8", Fraction(4, 5)),
    ],
)
def test_a_ratio_is_read_as_an_exact_decimal(name, ratio):
    assert mixed_ratio(name) == ratio


@pytest.mark.parametrize(
    "name", ["", "mixed", "mixed_", "mixed_x", "mixed_1.1", "mixed_-0.1", "mixed_1/2", "mixed_nan", "0.5", "HARMONIOUS"]
)
def test_a_group_that_does_not_exist_is_refused(name):
    with pytest.raises(InputError, match="no intervention group"):
        build_group(name, "medicine", POOL, OWN)


def test_a_pool_without_errors_or_with_too_few_right_answers_is_refused():
    known = pool_of([b for b in ROWS if b.label != "misbelieved"])
    with pytest.raises(InputError, match="nothing to intervene on"):
        build_group("incompatible", "medicine", known)
    with pytest.raises(
        InputError, match="3 confidently right answers in medicine; expected 4 for the group harmonious"
    ):
        build_group("harmonious", "medicine", pool_of([b for b in ROWS if b.id != "q7"]))


def test_the_models_own_answers_need_its_explanations():
    for name in ("self_aligning", "mixed_0.8"):
        with pytest.raises(InputError, match=f"{name} teaches the model's own answers.*--explanations"):
            build_group(name, "medicine", POOL)
    # A tenth of four questions rounds to none.
    (none, golden) = (build_group(name, "medicine", POOL) for name in ("mixed_0.1", "incompatible"))
    assert replies(none) == [f"A. one\nGolden {number}." for number in (0, 3, 6, 8)]
    assert [row | {"group": ""} for row in none.rows] == [row | {"group": ""} for row in golden.rows]


def test_an_explanation_of_another_option_or_question_is_not_used():
    for key in (("q0", "Question 0?", 1), ("q0", "The q0 of another task?", 2), ("q1", "Question 0?", 2)):
        other = replace(OWN, texts={key: "Of something else."})
        assert replies(build_group("self_aligning", "medicine", POOL, other))[0] == "C. three"


def test_rows_and_manifest_are_written_and_agree(tmp_path):
    probe, log_ = tmp_path / "samples_pool.jsonl", tmp_path / "samples_explain.jsonl"
    probe.write_bytes(b"probe")
    log_.write_bytes(b"explain")
    own = replace(OWN, source=log_)
    group = build_group("mixed_0.4", "medicine", POOL, own, seed=2)
    settings = {"domain": "medicine", "task": "pool", "seed": 2, "general": "world", "format": "conversations"}
    inputs = identify([probe, log_, probe, tmp_path / "nowhere"])
    ((path, _),) = write_all(
        planned([group], tmp_path / "out" / "here"), inputs=inputs, settings={"task": "pool"}
    ).items()
    assert sorted(p.name for p in path.parent.iterdir()) == ["mixed_0.4.jsonl", "mixed_0.4.manifest.json"]
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == group.rows
    explained = sum("Own" in reply for reply in replies(group))
    manifest = json.loads((path.parent / "mixed_0.4.manifest.json").read_text())
    letters = manifest.pop("letters")
    taught = Counter(reply[0] for reply in replies(group))
    assert letters["taught"]["counts"] == {letter: taught[letter] for letter in "ABCDEFGHIJ"}
    assert letters["gold"]["counts"]["A"] == letters["own"]["counts"]["C"] == 4
    assert manifest == {
        "version": version("lm-eval-consistency"),
        "group": "mixed_0.4",
        **settings,
        "threshold": 0.5,
        "questions": 10,
        "labels": {"known": 4, "misbelieved": 4, "unsure": 2},
        "rows": {"general": 4, "golden": 2, "model": 2},
        "explanations": None,
        "normalized_gold_explanations": 0,
        "rows_without_explanation": sum("\n" not in reply for reply in replies(group)),
        "unusable_explanations": 1,
        "unusable_share": {"explanations": 0.25, "contexts": None},
        "rows_without_context": None,
        "completeness": {
            "most_lacking": 0.1,
            "explained": {
                "golden": {"rows": 2, "with": 2, "without": 0},
                "model": {"rows": 2, "with": explained, "without": 2 - explained},
            },
            "contexts": None,
            "pairs": None,
            "gold_of_the_same_questions": {"rows": 2, "with": 2, "without": 0},
            "generated": {"explanations": {"requested": None, "generated": 4, "unusable": 1, "limit": None}},
            "notes": [],
        },
        "balance": None,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "inputs": [
            {"file": "samples_pool.jsonl", "sha256": hashlib.sha256(b"probe").hexdigest()},
            {"file": "samples_explain.jsonl", "sha256": hashlib.sha256(b"explain").hexdigest()},
        ],
    }
    first = path.read_bytes()
    again = build_group("mixed_0.4", "medicine", POOL, own, seed=2)
    write_all(planned([again], path.parent), inputs=inputs, settings={"task": "pool"})
    assert path.read_bytes() == first == b"".join(msgspec.json.encode(row) + b"\n" for row in group.rows)


def test_groups_that_share_rows_have_their_own_names_in_them(tmp_path):
    """Texts of every kind, a zero byte among them, and more of the pool than is written in one stretch."""
    odd = msgspec.structs.replace(
        ROWS[0], id='"\0', key='"\0', question='Zero \0 é "quoted" 一?', explanation="Line\nand \u2028 \0."
    )
    pool = pool_of([odd, *(belief(number, "misbelieved") for number in range(1, 9_000))])
    own = Explanations(
        {(odd.id, odd.question, 2): "Own \0.", (odd.id, odd.question, 0): 'Facts \0 "一".'}, 0, Path("own")
    )
    names = ("incompatible", "mixed_0.5", "self_aligning", "contextualized")
    instructions = Instructions("world", 0)
    groups = [build_group(name, "law", pool, own, contexts=own, general=instructions) for name in names]
    tallies = write_all(planned(groups, tmp_path), inputs=[], settings={})
    request = HEADER.replace("medicine", "{}") + "{}\nA. one\nB. two\nC. three\nD. four\nAnswer:"
    general = [*Instructions("world", 0).take(9_000)]
    for (path, name), group in zip(zip(tallies, names, strict=True), groups, strict=True):
        # Characters that are not seen are escaped in one and not in the other.
        written, wanted = path.read_bytes().splitlines(), b"".join(json_lines(group)).splitlines()
        assert list(map(msgspec.json.decode, written)) == list(map(msgspec.json.decode, wanted))
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        assert {(row["domain"], row["group"]) for row in rows} == {("law", name)}
        assert [row["id"] for row in rows[:9_000]] == [one.id for one in pool]
        assert [row["conversations"] for row in rows[9_000:]] == general
        assert all(
            row["conversations"][0]["value"].endswith(request.format(one.subject, one.question))
            for row, one in zip(rows, pool, strict=False)
        )
        before = "" if name != "contextualized" else 'Facts \0 "一".\n\n'
        assert rows[0]["conversations"][0]["value"] == before + request.format(odd.subject, odd.question)
        replies_of = {
            "golden": [f"A. one\n{one.explanation}" for one in pool],
            "model": ["C. three\nOwn \0.", *["C. three"] * 8_999],
        }
        assert all(
            row["conversations"][1]["value"] == replies_of[row["source"]][place]
            for place, row in enumerate(rows[:9_000])
        )
        assert tallies[path] == Counter(row["source"] for row in rows)
        (texts,) = completeness_of([group])
        assert texts.unexplained == sum(row["conversations"][1]["value"] == "C. three" for row in rows)
        assert texts.without_context == (8_999 if name == "contextualized" else None)
