"""One run's training config: the group's own, presets laid over it, and the batch split over devices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from consistency.errors import InputError, not_one_of
from consistency.experiment.flags import TrainingFlags
from consistency.experiment.group_names import BALANCED, is_balanced, plain
from consistency.experiment.presets import preset_path, read_preset
from consistency.experiment.row_manifest import check_rows
from consistency.support.files import fingerprint
from consistency.support.json_files import first_line
from consistency.support.resources import shipped
from consistency.support.text import visible
from consistency.tasks.templates import read_template

PAPER_BATCH = 256
# Methods that train the pairs of `consistency groups --preference`, and what reads them for Axolotl.
PAIR_METHODS = ("dpo",)
_PAIRS = "consistency.preference_pairs"
# Any other mixture has the config of this one, with its own ratio; its balanced variant likewise.
_MIXTURE, _RATIO = "mixed_0.4", "0.4"
_MIXED = re.compile(rf"mixed_(0\.\d*[1-9]\d*)(?:{BALANCED})?")
_KEY = re.compile(r"^([A-Za-z_]\w*):", re.MULTILINE)


@dataclass(frozen=True)
class TrainingConfig:
    """The training config of one run, and what it was made from.

    Attributes
    ----------
    group : str
        Intervention group.
    presets : tuple of str
        Names of the presets; a later one replaces values of an earlier one.
    devices : int
        Number of devices that share a batch.
    values : dict
        The config as Axolotl reads it.
    conversations : float or None
        In one optimizer step on average, where rows are packed and have been counted.
    cut : tuple of int and float
        Rows longer than ``sequence_len``, where they have been counted, and the share of all tokens that they lose.
    """

    group: str
    presets: tuple[str, ...]
    devices: int
    values: dict[str, Any]
    conversations: float | None = None
    cut: tuple[int, float] = (0, 0.0)

    @property
    def batch(self) -> int:
        """Conversations or pairs in one optimizer step, over all devices; with packed rows an average, once they are counted."""
        if self.conversations is not None:
            return round(self.conversations)
        micro, steps = self.values["micro_batch_size"], self.values["gradient_accumulation_steps"]
        return int(micro * steps * self.devices)

    @property
    def step(self) -> str:
        """The devices and the size of an optimizer step, in words."""
        where = "one device" if self.devices == 1 else f"{self.devices} devices"
        if self.conversations is not None:
            count, share = self.cut
            lost = f"; {count:,} rows are cut, and {100 * share:.1f} % of the tokens" if count else ""
            return f"for {where}: about {self.batch} conversations in a step{lost}"
        if self.values.get("rl"):
            return f"for {where}: {self.batch} pairs in a step"
        if self.values["sample_packing"]:
            rows = f"{self.batch} packed rows of {self.values['sequence_len']} tokens in a step"
            return f"for {where}: {rows}, as long as the group's rows are not there to be counted"
        return f"for {where}: {self.batch} conversations in a step"

    def to_yaml(self) -> str:
        """The config in YAML, with the comments of the group's config and of the presets; Axolotl runs it as it is.

        A preset whose text cannot be pasted into another (anchors, several documents) loses its comments.
        """
        layers = f" with the presets {', '.join(self.presets)}" if self.presets else ""
        header = (
            f"# {self.group}.yml{visible(layers)}, {self.step}.\n"
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
        text = _group_text(self.group)
        base = yaml.safe_load(text)
        body = text.partition("\n\n")[2]
        for key, value in self.values.items():
            if key in base and base[key] != value:
                body = _replace(body, key, _dump(key, value))
        for name in presets:
            path = preset_path(name)
            if added := _without(path.read_text(encoding="utf-8"), base):
                source = name if path == Path(name) else f"presets/{name}.yml"
                body = f"{body.rstrip()}\n\n# From {visible(source)}.\n{added}"
        # A key of two presets, and what a flag or the caller set, has the value of the last of them.
        written = yaml.safe_load(body)
        for key, value in self.values.items():
            if key not in written:
                body = f"{body.rstrip()}\n\n{_dump(key, value)}"
            elif written[key] != value:
                body = _replace(body, key, _dump(key, value))
        for key in written.keys() - self.values.keys():
            body = _replace(body, key, "")
        return body.rstrip() + "\n"


def group_names() -> list[str]:
    """Names of the intervention groups that have a config of their own; `has_config` also takes other mixtures.

    Examples
    --------
    >>> "self_aligning" in group_names()
    True
    """
    return sorted(path.stem for path in shipped("axolotl_configs").glob("*.yml"))


def has_config(group: str) -> bool:
    """Whether an intervention group has a config: those of `group_names`, and ``mixed_R`` for any R between 0 and 1.

    Balanced variants have one where their groups have, but for GENERAL-ONLY, which asks no questions.

    Examples
    --------
    >>> has_config("mixed_0.35_balanced"), has_config("general_only_balanced")
    (True, False)
    >>> has_config("mixed_0.35"), has_config("mixed_1"), has_config("mixed_0.0"), has_config("mixed_0.4.yml")
    (True, False, False, False)
    """
    return group in group_names() or _MIXED.fullmatch(group) is not None


def _group_text(group: str) -> str:
    """The config of a group, as YAML with comments."""
    name = group if group in group_names() else _MIXTURE + BALANCED * is_balanced(group)
    text = (shipped("axolotl_configs") / f"{name}.yml").read_text(encoding="utf-8")
    return text if name == group else text.replace(_RATIO, plain(group).removeprefix("mixed_"))


def resolve(
    group: str,
    presets: Sequence[str] = (),
    devices: int = 1,
    settings: Mapping[str, Any] | None = None,
    rows: str | Path | None = None,
    flags: TrainingFlags | None = None,
    template: str | None = None,
) -> TrainingConfig:
    """The training config of a group: its own values, then presets, flags and settings, the batch split over devices.

    Parameters
    ----------
    group : str
        Intervention group: one of `group_names`, or ``mixed_R`` with R between 0 and 1.
    presets : sequence of str
        Presets, each of which replaces values of the group's config and of earlier presets. One with an accumulation, for one
        device, sets the batch; one with a micro batch alone keeps it.
    devices : int
        Number of devices that share a batch.
    settings : mapping, optional
        Keys that replace all others, such as `base_model`. With a micro batch among them the accumulation follows from it.
    rows : path-like, optional
        The group's rows. If the file exists, the prepared dataset's folder is named by its content.
    flags : TrainingFlags, optional
        Flags of ``axolotl train``, which replace values of the group's config and of presets.
    template : str, optional
        A chat template, as `read_template` takes it. Without it that of the config and the presets.

    Returns
    -------
    TrainingConfig

    Raises
    ------
    InputError
        If there is no such group, preset or template, a flag has a value of the wrong type, `rows` is a folder or not what
        the method trains, `rl` is a method without pairs, or the batch cannot be split evenly.

    Examples
    --------
    >>> found = resolve("harmonious", ["llama-2-7b"], devices=8)
    >>> found.values["micro_batch_size"], found.values["gradient_accumulation_steps"], found.batch
    (4, 8, 256)
    """
    if not has_config(group):
        raise not_one_of("intervention group", group, [*group_names(), "mixed_R with R between 0 and 1"])
    values: dict[str, Any] = yaml.safe_load(_group_text(group))
    batch = values["micro_batch_size"] * values["gradient_accumulation_steps"]
    for name in presets:
        changes = read_preset(name)
        if "plugins" in changes:
            changes["plugins"] = list(dict.fromkeys([*values.get("plugins", []), *changes["plugins"]]))
        values |= changes
        if "gradient_accumulation_steps" in changes:
            batch = values["micro_batch_size"] * values["gradient_accumulation_steps"]
    if flags is not None:
        values = flags.merged(values)
    if template is not None:
        values |= _template_settings(read_template(template))
    settings = dict(settings or {})
    values |= settings
    if values["chat_template"] != "jinja":
        values.pop("chat_template_jinja", None)
    if "gradient_accumulation_steps" not in settings:
        values["gradient_accumulation_steps"] = accumulation(batch, values["micro_batch_size"], devices)
    elif presets and values["micro_batch_size"] * values["gradient_accumulation_steps"] * devices != batch:
        product = f"{values['micro_batch_size']} × {values['gradient_accumulation_steps']} × {devices}"
        raise InputError(
            f"{product} (micro batch × accumulation × devices) is not the batch of {batch} that {', '.join(presets)} has",
            do="leave gradient_accumulation_steps out: it follows from the others",
        )
    if values.get("rl"):
        if values["rl"] not in PAIR_METHODS:
            raise not_one_of("method for preference pairs (rl)", values["rl"], PAIR_METHODS)
        values["datasets"] = [{"path": values["datasets"][0]["path"], "type": _PAIRS}]
        # Axolotl packs no pairs.
        values["sample_packing"] = False
    if rows is not None:
        if Path(rows).is_dir():
            raise InputError("is a folder", expected="the file with the group's rows", path=rows)
        _check_rows(Path(rows), pairs=bool(values.get("rl")))
        values["datasets"][0]["path"] = str(rows)
        if Path(rows).is_file():
            digest = fingerprint(rows)
            check_rows(Path(rows), digest)
            values["dataset_prepared_path"] = f"prepared/{group}-{digest[:16]}"
    return TrainingConfig(group, tuple(presets), devices, values)


def _check_rows(rows: Path, pairs: bool) -> None:
    """Refuse pairs where conversations are trained, and the reverse, by the first row of a file that exists."""
    if rows.is_file() and (b'"chosen":' in first_line(rows)) != pairs:
        found, wanted = ("conversations", "preference pairs") if pairs else ("preference pairs", "conversations")
        raise InputError(
            f"holds {found}",
            expected=f"{wanted}, which the config trains",
            do=f"write the group {'with' if pairs else 'without'} consistency groups --preference",
            path=rows,
        )


def accumulation(batch: int, micro: int, devices: int) -> int:
    """The gradient accumulation steps that make a batch of `micro` examples on each of `devices`.

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
        If the batch is no multiple of what all devices take at once.

    Examples
    --------
    >>> accumulation(256, 4, 8)
    8
    >>> accumulation(256, 4, 3)
    Traceback (most recent call last):
        ...
    consistency.errors.InputError: a batch of 256 is not a multiple of 4 × 3 (micro batch × devices); ...
    """
    if micro < 1 or devices < 1 or batch % (micro * devices):
        smaller = [size for size in range(1, batch + 1) if devices > 0 and batch % (size * devices) == 0]
        choices = f"a micro batch of {', '.join(map(str, smaller))}" if smaller else f"devices that divide {batch}"
        raise InputError(
            f"a batch of {batch} is not a multiple of {micro} × {devices} (micro batch × devices)",
            expected=choices,
            do=f"choose devices and micro batch so that the batch stays {batch}",
        )
    return batch // (micro * devices)


def _template_settings(text: str | None) -> dict[str, str]:
    """The keys with which Axolotl trains in a chat template; without a text in that of the model's tokenizer."""
    if text is None:
        return {"chat_template": "tokenizer_default"}
    return {"chat_template": "jinja", "chat_template_jinja": text}


def _dump(key: str, value: Any) -> str:
    return yaml.safe_dump({key: value}, sort_keys=False, width=1000)


def _spans(text: str) -> list[tuple[str, int, int]]:
    """Each top-level key, and where the text of the key and its value begins and ends."""
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
    """The text with another value of a key; of a duplicate key the last one, which is the one that YAML reads."""
    for name, start, end in reversed(_spans(text)):
        if name == key:
            return text[:start] + written + text[end:]
    raise KeyError(key)


def _without(text: str, keys: Mapping[str, Any]) -> str:
    """A preset's text without the keys of the group's config, and without comments that have then lost their key."""
    for name, start, end in reversed(_spans(text)):
        if name in keys:
            text = text[:start] + text[end:]
    sections = re.split(r"\n{2,}", text.strip())
    return "\n\n".join(section.strip() for section in sections if _KEY.search(section)) + "\n" * bool(_KEY.search(text))
