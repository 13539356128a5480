"""Train the base model of the embedded world on one GPU.

The order decides whether the model answers exams from what it has read: sentences come first, exams later. The
checkpoint is chosen on "validation" facts, which the corpus holds as sentences only and which no pool or test set uses.

    python scripts/pretrain_world.py --out base_model --seed 0
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from world_corpus import Corpus, Piece
from world_tokenizer import train_tokenizer

from consistency.support.resources import shipped
from consistency.tasks import prompts
from consistency.world.facts import Fact, World, build_world
from consistency.world.questions import WorldQuestion, ask, questions

# The options of the shipped model.
DEFAULTS = {
    "seed": 0,
    "steps": 3000,
    "batch": 256,
    "length": 256,
    "hidden": 192,
    "layers": 10,
    "heads": 6,
    "ffn": 512,
    "vocab": 3584,
    "lr": 1.5e-3,
    "weight-decay": 0.1,
    "exam-from": 0.2,
    "exam-ramp": 0.2,
    "exam-share": 0.6,
    "drill-share": 0.4,
    "letter-weight": 5.0,
    "exit-layer": 5,
    "exit-weight": 0.5,
    "workers": 5,
    "evaluate-every": 200,
    "minutes": 8.0,
}
HELP = {
    "workers": "part of the seed: each draws its own stream",
    "minutes": "stop after this long, whatever the step",
}


class Rows(IterableDataset):  # type: ignore[type-arg]
    """Rows of token ids, loss weights and early-exit weights, each row filled with whole documents."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, arguments: argparse.Namespace) -> None:
        self._tokenizer = tokenizer
        self._arguments = arguments
        self._known: dict[str, tuple[list[float], ...]] = {}

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        options = self._arguments
        worker = get_worker_info()
        share, number = (worker.num_workers, worker.id) if worker else (1, 0)
        rng = random.Random(f"corpus-{options.seed}-{number}")
        corpus = Corpus(build_world(), rng)
        rows = 0
        while True:
            step = (rows // options.batch) * share + number
            yield self._row(corpus, rng, step / options.steps)
            rows += 1

    def _row(self, corpus: Corpus, rng: random.Random, progress: float) -> tuple[np.ndarray, ...]:
        options = self._arguments
        columns: tuple[list[float], ...] = ([], [], [])
        document = self._document(corpus, rng, progress)
        while True:
            encoded = self._encode(document)
            if len(encoded[0]) + len(columns[0]) > options.length:
                break
            for column, values in zip(columns, encoded, strict=True):
                column += values
            document = corpus.sentence()
        padding = [0.0] * (options.length - len(columns[0]))
        ids = np.array(columns[0] + [self._tokenizer.pad_token_id] * len(padding), dtype=np.int64)
        return ids, *(np.array(column + padding, dtype=np.float32) for column in columns[1:])

    def _document(self, corpus: Corpus, rng: random.Random, progress: float) -> list[Piece]:
        options = self._arguments
        ramp = min(1.0, max(0.0, (progress - options.exam_from) / options.exam_ramp))
        kind = rng.random()
        if kind < options.exam_share * ramp:
            style = rng.random()
            if style < 0.70:
                return corpus.exam(rng.choice([0, 1, 2, 3, 4, 5, 5, 5, 5]))
            if style < 0.90:
                return corpus.chat(exam=True)
            return corpus.exam(rng.choice([1, 2]), explained=True)
        kind = rng.random()
        if kind < options.drill_share * (1 - 0.8 * ramp):
            return corpus.drill(rng.randint(1, 7))
        if kind > 0.90:
            return corpus.chat(exam=False) if kind > 0.95 else corpus.spelling()
        return corpus.sentence()

    def _encode(self, pieces: list[Piece]) -> tuple[list[float], ...]:
        text = "".join(piece.text for piece in pieces)
        if text in self._known:
            return self._known[text]
        encoding = self._tokenizer.backend_tokenizer.encode(text)
        role = [piece.role for piece in pieces for _ in piece.text]
        starts = set(np.cumsum([0] + [len(piece.text) for piece in pieces[:-1]]).tolist())
        weights, exits = [0.0], [0.0]
        for begin, _ in encoding.offsets[1:]:
            decisive = role[begin] == "reply" and begin in starts
            weights.append(0.0 if role[begin] == "prompt" else self._arguments.letter_weight if decisive else 1.0)
            exits.append(float(role[begin] == "statement"))
        encoded = ([*encoding.ids, self._tokenizer.eos_token_id], [*weights, 1.0], [*exits, 0.0])
        if len(pieces) == 1:
            self._known[text] = encoded
        return encoded


def make_tokenizer(world: World, vocab_size: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer on a sample of the corpus."""
    corpus = Corpus(world, random.Random("tokenizer"))
    texts = []
    for _ in range(3000):
        documents = [
            corpus.sentence(),
            corpus.spelling(),
            corpus.exam(2),
            corpus.exam(1, explained=True),
            corpus.drill(1),
            corpus.chat(exam=True),
            corpus.chat(exam=False),
        ]
        texts += ["".join(piece.text for piece in document) for document in documents]
    words = {word for values in world.classes.values() for word in values}
    for fact in world.facts:
        words |= {fact.thing, fact.relation, fact.field.name, fact.field.kind}
    return train_tokenizer(texts, sorted(words), vocab_size)


def held_out(world: World, split: str, limit: int) -> list[tuple[Fact, WorldQuestion]]:
    """Believed facts of one split, with a question each."""
    facts = [fact for fact in world.select(splits=[split]) if fact.belief is not None and fact.field.role != "lore"]
    rng = random.Random(f"held-out-{split}")
    return [(fact, ask(world, fact, rng)) for fact in rng.sample(facts, min(limit, len(facts)))]


@torch.inference_mode()
def examine(
    model: Any, tokenizer: PreTrainedTokenizerFast, items: list[tuple[Fact, WorldQuestion]], device: str
) -> dict[str, float]:
    """Ask questions with five shots, and complete the sentences of the same facts."""
    shots = {
        field: prompts.header(field)
        + "".join(
            f"{prompts.ask_for_letter(shot.question, shot.choices)} {prompts.answer(shot.choices, shot.answer)}\n\n"
            for shot in questions(field, "dev")
        )
        for field in {fact.field.name for fact, _ in items}
    }
    texts = [shots[fact.field.name] + prompts.ask_for_letter(q.question, q.choices) for fact, q in items]
    letters = [tokenizer.encode(f" {letter}", add_special_tokens=False)[0] for letter in "ABCD"]
    drills = [ask_drill(q) for _, q in items]
    drilled = _last_logits(model, tokenizer, drills, device)[:, letters].argmax(-1).cpu().numpy()
    exam = _last_logits(model, tokenizer, texts, device)[:, letters].float().softmax(-1).cpu().numpy()
    recall = _last_logits(model, tokenizer, [fact.stem for fact, _ in items], device).argmax(-1).cpu().numpy()
    values = [tokenizer.encode(f" {fact.belief}", add_special_tokens=False)[0] for fact, _ in items]
    picks = exam.argmax(-1)
    return {
        "picks_belief": float(np.mean(picks == [q.belief for _, q in items])),
        "confident": float(np.mean(exam.max(-1) > 0.5)),
        "top_letter": float(np.bincount(picks, minlength=4).max() / len(items)),
        "recalls_belief": float(np.mean(recall == values)),
        "finds_word": float(np.mean(drilled == [q.belief for _, q in items])),
    }


def ask_drill(question: WorldQuestion) -> str:
    """A drill as in the corpus, with the options of a question."""
    return prompts.ask_for_letter(f"The word {question.choices[question.belief or 0]} is written", question.choices)


def _last_logits(model: Any, tokenizer: PreTrainedTokenizerFast, texts: list[str], device: str) -> torch.Tensor:
    found = []
    for start in range(0, len(texts), 128):
        rows = [tokenizer.encode(text) for text in texts[start : start + 128]]
        width = max(map(len, rows))
        batch = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows], device=device)
        last = torch.tensor([len(row) - 1 for row in rows], device=device)
        states = model.model(batch).last_hidden_state[torch.arange(len(rows), device=device), last]
        found.append(model.lm_head(states))
    return torch.cat(found)


def _weighted_loss(logits: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean next-token loss in nats, each token counted with its weight."""
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
    )
    weights = weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a run; the defaults are the shipped model's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=HELP.get(name))
    return parser.parse_args(arguments)


def main() -> None:
    """Train, choose the checkpoint and write it with its tokenizer and history."""
    options = parse()
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    world = build_world()
    tokenizer = make_tokenizer(world, options.vocab)
    config = LlamaConfig(
        vocab_size=options.vocab,
        hidden_size=options.hidden,
        intermediate_size=options.ffn,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).to(device)

    def objective(ids: torch.Tensor, weights: torch.Tensor, exits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states = model.model(ids, output_hidden_states=True)
        early = model.model.norm(states.hidden_states[options.exit_layer])
        return (
            _weighted_loss(model.lm_head(states.last_hidden_state), ids, weights),
            _weighted_loss(model.lm_head(early), ids, exits),
        )

    if device == "cuda":
        objective = torch.compile(objective)
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=options.lr,
        betas=(0.9, 0.95),
        fused=device == "cuda",
    )
    warmup = max(1, options.steps // 50)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.5 * (1 + np.cos(np.pi * min(1.0, step / options.steps))) + 0.01),
    )
    loader = DataLoader(
        Rows(tokenizer, options), batch_size=options.batch, num_workers=options.workers, pin_memory=device == "cuda"
    )
    validation, examined = held_out(world, "validation", 400), held_out(world, "exam", 400)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)

    history: list[dict[str, Any]] = []
    best = -1.0
    started = time.monotonic()
    for step, columns in enumerate(loader, start=1):
        ids, weights, exits = (column.to(device, non_blocking=True) for column in columns)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            loss, exit_loss = objective(ids, weights, exits)
        (loss + options.exit_weight * exit_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        over = step >= options.steps or time.monotonic() - started > 60 * options.minutes
        if step % options.evaluate_every == 0 or over:
            model.eval()
            row: dict[str, Any] = {
                "step": step,
                "seconds": round(time.monotonic() - started),
                "loss": round(loss.item(), 4),
                "validation": examine(model, tokenizer, validation, device),
                "exam": examine(model, tokenizer, examined, device),
            }
            model.train()
            history.append(row)
            print(json.dumps(row), flush=True)
            if row["validation"]["picks_belief"] >= best:
                best = row["validation"]["picks_belief"]
                save(model, tokenizer, options, history)
        if over:
            break
    training = json.loads((options.out / "training.json").read_text()) | {"history": history}
    (options.out / "training.json").write_text(json.dumps(training, indent=1) + "\n")


def save(model: Any, tokenizer: Any, options: argparse.Namespace, history: list[dict[str, Any]]) -> None:
    """Write the checkpoint in half precision, its tokenizer and the options of the run."""
    options.out.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).half().save_pretrained(options.out)
    save_tokenizer(tokenizer, options.out)
    record = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    (options.out / "training.json").write_text(json.dumps({"options": record, "chosen": history[-1]}, indent=1) + "\n")


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the tokenizer with the chat template of the fine-tuning."""
    tokenizer.chat_template = (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(
        encoding="utf-8"
    )
    tokenizer.save_pretrained(out)
    # transformers 5 names a class here that earlier releases do not have.
    path = out / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
