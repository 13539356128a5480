"""Damage to bytes, JSON values and folders, and the command line called on it: what the campaigns of damaged files share.

A call must end in a result, in one line and exit code 2, or, of a gate, in the exit code of its condition. Any other end is a
fault, and has a kind and a command that makes it again.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import io
import json
import math
import os
import re
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

# Seconds on a processor that a call may take, which a busy machine does not lengthen; by the clock only what waits for ever.
TIMEOUT, LONGEST_WAIT = 60, 1200
MEMORY = 8 << 30
JUNK: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2**63, 10**30, 10**400, 0.5, -1e308, 1e308, 1e-320, math.nan, math.inf, -math.inf),
    *(
        "",
        "x",
        "0",
        "nan",
        "-1e999",
        "-inf",
        "[0, 1]",
        "True",
        "A",
        "../../x",
        "/",
        "a\nb",
        "\x00",
        "\x1b[31m",
        "\u202e",
    ),
    *("\ud800", "é" * 50, "x" * 5000, "=1+1", "{{ x }}", "9" * 5000, "0x10", "1_000", "①", " "),
    *([], {}, [[]], [{}], [["-1", "True"]], [[[[0]]]], {"a": {"b": [1]}}, {"": 0}, [None, None], [1, "1", True]),
)
PIECES = (
    *(b"\xff", b"\x00", b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\n", b"\r\n", b"\t", b"\xef\xbb\xbf"),
    *(b"NaN", b"-Infinity", b"1e999", b"\xed\xa0\x80", b"\xff\xfe", b"null", b'{"a":' * 2000, b"[" * 3000, b"9" * 5000),
)


class Hang(BaseException):
    """A call that took longer than it may."""


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each list or mapping in a JSON value with each key in it."""
    left = [value]
    while left:
        holder = left.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            left.append(holder[key])


def deep(depth: int, rng: np.random.Generator) -> Any:
    """A value of so many lists or mappings in each other."""
    value: Any = 0
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def damage_json(value: Any, rng: np.random.Generator, times: int) -> Any:
    """A JSON value with some of its parts deleted, doubled, exchanged, of another type or nested deeply."""
    value = copy.deepcopy(value)
    for _ in range(times):
        found = list(places(value))
        if not found:
            return value
        holder, key = found[rng.integers(len(found))]
        how = rng.random()
        if how < 0.2:
            del holder[key]
        elif how < 0.55:
            holder[key] = copy.deepcopy(JUNK[rng.integers(len(JUNK))])
        elif how < 0.65:
            holder[key] = _retyped(holder[key])
        elif how < 0.75:
            other, place = found[rng.integers(len(found))]
            if not _holds(holder[key], other) and not _holds(other[place], holder):
                holder[key], other[place] = copy.deepcopy(other[place]), copy.deepcopy(holder[key])
        elif how < 0.85 and isinstance(holder, list):
            holder.insert(int(rng.integers(len(holder) + 1)), copy.deepcopy(holder[key]))
        elif how < 0.95 and isinstance(holder, dict):
            holder[str(JUNK[rng.integers(len(JUNK))])[:40] if rng.random() < 0.5 else f"{key}x"] = holder.pop(key)
        else:
            # The last damage: nothing here copies so deep a value.
            holder[key] = deep(int(rng.choice([50, 99, 101, 300, 900, 980, 3000])), rng)
            return value
    return value


def _holds(value: Any, part: Any) -> bool:
    return value is part or any(holder is part for holder, _ in places(value))


def _retyped(value: Any) -> Any:
    """A value as another type that looks alike."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
        return [value]
    return {str(place): item for place, item in enumerate(value)} if isinstance(value, list) else list(value or ())


def as_json(value: Any, **options: Any) -> bytes:
    """A value as JSON, also with NaN, half surrogate pairs and at any depth."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        return json.dumps(value, ensure_ascii=False, **options).encode("utf-8", "surrogatepass")
    except ValueError:  # a number of more digits than Python writes
        return b'{"a": ' + b"9" * 5000 + b"}"
    finally:
        sys.setrecursionlimit(limit)


