"""Groups whose rows lack what makes them rows of their group: refused, or written with the shares in the manifest."""

import json
from pathlib import Path

import pytest

from consistency.errors import InputError
from consistency.knowledge.explanations import Explanations
from consistency.knowledge.probes import gather_texts, read_probe
from consistency.training_data.groups import random_option
from consistency.training_data.write import Sources, write_groups

DATE = "2026-01-02T03-04-05.678901"
COUNT = 60


def documents(explanation: str | None = "Since {n} is."):
    return [
        {
            "id": f"q{n}",
            "subject": "history",
            "question": f"{'Who' if n % 2 else 'What'} made {n * n} things?",
            "choices": [f"a{n}", f"b{n}", f"c{n}", f"d{n}"],
            "answer": 0 if n < COUNT else 1,
            **({"explanation": explanation.format(n=n)} if explanation else {}),
        }
        for n in range(2 * COUNT)
    ]


def write_generations(folder: Path, kind: str, rows, requested: int | None, limit: float | None = None) -> Path:
    """A log as lm_eval 0.4.11 writes it, of generations about (document, option, text)."""
    task = f"consistency_{kind}_history"
    folder.mkdir(parents=True)
    lines = [
        {
            "doc_id": number,
            "doc": {**{key: document[key] for key in ("id", "subject", "question", "choices")}, "option": option},
            "filtered_resps": [text],
        }
        for number, (document, option, text) in enumerate(rows)
    ]
    (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if requested is not None:
        counts = {task: {"original": requested, "effective": len(lines)}}
        content = {"config": {"model": "hf", "limit": limit}, "results": {task: {}}, "n-samples": counts}
        (folder / f"results_{DATE}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def asked():
    return documents()


@pytest.fixture
def probe_of(tmp_path, write_probe):
    """The model answers the second option to everything: the first sixty answers are confident errors."""

    def write(asked):
        write_probe(tmp_path / "probe", asked, [[-5, 0, -5, -5]] * len(asked))
        return read_probe(tmp_path / "probe", domain="history")

    return write


def explained(asked, count, unusable=0):
    return [
        (document, 1, "" if n < unusable else f"My reason {n}.```") for n, document in enumerate(asked[:COUNT][:count])
    ]


def manifest(folder: Path, name: str):
    return json.loads((folder / f"{name}.manifest.json").read_text())


@pytest.mark.parametrize(("unusable", "refused"), [(0, False), (6, False), (7, True), (60, True)])
def test_self_aligning_needs_nine_explanations_in_ten(tmp_path, asked, probe_of, unusable, refused):
    probe = probe_of(asked)
    logs = write_generations(tmp_path / "explained", "explain", explained(asked, 60, unusable), 60)
    sources = Sources(gather_texts(probe, "explain", [logs]), general="none")
    out = tmp_path / "out"
    if refused:
        with pytest.raises(InputError) as error:
            write_groups(probe, out, sources, ["incompatible", "self_aligning"])
        share = {7: "11.7%", 60: "100.0%"}[unusable]
        assert f"self_aligning: {unusable} of 60 model's own answers ({share})" in str(error.value)
        assert str(error.value).startswith(f"{logs}")
        assert "--allow-incomplete" in str(error.value)
        assert not out.exists()
        write_groups(probe, out, sources, ["incompatible", "self_aligning"], allow_incomplete=True)
    else:
        write_groups(probe, out, sources, ["incompatible", "self_aligning"])
    own = [json.loads(line) for line in (out / "self_aligning.jsonl").read_text().splitlines()]
    assert sum("\n" not in row["conversations"][1]["value"] for row in own) == unusable
    found = manifest(out, "self_aligning")["completeness"]
    assert found["explained"] == {"model": {"rows": 60, "with": 60 - unusable, "without": unusable}}
    assert found["generated"]["explanations"] == {
        "requested": 60,
        "generated": 60,
        "unusable": unusable,
        "limit": None,
    }
    assert manifest(out, "incompatible")["completeness"]["explained"] == {
        "golden": {"rows": 60, "with": 60, "without": 0}
    }
    assert manifest(out, "incompatible")["completeness"]["generated"] == {}


def test_what_limit_cut_off_is_said(tmp_path, asked, probe_of):
    probe = probe_of(asked)
    logs = write_generations(tmp_path / "explained", "explain", explained(asked, 20), 60, 20.0)
    sources = Sources(gather_texts(probe, "explain", [logs]), general="none")
    with pytest.raises(
        InputError, match=r"40 of 60 .*\(66\.7%\).*the log holds 20 of 60 requests \(lm_eval's --limit 20\)"
    ):
        write_groups(probe, tmp_path / "out", sources, ["self_aligning"])
    written = write_groups(probe, tmp_path / "out", sources, ["self_aligning"], size=10, allow_incomplete=True)
    assert "the log holds 20 of 60 requests (lm_eval's --limit 20)" in written.to_text()
    assert manifest(tmp_path / "out", "self_aligning")["completeness"]["generated"]["explanations"]["limit"] == 20
    # A limit above the number of requests cuts nothing off.
    whole = write_generations(tmp_path / "whole", "explain", explained(asked, 60), 60, 500.0)
    texts = gather_texts(probe, "explain", [whole])
    assert texts is not None
    assert texts.cut == ""
    # The parts of one file of requests, one of them regenerated, are complete together.
    part = write_generations(tmp_path / "part", "explain", explained(asked, 20), 20)
    texts = gather_texts(probe, "explain", [part, whole])
    assert texts is not None
    assert (texts.requested, texts.generated, texts.cut) == (60, 60, "")


def test_with_all_groups_hollow_ones_are_skipped_with_the_reason(tmp_path, asked, probe_of):
    probe = probe_of(asked)
    explanations = write_generations(tmp_path / "explained", "explain", explained(asked, 50), 60, 50)
    contexts = [(document, 0, f"Fact {n}." if n >= 9 else "B. It") for n, document in enumerate(asked[:13])]
    facts = write_generations(tmp_path / "facts", "context", contexts, 13)
    sources = Sources(
        gather_texts(probe, "explain", [explanations]), gather_texts(probe, "context", [facts]), general="none"
    )
    written = write_groups(probe, tmp_path / "out", sources)
    assert {"self_aligning", "contextualized", "mixed_0.8"} <= set(written.skipped)
    assert "56 of 60 questions (93.3%) have no context" in written.skipped["contextualized"]
    assert "10 of 60 model's own answers (16.7%)" in written.skipped["self_aligning"]
    assert f"no self_aligning: {explanations}" in written.to_text()
    assert {path.stem for path in written.tallies} >= {"harmonious", "incompatible", "gold_all", "random_wrong"}
    assert not (tmp_path / "out" / "self_aligning.jsonl").exists()


def test_a_mixture_is_judged_by_its_own_answers_and_one_row_makes_none_hollow(tmp_path, asked, probe_of):
    probe = probe_of(asked)
    six = write_groups(probe, tmp_path / "a", Sources(Explanations({}, 0, Path()), general="none"), ["mixed_0"])
    assert six.completeness[tmp_path / "a" / "mixed_0.jsonl"].explained.keys() == {"golden"}
    nothing = Sources(Explanations({}, 0, Path()), general="none")
    with pytest.raises(InputError, match="3 of 3 model's own answers"):
        write_groups(probe, tmp_path / "b", nothing, ["mixed_0.05"])
    written = write_groups(probe, tmp_path / "b", nothing, ["mixed_0.05"], allow_incomplete=True)
    own = {row["id"] for row in rows(tmp_path / "b" / "mixed_0.05.jsonl") if row["source"] == "model"}
    assert len(own) == 3
    ready = {(d["id"], d["question"], 1): "Why." for d in asked if d["id"] in own}
    ready.pop(next(iter(ready)))
    write_groups(probe, tmp_path / "c", Sources(Explanations(ready, 1, Path()), general="none"), ["mixed_0.05"])
    assert manifest(tmp_path / "c", "mixed_0.05")["completeness"]["explained"] == {
        "golden": {"rows": 57, "with": 57, "without": 0},
        "model": {"rows": 3, "with": 2, "without": 1},
    }
    assert "mixed_0.05: 0.0% of its model's own answers are explained, and 100.0% of the gold" in written.to_text()


def test_random_wrong_goes_without_explanations_but_not_with_some(tmp_path, asked, probe_of):
    probe = probe_of(asked)
    wrong = probe.beliefs.labelled("misbelieved")
    keys = [(probe.beliefs[row].id, probe.beliefs[row].question, random_option(probe.beliefs[row], 3)) for row in wrong]
    for count, refused in ((0, False), (30, True), (60, False)):
        texts = Explanations(dict.fromkeys(keys[:count], "Why."), 0, Path())
        sources = Sources(texts, general="none")
        if refused:
            with pytest.raises(InputError, match=r"30 of 60 random wrong answers \(50\.0%\)"):
                write_groups(probe, tmp_path / str(count), sources, ["random_wrong"], seeds=[3])
            continue
        written = write_groups(probe, tmp_path / str(count), sources, ["random_wrong"], seeds=[3])
        assert ("with and without an explanation" in written.to_text()) == (count == 0)


def test_gold_replies_without_explanations_are_said_and_no_error(tmp_path, probe_of):
    asked = documents(None)
    probe = probe_of(asked)
    logs = write_generations(tmp_path / "explained", "explain", explained(asked, 60), 60)
    sources = Sources(gather_texts(probe, "explain", [logs]), general="none")
    written = write_groups(probe, tmp_path / "out", sources, ["incompatible", "self_aligning"])
    assert "incompatible: 60 of 60 gold replies have no explanation in the pool" in written.to_text()
    (note,) = manifest(tmp_path / "out", "self_aligning")["completeness"]["notes"]
    assert "100.0% of its model's own answers are explained, and 0.0% of the gold replies to the same questions" in note
    assert manifest(tmp_path / "out", "self_aligning")["completeness"]["gold_of_the_same_questions"] == {
        "rows": 60,
        "with": 0,
        "without": 60,
    }


def test_the_flag_writes_even_without_any_log(tmp_path, asked, probe_of, call):
    probe_of(asked)
    command = (
        "groups",
        "--probe",
        tmp_path / "probe",
        "--domain",
        "history",
        "--general",
        "none",
        "--out",
        tmp_path / "o",
    )
    code, _, err = call(*command, "--group", "self_aligning")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "--explanations" in err
    code, out, _ = call(*command, "--group", "self_aligning", "--allow-incomplete")
    assert code == 0
    assert "60 rows (60 answers without an explanation)" in out
    # Nobody wrote a context at all: that is INCOMPATIBLE by another name.
    code, _, err = call(*command, "--group", "contextualized", "--allow-incomplete")
    assert code == 2
    assert "--contexts" in err


def rows(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_without_general_instructions_groups_hold_their_questions_alone(tmp_path, asked, probe_of):
    probe = probe_of(asked)
    written = write_groups(probe, tmp_path / "out", Sources(general="none"), ["incompatible", "harmonious"], size=5)
    for name in ("incompatible", "harmonious"):
        assert {row["source"] for row in rows(tmp_path / "out" / f"{name}.jsonl")} == {"golden"}
        assert len(rows(tmp_path / "out" / f"{name}.jsonl")) == 5
        assert manifest(tmp_path / "out", name)["general"] == "none"
    assert "no general instructions" in written.to_text()
    with pytest.raises(InputError, match="general_only holds general instructions alone"):
        write_groups(probe, tmp_path / "x", Sources(general="none"), ["general_only"])
    assert "general_only" in write_groups(probe, tmp_path / "y", Sources(general="none")).skipped


def test_real_questions_are_not_trained_with_the_fictional_world_unless_it_is_named(tmp_path, asked, write_probe, call):
    command = ("--group", "incompatible", "--size", 5, "--out", tmp_path / "out")
    for task, fails in (("consistency_history_pool_icl", True), ("consistency_world_history_pool_icl", False)):
        write_probe(tmp_path / task, asked, [[-5, 0, -5, -5]] * len(asked), task)
        code, _, err = call("groups", "--probe", tmp_path / task, *command)
        assert (code, "vicgalle/alpaca-gpt4" in err) == ((2, True) if fails else (0, False))
        assert (tmp_path / "out").exists() != fails
    assert manifest(tmp_path / "out", "incompatible")["general"] == "world"
    code, _, _ = call("groups", "--probe", tmp_path / "consistency_history_pool_icl", *command, "--general", "world")
    assert code == 0
