"""Experiments whose values mean something to a shell, Snakemake, YAML or lm_eval: taken as they are written, or refused.

Each file is given to the real Snakemake. What `validate` lets through is executed, with its folder, the scripts and the
environment in paths as odd as its values. Commands that hide in a value would leave a file PWNED behind. The programs below the
shells are recorded instead of run, so that every word is compared; one grid runs with the real ones.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from consistency.experiment.reading import read_experiment
from consistency.support.resources import shipped
from consistency.world.model import BASE_MODEL

pytest.importorskip("snakemake")
pytest.importorskip("axolotl")

GOOD = {
    "name": "odd",
    "models": {"m": "embedded"},
    "domains": ["medicine"],
    "groups": ["harmonious"],
    "seeds": [0],
    "size": 2,
    "limit": 6,
    "axolotl": "--launcher python --num-epochs 1",
}
# What a path can hold on Linux. Each is the name of a model's folder, of a file of instructions, and so on.
NAMES = [
    "it's",
    'a "b"',
    "a b",
    " a ",
    "$HOME",
    "$(touch PWNED)",
    "`touch PWNED`",
    "'$(touch PWNED)'",
    '";touch PWNED;"',
    "a;touch PWNED",
    "a&&touch PWNED",
    "a|tee PWNED",
    "a>PWNED",
    "a\ntouch PWNED\n",
    "back\\slash",
    "*?[a]",
    "-rf",
    "--help",
    "é漢字🙂",
    "a,b",
    "a=b",
    "{model}",
    "{{seed}} {params.model} {0}",
    "%s %(a)s",
    "#no comment",
    "!history",
    "123",
    "1e5",
    "true",
    "None",
    "'quoted'",
    "['a']",
    '{"a": 1}',
    "a: b",
    "- a",
    "&anchor *alias",
    "~",
    "tab\tcr\resc\x1b[2J",
    "a\u2028 \x85b",
]
# A key, its odd value, and what else the experiment has.
ODD: list[dict[str, Any]] = [
    *({"name": name} for name in ("con", "nul", "report", "world.lora", "_", "1", "a" * 100)),
    *(
        {"models": {name: "embedded"}}
        for name in ("con", "claims", "logs", "base", "seed-0", "medicine", "none", "a.log")
    ),
    {"models": {"m": ".//models/./it's"}},
    {"lm_eval": '--batch_size 4 --gen_kwargs \'{"temperature": 0, "until": ["$(touch PWNED)"]}\''},
    {"lm_eval": "--gen_kwargs until='$(touch PWNED)' --verbosity INFO"},
    {"model_args": {"dtype": "float32", "cache_dir": "a, {model} = '$(touch PWNED)'"}},
    {"model_args": '{"dtype": "float32", "cache_dir": "`touch PWNED`"}'},
    {"model_args": " dtype=float32 , cache_dir=$(touch PWNED), "},
    {"axolotl": "--launcher python --wandb-name '$(touch PWNED)' --wandb-project \"a: b\n- {c} # d\""},
    {"axolotl": "--launcher torchrun --num-epochs 1 -- --log_dir '$(touch PWNED) it'\"'\"'s'"},
    {"recipes": {"con": ["world-cpu"], "a.b-c": ["world-cpu"]}},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    *(({"name": name}, "name: ") for name in ("", ".", "..", ".x", "a/b", "a b", "-x", "$(touch PWNED)", "a\n", "a" * 101)),
    *(({"models": {name: "embedded"}}, "models: ") for name in ("report", "Report", "TASKS", "report.log", ".snakemake", "..")),
    *(({"models": {name: "embedded"}}, "models: ") for name in ("a/b", "it's", "{x}", "$(touch PWNED)", "-rf", "é", ".lock")),
    ({"models": {"m": "embedded", "M": "embedded"}}, "differ in nothing but case"),
    ({"models": {"A": "embedded"}, "recipes": {"r": "world-cpu", "R": "world-cpu"}}, "differ in nothing but case"),
    ({"recipes": {"$(touch PWNED)": "world-cpu"}}, "recipes: "),
    ({"models": {"m": "x'$(touch PWNED)'"}}, "models: m: "),
    ({"models": {"m": "a" * 300}}, "models: m: "),
    ({"models": {"m": "a\0b"}}, "models: m: 'a\\x00b' has a NUL"),
    ({"models": {"m": "a\ud800"}}, "half a surrogate pair"),
    ({"models": {"m": ".."}}, "models: m: '..'"),
    ({"domains": {"$(touch PWNED)": {"pool": "p", "test": "t", "dev": "d"}}, "tasks": "paper", "general": "none"}, "domains: "),
    ({"domains": ["medicine; touch PWNED"]}, "no domain"),
    ({"groups": ["harmonious; touch PWNED"]}, "no intervention group"),
    ({"groups": ["mixed_0.4; touch PWNED"]}, "no intervention group"),
    ({"seeds": ["0; touch PWNED"]}, "seeds: "),
    ({"size": "2; touch PWNED"}, "size: "),
    ({"limit": "$(touch PWNED)"}, "limit: "),
    ({"threshold": "`touch PWNED`"}, "threshold: "),
    ({"device": "cpu; touch PWNED"}, "device: "),
    ({"devices": "1; touch PWNED"}, "devices: "),
    ({"every_epoch": "$(touch PWNED)"}, "every_epoch: "),
    ({"explanation_attempts": "$(touch PWNED)"}, "explanation_attempts: "),
    ({"probes": ["$(touch PWNED)"]}, "probes: "),
    ({"learning_rate": "$(touch PWNED)"}, "learning_rate: "),
    ({"preset": "$(touch PWNED)"}, "no preset"),
    ({"preset": ["world-cpu", "remote.yml"]}, "trust_remote_code"),
    ({"guard": "$(touch PWNED)"}, "guard: "),
    ({"guard": "a" * 300}, "guard: "),
    ({"general": "a/" * 2500}, "general: "),
    ({"template": "a" * 300 + ".jinja"}, "template: "),
    ({"preset": "a" * 300 + ".yml"}, "preset: "),
    ({"lm_eval": "--batch_size 4 --"}, "lm_eval: --;"),
    ({"general": "$(touch PWNED)"}, "general: "),
    ({"template": "$(touch PWNED).jinja"}, "PWNED"),
    ({"context_model": "x'$(touch PWNED)'"}, "context_model: "),
    ({"model_args": "dtype=float32'$(touch PWNED)'"}, "model_args: dtype="),
    ({"model_args": 'x={"a": 1}'}, "model_args: "),
    ({"model_args": "$(touch PWNED)"}, "model_args: "),
    ({"model_args": "-x=1"}, "model_args: "),
    ({"model_args": "a b=1"}, "model_args: "),
    ({"model_args": "{a: 1"}, "model_args: "),
    ({"model_args": '{"a": ' + "[" * 5000}, "model_args: "),
    ({"model_args": {"when": [{1, 2}]}}, "model_args: "),
    ({"model_args": "trust_remote_code=True"}, "model_args: trust_remote_code"),
    ({"lm_eval": "; touch PWNED"}, "lm_eval: "),
    ({"lm_eval": "$(touch PWNED)"}, "lm_eval: "),
    ({"lm_eval": "--batch_size '$(touch PWNED)'"}, "lm_eval: "),
    ({"lm_eval": "--incl /tmp"}, "lm_eval: --incl, short for --include_path"),
    ({"lm_eval": "--also other"}, "lm_eval: --also"),
    ({"lm_eval": "--own-tasks other"}, "lm_eval: --own-tasks"),
    ({"lm_eval": "--trust_remote_code"}, "lm_eval: --trust_remote_code"),
    ({"lm_eval": "--gen_kwargs '{temperature}'"}, "lm_eval: "),
    ({"lm_eval": "--help"}, "lm_eval: "),
    ({"lm_eval": "'"}, "lm_eval: "),
    ({"lm_eval": "x" * 20_000}, "lm_eval: "),
    ({"axolotl": "; touch PWNED"}, "axolotl: "),
    ({"axolotl": "--learning-rate=$(touch${IFS}PWNED)"}, "axolotl: --learning-rate"),
    ({"axolotl": "--launcher 'python; touch PWNED'"}, "axolotl: --launcher"),
    ({"axolotl": "--launcher torchrun -- --no-python touch PWNED"}, "axolotl: torchrun would start 'touch'"),
    ({"axolotl": "--launcher accelerate -- evil.py"}, "axolotl: accelerate would start 'evil.py'"),
    ({"axolotl": "--trust-remote-code"}, "axolotl: a flag for trust_remote_code"),
]  # fmt: skip
IDS = [f"{next(iter(changes))}-{number}" for number, (changes, _) in enumerate(REFUSED)]
QUESTION = {
    "question": "{} of these?",
    "choices": ["flu", "cold", "cough", "pain"],
    "answer": 0,
    "explanation": "Flu is.",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose own name is odd."""
    folder = tmp_path / "my dir it's {model} $(touch PWNED)"
    folder.mkdir()
    (folder / "remote.yml").write_text("trust_remote_code: true\n")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CONSISTENCY_DATA", raising=False)
    return folder


