"""The command eval: `lm_eval run` with this project's tasks and the model that computes shared prefixes once."""

from __future__ import annotations

import argparse
import gc
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypeVar

import typer

from consistency.cli.exit_codes import FAULT
from consistency.errors import InputError, how_to_install
from consistency.support.memory import gc_seldom
from consistency.support.streams import tell
from consistency.support.text import visible

_T = TypeVar("_T")
# Model arguments that name files of one checkpoint, and do not hold for the next.
_OF_ONE_CHECKPOINT = "peft delta lora_local_path revision subfolder gguf_file filename model pretrained".split()
# For `app.command`: all other options go to lm_eval unchanged.
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


def evaluate(
    context: typer.Context,
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Further checkpoint to evaluate with the same arguments, or its own model arguments as JSON; may be repeated.",
            metavar="MODEL",
        ),
    ] = None,
    own_tasks: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of further tasks, beside those of --include_path; may be repeated.", metavar="FOLDER"
        ),
    ] = None,
    rotate: Annotated[
        list[str] | None,
        typer.Option(
            help="Task or group of which each question is asked in all rotations of its options, as TASK_cyclic; may be "
            "repeated.",
            metavar="TASK",
        ),
    ] = None,
) -> None:
    """Run lm_eval with all flags of `lm_eval run`; --model hf-shared-prefix and --include_path are preset."""
    ask(context.args, also or (), own_tasks or (), rotate or ())


def ask(
    arguments: Sequence[str],
    also: Sequence[str] = (),
    own_tasks: Sequence[Path] = (),
    rotate: Sequence[str] = (),
) -> None:
    """Run lm_eval in this process, once for each checkpoint.

    Parameters
    ----------
    arguments : sequence of str
        Those of `lm_eval run`.
    also, own_tasks, rotate : sequence
        As the command takes them.

    Raises
    ------
    InputError
        If lm_eval is not installed, or something given cannot be used.
    typer.Exit
        With the code of a fault, behind its traceback, if lm_eval fails.
    """
    try:
        # Thousands of modules are loaded, and none of their objects is freed.
        with gc_seldom():
            from lm_eval.__main__ import cli_evaluate

            import consistency.shared_prefix.model  # noqa: F401  (lm_eval up to 0.4.13 does not find it by its entry point)
            from consistency.shared_prefix.harness import prepared_harness
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed", do=how_to_install("eval")) from error

    from consistency.tasks.harness_speed import faster_harness, without_unasked_tasks

    with TemporaryDirectory() as folder, _visible_refusals(), faster_harness():
        own = [_unabbreviated(argument) for argument in arguments]
        given = with_own_tasks(own, own_tasks, Path(folder)) if own_tasks else own
        if rotate:
            given = _call(lambda: with_rotated(given, rotate, Path(folder)))
        for line in command_lines(given, also):
            sys.argv = ["lm_eval", "run", *line]
            with prepared_harness(described_model(line)), without_unasked_tasks(_asked(line)):
                _call(cli_evaluate)
            _free_memory()


@contextmanager
def _visible_refusals() -> Iterator[None]:
    """Let parsers of arguments, also lm_eval's, quote what they refuse as text that can be seen."""
    refuse = argparse.ArgumentParser.error
    argparse.ArgumentParser.error = lambda self, message: refuse(self, visible(message))  # type: ignore[method-assign]
    try:
        yield
    finally:
        argparse.ArgumentParser.error = refuse  # type: ignore[method-assign]


def _call(run: Callable[[], _T]) -> _T:
    """Run lm_eval; where it fails, its traceback is what says why, and what `consistency failures` looks through."""
    try:
        return run()
    except InputError:
        raise
    except Exception as error:
        tell(*"".join(traceback.format_exception(error)).splitlines())
        raise typer.Exit(FAULT) from error


