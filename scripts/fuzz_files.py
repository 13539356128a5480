"""Damage every other file that the commands read, and run them: a result, or one line and exit code 2, never anything else.

    python scripts/fuzz_files.py --cases 2000

For each kind of file there is a command that reads it: results files, policies, ledgers, experiments, presets, tables, training
sets, explanations, probes, raw records, reports, checkpoints, tokenizers, templates and programs' logs. In a tenth of the cases
the file is left as it is, and in another tenth written in another way that says the same: the command must then print what
it prints for the undamaged file.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_logs import DATE, Writing, make_items, to_bytes, to_rows, write_log
from fuzzing import JUNK, End, FaultError, as_json, check_end, damage_bytes, damage_json, deep, run_campaign

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
DOMAIN = "games"


@dataclass(frozen=True)
class Target:
    """A file, and a command that reads it.

    Attributes
    ----------
    file : str
        Its path in the folder that `build` writes.
    arguments : tuple of str
        Of the command; "@" stands for the folder.
    build : callable
        Writes the folder.
    codes : tuple of int
        Exit codes that the command may end in.
    value_of, bytes_of : callable
        The file's content as a JSON value, and back; None: only its bytes are damaged.
    """

    file: str
    arguments: tuple[str, ...]
    build: Callable[[Path], None]
    codes: tuple[int, ...] = (0, 2)
    value_of: Callable[[bytes], Any] | None = json.loads
    bytes_of: Callable[[Any, np.random.Generator], bytes] = lambda value, rng: as_json(value)


def _rows_of(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content.split(b"\n") if line]


def _lines_of(value: Any, rng: np.random.Generator) -> bytes:
    return b"".join(as_json(row) + b"\n" for row in (value if isinstance(value, list) else [value]))


def _yaml_of(value: Any, rng: np.random.Generator) -> bytes:
    """A value as YAML: in JSON, which it contains, or in blocks, with what only YAML has."""
    import yaml

    if rng.random() < 0.1:
        bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{to}: &{to} [{', '.join(['*' + of] * 9)}]\n" for of, to in zip("abcdefgh", "bcdefghi", strict=True)
        )
        odd = ("a: &a [*a]\n", bomb, "<<: {a: 1}\n", "? [1]\n: 2\n", "a: !!python/name:os.system\n", "!!set {a}\n")
        content = as_json(value)
        return odd[rng.integers(len(odd))].encode() + (content if rng.random() < 0.3 else b"")
    try:
        return yaml.safe_dump(value, allow_unicode=bool(rng.random() < 0.5)).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, RecursionError, ValueError):
        return as_json(value)


def _parse_yaml(content: bytes) -> Any:
    import yaml

    return yaml.safe_load(content)


def _table_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def _csv_of(value: Any, rng: np.random.Generator) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=",;\t|"[rng.integers(4)] if rng.random() < 0.1 else ",")
    for row in value if isinstance(value, list) else [value]:
        cells = row if isinstance(row, list) else [row]
        try:
            writer.writerow([str(cell)[:200_000] for cell in cells])
        except (csv.Error, ValueError, RecursionError):
            writer.writerow(["x"])
    return stream.getvalue().encode("utf-8", "surrogatepass")


def _parquet_rows(content: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(content)).to_pydict()


def _parquet_of(value: Any, rng: np.random.Generator) -> bytes:
    """Columns as Parquet; columns that no table can hold become texts, or nulls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = value if isinstance(value, dict) else {"a": [1]}
    length = max([len(column) for column in columns.values() if isinstance(column, list)] or [1])
    arrays = {}
    for name, column in columns.items():
        cells = (column if isinstance(column, list) else [column])[:length]
        cells = cells + [None] * (length - len(cells))
        try:
            arrays[str(name).encode("utf-8", "replace").decode()] = pa.array(cells)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError):
            kind = int(rng.integers(4))
            arrays[str(name).encode("utf-8", "replace").decode()] = (
                pa.nulls(length),
                pa.array([b"\xff"] * length),
                pa.array([2**62] * length, pa.timestamp("us")),
                pa.array([[{"a": [1]}]] * length),
            )[kind]
    if rng.random() < 0.1:
        arrays = {name: pa.nulls(length) for name in arrays}
    sink = io.BytesIO()
    try:
        pq.write_table(pa.table(arrays), sink, row_group_size=int(rng.integers(1, 20)))
    except pa.ArrowException:
        return b"PAR1"
    return sink.getvalue()


