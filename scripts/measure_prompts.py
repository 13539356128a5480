"""What each difference between the tasks' prompts or arithmetic and the released ones does to a model's answers.

    python scripts/measure_prompts.py MODEL --data FOLDER --task engineering --limit 100

Every variant asks the same questions; the letters are scored from one forward pass, in float32 but for one variant.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.tasks import prompts
from consistency.tasks.harness import shuffled
from consistency.tasks.mmlu import SUBJECTS, display_name
from consistency.tasks.questions import Question
from consistency.tasks.sources import benchmark_questions, domain_questions
from consistency.world.fields import DOMAINS

SHOTS = 5


@dataclass(frozen=True)
class Variant:
    """One way to ask: the context, and the text scored for a letter."""

    name: str
    context: Callable[[Question], str]
    scored: Callable[[str], str]
    # Encode the context with the space at its end, as the released code does; otherwise it goes with the letter.
    own_space: bool = False
    bfloat16: bool = False


def variants(subject: str, dev: Sequence[Question], bos: str) -> list[Variant]:
    """The main variant of each style, followed by one change at a time."""

    def few_shot(question: Question, space: str = " ", header: str = subject, start: str = "") -> str:
        shots = [
            f"{prompts.ask_for_letter(shot.question, shot.choices)}{space}{prompts.answer(shot.choices, shot.answer)}\n\n"
            for shot in shuffled(dev)[:SHOTS]
        ]
        asked = prompts.ask_for_letter(question.question, question.choices)
        return start + prompts.header(header) + "".join(shots) + asked

    def tuned(question: Question) -> str:
        turn = prompts.instruction(subject, question.question, question.choices)
        return f"{prompts.VICUNA_SYSTEM} USER: {turn} ASSISTANT: "

    def spaced(letter: str) -> str:
        return f" {letter}"

    found = [
        Variant("icl", few_shot, spaced),
        Variant("… no space after the shots' Answer:", lambda q: few_shot(q, space=""), spaced),
        Variant("… no space anywhere", lambda q: few_shot(q, space=""), str),
        Variant("… two spaces in the header", lambda q: few_shot(q, header=f" {subject}"), spaced),
        Variant("… in bfloat16", few_shot, spaced, bfloat16=True),
    ]
    if bos:
        found.append(Variant(f"… {bos} in front", lambda q: few_shot(q, start=bos), spaced))
    return [
        *found,
        Variant("ift, Vicuna", tuned, str),
        Variant("… the last space as a token of its own", tuned, str, own_space=True),
        Variant("… in bfloat16", tuned, str, bfloat16=True),
    ]


def score(
    model: Any, tokenizer: Any, variant: Variant, questions: Sequence[Question]
) -> list[NDArray[np.float64] | None]:
    """Log-probabilities of each question's letters in nats; None where a letter is not one token of its own."""
    import torch

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    asked: list[tuple[list[int], list[list[int]]]] = []
    for question in questions:
        text = variant.context(question)
        context = encode(text if variant.own_space else text.rstrip())
        letters = prompts.LETTERS[: len(question.choices)]
        if variant.own_space:
            asked.append((context, [encode(letter) for letter in letters]))
        else:
            asked.append((context, [encode(text + variant.scored(letter))[len(context) :] for letter in letters]))
    # The shots are the same for all questions: the model reads them once.
    shared = 0
    while len({tuple(context[: shared + 1]) for context, _ in asked}) == 1 and all(
        shared + 1 < len(context) for context, _ in asked
    ):
        shared += 1
    found: list[NDArray[np.float64] | None] = []
    with torch.inference_mode():
        cache = model(torch.tensor([asked[0][0][:shared]], device=model.device), use_cache=True).past_key_values
        for context, scored in asked:
            if not all(len(ids) == 1 for ids in scored):
                found.append(None)
                continue
            rest = torch.tensor([context[shared:]], device=model.device)
            logits = model(rest, past_key_values=copy.deepcopy(cache), logits_to_keep=1).logits[0, -1].double()
            found.append(logits.log_softmax(-1)[[ids[0] for ids in scored]].cpu().numpy())
    return found


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or name of a model")
    parser.add_argument("--data", default="", help="folder of the questions; default: CONSISTENCY_DATA, else public")
    parser.add_argument("--task", default="engineering", choices=[*DOMAINS, *SUBJECTS], metavar="DOMAIN_OR_SUBJECT")
    parser.add_argument("--limit", type=int, default=100, help="number of questions")
    arguments = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    if torch.cuda.is_available():
        model = model.cuda()
    rounded = copy.deepcopy(model).to(torch.bfloat16)
    if arguments.task in DOMAINS:
        dev, test = (domain_questions(arguments.task, split, arguments.data) for split in ("dev", "test"))
    else:
        dev, test = (benchmark_questions("mmlu", arguments.task, split, arguments.data) for split in ("dev", "test"))
    questions = test[: arguments.limit]

    print(f"{len(questions)} questions of {arguments.task}\n")
    print(
        "| prompt | letters' probability | accuracy | answers A | top option as in the first | two options tie "
        "| questions scored |"
    )
    print("|---|---|---|---|---|---|---|")
    reference: dict[int, int] = {}
    for variant in variants(display_name(arguments.task), dev, tokenizer.bos_token or ""):
        scores = score(rounded if variant.bfloat16 else model, tokenizer, variant, questions)
        kept = [(n, values) for n, values in enumerate(scores) if values is not None]
        if not variant.name.startswith("…"):
            reference = {n: int(values.argmax()) for n, values in kept}
        if not kept:
            print(f"| {variant.name} | – | – | – | – | – | 0 |")
            continue
        tops = {n: int(values.argmax()) for n, values in kept}
        figures = [
            np.mean([np.exp(values).sum() for _, values in kept]),
            np.mean([tops[n] == questions[n].answer for n in tops]),
            np.mean([top == 0 for top in tops.values()]),
            np.mean([tops[n] == reference.get(n) for n in tops]),
            np.mean([len(np.unique(values)) < len(values) for _, values in kept]),
        ]
        print(f"| {variant.name} | {' | '.join(f'{figure:.3f}' for figure in figures)} | {len(kept)} |", flush=True)


if __name__ == "__main__":
    main()
