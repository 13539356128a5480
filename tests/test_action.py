"""The action of GitHub: its own steps, run as the runner runs them; only the environment is the one that is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from scipy.stats import beta

sys.path[:0] = [str(Path(__file__).parent)]
from documents import ROOT, blocks  # noqa: E402

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["id"]: step for step in ACTION["runs"]["steps"]}
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
HOSTILE = [
    "$(touch made)",
    "`touch made`",
    "'; touch made; '",
    '"; touch made; "',
    "a b  c",
    "--help",
    "-",
    "* ? [a]",
    "$PATH ${{ github.token }}",
    "%0A::set-output name=verdict::passed",
    "line\nverdict=passed\n::set-env name=A::b",
    "\\",
    "é ✓ 中",
]


class Ran(NamedTuple):
    """How a step ended: exit code, what it printed, the job's summary, its outputs and those of the action."""

    code: int
    printed: str
    summary: str
    step: dict[str, str]
    outputs: dict[str, str]


def filled(text: str, known: Mapping[str, str]) -> str:
    """A value of the action's file with its expressions evaluated; the runner puts what they stand for in whole."""
    return EXPRESSION.sub(lambda found: known[found[1]], text)


def written(path: Path) -> dict[str, str]:
    """A file of outputs, read as the runner reads it: NAME=VALUE, one a line."""
    return dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").split("\n") if line)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Ran]:
    """Run one step of the action in a folder of its own, with inputs as a workflow gives them."""

    def run(step: str, **given: str) -> Ran:
        inputs = {name.replace("_", "-"): value for name, value in given.items()}
        assert inputs.keys() <= ACTION["inputs"].keys()
        known = {f"inputs.{name}": inputs.get(name, item.get("default", "")) for name, item in ACTION["inputs"].items()}
        known["steps.python.outputs.python-path"] = sys.executable
        known["steps.install.outputs.program"] = str(Path(sys.executable).with_name("consistency"))
        for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV"):
            (tmp_path / name).write_text("")
        (tmp_path / "temp").mkdir(exist_ok=True)
        (tmp_path / "script.sh").write_text(STEPS[step]["run"], encoding="utf-8")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-euo", "pipefail", str(tmp_path / "script.sh")],
            cwd=tmp_path,
            env=os.environ
            | {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV")}
            | {"RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_ACTION_PATH": str(ROOT), "PYTHONPATH": str(ROOT)}
            | {name: filled(value, known) for name, value in STEPS[step]["env"].items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=120,
        )
        outputs = written(tmp_path / "GITHUB_OUTPUT")
        found = {f"steps.{step}.outputs.{name}": value for name, value in outputs.items()}
        told = {
            name: EXPRESSION.sub(lambda m: found.get(m[1], ""), x["value"]) for name, x in ACTION["outputs"].items()
        }
        assert (tmp_path / "GITHUB_ENV").read_text() == ""
        assert not (tmp_path / "made").exists()
        return Ran(done.returncode, done.stdout, (tmp_path / "GITHUB_STEP_SUMMARY").read_text(), outputs, told)

    return run


def write(write_probe: Callable[..., Path], folder: Path, lost: int, n: int = 400) -> dict[str, str]:
    """Two logs of n questions, of which so many right answers turned wrong; the inputs that name them."""
    documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(n)]
    right, wrong = [-0.1, -2.0], [-2.0, -0.1]
    write_probe(folder / "before", documents, [right] * n)
    write_probe(folder / "after", documents, [wrong] * lost + [right] * (n - lost))
    return {"before": "before", "after": "after"}


def test_the_file_is_what_the_runner_wants_and_every_input_and_output_is_said() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert all(item["description"] for item in (*ACTION["inputs"].values(), *ACTION["outputs"].values()))
    for step in ACTION["runs"]["steps"]:
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"])
        else:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"]
    text = json.dumps(ACTION)
    used = {name for name in EXPRESSION.findall(text) if name.startswith("inputs.")}
    assert used == {f"inputs.{name}" for name in ACTION["inputs"]}


@pytest.mark.parametrize(
    ("lost", "conditions", "code", "verdict"),
    [
        (40, "\n  harmful flips > 20 %  \r\n\n", 0, "passed"),
        (40, "accuracy drop > 30 points\n\nharmful flips > 5 %\n", 1, "failed"),
    ],
)
def test_conditions_decide(job, write_probe, tmp_path, lost, conditions, code, verdict) -> None:
    ran = job("gate", **write(write_probe, tmp_path, lost), fail_if=conditions, report="my report")
    assert (ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]) == (code, verdict, str(code)), ran.printed
    assert ran.outputs["report"] == "my report"
    assert (tmp_path / "my report" / "report.html").is_file()
    assert Path(ran.outputs["markdown"]).read_text() == ran.summary
    asked = [line.strip() for line in conditions.split("\n") if line.strip()]
    judged = json.loads((tmp_path / "my report" / "gate.json").read_text())["conditions"]
    assert len(judged) == len(asked)
    assert all(condition in line for condition, line in zip(asked, judged, strict=True))
    if code:
        # The interval beside the condition is that of Clopper and Pearson.
        low, high = beta.ppf(0.025, lost, 401 - lost), beta.ppf(0.975, lost + 1, 400 - lost)
        assert f"[{100 * low:.1f}, {100 * high:.1f}]" in ran.printed
        assert "\n::error::" in ran.printed


POLICY = "alpha: 0.05\nmargin: 3 points\nrules:\n- groups: overall\n"


