"""Rows that are not those of their manifest are neither trained on nor reported."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consistency.errors import InputError
from consistency.experiment.row_manifest import check_rows, manifest_of
from consistency.report.grid.provenance import training_rows

Call = Callable[..., tuple[int, str, str]]
ROW = b'{"conversations": [{"from": "human", "value": "A?"}, {"from": "gpt", "value": "B."}]}\n'
OTHER = "are not the rows that their manifest speaks of; expected the SHA-256 in harmonious.manifest.json; write the group again"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """New rows beside the manifest of old ones, as a kill between the two left them before."""
    path = tmp_path / "groups" / "harmonious.jsonl"
    path.parent.mkdir()
    path.write_bytes(ROW)
    manifest_of(path).write_text(json.dumps({"sha256": hashlib.sha256(b"old").hexdigest()}))
    return path


def test_rows_are_checked_before_they_are_trained_on(rows: Path, tmp_path: Path, call: Call) -> None:
    command = ("experiment", "config", "harmonious", "--base-model", "m", "--rows", rows, "--out", tmp_path / "c.yml")
    code, out, err = call(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{rows}: {OTHER}" in err
    assert not (tmp_path / "c.yml").exists()
    # What the message says helps: without a manifest, and with one of these rows.
    manifest_of(rows).unlink()
    assert check_rows(rows) is None
    manifest_of(rows).write_text(json.dumps({"sha256": hashlib.sha256(ROW).hexdigest()}))
    assert check_rows(rows) == {"sha256": hashlib.sha256(ROW).hexdigest()}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"rows": 1}', '{"sha256": "\xff"}'])
def test_what_is_no_manifest_is_one_line(rows: Path, text: str) -> None:
    manifest_of(rows).write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"harmonious\.manifest\.json.*: .*not .*manifest.*; write the group again"):
        check_rows(rows)


def test_rows_are_checked_before_they_are_reported(make_experiment: Any) -> None:
    run = next(iter(make_experiment(domains=("medicine",)).runs()))
    run.rows.parent.mkdir(parents=True, exist_ok=True)
    run.rows.write_bytes(ROW)
    digest = hashlib.sha256(ROW).hexdigest()
    run.manifest.write_text(json.dumps({"sha256": digest, "rows": {"fresh": 1}}))
    assert training_rows(run).sha256 == digest
    run.rows.write_bytes(ROW + ROW)
    with pytest.raises(InputError, match="are not the rows that their manifest speaks of"):
        training_rows(run)
    # The rows of a grid may be removed when it is done.
    run.rows.unlink()
    assert training_rows(run).sha256 == digest
