"""Write the YAML files of the embedded world's tasks: ``python _generate_configs.py``. A test notices drift."""

from __future__ import annotations

from pathlib import Path

from consistency.tasks import prompts
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
        files[f"consistency_world_mmlu_{style}.yaml"] = _group(style)
    for domain in DOMAINS:
        files |= _task(f"consistency_world_{domain}_pool_icl", "icl", domain, split="pool")
    return files


def _task(name: str, style: str, field: str, split: str = "test") -> dict[str, str]:
    lines = [f"include: _{style}_template_yaml", f"task: {name}"]
    if style == "icl":
        header = prompts.header(field).replace("\n", "\\n")
        lines.append(f'description: "{header}"')
    lines += ["dataset_kwargs:", f"  field: {field}"]
    if split != "test":
        lines.append(f"  split: {split}")
    return {f"{name}.yaml": "\n".join(lines) + "\n"}


def _group(style: str) -> str:
    name = f"consistency_world_mmlu_{style}"
    tasks = "".join(f"  - {name}_{subject}\n" for subject in SUBJECTS)
    return (
        f"group: {name}\ntask:\n{tasks}"
        "aggregate_metric_list:\n  - metric: acc\n    weight_by_size: true\nmetadata:\n  version: 1.0\n"
    )


if __name__ == "__main__":
    for name, text in configs().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8")
