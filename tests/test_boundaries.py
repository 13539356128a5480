"""What is proven of a tokenizer holds for texts made to break it, and nothing is proven of what joins lines."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from consistency.shared_prefix.boundaries import encodes_lines_apart
from consistency.shared_prefix.pieces import Pieces

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + REST
QWEN = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + REST
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PARTS = [
    "\n",
    "\n",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "  ",
    "\t",
    "\u3000",
    "\x85",
    "A",
    "b",
    "s",
    "1",
    "23",
    "٣",
    "½",
    "'",
    "'s",
    "ſ",
]
PARTS += ["!", "//", ".", "é", "e\u0301", "\u0301", "答", "Ａ", "<s>", "</s>", "<|x|>", "ing", " the", "_"]


def bytes_of(splitters: list[Any]) -> Any:
    return pre_tokenizers.Sequence([*splitters, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def split(pattern: str, behavior: str = "isolated", invert: bool = False) -> Any:
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


SPLITTERS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "llama3": lambda: bytes_of([split(LLAMA)]),
    "qwen": lambda: bytes_of([split(QWEN)]),
    "tekken": lambda: bytes_of([split(TEKKEN)]),
    "digits_after": lambda: bytes_of([split(QWEN), pre_tokenizers.Digits(), split(r"[A-Za-z]\n|\n")]),
}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    generator = random.Random(0)
    return ["".join(generator.choices(PARTS, k=generator.randint(1, 40))) for _ in range(300)]


@pytest.fixture(scope="module")
def joining(texts: list[str]) -> str:
    """A byte-level BPE with tokens that go over the ends of lines, which only a splitter keeps it from using."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(  # type: ignore[no-untyped-call]
        vocab_size=1200, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([text.replace("\r", "") for text in texts], trainer)
    assert any("ĊA" in token or "Ċ1" in token for token in tokenizer.get_vocab())
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.add_tokens([AddedToken("<|x|>", lstrip=True, rstrip=True, normalized=True), AddedToken("\n\n\n")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))],
    )
    found: str = tokenizer.to_str()
    return found


@pytest.mark.parametrize("normalizer", [None, normalizers.NFC, normalizers.NFKC])
@pytest.mark.parametrize("name", SPLITTERS)
def test_texts_made_to_break_it_have_the_tokens_of_their_parts(
    name: str, normalizer: Callable[[], Any] | None, texts: list[str], joining: str
) -> None:
    tokenizer = Tokenizer.from_str(joining)
    tokenizer.pre_tokenizer = SPLITTERS[name]()
    if normalizer is not None:
        tokenizer.normalizer = normalizers.Sequence([normalizer()])
    assert encodes_lines_apart(tokenizer)
    pieces = Pieces(transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer), {})
    assert pieces.is_proven
    assert [ids.tolist() for ids in pieces.encode(texts)] == pieces.whole(texts)
    asked = [
        (text.rstrip(), text[len(text.rstrip()) :] + rest)
        for text in texts
        for rest in (" A", "\nB", "\n1\nx")
        if text.strip()
    ]
    for (context, rest), (found, after) in zip(asked, pieces.whole_pairs(asked), strict=True):
        assert pieces.is_equal_in_full([context, context + rest], [(0, found), (len(found), after)])
    wrong = [
        pair
        for pair, (found, after), (expected, expected_after) in zip(
            asked, pieces.pairs(asked), pieces.whole_pairs(asked), strict=True
        )
        if (found.tolist(), after) != (expected.tolist(), expected_after)
    ]
    assert wrong == []


def test_an_added_token_at_the_beginning_of_a_line_changes_what_stands_before_it(joining: str) -> None:
    tokenizer = Tokenizer.from_str(joining)
    tokenizer.pre_tokenizer = SPLITTERS["gpt2"]()
    text = "b\n\n"
    alone = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text + "Answer", add_special_tokens=False).ids[: len(alone)] != alone
    tokenizer.add_tokens(["Answer"])
    assert tokenizer.encode(text + "Answer", add_special_tokens=False).ids[: len(alone)] == alone


def change(**parts: Any) -> Callable[[Tokenizer], None]:
    def changed(tokenizer: Tokenizer) -> None:
        for name, part in parts.items():
            setattr(tokenizer, name, part)

    return changed


@pytest.mark.parametrize(
    "spoil",
    [
        change(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
        change(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
        change(pre_tokenizer=pre_tokenizers.Metaspace()),
        change(pre_tokenizer=pre_tokenizers.Sequence([])),
        change(pre_tokenizer=bytes_of([pre_tokenizers.Digits()])),
        # A pattern that joins lines; one that leaves space to what no alternative matches; and what it does with matches.
        change(pre_tokenizer=bytes_of([split(r"[a-z]\n[A-Z]|" + QWEN)])),
        change(pre_tokenizer=bytes_of([split(r"\p{N}|[^\r\n\p{L}\p{N}]?\p{L}+")])),
        change(pre_tokenizer=bytes_of([split(QWEN, "merged_with_previous")])),
        change(pre_tokenizer=bytes_of([split(QWEN, invert=True)])),
        # A splitter before the pattern that sees more than two characters.
        change(pre_tokenizer=bytes_of([split(r"[a-z]\n[A-Z]"), split(QWEN)])),
        change(normalizer=normalizers.Replace("\n", "x")),
        change(normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])),
        lambda tokenizer: tokenizer.add_tokens(["?\nA"]),
        # What stands before an added token is split as if the text ended there, and the token may take space before it.
        lambda tokenizer: tokenizer.add_tokens(["Answer"]),
        lambda tokenizer: tokenizer.add_special_tokens([AddedToken("1", lstrip=True)]),
        lambda tokenizer: tokenizer.add_tokens([AddedToken("Ａ", normalized=True)]),
        lambda tokenizer: tokenizer.enable_truncation(5),
        lambda tokenizer: tokenizer.enable_padding(),
        lambda tokenizer: setattr(tokenizer.model, "dropout", 0.1),
    ],
)
def test_nothing_is_proven_of_what_may_join_lines(spoil: Callable[[Tokenizer], None], joining: str) -> None:
    tokenizer = Tokenizer.from_str(joining)
    tokenizer.pre_tokenizer = SPLITTERS["qwen"]()
    assert encodes_lines_apart(tokenizer)
    spoil(tokenizer)
    assert not encodes_lines_apart(tokenizer)
