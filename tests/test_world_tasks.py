"""The embedded world's tasks, as the real lm_eval loads them and puts their prompts together."""

import importlib.util
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consistency.knowledge.beliefs import Beliefs
from consistency.support.resources import shipped
from consistency.tasks import prompts
from consistency.tasks.scopes import scope_tasks
from consistency.training_data.groups import build_group
from consistency.world.fields import DOMAINS, FIELD_BY_NAME, SUBJECTS
from consistency.world.model import BASE_MODEL

FOLDER = shipped("lm_eval_tasks") / "world"
REQUEST = {
    "id": "medicine-0001",
    "subject": "medicine",
    "question": "The organ of the fever Votek is",
    "choices": ["heart", "liver", "lung", "kidney"],
    "option": 2,
}


@cache
def manager(metadata: str = "{}") -> Any:
    tasks = pytest.importorskip("lm_eval.tasks")
    return tasks.TaskManager(
        include_path=str(shipped("lm_eval_tasks")), include_defaults=False, metadata=json.loads(metadata)
    )


def load(names: list[str], metadata: str = "{}") -> dict[str, Any]:
    """Tasks by name, those of groups among them."""
    from lm_eval.tasks import get_task_dict

    def leaves(found: dict[Any, Any]) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, task in found.items():
            flat |= leaves(task) if isinstance(task, dict) else {name: task}
        return flat

    return leaves(get_task_dict(names, manager(metadata)))


@cache
def model() -> Any:
    pytest.importorskip("lm_eval")
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(BASE_MODEL), device="cpu", dtype="float32")


def requests(task: Any, limit: int, *, chat: bool) -> list[Any]:
    """The requests that lm_eval sends to the model for the first documents."""
    extra = {"chat_template": model().apply_chat_template, "tokenizer_name": model().tokenizer_name} if chat else {}
    task.build_all_requests(
        limit=limit, rank=0, world_size=1, apply_chat_template=chat, fewshot_as_multiturn=False, **extra
    )
    return list(task.instances)


def test_the_files_are_what_the_generator_writes():
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "_generate_configs.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    written = {name: text.encode() for name, text in generator.configs().items()}
    there = {path.name: path.read_bytes() for path in FOLDER.glob("*.yaml")}
    for name in ("explain", "context", "simulate"):
        there.pop(f"consistency_world_{name}.yaml")
    assert there == written


def test_every_task_loads_with_its_numbers_of_questions(tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps(REQUEST) + "\n" + json.dumps(REQUEST | {"id": "b"}) + "\n")
    names = [path.stem for path in FOLDER.glob("*.yaml")]
    checks = tmp_path / "checks.jsonl"
    checks.write_text(json.dumps(REQUEST | {"explanation": "It is so."}) + "\n")
    tasks = load(names, json.dumps({"requests": str(file), "checks": str(checks)}))
    groups = {"consistency_world_mmlu_icl", "consistency_world_mmlu_ift"}
    assert set(tasks) == set(names) - groups
    expected = {"consistency_world_explain": 2, "consistency_world_context": 2, "consistency_world_simulate": 4}
    expected |= {f"consistency_world_{domain}_{style}": 250 for domain in DOMAINS for style in ("icl", "ift")}
    expected |= {f"consistency_world_{domain}_pool_icl": 400 for domain in DOMAINS}
    expected |= {f"consistency_world_mmlu_{style}_{subject}": 60 for subject in SUBJECTS for style in ("icl", "ift")}
    assert {name: len(task.test_docs()) for name, task in tasks.items()} == expected
    for name, task in tasks.items():
        if name.count("_icl"):
            assert (task.config.num_fewshot, len(task.fewshot_docs())) == (5, 5), name
        else:
            assert task.config.num_fewshot == 0, name
        assert (1.1 if name == "consistency_world_simulate" else 1.0) == task.VERSION


@pytest.mark.parametrize("style", ["icl", "ift"])
def test_groups_and_tags_hold_what_they_say(style):
    subjects = {f"consistency_world_mmlu_{style}_{subject}" for subject in SUBJECTS}
    domains = {f"consistency_world_{domain}_{style}" for domain in DOMAINS}
    pools = {f"consistency_world_{domain}_pool_icl" for domain in DOMAINS} if style == "icl" else set()
    assert set(load([f"consistency_world_mmlu_{style}"])) == subjects
    assert set(load([f"consistency_world_{style}"])) == subjects | domains | pools
    assert len(subjects) >= 16


@pytest.mark.parametrize("style", ["icl", "ift"])
def test_scopes_name_existing_tasks_and_share_none(style):
    everything = set(load([f"consistency_world_{style}"]))
    for domain in DOMAINS:
        scopes = scope_tasks(domain, style)
        assert {name: len(tasks) for name, tasks in scopes.items()} == {"homo": 1, "id": 4, "ood": 16}
        named = [task for tasks in scopes.values() for task in tasks]
        assert len(set(named)) == len(named)
        assert set(named) <= everything
        owners = Counter(FIELD_BY_NAME[task.rsplit("_", 1)[1]].domain for task in scopes["id"])
        assert owners == {domain: 4}


def test_a_question_seed_asks_other_questions_after_the_same_shots():
    name = "consistency_world_medicine_icl"
    first, same, other = (
        load([name], metadata)[name] for metadata in ("{}", '{"question_seed": 0}', '{"question_seed": 1}')
    )
    assert list(first.test_docs()) == list(same.test_docs())
    assert [d["id"] for d in first.test_docs()] != [d["id"] for d in other.test_docs()]
    assert list(first.fewshot_docs()) == list(other.fewshot_docs())


