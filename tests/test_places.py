"""Where an output goes: links are followed, devices and pipes are written through, a file that is replaced keeps its mode."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from consistency.errors import InputError
from consistency.support import places
from consistency.support.files import Outputs, write_atomically, write_lines, write_together

CODE = """
import sys
from consistency.errors import InputError
from consistency.support.files import write_atomically
try:
    print("before")
    for path in sys.argv[1:]:
        write_atomically(path, "text\\n" * 20_000)
    print("after")
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""
TEXT = "text\n" * 20_000


def written(*paths: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", CODE, *map(str, paths)]
    return subprocess.run(command, text=True, timeout=60, check=False, **options)


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_text("old")
    (tmp_path / "one").symlink_to("there/a")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    write_atomically(tmp_path / "two", "new")
    assert (tmp_path / "two").readlink() == tmp_path / "one"
    assert (tmp_path / "one").readlink() == Path("there/a")
    assert (tmp_path / "there" / "a").read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "one", "there", "two"]


def test_the_target_of_a_dangling_link_is_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("new/folder/a")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new" / "folder" / "a").read_text() == "new"


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(InputError, match=r"link: cannot be written \(Too many levels of symbolic links\)"):
        write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()


def test_a_folder_behind_a_link_is_replaced_there(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mark").write_text("old")
    (tmp_path / "link").symlink_to("there")
    with Outputs() as outputs:
        (outputs.folder(tmp_path / "link", "mark") / "mark").write_text("new")
    assert (tmp_path / "link").readlink() == Path("there")
    assert (tmp_path / "there" / "mark").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_replaced_file_and_folder_keep_their_modes(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(mode)
    (tmp_path / "b").mkdir()
    (tmp_path / "b").chmod(mode | 0o700)
    with Outputs() as outputs:
        outputs.file(tmp_path / "a").write(b"new")
        (outputs.folder(tmp_path / "b", "mark") / "mark").write_text("new")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert modes == [mode, mode | 0o700]


def test_a_new_folder_is_as_readable_as_any_other(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with Outputs() as outputs:
            outputs.folder(tmp_path / "a", None)
        (tmp_path / "b").mkdir()
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another user")
def test_a_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    os.chown(tmp_path / "a", 1234, 2345)
    write_atomically(tmp_path / "a", "new")
    found = (tmp_path / "a").stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


def test_another_hard_link_keeps_the_earlier_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    write_atomically(tmp_path / "a", "new")
    assert [(tmp_path / name).read_text() for name in "ab"] == ["new", "old"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """As /dev/null is, of which a test had better make one of its own."""
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    write_lines(device, [b"x" * 100_000])
    assert stat.S_ISCHR(device.stat().st_mode)
    assert device.stat().st_rdev == os.makedev(1, 3)
    assert list(tmp_path.iterdir()) == [device]


def test_a_full_device_is_said_in_one_line(tmp_path: Path) -> None:
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    done = written(tmp_path / "a", "/dev/full", capture_output=True)
    assert (done.returncode, done.stderr) == (
        2,
        "/dev/full: cannot be written (No space left on device); choose another place\n",
    )
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_what_cannot_be_written_through_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def write() -> None:
        with Outputs() as outputs:
            outputs.file(tmp_path / "a").write(b"new")
            (outputs.folder(tmp_path / "b", None) / "c").write_text("new")
            outputs.file(Path("/dev/full")).write(b"new")

    with pytest.raises(InputError, match="No space left"):
        write()
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_goes_on_where_it_was(tmp_path: Path, name: str) -> None:
    """In a pipe, in a file from its start, at the end of a file, and behind a link."""
    assert written(name, stdout=subprocess.PIPE).stdout == f"before\n{TEXT}after\n"
    (tmp_path / "link").symlink_to(name)
    place = tmp_path / "out.txt"
    with place.open("w") as out:
        assert written(name, tmp_path / "link", stdout=out).returncode == 0
    assert place.read_text() == f"before\n{TEXT}{TEXT}after\n"
    place.write_text("kept\n")
    with place.open("a") as out:
        assert written(name, stdout=out).returncode == 0
    assert place.read_text() == f"kept\nbefore\n{TEXT}after\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out.txt"]


def test_a_named_pipe_is_waited_for_and_stays(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Timer(0.3, lambda: found.append(pipe.read_text()))
    reader.start()
    write_atomically(pipe, TEXT)
    reader.join()
    assert found == [TEXT]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_pipe_that_nobody_reads_is_no_endless_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PATIENCE", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe: no program reads this pipe \(waited 0.2 s\); start one that does"):
        write_atomically(tmp_path / "pipe", "text")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_reader_that_ends_early_is_no_refusal(tmp_path: Path) -> None:
    """Who calls decides how to end then; of a file that belongs to the same set nothing appears."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def read_some() -> None:
        with pipe.open("rb", buffering=0) as stream:
            stream.read(10)

    reader = threading.Thread(target=read_some)
    reader.start()
    with pytest.raises(BrokenPipeError):
        write_together({tmp_path / "a": [b"new"], pipe: [b"x" * 5_000_000]})
    reader.join()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]
