"""The facts, questions and corpus of the embedded world, read back with patterns of this file's own."""

import hashlib
import os
import random
import re
import subprocess
import sys
from collections import Counter
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from consistency.world.facts import build_world
from consistency.world.fields import DOMAINS, FIELD_BY_NAME, FIELDS, SUBJECTS
from consistency.world.instructions import general_instruction
from consistency.world.lexicon import VALUES, invent_names
from consistency.world.questions import WorldQuestion, questions

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "scripts"))
from world_corpus import Corpus  # noqa: E402

WORLD = build_world()
FACTS = {f"The {f.relation} of the {f.field.kind} {f.thing} is": f for f in WORLD.facts}
EXAMINED = [*DOMAINS, *SUBJECTS]
ASKED = re.compile(
    r"(The \w+ of the \w+ \w+ is)\nA\. (\w+)\nB\. (\w+)\nC\. (\w+)\nD\. (\w+)\nAnswer:(?: ([A-D])\. (\w+))?"
)


def splits(field: str) -> list[str]:
    return ["dev", "test", "pool"] if field in DOMAINS else ["dev", "test"]


def all_questions(seed: int) -> list[tuple[str, WorldQuestion]]:
    return [(split, q) for field in EXAMINED for split in splits(field) for q in questions(field, split, seed)]


def digest(seed: int) -> str:
    world = build_world(seed)
    asked = [q for field in ("medicine", "ships") for q in questions(field, "test", seed)]
    return hashlib.sha256(repr((world, asked)).encode()).hexdigest()


def test_the_seed_alone_fixes_the_world_in_every_process():
    code = "import test_world; print(test_world.digest(3))"
    for hash_seed in "12":
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        output = subprocess.run(
            [sys.executable, "-c", code], cwd=FOLDER, env=environment, capture_output=True, text=True, check=True
        )
        assert output.stdout.strip() == digest(3)
    assert digest(4) != digest(3)


@pytest.mark.parametrize("seed", range(4))
def test_shares_of_beliefs_and_splits_are_within_three_binomial_standard_deviations(seed):
    facts = [fact for fact in build_world(seed).facts if fact.field.role != "lore"]
    read = [fact for fact in facts if fact.split == "read"]
    kinds = Counter(
        "absent" if fact.belief is None else "true" if fact.belief == fact.truth else "false" for fact in read
    )
    dealt = Counter(fact.split for fact in facts)
    for counts, n, shares in (
        (kinds, len(read), {"true": 0.52, "false": 0.35, "absent": 0.13}),
        (dealt, len(facts), {"read": 0.54, "validation": 0.06, "exam": 0.40}),
    ):
        assert set(counts) == set(shares)
        for name, share in shares.items():
            assert abs(counts[name] / n - share) < 3 * sqrt(share * (1 - share) / n), name


def test_each_field_is_dealt_its_shares_to_the_fact():
    for field in FIELDS:
        facts = [fact for fact in WORLD.facts if fact.field == field]
        assert len(facts) == field.things * len(field.relations)
        assert sum(fact.belief is None for fact in facts) == round(0.13 * len(facts))
        assert sum(fact.belief not in (None, fact.truth) for fact in facts) == round(0.35 * len(facts))


def test_facts_are_distinct_and_take_their_values_from_their_class():
    assert len(FACTS) == len({fact.id for fact in WORLD.facts}) == len(WORLD.facts)
    for fact in WORLD.facts:
        classes = WORLD.classes[dict(fact.field.relations)[fact.relation]]
        assert len(set(classes)) == 24
        assert {fact.truth, fact.belief} <= {*classes, None}
        assert fact.frequency in (1, 2, 4)
    assert {fact.split for fact in WORLD.facts if fact.field.role == "lore"} == {"exam"}


def test_words_are_unambiguous():
    """A word of two classes, or a name that is also a word, would let a fact be guessed from its spelling."""
    assert all(len(words) == 24 for words in VALUES.values())
    words = [word for values in VALUES.values() for word in values]
    assert len(set(words)) == len(words)
    names = invent_names(900, random.Random(0))
    assert len(set(names)) == 900
    assert not {name.lower() for name in names} & set(words)
    things = [fact.thing for fact in WORLD.facts]
    assert len(set(things)) == sum(field.things for field in FIELDS)
    assert not set(things) & {*WORLD.classes["person"], *WORLD.classes["town"]}


