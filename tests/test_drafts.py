"""Writers at the same time, writers that were killed, and what earlier versions left."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consistency.errors import InputError
from consistency.support import exchange, locks
from consistency.support.files import Outputs, folder_in_place, write_atomically

PROGRAM = Path(sys.executable).with_name("consistency")
PAIRS = 3
# Writes a set and a folder again and again, each time all of it with one word; says so, and begins with the others.
WRITER = """
import sys
from pathlib import Path
from consistency.support import exchange
from consistency.support.files import Outputs
word, rounds, exchanges = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
if not exchanges:
    exchange._renameat2 = lambda: None
sys.stdin.readline()
for number in range(rounds):
    with Outputs() as outputs:
        manifest = outputs.manifest(Path("set/manifest"))
        for name in "abc":
            outputs.file(Path("set", name)).write(f"{word} {number}".encode())
        manifest.write(f"{word} {number}".encode())
        folder = outputs.folder(Path("folder"), "mark")
        for name in ("mark", "a", "b"):
            (folder / name).write_text(f"{word} {number}")
"""
# Begins a file and a folder, says so, and is killed.
BEGINNER = """
import sys
from pathlib import Path
from consistency.support.files import Outputs
with Outputs() as outputs:
    outputs.file(Path("a")).write(b"half")
    (outputs.folder(Path("b"), "mark") / "mark").write_text("half")
    print("begun", flush=True)
    sys.stdin.read()
