"""Prompts longer than what a model reads: counted against the tokens of each prompt, recorded, and said by a comparison."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
lm_eval = pytest.importorskip("lm_eval")

from lm_eval.config.evaluate_config import EvaluatorConfig  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from consistency.cli.app import app  # noqa: E402
from consistency.cli.evaluate import other_checkpoint  # noqa: E402
from consistency.comparison.compare import compare  # noqa: E402
from consistency.comparison.truncation import TruncatedPrompts  # noqa: E402
from consistency.errors import InputError  # noqa: E402
from consistency.logs.run_config import RunConfig, merge_configs  # noqa: E402
from consistency.shared_prefix.harness import prepared_harness  # noqa: E402
from consistency.shared_prefix.model import SharedPrefixLM  # noqa: E402

SHOTS = [
    {"question": f"Shot {name}: is it {'so or is it ' * count}not?", "answer": count % 4}
    for count, name in enumerate("PQR")
]
ROWS = [{"question": f"Number {n}: {'why, and why, ' * (3 * n)}or not?", "answer": n % 4} for n in range(8)]
LETTERS, WRITES = "letters_that_are_long", "writes_after_long_prompts"


def ask(row: dict[str, Any]) -> str:
    return f"{row['question']}\nAnswer:"


def prompt(row: dict[str, Any], shots: list[dict[str, Any]]) -> str:
    return "".join(f"{ask(shot)} {'ABCD'[shot['answer']]}\n\n" for shot in shots) + ask(row)


@pytest.fixture(autouse=True)
def no_inventory(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm_eval lists all installed packages in each log, which takes seconds."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda storage: None)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    for name, rows in (("test", ROWS), ("dev", SHOTS)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {name: str(folder / f"{name}.jsonl") for name in ("test", "dev")}},
        "test_split": "test",
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": 3,
        "doc_to_text": "{{question}}\nAnswer:",
        "doc_to_target": "{{'ABCD'[answer]}}",
        "metadata": {"version": 1},
    }
    choice = {
        "task": LETTERS,
        "output_type": "multiple_choice",
        "doc_to_choice": ["A", "B", "C", "D"],
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}],
    }
    writes = {
        "task": WRITES,
        "output_type": "generate_until",
        "generation_kwargs": {"max_gen_toks": 3, "until": ["\n"]},
        "metric_list": [{"metric": "exact_match"}],
    }
    for task in (choice, writes):
        (folder / f"{task['task']}.yaml").write_text(json.dumps(common | task))
    return folder


@pytest.fixture(scope="module")
def counts(tiny_llama: Path) -> list[dict[str, Any]]:
    """By prompt: its tokens, and where the tokens of each shot begin, counted with the tokenizer alone."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    found = []
    for row in ROWS:
        whole = prompt(row, SHOTS)
        starts = [len(tokenizer.encode(whole[: whole.index(ask(shot))])) for shot in SHOTS]
        found.append({"tokens": len(tokenizer.encode(whole)), "starts": starts})
    return found


def evaluated(
    tasks: Path, kind: str, arguments: dict[str, Any], names: list[str], *, ours: bool = True
) -> dict[str, Any]:
    def run() -> dict[str, Any]:
        found: dict[str, Any] = lm_eval.simple_evaluate(
            model=kind,
            model_args=arguments,
            tasks=names,
            task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
            device="cpu",
            batch_size=2,
            bootstrap_iters=0,
        )
        return found

    if not ours:
        return run()
    with prepared_harness({"model": kind, "model_args": arguments}):
        return run()


def answers(result: dict[str, Any], task: str) -> list[Any]:
    return [row["filtered_resps"] for row in result["samples"][task]]


