"""A copy of the weights at one step, to which a training can go back: of the adapter alone where one is trained."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from consistency.errors import InputError, one_line

_NAME = re.compile(r"weights-step-(\d+)")


class WeightsCopy:
    """The copy in a folder of a watch: one file of each process that holds weights of its own.

    Parameters
    ----------
    folder : Path
    trainer : transformers.Trainer
    sharded : bool
        Whether the weights are spread over processes (FSDP, ZeRO).
    """

    def __init__(self, folder: Path, trainer: Any, sharded: bool) -> None:
        self._folder, self._trainer = folder, trainer
        self._writes = sharded or trainer.accelerator.is_main_process
        self._file = f"rank-{trainer.accelerator.process_index if sharded else 0}.safetensors"

    @property
    def steps(self) -> list[int]:
        """The steps of which there is a copy."""
        found = (_NAME.fullmatch(path.name) for path in self._folder.glob("weights-step-*"))
        return sorted(int(matched[1]) for matched in found if matched)

    def keep(self, step: int) -> None:
        """Copy the weights as they are; every process calls it. Earlier copies are then removed.

        Raises
        ------
        RuntimeError
            In all processes, if one of them could not write; the earlier copy stays.
        """
        accelerator = self._trainer.accelerator
        place = self._place(step)
        draft = place.with_name(f"{place.name}.part")
        problem: str | None = None
        if self._writes:
            try:
                draft.mkdir(parents=True, exist_ok=True)
                tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self._held()}
                save_file(tensors, draft / self._file)
            except Exception as error:
                problem = f"{draft} cannot be written: {one_line(error)}"
        problem = self._first(problem)
        if problem is not None:
            raise RuntimeError(problem)
        if accelerator.is_main_process:
            for other in self.steps:
                self.remove(other)
            draft.rename(place)
        accelerator.wait_for_everyone()

    def restore(self, step: int) -> None:
        """Make the weights those of a copy; every process calls it.

        Raises
        ------
        InputError
            If the copy cannot be read, is of another model or of other processes; then no weight is changed.
        """
        path, held = self._place(step) / self._file, list(self._held())
        problem: str | None = None
        try:
            tensors = load_file(path)
            lacking = [name for name, tensor in held if name not in tensors or tensors[name].shape != tensor.shape]
            if lacking:
                problem = f"{path} lacks {lacking[0]}, or has it in another shape"
        except Exception as error:
            problem = f"{path} cannot be read: {one_line(error)}"
        # Either all processes go back or none.
        problem = self._first(problem)
        if problem is not None:
            raise InputError(problem, expected="the copy of this model, of as many processes")
        with torch.no_grad():
            for name, tensor in held:
                tensor.copy_(tensors[name])

    def remove(self, step: int) -> None:
        """Remove a copy."""
        shutil.rmtree(self._place(step), ignore_errors=True)

    def _first(self, problem: str | None) -> str | None:
        """The first problem that any process has."""
        if self._trainer.accelerator.num_processes == 1:
            return problem
        from accelerate.utils import gather_object

        return next(filter(None, gather_object([problem])), None)

    def _place(self, step: int) -> Path:
        return self._folder / f"weights-step-{step:06d}"

    def _held(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The weights that are trained, as far as this process holds them."""
        for name, weight in self._trainer.model.named_parameters():
            if not weight.requires_grad:
                continue
            # ZeRO-3 keeps its part beside a weight, which is empty or, where it is small, whole.
            part = getattr(weight, "ds_tensor", None)
            if part is not None:
                yield f"{name}.part", part.data
            local = weight.data.to_local() if hasattr(weight.data, "to_local") else weight.data
            if local.numel():
                yield name, local
