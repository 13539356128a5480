"""Any report's `report.json`: checked, read, and as JSON Schema.

The types are in the `document` of each kind of report, and what several have in `consistency.report.document`. The JSON Schema
beside this file is made from them: `python -m consistency.report.schema`. docs/report_schema.md explains the keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.report.differences.document import DifferencesReport
from consistency.report.document import SCHEMA_VERSION
from consistency.report.grid.document import GridReport
from consistency.report.many.document import ManyReport
from consistency.report.pair.document import PairReport
from consistency.report.sides.document import SidesReport
from consistency.report.upgrade import upgrade
from consistency.report.watch.document import WatchReport
from consistency.support.json_files import pretty_json, read_json

SCHEMA_FILE = Path(__file__).with_name("report.schema.json")
AnyReport = PairReport | ManyReport | SidesReport | GridReport | DifferencesReport | WatchReport


def check(document: AnyReport) -> None:
    """Refuse to write what does not hold the types above.

    Raises
    ------
    msgspec.ValidationError
        If a value is of another type; it names the place.
    """
    msgspec.convert(msgspec.to_builtins(document), type(document))


def read_document(folder: str | Path) -> AnyReport:
    """Read the `report.json` of a report's folder, also one of schema version 2.

    Parameters
    ----------
    folder : path-like
        What `consistency report` or `consistency compare --out` wrote.

    Returns
    -------
    PairReport, ManyReport, SidesReport, GridReport, DifferencesReport or WatchReport

    Raises
    ------
    InputError
        If there is none, it is of an unknown version, or something in it is missing or of another type.
    """
    path, again = Path(folder) / "report.json", "write the report again"
    document = read_json(path, "the folder of a report, with its report.json", again)
    try:
        version = document.get("schema_version") if isinstance(document, dict) else None
        if version == 2:
            document = upgrade(document, SCHEMA_VERSION)
        elif version != SCHEMA_VERSION:
            raise InputError(f"schema_version {version}", expected=f"2 or {SCHEMA_VERSION}", do=again, path=path)
        found: AnyReport = msgspec.convert(document, AnyReport)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"is not a report: {error}", do=again, path=path) from None
    return found


def json_schema() -> dict[str, Any]:
    """`report.json` as JSON Schema 2020-12."""
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(AnyReport)))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "report.json", **schema}


if __name__ == "__main__":
    SCHEMA_FILE.write_text(pretty_json(json_schema()), encoding="utf-8")
