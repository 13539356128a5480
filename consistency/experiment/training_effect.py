"""Whether training has changed a model: its weights against those of its base model, and an adapter against how its kind begins.

An adapter that changes no weight is a training of nothing, whatever values are stored, and so are weights merged with it. Most
kinds begin with tensors of zeros, or of ones, with which they change nothing. Where the first values follow from the weights of
the base model, as with PiSSA, the logits of both tell; once peft has saved such an adapter as an ordinary LoRA, with its first
values subtracted, the products of its matrices do.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from consistency.errors import InputError
from consistency.experiment.tensors import COMPARED, Tensor, is_constant, is_same, numbers, pieces, tensors_of

# By kind of adapter, in peft's words: the tensors that begin with zeros and those that begin with ones. While all of them do, the
# adapter changes nothing, whatever its other tensors hold.
_BEGINNINGS: dict[str, tuple[str, str]] = {
    "ADALORA": (r"\.lora_E$", ""),
    "ADAMSS": (r"\.adamss_B\.", ""),
    "BEFT": (r"\.beft_bias$", ""),
    "BOFT": (r"\.boft_R$", r"\.boft_s$"),
    "C3A": (r"\.c3a_kernel$", ""),
    "DELORA": (r"\.delora_B$", ""),
    "FOURIERFT": (r"\.fourierft_spectrum$", ""),
    "GLORA": (r"\.glora_[A-E]\.(?!Xu)", ""),
    "GRALORA": (r"\.gralora_B$", ""),
    "HIRA": (r"\.hira_B$", ""),
    "IA3": ("", r"\.ia3_l$"),
    "LILY": (r"\.lily_B\.", ""),
    "LOHA": (r"\.hada_w2_b$", ""),
    "LOKR": (r"\.lokr_w1(?:_a)?$", ""),
    "LORA": (r"\.lora_B\b|\.lora_embedding_A$", ""),
    "MISS": (r"\.miss_block$", ""),
    "OFT": (r"\.oft_R\b", ""),
    "PEANUT": (r"\.peanut_B\.", ""),
    "PSOFT": (r"\.psoft_R\.weight$", r"\.psoft_R\.vector_[ab]$"),
    "PVERA": (r"\.pvera_lambda_b$", ""),
    "RANDLORA": (r"\.randlora_lambda$", ""),
    "SHIRA": (r"\.shira_weight$", ""),
    "TINYLORA": (r"\.tinylora_v\.", ""),
    "VERA": (r"\.vera_lambda_b$", ""),
    "WAVEFT": (r"\.waveft_spectrum$", ""),
}
# What `init_lora_weights` or `init_weights` is where a kind begins so. For two kinds the default is something else.
_USUAL = (True, None, "gaussian", "eva")
_USUAL_OF = {"C3A": (True,), "FOURIERFT": (True,)}
# Kinds, and values of `init_lora_weights`, that begin with values of the base model's own, which together change nothing.
_FROM_BASE = ("DEFT", "FROD", "HRA", "OSF")
_INIT_FROM_BASE = re.compile("pissa|olora|orthogonal")
# What is added to the name of a tensor of the base model where an adapter holds a copy.
_COPY = re.compile(r"\.(?:modules_to_save|base_layer|ln_tuning_layers)\b")
_TOKENS, _NORMS = ".trainable_tokens_delta", ".lora_magnitude_vector"
# Of what every kind holds beside what makes it change something.
_OF_ADAPTER = re.compile(
    r"lora_|adamss_|beft_|boft_|c3a_|delora_|fourierft_|glora_|hira_|ia3_|lily_|hada_|lokr_|miss_|oft_|peanut_|psoft_|vera_|shira_|"
    r"waveft_|ranknum"
)
# Logits are computed of a base model with at most so many values, on so many tokens.
_MOST_VALUES, _TOKENS_TRIED = 2 * 10**9, 32
# The share of the logits' deviation that rounding explains: of float32, and of weights that are stored in shorter types.
_ROUNDING, _SHORT_ROUNDING = 1e-5, 2**-6
_WORDS = {0: "zero", 1: "one"}
# The share of the largest value of a base model's tensor that rounding explains after an adapter was merged with it in float32.
_MERGED = 2**-18
# The share of the norms of two matrices that the norm of their product has if it is zero but for rounding.
_CANCELLED = 1e-7
# What a LoRA's matrix that begins with zeros is multiplied with.
_PARTNERS = ((".lora_B.", ".lora_A."), (".lora_embedding_A", ".lora_embedding_B"))


@dataclass(frozen=True)
class _Base:
    """The weights of a base model on this machine: its folder, and its tensors by name."""

    folder: Path
    tensors: dict[str, Tensor]

    def of(self, name: str) -> Tensor | None:
        """The tensor that one of a trained model, or an adapter's copy, stands for."""
        name = _COPY.sub("", name.removeprefix("base_model.model."))
        found = self.tensors.get(name)
        if found is None:  # GPT-2's and others' are published without the prefix that transformers writes
            alike = [self.tensors[end] for end in _ends(name) if end in self.tensors] + self._by_end.get(name, [])
            found = alike[0] if len(alike) == 1 else None
        if found is None and name.endswith("lm_head.weight"):  # tied to the embedding
            found = next((item for key, item in self.tensors.items() if key.endswith("embed_tokens.weight")), None)
        return found

    @cached_property
    def _by_end(self) -> dict[str, list[Tensor]]:
        """The tensors by their names without the first parts."""
        found: dict[str, list[Tensor]] = defaultdict(list)
        for name, tensor in self.tensors.items():
            for end in _ends(name):
                found[end].append(tensor)
        return found


