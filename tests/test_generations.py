"""What is kept of texts that a real model wrote (tests/data/README.md says which and how)."""

import json
from pathlib import Path

import pytest

from consistency.knowledge.explanations import clean_context, clean_opened

ROWS = [
    json.loads(line) for line in Path(__file__).with_name("data").joinpath("generations.jsonl").read_text().splitlines()
]
# First and last words of what a reader would keep; None where there is nothing to keep.
KEPT = [
    ("The degree of the Angle is 120,", "Therefore, the answer is 120."),  # then it explains once more, in backticks
    ("The factors that should", "3. Basin morphology 4. All the above"),  # then "Explanation:" and nothing
    ("The type of speed control", "not available here."),  # then the next question
    ("The highest melting temperature", "is a reference material for the other two options."),
    None,
    ("The answer is D. 120.", "The answer is D. 120."),
    None,
    None,  # a list of options
    ("A security risk assessment", "their vulnerability to cyber attacks."),
    ("The development trend", "to improve preparedness and reduce the risk of disasters."),
    None,  # "The correct answer is D. All the above"
    None,  # the right option, and that it is right
    ("The world has a complex", "various factors influence traffic flow."),  # then an option, and "The answer is C."
]


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_what_is_kept_of_a_real_generation(number):
    row, expected = ROWS[number], KEPT[number]
    kept = {"explain": clean_opened, "context": clean_context}[row["kind"]](row["generation"])
    if expected is None:
        assert kept == ""
    else:
        assert kept.startswith(expected[0])
        assert kept.endswith(expected[1])
        assert "`" not in kept
        assert "\n" not in kept


@pytest.mark.parametrize(
    ("generation", "kept"),
    [
        ("Take 3.5 mg of it. Of the other 2.5 tab", "Take 3.5 mg of it."),
        ("The dose is 3.5 mg", ""),
        ("Is it so? Yes! And the", "Is it so? Yes!"),
        ("是这样的。还有", "是这样的。"),
        ("It is so.\n\nWhich one?\n\nA. this\nB. that", "It is so."),
        ("It is so.\nWho was it?\nAnswer: B", "It is so."),
        ("Who was it?\nA. one\nB. two", ""),
        ("It is so.\nA. one\nB. two", "It is so."),
        ("It is so.\nTherefore it is.\nExplanation: more", "It is so. Therefore it is."),
    ],
)
def test_an_explanation_ends_with_a_sentence_and_before_another_question(generation, kept):
    assert clean_opened(generation) == kept


@pytest.mark.parametrize(
    "line",
    ["Answer: B", "The ANSWER = C.", "Thus B is correct.", "D is the right one.", "C) that", "B. that", "J."],
)
def test_a_line_that_gives_the_answer_away_is_left_out(line):
    assert clean_context(f"It is a fact.\n{line}\nSo is this.") == "It is a fact. So is this."


def test_a_name_is_no_option():
    assert clean_context("J. Smith found it.\nA answered: yes.") == "J. Smith found it. A answered: yes."
    listed = [f"{letter}. x" for letter in "ABCDEFGHIJ"]
    assert clean_context("\n".join([*listed, "It is a fact."])) == "It is a fact."
    assert clean_context("E. Smith found it.", 5) == ""


def test_every_generation_is_judged():
    assert len(KEPT) == len(ROWS)
