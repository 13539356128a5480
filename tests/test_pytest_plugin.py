"""The fixture consistency_gate, in a run of pytest of its own that finds it by the package's entry point."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]
from documents import ROOT, blocks  # noqa: E402

pytest_plugins = ["pytester"]

POLICY = "alpha: 0.05\nmargin: 3 points\nrules:\n- groups: overall\n"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for tests, in which the entry points of pyproject.toml are installed as a package's are."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        points = tomllib.load(stream)["project"]["entry-points"]["pytest11"]
    info = pytester.mkdir("installed") / "consistency_gate-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: consistency-gate\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[pytest11]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    )
    monkeypatch.setenv("PYTHONPATH", f"{info.parent}:{ROOT}")
    return pytester


def test_a_test_fails_with_the_lines_of_the_command(suite, call, write_probe) -> None:
    documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(400)]
    right, wrong = [-0.1, -2.0], [-2.0, -0.1]
    write_probe(suite.path / "before", documents, [right] * 400)
    for name, lost in (("same", 0), ("little", 12), ("much", 40)):
        write_probe(suite.path / name, documents, [wrong] * lost + [right] * (400 - lost))
    (suite.path / "policy.yaml").write_text(POLICY)
    gates = {
        "passes": ("same", ["harmful flips > 2 %", "accuracy drop > 1 points"], True, 0),
        "condition": ("much", ["harmful flips > 2 %", "harmful flips > 90 %"], False, 1),
        "inconclusive": ("little", [], True, 3),
        "both": ("much", ["accuracy drop > 2 points"], True, 1),
        "no_log": ("none", ["harmful flips > 2 %"], False, 2),
        "no_condition": ("same", ["harmful flips"], False, 2),
    }
    source, expected = "", {}
    for name, (after, conditions, policed, code) in gates.items():
        policy = ["--policy", "policy.yaml"] if policed else []
        arguments = [*(f"--fail-if={condition}" for condition in conditions), *policy]
        given = f"'before', '{after}', *{conditions!r}, policy={'policy.yaml' if policed else None!r}"
        source += f"def test_{name}(consistency_gate):\n    consistency_gate({given})\n"
        ended, _, error = call("compare", "before", after, *arguments)
        assert ended == code
        expected[name] = error.splitlines()
    for name, given in (("nothing", ""), ("list", ", ['harmful flips > 2 %']")):
        source += f"def test_{name}(consistency_gate):\n    consistency_gate('before', 'same'{given})\n"
    suite.makepyfile(source)
    ran = suite.runpytest_subprocess("-p", "no:cacheprovider")
    ran.assert_outcomes(passed=1, failed=7)
    printed = ran.stdout.str()
    assert "Traceback" not in printed
    assert "consistency/cli" not in printed
    for name, lines in expected.items():
        found = re.search(rf"_ test_{name} _+\n(.*?)\n(?:_+ |=+ )", printed, re.DOTALL)
        assert (found[1].splitlines() if found else []) == lines


def test_nothing_heavy_is_loaded_before_a_test_asks_for_it(suite) -> None:
    suite.makepyfile(
        """
        import sys

        def test_is_light(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("consistency_gate")
            ours = {name for name in sys.modules if name.startswith("consistency.")}
            named = "cli cli.entry cli.exit_codes cli.pytest_plugin comparison comparison.views errors"
            assert ours == {f"consistency.{name}" for name in named.split()}
            assert not {"numpy", "scipy", "typer", "yaml", "pyarrow"} & sys.modules.keys()
        """
    )
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_test_of_the_cookbook_passes(suite, test_data) -> None:
    (block,) = (block for block in blocks(ROOT / "docs" / "cookbook.md") if "test_model.py -->" in block.comments)
    (suite.path / "test_model.py").write_text(block.text)
    for name, shots in (("before", 0), ("after", 5)):
        shutil.copytree(test_data / f"harness_logs/qwen2.5-1.5b-instruct-{shots}shot", suite.path / "logs" / name)
    suite.runpytest_subprocess().assert_outcomes(passed=1)