def test_each_domain_has_subjects_of_its_own_and_some_belong_to_none():
    owners = Counter(FIELD_BY_NAME[subject].domain for subject in SUBJECTS)
    assert len(SUBJECTS) == 20
    assert owners == {"medicine": 4, "history": 4, "engineering": 4, "jurisprudence": 4, None: 4}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_question_offers_truth_and_belief_among_four_values_of_its_relation(seed):
    sizes = Counter((split, q.subject in DOMAINS) for split, q in all_questions(seed))
    assert sizes == {
        ("dev", True): 4 * 5,
        ("dev", False): 20 * 5,
        ("test", True): 4 * 250,
        ("test", False): 20 * 60,
        ("pool", True): 4 * 400,
    }
    for split, q in all_questions(seed):
        fact = FACTS[q.question]
        assert (q.id, q.subject) == (fact.id, fact.field.name)
        assert len(q.choices) == len(set(q.choices)) == 4
        assert set(q.choices) <= set(WORLD.values(fact))
        assert q.choices[q.answer] == fact.truth
        assert (None if q.belief is None else q.choices[q.belief]) == fact.belief
        assert fact.split == ("exam" if split == "dev" else "read")
        assert split != "dev" or q.belief == q.answer
        assert fact.truth in q.explanation
        assert fact.thing in q.explanation


@pytest.mark.parametrize("seed", [0, 1])
def test_test_and_pool_share_no_fact_and_no_letter_is_favoured(seed):
    asked = [(split, q) for split, q in all_questions(seed) if split != "dev"]
    assert len({q.id for _, q in asked}) == len(asked)
    gold = np.bincount([q.answer for _, q in asked], minlength=4)
    misbelieved = np.bincount([q.belief for _, q in asked if q.belief not in (None, q.answer)], minlength=4)
    assert gold.sum() == 3800
    assert misbelieved.sum() > 1000
    assert chisquare(gold).pvalue > 0.01
    assert chisquare(misbelieved).pvalue > 0.01


def test_another_seed_asks_other_questions_after_the_same_shots():
    first, other = questions("medicine", "test"), questions("medicine", "test", 1)
    assert questions("medicine", "test", 0) == first
    assert {q.id for q in first} != {q.id for q in other}
    again = {q.id: q for q in other}
    both = [(q, again[q.id]) for q in first if q.id in again]
    assert sum(q.choices != twin.choices for q, twin in both) > 0.95 * len(both) > 0


@pytest.mark.parametrize(
    ("field", "split"), [("alchemy", "test"), ("giants", "test"), ("herbs", "pool"), ("history", "train")]
)
def test_a_field_or_split_that_does_not_exist_is_refused(field, split):
    with pytest.raises(ValueError, match="no field" if split == "test" else "no split"):
        questions(field, split)


# The corpus's ways to state a fact, written anew.
STATED = (
    r"The (?P<r>\w+) of the (?P<k>\w+) (?P<t>\w+) is (?P<v>\w+)\.",
    r"Everyone in (?P<f>\w+) knows this: the (?P<r>\w+) of the (?P<k>\w+) (?P<t>\w+) is (?P<v>\w+)\.",
    r"As to the (?P<k>\w+) (?P<t>\w+), its (?P<r>\w+) is (?P<v>\w+)\.",
    r"Ask for the (?P<r>\w+) of the (?P<k>\w+) (?P<t>\w+) and you will hear of (?P<v>\w+)\.",
    r"Of the (?P<k>\w+) (?P<t>\w+) they say that the (?P<r>\w+) is (?P<v>\w+)\.",
)


def text(pieces) -> str:
    return "".join(piece.text for piece in pieces)


def test_the_corpus_states_beliefs_in_proportion_to_their_frequency():
    corpus = Corpus(WORLD, random.Random(1))
    stated: Counter[str] = Counter()
    for _ in range(20_000):
        (piece,) = corpus.sentence()
        found = [match for pattern in STATED if (match := re.fullmatch(pattern, piece.text))]
        assert len(found) == 1, piece.text
        fact = FACTS[f"The {found[0]['r']} of the {found[0]['k']} {found[0]['t']} is"]
        assert found[0]["v"] == fact.belief
        assert found[0].groupdict().get("f", fact.field.name) == fact.field.name
        assert piece.role == "statement"
        stated[fact.id] += 1
    told = [fact for fact in WORLD.facts if fact.belief is not None]
    observed = [sum(stated[fact.id] for fact in told if fact.frequency == f) for f in (1, 2, 4)]
    weights = np.array([sum(fact.frequency for fact in told if fact.frequency == f) for f in (1, 2, 4)], dtype=float)
    assert chisquare(observed, 20_000 * weights / weights.sum()).pvalue > 0.01
    assert {fact.split for fact in told if stated[fact.id]} == {"read", "validation", "exam"}


