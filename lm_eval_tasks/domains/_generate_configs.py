"""Write the YAML files of the four domains' tasks: ``python _generate_configs.py``. A test notices drift."""

from __future__ import annotations

from pathlib import Path

from consistency.tasks import prompts
from consistency.world.fields import DOMAINS

FOLDER = Path(__file__).parent
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
                + ("" if variant == "ift" else _description(domain))
                + f"dataset_kwargs:\n  domain: {domain}\n{arguments}"
            )
    return files


def _description(domain: str) -> str:
    header = prompts.header(domain).replace("\n", "\\n")
    return f'description: "{header}"\n'


if __name__ == "__main__":
    for name, text in configs().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
