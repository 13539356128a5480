"""An Axolotl plugin that writes the time and the token counts of each optimizer step to ``steps.jsonl``.

    plugins: [step_meter.StepMeter]          with this folder on PYTHONPATH

The file is in the output folder. A line has the step's seconds (from the end of the step before, so that fetching the batch
is included), its loss, and the batch's numbers of conversations, tokens of content, tokens that count in the loss, and
places for tokens (padding included).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback


class StepMeter(BasePlugin):  # type: ignore[misc]
    """The plugin: it adds the meter to the trainer."""

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[TrainerCallback]:
        """The callback that counts each batch that the trainer fetches."""
        return [_Meter(Path(cfg.output_dir) / "steps.jsonl", trainer)]


class _Meter(TrainerCallback):  # type: ignore[misc]
    def __init__(self, path: Path, trainer: Any) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.counts = torch.zeros(4, dtype=torch.int64)
        self.last = time.perf_counter()
        tokenizer = trainer.processing_class
        fetch = trainer.get_batch_samples

        def metered(*arguments: Any) -> Any:
            batches, items = fetch(*arguments)
            self.counts = torch.stack(
                [count(batch, tokenizer.pad_token_id, tokenizer.eos_token_id) for batch in batches]
            ).sum(0)
            return batches, items

        trainer.get_batch_samples = metered

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.last = time.perf_counter()

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        names = ("conversations", "content", "labels", "places")
        row = {"step": state.global_step, "seconds": now - self.last}
        self.rows.append(row | dict(zip(names, self.counts.tolist(), strict=True)))
        self.last = time.perf_counter()

    def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, Any], **___: Any) -> None:
        if self.rows and "loss" in logs and "loss" not in self.rows[-1]:
            self.rows[-1] |= {"loss": float(logs["loss"]), "grad_norm": float(logs.get("grad_norm", "nan"))}
            if torch.cuda.is_available():
                self.rows[-1]["gib"] = torch.cuda.max_memory_allocated() / 2**30
            self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")


def count(batch: dict[str, torch.Tensor], pad: int, end: int) -> torch.Tensor:
    """Conversations, tokens of content, tokens with a label, and places of one batch.

    Parameters
    ----------
    batch : dict of str to torch.Tensor
        `input_ids` and `labels`, shape ``(rows, places)``; `attention_mask` where rows are padded and not packed,
        `position_ids` where they are packed.
    pad, end : int
        The tokens that fill a row and that end a turn. They may be the same token: of a row's last tokens, one is then content.

    Returns
    -------
    torch.Tensor
        Four integers on the CPU.
    """
    ids, labels = batch["input_ids"], batch["labels"]
    packed = "position_ids" in batch and "attention_mask" not in batch
    if packed:
        # After the last token of content there is only padding.
        filled = (ids == pad).flip(-1).cumprod(-1).sum(-1)
        if pad == end:
            filled = (filled - 1).clamp(min=0)
        content = torch.arange(ids.shape[-1], device=ids.device) < (ids.shape[-1] - filled)[:, None]
        conversations = ((batch["position_ids"] == 0) & content).sum()
    else:
        content = batch["attention_mask"] != 0
        conversations = torch.tensor(ids.shape[0], device=ids.device)
    counts = [conversations, content.sum(), (labels != -100).sum(), torch.tensor(ids.numel(), device=ids.device)]
    return torch.stack(counts).cpu()
