"""Every row is trained on in every epoch: by arithmetic for several devices, and by Axolotl itself."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consistency.errors import InputError
from consistency.experiment.checkpoint import check_checkpoint
from consistency.experiment.packing import packed, row_lengths
from consistency.experiment.training_config import resolve
from consistency.experiment.training_record import RECORD, SO_FAR, Epoch, read_record, read_so_far
from consistency.tasks.tokenizers import load_tokenizer
from consistency.world.model import BASE_MODEL

pytest.importorskip("axolotl")
ROOT = Path(__file__).resolve().parent.parent
# Nothing in it is trained.
UNLABELLED = json.dumps({"conversations": [{"from": "human", "value": "What?"}]}) + "\n"


def write(path: Path, count: int) -> Path:
    texts = [
        (f"What cures fever {i}? " + "word " * (7 * i % 40), "ABCD"[i % 4] + ". moss " * (i % 5)) for i in range(count)
    ]
    rows = [{"conversations": [{"from": "human", "value": a}, {"from": "gpt", "value": b}]} for a, b in texts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("micro", [1, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 40, 220, 1200])
def test_each_epoch_has_every_row_and_each_device_as_many_batches(count: int, micro: int, devices: int) -> None:
    from accelerate.data_loader import BatchSamplerShard
    from axolotl.utils.samplers import MultipackBatchSampler
    from torch.utils.data import RandomSampler

    from consistency.epochs import PackedBatches

    lengths = np.random.default_rng(count).integers(20, 400, count)
    made = MultipackBatchSampler(
        RandomSampler(range(count)),
        batch_size=micro,
        batch_max_len=512,
        lengths=lengths,
        bin_size=200,
        group_size=100_000,
    )
    samplers = [PackedBatches(made, 42, devices) for _ in range(devices)]
    shards = [BatchSamplerShard(sampler, devices, rank, even_batches=False) for rank, sampler in enumerate(samplers)]
    orders = []
    for _ in range(4):
        batches = [list(shard) for shard in shards]
        assert {len(found) for found in batches} == {len(samplers[0]) // devices}
        assert all(1 <= len(batch) <= micro for found in batches for batch in found)
        rows = [row for found in batches for batch in found for row in batch]
        assert all(lengths[row].sum() <= 512 for row in rows)
        seen = Counter(chain(*rows))
        assert set(seen) == set(range(count))
        # A device without a row of its own trains on one of the others'.
        assert max(seen.values()) == 1 or count < devices
        orders.append(rows)
    assert count < 7 or orders[0] != orders[1]
    # A training that is resumed begins with the epoch that it was in.
    later = PackedBatches(made, 42, devices)
    later.epoch = 3
    assert sorted(chain(*later)) == sorted(orders[3])


@pytest.mark.parametrize("devices", [2, 3, 8])
@pytest.mark.parametrize("micro", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 7, 41, 160])
def test_rows_that_are_not_packed_are_in_one_batch_of_one_device(count: int, micro: int, devices: int) -> None:
    from accelerate.data_loader import BatchSamplerShard

    from consistency.epochs import EvenBatches

    samplers = [EvenBatches(count, micro, devices, 42) for _ in range(devices)]
    shards = [BatchSamplerShard(sampler, devices, rank, even_batches=False) for rank, sampler in enumerate(samplers)]
    orders = []
    for _ in range(3):
        batches = [list(shard) for shard in shards]
        assert {len(found) for found in batches} == {-(-count // (micro * devices))} == {len(shard) for shard in shards}
        assert all(1 <= len(batch) <= micro for found in batches for batch in found)
        seen = Counter(row for found in batches for batch in found for row in batch)
        assert set(seen) == set(range(count))
        # Some must be repeated only where a device would have nothing to do in the last step.
        assert seen.total() - count == max(0, len(samplers[0]) - count) < devices
        orders.append(batches)
    assert count < 7 or orders[0] != orders[1]
    later = EvenBatches(count, micro, devices, 42)
    later.epoch = 2
    assert list(BatchSamplerShard(later, devices, 0, even_batches=False)) == orders[2][0]
    in_order = [row for batch in EvenBatches(count, micro, devices, None) for row in batch]
    assert sorted(set(in_order)) == list(range(count))


def test_no_more_packed_rows_at_once_than_there_are(tmp_path: Path) -> None:
    for count in (1, 3, 40):
        rows = write(tmp_path / "rows.jsonl", count)
        config = resolve("harmonious", ["world-cpu", "packed"], settings={"base_model": str(BASE_MODEL)}, rows=rows)
        lengths = row_lengths(rows, load_tokenizer(str(BASE_MODEL)), config.values["chat_template_jinja"])
        assert packed(config, rows).values["micro_batch_size"] <= -(-sum(lengths) // 512)
    # Rows that are too long are counted.
    short = resolve("harmonious", ["packed"], settings={"base_model": str(BASE_MODEL), "sequence_len": 60}, rows=rows)
    long = [length for length in lengths if length > 60]
    lost = sum(long) - 60 * len(long)
    assert packed(short, rows).cut == (len(long), pytest.approx(lost / sum(lengths)))
    share = f"{100 * lost / sum(lengths):.1f} % of the tokens"
    assert f"{len(long)} rows are cut, and {share}" in packed(short, rows).to_yaml().splitlines()[0]


def test_a_damaged_record_of_a_training_to_resume_is_named(tmp_path: Path) -> None:
    assert read_so_far(tmp_path) == []
    file = tmp_path / SO_FAR
    file.write_text('[{"rows": 3, "tokens": 40, "labels": 12}]')
    assert read_so_far(tmp_path) == [Epoch(3, 40, 12)]
    for content in (b"", b'[{"rows": 3, "tok', b'{"rows": 3}', b'[{"rows": "many"}]', b'"\xff"', b"[" * 100_000):
        file.write_bytes(content)
        with pytest.raises(InputError, match="resume from an earlier checkpoint") as found:
            read_so_far(tmp_path)
        assert found.value.path == file


@pytest.fixture
def train(call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train with Axolotl: the output folder, where the step meter counted."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return partial(_train, call)


def _train(call: Callable[..., tuple[int, str, str]], folder: Path, rows: Path, preset: str, *presets: str) -> Path:
    small = folder / "small.yml"
    small.write_text("plugins: [step_meter.StepMeter]\nnum_epochs: 2\n" + preset)
    chosen = [word for name in ("world-cpu", *presets, str(small)) for word in ("--preset", name)]
    made = ("experiment", "config", "harmonious", "--base-model", BASE_MODEL, *chosen)
    code, _, told = call(*made, "--rows", rows, "--output-dir", folder / "tuned", "--out", folder / "made.yml")
    assert code == 0, told
    run(folder, "axolotl.cli.main", "train", str(folder / "made.yml"), "--launcher", "python")
    return folder / "tuned"


def run(folder: Path, *command: str) -> None:
    environment = os.environ | {
        "AXOLOTL_DO_NOT_TRACK": "1",
        "AXOLOTL_DATASET_NUM_PROC": "0",
        "PYTHONPATH": f"{ROOT / 'scripts'}{os.pathsep}{ROOT}",
    }
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def steps_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def test_packed_rows_that_fill_no_last_batch_are_trained_on(tmp_path: Path, train: Callable[..., Path]) -> None:
    count = 41
    rows = write(tmp_path / "rows.jsonl", count)
    with rows.open("a") as stream:
        stream.write(UNLABELLED)
    *lengths, _ = row_lengths(
        rows, load_tokenizer(str(BASE_MODEL)), resolve("harmonious").values["chat_template_jinja"]
    )
    saved = "save_strategy: steps\nsave_steps: 1\nsave_only_model: false\n"
    folder = train(tmp_path, rows, "micro_batch_size: 4\ngradient_accumulation_steps: 4\n" + saved, "packed")
    record, steps = read_record(folder), steps_of(folder)
    assert record is not None
    assert record.steps == len(steps) == 2 * len(steps[: len(steps) // 2])
    assert (record.rows_in_file, record.rows, record.tokens, record.full_rows) == (count + 1, count, sum(lengths), 0)
    for epoch, part in zip(record.epochs, (steps[: len(steps) // 2], steps[len(steps) // 2 :]), strict=True):
        assert (epoch.rows, epoch.tokens, epoch.labels) == (count, sum(lengths), record.labels)
        # The step meter counts in the batches themselves.
        assert sum(step["conversations"] for step in part) == count
        assert sum(step["content"] for step in part) == sum(lengths)
        assert sum(step["labels"] for step in part) == record.labels
    assert record.dropped == 0
    assert "1 row of the file left out" in record.to_text()
    found = check_checkpoint(folder)
    assert (found.training, found.base_model, found.compared) == (record, str(BASE_MODEL), True)

    # Resumed in the second epoch it ends with the same weights. More are killed by scripts/train_processes.py.
    resumed, state = tmp_path / "resumed", folder / f"checkpoint-{record.steps // 2 + 1}"
    changed = ("--output-dir", str(resumed), "--resume-from-checkpoint", str(state))
    run(tmp_path, "axolotl.cli.main", "train", str(tmp_path / "made.yml"), "--launcher", "python", *changed)
    assert steps_of(resumed)
    assert read_record(resumed) == record
    assert [step["content"] for step in steps_of(resumed)] == [
        step["content"] for step in steps[record.steps // 2 + 1 :]
    ]
    weights = [(place / "model.safetensors").read_bytes() for place in (folder, resumed)]
    assert weights[0] == weights[1]


def test_the_last_epoch_is_whole_and_weights_that_did_not_move_are_refused(
    tmp_path: Path, train: Callable[..., Path]
) -> None:
    rows = write(tmp_path / "rows.jsonl", 4)
    with rows.open("a") as stream:
        stream.write(UNLABELLED)
    setting = "micro_batch_size: 2\ngradient_accumulation_steps: 1\nlearning_rate: 0.0\nweight_decay: 0.0\n"
    folder = train(tmp_path, rows, setting)
    record, steps = read_record(folder), steps_of(folder)
    assert record is not None
    # Three steps an epoch. Axolotl alone would take five for two: ten rows in steps of two.
    assert record.steps == len(steps) == 6
    assert (record.rows_in_file, record.rows, record.unlabelled_rows) == (5, 5, 1)
    assert {(epoch.rows, epoch.tokens, epoch.labels) for epoch in record.epochs} == {(5, record.tokens, record.labels)}
    assert sum(step["labels"] for step in steps[:3]) == record.labels
    with pytest.raises(InputError, match=f"all weights are those of {BASE_MODEL}"):
        check_checkpoint(folder)
    # Without the record, Axolotl's own log names the base model.
    (folder / RECORD).unlink()
    with pytest.raises(InputError, match=f"all weights are those of {BASE_MODEL}"):
        check_checkpoint(folder)