def _header_of(content: bytes) -> Any:
    (length,) = struct.unpack("<Q", content[:8])
    return {"header": json.loads(content[8 : 8 + length]), "rest": len(content) - 8 - length}


def _safetensors_of(value: Any, rng: np.random.Generator) -> bytes:
    value = value if isinstance(value, dict) else {}
    header = as_json(value.get("header"))
    rest = value.get("rest")
    size = rest if isinstance(rest, int) and 0 <= rest < 1 << 24 else 0
    return struct.pack("<Q", len(header)) + header + bytes(size)


QUESTIONS: list[dict[str, Any]] = [
    {
        "id": number,
        "question": f"How many stones are in game {number} of {number * 7 % 5} players?",
        "choices": [f"{option * number} stones, or {option}" for option in range(1, 5)],
        "answer": number % 4,
        "explanation": f"The rules of game {number} say so." if number % 3 else "",
        "subject": ("chess", "go")[number % 2],
    }
    for number in range(1, 41)
]


def _write(folder: Path, files: dict[str, Any]) -> None:
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, bytes):
            path.write_bytes(value)
        elif isinstance(value, str):
            path.write_text(value)
        elif name.endswith(".jsonl"):
            path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in value))
        else:
            path.write_text(json.dumps(value, indent=1))


def _pair(folder: Path) -> None:
    """Two logs of two tasks, each with its results file."""
    rng = np.random.default_rng(1)
    for task, kind in (("sums", "strings"), ("words", "generated")):
        items = make_items(kind, rng, 30)
        for side, name in enumerate(("before", "after")):
            how = Writing(order=tuple(range(len(items))))
            write_log(folder / name, to_bytes(to_rows(items, kind, side, how), kind, how, rng), how, task)
    for name in ("before", "after"):
        _write(folder, {f"{name}/results_{DATE}.json": _results(name)})
    _write(
        folder,
        {
            "gate.yaml": "margin: 1 points\nalpha: 0.05\nnoise: questions\ntiers: {watched: {decides: false}}\n"
            "rules:\n- {tasks: 'su*', decision: non-inferiority}\n- {tasks: [words], tier: watched, margin: 3 points}\n"
            "- {groups: all, measure: harmful flips, at_most: 90 %}\nbudget: {over: 20, ledger: ledger.json}\n",
            "ledger.json": {
                "schema_version": 1,
                "budget": {"alpha": 0.05, "over": 20, "spend": "even"},
                "checks": [{"check": "0" * 64, "after": "x", "level": 0.0025}],
            },
        },
    )


def _results(model: str) -> dict[str, Any]:
    tasks = {"sums": "acc", "words": "exact_match"}
    return {
        "results": {
            name: {"alias": name, f"{metric},none": 0.5, f"{metric}_stderr,none": 0.1} for name, metric in tasks.items()
        },
        "groups": {"all": {"acc,none": 0.5, "alias": "all"}},
        "group_subtasks": {"all": ["sums", "words"]},
        "configs": {
            name: {
                "task": name,
                "num_fewshot": 0,
                "metadata": {"version": 1.0},
                "output_type": "multiple_choice" if metric == "acc" else "generate_until",
                "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}],
                "filter_list": [{"name": "none", "filter": [{"function": "take_first"}]}],
                "generation_kwargs": {"until": ["\n"], "do_sample": False},
                "description": "",
            }
            for name, metric in tasks.items()
        },
        "versions": dict.fromkeys(tasks, 1.0),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {name: {metric: True} for name, metric in tasks.items()},
        "n-samples": {name: {"original": 30, "effective": 30} for name in tasks},
        "config": {
            "model": "hf",
            "model_args": f"pretrained={model},dtype=float32",
            "model_dtype": "torch.float32",
            "batch_size": "32",
            "device": "cpu",
            "limit": None,
            "gen_kwargs": None,
            "random_seed": 0,
            "fewshot_seed": 1234,
        },
        "git_hash": "abc",
        "date": 1767225600.0,
        "pretty_env_info": "Model name: A\nGPU 0: B",
        "lm_eval_version": "0.4.11",
        "task_hashes": dict.fromkeys(tasks, "0" * 64),
        "model_source": "hf",
        "model_name": "m",
        "system_instruction": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "total_evaluation_time_seconds": "12.5",
    }


