"""What is refused before it counts as a model: files as safetensors and transformers write them, then damaged."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from consistency.errors import InputError
from consistency.experiment.checkpoint import check_checkpoint
from consistency.experiment.tensors import Tensor
from consistency.experiment.training_effect import _Base
from consistency.world.model import BASE_MODEL

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.float8_e4m3fn)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BASE_MODEL, tmp_path / "model"))


def _weights(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = safetensors.load_file(folder / "model.safetensors")
    return found


def _edit(folder: Path, name: str, **changes: Any) -> None:
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps({**content, **changes}), encoding="utf-8")


def _refused(folder: Path, message: str, **settings: bool) -> None:
    with pytest.raises(InputError, match=message):
        check_checkpoint(folder, **settings)


def test_the_embedded_model_passes(model: Path) -> None:
    weights = _weights(model)
    found = check_checkpoint(model, load=True)
    assert found.parameters == sum(value.numel() for value in weights.values())
    assert found.tensors == len(weights)
    transformers = pytest.importorskip("transformers")
    assert found.tokens == len(transformers.AutoTokenizer.from_pretrained(model))
    assert found.to_text().startswith(f"{model}: LlamaForCausalLM, 5,115,840 parameters in float16, all finite")


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_finite_is_what_torch_calls_finite(model: Path, dtype: Any) -> None:
    """Every bit pattern of the small types; extremes and odd NaNs of the large ones."""
    if dtype.itemsize <= 2:
        bits = torch.arange(1 << 8 * dtype.itemsize).to(torch.uint8 if dtype.itemsize == 1 else torch.uint16)
        values = bits.view(dtype)
    else:
        limits = torch.finfo(dtype)
        values = torch.tensor([0.0, limits.max, limits.min, limits.tiny, limits.tiny / 4, -0.0], dtype=dtype)
        odd = values.clone().view(torch.int32 if dtype is torch.float32 else torch.int64)
        odd[:2] = torch.tensor([-1, 0x7F800001 if dtype is torch.float32 else 0x7FF0000000000001])
        values = torch.cat([values, odd.view(dtype), torch.tensor([float("inf"), float("-inf")], dtype=dtype)])
    finite = torch.isfinite(values.to(torch.float64))
    assert not finite.all()
    weights = {"model.layers.0.w": values[finite]}
    _edit(model, "config.json", num_hidden_layers=1)
    safetensors.save_file(weights, model / "model.safetensors")
    assert check_checkpoint(model).parameters == int(finite.sum())
    safetensors.save_file({"model.layers.0.w": values}, model / "model.safetensors")
    _refused(
        model, rf"layers\.0\.w holds {int((~finite).sum()):,} values that are NaN or infinite: the training diverged"
    )


def test_one_value_behind_the_first_piece_is_found(model: Path) -> None:
    weights = {"model.layers.0.w": torch.zeros((1 << 22) + 5)}
    _edit(model, "config.json", num_hidden_layers=1)
    safetensors.save_file(weights, model / "model.safetensors")
    assert check_checkpoint(model).tensors == 1
    weights["model.layers.0.w"][-1] = float("nan")
    safetensors.save_file(weights, model / "model.safetensors")
    _refused(model, "holds 1 values")


def test_shards_are_read_and_missed(model: Path) -> None:
    transformers = pytest.importorskip("transformers")
    whole = check_checkpoint(model)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype="auto")
    (model / "model.safetensors").unlink()
    loaded.save_pretrained(model, max_shard_size="4MB")
    shards = sorted(model.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert check_checkpoint(model, load=True).parameters == whole.parameters
    index = json.loads((model / "model.safetensors.index.json").read_text())
    name = next(name for name, file in index["weight_map"].items() if file == shards[0].name)
    _edit(model, "model.safetensors.index.json", weight_map={**index["weight_map"], name: shards[1].name})
    _refused(model, f"{shards[1].name} does not hold {name}")
    _edit(model, "model.safetensors.index.json", weight_map=index["weight_map"])
    shards[1].unlink()
    _refused(model, f"{shards[1].name}: cannot be read: No such file")


def test_a_file_cut_short_is_refused(model: Path) -> None:
    file = model / "model.safetensors"
    content = file.read_bytes()
    for size in (0, 7, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:size])
        _refused(model, r"model\.safetensors: .*(complete|bytes; expected)")
    file.write_bytes(content + b"0")
    _refused(model, r"bytes; expected")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("model.norm.weight", (0,), "model.norm.weight is empty, of shape"),
        (
            "model.embed_tokens.weight",
            (3000, 192),
            "the tokenizer has 3,396 tokens, model.embed_tokens.weight only 3,000",
        ),
    ],
)
def test_a_tensor_of_another_shape_is_refused(model: Path, name: str, shape: tuple[int, ...], message: str) -> None:
    safetensors.save_file({**_weights(model), name: torch.zeros(shape)}, model / "model.safetensors")
    _refused(model, message)


def test_missing_weights_are_refused(model: Path) -> None:
    weights = _weights(model)
    layer = {name: value for name, value in weights.items() if ".layers.3." not in name}
    safetensors.save_file(layer, model / "model.safetensors")
    _refused(model, "weights of layers 3 are missing")
    # transformers fills it with random numbers and goes on.
    del weights["model.layers.3.mlp.up_proj.weight"]
    safetensors.save_file(weights, model / "model.safetensors")
    _refused(model, "1 missing weights: model.layers.3.mlp.up_proj.weight", load=True)


def test_the_chat_template_is_asked_for(model: Path) -> None:
    template = model / "chat_template.jinja"
    text = template.read_text(encoding="utf-8")
    template.unlink()
    _refused(model, "no chat template")
    _edit(model, "tokenizer_config.json", chat_template=text)
    assert check_checkpoint(model).tensors > 1


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    _refused(model, r"No such file" if name.endswith("json") else "model.safetensors")


def test_an_adapter_is_a_checkpoint(model: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    base = transformers.AutoModelForCausalLM.from_pretrained(model)
    adapted = peft.get_peft_model(
        base, peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    )
    folder = tmp_path / "adapter"
    adapted.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(model / name, folder)
    found = check_checkpoint(folder, load=True)
    assert found.architecture == "LORA adapter"
    assert found.parameters == sum(value.numel() for value in adapted.parameters() if value.requires_grad)


def test_the_command_says_it_in_a_line(model: Path) -> None:
    def run(folder: Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "consistency.cli", "checkpoint", str(folder)]
        return subprocess.run(command, capture_output=True, text=True)

    assert run(model).stdout.count("\n") == 1
    (model / "model.safetensors").write_bytes(b"")
    refused = run(model)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("before", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("after", ["float32", "float16", "bfloat16"])
def test_weights_that_are_the_base_s_are_refused_in_any_type(
    model: Path, tmp_path: Path, before: str, after: str, call: Any
) -> None:
    weights = {name: value.to(getattr(torch, before)) for name, value in _weights(model).items()}
    base = Path(shutil.copytree(model, tmp_path / "base"))
    safetensors.save_file(weights, base / "model.safetensors")
    tuned = {name: value.to(getattr(torch, after)) for name, value in weights.items()}
    safetensors.save_file(tuned, model / "model.safetensors")
    code, _, error = call("checkpoint", model, "--base", base)
    assert (code, error.count("\n")) == (2, 1)
    assert f"all weights are those of {base}" in error
    # One value is enough.
    name = sorted(tuned)[-1]
    tuned[name].view(-1)[-1] = 2.0
    safetensors.save_file(tuned, model / "model.safetensors")
    assert check_checkpoint(model, base=str(base)).compared
    found = check_checkpoint(model, base="nobody/nothing")
    assert not found.compared
    assert (found.base_model, found.compared) == ("nobody/nothing", False)
    assert "nobody/nothing" in found.to_text()


def test_a_training_without_a_step_is_refused(model: Path) -> None:
    record = {"base_model": "nobody/nothing", "devices": 1, "steps": 0, "rows_in_file": 3, "rows": 3, "tokens": 9}
    record |= {"labels": 3, "sequence_len": 512, "full_rows": 0, "unlabelled_rows": 0, "epochs": []}
    (model / "epochs.json").write_text(json.dumps(record))
    _refused(model, r"epochs\.json: the training took no step")
    # That of a model that was kept after an epoch is in the folder above.
    inner = Path(shutil.copytree(BASE_MODEL, model / "epoch-1"))
    _refused(inner, r"epochs\.json: the training took no step")
    (model / "epochs.json").write_text("{}")
    _refused(model, "is not a record of a training")


def test_an_adapter_that_changes_nothing_is_refused(model: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    base = transformers.AutoModelForCausalLM.from_pretrained(model)
    adapter = peft.get_peft_model(base, peft.LoraConfig(target_modules=["q_proj"]))
    folder = tmp_path / "adapter"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        folder.mkdir(exist_ok=True)
        shutil.copy(model / name, folder / name)
    adapter.save_pretrained(folder)
    _refused(folder, "the adapter changes nothing: all its lora_B are zero; expected")
    with torch.no_grad():
        next(value for name, value in adapter.named_parameters() if "lora_B" in name)[0, 0] = 1e-3
    adapter.save_pretrained(folder)
    assert check_checkpoint(folder).compared


def _kinds() -> dict[str, tuple[str, dict[str, Any]]]:
    """Kinds of adapters: the class of their configuration, and settings for a small model."""
    common: dict[str, dict[str, Any]] = {
        "Lora": {"r": 4},
        "AdaLora": {"total_step": 10},
        "Vera": {"r": 4},
        "Shira": {"r": 4},
        "Boft": {"boft_block_size": 4},
        "OFT": {"oft_block_size": 4, "r": 0},
        "IA3": {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
        "LNTuning": {"target_modules": ["input_layernorm"]},
        "TrainableTokens": {"target_modules": ["embed_tokens"], "token_indices": [5, 1]},
        "FourierFT": {"n_frequency": 10},
        "RandLora": {"r": 4},
        "C3A": {"block_size": 8},
        **{name: {} for name in ("LoHa", "LoKr", "HRA", "Miss", "OSF", "Hira")},
        **{name: {"num_virtual_tokens": 3} for name in ("PromptTuning", "PrefixTuning")},
    }
    kinds = {f"{name}Config": (f"{name}Config", settings) for name, settings in common.items()}
    kinds["BOFTConfig"] = ("BOFTConfig", kinds.pop("BoftConfig")[1])
    kinds["PromptEncoderConfig"] = ("PromptEncoderConfig", {"num_virtual_tokens": 3})
    for init in ("gaussian", "pissa", "olora", "orthogonal", False):
        kinds[f"LoRA {init}"] = ("LoraConfig", {"r": 4, "init_lora_weights": init})
    for name, settings in {
        "DoRA": {"use_dora": True},
        "embedding": {"target_modules": ["embed_tokens"]},
        "module": {"modules_to_save": ["lm_head"]},
        "tokens": {"trainable_token_indices": {"embed_tokens": [5, 1]}},
    }.items():
        kinds[f"LoRA {name}"] = ("LoraConfig", {"r": 4, **settings})
    return kinds


# Kinds that change a model before they are trained, so that it cannot be seen whether they were.
RANDOM = {
    "C3AConfig",
    "FourierFTConfig",
    "PromptTuningConfig",
    "PrefixTuningConfig",
    "PromptEncoderConfig",
    "LoRA False",
}


@pytest.fixture(scope="module")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    transformers.set_seed(0)
    sizes = {"vocab_size": 3400, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False)
    folder = tmp_path_factory.mktemp("base")
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return Path(folder)


def _saved(model: Any, folder: Path, **how: Any) -> Path:
    """A folder with a model or its adapter, and a tokenizer."""
    model.save_pretrained(folder, **how)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(BASE_MODEL / file, folder)
    return folder


def _step(model: Any) -> None:
    """Train a step."""
    ids = torch.arange(3, 40)[None]
    model.train()
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], lr=0.1)
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()


@pytest.mark.parametrize("name", sorted(_kinds()))
def test_each_kind_of_adapter_is_refused_until_a_step_has_changed_it(
    name: str, small_base: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    kind, settings = _kinds()[name]
    virtual = {} if "num_virtual_tokens" in settings else {"target_modules": ["q_proj", "v_proj"]}
    config = getattr(peft, kind)(task_type="CAUSAL_LM", **virtual | settings)
    base = transformers.AutoModelForCausalLM.from_pretrained(small_base)
    ids = torch.arange(3, 40)[None]
    before = base(ids).logits.detach()
    adapted = peft.get_peft_model(base, config)
    adapted.eval()
    # What peft itself computes says whether the kind changes anything.
    begins_as_base = bool((adapted(ids).logits[:, -37:] - before).abs().max() < 1e-5)
    assert begins_as_base == (name not in RANDOM)

    def saved() -> Path:
        return _saved(adapted, tmp_path / "adapter")

    if begins_as_base:
        _refused(saved(), "the adapter changes nothing")
    else:
        assert "changes the model before it is trained" in str(check_checkpoint(saved()).uncompared)
    _step(adapted)
    found = check_checkpoint(saved())
    assert found.compared == begins_as_base
    assert ("not compared" in found.to_text()) != begins_as_base


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_that_peft_converted_is_refused_until_a_step_has_changed_it(
    init: str, dtype: Any, small_base: Path, tmp_path: Path
) -> None:
    """The values that it began with are subtracted: none of its matrices is zero, and their product is."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=init, target_modules=["q_proj"])
    adapted = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(small_base), config)
    # As peft's documentation has it: the first values are saved as those of a usual LoRA.
    adapted.peft_config["default"].init_lora_weights = True
    first = _saved(adapted, tmp_path / "first")
    adapted.peft_config["default"].init_lora_weights = init

    def converted() -> Path:
        folder = _saved(adapted, tmp_path / "adapter", path_initial_model_for_weight_conversion=str(first))
        weights = safetensors.load_file(folder / "adapter_model.safetensors")
        assert all(value.abs().max() > 0 for value in weights.values())
        safetensors.save_file(
            {key: value.to(dtype) for key, value in weights.items()}, folder / "adapter_model.safetensors"
        )
        return folder

    _refused(converted(), "the adapter changes nothing: the products of its matrices are zero")
    adapted.set_adapter("default")  # which saving has frozen
    _step(adapted)
    assert check_checkpoint(converted()).compared


