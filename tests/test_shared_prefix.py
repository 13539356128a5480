from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")

import transformers  # noqa: E402
from accelerate.hooks import AlignDevicesHook, add_hook_to_module  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from consistency.cli.evaluate import command_lines  # noqa: E402
from consistency.errors import InputError  # noqa: E402
from consistency.shared_prefix.compatibility import kernel_error  # noqa: E402
from consistency.shared_prefix.model import SharedPrefixLM  # noqa: E402
from consistency.support.resources import shipped  # noqa: E402

WORLD = Path(__file__).parents[1] / "consistency/world/base_model"
LONGEST = 96
SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2: dict[str, Any] = {
    "vocab_size": 300,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SERVED: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**SMALL, num_key_value_heads=2, tie_word_embeddings=True),
    "mistral": lambda: transformers.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=16),
    "qwen2": lambda: transformers.Qwen2Config(**SMALL, num_key_value_heads=2),
    "gemma": lambda: transformers.GemmaConfig(**SMALL, num_key_value_heads=1, head_dim=16),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **SMALL,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "gpt2": lambda: transformers.GPT2Config(**GPT2, n_positions=LONGEST),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SMALL),
}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "soft-capping": (
        lambda: transformers.Gemma2Config(**SMALL, num_key_value_heads=1, head_dim=16),
        "softcap",
    ),
    "attention sinks": (
        lambda: transformers.GptOssConfig(
            **SMALL, num_key_value_heads=2, head_dim=16, num_local_experts=2, num_experts_per_tok=2
        ),
        "s_aux",
    ),
    "ALiBi": (
        lambda: transformers.BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=4),
        "computes attention by itself",
    ),
    "state space": (
        lambda: transformers.MambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=2),
        "computes attention by itself",
    ),
    "convolution": (
        lambda: transformers.Lfm2Config(**SMALL, num_key_value_heads=2, layer_types=["conv", "full_attention"]),
        "layers of type conv",
    ),
    "rotary positions by length": (
        lambda: transformers.LlamaConfig(
            **SMALL, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
        ),
        "length of a batch",
    ),
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(WORLD)


def build(config: Any, seed: int = 0) -> Any:
    """A random model that tells tokens and orders apart: its matrices are ten times the usual size."""
    transformers.set_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.25)
    return model


def both(model: Any, tokenizer: Any, **arguments: Any) -> tuple[Any, Any]:
    common = {"pretrained": model, "tokenizer": tokenizer, "batch_size": 4, "max_length": LONGEST}
    return HFLM(**common), SharedPrefixLM(**common | arguments)


def encoded_requests(seed: int) -> list[tuple[tuple[str, str], list[int], list[int]]]:
    """Two tasks with examples, a task with one document, lone prompts, and prompts that are too long; in any order."""
    draw = random.Random(seed)

    def some(length: int) -> list[int]:
        return [draw.randrange(3, 300) for _ in range(length)]

    requests = []

    def ask(context: list[int], letters: bool) -> None:
        for _ in range(4):
            requests.append((("", ""), context, some(1 if letters else draw.randrange(1, 8))))

    for shots, questions in ((50, draw.randrange(2, 8)), (20, draw.randrange(2, 8)), (30, 1)):
        before = some(shots)
        for _ in range(questions):
            ask([*before, *some(draw.randrange(1, 25))], draw.random() < 0.5)
    ask(some(1), False)
    before = some(LONGEST - 10)
    for _ in range(2):
        ask([*before, *some(draw.randrange(20, 40))], draw.random() < 0.5)
    for _ in range(3):
        requests.append((("", ""), some(draw.randrange(1, 40)), some(draw.randrange(1, 5))))
    draw.shuffle(requests)
    return requests


def assert_equal(found: list[tuple[float, bool]], expected: list[tuple[float, bool]], within: float = 1e-4) -> None:
    assert len(found) == len(expected)
    assert max(abs(a[0] - b[0]) for a, b in zip(found, expected, strict=True)) <= within
    assert [item[1] for item in found] == [item[1] for item in expected]


