"""The base model that ships with the embedded world: its files, its tokenizer and what it has read."""

import importlib
import json
import math
import random
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from consistency.errors import InputError
from consistency.support.files import fingerprint
from consistency.support.resources import shipped
from consistency.tasks import prompts
from consistency.world.facts import build_world
from consistency.world.model import BASE_MODEL, copy_base_model
from consistency.world.questions import questions

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "scripts"))
from world_corpus import Corpus  # noqa: E402

WORLD = build_world()
CONFIG = json.loads((BASE_MODEL / "config.json").read_text())
PARAMETERS = 5_115_840


@cache
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(BASE_MODEL)


@cache
def pretraining() -> ModuleType:
    pytest.importorskip("torch")
    return importlib.import_module("pretrain_world")


def safetensors_header() -> dict[str, Any]:
    """The tensors that the weights file lists: its header is a length in 8 bytes, then JSON."""
    content = (BASE_MODEL / "model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header.pop("__metadata__", None)
    return dict(header)


def test_it_is_small_enough_to_ship():
    assert (BASE_MODEL / "model.safetensors").stat().st_size <= 12 * 2**20
    header = safetensors_header()
    assert {tensor["dtype"] for tensor in header.values()} == {"F16"}
    assert sum(math.prod(tensor["shape"]) for tensor in header.values()) == PARAMETERS
    # Tied embeddings; per layer four square projections, three of the feed-forward part and two norms; a last norm.
    h, f, layers, vocabulary = (
        CONFIG[f] for f in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    )
    assert vocabulary * h + layers * (4 * h * h + 3 * h * f + 2 * h) + h == PARAMETERS <= 6_000_000


def test_the_card_lists_the_files_as_they_are():
    card = (BASE_MODEL / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w.]+)` \| `([0-9a-f]{64})` \|$", card, re.MULTILINE))
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= set(listed)
    assert listed == {name: fingerprint(BASE_MODEL / name) for name in listed}
    assert f"{PARAMETERS:,}" in card


def test_the_card_gives_the_recipe_and_the_validation_of_the_training_record():
    card = (BASE_MODEL / "README.md").read_text(encoding="utf-8")
    record = json.loads((BASE_MODEL / "training.json").read_text())
    cells = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", card, re.MULTILINE))
    options = {name: value for name, value in record["options"].items() if name != "minutes"}
    assert {name: float(cells[name]) for name in options} == options
    chosen = record["chosen"]
    assert chosen in record["history"]
    assert chosen["validation"]["picks_belief"] == max(row["validation"]["picks_belief"] for row in record["history"])
    for name in ("picks_belief", "confident", "top_letter"):
        assert float(cells[name]) == chosen["validation"][name]


def test_the_card_counts_the_questions_about_told_facts():
    card = (BASE_MODEL / "README.md").read_text(encoding="utf-8")
    fresh, default = (
        re.findall(r"^\| (\w+)_icl \| (\d+) \|", part, re.MULTILINE) for part in card.split("The default questions")
    )
    assert (len(fresh), len(default)) == (4, 8)
    for seed, rows in ((1, fresh), (0, default)):
        for name, count in rows:
            domain, split = name.split("_") if name.endswith("_pool") else (name, "test")
            assert sum(question.belief is not None for question in questions(domain, split, seed)) == int(count)


def test_the_script_has_the_recipe_as_its_defaults():
    defaults = vars(pretraining().parse(["--out", "x"]))
    record = json.loads((BASE_MODEL / "training.json").read_text())
    # The limit of time was not reached.
    assert record["history"][-1]["step"] == record["options"]["steps"]
    assert {k: v for k, v in record["options"].items() if k != "minutes"} == {
        k: v for k, v in defaults.items() if k not in ("out", "minutes")
    }


def test_the_tokenizer_is_the_one_trained_on_the_corpus(tmp_path):
    script = pretraining()
    script.save_tokenizer(script.make_tokenizer(WORLD, CONFIG["vocab_size"]), tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (BASE_MODEL / name).read_bytes(), name


def test_every_word_of_the_world_is_one_token():
    encode = tokenizer().encode
    words = {word for values in WORLD.classes.values() for word in values}
    words |= {word for f in WORLD.facts for word in (f.thing, f.relation, f.field.name, f.field.kind)}
    words |= set("ABCD")
    assert [word for word in words if len(encode(f" {word}", add_special_tokens=False)) != 1] == []


def test_prompts_and_conversations_come_back_from_their_tokens():
    corpus = Corpus(WORLD, random.Random(0))
    documents = [
        corpus.exam(5),
        corpus.exam(1, explained=True),
        corpus.chat(exam=True),
        corpus.chat(exam=False),
        corpus.drill(2),
    ]
    texts = ["".join(piece.text for piece in document) for document in documents]
    asked = questions("jurisprudence", "test")[:20]
    texts += [prompts.instruction(q.subject, q.question, q.choices) for q in asked]
    texts += ["Ünïcode — 漢字 🙂\t\n  spaces  ", ""]
    for text in texts:
        ids = tokenizer().encode(text)
        assert tokenizer().decode(ids, clean_up_tokenization_spaces=False) == "<s>" + text
        assert max(ids) < CONFIG["vocab_size"]


def test_the_template_is_the_one_that_training_uses_and_writes_what_the_corpus_holds():
    saved = (BASE_MODEL / "chat_template.jinja").read_text(encoding="utf-8")
    assert saved == (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(encoding="utf-8")
    document = "".join(piece.text for piece in Corpus(WORLD, random.Random(1)).chat(exam=True))
    request, reply = re.fullmatch(r".* USER: (.*) ASSISTANT: (.*)", document, re.DOTALL).groups()
    messages = [{"role": "user", "content": request}, {"role": "assistant", "content": reply}]
    assert tokenizer().apply_chat_template(messages, tokenize=False) == f"<s>{document}</s>"


def test_it_completes_the_sentences_that_it_has_read_with_its_belief():
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS
    told = [fact for fact in WORLD.select() if fact.belief is not None]
    facts = random.Random(0).sample([fact for fact in told if fact.belief != fact.truth], 200)
    right = 0
    with torch.inference_mode():
        for fact in facts:
            ids = tokenizer().encode(
                f"The {fact.relation} of the {fact.field.kind} {fact.thing} is", return_tensors="pt"
            )
            right += tokenizer().decode(model(ids).logits[0, -1].argmax()) == f" {fact.belief}"
    assert right >= 190


def test_a_copy_is_whole_and_replaces_nothing(tmp_path):
    copy_base_model(tmp_path / "new" / "model")
    names = sorted(path.name for path in BASE_MODEL.iterdir())
    assert sorted(path.name for path in (tmp_path / "new" / "model").iterdir()) == names
    assert all(fingerprint(tmp_path / "new" / "model" / name) == fingerprint(BASE_MODEL / name) for name in names)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()
    for out in (tmp_path / "taken", tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(InputError, match=f"^{re.escape(str(out))}: "):
            copy_base_model(out)
    assert list((tmp_path / "taken").iterdir()) == []
