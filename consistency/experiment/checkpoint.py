"""The check of a saved model: config, finite weights that training has changed, tokenizer and chat template.

Weights are read from the safetensors files themselves, a piece at a time and without torch. NumPy has no bfloat16, but the
exponent bits alone show whether a value is finite. So a check needs some megabytes, and as long as reading the files takes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from consistency.errors import InputError
from consistency.experiment.training_record import RECORD, TrainingRecord, base_model_of, no_step, read_record
from consistency.support.json_files import read_json
from consistency.tasks.templates import read_template, template_title

# By the format's name: the type's name, bytes of a value, and the bits that are all set in an infinity and in a NaN.
# float8_e4m3fn has no infinity, and its NaN has all bits set.
_FLOATS = {
    "F64": ("float64", 8, 0x7FF0 << 48),
    "F32": ("float32", 4, 0x7F800000),
    "F16": ("float16", 2, 0x7C00),
    "BF16": ("bfloat16", 2, 0x7F80),
    "F8_E5M2": ("float8_e5m2", 1, 0x7C),
    "F8_E4M3": ("float8_e4m3fn", 1, 0x7F),
}
# Those that NumPy knows, or that are the upper half of one that it knows.
_COMPARED = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_PIECE = 1 << 22  # values
_MOST_LAYERS = 10_000
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d{1,9})\.")
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight")
_REPEAT = "save the model again; a program that was stopped while it saved leaves such files"


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors file.

    Attributes
    ----------
    name, dtype : str
        As in the file's header.
    shape : tuple of int
    file : pathlib.Path
    start, end : int
        Its place in the file, in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int


class _Entry(msgspec.Struct):
    """What the header of a safetensors file says of a tensor."""

    dtype: str
    shape: tuple[_Count, ...]
    data_offsets: tuple[_Count, _Count]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint without problems.

    `check_checkpoint` returns it when every check has passed.

    Attributes
    ----------
    folder : pathlib.Path
    architecture : str
        Class of the model, or the kind of adapter.
    parameters, tensors, tokens : int
        Values and tensors in the files, and tokens of the tokenizer.
    dtypes : tuple of str
        Types of the weights, the most frequent first.
    training : TrainingRecord or None
        What the training saw of its rows; None where nobody noted it.
    base_model : str or None
        The base model, if it is known.
    compared : bool
        Whether its weights were there, and are others.
    """

    folder: Path
    architecture: str
    parameters: int
    tensors: int
    tokens: int
    dtypes: tuple[str, ...]
    training: TrainingRecord | None = None
    base_model: str | None = None
    compared: bool = False

    def to_text(self) -> str:
        """The checkpoint in one line."""
        weights = f"{self.parameters:,} parameters in {', '.join(self.dtypes)}, all finite"
        text = f"{self.folder}: {self.architecture}, {weights}; {self.tokens:,} tokens, chat template"
        if self.training is not None:
            text += f"; {self.training.to_text()}"
        if self.base_model is not None and not self.compared:
            text += f"; not compared with {self.base_model}, whose weights are not here or are stored in another way"
        return text


