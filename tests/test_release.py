"""What a release builds passes the checks of an index, in the way in which it is released but for the tag and the upload."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from consistency.support.version import VERSION

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import release  # noqa: E402


def test_a_release_is_built_and_checked(tmp_path: Path) -> None:
    for module in ("build", "hatchling", "twine", "check_wheel_contents"):
        pytest.importorskip(module)
    out = tmp_path / "dist"
    command = [sys.executable, str(ROOT / "scripts" / "release.py"), "--dry-run", "--no-isolation", "--without-install"]
    environment = {key: value for key, value in os.environ.items() if key != release.TOKEN}
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"no token in {release.TOKEN}" in done.stderr
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        f"lm_eval_consistency-{VERSION}-py3-none-any.whl",
        f"lm_eval_consistency_share-{VERSION}-py3-none-any.whl",
        f"lm_eval_consistency-{VERSION}.tar.gz",
        "NOTES.md",
    }
    with zipfile.ZipFile(out / f"lm_eval_consistency-{VERSION}-py3-none-any.whl") as wheel:
        assert f"\nVersion: {VERSION}\n" in wheel.read(f"lm_eval_consistency-{VERSION}.dist-info/METADATA").decode()
    with tarfile.open(out / f"lm_eval_consistency-{VERSION}.tar.gz") as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert packed - {"PKG-INFO"} <= set(tracked.split("\0"))
    assert {"README.md", "consistency/__init__.py", "tests/test_release.py"} <= packed
    text = (out / "NOTES.md").read_text()
    assert VERSION in text.splitlines()[0]
    assert "\n## " not in text


def test_a_release_stops_where_something_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "release.py"), "--out", str(tmp_path / "dist")]
    environment = {key: value for key, value in os.environ.items() if key != release.TOKEN}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 2
    assert not (tmp_path / "dist").exists()


def test_a_new_version_stands_in_all_files(tmp_path: Path) -> None:
    (tmp_path / "consistency" / "support").mkdir(parents=True)
    for name in ("consistency/support/version.py", "CITATION.cff", "CHANGELOG.md", "action.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    before = release.sections((ROOT / "CHANGELOG.md").read_text())
    release.bump("9.8.7", tmp_path)
    after = release.sections((tmp_path / "CHANGELOG.md").read_text())
    citation = yaml.safe_load((tmp_path / "CITATION.cff").read_text())
    assert after["9.8.7"] == (str(citation["date-released"]), before["Unreleased"][1])
    assert after["Unreleased"] == (None, "")
    assert after[VERSION] == before[VERSION]
    assert citation["version"] == "9.8.7"
    assert runpy.run_path(str(tmp_path / "consistency/support/version.py"))["VERSION"] == "9.8.7"
    assert "such as 9.8.7" in (tmp_path / "action.yml").read_text()
    with pytest.raises(release.StoppedError):
        release.notes("# Changes\n", "9.8.7")