def written(folder: Path, changes: dict[str, Any]) -> Path:
    """An experiment's file with an odd name."""
    path = folder / "e {group} it's.yaml"
    path.write_text(yaml.dump(GOOD | changes))
    return path


def unharmed(folder: Path) -> bool:
    """Whether no command has left its file."""
    return not [path for path in folder.rglob("*") if path.name == "PWNED"]


def questions(path: Path) -> None:
    path.write_text("".join(json.dumps(QUESTION | {"question": f"Which {n} of these?"}) + "\n" for n in range(8)))


def with_name(folder: Path, name: str) -> dict[str, Any]:
    """An experiment in which every path has one odd name."""
    (folder / name).symlink_to(BASE_MODEL)
    (folder / f"{name}.jinja").write_text((BASE_MODEL / "chat_template.jinja").read_text())
    (folder / f"{name}.json").write_text('[{"instruction": "Say yes.", "input": "", "output": "Yes."}]')
    (folder / f"{name}.yml").write_text("weight_decay: 0.1\n")
    (folder / f"{name} guard").mkdir()
    questions(folder / f"{name} guard" / "x.jsonl")
    return {
        "models": {"m": name},
        "context_model": name,
        "groups": ["contextualized"],
        "template": f"{name}.jinja",
        "general": f"{name}.json",
        "guard": f"{name} guard",
        "preset": ["world-cpu", f"{name}.yml"],
    }