def check_checkpoint(
    folder: str | Path, *, load: bool = False, template: str | None = None, base: str | None = None
) -> Checkpoint:
    """A summary of a checkpoint; one that is not complete is refused.

    Parameters
    ----------
    folder : path-like
        A folder in Hugging Face's layout: ``config.json`` and ``model.safetensors``, or its shards with their index, or
        an adapter of peft; the tokenizer and its chat template.
    load : bool
        Whether transformers also matches the weights with the architecture. It reads no weights, but takes seconds to start.
        By itself it replaces a missing tensor by random numbers and only warns; here that is an error.
    template : str, optional
        The chat template that it is to be saved with, as `read_template` takes it; "model" and by default any.
    base : str, optional
        The model that it was trained from, a folder or a name of the hub. By default the one that the training noted.

    Returns
    -------
    Checkpoint

    Raises
    ------
    InputError
        If a file is missing, incomplete or unreadable; a weight is NaN or infinite; a layer or tensor is missing or
        empty; the tokenizer has a token without an embedding; or there is no chat template, or another one. If the
        training took no step, or all weights are those of the base model, as far as these are on this machine.

    Examples
    --------
    >>> from consistency.world.model import BASE_MODEL
    >>> check_checkpoint(BASE_MODEL).architecture
    'LlamaForCausalLM'
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder", expected="a saved model", path=folder)
    adapter = (folder / "adapter_config.json").is_file()
    config = _json(folder / ("adapter_config.json" if adapter else "config.json"))
    tensors = _tensors(folder, "adapter_model" if adapter else "model")
    for tensor in tensors:
        _check_values(tensor)
    tokens = _count_tokens(folder / "tokenizer.json")
    if adapter:
        architecture = f"{config.get('peft_type', '')} adapter".strip()
    else:
        named = config.get("architectures") or config.get("model_type")
        architecture = ", ".join(map(str, named if isinstance(named, list) else [named]))
        _check_layers(folder, config, tensors)
        _check_vocabulary(folder, tensors, tokens)
    _check_template(folder, template)
    if load and not adapter:
        _load(folder)
    record, base = read_record(folder), base or base_model_of(folder)
    if record is not None and not record.steps:
        raise no_step(folder / RECORD)
    compared = _is_trained_adapter(folder, tensors) if adapter else base is not None and _differs(folder, tensors, base)
    dtypes = Counter(tensor.dtype for tensor in tensors)
    return Checkpoint(
        folder=folder,
        architecture=architecture,
        parameters=sum(prod(tensor.shape) for tensor in tensors),
        tensors=len(tensors),
        tokens=tokens,
        dtypes=tuple(_FLOATS[name][0] if name in _FLOATS else name for name, _ in dtypes.most_common()),
        training=record,
        base_model=base,
        compared=compared,
    )


def _json(path: Path) -> dict[str, Any]:
    """The content of a file that holds a JSON object."""
    content = read_json(path, "a JSON object", _REPEAT)
    if not isinstance(content, dict):
        raise InputError("is not a JSON object", do=_REPEAT, path=path)
    return content


def _tensors(folder: Path, stem: str) -> list[Tensor]:
    """All tensors of a checkpoint: of the one file, or of the shards that its index names."""
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if whole.is_file():
        tensors = read_header(whole)
    elif index.is_file():
        places = _json(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(name, str) and name for name in places.values()):
            raise InputError("has no weight_map", expected="the file of each tensor", do=_REPEAT, path=index)
        tensors = [tensor for name in sorted(set(places.values())) for tensor in read_header(folder / name)]
        found = {tensor.name: tensor.file.name for tensor in tensors}
        for name, file in places.items():
            if found.get(name) != file:
                raise InputError(f"{file} does not hold {name}", do=_REPEAT, path=index)
    elif any(folder.glob("pytorch_model_fsdp*")):
        raise InputError(
            f"has the shards of FSDP and no {whole.name}",
            do="join them with axolotl merge-sharded-fsdp-weights",
            path=folder,
        )
    else:
        raise InputError("has no weights", expected=f"{whole.name}, or shards and {index.name}", path=folder)
    if not tensors:
        raise InputError("has no tensor", do=_REPEAT, path=folder)
    return tensors


def read_header(file: Path) -> list[Tensor]:
    """The tensors of a safetensors file, as its header describes them.

    A file is 8 bytes with the length of a JSON object, the object, and the values:
    https://huggingface.co/docs/safetensors/index#format

    Parameters
    ----------
    file : pathlib.Path

    Raises
    ------
    InputError
        If the file cannot be read, is not a safetensors file, or does not have the length that its header gives.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = msgspec.json.decode(stream.read(length) if length < size else b"", type=dict[str, msgspec.Raw])
        begin = 8 + length
        entries = {
            name: msgspec.json.decode(entry, type=_Entry) for name, entry in header.items() if name != "__metadata__"
        }
    except (OSError, ValueError, RecursionError) as error:
        # ValueError is also of a name that no file can have.
        problem = "is not a complete safetensors file"
        problem = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else problem
        raise InputError(problem, do=_REPEAT, path=file) from None
    tensors = [
        Tensor(name, entry.dtype, entry.shape, file, *(begin + place for place in entry.data_offsets))
        for name, entry in entries.items()
    ]
    for tensor in tensors:
        if tensor.start > tensor.end:
            raise InputError(f"{tensor.name} ends before it begins", do=_REPEAT, path=file)
    expected = max((tensor.end for tensor in tensors), default=begin)
    if size != expected:
        raise InputError(f"has {size:,} bytes", expected=f"{expected:,}, as its header says", do=_REPEAT, path=file)
    return tensors