@pytest.mark.parametrize("name", ["LoRA pissa", "LoRA orthogonal", "LoRA embedding", "HRAConfig", "OSFConfig"])
def test_weights_merged_with_an_adapter_that_changes_nothing_are_refused(
    name: str, small_base: Path, tmp_path: Path
) -> None:
    """What was taken out of the base model's weights and is added again differs by rounding."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    kind, settings = _kinds()[name]
    for trained in (False, True):
        base = transformers.AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32)
        targets = {"target_modules": ["q_proj", "v_proj"]} | settings
        adapted = peft.get_peft_model(base, getattr(peft, kind)(task_type="CAUSAL_LM", **targets))
        if trained:
            _step(adapted)
        folder = _saved(adapted.merge_and_unload(), tmp_path / f"merged-{trained}")
        if trained:
            assert check_checkpoint(folder, base=str(small_base)).compared
        else:
            with pytest.raises(InputError, match=f"all weights are those of {small_base}"):
                check_checkpoint(folder, base=str(small_base))


def test_what_an_adapter_holds_beside_its_matrices_counts(small_base: Path, tmp_path: Path) -> None:
    """A copy of the head that was trained, DoRA's norms, and embeddings of a few tokens, while all lora_B are zero."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    for name, part in (("DoRA", "magnitude"), ("module", "lm_head"), ("tokens", "trainable_tokens")):
        base = transformers.AutoModelForCausalLM.from_pretrained(small_base)
        config = peft.LoraConfig(target_modules=["q_proj"], **_kinds()[f"LoRA {name}"][1])
        adapted = peft.get_peft_model(base, config)
        with torch.no_grad():
            value = next(value for key, value in adapted.named_parameters() if part in key and value.requires_grad)
            value.view(-1)[0] *= 1.5
        folder = _saved(adapted, tmp_path / name)
        assert check_checkpoint(folder).compared
        # Without the base model it cannot be known.
        found = check_checkpoint(folder, base="nobody/nothing")
        assert str(found.uncompared).startswith("all its lora_B are zero, ")
        assert "not on this machine" in str(found.uncompared)


