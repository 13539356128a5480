import json
from pathlib import Path

import pytest

from consistency.errors import InputError
from consistency.report.schema import SCHEMA_FILE, json_schema, read_document


def test_the_shipped_schema_is_that_of_the_types() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), "run python -m consistency.report.schema"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is no report"),
        ("[]", "schema_version None; expected 2"),
        ('{"schema_version": 1}', "schema_version 1; expected 2"),
        ('{"schema_version": 2, "kind": "pair"}', "missing required field"),
        ('{"schema_version": 2, "kind": "trio"}', "Invalid value 'trio'"),
    ],
)
def test_what_is_no_report_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_document(tmp_path)


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report\.json: cannot be read"):
        read_document(tmp_path)
