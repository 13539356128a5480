"""Folders of undamaged files, one for each command that reads them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_formats import safetensors_of
from fuzz_logs import DATE, Writing, make_items, to_bytes, to_rows, write_log

DOMAIN = "games"
_SCRATCH = tempfile.TemporaryDirectory(prefix="fuzz-")


def new_folder() -> Path:
    """An empty folder that is removed at the end of the program."""
    return Path(tempfile.mkdtemp(dir=_SCRATCH.name))


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


def write_pair(folder: Path) -> None:
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


def write_training(folder: Path) -> None:
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
    explained = [
        {
            "doc_id": number,
            "doc": {**row, "domain": DOMAIN},
            "target": "",
            "arguments": {"gen_args_0": {"arg_0": "…", "arg_1": {"until": ["```"]}}},
            "resps": [[f"It follows from rule {number}.\n```"]],
            "filtered_resps": [f"It follows from rule {number}.\n```"],
            "filter": "none",
            "metrics": ["bypass"],
            "doc_hash": f"e{number}",
            "bypass": 999,
        }
        for number, row in enumerate(asked)
    ]
    conversations = [[{"from": "human", "value": f"{n}?"}, {"from": "gpt", "value": f"{n}."}] for n in range(40)]
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
            f"explained/samples_consistency_explain_{DOMAIN}_{DATE}.jsonl": explained,
            f"explained/results_{DATE}.json": _results("m"),
            "rounds/round-1/requests.jsonl": [{**row, "domain": DOMAIN} for row in asked],
            f"rounds/round-1/explain/samples_consistency_explain_{DOMAIN}_{DATE}.jsonl": explained,
            "rows.jsonl": [{"conversations": turns} for turns in conversations],
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


def write_raw(folder: Path) -> None:
    """Raw records of the benchmarks that `convert` takes."""
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


def write_table(folder: Path) -> None:
    """Tables of questions in several formats."""
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


def write_experiment(folder: Path) -> None:
    """An experiment with a domain of its own, one on the embedded world, and a preset."""
    write_table(folder)
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
    folder = new_folder()
    write_pair(folder)
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

    folder = new_folder()
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


def write_grid(folder: Path) -> None:
    """A grid's experiment and artefacts."""
    shutil.copytree(_grid(), folder, dirs_exist_ok=True)


@cache
def _grid_reports() -> Path:
    from consistency.experiment.reading import read_experiment
    from consistency.report.grid.report import write_report

    folder = new_folder()
    for name in ("a", "b"):
        write_report(read_experiment(_grid() / "grid.yaml", _grid() / "root"), folder / name)
    return folder


def write_grid_reports(folder: Path) -> None:
    """Two reports of a grid."""
    _keep(_grid_reports(), folder)


def _keep(source: Path, folder: Path) -> None:
    """Copy of two reports what is read again."""
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for file in ("report.json", "items.parquet"):
            shutil.copy(source / name / file, folder / name / file)


def write_reports(folder: Path) -> None:
    """Two reports of pairs."""
    _keep(_reports(), folder)


def write_plan(folder: Path) -> None:
    """Experiments, and reports of a grid."""
    write_grid_reports(folder)
    write_experiment(folder)


def write_model(folder: Path) -> None:
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
        safetensors_of({"header": header, "rest": place}, np.random.default_rng(0))
    )


def write_logs(folder: Path) -> None:
    """What Snakemake and a failed program printed."""
    _write(
        folder,
        {
            "s.log": "[Tue Nov 24 20:45:11 2026]\nError in rule train:\n    message: None\n    jobid: 5\n"
            "    input: groups/harmonious.jsonl\n    output: tuned/harmonious.checked.txt\n"
            "    log: logs/a.log (check log file(s) for error details)\n    shell:\n        x\n\n",
            "logs/a.log": "Traceback (most recent call last):\nValueError: no\nexit code 1\n",
        },
    )
