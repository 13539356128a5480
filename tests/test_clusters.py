"""Questions that share something: found, named, and counted as clusters."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from consistency import compare
from consistency.cli import main
from consistency.comparison import clusters
from consistency.errors import InputError
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares, paired_change
from consistency.statistics.shares import rate

Documents = list[dict[str, Any]]
Pair = Callable[..., tuple[Path, Path]]


@pytest.fixture
def write_pair(write_probe, tmp_path) -> Pair:
    """Write two logs of some tasks: documents by task, and the rows that each run answers right."""

    def write(
        tasks: dict[str, Documents], right: Sequence[dict[str, Sequence[bool]]] | None = None, seed: int = 0
    ) -> tuple[Path, Path]:
        rng = np.random.default_rng(seed)
        for name, answered in zip(("before", "after"), right or ({}, {}), strict=True):
            for task, documents in tasks.items():
                scores = rng.normal(-4, 1, (len(documents), 4))
                for row, document in enumerate(documents):
                    hit = answered[task][row] if task in answered else rng.random() < 0.5
                    scores[row, (document["answer"] + (0 if hit else 1)) % 4] = 0.0
                write_probe(tmp_path / name, documents, scores.tolist(), task)
        return tmp_path / "before", tmp_path / "after"

    return write


def questions(n: int, prefix: str = "", seed: int = 1, **fields: Callable[[int], Any]) -> Documents:
    gold = np.random.default_rng(seed).integers(0, 4, n).tolist()
    return [
        {
            "question": f"{prefix} number {i}?",
            "choices": [*"wxyz"],
            "answer": gold[i],
            **{k: f(i) for k, f in fields.items()},
        }
        for i in range(n)
    ]


def passage(number: int) -> str:
    return f"Passage {number} tells of a town by the sea. " * 8


def without_one(values: np.ndarray, clusters: np.ndarray) -> float:
    """The jackknife's standard error of a mean, by leaving out each cluster."""
    groups = np.unique(clusters)
    left = np.array([values[clusters != group].mean() for group in groups])
    return float(np.sqrt((len(groups) - 1) / len(groups) * ((left - values.mean()) ** 2).sum()))


