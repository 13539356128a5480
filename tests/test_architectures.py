from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import transformers  # noqa: E402
from sweep_architectures import (  # noqa: E402
    LONGEST,
    TOKENIZER,
    build,
    compared,
    furthest,
    logprobs_of_hf,
    with_windows,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: E402

from consistency.shared_prefix.compatibility import longest_served  # noqa: E402
from consistency.shared_prefix.forward import Forward  # noqa: E402
from consistency.shared_prefix.visibility import Visibility, measured_visibility  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return transformers.AutoTokenizer.from_pretrained(TOKENIZER)


@pytest.mark.parametrize("window", [9, 60])
@pytest.mark.parametrize(
    ("name", "mask_alone"),
    [("mistral", False), ("gemma3_text", False), ("hrm_text", False), ("phimoe", True)],
)
def test_prompts_longer_than_windows_are_those_of_hf(
    name: str, window: int, mask_alone: bool, tokenizer: object
) -> None:
    """A window that the layers do not name is in the mask alone: what is longer takes the way of hf."""
    reason, difference = compared(build(name, with_windows(CONFIG_MAPPING[name]().to_dict(), window)), tokenizer)
    assert difference <= 1e-4
    assert ("lm_eval's own path" in reason) == mask_alone
    assert ("beyond 60 tokens" in reason) == (mask_alone and window == 60)


def test_windows_of_some_layers_are_compared_with_each_layers_mask(tokenizer: object) -> None:
    fields = with_windows(CONFIG_MAPPING["qwen2_moe"]().to_dict(), 60) | {"max_window_layers": 2}
    reason, difference = compared(build("qwen2_moe", fields), tokenizer)
    assert difference <= 1e-4
    assert "24 requests take lm_eval's own path: beyond 60 tokens" in reason  # 12 have 60 tokens or fewer


@pytest.mark.parametrize("window", [9, 60])
@pytest.mark.parametrize("attention", ["eager", "sdpa", "flex_attention"])
def test_a_window_in_the_mask_alone_is_found_in_any_attention_and_type(
    attention: str, window: int, tokenizer: object
) -> None:
    """In bfloat16 what a window hides is hardly more than rounding."""
    model = build("phimoe", with_windows(CONFIG_MAPPING["phimoe"]().to_dict(), window))
    exact = logprobs_of_hf(model, tokenizer)
    model = model.to(torch.bfloat16)
    model.set_attn_implementation(attention)
    # Compiling takes most of a minute.
    with torch.compiler.set_stance("force_eager"):
        assert longest_served(Forward(model, torch.device("cpu")), LONGEST)[0] == window
        reason, difference = compared(model, tokenizer)
        rounding = furthest(logprobs_of_hf(model, tokenizer), exact)
    assert "lm_eval's own path" in reason
    # With a window of 60 shorter prompts share prefixes.
    assert difference <= rounding


def by_keyword(further: int) -> Callable[..., tuple[torch.Tensor, None]]:
    """Attention that takes no mask, as flash attention: a window that the layer names, and none where it names none.

    Its windows are longer by so many tokens than those that are named.
    """

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *_: object,
        **given: object,
    ) -> tuple[torch.Tensor, None]:
        groups, window = query.shape[1] // key.shape[1], given.get("sliding_window")
        at = torch.arange(query.shape[2])
        seen = at <= at[:, None]
        if window is not None:
            seen &= at > at[:, None] - window - further
        key, value = (item.repeat_interleave(groups, 1) for item in (key, value))
        scale = given.get("scaling")
        found = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale)
        return found.transpose(1, 2), None

    return attend


@pytest.mark.parametrize("further", [0, 1])
@pytest.mark.parametrize("name", ["mistral", "phimoe", "qwen2_moe", "gemma3_text"])
def test_attention_without_masks_shares_what_it_computes(name: str, further: int, tokenizer: object) -> None:
    transformers.AttentionInterface.register("by_keyword", by_keyword(further))
    try:
        model = build(name, with_windows(CONFIG_MAPPING[name]().to_dict(), 60))
        model.set_attn_implementation("by_keyword")
        reason, difference = compared(model, tokenizer)
    finally:
        del transformers.AttentionInterface._global_mapping["by_keyword"]
    assert difference <= 1e-4
    # What is a window in masks alone is no window here. A window of another length takes the way of hf beyond it.
    windowed = name in ("mistral", "gemma3_text") and further
    assert ("beyond 60 tokens" in reason) if windowed else not reason


def seen_up_to(seen: torch.Tensor, window: int | None, dtype: torch.dtype, sink: float = -torch.inf) -> int:
    """What is measured of a function with a mask [tokens, tokens], grouped heads, and a sink."""
    query = torch.randn(1, 4, len(seen), 8, dtype=dtype)
    value = torch.randn(1, 2, len(seen), 6, dtype=dtype)

    def compute(query: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, None]:
        products = (query @ query.transpose(2, 3)).masked_fill(~seen, -torch.inf)
        both = torch.cat([products, torch.full_like(products[..., :1], sink)], -1).softmax(-1)[..., :-1]
        return (both @ value.repeat_interleave(2, 1)).transpose(1, 2), None

    visibility = Visibility([window])
    visibility.note(compute, query, value)
    assert visibility.layers == 1
    return visibility.right


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("length", [8, 700])
def test_what_tokens_attend_to_is_right_up_to_the_first_that_sees_something_else(
    dtype: torch.dtype, length: int
) -> None:
    at = torch.arange(length)
    causal = at <= at[:, None]
    windowed = causal & (at > at[:, None] - 5)
    nearly = causal & (at > at[:, None] - (length - 1))
    assert seen_up_to(causal, None, dtype) == seen_up_to(windowed, 5, dtype) == length
    assert seen_up_to(causal, length, dtype) == seen_up_to(causal, 2**31, dtype) == length
    # The token at position 5 is the sixth, the first with more than five before it, itself included.
    assert seen_up_to(windowed, None, dtype) == seen_up_to(causal, 5, dtype) == 5
    assert seen_up_to(windowed, 4, dtype) == 4
    # One token of all is missing for the last.
    assert seen_up_to(nearly, None, dtype) == seen_up_to(causal, length - 1, dtype) == length - 1
    # Tokens see each other in chunks of four.
    assert seen_up_to(causal & (at // 4 == at[:, None] // 4), None, dtype) == 4
    assert seen_up_to(torch.ones_like(causal), None, dtype) == 0
    assert seen_up_to(causal, None, dtype, sink=0.0) == 0


def test_attention_is_measured_only_meanwhile() -> None:
    table = transformers.AttentionInterface()
    before = table["sdpa"]
    with measured_visibility([]):
        assert table["sdpa"] is not before
        assert table.get_interface("eager", print) is not print
    assert table["sdpa"] is before
    assert table.get_interface("eager", print) is print


def test_attention_that_cannot_be_measured_takes_the_way_of_hf(tokenizer: object) -> None:
    """A layer that keeps its function for itself is not seen."""
    model = build("mistral", with_windows(CONFIG_MAPPING["mistral"]().to_dict(), 60))
    model.set_attn_implementation("eager")
    layer, unmeasured = model.model.layers[1].self_attn, transformers.AttentionInterface.get_interface
    usual = layer.forward

    def forward(*arguments: object, **settings: object) -> object:
        if layer.config._attn_implementation != "eager":
            return usual(*arguments, **settings)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transformers.AttentionInterface, "get_interface", unmeasured)
            return usual(*arguments, **settings)

    layer.forward = forward
    reason, difference = compared(model, tokenizer)
    assert "3 of 4 computations of attention can be measured" in reason
    assert difference <= 1e-4
