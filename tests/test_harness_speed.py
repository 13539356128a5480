from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("lm_eval")

from lm_eval import utils
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager, get_task_dict

from consistency.support.resources import shipped
from consistency.tasks.harness_speed import compiled_templates, without_unasked_tasks

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
    usual = TaskManager.initialize_tasks

    def watched(self: Any, include_path: Any = None, include_defaults: bool = True) -> dict[str, Any]:
        read.append(include_defaults)
        return usual(self, include_path=include_path, include_defaults=False)

    monkeypatch.setattr(TaskManager, "initialize_tasks", watched)
    index(*names)
    assert read[-1] is True
