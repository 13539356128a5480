"""Python's garbage collector, kept from visiting objects where that costs time and frees nothing."""

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


@contextmanager
def gc_of_new_objects() -> Iterator[None]:
    """Let Python's garbage collector visit only objects that are created inside a `with` block.

    For long work beside millions of objects that stay: the collector still frees what the work leaves behind.

    Examples
    --------
    >>> with gc_of_new_objects():
    ...     gc.get_freeze_count() > 0
    True
    """
    before = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        # What others have set aside stays so.
        if not before:
            gc.unfreeze()


@contextmanager
def gc_seldom() -> Iterator[None]:
    """Let Python's garbage collector begin a hundred times less often inside a `with` block.

    For work that makes hundreds of thousands of objects and keeps most of them.

    Examples
    --------
    >>> with gc_seldom():
    ...     gc.get_threshold()[0] >= 70_000
    True
    """
    before = gc.get_threshold()
    gc.set_threshold(100 * before[0], *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
