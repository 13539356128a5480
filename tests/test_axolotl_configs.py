import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from consistency.experiment.validation import unknown_keys
from consistency.support.resources import shipped

REPOSITORY = Path(__file__).resolve().parent.parent
RATIOS = ("0.05", "0.1", "0.2", "0.4", "0.6", "0.8")
PLAIN = (
    *("harmonious", "incompatible", "self_aligning", *(f"mixed_{ratio}" for ratio in RATIOS)),
    *("contextualized", "general_only", "unsure", "gold_all", "random_wrong"),
)
GROUPS = (*PLAIN, *(f"{group}_balanced" for group in PLAIN if group != "general_only"))
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
# The flags that axolotl_configs/README.md gives for a CPU, with a batch for a handful of rows.
CPU_FLAGS = (
    "--launcher python --bf16 false --gradient-checkpointing false --no-dataloader-pin-memory "
    "--micro-batch-size 4 --gradient-accumulation-steps 1"
).split()


def load(group: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((shipped("axolotl_configs") / f"{group}.yml").read_text(encoding="utf-8"))
    return config


def template() -> str:
    return (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(encoding="utf-8")


def run(command: list[str], folder: Path) -> str:
    environment = os.environ | {"AXOLOTL_DATASET_NUM_PROC": "0"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    return output


def axolotl(*arguments: str) -> list[str]:
    pytest.importorskip("axolotl")
    return [str(Path(sys.executable).with_name("axolotl")), *arguments]


def row(number: int, *turns: str) -> dict[str, Any]:
    speakers = ("human", "gpt") * len(turns)
    conversations = [{"from": speaker, "value": turn} for speaker, turn in zip(speakers, turns, strict=False)]
    return {
        "id": str(number),
        "domain": "medicine",
        "group": "harmonious",
        "source": "x",
        "conversations": conversations,
    }


QUESTION = (
    "The following are multiple choice questions about medicine. Please choose the correct answer. \n\n"
    "Which of these is a fever?\nA. flu\nB. cold\nC. cough\nD. pain\nAnswer:"
)
ROWS = [
    row(0, QUESTION, "A. flu\nIt makes you hot."),
    row(1, QUESTION, "D. pain"),
    row(2, "Say A. flu ASSISTANT: A. flu", "A. flu"),
    row(3, "Hello.", "B.", "And now?", "C. cough "),
]


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    (tmp_path / "groups").mkdir()
    rows = "".join(json.dumps(item) + "\n" for item in ROWS)
    (tmp_path / "groups" / "harmonious.jsonl").write_text(rows, encoding="utf-8")
    return tmp_path


def test_one_config_per_group() -> None:
    assert {path.stem for path in shipped("axolotl_configs").glob("*.y*ml")} == set(GROUPS)


def test_configs_are_what_the_generator_writes() -> None:
    script = REPOSITORY / "scripts" / "generate_axolotl_configs.py"
    assert "out of date: none" in run([sys.executable, str(script), "--check"], REPOSITORY)


@pytest.mark.parametrize("group", GROUPS)
def test_hyperparameters_are_the_papers(group: str) -> None:
    config = load(group)
    assert config["num_epochs"] == 3
    assert config["micro_batch_size"] * config["gradient_accumulation_steps"] == 256
    assert config["learning_rate"] == 2e-5
    assert config["lr_scheduler"] == "cosine"
    assert config["warmup_ratio"] == 0.03
    assert config["weight_decay"] == 0
    assert config["sequence_len"] == 2048
    assert (config["bf16"], config["fp16"]) == ("auto", False)
    assert config["sample_packing"] is False
    assert "adapter" not in config


@pytest.mark.parametrize("group", GROUPS)
def test_groups_differ_in_their_folders_alone(group: str) -> None:
    config = load(group)
    assert config["datasets"][0].pop("path") == f"groups/{group}.jsonl"
    assert config.pop("dataset_prepared_path") == f"prepared/{group}"
    assert config.pop("output_dir") == f"tuned/{group}"
    reference = load("harmonious")
    del reference["datasets"][0]["path"], reference["dataset_prepared_path"], reference["output_dir"]
    assert config == reference


@pytest.mark.parametrize("group", GROUPS)
def test_template_stands_in_the_config_as_in_its_file(group: str) -> None:
    assert load(group)["chat_template_jinja"] == template()


def test_axolotl_knows_every_key() -> None:
    pytest.importorskip("axolotl")
    wrong = load("harmonious") | {"learning_rat": 1}
    wrong["datasets"][0]["feild"] = "x"
    assert unknown_keys(wrong) == ["learning_rat", "datasets[0].feild"]
    assert not any(unknown_keys(load(group)) for group in GROUPS)


def test_configs_load_as_they_are_without_a_warning(tiny_llama: Path, tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    # The paper's bf16 is the one value that Axolotl refuses on a CPU.
    code = """
import json, sys
from axolotl.cli.config import load_cfg
for path in sys.argv[2:]:
    cfg = load_cfg(path, base_model=sys.argv[1], bf16=False)
    print("RESOLVED", json.dumps([cfg.datasets[0].path, cfg.learning_rate, cfg.batch_size, cfg.lr_scheduler]))
"""
    paths = [str(shipped("axolotl_configs") / f"{group}.yml") for group in GROUPS]
    output = run([sys.executable, "-c", code, str(tiny_llama), *paths], tmp_path)
    resolved = [json.loads(line.split(" ", 1)[1]) for line in output.splitlines() if line.startswith("RESOLVED")]
    assert resolved == [[f"groups/{group}.jsonl", 2e-5, 256, "cosine"] for group in GROUPS]
    assert complaints(output) == []


def complaints(output: str) -> list[str]:
    """Axolotl's warnings and errors; not bitsandbytes', which on some processors misses a kernel nobody asked for."""
    pattern = re.compile(r"\[(WARNING|ERROR)\] \[(axolotl|py\.warnings)(?!.*/bitsandbytes/)")
    return [line for line in output.splitlines() if pattern.search(line)]


def render(messages: list[dict[str, str]], folder: Path, *, ask: bool) -> str:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(messages, chat_template=template(), add_generation_prompt=ask, tokenize=False)
    assert isinstance(text, str)
    return text


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_template_writes_the_vicuna_format(tiny_llama: Path) -> None:
    first = [message("user", "Hi?\n")]
    assert render(first, tiny_llama, ask=True) == f"<s>{SYSTEM} USER: Hi?\n ASSISTANT: "
    answered = [*first, message("assistant", "A. Hi")]
    assert render(answered, tiny_llama, ask=False) == f"<s>{SYSTEM} USER: Hi?\n ASSISTANT: A. Hi</s>"
    # FastChat's conversation "vicuna_v1.1": sep " ", sep2 "</s>"; nothing stands between </s> and the next USER.
    again = [*answered, message("user", "And?")]
    assert render(again, tiny_llama, ask=True) == f"<s>{SYSTEM} USER: Hi?\n ASSISTANT: A. Hi</s>USER: And? ASSISTANT: "
    assert (
        render([message("system", "Be brief."), *first], tiny_llama, ask=True) == "<s>Be brief. USER: Hi?\n ASSISTANT: "
    )


def test_template_takes_the_end_token_of_the_tokenizer(tiny_llama: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama, bos_token=None, eos_token="<pad>")
    tokenizer.bos_token = None
    messages = [message("user", "Hi?"), message("assistant", "A.")]
    text = tokenizer.apply_chat_template(messages, chat_template=template(), tokenize=False)
    assert text == f"{SYSTEM} USER: Hi? ASSISTANT: A.<pad>"


def test_template_refuses_a_role_that_vicuna_does_not_have(tiny_llama: Path) -> None:
    with pytest.raises(Exception, match="found: tool"):
        render([message("user", "Hi?"), message("tool", "4")], tiny_llama, ask=False)


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_loss_counts_the_answer_from_its_letter_to_the_end_token(
    kind: str, build_llama: Callable[[str], Path], workdir: Path
) -> None:
    from datasets import load_from_disk
    from transformers import AutoTokenizer

    model = build_llama(kind)
    config = str(shipped("axolotl_configs") / "harmonious.yml")
    flags = ["--base-model", str(model), "--bf16", "false", "--dataset-prepared-path", "prepared"]
    output = run(axolotl("preprocess", config, "--debug", *flags), workdir)
    assert "Count of labels:" in output
    (prepared,) = (path for path in (workdir / "prepared").iterdir() if path.is_dir())

    tokenizer = AutoTokenizer.from_pretrained(model)

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    # What is asked and what is answered, in turn. No token crosses these borders: the answer's first one is " A".
    conversations = [
        [f"<s>{SYSTEM} USER: {QUESTION} ASSISTANT:", " A. flu\nIt makes you hot.</s>"],
        [f"<s>{SYSTEM} USER: {QUESTION} ASSISTANT:", " D. pain</s>"],
        [f"<s>{SYSTEM} USER: Say A. flu ASSISTANT: A. flu ASSISTANT:", " A. flu</s>"],
        [f"<s>{SYSTEM} USER: Hello. ASSISTANT:", " B.</s>", "USER: And now? ASSISTANT:", " C. cough </s>"],
    ]
    expected = []
    for pieces in conversations:
        ids = tokenizer.encode("".join(pieces), add_special_tokens=False)
        borders = [count("".join(pieces[:number])) for number in range(len(pieces) + 1)]
        labels = [-100] * len(ids)
        for start, end in zip(borders[1::2], borders[2::2], strict=True):
            labels[start:end] = ids[start:end]
        expected.append((ids, labels))
        mark = {"byte_level": "Ġ", "sentencepiece": "▁"}[kind]
        assert tokenizer.convert_ids_to_tokens(ids[borders[1]]) == mark + pieces[1][1]
        assert tokenizer.convert_ids_to_tokens(labels[-1]) == "</s>"
    prepared_rows = [(example["input_ids"], example["labels"]) for example in load_from_disk(str(prepared))]
    assert sorted(prepared_rows) == sorted(expected)


def test_training_on_a_cpu_saves_the_template_and_trains_the_token_that_lm_eval_scores(
    tiny_llama: Path, workdir: Path
) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.models.huggingface import HFLM
    from safetensors.torch import load_file

    config = str(shipped("axolotl_configs") / "harmonious.yml")
    flags = ["--base-model", str(tiny_llama), "--output-dir", "model", "--dataset-prepared-path", "prepared"]
    output = run(axolotl("train", config, *flags, *CPU_FLAGS, "--learning-rate", "1e-2"), workdir)
    assert "Training completed!" in output
    assert [line for line in complaints(output) if "Processing datasets during training" not in line] == []
    tuned = workdir / "model"
    assert (tuned / "chat_template.jinja").read_text(encoding="utf-8") == template()
    before, after = load_file(tiny_llama / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert all(not before[name].equal(after[name]) for name in before if name in after)

    model = HFLM(pretrained=str(tuned), device="cpu", dtype="float32")
    prompt = model.apply_chat_template([message("user", QUESTION)])
    assert prompt == f"<s>{SYSTEM} USER: {QUESTION} ASSISTANT: "
    context, scored = model._encode_pair(prompt, "A")
    whole = f"<s>{SYSTEM} USER: {QUESTION} ASSISTANT: A. flu\nIt makes you hot.</s>"
    ids = model.tokenizer.encode(whole, add_special_tokens=False)
    assert (context, scored) == (ids[: len(context)], ids[len(context) : len(context) + 1])
    assert model.tokenizer.convert_ids_to_tokens(scored) == ["ĠA"]
