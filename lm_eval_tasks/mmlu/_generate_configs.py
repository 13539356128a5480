"""Write the YAML files of the MMLU tasks: ``python _generate_configs.py``. A test compares them."""

from __future__ import annotations

from pathlib import Path

from consistency.tasks.mmlu import CATEGORIES, SUBCATEGORIES, SUBJECTS, display_name
from consistency.tasks.task_files import description, group, write_configs

STYLES = ("icl", "icl_paper", "ift", "icl_cyclic")


def configs() -> dict[str, str]:
    """The text of every generated file, by its path below this folder."""
    files = {}
    for style in STYLES:
        name = f"consistency_mmlu_{style}"
        for subject in SUBJECTS:
            files[f"{style}/{name}_{subject}.yaml"] = _task(style, subject)
        if style == "icl_cyclic":
            files[f"{style}/{name}.yaml"] = group(name, [f"{name}_{subject}" for subject in SUBJECTS])
            continue
        files[f"{style}/{name}.yaml"] = group(name, [f"{name}_category_{category}" for category in CATEGORIES])
        for category, members in CATEGORIES.items():
            parent = f"{name}_category_{category}"
            files[f"{style}/{parent}.yaml"] = group(parent, [f"{name}_subcategory_{member}" for member in members])
        for subcategory, subjects in SUBCATEGORIES.items():
            parent = f"{name}_subcategory_{subcategory}"
            files[f"{style}/{parent}.yaml"] = group(parent, [f"{name}_{subject}" for subject in subjects.split()])
    return files


def _task(style: str, subject: str) -> str:
    template = "icl" if style == "icl_cyclic" else style
    lines = [f"include: ../_{template}_template_yaml", f"task: consistency_mmlu_{style}_{subject}"]
    if style == "icl_cyclic":
        lines.append("tag: consistency_icl_cyclic")
    if style != "ift":
        # The released header has a second space before MMLU's subjects.
        lines.append(description(" " * (style == "icl_paper") + display_name(subject)))
    lines += ["dataset_kwargs:", f"  subject: {subject}"]
    if style == "ift":
        lines.append("  shots: false")
    if style == "icl_cyclic":
        lines.append("  rotated: true")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_configs(Path(__file__).parent, configs())