def test_what_is_cut_is_counted(
    tasks: Path,
    tiny_llama: Path,
    counts: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a window that cuts the first shot of some prompts and all shots of others, in both models."""
    lengths = sorted(item["tokens"] for item in counts)
    limit = lengths[3]
    lost = [max(0, item["tokens"] - limit) for item in counts]
    shots_lost = [sum(start < gone for start in item["starts"]) for item, gone in zip(counts, lost, strict=True)]
    assert len(set(shots_lost)) > 2
    arguments = {"pretrained": str(tiny_llama), "dtype": "float32", "max_length": limit}
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    plain = answers(evaluated(tasks, "hf", arguments, [LETTERS], ours=False), LETTERS)
    for kind in ("hf", "hf-shared-prefix"):
        caplog.clear()
        found = evaluated(tasks, kind, arguments, [LETTERS, WRITES])
        record = found["config"]["truncated_prompts"]
        assert record[LETTERS] == {
            "prompts": 8,
            "cut": sum(gone > 0 for gone in lost),
            "limit": limit,
            "tokens": max(lost),
            "few_shot": 3,
            "few_shot_lost": max(shots_lost),
        }
        # Generation leaves room for what is written.
        assert record[WRITES]["limit"] == limit - 3
        assert record[WRITES]["cut"] == sum(item["tokens"] > limit - 3 for item in counts)
        assert record[WRITES]["tokens"] == max(lost) + 3
        lines = [item.getMessage() for item in caplog.records if item.name == "lm_eval.models.truncation"]
        assert len(lines) == 2  # one for each kind of request
        assert lines[-1].startswith("9 of 16 prompts")
        for mine, theirs in zip(answers(found, LETTERS), plain, strict=True):
            assert all(abs(float(a[0]) - float(b[0])) <= 1e-4 for a, b in zip(mine, theirs, strict=True))


def test_a_window_that_holds_all_is_recorded_too(tasks: Path, tiny_llama: Path, counts: list[dict[str, Any]]) -> None:
    """The last token of an answer is not read, so that a prompt may fill the window."""
    longest = max(item["tokens"] for item in counts)
    arguments = {"pretrained": str(tiny_llama), "dtype": "float32", "max_length": longest}
    found = evaluated(tasks, "hf-shared-prefix", arguments, [LETTERS])
    assert found["config"]["truncated_prompts"] == {LETTERS: {"prompts": 8, "cut": 0}}
    found = evaluated(tasks, "hf-shared-prefix", {**arguments, "max_length": longest - 1}, [LETTERS])
    assert found["config"]["truncated_prompts"][LETTERS]["cut"] == 1
    assert found["config"]["truncated_prompts"][LETTERS]["tokens"] == 1


@pytest.mark.parametrize("kind", ["hf", "hf-shared-prefix"])
def test_an_answer_longer_than_the_window_is_named(kind: str, tiny_llama: Path) -> None:
    with prepared_harness({}):
        lm = lm_eval.api.registry.get_model(kind)(
            pretrained=str(tiny_llama), device="cpu", dtype="float32", max_length=16
        )
    assert isinstance(lm, {"hf": HFLM, "hf-shared-prefix": SharedPrefixLM}[kind])
    request = SimpleNamespace(args=("Which?", " A and" * 40), task_name="law", doc_id=7, doc={})
    fine = SimpleNamespace(args=("Which?", " A"), task_name="law", doc_id=8, doc={})
    with pytest.raises(InputError, match=r"tokens \(law, document 7\), where the model reads 16"):
        lm.loglikelihood([fine, request], disable_tqdm=True)
    writes = SimpleNamespace(args=("Which?", {"max_gen_toks": 16}), task_name="law", doc_id=7, doc={})
    with pytest.raises(InputError, match="16 tokens to generate"):
        lm.generate_until([writes], disable_tqdm=True)


def test_ends_that_the_tokenizer_cuts_are_said(
    tiny_llama: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm_eval's `truncation` leaves the end of a prompt out, which is the question."""
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama, model_max_length=20)
    lm = SharedPrefixLM(pretrained=str(tiny_llama), tokenizer=tokenizer, device="cpu", dtype="float32", truncation=True)
    prompts = ["Which?", "Which city is it, by the old river? " * 9]
    cut = tokenizer.decode(tokenizer.encode(prompts[1])[:20], skip_special_tokens=True)
    assert len(tokenizer.encode(cut)) == 20
    settings = {"max_gen_toks": 4, "until": ["\n\n"]}
    requests = [
        SimpleNamespace(args=(text, settings), task_name="t", doc_id=n) for n, text in enumerate([*prompts, cut])
    ]
    texts = lm.generate_until(requests, disable_tqdm=True)
    assert texts[1] == texts[2]
    assert "1 of 3 prompts lose their end, behind the 20 tokens" in caplog.text
    assert lm.cut_prompts.to_dict() == {"t": {"prompts": 3, "cut": 0}}


def test_runs_that_are_read_together_keep_the_record_of_each_task() -> None:
    one = {"config": {"truncated_prompts": {"law": {"prompts": 4, "cut": 1}, "art": {"prompts": 9, "cut": 9}}}}
    two = {"config": {"truncated_prompts": {"art": {"prompts": 4, "cut": 2}}}}
    merged = merge_configs([(RunConfig(content=one), ["law"]), (RunConfig(content=two), ["art"])])
    assert merged.content["config"]["truncated_prompts"] == {
        "law": {"prompts": 4, "cut": 1},
        "art": {"prompts": 4, "cut": 2},
    }


