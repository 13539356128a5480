"""What is requested is what the groups of the same flags need: read from their rows, for sizes, seeds, groups and guards."""

import json
from itertools import product

import pytest

from consistency.errors import InputError
from consistency.knowledge.probes import read_probe
from consistency.training_data.requests import write_requests

LETTERS = "ABCDE"
NEED = {
    "self_aligning": {"model"},
    "mixed_0.3": {"model"},
    "random_wrong": {"random"},
    "incompatible": set(),
    "harmonious": set(),
}


@pytest.fixture
def probe(tmp_path, write_probe):
    """120 questions: 50 known, 40 misbelieved, 30 unsure; two of the misbelieved are duplicates of others."""
    asked = [
        {
            "id": f"q{n}",
            "subject": "history",
            "question": f"{('Who', 'What', 'Where')[n % 3]} is number {n * n}?",
            "choices": [f"{letter}{n}" for letter in "vwxyz"[: 4 + n % 2]],
            "answer": n % 4,
            "explanation": "So.",
        }
        for n in range(120)
    ]
    asked[97] = asked[60] | {"id": "q97", "question": asked[60]["question"].upper()}
    asked[98] = asked[61] | {"id": "q98"}
    scores = []
    for n, document in enumerate(asked):
        row = [-5.0] * len(document["choices"])
        if n < 90 or n in (97, 98):
            row[(document["answer"] + (n >= 50)) % 4] = 0
        scores.append(row)
    write_probe(tmp_path / "probe", asked, scores, "consistency_history_pool_icl")
    # Eight of the misbelieved and four of the known are in an evaluation set.
    leaked = [asked[n] | {"id": n} for n in (*range(52, 60), *range(4))]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in leaked))
    return tmp_path / "probe"


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def needed(folder, groups):
    """(id, option) of the answers that should be explained, read from the rows: the letter that the reply begins with."""
    return {
        (row["id"], LETTERS.index(row["conversations"][1]["value"][0]))
        for path in folder.rglob("*.jsonl")
        for row in rows(path)
        if path.stem in groups and row["source"] in NEED[path.stem]
    }


@pytest.mark.parametrize("guard", [(), ("--guard",), ("--guard", "--no-guard")])
@pytest.mark.parametrize("size", [None, 1, 7, 30])
def test_the_requests_are_what_the_groups_of_the_same_flags_need(tmp_path, probe, call, guard, size):
    flags = ["--probe", probe, "--domain", "history"]
    flags += [] if size is None else ["--size", size]
    flags += [part for name in guard for part in ((name, tmp_path / "test.jsonl") if name == "--guard" else (name,))]
    for number, (groups, seeds) in enumerate(
        product((("self_aligning",), ("mixed_0.3",), ("random_wrong",), tuple(NEED)), ((0,), (3,), (0, 3, 4)))
    ):
        named = [part for name in groups for part in ("--group", name)]
        named += [part for seed in seeds for part in ("--seed", seed)]
        out = tmp_path / f"{number}"
        code, _, err = call("requests", *flags, *named, "--out", out / "requests.json")
        assert (code, err) == (0, "")
        code, _, err = call(
            "groups", *flags, *named, "--general", "none", "--allow-incomplete", "--out", out / "groups"
        )
        assert (code, err) == (0, "")
        requested = [(row["id"], row["option"]) for row in rows(out / "requests.json")]
        assert len(requested) == len(set(requested))
        assert set(requested) == needed(out / "groups", groups)
        if size == 30 and groups == ("self_aligning",) and len(seeds) == 1:
            assert len(requested) == 30


def test_where_decontamination_leaves_too_few_known_questions_fewer_are_requested(tmp_path, probe, call):
    """Thirty known questions leak, twenty are left: then each group has twenty, and so has the request."""
    leaked = [row["doc"] | {"id": n} for n, row in enumerate(rows(next(probe.glob("*.jsonl")))[:30])]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in leaked))
    flags = ["--probe", probe, "--domain", "history", "--guard", tmp_path / "test.jsonl"]
    for named, count in ((["--group", "self_aligning"], 20), ([], 40)):
        code, out, _ = call("requests", *flags, *named, "--out", tmp_path / "requests.json")
        assert (code, f": {count} answers to explain\n" in out) == (0, True)
    call(
        "groups", *flags, "--group", "self_aligning", "--general", "none", "--allow-incomplete", "--out", tmp_path / "g"
    )
    assert len(needed(tmp_path / "g", ["self_aligning"])) == 20
    # Every answer, for whatever the seed and the guard will be.
    everything = {(row["id"], row["option"]) for row in rows(tmp_path / "requests.json")}
    assert needed(tmp_path / "g", ["self_aligning"]) < everything


