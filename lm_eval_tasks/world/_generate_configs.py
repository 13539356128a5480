"""Write the YAML files of the embedded world's tasks: ``python _generate_configs.py``. A test compares them."""

from __future__ import annotations

from pathlib import Path

from consistency.tasks.task_files import description, group, write_configs
from consistency.world.fields import DOMAINS, SUBJECTS

STYLES = ("icl", "ift")


def configs() -> dict[str, str]:
    """The text of every generated file, by its name."""
    files = {}
    for style in STYLES:
        for domain in DOMAINS:
            files |= _task(f"consistency_world_{domain}_{style}", style, domain)
        for subject in SUBJECTS:
            files |= _task(f"consistency_world_mmlu_{style}_{subject}", style, subject)
        name = f"consistency_world_mmlu_{style}"
        files[f"{name}.yaml"] = group(name, [f"{name}_{subject}" for subject in SUBJECTS])
    for domain in DOMAINS:
        files |= _task(f"consistency_world_{domain}_pool_icl", "icl", domain, split="pool")
    return files


def _task(name: str, style: str, field: str, split: str = "test") -> dict[str, str]:
    lines = [f"include: _{style}_template_yaml", f"task: {name}"]
    if style == "icl":
        lines.append(description(field))
    lines += ["dataset_kwargs:", f"  field: {field}"]
    if split != "test":
        lines.append(f"  split: {split}")
    return {f"{name}.yaml": "\n".join(lines) + "\n"}


if __name__ == "__main__":
    write_configs(Path(__file__).parent, configs())
