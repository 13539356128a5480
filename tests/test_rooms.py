"""The rooms of the package: imports run downwards, there is no circle, and every room states its law.

The imports are read from the source, also those inside functions and under `TYPE_CHECKING`.
"""

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeGuard

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "consistency"
# From the top to the bottom: a room imports only from rooms below it. The package itself and `__main__` are above all.
ORDER = (
    "cli epochs report watch training_data knowledge comparison experiment logs tasks world shared_prefix statistics metrics "
    "support errors autocast preference"
).split()
MOST_ENTRIES = 20
SHORTEST_LAW = 8
# What the tasks of lm_eval may import, and what the rooms of pure arithmetic may import.
TASKS_MAY_IMPORT = ["consistency.tasks", "consistency.world", "consistency.errors", "consistency.support.streams"]
PURE_MAY_IMPORT = ["consistency.statistics", "consistency.metrics", "consistency.support.arrays"]
PURE = ["consistency.statistics", "consistency.metrics"]
# Libraries that take seconds to import, and the modules that may do so at module level.
SLOW = ["torch", "transformers", "lm_eval", "axolotl"]
MAY_BE_SLOW = [
    "consistency.shared_prefix",
    "consistency.autocast",
    "consistency.epochs",
    "consistency.tasks.rotated_tasks",
    *(f"consistency.watch.{name}" for name in ("callback", "copies", "plugin", "probe", "questions", "text")),
]


class Import(NamedTuple):
    """An import statement's effect: which module imports which, in which line, and whether when it is loaded."""

    importer: str
    imported: str
    line: int
    at_load: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


# Reading


def modules_of(sources: Iterable[str]) -> dict[str, str]:
    """Module names by the path of each source file; a package is its `__init__.py`."""
    found = {}
    for path in sources:
        parts = path.removesuffix(".py").split("/")
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read_imports(sources: Mapping[str, str]) -> list[Import]:
    """All imports of source files; `from a import b` imports the module `a.b` where one exists, else `a`.

    `import_module("a.b")` and `__import__("a.b")` are imports as well.
    """
    modules = modules_of(sources)
    found = []
    for module, path in modules.items():
        package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
        for node, at_load in statements(ast.parse(sources[path]), at_load=True):
            if isinstance(node, ast.Call):
                names = [node.args[0].value]  # type: ignore[attr-defined]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                base = node.module or ""
                if node.level:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*above, base] if base else above)
                names = [
                    name if (name := f"{base}.{alias.name}") in modules else base for alias in node.names if alias.name
                ]
            found += [Import(module, name, node.lineno, at_load) for name in dict.fromkeys(names)]
    return found


def statements(tree: ast.AST, *, at_load: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom | ast.Call, bool]]:
    """The import statements and calls below a node, each with whether it runs when the module is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or imports_by_name(node):
            yield node, at_load
        else:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from statements(node, at_load=at_load and not is_function and not is_for_types)


def imports_by_name(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether a node is a call such as `import_module("consistency.logs")`."""
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant)
    )


# Checking