def _training(folder: Path) -> None:
    """A probe of a pool, texts of the model, general instructions, evaluation sets and a training set."""
    rng = np.random.default_rng(2)
    pool: list[dict[str, Any]] = [
        {
            "doc_id": number,
            "doc": question,
            "target": str(question["answer"]),
            "arguments": {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {'ABCD'[o]}"} for o in range(4)},
            "filtered_resps": [[str(score), "False"] for score in scores],
            "filter": "none",
            "metrics": ["acc"],
            "doc_hash": f"h{number}",
            "acc": float(int(np.argmax(scores)) == question["answer"]),
        }
        for number, question in enumerate(QUESTIONS)
        for scores in [(-rng.exponential(3, 4)).round(4).tolist()]
    ]
    answers = [int(np.argmax([float(s) for s, _ in row["filtered_resps"]])) for row in pool]
    asked = [
        {**{key: q[key] for key in ("id", "subject", "question", "choices")}, "option": answer}
        for q, answer in zip(QUESTIONS, answers, strict=True)
    ]
    general = [{"instruction": f"Say {n}.", "input": "", "output": f"{n}."} for n in range(60)]
    probs = []
    for q, row in zip(QUESTIONS, pool, strict=True):
        scores = np.exp([float(score) for score, _ in row["filtered_resps"]])
        scores /= scores.sum()
        probs.append({**q, "probs": scores.tolist(), "pred": int(scores.argmax()), "model_exp": "It is so."})
    _write(
        folder,
        {
            f"probe/samples_pool_games_icl_{DATE}.jsonl": pool,
            f"probe/results_{DATE}.json": _results("m"),
            "texts.jsonl": [{**row, "why": f"Since {row['id']}."} for row in asked],
            "requests.jsonl": asked,
            "general.json": general,
            "general.jsonl": [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}] * 60,
            "eval.jsonl": QUESTIONS[:3],
            "pool.jsonl": QUESTIONS,
            "set.json": [
                {
                    "instruction": f"{q['question']}\nA. {q['choices'][0]}\nB. {q['choices'][1]}",
                    "input": "",
                    "output": "A",
                }
                for q in QUESTIONS[:10]
            ],
            "set.jsonl": QUESTIONS[:20],
            "released.jsonl": probs,
        },
    )
    cyclic = [
        {
            **row,
            "doc_id": 4 * number + turn,
            "doc": {
                **row["doc"],
                "choices": row["doc"]["choices"][turn:] + row["doc"]["choices"][:turn],
                "answer": (row["doc"]["answer"] - turn) % 4,
                "rotation": turn,
            },
            "target": str((row["doc"]["answer"] - turn) % 4),
            "doc_hash": f"h{number}-{turn}",
        }
        for number, row in enumerate(pool)
        for turn in range(4)
    ]
    _write(folder, {f"cyclic/samples_pool_games_icl_cyclic_{DATE}.jsonl": cyclic})


def _raw(folder: Path) -> None:
    exam = "id,Question,A,B,C,D,Answer\n" + "".join(f"{n},What is {n}?,a{n},b,c,d,{'ABCD'[n % 4]}\n" for n in range(8))
    files: dict[str, Any] = {
        "xiezhi.json": [
            {"question": f"What is {n}?", "options": f"a{n}\nb\nc\nd", "answer": "b", "labels": ["x"]} for n in range(8)
        ],
        "medmcqa.jsonl": [
            {
                "id": str(n),
                "question": f"What is {n}?",
                "opa": "a",
                "opb": "b",
                "opc": "c",
                "opd": "d",
                "cop": n % 4 + 1,
                "choice_type": "single",
                "exp": None,
                "subject_name": "x",
            }
            for n in range(8)
        ],
    }
    for split in ("dev", "test"):
        for subject in ("agronomy", "anatomy"):
            files[f"cmmlu/{split}/{subject}.csv"] = exam
    _write(folder, files)


