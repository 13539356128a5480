"""Tokenizers that are not fast ones: scored as hf scores, and what check-tokenizer says of their chat format."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")

import transformers  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from consistency.cli.app import app  # noqa: E402
from consistency.errors import InputError  # noqa: E402
from consistency.shared_prefix.model import SharedPrefixLM  # noqa: E402
from consistency.tasks.tokenizers import check_tokenizer, save_tokenizer  # noqa: E402

SHOTS = "Which is it?\nA. one\nB. two\nAnswer: B\n\n" * 3
REQUESTS = [
    SimpleNamespace(args=(f"{SHOTS}{question}\nAnswer:", f" {letter}"))
    for question in ("Why?", "Since when?", "é—x ")
    for letter in "ABCD"
]
SPECIAL = 20


@pytest.fixture(scope="module")
def tekken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Mistral whose tokenizer is a tekken.json alone: all bytes, and the letters with a space."""
    pytest.importorskip("mistral_common")
    folder = tmp_path_factory.mktemp("tekken")
    words = [*(bytes([code]) for code in range(256)), b" A", b" B", b" C", b" D"]
    config = {
        "pattern": r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+",
        "num_vocab_tokens": len(words),
        "default_vocab_size": len(words) + SPECIAL,
        "default_num_special_tokens": SPECIAL,
        "version": "v3",
    }
    vocabulary = [
        {"rank": rank, "token_bytes": base64.b64encode(word).decode(), "token_str": None}
        for rank, word in enumerate(words)
    ]
    (folder / "tekken.json").write_text(
        json.dumps({"vocab": vocabulary, "config": config, "version": 1, "type": "Tekken"})
    )
    transformers.set_seed(0)
    transformers.MistralForCausalLM(
        transformers.MistralConfig(
            vocab_size=len(words) + SPECIAL,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            sliding_window=None,
            initializer_range=0.3,
        )
    ).save_pretrained(folder)
    return folder


def both(caplog: pytest.LogCaptureFixture, **arguments: Any) -> list[list[tuple[float, bool]]]:
    """The answers of hf and of hf-shared-prefix."""
    caplog.set_level(logging.INFO)
    models = [kind(**arguments, batch_size=4) for kind in (HFLM, SharedPrefixLM)]
    assert not getattr(models[1].tokenizer, "is_fast", False)
    assert models[1].why_unsupported is None
    return [lm.loglikelihood(REQUESTS, disable_tqdm=True) for lm in models]


def assert_alike(found: list[list[tuple[float, bool]]]) -> None:
    (hf, ours) = found
    assert max(abs(a[0] - b[0]) for a, b in zip(hf, ours, strict=True)) <= 1e-4
    assert [answer[1] for answer in hf] == [answer[1] for answer in ours]
    assert len({round(answer[0], 3) for answer in hf}) > len(hf) / 2


def test_a_tekken_file_alone(tekken: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    assert_alike(both(caplog, pretrained=str(tekken), device="cpu", dtype="float32"))
    assert "MistralCommonBackend is not a fast tokenizer" in caplog.text


def test_a_tokenizer_in_python(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    tokenizer = transformers.ByT5Tokenizer(extra_ids=0)
    transformers.set_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
            initializer_range=0.3,
        )
    )
    assert_alike(both(caplog, pretrained=model, tokenizer=tokenizer, add_bos_token=False))
    assert "ByT5Tokenizer is not a fast tokenizer" in caplog.text


@pytest.mark.parametrize("template", ["model", "vicuna", "chatml"])
def test_a_template_that_is_not_used_is_a_problem(tekken: Path, template: str) -> None:
    """mistral-common renders its own format whatever it is given, and its control tokens are encoded as letters."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tekken)
    icl, _, ift = check_tokenizer(tokenizer, template=template)
    assert not icl.problems
    assert icl.tokens["B"] == (" B",)
    assert not ift.tokens
    assert len(ift.problems) == 1
    done = CliRunner().invoke(app, ["check-tokenizer", str(tekken), "--template", template])
    assert done.exit_code == 1
    # What lm_eval would ask: its text begins with a control token that is encoded letter by letter.
    lm = HFLM(pretrained=str(tekken), device="cpu", dtype="float32")
    prompt = lm.apply_chat_template([{"role": "user", "content": "Which?"}])
    assert prompt.startswith("<s>[INST]")
    assert tokenizer.convert_tokens_to_ids("[INST]") not in lm.tok_encode(prompt)


def test_no_template_is_saved_with_a_tokenizer_that_takes_none(tekken: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MistralCommonBackend, takes no chat template"):
        save_tokenizer(str(tekken), "vicuna", tmp_path / "out")
    assert not (tmp_path / "out").exists()
