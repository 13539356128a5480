"""Damage every other file that the commands read, and run them: a result, or one line and exit code 2, never anything else.

    python scripts/fuzz_files.py --cases 2000

For each kind of file there is a command that reads it: results files, policies, ledgers, experiments, presets, tables, training
sets, explanations, probes, raw records, reports, checkpoints, tokenizers, templates and programs' logs. In a tenth of the cases
the file is left as it is, and in another tenth written in another way that says the same: the command must then print what
it prints for the undamaged file.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fuzz_folders import (
    DOMAIN,
    new_folder,
    write_experiment,
    write_grid,
    write_grid_reports,
    write_logs,
    write_model,
    write_pair,
    write_plan,
    write_raw,
    write_reports,
    write_table,
    write_training,
)
from fuzz_formats import (
    csv_of,
    header_of,
    lines_of,
    parquet_of,
    parquet_rows,
    parquet_written_otherwise,
    parse_yaml,
    rows_of,
    safetensors_of,
    table_of,
    yaml_of,
)
from fuzz_logs import DATE
from fuzzing import JUNK, End, FaultError, as_json, check_end, damage_bytes, damage_json, deep, run_campaign

from consistency.world.model import BASE_MODEL

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


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


_POOL = f"probe/samples_pool_games_icl_{DATE}.jsonl"
_COMPARE = ("compare", "@/before", "@/after", "--json", "-")
_GROUPS = ("groups", "--probe", "@/probe", "--out", "@/out", "--group", "harmonious", "--size", "5")
_GATE = (0, 1, 2, 3)
_CHECK = (0, 1, 2)
_LINES: dict[str, Any] = {"value_of": rows_of, "bytes_of": lines_of}
_YAML: dict[str, Any] = {"value_of": parse_yaml, "bytes_of": yaml_of}
_CSV: dict[str, Any] = {"value_of": table_of, "bytes_of": csv_of}
_PARQUET: dict[str, Any] = {"value_of": parquet_rows, "bytes_of": parquet_of}
_RUN = "tiny/medicine/seed-0"
_OF_A_RUN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("manifest", f"{_RUN}/groups/harmonious.manifest.json", {}),
    ("host", f"{_RUN}/tuned/harmonious/host.json", {}),
    ("config", f"{_RUN}/tuned/harmonious.yml", _YAML),
    ("results file", f"{_RUN}/logs/harmonious/results_{DATE}.json", {}),
    ("log", f"{_RUN}/logs/harmonious/samples_consistency_world_medicine_ift_{DATE}.jsonl", _LINES),
)
_ALIGNING = (*_GROUPS[:-4], "--domain", DOMAIN, "--group", "self_aligning", "--general", "none")
_PACKED = ("experiment", "config", "harmonious", "--preset", "packed", "--base-model", str(BASE_MODEL))
_TEXTS: dict[str, Any] = {"build": write_training, **_LINES}
TARGETS = {
    "results file": Target(f"after/results_{DATE}.json", _COMPARE, write_pair),
    "results file, written": Target(f"after/results_{DATE}.json", (*_COMPARE[:3], "--out", "@/out"), write_pair),
    "policy": Target("gate.yaml", (*_COMPARE[:3], "--policy", "@/gate.yaml"), write_pair, _GATE, **_YAML),
    "ledger": Target("ledger.json", (*_COMPARE[:3], "--policy", "@/gate.yaml"), write_pair, _GATE),
    "experiment, validated": Target(
        "exp.yaml", ("experiment", "validate", "@/exp.yaml"), write_experiment, _CHECK, **_YAML
    ),
    "experiment, planned": Target(
        "exp.yaml", ("experiment", "plan", "@/exp.yaml", "--json"), write_experiment, **_YAML
    ),
    "experiment, grid": Target("world.yaml", ("experiment", "grid", "@/world.yaml"), write_experiment, _CHECK, **_YAML),
    "experiment, status": Target("world.yaml", ("status", "@/world.yaml", "--root", "@"), write_experiment, **_YAML),
    "experiment, checked": Target("exp.yaml", ("domain", "check", "@/exp.yaml"), write_experiment, _CHECK, **_YAML),
    "experiment, config": Target(
        "exp.yaml", ("experiment", "config", "harmonious", "--experiment", "@/exp.yaml"), write_experiment, **_YAML
    ),
    "preset": Target(
        "mine.yml", ("experiment", "config", "harmonious", "--preset", "@/mine.yml"), write_experiment, **_YAML
    ),
    "pool of a domain": Target("pool.jsonl", ("domain", "check", "@/exp.yaml"), write_experiment, _CHECK, **_LINES),
    "test set of a domain": Target("test.csv", ("domain", "check", "@/exp.yaml"), write_experiment, _CHECK, **_CSV),
    "example of a prompt": Target("shot.json", ("domain", "check", "@/exp.yaml"), write_experiment, _CHECK),
    "tasks of a domain": Target(
        "pool.jsonl", ("experiment", "tasks", "@/exp.yaml", "--root", "@/root"), write_experiment, **_LINES
    ),
    "results file of a probe": Target(f"probe/results_{DATE}.json", (*_GROUPS, "--general", "none"), write_training),
    "probe, groups": Target(_POOL, (*_GROUPS, "--general", "none"), write_training, **_LINES),
    "probe, map": Target(_POOL, ("map", "--probe", "@/probe", "--out", "@/out"), write_training, **_LINES),
    "probe, audit": Target(_POOL, ("audit", "@/set.jsonl", "--probe", "@/probe"), write_training, **_LINES),
    "probe, requests": Target(
        _POOL, ("requests", "--probe", "@/probe", "--out", "@/out.jsonl"), write_training, **_LINES
    ),
    "rotations": Target(
        f"cyclic/samples_pool_games_icl_cyclic_{DATE}.jsonl",
        ("rotations", "@/cyclic", "--json", "-"),
        write_training,
        **_LINES,
    ),
    "released rows": Target(
        "released.jsonl",
        ("groups", "--probe", "@/released.jsonl", "--out", "@/out", "--domain", "games", "--general", "none"),
        write_training,
        **_LINES,
    ),
    "texts": Target(
        "texts.jsonl", (*_ALIGNING, "--explanations", "@/texts.jsonl", "--explanation-column", "why"), **_TEXTS
    ),
    "log of explanations": Target(
        f"explained/samples_consistency_explain_{DOMAIN}_{DATE}.jsonl",
        (*_ALIGNING, "--explanations", "@/explained"),
        **_TEXTS,
    ),
    "log of a round": Target(
        f"rounds/round-1/explain/samples_consistency_explain_{DOMAIN}_{DATE}.jsonl",
        (*_ALIGNING, "--explanations", "@/rounds"),
        **_TEXTS,
    ),
    "requests of a round": Target(
        "rounds/round-1/requests.jsonl",
        (
            "rounds",
            "@/rounds",
            "--requests",
            "@/requests.jsonl",
            "--explain",
            "consistency_explain_games",
            "--check",
            "x",
        ),
        **_TEXTS,
    ),
    "training rows": Target(
        "rows.jsonl",
        (*_PACKED, "--rows", "@/rows.jsonl"),
        **_TEXTS,
    ),
    "general, JSON": Target("general.json", (*_GROUPS, "--general", "@/general.json"), write_training),
    "general, JSON lines": Target(
        "general.jsonl", (*_GROUPS, "--general", "@/general.jsonl"), write_training, **_LINES
    ),
    "evaluation set": Target(
        "eval.jsonl", ("leakage", "@/pool.jsonl", "--guard", "@/eval.jsonl"), write_training, **_LINES
    ),
    "pool": Target("pool.jsonl", ("leakage", "@/pool.jsonl", "--guard", "@/eval.jsonl"), write_training, **_LINES),
    "training set, JSON": Target("set.json", ("audit", "@/set.json", "--probe", "@/probe"), write_training),
    "training set, JSON lines": Target(
        "set.jsonl", ("audit", "@/set.jsonl", "--probe", "@/probe"), write_training, **_LINES
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
        write_training,
        **_LINES,
    ),
    "Xiezhi": Target("xiezhi.json", ("convert", "@/xiezhi.json", "@/out.jsonl", "--from", "xiezhi"), write_raw),
    "MedMCQA": Target(
        "medmcqa.jsonl", ("convert", "@/medmcqa.jsonl", "@/out.jsonl", "--from", "medmcqa"), write_raw, **_LINES
    ),
    "CMMLU": Target("cmmlu/test/agronomy.csv", ("convert", "@/cmmlu", "@/out", "--from", "cmmlu"), write_raw, **_CSV),
    "report": Target("a/report.json", ("report", "--compare", "@/a", "@/b"), write_reports),
    "report of a grid": Target("a/report.json", ("report", "--compare", "@/a", "@/b"), write_grid_reports),
    "items of a grid": Target("b/items.parquet", ("report", "--compare", "@/a", "@/b"), write_grid_reports, **_PARQUET),
    "items of a report": Target("b/items.parquet", ("report", "--compare", "@/a", "@/b"), write_reports, **_PARQUET),
    "report of a plan": Target("a/report.json", ("experiment", "plan", "@/world.yaml", "--report", "@/a"), write_plan),
    "config of a model": Target("model/config.json", ("checkpoint", "@/model"), write_model),
    "weights of a model": Target(
        "model/model.safetensors", ("checkpoint", "@/model"), write_model, value_of=header_of, bytes_of=safetensors_of
    ),
    "tokenizer of a model": Target("model/tokenizer.json", ("checkpoint", "@/model"), write_model),
    "template of a model": Target("model/chat_template.jinja", ("checkpoint", "@/model"), write_model, value_of=None),
    "tokenizer": Target("model/tokenizer.json", ("check-tokenizer", "@/model"), write_model, _CHECK),
    "tokenizer's config": Target("model/tokenizer_config.json", ("check-tokenizer", "@/model"), write_model, _CHECK),
    "template": Target(
        "model/chat_template.jinja",
        ("check-tokenizer", "@/model", "--template", "@/model/chat_template.jinja"),
        write_model,
        _CHECK,
        value_of=None,
    ),
    "Snakemake's log": Target("s.log", ("failures", "@/s.log"), write_logs, value_of=None),
    "a program's log": Target("logs/a.log", ("failures", "@/s.log"), write_logs, value_of=None),
    **{
        f"{name} of a run": Target(
            f"root/{file}", ("report", "@/grid.yaml", "--root", "@/root", "--out", "@/out"), write_grid, **how
        )
        for name, file, how in _OF_A_RUN
    },
    **{
        f"table in {name}": Target(
            name, ("domain", "new", DOMAIN, "--out", "@/out", "--from", f"@/{name}"), write_table, **how
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
    folder = new_folder()
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
    # A config names a digest of the bytes that it trains on.
    if target.value_of is rows_of and target.file != "rows.jsonl":
        return b"".join(json.dumps(row, separators=(" , ", " : ")).encode() + b"\r\n" for row in rows_of(content))
    if target.value_of is table_of:
        return b"\xef\xbb\xbf" + content.replace(b"\r\n", b"\n")
    # A preset's own text is repeated in the config.
    if target.value_of is parse_yaml and target.file != "mine.yml":
        flow = bool(rng.random() < 0.5)
        return b"# A comment\n" + yaml.safe_dump(parse_yaml(content), sort_keys=False, default_flow_style=flow).encode()
    if target.value_of is parquet_rows:
        return parquet_written_otherwise(content)
    return content


def case(seed: int, folder: Path, called: Callable[[list[str]], End]) -> tuple[str, str]:
    """One file and the command that reads it."""
    rng = np.random.default_rng(seed)
    # A report of a grid takes seconds.
    slow = [name for name, target in TARGETS.items() if target.build is write_grid]
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
