"""The command eval: `lm_eval run` with this project's tasks and the model that computes shared prefixes once."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from consistency.errors import InputError

# For `app.command`: all other options go to lm_eval unchanged.
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


def evaluate(
    context: typer.Context,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Further checkpoint to evaluate with the same arguments; may be repeated.", metavar="MODEL"),
    ] = None,
) -> None:
    """Run lm_eval with all flags of `lm_eval run`; --model hf-shared-prefix and --include_path are preset."""
    try:
        from lm_eval.__main__ import cli_evaluate

        import consistency.shared_prefix.model  # noqa: F401  (lm_eval up to 0.4.13 does not find it by its entry point)
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed", do="pip install 'lm-eval-consistency[eval]'") from error

    for arguments in command_lines(context.args, also or ()):
        sys.argv = ["lm_eval", "run", *arguments]
        cli_evaluate()
        _free_memory()


def command_lines(arguments: Sequence[str], also: Sequence[str] = ()) -> list[list[str]]:
    """The complete arguments of `lm_eval run`, once for each checkpoint.

    Parameters
    ----------
    arguments : sequence of str
        The arguments that the user gave.
    also : sequence of str
        Further checkpoints: values of ``pretrained``.

    Returns
    -------
    list of list of str
        `--model` and `--include_path` are added unless the user, or the file of `--config`, gives them.

    Raises
    ------
    InputError
        If the file of `--config` cannot be read.

    Examples
    --------
    >>> first, second = command_lines(["--include_path", "t", "--model_args", "pretrained=a"], ["b"])
    >>> " ".join(second)
    '--model hf-shared-prefix --include_path t --model_args pretrained=a --model_args pretrained=b'
    """
    from consistency.support.resources import shipped

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for names in (("--model", "-M"), ("--include_path",), ("--config", "-C")):
        parser.add_argument(*names)
    given, _ = parser.parse_known_args(arguments)
    config = {} if given.config is None else _read_config(Path(given.config))
    preset: list[str] = []
    if given.model is None and "model" not in config:
        preset += ["--model", "hf-shared-prefix"]
    if given.include_path is None and "include_path" not in config:
        preset += ["--include_path", str(shipped("lm_eval_tasks"))]
    return [[*preset, *arguments], *([*preset, *arguments, "--model_args", f"pretrained={name}"] for name in also)]


def _read_config(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot be read ({error})", expected="a YAML file for lm_eval --config", path=path) from error
    return config if isinstance(config, Mapping) else {}


def _free_memory() -> None:
    """Free the memory of one checkpoint before the next is loaded."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