"""


def start(code: str, folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("exchanges", [True, False])
def test_what_several_write_at_the_same_time_is_of_one_of_them(tmp_path: Path, exchanges: bool) -> None:
    rounds = 40
    writers = [start(WRITER, tmp_path, word, rounds, exchanges) for word in ("one", "two", "three")]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.communicate(timeout=120)[1] for writer in writers] == ["", "", ""]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    found = {path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(found) == 1
    assert found.pop().endswith(f" {rounds - 1}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        ["set", *"abc", "manifest", "folder", *"ab", "mark"]
    )


@pytest.fixture
def logs(tmp_path: Path, write_probe: Callable[..., Path]) -> Path:
    """One run before, and two after that answer otherwise."""
    documents = [{"question": f"Question {n}?", "choices": list("abcd"), "answer": n % 4} for n in range(40)]
    for name, shift in (("before", 0), ("one", 1), ("two", 2)):
        scores = [[-1.0 if (n + shift * (n % 3 == 0)) % 4 == i else -3.0 - shift for i in range(4)] for n in range(40)]
        write_probe(tmp_path / name, documents, scores)
    return tmp_path


def test_racing_commands_report_what_they_wrote(logs: Path) -> None:
    """Each ends well; the folder and the JSON are both of the last one."""
    expected = {}
    # The gate differs, too.
    limits = {"one": 10, "two": 20}
    for name, limit in limits.items():
        command = [PROGRAM, "compare", "before", name, "--format", "json", "--fail-if", f"kl > {limit}"]
        expected[name] = json.loads(subprocess.run(command, cwd=logs, capture_output=True, check=True).stdout)
    assert expected["one"]["by_task"] != expected["two"]["by_task"]
    for _ in range(PAIRS):
        command = [PROGRAM, "compare", "before", "--format", "json", "--out", "out", "--json", "out.json"]
        writers = {
            name: subprocess.Popen(
                [*command, name, "--fail-if", f"kl > {limit}"],
                cwd=logs,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for name, limit in limits.items()
        }
        for name, writer in writers.items():
            printed, said = writer.communicate(timeout=300)
            assert (writer.returncode, said) == (0, b"")
            assert json.loads(printed) == expected[name]
        stored = json.loads((logs / "out.json").read_text())
        (last,) = [name for name in expected if expected[name] == stored]
        report = json.loads((logs / "out" / "report.json").read_text())["comparison"]
        assert report["by_task"] == expected[last]["by_task"]
        gate = json.loads((logs / "out" / "gate.json").read_text())
        assert str(limits[last]) in gate["conditions"][0]
        assert sorted(path.name for path in logs.iterdir()) == ["before", "one", "out", "out.json", "two"]


def test_drafts_of_a_killed_writer_are_removed_and_those_of_a_writer_at_work_stay(tmp_path: Path) -> None:
    killed, alive = (start(BEGINNER, tmp_path) for _ in range(2))
    for writer in (killed, alive):
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
    killed.kill()
    killed.communicate()
    assert len(list(tmp_path.iterdir())) == 4
    with Outputs() as outputs:
        outputs.file(tmp_path / "a").write(b"whole")
        (outputs.folder(tmp_path / "b", "mark") / "mark").write_text("whole")
    assert len(list(tmp_path.iterdir())) == 4
    assert (tmp_path / "b" / "mark").read_text() == "whole"
    alive.communicate("")
    assert (tmp_path / "a").read_text() == (tmp_path / "b" / "mark").read_text() == "half"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_files_of_similar_names_are_not_drafts(tmp_path: Path) -> None:
    names = [".a.original", ".a.12345678", ".a.partial", ".a.12345678.partial.txt", ".ab.12345678.partial", "a.partial"]
    for name in names:
        (tmp_path / name).write_text("mine")
    write_atomically(tmp_path / "a", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "a"])


def test_a_folder_that_another_program_holds_for_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(InputError, match=r"another program has held this folder for 0.2 s; wait until it has ended"):
        write_atomically(tmp_path / "a", "new")
    assert list(tmp_path.iterdir()) == []
    os.close(handle)
    write_atomically(tmp_path / "a", "new")


def test_the_lock_of_a_killed_process_holds_nobody(tmp_path: Path) -> None:
    code = "import fcntl, os, sys; h = os.open('.', 0); fcntl.flock(h, 2); print('held', flush=True); sys.stdin.read()"
    holder = start(code, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    write_atomically(tmp_path / "a", "new")
    holder.communicate()


def replace(folder: Path) -> None:
    with folder_in_place(folder, "mark") as draft:
        (draft / "mark").write_text("new")
        (draft / "a").write_text("new")


@pytest.mark.parametrize("left", [["a"], ["mark"], ["a", "b/c"], [], None])
def test_a_folder_that_an_earlier_version_gutted_is_healed(tmp_path: Path, left: list[str] | None) -> None:
    """It removed the old folder file by file while the new one lay beside it under one name."""
    partial = tmp_path / ".out.partial"
    partial.mkdir()
    for name in ("mark", "a"):
        (partial / name).write_text("whole")
    for name in left or ():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("old")
    if left == []:
        (tmp_path / "out").mkdir()
    replace(tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {"mark": "new", "a": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("mine")
    (tmp_path / ".out.partial").mkdir()  # no evidence that a folder was being replaced
    with pytest.raises(InputError, match="exists and has no mark; expected a new folder"):
        replace(tmp_path / "out")
    assert (tmp_path / "out" / "a").read_text() == "mine"


def test_a_folder_that_was_set_aside_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two folders cannot be exchanged, and a kill fell between the two renames; also if the next run fails."""
    monkeypatch.setattr(exchange, "_renameat2", lambda: None)
    aside = tmp_path / ".out.0123abcd.old"
    aside.mkdir()
    (aside / "mark").write_text("old")

    def fail() -> None:
        with folder_in_place(tmp_path / "out", "mark"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "out" / "mark").read_text() == "old"
    replace(tmp_path / "out")
    assert (tmp_path / "out" / "mark").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folders_are_exchanged_in_one_step_where_the_system_can(tmp_path: Path) -> None:
    for name in ("new", "place"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    before = (tmp_path / "place").stat().st_ino
    earlier = exchange.put_in_place(tmp_path / "new", tmp_path / "place")
    assert earlier is not None
    assert earlier.stat().st_ino == before
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["new"]
    assert [path.name for path in earlier.iterdir()] == ["place"]


def test_an_error_of_the_system_in_a_draft_names_the_place(tmp_path: Path) -> None:
    """A library that writes into the folder knows only the draft, and not always that."""

    def fail(error: Any) -> None:
        with folder_in_place(tmp_path / "out", "mark") as draft:
            raise error(draft)

    for error in (
        lambda _: OSError(28, "No space left on device"),
        lambda d: OSError(28, "No space left on device", d / "x"),
    ):
        with pytest.raises(InputError, match=r"out: cannot be written \(No space left on device\)"):
            fail(error)
    # One that says that another file is at fault is another one's.
    with pytest.raises(OSError, match="Permission denied"):
        fail(lambda _: OSError(13, "Permission denied", "/elsewhere"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_file_in_a_folder_of_the_same_command_appears_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(exchange, "_renameat2", lambda: None)
    for word in ("one", "two"):
        with Outputs() as outputs:
            (outputs.folder(tmp_path / "out", "mark") / "mark").write_text(word)
            outputs.file(tmp_path / "out" / "more" / "a").write(word.encode())
        assert (tmp_path / "out" / "mark").read_text() == (tmp_path / "out" / "more" / "a").read_text() == word
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "mark", "more", "out"]

    def write(name: str) -> None:
        with Outputs() as outputs:
            (outputs.folder(tmp_path / "out", "mark") / "mark").write_text("three")
            outputs.file(tmp_path / name).write(b"three")

    # Neither the folder itself, nor a file that is in it already, is another output.
    for name, problem in (("out", "is, holds or is in another output"), ("out/mark", "exists")):
        with pytest.raises(InputError, match=problem) as found:
            write(name)
        assert found.value.path == tmp_path / name
        assert (tmp_path / "out" / "mark").read_text() == "two"


def test_json_in_the_folder_of_the_report(logs: Path) -> None:
    command = [PROGRAM, "compare", "before", "one", "--out", "out", "--json", "out/comparison.json"]
    for _ in range(2):
        subprocess.run(command, cwd=logs, capture_output=True, check=True)
        stored = json.loads((logs / "out" / "comparison.json").read_text())
        assert stored["by_task"] == json.loads((logs / "out" / "report.json").read_text())["comparison"]["by_task"]
    assert sorted(path.name for path in logs.iterdir()) == ["before", "one", "out", "two"]


def test_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    with Outputs() as outputs:
        file = outputs.file(tmp_path / "a")
        for _ in range(3):
            file.write(b"abc")
    assert file.sha256 == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()
