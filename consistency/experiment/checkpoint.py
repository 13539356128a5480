"""The check of a saved model: config, finite weights that training has changed, tokenizer and chat template.

Weights are read from the safetensors files themselves, a piece at a time and without torch. NumPy has no bfloat16, but the
exponent bits alone show whether a value is finite. So a check needs some megabytes, and as long as reading the files takes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from consistency.errors import InputError
from consistency.experiment.tensors import FLOATS, PIECE, REPEAT, Tensor, json_object, tensors_of
from consistency.experiment.training_effect import why_adapter_not_compared, why_not_compared
from consistency.experiment.training_record import RECORD, TrainingRecord, base_model_of, no_step, read_record
from consistency.support.memory import gc_seldom
from consistency.tasks.templates import read_template, template_title

_MOST_LAYERS = 10_000
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d{1,9})\.")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight")


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
    template : bool
        Whether it has a chat template.
    training : TrainingRecord or None
        What the training saw of its rows; None where nobody noted it.
    base_model : str or None
        The base model, if it is known.
    uncompared : str or None
        Why it is not known whether training has changed it; None if it has.
    """

    folder: Path
    architecture: str
    parameters: int
    tensors: int
    tokens: int
    dtypes: tuple[str, ...]
    template: bool = True
    training: TrainingRecord | None = None
    base_model: str | None = None
    uncompared: str | None = None

    @property
    def compared(self) -> bool:
        """Whether it was compared with its base model, and is another."""
        return self.uncompared is None

    def to_text(self) -> str:
        """The checkpoint in one line."""
        weights = f"{self.parameters:,} parameters in {', '.join(self.dtypes)}, all finite"
        spoken = "chat template" if self.template else "no chat template"
        text = f"{self.folder}: {self.architecture}, {weights}; {self.tokens:,} tokens, {spoken}"
        if self.training is not None:
            text += f"; {self.training.to_text()}"
        if self.uncompared is not None and self.base_model is not None:
            text += f"; not compared with {self.base_model}: {self.uncompared}"
        return text


