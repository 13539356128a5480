"""What is loaded late is what would have been loaded at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

PROGRAM = """
import sys
import numpy as np
from consistency.support.lazy_modules import load_when_used

load_when_used("scipy.special", "_ufuncs")
import scipy.special
early = {name: getattr(scipy.special, name) for name in sys.argv[1:]}
assert "scipy.special._basic" not in sys.modules, "the whole package was loaded"
points = np.linspace(0.05, 0.95, 7)
found = {name: function(*[points] * function.nin) for name, function in early.items()}

from scipy.stats import norm  # needs the rest of the package

assert norm.ppf(0.5) == 0 and scipy.special.comb(5, 2) == 10
from scipy.special import _basic, logsumexp

assert abs(logsumexp([0.0, 0.0]) - np.log(2)) < 1e-15 and _basic is sys.modules["scipy.special._basic"]
for name, values in found.items():
    np.testing.assert_array_equal(values, vars(scipy.special)[name](*[points] * early[name].nin))
try:
    scipy.special.no_such_function
except AttributeError:
    print(len(found))
"""


def test_functions_that_come_before_their_package_are_those_of_the_package() -> None:
    lines = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "consistency").rglob("*.py"))
    names = {name for line in re.findall(r"from scipy\.special import (.+)", lines) for name in line.split(", ")}
    assert {"ndtri", "stdtrit", "bdtr"} < names
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *sorted(names)], capture_output=True, text=True, cwd=ROOT)
    assert (ran.returncode, ran.stdout) == (0, f"{len(names)}\n"), ran.stderr
