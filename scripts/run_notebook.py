"""Run the cells of a notebook, one after another in one process, and store what they show.

    python scripts/run_notebook.py docs/notebook.ipynb

Jupyter is not needed, and cells may not use its magic. What is stored is what a front end shows: standard output, and of a last
line that is an expression its text, its HTML, and of axes of matplotlib a picture.
"""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def outputs_of(notebook: dict[str, Any], folder: Path) -> Iterator[list[dict[str, Any]]]:
    """What each code cell shows, in the form of a notebook's outputs.

    Parameters
    ----------
    notebook : dict
        As its file holds it.
    folder : Path
        Where its cells run.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        for number, cell in enumerate((cell for cell in notebook["cells"] if cell["cell_type"] == "code"), 1):
            yield _run("".join(cell["source"]), number, names)


def _run(source: str, number: int, names: dict[str, Any]) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    written, value = io.StringIO(), None
    with contextlib.redirect_stdout(written):
        exec(compile(tree, f"cell {number}", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    found: list[dict[str, Any]] = []
    if written.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": _lines(written.getvalue())})
    if value is not None:
        found.append(
            {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": _shown(value)}
        )
    return found


def _shown(value: Any) -> dict[str, Any]:
    from matplotlib.axes import Axes

    if isinstance(value, Axes):
        picture = io.BytesIO()
        figure = value.get_figure(root=True)
        assert figure is not None
        figure.savefig(picture, format="png", dpi=80, metadata={"Software": None})
        return {"text/plain": ["<Axes>"], "image/png": base64.b64encode(picture.getvalue()).decode()}
    found: dict[str, Any] = {"text/plain": _lines(repr(value))}
    if hasattr(value, "_repr_html_") and (html := value._repr_html_()):
        found["text/html"] = _lines(html)
    return found


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Run a notebook and write it again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    path = parser.parse_args().notebook
    os.environ["MPLBACKEND"] = "agg"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    # What it writes does not stay beside it.
    with tempfile.TemporaryDirectory() as folder:
        for beside in path.resolve().parent.iterdir():
            Path(folder, beside.name).symlink_to(beside)
        for number, (cell, found) in enumerate(zip(code, outputs_of(notebook, Path(folder)), strict=True), 1):
            cell["outputs"], cell["execution_count"] = found, number
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