def test_the_command_gives_the_next_model_all_of_the_file_and_a_comparison_names_the_cut_prompts(
    tasks: Path,
    tiny_llama: Path,
    counts: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_llama, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: 2 * value for name, value in weights.items()}, other / "model.safetensors", {"format": "pt"})
    limit = sorted(item["tokens"] for item in counts)[3]
    config = {
        "model": "hf-shared-prefix",
        "model_args": {"pretrained": str(tiny_llama), "dtype": "float32", "max_length": limit, "peft": None},
        "include_path": str(tasks),
        "tasks": [LETTERS],
        "device": "cpu",
        "batch_size": 2,
        "log_samples": True,
        "output_path": str(tmp_path / "cut"),
        "use_cache": str(tmp_path / "answers"),
    }
    (tmp_path / "file.yaml").write_text(json.dumps(config))
    monkeypatch.setattr("sys.argv", ["consistency"])
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    done = CliRunner().invoke(app, ["eval", "--config", str(tmp_path / "file.yaml"), "--also", str(other)])
    assert done.exit_code == 0, done.output
    files = {path.parent.name: path for path in (tmp_path / "cut").rglob("results_*.json")}
    assert len(files) == 2
    for path in files.values():
        logged = json.loads(path.read_text())
        assert logged["max_length"] == limit
        assert logged["config"]["model_dtype"] == "torch.float32"
        assert logged["config"]["truncated_prompts"][LETTERS]["cut"] == 4
    samples = [
        [json.loads(line)["filtered_resps"] for line in path.open()] for path in (tmp_path / "cut").rglob("samples_*")
    ]
    assert samples[0] != samples[1]

    whole = tmp_path / "whole"
    arguments = [
        "--model_args",
        f"pretrained={tiny_llama},dtype=float32",
        "--include_path",
        str(tasks),
        "--tasks",
        LETTERS,
    ]
    done = CliRunner().invoke(
        app, ["eval", *arguments, "--device", "cpu", "--log_samples", "--output_path", str(whole)]
    )
    assert done.exit_code == 0, done.output
    cut = next(
        path.parent
        for path in files.values()
        if json.loads(path.read_text())["config"]["model_args"]["pretrained"] == str(tiny_llama)
    )
    (warning,) = (item for item in compare(whole, cut).warnings if item.kind == "truncated prompts")
    assert (warning.before, warning.of_before, warning.after, warning.of_after) == (0, 8, 4, 8)
    assert warning.differs
    assert warning.limit_after == limit
    comparison = compare(whole, cut)
    assert warning.clause in comparison.verdict
    assert warning.to_text() in comparison.messages
    # Equal on both sides: named, but no difference.
    both = {path.parent for path in files.values()}
    (warning,) = (item for item in compare(*both).warnings if item.kind == "truncated prompts")
    assert (warning.before, warning.after, warning.differs, warning.clause) == (4, 4, False, "")
    # A log that does not say is unknown.
    results = next(whole.rglob("results_*.json"))
    content = json.loads(results.read_text())
    del content["config"]["truncated_prompts"]
    results.write_text(json.dumps(content))
    (warning,) = (item for item in compare(whole, cut).warnings if item.kind == "truncated prompts")
    assert (warning.before, warning.after, warning.differs) == (None, 4, False)


