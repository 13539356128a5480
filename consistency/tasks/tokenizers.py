"""A check that a tokenizer encodes each option letter as one distinct token, after the prompt of each task style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from consistency.errors import InputError, one_line
from consistency.support.files import folder_in_place
from consistency.support.memory import gc_seldom
from consistency.support.text import joined
from consistency.tasks import prompts
from consistency.tasks.templates import OWN, read_template

Style = Literal["icl", "icl_paper", "ift"]
STYLES: tuple[Style, ...] = ("icl", "icl_paper", "ift")
# A chat template without variables, which renders as itself.
_MARK = "template"
# Transformers prefers a tekken.json to a tokenizer.json beside it.
_REPLACE = "use a folder with the model's tokenizer.json and without tekken.json as its tokenizer"
# What is asked, about what, and the options, by language.
_ASKED = {
    "en": ("Which of these is a fever?", "medicine", "flu cold cough pain rash sting burn cut sprain bruise".split()),
    "zh": ("下列哪一项会引起发热？", "医学", "流感 感冒 咳嗽 疼痛 皮疹 蜇伤 烧伤 割伤 扭伤 淤伤".split()),
}


@dataclass(frozen=True)
class LetterCheck:
    """How a tokenizer encodes the option letters after the prompt of one style.

    Attributes
    ----------
    style : {"icl", "icl_paper", "ift"}
        Style of the tasks.
    tokens : dict of str to tuple of str
        The tokens that lm_eval scores for each letter; empty if the chat template fails.
    problems : tuple of str
        Why the scores would be meaningless, and what to do; empty if there is no reason.
    notes : tuple of str
        What else to know.
    """

    style: Style
    tokens: dict[str, tuple[str, ...]]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def to_text(self) -> str:
        """The style, "ok" or "no", and the tokens in one line, and a line for each problem and note."""
        tokens = " ".join(repr("".join(found)) if len(found) == 1 else repr(found) for found in self.tokens.values())
        lines = [f"{self.style:<10}{'no' if self.problems else 'ok'}   {tokens}".rstrip()]
        return joined([*lines, *(f"          {text}" for text in (*self.problems, *self.notes))])


def check_tokenizer(
    tokenizer: Any, options: int = 4, template: str = OWN, language: str = prompts.ENGLISH
) -> list[LetterCheck]:
    """How a tokenizer encodes the letters that the tasks score, in each style.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        The model's tokenizer.
    options : int
        How many letters to check, 2 to 10; the paper's questions have four.
    template : str
        The chat template that the model is asked in, as `read_template` takes it: by default its own, and of a tokenizer
        that has none the Vicuna format, which training saves unless another is asked for.
    language : {"en", "zh"}
        Of the prompts.

    Returns
    -------
    list of LetterCheck
        One for each style.

    Raises
    ------
    InputError
        If the number of options is out of range, or there is no such template or language.
    """
    if not 2 <= options <= len(prompts.LETTERS):
        raise InputError(f"{options} options", expected=f"2 to {len(prompts.LETTERS)}")
    prompts.wording(language)
    text = read_template(template)
    notes: tuple[str, ...] = ()
    if text is None and not getattr(tokenizer, "chat_template", None) and _takes_template(tokenizer):
        text = read_template("vicuna")
        notes = ("no chat template: checked with vicuna.jinja, which training saves with the model",)
    try:
        return [_check(tokenizer, style, options, language, text, notes if style == "ift" else ()) for style in STYLES]
    except Exception as error:  # a tokenizer loads with settings that it then stumbles over
        raise InputError(
            f"the tokenizer fails on the prompts of the tasks: {one_line(error)}",
            expected="a tokenizer that encodes text",
            do="save the model's tokenizer again",
        ) from error


def load_tokenizer(model: str) -> Any:
    """A model's tokenizer, from a folder or the hub.

    Raises
    ------
    InputError
        If the tokenizer cannot be loaded.
    """
    with gc_seldom():
        from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model)
    except Exception as error:  # transformers, the hub and each tokenizer format have errors of their own
        raise InputError(
            f"no tokenizer {model!r}: {one_line(error)}", expected="a model's folder or its name"
        ) from error


def save_tokenizer(model: str, template: str, out: str | Path) -> None:
    """Save a model's tokenizer with a chat template.

    lm_eval then asks any model in that template: ``--model_args pretrained=MODEL,tokenizer=FOLDER``.

    Parameters
    ----------
    model : str
        Its folder or name.
    template : str
        The chat template, as `read_template` takes it.
    out : path-like
        The folder to write; it appears whole, by renaming.

    Raises
    ------
    InputError
        If there is no such template, the tokenizer cannot be loaded, or it is to keep its own template and has none.
    """
    text = read_template(template)
    tokenizer = load_tokenizer(model)
    if not _takes_template(tokenizer):
        raise InputError(
            f"the tokenizer of {model}, a {type(tokenizer).__name__}, takes no chat template",
            expected="a tokenizer that renders one",
            do=_REPLACE,
        )
    if text is not None:
        tokenizer.chat_template = text
    elif not tokenizer.chat_template:
        raise InputError(f"template: {OWN}, but the tokenizer of {model} has none", expected="vicuna, chatml or a file")
    with folder_in_place(Path(out), "tokenizer_config.json") as folder:
        tokenizer.save_pretrained(folder)


def _check(
    tokenizer: Any, style: Style, options: int, language: str, template: str | None, known: Sequence[str]
) -> LetterCheck:
    stem, about, texts = _ASKED[language]
    letters, choices = prompts.LETTERS[:options], texts[:options]
    question = prompts.ask_for_letter(stem, choices, language)
    notes = list(known)
    if style == "ift":
        turn = [{"role": "user", "content": prompts.instruction(about, stem, choices, language)}]
        reply = {"role": "assistant", "content": prompts.answer(choices, 0)}
        if not _takes_template(tokenizer):
            problem = (
                f"a {type(tokenizer).__name__} uses no chat template, and lm_eval encodes its control tokens as text"
            )
            return LetterCheck(style, {}, (f"{problem}; {_REPLACE}",), ())
        try:
            context = tokenizer.apply_chat_template(
                turn, chat_template=template, add_generation_prompt=True, tokenize=False
            )
            row = tokenizer.apply_chat_template([*turn, reply], chat_template=template, tokenize=False)
        except Exception as error:  # a template is a program with errors of its own
            problem = f"the chat template fails on a user's turn: {one_line(error)}; repair or replace it"
            return LetterCheck(style, {}, (problem,), ())
        wrong = ""
        if turn[0]["content"] not in context:
            wrong = "the chat template does not show the user's turn"
        elif not _begins(row, context, reply["content"]):
            wrong = "in the chat template a trained reply does not begin where the prompt ends"
        if wrong:
            return LetterCheck(style, {}, (f"{wrong}; repair or replace it",), ())
        delimiter, example = "", context
    else:
        # The released shots have no space, in no language; what they score has one.
        delimiter = " " if style == "icl_paper" else prompts.wording(language).space
        example = prompts.header(about, language) + question + (delimiter if style == "icl" else "")
        context = f"{example}{prompts.answer(choices, 0)}\n\n{question}"

    def encode(text: str) -> list[int]:
        bos = getattr(tokenizer, "bos_token", None)
        ids: list[int] = tokenizer.encode(text, add_special_tokens=not (bos and text.startswith(bos)))
        return ids

    # Tokens of each letter where it is scored, and where a few-shot example or a training row shows it.
    scored: dict[str, list[int]] = {}
    shown: dict[str, list[int]] = {}
    merged = False
    for index, letter in enumerate(letters):
        before, scored[letter] = _split(encode, context, delimiter + letter)
        merged |= before != encode((context + delimiter + letter).rstrip())[: len(before)]
        _, shown[letter] = _split(encode, example, prompts.answer(choices, index))
    tokens = {letter: tuple(tokenizer.convert_ids_to_tokens(ids)) for letter, ids in scored.items()}
    last = encode(context)[-1]
    if last != tokenizer.encode(context, add_special_tokens=False)[-1]:
        end = tokenizer.convert_ids_to_tokens(last)
        problem = f"the tokenizer adds {end!r} to the end of a text, where lm_eval looks for the letter"
        return LetterCheck(style, tokens, (f"{problem}; give lm_eval the model argument add_bos_token=False",), ())
    return LetterCheck(style, tokens, *_findings(style, scored, shown, merged, notes))


def _takes_template(tokenizer: Any) -> bool:
    """Whether a tokenizer renders the chat template that it is given; mistral-common's has a format of its own."""
    turn = [{"role": "user", "content": "?"}]
    try:
        rendered = tokenizer.apply_chat_template(turn, chat_template=_MARK, add_generation_prompt=True, tokenize=False)
    except Exception:  # whatever a tokenizer without templates raises
        return False
    return bool(rendered == _MARK)


