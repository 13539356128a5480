"""One process of `test_watched_processes.py`: a training with sharded weights, watched and not; prints whether they are equal.

Accelerate shards weights on GPUs alone. What it needs for that on a CPU is set here; the sharding itself, its collectives and the
Trainer are the real ones.
"""

import sys
from pathlib import Path
from typing import Any

import accelerate.state
import numpy as np
import torch
from accelerate.utils import DistributedType
from datasets import Dataset
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

from consistency.watch import WatchCallback
from consistency.world.model import BASE_MODEL

SHARDED = {"version": 2, "fsdp_version": 2, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}
TASK = "consistency_world_history_ift"


def shard_on_a_cpu() -> None:
    begin = accelerate.state.AcceleratorState.__init__

    def init(self: Any, *arguments: Any, fsdp_plugin: Any = None, **named: Any) -> None:
        first = accelerate.state.AcceleratorState._shared_state == {}
        begin(self, *arguments, fsdp_plugin=fsdp_plugin, **named)
        if first:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin

    accelerate.state.AcceleratorState.__init__ = init


def train(folder: Path, watch: dict[str, Any] | None) -> tuple[dict[str, torch.Tensor], list[float]]:
    set_seed(3)
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32, attention_dropout=0.1)
    rows = [{"input_ids": ids, "labels": ids} for ids in np.random.default_rng(0).integers(3, 3000, (32, 24)).tolist()]
    arguments = TrainingArguments(
        str(folder),
        per_device_train_batch_size=4,
        num_train_epochs=1,
        learning_rate=1e-3,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        fsdp="full_shard auto_wrap",
        fsdp_config=SHARDED,
    )
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    trainer = Trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    if watch is not None:
        trainer.add_callback(WatchCallback(trainer, **watch))
    trainer.train()
    assert any(isinstance(weight, DTensor) for weight in trainer.model.parameters())
    weights = {name: weight.full_tensor().detach().clone() for name, weight in trainer.model.named_parameters()}
    if watch is not None and trainer.is_world_process_zero():
        AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32).save_pretrained(
            folder / "tuned", state_dict={**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}
        )
        tokenizer.save_pretrained(folder / "tuned")
    return weights, [row["loss"] for row in trainer.state.log_history if "loss" in row]


def main(folder: Path) -> None:
    shard_on_a_cpu()
    # An odd number of questions: one process has more than the other.
    watched, losses = train(folder / "watched", {"tasks": [TASK], "questions": 7, "every": 3})
    alone, expected = train(folder / "alone", None)
    same = losses == expected and all(torch.equal(watched[name], weight) for name, weight in alone.items())
    print(f"equal: {same}, {len(expected)} steps")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