def check_checkpoint(
    folder: str | Path,
    *,
    load: bool = False,
    template: str | None = None,
    base: str | None = None,
    needs_template: bool = True,
) -> Checkpoint:
    """A summary of a checkpoint; one that is not complete, or that training has not changed, is refused.

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
        The model that it was trained from, a folder or a name of the hub. By default the one that the training or the adapter
        noted.
    needs_template : bool
        Whether one without a chat template is refused.

    Returns
    -------
    Checkpoint

    Raises
    ------
    InputError
        If a file is missing, incomplete or unreadable; a weight is NaN or infinite; a layer or tensor is missing or
        empty; the tokenizer has a token without an embedding; or there is no chat template where one is needed, or another
        one. If the training took no step, all weights are those of the base model, as far as these are on this machine, or
        the adapter changes nothing.

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
    config = json_object(folder / ("adapter_config.json" if adapter else "config.json"))
    tensors = tensors_of(folder, "adapter_model" if adapter else "model")
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
    _check_template(folder, template, needs_template)
    if load and not adapter:
        _load(folder)
    record, base = read_record(folder), base or base_model_of(folder)
    if record is not None and not record.steps:
        raise no_step(folder / RECORD)
    if adapter:
        base = base or config.get("base_model_name_or_path")
        uncompared = why_adapter_not_compared(folder, tensors, config, base)
    else:
        uncompared = why_not_compared(folder, tensors, base)
    dtypes = Counter(tensor.dtype for tensor in tensors)
    return Checkpoint(
        folder=folder,
        architecture=architecture,
        parameters=sum(prod(tensor.shape) for tensor in tensors),
        tensors=len(tensors),
        tokens=tokens,
        dtypes=tuple(FLOATS[name][0] if name in FLOATS else name for name, _ in dtypes.most_common()),
        template=bool(saved_template(folder)),
        training=record,
        base_model=base,
        uncompared=uncompared,
    )


def _check_values(tensor: Tensor) -> None:
    """Refuse a tensor with values that are NaN, infinite or missing; a sharded training may save empty tensors."""
    if not prod(tensor.shape):
        raise InputError(f"{tensor.name} is empty, of shape {list(tensor.shape)}", do=REPEAT, path=tensor.file)
    if tensor.dtype not in FLOATS:
        return
    _, width, mask = FLOATS[tensor.dtype]
    count = (tensor.end - tensor.start) // width
    if tensor.end - tensor.start != prod(tensor.shape) * width:
        raise InputError(f"{tensor.name} is incomplete", do=REPEAT, path=tensor.file)
    kind = np.dtype(f"<u{width}")
    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        for done in range(0, count, PIECE):
            piece = np.fromfile(stream, kind, min(PIECE, count - done))
            piece &= kind.type(mask)
            if piece.max() == mask:
                bad = int(np.count_nonzero(piece == mask))
                raise InputError(
                    f"{tensor.name} holds {bad:,} values that are NaN or infinite: the training diverged",
                    do="train with a lower learning_rate, a longer warm-up, or in float32",
                    path=tensor.file,
                )


def _count_tokens(path: Path) -> int:
    """The number of embeddings that a tokenizer needs: one more than the largest number of a token."""
    content = json_object(path)
    try:
        vocabulary = content.get("model", {}).get("vocab", {})
        numbers = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        ids = [*numbers, *(token["id"] for token in content.get("added_tokens", []))]
    except (AttributeError, KeyError, TypeError):
        ids = [None]
    if not all(type(number) is int and number >= 0 for number in ids):
        raise InputError(
            "is not a tokenizer", expected="a vocabulary in which each token has a number", do=REPEAT, path=path
        )
    return 1 + max(ids, default=-1)


def _check_layers(folder: Path, config: dict[str, Any], tensors: list[Tensor]) -> None:
    # The config of a model of text and images has neither key at its top level; its layers are not checked.
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    if layers is not None and (type(layers) is not int or not 0 <= layers <= _MOST_LAYERS):
        raise InputError(
            f"has {str(layers)[:40]!r} layers", expected="a number of layers", do=REPEAT, path=folder / "config.json"
        )
    numbers = {int(match[1]) for tensor in tensors if (match := _LAYER.search(tensor.name))}
    if layers and numbers and (missing := set(range(layers)) - numbers):
        listed = ", ".join(map(str, sorted(missing)))
        raise InputError(f"weights of layers {listed} are missing", expected=f"{layers} layers", do=REPEAT, path=folder)


def _check_vocabulary(folder: Path, tensors: list[Tensor], tokens: int) -> None:
    for tensor in tensors:
        if _EMBEDDING.search(tensor.name) and tensor.shape and tensor.shape[0] < tokens:
            raise InputError(
                f"the tokenizer has {tokens:,} tokens, {tensor.name} only {tensor.shape[0]:,}",
                do="save the model with the tokenizer that it was trained with",
                path=folder,
            )


def saved_template(folder: Path) -> str:
    """The text of the chat template that a model was saved with; empty if there is none.

    Raises
    ------
    InputError
        If its file cannot be read.
    """
    file, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    try:
        found = file.read_text(encoding="utf-8") if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"cannot be read: {reason}", expected="a chat template", do=REPEAT, path=file) from None
    if not found.strip() and settings.is_file():
        found = str(json_object(settings).get("chat_template") or "")
    return found if found.strip() else ""


def _check_template(folder: Path, name: str | None, needed: bool) -> None:
    found = saved_template(folder)
    if needed and not found:
        raise InputError(
            "no chat template",
            expected="chat_template.jinja",
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
    with gc_seldom():
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
        raise InputError(f"transformers cannot load it: {reason}", do=REPEAT, path=folder) from None
    for problem in ("missing", "mismatched", "unexpected"):
        if names := sorted(map(str, found[f"{problem}_keys"])):
            listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            raise InputError(f"{len(names)} {problem} weights: {listed}", do=REPEAT, path=folder)