def _table(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "question": q["question"],
            **dict(zip("ABCD", q["choices"], strict=True)),
            "answer": "ABCD"[q["answer"]],
            "explanation": q["explanation"],
        }
        for q in QUESTIONS
    ]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    listed = [{key: q[key] for key in ("question", "choices", "answer", "explanation")} for q in QUESTIONS]
    _write(folder, {"t.csv": stream.getvalue(), "t.json": rows, "t.jsonl": QUESTIONS, "u.json": listed})
    pq.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    pq.write_table(pa.Table.from_pylist(listed), folder / "u.parquet")


def _experiment(folder: Path) -> None:
    _table(folder)
    _write(
        folder,
        {
            "pool.jsonl": QUESTIONS[:20],
            "test.csv": (folder / "t.csv").read_bytes().splitlines(keepends=True)[0]
            + b"".join((folder / "t.csv").read_bytes().splitlines(keepends=True)[21:31]),
            "dev.jsonl": QUESTIONS[30:36],
            "shot.json": {"question": "What?", "choices": ["a", "b"], "answer": 0, "explanation": "So."},
            "mine.yml": "micro_batch_size: 2\ngradient_accumulation_steps: 2\nlearning_rate: 1.0e-5\nnum_epochs: 1\n"
            "plugins: []\nfsdp_config: null\nsequence_len: 512\nsample_packing: false\n",
            "exp.yaml": f"name: mine\nmodels: {{base: embedded}}\ntasks: paper\ndomains:\n  {DOMAIN}:\n    pool: pool.jsonl\n"
            "    test: test.csv\n    dev: dev.jsonl\n    header: board games\n    language: en\n    explain_shot: shot.json\n"
            "groups: [harmonious, incompatible]\nseeds: [0]\ngeneral: none\ndevice: cpu\ntemplate: vicuna\n"
            "threshold: 0.5\nlimit: 10\nsize: null\nlm_eval: --batch_size 4\nmodel_args: dtype=float32\n"
            "axolotl: --launcher python --num-epochs 2\npreset: [world-cpu]\nevery_epoch: false\n",
            "world.yaml": "name: demo\nmodels: {world: embedded}\ndomains: [medicine]\ngroups: [harmonious, mixed_0.2]\n"
            "seeds: [0, 1]\nlearning_rate: [1.0e-5, 2.0e-5]\nrecipes: {a: [world-cpu], b: [mine.yml]}\n",
        },
    )


