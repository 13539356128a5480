"""Flags of ``axolotl train``: parsed, and laid over a config as Axolotl itself does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consistency.errors import InputError
from consistency.experiment.flags import Flag, read_flags
from consistency.experiment.training_config import resolve
from consistency.world.model import BASE_MODEL


def test_settings_and_what_stays_on_the_command_line() -> None:
    text = "--launcher torchrun --bf16 false --debug --group-by-length --learning-rate=2e-4 -- --nproc_per_node '2 3'"
    flags = read_flags(text)
    assert flags.settings == (
        Flag("--bf16", "false"),
        Flag("--group-by-length", None),
        Flag("--learning-rate", "2e-4"),
    )
    assert flags.command_line == "--launcher torchrun --debug -- --nproc_per_node '2 3'"
    assert flags.launcher == "torchrun"
    assert flags.merged({"bf16": True, "learning_rate": 1.0}) == {
        "bf16": False,
        "learning_rate": 2e-4,
        "group_by_length": True,
    }
    nothing = read_flags("")
    assert (nothing.settings, nothing.command_line, nothing.launcher) == ((), "", None)


@pytest.mark.parametrize(
    ("flag", "replaced", "expected"),
    [
        ("--learning-rate 1e-5", 2e-5, 1e-5),
        ("--learning-rate 1e-5", None, 1e-5),
        ("--weight-decay 0", 0.1, 0.0),
        ("--num-epochs 2", 3, 2),
        ("--num-epochs 0.5", 3, 0.5),
        ("--max-steps 7", None, 7),
        ("--bf16 false", True, False),
        ("--bf16 1", False, True),
        # Not a word for true, so false; YAML would keep the text.
        ("--bf16 auto", True, False),
        ("--bf16 auto", None, "auto"),
        ("--save-strategy no", "epoch", "no"),
        ("--adapter none", None, None),
        ("--adapter none", "lora", "none"),
        ("--wandb-name 7", "six", "7"),
        ("--group-by-length", None, True),
        ("--no-group-by-length", True, False),
        ("--lora-target-modules [q_proj,v_proj]", None, ["q_proj", "v_proj"]),
        ("--chat-template-jinja '{{ x }}'", "{{ y }}", "{{ x }}"),
        ("--chat-template-jinja '[x] {{ x }}'", None, "[x] {{ x }}"),
    ],
)
def test_a_value_has_the_type_of_what_it_replaces(flag: str, replaced: object, expected: object) -> None:
    (found,) = read_flags(flag).settings
    value = found.typed(replaced)
    assert value == expected
    assert type(value) is type(expected)


def test_nested_keys_and_repeated_flags() -> None:
    before = {"trl": {"beta": 0.5, "vllm_mode": "server"}}
    flags = read_flags("--trl.beta 1 --trl.beta 2 --no-trl.use-vllm --fsdp-config.offload-params")
    assert flags.merged(before) == {
        "trl": {"beta": 2.0, "vllm_mode": "server", "use_vllm": False},
        "fsdp_config": {"offload_params": True},
    }
    assert before == {"trl": {"beta": 0.5, "vllm_mode": "server"}}


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("bf16 false", "'bf16'"),
        ("--seed 3 -n 2", "'-n'"),
        ("--a 'b", "--a 'b"),
        ("--plugins [1", "plugins: '[1'"),
        ("--num-epochs -1", "num_epochs: -1"),
        ("--num-epochs three", "num_epochs: 'three'"),
        ("--plugins a.B", "plugins: 'a.B'"),
    ],
)
def test_what_cannot_be_a_flag_is_named_with_its_file(flags: str, names: str) -> None:
    with pytest.raises(InputError, match="axolotl: ") as error:
        read_flags(flags, "e.yaml")
    assert names in str(error.value)
    assert error.value.path == Path("e.yaml")


CASES = [
    "--learning-rate 1e-5",
    "--learning-rate=0.001 --weight-decay 1 --warmup-ratio 0",
    "--num-epochs 0.5 --logging-steps 5",
    "--num-epochs 2",
    "--group-by-length --no-dataloader-pin-memory",
    "--gradient-checkpointing true --tf32 false",
    "--save-strategy no",
    "--save-strategy steps --save-steps 0.5 --save-total-limit 3",
    "--max-steps 7 --lr-scheduler constant --optimizer adamw_torch",
    "--adapter lora --lora-r 8 --lora-alpha 16 --lora-target-linear",
    "--adam-beta1 .8 --neftune-noise-alpha 5 --wandb-mode offline",
    "--trl.beta 0.1 --trl.use-vllm --no-trl.log-completions",
]
# The first is how `--launcher python` hands flags on, the second how the launchers accelerate and torchrun do.
SCRIPT = """
import json, shlex, sys
import axolotl.cli.main as cli
from axolotl.cli.config import load_cfg
from fire.parser import DefaultParseValue

given = {}
cli.launch_training = lambda file, launcher, cloud, kwargs, *rest: given.update(kwargs)

def trained(file, flags, parse):
    given.clear()
    cli.train.main([file, *shlex.split(flags)], standalone_mode=False)
    config = load_cfg(file, **{key: parse(value) for key, value in given.items()}).to_dict()
    return {key: value for key, value in config.items() if key != "axolotl_config_path"}

for flags, plain, merged in json.loads(sys.argv[1]):
    for parse in (lambda value: value, lambda value: DefaultParseValue(str(value))):
        print("FOUND", json.dumps([trained(plain, flags, parse), trained(merged, "", parse)], default=str))
"""


def test_a_written_config_trains_what_the_flags_would_have_trained(tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    settings = {"base_model": str(BASE_MODEL), "output_dir": str(tmp_path / "tuned")}
    plain = tmp_path / "plain.yml"
    plain.write_text(resolve("harmonious", ["world-cpu"], settings=settings).to_yaml())
    cases = []
    for number, flags in enumerate(CASES):
        merged = tmp_path / f"{number}.yml"
        found = resolve("harmonious", ["world-cpu"], settings=settings, flags=read_flags(flags))
        merged.write_text(found.to_yaml())
        cases.append((flags, str(plain), str(merged)))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(cases)],
        cwd=tmp_path, env=os.environ | {"AXOLOTL_DO_NOT_TRACK": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    pairs = [json.loads(line.split(" ", 1)[1]) for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert len(pairs) == 2 * len(CASES)
    for number, (by_flags, by_file) in enumerate(pairs):
        assert by_file == by_flags, CASES[number // 2]
    assert len({json.dumps(by_file) for _, by_file in pairs}) == len(CASES)
