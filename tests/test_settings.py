"""The audit of settings: of each setting changed alone exactly that one is named; what a log lacks is unknown; cached numbers."""

import copy
import json
import math
from pathlib import Path

import pytest

from consistency.comparison.compare import compare
from consistency.comparison.settings import SETTINGS
from consistency.errors import InputError
from consistency.logs.run_config import RunConfig
from consistency.logs.settings import model_arguments
from consistency.logs.task_settings import read_values
from consistency.report.pair.github import to_markdown
from consistency.report.pair.report import write_comparison
from consistency.support.json_files import DEEPEST

DATE = "2026-01-02T03-04-05.678901"
MULTIPLE, GENERATED = "mmlu_anatomy", "gsm8k"
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
SOURCE = "def process_docs(dataset):\n    return dataset.map(lambda doc: doc)\n"
ENVIRONMENT = """PyTorch version: 2.10.0+cu128
Is debug build: False
CUDA used to build PyTorch: 12.8
Python version: 3.12.13
GPU models and configuration:
GPU 0: NVIDIA H100
Nvidia driver version: 580.159.04
Model name:                              Intel(R) Xeon(R) CPU
"""


def task_config(task: str, **more: object) -> dict:
    """A task's configuration as lm_eval 0.4.11 writes it: null keys left out, the task's own values repeated for the shots."""
    config = {
        "task": task,
        "dataset_path": "cais/mmlu",
        "dataset_name": "anatomy",
        "dataset_kwargs": {"revision": "aaaa"},
        "test_split": "test",
        "fewshot_split": "dev",
        "doc_to_text": "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nAnswer:",
        "doc_to_target": "answer",
        "unsafe_code": False,
        "description": "The following are multiple choice questions (with answers) about anatomy.\n\n",
        "target_delimiter": " ",
        "fewshot_delimiter": "\n\n",
        "num_fewshot": 5,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "output_type": "multiple_choice",
        "repeats": 1,
        "should_decontaminate": False,
        "metadata": {"version": 1.0, "pretrained": "org/base", "config_source": "/home/a/mmlu.yaml"},
        **more,
    }
    repeated = (
        "doc_to_text",
        "doc_to_target",
        "doc_to_choice",
        "fewshot_delimiter",
        "target_delimiter",
        "process_docs",
    )
    config["fewshot_config"] = {
        "sampler": "first_n",
        "split": config["fewshot_split"],
        "fewshot_indices": None,
        "samples": None,
        "gen_prefix": None,
        **{key: config.get(key) for key in repeated},
    }
    return config


def results() -> dict:
    """A results file of lm_eval 0.4.11 with a task with options and one that generates."""
    generation = {"until": ["Question:", "</s>"], "do_sample": False, "temperature": 0.0}
    strict = [{"name": "strict", "filter": [{"function": "regex", "regex_pattern": "#### (-?[0-9.]+)"}]}]
    return {
        "results": {MULTIPLE: {"acc,none": 0.5}, GENERATED: {"exact_match,strict": 0.5}},
        "configs": {
            MULTIPLE: task_config(MULTIPLE, doc_to_choice=["A", "B"]),
            GENERATED: task_config(
                GENERATED, output_type="generate_until", generation_kwargs=generation, filter_list=strict
            ),
        },
        "versions": {MULTIPLE: 1.0, GENERATED: 3.0},
        "n-shot": {MULTIPLE: 5, GENERATED: 5},
        "n-samples": {task: {"original": 12, "effective": 12} for task in (MULTIPLE, GENERATED)},
        "config": {
            "model": "hf",
            "model_args": "pretrained=org/base,dtype=bfloat16,attn_implementation=sdpa",
            "model_num_parameters": 1543714304,
            "model_dtype": "torch.bfloat16",
            "model_revision": "main",
            "model_sha": "0123",
            "batch_size": "auto",
            "batch_sizes": [32],
            "device": "cuda:0",
            "use_cache": None,
            "limit": None,
            "bootstrap_iters": 100000,
            "gen_kwargs": {},
            "random_seed": 0,
            "numpy_seed": 1234,
            "torch_seed": 1234,
            "fewshot_seed": 1234,
        },
        "git_hash": "abc",
        "date": 1783968649.6,
        "pretty_env_info": ENVIRONMENT,
        "transformers_version": "5.0.0",
        "lm_eval_version": "0.4.11",
        "tokenizer_pad_token": ["<pad>", "0"],
        "tokenizer_eos_token": ["</s>", "2"],
        "tokenizer_bos_token": ["<s>", "1"],
        "eot_token_id": 2,
        "max_length": 32768,
        "task_hashes": {},
        "model_source": "hf",
        "model_name": "org/base",
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": True,
        "chat_template": TEMPLATE,
        "chat_template_sha": "cd8e",
        "start_time": 1.0,
        "total_evaluation_time_seconds": "103.6",
    }


