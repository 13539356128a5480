"""Modules of other packages that are loaded when they are used, not when they are imported."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from threading import RLock


def load_when_used(name: str, part: str) -> None:
    """Let a package's functions come from one of its modules; its `__init__` runs when anything else of it is used.

    For a program's start: a package that is already loaded, or that is missing, is left alone. `scipy.special` wraps
    each compiled function for other libraries of arrays, and imports all that numpy has for that: a third of the time in
    which two logs are compared.

    Parameters
    ----------
    name : str
        The package's dotted name.
    part : str
        The module in it; the names in its `__all__` mean the same in the package.

    Examples
    --------
    >>> load_when_used("scipy.special", "_ufuncs")
    >>> from scipy.special import ndtr
    >>> float(ndtr(0.0))
    0.5
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader, package, lock = spec.loader, module_from_spec(spec), RLock()
    begun = False

    def attribute(wanted: str) -> object:
        nonlocal begun
        dunder = wanted.startswith("__") and wanted != "__all__"
        try:
            quick = None if dunder or begun or wanted == part else import_module(f"{name}.{part}")
        except ImportError:  # a release without this module
            quick = None
        if quick is not None and wanted in quick.__all__:
            return getattr(quick, wanted)
        with lock:  # another thread finds all or waits; what the package itself asks for meanwhile is not there yet
            if not dunder and not begun:
                begun = True
                loader.exec_module(package)
            if wanted in vars(package):
                return vars(package)[wanted]
        raise AttributeError(f"module {name!r} has no attribute {wanted!r}")

    package.__getattr__ = attribute  # type: ignore[method-assign]
    sys.modules[name] = package
    parent, _, own = name.rpartition(".")
    setattr(sys.modules[parent], own, package)
