from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("lm_eval")

import lm_eval.tasks
from datasets import ClassLabel, Dataset, Features, Value
from lm_eval import evaluator, simple_evaluate, utils
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask, TaskConfig
from lm_eval.loggers import EvaluationTracker, evaluation_tracker
from lm_eval.tasks import TaskManager, get_task_dict

from consistency.support.resources import shipped
from consistency.tasks.harness import letters, question
from consistency.tasks.harness_speed import (
    compiled_templates,
    quick_records,
    shots_rendered_once,
    without_unasked_tasks,
)

TASKS = str(shipped("lm_eval_tasks"))


def test_prompts_are_the_same_with_templates_compiled_once() -> None:
    manager = TaskManager(include_path=TASKS, include_defaults=False)

    def prompts() -> list[Any]:
        # One whose texts are functions, and one of templates as lm_eval's own tasks are.
        name = "consistency_world_medicine_icl"
        templates = {
            "task": "templates",
            "custom_dataset": get_task_dict([name], manager)[name].config.custom_dataset,
            "dataset_kwargs": get_task_dict([name], manager)[name].config.dataset_kwargs,
            "output_type": "multiple_choice",
            "test_split": "test",
            "fewshot_split": "dev",
            "num_fewshot": 2,
            "description": "About {{subject}}.\n\n",
            "doc_to_text": "{{question.strip()}}\n{% for choice in choices %}{{loop.index}}. {{choice}}\n{% endfor %}Answer:",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "answer",
        }
        found = []
        for task in (get_task_dict([name], manager)[name], ConfigurableTask(config=templates)):
            task.set_fewshot_seed(7)
            task.build_all_requests(limit=30, rank=0, world_size=1)
            found.append([item.args for item in task.instances])
        return found

    before = utils.env.from_string
    expected = prompts()
    compiled = []
    count = utils.env.compile
    utils.env.compile = lambda source, *rest, **given: compiled.append(source) or count(source, *rest, **given)
    try:
        with compiled_templates():
            assert prompts() == expected
    finally:
        utils.env.compile = count
    assert len(expected[1]) >= 30
    assert len(compiled) == len(set(compiled))
    assert utils.env.from_string == before


@pytest.fixture(scope="module")
def world() -> TaskConfig:
    name = "consistency_world_medicine_icl"
    found: TaskConfig = get_task_dict([name], TaskManager(include_path=TASKS, include_defaults=False))[name].config
    return found


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"description": "About {{subject}}.\n\n"},
        {"description": "subject"},
        {"description": None},
        {"fewshot_config": {"sampler": "default"}},
        {"fewshot_config": {"sampler": "first_n", "gen_prefix": "{{subject}}:"}},
        {"fewshot_config": {"sampler": "first_n", "split": "test"}},
        {"gen_prefix": "{{subject}}:"},
        {"doc_to_text": "{{question[:9]}}", "target_delimiter": ""},
        {"doc_to_text": question, "doc_to_choice": letters},
    ],
    ids=lambda change: ", ".join(change),
)
@pytest.mark.parametrize("how", [{}, {"system_instruction": "Be brief."}, {"chat": True}], ids=str)
def test_prompts_are_the_same_with_shots_rendered_once(
    world: TaskConfig, change: dict[str, Any], how: dict[str, Any]
) -> None:
    rendered: list[str] = []
    text_of = ConfigurableTask.doc_to_text

    def noted(task: Any, document: dict[str, Any], *way: Any) -> Any:
        rendered.append(document["question"])
        return text_of(task, document, *way)

    with patch.object(ConfigurableTask, "doc_to_text", noted):
        expected, usual = prompts(world, change, **how), len(rendered)
        rendered.clear()
        with shots_rendered_once():
            assert prompts(world, change, **how) == expected
    if (
        change.get("doc_to_text", question) is question
        and set(change) <= {"doc_to_text", "doc_to_choice"}
        and "chat" not in how
    ):
        # All but the first two questions lack their three examples.
        assert usual - len(rendered) == 18 * 3


@pytest.mark.parametrize("place", ["task", "shots"])
@pytest.mark.parametrize("kind", ["function", "template"])
def test_what_draws_at_random_is_rendered_as_often_as_usual(world: TaskConfig, kind: str, place: str) -> None:
    def drawn() -> list[Any]:
        coin = random.Random(3)
        random.seed(3)

        def shown(document: dict[str, Any]) -> str:
            return f"{coin.choice('ab')}: {document['question']}"

        way = {"doc_to_text": shown if kind == "function" else "{{['a', 'b'] | random}}: {{question}}"}
        change = way if place == "task" else {"fewshot_config": {"sampler": "first_n", **way}}
        return prompts(world, {**change, "num_fewshot": 1})

    expected = drawn()
    with shots_rendered_once():
        assert drawn() == expected


def prompts(world: TaskConfig, change: dict[str, Any], *, chat: bool = False, **how: Any) -> list[Any]:
    """What lm_eval asks with a task of templates, the tests' own or those of a change."""
    templates = {
        "task": "templates",
        "custom_dataset": world.custom_dataset,
        "dataset_kwargs": world.dataset_kwargs,
        "output_type": "multiple_choice",
        "test_split": "test",
        "fewshot_split": "dev",
        "num_fewshot": 3,
        "description": "Questions of medicine.\n\n",
        "fewshot_config": {"sampler": "first_n"},
        "doc_to_text": "{{question}}\nAnswer:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "answer",
        **change,
    }
    task = ConfigurableTask(config={key: value for key, value in templates.items() if value is not None})
    task.set_fewshot_seed(7)
    if chat:
        how |= {"apply_chat_template": True, "chat_template": lambda turns, **_: json.dumps(turns)}
    task.build_all_requests(limit=20, rank=0, world_size=1, **how)
    return [item.args for item in task.instances]