@cache
def _reports() -> Path:
    """Reports of pairs and of a small grid, written once."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-reports-"))
    _pair(folder)
    from consistency.comparison.compare import compare
    from consistency.report.pair.report import write_comparison

    for name in ("a", "b"):
        write_comparison(
            compare(folder / "before", folder / "after", margin=0.01 if name == "a" else 0.02), folder / name
        )
    return folder


@cache
def _grid() -> Path:
    """An experiment of two groups and two seeds, with its logs, what the grid noted, and its report."""
    from consistency.experiment.reading import read_experiment
    from consistency.tasks.scopes import scope_tasks

    folder = Path(tempfile.mkdtemp(prefix="fuzz-grid-"))
    _write(
        folder,
        {
            "grid.yaml": "name: grid\nmodels: {tiny: embedded}\ndomains: [medicine]\ngroups: [harmonious, incompatible]\n"
            "seeds: [0, 1]\n"
        },
    )
    experiment = read_experiment(folder / "grid.yaml", folder / "root")
    rng = np.random.default_rng(3)
    how = Writing(order=tuple(range(10)))

    def log(place: Path, style: str, changed: bool) -> None:
        for tasks in scope_tasks("medicine", style).values():
            for task in tasks:
                items = make_items("strings", np.random.default_rng(len(task)), 10)
                if changed:
                    items = [
                        replace(item, scores=((), tuple((np.array(item.scores[1]) - rng.exponential(1, 4)).tolist())))
                        for item in items
                    ]
                rows = to_rows(items, "strings", 1 if changed else 0, how)
                write_log(place, to_bytes(rows, "strings", how, rng), how, task)
        _write(place, {f"results_{DATE}.json": _results("tiny")})

    log(experiment.base_logs("tiny", "icl"), "icl", False)
    log(experiment.base_logs("tiny", "ift"), "ift", False)
    for run in experiment.runs():
        log(run.logs, "ift", True)
        manifest = {"sha256": "0" * 64, "rows": {"gold": 5}, "labels": {"known": 3}, "general": "world", "questions": 9}
        host = {"hardware": "A", "git_commit": None, "packages": {"torch": "2"}}
        config = "learning_rate: 1.0e-5\nbf16: false\ntf32: false\nchat_template_jinja: x\nplugins: []\nnum_epochs: 1\n"
        for path, text in ((run.manifest, json.dumps(manifest)), (run.host, json.dumps(host)), (run.config, config)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder


def _grid_logs(folder: Path) -> None:
    shutil.copytree(_grid(), folder, dirs_exist_ok=True)


@cache
def _grid_reports() -> Path:
    from consistency.experiment.reading import read_experiment
    from consistency.report.grid.report import write_report

    folder = Path(tempfile.mkdtemp(prefix="fuzz-grids-"))
    for name in ("a", "b"):
        write_report(read_experiment(_grid() / "grid.yaml", _grid() / "root"), folder / name)
    return folder


def _stored_grids(folder: Path) -> None:
    _keep(_grid_reports(), folder)


def _keep(source: Path, folder: Path) -> None:
    """Copy of two reports what is read again."""
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for file in ("report.json", "items.parquet"):
            shutil.copy(source / name / file, folder / name / file)


def _stored(folder: Path) -> None:
    _keep(_reports(), folder)


def _stored_and_experiment(folder: Path) -> None:
    _stored_grids(folder)
    _experiment(folder)


def _model(folder: Path) -> None:
    """The embedded world's base model, whose weights are replaced by small ones."""
    from consistency.world.model import BASE_MODEL

    model = folder / "model"
    shutil.copytree(BASE_MODEL, model, ignore=shutil.ignore_patterns("*.safetensors", "README.md", "training.json"))
    tokens = 1 + max(json.loads((model / "tokenizer.json").read_bytes())["model"]["vocab"].values())
    layers = json.loads((model / "config.json").read_bytes())["num_hidden_layers"]
    header: dict[str, Any] = {
        "model.embed_tokens.weight": {"dtype": "F32", "shape": [tokens, 1], "data_offsets": [0, 4 * tokens]}
    }
    place = 4 * tokens
    for layer in range(layers):
        header[f"model.layers.{layer}.mlp.up_proj.weight"] = {
            "dtype": "F32",
            "shape": [2],
            "data_offsets": [place, place + 8],
        }
        place += 8
    header["__metadata__"] = {"format": "pt"}
    (model / "model.safetensors").write_bytes(
        _safetensors_of({"header": header, "rest": place}, np.random.default_rng(0))
    )


def _snakemake(folder: Path) -> None:
    _write(
        folder,
        {
            "s.log": "[Tue Nov 24 20:45:11 2026]\nError in rule train:\n    message: None\n    jobid: 5\n"
            "    input: groups/harmonious.jsonl\n    output: tuned/harmonious.checked.txt\n"
            "    log: logs/a.log (check log file(s) for error details)\n    shell:\n        x\n\n",
            "logs/a.log": "Traceback (most recent call last):\nValueError: no\nexit code 1\n",
        },
    )


