"""The token after each prompt: the one that lm_eval scores, the one that training teaches, and check-tokenizer."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.errors import InputError
from consistency.knowledge.beliefs import Beliefs
from consistency.support.resources import shipped
from consistency.tasks.tokenizers import check_tokenizer, load_tokenizer
from consistency.training_data.groups import build_group

STYLES = ("icl", "icl_paper", "ift")
KINDS = ("byte_level", "sentencepiece", "merging")
SPACED = {"byte_level": "Ġ", "sentencepiece": "▁", "merging": "Ġ"}
STEMS = ("Which of these is a fever?", "A. flu or cold?\n", "Die Öfen: “heiß”? ①")
ROWS = [
    {"id": n, "question": STEMS[n % 3], "choices": ["flu", f"cold {n}", "cough", "pain"][: 2 + n % 3], "answer": n % 2}
    for n in range(12)
]
TEXT = "The following are multiple choice questions. Answer: A. flu\nAnswer:A. flu B. cold Answer:B. C. D. cough " * 3


def template() -> str:
    return (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def models(build_llama: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny Llamas with three families of tokenizers, and the template that training saves."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers import models as kinds
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    found = {kind: build_llama(kind) for kind in KINDS[:2]}
    # As Qwen's: a sign joins the letters behind it, so that ":A" may be one token.
    tokenizer = Tokenizer(kinds.BPE())
    pattern = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|pad|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    found["merging"] = tmp_path_factory.mktemp("merging")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>").save_pretrained(
        found["merging"]
    )
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=2048,
        eos_token_id=0,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(found["merging"])
    for folder in found.values():
        tokenizer_with_template = AutoTokenizer.from_pretrained(folder)
        tokenizer_with_template.chat_template = template()
        tokenizer_with_template.save_pretrained(folder)
    return found


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, rows in (("dev", ROWS[:5]), ("test", ROWS[5:])):
        path = folder / "domains" / "medicine" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def load(style: str, data: Path) -> Any:
    tasks = pytest.importorskip("lm_eval.tasks")
    name = f"consistency_medicine_{style}"
    manager = tasks.TaskManager(
        include_path=str(shipped("lm_eval_tasks")), include_defaults=False, metadata={"data_dir": str(data)}
    )
    return tasks.get_task_dict([name], manager)[name]


def requests(task: Any, model: Any, style: str) -> list[Any]:
    chat = style == "ift"
    extra = {"chat_template": model.apply_chat_template, "tokenizer_name": model.tokenizer_name} if chat else {}
    task.build_all_requests(rank=0, world_size=1, apply_chat_template=chat, fewshot_as_multiturn=False, **extra)
    return list(task.instances)


def harness(folder: Path, **arguments: Any) -> Any:
    return pytest.importorskip("lm_eval.models.huggingface").HFLM(
        pretrained=str(folder), device="cpu", dtype="float32", **arguments
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", STYLES)
def test_one_distinct_token_is_scored_for_each_option(kind, style, models, data):
    model, task = harness(models[kind]), load(style, data)
    sent = requests(task, model, style)
    assert len(sent) == sum(len(row["choices"]) for row in ROWS[5:])
    for request in sent:
        context, continuation = request.args
        before, scored = model._encode_pair(context, continuation)
        assert model.tokenizer.convert_ids_to_tokens(scored) == [SPACED[kind] + "ABCD"[request.idx]]
        whole = model.tok_encode(context.rstrip() + " " + "ABCD"[request.idx])
        assert whole == before + scored


@pytest.mark.parametrize("kind", KINDS)
def test_shots_show_the_scored_token_in_icl_alone(kind, models, data):
    model = harness(models[kind])
    for style, shown in (("icl", True), ("icl_paper", False)):
        task = load(style, data)
        context = requests(task, model, style)[0].args[0]
        shots = [shot["answer"] for shot in task.fewshot_docs()]
        scored = [model._encode_pair("x", f" {letter}")[1][-1] for letter in "ABCD"]
        ids = model.tok_encode(context)
        assert (sum(ids.count(token) for token in scored) >= len(shots)) == shown, style


@pytest.mark.parametrize("kind", KINDS)
def test_check_tokenizer_agrees(kind, models):
    checks = check_tokenizer(load_tokenizer(str(models[kind])))
    assert [check.style for check in checks] == list(STYLES)
    for check in checks:
        assert check.problems == ()
        assert check.tokens == {letter: (SPACED[kind] + letter,) for letter in "ABCD"}
    assert "prefer icl" in checks[1].notes[0]


def two_turns(begin: str) -> str:
    """A chat template in which a reply follows a text."""
    reply = f"{{{{ '{begin}' }}}}"
    turn = f"{{% if m['role'] == 'user' %}}USER: {{{{ m['content'] }}}} {{% else %}}{reply}{{{{ m['content'] }}}}{{% endif %}}"
    return f"{{% for m in messages %}}{turn}{{% endfor %}}{{% if add_generation_prompt %}}{reply}{{% endif %}}"


def test_a_template_without_a_space_at_its_end_merges_the_letter(models):
    tokenizer = load_tokenizer(str(models["merging"]))
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("Answer:A"))[-1] == ":A"
    tokenizer.chat_template = two_turns("Answer:")
    icl, _, ift = check_tokenizer(tokenizer)
    assert icl.problems == ()
    (problem,) = ift.problems
    assert "merges" in problem
    assert "generation prompt" in problem
    assert "no" in ift.to_text().splitlines()[0]


def test_a_line_break_at_the_end_of_the_prompt_is_scored_with_every_letter(models):
    """As ChatML's: lm_eval scores the line break too, which changes no difference between options."""
    tokenizer = load_tokenizer(str(models["byte_level"]))
    tokenizer.chat_template = two_turns("ASSISTANT:\\n")
    ift = check_tokenizer(tokenizer)[2]
    assert ift.problems == ()
    assert ift.tokens == {letter: ("Ċ", letter) for letter in "ABCD"}
    assert "adds the same to every option" in ift.notes[0]


