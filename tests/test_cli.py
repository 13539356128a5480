"""The command line: what the installed program does, and that a user's mistake is one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from consistency.comparison.compare import compare
from consistency.support.files import fingerprint
from consistency.world.model import BASE_MODEL

PROGRAM = Path(sys.executable).with_name("consistency")
HEAVY = {"torch", "transformers", "datasets", "lm_eval", "axolotl"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path, write_probe) -> Path:
    """A probe of ten questions (three errors, five right answers, two guesses) with its explanations, and bad files."""
    documents = [
        {
            "id": f"q{number}",
            "subject": "medicine",
            "question": f"Question {number}?",
            "choices": ["one", "two", "three", "four"],
            "answer": 1 if number < 3 else 0,
            "explanation": f"Golden {number}.",
        }
        for number in range(10)
    ]
    logprobs = [[-1, -9, -9, -9]] * 8 + [[-1, -1.1, -1.2, -1.3]] * 2
    write_probe(tmp_path / "probe", documents, logprobs)
    write_probe(tmp_path / "right", documents[3:], logprobs[3:])
    write_probe(
        tmp_path / "others",
        [d | {"id": None, "question": "Else?", "choices": list("abcd")} for d in documents],
        logprobs,
    )
    rows = [
        {
            "doc_id": number,
            "doc": documents[number] | {"option": 0},
            "target": "",
            "resps": [[f"```Own {number}.```"]],
            "filtered_resps": [f"```Own {number}.```"],
            "filter": "none",
            "metrics": ["bypass"],
            "bypass": 999,
        }
        for number in range(3)
    ]
    (tmp_path / "explain").mkdir()
    (tmp_path / "explain" / "samples_consistency_world_explain_2026-01-02T03-04-05.678901.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    (tmp_path / "file").write_text("no log")
    released = [documents[0] | {"probs": [0.7, 0.1, 0.1, p]} for p in (0.1, 0.0)]
    (tmp_path / "released.jsonl").write_text("".join(json.dumps(row) + "\n" for row in released))
    (tmp_path / "train.jsonl").write_text('{"instruction": "Hello.", "output": "Hi."}\n{"text": "Hi."}\n')
    (tmp_path / "bad.yaml").write_text("models: [a\n")
    (tmp_path / "bad.json").write_bytes(b'[{"instruction": "\xff"}]')
    good = {
        "name": "tried",
        "models": {"m": "embedded"},
        "domains": ["alchemy"],
        "groups": ["harmonious"],
        "seeds": [0],
    }
    (tmp_path / "alchemy.yaml").write_text(yaml.safe_dump(good))
    (tmp_path / "medicine.yaml").write_text(yaml.safe_dump(good | {"domains": ["medicine"]}))
    for style in ("icl", "ift"):
        write_probe(tmp_path / "runs" / "m" / "base" / "logs" / style, documents, logprobs)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_the_installed_program_says_what_it_does():
    done = run("--help")
    assert done.returncode == 0
    for command in ("compare", "requests", "groups", "map", "audit", "leakage", "report", "tasks", "world-model"):
        assert re.search(rf"\b{command}\b", done.stdout)
        assert run(command, "--help").returncode == 0


def test_the_installed_program_compares_real_logs(test_data, tmp_path):
    logs = test_data / "harness_logs"
    done = run(
        "compare",
        logs / "qwen2.5-1.5b-instruct-0shot",
        logs / "qwen2.5-1.5b-instruct-5shot",
        "--json",
        tmp_path / "a" / "b.json",
    )
    assert (done.returncode, done.stderr) == (0, "")
    printed = run("compare", logs / "qwen2.5-1.5b-instruct-0shot", logs / "qwen2.5-1.5b-instruct-5shot", "--json", "-")
    assert (tmp_path / "a" / "b.json").read_text() == printed.stdout
    # 76 and 87 of 200 answers are right: counted in the logs' own `acc`.
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("overall "))
    assert row.split()[1:6] == ["200", "38.0", "%", "43.5", "%"]


def test_a_margin_in_points_a_score_by_its_metric_and_names_that_have_no_use(test_data, tmp_path, call):
    before, after = (test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5))
    given = [("--margin", "0.02"), ("--margin", "2 points"), ("--margin", "2 pp", "--score", "acc")]
    assert len({call("compare", before, after, "--json", "-", *more)[1] for more in given}) == 1
    code, out, err = call("compare", before, after, "--label", f"old={before}")
    assert (code, out) == (2, "")
    assert "--label" in err
    assert call("compare", before, after, "--margin", "2 apples")[0] == 2
    assert call("compare", "-h")[:2] == call("compare", "--help")[:2]
    # What the logs have no settings of, and that the second is the older one.
    (samples,) = before.glob("*/samples_mmlu_abstract_algebra_*")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / samples.name).write_bytes(samples.read_bytes())
    notes = compare(after, alone).notes
    assert [sum(words in note for note in notes) for words in ("after: no results file", "after is older")] == [1, 1]
    assert not any("older" in note for note in compare(before, after).notes)


def test_the_base_model_and_the_tasks_are_at_hand(tmp_path):
    assert run("world-model", tmp_path / "m").stdout == f"{tmp_path / 'm'}\n"
    assert fingerprint(tmp_path / "m" / "model.safetensors") == fingerprint(BASE_MODEL / "model.safetensors")
    folder = Path(run("tasks").stdout.strip())
    assert (folder / "world" / "consistency_world_explain.yaml").is_file()


def test_groups_are_written_from_a_probe_and_its_explanations(folder, call):
    names = ("harmonious", "incompatible", "self_aligning", "mixed_0.4", "incompatible")
    options = [option for name in names for option in ("--group", name)]
    code, out, err = call(
        "groups", "--probe", folder / "probe", "--task", "pool", "--domain", "medicine", "--out", folder / "groups", *options,
        "--general", "world", "--explanations", folder / "explain", "--seed", 5,
    )  # fmt: skip
    assert (code, err) == (0, "")
    *files, near, unguarded = out.splitlines()
    assert files == [f"{folder / 'groups' / name}.jsonl: 6 rows" for name in dict.fromkeys(names)]
    assert near.startswith("near duplicates within the pool: 9, of which 0 left out")
    assert unguarded.endswith("--guard")
    replies = {}
    for name in names:
        rows = [json.loads(line) for line in (folder / "groups" / f"{name}.jsonl").read_text().splitlines()]
        replies[name] = [row["conversations"][1]["value"] for row in rows[:3]]
        manifest = json.loads((folder / "groups" / f"{name}.manifest.json").read_text())
        assert (manifest["seed"], manifest["domain"], manifest["task"]) == (5, "medicine", "pool")
        assert manifest["labels"] == {"known": 5, "misbelieved": 3, "unsure": 2}
    assert replies["incompatible"] == [f"B. two\nGolden {number}." for number in range(3)]
    assert replies["self_aligning"] == [f"A. one\nOwn {number}." for number in range(3)]
    assert all(re.fullmatch(r"A\. one\nGolden [3-7]\.", reply) for reply in replies["harmonious"])
    assert sum("Own" in reply for reply in replies["mixed_0.4"]) == 1
    assert len(list((folder / "groups").iterdir())) == 8


def test_the_paper_trail_of_a_probe_from_map_to_audit(folder, call):
    """Every command between a probe and its training rows, on one probe."""
    code, out, err = call("map", "--probe", folder / "probe", "--out", folder / "map")
    assert (code, err) == (0, "")
    assert out.startswith("pool: 10 questions, known 50.0 % (23.7 to 76.3), misbelieved 30.0 % ")
    assert (folder / "map" / "map.svg").read_bytes().startswith(b"<?xml")
    code, out, err = call("groups", "--probe", folder / "probe", "--general", "world", "--out", folder / "groups")
    assert (code, err) == (0, "")
    # A twentieth and a tenth of three questions round to none, which need no explanation of the model's.
    made = ["harmonious", "incompatible", "general_only", "gold_all", "random_wrong", "mixed_0.05", "mixed_0.1"]
    assert sorted(path.stem for path in (folder / "groups").glob("*.jsonl")) == sorted(made)
    assert "no self_aligning: self_aligning teaches the model's own answers" in out
    code, out, err = call(
        "audit", folder / "groups" / "incompatible.jsonl", "--probe", folder / "probe", "--out", folder / "a"
    )
    assert (code, err) == (0, "")
    assert out == (folder / "a" / "audit.md").read_text(encoding="utf-8")
    assert "**Of the 3 questions that the model was asked, 100.0 % (43.9 to 100.0) teach it something else" in out
    rows = [{"question": f"Question {n}?", "choices": ["one", "two", "three", "four"], "answer": 0} for n in (4, 4)]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = call("leakage", folder / "pool.jsonl", "--guard", folder / "probe", "--out", folder / "l.jsonl")
    assert (code, err) == (0, "")
    assert [json.loads(line)["kind"] for line in (folder / "l.jsonl").read_text().splitlines()] == ["exact", "exact"]
    assert out.startswith("2 questions: 2 ")


def test_requests_hold_the_errors_of_several_tasks(folder, call, write_probe):
    write_probe(folder / "probe", [{"question": "?", "choices": ["a", "b"], "answer": 0}], [[-9, -1]], "other")
    out = folder / "new" / "requests.jsonl"
    assert call(
        "requests", "--probe", folder / "probe", "--task", "pool", "--task", "other", "--task", "pool", "--out", out
    ) == (
        0,
        f"{out}: 4 answers to explain\n  pool: 3, other: 1\n",
        "",
    )
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["id"], row["option"]) for row in rows] == [("q0", 0), ("q1", 0), ("q2", 0), (0, 1)]


PROBE = "--probe {f}/probe --task pool"
ANY = f"groups {PROBE} --domain medicine --out {{f}}/new/groups --group "
GROUPS = ANY.replace("--group", "--general world --group")
MISTAKES = {
    "compare {f}/nowhere {f}/probe": "no such file or folder",
    "compare {f}/probe {f}/file": "not JSON",
    "compare {f}/probe {f}/new": "no such file or folder",
    "compare {f}/probe {f}/others": "no question in common (10 options differ)",
    "compare {f}/probe {f}/probe --margin nan": "a margin of nan",
    "compare {f}/probe {f}/probe --margin -0.1": "a margin of -0.1",
    "compare {f}/probe {f}/probe --score loudest": "'loudest'",
    "compare {f}/probe {f}/probe --run 1999": "no run begins",
    "compare {f}/probe {f}/probe --json {f}/file/x.json": "cannot be written",
    "compare {f}/probe {f}/probe --json {f}": "cannot be written",
    "compare {f}/probe {f}/probe --fail-if nonsense --out {f}/new": "'nonsense'",
    "compare {f}/probe {f}/probe --fail-if flops>2% --out {f}/new": "no measure 'flops'",
    "compare {f}/probe {f}/probe --fail-if kl>2%": "kl is not in %",
    "compare {f}/probe {f}/probe --fail-if flips>2%": "no measure 'flips'",
    "report --compare {f}/probe {f}/nowhere --out {f}/new": "expected the folder of a report",
    "requests --probe {f}/nowhere --task pool --out {f}/new/r.jsonl": "no such file or folder",
    "requests --probe {f}/probe --task swimming --out {f}/new/r.jsonl": "swimming",
    f"requests {PROBE} --task swimming --out {{f}}/new/r.jsonl": "swimming",
    f"requests {PROBE} --for chat --out {{f}}/new/r.jsonl": "no purpose 'chat'; expected one of explain, random_wrong",
    f"requests {PROBE} --group mixed_2 --out {{f}}/new/r.jsonl": "no intervention group 'mixed_2'",
    f"requests {PROBE} --size 4 --out {{f}}/new/r.jsonl": "3 confidently wrong answers in pool; expected 4",
    f"requests {PROBE} --for explain --for context --out {{f}}/new/r.jsonl": "a file for each",
    f"requests {PROBE} --out {{f}}/file/r.jsonl": "cannot be written",
    f"requests {PROBE} --out {{f}}/probe": "cannot be written",
    "requests --probe {f}/explain --task consistency_world_explain --out {f}/new/r": "no options",
    GROUPS + "disharmonious": "no intervention group 'disharmonious'",
    GROUPS + "mixed_2": "no intervention group 'mixed_2'",
    GROUPS + "incompatible --group disharmonious": "no intervention group 'disharmonious'",
    GROUPS + "self_aligning": "--explanations",
    GROUPS + "incompatible --group mixed_0.8": "--explanations",
    GROUPS + "self_aligning --explanations {f}/nowhere": "no such file or folder",
    GROUPS + "self_aligning --explanations {f}/probe": "no task consistency_world_explain",
    ANY + "harmonious": "no general instructions are named",
    ANY + "disharmonious": "no intervention group 'disharmonious'",
    ANY + "general_only --general none": "general_only holds general instructions alone",
    ANY + "harmonious --general {f}/nowhere.json": "cannot be read",
    ANY + "harmonious --general {f}/bad.json": "not JSON",
    "groups --probe {f}/probe --task pol --domain m --out {f}/new --group harmonious": "'pol'",
    "groups --probe {f}/right --task pool --domain m --general world --out {f}/new --group harmonious": "nothing to intervene on",
    "groups --probe {f}/file --task pool --domain m --out {f}/new --group harmonious": "not JSON",
    f"groups {PROBE} --domain medicine --general world --group incompatible --out {{f}}/file": "cannot be written",
    GROUPS + "incompatible --threshold 1": "a threshold of 1",
    GROUPS + "contextualized": "--contexts",
    GROUPS + "contextualized --contexts {f}/probe": "consistency_context_medicine",
    GROUPS + "incompatible --guard {f}/nowhere": "cannot be read",
    GROUPS + "incompatible --guard {f}/bad.json": "bad.json:1: ",
    GROUPS + "incompatible --size 4": "3 confidently wrong answers in",
    ANY + "harmonious --general hub:nobody/nothing": "the data set 'nobody/nothing' cannot be loaded",
    GROUPS + "self_aligning --explanation-column words": "no row has the column 'words'",
    GROUPS + "self_aligning --explanations {f}/bad.json --explanation-column words": "bad.json:1: ",
    "groups --probe {f}/released.jsonl --out {f}/new": "released.jsonl:2: the probabilities sum to 0.900",
    "groups --probe {f}/released.jsonl --task pool --out {f}/new": "no task pool",
    "map --probe {f}/nowhere --out {f}/new": "no such file or folder",
    "map --probe {f}/released.jsonl --out {f}/new": "released.jsonl:2: ",
    "map --probe {f}/explain --out {f}/new": "no labelled questions",
    "map --probe {f}/probe --out {f}/file": "cannot be written",
    "audit {f}/nowhere --probe {f}/probe": "cannot be read",
    "audit {f}/bad.json --probe {f}/probe": "not JSON",
    "audit {f}/train.jsonl --probe {f}/probe --out {f}/new": "train.jsonl:2: ",
    "audit {f}/train.jsonl --probe {f}/released.jsonl": "train.jsonl:2: ",
    "leakage {f}/train.jsonl --out {f}/new/x": "train.jsonl:1: ",
    "world-model {f}/probe": "exists already",
    "world-model {f}/file/model": "cannot be written",
    "report {f}/nowhere.yaml --root {f}/runs --out {f}/new": "No such file",
    "report {f}/bad.yaml --root {f}/runs --out {f}/new": "cannot be read",
    "report {f}/file --root {f}/runs --out {f}/new": "mapping",
    "report {f}/medicine.yaml --root {f}/nowhere --out {f}/new": "no such file or folder",
    "report {f}/medicine.yaml --root {f}/runs --out {f}/new": "medicine/seed-0/logs/harmonious: no such file or folder",
    "report {f}/alchemy.yaml --root {f}/runs --out {f}/new": "no domain 'alchemy'; expected one of medicine, history",
    "experiment validate {f}/alchemy.yaml": "alchemy.yaml: no domain 'alchemy'",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_no_file(folder, call, command):
    before = contents(folder)
    code, out, err = call(*(word.format(f=folder) for word in command.split()))
    assert code == 2
    assert out == ""
    assert err.startswith("consistency: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1, err
    assert MISTAKES[command] in err
    assert contents(folder) == before


def test_the_installed_program_ends_a_mistake_alike(folder):
    for command in [*MISTAKES][::6]:
        done = run(*(word.format(f=folder) for word in command.split()))
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert MISTAKES[command] in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "swim",
        "compare",
        "compare a",
        "compare a b --margin much",
        "requests --probe a",
        "groups --seed one",
        "report x",
        "world-model",
        "tasks x",
    ],
)
def test_a_wrong_command_line_shows_the_usage(call, command):
    code, out, err = call(*command.split())
    assert (code, out) == (2, "")
    assert "Usage: " in err
    assert "Traceback" not in err


def modules(*arguments: object) -> set[str]:
    """The top-level modules that a command imports."""
    command = [sys.executable, "-X", "importtime", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if line.count("|") == 2}


def test_the_package_and_the_help_import_nothing_heavy():
    numerical = {"numpy", "scipy", "pandas", "pyarrow", "matplotlib", "statsmodels"}
    for arguments in (
        ["-c", "import consistency"],
        [PROGRAM, "--help"],
        [PROGRAM, "compare", "--help"],
        [PROGRAM, "tasks"],
    ):
        found = modules(*arguments)
        assert "consistency" in found
        assert not found & (HEAVY | numerical)


def test_reading_logs_needs_no_torch(folder):
    for command in (f"requests {PROBE} --out {{f}}/r.jsonl", GROUPS + "harmonious", "compare {f}/probe {f}/probe"):
        found = modules(PROGRAM, *(word.format(f=folder) for word in command.split()))
        assert "numpy" in found
        assert not found & HEAVY


def test_the_version_and_the_module_are_those_of_the_package():
    import consistency

    expected = f"consistency {consistency.__version__}"
    for command in ([PROGRAM, "--version"], [sys.executable, "-m", "consistency", "--version"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.strip()) == (0, expected)


def test_every_public_name_is_there_and_listed_once():
    import consistency

    assert consistency.__all__ == sorted(set(consistency.__all__))
    assert set(consistency.__all__) == {*consistency._HOMES, "__version__"}
    assert all(getattr(consistency, name) for name in consistency.__all__)
    assert set(consistency.__all__) <= set(dir(consistency))
    with pytest.raises(AttributeError, match="nothing"):
        consistency.nothing  # noqa: B018


def test_the_help_says_what_each_argument_is(call) -> None:
    code, printed, _ = call("compare", "--help")
    assert code == 0
    # Some pairs of releases of Typer and click lose it.
    assert "Log folder" in printed
