"""What a value of an experiment must be so that the programs of the grid can be given it: as a word, a path, a folder's name.

Nothing here is about shells: the workflow quotes every value. These are the limits of the programs themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.support.text import visible

# What the grid keeps in the folder of an experiment besides the folders of its models.
FOLDERS = ("report", "report.log", "tasks")
# The first character rules out a hidden folder and the folder's parent, the length a name that no file system takes.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
NAME = "letters, digits, '.', '_' and '-', at most 100, the first not '.' or '-'"
# The system takes no longer part of a path, no longer path, and no word of a command line that is much longer than the last.
_LONGEST_PART, _LONGEST_PATH, _LONGEST_TEXT = 255, 4096, 16_384
# lm_eval calls a folder after the model's path; with what follows it, the system takes 255 bytes.
_LONGEST_MODEL = 240
_HUB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")

REMOTE_CODE = "none: the grid runs no code that comes with a model"
# Arguments of lm_eval's models that the grid sets, and what to write instead.
_MODEL_ARGUMENTS = {
    "pretrained": "the model under models",
    "tokenizer": "none: a model is asked with the tokenizer that it was trained with",
    "peft": "none: the grid gives it to models that were trained with an adapter",
    "delta": "none: the grid evaluates the models that it trains",
    "device": "the device as a key, device: cuda",
    "trust_remote_code": REMOTE_CODE,
}


def is_name(value: object) -> bool:
    r"""Whether a value can be the name of an experiment, a model or a recipe: each becomes a folder.

    Examples
    --------
    >>> is_name("llama-2.7b"), is_name(".."), is_name("a/b"), is_name("a b"), is_name("a\n")
    (True, False, False, False, False)
    """
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def check_texts(values: Any, key: str = "") -> None:
    r"""Refuse a text that no program can be given: one with a NUL, or one that is no Unicode, or one that is far too long.

    Parameters
    ----------
    values : object
        What YAML holds.
    key : str
        The keys that lead there, for error messages.

    Raises
    ------
    InputError
        Naming the key.

    Examples
    --------
    >>> check_texts({"guard": "it's $HOME"})
    >>> check_texts({"models": {"m": "a\0b"}})
    Traceback (most recent call last):
        ...
    consistency.errors.InputError: models: m: 'a\x00b' has a NUL; expected text that a program can be given
    """
    if isinstance(values, Mapping):
        for name, value in values.items():
            place = f"{key}: " if key else ""
            check_texts(name, f"{place}a key" if isinstance(name, str) and _fault(name) else key)
            check_texts(value, f"{place}{name}")
    elif isinstance(values, list | tuple):
        for value in values:
            check_texts(value, key)
    elif isinstance(values, str) and (fault := _fault(values)):
        shown = values if len(values) <= 60 else f"{values[:60]}…"
        raise InputError(f"{key}: {shown!r} {fault}", expected="text that a program can be given")


def _fault(text: str) -> str | None:
    if "\0" in text:
        return "has a NUL"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "has half a character (a lone surrogate)"
    return f"has {size:,} bytes" if size > _LONGEST_TEXT else None


def check_path(key: str, path: str) -> None:
    """Refuse a path that is longer than the system takes.

    Parameters
    ----------
    key : str
        The keys that name it, for error messages.
    path : str

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_path("guard", "a" * 300)
    Traceback (most recent call last):
        ...
    consistency.errors.InputError: guard: aaaaaaaaaaaaaaaaaaaa… is longer than a path can be; expected at most 255 bytes ...
    """
    if len(path.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_PART for part in path.split("/")):
        problem = f"{key}: {visible(path[:20])}… is longer than a path can be"
        raise InputError(problem, expected=f"at most {_LONGEST_PART} bytes between slashes, and {_LONGEST_PATH} in all")


def check_names(names: Iterable[str]) -> None:
    """Refuse names of models whose folders would be another one of the grid's, or that differ in nothing but case.

    Parameters
    ----------
    names : iterable of str
        Of base models, and of each way in which one is trained.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_names(["llama", "Llama"])
    Traceback (most recent call last):
        ...
    consistency.errors.InputError: models: 'Llama' and 'llama' differ in nothing but case, and some file systems ...
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        # As file systems compare names that do not tell cases apart.
        folded = name.lower()
        if folded in FOLDERS:
            raise InputError(f"models: {name!r} is the name of another folder of the grid", expected="another name")
        if (other := found.setdefault(folded, name)) != name:
            problem = (
                f"models: {name!r} and {other!r} differ in nothing but case, and some file systems do not tell them"
            )
            raise InputError(f"{problem} apart", expected="other names")


