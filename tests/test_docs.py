"""Every command and every Python example of the documentation runs, and prints what is shown.

A fenced block `console` is run, in a folder with the names that the documents use. The lines below a command are what it
prints; `…` is for lines that are left out. Comments before a block change this:

- `<!-- not run: reason -->`; with a command's beginning in backquotes, ``<!-- not run: `pip install`: reason -->``, only
  that command is left out;
- `<!-- exit code 1 -->`: its last command ends so.

A block `python` is run in the same folder, and prints what is shown behind its calls of `print`:
``print(value)  # what it prints``; a text that is cut ends with `…`.

`<!-- file: NAME -->` before a block of another kind writes it to that file.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "scripts")]
from build_measures import BEGIN, END, with_table  # noqa: E402
from documents import ROOT, SKIP, blocks  # noqa: E402

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)


def write_generated(folder: Path, wrong: set[int]) -> None:
    """A log of gsm8k, as far as a reader needs: forty answers, some of them wrong."""
    folder.mkdir(parents=True)
    rows = [
        {
            "doc_id": number,
            "doc": {"question": f"What is {number} + 1?", "answer": str(number + 1)},
            "target": str(number + 1),
            "filtered_resps": ["?" if number in wrong else str(number + 1)],
            "filter": "strict-match",
            "metrics": ["exact_match"],
            "exact_match": float(number not in wrong),
            "doc_hash": str(number),
        }
        for number in range(40)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "samples_gsm8k_2026-01-02T03-04-05.678901.jsonl").write_text(text)


def write_watched(folder: Path, first: Path, last: Path) -> None:
    """A record of a watched training: at each step more answers of one log are those of another."""
    from consistency.watch.drift import Drift
    from consistency.watch.settings import read_settings

    given = {"tasks": "mmlu", "learn": "*_college_computer_science", "every": 20, "stop": {"harmful_flips": "3 %"}}
    drift = Drift(folder, read_settings(given, planned_steps=80))
    for number in range(5):
        step = Path(shutil.copytree(first, folder / f"step-{20 * number:06d}"))
        shares: dict[str, float] = {}
        for samples in step.rglob("samples_*.jsonl"):
            (other,) = last.rglob(samples.name.rsplit("_", 1)[0] + "_*.jsonl")
            rows, later = ([json.loads(line) for line in log.read_text().splitlines()] for log in (samples, other))
            for row, answered in zip(rows, later, strict=True):
                if row["doc_id"] % 4 < number:
                    row |= {
                        name: answered[name] for name in ("resps", "filtered_resps", "acc", "acc_norm") if name in row
                    }
            samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
            task = samples.name.removeprefix("samples_").rsplit("_", 1)[0]
            shares[task] = sum(row["acc"] for row in rows) / len(rows)
        for results in step.rglob("results_*.json"):
            # As lm_eval has it: what the samples say, of the tasks that have samples.
            content = json.loads(results.read_text())
            content["results"] = {
                task: content["results"][task] | {"acc,none": share} for task, share in shares.items()
            }
            content["configs"] = {task: content["configs"][task] for task in shares}
            results.write_text(json.dumps(content))
        drift.add(20 * number, number / 4, 1.0, 2.0, progress=number / 4)
    (folder / "watch.json").write_text(json.dumps({"model": "qwen2.5-1.5b-instruct", "max_steps": 80}))


@pytest.fixture
def folder(test_data: Path, tmp_path: Path) -> Path:
    """What the documents' commands find: real logs by their names, the checkout's folders, questions of a domain."""
    from consistency.world.questions import questions

    for name in ("consistency", "axolotl_configs", "lm_eval_tasks", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    logs = test_data / "harness_logs"
    few, zero = (logs / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (5, 0))
    named = {
        "before": zero,
        "after": few,
        "parent-a": zero,
        "parent-b": logs / "vicuna-33b-lm_eval-0.4.0",
        "merged": few,
    }
    for name, log in (named | {"seed-0": few, "seed-1": zero}).items():
        shutil.copytree(log, tmp_path / "logs" / name)
    write_watched(tmp_path / "outputs" / "watch", few, zero)
    write_generated(tmp_path / "logs" / "api-before", {1})
    write_generated(tmp_path / "logs" / "api-after", {1, 5, 7})
    asked = [json.dumps(question.to_dict()) + "\n" for question in questions("medicine", "pool")[:60]]
    (tmp_path / "mydomain.jsonl").write_text("".join(asked))
    return tmp_path


def environment() -> dict[str, str]:
    programs = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": "summary.md",
        "COLUMNS": "80",
    }


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )


def prints(output: str, shown: list[str]) -> bool:
    """Whether the lines that are shown are printed one after another, with others only where `…` stands for them."""
    lines = (".*?" if line == "…" else f"^{re.escape(line)}$" for line in shown)
    return re.search("\n".join(lines), output, re.MULTILINE | re.DOTALL) is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_commands_run_and_print_what_is_shown(document: Path, folder: Path) -> None:
    for block in blocks(document):
        if named := re.search(r"<!-- file: (\S+) -->", block.comments):
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        for number, (command, shown) in enumerate(block.commands, 1):
            if not block.runs(command):
                continue
            done = run(command, folder)
            assert done.returncode == (block.exit_code if number == len(block.commands) else 0), (
                f"{document.name}: {command}\n{done.stdout[-3000:]}"
            )
            assert prints(done.stdout, shown), f"{command} does not print what {document.name} shows:\n{done.stdout}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_python_examples_run_and_print_what_is_shown(document: Path, request: pytest.FixtureRequest) -> None:
    for block in blocks(document):
        if block.kind != "python" or not block.runs(""):
            continue
        folder = request.getfixturevalue("folder")
        done = subprocess.run(
            [sys.executable, "-c", block.text],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{document.name}:\n{block.text}\n{done.stderr}"
        for line, shown in zip(done.stdout.splitlines(), SHOWN.findall(block.text), strict=True):
            start, cut, _ = shown.partition("…")
            assert line.startswith(start) if cut else line == shown, f"{document.name} shows {shown}, printed is {line}"


def test_the_readme_uses_only_public_names() -> None:
    import consistency

    examples = [block.text for block in blocks(ROOT / "README.md") if block.kind == "python"]
    imported = [
        name
        for text in examples
        for names in re.findall(r"from consistency import (.+)", text)
        for name in names.split(", ")
    ]
    assert imported
    assert set(imported) <= set(consistency.__all__)


@pytest.mark.parametrize("flags", ["", "--full", "--set device=cuda", "--full --elsewhere --set device=cuda"])
def test_the_experiment_of_the_documents_is_sound_with_and_without_a_gpu(
    flags: str,
    test_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., tuple[int, str, str]],
) -> None:
    if "--full" in flags:
        pytest.importorskip("axolotl")
    (text,) = (block.text for block in blocks(ROOT / "docs" / "experiments.md") if block.text.startswith("name: mine"))
    small = text.replace("meta-llama/Llama-2-7b-hf", "./model")
    assert small != text
    (tmp_path / "mine.yaml").write_text(small)
    (tmp_path / "model").symlink_to(ROOT / "consistency/world/base_model")
    (tmp_path / "data").symlink_to(test_data)
    (tmp_path / "alpaca_gpt4_data.json").write_text('[{"instruction": "Say yes.", "input": "", "output": "Yes."}]')
    monkeypatch.setenv("CONSISTENCY_DATA", str(test_data))
    monkeypatch.chdir(tmp_path)
    code, out, error = call("experiment", "validate", *flags.split(), "mine.yaml")
    assert code == 0, error
    assert out.rstrip().endswith("cuda" if "cuda" in flags else "cpu")


def test_the_table_of_measures_is_that_of_the_registry() -> None:
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == with_table(text), "docs/methods.md: another table of measures; run python scripts/build_measures.py"


def test_the_cookbook_names_every_measure_of_a_condition() -> None:
    from consistency.comparison.conditions import read_condition
    from consistency.comparison.quantities import QUANTITIES

    text = (ROOT / "docs" / "cookbook.md").read_text()
    named = re.findall(r"`([^`]+)`", text[text.index("- Measures, by") : text.index("What each is: [methods]")])
    assert {read_condition(f"{name} > 0").quantity for name in named} == set(QUANTITIES)


def test_the_released_version_is_the_same_everywhere() -> None:
    from consistency.support.version import VERSION

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(\d[\d.]*)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)[0]
    assert newest == (citation["version"], str(citation["date-released"]))
    assert project["dynamic"] == ["version"]
    assert citation["version"] == VERSION
    named = re.findall(r"\b\d+\.\d+\.\d+\b", re.sub(r"uses: .*", "", (ROOT / "action.yml").read_text(encoding="utf-8")))
    assert set(named) == {VERSION}
    assert importlib.metadata.version("lm-eval-consistency") == VERSION


def test_what_is_not_run_says_why() -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            assert "not run" not in block.comments or SKIP.search(block.comments), block.comments
