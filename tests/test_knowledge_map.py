"""Categories by hand, intervals against statsmodels, calibration against its definition, and the files of a map."""

import itertools
import json

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.errors import InputError
from consistency.knowledge.categories import categorise, favours_gold, split_rotations
from consistency.knowledge.map import Known, read_map, summary
from consistency.knowledge.map_figure import write_map
from consistency.knowledge.probes import read_probe
from consistency.logs.runs import read_run
from consistency.statistics.shares import wilson
from consistency.support.text import markdown
from consistency.training_data.audit import audit
from consistency.training_data.audit_page import page
from consistency.training_data.write import Sources, write_groups

LETTERS = ["x", "y", "z", "w"]


def document(number: int, **more: object) -> dict:
    return {"id": f"q{number}", "question": f"Question {number}?", "choices": LETTERS, "answer": 0} | more


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 7), (500, 1000), (1, 100_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_an_interval_is_wilsons(count, of, confidence):
    found = wilson(count, of, confidence)
    low, high = proportion_confint(count, of, alpha=1 - confidence, method="wilson")
    assert found.share == count / of
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-12)
    assert wilson(0, 0).to_text() == "–"


@pytest.mark.parametrize(
    ("right", "gold", "category"),
    [
        ([1, 1, 1], [0.9, 0.5, 0.4], "HighlyKnown"),
        ([1, 0, 1], [0.9, 0.1, 0.4], "MaybeKnown"),
        ([0, 0, 1], [0.0, 0.0, 0.3], "MaybeKnown"),
        ([0, 0, 0], [0.3, 0.3, 0.16], "WeaklyKnown"),
        ([0, 0, 0], [0.3, 0.3, 0.15], "Unknown"),
        ([0, 0, 0], [0.0, 0.0, 0.1], "Unknown"),
        ([1, 0, 0], [0.6, np.nan, np.nan], None),
        ([1, 0, 1], [0.6, np.nan, 0.5], "HighlyKnown"),
        ([0, 0, 0], [0.3, np.nan, 0.21], "WeaklyKnown"),
    ],
)
def test_the_category_of_a_question_of_four_options(right, gold, category):
    columns = np.array(right, dtype=bool)[:, None], np.array(gold, dtype=float)[:, None]
    assert categorise(*columns, np.array([4])) == [category]


def test_chance_depends_on_the_number_of_options():
    right, gold = np.zeros((2, 2), dtype=bool), np.full((2, 2), 0.3)
    assert categorise(right, gold, np.array([3, 4])) == ["Unknown", "WeaklyKnown"]


def test_several_probes_of_the_same_questions_make_categories(tmp_path, write_probe):
    """Four questions under two sets of shots, one of them with its options in another order."""
    shown = [document(number) for number in range(4)]
    turned = [d | {"choices": LETTERS[::-1], "answer": 3} for d in shown]
    sure, other, hint, none = [0, -3, -3, -3], [-3, 0, -3, -3], [-0.5, 0, -3, -3], [-3, 0, -0.5, -3]
    write_probe(tmp_path / "a", shown, [sure, sure, hint, none], "consistency_history_icl")
    turned_scores = [s[::-1] for s in (sure, other, hint, none)]
    write_probe(tmp_path / "b", turned, turned_scores, "consistency_history_icl_paper")
    found = read_map([tmp_path / "a", tmp_path / "b"])
    assert [q.category for q in found.questions] == ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
    assert [q.label for q in found.questions] == ["known", "known", "misbelieved", "misbelieved"]
    assert {q.domain for q in found.questions} == {"history"}
    assert found.coverage.probes == ("consistency_history_icl", "consistency_history_icl_paper")
    assert [q.category for q in read_map([tmp_path / "a"]).questions] == [None] * 4
    assert read_map([tmp_path / "a"]).to_dict()["categories"] is None


