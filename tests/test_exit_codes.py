"""How a command ends: its exit code and its one line, whatever happens to it."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("consistency")
MODULES = ([PROGRAM], [sys.executable, "-m", "consistency"], [sys.executable, "-m", "consistency.cli"])
FULL = Path("/dev/full")


def _ends(command: str, *, program: list | None = None, **environment: str) -> tuple[int, bytes]:
    """Exit code and standard error of a shell's command, in which $C is the program."""
    script = command.replace("$C", " ".join(map(str, program or [PROGRAM])))
    env = {**os.environ, **environment}
    done = subprocess.run(["bash", "-c", script], capture_output=True, env=env, timeout=120)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("program", MODULES, ids=lambda words: " ".join(map(str, words[1:])) or "consistency")
def test_standard_output_that_cannot_be_written(program):
    for command, reason in (("$C tasks > /dev/full", b"No space left"), ("$C tasks >&-", b"closed")):
        code, err = _ends(command, program=program)
        assert code == 2
        assert re.fullmatch(rb"consistency: standard output cannot be written \(.*" + reason + rb".*\)\n", err)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("$C swim 2> /dev/full", 2),
        ("$C swim 2>&-", 2),
        ("$C tasks > /dev/full 2>&1", 2),
        ("$C tasks 2> /dev/full > /dev/null", 0),
        ("$C --help > /dev/full", 2),
        ("$C plan-eval --json > /dev/full", 2),
        ("$C explain | head -c 1 > /dev/null; exit ${PIPESTATUS[0]}", 0),
        ("$C explain | true; exit ${PIPESTATUS[0]}", 141),
        ("$C --help | true; exit ${PIPESTATUS[0]}", 141),
    ],
)
def test_streams_that_fail(command, code):
    found, err = _ends(command)
    assert found in ({0, 141} if "| head" in command else {code})
    assert err.count(b"\n") <= 1


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_an_output_without_unicode(environment, tmp_path):
    assert _ends("$C explain kl > /dev/null", **environment) == (0, b"")
    code, err = _ends("$C compare 中 b", **environment)
    assert code == 2
    assert err.startswith(b"consistency: ")
    assert err.isascii()


def test_json_for_an_output_without_unicode(tmp_path):
    import json

    done = subprocess.run(
        [PROGRAM, "plan-eval", "--json"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert json.loads(done.stdout)["curves"]


def test_ctrl_c(tmp_path):
    fifo = tmp_path / "fifo.jsonl"
    os.mkfifo(fifo)
    # It waits for a writer.
    # A program that is started in the background may be told to ignore the signal, and hands that on.
    running = subprocess.Popen(
        [PROGRAM, "leakage", fifo],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    writer = os.open(fifo, os.O_WRONLY)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    os.close(writer)
    assert (running.returncode, out, err) == (130, b"", b"consistency: interrupted\n")


def test_a_warning_that_is_an_error(call, monkeypatch):
    from consistency.tasks.task_files import shipped_tasks

    def warn() -> object:
        warnings.warn("an old\x1b[31m name", DeprecationWarning, stacklevel=1)
        return shipped_tasks()

    monkeypatch.setattr("consistency.tasks.task_files.shipped_tasks", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        code, out, err = call("tasks", "--list")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"consistency: .*told to take for an error: an old\\x1b\[31m name; .*\n", err)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert call("tasks", "--list")[0] == 0


def test_warnings_of_libraries_that_are_errors():
    """Whether there is one depends on the libraries; it may come while they are imported, before any command runs."""
    code, err = _ends("$C tasks > /dev/null", PYTHONWARNINGS="error")
    told = re.fullmatch(rb"consistency: (.*: )?a warning, which this Python was told to take for an error: .*\n", err)
    assert (code, bool(told)) in ((0, False), (2, True))


FAULTS = [
    (
        ZeroDivisionError("\x1b[31mby zero"),
        70,
        r"tasks failed at consistency\.\S+:\d+: ZeroDivisionError: \\x1b\[31mby zero; ",
    ),
    (KeyError("a\nb"), 70, r"tasks failed at .*KeyError: 'a\\nb'; "),
    (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 70, "UnicodeEncodeError"),
    (AssertionError(), 70, "AssertionError; "),
    (MemoryError(), 2, "not enough memory"),
    (RecursionError("maximum recursion depth exceeded"), 2, "nested more deeply"),
    (OSError(28, "No space left on device", "a/b\u202e"), 2, r"a/b\\u202e: No space left on device"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "a/" + 300 * "b"), 2, "name of 300 bytes is too long"),
    (PermissionError(13, "Permission denied", b"a\xff"), 2, r"a\\udcff: Permission denied"),
    (OSError("a library's own message"), 2, "a library's own message"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (SystemExit("told"), 2, "told"),
]


@pytest.mark.parametrize(("error", "code", "line"), FAULTS, ids=lambda value: type(value).__name__)
def test_the_last_net(call, monkeypatch, error, code, line):
    """A fault cannot be provoked as long as none is known: one is put in."""

    def fail() -> None:
        raise error

    monkeypatch.setattr("consistency.tasks.task_files.shipped_tasks", fail)
    found, out, err = call("tasks", "--list")
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert re.search(rf"^consistency: .*{line}", err)
    monkeypatch.setenv("CONSISTENCY_TRACEBACK", "1")
    _, _, err = call("tasks", "--list")
    assert err.startswith("Traceback") == (code in (2, 70) and not isinstance(error, SystemExit))
    assert "\x1b" not in err


def test_a_path_that_is_not_utf8(tmp_path, write_probe):
    documents = [
        {"id": f"q{n}", "subject": "law", "question": f"Is {n}?", "choices": list("abcd"), "answer": n % 2}
        for n in range(8)
    ]
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    for side in ("before", "after"):
        write_probe(Path(os.fsdecode(folder)) / side, documents, [[-1, -9, -9, -9]] * 8)
    before, after, out, table, found = (
        folder + b"/" + name for name in (b"before", b"after", b"out", b"map", b"json\xff")
    )
    run = [os.fsencode(PROGRAM)]
    for arguments in (
        [b"compare", before, after, b"--out", out, b"--json", found],
        [b"report", b"--compare", out, out],
        [b"map", b"--probe", before, b"--out", table],
        [b"requests", b"--probe", before, b"--out", folder + b"/r.jsonl"],
        [b"plan-eval", b"--figure", folder + b"/plan.pdf"],
    ):
        done = subprocess.run(run + arguments, capture_output=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, b""), arguments
        done.stdout.decode()
    for path in (found, out + b"/items.parquet", out + b"/report.html", table + b"/map.png", folder + b"/plan.pdf"):
        assert os.path.getsize(path)  # noqa: PTH202
