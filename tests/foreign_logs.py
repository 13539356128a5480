"""One set of answers, written as each program writes it: small logs of every format that is read.

The fields and names are those of the programs' own sources, which docs/formats.md names with their versions.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LETTERS = "ABCD"
DATE = "2026-03-04T05-06-07.000001"
SUBJECT = "The following are multiple choice questions (with answers) about history.\n\n"
_TOWNS = ("Paris", "Rome", "Oslo", "Lima", "Quito", "Accra", "Hanoi", "Cairo")


@dataclass(frozen=True)
class Asked:
    """A question with four options and the log-probability that a model gives the letter of each."""

    question: str
    options: tuple[str, ...]
    gold: int
    logprobs: tuple[float, ...]

    @property
    def chosen(self) -> int:
        return int(np.argmax(self.logprobs))

    @property
    def right(self) -> bool:
        return self.chosen == self.gold

    @property
    def prompt(self) -> str:
        listed = "".join(f"\n{letter}. {text}" for letter, text in zip(LETTERS, self.options, strict=True))
        return f"{SUBJECT}{self.question}{listed}\nAnswer:"


def answers(side: int, n: int = 60) -> list[Asked]:
    """The answers of the model of one side: of the same questions, some of the second's are others than the first's."""
    rng = np.random.default_rng(7)
    gold = rng.integers(4, size=n)
    scores = rng.normal(size=(n, 4)) + 1.2 * np.eye(4)[gold]
    moved = rng.normal(size=(n, 4))
    if side:
        scores = scores + 1.1 * moved
    logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True) - 0.05
    found = []
    for row in range(n):
        towns = [_TOWNS[(row + step) % len(_TOWNS)] for step in range(4)]
        found.append(
            Asked(
                f"Which town is number {row} of the list, and not “{_TOWNS[(row + 5) % 8]}”?",
                tuple(towns),
                int(gold[row]),
                tuple(round(float(value), 6) for value in logs[row]),
            )
        )
    return found


# lm_eval


def samples(asked: list[Asked]) -> list[dict[str, Any]]:
    """Rows of lm_eval's samples."""
    rows = []
    for number, item in enumerate(asked):
        arguments = {
            f"gen_args_{place}": {"arg_0": item.prompt, "arg_1": f" {letter}"} for place, letter in enumerate(LETTERS)
        }
        rows.append(
            {
                "doc_id": number,
                "doc": {
                    "question": item.question,
                    "subject": "history",
                    "choices": list(item.options),
                    "answer": item.gold,
                },
                "target": str(item.gold),
                "arguments": arguments,
                "resps": [[[str(value), "False"]] for value in item.logprobs],
                "filtered_resps": [[str(value), "False"] for value in item.logprobs],
                "filter": "none",
                "metrics": ["acc"],
                "acc": float(item.right),
            }
        )
    return rows


def write_lm_eval(folder: Path, side: int, asked: list[Asked]) -> Path:
    """`lm_eval --log_samples`, and the same in a data set of the Hub."""
    place = folder / "org__model"
    place.mkdir(parents=True)
    lines(place / f"samples_towns_{DATE}.jsonl", samples(asked))
    results = {
        "model_name": f"org/model-{side}",
        "lm_eval_version": "0.4.11",
        "n-shot": {"towns": 0},
        "chat_template": None,
    }
    (place / f"results_{DATE}.json").write_text(json.dumps(results))
    return folder


def write_samples_parquet(folder: Path, side: int, asked: list[Asked]) -> Path:
    """The samples as the Hub converts them."""
    place = folder / "org__model__towns" / "latest"
    place.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(samples(asked)), place / "0000.parquet", row_group_size=25)
    return folder


# lighteval


