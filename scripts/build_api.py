"""Build the API reference from the docstrings: `make docs`, or `python scripts/build_api.py FOLDER [MODULE …]`."""

from __future__ import annotations

import os
import pkgutil
import sys
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
# Axolotl imports what TRL warns of.
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import pdoc
import pdoc.render

import consistency
import consistency.watch

# The command line, which `consistency --help` documents.
LEFT_OUT = ("cli", "__main__")


def main(out: Path, *modules: str) -> None:
    """Write a page for each module, or for the named ones; that of the package has the public names first."""
    # Packages import their public names when they are first used, and pdoc shows what `__all__` names, in this order.
    for package in (consistency, consistency.watch):
        for name in package.__all__:
            setattr(package, name, getattr(package, name))
    found = pkgutil.iter_modules(consistency.__path__)
    consistency.__all__ += modules or [module.name for module in found if module.name not in LEFT_OUT]
    # Of a type that exists for type checkers alone, pdoc shows the name.
    warnings.filterwarnings("ignore", module=r"pdoc\.doc_types")
    pdoc.render.configure(docformat="numpy", show_source=False, footer_text="lm-eval-consistency")
    pdoc.pdoc("consistency", output_directory=out)
    print(f"{out / 'consistency.html'}: {len(list(out.rglob('*.html'))) - 1} modules")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
