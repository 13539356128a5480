"""One process of `test_watched_processes.py`: a training with sharded weights, watched and not; prints whether they are equal.

Accelerate shards weights by FSDP on GPUs alone. What it needs for that on a CPU is set here; the sharding itself, its collectives
and the Trainer are the real ones, and so is DeepSpeed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, set_seed

from consistency.watch import WatchCallback
from consistency.world.model import BASE_MODEL

FSDP = {"version": 2, "fsdp_version": 2, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}
TASK = "consistency_world_history_ift"
# The look that fails in the second process, in the middle of a pass.
FAILS = 3


def shard_on_a_cpu() -> None:
    import accelerate.state
    from accelerate.utils import DistributedType

    begin = accelerate.state.AcceleratorState.__init__

    def init(self: Any, *arguments: Any, fsdp_plugin: Any = None, **named: Any) -> None:
        first = accelerate.state.AcceleratorState._shared_state == {}
        begin(self, *arguments, fsdp_plugin=fsdp_plugin, **named)
        if first:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin

    accelerate.state.AcceleratorState.__init__ = init


def sharding(how: str) -> dict[str, Any]:
    if how == "fsdp":
        return {"fsdp": "full_shard auto_wrap", "fsdp_config": FSDP}
    zero = {"stage": int(how[-1])}
    if how == "zero3":
        # Each weight, however small, is spread.
        zero |= {"stage3_gather_16bit_weights_on_model_save": True, "stage3_param_persistence_threshold": 0}
    automatic = dict.fromkeys(
        ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "train_batch_size"), "auto"
    )
    own = {"zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False}
    return {"deepspeed": {"zero_optimization": zero, **automatic, **own}}


class Failing(TrainerCallback):  # type: ignore[misc]
    """Lets one look fail in one process, in the middle of a layer."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.active = trainer, False
        module = trainer.model.model.layers[2].mlp.act_fn
        forward = module.forward

        def fails(values: Any) -> Any:
            if self.active and not module.training:
                raise RuntimeError("planted")
            return forward(values)

        module.forward = fails

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.active = self.trainer.args.process_index == 1 and state.global_step == FAILS - 1


def train(folder: Path, how: str, watch: dict[str, Any] | None, **changes: Any) -> list[dict[str, float]]:
    set_seed(3)
    arguments = TrainingArguments(
        str(folder),
        per_device_train_batch_size=4,
        num_train_epochs=1,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        save_only_model=True,
        **{"learning_rate": 1e-3, "save_strategy": "no"} | sharding(how) | changes,
    )
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32, attention_dropout=0.1)
    rows = [{"input_ids": ids, "labels": ids} for ids in np.random.default_rng(0).integers(3, 3000, (32, 24)).tolist()]
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    trainer = Trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    if watch is not None:
        trainer.add_callback(Failing(trainer))
        trainer.add_callback(WatchCallback(trainer, tasks=[TASK], questions=7, every=FAILS, **watch))
    trainer.train()
    save(trainer, how, folder / "tuned")
    return [{key: row[key] for key in ("loss", "grad_norm")} for row in trainer.state.log_history if "loss" in row]


def save(trainer: Any, how: str, folder: Path) -> None:
    if how != "fsdp":
        trainer.save_model(str(folder))
        return
    from torch.distributed.tensor import DTensor

    assert any(isinstance(weight, DTensor) for weight in trainer.model.parameters())
    weights = {name: weight.full_tensor().detach().clone() for name, weight in trainer.model.named_parameters()}
    if trainer.is_world_process_zero():
        AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32).save_pretrained(
            folder, state_dict={**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}
        )
        trainer.processing_class.save_pretrained(folder)


def main(folder: Path, how: str) -> None:
    if how == "fsdp":
        shard_on_a_cpu()
    else:
        import deepspeed

        deepspeed.init_distributed("gloo")
    # An odd number of questions: one process has more than the other.
    found = {
        "watched": train(folder / "watched", how, {}),
        "alone": train(folder / "alone", how, None),
        "spoiled": train(folder / "spoiled", how, {"on_alarm": "rollback", "level": 0.49}, learning_rate=0.05),
    }
    if int(os.environ["RANK"]) == 0:
        (folder / "losses.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
