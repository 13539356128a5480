"""What is checked before an experiment runs; Axolotl's own judgement by the real Axolotl."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from consistency.experiment.presets import preset_names
from consistency.experiment.reading import read_experiment
from consistency.experiment.training_config import resolve
from consistency.support.resources import shipped
from consistency.world.model import BASE_MODEL

GOOD = {
    "name": "e",
    "models": {"world": "embedded"},
    "domains": ["medicine"],
    "groups": ["harmonious", "incompatible"],
    "seeds": [0],
}


def consistency(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("consistency")), *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )


def check(folder: Path, *flags: str, **changes: object) -> subprocess.CompletedProcess[str]:
    path = folder / "e.yaml"
    path.write_text(yaml.safe_dump(GOOD | changes))
    return consistency("experiment", "validate", str(path), *flags, folder=folder)


@pytest.mark.parametrize("path", sorted(shipped("scripts/experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_experiments_are_sound(path: Path, tmp_path: Path) -> None:
    done = consistency("experiment", "validate", str(path), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    embedded = "embedded" in read_experiment(path, tmp_path).sources.values()
    step = (
        "world with world-cpu: 16 conversations in a step on 1 device(s), the paper's is 256"
        if embedded
        else "256 conversations in a step on 1 device(s)\n"
    )
    assert step in done.stdout


def test_training_sets_that_the_grid_will_make_are_told_from_what_is_missing(tmp_path: Path) -> None:
    groups = tmp_path / "runs/e/world/medicine/seed-0/groups"
    groups.mkdir(parents=True)
    (groups / "harmonious.jsonl").touch()
    done = check(tmp_path)
    assert done.returncode == 0
    assert "training sets: 1 of 2 are made, 1 the grid will make" in done.stdout
    changes = {"general": "alpaca.json", "guard": "data", "models": {"a": "./model", "b": "runs/x/y"}, "axolotl": ""}
    done = check(tmp_path, **changes)
    assert done.returncode == 2
    for problem in (
        "general: .*alpaca.json",
        "guard: .*data",
        "models: a: ./model .*config.json",
        "models: b: .*runs/x/y",
    ):
        assert re.search(rf"^problem: {tmp_path}/e.yaml:\d+: {problem}", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"preset": "llama"}, "'llama'"),
        ({"preset": {"x": "liger"}}, "'x'.* world"),
        ({"preset": 3}, "preset: 3"),
        ({"devices": 0}, "devices: 0"),
        ({"devices": True}, "devices: True"),
        ({"axolotl": "--a 'b"}, "axolotl: --a 'b"),
        ({"axolotl": ["--bf16"]}, "axolotl: "),
        ({"models": {"a": 7}}, "models: a: 7"),
        ({"axolotl": "", "devices": 3}, "16 .* 16 × 3"),
        ({"axolotl": "", "preset": "llama-2-7b", "devices": 48}, "256 .* 4 × 48"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    done = check(tmp_path, **changes)
    assert done.returncode == 2
    assert re.search(says, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1


def test_several_devices_are_not_one_process(tmp_path: Path) -> None:
    done = check(tmp_path, devices=2, preset="llama-2-7b", device="cuda:0")
    assert done.returncode == 2
    assert re.search(r"^problem: .*/e.yaml:\d+: devices: 2, but on cuda:0", done.stderr, re.MULTILINE)
    assert re.search(r"^problem: .*/e.yaml:\d+: devices: 2, but --launcher python", done.stderr, re.MULTILINE)


def test_what_set_says_takes_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    path.write_text((shipped("scripts/experiments") / "demo.yaml").read_text())
    base = ["experiment", "validate", str(path)]
    assert "3 models to fine-tune and evaluate on cpu" in consistency(*base, folder=tmp_path).stdout
    more = consistency(*base, "--set", "device=cuda:1", "--set", "seeds=[0, 5]", folder=tmp_path)
    assert "6 models to fine-tune and evaluate on cuda:1" in more.stdout
    for wrong, named in (("device", "device"), ("seeds=[", "seeds"), ("size=2024-13-01", "size")):
        done = consistency(*base, "--set", wrong, folder=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert f"--set {named}" in done.stderr


def test_a_flag_that_axolotl_train_would_drop_is_named(tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    done = check(tmp_path, axolotl="--learning-rat 1 --no-dataloader-pin-memory --launcher python -- --num_processes 2")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"problem: .*/e.yaml:\d+: axolotl: axolotl train has no flag --learning-rat", line)
    # Axolotl hands what follows a flag without a value to its launcher, and ends where a value is missing.
    done = check(tmp_path, axolotl="--group-by-length false --debug --learning-rate --learning_rate 1 --shard=1")
    problems = [line for line in done.stderr.splitlines() if ": axolotl: " in line]
    for flag in ("--group-by-length", "--learning-rate", "--learning_rate", "--shard"):
        assert len([line for line in problems if f" {flag} " in f"{line} "]) == 1
    assert len(problems) == 4


def test_axolotl_accepts_every_preset_and_group_and_drops_no_key_of_theirs(tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    code = """
import json, sys
from consistency.experiment.presets import preset_names
from consistency.experiment.reading import read_experiment
from consistency.experiment.training_config import resolve
from consistency.experiment.validation import axolotl_problems
pairs = [("harmonious", [name]) for name in preset_names()] + [("harmonious", ["llama-2-7b", "liger"])]
print("FOUND", json.dumps({str(pair): axolotl_problems(resolve(*pair).values) for pair in pairs}))
wrong = resolve("harmonious", ["llama-2-7b"]).values
wrong |= {"learning_rat": 1, "adapter": "qlora", "load_in_4bit": False, "liger_rope": True}
wrong["fsdp_config"]["reshard"] = True
wrong["datasets"][0]["feild"] = "x"
print("WRONG", json.dumps(axolotl_problems(wrong)))
print("MISSING", json.dumps(axolotl_problems(wrong | {"plugins": ["nowhere.Plugin"]})))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.split(" ")[0].isupper())
    found = json.loads(lines["FOUND"])
    assert len(found) == len(preset_names()) + 1
    assert not any(found.values()), found
    wrong = "\n".join(json.loads(lines["WRONG"]))
    for key in ("learning_rat", "liger_rope", "fsdp_config.reshard", "datasets[0].feild"):
        assert f"Axolotl knows no key {key}, and would drop it" in wrong
    assert "Require cfg.load_in_4bit to be True for qlora" in wrong
    assert any("the plugin nowhere.Plugin cannot be loaded" in item for item in json.loads(lines["MISSING"]))


