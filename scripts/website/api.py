"""The API reference: what pdoc writes of each module, without its page around it."""

from __future__ import annotations

import os
import pkgutil
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

# The command line, which `consistency --help` documents.
LEFT_OUT = ("cli", "__main__")
_PART = re.compile(r"<!-- (title|names|content) -->\n?(.*?)<!-- end -->", re.DOTALL)


def modules(only: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """The page of the package and of each of its modules.

    Parameters
    ----------
    only : sequence of str, optional
        Names of modules in the package; without them, all.

    Yields
    ------
    tuple of str and dict
        Where the page is, such as ``consistency/metrics/measures.html``, and its parts: ``title``, ``names`` (a list of what
        the module has) and ``content``.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Axolotl imports what TRL warns of.
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    import pdoc
    import pdoc.render

    import consistency
    import consistency.watch

    # Packages import their public names when they are first used, and pdoc shows what `__all__` names, in this order.
    # Those of the watch import Axolotl.
    for package in (consistency, consistency.watch) if not only or "watch" in only else (consistency,):
        for name in package.__all__:
            setattr(package, name, getattr(package, name))
    found = [module.name for module in pkgutil.iter_modules(consistency.__path__) if module.name not in LEFT_OUT]
    consistency.__all__ += only or found
    # Of a type that exists for type checkers alone, pdoc shows the name.
    warnings.filterwarnings("ignore", module=r"pdoc\.doc_types")
    templates = Path(__file__).parent / "pdoc"
    pdoc.render.configure(docformat="numpy", show_source=False, search=False, template_directory=templates)
    with tempfile.TemporaryDirectory() as folder:
        pdoc.pdoc("consistency", output_directory=Path(folder))
        for page in sorted(Path(folder).rglob("*.html")):
            parts = dict(_PART.findall(page.read_text(encoding="utf-8")))
            if parts:
                yield page.relative_to(folder).as_posix(), parts
