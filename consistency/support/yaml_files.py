"""YAML that a user wrote: read safely, strictly, and with the line of a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from consistency.errors import InputError, one_line
from consistency.support.json_files import DEEPEST

# Values that a file may hold where each alias counts as all that it repeats: a few lines of aliases of aliases are billions.
MOST_VALUES = 100_000
# What the constructors of YAML's own types raise on a value such as `!!bool perhaps`, or a day that no month has.
_NOT_OF_TYPE = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)


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
        If it cannot be read, is not valid YAML, or has a duplicate key, of which YAML takes the last without an error; if
        it is nested too deeply, an alias stands for itself, or its aliases stand for too many values.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.yml").write_text("seed: 1")
    ...     read_yaml(Path(folder, "a.yml"), "a preset")
    {'seed': 1}
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", expected=expected, path=path) from error
    return parse_yaml(text, expected, path)


def parse_yaml(text: str, expected: str, path: str | Path | None = None) -> Any:
    """The value of a text in YAML, read as strictly as a file; `path` is for error messages.

    Examples
    --------
    >>> parse_yaml("[1, 2]", "a list")
    [1, 2]
    """
    document = _compose(text, expected, path)
    problem, mark = next(_problems(document), ("", None))
    try:
        values = None if problem or document is None else _construct(document)
    except yaml.YAMLError as error:
        raise _invalid(error, expected, path) from error
    except _NOT_OF_TYPE as error:
        problem = f"a value is not of the type that it is written as: {error}"
        raise InputError(problem, expected=expected, path=path) from error
    if problem:
        raise InputError(problem, expected=expected, path=path, line=mark.line + 1 if mark else None)
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
    document = yaml.compose(Path(path).read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    return dict(_places(document, (), set()))


def _compose(text: str, expected: str, path: str | Path | None) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise InputError("cannot be read: its values are nested too deeply", expected=expected, path=path) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _invalid(error, expected, path) from error


def _invalid(error: Exception, expected: str, path: str | Path | None) -> InputError:
    # YAML's own message takes several lines.
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or one_line(error)
    return InputError(f"cannot be read: {reason}", expected=expected, path=path, line=mark.line + 1 if mark else None)


def _construct(document: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(document)
    finally:
        loader.dispose()


def _problems(document: yaml.Node | None) -> Iterator[tuple[str, yaml.Mark]]:
    """What is wrong with a document before its values are made, and where; it does not recurse, so that depth is no matter."""
    sizes: dict[int, int] = {}
    within: list[int] = []
    # Each node twice: when it is entered, and when its parts are counted.
    left = [(document, False)] if document is not None else []
    while left:
        node, counted = left.pop()
        parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        parts = parts if not isinstance(node, yaml.ScalarNode) else []
        if counted:
            within.pop()
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in parts)
            if sizes[id(node)] > MOST_VALUES:
                yield f"its aliases stand for more than {MOST_VALUES:,} values", node.start_mark
                return
            yield from _own_problems(node)
        elif id(node) in within:
            yield "an alias within the value that it stands for", node.start_mark
            return
        elif id(node) not in sizes:
            within.append(id(node))
            if len(within) > DEEPEST:
                yield f"nested more than {DEEPEST} levels deep", node.start_mark
                return
            left.append((node, True))
            left += [(part, False) for part in reversed(parts)]


def _own_problems(node: yaml.Node) -> Iterator[tuple[str, yaml.Mark]]:
    """Keys that a mapping has more than once (several anchors may be merged into one), and scalars that nothing could take."""
    if isinstance(node, yaml.MappingNode):
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = key.tag, key.value
                if name in keys and key.tag != "tag:yaml.org,2002:merge":
                    yield f"duplicate key {key.value}", key.start_mark
                keys.add(name)
    elif isinstance(node, yaml.ScalarNode):
        if node.tag == "tag:yaml.org,2002:int" and len(node.value) > 200:
            yield f"a number of {len(node.value):,} digits", node.start_mark
        if not node.value.isascii() and any("\ud800" <= mark <= "\udfff" for mark in node.value):
            yield "half a surrogate pair, which no file can hold as text", node.start_mark


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
