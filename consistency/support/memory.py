"""Python's garbage collector, switched off where it costs time and frees nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Disable Python's garbage collector inside a `with` block.

    Code that creates millions of objects and keeps them is slowed down by it: it visits all of them again and again.

    Examples
    --------
    >>> with gc_disabled():
    ...     gc.isenabled()
    False
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