def write_lighteval(folder: Path, side: int, asked: list[Asked]) -> Path:
    """lighteval from 0.11 on, `--save-details`."""
    rows = [
        {
            "doc": {
                "query": item.prompt,
                "choices": [f" {letter}" for letter in LETTERS],
                "gold_index": item.gold,
                "instruction": SUBJECT,
                "task_name": "mmlu:history|0",
            },
            "metric": {"acc": float(item.right)},
            "model_response": {
                "input": item.prompt,
                "input_tokens": [1, 2, 3],
                "text": [],
                "logprobs": list(item.logprobs),
                "argmax_logits_eq_gold": [False] * 4,
                "unconditioned_logprobs": None,
            },
        }
        for item in asked
    ]
    name = f"org/model-{side}"
    place = folder / "details" / name / DATE
    place.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), place / f"details_mmlu:history|0_{DATE}.parquet", row_group_size=25)
    results = folder / "results" / name
    results.mkdir(parents=True)
    general = {
        "model_name": name,
        "lighteval_sha": "3fd15266",
        "max_samples": None,
        "model_config": {"dtype": "bfloat16"},
    }
    accuracy = sum(item.right for item in asked) / len(asked)
    content = {"config_general": general, "results": {"mmlu:history|0": {"acc": accuracy, "acc_stderr": 0.05}}}
    (results / f"results_{DATE}.json").write_text(json.dumps(content))
    return folder


def write_leaderboard(folder: Path, side: int, asked: list[Asked]) -> Path:
    """Details of lighteval up to 0.10, as the first Open LLM Leaderboard published them: every column as a text."""
    rows = [
        {
            "example": item.prompt,
            "instruction": SUBJECT,
            "full_prompt": item.prompt,
            "num_effective_few_shots": "0",
            "num_asked_few_shots": "0",
            "predictions": str([[value, False] for value in item.logprobs]),
            "input_tokens": "[[1, 2, 3]]",
            "cont_tokens": "[[4]]",
            "truncated": "[0]",
            "padded": "[0]",
            "gold": "[]",
            "choices": str([f" {letter}" for letter in LETTERS]),
            "gold_index": str([item.gold]),
            "metrics": str({"acc": float(item.right)}),
        }
        for item in asked
    ]
    place = folder / DATE
    place.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), place / f"details_harness|hendrycksTest-history|0_{DATE}.parquet")
    return folder


# Inspect


def inspect_sample(number: int, item: Asked, *, with_logprobs: bool) -> dict[str, Any]:
    """A sample of Inspect's solver `multiple_choice`."""
    letter = LETTERS[item.chosen]
    written = ["ANSWER", ":", f" {letter}"]
    content = [{"token": token, "logprob": 0.0, "bytes": None, "top_logprobs": None} for token in written]
    top = sorted(zip(item.logprobs, LETTERS, strict=True), reverse=True)
    # The first letter is two tokens, whose probabilities together are that of the letter.
    content[-1]["top_logprobs"] = [
        {"token": f" {name}", "logprob": value + np.log(0.75), "bytes": None} for value, name in top
    ] + [{"token": name, "logprob": value + np.log(0.25), "bytes": None} for value, name in top]
    choice: dict[str, Any] = {
        "message": {"role": "assistant", "content": f"ANSWER: {letter}", "source": "generate"},
        "stop_reason": "stop",
    }
    if with_logprobs:
        choice["logprobs"] = {"content": content}
    return {
        "id": number,
        "epoch": 1,
        "input": item.question,
        "choices": list(item.options),
        "target": LETTERS[item.gold],
        "messages": [{"role": "user", "content": item.prompt}, choice["message"]],
        "output": {"model": "org/model", "choices": [choice], "completion": f"ANSWER: {letter}"},
        "scores": {
            "choice": {"value": "C" if item.right else "I", "answer": letter, "explanation": f"ANSWER: {letter}"}
        },
        "metadata": {},
        "events": [],
    }


def inspect_header(side: int, n: int) -> dict[str, Any]:
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "evals/towns",
            "task_version": 1,
            "model": f"hf/org/model-{side}",
            "created": "2026-03-04T05:06:07+00:00",
            "dataset": {"name": "towns", "samples": n},
            "config": {"epochs": 1},
            "packages": {"inspect_ai": "0.3.260"},
            "task_args": {},
            "model_generate_config": {},
        },
        "plan": {"name": "plan", "steps": [{"solver": "multiple_choice", "params": {}}]},
        "results": {"total_samples": n, "scores": [{"name": "choice", "scorer": "choice", "metrics": {}}]},
    }