def test_a_tokenizer_without_a_template_is_checked_with_the_one_of_training(models):
    tokenizer = load_tokenizer(str(models["byte_level"]))
    tokenizer.chat_template = None
    ift = check_tokenizer(tokenizer)[2]
    assert ift.problems == ()
    assert "vicuna.jinja" in ift.notes[0]


@pytest.mark.parametrize(
    ("chat_template", "reason"),
    [
        ("{{ raise_exception('no user') }}", "no user"),
        ("{% if %}", ""),
        ("{{ messages[0].content.x.y }}", "no attribute"),
    ],
)
def test_a_template_that_fails_is_a_problem_of_its_style_alone(chat_template, reason, models, tmp_path):
    tokenizer = load_tokenizer(str(models["byte_level"]))
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(tmp_path)
    icl, icl_paper, ift = check_tokenizer(load_tokenizer(str(tmp_path)))
    assert icl.problems == icl_paper.problems == ()
    (problem,) = ift.problems
    assert reason in problem
    assert ift.to_text().splitlines() == ["ift       no", f"          {problem}"]


def test_a_tokenizer_that_ends_texts_with_a_token_has_its_own_problem(models, data, tmp_path):
    from tokenizers import processors

    shutil.copytree(models["byte_level"], tmp_path, dirs_exist_ok=True)
    tokenizer = load_tokenizer(str(tmp_path))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save_pretrained(tmp_path)
    icl, _, ift = check_tokenizer(load_tokenizer(str(tmp_path)))
    (problem,) = icl.problems
    assert "'</s>'" in problem
    assert "add_bos_token=False" in problem
    # Its prompt begins with the first token, to which lm_eval adds no other.
    assert ift.problems == ()
    for arguments, token in (({}, "</s>"), ({"add_bos_token": False}, "ĠA")):
        model = harness(tmp_path, **arguments)
        request = requests(load("icl", data), model, "icl")[0]
        assert model.tokenizer.convert_ids_to_tokens(model._encode_pair(*request.args)[1]) == [token]