def index(*names: str) -> dict[str, Any]:
    with without_unasked_tasks(names):
        found: dict[str, Any] = TaskManager(include_path=TASKS).task_index
    return found


@pytest.mark.parametrize(
    "name", ["consistency_world_medicine_icl", "consistency_world_mmlu_icl", "consistency_icl", "consistency_mmlu_icl"]
)
def test_lm_evals_own_tasks_are_not_read_where_nobody_asks_for_them(name: str) -> None:
    expected = TaskManager(include_path=TASKS, include_defaults=False).task_index
    assert name in expected
    assert index(name) == expected


@pytest.mark.parametrize("names", [("arc_easy",), ("consistency_world_*_icl",), ("consistency_icl", "boolq"), ()])
def test_all_tasks_are_read_where_one_may_be_meant(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bool] = []
    if hasattr(TaskManager, "initialize_tasks"):
        usual = TaskManager.initialize_tasks

        def watched(self: Any, include_path: Any = None, include_defaults: bool = True) -> dict[str, Any]:
            read.append(include_defaults)
            return usual(self, include_path=include_path, include_defaults=False)

        monkeypatch.setattr(TaskManager, "initialize_tasks", watched)
    else:  # from 0.4.12 on
        from lm_eval.tasks._index import TaskIndex

        build, own = TaskIndex.build, Path(lm_eval.tasks.__file__).parent

        def built(paths: Iterable[Path], **how: Any) -> dict[str, Any]:
            paths = list(paths)
            read.append(own in paths)
            return dict(build([path for path in paths if path != own], **how))

        monkeypatch.setattr(TaskIndex, "build", staticmethod(built))
    index(*names)
    assert read[-1] is True


class Answers(LM):  # type: ignore[misc]  # lm_eval has no types
    """Answers by the length of a prompt."""

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Of each request."""
        return [(-len(item.args[0]) / 7 - ord(item.args[1][-1]) % 5, item.doc_id % 3 == 0) for item in requests]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Not asked."""
        raise NotImplementedError

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Not asked."""
        raise NotImplementedError


def test_the_files_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    manager = TaskManager(include_path=TASKS, include_defaults=False)
    names = ["consistency_world_medicine_icl", "consistency_world_medicine_ift"]
    files = []
    for name, context in (("usual", nullcontext), ("quick", quick_records)):
        with context():
            tracker = EvaluationTracker(output_path=str(tmp_path / name))
            results = simple_evaluate(
                Answers(), tasks=names, task_manager=manager, limit=30, log_samples=True, evaluation_tracker=tracker
            )
            table = utils.make_table(results)
            samples = results.pop("samples")
            tracker.save_results_aggregated(results=results, samples=samples)
            for task, found in samples.items():
                tracker.save_results_samples(task_name=task, samples=found)
        written = sorted((tmp_path / name).rglob("*.json*"))
        read = json.loads(written[0].read_text(encoding="utf-8"))
        read = {key: value for key, value in read.items() if "time" not in key and key not in ("date", "config")}
        files.append((table, read, *(path.read_bytes() for path in written[1:])))
    assert len(files[0]) == 2 + len(names)
    assert files[1] == files[0]
    assert evaluator.json is json


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, 1e-7, 10**30, True, None, 'é \u2028 \x7f " \\ /', [], {}, [[]]], "b": {"c": {}}, "": ""},
        {1: 2, None: 3, "x": float("nan")},
        {"half": "\ud800"},
        [],
        {},
    ],
)
def test_indented_text_is_that_of_python(value: Any) -> None:
    expected = [json.dumps(value, indent=indent, ensure_ascii=False, default=str) for indent in (2, None)]
    with quick_records():
        assert [
            evaluator.json.dumps(value, indent=indent, ensure_ascii=False, default=str) for indent in (2, None)
        ] == expected


def test_texts_of_numbers_are_lm_evals() -> None:
    value = [[(-1.5, True), [1e-9, None]], ("a", 2), "b", {"c": 1}]
    expected = evaluation_tracker.sanitize_list(value)
    with quick_records():
        assert evaluation_tracker.sanitize_list(value) == expected == utils.sanitize_list(value)


@pytest.mark.parametrize(
    ("features", "make"),
    [
        (
            None,
            lambda n: {"text": f"t{n}", "choices": ["a"] * (n % 3), "more": {"n": n, "x": None}, "rows": [{"k": n}]},
        ),
        (
            Features({"label": ClassLabel(names=["no", "yes"]), "n": Value("float32")}),
            lambda n: {"label": n % 2, "n": n / 3},
        ),
    ],
)
def test_documents_are_those_of_the_data_set(features: Any, make: Callable[[int], dict[str, Any]]) -> None:
    documents = Dataset.from_list([make(n) for n in range(2500)], features=features)
    task = ConfigurableTask(
        config={
            "task": "t",
            "custom_dataset": lambda **_: {"test": documents},
            "output_type": "multiple_choice",
            "test_split": "test",
            "doc_to_text": "x",
            "doc_to_choice": ["a", "b"],
            "doc_to_target": 0,
        }
    )
    expected = list(task.doc_iterator(limit=2300))
    with quick_records():
        assert list(task.doc_iterator(limit=2300)) == expected
        assert len(task.eval_docs) == 2500
        assert task.eval_docs[7] == documents[7]
        assert task.eval_docs.features == documents.features