def write_inspect_json(folder: Path, side: int, asked: list[Asked]) -> Path:
    """`inspect eval --log-format json`, without log-probabilities."""
    rows = [inspect_sample(number, item, with_logprobs=False) for number, item in enumerate(asked, 1)]
    file = folder / "2026-03-04T05-06-07+00-00_towns_x.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**inspect_header(side, len(asked)), "samples": rows}, indent=1))
    return folder


def write_inspect_eval(folder: Path, side: int, asked: list[Asked]) -> Path:
    """`inspect eval --logprobs --top-logprobs 20`: an archive packed with Zstandard, in two frames where an entry is long."""
    members = {
        f"samples/{number}_epoch_1.json": json.dumps(inspect_sample(number, item, with_logprobs=True)).encode()
        for number, item in enumerate(asked, 1)
    }
    members["header.json"] = json.dumps(inspect_header(side, len(asked))).encode()
    folder.mkdir(parents=True)
    (folder / "2026-03-04T05-06-07+00-00_towns_x.eval").write_bytes(zstd_archive(members))
    return folder


def zstd_archive(members: dict[str, bytes]) -> bytes:
    """An archive whose entries are packed with method 93, which zipfile does not write before Python 3.14."""
    codec = pa.Codec("zstd")
    packed = {
        name: b"".join(codec.compress(part, asbytes=True) for part in (content[:700], content[700:]) if part)
        for name, content in members.items()
    }
    # zipfile writes the packed bytes as they are; then the method and the sizes are put in.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in packed.items():
            archive.writestr(name, content)
    found = bytearray(buffer.getvalue())
    for mark, method, crc in ((b"PK\3\4", 8, 14), (b"PK\1\2", 10, 16)):
        place = -1
        for name in packed:
            place = found.index(mark, place + 1)
            struct.pack_into("<H", found, place + method, 93)
            struct.pack_into("<I", found, place + crc, zlib.crc32(members[name]))
            struct.pack_into("<I", found, place + crc + 8, len(members[name]))
    return bytes(found)


# The others


def write_every_eval_ever(folder: Path, side: int, asked: list[Asked]) -> Path:
    """Instance records as every_eval_ever's converter makes of lm_eval's samples."""
    rows = [
        {
            "schema_version": "0.3.0",
            "evaluation_id": "towns/1",
            "model_id": f"org/model-{side}",
            "evaluation_name": "towns",
            "sample_id": str(number),
            "sample_hash": "0" * 64,
            "interaction_type": "single_turn",
            "input": {"raw": item.prompt, "formatted": None, "reference": [str(item.gold)], "choices": list(LETTERS)},
            "output": {"raw": [LETTERS[item.chosen]]},
            "messages": None,
            "answer_attribution": [
                {
                    "turn_idx": 0,
                    "source": "output.raw",
                    "extracted_value": LETTERS[item.chosen],
                    "extraction_method": "none",
                    "is_terminal": True,
                }
            ],
            "evaluation": {"score": float(item.right), "is_correct": item.right},
            "metadata": {"filter": "none"},
        }
        for number, item in enumerate(asked)
    ]
    return lines(folder / "5f0c1d5e-6b0e-4a57-9d3e-000000000001_samples.jsonl", rows).parent


def write_nemo(folder: Path, side: int, asked: list[Asked]) -> Path:
    """A run of NeMo Evaluator."""
    rows = [
        {
            "problem_idx": number,
            "repeat": 0,
            "reward": float(item.right),
            "scorer_rewards": {},
            "prompt": item.prompt,
            "model_response": f"Answer: {LETTERS[item.chosen]}",
            "extracted_answer": LETTERS[item.chosen],
            "expected_answer": LETTERS[item.gold],
            "scoring_details": {"method": "multichoice_regex"},
            "metadata": {"question": item.question, "choices": list(item.options), "answer": LETTERS[item.gold]},
            "tokens": 12,
            "latency_ms": 3.5,
        }
        for number, item in enumerate(asked)
    ]
    file = lines(folder / "results.jsonl", rows)
    bundle = {
        "run_id": "eval-20260304T050607Z-towns",
        "sdk_version": "0.4.0",
        "timestamp": "2026-03-04T05:06:07+00:00",
        "config": {"model": f"org/model-{side}", "benchmark": "towns"},
        "benchmark": {"name": "towns", "samples": len(rows), "repeats": 1, "scores": {}},
    }
    file.with_name("eval-20260304T050607Z-towns.json").write_text(json.dumps(bundle))
    return folder


