"""The version of this project."""

from __future__ import annotations


def own_version() -> str:
    """The installed version, or "source" where the project is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lm-eval-consistency")
    except PackageNotFoundError:
        return "source"
