"""Presets: YAML files whose keys replace those of a group's training config."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.support.resources import shipped
from consistency.support.yaml_files import read_yaml

_ENDINGS = (".yml", ".yaml")
# Keys that follow from the group's rows, with what to do instead.
GROUP_ONLY_KEYS = {
    "datasets": "--rows FILE",
    "dataset_prepared_path": "leave it out: it follows from the rows",
    **dict.fromkeys(
        ("test_datasets", "pretraining_dataset", "val_set_size", "train_on_inputs"),
        "leave it out: the rows of a group are trained on, and their answers alone",
    ),
}


def preset_names() -> list[str]:
    """Names of the presets that ship with the configs.

    Examples
    --------
    >>> "llama-2-7b" in preset_names()
    True
    """
    return sorted(path.stem for path in (shipped("axolotl_configs") / "presets").glob("*.yml"))


def preset_path(name: str) -> Path:
    """The file of a preset: one that ships with the configs, or a path that ends in ``.yml`` or ``.yaml``.

    Parameters
    ----------
    name : str
        As `read_preset` takes it.

    Raises
    ------
    InputError
        If there is none.
    """
    preset = shipped("axolotl_configs") / "presets" / f"{name}.yml"
    own = Path(name)
    if own.suffix.lower() in _ENDINGS:
        if own.stem in preset_names() and not own.is_file():
            raise InputError(f"there is no file {name}", do=f"the preset that ships is {own.stem}, without an ending")
        return own
    if name not in preset_names():
        hint = f"the file {name} needs the ending .yml" if own.is_file() else None
        raise InputError(f"no preset {name!r}", expected=f"one of {', '.join(preset_names())}, or a YAML file", do=hint)
    return preset


def read_preset(name: str) -> dict[str, Any]:
    """The keys and values of a preset: one that ships with the configs, or a YAML file.

    Parameters
    ----------
    name : str
        Its name, or the path of a file that ends in ``.yml`` or ``.yaml``.

    Raises
    ------
    InputError
        If there is none, it is not a mapping, or a key that this project computes with has another type.
    """
    path = preset_path(name)
    values = read_yaml(path, "a preset in YAML")
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError("is not a mapping", expected="keys of an Axolotl config", path=path)
    for key, do in GROUP_ONLY_KEYS.items():
        if key in values:
            raise InputError(f"{key}: a preset cannot change the data of a group", do=do, path=path)
    check_settings(values, path)
    return values


def check_settings(values: Mapping[str, Any], path: str | Path | None = None, prefix: str = "") -> None:
    """Refuse a setting of the wrong type, among those that this project computes with; Axolotl checks the others.

    Parameters
    ----------
    values : mapping
        Keys of an Axolotl config.
    path : path-like, optional
        The file that holds them, for error messages.
    prefix : str
        What the message has before the key.

    Raises
    ------
    InputError
        If a value is not of the type that its key has.
    """
    for key, (accepts, expected) in _TYPES.items():
        if key in values and not accepts(values[key]):
            raise InputError(f"{prefix}{key}: {values[key]!r}", expected=expected, path=path)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        ("micro_batch_size", "gradient_accumulation_steps", "sequence_len"), (_count, "a whole number from 1")
    ),
    "num_epochs": (lambda value: type(value) in (int, float) and 0 < value < math.inf, "a positive number"),
    "seed": (lambda value: type(value) is int and value >= 0, "a whole number from 0"),
    "sample_packing": (lambda value: type(value) is bool, "true or false"),
    "plugins": (_names, "a list of names"),
    "fsdp_config": (lambda value: value is None or isinstance(value, dict), "a mapping"),
    "chat_template_jinja": (lambda value: isinstance(value, str), "a template in Jinja"),
}