def _check_values(tensor: Tensor) -> None:
    """Refuse a tensor with values that are NaN, infinite or missing; a sharded training may save empty tensors."""
    if not prod(tensor.shape):
        raise InputError(f"{tensor.name} is empty, of shape {list(tensor.shape)}", do=_REPEAT, path=tensor.file)
    if tensor.dtype not in _FLOATS:
        return
    _, width, mask = _FLOATS[tensor.dtype]
    count = (tensor.end - tensor.start) // width
    if tensor.end - tensor.start != prod(tensor.shape) * width:
        raise InputError(f"{tensor.name} is incomplete", do=_REPEAT, path=tensor.file)
    kind = np.dtype(f"<u{width}")
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        for done in range(0, count, _PIECE):
            piece = np.fromfile(stream, kind, min(_PIECE, count - done))
            piece &= kind.type(mask)
            if piece.max() == mask:
                bad = int(np.count_nonzero(piece == mask))
                raise InputError(
                    f"{tensor.name} holds {bad:,} values that are NaN or infinite: the training diverged",
                    do="train with a lower learning_rate, a longer warm-up, or in float32",
                    path=tensor.file,
                )


def _differs(folder: Path, tensors: list[Tensor], base: str) -> bool:
    """Whether the base model is here to be compared; refuses weights that are all the same."""
    place = Path(base) if Path(base).is_dir() else _in_cache(base)
    if place is None or place.resolve() == folder.resolve() or not any(place.glob("model*.safetensors*")):
        return False
    before = {tensor.name: tensor for tensor in _tensors(place, "model")}
    pairs = [
        (tensor, before[tensor.name])
        for tensor in tensors
        if tensor.name in before and before[tensor.name].shape == tensor.shape and tensor.dtype in _COMPARED
    ]
    if not pairs or any(old.dtype not in _COMPARED for _, old in pairs):
        return False
    if all(_is_same(new, old) for new, old in pairs):
        raise _unchanged(folder, f"all weights are those of {base}")
    return True


def _is_trained_adapter(folder: Path, tensors: list[Tensor]) -> bool:
    """Whether an adapter has the matrices that LoRA begins with zeros; refuses those that are zero still."""
    begun = [tensor for tensor in tensors if ".lora_B." in tensor.name and tensor.dtype in _COMPARED]
    if begun and not any(piece.any() for tensor in begun for piece in _pieces(tensor)):
        raise _unchanged(folder, "the adapter changes nothing: all its lora_B are zero")
    return bool(begun)


def _unchanged(folder: Path, problem: str) -> InputError:
    return InputError(
        problem,
        expected="weights that training has changed",
        do="look into the training's log for its steps and learning_rate; bfloat16 weights need larger steps than float32",
        path=folder,
    )