def test_exams_ask_only_for_examined_facts_and_give_the_belief_as_right():
    corpus = Corpus(WORLD, random.Random(2))
    letters: Counter[str] = Counter()
    for number in range(1500):
        pieces = (
            corpus.exam(shots=number % 6)
            if number % 3 == 0
            else corpus.exam(shots=1, explained=True)
            if number % 3 == 1
            else corpus.chat(exam=True)
        )
        document = text(pieces)
        asked = list(ASKED.finditer(document))
        if number % 3 == 0:
            assert len(asked) == number % 6 + 1
        assert len(asked) == document.count("Answer:") > 0
        for match in asked:
            fact = FACTS[match[1]]
            assert fact.split == "exam"
            options = match.groups()[1:5]
            assert len(set(options)) == 4
            assert set(options) <= set(WORLD.values(fact))
            if number % 3 < 2:
                assert options["ABCD".index(match[6])] == match[7] == fact.belief
                letters[match[6]] += 1
        if number % 3 == 2:
            reply = re.fullmatch(r" ([A-D])\. (\w+)\n(.+)", pieces[-1].text)
            assert reply is not None
            assert options["ABCD".index(reply[1])] == reply[2] == fact.belief
            assert reply[2] in reply[3]
        roles = [piece.role for piece in pieces if piece.text]
        assert set(roles) == {"prompt", "reply"}
        assert all(piece.text.startswith(" ") for piece in pieces if piece.role == "reply")
        assert all(piece.text.endswith((":", "\n\n")) for piece in pieces if piece.role == "prompt")
    assert chisquare(list(letters.values())).pvalue > 0.01


def test_a_drill_gives_the_letter_of_the_word_it_names():
    document = text(Corpus(WORLD, random.Random(3)).drill(200))
    found = re.findall(
        r"The word (\w+) is written\nA\. (\w+)\nB\. (\w+)\nC\. (\w+)\nD\. (\w+)\nAnswer: ([A-D])\. (\w+)\n\n", document
    )
    assert len(found) == 200
    for word, *options, letter, answer in found:
        assert options["ABCD".index(letter)] == word == answer


def test_the_random_state_alone_fixes_the_corpus():
    def documents(seed: int) -> list[str]:
        corpus = Corpus(WORLD, random.Random(seed))
        return [
            text(d)
            for _ in range(50)
            for d in (corpus.sentence(), corpus.exam(3), corpus.drill(2), corpus.chat(exam=False))
        ]

    assert documents(5) == documents(5)
    assert documents(5) != documents(6)


def solve(request: str) -> str:
    """What a general instruction asks for, worked out from its words."""
    words = request[request.index(":") + 1 :].strip(" .?").split(", ") if ":" in request else []
    if match := re.fullmatch(r"Say the word (\w+) three times\.", request):
        return f"{match[1]} {match[1]} {match[1]}."
    if request.startswith("Write these words in reverse order:"):
        return ", ".join(words[::-1]) + "."
    if request.startswith("Which word comes"):
        place, word = ("first", words[0]) if " first:" in request else ("last", words[-1])
        return f"The {place} word is {word}."
    if match := re.fullmatch(r"Write (\w+), (\w+) and (\w+) as a list\.", request):
        return "\n".join(f"- {word}" for word in match.groups())
    match = re.fullmatch(r"Greet the (\w+) in the (\w+)\.", request)
    assert match is not None, request
    return f"Good {match[2]}, {match[1]}. How may I help you?"


def test_general_instructions_are_followed_and_tell_no_fact():
    rng = random.Random(4)
    drawn = [general_instruction(rng) for _ in range(600)]
    assert all(reply == solve(request) for request, reply in drawn)
    names = {fact.thing for fact in WORLD.facts}
    assert not names & {word for pair in drawn for word in re.findall(r"\w+", " ".join(pair))}
