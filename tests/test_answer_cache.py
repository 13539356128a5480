"""One path for `--use_cache`, many models: whose answers a cache gives, against lm_eval's own `hf` without a cache."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
lm_eval = pytest.importorskip("lm_eval")

import transformers  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402
from lm_eval.caching import cache as request_cache  # noqa: E402
from lm_eval.tasks import TaskManager, get_task_dict  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from consistency.errors import InputError  # noqa: E402
from consistency.shared_prefix.answer_cache import AnswerCache, _code, answers_key, request_key  # noqa: E402
from consistency.shared_prefix.harness import prepared_harness  # noqa: E402
from consistency.shared_prefix.model import SharedPrefixLM  # noqa: E402

TASK = "letters_of_a_cache"
TEMPLATE = "{% for m in messages %}[MARK{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"


@pytest.fixture(autouse=True)
def no_inventory(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm_eval lists all installed packages in each log, which takes seconds."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda storage: None)


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("task")
    rows = [
        {
            "question": f"Which city {'by the old river ' * (n % 5)}is number {n}?",
            "answer": n % 4,
            "category": ("law", "math")[n % 2],
        }
        for n in range(10)
    ]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"test": str(folder / "q.jsonl"), "dev": str(folder / "q.jsonl")}
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "fewshot_split": "dev",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}\nAnswer:",
        "doc_to_choice": ["A", "B", "C", "D"],
        "doc_to_target": "{{answer}}",
        "num_fewshot": 3,
        "metric_list": [{"metric": "acc"}],
        "metadata": {"version": 1},
    }
    (folder / "task.yaml").write_text(json.dumps(task))
    return TaskManager(include_path=str(folder), include_defaults=False)


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Path:
    """A folder of a model that a test may change."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama, folder)
    retrain(folder, 0)
    return folder


