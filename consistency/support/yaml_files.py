"""YAML that a user wrote: read safely, strictly, and with the line of a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from consistency.errors import InputError


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
        If it cannot be read, is not valid YAML, or has a duplicate key, of which YAML takes the last without an error.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.yml").write_text("seed: 1")
    ...     read_yaml(Path(folder, "a.yml"), "a preset")
    {'seed': 1}
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values, document = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        # YAML's own message takes several lines.
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(
            f"cannot be read: {reason}", expected=expected, path=path, line=mark.line + 1 if mark else None
        ) from error
    for key in _repeated(document, set()):
        raise InputError(f"duplicate key {key.value}", expected=expected, path=path, line=key.start_mark.line + 1)
    return values


def key_lines(path: str | Path) -> dict[tuple[str | int, ...], int]:
    r"""The line of each key and list item of a YAML file that `read_yaml` reads, for error messages.

    Returns
    -------
    dict of tuple to int
        By the keys and positions that lead there; lines are counted from 1.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.yml").write_text("seeds:\n- 1\n- 2")
    ...     key_lines(Path(folder, "a.yml"))
    {('seeds',): 1, ('seeds', 0): 2, ('seeds', 1): 3}
    """
    document = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    return dict(_places(document, (), set()))


def _places(
    node: yaml.Node | None, place: tuple[str | int, ...], seen: set[int]
) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if node is None or id(node) in seen:  # of what an anchor repeats, the first place
        return
    seen.add(id(node))
    parts: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        parts = [(key.value, key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(number, item, item) for number, item in enumerate(node.value)]
    for name, where, value in parts:
        yield (*place, name), where.start_mark.line + 1
        yield from _places(value, (*place, name), seen)


def _repeated(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    """Keys that one mapping has more than once; several anchors may be merged into one."""
    if node is None or id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    keys: set[tuple[str, str]] = set()
    for item in node.value:
        for part in item if isinstance(node, yaml.MappingNode) else (item,):
            yield from _repeated(part, seen)
        if isinstance(node, yaml.MappingNode) and isinstance(item[0], yaml.ScalarNode):
            key = item[0].tag, item[0].value
            if key in keys and key[0] != "tag:yaml.org,2002:merge":
                yield item[0]
            keys.add(key)
