"""Write the YAML files of the CMMLU and C-Eval tasks: ``python _generate_configs.py``. A test compares them."""

from __future__ import annotations

from pathlib import Path

from consistency.tasks.task_files import benchmark_configs, write_configs


def configs() -> dict[str, str]:
    """The text of every generated file, by its path below this folder."""
    return {
        f"{name}/{path}": text
        for name in ("cmmlu", "ceval")
        for path, text in benchmark_configs(name, "../..", "consistency_zh").items()
    }


if __name__ == "__main__":
    write_configs(Path(__file__).parent, configs())