def retrain(folder: Path, seed: int) -> None:
    """Other weights in the same files, of the same size and with the same time of change."""
    path = folder / "model.safetensors"
    before = path.stat()
    torch.manual_seed(seed)
    weights = {name: 0.3 * torch.randn_like(value) for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def plain(manager: Any, model: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    """lm_eval as it is."""
    found: dict[str, Any] = lm_eval.simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=[TASK],
        task_manager=manager,
        device="cpu",
        batch_size=4,
        bootstrap_iters=0,
        **more,
    )
    return found


def ours(manager: Any, model: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    """lm_eval as `consistency eval` runs it."""
    with prepared_harness({"model": model, "model_args": arguments}):
        return plain(manager, model, arguments, **more)


def scores(result: dict[str, Any]) -> Any:
    return torch.tensor([[float(answer[0]) for answer in row["filtered_resps"]] for row in result["samples"][TASK]])


def test_each_checkpoint_has_its_own_answers(manager: Any, model: Path, tmp_path: Path) -> None:
    """The next model, weights that changed in place, a type, a window, an adapter: all with one path."""
    peft = pytest.importorskip("peft")
    cache = str(tmp_path / "cache" / "answers")
    other, adapter = tmp_path / "other", tmp_path / "adapter"
    shutil.copytree(model, other)
    retrain(other, 1)
    base = transformers.AutoModelForCausalLM.from_pretrained(model)
    lora = peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    peft.get_peft_model(base, lora).save_pretrained(adapter)
    arguments = {"pretrained": str(model), "dtype": "float32"}
    variants: list[tuple[str, dict[str, Any]]] = [
        ("hf-shared-prefix", arguments),
        ("hf-shared-prefix", {**arguments, "pretrained": str(other)}),
        ("hf-shared-prefix", {**arguments, "max_length": 24}),
        ("hf-shared-prefix", {**arguments, "add_bos_token": False}),
        ("hf-shared-prefix", {**arguments, "peft": str(adapter)}),
        ("hf", {**arguments, "dtype": "bfloat16"}),
    ]
    expected = []
    for number, (kind, given) in enumerate(variants, 1):
        found = scores(ours(manager, kind, given, use_cache=cache))
        expected.append(scores(plain(manager, "hf", given)))
        assert (found - expected[-1]).abs().max() <= 1e-4
        assert len(list((tmp_path / "cache").glob("answers.*_rank0.db"))) == number
    assert all((one - two).abs().max() > 1e-3 for place, one in enumerate(expected) for two in expected[place + 1 :])
    retrain(model, 2)
    found = scores(ours(manager, *variants[0], use_cache=cache))
    assert (found - scores(plain(manager, "hf", arguments))).abs().max() <= 1e-4
    assert (found - expected[0]).abs().max() > 1e-3


def test_a_copy_of_the_model_elsewhere_is_not_asked_again(
    manager: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, arguments = str(tmp_path / "answers"), {"pretrained": str(model), "dtype": "float32"}
    first = ours(manager, "hf-shared-prefix", arguments, use_cache=cache)
    (file,) = tmp_path.glob("answers.*_rank0.db")
    assert first["config"]["answer_cache"] == str(file)
    shutil.copytree(model, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SharedPrefixLM, "loglikelihood", lambda *_, **__: pytest.fail("the model was asked"))
    again = ours(manager, "hf-shared-prefix", {**arguments, "pretrained": "copy"}, use_cache="answers")
    assert (scores(again) == scores(first)).all()


@pytest.mark.parametrize("kind", ["hf", "hf-shared-prefix"])
def test_a_run_that_was_killed_goes_on(
    kind: str, manager: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that are there are not computed again, and prompts that were cut are counted all the same."""
    cache = str(tmp_path / "answers")
    arguments = {"pretrained": str(model), "dtype": "float32", "max_length": 160}
    whole = ours(manager, kind, arguments)
    assert 0 < whole["config"]["truncated_prompts"][TASK]["cut"] < 10

    class Killed(BaseException):
        pass

    add, left = lm_eval.api.model.CacheHook.add_partial, [7]

    def add_partial(self: Any, *given: Any) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        add(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(lm_eval.api.model.CacheHook, "add_partial", add_partial)
        with pytest.raises(Killed):
            ours(manager, kind, arguments, use_cache=cache)
    asked: list[int] = []
    answer = get_model(kind).loglikelihood
    monkeypatch.setattr(
        get_model(kind), "loglikelihood", lambda self, r, **k: asked.append(len(r)) or answer(self, r, **k)
    )
    resumed = ours(manager, kind, arguments, use_cache=cache)
    assert asked[0] == 40 - 7
    assert (scores(resumed) - scores(whole)).abs().max() <= 1e-5
    assert resumed["config"]["truncated_prompts"] == whole["config"]["truncated_prompts"]


def test_lm_eval_itself_is_refused_another_models_cache(manager: Any, model: Path, tmp_path: Path) -> None:
    cache, arguments = str(tmp_path / "answers"), {"pretrained": str(model), "dtype": "float32"}
    first, again = (plain(manager, "hf-shared-prefix", arguments, use_cache=cache) for _ in range(2))
    assert (scores(first) == scores(again)).all()
    with pytest.raises(InputError, match=r"answers_rank0\.db: this cache holds the answers of another model"):
        plain(manager, "hf-shared-prefix", {**arguments, "max_length": 60}, use_cache=cache)
    # A cache that lm_eval's hf wrote says nothing of its model.
    plain(manager, "hf", arguments, use_cache=str(tmp_path / "theirs"))
    with pytest.raises(InputError, match="it does not say which"):
        plain(manager, "hf-shared-prefix", arguments, use_cache=str(tmp_path / "theirs"))


def test_models_whose_weights_cannot_be_seen_are_told_apart_by_their_arguments(tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"1")
    lm = get_model("dummy")()

    def key(**arguments: Any) -> str:
        return answers_key(lm, {"model": "dummy", "model_args": {"model": "a", "path": str(weights), **arguments}})

    first = key()
    assert key(num_concurrent=8, api_key="secret") == first
    assert len({first, key(model="b"), key(base_url="http://localhost:1")}) == 3
    weights.write_bytes(b"12")
    assert key() != first


def test_texts_that_are_drawn_are_drawn_again(model: Path, tmp_path: Path) -> None:
    """By a temperature alone, as `lm_eval run --help` shows it; greedy ones beside them are kept."""
    lm = SharedPrefixLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=4)
    settings = ({"temperature": 1.0}, {"temperature": 0.0}, {"do_sample": True, "temperature": 1.0})
    requests = [
        Instance("generate_until", {}, (f"City {n}?", {"max_gen_toks": 6, "until": ["?"], **setting}), n)
        for n in range(2)
        for setting in settings
    ]

    def texts(model: Any, seed: int) -> list[str]:
        torch.manual_seed(seed)
        found: list[str] = model.generate_until(requests)
        return found

    alone = [[texts(lm, seed)[place] for place in (1, 4)] for seed in (1, 2)]
    assert alone[0] == alone[1]
    cached = AnswerCache(lm, str(tmp_path / "answers_rank0.db"), {})
    first, second, again = (texts(cached, seed) for seed in (1, 2, 2))
    assert [first[place] for place in (1, 4)] == [second[place] for place in (1, 4)] == alone[0]
    assert all(first[place] != second[place] for place in (0, 2, 3, 5))
    assert second == again


@pytest.mark.parametrize(
    "asked", ["doc_to_text: !function utils.ask", "doc_to_text: Q\nfewshot_config: {doc_to_text: !function utils.ask}"]
)
def test_cached_prompts_know_what_a_function_of_a_task_calls(asked: str, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(
        f"task: {TASK}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path}/q.jsonl}}}}\ntest_split: test\n"
        f"output_type: multiple_choice\n{asked}\ndoc_to_choice: [A, B]\ndoc_to_target: answer\n"
    )
    (tmp_path / "q.jsonl").write_text('{"question": "One?", "answer": 0}\n')

    def key(word: str) -> str:
        (tmp_path / "utils.py").write_text(
            f"def begin():\n    return '{word}'\n\ndef ask(doc):\n    return begin() + doc['question']\n"
        )
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
        task = get_task_dict([TASK], manager)[TASK]
        task.set_fewshot_seed(1234)
        return request_key(task, {})

    assert key("Q: ") == key("Q: ") != key("Say: ")


CALLABLES = """
from functools import lru_cache, partial

def begin():
    return "{word}"

def ask(doc, *more, **named):
    return begin() + doc["question"]

class Asks:
    def __init__(self, how, *table):
        self.how, self.table, self.itself = how, dict(table), self
    def __call__(self, doc):
        return self.how + begin()
    def loud(self, doc):
        return self(doc).upper()

class AlsoAsks(Asks):
    pass

def made(how):
    return lambda doc: how + begin()

plain = ask
cached = lru_cache(ask)
one, other = partial(ask, how="one"), partial(ask, how="other")
nested, nested_other = partial(partial(ask, "a"), how="one"), partial(partial(ask, "b"), how="one")
called, called_other = Asks("a", (("x", 1), "y"), (2, "z")), Asks("b")
inherited = AlsoAsks("a")
bound, bound_other = called.loud, called_other.loud
of_instance, of_class = partial(called, how="one"), partial(Asks, "a")
closed, closed_other = made("a"), made("b")
first, second = lambda doc: "a" + begin(), lambda doc: "b" + begin()
"""

NAMES = (
    "plain cached one other nested nested_other called called_other inherited bound bound_other of_instance of_class closed "
    "closed_other first second"
).split()


def loaded(path: Path) -> Any:
    """The module of a file, with functions at new places in memory."""
    spec = importlib.util.spec_from_file_location("utils", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("place", ["doc_to_text", "fewshot_config"])
def test_cached_prompts_are_found_again_whatever_kind_of_callable_makes_them(
    place: str, manager: Any, tmp_path: Path
) -> None:
    """Each callable has a key of its own, the same when its file is read again, and another when what it calls changes."""
    task = get_task_dict([TASK], manager)[TASK]
    task.set_fewshot_seed(1234)
    path, modules = tmp_path / "utils.py", []

    def keys(word: str) -> dict[str, str]:
        path.write_text(CALLABLES.replace("{word}", word))
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        modules.append(loaded(path))
        found = {}
        for name in NAMES:
            value = getattr(modules[-1], name)
            setattr(task.config, place, {"doc_to_text": value} if place == "fewshot_config" else value)
            found[name] = request_key(task, {})
        return found

    first, again, changed = keys("Q: "), keys("Q: "), keys("S: ")
    assert first == again
    assert len({*first.values(), *changed.values()}) == 2 * len(first)


def test_cached_prompts_of_a_task_of_the_harness_made_by_partials_are_found_again(manager: Any) -> None:
    task = get_task_dict([TASK], manager)[TASK]
    task.set_fewshot_seed(1234)
    modules = [loaded(Path(lm_eval.__file__).parent / "tasks" / "mmlu_pro" / "utils.py") for _ in range(2)]
    keys = []
    for module in modules:
        task.config.doc_to_text = module.doc_to_text
        for process in (module.process_law, module.process_math):
            task.config.process_docs = process
            keys.append(request_key(task, {}))
    assert keys[:2] == keys[2:]
    assert keys[0] != keys[1]


def test_the_code_of_a_model_is_also_what_its_classes_inherit(tmp_path: Path) -> None:
    """From a folder of its own, through a decorated method and a property."""
    for name, text in {"base": "x = 1", "model": "y = 1"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "more.py").write_text(text)
    (tmp_path / "base" / "own.py").write_text("class Base:\n    @property\n    def size(self):\n        return 1\n")
    base = loaded(tmp_path / "base" / "own.py").Base
    (tmp_path / "model" / "own.py").write_text(
        "def of(base):\n    return type('Model', (base,), {'__call__': lambda self: 1})\n"
    )
    model = loaded(tmp_path / "model" / "own.py").of(base)
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.rglob("*.py")]
    assert _code([model]) == _code([partial(model())]) == sorted(expected)


def test_cached_prompts_are_those_of_the_model(
    manager: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chat template that changed in its folder, or an argument of the template: other prompts."""
    monkeypatch.setattr(request_cache, "PATH", str(tmp_path / "requests"))

    def use(text: str) -> None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        tokenizer.chat_template = text
        tokenizer.save_pretrained(model)

    def prompts(run: Callable[..., dict[str, Any]], cached: bool, **more: Any) -> list[str]:
        found = run(
            manager,
            "hf-shared-prefix",
            {"pretrained": str(model), "dtype": "float32", **more},
            apply_chat_template=True,
            cache_requests=cached,
            limit=2,
        )
        return [row["arguments"][0][0] for row in found["samples"][TASK]]

    seen = []
    quick = TEMPLATE + "{{ 'think' if enable_thinking else 'quick' }}"
    for text, more in (
        (TEMPLATE, {}),
        (quick, {"enable_thinking": True, "think_end_token": "</think>"}),
        (quick, {"enable_thinking": False}),
    ):
        use(text)
        expected = prompts(plain, False, **more)
        assert prompts(ours, True, **more) == expected
        seen.append(expected)
    assert prompts(ours, True, **more) == expected
    assert len({tuple(item) for item in seen}) == 3
    assert len(list((tmp_path / "requests").iterdir())) == 3
