"""What a training of Axolotl was given and what it made, from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.support.yaml_files import read_yaml

_EXPECTED = "a configuration of axolotl train"
_OUTPUT = "./model-out"  # Axolotl's own default
_ROWS = (".json", ".jsonl")


@dataclass(frozen=True)
class Trained:
    """A base model, the model that was made of it, and the rows that it was trained on.

    Attributes
    ----------
    base_model : str
        A folder or a name of the hub.
    revision : str or None
        Of the base model on the hub.
    folder : Path
        Of the trained model or adapter.
    adapter : bool
    training_sets : tuple of Path
        Files of rows in JSON.
    elsewhere : tuple of str
        Data sets that are no such files, such as names of the hub.
    parts : dict of str to str
        The part of a data set that was trained on, where it is not all of it, as in ``train[:50%]``.
    held_out : float
        Rows that were held out of the training, or their share: ``val_set_size``.
    began_from : str or None
        The adapter that the training began from, ``lora_model_dir``.
    """

    base_model: str
    revision: str | None
    folder: Path
    adapter: bool
    training_sets: tuple[Path, ...]
    elsewhere: tuple[str, ...]
    parts: Mapping[str, str]
    held_out: float
    began_from: str | None

    @property
    def base_args(self) -> dict[str, str]:
        """The base model as lm_eval's ``model_args`` name it."""
        named = {"pretrained": self.base_model}
        return named if self.revision is None else {**named, "revision": self.revision}

    @property
    def tuned_args(self) -> dict[str, str]:
        """The trained model, likewise."""
        if not self.adapter:
            return {"pretrained": str(self.folder)}
        named = {**self.base_args, "peft": str(self.folder)}
        # Its chat template and the tokens that were added are those of the training.
        own = (self.folder / "tokenizer_config.json").is_file()
        return {**named, "tokenizer": str(self.folder)} if own else named


def read_trained(config: str | Path, folder: str | Path | None = None) -> Trained:
    r"""What a training was given and what it made.

    Parameters
    ----------
    config : path-like
        What ``axolotl train`` was given. Its relative paths are relative to the working directory, as for Axolotl.
    folder : path-like, optional
        Of the trained model, such as a checkpoint, in place of ``output_dir``.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        If the file cannot be read or names no base model, or there is no trained model in the folder.

    Examples
    --------
    >>> import tempfile
    >>> from consistency.world.model import BASE_MODEL
    >>> with tempfile.TemporaryDirectory() as place:
    ...     file = Path(place, "my.yml")
    ...     _ = file.write_text(f"base_model: NousResearch/Llama-3.2-1B\noutput_dir: {BASE_MODEL}\ndatasets: [{{path: a/b}}]")
    ...     found = read_trained(file)
    >>> found.base_args, found.adapter, found.elsewhere
    ({'pretrained': 'NousResearch/Llama-3.2-1B'}, False, ('a/b',))
    """
    config = Path(config)
    content = read_yaml(config, _EXPECTED)
    if not isinstance(content, Mapping):
        raise InputError("is not a mapping", expected=_EXPECTED, path=config)
    base = _text(content, "base_model", config)
    if base is None:
        raise InputError("no base_model", expected=_EXPECTED, path=config)
    place = Path(folder or _text(content, "output_dir", config) or _OUTPUT)
    listed = _data_sets(content, "datasets", config)
    # By the path as it is compared, in which ./rows.jsonl is rows.jsonl.
    parts = {
        str(Path(name)): str(item["split"]) for item in listed for name in _names(item) if "[" in str(item.get("split"))
    }
    listed += _data_sets(content, "pretraining_dataset", config)
    names = [name for item in listed for name in _names(item)]
    files = tuple(Path(name) for name in names if Path(name).suffix in _ROWS and Path(name).is_file())
    held_out = content.get("val_set_size") or 0
    if not isinstance(held_out, int | float):
        raise InputError(f"val_set_size: {held_out!r}", expected="a number", path=config)
    return Trained(
        base_model=base,
        revision=_text(content, "revision_of_model", config),
        folder=place,
        adapter=_is_adapter(place, config),
        training_sets=tuple(dict.fromkeys(files)),
        elsewhere=tuple(dict.fromkeys(name for name in names if Path(name) not in files)),
        parts=parts,
        held_out=float(held_out),
        began_from=_text(content, "lora_model_dir", config),
    )


def _data_sets(content: Mapping[str, Any], key: str, config: Path) -> list[Mapping[str, Any]]:
    """The entries of a list of data sets; a name alone is one whose path it is."""
    listed = content.get(key) or []
    if key == "pretraining_dataset" and not isinstance(listed, list):
        listed = [listed]
    if not isinstance(listed, list):
        raise InputError(f"{key}: {type(listed).__name__}", expected="a list of data sets", path=config)
    found = [{"path": item} if isinstance(item, str) else item for item in listed]
    for number, item in enumerate(found, 1):
        if not isinstance(item, Mapping) or not isinstance(item.get("path"), str):
            raise InputError(f"{key}: entry {number} names no path", expected="path: NAME", path=config)
    return found


def _names(item: Mapping[str, Any]) -> list[str]:
    """The files of a data set that is a folder with named files, else its own name."""
    files = item.get("data_files")
    listed = [files] if isinstance(files, str) else files if isinstance(files, list) else []
    return list(map(str, listed)) if listed and Path(item["path"]).is_dir() else [item["path"]]


def _text(content: Mapping[str, Any], key: str, config: Path) -> str | None:
    value = content.get(key)
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise InputError(f"{key}: {value!r}", expected="text", path=config)


def _is_adapter(folder: Path, config: Path) -> bool:
    if not folder.is_dir():
        raise InputError(
            "no such folder",
            expected=f"the output_dir of {config}",
            do="run this where axolotl train ran, or name the trained model's folder with --checkpoint",
            path=folder,
        )
    if (folder / "adapter_config.json").is_file():
        return True
    if (folder / "config.json").is_file():
        return False
    kept = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    newest = max(kept, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)
    raise InputError(
        "holds no trained model",
        expected="config.json or adapter_config.json, which axolotl train writes at its end",
        do="wait until the training has ended" + (f", or give --checkpoint {newest}" if newest else ""),
        path=folder,
    )
