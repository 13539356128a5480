"""An Axolotl plugin that trains on every row in every epoch, and writes what each epoch saw beside the weights.

Axolotl alone drops the packed rows that do not fill a last micro batch: a group whose rows fill less than one trains for 0
steps and ends like any other training. It also ends the last epoch early where the examples are no multiple of the batch. In
several processes rows that are not packed are repeated until the last batches are full.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from axolotl.core.trainers.base import AxolotlTrainer
from axolotl.integrations.base import BasePlugin
from axolotl.utils.samplers import MultipackBatchSampler, get_dataset_lengths
from axolotl.utils.samplers.multipack import allocate_sequentially, pack_parallel
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from consistency.errors import InputError
from consistency.experiment.training_record import RECORD, SO_FAR, Epoch, TrainingRecord, no_step, read_so_far
from consistency.support.files import write_atomically
from consistency.support.json_files import pretty_json
from consistency.support.streams import tell

_MISTAKE = 2  # exit code
_MASKED = -100  # the label of a token that is not trained
_NOTHING = Epoch(0, 0, 0)
Row = list[int]


class WholeEpochs(BasePlugin):  # type: ignore[misc]
    """Batches from all the packed rows that there are, as many steps as the epochs have, and a count of what was seen."""

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Replace the Trainer's packed batches and its number of steps, and count what it fetches."""
        if not hasattr(trainer.train_dataset, "__len__"):  # a stream
            return
        if not cfg.max_steps:
            trainer.args.max_steps = -1  # as many as the epochs have
        sampler_of = trainer._get_train_sampler

        def whole(*arguments: Any) -> Any:
            made = sampler_of(*arguments)
            if isinstance(made, MultipackBatchSampler):
                counts.batches = PackedBatches(made, int(cfg.seed or 0), trainer.args.world_size)
            else:
                counts.batches = EvenBatches.of(made, cfg, trainer)
            return counts.batches or made

        trainer._get_train_sampler = whole
        counts = _Counts(cfg, trainer)
        trainer.add_callback(counts)


class PackedBatches(BatchSampler):
    """The batches of packed rows of each epoch: every conversation in one of them, and the same number in every epoch.

    Parameters
    ----------
    sampler : MultipackBatchSampler
        Axolotl's own, whose lengths and settings are taken.
    seed : int
        With the number of the epoch it decides the order, in every process the same.
    devices : int
        Processes, each of which takes every n-th batch.

    Attributes
    ----------
    epoch : int
        The number of the epoch that is next.
    batches : list of list of list of int
        Those of the epoch at hand: the conversations of each row of each batch.
    lengths : numpy.ndarray
        Tokens of each conversation, shape ``(conversations,)``.
    """

    # Batches differ in size: accelerate would drop a last one that is smaller than this.
    batch_size = None  # type: ignore[assignment]
    drop_last = False

    def __init__(self, sampler: MultipackBatchSampler, seed: int, devices: int) -> None:
        self.lengths = sampler.lengths
        self._made_from, self._seed, self._devices = sampler, seed, devices
        self._shuffled = not isinstance(sampler.sampler, SequentialSampler)
        self.epoch = 0
        self._first = self._pack(0)
        self.batches = batches_of(self._first, sampler.batch_size, devices)
        self._count = len(self.batches)

    def __len__(self) -> int:
        """The number of batches of an epoch, over all devices."""
        return self._count

    def __iter__(self) -> Iterator[list[Row]]:  # type: ignore[override]
        """The batches of the next epoch."""
        micro = self._made_from.batch_size
        self.batches = batches_of(self._pack(self.epoch), micro, self._devices)
        if len(self.batches) != self._count:
            # Another order fills more or fewer rows. The Trainer counts on the steps of the first epoch.
            order = np.random.default_rng([self._seed, self.epoch]).permutation(len(self._first))
            self.batches = batches_of([self._first[index] for index in order], micro, self._devices)
        self.epoch += 1
        return iter(self.batches)

    def _pack(self, epoch: int) -> list[Row]:
        made, count = self._made_from, len(self.lengths)
        order = np.random.default_rng([self._seed, epoch]).permutation(count) if self._shuffled else np.arange(count)
        lengths = self.lengths[order]
        if made.sequential:
            packed, _, _ = allocate_sequentially(lengths, 0, made.batch_max_len, 1)
        else:
            most = made.bin_size or made.batch_max_len
            packed = pack_parallel(lengths, made.batch_max_len, made.group_size, most, num_processes=1)
        return [[int(order[place]) for place in row] for row in packed]