@pytest.mark.parametrize("name", SERVED)
def test_logprobs_are_those_of_hf(name: str, tokenizer: Any) -> None:
    model = build(SERVED[name]())
    for seed in range(4):
        hf, ours = both(model, tokenizer, pass_tokens=(60, 150, 10_000)[seed % 3])
        requests = encoded_requests(seed)
        expected = hf._loglikelihood_tokens(requests, disable_tqdm=True)
        assert_equal(ours._loglikelihood_tokens(requests, disable_tqdm=True), expected)
        assert ours.why_unsupported is None
        assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_takes_hfs_path_and_says_so(
    name: str, tokenizer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, reason = REFUSED[name]
    hf, ours = both(build(config()), tokenizer)
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    requests = encoded_requests(0)
    assert ours._loglikelihood_tokens(requests, disable_tqdm=True) == hf._loglikelihood_tokens(
        requests, disable_tqdm=True
    )
    assert reason in str(ours.why_unsupported)
    assert f"{len(requests)} requests take lm_eval's own path: {ours.why_unsupported}" in caplog.text


def test_prompts_that_share_nothing_take_hfs_path_and_are_counted(
    tokenizer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf, ours = both(build(SERVED["llama"]()), tokenizer)
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    caplog.set_level(logging.INFO)
    requests = [(("", ""), [number, 5, 6], [7, 8]) for number in range(10, 20)]
    assert ours._loglikelihood_tokens(requests, disable_tqdm=True) == hf._loglikelihood_tokens(
        requests, disable_tqdm=True
    )
    assert "10 share nothing" in caplog.text


def test_a_batch_size_on_a_cpu_is_not_searched_for(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory runs out the system would kill the process."""
    hf, ours = both(build(SERVED["llama"]()), tokenizer, batch_size="auto")
    monkeypatch.setattr(HFLM, "_detect_batch_size", lambda *_: pytest.fail("lm_eval searched"))
    requests = encoded_requests(2)
    expected = hf._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=4)
    assert_equal(ours._loglikelihood_tokens(requests, disable_tqdm=True), expected)
    # 2³⁰ bytes of logits, 12 for each of 300 tokens of the vocabulary, over prompts of 96 tokens; lm_eval takes 64 at most.
    assert ours._detect_batch_size() == 64
    ours.forward.model.config.vocab_size = 300_000
    assert ours._detect_batch_size() == 2**30 // (12 * 300_000) // LONGEST
    assert ours._detect_batch_size([(("", ""), [5] * 20, [6] * 5)]) == 2**30 // (12 * 300_000) // 25
    ours.forward.model.config.vocab_size = 30_000_000
    assert ours._detect_batch_size() == 1


def test_memory_that_runs_out_halves_the_passes(tokenizer: Any) -> None:
    """As on a device that holds passes of 110 tokens."""
    hf, ours = both(build(SERVED["llama"]()), tokenizer)
    lengths: list[int] = []
    compute = ours.forward.logprobs

    def logprobs(row: Any, *rest: Any) -> Any:
        lengths.append(len(row.tokens))
        if len(row.tokens) > 110:
            raise torch.OutOfMemoryError("out of memory")
        return compute(row, *rest)

    assert ours.why_unsupported is None
    ours.forward.logprobs = logprobs
    requests = encoded_requests(5)
    expected = hf._loglikelihood_tokens(requests, disable_tqdm=True)
    assert_equal(ours._loglikelihood_tokens(requests, disable_tqdm=True), expected)
    assert max(lengths) > 110 >= lengths[-1]


@pytest.mark.parametrize("name", SERVED)
def test_of_a_spread_model_the_head_may_be_elsewhere(name: str, tokenizer: Any) -> None:
    """What picks the scored positions must not be a tensor, which accelerate would send to the first device."""
    model = build(SERVED[name]())
    hf, ours = both(model, tokenizer, pass_tokens=150)
    requests = encoded_requests(6)
    expected = hf._loglikelihood_tokens(requests, disable_tqdm=True)
    model.hf_device_map = {"model": "cpu", "lm_head": "cpu:1"}
    add_hook_to_module(model, AlignDevicesHook("cpu", io_same_device=True))
    seen = []
    forward = model._old_forward

    def watched(*arguments: Any, **given: Any) -> Any:
        seen.append(type(given.get("logits_to_keep")))
        return forward(*arguments, **given)

    model._old_forward = watched
    assert_equal(ours._loglikelihood_tokens(requests, disable_tqdm=True), expected)
    assert ours.why_unsupported is None
    assert list in seen
    assert torch.Tensor not in seen


def test_devices_are_those_of_the_layers_once_each(tokenizer: Any) -> None:
    _, ours = both(build(SERVED["llama"]()), tokenizer)
    assert ours.forward.devices == [torch.device("cpu", 0)]
    ours.forward.device = torch.device("cuda")
    ours.model.hf_device_map = {"a": "cuda:0", "b": "cuda:1", "c": "cpu", "d": "disk", "e": torch.device("cuda", 1)}
    assert ours.forward.devices == [torch.device("cuda", 0), torch.device("cuda", 1)]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_spread_over_two_gpus_is_served(dtype: str, tokenizer: Any, tmp_path: Path) -> None:
    build(SERVED["llama"]()).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    common = {"pretrained": str(tmp_path), "dtype": dtype, "batch_size": 4, "max_length": LONGEST}
    one, two = SharedPrefixLM(**common), SharedPrefixLM(**common, parallelize=True)
    requests = encoded_requests(7)
    expected = one._loglikelihood_tokens(requests, disable_tqdm=True)
    found = two._loglikelihood_tokens(requests, disable_tqdm=True)
    assert two.why_unsupported is None
    assert len(two.forward.devices) == 2
    assert max(abs(a[0] - b[0]) for a, b in zip(found, expected, strict=True)) <= 1e-4


def test_adapters_are_applied(tokenizer: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    folder = tmp_path / "base"
    build(SERVED["llama"]()).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.set_seed(1)
    adapted = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(folder),
        peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, target_modules=["q_proj", "v_proj"]),
    )
    adapted.save_pretrained(tmp_path / "lora")
    requests = encoded_requests(2)
    common = {"tokenizer": str(folder), "batch_size": 4, "device": "cpu", "dtype": "float32"}
    plain = HFLM(pretrained=str(folder), **common)
    # lm_eval resizes the vocabulary of a model with an adapter to its tokenizer's.
    hf, ours = (kind(pretrained=str(folder), peft=str(tmp_path / "lora"), **common) for kind in (HFLM, SharedPrefixLM))
    expected = hf._loglikelihood_tokens(requests, disable_tqdm=True)
    assert_equal(ours._loglikelihood_tokens(requests, disable_tqdm=True), expected)
    assert ours.why_unsupported is None
    unadapted = plain._loglikelihood_tokens(requests, disable_tqdm=True)
    assert max(abs(a[0] - b[0]) for a, b in zip(expected, unadapted, strict=True)) > 0.1


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
@pytest.mark.parametrize("add_bos_token", [None, True, False])
def test_strings_have_the_logprobs_that_hf_gives_them(
    kind: str, add_bos_token: bool | None, build_llama: Callable[[str], Path]
) -> None:
    common = {"pretrained": str(build_llama(kind)), "device": "cpu", "dtype": "float32", "add_bos_token": add_bos_token}
    hf, ours = HFLM(**common), SharedPrefixLM(**common)
    shots = "Which is it?\nA. one\nB. two\nAnswer: B\n\n"
    asked = [
        *((f"{shots}{question}\nAnswer:", f" {letter}") for question in ("Why?", "é—x ") for letter in "ABCD"),
        ("A chat. ASSISTANT: ", "A"),
        ("A chat. ASSISTANT: ", "because of it"),
        ("<s>It begins", " here"),
        ("", "alone"),
        (shots, "."),
    ]
    requests = [SimpleNamespace(args=pair) for pair in asked]
    expected = hf.loglikelihood(requests, disable_tqdm=True)
    assert_equal(ours.loglikelihood(requests, disable_tqdm=True), expected)


@pytest.fixture(scope="module")
def evaluate() -> Callable[..., Any]:
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(shipped("lm_eval_tasks")), include_defaults=False)

    def run(model: str, tasks: list[str], **arguments: Any) -> dict[str, list[Any]]:
        result = lm_eval.simple_evaluate(
            model=model,
            model_args={"pretrained": str(WORLD), "dtype": "float32"},
            tasks=tasks,
            task_manager=manager,
            device="cpu",
            batch_size=8,
            limit=20,
            bootstrap_iters=0,
            **arguments,
        )
        samples: dict[str, list[Any]] = result["samples"]
        return samples

    return run


@pytest.mark.parametrize("style", ["icl", "ift"])
def test_simple_evaluate_finds_the_model(style: str, evaluate: Callable[..., Any]) -> None:
    tasks = [f"consistency_world_{field}_{style}" for field in ("medicine", "history")]
    expected, found = (evaluate(model, tasks) for model in ("hf", "hf-shared-prefix"))
    for task in tasks:
        for ours, theirs in zip(found[task], expected[task], strict=True):
            for mine, other in zip(ours["filtered_resps"], theirs["filtered_resps"], strict=True):
                assert abs(float(mine[0]) - float(other[0])) < 1e-4
            assert ours["acc"] == theirs["acc"]


def test_cached_answers_are_used_again(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    tasks = ["consistency_world_medicine_icl"]
    first, second = (evaluate("hf-shared-prefix", tasks, use_cache=str(tmp_path / "cache")) for _ in range(2))
    assert [sample["resps"] for sample in first[tasks[0]]] == [sample["resps"] for sample in second[tasks[0]]]


def test_the_command_evaluates_several_checkpoints(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(WORLD)
    command = [sys.executable, "-m", "consistency.cli", "eval", "--model_args", f"pretrained={WORLD},dtype=float32"]
    command += ["--tasks", "consistency_world_medicine_icl", "--device", "cpu", "--limit", "3", "--also", str(other)]
    command += ["--log_samples", "--output_path", str(tmp_path / "logs")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "12 requests stand behind 1 shared prefixes" in done.stderr
    results = [json.loads(path.read_text()) for path in (tmp_path / "logs").rglob("results_*.json")]
    assert sorted(result["config"]["model_args"]["pretrained"] for result in results) == sorted(
        [str(WORLD), str(other)]
    )
    assert {result["config"]["model"] for result in results} == {"hf-shared-prefix"}


def test_the_entry_point_names_the_registered_model() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entry = EntryPoint(
        "hf-shared-prefix", project["entry-points"]["lm_eval.models"]["hf-shared-prefix"], "lm_eval.models"
    )
    assert entry.load() is SharedPrefixLM
    assert get_model("hf-shared-prefix") is SharedPrefixLM


def test_what_the_user_says_is_not_preset(tmp_path: Path) -> None:
    tasks = ["--include_path", str(shipped("lm_eval_tasks"))]
    assert command_lines(["--model_args", "pretrained=a"]) == [
        ["--model", "hf-shared-prefix", *tasks, "--model_args", "pretrained=a"]
    ]
    assert command_lines(["--model=hf"]) == [[*tasks, "--model=hf"]]
    config = tmp_path / "run.yaml"
    config.write_text("model: hf\ninclude_path: mine\n")
    assert command_lines(["--config", str(config)]) == [["--config", str(config)]]
    with pytest.raises(InputError, match=r"nothing\.yaml: cannot be read"):
        command_lines(["--config", str(tmp_path / "nothing.yaml")])


@pytest.mark.parametrize("heads", [(9, 3, 64), (4, 4, 32), (8, 1, 128)])
@pytest.mark.parametrize(("dtype", "within"), [("float32", 1e-5), ("float16", 5e-3), ("bfloat16", 4e-2)])
@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
)
def test_kernels_agree_with_a_softmax_in_float64(
    device: str, dtype: str, within: float, heads: tuple[int, int, int]
) -> None:
    assert kernel_error(torch.device(device), getattr(torch, dtype), *heads) <= within


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", SERVED)
def test_cuda_is_as_near_to_float32_as_hf_is(name: str, dtype: str, tokenizer: Any) -> None:
    model = build(SERVED[name]())
    requests = encoded_requests(3)
    exact = both(model, tokenizer)[0]._loglikelihood_tokens(requests, disable_tqdm=True)
    hf, ours = both(model.to("cuda", getattr(torch, dtype)), tokenizer, pass_tokens=150)
    theirs, mine = (lm._loglikelihood_tokens(requests, disable_tqdm=True) for lm in (hf, ours))
    assert ours.why_unsupported is None
    if dtype == "float32":
        assert_equal(mine, theirs, 1e-3)
        return

    def distance(answers: list[tuple[float, bool]]) -> float:
        return float(sum((a[0] - b[0]) ** 2 for a, b in zip(answers, exact, strict=True)) / len(exact)) ** 0.5

    assert distance(mine) <= 1.1 * distance(theirs)
