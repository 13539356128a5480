from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import transformers  # noqa: E402
from sweep_architectures import TOKENIZER, build, compared, with_windows  # noqa: E402
from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: E402

from consistency.shared_prefix.masks import Masks, watched_masks  # noqa: E402


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


@pytest.mark.parametrize("dtype", ["bool", "float32", "bfloat16"])
def test_a_mask_is_right_up_to_the_first_token_that_sees_something_else(dtype: str) -> None:
    at = torch.arange(8)
    causal = at <= at[:, None]
    windowed = causal & (at > at[:, None] - 5)

    def right(seen: torch.Tensor | None, window: int | None, *, causal: bool = True) -> int:
        if seen is not None:
            kind = getattr(torch, dtype)
            mask = (
                seen if kind == torch.bool else torch.zeros(8, 8, dtype=kind).masked_fill(~seen, torch.finfo(kind).min)
            )
            seen = mask[None, None]
        masks = Masks()
        masks.note(seen, 8, window, causal=causal)
        return min(masks.right, 8)

    assert right(causal, None) == right(windowed, 5) == right(None, None) == 8
    # The token at position 5 is the sixth, the first with more than five before it, itself included.
    assert right(windowed, None) == right(causal, 5) == right(None, 5) == 5
    assert right(windowed, 4) == 4
    # Tokens see each other in chunks of four.
    assert right(causal & (at // 4 == at[:, None] // 4), None) == 4
    assert right(None, None, causal=False) == right(None, 5, causal=False) == 0
    assert right(None, 7) == right(causal, 7) == 7


def test_masks_are_watched_only_meanwhile() -> None:
    before = transformers.AttentionInterface()["sdpa"]
    with watched_masks():
        assert transformers.AttentionInterface()["sdpa"] is not before
    assert transformers.AttentionInterface()["sdpa"] is before
