"""The YAML files of the lm_eval tasks: the parts that generated ones share, and the names of those that ship."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from consistency.support.resources import shipped
from consistency.tasks import prompts
from consistency.tasks.benchmarks import Benchmark, benchmark_tasks, find_benchmark

STYLES = ("icl", "icl_paper", "ift", "icl_cyclic")


def description(subject: str, language: str = prompts.ENGLISH) -> str:
    r"""The line of a task file that puts the header of a subject before the prompt, without a line feed.

    Examples
    --------
    >>> print(description("anatomy"))
    description: "The following are multiple choice questions about anatomy. Please choose the correct answer. \n\n"
    """
    header = prompts.header(subject, language).replace("\n", "\\n")
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


def benchmark_configs(name: str, templates: str, tag: str) -> dict[str, str]:
    """The task and group files of a benchmark.

    Parameters
    ----------
    name : {"mmlu", "cmmlu", "ceval"}
        The benchmark.
    templates : str
        The folder of the templates ``_STYLE_template_yaml``, as seen from the folder of a style.
    tag : str
        What the tags of the templates begin with, before the style.

    Returns
    -------
    dict of str to str
        Texts by path, in a folder for each style.
    """
    benchmark = find_benchmark(name)
    files: dict[str, str] = {}
    for style in STYLES:
        texts = {
            task: _task(benchmark, style, subject, templates, tag)
            for subject, task in benchmark_tasks(name, style).items()
        }
        groups = _groups(benchmark, style)
        texts |= {name: group(name, members) for name, members in groups.items()}
        files |= {f"{style}/{name}.yaml": text for name, text in texts.items()}
    return files


def _groups(benchmark: Benchmark, style: str) -> dict[str, list[str]]:
    """The members of each group of a style."""
    tasks = benchmark_tasks(benchmark.name, style)
    whole = f"consistency_{benchmark.name}_{style}"
    if style == "icl_cyclic":
        return {whole: list(tasks.values())}
    groups = {whole: [f"{whole}_category_{category}" for category in benchmark.categories]}
    below = f"{whole}_subcategory_" if benchmark.subcategories else f"{whole}_"
    for category, members in benchmark.categories.items():
        groups[f"{whole}_category_{category}"] = [below + member for member in members]
    for category, subjects in benchmark.more_categories.items():
        groups[f"{whole}_category_{category}"] = [tasks[subject] for subject in subjects]
    for subcategory, subjects in benchmark.subcategories.items():
        groups[f"{whole}_subcategory_{subcategory}"] = [tasks[subject] for subject in subjects]
    return groups


def _task(benchmark: Benchmark, style: str, subject: str, templates: str, tag: str) -> str:
    template = "icl" if style == "icl_cyclic" else style
    lines = [
        f"include: {templates}/_{template}_template_yaml",
        f"task: {benchmark_tasks(benchmark.name, style)[subject]}",
    ]
    if style == "icl_cyclic":
        lines.append(f"tag: {tag}_icl_cyclic")
    if style != "ift":
        # The released header has a second space before MMLU's subjects.
        space = " " * (style == "icl_paper" and benchmark.name == "mmlu")
        lines.append(description(space + benchmark.names[subject], benchmark.language))
    lines.append("dataset_kwargs:")
    if benchmark.name != "mmlu":
        lines.append(f"  benchmark: {benchmark.name}")
    lines.append(f"  subject: {subject}")
    if style == "ift":
        lines.append("  shots: false")
    if style == "icl_cyclic":
        lines.append("  rotated: true")
    return "\n".join(lines) + "\n"


def write_configs(folder: Path, configs: Mapping[str, str]) -> None:
    """Write texts to files by their path below a folder."""
    for path, text in configs.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def shipped_tasks() -> list[str]:
    """Names of all tasks and groups, for ``lm_eval --tasks``, in alphabetical order.

    Examples
    --------
    >>> [name for name in shipped_tasks() if "medicine_icl" in name][0]
    'consistency_medicine_icl'
    """
    return sorted(path.stem for path in shipped("lm_eval_tasks").rglob("*.yaml"))
