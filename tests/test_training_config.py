"""Presets over the groups' configs, and the batch over devices."""

import json
from pathlib import Path

import pytest
import yaml

from consistency.errors import InputError
from consistency.experiment.presets import preset_names, read_preset
from consistency.experiment.training_config import accumulation, resolve
from consistency.support.resources import shipped

GROUPS = sorted(path.stem for path in shipped("axolotl_configs").glob("*.yml"))
EPOCHS = "consistency.epochs.WholeEpochs"
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
        assert len(written) == len(set(written)), "a duplicate key"
        expected = yaml.safe_load((shipped("axolotl_configs") / f"{group}.yml").read_text(encoding="utf-8"))
        if name == "dpo":
            # Pairs instead of conversations: see test_preference.py.
            expected["datasets"] = found.values["datasets"]
        preset = read_preset(name)
        assert found.values == expected | preset | {
            "plugins": [EPOCHS, *preset.get("plugins", [])],
            "base_model": "a/b",
            "output_dir": "tuned/x.partial",
            "seed": 3,
        }


@pytest.mark.parametrize("ratio", ["0.3", "0.05", "0.40", "0.125", "0.999"])
def test_a_mixture_of_any_ratio_has_the_config_of_the_others(ratio: str) -> None:
    found = resolve(f"mixed_{ratio}", ["world-cpu"])
    text = found.to_yaml()
    assert yaml.safe_load(text) == found.values
    assert f"# mixed_{ratio}.yml with the presets world-cpu" in text
    if ratio != "0.05":
        assert "mixed_0.4\n" not in text
        assert "0.4 " not in text
    expected = resolve("mixed_0.8", ["world-cpu"]).values
    expected["datasets"][0]["path"] = f"groups/mixed_{ratio}.jsonl"
    changed = {"dataset_prepared_path": f"prepared/mixed_{ratio}", "output_dir": f"tuned/mixed_{ratio}"}
    assert found.values == expected | changed


@pytest.mark.parametrize(
    "group", ["mixed_0", "mixed_1", "mixed_1.0", "mixed_0.0", "mixed_.5", "mixed_2", "mixed_0.5/../x"]
)
def test_the_ends_of_the_mixture_are_groups_of_their_own(group: str) -> None:
    with pytest.raises(InputError, match=r"mixed_R with R between 0 and 1"):
        resolve(group)


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
            with pytest.raises(InputError, match="256"):
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
    assert found.values["plugins"] == [EPOCHS, liger, autocast, "a.B"]
    assert (found.values["learning_rate"], found.values["sequence_len"]) == (0.5, 64)
    assert yaml.safe_load(found.to_yaml()) == found.values


def test_a_smaller_micro_batch_is_accumulated_more_often() -> None:
    found = resolve("harmonious", ["llama-2-7b"], 8, {"micro_batch_size": 1})
    assert (found.values["gradient_accumulation_steps"], found.batch) == (32, 256)
    with pytest.raises(InputError, match=r"4 × 1 × 8 .*256.* llama-2-7b"):
        resolve("harmonious", ["llama-2-7b"], 8, {"gradient_accumulation_steps": 1})
    # Without a preset nobody asks for a batch.
    assert resolve("harmonious", [], 1, {"gradient_accumulation_steps": 1}).batch == 8


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"])
def test_the_name_of_a_preset_adds_no_key(tmp_path: Path, end: str) -> None:
    mine = tmp_path / f"a{end}plugins: [evil]{end}base_model: evil{end}#.yml"
    mine.write_text("max_grad_norm: 0.5\n")
    # Its text cannot be pasted: an anchor.
    repeated = tmp_path / f"b{end}plugins: [evil]{end}#.yml"
    repeated.write_text("deepspeed: &x null\nfsdp: *x\n")
    for presets in ([str(mine)], [str(repeated)], [str(mine), str(repeated)]):
        found = resolve("harmonious", presets)
        assert yaml.safe_load(found.to_yaml()) == found.values
        assert found.values["plugins"] == [EPOCHS]


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
    with pytest.raises(InputError, match=str(devices)):
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
    with pytest.raises(InputError, match=r"'llama'.*llama-2-7b"):
        resolve("harmonious", ["llama"])
    with pytest.raises(InputError, match="'harmonius'"):
        resolve("harmonius")
    broken = tmp_path / "broken.yml"
    for text, says in (("- a\n", "mapping"), ("a: [\n", "cannot be read")):
        broken.write_text(text)
        with pytest.raises(InputError, match=says):
            read_preset(str(broken))
    with pytest.raises(InputError, match="cannot be read"):
        read_preset(str(tmp_path / "nowhere.yml"))


