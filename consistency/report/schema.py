"""`report.json`: what docs/report_schema.md describes, checked when it is written and when it is read.

The JSON Schema beside this file is made from the types: `python -m consistency.report.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from consistency.errors import InputError
from consistency.report.document_parts import Verdict
from consistency.report.grid_document import GridReport
from consistency.report.pair_document import PairReport
from consistency.support.json_files import pretty_json

SCHEMA_VERSION = 2
SCHEMA_FILE = Path(__file__).with_name("report.schema.json")


class Setting(Struct):
    """A setting or version in which two reports differ."""

    setting: str
    a: str
    b: str


class ComparedReport(Struct):
    """One of two reports."""

    folder: str
    signature: str


class DifferencesReport(Struct, tag_field="kind", tag="differences"):
    """What differs between two reports: `consistency report --compare`."""

    schema_version: int
    created: str
    signature: str
    intervals: str
    notes: list[str]
    verdict: Verdict
    a: ComparedReport
    b: ComparedReport
    settings: list[Setting]
    differences: list[dict[str, Any]]
    only_in_a: list[str]
    only_in_b: list[str]
    averaged_over_others: list[str]
    versions: dict[str, str]


ANY = PairReport | GridReport | DifferencesReport


def check(document: Mapping[str, Any]) -> None:
    """Refuse to write what is no `report.json`.

    Raises
    ------
    msgspec.ValidationError
        If a key is missing or of another type; it names the place.
    """
    msgspec.convert(document, ANY)


def read_document(folder: str | Path) -> dict[str, Any]:
    """Read the `report.json` of a report's folder.

    Parameters
    ----------
    folder : path-like
        What `consistency report` or `consistency compare --out` wrote.

    Returns
    -------
    dict
        As docs/report_schema.md describes it.

    Raises
    ------
    InputError
        If there is none, it is of another version, or something in it is missing or of another type.
    """
    path, again = Path(folder) / "report.json", "write the report again"
    try:
        document = msgspec.json.decode(path.read_bytes())
        version = document.get("schema_version") if isinstance(document, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(f"schema_version {version}", expected=f"{SCHEMA_VERSION}", do=again, path=path)
        check(document)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", expected="the folder of a report", do=again, path=path
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"is no report: {error}", do=again, path=path) from None
    return dict(document)


def json_schema() -> dict[str, Any]:
    """`report.json` as JSON Schema 2020-12."""
    schema = msgspec.json.schema(ANY)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "report.json", **schema}


def _text() -> str:
    return pretty_json(json_schema())


if __name__ == "__main__":
    SCHEMA_FILE.write_text(_text(), encoding="utf-8")