def _in_cache(name: str) -> Path | None:
    """The folder of a model of the hub on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _pieces(tensor: Tensor) -> Iterator[np.ndarray[Any, Any]]:
    """The values of a tensor, a piece at a time; of bfloat16 the bits."""
    kind = np.dtype(_COMPARED[tensor.dtype]).newbyteorder("<")
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        for done in range(0, prod(tensor.shape), _PIECE):
            yield np.fromfile(stream, kind, min(_PIECE, prod(tensor.shape) - done))


def _is_same(new: Tensor, old: Tensor) -> bool:
    """Whether values are those of another tensor, rounded to their type."""
    for after, before in zip(_pieces(new), _pieces(old), strict=True):
        if old.dtype != new.dtype:
            wide = (before.astype(np.uint32) << 16).view(np.float32) if old.dtype == "BF16" else before
            before = _to_bfloat16(wide) if new.dtype == "BF16" else wide.astype(after.dtype)
        if not np.array_equal(after, before):
            return False
    return True


def _to_bfloat16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bits of the nearest bfloat16 numbers, of two equally near ones the even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _count_tokens(path: Path) -> int:
    """The number of embeddings that a tokenizer needs: one more than the largest number of a token."""
    content = _json(path)
    try:
        vocabulary = content.get("model", {}).get("vocab", {})
        numbers = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        ids = [*numbers, *(token["id"] for token in content.get("added_tokens", []))]
    except (AttributeError, KeyError, TypeError):
        ids = [None]
    if not all(type(number) is int and number >= 0 for number in ids):
        raise InputError(
            "is not a tokenizer", expected="a vocabulary in which each token has a number", do=_REPEAT, path=path
        )
    return 1 + max(ids, default=-1)


def _check_layers(folder: Path, config: dict[str, Any], tensors: list[Tensor]) -> None:
    # The config of a model of text and images has neither key at its top level; its layers are not checked.
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    if layers is not None and (type(layers) is not int or not 0 <= layers <= _MOST_LAYERS):
        raise InputError(
            f"has {str(layers)[:40]!r} layers", expected="a number of layers", do=_REPEAT, path=folder / "config.json"
        )
    numbers = {int(match[1]) for tensor in tensors if (match := _LAYER.search(tensor.name))}
    if layers and numbers and (missing := set(range(layers)) - numbers):
        listed = ", ".join(map(str, sorted(missing)))
        raise InputError(
            f"weights of layers {listed} are missing", expected=f"{layers} layers", do=_REPEAT, path=folder
        )


def _check_vocabulary(folder: Path, tensors: list[Tensor], tokens: int) -> None:
    for tensor in tensors:
        if _EMBEDDING.search(tensor.name) and tensor.shape and tensor.shape[0] < tokens:
            raise InputError(
                f"the tokenizer has {tokens:,} tokens, {tensor.name} only {tensor.shape[0]:,}",
                do="save the model with the tokenizer that it was trained with",
                path=folder,
            )


def _check_template(folder: Path, name: str | None) -> None:
    file, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    try:
        found = file.read_text(encoding="utf-8") if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"cannot be read: {reason}", expected="a chat template", do=_REPEAT, path=file) from None
    if not found.strip() and settings.is_file():
        found = str(_json(settings).get("chat_template") or "")
    if not found.strip():
        raise InputError(
            "no chat template",
            expected=file.name,
            do="train with chat_template: lm_eval --apply_chat_template asks for it",
            path=folder,
        )
    wanted = None if name is None else read_template(name)
    if wanted is not None and found.strip() != wanted.strip():
        raise InputError(
            f"has the chat template {template_title(found)}",
            expected=str(name),
            do="train again: the model would be asked in another format than it was trained in",
            path=folder,
        )


def _load(folder: Path) -> None:
    """Refuse weights whose names and shapes do not match the model's class in transformers; no values are loaded."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        _, found = AutoModelForCausalLM.from_pretrained(
            folder, device_map="meta", output_loading_info=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers has errors of its own for each key of a config
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"transformers cannot load it: {reason}", do=_REPEAT, path=folder) from None
    for problem in ("missing", "mismatched", "unexpected"):
        if names := sorted(map(str, found[f"{problem}_keys"])):
            listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            raise InputError(f"{len(names)} {problem} weights: {listed}", do=_REPEAT, path=folder)