def samples(content: dict, *, prompts: str = "p", shift: float = 0.0) -> dict[str, list[dict]]:
    rows: dict[str, list[dict]] = {MULTIPLE: [], GENERATED: []}
    for i in range(12):
        same = {"doc_id": i, "target": "0", "prompt_hash": f"{prompts}{i}", "target_hash": "t"}
        options = [[str(-0.1 - i / 7 - shift), "True"], [str(-0.9 - i / 5), "False"]]
        rows[MULTIPLE].append(
            same
            | {"doc": {"question": f"{i}?", "choices": ["x", "y"], "answer": 0}, "doc_hash": f"m{i}", "filter": "none"}
            | {"arguments": {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {c}"} for o, c in enumerate("AB")}}
            | {"filtered_resps": options, "metrics": ["acc"], "acc": 1.0}
        )
        rows[GENERATED].append(
            same
            | {"doc": {"question": f"{i}?"}, "doc_hash": f"g{i}", "filter": "strict"}
            | {"arguments": {"gen_args_0": {"arg_0": "…", "arg_1": {"until": ["\n"]}}}}
            | {"resps": [["4"]], "filtered_resps": ["4"], "metrics": ["exact_match"], "exact_match": float(i % 2)}
        )
    return {task: found for task, found in rows.items() if task in content["results"]}


def write(folder: Path, content: dict, **changed: object) -> Path:
    folder.mkdir(parents=True)
    (folder / f"results_{DATE}.json").write_text(json.dumps(content))
    for task, rows in samples(content, **changed).items():
        (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def compared(tmp_path: Path, before: dict, after: dict, **changed: object):
    changed = {"prompts": "q", "shift": 0.01} | changed
    return compare(write(tmp_path / "a", before), write(tmp_path / "b", after, **changed))


def edited(edits: dict[str, object]) -> dict:
    """The results file with other values at paths such as `config/limit`; `*` is every task."""
    content = results()
    for path, value in edits.items():
        for task in (MULTIPLE, GENERATED) if "*" in path else ("",):
            *where, key = path.replace("*", task).split("/")
            place = content
            for step in where:
                place = place.setdefault(step, {})
            place[key] = copy.deepcopy(value)
    return content


def arguments(more: str) -> dict[str, object]:
    return {"config/model_args": f"pretrained=org/base,dtype=bfloat16,attn_implementation=sdpa,{more}"}


# What is changed, the setting that is named, its kind, and both values where they are worth a check.
CHANGES: list[tuple[dict[str, object], str, str, tuple[str, str] | None]] = [
    ({"n-shot/*": 0, "configs/*/num_fewshot": 0}, "few-shot", "prompts", ("5", "0")),
    ({"chat_template": None, "chat_template_sha": None}, "chat template", "prompts", ("yes", "no")),
    ({"chat_template": "{{ messages }}", "chat_template_sha": "ab"}, "chat template", "prompts", None),
    ({"system_instruction": "Be brief.", "system_instruction_sha": "e"}, "system instruction", "prompts", None),
    ({"fewshot_as_multiturn": False}, "fewshot_as_multiturn", "prompts", ("true", "false")),
    ({"configs/*/doc_to_text": "{{question}}", "configs/*/fewshot_config/doc_to_text": "{{question}}"},
     "doc_to_text", "prompts", None),
    ({"configs/*/description": ""}, "description", "prompts", None),
    ({"configs/*/gen_prefix": "So", "configs/*/fewshot_config/gen_prefix": "So"}, "gen_prefix", "prompts", ("none", "So")),
    ({"configs/*/fewshot_split": "train", "configs/*/fewshot_config/split": "train"}, "fewshot_split", "prompts", None),
    ({"configs/*/fewshot_config/sampler": "default"}, "fewshot_config.sampler", "prompts", ("first_n", "default")),
    ({"configs/*/fewshot_config/doc_to_text": "{{question}} ?"}, "fewshot_config.doc_to_text", "prompts", None),
    ({"configs/*/fewshot_delimiter": "\n", "configs/*/fewshot_config/fewshot_delimiter": "\n"},
     "fewshot_delimiter", "prompts", (r'"\n\n"', r'"\n"')),
    ({"config/fewshot_seed": 42}, "fewshot_seed", "prompts", ("1234", "42")),
    (arguments("add_bos_token=True"), "model_args.add_bos_token", "prompts", ("none", "true")),
    (arguments("enable_thinking=False"), "model_args.enable_thinking", "prompts", ("none", "false")),
    (arguments('chat_template_args={"a": 1, "b": 2}'), "model_args.chat_template_args", "prompts", None),
    ({"configs/*/dataset_path": "hails/mmlu_no_train"}, "dataset_path", "questions", None),
    ({"configs/*/dataset_name": "anatomy2"}, "dataset_name", "questions", ("anatomy", "anatomy2")),
    ({"configs/*/dataset_kwargs": {"revision": "bbbb"}}, "dataset_kwargs.revision", "questions", ("aaaa", "bbbb")),
    ({"configs/*/test_split": "validation"}, "test_split", "questions", ("test", "validation")),
    ({"configs/*/process_docs": SOURCE, "configs/*/fewshot_config/process_docs": "<function process_docs at 0x7f01>"},
     "process_docs", "questions", None),
    ({"configs/*/metadata/max_seq_lengths": [4096]}, "metadata.max_seq_lengths", "questions", ("none", "[4096]")),
    ({"config/limit": 100.0}, "limit", "questions", ("none", "100")),
    ({"versions/*": 9}, "task version", "tasks", None),
    ({"config/model": "vllm", "model_source": "vllm"}, "backend", "scoring", ("hf", "vllm")),
    ({"configs/*/doc_to_choice": ["a", "b"], "configs/*/fewshot_config/doc_to_choice": ["a", "b"]},
     "doc_to_choice", "scoring", None),
    ({"configs/*/target_delimiter": "", "configs/*/fewshot_config/target_delimiter": ""},
     "target_delimiter", "scoring", ('" "', '""')),
    ({"configs/*/doc_to_target": "label", "configs/*/fewshot_config/doc_to_target": "label"},
     "doc_to_target", "scoring", ("answer", "label")),
    ({"configs/*/process_results": "def process_results(doc, results):\n    return {}\n"},
     "process_results", "scoring", None),
    ({"configs/*/filter_list": [{"name": "x", "filter": [{"function": "take_first"}]}]}, "filter_list", "scoring", None),
    ({"configs/*/metric_list": [{"metric": "acc_norm"}]}, "metric_list", "scoring", None),
    ({"configs/*/repeats": 8}, "repeats", "scoring", ("1", "8")),
    ({"configs/*/output_type": "loglikelihood"}, "output_type", "scoring", None),
    ({"configs/gsm8k/generation_kwargs/max_gen_toks": 64, "config/gen_kwargs": {"max_gen_toks": 64}},
     "generation_kwargs.max_gen_toks", "scoring", ("none", "64")),
    ({"configs/gsm8k/generation_kwargs/temperature": 0.7}, "generation_kwargs.temperature", "scoring", ("none", "0.7")),
    ({"configs/gsm8k/generation_kwargs/until": ["\n"]}, "generation_kwargs.until", "scoring", None),
    (arguments("max_gen_toks=64"), "model_args.max_gen_toks", "scoring", ("none", "64")),
    (arguments("think_end_token=</think>"), "model_args.think_end_token", "scoring", None),
    ({"tokenizer_eos_token": ["<|im_end|>", "7"], "eot_token_id": 7}, "EOS token", "scoring", ("</s>", "<|im_end|>")),
    (arguments("max_length=2048") | {"max_length": 2048}, "max_length", "tokens", ("32768", "2048")),
    (arguments("tokenizer=org/other"), "model_args.tokenizer", "tokens", ("none", "org/other")),
    (arguments("truncation=True"), "model_args.truncation", "tokens", ("none", "true")),
    ({"tokenizer_bos_token": [None, "None"]}, "BOS token", "tokens", ("<s>", "none")),
    ({"tokenizer_pad_token": ["</s>", "2"]}, "pad token", "tokens", ("<pad>", "</s>")),
    (arguments("load_in_4bit=True"), "model_args.load_in_4bit", "numerics", ("none", "true")),
    ({"config/model_args": "pretrained=org/base,dtype=float16,attn_implementation=sdpa",
      "config/model_dtype": "torch.float16"}, "dtype", "numerics", ("bfloat16", "float16")),
    ({"config/model_args": "pretrained=org/base,dtype=bfloat16,attn_implementation=eager"},
     "model_args.attn_implementation", "numerics", ("sdpa", "eager")),
    (arguments("parallelize=True"), "model_args.parallelize", "numerics", None),
    (arguments("trust_remote_code=True"), "model_args.trust_remote_code", "numerics", None),
    (arguments("tensor_parallel_size=2"), "model_args.tensor_parallel_size", "numerics", ("none", "2")),
    (arguments("gpu_memory_utilization=0.5"), "model_args.gpu_memory_utilization", "numerics", ("none", "0.5")),
    ({"lm_eval_version": "0.4.13"}, "lm_eval", "numerics", ("0.4.11", "0.4.13")),
    ({"transformers_version": "4.57.0"}, "transformers", "numerics", ("5.0.0", "4.57.0")),
    ({"pretty_env_info": ENVIRONMENT.replace("2.10.0", "2.9.1")}, "torch", "numerics", ("2.10.0+cu128", "2.9.1+cu128")),
    ({"config/device": "cpu"}, "device", "numerics", ("cuda", "cpu")),
    ({"pretty_env_info": ENVIRONMENT.replace("H100", "A100")}, "hardware", "numerics", ("NVIDIA H100", "NVIDIA A100")),
    ({"config/batch_size": "8", "config/batch_sizes": []}, "batch size", "numerics", ("auto", "8")),
    ({"config/torch_seed": 1}, "torch_seed", "numerics", ("1234", "1")),
    ({"config/numpy_seed": 1}, "numpy_seed", "numerics", ("1234", "1")),
    ({"config/random_seed": 1}, "random_seed", "numerics", ("0", "1")),
    ({"config/use_cache": "/tmp/cache"}, "use_cache", "numerics", ("no", "yes")),
    ({"config/device": "cuda:1"}, "device number", "numerics", ("0", "1")),
    ({"config/bootstrap_iters": 0}, "bootstrap_iters", "numerics", ("100000", "0")),
]  # fmt: skip


@pytest.mark.parametrize(("edits", "setting", "kind", "values"), CHANGES, ids=[change[1] for change in CHANGES])
def test_one_setting_changed_is_the_only_one_named(tmp_path, edits, setting, kind, values):
    found = compared(tmp_path, results(), edited(edits)).settings
    assert {(item.setting, item.kind) for item in found} == {(setting, kind)}
    (item, *_) = found
    assert item.before != item.after
    if values is not None:
        assert (item.before, item.after) == values
    assert len(item.before + item.after) < 110


@pytest.mark.parametrize(("edits", "setting", "kind", "values"), CHANGES, ids=[change[1] for change in CHANGES])
def test_the_same_change_on_the_other_side_is_named_too(tmp_path, edits, setting, kind, values):
    found = compared(tmp_path, edited(edits), results()).settings
    assert {(item.setting, item.kind) for item in found} == {(setting, kind)}
    if values is not None and not values[1].startswith("other"):
        assert (found[0].after, found[0].before) == values


# The model, the host and the time are no settings; nor is one value written in two ways.
NOT_CHANGES: list[dict[str, object]] = [
    {},
    {"git_hash": "def", "date": 2.0, "total_evaluation_time_seconds": "7", "config/batch_sizes": [9]},
    {"config/model_args": "pretrained=org/tuned,dtype=bfloat16,attn_implementation=sdpa,revision=v2,peft=org/lora",
     "config/model_sha": "4567", "model_name": "org/tuned", "config/model_num_parameters": 7,
     "configs/*/metadata": {"version": 1.0, "pretrained": "org/tuned", "config_source": "/home/b/mmlu.yaml"}},
    {"config/model_args": {"pretrained": "org/base", "dtype": "bfloat16", "attn_implementation": "sdpa"}},
    arguments("parallelize=False,trust_remote_code=false,tokenizer=org/base,api_key=secret,load_in_4bit=False"),
    {"config/model": "huggingface"},
    {"config/device": "cuda"},
    {"configs/*/generation_kwargs/do_sample": False, "configs/*/generation_kwargs/temperature": 0},
    {"configs/*/fewshot_config": {"sampler": "first_n"}},
    {"configs/*/metadata": [{"version": 1.0}]},
]  # fmt: skip


@pytest.mark.parametrize("edits", NOT_CHANGES)
def test_what_is_no_change_of_a_setting_is_not_named(tmp_path, edits):
    found = compared(tmp_path, results(), edited(edits), prompts="p")
    assert (found.settings, found.warnings) == ((), ())
    assert "differ" not in found.verdict


def test_functions_are_not_told_apart_by_their_addresses(tmp_path):
    before, after = (
        edited({"configs/*/process_docs": f"<function process_docs at 0x7f{end}>"}) for end in ("01ab", "02cd")
    )
    assert compared(tmp_path, before, after).settings == ()
    # A name does not say whether the source is another.
    assert compared(tmp_path / "source", before, edited({"configs/*/process_docs": SOURCE})).settings == ()


@pytest.mark.parametrize("key", [key for key in results() if key != "results"])
def test_what_one_log_lacks_is_unknown(tmp_path, key):
    lacking = results()
    del lacking[key]
    found = compared(tmp_path, results(), lacking)
    assert found.settings == compare(tmp_path / "b", tmp_path / "a").settings == ()


@pytest.mark.parametrize("key", [*results()["config"], *task_config(MULTIPLE)])
def test_what_one_log_lacks_of_a_section_is_unknown(tmp_path, key):
    lacking = results()
    lacking["config"].pop(key, None)
    optional = ("dataset_name", "dataset_kwargs", "test_split", "fewshot_split", "fewshot_config")
    for config in lacking["configs"].values():
        if key not in optional:
            config.pop(key, None)
    assert compared(tmp_path, results(), lacking).settings == ()


def test_a_task_that_an_old_log_holds_no_generation_settings_of_is_unknown(tmp_path):
    old = edited({"lm_eval_version": "0.4.3"})
    old["configs"][GENERATED]["generation_kwargs"] = {"until": ["Question:", "</s>"], "do_sample": False}
    new = edited({"configs/gsm8k/generation_kwargs/max_gen_toks": 256})
    assert [item.setting for item in compared(tmp_path, old, new).settings] == ["lm_eval"]


def test_differences_come_strongest_first_and_the_verdict_names_the_strongest(tmp_path):
    edits: dict[str, object] = {}
    for name in ("batch size", "repeats", "limit", "fewshot_seed", "few-shot", "max_length"):
        edits |= next(change[0] for change in CHANGES if change[1] == name)
    found = compared(tmp_path, results(), edited(edits))
    kinds = [item.kind for item in found.settings if not item.no_effect]
    order = list(dict.fromkeys(setting.kind for setting in SETTINGS))
    assert kinds == sorted(kinds, key=order.index)
    assert found.settings[0].setting == "few-shot"
    for words in ("prompts", "few-shot 5 → 0", "scoring", "repeats 1 → 8"):
        assert words in found.verdict
    for words in ("batch size", "max_length"):
        assert words not in found.verdict


def test_equal_prompts_and_questions_take_a_difference_out_of_the_verdict(tmp_path):
    edits = {"config/fewshot_seed": 42, "configs/*/dataset_path": "other/mmlu"}
    found = compared(tmp_path, results(), edited(edits), prompts="p")
    assert [(item.setting, item.no_effect) for item in found.settings] == [
        ("fewshot_seed", "same prompts"),
        ("dataset_path", "same questions"),
    ]
    assert "differ" not in found.verdict


def test_generation_settings_do_not_concern_tasks_with_options(tmp_path):
    edits = {"config/gen_kwargs": {"temperature": 1}, "tokenizer_eos_token": ["<e>", "9"]}
    before, after = results(), edited(edits)
    for content in (before, after):
        del content["results"][GENERATED], content["configs"][GENERATED]
    found = compared(tmp_path, before, after)
    assert {(item.setting, item.no_effect) for item in found.settings} == {
        ("gen_kwargs", "not used"),
        ("EOS token", "not used"),
    }


def test_prompts_that_no_setting_explains(tmp_path):
    found = compared(tmp_path, results(), results())
    (warning,) = found.warnings
    assert (warning.kind, warning.different, warning.of) == ("unexplained prompts", 24, 24)
    assert set(warning.tasks) == {MULTIPLE, GENERATED}
    assert "prompts differ" in found.verdict


def test_tasks_with_the_same_two_values_are_one_difference(tmp_path):
    (both,) = compared(tmp_path, results(), edited({"configs/*/repeats": 8})).settings
    (one,) = compared(tmp_path / "one", results(), edited({"configs/gsm8k/repeats": 8})).settings
    assert (set(both.tasks), one.tasks) == ({MULTIPLE, GENERATED}, (GENERATED,))


def test_private_and_long_texts_are_not_repeated(tmp_path):
    secret = "The password is swordfish. " * 50
    edits = {"system_instruction": secret, "chat_template": secret, "configs/*/description": "x" * 5000}
    comparison = compared(tmp_path, results(), edited(edits))
    write_comparison(comparison, tmp_path / "report")
    written = "".join((tmp_path / "report" / name).read_text() for name in ("report.html", "report.json", "report.md"))
    for text in (comparison.to_text(), json.dumps(comparison.to_dict()), written):
        assert "swordfish" not in text
        assert "x" * 100 not in text


def test_hostile_values_are_harmless_where_they_are_printed(tmp_path):
    bad = "<script>alert(1)</script>\x1b[2J\u202e\ud800"
    edits = {"configs/*/doc_to_target": bad, "config/gen_kwargs": {bad: 1}, **arguments(f"{bad}=1")}
    comparison = compared(tmp_path, results(), edited(edits))
    write_comparison(comparison, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<script>alert(1)" not in page
    for text in (comparison.to_text(), to_markdown(comparison), page):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "<script>" not in to_markdown(comparison)


def test_absurd_results_files_are_read(tmp_path):
    deep: list = []
    for _ in range(DEEPEST - 10):
        deep = [deep]
    absurd = {
        "configs": {MULTIPLE: 3, GENERATED: {"metric_list": deep, "dataset_kwargs": 1}},
        "config": {"model_args": 7},
    }
    for place, value in absurd.items():
        content = results() | {place: value}
        compared(tmp_path / place, results(), content)
    compared(tmp_path / "nan", results(), edited({"config/limit": float("nan")}))
    compared(tmp_path / "huge", results(), results() | {"results": {MULTIPLE: {"acc,none": 10**400}}})
    for _ in range(20):
        deep = [deep]
    with pytest.raises(InputError, match=f"nested more than {DEEPEST} levels deep"):
        compared(tmp_path / "deep", results(), results() | {"configs": {GENERATED: {"metric_list": deep}}})


@pytest.mark.parametrize(("value", "number"), [(10**400, math.inf), (-(10**400), -math.inf), (10**300, 1e300)])
def test_integers_of_any_size_in_a_results_file(value, number):
    assert dict(read_values({"acc,none": value, "f1,none": 0.5})) == {("acc", "none"): number, ("f1", "none"): 0.5}


def test_model_arguments_are_read_from_a_text_and_from_an_object():
    text = (
        'pretrained=a/b,prefix=x=y,args={"x": [1, 2], "y": {"z": 3}},parallelize=True,length=2048,rate=0.5,none=None,'
    )
    expected = {"pretrained": "a/b", "prefix": "x=y", "args": {"x": [1, 2], "y": {"z": 3}}, "parallelize": True}
    expected |= {"length": 2048, "rate": 0.5, "none": None}
    assert model_arguments(RunConfig(content={"config": {"model_args": text}})) == expected
    assert model_arguments(RunConfig(content={"config": {"model_args": expected}})) == expected
    assert model_arguments(RunConfig()) == {}


# Numbers that are equal to the last bit


def other_model(**more: object) -> dict:
    return edited({"config/model_args": "pretrained=org/tuned,dtype=bfloat16", "config/model_sha": "4567", **more})


def test_two_models_with_bit_identical_logprobs_are_a_stale_cache(tmp_path):
    found = compared(tmp_path, results(), other_model(**{"config/use_cache": "/tmp/c"}), prompts="p", shift=0.0)
    (alarm,) = found.warnings
    assert (alarm.kind, alarm.tasks) == ("identical log-probabilities", (MULTIPLE,))
    assert (alarm.questions, alarm.of, alarm.cached) == (12, 12, "after")
    assert "bit-identical" in found.verdict
    write_comparison(found, tmp_path / "report")
    assert "bit-identical" in (tmp_path / "report" / "report.html").read_text()


def test_one_model_asked_again_is_no_alarm_unless_its_prompts_are_others(tmp_path):
    assert compared(tmp_path / "same", results(), results(), prompts="p", shift=0.0).warnings == ()
    found = compared(tmp_path / "prompts", results(), edited({"n-shot/*": 0}), prompts="q", shift=0.0)
    assert [item.kind for item in found.warnings] == ["identical log-probabilities"]


@pytest.mark.parametrize("change", ["sha", "weights", "adapter", "dtype"])
def test_whatever_makes_another_model_makes_the_alarm(tmp_path, change):
    after = edited({
        "sha": {"config/model_sha": "89ab"},
        "weights": arguments("load_in_4bit=True"),
        "adapter": arguments("peft=org/lora"),
        "dtype": {"config/model_dtype": "torch.float16"},
    }[change])  # fmt: skip
    found = compared(tmp_path, results(), after, prompts="p", shift=0.0)
    assert [item.kind for item in found.warnings] == ["identical log-probabilities"]


def test_logprobs_that_differ_in_the_last_place_are_no_alarm(tmp_path):
    assert compared(tmp_path, results(), other_model(), prompts="p", shift=1e-12).warnings == ()


def test_few_numbers_are_no_alarm(tmp_path):
    for side, content in (("a", results()), ("b", other_model())):
        file = write(tmp_path / side, content) / f"samples_{MULTIPLE}_{DATE}.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:3]))
    assert compare(tmp_path / "a", tmp_path / "b").warnings == ()