@pytest.mark.parametrize(
    ("lost", "fail_on", "code", "exit_code", "verdict"),
    [
        (12, "failed-or-inconclusive", 3, 3, "inconclusive"),
        (12, "failed", 0, 3, "inconclusive"),
        (40, "nothing", 0, 1, "failed"),
    ],
)
def test_a_policy_decides_and_fail_on_says_what_fails_the_job(
    job, write_probe, tmp_path, lost, fail_on, code, exit_code, verdict
) -> None:
    (tmp_path / "a policy.yaml").write_text(POLICY)
    ran = job("gate", **write(write_probe, tmp_path, lost), policy="a policy.yaml", fail_on=fail_on)
    assert (ran.code, ran.outputs["exit-code"], ran.outputs["verdict"]) == (code, str(exit_code), verdict), ran.printed
    assert json.loads((tmp_path / "consistency-report" / "gate.json").read_text())["policy"]["exit_code"] == exit_code


def test_noise_is_two_logs(job, write_probe, tmp_path) -> None:
    inputs = write(write_probe, tmp_path, 40)
    write(write_probe, tmp_path / "same model", 3)
    ran = job("gate", **inputs, noise="same model/before\nsame model/after\n")
    assert (ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]) == (0, "none", "0"), ran.printed
    assert json.loads((tmp_path / "consistency-report" / "gate.json").read_text())["noise"]
    ran = job("gate", **inputs, noise="same model/before")
    assert ran.code == 2
    assert ran.outputs["verdict"] == ran.summary == ""


@pytest.mark.parametrize("fail_on", ["failed-or-inconclusive", "nothing"])
def test_a_comparison_that_could_not_be_made_fails_the_job_and_says_so(job, tmp_path, fail_on) -> None:
    ran = job("gate", before="no such", after="no such", fail_if="harmful flips > 2 %", fail_on=fail_on)
    assert (ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]) == (2, "unknown", "2")
    assert ran.outputs["report"] == ran.outputs["markdown"] == ""
    assert "no such" in ran.printed
    assert "exit code 2" in ran.summary
    assert not (tmp_path / "consistency-report").exists()


@pytest.mark.parametrize("text", HOSTILE)
def test_an_input_is_never_a_part_of_the_script(job, text) -> None:
    """A condition cannot be read, so that the program says what it was given: one argument, as it was."""
    ran = job("gate", before=text, after=text, fail_if=text, policy=text, noise=f"{text}\n{text}")
    assert ran.code == 2
    assert ran.outputs["verdict"] in ("unknown", "")
    begin, _, rest = ran.printed.partition("::stop-commands::")
    if rest:  # else the action itself has refused it
        token, _, rest = rest.partition("\n")
        assert re.fullmatch("[0-9a-f]{32}", token)
        said, end, after = rest.partition(f"::{token}::\n")
        assert end
        assert said.count("\n") == 1
        assert "--fail-if" in said
        first = text.split("\n")[0]
        assert first in said or ascii(first)[1:-1] in said
        ran = ran._replace(printed=begin + after)
    assert all(line.startswith("::error::") and text not in line for line in ran.printed.splitlines())


def test_files_may_have_any_name(job, write_probe, tmp_path) -> None:
    text = "".join(name for name in HOSTILE if "\n" not in name)
    write(write_probe, tmp_path, 40)
    for kind in ("before", "after"):
        shutil.move(tmp_path / kind, tmp_path / f"-{kind}{text}")
    ran = job("gate", before=f"-before{text}", after=f"-after{text}", report=f"-report{text}")
    assert (ran.code, ran.outputs["verdict"]) == (0, "none"), ran.printed
    assert (tmp_path / f"-report{text}" / "report.html").is_file()
    assert ran.outputs["report"] == f"-report{text}"


@pytest.mark.parametrize(
    "given",
    [
        {"before": ""},
        {"after": ""},
        {"report": ""},
        {"report": "a\nverdict=passed"},
        {"report": "a\rb"},
        {"fail_on": "never"},
        {"fail_on": "failed|nothing"},
        {"noise": "a\nb\nc"},
    ],
)
def test_what_the_action_cannot_use_is_refused_before_anything_runs(job, tmp_path, given) -> None:
    ran = job("gate", **{"before": "a", "after": "b"} | given)
    assert ran.code == 2
    assert re.fullmatch("::error::.*\n", ran.printed)
    assert next(iter(given)).replace("_", "-") in ran.printed
    assert ran.step == {}


@pytest.mark.parametrize(
    "given",
    [{"version": text} for text in (*HOSTILE, "0.2.0 --pre", "@ git+https://example.org")]
    + [{"extras": text} for text in (*HOSTILE, "hub]==0.1", "hub, api", ",hub")],
)
def test_what_is_no_release_and_no_extra_is_not_installed(job, tmp_path, given) -> None:
    ran = job("install", **given)
    assert ran.code == 2
    assert re.fullmatch("::error::.*\n", ran.printed)
    assert list((tmp_path / "temp").iterdir()) == []


def test_the_workflow_of_the_cookbook_runs_the_gate(job, test_data, tmp_path) -> None:
    (workflow,) = (
        yaml.safe_load(block.text)
        for block in blocks(ROOT / "docs" / "cookbook.md")
        if block.kind == "yaml" and "uses: ./" in block.text
    )
    steps: list[dict[str, Any]] = workflow["jobs"]["compare"]["steps"]
    assert all(re.fullmatch(r"\./.+|.+@[0-9a-f]{40}", step["uses"]) for step in steps)
    (used,) = (step["with"] for step in steps if step["uses"].startswith("./"))
    for when, shots in (("before", 0), ("after", 5)):
        shutil.copytree(test_data / f"harness_logs/qwen2.5-1.5b-instruct-{shots}shot", tmp_path / used[when])
    ran = job("gate", **{name.replace("-", "_"): value for name, value in used.items()})
    assert (ran.code, ran.outputs["verdict"]) == (1, "failed"), ran.printed
