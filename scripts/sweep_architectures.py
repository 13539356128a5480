"""Whether `hf-shared-prefix` answers as lm_eval's `hf` does, for every causal architecture of the installed transformers.

    python scripts/sweep_architectures.py
    python scripts/sweep_architectures.py phimoe qwen2_moe --json sweep.json
    python scripts/sweep_architectures.py --device cuda --dtype bfloat16 --attention flash_attention_4

Each architecture is built with random weights from its own default configuration, cut down to a few dozen units a layer: as it
is, with each field that looks like a window set to a few tokens, and with each of its switches turned over as well. Prompts are
several times as long as the windows, and of mixed lengths. Printed is for each whether prefixes were shared, and how far the
logprobs are from those of `hf`. The exit code is 1 if one is further off than 1e-4 in float32, or in another type, in each of
three draws of prompts, than five times what that type changes in the logprobs of `hf` itself, in batches of 1 or 5: by rounding
alone a token may now and then go to another expert, and what is wrong is wrong in each draw.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import random
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from lm_eval.models.huggingface import HFLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from consistency.shared_prefix.model import SharedPrefixLM

TOKENIZER = Path(__file__).parents[1] / "consistency/world/base_model"
VOCABULARY, LONGEST, LAYERS = 300, 112, 4
# Windows shorter and longer than the few dozen tokens that a model is first tried on.
SHORT_WINDOW, LONG_WINDOW = 9, 60
TOLERANCE, SHORT_TOLERANCE, BATCH, DRAWS = 1e-4, 5, 5, 3
# Values of a small model, by what the field's name is or contains; the first that fits counts.
EXACT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "n_positions": 128,
    "n_ctx": 128,
    "max_seq_len": 128,
    "max_sequence_length": 128,
    "head_dim": 16,
    "attention_head_dim": 16,
    "global_head_dim": 16,
    "kv_channels": 16,
    "v_head_dim": 16,
    "swa_head_dim": 16,
    "swa_v_head_dim": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "qk_head_dim": 16,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "o_lora_rank": 16,
    "rotary_dim": 8,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
    "num_kv_shared_layers": 0,
    "laurel_rank": 8,
    "mamba_d_state": 8,
    "state_size": 8,
    "ssm_state_size": 8,
    "lru_width": 64,
    "mamba_n_heads": 4,
    "mamba_d_head": 32,
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "mamba_n_groups": 1,
    "n_groups": 1,
    "mamba_d_ssm": 128,
    "mamba_dt_rank": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "index_n_heads": 2,
    "index_head_dim": 16,
    "index_topk": 8,
    "embedding_size": 64,
    "image_size": 32,
    "patch_size": 16,
    "num_nextn_predict_layers": 0,
    "n_inner": 128,
}
# The same for fields without a default.
UNSET = {"head_dim": 16, "num_key_value_heads": 2, "num_experts_per_tok": 2, "n_routed_experts": 4}
ENDINGS: tuple[tuple[str, int], ...] = (
    ("num_key_value_heads", 2),
    ("num_kv_heads", 2),
    ("n_head_kv", 2),
    ("key_value_heads", 2),
    ("attention_heads", 4),
    ("n_heads", 4),
    ("n_head", 4),
    ("num_heads", 4),
    ("intermediate_size", 128),
    ("ffn_dim", 128),
    ("ffn_hidden_size", 128),
    ("n_inner", 128),
    ("d_ff", 128),
    ("hidden_size", 64),
    ("d_model", 64),
    ("n_embd", 64),
    ("embed_dim", 64),
    ("experts_per_tok", 2),
    ("experts_per_token", 2),
    ("top_k", 2),
    ("moe_k", 2),
    ("topk", 2),
    ("shared_experts", 1),
    ("experts", 4),
    ("hidden_layers", LAYERS),
    ("n_layers", LAYERS),
    ("n_layer", LAYERS),
    ("num_layers", LAYERS),
    ("encoder_layers", LAYERS),
    ("decoder_layers", LAYERS),
    ("hidden_dim", 64),
)
WINDOWS = ("window", "chunk", "local", "sliding", "block_size", "span", "swa_size")
NOT_WINDOWS = ("layers", "theta", "expert", "freq", "head", "ratio", "pattern", "layer_")
# Switches that change what is returned, kept, trained or loaded, but not what is computed for a prompt.
NO_SWITCHES = frozenset(
    "use_cache output_attentions output_hidden_states return_dict torchscript is_encoder_decoder is_decoder "
    "add_cross_attention cross_attention_hidden_size gradient_checkpointing output_router_logits chunk_size_feed_forward "
    "tie_encoder_decoder return_dict_in_generate use_bfloat16 tie_word_embeddings".split()
)


def variants(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names and the fields of all small configurations of an architecture."""
    default = CONFIG_MAPPING[name]().to_dict()
    yield "as it is", small(default)
    yield f"windows of {SHORT_WINDOW}", with_windows(default, SHORT_WINDOW)
    plain = with_windows(default, LONG_WINDOW)
    text = plain.get("text_config") or plain
    if isinstance(text, dict):
        yield f"windows of {LONG_WINDOW}", plain
        for field, value in list(text.items()):
            if isinstance(value, bool) and field not in NO_SWITCHES:
                yield f"{field}={not value}", switched(plain, field, not value)
        if "max_window_layers" in text:
            yield "max_window_layers=2", switched(plain, "max_window_layers", 2)