def test_each_rotation_is_a_probe_and_all_together_label(tmp_path, write_probe):
    documents = [document(0, rotation=r, choices=LETTERS[r:] + LETTERS[:r], answer=(0 - r) % 4) for r in range(4)]
    # The model answers A whatever stands there.
    write_probe(tmp_path, documents, [[0, -2, -2, -2]] * 4, "consistency_history_icl_cyclic")
    (question,) = read_map([tmp_path]).questions
    assert (question.category, question.category_gekhman) == ("Unknown", "MaybeKnown")
    assert question.confidence == pytest.approx(0.25)
    assert question.label == "unsure"


def rotated(number: int, gold: int) -> list[dict]:
    """A question in its four rotations."""
    return [document(number, rotation=r, choices=LETTERS[r:] + LETTERS[:r], answer=(gold - r) % 4) for r in range(4)]


def test_rotations_tell_knowledge_from_letters(tmp_path, write_probe):
    """The model always answers the gold option; always C; always C, with a hint of gold; in three of four rotations gold."""
    documents = [shown for number, gold in enumerate((0, 1, 3, 2)) for shown in rotated(number, gold)]
    scores = []
    for row, shown in enumerate(documents):
        logits = np.zeros(4)
        number, r = divmod(row, 4)
        if number in (0, 3):
            logits[shown["answer"] if (number, r) != (3, 2) else (shown["answer"] + 1) % 4] += 4
        else:
            logits[2] += 4
            logits[shown["answer"]] += 2 * (number == 2)
        scores.append(np.log(np.exp(logits) / np.exp(logits).sum()).tolist())
    write_probe(tmp_path, documents, scores, "consistency_history_icl_cyclic")
    found = read_map([tmp_path])
    assert [q.category for q in found.questions] == ["HighlyKnown", "Unknown", "MaybeKnown", "MaybeKnown"]
    assert [q.category_gekhman for q in found.questions] == ["HighlyKnown", *["MaybeKnown"] * 3]
    figures = found.to_dict()
    assert (figures["categories"]["Unknown"]["count"], figures["categories_gekhman"]["Unknown"]["count"]) == (1, 0)
    assert figures["known_by_chance"] == 0.08


def answered(options: tuple[int, ...]) -> np.ndarray:
    """The probabilities of a sure model that answers these options, one in each rotation; the gold option is 0."""
    k = len(options)
    square = np.zeros((k, k))
    for r, option in enumerate(options):
        square[r, (option - r) % k] = 1.0
    return square


@pytest.mark.parametrize("k", [3, 4, 5])
def test_the_gold_option_is_tested_as_in_a_latin_square(k):
    """Against least squares with dummies of rotations, letters and options, whose first option's effect is tested."""
    rng = np.random.default_rng(k)
    squares = rng.dirichlet(np.ones(k), (60, k))
    squares[:30, np.arange(k), -np.arange(k) % k] += 0.5
    squares /= squares.sum(axis=2, keepdims=True)
    r, letter = np.divmod(np.arange(k * k), k)
    option = (letter + r) % k

    def effects(codes: np.ndarray) -> np.ndarray:
        return np.array([(codes == level) * 1.0 - (codes == k - 1) for level in range(k - 1)])

    design = np.vstack([np.ones(k * k), effects(option), effects(letter), effects(r)]).T
    expected = []
    for square in squares:
        y = square.ravel()
        beta, (squared,), *_ = np.linalg.lstsq(design, y, rcond=None)
        df = k * k - design.shape[1]
        error = np.sqrt(squared / df * np.linalg.inv(design.T @ design)[1, 1])
        expected.append(stats.t.sf(beta[1] / error, df) < 0.05)
    assert 5 < sum(expected) < 55
    assert favours_gold(squares).tolist() == expected