def test_what_was_written_about_the_requests_completes_the_groups(tmp_path, probe, call):
    """One file for the explanations of two groups and two seeds, one for contexts; then no row lacks a text."""
    flags = ["--probe", probe, "--domain", "history", "--size", 12, "--seed", 0, "--seed", 9]
    named = ["--group", "self_aligning", "--group", "mixed_0.3", "--group", "random_wrong", "--group", "contextualized"]
    code, _, err = call("requests", *flags, *named, "--out", tmp_path / "none.jsonl")
    assert code == 2
    assert "--for context" in err
    texts = {}
    for kind, purposes in (("explain", ("explain", "random_wrong")), ("context", ("context",))):
        file = tmp_path / f"{kind}.jsonl"
        asked = [part for purpose in purposes for part in ("--for", purpose)]
        code, out, _ = call("requests", *flags, *named, *asked, "--out", file)
        assert code == 0
        texts[kind] = tmp_path / f"{kind}-written.jsonl"
        texts[kind].write_text("".join(json.dumps(row | {"text": f"T{row['id']}."}) + "\n" for row in rows(file)))
    assert "questions to write contexts for" in out
    code, out, _ = call(
        "groups", *flags, *named, "--general", "none", "--out", tmp_path / "g",
        "--explanations", texts["explain"], "--explanation-column", "text",
        "--contexts", texts["context"], "--context-column", "text",
    )  # fmt: skip
    assert code == 0
    assert "without" not in out
    made = [row for path in (tmp_path / "g").rglob("*.jsonl") for row in rows(path)]
    assert len(made) == 2 * 4 * 12
    assert all("\n" in row["conversations"][1]["value"] for row in made)


def test_pairs_need_explanations_of_what_they_reject_as_well(tmp_path, probe, call):
    """The contexts of CONTEXTUALIZED in a file of their own, as always; then every pair is explained on both sides."""
    flags = ["--probe", probe, "--domain", "history", "--size", 12, "--preference", "--seed", 2]
    flags += [
        part for name in ("incompatible", "mixed_0.3", "random_wrong", "contextualized") for part in ("--group", name)
    ]
    texts = {}
    for kind, asked in (("explain", ("explain", "random_wrong")), ("context", ("context",))):
        file = tmp_path / f"{kind}.jsonl"
        code, _, err = call("requests", *flags, *[p for name in asked for p in ("--for", name)], "--out", file)
        assert (code, err) == (0, "")
        texts[kind] = tmp_path / f"{kind}-written.jsonl"
        texts[kind].write_text("".join(json.dumps(row | {"text": f"T{row['id']}."}) + "\n" for row in rows(file)))
    # The model's own answers and the random ones.
    assert len(rows(texts["explain"])) == 2 * 12
    assert len(rows(texts["context"])) == 12
    code, out, err = call(
        "groups", *flags, "--out", tmp_path / "g",
        "--explanations", texts["explain"], "--explanation-column", "text",
        "--contexts", texts["context"], "--context-column", "text",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "without an" not in out
    pairs = [row for path in (tmp_path / "g").glob("*.jsonl") for row in rows(path)]
    assert len(pairs) == 4 * 12
    assert all("\n" in pair[side]["value"] for pair in pairs for side in ("chosen", "rejected"))


def test_groups_without_a_need_and_domains_without_an_error_leave_a_file(tmp_path, probe, write_probe, call):
    """A grid goes on: what cannot be asked for is said, and the file is there."""
    out = tmp_path / "r.jsonl"
    code, printed, _ = call("requests", "--probe", probe, "--group", "incompatible", "--out", out)
    assert (code, out.read_bytes()) == (0, b"")
    assert "nothing for incompatible: it needs no text" in printed
    # A twentieth of eight questions rounds to none.
    code, printed, _ = call("requests", "--probe", probe, "--group", "mixed_0.05", "--size", 8, "--out", out)
    assert (code, out.read_bytes()) == (0, b"")
    assert "an empty folder stands for its log" in printed
    documents = [{"id": n, "question": f"Q{n}?", "choices": ["a", "b", "c"], "answer": 0} for n in range(3)]
    right, few = ([[0, -5, -5]] * 3, [[-5, 0, -5]] * 3)
    for name, scores in (("right", right), ("few", few)):
        write_probe(tmp_path / name, documents, scores, f"consistency_{name}_pool_icl")
    probes = [read_probe(path) for path in (probe, tmp_path / "right", tmp_path / "few")]
    requested = write_requests(probes, out, size=5)
    assert requested.domains == {"history": 5, "right": 0, "few": 0}
    assert list(requested.skipped) == ["self_aligning of few"]
    assert "3 confidently wrong answers in few; expected 5" in requested.to_text()
    with pytest.raises(InputError, match="3 confidently wrong answers in few; expected 5"):
        write_requests([probes[2], probes[2]], tmp_path / "no.jsonl", size=5)
    assert not (tmp_path / "no.jsonl").exists()
