"""YAML that a user wrote: read safely, strictly, and with the line of a mistake."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from consistency.errors import InputError


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: list[Any] = []
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # several anchors may be merged in
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path, expected: str) -> Any:
    """Read a YAML file.

    Parameters
    ----------
    path : path-like
    expected : str
        What it should be, for error messages.

    Raises
    ------
    InputError
        If it cannot be read, is no YAML, or says a key twice.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.yml")
    ...     _ = path.write_text("seed: 1")
    ...     read_yaml(path, "a preset")
    {'seed': 1}
    """
    try:
        # A SafeLoader, which makes plain data and nothing else.
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Strict)
    except (OSError, ValueError, yaml.YAMLError) as error:
        # YAML's own message takes several lines.
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(
            f"cannot be read: {reason}", expected=expected, path=path, line=mark.line + 1 if mark else None
        ) from error
