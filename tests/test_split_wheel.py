"""The two wheels of a release: together they are the one that was split, and the core alone reads and compares."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "scripts")]
import foreign_logs  # noqa: E402
from split_wheel import MOST, split  # noqa: E402

from consistency.support.version import VERSION  # noqa: E402

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheel of this tree, as the build's file list says, without the weights; and its two parts."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel = folder / f"lm_eval_consistency-{VERSION}-py3-none-any.whl"
    info = f"lm_eval_consistency-{VERSION}.dist-info"
    included = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    with zipfile.ZipFile(wheel, "w") as archive:
        for source, target in {"consistency": "consistency", **included["wheel"]["force-include"]}.items():
            path = ROOT / source
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file() and "__pycache__" not in file.parts:
                    name = f"{target}/{file.relative_to(path).as_posix()}" if path.is_dir() else target
                    archive.writestr(name, b"weights" if file.suffix == ".safetensors" else file.read_bytes())
        extras = "".join(f"Provides-Extra: {extra}\n" for extra in PROJECT["optional-dependencies"])
        head = f"Metadata-Version: 2.4\nName: lm-eval-consistency\nVersion: {VERSION}\n{extras}"
        archive.writestr(
            f"{info}/METADATA", f"{head}License-Expression: Apache-2.0\nRequires-Python: >=3.11\n\nText\n\nMore\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr(f"{info}/RECORD", "")
        archive.writestr(f"{info}/licenses/LICENSE", "licence")
    return wheel, *split(wheel, folder / "split")


def members(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_two_are_the_one(wheels):
    whole, core, share = ({n: c for n, c in members(w).items() if ".dist-info/" not in n} for w in wheels)
    assert not core.keys() & share.keys()
    assert core | share == whole
    assert any(name.endswith("model.safetensors") for name in share)


@pytest.mark.parametrize("part", [1, 2])
def test_a_record_has_every_file_and_its_hash(part, wheels):
    found = members(wheels[part])
    (record,) = [name for name in found if name.endswith("/RECORD")]
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(found[record].decode()))}
    assert rows.keys() == found.keys()
    for name, content in found.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert rows[name] == (["", ""] if name == record else [f"sha256={digest}", str(len(content))])


def test_the_extras_that_need_the_second_require_it(wheels):
    (metadata,) = [content for name, content in members(wheels[1]).items() if name.endswith("/METADATA")]
    headers = HeaderParser().parsestr(metadata.decode())
    required = headers.get_all("Requires-Dist")
    for extra in ("eval", "api", "train", "grid", "share"):
        assert f"lm-eval-consistency-share=={VERSION}; extra == '{extra}'" in required
    assert headers.get_payload() == "Text\n\nMore\n"


def test_the_core_alone_compares_and_names_what_it_lacks(wheels, tmp_path):
    with zipfile.ZipFile(wheels[1]) as archive:
        archive.extractall(tmp_path / "core")
    logs = [foreign_logs.write_plain(tmp_path / str(side), side, foreign_logs.answers(side)) for side in (0, 1)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "core")}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "consistency", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    compared = run("compare", *logs, "--out", tmp_path / "out")
    assert compared.returncode == 0, compared.stderr
    assert (tmp_path / "out" / "report.html").is_file()
    for lacked, *arguments in (
        (str(tmp_path / "core"), "world-model", tmp_path / "model"),
        ("consistency.experiment.checkpoint", "checkpoint", tmp_path),
    ):
        lacking = run(*arguments)
        assert lacking.returncode == 2
        assert lacked in lacking.stderr.replace("\n", "")
        assert "[share]" in lacking.stderr
        assert "Traceback" not in lacking.stderr


# The packages of the extras cannot be found.
_CORE_ONLY = """
import sys
from consistency.errors import EXTRAS

def without(found):
    def find_spec(name, *more):
        return None if name.partition(".")[0] in EXTRAS else found.find_spec(name, *more)
    return type("Without", (), {"find_spec": staticmethod(find_spec)})

sys.meta_path[:] = map(without, sys.meta_path)
from consistency.cli import main
main()
"""


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("eval", ("check-tokenizer", ROOT / "consistency/world/base_model")),
        ("eval", ("eval", "--tasks", "mmlu", "--model_args", "pretrained=x")),
        (
            "eval",
            ("experiment", "tokenizer", ROOT / "consistency/world/base_model", "--template", "vicuna", "--out", "t"),
        ),
        ("eval", ("domain", "new", "mine", "--out", "mine", "--from", "hub:org/name")),
        ("hub", ("compare", "hub:org/name", "hub:org/other")),
        ("wandb", ("compare", "a", "b", "--export", "wandb")),
    ],
)
def test_a_command_says_which_extra_it_needs(extra, arguments, tmp_path):
    """Installed from a release and from a checkout alike."""
    found = subprocess.run(
        [sys.executable, "-c", _CORE_ONLY, *map(str, arguments)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 2, found.stderr
    assert f"pip install 'lm-eval-consistency[{extra}]', or '.[{extra}]' in a checkout" in found.stderr
    assert extra in PROJECT["optional-dependencies"]
    assert not [*tmp_path.iterdir()]


def test_the_core_is_small(wheels):
    # The metadata of a real wheel hold the README, some 12 kB.
    assert wheels[1].stat().st_size + 15_000 < MOST


def test_what_the_core_imports_when_a_module_is_loaded_is_in_it(wheels):
    core = {name: content for name, content in members(wheels[1]).items() if name.endswith(".py")}
    for name, content in core.items():
        tree = ast.parse(content)
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("consistency"):
                place = node.module.replace(".", "/")
                assert core.keys() & {f"{place}.py", f"{place}/__init__.py"}, f"{name} imports {node.module}"