_POOL = f"probe/samples_pool_games_icl_{DATE}.jsonl"
_COMPARE = ("compare", "@/before", "@/after", "--json", "-")
_GROUPS = ("groups", "--probe", "@/probe", "--out", "@/out", "--group", "harmonious", "--size", "5")
_GATE = (0, 1, 2, 3)
_CHECK = (0, 1, 2)
_LINES: dict[str, Any] = {"value_of": _rows_of, "bytes_of": _lines_of}
_YAML: dict[str, Any] = {"value_of": _parse_yaml, "bytes_of": _yaml_of}
_CSV: dict[str, Any] = {"value_of": _table_of, "bytes_of": _csv_of}
_PARQUET: dict[str, Any] = {"value_of": _parquet_rows, "bytes_of": _parquet_of}
_RUN = "tiny/medicine/seed-0"
_OF_A_RUN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("manifest", f"{_RUN}/groups/harmonious.manifest.json", {}),
    ("host", f"{_RUN}/tuned/harmonious/host.json", {}),
    ("config", f"{_RUN}/tuned/harmonious.yml", _YAML),
    ("results file", f"{_RUN}/logs/harmonious/results_{DATE}.json", {}),
    ("log", f"{_RUN}/logs/harmonious/samples_consistency_world_medicine_ift_{DATE}.jsonl", _LINES),
)
TARGETS = {
    "results file": Target(f"after/results_{DATE}.json", _COMPARE, _pair),
    "results file, written": Target(f"after/results_{DATE}.json", (*_COMPARE[:3], "--out", "@/out"), _pair),
    "policy": Target("gate.yaml", (*_COMPARE[:3], "--policy", "@/gate.yaml"), _pair, _GATE, **_YAML),
    "ledger": Target("ledger.json", (*_COMPARE[:3], "--policy", "@/gate.yaml"), _pair, _GATE),
    "experiment, validated": Target("exp.yaml", ("experiment", "validate", "@/exp.yaml"), _experiment, _CHECK, **_YAML),
    "experiment, planned": Target("exp.yaml", ("experiment", "plan", "@/exp.yaml", "--json"), _experiment, **_YAML),
    "experiment, grid": Target("world.yaml", ("experiment", "grid", "@/world.yaml"), _experiment, _CHECK, **_YAML),
    "experiment, status": Target("world.yaml", ("status", "@/world.yaml", "--root", "@"), _experiment, **_YAML),
    "experiment, checked": Target("exp.yaml", ("domain", "check", "@/exp.yaml"), _experiment, _CHECK, **_YAML),
    "experiment, config": Target(
        "exp.yaml", ("experiment", "config", "harmonious", "--experiment", "@/exp.yaml"), _experiment, **_YAML
    ),
    "preset": Target(
        "mine.yml", ("experiment", "config", "harmonious", "--preset", "@/mine.yml"), _experiment, **_YAML
    ),
    "pool of a domain": Target("pool.jsonl", ("domain", "check", "@/exp.yaml"), _experiment, _CHECK, **_LINES),
    "test set of a domain": Target("test.csv", ("domain", "check", "@/exp.yaml"), _experiment, _CHECK, **_CSV),
    "example of a prompt": Target("shot.json", ("domain", "check", "@/exp.yaml"), _experiment, _CHECK),
    "tasks of a domain": Target(
        "pool.jsonl", ("experiment", "tasks", "@/exp.yaml", "--root", "@/root"), _experiment, **_LINES
    ),
    "results file of a probe": Target(f"probe/results_{DATE}.json", (*_GROUPS, "--general", "none"), _training),
    "probe, groups": Target(_POOL, (*_GROUPS, "--general", "none"), _training, **_LINES),
    "probe, map": Target(_POOL, ("map", "--probe", "@/probe", "--out", "@/out"), _training, **_LINES),
    "probe, audit": Target(_POOL, ("audit", "@/set.jsonl", "--probe", "@/probe"), _training, **_LINES),
    "probe, requests": Target(_POOL, ("requests", "--probe", "@/probe", "--out", "@/out.jsonl"), _training, **_LINES),
    "rotations": Target(
        f"cyclic/samples_pool_games_icl_cyclic_{DATE}.jsonl",
        ("rotations", "@/cyclic", "--json", "-"),
        _training,
        **_LINES,
    ),
    "released rows": Target(
        "released.jsonl",
        ("groups", "--probe", "@/released.jsonl", "--out", "@/out", "--domain", "games", "--general", "none"),
        _training,
        **_LINES,
    ),
    "texts": Target(
        "texts.jsonl",
        (
            *_GROUPS[:-4],
            "--group",
            "self_aligning",
            "--general",
            "none",
            "--explanations",
            "@/texts.jsonl",
            "--explanation-column",
            "why",
        ),
        _training,
        **_LINES,
    ),
    "general, JSON": Target("general.json", (*_GROUPS, "--general", "@/general.json"), _training),
    "general, JSON lines": Target("general.jsonl", (*_GROUPS, "--general", "@/general.jsonl"), _training, **_LINES),
    "evaluation set": Target("eval.jsonl", ("leakage", "@/pool.jsonl", "--guard", "@/eval.jsonl"), _training, **_LINES),
    "pool": Target("pool.jsonl", ("leakage", "@/pool.jsonl", "--guard", "@/eval.jsonl"), _training, **_LINES),
    "training set, JSON": Target("set.json", ("audit", "@/set.json", "--probe", "@/probe"), _training),
    "training set, JSON lines": Target(
        "set.jsonl", ("audit", "@/set.jsonl", "--probe", "@/probe"), _training, **_LINES
    ),
    "requests": Target(
        "requests.jsonl",
        (
            "rounds",
            "@/rounds",
            "--requests",
            "@/requests.jsonl",
            "--explain",
            "explain_games",
            "--check",
            "simulate_games",
        ),
        _training,
        **_LINES,
    ),
    "Xiezhi": Target("xiezhi.json", ("convert", "@/xiezhi.json", "@/out.jsonl", "--from", "xiezhi"), _raw),
    "MedMCQA": Target(
        "medmcqa.jsonl", ("convert", "@/medmcqa.jsonl", "@/out.jsonl", "--from", "medmcqa"), _raw, **_LINES
    ),
    "CMMLU": Target("cmmlu/test/agronomy.csv", ("convert", "@/cmmlu", "@/out", "--from", "cmmlu"), _raw, **_CSV),
    "report": Target("a/report.json", ("report", "--compare", "@/a", "@/b"), _stored),
    "report of a grid": Target("a/report.json", ("report", "--compare", "@/a", "@/b"), _stored_grids),
    "items of a grid": Target("b/items.parquet", ("report", "--compare", "@/a", "@/b"), _stored_grids, **_PARQUET),
    "items of a report": Target("b/items.parquet", ("report", "--compare", "@/a", "@/b"), _stored, **_PARQUET),
    "report of a plan": Target(
        "a/report.json", ("experiment", "plan", "@/world.yaml", "--report", "@/a"), _stored_and_experiment
    ),
    "config of a model": Target("model/config.json", ("checkpoint", "@/model"), _model),
    "weights of a model": Target(
        "model/model.safetensors", ("checkpoint", "@/model"), _model, value_of=_header_of, bytes_of=_safetensors_of
    ),
    "tokenizer of a model": Target("model/tokenizer.json", ("checkpoint", "@/model"), _model),
    "template of a model": Target("model/chat_template.jinja", ("checkpoint", "@/model"), _model, value_of=None),
    "tokenizer": Target("model/tokenizer.json", ("check-tokenizer", "@/model"), _model, _CHECK),
    "tokenizer's config": Target("model/tokenizer_config.json", ("check-tokenizer", "@/model"), _model, _CHECK),
    "template": Target(
        "model/chat_template.jinja",
        ("check-tokenizer", "@/model", "--template", "@/model/chat_template.jinja"),
        _model,
        _CHECK,
        value_of=None,
    ),
    "Snakemake's log": Target("s.log", ("failures", "@/s.log"), _snakemake, value_of=None),
    "a program's log": Target("logs/a.log", ("failures", "@/s.log"), _snakemake, value_of=None),
    **{
        f"{name} of a run": Target(
            f"root/{file}", ("report", "@/grid.yaml", "--root", "@/root", "--out", "@/out"), _grid_logs, **how
        )
        for name, file, how in _OF_A_RUN
    },
    **{
        f"table in {name}": Target(
            name, ("domain", "new", DOMAIN, "--out", "@/out", "--from", f"@/{name}"), _table, **how
        )
        for name, how in (
            ("t.csv", _CSV),
            ("t.json", {}),
            ("t.jsonl", _LINES),
            ("u.json", {}),
            ("t.parquet", _PARQUET),
            ("u.parquet", _PARQUET),
        )
    },
}