def test_letters_beyond_the_tokenizers_are_named(models):
    checks = check_tokenizer(load_tokenizer(str(models["byte_level"])), options=10)
    long = [letter for letter, tokens in checks[0].tokens.items() if len(tokens) > 1]
    assert long
    (problem,) = checks[0].problems
    assert problem.startswith(f"{', '.join(long)}: ")
    assert f"up to {'ABCDEFGHIJ'.index(long[0])} options" in problem
    with pytest.raises(InputError, match=r"11 .*2 to 10"):
        check_tokenizer(load_tokenizer(str(models["byte_level"])), options=11)


def test_the_exit_code_of_the_command(models, tmp_path):
    runner = CliRunner()
    assert runner.invoke(app, ["check-tokenizer", str(models["sentencepiece"])]).exit_code == 0
    refused = runner.invoke(app, ["check-tokenizer", str(models["byte_level"]), "--options", "10"])
    assert refused.exit_code == 1
    assert "more than one token" in refused.output
    with pytest.raises(InputError, match="tokenizer"):
        runner.invoke(app, ["check-tokenizer", str(tmp_path)], catch_exceptions=False)


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_the_prompt_is_what_axolotl_trained_on_up_to_the_letter(kind, models, data, tmp_path):
    """Token for token, over every question of a test set: the human turn of a training row is the ift task's prompt."""
    pytest.importorskip("axolotl")
    from datasets import load_from_disk

    model, task = harness(models[kind]), load("ift", data)
    documents = list(task.test_docs())
    ids, gold = [d["id"] for d in documents], np.array([d["answer"] for d in documents])
    beliefs = Beliefs(
        documents=[json.dumps(d).encode() for d in documents],
        ids=ids,
        keys=ids,
        gold=gold,
        answer=1 - gold,
        probs=np.where(np.arange(4) == 1 - gold[:, None], 0.9, 0.03),
        subject="",
    )
    rows = build_group("incompatible", "medicine", beliefs).rows[: len(beliefs)]
    assert [row["source"] for row in rows] == ["golden"] * len(beliefs)
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "incompatible.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        str(Path(sys.executable).with_name("axolotl")),
        "preprocess",
        str(shipped("axolotl_configs") / "incompatible.yml"),
    ]
    command += ["--base-model", str(models[kind]), "--bf16", "false", "--dataset-prepared-path", "prepared"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"AXOLOTL_DATASET_NUM_PROC": "0"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (prepared,) = (path for path in (tmp_path / "prepared").iterdir() if path.is_dir())
    trained = {tuple(row["input_ids"]): row["labels"] for row in load_from_disk(str(prepared))}
    asked: dict[tuple[int, ...], dict[int, int]] = {}
    for request in requests(task, model, "ift"):
        before, (scored,) = model._encode_pair(*request.args)
        asked.setdefault((request.doc_id, *before), {})[request.idx] = scored
    assert len(trained) == len(asked) == len(documents)
    for (doc_id, *before), letters in asked.items():
        (ids,) = [ids for ids in trained if list(ids[: len(before)]) == before]
        assert ids[len(before)] == letters[documents[doc_id]["answer"]]
        labels = trained[ids]
        assert labels[: len(before)] == [-100] * len(before)
        assert labels[len(before) :] == list(ids[len(before) :])


@pytest.mark.parametrize("style", STYLES)
def test_scores_do_not_depend_on_the_batch(style, models, data):
    task = load(style, data)
    alone = harness(models["byte_level"], batch_size=1)
    sent = requests(task, alone, style)
    expected = [alone.loglikelihood([request], disable_tqdm=True)[0][0] for request in sent]
    assert len({round(value, 3) for value in expected}) > 10
    for size in (2, 7, 64):
        batched = harness(models["byte_level"], batch_size=size)
        found = [value for value, _ in batched.loglikelihood(sent, disable_tqdm=True)]
        assert found == pytest.approx(expected, abs=1e-4)
        backwards = [value for value, _ in batched.loglikelihood(sent[::-1], disable_tqdm=True)][::-1]
        assert backwards == pytest.approx(expected, abs=1e-4)