def own_domain(folder: Path, name: str) -> dict[str, Any]:
    """An experiment on questions in files with an odd name."""
    for split in ("pool", "test", "dev"):
        with (folder / f"{name} {split}.jsonl").open("w") as stream:
            for number in range(8):
                # No two have words in common.
                words = " ".join(f"{split}{number}{letter}" for letter in "abcdefgh")
                row = QUESTION | {"question": words, "choices": [f"{split}{number}{letter}" for letter in "wxyz"]}
                stream.write(json.dumps(row) + "\n")
    header = " ".join(name.split()).replace("\x1b", "")
    files: dict[str, Any] = {split: f"{name} {split}.jsonl" for split in ("pool", "test", "dev")}
    domain = files | {"ood": [], "header": header or "odd"}
    return {"tasks": "paper", "general": "none", "domains": {"sport": domain}}


@pytest.mark.parametrize(("changes", "problem"), REFUSED, ids=IDS)
def test_what_no_program_could_take_is_refused_in_one_line(
    folder: Path, call: Callable[..., tuple[int, str, str]], changes: dict[str, Any], problem: str
) -> None:
    path = written(folder, changes)
    for command in ("validate", "grid"):
        code, out, error = call("experiment", command, path)
        assert (code, out) == (2, "")
        assert len(error.splitlines()) == 1, error
        assert problem in error
        assert error.isprintable() or error[:-1].isprintable()
    assert unharmed(folder.parent)


