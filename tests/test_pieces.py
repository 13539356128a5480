from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

import transformers
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models

from consistency.shared_prefix.model import SharedPrefixLM
from consistency.shared_prefix.pieces import Pieces, Verification

SHOTS = "".join(
    f"Question {number}: is it {number}?\nA. yes\nB. no\nAnswer: {'AB'[number % 2]}\n\n" for number in range(9)
)
TEXTS = [
    f"{SHOTS}{question}{answer}"
    for question in (
        "Which?\nA. 1\nB. two  \n\n\nC. 3\nAnswer:",
        "1 or 2?\n\nA. é—x \t\n B. <s>\nC. </s>\n9\n",
        "\n\n\nx\n",
        "x",
        "Line\r\nLine\r\n\r\nLine:\n1\n12\n123 \n1234",
        "\nこれは\nAn 行\n答案：",
    )
    for answer in ("", " A", " B", "A", "\n", "\nA", " because\nof it")
] + ["", "A", "\n", "\nA", "no line", "<s>begins\nA", "A\n<s>\nB"]


@pytest.mark.parametrize("special", [{}, {"add_special_tokens": False}, {"add_special_tokens": True}])
@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_tokens_of_lines_are_those_of_the_whole_text(
    kind: str, special: dict[str, bool], build_llama: Callable[[str], Path]
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(build_llama(kind))
    pieces = Pieces(tokenizer, special)
    expected = [tokenizer.encode(text, **special) for text in TEXTS]
    # Once for all, and text by text with what is known from before.
    assert pieces.encode(TEXTS) == pieces.whole(TEXTS) == expected
    assert [pieces.encode([text])[0] for text in TEXTS] == expected
    assert pieces.is_equal(TEXTS, expected)
    assert not pieces.is_equal(TEXTS, expected[::-1])


def test_lines_that_repeat_are_encoded_once(build_llama: Callable[[str], Path]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(build_llama("byte_level"))
    pieces = Pieces(tokenizer, {})
    encoded: list[str] = []
    plain = pieces._plain
    pieces._plain = lambda texts: encoded.extend(texts) or plain(texts)  # type: ignore[func-returns-value,method-assign]
    for _ in range(2):
        pieces.encode(
            [f"{SHOTS}Question: {number}?\nAnswer:{letter}" for number in range(50) for letter in (" A", " B")]
        )
    # Of the examples a line for each number, one for each option and two answers; 50 questions; and two last lines.
    assert len(encoded) == len(set(encoded)) == 9 + 2 + 2 + 50 + 2
    assert sum(map(len, encoded)) < 50 * len(SHOTS)


@pytest.fixture
def joining(tmp_path: Path, build_llama: Callable[[str], Path]) -> Path:
    """A model whose tokenizer forms one token of a question mark, the line's end and the letter that follows."""
    folder = build_llama("byte_level")
    letters = {
        letter: number for number, letter in enumerate(["<s>", "</s>", "<pad>", *map(chr, (10, *range(32, 127)))])
    }
    vocabulary = {**letters, "?\n": len(letters), "?\nA": len(letters) + 1}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("?", "\n"), ("?\n", "A")]))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(tmp_path)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("sample", [True, False])
def test_a_tokenizer_that_joins_lines_encodes_whole_texts(
    sample: bool, joining: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by the sample before, or, where that happens to be equal, by the comparison beside the scoring."""
    if not sample:
        monkeypatch.setattr(Pieces, "is_equal", lambda *_: True)
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    common = {"pretrained": str(joining), "device": "cpu", "dtype": "float32"}
    hf, ours = HFLM(**common), SharedPrefixLM(**common)
    assert Pieces(ours.tokenizer, {}).encode([SHOTS]) != Pieces(ours.tokenizer, {}).whole([SHOTS])
    # The first text has no line to join.
    asked = [("alone", " here")]
    asked += [(f"{SHOTS}Question: {number}?\nAnswer:", f" {letter}") for number in range(4) for letter in "AB"]
    requests: list[Any] = [SimpleNamespace(args=pair) for pair in asked]
    expected = hf.loglikelihood(requests, disable_tqdm=True)
    found = ours.loglikelihood(requests, disable_tqdm=True)
    assert max(abs(a[0] - b[0]) for a, b in zip(found, expected, strict=True)) <= 1e-4
    assert ("scored again" in caplog.text) == (not sample)


def test_each_text_is_compared_beside_other_work(build_llama: Callable[[str], Path]) -> None:
    pieces = Pieces(transformers.AutoTokenizer.from_pretrained(build_llama("byte_level")), {})
    ids = pieces.whole(TEXTS)
    with Verification() as right:
        right.add(pieces, TEXTS, ids)
        assert right.is_equal()
    with Verification() as wrong:
        wrong.add(pieces, TEXTS, ids)
        wrong.add(pieces, TEXTS, [*ids[:-1], [*ids[-1], 5]])
        assert not wrong.is_equal()