def test_of_all_ways_to_guess_few_look_like_knowledge():
    """A sure model of four options answers in 4^4 ways; a letter throughout is 4 of them; gold in 3 of 4 rotations 12."""
    ways = list(itertools.product(range(4), repeat=4))
    found = dict(zip(ways, favours_gold(np.stack([answered(way) for way in ways])), strict=True))
    assert not any(found[tuple((letter + r) % 4 for r in range(4))] for letter in range(4))
    by_hits = {hits: [found[way] for way in ways if way.count(0) == hits] for hits in range(5)}
    assert [len(by_hits[hits]) for hits in range(5)] == [81, 108, 54, 12, 1]
    assert [sum(by_hits[hits]) for hits in (0, 1, 3, 4)] == [0, 0, 12, 1]
    assert sum(found.values()) / 256 < 0.08
    # Of two options, letters and knowledge are told apart only where both rotations are right.
    assert favours_gold(np.stack([answered(way) for way in itertools.product(range(2), repeat=2)])).sum() == 0


def test_what_guessing_gives_is_said(tmp_path, write_probe):
    """Two sets of shots, four options: a guesser is right at least once with 1 - (3/4)²."""
    shown = [document(number) for number in range(2)]
    for name, task in (("a", "consistency_history_icl"), ("b", "consistency_history_icl_paper")):
        write_probe(tmp_path / name, shown, [[0, -3, -3, -3]] * 2, task)
    found = read_map([tmp_path / "a", tmp_path / "b"])
    assert found.to_dict()["known_by_chance"] == pytest.approx(7 / 16)
    assert read_map([tmp_path / "a"]).to_dict()["known_by_chance"] is None


def test_only_rotated_tasks_are_split_by_a_rotation_that_is_a_number(tmp_path, write_probe):
    turned = [document(0, rotation="left"), document(1, rotation="right"), document(2, rotation=1)]
    write_probe(tmp_path / "own", turned, [[0, -2, -2, -2]] * 3, "mirrors")
    found = read_map([tmp_path / "own"])
    assert [(q.id, q.label, q.category) for q in found.questions] == [(f"q{n}", "known", None) for n in range(3)]
    path = write_probe(tmp_path / "cyclic", turned, [[0, -2, -2, -2]] * 3, "mirrors_cyclic")
    (scores,) = read_run(path).tasks.values()
    with pytest.raises(InputError, match=r"document 0 of mirrors_cyclic: .*rotation") as error:
        split_rotations(scores)
    assert (error.value.path, error.value.line) == (path, 1)


def known(confidence: float, right: bool, subject: str = "s") -> Known:
    label = "unsure" if confidence <= 0.5 else "known" if right else "misbelieved"
    return Known(0, "d", subject, label, None, confidence, 0, 0 if right else 1)


def test_calibration_is_expected_calibration_error_over_tenths():
    questions = [known(0.95, True), known(0.91, False), known(0.55, True), known(0.5, False), known(1.0, True)]
    figures = summary(questions)
    assert figures["labels"]["known"]["count"] == 3
    assert [(item["low"], item["n"]) for item in figures["calibration"]] == [(0.4, 1), (0.5, 1), (0.9, 3)]
    gaps = [1 * abs(0.5 - 0), 1 * abs(0.55 - 1), 3 * abs((0.95 + 0.91 + 1.0) / 3 - 2 / 3)]
    assert figures["calibration_error"] == pytest.approx(sum(gaps) / 5, rel=1e-12)
    estimate = figures["calibration_error_debiased"]
    assert estimate["ci_low"] <= estimate["value"] < figures["calibration_error"] < estimate["ci_high"]
    assert figures["accuracy"]["share"] == 0.6
    assert figures["mean_confidence"] == pytest.approx(np.mean([0.95, 0.91, 0.55, 0.5, 1.0]), rel=1e-12)
    low, _ = proportion_confint(2, 3, method="wilson")
    assert figures["calibration"][-1]["accuracy"]["ci_low"] == pytest.approx(low, abs=1e-12)


