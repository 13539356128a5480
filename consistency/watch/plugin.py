"""The plugin for Axolotl: ``plugins: [consistency.watch.Watch]`` and a mapping under ``watch:``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from axolotl.integrations.base import BasePlugin
from pydantic import BaseModel

from consistency.errors import InputError
from consistency.watch.settings import read_settings

if TYPE_CHECKING:
    from consistency.watch.questions import Questions


# Axolotl turns them on for LoRA by itself.
_KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel")


class WatchArgs(BaseModel):
    """The key that this plugin adds to Axolotl's configuration."""

    watch: dict[str, Any] | None = None


class Watch(BasePlugin):  # type: ignore[misc]
    """Asks fixed questions of the model in training: see `WatchCallback`, whose settings are those under ``watch:``."""

    questions: Questions | None = None
    seconds = 0.0

    def get_input_args(self) -> str:
        """Where Axolotl finds the keys of this plugin."""
        return f"{WatchArgs.__module__}.{WatchArgs.__name__}"

    def register(self, cfg: Any) -> None:
        """Refuse settings that cannot be used, before anything is loaded."""
        from consistency.watch.messages import end

        # Axolotl keeps plugins for further configs of the same process.
        if not _is_asked(cfg):
            return
        try:
            # How many steps there are is not known yet.
            read_settings(_plain(cfg.get("watch")), planned_steps=1000)
        except InputError as error:
            end(error)

    def pre_model_load(self, cfg: Any) -> None:
        """Load the tasks, so that one that cannot be asked is refused before the model is loaded."""
        if not _is_asked(cfg):
            return
        start = time.perf_counter()
        from consistency.watch.callback import choose
        from consistency.watch.messages import end

        try:
            _refuse_kernels(cfg)
            self.questions = choose(read_settings(_plain(cfg.watch), planned_steps=1000))
        except Exception as error:  # tasks have code of their own
            end(error)
        self.seconds = time.perf_counter() - start

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Add the callback."""
        from consistency.watch.callback import WatchCallback
        from consistency.watch.messages import end

        if not _is_asked(cfg):
            return
        try:
            callback = WatchCallback(
                trainer,
                model_name=str(cfg.base_model),
                questions_chosen=self.questions,
                seconds_before=self.seconds,
                **_plain(cfg.watch),
            )
        except InputError as error:
            end(error)
        trainer.add_callback(callback)


def _refuse_kernels(cfg: Any) -> None:
    """Refuse what Axolotl itself would fail with in the first pass, which is that of the first look."""
    import torch

    used = [name for name in _KERNELS if cfg.get(name)]
    if used and not torch.accelerator.is_available():
        raise InputError(
            f"Axolotl: {', '.join(used)}: these kernels need a GPU, and there is none",
            do=f"add {', '.join(f'{name}: false' for name in _KERNELS)}",
        )


def _is_asked(cfg: Any) -> bool:
    return any(str(name).rpartition(".")[2] == Watch.__name__ for name in cfg.get("plugins") or ())


def _plain(value: Any) -> Any:
    """A mapping of Axolotl's own kind as a plain one."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
