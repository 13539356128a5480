"""An experiment with one key broken is refused before it runs, and the message names the key."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from consistency.errors import InputError
from consistency.experiment.reading import read_experiment
from consistency.experiment.validation import validate

GOOD = {
    "name": "good",
    "tasks": "world",
    "models": {"world": "embedded"},
    "domains": ["medicine"],
    "groups": ["harmonious", "incompatible"],
    "seeds": [0],
    "size": 20,
}

# What is changed, and the key that the message begins with. A value of None takes the key away.
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b"}, "name"),
    ({"name": None}, "name"),
    ({"tasks": "papers"}, "tasks"),
    ({"tasks": "paper"}, "general"),
    ({"tasks": "paper", "general": "alpaca.json"}, "general"),
    ({"tasks": "paper", "general": "none", "network": False}, "network"),
    ({"models": []}, "models"),
    ({"models": {"m": ""}}, "models"),
    ({"models": {"m": "./nowhere"}}, "models"),
    ({"models": {"m": "a/b/c"}}, "models"),
    ({"models": {"report": "embedded"}}, "models"),
    ({"domains": ["medicin"]}, "domain"),
    ({"domains": []}, "domains"),
    ({"domains": {"sport": {"pool": "p.jsonl"}}}, "domains"),
    ({"groups": ["incompatibel"]}, "intervention group"),
    ({"groups": ["mixed_1.5"]}, "intervention group"),
    ({"groups": []}, "groups"),
    ({"seeds": [-1]}, "seeds"),
    ({"seeds": "0"}, "seeds"),
    ({"size": 0}, "size"),
    ({"size": 401}, "size"),
    ({"size": 201}, "size"),
    ({"size": 30, "limit": 40}, "size"),
    ({"limit": 0}, "limit"),
    ({"limit": "ten"}, "limit"),
    ({"threshold": 1}, "threshold"),
    ({"threshold": "half"}, "threshold"),
    ({"probes": ["icl_cyclic"]}, "probes"),
    ({"probes": ["paper"]}, "probes"),
    ({"template": "vicunna"}, "template"),
    ({"template": 3}, "template"),
    ({"template": "nowhere.jinja"}, "nowhere.jinja"),
    ({"template": "broken.jinja"}, "broken.jinja"),
    ({"network": "yes"}, "network"),
    ({"general": "none", "groups": ["general_only"]}, "general"),
    ({"guard": "nowhere"}, "guard"),
    ({"context_model": "./nowhere"}, "context_model"),
    ({"explanation_attempts": -1}, "explanation_attempts"),
    ({"allow_incomplete": 1}, "allow_incomplete"),
    ({"device": "gpu"}, "device"),
    ({"devices": 0}, "devices"),
    ({"devices": 2, "axolotl": ""}, "devices"),
    ({"every_epoch": "no"}, "every_epoch"),
    ({"preset": "lorra"}, "preset"),
    ({"preset": {"wrld": "lora"}}, "preset"),
    ({"preset": ["world-cpu", "liger"]}, "preset"),
    ({"preset": "qlora"}, "preset"),
    ({"preset": ["world-cpu", "own.yml"]}, "preset"),
    ({"preset": ["world-cpu", "dpo"]}, "preset"),
    ({"recipes": {}}, "recipes"),
    ({"recipes": {"a": 3}}, "recipes"),
    ({"recipes": {"a": "lora"}, "preset": "lora"}, "recipes"),
    ({"learning_rate": 0}, "learning_rate"),
    ({"learning_rate": [1e-4, 1e-4]}, "learning_rate"),
    ({"learning_rate": "fast"}, "learning_rate"),
    ({"learning_rate": 1e-4, "axolotl": "--learning-rate 1e-5"}, "axolotl"),
    ({"axolotl": "--learning-rat 1"}, "axolotl"),
    ({"axolotl": "--rl dpo"}, "axolotl"),
    ({"axolotl": "--chat-template chatml"}, "axolotl"),
    ({"axolotl": "--train-on-inputs"}, "axolotl"),
    ({"axolotl": "--val-set-size 0.1"}, "axolotl"),
    ({"lm_eval": "--limit 5"}, "lm_eval"),
    ({"lm_eval": "--device cpu"}, "lm_eval"),
    ({"lm_eval": "--use_cache x"}, "lm_eval"),
    ({"lm_eval": "--batch_size '32"}, "lm_eval"),
    ({"models": {"m": "a,b"}}, "models"),
    ({"context_model": "embedded"}, "context_model"),
    ({"general": "empty.json"}, "general"),
    ({"general": "broken.jinja"}, "general"),
    ({"groups": ["mixed_0.3", "mixed_0.30"]}, "groups"),
    ({"learning_rate": [None, 1e-4]}, "learning_rate"),
    ({"preset": ["world-cpu", "max.yml"]}, "max_steps"),
    ({"model_args": "float32"}, "model_args"),
    ({"model_args": "pretrained=x"}, "model_args"),
    ({"explanation_atempts": 3}, "explanation_atempts"),
]
# What only lm_eval, transformers, Axolotl or the host can say.
BROKEN_IN_FULL: list[tuple[dict[str, Any], str]] = [
    ({"model_args": "dtype=flot32"}, "model_args"),
    ({"model_args": "dtype=float32,max_lenght=2048"}, "model_args"),
    ({"model_args": "dtype=float32,max_length=many"}, "model_args"),
    ({"lm_eval": "--bach_size 32"}, "lm_eval"),
    ({"lm_eval": "--lim 5"}, "lm_eval"),
    ({"lm_eval": "--batch_size many"}, "lm_eval"),
    ({"lm_eval": "--model nonsense"}, "model"),
    ({"device": "cuda"}, "device"),
    ({"models": {"m": "./empty"}}, "models"),
    ({"models": {"m": "./encoder"}}, "models"),
    ({"models": {"m": "nobody/nothing-1b"}}, "models"),
    ({"template": "fails.jinja"}, "template"),
    ({"template": "constant.jinja"}, "template"),
    ({"template": "turns.jinja"}, "template"),
    ({"lm_eval": "--gen_kwargs greedy"}, "lm_eval"),
    ({"preset": ["world-cpu", "unknown.yml"]}, "learning_rat"),
]


def problems(folder: Path, changes: dict[str, Any], full: bool) -> list[str]:
    """What is said of an experiment with some of its keys changed."""
    content = {key: value for key, value in (GOOD | changes).items() if value is not None}
    (folder / "e.yaml").write_text(yaml.safe_dump(content))
    try:
        return list(validate(read_experiment(folder / "e.yaml", folder / "runs"), full=full).problems)
    except InputError as error:
        return [str(error)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with some broken files, and no folder of questions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONSISTENCY_DATA", raising=False)
    (tmp_path / "broken.jinja").write_text("{% for m in messages %}")
    (tmp_path / "fails.jinja").write_text("{{ raise_exception('no') }}")
    (tmp_path / "constant.jinja").write_text("hello")
    turns = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
    (tmp_path / "turns.jinja").write_text(turns)
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "max.yml").write_text("max_steps: 3\n")
    (tmp_path / "own.yml").write_text("chat_template: chatml\n")
    (tmp_path / "unknown.yml").write_text("learning_rat: 1\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"")
    (tmp_path / "encoder").mkdir()
    config = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 8, "d_model": 8}
    (tmp_path / "encoder" / "config.json").write_text(json.dumps(config))
    (tmp_path / "encoder" / "model.safetensors").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(("changes", "key"), BROKEN, ids=[f"{key}-{n}" for n, (_, key) in enumerate(BROKEN)])
def test_a_broken_key_is_named(folder: Path, changes: dict[str, Any], key: str) -> None:
    assert not problems(folder, {}, full=False)
    found = problems(folder, changes, full=False)
    assert any(key in problem for problem in found), found
    assert all("\n" not in problem for problem in found)


def test_what_only_the_programs_can_say_is_named(folder: Path) -> None:
    pytest.importorskip("axolotl")
    assert not problems(folder, {}, full=True)
    for changes, key in BROKEN_IN_FULL:
        found = problems(folder, changes, full=True)
        assert any(key in problem for problem in found), (changes, found)
        assert all("\n" not in problem for problem in found)
