"""What the project is run by elsewhere: the hook of the cookbook, in pre-commit itself, and what the container is built from."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]
from documents import ROOT, blocks  # noqa: E402


def test_the_hook_stops_a_commit_of_logs_that_are_worse(test_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pre_commit")
    (block,) = (
        block for block in blocks(ROOT / "docs" / "cookbook.md") if ".pre-commit-config.yaml -->" in block.comments
    )
    (tmp_path / ".pre-commit-config.yaml").write_text(block.text)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PRE_COMMIT_HOME": str(tmp_path / ".cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    assert run("git", "init", "--quiet").returncode == 0
    (tmp_path / "README").write_text("No log.\n")
    run("git", "add", "README", ".pre-commit-config.yaml")
    assert "no files to check" in run("pre-commit", "run").stdout
    for name, shots in (("before", 0), ("after", 5)):
        shutil.copytree(test_data / f"harness_logs/qwen2.5-1.5b-instruct-{shots}shot", tmp_path / "logs" / name)
    run("git", "add", "logs")
    ran = run("pre-commit", "run")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "exit code: 1" in ran.stdout
    assert re.search("^consistency: FAILED, harmful flips > 2 %", ran.stdout, re.MULTILINE)


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def test_the_container_has_a_pinned_python_that_the_project_supports_and_no_root() -> None:
    found = instructions()
    images = [rest.split()[0] for word, rest in found if word == "FROM"]
    assert len(set(images)) == 1
    version = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-[a-z]+", images[0])
    assert version
    assert f"Python :: {version[1]}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    last = found[max(place for place, (word, _) in enumerate(found) if word == "FROM") :]
    users = [rest for word, rest in last if word == "USER"]
    assert users
    assert int(users[-1].split(":")[0]) > 0
    assert last.index(("USER", users[-1])) > max(
        place for place, (word, _) in enumerate(last) if word in ("RUN", "COPY")
    )
    assert [json.loads(rest) for word, rest in last if word == "ENTRYPOINT"] == [["consistency"]]


def test_what_is_sent_to_the_builder_is_all_that_the_wheel_needs_and_no_more() -> None:
    import tomllib

    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in rules if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {line[1:] for line in rules if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    built = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*built["packages"], *built["force-include"], *project["project"]["license-files"], "pyproject.toml"}
    needed.add(project["project"]["readme"])
    for word, rest in instructions():
        if word == "RUN":
            needed |= {part for part in shlex.split(rest) if (ROOT / part).exists() and part[0] not in "./"}
    assert {name.partition("/")[0] for name in needed} == kept
    assert all((ROOT / name).exists() for name in kept)
    assert any(fnmatch("consistency/cli/__pycache__", f"*{rule.removeprefix('**')}") for rule in rules[1:])
