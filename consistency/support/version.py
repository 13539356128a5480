"""The version of this project, and those of installed packages."""

from __future__ import annotations

# The one place where it stands: builds read it here (pyproject.toml). To ask for the metadata of the installed package takes
# .03 s of a comparison.
VERSION = "0.2.0"


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