def with_windows(default: dict[str, Any], window: int) -> dict[str, Any]:
    """The fields of a small configuration with sliding windows."""
    return switched(switched(small(default, window), "use_sliding_window", True), "max_window_layers", 0)


def switched(config: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """A copy of the fields with another value of one that is there already, of the language model's part if it has one."""
    if isinstance(config.get("text_config"), dict):
        return config | {"text_config": switched(config["text_config"], field, value)}
    return config | {field: value} if field in config else config


def small(default: dict[str, Any], window: int | None = None) -> dict[str, Any]:
    """The fields of a configuration that differ from the default, cut down."""
    found: dict[str, Any] = {}
    for field, value in default.items():
        if isinstance(value, dict) and field.endswith("_config"):
            found[field] = small(value, window) | ({"model_type": value["model_type"]} if "model_type" in value else {})
        elif field.endswith("token_id") and isinstance(value, int):
            found[field] = min(value, 2)
        elif field == "head_dim" and "qk_rope_head_dim" in default:
            continue  # follows from the other
        elif field in UNSET and value is None:
            found[field] = UNSET[field]
        elif field in EXACT and value is not None:
            found[field] = EXACT[field]
        elif window and is_window(field, value):
            found[field] = window
        elif is_window(field, value) and isinstance(value, int):
            found[field] = min(value, 32)
        elif field in ("use_sliding_window", "max_window_layers") or (
            isinstance(value, bool) and field not in NO_SWITCHES
        ):
            found[field] = value
        elif isinstance(value, int) and not isinstance(value, bool):
            fits = [number for ending, number in ENDINGS if field.endswith(ending)]
            if fits:
                found[field] = min(fits[0], value) if value > 0 else value
    return found


def is_window(field: str, value: Any) -> bool:
    """Whether a field looks like the length of a window, in tokens."""
    number = value is None or (isinstance(value, int) and not isinstance(value, bool))
    return (
        number
        and field != "chunk_size_feed_forward"
        and any(word in field for word in WINDOWS)
        and not any(word in field for word in NOT_WINDOWS)
    )


def build(name: str, fields: dict[str, Any]) -> Any:
    """A model with random weights that tell tokens and orders apart: its matrices are ten times the usual size."""
    transformers.set_seed(0)
    config = CONFIG_MAPPING[name](**fields)
    if hasattr(config, "is_decoder"):
        config.is_decoder = True
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    if model.num_parameters() > 30_000_000:
        raise ValueError(f"{model.num_parameters()} parameters")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    return model


def prompts(seed: int) -> list[tuple[tuple[str, str], list[int], list[int]]]:
    """Two tasks with examples, prompts that are shorter than a window, and prompts of the longest length, in any order."""
    draw = random.Random(seed)

    def some(length: int) -> list[int]:
        return [draw.randrange(3, VOCABULARY) for _ in range(length)]

    found = []
    for shots, questions in ((70, 4), (30, 3), (2, 2)):
        before = some(shots)
        for _ in range(questions):
            context = [*before, *some(draw.randrange(2, LONGEST - shots - 10) if shots > 2 else 3)]
            found += [(("", ""), context, some(draw.choice((1, 1, 4)))) for _ in range(4)]
    draw.shuffle(found)
    return found


def logprobs_of_hf(model: Any, tokenizer: Any, batch_size: int = BATCH, seed: int = 0) -> list[tuple[float, bool]]:
    """The answers of lm_eval's `hf` to prompts of a seed."""
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, max_length=LONGEST)
    answers: list[tuple[float, bool]] = lm._loglikelihood_tokens(prompts(seed), disable_tqdm=True)
    return answers


def furthest(found: list[tuple[float, bool]], expected: list[tuple[float, bool]]) -> float:
    """The largest difference of logprobs; infinite if one is NaN."""
    difference = max(abs(a[0] - b[0]) for a, b in zip(found, expected, strict=True))
    return difference if difference == difference else float("inf")


