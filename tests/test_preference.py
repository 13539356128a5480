import numpy as np
import pytest

from consistency.knowledge import Beliefs
from consistency.preference import letters, preference


def beliefs(answers: str, gold: str) -> Beliefs:
    documents = [b'{"question": "Which?", "choices": ["p", "q", "r", "s"]}'] * len(answers)
    chosen, right = (np.array(["ABCD".index(letter) for letter in text], dtype=np.int64) for text in (answers, gold))
    probs = np.full((len(answers), 4), 0.1)
    probs[np.arange(len(answers)), chosen] = 0.7
    return Beliefs(documents, range(len(answers)), right, chosen, probs, "things")


def test_letters_are_counted():
    assert letters(beliefs("AACC", "ABCD")) == ([0.5, 0, 0.5, 0], [0.25, 0.25, 0.25, 0.25])


@pytest.mark.parametrize(
    ("answers", "gold", "said"),
    [
        # 3 of 8 answers would have to be other letters.
        ("AAAAABCD", "AABBCCDD", "62.5 % of the answers are A, which is golden in 25.0 %: "),
        # 2 of 8, the bound itself.
        ("CCCCABBD", "AABBCCDD", "50.0 % of the answers are C, which is golden in 25.0 %: "),
        # 1 of 8.
        ("DDDAABBC", "AABBCCDD", ""),
        # Wrong throughout, but as often each letter as it is golden.
        ("BBCCDDAA", "AABBCCDD", ""),
        # A key that favours a letter as well.
        ("CCCCCCCA", "CCCCCCAA", ""),
        ("", "", ""),
    ],
)
def test_a_liking_for_a_letter_is_told(answers, gold, said):
    found = preference(beliefs(answers * 7, gold * 7))
    assert found.startswith(said)
    assert bool(found) == bool(said)
    assert preference(beliefs(answers, gold)) == "", "eight questions tell nothing"
