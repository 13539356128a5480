"""JSON lines as users' programs write them, and the line of a mistake."""

from pathlib import Path

import msgspec
import pytest

from consistency.errors import InputError
from consistency.support.json_files import first_line, json_lines, read_jsonl, read_jsonl_bytes, read_rows


class Row(msgspec.Struct):
    id: int


@pytest.mark.parametrize(
    "content",
    [
        b'{"id": 1}\n{"id": 2}\n',
        b'{"id": 1}\n{"id": 2}',
        b'{"id": 1}\r\n{"id": 2}\r\n',
        b'\xef\xbb\xbf{"id": 1}\n {"id": 2}\t\n',
        # Two files of Windows, one after the other.
        b'\xef\xbb\xbf{"id": 1}\r\n\xef\xbb\xbf{"id": 2}\r\n',
    ],
)
def test_a_value_a_line_is_read_with_its_own_bytes(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert list(read_jsonl_bytes(path, Row, "an id")) == [(1, b'{"id": 1}', Row(1)), (2, b'{"id": 2}', Row(2))]
    assert list(read_jsonl(path, Row, "an id")) == [(1, Row(1)), (2, Row(2))]
    assert list(read_rows(path, "an id")) == [(1, {"id": 1}), (2, {"id": 2})]
    assert first_line(path) == b'{"id": 1}'


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "one\u2028two\x85three\x0b"}, {"text": "é"}]
    path.write_bytes(b"".join(json_lines(rows)))
    assert [row for _, row in read_jsonl(path, dict[str, str], "a text")] == rows


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"id": 1}\n\n{"id": 2}', 2),
        (b'{"id": 1}\n{"id": "two"}\n', 2),
        (b'{"id": 1}\n{"id": ', 2),
        (b'{"id": 1}\n{"id": 2, "\xff": 3}', 2),
        (b"[" * 100_000, 1),
        (b"\n", 1),
    ],
)
def test_the_line_of_a_mistake_is_named(tmp_path, content, line):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected an id") as error:
        list(read_jsonl(path, Row, "an id"))
    assert (error.value.path, error.value.line) == (path, line)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        for read in (read_rows, lambda place, expected: read_jsonl(place, Row, expected)):
            with pytest.raises(InputError, match="cannot be read") as error:
                list(read(path, "an id"))
            assert error.value.path == path
        assert first_line(path) == b""
    (tmp_path / "blank").write_text("\n \n")
    assert first_line(Path(tmp_path, "blank")) == b""