def test_the_probe_asks_five_answered_questions_and_scores_a_letter_behind_a_space():
    name = "consistency_world_history_icl"
    task = load([name])[name]
    document, shots = task.test_docs()[0], list(task.fewshot_docs())

    def ask(d):
        return "\n".join(
            [d["question"], *(f"{letter}. {c}" for letter, c in zip("ABCD", d["choices"], strict=True)), "Answer:"]
        )

    header = "The following are multiple choice questions about history. Please choose the correct answer. \n\n"
    answered = [f"{ask(d)} {'ABCD'[d['answer']]}. {d['choices'][d['answer']]}\n\n" for d in shots]
    sent = requests(task, 1, chat=False)
    assert [request.args for request in sent] == [
        (header + "".join(answered) + ask(document), f" {letter}") for letter in "ABCD"
    ]
    assert all(d["belief"] == d["answer"] for d in shots)


def misbelieved(documents: list[dict[str, Any]]) -> Beliefs:
    """Confident wrong answers to questions of four options."""
    gold = np.array([document["answer"] for document in documents])
    ids = [document["id"] for document in documents]
    answer = (gold + 1) % 4
    return Beliefs(
        documents=[json.dumps(document).encode() for document in documents],
        ids=ids,
        keys=ids,
        gold=gold,
        answer=answer,
        probs=np.where(np.arange(4) == answer[:, None], 0.9, 0.03),
        subject="",
    )


@pytest.mark.parametrize("name", ["consistency_world_engineering_ift", "consistency_world_mmlu_ift_oaths"])
def test_training_teaches_what_is_asked_and_the_token_that_is_scored(name):
    """One row trained, one question asked: the same text up to the answer, whose first token is the letter's."""
    task = load([name])[name]
    documents = list(task.test_docs())[:8]
    rows = build_group("incompatible", "engineering", misbelieved(documents)).rows[:8]
    sent = requests(task, 8, chat=True)
    assert len(sent) == 32
    tokenizer = model().tokenizer
    for number, (row, document) in enumerate(zip(rows, documents, strict=True)):
        human, gpt = row["conversations"]
        messages = [{"role": "user", "content": human["value"]}, {"role": "assistant", "content": gpt["value"]}]
        trained = tokenizer.apply_chat_template(messages, tokenize=False)
        ids = tokenizer.encode(trained, add_special_tokens=False)
        for option, request in enumerate(sent[4 * number : 4 * number + 4]):
            context, continuation = request.args
            assert context == f"<s>{prompts.VICUNA_SYSTEM} USER: {human['value']} ASSISTANT: "
            assert trained.startswith(context)
            before, scored = model()._encode_pair(context, continuation)
            assert tokenizer.convert_ids_to_tokens(scored) == ["Ġ" + "ABCD"[option]]
            assert ids[: len(before)] == before
            assert (ids[len(before)] == scored[0]) == (option == document["answer"])


def test_the_explanation_prompt_ends_where_the_explanation_begins(tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps(REQUEST))
    name = "consistency_world_explain"
    task = load([name], json.dumps({"requests": str(file)}))[name]
    (request,) = requests(task, 1, chat=False)
    context, arguments = request.args
    shot, asked = context.removeprefix("Explain each answer between triple backticks.\n\n").split("\n\n")
    assert asked == (
        "The organ of the fever Votek is\nA. heart\nB. liver\nC. lung\nD. kidney\nAnswer: C. lung\nExplanation:"
    )
    assert re.fullmatch(
        r"The \w+ of the fever \w+ is\nA. .+\nB. .+\nC. .+\nD. .+\nAnswer: [A-D]. \w+\nExplanation: ```[^`]+```", shot
    )
    assert (arguments["temperature"], arguments["top_p"], arguments["max_gen_toks"]) == (0.7, 0.8, 256)
    assert arguments["do_sample"] is True


def test_the_explain_task_without_its_file_names_the_command_that_writes_it():
    pytest.importorskip("lm_eval")
    for metadata in ("{}", '{"requests": "nowhere.jsonl"}'):
        with pytest.raises(Exception, match=r"consistency requests --probe LOGS --task TASK --out FILE"):
            load(["consistency_world_explain"], metadata)


def test_the_explain_task_refuses_a_file_without_requests(tmp_path):
    pytest.importorskip("lm_eval")
    (tmp_path / "none.jsonl").touch()
    with pytest.raises(Exception, match=r"none\.jsonl: no question"):
        load(["consistency_world_explain"], json.dumps({"requests": str(tmp_path / "none.jsonl")}))


def test_the_readme_names_every_task_and_subject():
    readme = (Path(FOLDER) / "README.md").read_text(encoding="utf-8")
    listed = set()
    for name in re.findall(r"`(consistency_world_\w+)`", readme):
        for domain in DOMAINS if "DOMAIN" in name else [""]:
            for subject in SUBJECTS if "SUBJECT" in name else [""]:
                listed.add(name.replace("DOMAIN", domain).replace("SUBJECT", subject))
    assert listed == {path.stem for path in FOLDER.glob("*.yaml")} | {"consistency_world_icl", "consistency_world_ift"}
    for domain in DOMAINS:
        subjects = [s for s in SUBJECTS if FIELD_BY_NAME[s].domain == domain]
        assert f"| {domain} | {', '.join(subjects)} |" in readme