@pytest.mark.parametrize("as_text", [False, True])
def test_the_next_model_is_evaluated_as_if_all_were_given_on_the_command_line(
    as_text: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every setting of the file, by lm_eval's own reading of both command lines."""
    from lm_eval._cli import HarnessCLI

    from consistency.cli.evaluate import command_lines

    arguments = {
        "pretrained": "a",
        "dtype": "float32",
        "max_length": 64,
        "tokenizer": "t",
        "peft": "p",
        "revision": "r",
    }
    content = {
        "model": "hf",
        "model_args": ",".join(f"{key}={value}" for key, value in arguments.items()) if as_text else arguments,
        "include_path": "mine",
        "tasks": ["x", "y"],
        "num_fewshot": 2,
        "batch_size": 8,
        "device": "cpu",
        "limit": 3,
        "gen_kwargs": {"temperature": 0.5},
        "apply_chat_template": True,
        "system_instruction": "Be brief, and right.",
        "use_cache": "c",
        "output_path": "out",
        "log_samples": True,
        "seed": [1, 2, 3, 4],
    }
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(content))
    given = "--model hf --include_path mine --tasks x,y --num_fewshot 2 --batch_size 8 --device cpu --limit 3 "
    given += "--gen_kwargs temperature=0.5 --apply_chat_template --use_cache c --output_path out --log_samples --seed 1,2,3,4"
    line = [*given.split(), "--system_instruction", "Be brief, and right.", "--model_args"]

    def read(words: list[str]) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", ["lm_eval", "run", *words])
        config = EvaluatorConfig.from_cli(HarnessCLI().parse_args())
        return {name: getattr(config, name) for name in config.__slots__ if name != "config"} | {
            "batch_size": str(config.batch_size),
            "limit": float(config.limit or 0),
        }

    _, from_file, own = command_lines(["--config", str(file)], ["b,{c}", '{"pretrained": "d", "revision": "s"}'])
    _, from_line = command_lines(
        [*line, "pretrained=a,dtype=float32,max_length=64,tokenizer=t", "peft=p,revision=r"], ["b,{c}"]
    )
    expected = read([*line, '{"pretrained": "b,{c}", "dtype": "float32", "max_length": 64, "tokenizer": "t"}'])
    assert expected["model_args"]["pretrained"] == "b,{c}"
    assert read(from_file) == expected
    assert read(from_line) == expected
    assert read(own)["model_args"] == {
        "dtype": "float32",
        "max_length": 64,
        "tokenizer": "t",
        "revision": "s",
        "pretrained": "d",
    }


def test_a_model_behind_an_api_is_named_by_its_own_argument() -> None:
    from consistency.cli.evaluate import other_checkpoint

    assert other_checkpoint({"model": "a", "base_url": "u"}, "b") == {"base_url": "u", "model": "b"}


def run_with(folder: Path, record: dict[str, Any], tasks: tuple[str, ...] = ("law", "art")) -> Path:
    """Logs of tasks, and a results file that says how many prompts of some of them were cut."""
    folder.mkdir(parents=True)
    for task in tasks:
        rows = [
            {
                "doc_id": number,
                "doc": {"question": f"{task} {number}?", "choices": ["x", "y"]},
                "target": "0",
                "arguments": {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {label}"} for o, label in enumerate("AB")},
                "filtered_resps": [["-1.0", "False"], ["-2.0", "False"]],
                "metrics": ["acc"],
                "filter": "none",
                "doc_hash": f"{task}{number}",
                "acc": 1.0,
            }
            for number in range(20)
        ]
        path = folder / f"samples_{task}_2026-01-02T03-04-05.678901.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
    results = {
        "results": {task: {"alias": task, "acc,none": 1.0} for task in tasks},
        "config": {"model": "hf-shared-prefix", "truncated_prompts": record},
    }
    (folder / "results_2026-01-02T03-04-05.678901.json").write_text(json.dumps(results))
    return folder


def cut(count: int, limit: int = 128) -> dict[str, int]:
    return {"prompts": 20, "cut": count, "limit": limit, "tokens": 9} if count else {"prompts": 20, "cut": 0}


@pytest.mark.parametrize(
    ("before", "after", "differs", "unknown"),
    [
        ({"law": cut(3), "art": cut(0)}, {"law": cut(3), "art": cut(0)}, False, ((), ())),
        # The same sums, of other prompts.
        ({"law": cut(12), "art": cut(0)}, {"law": cut(0), "art": cut(12)}, True, ((), ())),
        ({"law": cut(5), "art": cut(2, 128)}, {"law": cut(5), "art": cut(2, 64)}, True, ((), ())),
        # What a log says of one task is not lost because it does not say it of another.
        ({"law": cut(6)}, {"law": cut(1), "art": cut(0)}, True, (("art",), ())),
        ({"law": cut(6)}, {}, False, (("art",), ())),
    ],
)
def test_cut_prompts_are_compared_task_by_task(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], differs: bool, unknown: Any
) -> None:
    comparison = compare(run_with(tmp_path / "a", before), run_with(tmp_path / "b", after))
    (found,) = [item for item in comparison.warnings if isinstance(item, TruncatedPrompts)]
    assert found.differs is differs
    assert (found.unknown_before, found.unknown_after) == unknown
    assert found.before == sum(item["cut"] for item in before.values())
    assert bool(found.clause) is differs