def test_questions_of_a_passage_are_clusters(write_pair) -> None:
    documents = questions(120, passage=lambda i: passage(i // 4))
    result = compare(*write_pair({"reading": documents}))
    (found,) = result.clusters
    assert (found.kind, found.field, found.tasks, found.questions, found.clusters) == (
        *("passage", "passage", ("reading",)),
        *(120, 30),
    )
    section, items = result.by_task["reading"], result.items["reading"]
    of_kl = section.estimates["kl"]
    assert of_kl.unit == "question cluster"
    assert of_kl.se == pytest.approx(without_one(items["kl"], np.repeat(np.arange(30), 4)))
    alone = compare(*write_pair({"reading": documents}), cluster="none")
    assert (alone.clusters, alone.by_task["reading"].estimates["kl"].unit) == ((), "question")


def test_a_passage_at_the_beginning_of_the_question_is_found(write_pair) -> None:
    documents = questions(60)
    for row, document in enumerate(documents):
        document["question"] = f"Read this.\n{passage(row // 3)}\n{document['question']}"
    assert [(item.kind, item.clusters) for item in compare(*write_pair({"history": documents})).clusters] == [
        ("passage", 20)
    ]


def test_an_instruction_in_every_document_is_no_passage(write_pair) -> None:
    documents = questions(60, instruction=lambda _: "Answer with the letter of the right option. " * 10)
    assert compare(*write_pair({"exam": documents})).clusters == ()


def test_a_field_that_is_empty_in_every_document_is_no_passage(write_pair) -> None:
    documents = questions(120, passage=lambda i: passage(i // 4), explanation=lambda i: "")
    found = compare(*write_pair({"reading": documents})).clusters
    assert [item.field for item in found] == ["passage"]


def test_one_question_in_two_tasks_is_asked_once(write_pair) -> None:
    """The same 40 questions under two names: 5 of 40 turn, which is what one of the tasks shows alone."""
    documents = questions(40)
    before = [True] * 40
    after = [i >= 5 for i in range(40)]
    right = ({"exam": before, "copy": before}, {"exam": after, "copy": after})
    result = compare(*write_pair({"exam": documents, "copy": documents}, right))
    assert [(item.kind, item.questions, item.clusters) for item in result.clusters] == [("repeated", 80, 40)]
    assert result.overall is not None
    assert result.overall.sign_flip_p == pytest.approx(stats.binomtest(5, 5).pvalue)
    alone = compare(*write_pair({"exam": documents}, ({"exam": before}, {"exam": after}))).main
    ours, one = result.overall.estimates["delta_accuracy"], alone.estimates["delta_accuracy"]
    assert ours.effective_n == pytest.approx(40, rel=0.02)
    assert ours.ci_low == pytest.approx(one.ci_low, abs=0.01)


def test_translations_are_clusters_across_tasks(write_pair) -> None:
    tasks = {name: questions(50, prefix) for name, prefix in (("sums_de", "Frage"), ("sums_fr", "Question"))}
    tasks["other"] = questions(50, "Other", seed=9)
    result = compare(*write_pair(tasks))
    (found,) = result.clusters
    assert (found.kind, found.tasks, found.questions, found.clusters) == (
        "parallel",
        ("sums_de", "sums_fr"),
        100,
        50,
    )
    items = result.items
    values = np.concatenate([items[name]["delta_gold"] for name in result.by_task])
    places = {"sums_de": 0, "sums_fr": 0, "other": 50}
    clusters = np.concatenate([np.arange(50) + places[name] for name in result.by_task])
    assert result.overall is not None
    assert result.overall.estimates["delta_gold"].se == pytest.approx(without_one(values, clusters))


def test_tasks_with_the_same_labels_in_sorted_order_are_not_taken_for_translations(write_pair) -> None:
    tasks = {name: questions(80, name) for name in ("one", "two")}
    for documents in tasks.values():
        for row, document in enumerate(documents):
            document["answer"] = row // 20
    assert compare(*write_pair(tasks)).clusters == ()


def test_a_field_that_is_named_makes_clusters(write_pair) -> None:
    tasks = {
        "exam": questions(60, "exam", meta=lambda i: {"topic": i // 6}),
        "quiz": questions(30, "quiz", seed=2),
    }
    result = compare(*write_pair(tasks), cluster="meta.topic")
    (found,) = result.clusters
    assert (found.kind, found.clusters, found.without) == ("field", 10, ("quiz",))
    assert result.by_task["exam"].estimates["kl"].unit == "question cluster"
    assert result.by_task["quiz"].estimates["kl"].unit == "question"
    paths = write_pair(tasks)
    assert {item.kind for item in compare(*paths, cluster="doc_id").clusters} == {"field"}
    with pytest.raises(InputError, match=r"topic.*question, choices, answer, meta"):
        compare(*paths, cluster="topic")


def test_sampled_tasks_and_shared_questions_are_both_counted(write_pair) -> None:
    tasks = {f"sums_{language}": questions(40, language) for language in ("de", "en", "fr", "it", "zh", "ja")}
    result = compare(*write_pair(tasks), task_sampling="sampled")
    assert result.overall is not None
    found = result.overall.estimates["delta_gold"]
    values = np.concatenate([result.items[name]["delta_gold"] for name in result.by_task])
    of_task, of_question = np.repeat(np.arange(6), 40), np.tile(np.arange(40), 6)
    parts = [without_one(values, labels) for labels in (of_task, of_question, np.arange(240))]
    variance = max(parts[0] ** 2 + parts[1] ** 2 - parts[2] ** 2, parts[0] ** 2, parts[1] ** 2)
    assert (found.unit, found.se) == ("both", pytest.approx(np.sqrt(variance)))
    assert result.overall.sign_flip_p is not None


def test_clusters_in_fixed_tasks_by_leaving_out_each(write_pair) -> None:
    """Two equal tasks that ask the same questions: leaving out a question leaves it out of both."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=60) + np.tile(rng.normal(size=30), 2)
    task, question = np.repeat([0, 1], 30), np.tile(np.arange(30), 2)
    found = mean(x, strata=task, clusters=question)
    assert found.se == pytest.approx(x.reshape(2, 30).mean(axis=0).std(ddof=1) / np.sqrt(30))
    assert found.df == pytest.approx(29)
    # Without clusters it is the stratified variance.
    alone = mean(x, strata=task, clusters=np.arange(60))
    parts = [values.var(ddof=1) / 30 / 4 for values in np.split(x, 2)]
    assert alone.se == pytest.approx(np.sqrt(sum(parts)))
    assert alone.se == pytest.approx(mean(x, strata=task).se)


def test_clusters_of_one_question_change_nothing() -> None:
    rng = np.random.default_rng(4)
    before, after = (rng.random(200) < 0.6).astype(float), (rng.random(200) < 0.5).astype(float)
    lost, won = int((after < before).sum()), int((after > before).sum())
    single = change_of_shares(before, after, clusters=np.arange(200))
    plain = paired_change(lost, won, 200)
    assert single.effective_n == pytest.approx(200)
    assert single.se == pytest.approx(plain.se)
    # Student's quantile instead of the normal one: half a per cent wider.
    assert single.ci_low == pytest.approx(plain.ci_low, abs=0.001)
    share = rate(before, clusters=np.arange(200))
    assert (share.ci_low, share.ci_high) == pytest.approx((rate(before).ci_low, rate(before).ci_high), abs=0.001)


def test_questions_that_all_change_together_count_once() -> None:
    """Every passage's four questions turn together: the interval is that of a quarter of the questions."""
    one_before, one_after = np.repeat([1.0, 0.0], [30, 20]), np.repeat([0.0, 1.0, 0.0], [6, 28, 16])
    four = change_of_shares(np.repeat(one_before, 4), np.repeat(one_after, 4), clusters=np.repeat(np.arange(50), 4))
    assert four.effective_n == pytest.approx(50, rel=0.02)
    assert four.value == pytest.approx((one_after - one_before).mean())


def test_reports_of_clustered_logs_are_compared_over_clusters(write_pair, tmp_path) -> None:
    from consistency import write_comparison
    from consistency.report.differences.matching import compare_reports

    documents = questions(80, passage=lambda i: passage(i // 4))
    results = []
    for seed in (0, 1):
        result = compare(*write_pair({"reading": documents}, seed=seed))
        write_comparison(result, tmp_path / f"report{seed}")
        results.append(result.items["reading"]["kl"])
    content = json.loads((tmp_path / "report0" / "report.json").read_text())["comparison"]
    assert (content["task_sampling"], content["clusters"][0]["clusters"]) == ("fixed", 20)
    between = compare_reports(tmp_path / "report0", tmp_path / "report1")
    (item,) = [one for one in between.differences if one.measure.name == "kl" and one.place["section"] == "reading"]
    expected = without_one(results[1] - results[0], np.repeat(np.arange(20), 4))
    assert item.estimate.se == pytest.approx(expected)


def test_the_command_names_what_it_counts_as_clusters(write_pair, monkeypatch, capsys) -> None:
    before, after = write_pair({"reading": questions(80, passage=lambda i: passage(i // 4))})

    def run(*more: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr("sys.argv", ["consistency", "compare", str(before), str(after), *more])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out + captured.err

    code, text = run()
    assert (code, "20 clusters" in text) == (0, True)
    assert run("--tasks", "sampled", "--cluster", "none")[0] == 0
    code, text = run("--cluster", "chapter")
    assert (code, "chapter" in text, text.count("\n")) == (2, True, 1)


def test_translations_that_lack_a_question_each_are_found(write_pair) -> None:
    tasks = {language: questions(60, language) for language in ("de", "en", "fr", "it")}
    before, after = write_pair(tasks)
    for row, language in enumerate(tasks):
        (path,) = before.glob(f"samples_{language}_*.jsonl")
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:row] + lines[row + 1 :]))
    (found,) = compare(before, after).clusters
    assert (found.kind, found.questions, found.clusters) == ("parallel", 4 * 59, 60)


def test_answers_in_a_regular_order_do_not_make_translations(write_pair) -> None:
    tasks = {name: questions(80, name) for name in ("one", "two")}
    for documents in tasks.values():
        for row, document in enumerate(documents):
            document["answer"] = row % 4
    assert compare(*write_pair(tasks)).clusters == ()


def test_few_clusters_are_taken_as_alike() -> None:
    """Twelve passages of forty questions: whether one or all of a passage's questions turn cannot be told."""
    rng = np.random.default_rng(5)
    passages = np.repeat(np.arange(12), 40)
    covered = 0
    for _ in range(100):
        common, own = rng.random(12) < 0.1, rng.random(480) < 0.1
        happened = np.where(rng.random(480) < np.sqrt(0.2), common[passages], own).astype(float)
        found = rate(happened, clusters=passages)
        assert found.ci_low is not None
        assert found.ci_high is not None
        covered += found.ci_low <= 0.1 <= found.ci_high
    assert covered >= 93


def test_metrics_of_zeros_and_ones_have_the_intervals_of_shares(write_pair) -> None:
    """The harness's acc is what accuracy is made of: one interval for one number."""
    section = compare(*write_pair({"exam": questions(50)})).by_task["exam"]
    metric = (section.metrics or {})["acc"]
    for mine, other in (
        (metric.before, section.estimates["accuracy_before"]),
        (metric.delta, section.estimates["delta_accuracy"]),
    ):
        assert (mine.ci_low, mine.ci_high) == (other.ci_low, other.ci_high)


def test_the_mean_of_tasks_has_an_interval_within_its_range(write_pair) -> None:
    right = {"one": [True] * 40, "two": [True] * 40}
    result = compare(*write_pair({name: questions(40, name, seed) for seed, name in enumerate(right)}, (right, right)))
    assert result.overall is not None
    macro = result.overall.macro or {}
    low, high = stats.binomtest(80, 80).proportion_ci(method="wilson")
    assert (macro["accuracy_after"].ci_low, macro["accuracy_after"].ci_high) == pytest.approx((low, high))
    one = paired_change(0, 0, 40)
    assert macro["delta_accuracy"].ci_high == pytest.approx(one.ci_high / np.sqrt(2))


@pytest.mark.parametrize("options", [2, 4])
@pytest.mark.parametrize("size", [20, 29, 80, 110, 300])
def test_alike_tasks_are_found_without_comparing_all(size, options) -> None:
    """Every pair that comparing finds is among the candidates: also shorter tasks, and with nine answers of ten alike."""
    rng = np.random.default_rng(size)
    index, kept, missed, found, compared = clusters._Alike(), [], 0, 0, 0
    for number in range(300):
        n = int(rng.integers(int(0.85 * size), size + 1)) if size > 29 else size
        right = rng.integers(0, options, n)
        if number % 3 == 2:
            # Of the task before, with as many other answers as allowed.
            right = kept[-1][1][:n].copy()
            wrong = rng.permutation(len(right))[: len(right) // 10]
            right[wrong] = (right[wrong] + 1) % options
        own = (np.arange(len(right)), right)
        near = index.near(own)
        alike = [place for place, other in enumerate(kept) if clusters._same_answers(other, own)]
        found += len(alike)
        missed += len(set(alike) - set(near))
        compared += len(near)
        index.add(len(kept), own)
        kept.append(own)
    assert missed == 0
    # Few answers, and those of two options, agree by chance.
    assert found > 60 or size < 80 or options * size < 320
    assert compared < (0.5 if options == 2 else 0.02) * 300 * 299 / 2


def test_tasks_of_constant_answers_are_not_compared_with_each_other() -> None:
    index = clusters._Alike()
    for number, right in enumerate([np.zeros(50, dtype=np.int64), np.repeat(np.arange(2), 25)]):
        index.add(number, (np.arange(50), right))
        assert index.near((np.arange(50), right)) == []