def compared(model: Any, tokenizer: Any, seed: int = 0) -> tuple[str, float]:
    """Why prefixes were not shared ("" if all were), and the largest difference of logprobs to those of `hf`."""
    expected = logprobs_of_hf(model, tokenizer, seed=seed)
    common = {"pretrained": model, "tokenizer": tokenizer, "batch_size": BATCH, "max_length": LONGEST}
    requests = prompts(seed)
    heard = Heard()
    logger = logging.getLogger("lm_eval.models.hf_shared_prefix")
    logger.addHandler(heard)
    try:
        found = SharedPrefixLM(**common, pass_tokens=150)._loglikelihood_tokens(requests, disable_tqdm=True)
    finally:
        logger.removeHandler(heard)
    return "; ".join(heard.lines), furthest(found, expected)


class Heard(logging.Handler):
    """Keeps the warnings of the model."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage())


def sweep(
    names: list[str], *, switches: bool, attention: str | None, dtype: str, device: str
) -> Iterator[dict[str, Any]]:
    """One row for each configuration: architecture, variant, result, reason, difference, and what is tolerated."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZER)
    for name in names:
        try:
            tried = list(variants(name))
        except Exception as error:
            yield row(name, "as it is", "not built", error)
            continue
        for variant, fields in tried if switches else tried[:3]:
            try:
                model = build(name, fields).to(device)
            except Exception as error:
                yield row(name, variant, "not built", error)
                continue
            short = None if dtype == "float32" else getattr(torch, dtype)
            try:
                # By the usual attention: another one may take no float32.
                tolerances = tolerated(model, tokenizer, short)
                model = model.to(getattr(torch, dtype))
                if attention is not None:
                    model.set_attn_implementation(attention)
                    logprobs_of_hf(model, tokenizer)
            except Exception as error:
                yield row(name, variant, "hf fails", error)
                continue
            try:
                for seed, tolerance in enumerate(tolerances):
                    reason, difference = compared(model, tokenizer, seed)
                    if difference <= tolerance:
                        break
            except Exception as error:
                yield row(name, variant, "wrong", error)
                continue
            result = "wrong" if not difference <= tolerance else "by hf" if reason else "shared"
            yield {
                "architecture": name,
                "variant": variant,
                "result": result,
                "why": reason,
                "difference": difference,
                "tolerance": tolerance,
            }


def tolerated(model: Any, tokenizer: Any, short: torch.dtype | None) -> list[float]:
    """How far logprobs may be from those of `hf`, for each draw of prompts; in a short type by what it changes in `hf`."""
    # What hf cannot compute fails here.
    exact = [logprobs_of_hf(model, tokenizer, seed=seed) for seed in range(1 if short is None else DRAWS)]
    if short is None:
        return [TOLERANCE]
    rounded = copy.deepcopy(model).to(short)
    # With prompts in other company hf itself rounds otherwise.
    return [
        SHORT_TOLERANCE
        * max(furthest(logprobs_of_hf(rounded, tokenizer, batch, seed), exact[seed]) for batch in (1, BATCH))
        for seed in range(DRAWS)
    ]


def row(name: str, variant: str, result: str, error: Exception) -> dict[str, Any]:
    """A row of a configuration that could not be tried."""
    why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"
    return {"architecture": name, "variant": variant, "result": result, "why": why, "difference": None}


def main() -> None:
    """Print a line for each configuration, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="*", help="model types; default: all")
    parser.add_argument("--no-switches", action="store_true", help="only as it is, and with windows")
    parser.add_argument("--attention", help="an attention of transformers, such as eager; default: each model's own")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--json", type=Path, help="write all rows here")
    options = parser.parse_args()
    torch.set_num_threads(1)  # so small a model is no faster with more
    transformers.logging.set_verbosity_error()
    logging.getLogger("lm_eval.models.huggingface").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    names = options.architectures or [name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name in CONFIG_MAPPING]
    rows = []
    given = {"attention": options.attention, "dtype": options.dtype, "device": options.device}
    for found in sweep(names, switches=not options.no_switches, **given):
        rows.append(found)
        off = "" if found["difference"] is None else f"{found['difference']:.1e}"
        print(found["architecture"], found["variant"], found["result"], off, found["why"], sep="\t", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for unit, keys in (
        ("configurations", [item["result"] for item in rows]),
        ("architectures", _worst(rows)),
    ):
        print(f"{unit}: " + ", ".join(f"{count} {result}" for result, count in Counter(keys).most_common()))
    sys.exit(any(item["result"] == "wrong" for item in rows))


def _worst(rows: list[dict[str, Any]]) -> list[str]:
    """For each architecture the worst of its results that came about."""
    order = ("not built", "hf fails", "shared", "by hf", "wrong")
    by_name: dict[str, str] = {}
    for item in rows:
        before = by_name.setdefault(item["architecture"], item["result"])
        by_name[item["architecture"]] = max(before, item["result"], key=order.index)
    return list(by_name.values())


if __name__ == "__main__":
    main()