def why_not_compared(folder: Path, tensors: Sequence[Tensor], base: str | None) -> str | None:
    """Why it cannot be told that training changed weights, or None if it did.

    Parameters
    ----------
    folder : pathlib.Path
        Of the checkpoint.
    tensors : sequence of Tensor
        All that it has.
    base : str or None
        The model that it was trained from, a folder or a name of the hub.

    Raises
    ------
    InputError
        If all weights are those of the base model.
    """
    before = _read_base(folder, base)
    if isinstance(before, str):
        return before
    pairs = [(tensor, old) for tensor in tensors if (old := before.of(tensor.name)) is not None]
    # Embeddings of further tokens stand behind the others.
    pairs = [(new, old) for new, old in pairs if new.shape[1:] == old.shape[1:] and new.shape[:1] >= old.shape[:1]]
    if not pairs:
        return "no tensor has its name and shape there"
    alike = [(new, old) for new, old in pairs if new.dtype in COMPARED and old.dtype in COMPARED]
    other = [(new, old) for new, old in alike if not is_same(new, old)]
    if any(not _is_rounded(new, old) for new, old in other):
        return None
    if len(alike) < len(pairs):
        types = sorted({item.dtype for pair in pairs for item in pair} - set(COMPARED))
        return f"{len(pairs) - len(alike)} tensors are stored as {', '.join(types)}"
    added = sum(new.shape != old.shape for new, old in pairs) + len(tensors) - len(pairs)
    if added:
        return f"all that is there is the same, and {added} of {len(tensors)} tensors have more or are new"
    raise _unchanged(folder, f"all weights are those of {base}{', but for the rounding of float32' if other else ''}")


def why_adapter_not_compared(
    folder: Path, tensors: Sequence[Tensor], config: dict[str, Any], base: str | None
) -> str | None:
    """Why it cannot be told that training changed an adapter, or None if it did.

    Parameters
    ----------
    folder : pathlib.Path
        Of the adapter.
    tensors : sequence of Tensor
        All that it has.
    config : dict
        Its ``adapter_config.json``.
    base : str or None
        The model that it is for, a folder or a name of the hub.

    Raises
    ------
    InputError
        If it changes nothing.
    """
    kind = str(config.get("peft_type"))
    init = config.get("init_lora_weights", config.get("init_weights"))
    starts = [(tensor, value) for tensor in tensors if (value := _begins_with(kind, tensor)) is not None]
    changed = next((tensor for tensor, value in starts if not is_constant(tensor, value)), None)
    if changed is not None and init not in _USUAL_OF.get(kind, _USUAL):
        return _why_by_logits(folder, tensors, base, f"{kind} of init {init!r}", bool(_INIT_FROM_BASE.match(str(init))))
    by_name = {tensor.name: tensor for tensor in tensors}
    if changed is not None and (kind != "LORA" or any(_has_product(tensor, by_name) for tensor, _ in starts)):
        return None
    own = {tensor for tensor, _ in starts}
    copies = [tensor for tensor in tensors if tensor not in own and not _is_inner(tensor)]
    if not starts and (not copies or kind not in ("LN_TUNING", "TRAINABLE_TOKENS")):
        return _why_by_logits(folder, tensors, base, kind, kind in _FROM_BASE)
    begun = _begun(starts) if changed is None else ["the products of its matrices are zero"]
    before = _read_base(folder, base)
    if copies:
        if isinstance(before, str):
            copied = f"{len(copies)} of {len(tensors)} tensors are copies of the base model's, and {before}"
            return ", ".join([*begun, copied])
        same = [_is_copy(tensor, before, config) for tensor in copies]
        if False in same:
            return None
        if None in same:
            return ", ".join(
                [*begun, f"{same.count(None)} of {len(tensors)} tensors have no counterpart in the base model"]
            )
    same_as_base = ["all its copies of tensors are those of the base model"] if copies else []
    raise _unchanged(folder, f"the adapter changes nothing: {', '.join([*begun, *same_as_base])}")