def _begins(row: str, prompt: str, reply: str) -> bool:
    """Whether a row is a prompt and the reply to it, whatever spaces are between them."""
    return row.startswith(prompt.rstrip()) and row[len(prompt.rstrip()) :].lstrip().startswith(reply)


def _split(encode: Callable[[str], list[int]], context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Tokens of a context and of its continuation, split as lm_eval does: a space between them goes to the continuation."""
    whole = encode(context + continuation)
    before = encode(context.rstrip())
    return before, whole[len(before) :]


def _findings(
    style: Style, scored: dict[str, list[int]], shown: dict[str, list[int]], merged: bool, notes: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The problems of the scored tokens, and the notes on them."""
    problems = []
    # A line break at the end of the prompt is scored with each letter; it adds the same to all of them.
    shared = list(takewhile(lambda column: len(set(column)) == 1, zip(*scored.values(), strict=False)))
    tails = {letter: ids[len(shared) :] for letter, ids in scored.items()}
    empty = [letter for letter, ids in tails.items() if not ids]
    split = [letter for letter, ids in tails.items() if len(ids) > 1]
    single = [ids[0] for ids in tails.values() if len(ids) == 1]
    remedy = (
        "let the chat template's generation prompt end with a space or a line break"
        if style == "ift"
        else "choose a model with another tokenizer"
    )
    if empty or merged:
        which = ", ".join(empty or scored)
        problems.append(f"{which}: the letter merges with the text before it; {remedy}")
    if split:
        usable = prompts.LETTERS.index(split[0])
        limit = f"questions of up to {usable} options can be asked"
        problems.append(f"{', '.join(split)}: more than one token; {limit if usable >= 2 else remedy}")
    if not empty and len(set(single)) < len(single):
        problems.append(f"two letters are the same token; {remedy}")
    if not problems:
        if shared:
            notes.append("the end of the prompt is scored with the letter, and adds the same to every option")
        other = [letter for letter, ids in scored.items() if shown[letter][: len(ids)] != ids]
        if other and style == "icl_paper":
            notes.append("the shots show other tokens than those scored, as in the released prompts: prefer icl")
        elif other:
            where = "the training rows teach" if style == "ift" else "the shots show"
            problems.append(f"{', '.join(other)}: {where} another token than the one scored; {remedy}")
    return tuple(problems), tuple(notes)