def test_an_error_names_the_file_and_the_line(folder: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    path = folder / "e.yaml"
    path.write_text(
        "name: odd\n\nmodels:\n  m: embedded\n  Report: embedded\ndomains: [medicine]\ngroups: [harmonious]\nseeds: [0]\n"
    )
    _, _, error = call("experiment", "validate", path)
    assert error.startswith(f"consistency: {path}:3: models: 'Report'")
    path.write_text(path.read_text().replace("Report: embedded", "b: ..\nlm_eval: --limit 3"))
    _, _, error = call("experiment", "validate", path)
    assert error.startswith(f"consistency: {path}:6: lm_eval: --limit; expected ")


RECORDER = """#!{python} -SE
import json, os, sys
words = sys.argv[1:]
if words[:2] in (["experiment", "grid"], ["experiment", "config"], ["experiment", "tasks"]) or words[0] == "status":
    os.execve({python!r}, [{own!r}, "-m", "consistency.cli", *words], os.environ | {{"PYTHONEXECUTABLE": {own!r}}})
with open({record!r}, "a") as stream:
    stream.write(json.dumps([os.path.basename(sys.argv[0]), *words]) + "\\n")
def after(flag): return words[words.index(flag) + 1]
if words[0] == "eval":
    os.makedirs(after("--output_path"))
elif words[0] in ("report", "map") or words[:2] == ["experiment", "tokenizer"]:
    os.makedirs(after("--out"))
elif words[0] == "groups":
    open(os.path.join(after("--out"), after("--group") + ".jsonl"), "w").close()
elif words[0] == "requests":
    open(after("--out"), "w").close()
elif words[0] == "world-model":
    os.makedirs(words[1])
elif words[0] == "train":
    group = words[1].removeprefix("tuned/").removesuffix(".yml")
    os.makedirs("tuned/" + group + ".partial")
    open("tuned/" + group + ".partial/debug.log", "w").write("Training completed!")
"""


class Grid:
    """Snakemake in an environment and with scripts whose paths are odd, and programs that are recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder.parent / 'it\'s {seed} "env" $(touch PWNED)'
        self.bin, self.scripts = home / "bin", folder.parent / "scripts it's {x} $(touch PWNED)"
        self.bin.mkdir(parents=True)
        real = Path(sys.executable)
        (home / "pyvenv.cfg").write_text(f"home = {Path(os.path.realpath(real)).parent}\n")
        (home / "lib").symlink_to(Path(sys.prefix) / "lib")
        (self.bin / "python").symlink_to(os.path.realpath(real))
        self.record = folder.parent / "record.jsonl"
        for name in ("consistency", "axolotl"):
            text = RECORDER.format(python=os.path.realpath(real), own=str(real), record=str(self.record))
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        shutil.copytree(shipped("scripts/Snakefile").parent, self.scripts, ignore=shutil.ignore_patterns("experiments"))

    def run(self, path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / "python"), "-m", "snakemake", "--snakefile", str(self.scripts / "Snakefile")]
        command += ["--configfile", str(path), "--cores", "2", *flags]
        root = str(shipped("lm_eval_tasks").parent)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)

    def calls(self, *first: str) -> list[list[str]]:
        """The words of the programs that were called so."""
        found = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [words for words in found if words[: len(first)] == list(first)]


@pytest.fixture
def grid(folder: Path) -> Grid:
    return Grid(folder)


def after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def lm_eval_reads(words: list[str]) -> argparse.Namespace:
    """What lm_eval's own parser makes of an evaluation's words."""
    from lm_eval._cli.run import Run

    parser = argparse.ArgumentParser()
    Run.create(parser.add_subparsers(dest="command"))
    if "--own-tasks" in words:
        place = words.index("--own-tasks")
        words = words[:place] + words[place + 2 :]
    return parser.parse_args(["run", *words[2:]])


def check(grid: Grid, path: Path, rerun: bool = False) -> None:
    """Run a grid dry and for good, and compare what every program was given with what the file says."""
    for flags in (["--dry-run"], []):
        done = grid.run(path, *flags)
        assert done.returncode == 0, done.stderr[-3000:]
        assert unharmed(grid.folder.parent), flags
    experiment = read_experiment(path, "runs")
    given = yaml.safe_load(path.read_text())
    sources = experiment.sources
    root = Path("runs", experiment.name)
    experiment = replace(experiment, root=root)
    asked: dict[str, argparse.Namespace] = {}
    for words in grid.calls("consistency", "eval"):
        read = lm_eval_reads(words)
        asked[read.output_path] = read
    expected_args = experiment.model_args
    arguments = json.loads(expected_args) if expected_args.startswith("{") else dict(
        part.split("=", 1) for part in expected_args.split(",")
    )  # fmt: skip
    for model in dict.fromkeys(experiment.recipe(name).base for name in experiment.models):
        embedded = sources[model] == "embedded"
        pretrained = f"{root}/{model}/base/model" if embedded else sources[model]
        probe = asked[f"{root}/{model}/base/logs/icl.partial"]
        assert probe.model_args == {"pretrained": pretrained, **arguments}
        zero = asked[f"{root}/{model}/base/logs/ift.partial"]
        assert zero.model_args == {"pretrained": pretrained, "tokenizer": f"{root}/{model}/base/tokenizer", **arguments}
        if isinstance(given.get("lm_eval"), str):
            flags = lm_eval_reads(["consistency", "eval", *shlex.split(given["lm_eval"])])
            assert (probe.gen_kwargs, zero.gen_kwargs) == (flags.gen_kwargs, flags.gen_kwargs)
        if experiment.context_model:
            context = asked[f"{root}/{model}/base/logs/context.partial"]
            assert context.model_args["pretrained"] == experiment.context_model
            assert context.metadata["requests"] == f"{root}/{model}/base/context_requests.jsonl"
    tokenizers = grid.calls("consistency", "experiment", "tokenizer")
    template = experiment.template
    wanted = str(grid.folder / template) if template.endswith(".jinja") else template
    assert {after(words, "--template") for words in tokenizers} == {wanted}
    assert {words[-1] for words in tokenizers if words[-2] == "--"} == {
        f"{root}/{name}/base/model" if source == "embedded" else source for name, source in sources.items()
    }
    for words in grid.calls("consistency", "groups"):
        assert after(words, "--general") == experiment.general
        guards = [words[place + 1] for place, word in enumerate(words) if word == "--guard"]
        assert guards[: bool(experiment.guard)] == [experiment.guard] * bool(experiment.guard)
    trained = grid.calls("axolotl", "train")
    assert len(trained) == len(list(experiment.runs()))
    assert all(shlex.join(words[3:]) == experiment.flags.command_line for words in trained)
    for run in experiment.runs():
        base = experiment.recipe(run.model).base
        name = f"{root}/{base}/base/model" if sources[base] == "embedded" else sources[base]
        config = yaml.safe_load(
            (grid.folder / root / run.model / run.domain / f"seed-{run.seed}/tuned/{run.group}.yml").read_text()
        )
        assert config["base_model"] == f"{grid.folder}/{name}"
        assert config.keys() == experiment.config(run.model, run.group, {"seed": run.seed}).values.keys()
        for flag in experiment.flags.settings:
            if flag.key.startswith("wandb"):
                assert config[flag.key] == flag.value
    (report,) = grid.calls("consistency", "report")
    assert report[2] == str(path)
    if not rerun:
        return
    # Nothing is left to do.
    count = len(grid.calls())
    assert "Nothing to be done" in grid.run(path).stderr
    assert len(grid.calls()) == count
    assert {place.name for place in (grid.folder / root).iterdir()} >= {*experiment.models, "report"}


# Each takes some ten seconds: an eighth of them, and all where this is set.
EVERY = 1 if os.environ.get("CONSISTENCY_EVERY_NAME") else 8


@pytest.mark.parametrize("name", NAMES[::EVERY], ids=range(0, len(NAMES), EVERY))
def test_a_path_with_an_odd_name_works_in_every_key(folder: Path, grid: Grid, name: str) -> None:
    check(grid, written(folder, with_name(folder, name)))


@pytest.mark.parametrize("changes", ODD[::EVERY], ids=lambda item: next(iter(item)))
def test_an_odd_value_works(folder: Path, grid: Grid, changes: dict[str, Any]) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "it's").symlink_to(BASE_MODEL)
    check(grid, written(folder, changes), rerun=True)


@pytest.mark.parametrize("name", [NAMES[6], NAMES[22]], ids=range(2))
def test_an_own_domain_in_files_with_an_odd_name_works(folder: Path, grid: Grid, name: str) -> None:
    check(grid, written(folder, own_domain(folder, name)))


def test_what_snakemake_is_told_is_taken_as_it_is_written(folder: Path, grid: Grid) -> None:
    (folder / "gu'ard {seed}").mkdir()
    questions(folder / "gu'ard {seed}" / "x.jsonl")
    path = written(folder, {})
    done = grid.run(path, "--config", "guard=gu'ard {seed}", "axolotl=--wandb-name '$(touch PWNED)' --launcher python")
    assert done.returncode == 0, done.stderr[-3000:]
    assert unharmed(folder.parent)
    assert all(after(words, "--guard") == "gu'ard {seed}" for words in grid.calls("consistency", "groups"))
    config = yaml.safe_load((folder / "runs/odd/m/medicine/seed-0/tuned/harmonious.yml").read_text())
    assert config["wandb_name"] == "$(touch PWNED)"


def test_the_environment_is_no_command(folder: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "$(touch PWNED),`touch PWNED`")
    done = grid.run(written(folder, {"device": "cuda:1"}), "--until", "probe")
    assert done.returncode == 0, done.stderr[-3000:]
    assert unharmed(folder.parent)


def test_snakemake_ends_with_the_one_line_and_its_code(folder: Path, grid: Grid) -> None:
    for changes, problem in (REFUSED[0], REFUSED[31], REFUSED[-2]):
        done = grid.run(written(folder, changes), "--dry-run")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert problem in line
    assert unharmed(folder.parent)


def test_the_real_programs_take_such_values(folder: Path) -> None:
    """A whole grid: lm_eval, the training rows, Axolotl, the check of the model, lm_eval again, and the report."""
    name = "it's, {model} = $HOME `touch PWNED`\n\\ *?[a] é; touch PWNED"
    values = with_name(folder, name)
    (folder / f"{name}.json").write_text(
        json.dumps([{"instruction": f"Say {n}.", "input": "", "output": f"{n}."} for n in range(4)])
    )
    del values["context_model"]
    cache = "a, {model} '$(touch PWNED)'"
    values |= {
        "groups": ["harmonious"],
        "lm_eval": "--batch_size 4 --gen_kwargs '{\"temperature\": 0}'",
        "model_args": {"dtype": "float32", "cache_dir": cache},
        "axolotl": "--launcher python --num-epochs 1 --wandb-name '$(touch PWNED)'",
    }
    path = written(folder, values)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(shipped("scripts/Snakefile"))]
    command += ["--configfile", str(path), "--cores", "2", "--show-failed-logs"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert unharmed(folder.parent)
    root = folder / "runs/odd"
    for place, model in (
        ("m/base/logs/icl", {"pretrained": name}),
        ("m/base/logs/ift", {"pretrained": name, "tokenizer": "runs/odd/m/base/tokenizer"}),
        ("m/medicine/seed-0/logs/harmonious", {"pretrained": "runs/odd/m/medicine/seed-0/tuned/harmonious"}),
    ):
        (results,) = (root / place).rglob("results_*.json")
        config = json.loads(results.read_text())["config"]
        assert config["model_args"] == {**model, "dtype": "float32", "cache_dir": cache}
        assert config["gen_kwargs"] == {"temperature": 0}
    trained = yaml.safe_load((root / "m/medicine/seed-0/tuned/harmonious.yml").read_text())
    assert (trained["base_model"], trained["wandb_name"]) == (f"{folder}/{name}", "$(touch PWNED)")
    manifest = json.loads((root / "m/medicine/seed-0/groups/harmonious.manifest.json").read_text())
    assert manifest["guard"]["evaluation_sets"] == [f"{name} guard/x.jsonl"]
    assert (root / "report" / "report.json").is_file()
