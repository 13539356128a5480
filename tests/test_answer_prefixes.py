"""The answer at the beginning of an explanation, in the ways in which data sets and models write it."""

import json
import re

import pytest

from consistency.tasks.answer_prefixes import strip_answer

OPTIONS = ["Iron", "Vitamin B12", "Folic acid", "HIV"]


@pytest.mark.parametrize(
    ("text", "option", "kept"),
    [
        ("Ans. B. Vitamin B12 It is absorbed in the ileum.", 1, "It is absorbed in the ileum."),
        ("Ans. B. Vitamin B12It is absorbed.", 1, "It is absorbed."),
        ("Ans: (c) Folic acid\nIt is so.", 2, "It is so."),
        ("Ans. is 'a' i.e., Iron o Iron is bound.", 0, "o Iron is bound."),
        ("Ans. is'a'i.e., IronIt is bound.", 0, "It is bound."),
        ("Ans. is `b1 i.e., Vitamin B12", 1, ""),
        ("Ans is C i.e. Folic acid.", 2, ""),
        ("Answer is C (Folic acid) : It is needed.", 2, "It is needed."),
        ("ANSWER: (C) Folic acidREF: a book", 2, "REF: a book"),
        ("Answer- C. Folic acid", 2, ""),
        ("The correct answer is C. Folic acid.\n\nIt is needed.", 2, "It is needed."),
        ("The correct answer is: B) vitamin B-12. It is.", 1, "It is."),
        ('The answer is "Folic acid." It is needed.', 2, "It is needed."),
        ("The correct answer to the question is C. It is needed.", 2, "It is needed."),
        ("This is a multiple-choice question, and the answer is C: Folic acid.\n\nSo.", 2, "So."),
        ("Option C is correct. It is needed.", 2, "It is needed."),
        ("C is correct. It is needed.", 2, "It is needed."),
        ("Option C", 2, ""),
        ("(C) Folic acid # It is needed.", 2, "# It is needed."),
        ("c. Folic acid(Ref: a book)", 2, "(Ref: a book)"),
        ("C i.e. Folic acid", 2, ""),
        ("Correct answer: B. Vitamin B12", 1, ""),
        ("Ans. D. HIVThe virus is one.", 3, "The virus is one."),
        ("Ans- C It is needed.", 2, "It is needed."),
        ("Ans: cRef: a book", 2, "Ref: a book"),
        ("Ans. Most of it is needed.", 2, "Most of it is needed."),
        # Misspelt, and behind a letter.
        ("Ans. is 'c' i.e., Folc acid It is needed.", 2, "It is needed."),
        # Said twice.
        ("The answer is C.\nThe correct answer is C.\n\nIt is.", 2, "It is."),
        ("Folic acid", 2, ""),
        ("", 2, ""),
    ],
)
def test_an_answer_is_left_out_and_the_rest_stays_as_it_is(text, option, kept):
    assert strip_answer(text, OPTIONS, option) == kept


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("A HIDA scan shows it.", 0),
        ("A harper is no reference.", 0),
        ("Iron is bound.", 0),
        ("The answer is Iron because it is bound.", 0),
        ("The answer is A. Iron since it is bound.", 0),
        ("The answer is A, which is Iron. It is.", 0),
        ('The answer is not "Iron". It is another one.', 0),
        ("The correct answer is not A. Iron. It is another one.", 0),
        ("Ans. is 'b' i.e., Vitamin B12", 0),
        ("The answer is B. It is absorbed.", 0),
        ("Answers differ between books.", 0),
        ("Ansa cervicalis is a loop.", 0),
        ("Options A and B are wrong.", 0),
        ("Option A is a metal.", 0),
        ("A: It is bound. B: It is absorbed.", 0),
        ("The answer is a metal that is bound.", 0),
    ],
)
def test_what_says_more_than_the_answer_or_another_one_stays_whole(text, option):
    assert strip_answer(text, OPTIONS, option) == text


def test_of_the_gold_explanations_of_medicine_only_those_that_name_another_option_still_begin_so(test_data):
    rows = [json.loads(line) for line in (test_data / "pool" / "medicine.jsonl").open()]
    begins = [row for row in rows if re.match(r"\W*ans", row["explanation"], re.IGNORECASE)]
    kept = [strip_answer(row["explanation"], row["choices"], row["answer"]) for row in begins]
    assert len(begins) == 1934
    assert all(row["explanation"].endswith(text) for row, text in zip(begins, kept, strict=True))
    still = [(row, text) for row, text in zip(begins, kept, strict=True) if re.match(r"\W*ans", text, re.IGNORECASE)]
    assert len(still) <= 9
    for row, text in still:
        # A number or another letter than the gold option's.
        assert "abcd"[row["answer"]] != re.search(r"(?:is|C)\W*(?:option ?)?(\w)", text, re.IGNORECASE)[1].lower()


def test_a_rest_keeps_its_words(test_data):
    """No more is left out than letters, marks, and the words of an answer and of the option."""
    for domain in ("medicine", "history", "engineering", "jurisprudence"):
        for line in (test_data / "pool" / f"{domain}.jsonl").open():
            row = json.loads(line)
            kept = strip_answer(row["explanation"], row["choices"], row["answer"])
            cut = row["explanation"].removesuffix(kept) if kept else row["explanation"]
            assert not re.search(r"\b(not|because|since)\b", cut) or re.search(
                r"\b(not|because|since)\b", row["choices"][row["answer"]]
            ), cut
            assert len(re.findall(r"\w+", cut)) <= 12 + 2 * len(re.findall(r"\w+", row["choices"][row["answer"]])), cut
