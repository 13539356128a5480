"""Write the YAML files of the MMLU tasks: ``python _generate_configs.py``. A test notices drift."""

from __future__ import annotations

from pathlib import Path

from consistency.tasks import prompts
from consistency.tasks.mmlu import CATEGORIES, SUBCATEGORIES, SUBJECTS, display_name

STYLES = ("icl", "icl_paper", "ift", "icl_cyclic")
FOLDER = Path(__file__).parent


def configs() -> dict[str, str]:
    """The text of every generated file, by its path below this folder."""
    files = {}
    for style in STYLES:
        name = f"consistency_mmlu_{style}"
        for subject in SUBJECTS:
            files[f"{style}/{name}_{subject}.yaml"] = _task(style, subject)
        if style == "icl_cyclic":
            files[f"{style}/{name}.yaml"] = _group(name, [f"{name}_{subject}" for subject in SUBJECTS])
            continue
        files[f"{style}/{name}.yaml"] = _group(name, [f"{name}_category_{category}" for category in CATEGORIES])
        for category, members in CATEGORIES.items():
            group = f"{name}_category_{category}"
            files[f"{style}/{group}.yaml"] = _group(group, [f"{name}_subcategory_{member}" for member in members])
        for subcategory, subjects in SUBCATEGORIES.items():
            group = f"{name}_subcategory_{subcategory}"
            files[f"{style}/{group}.yaml"] = _group(group, [f"{name}_{subject}" for subject in subjects.split()])
    return files


def _task(style: str, subject: str) -> str:
    template = "icl" if style == "icl_cyclic" else style
    lines = [f"include: ../_{template}_template_yaml", f"task: consistency_mmlu_{style}_{subject}"]
    if style == "icl_cyclic":
        lines.append("tag: consistency_icl_cyclic")
    if style != "ift":
        # The released header has a second space before MMLU's subjects.
        header = prompts.header(" " * (style == "icl_paper") + display_name(subject)).replace("\n", "\\n")
        lines.append(f'description: "{header}"')
    lines += ["dataset_kwargs:", f"  subject: {subject}"]
    if style == "ift":
        lines.append("  shots: false")
    if style == "icl_cyclic":
        lines.append("  rotated: true")
    return "\n".join(lines) + "\n"


def _group(name: str, members: list[str]) -> str:
    return (
        f"group: {name}\ntask:\n"
        + "".join(f"  - {member}\n" for member in members)
        + "aggregate_metric_list:\n  - metric: acc\n    weight_by_size: true\nmetadata:\n  version: 1.0\n"
    )


if __name__ == "__main__":
    for path, text in configs().items():
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")