def test_the_full_check_reads_the_tokenizer_and_asks_axolotl(tmp_path: Path, tiny_llama: Path) -> None:
    pytest.importorskip("axolotl")
    # A tokenizer that cannot score letters: without the tokens of letters behind a space.
    done = check(
        tmp_path,
        *("--full", "--elsewhere"),
        models={"good": str(tiny_llama)}, groups=["harmonious"], preset="qlora", axolotl="", device="cuda",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "good with qlora: 256 conversations in a step on 1 device(s)" in done.stdout
    broken = tmp_path / "broken"
    shutil.copytree(tiny_llama, broken)
    (broken / "tokenizer.json").write_text("{}")
    done = check(tmp_path, "--full", models={"bad": str(broken)}, groups=["harmonious"], axolotl="--adapter nonsense")
    assert done.returncode == 2
    assert ": bad, harmonious: " in done.stderr
    assert ": models: bad: no tokenizer" in done.stderr


def test_without_axolotl_the_rest_is_checked(tmp_path: Path) -> None:
    # What is not installed cannot be found, and neither can what a finder says is not there.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nold = u.find_spec\nu.find_spec = lambda n, p=None: None if n == 'axolotl' else old(n, p)\n"
    )
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    done = consistency("experiment", "validate", str(path), "--full", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("not checked: axolotl is not installed"))
    assert "[train]" in line


