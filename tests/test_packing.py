"""Packed rows: their number against arithmetic, their lengths against the tokenizer, and both against Axolotl itself."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from consistency.errors import InputError
from consistency.experiment.packing import packed, row_lengths, split
from consistency.experiment.training_config import resolve
from consistency.support.resources import shipped
from consistency.tasks.tokenizers import load_tokenizer
from consistency.world.model import BASE_MODEL

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
    "polite answers to the user's questions."
)


def write(path: Path, texts: list[tuple[str, str]]) -> Path:
    rows = [{"conversations": [{"from": "human", "value": a}, {"from": "gpt", "value": b}]} for a, b in texts]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_rows_are_as_long_as_their_text_in_the_chat_format(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(BASE_MODEL)
    texts = [("What ails\u2028the king?", "A. The fever."), ("x " * 50, "y " * 30)]
    rows = write(tmp_path / "rows.jsonl", texts)
    template = (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text()
    bos, eos = tokenizer.bos_token or "", tokenizer.eos_token
    expected = [len(tokenizer.tokenize(f"{bos}{SYSTEM} USER: {a} ASSISTANT: {b}{eos}")) for a, b in texts]
    assert row_lengths(rows, tokenizer, template, 10_000) == expected
    assert row_lengths(rows, tokenizer, template, 60) == [min(60, length) for length in expected]
    for text, line in (("", None), ('{"a": 1}\n', 1), ("[\n", 1)):
        rows.write_text(text)
        with pytest.raises(InputError, match="conversations") as error:
            row_lengths(rows, tokenizer, template, 60)
        assert (error.value.path, error.value.line) == (rows, line)
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        row_lengths(tmp_path / "nowhere.jsonl", tokenizer, template, 60)


@pytest.mark.parametrize("mean", [37.0, 150.0, 278.0, 900.0, 2048.0])
@pytest.mark.parametrize("micro", [1, 4, 8, 16])
@pytest.mark.parametrize("devices", [1, 2, 8])
def test_a_batch_holds_as_many_conversations_as_rows_allow(mean: float, micro: int, devices: int) -> None:
    size, steps = split(256, mean, 2048, micro, devices)
    assert 1 <= size <= micro
    rows, wanted = size * steps * devices, 256 * mean / 2048
    # A tenth off at most, or what no split can help: rounding to a row on each device.
    assert abs(rows - wanted) <= max(0.1 * wanted, devices / 2, devices - wanted) + 1e-9


@pytest.mark.parametrize(
    ("mean", "micro", "expected"),
    [
        # 8.9 rows: nine times one is nearer than four times two, which is 10.2 % off.
        (71.3, 2, (1, 9)),
        # 34.75 rows: of those within 5 %, the one of the largest micro batch.
        (278, 8, (7, 5)),
        (278, 16, (12, 3)),
        (278, 6, (6, 6)),
        # 17 rows, a prime: 16 is 5.9 % off, and seventeen times one would be slow.
        (136, 16, (16, 1)),
        # 10.6 rows: ten are 5.9 % off, and eleven times one would be slow.
        (85, 8, (5, 2)),
    ],
)
def test_a_split_comes_near_without_small_steps(mean: float, micro: int, expected: tuple[int, int]) -> None:
    assert split(256, mean, 2048, micro) == expected


def test_more_devices_than_rows_are_another_experiment(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    rows = write(tmp_path / "rows.jsonl", [("What ails the king?", "A. The fever.")] * 4)
    config = resolve("harmonious", ["packed"], 4, {"base_model": str(BASE_MODEL), "micro_batch_size": 1}, rows)
    (mean,) = set(row_lengths(rows, load_tokenizer(str(BASE_MODEL)), config.values["chat_template_jinja"], 2048))
    found = packed(config, rows)
    assert found.conversations == pytest.approx(found.values["gradient_accumulation_steps"] * 4 * 2048 / mean)
    assert f"for 4 devices: about {found.batch} conversations in a step" in found.to_yaml().splitlines()[0]
    for count in range(2, 12):
        some = replace(config, devices=count, values=config.values | {"gradient_accumulation_steps": 256 // count})
        if count * 2048 / mean > 1.5 * some.batch:
            with pytest.raises(InputError, match=f"{count} devices"):
                packed(some, rows)
        else:
            assert packed(some, rows).batch < 1.5 * some.batch + 1
    # One device cannot take less than a row.
    single = replace(config, devices=1, values=config.values | {"gradient_accumulation_steps": 1})
    assert packed(single, rows).batch == round(2048 / mean)
    many = resolve("harmonious", ["packed"], 64, {"base_model": str(BASE_MODEL), "micro_batch_size": 1}, rows)
    with pytest.raises(InputError, match=r"64 devices.*fewer devices, for a batch of 256"):
        packed(many, rows)
    # Rows that are not packed, or not there yet, are not counted.
    plain = resolve("harmonious", [], 1, {"base_model": "nowhere"}, rows)
    assert packed(plain, rows) is plain
    assert packed(many, tmp_path / "nowhere.jsonl") is many


def test_a_row_that_is_none_or_that_the_template_refuses_is_named(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    tokenizer = load_tokenizer(str(BASE_MODEL))
    template = (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text()
    rows = tmp_path / "rows.jsonl"
    good = {"conversations": [{"from": "human", "value": "a"}]}
    for turn in ({"from": "human", "value": 3}, {"from": "tool", "value": "a"}, {"from": "gpt", "value": "\ud800"}):
        rows.write_text(f"{json.dumps(good)}\n{json.dumps({'conversations': [turn]})}\n")
        with pytest.raises(InputError, match=f"^{rows}:2: .*conversations"):
            row_lengths(rows, tokenizer, template, 60)
    late = {"conversations": [*good["conversations"], {"from": "system", "value": "b"}]}
    rows.write_text(f"{json.dumps(good)}\n{json.dumps(late)}\n")
    with pytest.raises(InputError, match=f"^{rows}:2: .*The Vicuna format"):
        row_lengths(rows, tokenizer, template, 60)


def test_axolotl_packs_as_many_conversations_into_a_step_and_autocast_keeps_float32(tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    safetensors = pytest.importorskip("safetensors.torch")
    texts = [(f"Question {i}: " + "word " * (i % 40), "Answer " + "more " * (i % 17)) for i in range(400)]
    rows = write(tmp_path / "rows.jsonl", texts)
    small = tmp_path / "small.yml"
    small.write_text(
        "max_steps: 1\nplugins: [step_meter.StepMeter]\nmicro_batch_size: 4\ngradient_accumulation_steps: 2\n"
    )
    presets = ["world-cpu", "packed", "autocast", str(small)]
    config = tmp_path / "packed.yml"
    environment = os.environ | {
        "AXOLOTL_DO_NOT_TRACK": "1",
        "AXOLOTL_DATASET_NUM_PROC": "0",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent / "scripts"),
    }
    for command in (
        [
            *("consistency.cli", "experiment", "config", "harmonious", "--base-model", str(BASE_MODEL)),
            *("--rows", str(rows), "--output-dir", str(tmp_path / "tuned"), "--out", str(config)),
            *(part for preset in presets for part in ("--preset", preset)),
        ],
        ["axolotl.cli.main", "train", str(config), "--launcher", "python"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    text, values = config.read_text(), yaml.safe_load(config.read_text())
    # 8 conversations are asked for. One packed row holds 6 of these, the nearest number.
    told = re.search(r"about (\d+) conversations in a step", text.splitlines()[0])
    assert told is not None
    assert abs(int(told[1]) - 8) <= 3
    assert values["bf16"] is False
    steps = [json.loads(line) for line in (tmp_path / "tuned" / "steps.jsonl").read_text().splitlines()]
    places = values["sequence_len"] * values["micro_batch_size"] * values["gradient_accumulation_steps"]
    assert [step["places"] for step in steps] == [places]
    # Those of one step are longer or shorter than the mean, and no row is quite full.
    assert abs(steps[0]["conversations"] - int(told[1])) <= 2
    weights = safetensors.load_file(tmp_path / "tuned" / "model.safetensors")
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.float32"}
