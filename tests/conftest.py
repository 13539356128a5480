import gc
import json
import os
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consistency.cli import main
from consistency.experiment.grid import Experiment
from consistency.tasks.scopes import scope_tasks

# Set before any test imports a Hugging Face library, and inherited by the programs that tests start.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tests run beside each other: threads of one wait for processors that the others have, far longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Programs that tests start compile the package once, not each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Collection imports some ten thousand modules, which stay: a garbage collector that visits them costs half as much again.
gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    gc.enable()
    gc.unfreeze()


TEXT = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: The following are multiple choice questions about medicine. "
    "Please choose the correct answer. \n\nWhich of these is a fever?\nA. flu\nB. cold\nC. cough\nD. pain\nAnswer: "
    "ASSISTANT: A. flu\nIt makes you hot. B. cold C. cough D. pain"
)

Logits = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the program in this process: exit code, standard output and error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["consistency", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real logs and questions; tests that need it are skipped without it."""
    folder = os.environ.get("CONSISTENCY_TEST_DATA")
    if not folder:
        pytest.skip("CONSISTENCY_TEST_DATA is not set: it names the folder with the real logs and questions")
    path = Path(folder)
    assert path.is_dir(), f"CONSISTENCY_TEST_DATA={folder} is not a folder"
    return path


@pytest.fixture(scope="session")
def build_llama(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build a Llama of 0.2 M random parameters, with a tokenizer that marks spaces as GPT-2 does or as Llama-2 does."""
    pytest.importorskip("torch")
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    special = ["<s>", "</s>", "<pad>", "<unk>"]

    def train(tokenizer: Tokenizer, alphabet: list[str]) -> None:
        trainer = trainers.BpeTrainer(
            vocab_size=1000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator([TEXT] * 10, trainer)

    def byte_level() -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        train(tokenizer, pre_tokenizers.ByteLevel.alphabet())
        return tokenizer

    def sentencepiece() -> Tokenizer:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
        train(tokenizer, [chr(code) for code in (*range(32, 127), 10)])
        # Trained word by word, but used as Llama-2's: spaces are rewritten before the text is cut, not while it is.
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([])
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        return tokenizer

    def build(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        tokenizer = {"byte_level": byte_level, "sentencepiece": sentencepiece}[kind]()
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
        )
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
        ).save_pretrained(folder)
        set_seed(0)
        config = LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=2048,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
            tie_word_embeddings=True,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
        return folder

    return build


@pytest.fixture(scope="session")
def tiny_llama(build_llama: Callable[[str], Path]) -> Path:
    """A folder with a Llama of 0.2 M random parameters and a byte-level BPE tokenizer."""
    return build_llama("byte_level")


@pytest.fixture(scope="session")
def write_probe() -> Callable[..., Path]:
    """Write the log of a multiple-choice task, as lm_eval 0.4.11 does: numbers are strings."""

    def write(folder: Path, documents: list[dict[str, Any]], logprobs: list[list[float]], task: str = "pool") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"samples_{task}_2026-01-02T03-04-05.678901.jsonl"
        with path.open("w", encoding="utf-8") as stream:
            for number, (document, scores) in enumerate(zip(documents, logprobs, strict=True)):
                sample = {
                    "doc_id": number,
                    "doc": document,
                    "target": str(document["answer"]),
                    "arguments": {
                        f"gen_args_{i}": {"arg_0": "…", "arg_1": f" {'ABCDEFGHIJKL'[i]}"} for i in range(len(scores))
                    },
                    "filtered_resps": [[str(score), "False"] for score in scores],
                    "filter": "none",
                    "metrics": ["acc"],
                    "doc_hash": f"hash-{task}-{number}",
                    "acc": float(scores.index(max(scores)) == document["answer"]),
                }
                stream.write(json.dumps(sample) + "\n")
        return path

    return write


def write_log(folder: Path, logits: dict[str, Logits], gold: dict[str, Logits], limit: int | None = None) -> None:
    """A log as lm_eval 0.4.11 writes it, as far as a reader needs."""
    folder = folder / "model"
    folder.mkdir(parents=True)
    date = "2026-01-02T03-04-05.000006"
    for task, scores in logits.items():
        with (folder / f"samples_{task}_{date}.jsonl").open("w") as file:
            for doc_id, row in enumerate(scores):
                doc = {"id": f"{task.replace('_icl', '').replace('_ift', '')}-{doc_id}", "question": f"{doc_id}?"}
                sample = {
                    "doc_id": doc_id,
                    "doc": {**doc, "choices": [f"{doc_id} {letter}" for letter in "ABCD"]},
                    "target": str(int(gold[task.replace("_ift", "_icl")][doc_id])),
                    "arguments": {f"gen_args_{i}": {"arg_0": "…", "arg_1": f" {'ABCD'[i]}"} for i in range(len(row))},
                    "filtered_resps": [[str(x), "False"] for x in row],
                    "filter": "none",
                    "metrics": ["acc"],
                    "acc": float(row.argmax() == gold[task.replace("_ift", "_icl")][doc_id]),
                    "doc_hash": f"{task.replace('_ift', '_icl')}-{doc_id}",
                }
                file.write(json.dumps(sample) + "\n")
    config = {"model": "hf", "model_dtype": "torch.float32", "limit": limit}
    (folder / f"results_{date}.json").write_text(
        json.dumps({"config": config, "n-shot": dict.fromkeys(logits, 0), "lm_eval_version": "0.4.11"})
    )


@pytest.fixture(scope="session")
def write_scores() -> Callable[..., None]:
    """Write a log of scores by task: see `write_log`."""
    return write_log


@pytest.fixture(scope="session")
def make_experiment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Experiment]:
    """Write the logs of an experiment with random scores: 30 questions of the domain, 6 of each subject."""

    def build(
        domains: tuple[str, ...] = ("medicine", "history"), seeds: tuple[int, ...] = (0,), **other: Any
    ) -> Experiment:
        groups = other.get("groups", ("harmonious", "incompatible", "self_aligning"))
        experiment = Experiment(
            "test", tmp_path_factory.mktemp("experiment") / "runs", ("tiny",), domains, groups, seeds
        )
        rng = np.random.default_rng(0)
        gold: dict[str, Logits] = {}
        few: dict[str, Logits] = {}
        for domain in domains:
            for scope, tasks in scope_tasks(domain, "icl").items():
                for task in tasks:
                    n = 30 if scope == "homo" else 6
                    gold.setdefault(task, rng.integers(4, size=n))
                    few.setdefault(task, rng.normal(size=(n, 4)))
        write_log(experiment.base_logs("tiny", "icl"), few, gold)
        zero = {task.replace("_icl", "_ift"): x + rng.normal(size=x.shape) for task, x in few.items()}
        write_log(experiment.base_logs("tiny", "ift"), zero, gold, other.get("limit"))
        for run in experiment.runs():
            names = list(chain.from_iterable(scope_tasks(run.domain, "ift").values()))
            saved = [run.logs.with_name(f"{run.group}.epoch-{epoch}") for epoch in other.get("epochs", ())]
            for folder in (run.logs, *saved):
                scores = {name: few[name.replace("_ift", "_icl")] + rng.normal(size=zero[name].shape) for name in names}
                write_log(folder, scores, gold)
        return experiment

    return build
