"""JSON as Python writes it, with NaN and Infinity, and the place of what is no JSON.

The fast decoder knows neither; these are the second attempt, on the rows that it refuses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consistency.errors import InputError

_SPACE = re.compile(r"[ \t\r\n]*")
# Python's json writes them, JSON has none; as texts they decode to floats.
_CONSTANTS = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}


def parse_row(text: bytes, line: int, path: Path) -> Any:
    """Parse as Python's json does, which wrote the file: NaN and Infinity become strings, which decode to floats."""
    try:
        return json.loads(text, parse_constant=_CONSTANTS.__getitem__)
    except json.JSONDecodeError as error:
        raise _not_json(error, line, path) from None
    except UnicodeDecodeError as error:
        raise _not_text(error, line, path) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"cannot be parsed: {error}", do="run lm_eval again", path=path, line=line) from None


def _not_json(error: json.JSONDecodeError, line: int, path: Path) -> InputError:
    return InputError(
        f"not JSON: {error.msg} at column {error.colno}",
        expected="one JSON object per document",
        do="the file may be cut or damaged; copy it again or run lm_eval again",
        path=path,
        line=line + error.lineno - 1,
    )


def _not_text(error: UnicodeDecodeError, line: int, path: Path) -> InputError:
    return InputError(
        f"not UTF-8: {error.reason} at byte {error.start}",
        expected="UTF-8 text",
        do="copy the file again or run lm_eval again",
        path=path,
        line=line + error.object.count(b"\n", 0, error.start),
    )


def parse_array(content: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    """Line and value of each element of an array."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _not_text(error, 1, path) from None
    parse = json.JSONDecoder(parse_constant=_CONSTANTS.__getitem__).raw_decode
    place, line, counted = text.index("[") + 1, 1, 0
    while True:
        # Python's json names what it misses at a place, as for a whole array.
        place = _blank_before(text, place)
        if text.startswith("]", place):
            place = _blank_before(text, place + 1)
            if place < len(text):
                raise _not_json(json.JSONDecodeError("Extra data", text, place), 1, path)
            return
        try:
            item, end = parse(text, place)
        except json.JSONDecodeError as error:
            raise _not_json(error, 1, path) from None
        except (RecursionError, ValueError) as error:
            raise InputError(f"cannot be parsed: {error}", do="run lm_eval again", path=path, line=line) from None
        line, counted = line + text.count("\n", counted, place), place
        yield line, item
        place = _blank_before(text, end)
        if text.startswith(",", place):
            place += 1
        elif not text.startswith("]", place):
            raise _not_json(json.JSONDecodeError("Expecting ',' delimiter", text, place), 1, path)


def _blank_before(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def find_line(path: Path, document: bytes, doc_id: int) -> int | None:
    """Line of a samples file that holds a document, for a message about it.

    A document that was decoded leniently is no longer the file's bytes; then the line that names its doc_id.
    """
    number = re.compile(rb'"doc_id"\s*:\s*"?%d\b' % doc_id)
    content = path.read_bytes()
    places = [found.start() for found in re.finditer(re.escape(document), content)]
    named = number.search(content)
    for place in places:
        # On its own line in a file of lines, on the line before in an array that is written over many.
        around = content[
            content.rfind(b"\n", 0, max(content.rfind(b"\n", 0, place), 0)) + 1 : content.find(b"\n", place)
        ]
        if number.search(around):
            return content.count(b"\n", 0, place) + 1
    best = places[0] if places else named.start() if named else None
    return None if best is None else content.count(b"\n", 0, best) + 1