def circular(imports: Collection[Import]) -> list[Import]:
    """The imports that are part of a circle: from the imported module the importer can be reached."""
    imported_by: dict[str, set[str]] = defaultdict(set)
    for item in imports:
        imported_by[item.importer].add(item.imported)

    def reachable(start: str) -> set[str]:
        seen, waiting = {start}, [start]
        while waiting:
            new = imported_by[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    return [item for item in imports if item.importer in reachable(item.imported)]


def upward(imports: Iterable[Import]) -> list[Import]:
    """The imports of the package that run upwards in `ORDER`."""
    return [
        item
        for item in imports
        if is_within(item.importer, [PACKAGE])
        and is_within(item.imported, [PACKAGE])
        and height(item.importer) > height(item.imported)
    ]


def height(module: str) -> int:
    """The place of a module's room in `ORDER`; -1 for what is above all, the last place for what is no room."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__main__":
        return -1
    return ORDER.index(parts[1]) if parts[1] in ORDER else len(ORDER)


def forbidden(imports: Iterable[Import], importers: Collection[str], allowed: Collection[str]) -> list[Import]:
    """The imports from the package, by the given modules, of what they may not import."""
    return [
        item
        for item in imports
        if is_within(item.importer, importers)
        and is_within(item.imported, [PACKAGE])
        and not is_within(item.imported, allowed)
    ]


def slow(imports: Iterable[Import]) -> list[Import]:
    """The imports of slow libraries that run when a module of the package is loaded that should load fast."""
    return [
        item
        for item in imports
        if item.at_load
        and is_within(item.imported, SLOW)
        and is_within(item.importer, [PACKAGE])
        and not is_within(item.importer, MAY_BE_SLOW)
    ]


def is_within(module: str, places: Collection[str]) -> bool:
    """Whether a module is one of the given modules or packages, or inside one."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def no_room(entries: Iterable[str]) -> list[str]:
    """The entries of the package's folder that are not rooms."""
    allowed = {
        "__init__.py",
        "__main__.py",
        "py.typed",
        "errors.py",
        "autocast.py",
        "epochs.py",
        "preference.py",
        *ORDER,
    } - {*("errors", "autocast", "epochs", "preference")}
    return [entry for entry in entries if entry not in allowed]


def lawless(sources: Mapping[str, str]) -> list[str]:
    """The packages without a law: their docstring is missing, or too short to be a sentence."""
    return [
        module
        for module, path in modules_of(sources).items()
        if path.endswith("__init__.py")
        and len((ast.get_docstring(ast.parse(sources[path])) or "").split()) < SHORTEST_LAW
    ]


# The tree as it is


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    paths = [path for folder in (PACKAGE, "lm_eval_tasks") for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    return {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="module")
def imports(sources: dict[str, str]) -> list[Import]:
    return read_imports(sources)


def listed(found: Iterable[object]) -> str:
    return "\n".join(map(str, found))


def test_no_module_is_part_of_a_circle(imports: list[Import]) -> None:
    assert listed(circular(imports)) == ""


def test_imports_between_rooms_run_downwards(imports: list[Import]) -> None:
    assert len(imports) > 300
    assert listed(upward(imports)) == ""


def test_every_entry_of_the_package_is_a_room() -> None:
    entries = [path.name for path in (REPOSITORY / PACKAGE).iterdir() if path.name not in ("__pycache__", "_share")]
    assert listed(no_room(entries)) == ""
    assert len(entries) <= MOST_ENTRIES


def test_every_room_states_its_law(sources: dict[str, str]) -> None:
    rooms = {module for module in modules_of(sources) if module.startswith("consistency.") and module.count(".") == 1}
    assert rooms - {"consistency.__main__"} == {f"consistency.{room}" for room in ORDER}
    assert listed(lawless({path: text for path, text in sources.items() if path.startswith(PACKAGE)})) == ""


def test_tasks_of_lm_eval_need_three_rooms_only(imports: list[Import]) -> None:
    assert listed(forbidden(imports, ["lm_eval_tasks"], TASKS_MAY_IMPORT)) == ""


def test_statistics_and_metrics_are_pure_arithmetic(imports: list[Import]) -> None:
    assert listed(forbidden(imports, PURE, PURE_MAY_IMPORT)) == ""


def test_only_the_rooms_built_on_torch_import_it_when_they_are_loaded(imports: list[Import]) -> None:
    assert listed(slow(imports)) == ""


# The checks themselves, on small packages


def small(files: dict[str, str]) -> list[Import]:
    """The imports of a small package: sources by their place in it."""
    return read_imports({f"{PACKAGE}/{place}.py": text for place, text in files.items()})


IN_A_FUNCTION = "def f():\n    import consistency.logs.b"
BY_NAME = "def f():\n    return import_module('consistency.logs.b').x"
FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from consistency.logs.b import B"


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"logs/a": "import consistency.logs.b", "logs/b": "from consistency.logs import a"}, "ab"),
        ({"logs/a": IN_A_FUNCTION, "logs/b": "from consistency.logs.a import x"}, "ab"),
        ({"logs/a": FOR_TYPES, "logs/b": "from .a import x"}, "ab"),
        ({"logs/a": "from . import b", "logs/b": "from . import c", "logs/c": "from . import a"}, "abc"),
        ({"logs/a": "from . import b, c", "logs/b": "from . import c", "logs/c": "import os"}, ""),
        ({"logs/a": "from . import b", "logs/b": "from . import c", "logs/c": "from . import b"}, "bc"),
    ],
)
def test_a_circle_is_found_wherever_its_imports_are(files: dict[str, str], circle: str) -> None:
    found = circular(small(files))
    assert {item.importer for item in found} == {f"consistency.logs.{name}" for name in circle}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"logs/a": "import os\nimport consistency.cli.main"}, "consistency.logs.a:2 imports consistency.cli.main"),
        ({"logs/a": "from consistency.report import pair"}, "consistency.logs.a:1 imports consistency.report"),
        ({"errors": "from consistency.support import files"}, "consistency.errors:1 imports consistency.support"),
        ({"errors": "from .support import files"}, "consistency.errors:1 imports consistency.support"),
        (
            {"support/files": "from ..world.facts import Fact"},
            "consistency.support.files:1 imports consistency.world.facts",
        ),
        ({"world/a": IN_A_FUNCTION}, "consistency.world.a:2 imports consistency.logs.b"),
        ({"world/a": FOR_TYPES}, "consistency.world.a:3 imports consistency.logs.b"),
        ({"world/a": BY_NAME}, "consistency.world.a:2 imports consistency.logs.b"),
        ({"world/a": "x = importlib.import_module(f'{place}')"}, ""),
        ({"cli/a": "import consistency"}, "consistency.cli.a:1 imports consistency"),
        ({"cli/a": "from consistency import compare"}, "consistency.cli.a:1 imports consistency"),
        ({"cli/a": "import consistency.__main__"}, "consistency.cli.a:1 imports consistency.__main__"),
        ({"__main__": "import consistency.cli", "logs/a": "from consistency.logs import b\nimport torch"}, ""),
        ({"report/a": "from consistency.errors import InputError\nfrom consistency.report.b import x"}, ""),
    ],
)
def test_an_upward_import_is_named(files: dict[str, str], expected: str) -> None:
    assert listed(upward(small(files))) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from consistency.tasks import prompts\nfrom consistency.world.facts import Fact", 0),
        ("from consistency.errors import InputError\nimport datasets", 0),
        ("from consistency.logs.runs import read_run", 1),
        ("def f():\n    from consistency.tasks_of_others import x", 1),
        ("import consistency", 1),
    ],
)
def test_tasks_that_import_other_rooms_are_found(source: str, expected: int) -> None:
    found = read_imports({"lm_eval_tasks/mmlu/utils.py": source})
    assert len(forbidden(found, ["lm_eval_tasks"], TASKS_MAY_IMPORT)) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy\nfrom consistency.support.arrays import Floats\nfrom consistency.metrics.answers import x", 0),
        ("from consistency.support.files import write_text", 1),
        ("from consistency.errors import InputError", 1),
        ("def f():\n    from consistency.logs.scores import Scores", 1),
    ],
)
def test_arithmetic_that_imports_other_rooms_is_found(source: str, expected: int) -> None:
    assert len(forbidden(small({"statistics/a": source}), PURE, PURE_MAY_IMPORT)) == expected


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("logs/a", "import torch", 1),
        ("logs/a", "try:\n    from torch.nn import functional\nexcept ImportError:\n    pass", 1),
        ("logs/a", "class A:\n    import transformers", 1),
        ("logs/a", "def f():\n    import torch", 0),
        ("logs/a", "if TYPE_CHECKING:\n    import torch", 0),
        ("logs/a", "import torchlike", 0),
        ("shared_prefix/a", "import torch", 0),
        ("autocast", "from axolotl.integrations.base import BasePlugin", 0),
    ],
)
def test_slow_libraries_are_found_where_they_are_loaded(module: str, source: str, expected: int) -> None:
    assert len(slow(small({module: source}))) == expected


def test_entries_that_are_no_rooms_are_found() -> None:
    assert no_room(["__init__.py", "logs", "errors.py", "support"]) == []
    assert no_room(["logs.py", "errors", "helpers", "logs"]) == ["logs.py", "errors", "helpers"]


@pytest.mark.parametrize(
    "text", ["", "'''Logs.'''", "import os", "# Logs of lm_eval: files in, one `Scores` per task out."]
)
def test_rooms_without_a_law_are_found(text: str) -> None:
    law = '"""Logs of lm_eval: files of any release in, one `Scores` per task out."""'
    found = lawless({"consistency/logs/__init__.py": text, "consistency/world/__init__.py": law})
    assert found == ["consistency.logs"]
