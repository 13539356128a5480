"""Split the wheel of a release in two: the core that reads logs, compares and reports, and what ships beside its code.

    python -m build
    python scripts/split_wheel.py dist/lm_eval_consistency-*.whl --out dist/split

The second wheel, `lm-eval-consistency-share`, holds the tasks, the training configs, the experiments, the embedded world's
base model, and the modules that evaluate, train or run a grid. The extras of the core that need them require it, of the same
version; so does the extra `share`. Installed together, the two are the files of the wheel that was split. It fails if the core
is larger than `--most` bytes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
import zipfile
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path

SHARE = "lm-eval-consistency-share"
# What a comparison and its report never open, and what they never import: modules that evaluate, train or run a grid.
_MOVED = (
    "consistency/world/base_model/",
    "consistency/_share/lm_eval_tasks/",
    "consistency/_share/axolotl_configs/",
    "consistency/_share/scripts/",
    "consistency/autocast.py",
    "consistency/epochs.py",
    "consistency/shared_prefix/",
    *(
        f"consistency/{room}/{name}.py"
        for room, names in {
            "experiment": "checkpoint failures harness_checks memory packing plan program_log progress seeds status tensors "
            "trained training_effect training_record validation",
            "statistics": "sequential",
            "tasks": "harness harness_speed options_in_text rotated_tasks rotation simulation",
            "training_data": "audit audit_page balance completeness decontamination domain_check domain_files duplicates letters "
            "letters_page normalization pools requests row_writer selection training_probe training_sets write",
            "watch": "alarm callback copies drift figures lockstep messages plugin probe questions quiet text",
        }.items()
        for name in names.split()
    ),
)
# Templates are named in comparisons.
_KEPT = ("consistency/_share/axolotl_configs/chat_templates/",)
_EXTRAS = ("eval", "api", "train", "grid", "share")
MOST = 1_000_000
_WHEEL = "Wheel-Version: 1.0\nGenerator: lm-eval-consistency\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def split(wheel: Path, out: Path) -> tuple[Path, Path]:
    """Write the two wheels.

    Parameters
    ----------
    wheel : Path
        With all files.
    out : Path
        Folder for the two; it is made.

    Returns
    -------
    tuple of Path
        The core, and what ships beside it.

    Raises
    ------
    ValueError
        If the wheel has none of the files that are to be moved.
    """
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    (info,) = {name.partition("/")[0] for name in members if ".dist-info/" in name}
    metadata = members.pop(f"{info}/METADATA").decode()
    del members[f"{info}/RECORD"]
    headers = HeaderParser().parsestr(metadata)
    version = headers["Version"]
    moved = {
        name: content for name, content in members.items() if name.startswith(_MOVED) and not name.startswith(_KEPT)
    }
    if not moved:
        raise ValueError(f"{wheel} has no file of {', '.join(_MOVED)}")
    core = {name: content for name, content in members.items() if name not in moved}
    core[f"{info}/METADATA"] = with_share(metadata, version).encode()
    own = f"lm_eval_consistency_share-{version}.dist-info"
    moved[f"{own}/METADATA"] = (
        f"Metadata-Version: 2.4\nName: {SHARE}\nVersion: {version}\n"
        "Summary: Tasks, training configs, experiments and the base model of lm-eval-consistency\n"
        f"License-Expression: {headers['License-Expression']}\nLicense-File: LICENSE\n"
        f"Requires-Python: {headers['Requires-Python']}\n"
        f"Requires-Dist: lm-eval-consistency=={version}\nDescription-Content-Type: text/plain\n\n"
        "What lm-eval-consistency ships beside its code; `pip install 'lm-eval-consistency[eval]'` installs it.\n"
    ).encode()
    moved[f"{own}/WHEEL"] = _WHEEL.encode()
    moved[f"{own}/licenses/LICENSE"] = members[f"{info}/licenses/LICENSE"]
    out.mkdir(parents=True, exist_ok=True)
    paths = out / wheel.name, out / f"lm_eval_consistency_share-{version}-py3-none-any.whl"
    for path, content, folder in zip(paths, (core, moved), (info, own), strict=True):
        _write(path, content, folder)
    return paths


def with_share(metadata: str, version: str) -> str:
    r"""The metadata with the second wheel required by the extras that need it.

    Examples
    --------
    >>> print(with_share("Name: a\nProvides-Extra: eval\nRequires-Dist: torch; extra == 'eval'\n\nText", "1.0"), end="")
    Name: a
    Provides-Extra: eval
    Requires-Dist: torch; extra == 'eval'
    Provides-Extra: share
    Requires-Dist: lm-eval-consistency-share==1.0; extra == 'eval'
    Requires-Dist: lm-eval-consistency-share==1.0; extra == 'share'
    <BLANKLINE>
    Text
    """
    headers, _, text = metadata.partition("\n\n")
    has = [extra for extra in _EXTRAS if f"\nProvides-Extra: {extra}\n" in f"{headers}\n"]
    new = "" if "share" in has else "\nProvides-Extra: share"
    for extra in dict.fromkeys([*has, "share"]):
        new += f"\nRequires-Dist: {SHARE}=={version}; extra == '{extra}'"
    return f"{headers}{new}\n\n{text}"


def _write(path: Path, members: Mapping[str, bytes], info: str) -> None:
    """A wheel with its record, the same bytes for the same members."""
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in sorted(members.items())]
    record = "".join(f"{line}\n" for line in [*lines, f"{info}/RECORD,,"]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in [*sorted(members.items()), (f"{info}/RECORD", record)]:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content, compresslevel=9)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def main() -> int:
    """Split the wheel that was named, and print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=MOST, help=f"bytes that the core may have (default {MOST:,})")
    given = parser.parse_args()
    paths = split(given.wheel, given.out)
    for path in paths:
        print(f"{path.stat().st_size:>12,} {path.name}")
    too_large = paths[0].stat().st_size - given.most
    if too_large > 0:
        print(f"the core is {too_large:,} bytes larger than {given.most:,}", file=sys.stderr)
    return int(too_large > 0)


if __name__ == "__main__":
    sys.exit(main())