def _begins_with(kind: str, tensor: Tensor) -> int | None:
    """The value that a tensor of an adapter begins with, if it is one that decides whether the adapter changes anything."""
    patterns = _BEGINNINGS.get(kind, ("", ""))
    found = [value for value, pattern in enumerate(patterns) if pattern and re.search(pattern, tensor.name)]
    return found[0] if found and tensor.dtype in COMPARED else None


def _has_product(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the product of a matrix of a LoRA that begins with zeros and the other one is more than rounding.

    An adapter that peft converts when it saves it has the matrices of the training beside those that it began with: the product
    is their difference.
    """
    if is_constant(tensor, 0):
        return False
    own, other = next((pair for pair in _PARTNERS if pair[0] in tensor.name), ("", ""))
    partner = _compared(tensors.get(tensor.name.replace(own, other))) if own else None
    if partner is None:
        return True
    left, right = (_array(item).astype(np.float64).reshape(item.shape) for item in (tensor, partner))
    if tensor.name.endswith(own):  # of an embedding the second is the left one
        left, right = right, left
    left, right = left.reshape(len(left), -1), right.reshape(len(right), -1)
    if left.shape[1] != right.shape[0]:
        return True
    # As large as the product, and small.
    triangles: list[Any] = [np.linalg.qr(item, mode="r") for item in (left, right.T)]
    product = triangles[0] @ triangles[1].T
    return bool(np.linalg.norm(product) > _CANCELLED * np.linalg.norm(left) * np.linalg.norm(right))


def _is_rounded(new: Tensor, old: Tensor) -> bool:
    """Whether the values that a tensor in float32 begins with are those of another one, but for rounding."""
    if new.dtype not in ("F32", "F64"):
        return False
    for after, before in zip(pieces(new, prod(old.shape)), pieces(old), strict=True):
        there = numbers(old, before)
        if not np.abs(after - there).max() <= _MERGED * np.abs(there).max():
            return False
    return True


def _begun(starts: Sequence[tuple[Tensor, int]]) -> list[str]:
    """Which tensors are as they began."""
    names = {value: tensor.name for tensor, value in starts}
    return [f"all its {_short(name)} are {_WORDS[value]}" for value, name in sorted(names.items())]


def _short(name: str) -> str:
    """The part of a tensor's name that is its kind's own: `lora_B` of `base_model.model.…q_proj.lora_B.weight`."""
    parts = [part for part in name.split(".") if _OF_ADAPTER.search(part)]
    return parts[-1] if parts else name


def _is_inner(tensor: Tensor) -> bool:
    """Whether a tensor only counts together with those that begin with zeros or ones."""
    return bool(_OF_ADAPTER.search(tensor.name)) and not tensor.name.endswith((_NORMS, _TOKENS))


def _is_copy(tensor: Tensor, base: _Base, config: dict[str, Any]) -> bool | None:
    """Whether a tensor holds what its base model has; None if that is not known."""
    if tensor.dtype not in COMPARED:
        return None
    if tensor.name.endswith(_NORMS):
        weight = _compared(base.of(tensor.name.removesuffix(_NORMS) + ".weight"))
        return None if weight is None else _has_norms(tensor, weight, columns=bool(config.get("fan_in_fan_out")))
    if tensor.name.endswith(_TOKENS):
        name = tensor.name.removesuffix(_TOKENS).removesuffix(".token_adapter") + ".weight"
        weight, places = _compared(base.of(name)), _token_places(config, name)
        return None if weight is None or places is None else _has_rows(tensor, weight, places)
    weight = _compared(base.of(tensor.name))
    return is_same(tensor, weight) if weight is not None and weight.shape == tensor.shape else None


def _ends(name: str) -> list[str]:
    """A name without its first part, without its first two, and so on."""
    parts = name.split(".")
    return [".".join(parts[first:]) for first in range(1, len(parts))]


def _compared(tensor: Tensor | None) -> Tensor | None:
    """A tensor of a type that can be compared."""
    return tensor if tensor is not None and tensor.dtype in COMPARED else None


def _token_places(config: dict[str, Any], name: str) -> list[int] | None:
    """The tokens whose embeddings an adapter trains."""
    found = config.get("trainable_token_indices") or config.get("token_indices")
    if isinstance(found, dict):
        found = next((value for key, value in found.items() if f".{key}." in f".{name}"), None)
    return found if isinstance(found, list) and all(type(place) is int for place in found) else None


def _has_rows(tensor: Tensor, weight: Tensor, places: Sequence[int]) -> bool | None:
    """Whether a tensor holds these rows of a weight."""
    if tensor.shape != (len(places), *weight.shape[1:]) or not all(0 <= place < weight.shape[0] for place in places):
        return None
    rows = _array(weight).reshape(weight.shape)[list(places)]
    return bool(np.allclose(_array(tensor).reshape(rows.shape), rows, rtol=_precision(tensor, weight), atol=0))


def _has_norms(tensor: Tensor, weight: Tensor, *, columns: bool) -> bool | None:
    """Whether a tensor holds the norms of a weight's rows, or columns, as DoRA begins with them."""
    if len(weight.shape) != 2 or prod(tensor.shape) != weight.shape[columns]:
        return None
    norms = np.linalg.norm(_array(weight).reshape(weight.shape), axis=0 if columns else 1)
    return bool(np.allclose(_array(tensor), norms, rtol=_precision(tensor, weight)))


def _precision(*tensors: Tensor) -> float:
    return 2**-7 if any(tensor.dtype in ("F16", "BF16") for tensor in tensors) else 1e-5


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    return np.concatenate([numbers(tensor, piece).astype(np.float32) for piece in pieces(tensor)])


def _why_by_logits(
    folder: Path, tensors: Sequence[Tensor], base: str | None, kind: str, begins_without_effect: bool
) -> str | None:
    """Why it cannot be told that an adapter changes what it did not change when it began, or None if it does."""
    if not begins_without_effect:
        return f"an adapter of the kind {kind} changes the model before it is trained, too, or may"
    before = _read_base(folder, base)
    if isinstance(before, str):
        return before
    values = sum(prod(tensor.shape) for tensor in before.tensors.values())
    if values > _MOST_VALUES:
        return f"the first values of the kind {kind} follow from the base model, which is too large to be tried"
    try:
        share = _change_of_logits(before.folder, folder)
    except Exception as error:  # transformers and peft have errors of their own for each key of a config
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return f"the adapter of the kind {kind} cannot be tried: {reason}"
    if share <= _ROUNDING:
        raise _unchanged(folder, "the adapter changes nothing: the logits are those of its base model")
    short = any(tensor.dtype in ("F16", "BF16") for tensor in tensors)
    return "it changes no more than the rounding of its values does" if short and share <= _SHORT_ROUNDING else None


def _change_of_logits(base: Path, adapter: Path) -> float:
    """The largest change of a logit on some tokens, as a share of the logits' deviation, in float32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True).eval()
    ids = torch.arange(_TOKENS_TRIED)[None] % model.config.get_text_config().vocab_size
    with torch.inference_mode():
        before = model(ids).logits
    tuned = PeftModel.from_pretrained(model, adapter, local_files_only=True).eval()
    with torch.inference_mode():
        after = tuned(ids).logits[:, -_TOKENS_TRIED:]
    return float((after - before).abs().max() / before.std())


def _read_base(folder: Path, base: str | None) -> _Base | str:
    """The weights of a base model, or why there are none to compare with."""
    if base is None:
        return "the base model is not known"
    place = Path(base) if Path(base).is_dir() else _in_cache(base)
    if place is None:
        return "the base model is not on this machine"
    if place.resolve() == folder.resolve():
        return "that is this folder itself"
    if not any(place.glob("model*.safetensors*")):
        return "the base model has no safetensors"
    return _Base(place, {tensor.name: tensor for tensor in tensors_of(place, "model")})


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
