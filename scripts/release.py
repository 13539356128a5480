"""Release what is committed: build, check, tag and upload. It needs a token, and nothing else.

    python scripts/release.py --bump 0.3.0                  # what has not been released becomes 0.3.0: look at it, and commit it
    python scripts/release.py --dry-run                     # all but the tag and the upload; says what would stop a release
    TWINE_PASSWORD=TOKEN python scripts/release.py          # the release

The version stands in consistency/support/version.py; CITATION.cff and the newest heading of CHANGELOG.md have to have the same
one. Built are the sdist and, from it, the wheel, which is split in two (scripts/split_wheel.py). `twine check` and
`check-wheel-contents` read them, and the core is installed in an empty environment and compares two logs
(scripts/try_pythons.py; not with `--without-install`). The release notes are the version's section of CHANGELOG.md; they become
the text of the tag, and NOTES.md beside the files.

Exit codes: 0 if it was done; 1 if a check failed; 2 if something stops the release.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml
from split_wheel import MOST, split

from consistency.support.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
_FORM = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?$", re.MULTILINE)
TOKEN = "TWINE_PASSWORD"
# Two files of our tasks are the same on purpose: each folder of tasks is complete.
_MEANT = ("--ignore", "W002")
# What a release leaves in its folder.
_OWN = ("lm_eval_consistency", "NOTES.md", "whole")


class StoppedError(RuntimeError):
    """A check of what was built failed."""


def sections(changelog: str) -> dict[str, tuple[str | None, str]]:
    r"""Date and text of each version in a changelog, the newest first.

    Examples
    --------
    >>> sections("# Changes\n\n## [Unreleased]\n\n## [1.0.0] - 2026-01-02\n\n- First.\n")
    {'Unreleased': (None, ''), '1.0.0': ('2026-01-02', '- First.')}
    """
    found = list(HEADING.finditer(changelog))
    ends = [*(heading.start() for heading in found), len(changelog)][1:]
    return {
        heading["name"]: (heading["date"], changelog[heading.end() : end].strip())
        for heading, end in zip(found, ends, strict=True)
    }


def notes(changelog: str, version: str) -> str:
    """The release notes of a version.

    Raises
    ------
    StoppedError
        If the changelog has no section of it, or an empty one.
    """
    _, text = sections(changelog).get(version, (None, ""))
    if not text:
        raise StoppedError(
            f"CHANGELOG.md has no text of {version}: python scripts/release.py --bump VERSION writes its heading"
        )
    return f"# lm-eval-consistency {version}\n\n{text}\n"


def bump(version: str, root: Path = ROOT) -> None:
    """Give what has not been released a version and today's date, in the files that have them."""
    today = datetime.now(UTC).date().isoformat()
    changes = {
        "consistency/support/version.py": (r'^VERSION = "[^"]+"$', f'VERSION = "{version}"'),
        "CITATION.cff": (r"^version: .+\ndate-released: .+$", f"version: {version}\ndate-released: {today}"),
        "CHANGELOG.md": (r"^## \[Unreleased\]$", f"## [Unreleased]\n\n## [{version}] - {today}"),
        "action.yml": (r"such as \d+\.\d+\.\d+", f"such as {version}"),
    }
    texts = {}
    for name, (pattern, new) in changes.items():
        text = (root / name).read_text(encoding="utf-8")
        texts[name], count = re.subn(pattern, new, text, count=1, flags=re.MULTILINE)
        if count != 1:
            raise StoppedError(f"{name}: there is no line for the version")
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")


def stops(version: str) -> Iterator[str]:
    """What stops a release of the tree as it is."""
    changelog = sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = next((name for name in changelog if name != "Unreleased"), "")
    if not version == newest == citation["version"]:
        yield f"version.py has version {version}, CHANGELOG.md {newest}, CITATION.cff {citation['version']}"
    elif changelog[newest][0] != str(citation["date-released"]):
        yield f"{version} has the date {changelog[newest][0]} in CHANGELOG.md, {citation['date-released']} in CITATION.cff"
    if changelog.get("Unreleased", (None, ""))[1]:
        yield "CHANGELOG.md has entries that are not of this version: python scripts/release.py --bump VERSION"
    if _git("status", "--porcelain"):
        yield "there are changes that are not committed"
    if _git("tag", "--list", f"v{version}"):
        yield f"there is a tag v{version} by now"
    if not os.environ.get(TOKEN):
        yield f"there is no token in {TOKEN}"