@cache
def _base(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-base-"))
    TARGETS[name].build(folder)
    return folder


@cache
def _undamaged(name: str, called: Callable[[list[str]], End]) -> tuple[int, str]:
    """How the command ends for the undamaged file."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "f")
        shutil.copytree(_base(name), folder)
        os.chdir(folder)
        end = called([text.replace("@", str(folder)) for text in TARGETS[name].arguments])
        if check_end(end, TARGETS[name].codes) != "right":
            raise FaultError(f"{name} is refused undamaged", end.err)
        os.chdir(_base(name))
        return end.code, end.out.replace(str(folder), "F")


def _rewritten(content: bytes, target: Target, rng: np.random.Generator) -> bytes:
    """Content that says the same."""
    if target.value_of is json.loads:
        value = json.loads(content)
        # What other programs read has no byte order mark.
        mark = b"\xef\xbb\xbf" if rng.random() < 0.5 and not target.file.startswith("model/") else b""
        return mark + json.dumps(value, indent=int(rng.integers(4)), ensure_ascii=bool(rng.random() < 0.5)).encode()
    if target.value_of is _rows_of:
        return b"".join(json.dumps(row, separators=(" , ", " : ")).encode() + b"\r\n" for row in _rows_of(content))
    if target.value_of is _table_of:
        return b"\xef\xbb\xbf" + content.replace(b"\r\n", b"\n")
    return content


def case(seed: int, folder: Path, called: Callable[[list[str]], End]) -> tuple[str, str]:
    """One file and the command that reads it."""
    rng = np.random.default_rng(seed)
    # A report of a grid takes seconds.
    slow = [name for name, target in TARGETS.items() if target.build is _grid_logs]
    quick = [name for name in TARGETS if name not in slow]
    name = slow[seed // 50 % len(slow)] if seed % 50 == 49 else quick[seed % len(quick)]
    target = TARGETS[name]
    place = folder / "f"
    shutil.copytree(_base(name), place)
    path = place / target.file
    content = path.read_bytes()
    how = rng.random()
    if how < 0.1:
        path.write_bytes(content if how < 0.05 else _rewritten(content, target, rng))
    elif how < 0.12:
        path.unlink()
        if how < 0.11:
            path.mkdir()
    elif target.value_of is not None and how < 0.7:
        value = damage_json(target.value_of(content), rng, int(rng.integers(1, 4)))
        if rng.random() < 0.05:
            value = JUNK[rng.integers(len(JUNK))] if rng.random() < 0.5 else deep(int(rng.integers(90, 3000)), rng)
        path.write_bytes(target.bytes_of(value, rng))
    else:
        path.write_bytes(damage_bytes(content, rng))
    # A preset is sought in the working directory.
    os.chdir(place)
    try:
        end = called([text.replace("@", str(place)) for text in target.arguments])
        ended = check_end(end, target.codes)
        if how < 0.1 and (end.code, end.out.replace(str(place), "F")) != _undamaged(name, called):
            raise FaultError(
                f"{name}: another result of the same content", f"{end.out}\n{end.err}\n{_undamaged(name, called)[1]}"
            )
    except FaultError as fault:
        raise FaultError(f"{fault.args[0]}", f"[{name}]\n{fault.args[-1]}") from None
    finally:
        os.chdir(_base(name))
    return name, ended


if __name__ == "__main__":
    sys.exit(run_campaign(__doc__ or "", "damaged files", case))