def write_lmms(folder: Path, side: int, asked: list[Asked]) -> Path:
    """`lmms_eval --log_samples` of a task of multiple choice, which is scored by losses."""
    rows = [
        {
            "doc_id": number,
            "target": str(item.gold),
            "filtered_resps": [[str(-value), "False"] for value in item.logprobs],
            "token_counts": [None] * 4,
            "doc_hash": f"{number:064x}",
            "acc": float(item.right),
            "input": item.prompt,
        }
        for number, item in enumerate(asked)
    ]
    file = lines(folder / "org__model" / "20260304_050607_samples_towns.jsonl", rows)
    results = {"model_name": f"org/model-{side}", "lmms_eval_version": "0.7.2", "n-shot": {"towns": 0}}
    file.with_name("20260304_050607_results.json").write_text(json.dumps(results))
    return folder


def write_plain(folder: Path, side: int, asked: list[Asked]) -> Path:
    """Plain lines with log-probabilities."""
    rows = [
        {
            "question": item.question,
            "choices": list(item.options),
            "gold": item.gold,
            "logprobs": list(item.logprobs),
            "task": "towns",
            "model": f"org/model-{side}",
            "shots": 0,
            "prompt": item.prompt,
        }
        for item in asked
    ]
    return lines(folder / "log.jsonl", rows)


def write_plain_answers(folder: Path, side: int, asked: list[Asked]) -> Path:
    """Plain lines with what was answered."""
    rows = [
        {
            "question": item.question,
            "choices": list(item.options),
            "gold": LETTERS[item.gold],
            "answer": item.options[item.chosen],
            "correct": item.right,
            "id": f"town {number}",
        }
        for number, item in enumerate(asked)
    ]
    return lines(folder / "towns.jsonl", rows)


def write_llama_cpp(folder: Path, side: int, asked: list[Asked]) -> Path:
    """What `llama-perplexity --multiple-choice` prints."""
    printed = [
        "build: 7000 (abc1234) with cc for x86_64-linux-gnu",
        f"llama_model_loader: loaded meta data with 34 key-value pairs and 290 tensors from "
        f"model-{side}.gguf (version GGUF V3 (latest))",
        f"multiple_choice_score: there are {len(asked)} tasks in prompt",
        "multiple_choice_score: reading tasks......done",
        "",
        "task\tacc_norm",
    ]
    right = 0
    for number, item in enumerate(asked, 1):
        right += item.right
        printed.append(f"{number}\t{100 * right / number:.8f}")
    printed += ["", f"Final result: {100 * right / len(asked):.4f} +/- 1.0000"]
    folder.mkdir(parents=True)
    file = folder / "output.txt"
    file.write_text("\n".join(printed) + "\n")
    return file


def lines(file: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


WITH_LOGPROBS: dict[str, Callable[[Path, int, list[Asked]], Path]] = {
    "lm_eval": write_lm_eval,
    "samples_parquet": write_samples_parquet,
    "lighteval": write_lighteval,
    "leaderboard": write_leaderboard,
    "inspect_eval": write_inspect_eval,
    "lmms": write_lmms,
    "plain": write_plain,
}
WITH_ANSWERS: dict[str, Callable[[Path, int, list[Asked]], Path]] = {
    "inspect_json": write_inspect_json,
    "every_eval_ever": write_every_eval_ever,
    "nemo": write_nemo,
    "plain_answers": write_plain_answers,
    "llama_cpp": write_llama_cpp,
}