def check_model(key: str, source: str) -> None:
    """Refuse the path or name of a model that lm_eval or the system could not take.

    Parameters
    ----------
    key : str
        The keys that name it, for error messages.
    source : str

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_model("models: m", "it's, {here} = $HOME")
    >>> check_model("models: m", "../")
    Traceback (most recent call last):
        ...
    consistency.errors.InputError: models: m: '../' is no name; expected the folder by its name: ../NAME
    """
    if Path(source) == Path(".."):
        raise InputError(f"{key}: {source!r} is no name", expected="the folder by its name: ../NAME")
    if len(source.encode()) > _LONGEST_MODEL:
        raise InputError(
            f"{key}: {len(source.encode()):,} bytes, and lm_eval calls a folder after the path of a model",
            expected=f"at most {_LONGEST_MODEL}",
            do="link to the model from a folder with a shorter path, or start the grid nearer to it",
        )


def is_hub_name(source: str) -> bool:
    """Whether a model's source can be a name of the hub: NAME or ORG/NAME.

    Examples
    --------
    >>> is_hub_name("meta-llama/Llama-2-7b-hf"), is_hub_name("x'$(touch y)'")
    (True, False)
    """
    return _HUB_NAME.fullmatch(source) is not None and ".." not in source and "--" not in source


def model_arguments(text: str) -> dict[str, str]:
    """The arguments of lm_eval's model, by name.

    Parameters
    ----------
    text : str
        As ``--model_args`` takes them: ``dtype=float32,max_length=2048``, or an object in JSON.

    Raises
    ------
    InputError
        If a part has no name or no value, or lm_eval would misread it.

    Examples
    --------
    >>> model_arguments("dtype=float32, max_length=2048")
    {'dtype': 'float32', 'max_length': '2048'}
    >>> model_arguments('{"dtype": "float32", "cache_dir": "a, b"}')
    {'dtype': 'float32', 'cache_dir': 'a, b'}
    """
    found: dict[str, str] = {}
    if text.lstrip().startswith("{"):
        try:
            given = json.loads(text)
        except ValueError as error:
            raise InputError(f"model_args: {text!r} ({error})", expected="an object in JSON") from None
        found = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    else:
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = part.partition("=")
            if not equals or not name or not value:
                raise InputError(f"model_args: {part!r}", expected="NAME=VALUE, separated by commas: dtype=float32")
            if "{" in value:
                # lm_eval takes it for an object in JSON.
                raise InputError(f"model_args: {part!r} has a brace", expected="a mapping: {dtype: float32, …}")
            found[name] = value
    for name in found:
        if not name.isidentifier():
            raise InputError(f"model_args: {name!r} is no name", expected="NAME=VALUE, separated by commas")
    return found


def read_model_arguments(given: str | Mapping[str, Any] | None) -> str:
    """The value of `model_args` as lm_eval takes it.

    Parameters
    ----------
    given : str, mapping or None
        ``NAME=VALUE,…``, an object in JSON, or a mapping, in which values may have commas and braces.

    Raises
    ------
    InputError
        If it is neither, or sets what the grid sets itself.

    Examples
    --------
    >>> read_model_arguments("dtype=float32, max_length=2048"), read_model_arguments({"cache_dir": "a, b"})
    ('dtype=float32,max_length=2048', '{"cache_dir": "a, b"}')
    """
    if isinstance(given, Mapping):
        try:
            text = json.dumps(dict(given), ensure_ascii=False, allow_nan=False) if given else ""
        except (TypeError, ValueError):
            raise InputError(f"model_args: {dict(given)!r}", expected="text, numbers, true and false") from None
    else:
        text = given or ""
    found = model_arguments(text)
    for name in found:
        if name in _MODEL_ARGUMENTS:
            raise InputError(f"model_args: {name}", expected=_MODEL_ARGUMENTS[name])
    return text if text.lstrip().startswith("{") else ",".join(f"{name}={value}" for name, value in found.items())


def path_problems(folders: Iterable[Path]) -> Iterator[str]:
    """Folders of tuned models after whose paths lm_eval could not call a folder.

    Parameters
    ----------
    folders : iterable of pathlib.Path
    """
    for folder in folders:
        if (size := len(str(folder).encode())) > _LONGEST_MODEL:
            yield (
                f"name: the path {folder} has {size} bytes, and lm_eval calls a folder after the path of a model; expected "
                f"at most {_LONGEST_MODEL}, with shorter names of the experiment, its models and domains"
            )
            return
