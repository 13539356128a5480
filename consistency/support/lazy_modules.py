"""Modules of other packages that are loaded when they are used, not when they are imported."""

from __future__ import annotations

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

# `scipy.special` imports all that numpy has: a fifth of the time in which two logs are compared.
UNUSED_OF_NUMPY = ("numpy.f2py", "numpy.testing")


def load_when_used(*names: str) -> None:
    """Let the first use of a module load it; its packages are imported at once.

    For a program's start: a module that is already loaded, or that is missing, is left alone.

    Parameters
    ----------
    *names : str
        Dotted names.

    Examples
    --------
    >>> load_when_used("numpy.f2py")
    >>> import numpy
    >>> callable(numpy.f2py.run_main)
    True
    """
    for name in names:
        spec = None if name in sys.modules else find_spec(name)
        if spec is None or spec.loader is None:
            continue
        spec.loader = LazyLoader(spec.loader)
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        package, _, own = name.rpartition(".")
        setattr(sys.modules[package], own, module)
