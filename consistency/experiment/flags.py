"""Flags of ``axolotl train``: which of them are settings of the training config, and which the command alone reads."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.experiment.presets import check_settings
from consistency.support.yaml_files import parse_yaml

# Axolotl reads these from its command line only: a config cannot hold them.
COMMAND_KEYS = (
    "launcher",
    "use_ray",
    "debug",
    "debug_text_only",
    "debug_num_examples",
    "prompter",
    "shard",
    "cloud",
    "sweep",
)


@dataclass(frozen=True)
class Flag:
    """One flag as it was written.

    Attributes
    ----------
    name : str
        With its hyphens: ``--learning-rate``.
    value : str or None
        The text after it; None for a flag without a value.
    """

    name: str
    value: str | None

    @property
    def key(self) -> str:
        """The key of the config, with dots between nested keys: ``learning_rate``, ``trl.beta``."""
        key = self.name.removeprefix("--").replace("-", "_")
        return key.removeprefix("no_") if self.value is None else key

    @property
    def words(self) -> list[str]:
        """The flag on a command line."""
        return [self.name] if self.value is None else [self.name, self.value]

    def typed(self, replaced: Any = None) -> Any:
        """The value of the flag, with the type that Axolotl gives it.

        The type is that of the value that the flag replaces: ``no`` is text in the place of a text, and false in the place of
        true. Where the config has no value, ``no`` is false and ``7`` a number.

        Parameters
        ----------
        replaced : object
            The value that the config has without the flag; None if it has none.

        Returns
        -------
        object
            A list or mapping in brackets is read as YAML. Text that cannot be read as the type stays text.

        Examples
        --------
        >>> Flag("--learning-rate", "1e-5").typed(2e-5), Flag("--save-strategy", "no").typed("epoch")
        (1e-05, 'no')
        """
        text = self.value
        if text is None:
            return not self.name.startswith("--no-")
        if isinstance(replaced, bool):
            return text.lower() in ("true", "1", "yes")
        if isinstance(replaced, float):
            return _number(text, (float,))
        if isinstance(replaced, int):
            # Axolotl leaves "0.5" as text in the place of 3, and its schema converts it.
            return _number(text, (int, float))
        if text.startswith(("[", "{")) and not isinstance(replaced, str):
            # The launchers accelerate and torchrun read these; with --launcher python Axolotl leaves them as text.
            with suppress(InputError):
                return parse_yaml(text, "a list or a mapping")
        if replaced is not None:
            return text
        for value, names in ((True, ("true", "yes")), (False, ("false", "no")), (None, ("null", "none", "~"))):
            if text.lower() in names:
                return value
        return _number(text, (int, float))


@dataclass(frozen=True)
class TrainingFlags:
    """Flags of ``axolotl train``, split into settings of the config and words of the command line.

    Attributes
    ----------
    settings : tuple of Flag
        Those that set a key of the training config; the last one for a key decides.
    command : tuple of Flag
        Those that Axolotl reads from the command line only (`COMMAND_KEYS`), such as ``--launcher``.
    launcher_words : tuple of str
        What follows ``--``, which Axolotl hands to its launcher.
    """

    settings: tuple[Flag, ...] = ()
    command: tuple[Flag, ...] = ()
    launcher_words: tuple[str, ...] = ()

    @property
    def command_line(self) -> str:
        """The words that follow ``axolotl train FILE``, quoted for a shell."""
        rest = ("--", *self.launcher_words) if self.launcher_words else ()
        return shlex.join([*(word for flag in self.command for word in flag.words), *rest])

    @property
    def launcher(self) -> str | None:
        """The value of ``--launcher``; None without that flag."""
        return next((flag.value for flag in reversed(self.command) if flag.key == "launcher"), None)

    def merged(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A training config in which the flags have replaced values.

        Parameters
        ----------
        values : mapping
            An Axolotl config; it stays as it is.

        Raises
        ------
        InputError
            If this project computes with a value and it has the wrong type.

        Examples
        --------
        >>> flags = read_flags("--launcher python --bf16 false --no-dataloader-pin-memory --trl.beta 0.1")
        >>> flags.merged({"bf16": True, "seed": 1})
        {'bf16': False, 'seed': 1, 'dataloader_pin_memory': False, 'trl': {'beta': 0.1}}
        """
        found = dict(values)
        for flag in self.settings:
            *parents, key = flag.key.split(".")
            level = found
            for parent in parents:
                level[parent] = dict(level[parent]) if isinstance(level.get(parent), dict) else {}
                level = level[parent]
            # The type is that of the value in the config, also for a flag that is given twice.
            replaced = _value_at(values, flag.key)
            level[key] = flag.typed(replaced)
            if type(replaced) in (int, float) and isinstance(level[key], str):
                raise InputError(f"axolotl: {flag.name} {flag.value!r}", expected=f"a number, as {replaced} is")
        given = {flag.key for flag in self.settings}
        check_settings({key: value for key, value in found.items() if key in given}, None, "axolotl: ")
        return found


def read_flags(text: str, path: str | Path | None = None) -> TrainingFlags:
    """The flags of a command line of ``axolotl train``, parsed.

    Parameters
    ----------
    text : str
        As on a command line: ``--key value``, ``--key=value``, ``--key``, ``--no-key``, and ``--parent.key value`` for a
        key in a mapping. A word that begins with ``--`` is never a value.
    path : path-like, optional
        The file that holds them, for error messages.

    Returns
    -------
    TrainingFlags

    Raises
    ------
    InputError
        If a quote is not closed, a word is not a flag, or a value is not one that its key can have.

    Examples
    --------
    >>> flags = read_flags("--learning-rate=1e-5 --launcher accelerate -- --num_processes 2")
    >>> flags.settings
    (Flag(name='--learning-rate', value='1e-5'),)
    >>> flags.command_line
    '--launcher accelerate -- --num_processes 2'
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise InputError(f"axolotl: {text}", expected="flags whose quotes are closed", path=path) from None
    end = words.index("--") if "--" in words else len(words)
    words, launcher_words = words[:end], tuple(words[end + 1 :])
    flags: list[Flag] = []
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise InputError(f"axolotl: {word!r} is not a flag", expected="--key value", path=path)
        name, assigned, value = word.partition("=")
        if not assigned and words and not words[0].startswith("--"):
            assigned, value = "=", words.pop(0)
        flags.append(Flag(name, value if assigned else None))
    found = TrainingFlags(
        settings=tuple(flag for flag in flags if flag.key not in COMMAND_KEYS),
        command=tuple(flag for flag in flags if flag.key in COMMAND_KEYS),
        launcher_words=launcher_words,
    )
    try:
        found.merged({})
    except InputError as error:
        raise InputError(error.problem, expected=error.expected, path=path) from None
    return found


def _number(text: str, types: tuple[type[int] | type[float], ...]) -> int | float | str:
    """The text as the first of the types that takes it, or as it is."""
    for kind in types:
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _value_at(values: Any, key: str) -> Any:
    """The value at a key with dots; None if there is none."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values