def build(out: Path, isolated: bool) -> list[Path]:
    """Build the files of a release: the sdist and the two wheels."""
    others = [path.name for path in out.glob("*") if not path.name.startswith(_OWN)]
    if others:
        raise StoppedError(f"{out} is to be emptied, and holds what no release made: {', '.join(sorted(others)[:5])}")
    shutil.rmtree(out, ignore_errors=True)
    options = [] if isolated else ["--no-isolation"]
    _run([sys.executable, "-m", "build", *options, "--outdir", out / "whole", ROOT])
    (sdist,) = (out / "whole").glob("*.tar.gz")
    (whole,) = (out / "whole").glob("*.whl")
    wheels = split(whole, out)
    return [*wheels, sdist.rename(out / sdist.name)]


def check(files: Sequence[Path]) -> None:
    """Read the files as an index and an installer do."""
    core, *_ = files
    if core.stat().st_size > MOST:
        raise StoppedError(f"{core.name}: {core.stat().st_size:,} bytes, more than {MOST:,}")
    _run([sys.executable, "-m", "twine", "check", "--strict", *files])
    wheels = [path for path in files if path.suffix == ".whl"]
    _run([sys.executable, "-m", "check_wheel_contents", *_MEANT, *wheels])


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _run(command: Sequence[object]) -> None:
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StoppedError(
            f"{' '.join(words[1:4])} … ended with {done.returncode}:\n{done.stdout}{done.stderr}".strip()
        )


def main() -> int:
    """Do what was asked, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bump", metavar="VERSION", help="write this version into the files, and nothing else")
    parser.add_argument("--dry-run", action="store_true", help="neither tag nor upload")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="folder for the files; one of a release is emptied"
    )
    parser.add_argument("--no-isolation", action="store_true", help="build with the packages of this environment")
    parser.add_argument("--without-install", action="store_true", help="do not install the core to try it")
    given = parser.parse_args()
    try:
        return _release(given)
    except StoppedError as error:
        print(error, file=sys.stderr)
        return 1


def _release(given: argparse.Namespace) -> int:
    if given.bump is not None:
        if not _FORM.fullmatch(given.bump):
            print(f"--bump {given.bump}: expected a version such as 0.3.0", file=sys.stderr)
            return 2
        bump(given.bump)
        print(f"The version is {given.bump}. Look at the changes, and commit them.")
        return 0
    version = VERSION
    problems = list(stops(version))
    for problem in problems:
        print(f"before a release: {problem}", file=sys.stderr)
    if problems and not given.dry_run:
        return 2
    text = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    files = build(given.out.resolve(), isolated=not given.no_isolation)
    check(files)
    (given.out / "NOTES.md").write_text(text, encoding="utf-8")
    if not given.without_install:
        _run([sys.executable, ROOT / "scripts" / "try_pythons.py", "--wheel", files[0], "--python", "3.11"])
    for path in files:
        print(f"{path.stat().st_size:>12,} {path.name}")
    if given.dry_run:
        print(f"Checked; {version} was neither tagged nor uploaded.")
        return 0
    # An upload can be refused half-way and is done again, without the files that are there; a tag that is there stops it.
    _run(
        [
            sys.executable,
            "-m",
            "twine",
            "upload",
            "--non-interactive",
            "--skip-existing",
            "--username",
            "__token__",
            *files,
        ]
    )
    _run(["git", "tag", "--annotate", f"v{version}", "--cleanup=verbatim", "--file", given.out.resolve() / "NOTES.md"])
    print(f"Uploaded and tagged; git push origin v{version} publishes the tag.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
