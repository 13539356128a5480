"""An Axolotl plugin that trains as the released code does: weights in float32, products in bfloat16."""

from __future__ import annotations

from typing import Any

from axolotl.integrations.base import BasePlugin


class Autocast(BasePlugin):  # type: ignore[misc]
    """Turns on the Trainer's bfloat16 autocast while the config has ``bf16: false``.

    Axolotl's own ``bf16: true`` also rounds the weights to bfloat16. Most of them then do not change by a step of 2e-5: the
    next number that bfloat16 has is further away.
    """

    def get_training_args(self, cfg: Any) -> dict[str, bool]:
        """The training arguments that replace Axolotl's own."""
        from torch import cuda

        # The Trainer refuses bfloat16 on a CPU unless use_cpu asks for the CPU.
        return {"bf16": True, "use_cpu": not cuda.is_available()}