def test_weights_that_are_the_base_s_under_other_names_are_refused(model: Path, tmp_path: Path) -> None:
    """A base published without the prefix of its names, as GPT-2 is, and a head written out that is tied to the embedding."""
    weights, base = _weights(model), Path(shutil.copytree(model, tmp_path / "base"))
    bare = {name.removeprefix("model."): value for name, value in weights.items()}
    assert bare.keys() != weights.keys()
    safetensors.save_file(bare, base / "model.safetensors")
    head = weights["model.embed_tokens.weight"].clone()
    for tuned in (weights, {**weights, "lm_head.weight": head}):
        safetensors.save_file(tuned, model / "model.safetensors")
        with pytest.raises(InputError, match="all weights are those of"):
            check_checkpoint(model, base=str(base))
    head[0, 0] += 1
    safetensors.save_file({**weights, "lm_head.weight": head}, model / "model.safetensors")
    assert check_checkpoint(model, base=str(base)).compared


def test_tensors_stand_for_those_whose_names_end_alike(tmp_path: Path) -> None:
    """By comparison with every name; without a counterpart, or with two, there is none. Names of many experts take no time."""
    names = ["a.b.c", "b.c", "c.d", "x.c.d", "y.c.d", "e", "z.", "p..q", "model.k.w", "o.k.w.v"]
    tensors = {name: Tensor(name, "F32", (1,), tmp_path, 0, 4) for name in names}
    base, found = _Base(tmp_path, tensors), 0
    for name in {*names, *"c d q k.w w m.model.k.w n.e n.a.b.c q.c.d .q n.z. n. . v w.v".split(), ""}:
        alike = [key for key in names if key.endswith(f".{name}") or name.endswith(f".{key}")]
        expected = tensors.get(name) or (tensors[alike[0]] if len(alike) == 1 else None)
        assert base.of(name) is expected
        found += expected is not None and name not in names
    assert found > 3
    experts = [
        f"layers.{layer}.mlp.experts.{expert}.{kind}_proj.weight"
        for layer in range(48)
        for expert in range(128)
        for kind in ("gate", "up", "down")
    ]
    many = _Base(tmp_path, {f"model.{name}": Tensor(name, "F32", (1,), tmp_path, 0, 4) for name in experts})
    start = time.process_time()
    assert [tensor.name for name in experts if (tensor := many.of(name))] == experts
    assert time.process_time() - start < 10  # a look at all names for each takes minutes


