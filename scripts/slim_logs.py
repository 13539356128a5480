"""Logs of multiple-choice tasks as small files that hold no question: log-probabilities, places and hashes; and back.

slim_logs.py pack LOGS OUT.npz [--like OTHER.npz]   every task of a log folder
slim_logs.py unpack FILE.npz OUT [--template vicuna --tokenizer MODEL] [--include-path FOLDER]   logs that every command reads

Questions and prompts are built again by lm_eval from the task files and the questions' source (CONSISTENCY_DATA), and
compared with the hashes of the file.

    tasks [T], task int16 [n], doc_id int32 [n]    which question of which task
    logprobs float32 [n, most options]             natural logs; NaN behind the last option
    gold int8 [n], rotation int8 [n]               -1 where the options are in their own order
    doc_hash, prompt_hash uint8 [n, 16]            the first half of lm_eval's; absent where all are those of OTHER.npz
    results                                        folder, name and text of lm_eval's results files, as JSON
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

_SAMPLES = re.compile(r"samples_(.+)_\d{4}-\d\d-\d\dT[\d.-]+\.jsonl")
_RESULTS = re.compile(r"results_(.+)\.json")
HALF = 16  # bytes of a SHA-256


class _Row(msgspec.Struct):
    doc_id: int
    doc: dict[str, Any]
    filtered_resps: list[tuple[str, str]]
    doc_hash: str
    prompt_hash: str


def pack(folder: Path, out: Path, like: Path | None = None) -> None:
    """Write the slim file of a log folder; with the hashes unless all are those of the file `like`."""
    names, task, doc_id, logprobs, gold, rotation, hashes = [], [], [], [], [], [], []
    for number, (name, rows) in enumerate(sorted(_logs(folder), key=lambda item: item[0])):
        names.append(name)
        for row in rows:
            task.append(number)
            doc_id.append(row.doc_id)
            logprobs.append([float(pair[0]) for pair in row.filtered_resps])
            gold.append(row.doc.get("answer", -1))
            rotation.append(row.doc.get("rotation", -1))
            hashes.append(bytes.fromhex(row.doc_hash)[:HALF] + bytes.fromhex(row.prompt_hash)[:HALF])
    width = max(map(len, logprobs))
    data: dict[str, Any] = {
        "tasks": np.array(names),
        "task": np.array(task, np.int16),
        "doc_id": np.array(doc_id, np.int32),
        "logprobs": np.array([item + [np.nan] * (width - len(item)) for item in logprobs], np.float32),
        "gold": np.array(gold, np.int8),
        "rotation": np.array(rotation, np.int8),
        "results": np.array(
            json.dumps([[f.parent.name, f.name, f.read_text()] for f in sorted(folder.rglob("results_*.json"))])
        ),
    }
    known = {} if like is None else _hashes(like)
    where = zip(data["tasks"][data["task"]].tolist(), doc_id, hashes, strict=True)
    if not known or any(known.get((name, document)) != digest for name, document, digest in where):
        both = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 2 * HALF)
        data |= {"doc_hash": both[:, :HALF], "prompt_hash": both[:, HALF:]}
    np.savez_compressed(out, **data)


def unpack(file: Path, out: Path, include: list[str], chat: Callable[..., str] | None = None) -> int:
    """Write the log folder of a slim file; how many rows have another question or prompt than when it was packed."""
    with np.load(file) as loaded:
        data = dict(loaded)
    folder, results, text = json.loads(str(data["results"]))[-1]
    date = _RESULTS.fullmatch(results)
    assert date is not None
    place = out / folder
    place.mkdir(parents=True, exist_ok=True)
    differing = 0
    for number, name in enumerate(data["tasks"].tolist()):
        rows = dict(_documents(name, include, chat))
        with (place / f"samples_{name}_{date[1]}.jsonl").open("w", encoding="utf-8") as lines:
            for i in np.flatnonzero(data["task"] == number).tolist():
                row = rows[int(data["doc_id"][i])]
                if "doc_hash" in data:
                    both = data["doc_hash"][i].tobytes().hex(), data["prompt_hash"][i].tobytes().hex()
                    differing += both != (row["doc_hash"][: 2 * HALF], row["prompt_hash"][: 2 * HALF])
                scores = data["logprobs"][i]
                scores = scores[~np.isnan(scores)].astype(float).tolist()
                best = scores.index(max(scores))
                pairs = [[str(score), "False"] for score in scores]
                answers = {"resps": [[pair] for pair in pairs], "filtered_resps": pairs}
                lines.write(
                    json.dumps({**row, **answers, "acc": float(best == int(row["target"]))}, ensure_ascii=False) + "\n"
                )
    (place / results).write_text(text)
    return differing


def _logs(folder: Path) -> Iterator[tuple[str, list[_Row]]]:
    decode = msgspec.json.Decoder(_Row).decode
    for file in sorted(folder.rglob("samples_*.jsonl")):
        name = _SAMPLES.fullmatch(file.name)
        assert name is not None
        with file.open("rb") as lines:
            yield name[1], sorted(map(decode, lines), key=lambda row: row.doc_id)


def _hashes(file: Path) -> dict[tuple[str, int], bytes]:
    with np.load(file) as data:
        both = np.hstack([data["doc_hash"], data["prompt_hash"]])
        places = zip(data["tasks"][data["task"]].tolist(), data["doc_id"].tolist(), strict=True)
        return {place: item.tobytes() for place, item in zip(places, both, strict=True)}


def _documents(
    name: str, include: list[str], chat: Callable[..., str] | None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a task's log but for the answers, by doc_id."""
    from lm_eval.tasks import TaskManager, get_task_dict
    from lm_eval.utils import handle_non_serializable, hash_string

    task = get_task_dict([name], TaskManager(include_path=include, include_defaults=False))[name]
    task.set_fewshot_seed(1234)
    task.build_all_requests(
        limit=None,
        rank=0,
        world_size=1,
        apply_chat_template=chat is not None,
        chat_template=chat,
        tokenizer_name="" if chat is None else "chat",
    )
    found: dict[int, list[Any]] = {}
    for instance in task.instances:
        found.setdefault(instance.doc_id, []).append(instance)
    for doc_id, instances in found.items():
        doc = instances[0].doc
        target = str(task.doc_to_target(doc))
        written = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
        arguments = [{f"arg_{j}": text for j, text in enumerate(instance.args)} for instance in instances]
        yield (
            doc_id,
            {
                "doc_id": doc_id,
                "doc": doc,
                "target": target,
                "arguments": {f"gen_args_{i}": item for i, item in enumerate(arguments)},
                "filter": "none",
                "metrics": ["acc"],
                "doc_hash": hash_string(written),
                "prompt_hash": hash_string(instances[0].arguments[0]),
                "target_hash": hash_string(target),
            },
        )


