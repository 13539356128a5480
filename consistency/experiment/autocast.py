"""An Axolotl plugin: products in bfloat16 over weights in float32, as the released code trains."""

from __future__ import annotations

from typing import Any

from axolotl.integrations.base import BasePlugin


class Autocast(BasePlugin):  # type: ignore[misc]
    """Turns on the Trainer's bfloat16 autocast while the config says ``bf16: false``.

    Axolotl's own ``bf16: true`` also rounds the weights to bfloat16. There, a step of 2e-5 is lost in most of them:
    the next number is further away than that.
    """

    def get_training_args(self, cfg: Any) -> dict[str, bool]:
        """What Axolotl lays over its training arguments."""
        from torch import cuda

        # On a CPU the Trainer wants to be told that it is meant.
        return {"bf16": True, "use_cpu": not cuda.is_available()}
