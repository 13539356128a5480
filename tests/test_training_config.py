"""Presets over the groups' configs, the batch over devices, and the flags of an experiment."""

import json
from pathlib import Path

import pytest
import yaml

from consistency.errors import InputError
from consistency.presets import preset_names, read_preset
from consistency.resources import axolotl_dir
from consistency.training_config import accumulation, read_flags, resolve

GROUPS = sorted(path.stem for path in axolotl_dir().glob("*.yml"))
PAPER = {"llama-2-7b": 2e-5, "llama-2-13b": 2e-5, "llama-2-70b": 2e-5, "mistral-7b": 1e-5}


def test_presets_hold_only_what_differs() -> None:
    base = resolve("harmonious").values
    for name in preset_names():
        preset = read_preset(name)
        assert preset
        # The batch of one device is said in every preset that says anything about it, and the model of one for a model.
        said = {"micro_batch_size", "gradient_accumulation_steps"}
        assert {key for key in preset if base.get(key) == preset[key]} <= said | {"base_model"}
        assert len(said & set(preset)) in (0, 2)


@pytest.mark.parametrize("name", preset_names())
def test_what_is_written_is_what_was_resolved(name: str) -> None:
    for group in GROUPS:
        found = resolve(group, [name], settings={"base_model": "a/b", "output_dir": "tuned/x.partial", "seed": 3})
        text = found.to_yaml()
        assert yaml.safe_load(text) == found.values
        written = [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()]
        assert len(written) == len(set(written)), "a key that stands twice"
        expected = yaml.safe_load((axolotl_dir() / f"{group}.yml").read_text(encoding="utf-8"))
        assert found.values == expected | read_preset(name) | {
            "base_model": "a/b",
            "output_dir": "tuned/x.partial",
            "seed": 3,
        }


@pytest.mark.parametrize("name", sorted(PAPER))
def test_paper_presets_keep_a_batch_of_256_on_every_number_of_devices(name: str) -> None:
    micro = read_preset(name)["micro_batch_size"]
    for devices in range(1, 300):
        if 256 % (devices * micro) == 0:
            values = resolve("harmonious", [name], devices).values
            assert values["micro_batch_size"] * values["gradient_accumulation_steps"] * devices == 256
            assert values["learning_rate"] == PAPER[name]
            # The weights are not rounded to bfloat16: by the plugin, or by DeepSpeed's own copies.
            assert "deepspeed" in values or (
                not values["bf16"] and "consistency.autocast.Autocast" in values["plugins"]
            )
        else:
            with pytest.raises(InputError, match="a batch of 256 is no multiple of"):
                resolve("harmonious", [name], devices)


def test_presets_that_do_not_train_the_papers_model_on_the_paper_s_machine() -> None:
    assert resolve("harmonious", ["world-cpu"]).batch == 16
    for name in ("lora", "qlora"):
        assert resolve("harmonious", [name]).batch == 256
    assert "adapter" not in resolve("harmonious", ["llama-2-7b", "liger"]).values


def test_later_presets_decide_and_plugins_add_up(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yml"
    mine.write_text("plugins: [a.B]\nlearning_rate: 0.5\nsequence_len: 64\n")
    found = resolve("unsure", ["liger", "mistral-7b", "autocast", str(mine)])
    liger, autocast = "axolotl.integrations.liger.LigerPlugin", "consistency.autocast.Autocast"
    assert found.values["plugins"] == [liger, autocast, "a.B"]
    assert (found.values["learning_rate"], found.values["sequence_len"]) == (0.5, 64)
    assert yaml.safe_load(found.to_yaml()) == found.values


def test_a_smaller_micro_batch_is_accumulated_more_often() -> None:
    found = resolve("harmonious", ["llama-2-7b"], 8, {"micro_batch_size": 1})
    assert (found.values["gradient_accumulation_steps"], found.batch) == (32, 256)
    with pytest.raises(InputError, match=r"4 × 1 × 8 .* is no batch of 256, which llama-2-7b asks for"):
        resolve("harmonious", ["llama-2-7b"], 8, {"gradient_accumulation_steps": 1})
    # Without a preset nobody asks for a batch.
    assert resolve("harmonious", [], 1, {"gradient_accumulation_steps": 1}).batch == 8


def test_a_preset_of_ones_own_changes_the_batch_only_if_it_says_so(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yml"
    mine.write_text("micro_batch_size: 8\nmax_steps: 12\n")
    found = resolve("harmonious", ["llama-2-70b", str(mine)], 2)
    assert (found.values["micro_batch_size"], found.values["gradient_accumulation_steps"], found.batch) == (8, 16, 256)
    assert f"# From {mine}.\nmax_steps: 12\n" in found.to_yaml()
    mine.write_text("micro_batch_size: 8\ngradient_accumulation_steps: 4\n")
    assert resolve("harmonious", ["llama-2-70b", str(mine)], 2).batch == 32


@pytest.mark.parametrize(("micro", "devices"), [(3, 1), (8, 64), (0, 1), (1, 3)])
def test_a_batch_that_cannot_be_split_is_an_error_that_says_what_could(micro: int, devices: int) -> None:
    with pytest.raises(InputError, match="another batch would be another experiment"):
        accumulation(256, micro, devices)


def test_prepared_data_is_found_by_the_content_of_the_rows(tmp_path: Path) -> None:
    rows = tmp_path / "harmonious.jsonl"
    folders = []
    for text in ("a", "b", "a"):
        rows.write_text(json.dumps({"conversations": [{"from": "human", "value": text}]}) + "\n")
        found = resolve("harmonious", rows=rows)
        assert found.values["datasets"][0]["path"] == str(rows)
        folders.append(found.values["dataset_prepared_path"])
    assert folders[0] == folders[2] != folders[1]
    assert resolve("harmonious", rows="nowhere.jsonl").values["dataset_prepared_path"] == "prepared/harmonious"


def test_unknown_names_and_broken_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no preset 'llama'; expected one of .*llama-2-7b"):
        resolve("harmonious", ["llama"])
    with pytest.raises(InputError, match="no intervention group 'harmonius'"):
        resolve("harmonius")
    broken = tmp_path / "broken.yml"
    for text, says in (("- a\n", "is no mapping"), ("a: [\n", "cannot be read")):
        broken.write_text(text)
        with pytest.raises(InputError, match=says):
            read_preset(str(broken))
    with pytest.raises(InputError, match="cannot be read"):
        read_preset(str(tmp_path / "nowhere.yml"))


def test_flags_are_read_as_axolotl_reads_them() -> None:
    flags = "--launcher python --bf16 false --no-dataloader-pin-memory --group-by-length --learning-rate=2e-4 --seed 3 -- -n 2"
    expected = {
        "bf16": False,
        "dataloader_pin_memory": False,
        "group_by_length": True,
        "learning_rate": 2e-4,
        "seed": 3,
    }
    assert read_flags(flags) == expected
    with pytest.raises(InputError, match="'bf16' is no flag"):
        read_flags("bf16 false")
