"""The version of this project."""

from __future__ import annotations


def own_version() -> str:
    """The installed version, or "source" where the project is not installed."""
    return version_of("lm-eval-consistency") or "source"


def version_of(name: str) -> str | None:
    """The installed version of a package; None if it is not installed.

    Examples
    --------
    >>> version_of("no such package") is None
    True
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
