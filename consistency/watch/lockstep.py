"""Passes of a model whose weights are spread over processes: one that fails in a process is gone through to its end.

Each layer gathers its weights from all processes. Where a pass fails in one of them, the others wait in the next layer. So the
modules that a failed pass did not come to are called without computing anything: what is gathered around their calls (FSDP,
ZeRO-3) is gathered, and all processes come to the end of the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Lockstep:
    """The calls of a model's modules.

    Parameters
    ----------
    model : torch.nn.Module
        With all the modules that gather weights.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        # By module, those that it calls, in their order.
        self._calls: dict[Any, list[Any]] = {}
        self._open: list[list[Any]] = []
        self.problem: Exception | None = None
        # Whether a pass failed before a whole one was seen, which could not be gone through.
        self.is_stuck = False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Let no error leave the model inside a `with` block: `problem` holds it, and the rest of the pass was gone through."""
        own = {module: vars(module).get("forward") for module in self._model.modules()}
        try:
            for module in own:
                module.forward = self._wrapped(module, module.forward)
            yield
        finally:
            for module, forward in own.items():
                if forward is None:
                    vars(module).pop("forward", None)
                else:
                    module.forward = forward

    def take_problem(self) -> Exception | None:
        """What went wrong in the last pass; it is then forgotten."""
        problem, self.problem = self.problem, None
        self._open.clear()
        return problem

    def _wrapped(self, module: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._open:
                self._open[-1].append(module)
            if self.problem is not None:
                return self._gone_through(module, 0)
            depth = len(self._open)
            called: list[Any] = []
            self._open.append(called)
            try:
                found = forward(*arguments, **named)
            except Exception as error:
                if self.problem is None:
                    if self._model not in self._calls:
                        self.is_stuck = True
                        raise
                    # Its frames hold the memory that may have been lacking.
                    self.problem = error.with_traceback(None)
                del self._open[depth:]
                return self._gone_through(module, len(called))
            del self._open[depth:]
            if self.problem is None:
                self._calls[module] = called
            return found

        return call

    def _gone_through(self, module: Any, begin: int) -> Any:
        """Call what a module calls, from one of these calls on, for what happens around the calls."""
        nothing = next(self._model.parameters()).new_zeros((1, 1))
        self._open.append([])
        for called in self._calls.get(module, [])[begin:]:
            called(nothing)
        self._open.pop()
        return nothing
