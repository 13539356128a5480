"""Rotated options: the documents, the folded answers, and the selection bias that is taken out."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.errors import InputError
from consistency.knowledge.beliefs import read_beliefs
from consistency.logs.rotation_report import describe_rotations
from consistency.logs.rotations import Folded, fold_rotations
from consistency.logs.runs import read_run
from consistency.tasks.questions import Question, rotate

TASK = "consistency_medicine_icl_cyclic"


def questions(counts: list[int]) -> list[Question]:
    return [
        Question(10 + n, "medicine", f"Q{n}", tuple(f"o{n}{i}" for i in range(count)), (n + 1) % count)
        for n, count in enumerate(counts)
    ]


def answers(
    asked: list[Question], options: list[list[float]], letters: list[float]
) -> tuple[list[dict[str, Any]], list[list[float]]]:
    """The log of a model that prefers some options and some letters, and does not normalise over them."""
    documents, scores = [], []
    for question, preferred in zip(asked, options, strict=True):
        for document in rotate(question):
            order = [question.choices.index(choice) for choice in document["choices"]]
            raw = np.array([preferred[o] + letters[i] for i, o in enumerate(order)])
            documents.append(document)
            scores.append((raw - np.log(np.exp(raw).sum()) - 0.3).tolist())
    return documents, scores


def fold(folder: Path, write_probe: Any, documents: list[dict[str, Any]], scores: list[list[float]]) -> Folded:
    write_probe(folder, documents, scores, TASK)
    return fold_rotations(read_run(folder).tasks[TASK])


def test_a_preference_for_letters_drops_out_exactly(tmp_path, write_probe):
    asked = questions([4, 2, 3, 4])
    preferred = [[0.1, 1.3, -0.4, 0.0], [0.5, 0.2], [0.0, -1.0, 2.0], [0.0, 0.1, 0.2, 0.3]]
    fair = fold(tmp_path / "fair", write_probe, *answers(asked, preferred, [0.0] * 4))
    partial = fold(tmp_path / "partial", write_probe, *answers(asked, preferred, [3.0, 0.5, -0.5, -2.0]))
    for folded in (fair, partial):
        for row, values in enumerate(preferred):
            expected = np.exp(values) / np.exp(values).sum()
            np.testing.assert_allclose(folded.scores.probs[row, : len(values)], expected, atol=1e-12)
            assert np.isnan(folded.scores.probs[row, len(values) :]).all()
        assert folded.scores.n_options.tolist() == [4, 2, 3, 4]
        assert folded.incomplete == 0
    np.testing.assert_allclose(fair.bias, 0, atol=1e-12)
    assert (partial.asked.prediction == 0).all()
    assert partial.scores.prediction.tolist() == [1, 0, 2, 3]
    for row, count in enumerate([4, 2, 3, 4]):
        letters = np.exp([3.0, 0.5, -0.5, -2.0][:count])
        letters /= letters.sum()
        np.testing.assert_allclose(partial.letters[row, :count], letters, atol=1e-12)
        assert partial.bias[row] == pytest.approx(np.log(count) + (letters * np.log(letters)).sum(), abs=1e-12)


def test_figures_before_and_after(tmp_path, write_probe):
    asked = questions([4, 4])
    preferred = [[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    folded = fold(tmp_path, write_probe, *answers(asked, preferred, [2.0, 0.0, 0.0, 0.0]))
    (report,) = describe_rotations([folded])
    figures = report.to_dict()
    # The gold options are 1 and 2; as asked, A wins both times.
    assert (figures["accuracy_asked"], figures["accuracy_folded"], figures["changed_answers"]) == (0.0, 0.5, 1.0)
    assert figures["questions"] == 2
    assert sum(figures["letters"]["4"].values()) == pytest.approx(1)
    assert "accuracy over all rotations       0.5000" in report.to_text()
    beliefs = read_beliefs(folded.scores)
    assert [(b.id, b.question, b.choices[b.answer], b.gold) for b in beliefs] == [
        (10, "Q0", "o01", 1),
        (11, "Q1", "o11", 2),
    ]


def test_a_question_cut_by_a_limit_is_counted_and_left_out(tmp_path, write_probe):
    documents, scores = answers(questions([4, 3]), [[0.0] * 4, [0.0] * 3], [0.0] * 4)
    folded = fold(tmp_path / "a", write_probe, documents[:-1], scores[:-1])
    assert (len(folded.scores), folded.incomplete) == (1, 1)
    assert "without all rotations, left out   1\n" in describe_rotations([folded])[0].to_text()
    with pytest.raises(InputError, match=TASK):
        fold(tmp_path / "b", write_probe, documents[:3], scores[:3])


def test_a_question_that_a_model_could_not_score_stays_undefined(tmp_path, write_probe):
    documents, scores = answers(questions([2, 2]), [[0.0, 1.0]] * 2, [0.0, 0.0])
    scores[1] = [float("nan"), -1.0]
    folded = fold(tmp_path, write_probe, documents, scores)
    assert folded.scores.prediction.tolist() == [-1, 1]
    assert np.isnan(folded.bias).tolist() == [True, False]
    figures = describe_rotations([folded])[0].to_dict()
    assert (figures["unscored"], figures["accuracy_folded"]) == (1, 0.0)
    json.dumps(figures, allow_nan=False)


def test_other_logs_are_refused(tmp_path, write_probe):
    plain = {"id": 1, "question": "?", "choices": ["a", "b"], "answer": 0}
    with pytest.raises(InputError, match=r"`rotation`.*_cyclic") as error:
        fold(tmp_path / "a", write_probe, [plain], [[-1.0, -2.0]])
    assert error.value.line == 1
    twice = [plain | {"rotation": 0}, plain | {"rotation": 0}]
    with pytest.raises(InputError, match="rotation 0") as error:
        fold(tmp_path / "b", write_probe, twice, [[-1.0, -2.0]] * 2)
    assert error.value.line == 2


def test_the_command_prints_and_writes_the_figures(tmp_path, write_probe):
    write_probe(tmp_path, *answers(questions([4]), [[0.0, 1.0, 0.0, 0.0]], [2.0, 0.0, 0.0, 0.0]), TASK)
    result = CliRunner().invoke(app, ["rotations", str(tmp_path), "--json", str(tmp_path / "r.json")])
    assert result.exit_code == 0
    assert re.match(rf"{TASK}: 1 question\n", result.output)
    (figures,) = json.loads((tmp_path / "r.json").read_text())
    assert figures["position_bias_nats"] > 0.1
    write_probe(tmp_path / "plain", [{"question": "?", "choices": ["a", "b"], "answer": 0}], [[-1, -2]])
    with pytest.raises(InputError, match="_cyclic"):
        CliRunner().invoke(app, ["rotations", str(tmp_path / "plain")], catch_exceptions=False)
