"""Every kind of task through the real lm_eval, and through two releases of it: our numbers are those of its results files."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import consistency
from consistency.world.model import BASE_MODEL

pytest.importorskip("lm_eval")
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import try_harness
from compare_releases import (
    TASKS,
    all_tasks,
    evaluate,
    make_environment,
    metric_values,
    print_differences,
    results_file,
    task_differences,
)

INSTALLED = version("lm_eval")
OTHER = "0.4.13" if INSTALLED != "0.4.13" else "0.4.11"
SIDES = ("before", "after")
# What only lm_eval can aggregate: a constant, two functions of a task's own, and a median, which depends on its release.
UNREADABLE = {("kind_bypass", "bypass"), *(("kind_corpus", name) for name in ("distinct_words", "longest", "middle"))}
SAMPLED = {"kind_humaneval", "kind_majority"}
Sections = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two cores are busy with two files of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def noisy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model with noise on its weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("noisy")
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights += 0.4 * weights.std() * torch.randn(weights.shape, generator=generator)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(BASE_MODEL).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate(sys.executable, BASE_MODEL, all_tasks(TASKS), tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def after(noisy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate(sys.executable, noisy_model, all_tasks(TASKS), tmp_path_factory.mktemp("after"))


@pytest.fixture(scope="module")
def other_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    asked = [sys.executable, "-m", "pip", "--retries", "0", "--timeout", "10", "index", "versions", "lm_eval"]
    if OTHER not in subprocess.run(asked, capture_output=True, text=True, timeout=120).stdout:
        pytest.skip(f"pip reaches no index that has lm_eval {OTHER}")
    return make_environment(OTHER, tmp_path_factory.mktemp("other") / "environment")


@pytest.fixture(scope="module")
def after_other_release(noisy_model: Path, other_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate(other_release, noisy_model, all_tasks(TASKS), tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def models(before: Path, after: Path) -> Sections:
    return compared(before, after)


@pytest.fixture(scope="module")
def releases(after: Path, after_other_release: Path) -> Sections:
    return compared(after, after_other_release)


def compared(first: Path, second: Path) -> Sections:
    return json.loads(json.dumps(consistency.compare(first, second).to_dict()))


def harness(log: Path) -> Sections:
    return json.loads(results_file(log).read_text(encoding="utf-8"))


def our_value(found: Sections, name: str, metric: str, filtered: str, side: str) -> float | None:
    """What a comparison says of a metric; None where it is not compared."""
    section = found["by_group"].get(name) or found["by_task"].get(name, {})
    if "filter" in section and section["filter"] != filtered:
        section = section["other_filters"].get(filtered, {})
    change = section.get("metrics", {}).get(metric)
    return None if change is None else change[side]["value"]


def differences_from(log: Path, found: Sections, side: str) -> list[str]:
    """The metrics of a results file that a comparison has otherwise, or has not and does not name."""
    lines = []
    for name, results in harness(log)["results"].items():
        named = {item["metric"] for item in found["by_task"].get(name, {}).get("uncompared", ())}
        for key, value in metric_values(results).items():
            metric, _, filtered = key.partition(",")
            ours = our_value(found, name, metric, filtered, side)
            if ours is None:
                if metric not in named or (name, metric) not in UNREADABLE:
                    lines.append(f"{name} {key}: not compared, lm_eval has {value}")
            elif not math.isclose(ours, value, rel_tol=1e-9, abs_tol=1e-9):
                lines.append(f"{name} {key}: {ours}, lm_eval has {value}")
    return lines


@pytest.mark.parametrize("side", SIDES)
def test_every_metric_is_that_of_the_results_file(models: Sections, before: Path, after: Path, side: str) -> None:
    log = {"before": before, "after": after}[side]
    assert sum(len(metric_values(results)) for results in harness(log)["results"].values()) > 60
    assert "\n".join(differences_from(log, models, side)) == ""


def test_the_two_models_differ(before: Path, after: Path) -> None:
    one, other = (harness(log)["results"] for log in (before, after))
    changed = [(name, key) for name in one for key in metric_values(one[name]) if one[name][key] != other[name][key]]
    assert len(changed) > 30


def test_every_question_is_compared(models: Sections, before: Path) -> None:
    asked = {name: count["effective"] for name, count in harness(before)["n-samples"].items()}
    assert {name: section["n"] for name, section in models["by_task"].items()} == asked


def test_every_group_with_a_metric_is_compared(models: Sections, before: Path) -> None:
    assert set(harness(before)["groups"]) == {"kind_world", "kind_natural", "kind_social", "kind_phrases", "kind_pro"}
    assert set(harness(before)["groups"]) <= set(models["by_group"])


@pytest.mark.parametrize("side", SIDES)
def test_both_releases_have_the_metrics_of_their_results_files(
    releases: Sections, after: Path, after_other_release: Path, side: str
) -> None:
    log = {"before": after, "after": after_other_release}[side]
    assert harness(log)["lm_eval_version"] == {"before": INSTALLED, "after": OTHER}[side]
    assert "\n".join(differences_from(log, releases, side)) == ""


def test_all_questions_of_two_releases_pair(releases: Sections, after: Path) -> None:
    asked = {name: count["effective"] for name, count in harness(after)["n-samples"].items()}
    assert {name: section["n"] for name, section in releases["by_task"].items()} == asked
    assert releases["unpaired"] == []
    assert releases["task_names"] == {"renamed": {}, "only_before": [], "only_after": []}


def test_two_releases_score_alike(after: Path, after_other_release: Path) -> None:
    found = {row.task: row for row in task_differences(after, after_other_release, {})}
    logprobs = {task: row.logprob for task, row in found.items() if not math.isnan(row.logprob)}
    assert {"kind_choice", "kind_mutual_info", "kind_lambada", "kind_wikitext"} <= set(logprobs)
    assert max(logprobs.values()) < 1e-4
    answered = {task: row.answers for task, row in found.items() if row.of and task not in SAMPLED}
    assert set(answered.values()) == {0}
    assert {"kind_gsm8k", "kind_squad", "kind_pro_history"} <= set(answered)


def test_what_differs_between_two_releases_is_named(
    releases: Sections, after: Path, after_other_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (releases["before"]["lm_eval_version"], releases["after"]["lm_eval_version"]) == (INSTALLED, OTHER)
    found = {row.task: row.metrics for row in task_differences(after, after_other_release, {}) if row.metrics}
    # From 0.4.13 on, a median is that of the sorted values.
    assert set(found) - SAMPLED == {"kind_corpus"}
    ((name, values),) = found["kind_corpus"].items()
    assert name == "middle,none"
    assert values[0] != values[1]
    assert "middle" in {item["metric"] for item in releases["by_task"]["kind_corpus"]["uncompared"]}
    print_differences(after, after_other_release)
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("kind_corpus ") and "→" in line)
    assert line.split()[1] == "20"
    assert f"middle,none {values[0]:.6g} → {values[1]:.6g}" in line


def test_the_logprobs_of_shared_prefixes_with_the_other_release_are_those_of_the_model(
    other_release: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "log"
    found = try_harness.evaluate(("-m", "consistency", "eval"), out, python=other_release, limit=2)
    assert isinstance(found, dict), found
    assert harness(out)["lm_eval_version"] == OTHER
    (log,) = out.rglob("samples_*.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32)
    for row in map(json.loads, log.read_text().splitlines()):
        for number, logprob in enumerate(found[row["doc_id"]]):
            context, answer = row["arguments"][f"gen_args_{number}"].values()
            before, both = (tokenizer(text)["input_ids"] for text in (context, context + answer))
            with torch.no_grad():
                scores = model(torch.tensor([both])).logits[0].log_softmax(-1)
            at = range(len(before), len(both))
            assert sum(float(scores[i - 1, both[i]]) for i in at) == pytest.approx(logprob, abs=1e-4)