class EvenBatches(BatchSampler):
    """The batches of rows that are not packed, for several devices: every row in one of them, and as many for each device.

    Parameters
    ----------
    count, micro, devices : int
        Rows, how many of them a device takes at once, and devices.
    seed : int or None
        With the number of the epoch it decides the order, in every process the same. None for the order that they have.

    Attributes
    ----------
    epoch : int
        The number of the epoch that is next.
    """

    batch_size = None  # type: ignore[assignment]
    drop_last = False

    def __init__(self, count: int, micro: int, devices: int, seed: int | None) -> None:
        self._count, self._micro, self._devices, self._seed = count, micro, devices, seed
        self.epoch = 0

    @classmethod
    def of(cls, sampler: Any, cfg: Any, trainer: Any) -> EvenBatches | None:
        """Those in place of a sampler of Axolotl's; None for one process, pairs of replies, and orders of another kind."""
        devices, ordered = trainer.args.world_size, isinstance(sampler, SequentialSampler)
        if (
            devices == 1
            or not isinstance(trainer, AxolotlTrainer)
            or not (ordered or isinstance(sampler, RandomSampler))
        ):
            return None
        # Batches have sizes of their own, so accelerate must not fill them up.
        trainer.accelerator.dataloader_config.even_batches = False
        micro = trainer.args.per_device_train_batch_size
        return cls(len(trainer.train_dataset), micro, devices, None if ordered else int(cfg.seed or 0))

    def __len__(self) -> int:
        """The number of batches of an epoch, over all devices."""
        return -(-self._count // (self._micro * self._devices)) * self._devices

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the next epoch."""
        order = range(self._count)
        if self._seed is not None:
            order = np.random.default_rng([self._seed, self.epoch]).permutation(self._count).tolist()
        self.epoch += 1
        return iter(even_batches(order, self._micro, self._devices))


def even_batches(rows: Sequence[int], micro: int, devices: int) -> list[list[int]]:
    """Rows in batches, as many for each device; none is left out.

    Parameters
    ----------
    rows : sequence of int
    micro, devices : int
        The most rows that a device takes at once, and devices. Consecutive batches are those of the devices.

    Returns
    -------
    list of list of int
        Where there are fewer rows than batches, as may be with a `micro` of 1, the first rows are repeated.

    Examples
    --------
    >>> even_batches(range(5), micro=2, devices=2)
    [[0, 2], [1], [4], [3]]
    >>> even_batches(range(3), micro=1, devices=2)
    [[0], [1], [2], [0]]
    """
    steps = -(-len(rows) // (micro * devices))
    filled = [*rows, *(rows[place % len(rows)] for place in range(steps * devices - len(rows)))]
    parts = [np.array_split(filled[device::devices], steps) for device in range(devices)]
    return [parts[device][step].tolist() for step in range(steps) for device in range(devices)]


def batches_of(rows: Sequence[Row], micro: int, devices: int) -> list[list[Row]]:
    """Packed rows in batches, as many for each device; none is left out.

    Parameters
    ----------
    rows : sequence of list of int
        The conversations of each row.
    micro, devices : int
        Rows that a device takes at once, and devices. Consecutive batches are those of the devices.

    Returns
    -------
    list of list of list of int
        All batches but the last of each device have `micro` rows. Where the last ones are fewer than the devices, rows of
        several conversations are divided; where there is none to divide, rows are repeated.

    Examples
    --------
    >>> batches_of([[0, 1], [2], [3]], micro=2, devices=1)
    [[[0, 1], [2]], [[3]]]
    >>> batches_of([[0, 1, 2], [3], [4]], micro=1, devices=2)
    [[[1, 2]], [[3]], [[4]], [[0]]]
    """
    rows, size = list(rows), micro * devices
    while 0 < (rest := len(rows) % size) < devices:
        longest = max(range(len(rows)), key=lambda index: len(rows[index]))
        half = len(rows[longest]) // 2
        if half:
            rows[longest], divided = rows[longest][half:], rows[longest][:half]
        rows.append(divided if half else rows[rest % len(rows)])
    whole = len(rows) - rest
    batches = [rows[start : start + micro] for start in range(0, whole, micro)]
    last = rows[whole:]
    return batches + [last[device::devices] for device in range(devices) if last]


class _Counts(TrainerCallback):  # type: ignore[misc]
    """Counts the rows, tokens and labels that each epoch was trained on, and writes them when training is over.

    A training that is resumed begins with the batches of the epoch that it was in, and with the counts that were saved.
    """

    def __init__(self, cfg: Any, trainer: Any) -> None:
        self.cfg, self.trainer = cfg, trainer
        self.batches: PackedBatches | EvenBatches | None = None
        self.epochs: list[Epoch] = []
        self.fetched: list[dict[str, Any]] = []
        # Of the epoch at hand, what was seen before the training was resumed, and how many batches of each process.
        self.before: Epoch | None = _NOTHING
        self.skipped = 0
        fetch: Callable[..., tuple[list[Any], Any]] = trainer.get_batch_samples

        def counted(*arguments: Any) -> tuple[list[Any], Any]:
            batches, items = fetch(*arguments)
            self.fetched += [_count(batch) for batch in batches]
            return batches, items

        trainer.get_batch_samples = counted

    def on_train_begin(self, args: Any, state: Any, *_: Any, train_dataloader: Any, **__: Any) -> None:
        steps_of_epoch = max(1, -(-len(train_dataloader) // args.gradient_accumulation_steps))
        epoch, steps = divmod(state.global_step, steps_of_epoch)
        if self.batches is not None:
            self.batches.epoch = epoch
        if not state.global_step:
            return
        self.skipped = 0 if args.ignore_data_skip else steps * args.gradient_accumulation_steps
        try:
            self.epochs = read_so_far(Path(str(self.cfg.resume_from_checkpoint)))
        except InputError as error:
            tell(f"consistency: {error}")
            sys.exit(_MISTAKE)
        if steps:
            self.before = self.epochs.pop() if len(self.epochs) > epoch else None

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.fetched = []

    def on_save(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        if args.save_only_model:
            return
        seen = self._seen()
        if self.trainer.is_world_process_zero():
            file = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}" / SO_FAR
            write_atomically(file, pretty_json(msgspec.to_builtins([*self.epochs, *([seen] if seen else [])])))

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        if seen := self._seen():
            self.epochs.append(seen)
        self.fetched, self.before, self.skipped = [], _NOTHING, 0

    def _seen(self) -> Epoch | None:
        """What the epoch at hand was trained on so far; None if that is nothing, or not known."""
        import torch

        if not self.fetched:
            return None
        names = ("rows", "tokens", "labels")
        counts = torch.stack([torch.stack([batch[name] for batch in self.fetched]).sum() for name in names])
        rows, tokens, labels = map(int, self.trainer.accelerator.gather(counts[None]).sum(0).tolist())
        if self.before is None:
            return None
        if self.cfg.rl:  # a batch holds each pair's two replies
            rows //= 2
        if isinstance(self.batches, PackedBatches):
            first, last = (
                count * self.trainer.args.world_size for count in (self.skipped, self.skipped + len(self.fetched))
            )
            seen = list(chain(*chain(*self.batches.batches[first:last])))
            rows, tokens = len(seen), int(self.batches.lengths[seen].sum())
        before = self.before
        return Epoch(before.rows + rows, before.tokens + tokens, before.labels + labels)

    def on_train_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        main, record = self.trainer.is_world_process_zero(), self._record(state.global_step)
        file = Path(self.cfg.output_dir) / RECORD
        if main:
            write_atomically(file, pretty_json(msgspec.to_builtins(record)))
            tell(f"consistency: {record.to_text() if record.steps else no_step(file)}")
        if not record.steps:
            sys.exit(_MISTAKE)

    def _record(self, steps: int) -> TrainingRecord:
        cfg, rows = self.cfg, self.trainer.train_dataset
        base = str(cfg.base_model)
        paths = [str(item.get("path")) for item in cfg.datasets or ()]
        return TrainingRecord(
            base_model=str(Path(base).resolve()) if Path(base).is_dir() else base,
            devices=self.trainer.args.world_size,
            steps=steps,
            rows_in_file=_lines(paths[0]) if len(paths) == 1 else None,
            rows=len(rows),
            tokens=cfg.total_num_tokens or None,
            labels=cfg.total_supervised_tokens or None,
            sequence_len=cfg.sequence_len,
            full_rows=None if cfg.rl else int((get_dataset_lengths(rows) >= cfg.sequence_len).sum()),
            unlabelled_rows=None if cfg.rl else sum(max(row, default=_MASKED) == _MASKED for row in rows["labels"]),
            epochs=tuple(self.epochs),
        )


def _count(batch: dict[str, Any]) -> dict[str, Any]:
    """Rows, tokens and labels of a batch, on its device; of packed rows only the labels are right."""
    ids = batch["input_ids"]
    # Of pairs of replies the mask of the replies' tokens.
    labels = batch["completion_mask"] != 0 if "completion_mask" in batch else batch["labels"] != _MASKED
    mask = batch.get("attention_mask")
    return {
        "rows": ids.new_tensor(len(ids)),
        "tokens": ids.new_tensor(ids.numel()) if mask is None else (mask != 0).sum(),
        "labels": labels.sum(),
    }


def _lines(path: str) -> int | None:
    """The number of rows of a JSONL file; None if it is none."""
    file = Path(path)
    if file.suffix != ".jsonl" or not file.is_file():
        return None
    with file.open("rb") as lines:
        return sum(bool(line.strip()) for line in lines)