@pytest.mark.parametrize(
    ("lengths", "records", "doubted"),
    [
        ((2048, 128), (None, None), True),
        ((2048, 128), ({"law": cut(0)}, None), True),
        ((2048, 128), ({"law": cut(0)}, {"law": cut(0)}), False),
        ((2048, 2048), (None, None), False),
    ],
)
def test_a_verdict_doubts_another_length_where_a_log_does_not_say_what_was_cut(
    tmp_path: Path, lengths: tuple[int, int], records: Any, doubted: bool
) -> None:
    """As `lm_eval run --model hf` logs it."""
    folders = []
    for number, (length, record) in enumerate(zip(lengths, records, strict=True)):
        folders.append(run_with(tmp_path / str(number), record or {}))
        (results,) = folders[-1].glob("results_*.json")
        content = json.loads(results.read_text()) | {"max_length": length}
        if record is None:
            del content["config"]["truncated_prompts"]
        results.write_text(json.dumps(content))
    comparison = compare(*folders)
    assert ("max_length" in comparison.verdict) is doubted
    assert any("max_length" in note for note in comparison.notes) is (lengths[0] != lengths[1])


def test_beginnings_of_options_are_whole_options_and_json_adds_to_the_first_model(tmp_path: Path) -> None:
    assert other_checkpoint({"pretrained": "a", "dtype": "f"}, '{"peft": "q"}') == {
        "pretrained": "a",
        "dtype": "f",
        "peft": "q",
    }
    with pytest.raises(InputError):
        other_checkpoint({"pretrained": "a"}, " ")
    file = tmp_path / "list.yaml"
    file.write_text("model_args: [pretrained=a, dtype=float32]\ntasks: [x]\n")
    done = CliRunner().invoke(app, ["eval", "--config", str(file), "--also", "b"])
    assert isinstance(done.exception, InputError)


def test_no_requests_have_no_answers(tiny_llama: Path) -> None:
    model = SharedPrefixLM(pretrained=str(tiny_llama), dtype="float32", device="cpu")
    assert model.loglikelihood([]) == []


# One process of an evaluation as `accelerate launch` starts it. lm_eval itself shares requests out on GPUs only.
PROCESS = """
import json, sys
import lm_eval, lm_eval.evaluator
from accelerate import Accelerator
from lm_eval.api import registry
from lm_eval.tasks import TaskManager
import consistency.shared_prefix.model
from consistency.shared_prefix.harness import prepared_harness

kind, tasks, out, arguments, names = *sys.argv[1:4], *map(json.loads, sys.argv[4:])
lm_eval.evaluator.add_env_info = lambda storage: None
accelerator = Accelerator(cpu=True)
with prepared_harness({"model": kind, "model_args": arguments}):
    lm = registry.get_model(kind)(**arguments, device="cpu", batch_size=2)
    lm.accelerator, lm._rank, lm._world_size = accelerator, accelerator.process_index, accelerator.num_processes
    found = lm_eval.simple_evaluate(
        lm, tasks=names, task_manager=TaskManager(include_path=tasks, include_defaults=False), bootstrap_iters=0
    )
if found is not None:
    with open(out, "w") as stream:
        json.dump(found["config"]["truncated_prompts"], stream)
accelerator.end_training()
"""


def test_the_counts_of_all_processes_are_added(
    tasks: Path, tiny_llama: Path, counts: list[dict[str, Any]], tmp_path: Path
) -> None:
    limit = sorted(item["tokens"] for item in counts)[3]
    arguments = {"pretrained": str(tiny_llama), "dtype": "float32", "max_length": limit}
    alone = evaluated(tasks, "hf-shared-prefix", arguments, [LETTERS, WRITES])["config"]["truncated_prompts"]
    assert alone[LETTERS]["cut"] == 4
    (tmp_path / "process.py").write_text(PROCESS)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parents[1]
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(port),
            "ACCELERATE_USE_CPU": "true",
            "PYTHONPATH": str(root),
        }
        words = [str(tasks), str(tmp_path / "counts.json"), json.dumps(arguments), json.dumps([LETTERS, WRITES])]
        command = [sys.executable, str(tmp_path / "process.py"), "hf-shared-prefix", *words]
        processes.append(subprocess.Popen(command, env=environment, stdout=-1, stderr=subprocess.STDOUT, text=True))
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert json.loads((tmp_path / "counts.json").read_text()) == alone
    assert [text.count("lose their beginning") for text in said] == [1, 0]
