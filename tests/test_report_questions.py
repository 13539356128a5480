"""Which questions a page shows, and what of their documents."""

import json
from typing import Any

import numpy as np
import pytest

from consistency.logs.documents import question_of
from consistency.report.content import ChangedQuestion
from consistency.report.questions import MOST, MOST_BYTES, MOST_OF_PAIR, changed_most, every, kinds, note, strongest


@pytest.mark.parametrize(
    ("document", "text"),
    [
        # MMLU, BoolQ, HellaSwag, Winogrande, MedMCQA, as the harness logs them.
        ({"question": "1+1?", "subject": "sums", "choices": ["2", "3"], "answer": 0}, "1+1?"),
        ({"question": "is it red", "passage": "It is red.", "idx": 3, "label": 1}, "is it red\nIt is red."),
        (
            {"ind": 4, "activity_label": "Roof", "ctx_a": "A man sits.", "ctx_b": "he", "ctx": "A man sits. he"}
            | {"endings": ["gets up", "falls"], "split": "val", "label": "1", "query": "Roof: A man sits. he"},
            "Roof: A man sits. he",
        ),
        ({"sentence": "_ ran", "option1": "Ann", "option2": "Bob", "answer": "2"}, "_ ran"),
        ({"id": "e9ad", "question": "Which?", "opa": "a", "opb": "b", "cop": 1, "exp": "since", "topic_name": "t"}, "Which?"),
        ({"n": 3}, '{"n": 3}'),
    ],
)  # fmt: skip
def test_a_documents_question_is_found(document: dict[str, Any], text: str) -> None:
    assert question_of(json.dumps(document).encode()) == text


def test_harmful_flips_come_first_then_larger_divergences() -> None:
    columns = {
        "correct_before": np.array([1.0, 1, 0, 0, 0, 1, np.nan, 1]),
        "correct_after": np.array([0.0, 1, 1, 0, 0, 0, 1.0, 0]),
        "same_top": np.array([0.0, 1, 0, 1, 0, 0, 0, 0]),
        "kl": np.array([0.1, 3.0, 2.0, 0.5, np.inf, 0.7, 9.0, np.nan]),
    }
    assert kinds(columns).tolist() == [
        "harmful", "right", "beneficial", "wrong", "wrong_to_wrong", "harmful", "", "harmful",
    ]  # fmt: skip
    assert changed_most(columns, 100) == [5, 0, 7, 4, 1, 2, 3]
    assert changed_most(columns, 2) == [5, 0]
    # Those that are unknown come last.
    assert every({**columns, "doc_id": np.arange(8)}, 100) == [5, 0, 7, 4, 1, 2, 3, 6]


def test_tasks_without_options_show_flips_only() -> None:
    columns = {"correct_before": np.array([1.0, 0, 1, 0]), "correct_after": np.array([0.0, 1, 1, 0])}
    assert kinds(columns).tolist() == ["harmful", "beneficial", "right", "wrong"]
    assert changed_most(columns, 100) == [0, 1]


def question(number: int, text: str, kl: float | None = None, flip: str = "right") -> ChangedQuestion:
    measures = {"kl": number if kl is None else kl, "delta_gold": None, "spearman": None}
    return ChangedQuestion("task", number, "", "", flip, text, ("é", "b"), 0, (0.5, 0.5), (0.4, 0.6), measures)


def test_a_page_has_room_for_so_much() -> None:
    short = strongest(question(number, "?") for number in range(MOST + 50))
    assert [one.doc_id for one in short] == list(range(MOST + 49, 49, -1))
    long = strongest((question(number, "é" * 2000) for number in range(4000)), MOST_OF_PAIR)
    assert len(long) == MOST_BYTES // (2 * 2000 + 3)
    first, second = strongest([question(0, "?", 9.0), question(1, "?", 0.1, "harmful")])
    assert (first.flip, second.flip) == ("harmful", "right")
    assert note([first, second], 5, 3).startswith(
        "2 of 5 questions: the answers that turned from right to wrong (1 of 3)"
    )
