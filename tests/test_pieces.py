from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

import numpy as np
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, normalizers

from consistency.errors import InputError
from consistency.shared_prefix.model import SharedPrefixLM
from consistency.shared_prefix.pieces import Pieces, Verification, portions
from consistency.shared_prefix.truncation import counting

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
RESTS = [" A", "A", " 12é 答", "\n", "\nA", " because\nof it", ":\n\n1. x\ny", "  ", ""]


def listed(pair: Sequence[Any]) -> tuple[list[int], list[int]]:
    """The tokens of a context and a continuation as lists."""
    return tuple(np.asarray(ids).tolist() for ids in pair)  # type: ignore[return-value]


@pytest.mark.parametrize("special", [{}, {"add_special_tokens": False}, {"add_special_tokens": True}])
@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_tokens_of_lines_are_those_of_the_whole_text(
    kind: str, special: dict[str, bool], build_llama: Callable[[str], Path]
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(build_llama(kind))
    pieces = Pieces(tokenizer, special)
    expected = [tokenizer.encode(text, **special) for text in TEXTS]
    # Once for all, and text by text with what is known from before.
    assert [ids.tolist() for ids in pieces.encode(TEXTS)] == pieces.whole(TEXTS) == expected
    assert [pieces.encode([text])[0].tolist() for text in TEXTS] == expected
    assert pieces.is_equal_in_full(TEXTS, [(0, ids) for ids in expected])
    assert not pieces.is_equal_in_full(TEXTS, [(0, ids) for ids in expected[::-1]])


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_pairs_are_those_of_whole_texts(kind: str, build_llama: Callable[[str], Path]) -> None:
    pieces = Pieces(transformers.AutoTokenizer.from_pretrained(build_llama(kind)), {})
    asked = [(text.rstrip(), text[len(text.rstrip()) :] + rest) for text in TEXTS for rest in RESTS if text.strip()]
    pairs = pieces.pairs(asked)
    assert [*map(listed, pairs)] == [*map(listed, pieces.whole_pairs(asked))]
    assert pieces.is_equal(asked, pairs)
    # Only a continuation, then only a context, is another one, in a request that the sample holds.
    (context, rest), *others = pairs
    assert not pieces.is_equal(asked, [(context, [*rest, 5]), *others])
    assert not pieces.is_equal(asked[:1], [(np.array([5, *context[1:]]), rest)])


@pytest.mark.parametrize("add_bos", [None, True, False])
@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_requests_have_the_tokens_that_lm_eval_gives_them(
    kind: str, add_bos: bool | None, build_llama: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As lm_eval encodes each alone: also without a context, with space at its end, with BOS, and with lines in answers."""
    # So that there are several blocks.
    monkeypatch.setattr("consistency.shared_prefix.pieces._TOGETHER", 7)
    monkeypatch.setattr("consistency.shared_prefix.model.ENCODED", 3)
    common = {
        "pretrained": str(build_llama(kind)),
        "device": "cpu",
        "dtype": "float32",
        **({} if add_bos is None else {"add_bos_token": add_bos}),
    }
    encoded: list[list[Any]] = []
    in_blocks: dict[int, Any] = {}
    alone: list[tuple[str, str]] = []

    def keep(_: Any, requests: list[Any], **__: Any) -> list[tuple[float, bool]]:
        encoded.append([(texts, *listed(pair)) for texts, *pair in requests])
        return [(0.0, False)] * len(requests)

    def keep_blocks(_: Any, blocks: Any, *__: Any) -> dict[int, tuple[float, bool]]:
        for numbers, requests, _ in blocks:
            in_blocks.update(zip(numbers, [(texts, *listed(pair)) for texts, *pair in requests], strict=True))
        return dict.fromkeys(in_blocks, (0.0, False))

    pair_by_pair = HFLM._encode_pair
    monkeypatch.setattr(HFLM, "_loglikelihood_tokens", keep)
    monkeypatch.setattr(SharedPrefixLM, "_loglikelihood_tokens", keep)
    monkeypatch.setattr(SharedPrefixLM, "_scored", keep_blocks)
    asked = [
        (text, rest) for text in [*TEXTS, "<", "<s", " ", "<s>", "<s>\nA"] for rest in [*RESTS, "s> x", "<s> x"] if rest
    ]
    asked += asked[5:50]
    requests: list[Any] = [SimpleNamespace(args=pair) for pair in asked]
    HFLM(**common).loglikelihood(requests, disable_tqdm=True)
    monkeypatch.setattr(HFLM, "_encode_pair", lambda lm, *pair: alone.append(pair) or pair_by_pair(lm, *pair))
    SharedPrefixLM(**common).loglikelihood(requests, disable_tqdm=True)
    expected, left = encoded
    assert in_blocks == {number: expected[number] for number in in_blocks}
    assert sorted(left) == sorted(item for number, item in enumerate(expected) if number not in in_blocks)
    # Of each kind one is compared; else lm_eval encodes those alone that begin with BOS in part.
    others = [pair for pair in alone if pair[0] not in ("<", "<s", " ", "\n")]
    assert len(others) <= 2


@given(st.lists(st.text("ab", max_size=5), unique=True), st.integers(1, 5))
@settings(deadline=None)
def test_portions_hold_each_text_once_and_what_begins_alike_together(texts: list[str], size: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("consistency.shared_prefix.pieces._TOGETHER", size)
        patched.setattr("consistency.shared_prefix.pieces._ALIKE", 1)
        found = list(portions(texts))
    order = [place for portion in found for place in portion]
    assert sorted(order) == list(range(len(texts)))
    assert all(0 < len(portion) <= size for portion in found)
    assert not texts or len(texts[order[0]]) == max(map(len, texts))
    beginnings = [texts[place][:1] for place in order]
    assert len(list(groupby(beginnings))) == len(set(beginnings))


def test_parts_that_repeat_are_encoded_once(build_llama: Callable[[str], Path]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(build_llama("byte_level"))
    pieces = Pieces(tokenizer, {})
    encoded: list[str] = []
    encode = pieces._encode
    pieces._encode = lambda texts, special: encoded.extend(texts) or encode(texts, special)  # type: ignore[func-returns-value,method-assign]
    for _ in range(2):
        pieces.encode(
            [f"{SHOTS}Question: {number}?\nAnswer:{letter}" for number in range(50) for letter in (" A", " B")]
        )
    # The examples, one by one; 50 questions; and two last lines.
    assert len(encoded) == len(set(encoded)) == 9 + 50 + 2
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
    joined = f"{SHOTS}Question?\nAnswer:"
    assert Pieces(ours.tokenizer, {}).encode([joined])[0].tolist() != Pieces(ours.tokenizer, {}).whole([joined])[0]
    # The text that is encoded first has no line to join.
    asked = [("alone " * 99, "here")]
    asked += [(f"{SHOTS}Question: {number}?\nAnswer:", f" {letter}") for number in range(4) for letter in "AB"]
    requests: list[Any] = [SimpleNamespace(args=pair) for pair in asked]
    expected = hf.loglikelihood(requests, disable_tqdm=True)
    found = ours.loglikelihood(requests, disable_tqdm=True)
    assert max(abs(a[0] - b[0]) for a, b in zip(found, expected, strict=True)) <= 1e-4
    assert ("scored again" in caplog.text) == (not sample)


def test_an_answer_without_a_token_is_what_it_is_to_hf(
    joining: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Here space at the end of a text is lost: certain beside an answer of one token, and otherwise refused."""
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(joining)
    tokenizer.backend_tokenizer.normalizer = normalizers.Strip()
    common = {"pretrained": str(joining), "tokenizer": tokenizer, "device": "cpu", "dtype": "float32"}
    hf, ours = HFLM(**common), SharedPrefixLM(**common)

    def asked(*answers: str) -> list[Any]:
        return [
            SimpleNamespace(args=(f"{SHOTS}Question {number}:", answer), task_name="cities", doc_id=number)
            for number in range(3)
            for answer in (answers if number == 1 else "AB")
        ]

    found, expected = (lm.loglikelihood(asked("\n", "A", "BA"), disable_tqdm=True) for lm in (ours, hf))
    assert max(abs(a[0] - b[0]) for a, b in zip(found, expected, strict=True)) <= 1e-4
    assert found[2] == expected[2] == (0.0, True)
    assert "has no token of its own" in caplog.text
    with pytest.raises(AssertionError):
        hf.loglikelihood(asked("\n", "BA"), disable_tqdm=True)
    with pytest.raises(InputError, match="an answer without a token of its own"):
        ours.loglikelihood(asked("\n", "BA"), disable_tqdm=True)


@pytest.mark.parametrize("kind", [SharedPrefixLM, counting(HFLM, {})])
def test_an_answer_without_a_token_is_refused_where_hf_computes_each_by_itself(kind: type, joining: Path) -> None:
    """With `logits_cache=False`, also beside an answer that reads the same tokens."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(joining)
    tokenizer.backend_tokenizer.normalizer = normalizers.Strip()
    lm = kind(pretrained=str(joining), tokenizer=tokenizer, device="cpu", dtype="float32", logits_cache=False)
    asked = [SimpleNamespace(args=("Which?", answer), task_name="cities", doc_id=7) for answer in ("A", "\n", "BA")]
    with pytest.raises(InputError, match=r"an answer without a token of its own \(cities, document 7\)"):
        lm.loglikelihood(asked, disable_tqdm=True)
    found = lm.loglikelihood(asked[::2], disable_tqdm=True)
    assert len(found) == 2


def test_each_text_is_compared_beside_other_work(build_llama: Callable[[str], Path]) -> None:
    pieces = Pieces(transformers.AutoTokenizer.from_pretrained(build_llama("byte_level")), {})
    asked = [(text, rest) for text in TEXTS if text for rest in (" one", "\ntwo")]
    pairs = pieces.whole_pairs(asked)
    with Verification() as right:
        right.add(pieces, asked, pairs)
        assert right.is_equal()
    # A context, and an answer that begins a line: both are compared in full.
    for wrong_pair, place in (((np.append(pairs[0][0], 5), pairs[0][1]), 0), ((pairs[1][0], [*pairs[1][1], 5]), 1)):
        with Verification() as wrong:
            wrong.add(pieces, asked, pairs)
            wrong.add(pieces, [asked[place]], [wrong_pair])
            assert not wrong.is_equal()


def test_an_answer_that_joins_the_line_before_it_is_found(build_llama: Callable[[str], Path]) -> None:
    """One answer among hundreds, in no sample: the tokenizer joins the end of its context with its first line."""
    folder = build_llama("byte_level")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([transformers.AddedToken(":\nYes", normalized=False)])
    model = SharedPrefixLM(pretrained=str(folder), dtype="float32", device="cpu")
    model.tokenizer = tokenizer
    asked = [(f"{SHOTS}Question: {number}?\nAnswer:", "\nno") for number in range(300)]
    asked[151] = asked[151][0], "\nYes it is"
    ((context, rest),) = [pair for pair in asked if pair[1] != "\nno"]
    requests: list[Any] = [SimpleNamespace(args=pair) for pair in asked]
    with Verification() as verification:
        list(model._blocks(requests, verification, []))
        assert not verification.is_equal()
    encoded = {texts: listed(pair) for _, block, _ in model._blocks(requests, None, []) for texts, *pair in block}
    assert encoded[context, rest] == HFLM._encode_pair(model, context, rest)


def test_passes_begin_before_all_is_encoded_and_answers_keep_their_order(
    build_llama: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions of three tasks in turn, as no harness asks them: each block holds those of one task."""
    monkeypatch.setattr("consistency.shared_prefix.pieces._TOGETHER", 8)
    common = {"pretrained": str(build_llama("byte_level")), "device": "cpu", "dtype": "float32"}
    hf, ours = HFLM(**common), SharedPrefixLM(**common, pass_tokens=200)
    asked = [
        (f"{field}.\n\n{SHOTS}Question: {number}?\nAnswer:", answer)
        for number in range(8)
        for field in ("History", "Medicine", "Law")
        for answer in (" A", " because\nof it")
    ]
    requests: list[Any] = [SimpleNamespace(args=pair) for pair in [*asked, ("", "alone"), ("shares nothing", " A")]]
    expected = hf.loglikelihood(requests, disable_tqdm=True)
    done: list[str] = []
    begin, logprobs = Pieces.begun_pairs, ours.forward.logprobs
    assert ours.why_unsupported is None
    monkeypatch.setattr(Pieces, "begun_pairs", lambda *given: done.append("encoded") or begin(*given))
    ours.forward.logprobs = lambda *given: done.append("pass") or logprobs(*given)
    found = ours.loglikelihood(requests, disable_tqdm=True)
    assert max(abs(a[0] - b[0]) for a, b in zip(found, expected, strict=True)) <= 1e-4
    assert [item[1] for item in found] == [item[1] for item in expected]
    # Passes of the trial come before.
    assert done.count("encoded") == 4
    assert "pass" in done[done.index("encoded") + 3 : len(done) - done[::-1].index("encoded")]
    assert done[-1] == "pass"
