"""The YAML files of the lm_eval tasks: the parts that generated ones share, and the names of those that ship."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from consistency.support.resources import shipped
from consistency.tasks import prompts


def description(subject: str) -> str:
    r"""The line of a task file that puts the header of a subject before the prompt, without a line feed.

    Examples
    --------
    >>> print(description("anatomy"))
    description: "The following are multiple choice questions about anatomy. Please choose the correct answer. \n\n"
    """
    header = prompts.header(subject).replace("\n", "\\n")
    return f'description: "{header}"'


def group(name: str, members: Iterable[str]) -> str:
    """The text of a group file: the accuracy over all questions of some tasks or groups.

    Examples
    --------
    >>> print(group("both", ["one", "two"]), end="")
    group: both
    task:
      - one
      - two
    aggregate_metric_list:
      - metric: acc
        weight_by_size: true
    metadata:
      version: 1.0
    """
    tasks = "".join(f"  - {member}\n" for member in members)
    accuracy = "aggregate_metric_list:\n  - metric: acc\n    weight_by_size: true\n"
    return f"group: {name}\ntask:\n{tasks}{accuracy}metadata:\n  version: 1.0\n"


def write_configs(folder: Path, configs: Mapping[str, str]) -> None:
    """Write texts to files by their path below a folder."""
    for path, text in configs.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def shipped_tasks() -> list[str]:
    """Names of all tasks and groups, for ``lm_eval --tasks``, in alphabetical order.

    Examples
    --------
    >>> [name for name in shipped_tasks() if "medicine_icl" in name][0]
    'consistency_medicine_icl'
    """
    return sorted(path.stem for path in shipped("lm_eval_tasks").rglob("*.yaml"))
