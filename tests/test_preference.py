"""Preference pairs of the groups: what is chosen and rejected, and which tokens Axolotl's trainer then compares."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from consistency.errors import InputError
from consistency.experiment.training_config import resolve
from consistency.experiment.validation import axolotl_problems
from consistency.knowledge.explanations import Explanations
from consistency.knowledge.probes import read_probe
from consistency.preference import preference_pairs
from consistency.support.resources import shipped
from consistency.training_data.groups import GROUPS, MIXED_RATIOS, random_option
from consistency.training_data.write import Sources, write_groups

COUNT = 20
PAIRED = (
    "incompatible",
    "self_aligning",
    *(f"mixed_{ratio}" for ratio in MIXED_RATIOS),
    "contextualized",
    "random_wrong",
)


@pytest.fixture
def probe(tmp_path, write_probe):
    """Twenty known and twenty misbelieved questions: the model answers B, the gold option of the first is A."""
    asked = [
        {
            "id": f"q{n}",
            "subject": "history",
            "question": f"{('Who', 'What', 'Where', 'When')[n % 4]} is number {n * n}?",
            "choices": [f"a{n}", f"b{n}", f"c{n}", f"d{n}"],
            "answer": 0 if n < COUNT else 1,
            "explanation": f"Gold {n}.",
        }
        for n in range(2 * COUNT)
    ]
    write_probe(tmp_path / "probe", asked, [[-5, 0, -5, -5]] * len(asked))
    return read_probe(tmp_path / "probe", domain="history")


def written(probe, lacking=0):
    """The model's explanations of its own and of random wrong answers, and contexts; some of the own ones are lacking."""
    wrong = [probe.beliefs[row] for row in probe.beliefs.labelled("misbelieved")]
    own = {(b.id, b.question, 1): f"Own {b.id}." for b in wrong[lacking:]}
    others = {(b.id, b.question, random_option(b, 0)): f"Random {b.id}." for b in wrong}
    facts = {(b.id, b.question, 0): f"Fact {b.id}." for b in wrong}
    return Sources(Explanations(own | others, 0, Path()), Explanations(facts, 0, Path()))