def test_real_logs_of_two_settings_are_mapped_and_written(test_data, tmp_path):
    """Counted from the logs by their own `acc`: 57 right in both settings, 19 and 30 in one."""
    logs = test_data / "harness_logs"
    found = read_map([logs / "qwen2.5-1.5b-instruct-0shot", logs / "qwen2.5-1.5b-instruct-5shot"])
    write_map(found, tmp_path / "map")
    assert sorted(path.name for path in (tmp_path / "map").iterdir()) == [
        "labels.jsonl",
        "map.json",
        "map.png",
        "map.svg",
    ]
    figures = json.loads((tmp_path / "map" / "map.json").read_text())
    assert figures["n"] == 200
    assert figures["accuracy"]["count"] == 76
    assert (figures["categories"]["HighlyKnown"]["count"], figures["categories"]["MaybeKnown"]["count"]) == (57, 49)
    assert sum(item["count"] for item in figures["categories"].values()) == 200
    domains = figures["domains"]
    assert set(domains) == {"mmlu_abstract_algebra", "mmlu_college_computer_science"}
    assert sum(domain["labels"]["known"]["count"] for domain in domains.values()) == figures["labels"]["known"]["count"]
    assert sum(item["n"] for item in figures["calibration"]) == 200
    labels = [json.loads(line) for line in (tmp_path / "map" / "labels.jsonl").read_text().splitlines()]
    assert len(labels) == 200
    assert sum(row["answer"] == row["gold"] for row in labels) == 76
    first = {path.name: path.read_bytes() for path in (tmp_path / "map").iterdir()}
    write_map(found, tmp_path / "again")
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first


def test_rows_that_were_left_out_are_named_by_whatever_reads_the_log(tmp_path, write_probe):
    """Two documents have the number 1: the question of the second is not asked."""
    path = write_probe(tmp_path / "logs", [document(n) for n in range(3)], [[-9, -1, -9, -9]] * 3)
    path.write_text(path.read_text().replace('"doc_id": 2', '"doc_id": 1'))
    note = "pool: 1 row repeats a doc_id, 1 of them with another document; the first of each is used"
    mapped = read_map([tmp_path / "logs"])
    assert mapped.to_dict()["n"] == 2
    assert list(mapped.to_dict()["notes"]) == [note]
    assert note in mapped.to_text().splitlines()
    train = tmp_path / "train.jsonl"
    train.write_text(json.dumps(document(0)))
    audited = audit(train, [tmp_path / "logs"])
    assert list(audited.to_dict()["notes"]) == [note]
    assert f"- {markdown(note)}" in page(audited).splitlines()
    written = write_groups(
        read_probe(tmp_path / "logs"), tmp_path / "groups", Sources(general="world"), ["incompatible"]
    )
    assert note in written.to_text().splitlines()
    assert json.loads((tmp_path / "groups" / "incompatible.manifest.json").read_text())["notes"] == [note]
    arguments = ["requests", "--probe", str(tmp_path / "logs"), "--out", str(tmp_path / "r.jsonl")]
    for more in ([], ["--task", "pool"]):
        assert note in CliRunner().invoke(app, [*arguments, *more]).stdout.splitlines()


def test_released_rows_are_mapped_and_what_is_no_question_is_named(test_data, tmp_path, write_probe):
    found = read_map([test_data / "released_groups" / "llama-2-13b" / "engineering"])
    assert found.to_text() == (
        "engineering: 1336 questions, known 50.0 % (47.3 to 52.7), misbelieved 50.0 % (47.3 to 52.7), "
        "unsure 0.0 % (0.0 to 0.3)"
    )
    write_probe(tmp_path, [{"question": "?", "answer": 0}], [[-1, -2]], "bare")
    with pytest.raises(InputError, match=r"no labelled questions \(bare: document 0 of bare"):
        read_map([tmp_path])
    write_probe(tmp_path, [document(0)], [[-1, -2, -3, -4]], "good")
    assert "not mapped: bare (document 0 of bare" in read_map([tmp_path]).to_text()
    with pytest.raises(InputError, match="soap"):
        read_map([tmp_path], ["soap"])
    with pytest.raises(InputError, match="document 0 of bare"):
        read_map([tmp_path], ["bare"])