def test_why_weights_were_not_compared(model: Path, tmp_path: Path) -> None:
    """The reason is the one that holds."""

    def why(base: Path | str) -> str:
        return str(check_checkpoint(model, base=str(base)).uncompared)

    assert why("nobody/nothing") == "the base model is not on this machine"
    assert why(model) == "that is this folder itself"
    base = Path(shutil.copytree(model, tmp_path / "base"))
    weights = _weights(base)
    name = "model.layers.0.mlp.up_proj.weight"
    safetensors.save_file({**weights, name: weights[name].to(torch.float8_e4m3fn)}, base / "model.safetensors")
    assert why(base) == "1 tensors are stored as F8_E4M3"
    safetensors.save_file({f"{key}.other": value for key, value in weights.items()}, base / "model.safetensors")
    assert why(base) == "no tensor has its name and shape there"
    (base / "model.safetensors").unlink()
    torch.save({}, base / "pytorch_model.bin")
    assert why(base) == "the base model has no safetensors"
    # Embeddings of further tokens, behind those that have not changed.
    safetensors.save_file(weights, base / "model.safetensors")
    embedding = "model.embed_tokens.weight"
    longer = torch.cat([weights[embedding], torch.ones_like(weights[embedding][:3])])
    safetensors.save_file({**weights, embedding: longer}, model / "model.safetensors")
    assert why(base) == f"all that is there is the same, and 1 of {len(weights)} tensors have more or are new"
    longer[0, 0] += 1
    safetensors.save_file({**weights, embedding: longer}, model / "model.safetensors")
    assert check_checkpoint(model, base=str(base)).compared
