"""Write the YAML files of the four domains' tasks: ``python _generate_configs.py``. A test compares them."""

from __future__ import annotations

from pathlib import Path

from consistency.tasks.task_files import description, write_configs
from consistency.world.fields import DOMAINS

# Name after the domain, template, further arguments of the loader.
VARIANTS = {
    "icl": ("icl", ""),
    "icl_paper": ("icl_paper", ""),
    "ift": ("ift", "  shots: false\n"),
    "icl_cyclic": ("icl", "  rotated: true\n"),
    "pool_icl": ("icl", "  split: pool\n"),
    "pool_icl_cyclic": ("icl", "  split: pool\n  rotated: true\n"),
}


def configs() -> dict[str, str]:
    """The text of every generated file, by its name."""
    files = {}
    for domain in DOMAINS:
        for variant, (template, arguments) in VARIANTS.items():
            name = f"consistency_{domain}_{variant}"
            files[f"{name}.yaml"] = (
                f"include: _{template}_template_yaml\ntask: {name}\n"
                + ("" if variant == template else f"tag: consistency_{variant}\n")
                + ("" if variant == "ift" else f"{description(domain)}\n")
                + f"dataset_kwargs:\n  domain: {domain}\n{arguments}"
            )
    return files


if __name__ == "__main__":
    write_configs(Path(__file__).parent, configs())