def damage_bytes(content: bytes, rng: np.random.Generator, times: int = 3) -> bytes:
    """Content of which pieces are cut, doubled, exchanged or replaced."""
    found = bytearray(content)
    how = rng.random()
    if how < 0.03:
        return b""
    if how < 0.08:
        return content[: rng.integers(len(content) + 1)]
    if how < 0.10:
        return content.decode("utf-8", "replace").encode("utf-16")
    if how < 0.12:
        return content.decode("utf-8", "replace").encode("latin-1", "replace")
    for _ in range(int(rng.integers(1, times + 1))):
        if not found:
            break
        at = int(rng.integers(len(found)))
        end = at + int(rng.choice([0, 1, 5, 200, len(found)], p=[0.4, 0.3, 0.15, 0.1, 0.05]))
        kind = rng.random()
        if kind < 0.6:
            found[at:end] = PIECES[rng.integers(len(PIECES))]
        elif kind < 0.8:
            found[at:end] = b""
        elif kind < 0.9:
            found[at:at] = found[at:end]
        else:
            found[at] ^= 1 << int(rng.integers(8))
    return bytes(found)


@dataclass(frozen=True)
class End:
    """How a call of the command line ended.

    Attributes
    ----------
    code : int
    out, err : str
        What it printed.
    error : str
        The traceback of what it raised, "hang" or "memory"; otherwise empty.
    """

    code: int
    out: str
    err: str
    error: str = ""


def call(arguments: list[str], timeout: float = TIMEOUT) -> End:
    """Call the command line in this process."""
    buffers = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(buffer, "utf-8", write_through=True) for buffer in buffers)
    before, cwd = sys.argv, Path.cwd()
    code, error = 0, ""
    sys.argv = ["consistency", *arguments]
    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, timeout),
        (signal.SIGALRM, signal.ITIMER_REAL, LONGEST_WAIT),
    )
    previous = [signal.signal(number, _stop) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_module("consistency", run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except Hang:
        code, error = 124, "hang"
    except MemoryError:
        code, error = 137, "memory"
    except BaseException:  # a traceback is a fault, whatever it is of
        code, error = 70, traceback.format_exc()
    finally:
        for (number, timer, _), handler in zip(timers, previous, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
        sys.argv = before
        os.chdir(cwd)
    shown, told = (buffer.getvalue().decode("utf-8", "replace") for buffer in buffers)
    return End(code, shown, told, error)


def call_process(arguments: list[str], timeout: float = TIMEOUT) -> End:
    """Call the command line in a process of its own, as a user does."""
    command = [sys.executable, "-m", "consistency", *arguments]

    def limit() -> None:
        limit_memory()
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(timeout), math.ceil(timeout) + 1))

    try:
        done = subprocess.run(command, capture_output=True, timeout=LONGEST_WAIT, preexec_fn=limit)
    except subprocess.TimeoutExpired:
        return End(124, "", "", "hang")
    if -done.returncode in (signal.SIGXCPU, signal.SIGKILL):
        return End(124, "", "", "hang")
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return End(done.returncode, out, err, err if "Traceback (most recent" in err else "")


def limit_memory() -> None:
    """Let this process have no more than `MEMORY`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _stop(*_: object) -> None:
    raise Hang


class FaultError(Exception):
    """An end that must not be: its kind first, then what a reader needs."""


def check_end(end: End, allowed: tuple[int, ...] = (0, 2), place: str = "") -> str:
    """What a call ended in: "right" or "refused".

    Parameters
    ----------
    end : End
    allowed : tuple of int
        Exit codes; 2 with one line, or one for each problem of an experiment. Others than 0 and 2 are those of a gate.
    place : str
        What the line of an error must name, such as the folder of the files.

    Raises
    ------
    FaultError
        If it ended otherwise.
    """
    if end.code == 70 or "nested more deeply" in end.err:
        # The last net of the program: no reader said what is wrong with which file.
        raise FaultError(re.sub(r"\S*[/:]\S*", "", end.err)[:120].strip(), end.error or end.err)
    if end.error:
        last = end.error.strip().splitlines()[-1]
        raise FaultError(f"{last[:100]}", end.error)
    if end.code not in allowed:
        raise FaultError(f"exit code {end.code}", end.err[-2000:])
    if "Warning" in end.err:
        raise FaultError("a warning", end.err)
    if end.code != 2:
        return "right"
    lines = end.err.removesuffix("\n").split("\n")
    # Of an experiment all problems are listed, a line each.
    listed = all(line.startswith("problem: ") for line in lines)
    if not listed and (len(lines) != 1 or not lines[0].startswith("consistency: ")):
        raise FaultError("not one line", end.err)
    for line in lines:
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line):
            raise FaultError("control characters", repr(end.err))
        if len(line) > 5000:
            raise FaultError("a line of thousands of characters", end.err[:500])
        if place and place not in line:
            raise FaultError("no file named", end.err)
    return "refused"


def run_campaign(
    description: str, counted: str, case: Callable[[int, Path, Callable[[list[str]], End]], tuple[str, str]]
) -> int:
    """Run a campaign from the command line; the exit code is 1 if it found a fault.

    Parameters
    ----------
    description : str
        Of the program.
    counted : str
        What its cases are.
    case : callable
        Takes a seed, an empty folder, and how to call the command line; returns what the case is, and how it ended. It
        raises `FaultError`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help=f"number of {counted}")
    parser.add_argument("--seed", type=int, default=0, help="of the first; each case has the next")
    parser.add_argument("--keep", type=Path, help="folder for the files of the cases")
    parser.add_argument("--process-every", type=int, default=100, help="call a process of its own in each Nth case")
    parser.add_argument("--show", type=int, default=3, help="cases of each kind of fault that are printed")
    options = parser.parse_args()
    ends: Counter[tuple[str, str]] = Counter()
    faults: dict[str, list[int]] = {}
    seed, last = options.seed, options.seed + options.cases
    while seed < last:
        # In a process of their own: a library in another language may end it, which is a fault of that case alone.
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            _run_cases(case, range(seed, last), options.keep, options.process_every, write)
        os.close(write)
        with os.fdopen(read, "rb") as told:
            for line in told:
                kind, *rest = json.loads(line)
                seed += 1
                if kind is None:
                    ends[tuple(rest)] += 1
                    continue
                _tell_fault(kind, rest[0], seed - 1, faults, options.show)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if seed < last:
            _tell_fault(f"the process ended with {status}", "", seed, faults, options.show)
            seed += 1
    total: Counter[str] = Counter()
    for (what, end), count in sorted(ends.items()):
        print(f"{what:<28} {end:<8} {count:>6}")
        total[end] += count
    for kind, seeds in faults.items():
        print(f"FAULT {len(seeds)} × {kind}: seeds {', '.join(map(str, seeds[:8]))}")
    wrong = sum(map(len, faults.values()))
    print(f"{options.cases} {counted}: {total['right']} right, {total['refused']} refused, {wrong} faults")
    return int(wrong > 0)


