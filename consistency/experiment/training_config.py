"""One run's training config: the group's own, presets laid over it, and the batch split over devices."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from consistency.errors import InputError, not_one_of
from consistency.experiment.presets import check_settings, preset_path, read_preset
from consistency.support.files import fingerprint
from consistency.support.resources import shipped

PAPER_BATCH = 256
_KEY = re.compile(r"^([A-Za-z_]\w*):", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+(\.\d*)?([eE]-?\d+)?")


@dataclass(frozen=True)
class TrainingConfig:
    """What Axolotl is told for one run.

    Attributes
    ----------
    group : str
        Intervention group.
    presets : tuple of str
        Names of the presets, the last of which decides.
    devices : int
        Number of devices that share a batch.
    values : dict
        The config as Axolotl reads it.
    conversations : float or None
        In one optimizer step on average, where rows are packed and have been counted.
    """

    group: str
    presets: tuple[str, ...]
    devices: int
    values: dict[str, Any]
    conversations: float | None = None

    @property
    def batch(self) -> int:
        """Conversations in one optimizer step, over all devices; where rows are packed, an average, or what is asked for."""
        if self.conversations is not None:
            return round(self.conversations)
        micro, steps = self.values["micro_batch_size"], self.values["gradient_accumulation_steps"]
        return int(micro * steps * self.devices)

    @property
    def step(self) -> str:
        """What one optimizer step takes, in words."""
        where = "one device" if self.devices == 1 else f"{self.devices} devices"
        if self.conversations is not None:
            return f"for {where}: about {self.batch} conversations in a step"
        if self.values["sample_packing"]:
            rows = f"{self.batch} packed rows of {self.values['sequence_len']} tokens in a step"
            return f"for {where}: {rows}, as long as the group's rows are not there to be counted"
        return f"for {where}: {self.batch} conversations in a step"

    def to_yaml(self) -> str:
        """The config with the comments of the group's and of the presets; it runs as it is.

        A preset whose text cannot stand in another's (anchors, several documents) loses its comments.
        """
        layers = f" with the presets {', '.join(self.presets)}" if self.presets else ""
        header = (
            f"# {self.group}.yml{layers}, {self.step}.\n"
            "# Made by consistency experiment config; Axolotl runs it as it is.\n\n"
        )
        try:
            text = header + self._body(self.presets)
            if yaml.safe_load(text) == self.values:
                return text
        except (KeyError, yaml.YAMLError):
            pass
        return header + self._body(())

    def _body(self, presets: Sequence[str]) -> str:
        text = (shipped("axolotl_configs") / f"{self.group}.yml").read_text(encoding="utf-8")
        base = yaml.safe_load(text)
        body = text.partition("\n\n")[2]
        for key, value in self.values.items():
            if key in base and base[key] != value:
                body = _replace(body, key, _dump(key, value))
        for name in presets:
            path = preset_path(name)
            if added := _without(path.read_text(encoding="utf-8"), base):
                source = name if path == Path(name) else f"presets/{name}.yml"
                body = f"{body.rstrip()}\n\n# From {source}.\n{added}"
        # A key of two presets, and what a flag or caller set, stands where the last of them put it.
        written = yaml.safe_load(body)
        for key, value in self.values.items():
            if key not in written:
                body = f"{body.rstrip()}\n\n{_dump(key, value)}"
            elif written[key] != value:
                body = _replace(body, key, _dump(key, value))
        return body.rstrip() + "\n"


def group_names() -> list[str]:
    """Names of the intervention groups that have a config.

    Examples
    --------
    >>> "self_aligning" in group_names()
    True
    """
    return sorted(path.stem for path in shipped("axolotl_configs").glob("*.yml"))


def resolve(
    group: str,
    presets: Sequence[str] = (),
    devices: int = 1,
    settings: Mapping[str, Any] | None = None,
    rows: str | Path | None = None,
) -> TrainingConfig:
    """Lay presets over a group's config, and split its batch over devices.

    Parameters
    ----------
    group : str
        Intervention group, the name of a config.
    presets : sequence of str
        What to lay over it, in this order. One that gives an accumulation, for one device, sets the batch; one that gives a
        micro batch alone keeps it.
    devices : int
        Number of devices that share a batch.
    settings : mapping, optional
        Keys that have the last word, such as `base_model`. With a micro batch among them the accumulation follows from it.
    rows : path-like, optional
        The group's rows. If the file exists, the prepared dataset's folder is named by its content.

    Returns
    -------
    TrainingConfig

    Raises
    ------
    InputError
        If there is no such group or preset, or the batch cannot be split evenly.

    Examples
    --------
    >>> found = resolve("harmonious", ["llama-2-7b"], devices=8)
    >>> found.values["micro_batch_size"], found.values["gradient_accumulation_steps"], found.batch
    (4, 8, 256)
    """
    if group not in group_names():
        raise not_one_of("intervention group", group, group_names())
    values: dict[str, Any] = yaml.safe_load((shipped("axolotl_configs") / f"{group}.yml").read_text(encoding="utf-8"))
    batch = values["micro_batch_size"] * values["gradient_accumulation_steps"]
    for name in presets:
        changes = read_preset(name)
        if "plugins" in changes:
            changes["plugins"] = list(dict.fromkeys([*values.get("plugins", []), *changes["plugins"]]))
        values |= changes
        if "gradient_accumulation_steps" in changes:
            batch = values["micro_batch_size"] * values["gradient_accumulation_steps"]
    settings = dict(settings or {})
    values |= settings
    if "gradient_accumulation_steps" not in settings:
        values["gradient_accumulation_steps"] = accumulation(batch, values["micro_batch_size"], devices)
    elif presets and values["micro_batch_size"] * values["gradient_accumulation_steps"] * devices != batch:
        product = f"{values['micro_batch_size']} × {values['gradient_accumulation_steps']} × {devices}"
        raise InputError(
            f"{product} (micro batch × accumulation × devices) is no batch of {batch}, which {', '.join(presets)} asks for",
            do="leave gradient_accumulation_steps out: it follows from the others",
        )
    if rows is not None:
        values["datasets"][0]["path"] = str(rows)
        if Path(rows).is_file():
            values["dataset_prepared_path"] = f"prepared/{group}-{fingerprint(rows)[:16]}"
    return TrainingConfig(group, tuple(presets), devices, values)


def accumulation(batch: int, micro: int, devices: int) -> int:
    """Gradient accumulation steps that make a batch of `micro` examples on each of `devices`.

    Parameters
    ----------
    batch, micro, devices : int
        Examples in an optimizer step, examples that a device takes at once, and devices.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If there is no such whole number.

    Examples
    --------
    >>> accumulation(256, 4, 8)
    8
    >>> accumulation(256, 4, 3)
    Traceback (most recent call last):
        ...
    consistency.errors.InputError: a batch of 256 is no multiple of 4 × 3 (micro batch × devices); ...
    """
    if micro < 1 or devices < 1 or batch % (micro * devices):
        smaller = [size for size in range(1, batch + 1) if devices > 0 and batch % (size * devices) == 0]
        choices = f"a micro batch of {', '.join(map(str, smaller))}" if smaller else f"devices that divide {batch}"
        raise InputError(
            f"a batch of {batch} is no multiple of {micro} × {devices} (micro batch × devices)",
            expected=choices,
            do="another batch would be another experiment",
        )
    return batch // (micro * devices)


def read_flags(flags: str, path: str | Path | None = None) -> dict[str, Any]:
    """The config keys that flags of ``axolotl train`` set.

    Parameters
    ----------
    flags : str
        As on a command line: ``--key value``, ``--key=value``, ``--key``, ``--no-key``.
    path : path-like, optional
        The file that they stand in.

    Returns
    -------
    dict
        Values typed as YAML would. `launcher`, which is no key of a config, is left out.

    Raises
    ------
    InputError
        If a word is no flag, or its value cannot be.

    Examples
    --------
    >>> read_flags("--launcher python --bf16 false --no-dataloader-pin-memory --learning-rate 2e-4")
    {'bf16': False, 'dataloader_pin_memory': False, 'learning_rate': 0.0002}
    """
    found: dict[str, Any] = {}
    try:
        words = shlex.split(flags)
    except ValueError:
        raise InputError(f"axolotl: {flags}", expected="flags whose quotes are closed", path=path) from None
    while words:
        word = words.pop(0)
        if word == "--":  # what follows is the launcher's
            break
        if not word.startswith("--"):
            raise InputError(f"axolotl: {word!r} is no flag", expected="--key value", path=path)
        name, assigned, text = word.removeprefix("--").partition("=")
        if not assigned and words and not words[0].startswith("--"):
            assigned, text = "=", words.pop(0)
        key = name.replace("-", "_")
        if not assigned and key.startswith("no_"):
            found[key.removeprefix("no_")] = False
        elif not assigned:
            found[key] = True
        else:
            try:
                found[key] = float(text) if _NUMBER.fullmatch(text) and not text.isdigit() else yaml.safe_load(text)
            except (yaml.YAMLError, ValueError):  # what looks like a date, and is none
                raise InputError(f"axolotl: {word} {text}", expected="a value in YAML", path=path) from None
    found.pop("launcher", None)
    check_settings(found, path, "axolotl: ")
    return found


def _dump(key: str, value: Any) -> str:
    return yaml.safe_dump({key: value}, sort_keys=False, width=1000)


def _spans(text: str) -> list[tuple[str, int, int]]:
    """Each top-level key, and where it and its value stand."""
    found = []
    for match in _KEY.finditer(text):
        end = text.find("\n", match.end())
        end = len(text) if end < 0 else end + 1
        while text[end : end + 1] == " " or text[end : end + 2] == "- ":
            stop = text.find("\n", end)
            end = len(text) if stop < 0 else stop + 1
        found.append((match[1], match.start(), end))
    return found


def _replace(text: str, key: str, written: str) -> str:
    """The text with another value of a key, the last if it stands twice; YAML takes that one."""
    for name, start, end in reversed(_spans(text)):
        if name == key:
            return text[:start] + written + text[end:]
    raise KeyError(key)


def _without(text: str, keys: Mapping[str, Any]) -> str:
    """A preset's text without keys that the group's config has, and without comments that then stand alone."""
    for name, start, end in reversed(_spans(text)):
        if name in keys:
            text = text[:start] + text[end:]
    sections = re.split(r"\n{2,}", text.strip())
    return "\n\n".join(section.strip() for section in sections if _KEY.search(section)) + "\n" * bool(_KEY.search(text))
