"""Rotated options: the documents, the folded answers, and the selection bias that is taken out."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from consistency import compare
from consistency.cli.app import app
from consistency.errors import InputError
from consistency.knowledge.beliefs import read_beliefs
from consistency.knowledge.probes import read_probe
from consistency.knowledge.rotation_report import describe_rotations
from consistency.logs.rotations import Folded, fold_rotations
from consistency.logs.runs import read_run
from consistency.statistics.selection_bias import rstd_of_rotations
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


def test_questions_whose_options_speak_of_places_are_counted_and_left_out(tmp_path, write_probe):
    """As `--rotate` does not ask them; a probe keeps them, since groups are made of all questions."""
    first, *others = questions([4, 4, 4])
    placed = [
        Question(first.id, "medicine", "Q", ("o1", "o2", "o3", "both A and C"), 3),
        *others,
        Question(99, "medicine", "A. It is. B. It was. What holds?", ("A and B", "neither", "A", "B"), 0),
    ]
    documents, scores = answers(placed, [[0.0, 1.0, 0.0, 0.0]] * 4, [0.0] * 4)
    folded = fold(tmp_path / "a", write_probe, documents, scores)
    assert (len(folded.scores), folded.placed, folded.incomplete) == (3, 1, 0)
    assert [json.loads(document)["id"] for document in folded.scores.documents] == [11, 12, 99]
    (report,) = describe_rotations([folded])
    assert report.to_dict()["speak_of_places"] == 1
    assert "options speak of places, left out 1\n" in report.to_text()
    assert len(read_probe(tmp_path / "a").beliefs) == 4
    write_probe(tmp_path / "b", documents, scores, TASK)
    comparison = compare(tmp_path / "a", tmp_path / "b")
    assert comparison.overall is not None
    assert comparison.overall.n == 3
    assert "1 question has an option that speaks of others by their place (left out)" in comparison.to_text()
    with pytest.raises(InputError, match="speak of others by their place"):
        fold(tmp_path / "c", write_probe, documents[:4], scores[:4])


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


# What the rotations say


def noisy(
    n: int, letters: list[float], seed: int = 0, noise: float = 0.6, gold_letters: int = 4
) -> tuple[list[Question], list[dict[str, Any]], list[list[float]]]:
    """Questions of four and some of three options, and the log of a model that knows some, prefers letters, and wavers."""
    rng = np.random.default_rng(seed)
    asked = []
    for number in range(n):
        count = 3 + (number % 5 > 0)
        gold = int(rng.integers(min(count, gold_letters)))
        asked.append(Question(number, "m", f"Q{number}", tuple(f"o{number}{i}" for i in range(count)), gold))
    held = [(rng.normal(size=len(q.choices)) + 1.5 * (np.arange(len(q.choices)) == q.answer)).tolist() for q in asked]
    documents, scores = answers(asked, held, letters)
    return asked, documents, [(np.array(row) + noise * rng.normal(size=len(row))).tolist() for row in scores]


def test_figures_equal_those_counted_answer_by_answer(tmp_path, write_probe):
    letters = [0.9, 0.2, -0.3, -0.8]
    asked, documents, scores = noisy(120, letters)
    folded = fold(tmp_path, write_probe, documents, scores)
    (report,) = describe_rotations([folded])
    by_question: dict[Any, list[tuple[int, Any]]] = {}
    for document, row in zip(documents, scores, strict=True):
        count = len(row)
        chosen = (int(np.argmax(row)) + document["rotation"]) % count
        normalised = np.array(row) - np.log(np.exp(row).sum())
        by_question.setdefault(document["id"], []).append((chosen, normalised))
    gold = {question.id: question.answer for question in asked}
    over_all = {
        key: int(np.argmax(np.mean([np.roll(logs, r) for r, (_, logs) in enumerate(rows)], axis=0)))
        for key, rows in by_question.items()
    }
    right = {key: [chosen == gold[key] for chosen, _ in rows] for key, rows in by_question.items()}
    expected = {
        "accuracy_asked": np.mean([rows[0] for rows in right.values()]),
        "accuracy_rotations": np.mean([value for rows in right.values() for value in rows]),
        "accuracy_folded": np.mean([over_all[key] == gold[key] for key in gold]),
        "same_in_all": np.mean([len({chosen for chosen, _ in rows}) == 1 for rows in by_question.values()]),
        "changed_answers": np.mean([rows[0][0] != over_all[key] for key, rows in by_question.items()]),
    }
    for name, value in expected.items():
        assert report.figures[name].value == pytest.approx(value, abs=1e-12), name
    gained = expected["accuracy_folded"] - expected["accuracy_asked"]
    assert report.figures["accuracy_gained"].value == pytest.approx(gained, abs=1e-12)
    # Rotations of one question say less than so many questions.
    assert report.figures["accuracy_rotations"].unit == "question cluster"
    # RStd of Zheng et al.: recall by the letter that is gold.
    for count in (3, 4):
        recalls = [
            np.mean([right[key][(gold[key] - letter) % count] for key in gold if len(by_question[key]) == count])
            for letter in range(count)
        ]
        assert report.rstd[str(count)].value == pytest.approx(np.std(recalls), abs=1e-12)
    # PriDe by its formulas, the prior from every twentieth question.
    shown = [key for count in (3, 4) for key in [key for key in by_question if len(by_question[key]) == count][::20]]
    priors: dict[int, Any] = {}
    for count in (3, 4):
        means = [
            np.mean([logs for _, logs in by_question[key]], axis=0) for key in shown if len(by_question[key]) == count
        ]
        if means:
            priors[count] = np.mean([np.exp(each) / np.exp(each).sum() for each in means], axis=0)
    pride = {
        key: int(np.argmax(np.exp(rows[0][1]) / priors[len(rows)]))
        for key, rows in by_question.items()
        if key not in shown and len(rows) in priors
    }
    found = report.corrections["pride"]
    assert found.estimated_on == len(shown)
    assert found.accuracy.n == len(pride)
    assert found.accuracy.value == pytest.approx(np.mean([pride[key] == gold[key] for key in pride]), abs=1e-12)
    assert found.agreement.value == pytest.approx(np.mean([pride[key] == over_all[key] for key in pride]), abs=1e-12)
    others = [key for key in by_question if key not in shown]
    unchanged = np.mean([by_question[key][0][0] == over_all[key] for key in others])
    assert report.corrections["none"].agreement.value == pytest.approx(unchanged, abs=1e-12)
    assert {correction.accuracy.n for correction in report.corrections.values()} == {len(others)}
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_bias_of_letters_alone_is_taken_out_by_every_correction(tmp_path, write_probe):
    agreement = {}
    for gold_letters in (4, 1):
        _, documents, scores = noisy(400, [2.0, 0.5, -0.5, -2.0], noise=0.0, gold_letters=gold_letters)
        (report,) = describe_rotations([fold(tmp_path / str(gold_letters), write_probe, documents, scores)])
        agreement[gold_letters] = {name: found.agreement.value for name, found in report.corrections.items()}
        assert report.rstd["4"].ci_low > 0.1
    even, uneven = agreement[4], agreement[1]
    assert even["none"] < 0.7
    assert even["batch"] > even["none"] + 0.1
    assert even["offsets"] > 0.9
    # Where every right answer is A, that A is answered often is knowledge: only rotations tell.
    assert uneven["offsets"] < 0.8
    assert even["pride"] == uneven["pride"] == 1.0


def test_rstd_of_rotations_covers_its_truth():
    # Recalls of four letters that share what questions know; none of them, and some, differ.
    rng = np.random.default_rng(1)
    for shift in (np.zeros(4), np.array([0.15, 0.0, -0.05, -0.1])):
        covered = 0
        for _ in range(400):
            known = rng.random((150, 1)) < 0.5
            right = np.where(rng.random((150, 4)) < 0.6, known, rng.random((150, 4)) < 0.5) * 1.0
            flip = rng.random((150, 4)) < np.abs(shift)
            found = rstd_of_rotations(np.where(flip, (shift > 0) * 1.0, right))
            truth = 0.5 + 0.5 * shift
            covered += found.ci_low <= np.std(truth) + 1e-12 and np.std(truth) <= found.ci_high
        assert covered >= 370


def test_tasks_are_described_together(tmp_path, write_probe):
    folded = []
    for seed in range(2):
        _, documents, scores = noisy(40 + 10 * seed, [1.0, 0.0, 0.0, -1.0], seed)
        folded.append(fold(tmp_path / str(seed), write_probe, documents, scores))
    first, second, both = describe_rotations(folded)
    assert (both.task, both.questions) == ("all tasks", 90)
    for name in ("accuracy_folded", "same_in_all", "position_bias_nats", "accuracy_rotations"):
        values = [report.figures[name].value for report in (first, second)]
        weights = [report.figures[name].n for report in (first, second)]
        assert both.figures[name].value == pytest.approx(np.average(values, weights=weights), abs=1e-12)
    assert "all tasks: 90 questions" in both.to_text()


def test_without_a_question_with_scores_nothing_is_said(tmp_path, write_probe):
    documents, _ = answers(questions([2, 3]), [[0.0, 1.0], [0.0, 1.0, 2.0]], [0.0] * 3)
    scores = [[float("nan")] * len(document["choices"]) for document in documents]
    (report,) = describe_rotations([fold(tmp_path, write_probe, documents, scores)])
    assert (report.unscored, report.figures["accuracy_folded"].value) == (2, None)
    assert "undefined" in report.to_text()
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kind", ["a letter is impossible", "always the first letter", "knows all", "no gold option"])
def test_extreme_models_give_numbers_or_none(kind, tmp_path, write_probe):
    _, documents, scores = noisy(60, [1.0, 0.0, 0.0, -1.0])
    if kind == "a letter is impossible":
        scores = [[float("-inf") if i == 2 else value for i, value in enumerate(row)] for row in scores]
    elif kind == "always the first letter":
        scores = [[-1.0] * len(row) for row in scores]
    elif kind == "knows all":
        scores = [
            [-9.0 * (i != d["answer"]) for i in range(len(row))] for d, row in zip(documents, scores, strict=True)
        ]
    else:
        documents = [{**document, "answer": -1} for document in documents]
    (report,) = describe_rotations([fold(tmp_path, write_probe, documents, scores)])
    json.dumps(report.to_dict(), allow_nan=False)
    figures, rstd = report.figures, report.rstd["4"]
    if kind == "a letter is impossible":
        # Each option is impossible in one of the rotations.
        assert (figures["accuracy_folded"].value, figures["changed_answers"].value) == (None, None)
        assert all(found.agreement.value is None for found in report.corrections.values())
    elif kind == "always the first letter":
        # Recall is 1 of the first letter, and 0 of the three others.
        assert rstd.value == pytest.approx(np.sqrt(3) / 4)
        assert (rstd.ci_low, rstd.warnings, figures["same_in_all"].value) == (None, ("constant",), 0.0)
    elif kind == "knows all":
        assert (rstd.value, figures["same_in_all"].value, figures["accuracy_folded"].value) == (0.0, 1.0, 1.0)
    else:
        assert (rstd.value, figures["accuracy_asked"].value) == (None, None)
        assert 0 < figures["same_in_all"].value < 1