def _run_cases(
    case: Callable[[int, Path, Callable[[list[str]], End]], tuple[str, str]],
    seeds: range,
    keep: Path | None,
    process_every: int,
    write: int,
) -> NoReturn:
    """Run cases, write a line of JSON on the end of each to a descriptor, and end the process."""
    warnings.simplefilter("error", RuntimeWarning)
    limit_memory()
    faulthandler.enable()
    for seed in seeds:
        called = call_process if process_every and seed % process_every == 0 else call
        with tempfile.TemporaryDirectory() as scratch:
            folder = (keep / str(seed)) if keep else Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            found: tuple[Any, ...]
            try:
                found = (None, *case(seed, folder, called))
            except FaultError as fault:
                found = (str(fault.args[0]), str(fault.args[-1]))
            except Exception:
                found = ("the campaign itself", traceback.format_exc())
        os.write(write, json.dumps(found).encode() + b"\n")
    # Without what ends a program: folders that further processes use stay.
    os._exit(0)


def _tell_fault(kind: str, text: str, seed: int, faults: dict[str, list[int]], show: int) -> None:
    """Count a fault, and print the first ones of its kind."""
    faults.setdefault(kind, []).append(seed)
    if len(faults[kind]) <= show:
        program = Path(sys.argv[0]).name
        print(f"FAULT {kind}\n{text}\n  python scripts/{program} --cases 1 --seed {seed} --keep .", flush=True)
