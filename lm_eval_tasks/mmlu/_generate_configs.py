"""Write the YAML files of the MMLU tasks: ``python _generate_configs.py``. A test compares them."""

from __future__ import annotations

from pathlib import Path

from consistency.tasks.task_files import benchmark_configs, write_configs


def configs() -> dict[str, str]:
    """The text of every generated file, by its path below this folder."""
    return benchmark_configs("mmlu", "..", "consistency")


if __name__ == "__main__":
    write_configs(Path(__file__).parent, configs())