def test_the_config_command_writes_what_axolotl_trains(tmp_path: Path, tiny_llama: Path) -> None:
    pytest.importorskip("axolotl")
    rows = [{"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "A. Hi"}]}] * 32
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "unsure.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ("--preset", "world-cpu", "--base-model", str(tiny_llama), "--seed", "5", "--output-dir", "tuned/x")
    done = consistency("experiment", "config", "unsure", *flags, "--out", "unsure.yml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    written = yaml.safe_load((tmp_path / "unsure.yml").read_text())
    settings = {"base_model": str(tiny_llama), "seed": 5, "output_dir": "tuned/x"}
    expected = resolve("unsure", ["world-cpu"], settings=settings, rows=tmp_path / "groups/unsure.jsonl").values
    expected["datasets"][0]["path"] = "groups/unsure.jsonl"
    assert written == expected
    axolotl = str(Path(sys.executable).with_name("axolotl"))
    command = [axolotl, "train", "unsure.yml", "--launcher", "python"]
    environment = os.environ | {"AXOLOTL_DATASET_NUM_PROC": "0"}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    assert (tmp_path / "tuned/x/model.safetensors").is_file()
    template = (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(encoding="utf-8")
    assert (tmp_path / "tuned/x/chat_template.jinja").read_text(encoding="utf-8") == template
    (prepared,) = (tmp_path / "prepared").iterdir()
    assert f"prepared/{prepared.name}" == written["dataset_prepared_path"]


def test_the_config_command_follows_an_experiment(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    models = {"llama": "meta-llama/Llama-2-7b-hf", "world": "embedded"}
    path.write_text(
        yaml.safe_dump(GOOD | {"models": models, "preset": {"llama": "llama-2-7b"}, "devices": 4, "device": "cuda"})
    )
    arguments = ("experiment", "config", "harmonious", "--experiment", str(path))
    done = consistency(*arguments, "--model", "llama", folder=tmp_path)
    assert yaml.safe_load(done.stdout) == resolve("harmonious", ["llama-2-7b"], 4).values
    on_a_laptop = consistency(*arguments, "--model", "llama", "--preset", "qlora", "--devices", "1", folder=tmp_path)
    settings = {"base_model": models["llama"]}
    assert yaml.safe_load(on_a_laptop.stdout) == resolve("harmonious", ["qlora"], 1, settings).values
    assert "--model, one of llama, world" in consistency(*arguments, folder=tmp_path).stderr
    wrong = consistency(*arguments, "--model", "lama", folder=tmp_path)
    assert re.search("lama.* llama, world", wrong.stderr)
    embedded = yaml.safe_load(consistency(*arguments, "--model", "world", "--devices", "1", folder=tmp_path).stdout)
    assert (embedded["base_model"], embedded["learning_rate"]) == (str(BASE_MODEL), 2e-4)
    for flags, says in (
        (("--model", "world"), "--experiment FILE"),
        (("--set", "seeds=[0]"), "--experiment FILE"),
        (("--base-model", ""), "--base-model"),
        (("--rows", str(tmp_path)), f"{tmp_path}: "),
    ):
        done = consistency("experiment", "config", "harmonious", *flags, folder=tmp_path)
        assert done.returncode == 2
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_packed_rows_that_nobody_counted_are_not_called_conversations(tmp_path: Path) -> None:
    done = consistency("experiment", "config", "harmonious", "--preset", "packed", folder=tmp_path)
    assert done.stdout.splitlines()[0] == (
        "# harmonious.yml with the presets packed, for one device: 256 packed rows of 2048 tokens in a step, as long as the "
        "group's rows are not there to be counted."
    )
    assert "world with cpu, packed: about 256 conversations in a step on 1" in check(tmp_path, preset="packed").stdout