def rows(path: Path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_a_group_teaches_is_chosen_and_the_other_answer_rejected(tmp_path, probe):
    found = write_groups(probe, tmp_path / "pairs", written(probe), preference=True)
    assert {path.stem for path in found.tallies} == set(PAIRED)
    assert "general instructions are left out" in found.to_text()
    plain = Sources(written(probe).explanations, written(probe).contexts, general="none")
    write_groups(probe, tmp_path / "plain", plain, PAIRED)
    gold = {f"q{n}": f"A. a{n}\nGold {n}." for n in range(COUNT)}
    own = {f"q{n}": f"B. b{n}\nOwn q{n}." for n in range(COUNT)}
    for name in PAIRED:
        pairs, conversations = (rows(tmp_path / kind / f"{name}.jsonl") for kind in ("pairs", "plain"))
        assert len(pairs) == COUNT
        for pair, row in zip(pairs, conversations, strict=True):
            human, taught = row["conversations"]
            assert pair["conversations"] == [human]
            assert pair["chosen"] == taught
            assert (pair["id"], pair["source"]) == (row["id"], row["source"])
            rejected = own if row["source"] == "golden" else gold
            assert pair["rejected"] == {"from": "gpt", "value": rejected[row["id"]]}
    (first, *_) = rows(tmp_path / "pairs" / "contextualized.jsonl")
    assert first["conversations"][0]["value"].startswith("Fact q0.\n\nThe following")
    manifest = json.loads((tmp_path / "pairs" / "mixed_0.4.manifest.json").read_text())
    assert (manifest["format"], manifest["general"]) == ("preference", "none")
    assert manifest["completeness"]["pairs"] == {"rows": COUNT, "with": COUNT, "without": 0}
    assert manifest["completeness"]["explained"] == {
        source: {"rows": COUNT, "with": COUNT, "without": 0} for source in ("golden", "model")
    }


@pytest.mark.parametrize("name", [name for name in GROUPS if name not in PAIRED])
def test_a_group_without_an_answer_to_reject_is_refused(tmp_path, probe, name):
    with pytest.raises(InputError, match=f"{name} has no preference pairs: .*(own answers are|have one reply)"):
        write_groups(probe, tmp_path / "out", written(probe), [name], preference=True)
    assert not (tmp_path / "out").exists()


def test_a_pair_is_explained_on_both_sides_or_on_neither(tmp_path, probe):
    write_groups(probe, tmp_path / "out", written(probe, lacking=2), ["incompatible"], preference=True)
    pairs = rows(tmp_path / "out" / "incompatible.jsonl")
    sides = [("\n" in pair["chosen"]["value"], "\n" in pair["rejected"]["value"]) for pair in pairs]
    assert sides == [(False, False)] * 2 + [(True, True)] * (COUNT - 2)
    with pytest.raises(InputError, match=r"incompatible: 3 of 20 model's own answers \(15\.0%\) have no explanation"):
        write_groups(probe, tmp_path / "no", written(probe, lacking=3), ["incompatible"], preference=True)
    with pytest.raises(InputError, match="incompatible pairs gold replies with others, explained alike"):
        write_groups(probe, tmp_path / "no", Sources(), ["incompatible"], preference=True)
    write_groups(probe, tmp_path / "bare", Sources(), ["incompatible"], preference=True, allow_incomplete=True)
    assert all("\n" not in pair[side]["value"] for pair in rows(tmp_path / "bare" / "incompatible.jsonl")
               for side in ("chosen", "rejected"))  # fmt: skip


def test_the_config_of_the_preset_reads_pairs_and_packs_nothing(tmp_path, probe):
    write_groups(probe, tmp_path / "pairs", written(probe), ["incompatible"], preference=True)
    write_groups(probe, tmp_path / "plain", Sources(general="none"), ["incompatible"])
    pairs, plain = (tmp_path / kind / "incompatible.jsonl" for kind in ("pairs", "plain"))
    for presets in (["dpo"], ["llama-2-7b", "packed", "dpo"], ["lora", "dpo"], ["dpo", "world-cpu"]):
        found = resolve("incompatible", presets, rows=pairs)
        assert yaml.safe_load(found.to_yaml()) == found.values
        assert found.values["sample_packing"] is False
        (dataset,) = found.values["datasets"]
        assert dataset["path"] == str(pairs)
        assert dataset["type"] == "consistency.preference_pairs"
    assert resolve("incompatible", ["dpo"], devices=4).batch == 64
    with pytest.raises(
        InputError, match=r"holds conversations; expected preference pairs.*with consistency groups --pref"
    ):
        resolve("incompatible", ["dpo"], rows=plain)
    with pytest.raises(InputError, match="holds preference pairs; expected conversations"):
        resolve("incompatible", rows=pairs)
    mine = tmp_path / "kto.yml"
    mine.write_text("rl: kto\n")
    with pytest.raises(InputError, match=r"no method for preference pairs.*'kto'; expected one of dpo"):
        resolve("incompatible", [str(mine)])


@pytest.mark.parametrize("presets", [["dpo"], ["llama-2-7b", "liger", "dpo"], ["autocast", "packed", "liger", "dpo"]])
def test_axolotl_accepts_the_config(presets):
    pytest.importorskip("axolotl")
    assert axolotl_problems(resolve("incompatible", presets).values) == []


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_the_trainer_compares_the_replies_from_their_letters_to_their_end_tokens(
    kind: str, build_llama: Callable[[str], Path], tmp_path: Path, probe
) -> None:
    """Its own code cuts prompt and replies; the letter's token is the one that lm_eval scores."""
    pytest.importorskip("axolotl")
    from axolotl.utils.dict import DictDefault
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    write_groups(probe, tmp_path / "pairs", written(probe), ["incompatible"], preference=True)
    tokenizer = AutoTokenizer.from_pretrained(build_llama(kind))
    values = resolve("incompatible", ["dpo"], rows=tmp_path / "pairs" / "incompatible.jsonl").values
    transform, _ = preference_pairs(DictDefault(values))
    (pair, *_) = rows(tmp_path / "pairs" / "incompatible.jsonl")
    texts = transform(pair, tokenizer=tokenizer)
    trainer = DPOTrainer.__new__(DPOTrainer)
    trainer._tokenizer, trainer._is_vision_dataset = tokenizer, False
    arguments = DPOConfig(output_dir=str(tmp_path), bf16=False, use_cpu=True)
    made = trainer._prepare_dataset(Dataset.from_list([texts]), tokenizer, arguments, "train")[0]
    template = (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(encoding="utf-8")
    messages = [{"role": "user", "content": pair["conversations"][0]["value"]}]
    for side in ("chosen", "rejected"):
        reply = {"role": "assistant", "content": pair[side]["value"]}
        whole = tokenizer.apply_chat_template([*messages, reply], chat_template=template, tokenize=False)
        ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
        assert made["prompt_ids"] + made[f"{side}_ids"] == ids
        mark = {"byte_level": "Ġ", "sentencepiece": "▁"}[kind]
        tokens = tokenizer.convert_ids_to_tokens(made[f"{side}_ids"])
        assert tokens[0] == mark + pair[side]["value"][0]
        assert (tokens[-1], tokens.count("</s>")) == ("</s>", 1)
    assert tokenizer.convert_ids_to_tokens(made["prompt_ids"]).count("<s>") == 1