def _chat(tokenizer: str, template: str) -> Callable[..., str]:
    from consistency.tasks.templates import read_template
    from consistency.tasks.tokenizers import load_tokenizer

    found = load_tokenizer(tokenizer)
    text = read_template(template)
    if text is not None:
        found.chat_template = text

    def chat(history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        more = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        return str(found.apply_chat_template(history, tokenize=False, **more))

    return chat


def main(arguments: list[str]) -> None:
    """Pack a log folder, or unpack a slim file."""
    from consistency.support.resources import shipped

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing, unpacking = commands.add_parser("pack"), commands.add_parser("unpack")
    packing.add_argument("logs", type=Path)
    packing.add_argument("out", type=Path)
    packing.add_argument("--like", type=Path)
    unpacking.add_argument("file", type=Path)
    unpacking.add_argument("out", type=Path)
    unpacking.add_argument("--template", default="vicuna", help="chat template, with --tokenizer")
    unpacking.add_argument("--tokenizer", help="of the model; without it the prompts are plain text")
    unpacking.add_argument("--include-path", action="append", default=[])
    given = parser.parse_args(arguments)
    if given.command == "pack":
        pack(given.logs, given.out, given.like)
        return
    chat = _chat(given.tokenizer, given.template) if given.tokenizer else None
    differing = unpack(given.file, given.out, [str(shipped("lm_eval_tasks")), *given.include_path], chat)
    if differing:
        sys.exit(
            f"{given.file}: {differing} questions or prompts are not those of the log: other questions, or another template"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