def command_lines(arguments: Sequence[str], also: Sequence[str] = ()) -> list[list[str]]:
    """The complete arguments of `lm_eval run`, once for each checkpoint.

    Parameters
    ----------
    arguments : sequence of str
        The arguments that the user gave.
    also : sequence of str
        Further checkpoints: values of ``pretrained``, or model arguments in JSON, of which null takes one away.

    Returns
    -------
    list of list of str
        `--model` and `--include_path` are added unless the user, or the file of `--config`, gives them. A further
        checkpoint has the first one's model arguments, wherever they were given, but for those that name files of the first.

    Raises
    ------
    InputError
        If the file of `--config` cannot be read.

    Examples
    --------
    >>> first, second = command_lines(["--include_path", "t", "--model_args", "pretrained=a,dtype=float32,peft=c"], ["b"])
    >>> " ".join(second)
    '--model hf-shared-prefix --include_path t --model_args {"dtype": "float32", "pretrained": "b"}'
    """
    from consistency.support.resources import shipped

    given, _ = _parse(arguments, ("--model", "-M"), ("--include_path",), ("--config", "-C"))
    config = {} if given.config is None else _read_config(Path(given.config))
    preset: list[str] = []
    if given.model is None and "model" not in config:
        preset += ["--model", "hf-shared-prefix"]
    if given.include_path is None and "include_path" not in config:
        preset += ["--include_path", str(shipped("lm_eval_tasks"))]
    lines = [[*preset, *arguments]]
    if also:
        first, others = described_model(arguments)["model_args"], _split(arguments, "--model_args", "-a")[1]
        for name in also:
            # In JSON, in which a path may have commas, braces and quotes, or look like a number.
            asked = other_checkpoint(first, name)
            lines.append([*preset, *others, "--model_args", json.dumps(asked, ensure_ascii=False, default=str)])
            left_out = [argument for argument in first if argument in _OF_ONE_CHECKPOINT[:-2] and argument not in asked]
            if left_out:
                tell(f"{name}: evaluated without the first model's {', '.join(left_out)}")
    return lines


