"""Files appear whole or not at all, whatever goes wrong on the way."""

import hashlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from consistency.errors import InputError
from consistency.support.files import Outputs, fingerprint, folder_in_place, write_atomically, write_together


def test_a_file_is_written_in_utf_8_and_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_atomically(path, "ä\n漢\r\n")
    assert path.read_bytes() == b"\xc3\xa4\n\xe6\xbc\xa2\r\n"
    write_atomically(str(path), "")
    assert path.read_bytes() == b""
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_as_readable_as_any_other(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "x")
        (tmp_path / "b").touch()
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert modes == [0o640, 0o640]


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "x" * 100_000 + "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_set_of_files_appears_whole_or_not_at_all(tmp_path):
    (tmp_path / "z").mkdir()
    with pytest.raises(InputError, match=r"z: cannot be written \(a folder of this name exists\)"):
        write_together({tmp_path / "a": [b"x"], tmp_path / "z": [b"y"]})
    assert [path.name for path in tmp_path.iterdir()] == ["z"]


@pytest.mark.parametrize("size", [100_000, 100])
def test_a_full_disk_leaves_nothing_and_is_said_in_one_line(tmp_path, size):
    """The system refuses every byte above a limit, as it does on a full disk: in the first piece or in a later one."""
    code = """
import resource, signal, sys
from pathlib import Path
from consistency.errors import InputError
from consistency.support.files import Outputs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
path, size = Path(sys.argv[1]), int(sys.argv[2])
try:
    with Outputs() as outputs:
        paths = [path.with_name("b"), path]
        outputs.write_pieces(paths, [(paths[0], b"whole")] + [(path, b"x" * size)] * 1000)
except InputError as error:
    print(error)
"""
    path = tmp_path / "a.txt"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(size)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{path}: cannot be written (File too large); choose another place\n"
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_no_file_can_be_is_named(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a", tmp_path / "file" / "b" / "a", tmp_path / "folder"):
        with pytest.raises(InputError, match=f"^{re.escape(str(path))}: cannot be written"):
            write_atomically(path, "new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_fingerprint_is_the_sha_256_of_the_content(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    # The first example of FIPS 180-2.
    assert fingerprint(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_pieces_reach_their_files_in_order_and_their_digests_are_returned(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    pieces = [(paths[number % 2], b"%d" % number * (number % 7) * 20_000) for number in range(50)]
    with Outputs() as outputs:
        digests = outputs.write_pieces(paths, pieces)
    assert list(digests) == paths
    for path in paths:
        content = b"".join(piece for owner, piece in pieces if owner == path)
        assert path.read_bytes() == content
        assert digests[path] == hashlib.sha256(content).hexdigest()


def test_files_that_are_written_together_appear_together(tmp_path):
    def lines(number: int, fails: bool = False):
        for line in range(2500):
            if fails and line == 2400:
                raise RuntimeError
            yield b"%d %d\n" % (number, line)

    (tmp_path / "b").write_bytes(b"old")
    with pytest.raises(RuntimeError):
        write_together({tmp_path / "a": lines(0), tmp_path / "b": lines(1, fails=True)})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_bytes() == b"old"
    write_together({tmp_path / "a": lines(0), tmp_path / "new" / "b": lines(1), tmp_path / "c": []})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "new"]
    assert (tmp_path / "new" / "b").read_bytes() == b"".join(lines(1))
    assert (tmp_path / "c").read_bytes() == b""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        write_together({tmp_path / "d": lines(0), tmp_path / "file" / "e": lines(1)})
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", [".", "..", "../report", "../.."])
def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch, name):
    """Its name may be empty, or stand for a folder that holds the new one."""
    here = tmp_path / "report" / "inside"
    here.mkdir(parents=True)
    (tmp_path / "report" / "report.json").write_text("{}")
    monkeypatch.chdir(here if name != "../report" else here.parent)
    with (
        pytest.raises(InputError, match="is the current folder or holds it; expected a new folder"),
        folder_in_place(Path(name), "report.json"),
    ):
        pass
    assert (tmp_path / "report" / "report.json").read_text() == "{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]
