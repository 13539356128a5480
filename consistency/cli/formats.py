"""How a comparison can be printed."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How a comparison is printed."""

    TEXT = "text"
    GITHUB = "github"
    MARKDOWN = "markdown"
    JSON = "json"
