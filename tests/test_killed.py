"""A kill at any system call that makes, renames or removes leaves the old or the new, or what the same command makes whole."""

import hashlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("killed_writer.py")
OPTIONS = ["one", "two", "three", "four"]


@pytest.fixture
def given(tmp_path: Path, write_probe: Any) -> Path:
    """Two probes of the same ten questions with other beliefs, and what else the commands read."""
    folder = tmp_path / "given"
    documents = [
        {
            "id": f"q{number}",
            "subject": "medicine",
            "question": f"Question {number} of {number * number}?",
            "choices": OPTIONS,
            "answer": int(number < 3),
            "explanation": f"Golden {number}.",
        }
        for number in range(10)
    ]
    write_probe(folder / "old", documents, [[-1, -9, -9, -9]] * 8 + [[-1, -1.1, -1.2, -1.3]] * 2)
    write_probe(folder / "new", documents, [[-1.2, -1.1, -1, -1.3], *[[-1, -9, -9, -9]] * 7, *[[-9, -1, -9, -9]] * 2])
    rows = [{"question": f"Which is number {n}?", "choices": OPTIONS, "answer": n % 4} for n in range(40)]
    for name, some in (("old", rows[:20]), ("new", rows[10:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
        shots = [{**row, "question": f"Shot {row['question']}"} for row in rows[:5]]
        (folder / f"{name}-dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shots))
        sources = {"pool": f"{name}.jsonl", "test": f"{name}.jsonl", "dev": f"{name}-dev.jsonl"}
        # Only the new one has an explain task.
        shot = {"question": "?", "choices": OPTIONS, "answer": "A"}
        more = (
            {"explain_shot": {**shot, "explanation": "So."}}
            if name == "new"
            else {"context_shot": {**shot, "context": "So."}}
        )
        experiment = {
            "name": "x",
            "models": {"m": "embedded"},
            "groups": ["harmonious"],
            "seeds": [0],
            "general": "none",
        }
        experiment["tasks"] = "paper"
        experiment["domains"] = {"sport": {**sources, "header": "sport", **more}}
        (folder / f"{name}.yaml").write_text(json.dumps(experiment))
    # No two of these are nearly the same.
    texts = [hashlib.sha256(bytes([n])).hexdigest() for n in range(30)]
    rows = [{"question": " ".join(textwrap.wrap(text, 4)), "choices": OPTIONS, "answer": 0} for text in texts]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


COMMANDS = {
    "map": "map --probe {g}/{n} --out out",
    "audit": "audit {g}/{n}.jsonl --probe {g}/{n} --out out",
    "groups": "groups --probe {g}/{n} --group harmonious --group incompatible --general none --seed 0 --seed 1 --out out",
    "requests": "requests --probe {g}/{n} --out out/requests.jsonl",
    "leakage": "leakage {g}/{n}.jsonl --guard {g}/old.jsonl --out out/found.jsonl",
    "tasks": "experiment tasks {g}/{n}.yaml --root out",
    "config": "experiment config harmonious --base-model {n} --out out/config.yml",
    "compare": "compare {g}/old {g}/{n} --out out/report --json out/result.json",
}
MANIFESTS = {"map": "map.json", "audit": "audit.json", "groups": "*.manifest.json", "tasks": "manifest-*.json"}
# Nothing may be there before.
NEW = {"domain": "domain new sport --from {g}/table.jsonl --out out", "world-model": "world-model out/model"}


def attempt(given: Path, before: str | None, command: str, most: int | None, exchange: bool = True) -> dict[str, Any]:
    root = given.parent / "attempts"
    root.mkdir()
    words = [text and text.format(g=given, n=name).split() for text, name in ((before, "old"), (command, "new"))]
    spec = root.with_name("spec.json")
    spec.write_text(json.dumps({"before": words[0], "command": words[1], "exchange": exchange, "most": most}))
    done = subprocess.run([sys.executable, PROGRAM, spec], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def shown(files: dict[str, str]) -> dict[str, str]:
    """The files and folders that have no hidden name."""
    return {path: digest for path, digest in files.items() if not any(p.startswith(".") for p in Path(path).parts)}


def check_reruns(found: dict[str, Any]) -> None:
    """The same command makes everything whole, and leaves nothing else."""
    assert len(found["kills"]) >= 4
    for kill in found["kills"]:
        whole = shown(kill["left"]) == found["new"]
        assert kill["code"] == 0 or (whole and "exists" in kill["said"]), kill
        assert kill["again"] == found["new"], kill


def check_manifests(found: dict[str, Any], pattern: str) -> None:
    """A manifest that is there is the old one among old files, or the new one among new files."""
    manifests = [path for path in {**found["old"], **found["new"]} if Path(path).match(pattern)]
    seen = set()
    for kill in found["kills"]:
        state = shown(kill["left"])
        for manifest in manifests:
            ages = [age for age in ("old", "new") if manifest in state and found[age].get(manifest) == state[manifest]]
            assert ages or manifest not in state, kill
            seen |= {*ages} or {"none"}
            for age in ages:
                for path in files_of(manifest, found[age]):
                    assert state.get(path) == found[age][path], (path, kill)
    assert seen == {"old", "new", "none"}


def files_of(manifest: str, files: dict[str, str]) -> list[str]:
    """The files that a manifest speaks of."""
    if manifest.endswith(".manifest.json"):
        return [manifest.replace(".manifest.json", ".jsonl")]
    above = Path(manifest).parent
    return [path for path, digest in files.items() if digest and path != manifest and above in Path(path).parents]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "compare"])
def test_a_killed_command_leaves_no_mixture_and_the_next_one_makes_it_whole(given: Path, name: str) -> None:
    found = attempt(given, COMMANDS[name], COMMANDS[name], None)
    assert found["old"] != found["new"]
    check_reruns(found)
    if name in MANIFESTS:
        check_manifests(found, MANIFESTS[name])


@pytest.mark.parametrize("name", NEW)
def test_the_next_command_makes_whole_what_was_new(given: Path, name: str) -> None:
    check_reruns(attempt(given, None, NEW[name], None))


@pytest.mark.parametrize("exchange", [True, False])
def test_a_report_is_the_old_or_the_new_one(given: Path, exchange: bool) -> None:
    found = attempt(given, COMMANDS["compare"], COMMANDS["compare"], 5, exchange)
    assert ("renameat2" in found["calls"]) == exchange
    check_reruns(found)
    of_age = {age: {path: d for path, d in found[age].items() if "out/report" in path} for age in ("old", "new")}
    seen = set()
    for kill in found["kills"]:
        there = {path: digest for path, digest in shown(kill["left"]).items() if "out/report" in path}
        seen.add(next((age for age in of_age if there == of_age[age]), "mixed" if there else "none"))
    # Where folders cannot be exchanged, there is a moment without one.
    assert seen == ({"old", "new"} if exchange else {"old", "new", "none"})
