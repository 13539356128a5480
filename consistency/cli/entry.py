"""Where the program begins and ends: every way in which a command can end has its exit code, and what fails has one line.

Exit codes
    0: done. 1: a check found what it looks for. 2: an argument, an input or this machine is at fault. 3: a policy is
    undecided. 70: a fault of this program. 130: interrupted. 141: the reader of standard output has ended.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.cli.exit_codes import FAULT, INTERRUPTED, MISTAKE, READER_GONE
from consistency.errors import one_line

if TYPE_CHECKING:
    from types import TracebackType

    import typer

# Set to anything: the traceback is printed before the line that says what failed.
TRACEBACK = "CONSISTENCY_TRACEBACK"
# Characters of another library's message, and columns of a name that is too long.
_MOST, _MOST_OF_NAME = 300, 120


def main() -> None:
    """Run the command line; whatever happens ends in one line and its exit code."""
    code = FAULT
    try:
        try:
            code = _run()
        except BaseException as error:
            code = _end(error)
        from consistency.support.streams import flush

        flush()
    except BaseException as error:
        code = _end(error)
    sys.exit(code)


def _run() -> int:
    # Inside, so that what fails or is interrupted while the program is loaded ends as everything else does.
    from consistency.support.streams import prepare

    prepare()
    found = _program(sys.argv[1] if len(sys.argv) > 1 else "")(standalone_mode=False)
    if found == INTERRUPTED:  # as Typer tells it
        raise KeyboardInterrupt
    return found if isinstance(found, int) else 0


def _program(name: str) -> typer.Typer:
    """The program with this command alone, since to build all takes longer than to read a log; with all, if it has no such."""
    import typer

    from consistency.cli.options import HELP, options

    one = typer.Typer(pretty_exceptions_enable=False, context_settings=HELP)
    one.callback()(options)
    if name == "compare":
        # Without the modules of the other commands: the first answer is to come at once.
        from consistency.cli.compare import add_compare

        add_compare(one)
        return one
    from consistency.cli.app import app

    one.registered_commands = [
        command
        for command in app.registered_commands
        if name == (command.name or getattr(command.callback, "__name__", None))
    ]
    return one if one.registered_commands else app


def _end(error: BaseException) -> int:
    """The exit code of an exception, after a line that says what it is."""
    from consistency.errors import InputError, not_installed
    from consistency.support.streams import ReaderGoneError, tell

    if isinstance(error, SystemExit):
        return _code(error)
    if isinstance(error, ReaderGoneError | BrokenPipeError):
        return READER_GONE
    if isinstance(error, KeyboardInterrupt) or _is_of_click(error, "Abort"):
        tell("consistency: interrupted")
        return INTERRUPTED
    if _is_of_click(error, "ClickException"):
        return _usage_error(error)
    if os.environ.get(TRACEBACK):
        tell(*"".join(traceback.format_exception(error)).splitlines())
    if isinstance(error, ModuleNotFoundError):
        error = not_installed(error.name or "") or error
    if isinstance(error, InputError):
        tell(f"consistency: {error}")
        return MISTAKE
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("consistency."):
        tell(f"consistency: {_command()}: {error.name} is not in the core; pip install 'lm-eval-consistency[share]'")
        return MISTAKE
    if isinstance(error, MemoryError | RecursionError | OSError | Warning):
        tell(f"consistency: {_machine(error)}")
        return MISTAKE
    tell(f"consistency: {_fault(error)}")
    return FAULT


def _is_of_click(error: BaseException, name: str) -> bool:
    """Whether an exception is of a class of click, which Typer from 0.26 on has its own copy of."""
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] in ("click", "typer")
        for kind in type(error).__mro__
    )


def _usage_error(error: Any) -> int:
    """The exit code of an exception of click, after what it says."""
    from consistency.support.streams import tell

    if not _is_of_click(error, "NoArgsIsHelpError"):
        tell(f"consistency: {_usage(error)}")
    elif error.format_message().strip():  # with Rich the help is printed by now
        error.show()
    return int(error.exit_code)


def _code(error: SystemExit) -> int:
    from consistency.support.streams import tell

    # Rich ends so where the reader of a help has gone.
    if isinstance(error.__context__, BrokenPipeError):
        return READER_GONE
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    tell(f"consistency: {error.code}")
    return MISTAKE


def _usage(error: Any) -> str:
    """What is wrong with the arguments, and the command's usage."""
    context = getattr(error, "ctx", None)
    text = str(error.format_message()).rstrip(" .")
    if context is None:
        return text
    usage = " ".join(context.get_usage().split())
    return f"{text}; {usage}; more: {context.command_path} --help"


def _machine(error: BaseException) -> str:
    """What this machine refused, or has not enough of."""
    more = f"; {TRACEBACK}=1 shows where"
    if isinstance(error, MemoryError):
        return f"{_command()}: not enough memory{more}"
    if isinstance(error, RecursionError):
        return f"{_command()}: an input is nested more deeply than can be read{more}"
    if isinstance(error, Warning):
        return (
            f"{_command()}: a warning, which this Python was told to take for an error: {one_line(error, _MOST)}{more}"
        )
    assert isinstance(error, OSError)
    if error.errno == errno.ENAMETOOLONG and isinstance(error.filename, str):
        from consistency.support.terminal import cut_in_middle

        longest = max(Path(error.filename).parts, key=lambda part: len(os.fsencode(part)))
        where = cut_in_middle(error.filename, _MOST_OF_NAME)
        long = f"a name of {len(os.fsencode(longest))} bytes is too long for this file system"
        return f"{_command()}: {where}: {long}; give a shorter one"
    places = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return f"{_command()}: {': '.join([*places, error.strerror or one_line(error, _MOST)])}{more}"


def _fault(error: BaseException) -> str:
    """What failed where in this program, and what a user can do about it."""
    found, place = error.__traceback__, ""
    while found is not None:
        place = _place(found) or place
        found = found.tb_next
    name, text = type(error).__name__, one_line(error, _MOST)
    name = name if text == name else f"{name}: {text}"
    return (
        f"{_command()} failed at {place or 'an unknown place'}: {name}; this is a fault of the program, not of what it read:"
        f" please report it, with the traceback that {TRACEBACK}=1 prints"
    )


def _place(trace: TracebackType) -> str:
    """A frame's module and line, if it is of this package."""
    module = trace.tb_frame.f_globals.get("__name__", "")
    return f"{module}:{trace.tb_lineno}" if module.partition(".")[0] == "consistency" else ""


def _command() -> str:
    """The command that was called, without its arguments."""
    words = sys.argv[1:3] if sys.argv[1:2] in (["experiment"], ["domain"]) else sys.argv[1:2]
    return " ".join(words) or "the program"