@pytest.mark.parametrize(
    "text",
    [
        "---\nlora_r: 8\n",
        "%YAML 1.1\n---\nlora_r: 8\n...\n",
        "learning_rate: &rate 0.1\nlora_alpha: *rate\n",
        "  micro_batch_size: 4\n  lora_r: 8\n",
        "base: &base {a: 1}\nother:\n  <<: *base\n  b: 2\n",
        # An anchor that overrides what it merges, merged again.
        "a:\n  b: &b\n    <<: &c {d: 1, e: true}\n    e: false\nf: {<<: *b}\n",
        "chat_template_jinja: |\n  a\n\n  b\nlora_r: 8\n",
        "plugins:\n- a.B\n\n- c.D\nlora_r: 8\n",
        # A blank line, or a comment, within a key's value.
        "deepspeed:\n  zero_optimization:\n    stage: 3\n\n  fp16:\n    enabled: true\nlora_r: 8\n",
        "fsdp_config:\n  auto_wrap_policy: X\n# more\n\n  offload_params: true\nlora_r: 8\n",
    ],
)
@pytest.mark.parametrize("others", [[], ["llama-2-7b"], ["liger"]])
def test_whatever_a_preset_is_written_like_what_is_written_is_what_it_says(
    text: str, others: list[str], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yml"
    mine.write_text(text)
    for presets in ([str(mine), *others], [*others, str(mine)]):
        found = resolve("harmonious", presets)
        assert yaml.safe_load(found.to_yaml()) == found.values
        expected = yaml.safe_load((shipped("axolotl_configs") / "harmonious.yml").read_text())
        plugins = expected["plugins"]
        for name in presets:
            changes = yaml.safe_load(text) if name == str(mine) else read_preset(name)
            plugins = [*plugins, *changes.get("plugins", [])]
            expected |= changes | {"plugins": plugins}
        expected["gradient_accumulation_steps"] = 256 // expected["micro_batch_size"]
        assert found.values == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("micro_batch_size: '4'", ": micro_batch_size: '4'"),
        ("micro_batch_size: true", ": micro_batch_size: True"),
        ("gradient_accumulation_steps: 0", ": gradient_accumulation_steps: 0"),
        ("gradient_accumulation_steps:", ": gradient_accumulation_steps: None"),
        ("sequence_len: '2048'", ": sequence_len: '2048'"),
        ("sample_packing: 'false'", ": sample_packing: 'false'"),
        ("num_epochs: .inf", ": num_epochs: inf"),
        ("plugins: a.B", ": plugins: 'a.B'"),
        ("plugins: [{a: b}]", ": plugins: .*"),
        ("fsdp_config: full", ": fsdp_config: 'full'"),
        ("datasets: [{path: mine.jsonl}]", ": datasets: .*--rows FILE"),
        ("lora_r: 8\nseed: 1\nlora_r: 9", ":3: .*lora_r"),
        ("seed: 2024-99-99", ": .*month must be in 1..12"),
        ("1: 2", ": .*mapping"),
    ],
)
def test_a_preset_that_cannot_be_is_named_with_its_key(text: str, says: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yml"
    mine.write_text(text)
    with pytest.raises(InputError, match=f"^{mine}{says}"):
        resolve("harmonious", [str(mine)])


def test_what_is_no_name_of_a_preset_or_group_is_told_from_what_is_nearly_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lora.yml.* lora\b"):
        resolve("harmonious", ["lora.yml"])
    nameless = tmp_path / "mine"
    nameless.write_text("lora_r: 8")
    with pytest.raises(InputError, match=f"'{nameless}'.*{nameless} .*.yml"):
        resolve("harmonious", [str(nameless)])
    with pytest.raises(InputError, match="'presets/lora'"):
        resolve("presets/lora")