def other_checkpoint(first: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The model arguments of a further checkpoint.

    Parameters
    ----------
    first : mapping of str to object
        Those of the first one.
    name : str
        What was given with `--also`.

    Examples
    --------
    >>> other_checkpoint({"pretrained": "a", "revision": "step1", "dtype": "float32"}, "b")
    {'dtype': 'float32', 'pretrained': 'b'}
    >>> other_checkpoint({"pretrained": "a", "revision": "step1"}, '{"revision": "step2", "pretrained": "a"}')
    {'revision': 'step2', 'pretrained': 'a'}
    """
    own: Any = None
    if name.lstrip().startswith("{") and not Path(name).exists():
        with suppress(ValueError):
            own = json.loads(name)
    # Models behind an API are named by `model`.
    key = "model" if "model" in first and "pretrained" not in first else "pretrained"
    if isinstance(own, dict) and own:
        own = own if {"model", "pretrained"} & own.keys() or key not in first else {key: first[key], **own}
    elif name.strip():
        own = {key: name}
    else:
        raise InputError("--also names no checkpoint", expected="a folder, a name, or model arguments in JSON")
    kept = {argument: value for argument, value in first.items() if argument not in _OF_ONE_CHECKPOINT}
    return {argument: value for argument, value in {**kept, **own}.items() if value is not None}


def described_model(arguments: Sequence[str]) -> dict[str, Any]:
    """The model that lm_eval loads: `model`, its name there, and `model_args`, as a mapping.

    As in lm_eval, arguments of the command line take the place of all those in the file of `--config`.

    Parameters
    ----------
    arguments : sequence of str
        Those of `lm_eval run`.
    """
    from lm_eval._cli.utils import MergeDictAction
    from lm_eval.utils import simple_parse_args_string

    given, _ = _parse(arguments, ("--model", "-M"), ("--config", "-C"))
    config = {} if given.config is None else _read_config(Path(given.config))
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model_args", "-a", nargs="+", action=MergeDictAction)
    named = parser.parse_known_args(arguments)[0].model_args or config.get("model_args") or {}
    if not isinstance(named, str | Mapping):
        raise InputError(
            f"model_args is {type(named).__name__}, which lm_eval does not read",
            expected="a mapping, or a text such as pretrained=MODEL,dtype=float32",
            path=given.config,
        )
    named = simple_parse_args_string(named) if isinstance(named, str) else dict(named)
    return {"model": given.model or config.get("model"), "model_args": named}


def with_own_tasks(arguments: Sequence[str], own_tasks: Sequence[Path], folder: Path) -> list[str]:
    """The arguments with which lm_eval finds tasks in several folders.

    Its flag `--include_path` takes one folder, the same key in a file of `--config` a list.

    Parameters
    ----------
    arguments : sequence of str
        The arguments that the user gave.
    own_tasks : sequence of Path
        Folders of tasks, which are added to that of `--include_path`.
    folder : Path
        Where the file for `--config` is written.

    Raises
    ------
    InputError
        If one of the folders does not exist, or the user's own file for `--config` cannot be read.
    """
    for path in own_tasks:
        if not path.is_dir():
            raise InputError(
                "no such folder", expected="a folder of tasks", do="see consistency experiment tasks", path=path
            )
    return _including(arguments, own_tasks, (), folder / "own_tasks.json")


def with_rotated(arguments: Sequence[str], rotate: Sequence[str], folder: Path) -> list[str]:
    """The arguments with which lm_eval asks tasks in all rotations of their options, beside those that it asks anyway.

    Parameters
    ----------
    arguments : sequence of str
        The arguments that the user gave.
    rotate : sequence of str
        Tasks, groups or tags.
    folder : Path
        Where the files of the rotated tasks are written; they serve this process alone.

    Raises
    ------
    InputError
        If there is no such task, or it cannot be rotated.
    """
    from consistency.tasks.rotated_tasks import prepare_rotated

    manager, names = _loaded_as_lm_eval_does(arguments, rotate)
    tasks = folder / "rotated"
    tasks.mkdir()
    return _including(arguments, [tasks], prepare_rotated(manager, names, tasks), folder / "rotated_tasks.json")


def _loaded_as_lm_eval_does(arguments: Sequence[str], tasks: Sequence[str]) -> tuple[Any, list[str]]:
    """The manager of tasks that lm_eval makes of the arguments, and the names that a user's patterns match."""
    import random
    from io import StringIO

    import numpy as np
    from lm_eval._cli import HarnessCLI
    from lm_eval.config.evaluate_config import EvaluatorConfig

    (complete,) = command_lines(arguments)
    sys.argv = ["lm_eval", "run", *_split(complete, "--tasks", "-t")[1], "--tasks", *tasks]
    with redirect_stdout(StringIO()):
        config = EvaluatorConfig.from_cli(HarnessCLI().parse_args())
    try:
        manager = config.process_tasks(config.metadata)
    except ValueError as error:
        raise InputError(f"--rotate: {error}", do="see lm_eval ls tasks") from error
    # Some tasks shuffle options when they are loaded.
    if config.seed:
        random.seed(config.seed[0])
        np.random.seed(config.seed[1])
    return manager, config.tasks


def _including(arguments: Sequence[str], folders: Sequence[Path], tasks: Sequence[str], file: Path) -> list[str]:
    """The arguments with further folders of tasks, and tasks that are to be asked, in a file for --config."""
    from consistency.support.resources import shipped

    given, others = _parse(arguments, ("--include_path",), ("--config", "-C"))
    config = {} if given.config is None else dict(_read_config(Path(given.config)))
    included = given.include_path or config.get("include_path") or str(shipped("lm_eval_tasks"))
    included = [included] if isinstance(included, str) else included
    config["include_path"] = [*included, *map(str, folders)]
    if tasks:
        asked, others = _split(others, "--tasks", "-t")
        also = asked or config.get("tasks") or []
        config["tasks"] = [*([also] if isinstance(also, str) else also), *tasks]
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    return ["--config", str(file), *others]


def _asked(arguments: Sequence[str]) -> list[str]:
    """The names of the tasks that lm_eval is asked by its arguments or by the file of --config."""
    given, _ = _parse(arguments, ("--config", "-C"))
    config = {} if given.config is None else _read_config(Path(given.config))
    asked = _split(arguments, "--tasks", "-t")[0] or config.get("tasks") or []
    return [name for word in ([asked] if isinstance(asked, str) else asked) for name in str(word).split(",")]


def _split(arguments: Sequence[str], *option: str) -> tuple[list[str], list[str]]:
    """The values of an option of lm_eval that takes several and may be repeated, and all other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(*option, nargs="+", action="extend", default=[], dest="values")
    given, others = parser.parse_known_args(arguments)
    return given.values, others


def _unabbreviated(argument: str) -> str:
    """An argument with the whole name of its option, where lm_eval takes a beginning of it and it is one that is read here."""
    name, equals, value = argument.partition("=")
    for option, shortest in (("--model_args", "--model_"), ("--tasks", "--ta"), ("--include_path", "--inc")):
        if name.startswith(shortest) and option.startswith(name):
            return f"{option}{equals}{value}"
    return argument


def _parse(arguments: Sequence[str], *options: tuple[str, ...]) -> tuple[argparse.Namespace, list[str]]:
    """The values of some options of lm_eval, and all other arguments as they are."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for names in options:
        parser.add_argument(*names)
    return parser.parse_known_args(arguments)


def _read_config(path: Path) -> Mapping[str, Any]:
    from consistency.support.yaml_files import read_yaml

    config = read_yaml(path, "a YAML file for lm_eval --config")
    return config if isinstance(config, Mapping) else {}


def _free_memory() -> None:
    """Free the memory of one checkpoint before the next is loaded."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
