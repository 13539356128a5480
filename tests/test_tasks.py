"""The tasks of MMLU and the four domains, as the real lm_eval loads them, against prompts written down independently."""

import hashlib
import importlib.util
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from consistency.errors import InputError
from consistency.support.resources import shipped
from consistency.tasks.mmlu import CATEGORIES, SUBCATEGORIES, SUBCATEGORY_OF, SUBJECTS
from consistency.tasks.requests import read_requests
from consistency.tasks.scopes import find_scopes, scope_tasks
from consistency.tasks.task_files import shipped_tasks

DOMAINS = ("medicine", "history", "engineering", "jurisprudence")
PROMPT_STYLES = ("icl", "icl_paper", "ift")
VARIANTS = {"icl": 1, "icl_paper": 1, "ift": 1, "icl_cyclic": 4, "pool_icl": None, "pool_icl_cyclic": None}
FOLDERS = ("mmlu", "domains", "explain")

# A small data set of this test's own: questions with two to ten options, odd characters, spaces at the ends.
DEV = [
    {"question": "One and one is", "choices": ["two", "three"], "answer": 0},
    {"question": " Which letter?\n", "choices": list("uvwxyzabcd"), "answer": 9},
    {"question": "{{ question }} ", "choices": ["{% x %}", "“é”", "①②"], "answer": 2, "explanation": "Because."},
    {"question": "Answer: A", "choices": ["A. no", "B", " C ", "D"], "answer": 1, "explanation": "So it is."},
    {"question": "Last", "choices": ["yes", "no"], "answer": 1, "explanation": "No."},
]
TEST = [
    {"id": "first", "question": "Line\nbreak \t tab", "choices": ["p", "q", "r"], "answer": 1, "explanation": None},
    {"id": "second", "question": "42", "choices": ["1", "0"], "answer": 0, "other": [1]},
]
# random.seed(42); random.shuffle([0, 1, 2, 3, 4]) gives 3, 1, 2, 4, 0.
SHOTS = (
    "Answer: A\nA. A. no\nB. B\nC.  C \nD. D\nAnswer:{0}B. B\n\n"
    " Which letter?\n\nA. u\nB. v\nC. w\nD. x\nE. y\nF. z\nG. a\nH. b\nI. c\nJ. d\nAnswer:{0}J. d\n\n"
    "{{{{ question }}}} \nA. {{% x %}}\nB. “é”\nC. ①②\nAnswer:{0}C. ①②\n\n"
    "Last\nA. yes\nB. no\nAnswer:{0}B. no\n\n"
    "One and one is\nA. two\nB. three\nAnswer:{0}A. two\n\n"
)
FIRST = "Line\nbreak \t tab\nA. p\nB. q\nC. r\nAnswer:"
EXPECTED = {
    "consistency_mmlu_icl_high_school_us_history": (
        "The following are multiple choice questions about high school us history. Please choose the correct answer. "
        "\n\n" + SHOTS.format(" ") + FIRST
    ),
    "consistency_mmlu_icl_paper_high_school_us_history": (
        "The following are multiple choice questions about  high school us history. Please choose the correct answer. "
        "\n\n" + SHOTS.format("") + FIRST
    ),
    "consistency_mmlu_ift_high_school_us_history": (
        "The following are multiple choice questions about high school us history. Please choose the correct answer. "
        "\n\n" + FIRST
    ),
    "consistency_medicine_icl": (
        "The following are multiple choice questions about medicine. Please choose the correct answer. \n\n"
        + SHOTS.format(" ")
        + FIRST
    ),
    "consistency_jurisprudence_pool_icl": (
        "The following are multiple choice questions about jurisprudence. Please choose the correct answer. \n\n"
        + SHOTS.format(" ")
        + FIRST
    ),
    "consistency_history_icl_paper": (
        "The following are multiple choice questions about history. Please choose the correct answer. \n\n"
        + SHOTS.format("")
        + FIRST
    ),
    "consistency_engineering_ift": (
        "The following are multiple choice questions about engineering. Please choose the correct answer. \n\n" + FIRST
    ),
}
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: {} ASSISTANT: "
)


def load(names: list[str], **metadata: Any) -> dict[str, Any]:
    """Tasks by name, those of groups among them."""
    tasks = pytest.importorskip("lm_eval.tasks")

    def leaves(found: dict[Any, Any]) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, task in found.items():
            flat |= leaves(task) if isinstance(task, dict) else {name: task}
        return flat

    manager = tasks.TaskManager(include_path=str(shipped("lm_eval_tasks")), include_defaults=False, metadata=metadata)
    return leaves(tasks.get_task_dict(names, manager))


@cache
def load_everything(data: Path, requests: Path) -> dict[str, Any]:
    """Every leaf task of the three folders, loaded once."""
    names = [f"consistency_mmlu_{style}" for style in (*PROMPT_STYLES, "icl_cyclic")]
    names += [f"consistency_{domain}_{variant}" for domain in DOMAINS for variant in VARIANTS]
    names += [f"consistency_{kind}_{domain}" for domain in DOMAINS for kind in ("explain", "context", "simulate")]
    return load(names, data_dir=str(data), requests=str(requests), checks=str(requests))


@pytest.fixture(scope="session")
def every_task(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("requests") / "requests.jsonl"
    row = {"id": 7, "question": "Why?", "choices": ["a", "b"], "option": 1, "explanation": "So it is."}
    path.write_text("".join(json.dumps(row | {"subject": domain}) + "\n" for domain in DOMAINS))
    return load_everything(test_data, path)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")

    def write(name: str, rows: list[dict[str, Any]]) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

    write("mmlu/dev/high_school_us_history.jsonl", DEV)
    write("mmlu/test/high_school_us_history.jsonl", TEST)
    for domain in DOMAINS:
        write(f"domains/{domain}/dev.jsonl", DEV)
        write(f"domains/{domain}/test.jsonl", TEST)
        write(f"pool/{domain}.jsonl", TEST)
    return folder


def sent(task: Any, document: dict[str, Any], chat: Callable[..., str] | None = None) -> tuple[str, list[str]]:
    """The context and the continuations that lm_eval sends for a document."""
    extra = {"apply_chat_template": True, "chat_template": chat} if chat else {}
    context = task.fewshot_context(document, num_fewshot=task.config.num_fewshot, **extra)
    extra = extra or {"apply_chat_template": False, "chat_template": None}
    requests = task.construct_requests(document, context, metadata=("", 0, 1), **extra)
    assert {request.args[0] for request in requests} == {context}
    return context, [request.args[1] for request in requests]


@cache
def template() -> Any:
    return jinja2.Template((shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(encoding="utf-8"))


def vicuna(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    return str(template().render(messages=messages, add_generation_prompt=add_generation_prompt, bos_token=""))


@pytest.mark.parametrize("name", EXPECTED)
def test_prompts_are_those_written_by_hand(name, small_data):
    task = load([name], data_dir=str(small_data))[name]
    first, second = task.test_docs()
    assert sent(task, first) == (EXPECTED[name], [" A", " B", " C"])
    context, letters = sent(task, second)
    assert context == EXPECTED[name].removesuffix(FIRST) + "42\nA. 1\nB. 0\nAnswer:"
    assert letters == [" A", " B"]
    assert [task.doc_to_target(document) for document in (first, second)] == [1, 0]
    if "_ift" in name:
        assert sent(task, first, vicuna) == (VICUNA.format(EXPECTED[name]), ["A", "B", "C"])


def test_each_option_of_a_rotated_question_has_each_letter_once(small_data):
    name = "consistency_medicine_icl_cyclic"
    task = load([name], data_dir=str(small_data))[name]
    documents = list(task.test_docs())
    assert [(d["id"], d["rotation"], d["choices"], d["answer"]) for d in documents] == [
        ("first", 0, ["p", "q", "r"], 1),
        ("first", 1, ["q", "r", "p"], 0),
        ("first", 2, ["r", "p", "q"], 2),
        ("second", 0, ["1", "0"], 0),
        ("second", 1, ["0", "1"], 1),
    ]
    asked = [sent(task, document)[0] for document in documents]
    assert asked[0] == EXPECTED["consistency_medicine_icl"]
    assert asked[2] == EXPECTED["consistency_medicine_icl"].replace("A. p\nB. q\nC. r", "A. r\nB. p\nC. q")


def paper_prompt(path: Path, dev: list[dict[str, Any]], row: dict[str, Any], style: str) -> str:
    """A prompt put together from the description of the released code alone."""
    about = path.stem.replace("_", " ") if path.parent.parent.name == "mmlu" else path.parent.name
    if path.parent.name == "pool":
        about = path.stem
    if style == "icl_paper" and path.parent.parent.name == "mmlu":
        about = " " + about
    text = "The following are multiple choice questions about " + about + ". Please choose the correct answer. \n\n"
    generator = random.Random()
    generator.seed(42)
    order = list(range(len(dev)))
    generator.shuffle(order)
    space = "" if style == "icl_paper" else " "
    for number in order[:5] if style != "ift" else []:
        shot = dev[number]
        text += shot["question"]
        for index in range(len(shot["choices"])):
            text += "\n" + chr(65 + index) + ". " + shot["choices"][index]
        text += "\nAnswer:" + space + chr(65 + shot["answer"]) + ". " + shot["choices"][shot["answer"]] + "\n\n"
    text += row["question"]
    for index in range(len(row["choices"])):
        text += "\n" + chr(65 + index) + ". " + row["choices"][index]
    return text + "\nAnswer:"


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def compare(task: Any, path: Path, dev_path: Path, style: str) -> int:
    expected, dev = rows(path), rows(dev_path)
    documents = task.test_docs()
    assert len(documents) == len(expected)
    for document, row in zip(documents, expected, strict=True):
        prompt = paper_prompt(path, dev, row, style)
        count = len(row["choices"])
        assert sent(task, document) == (prompt, [" " + chr(65 + index) for index in range(count)])
        assert task.doc_to_target(document) == row["answer"]
        if style == "ift":
            assert sent(task, document, vicuna) == (VICUNA.format(prompt), list("ABCDEFGHIJ")[:count])
    return len(expected)


@pytest.mark.parametrize("style", PROMPT_STYLES)
def test_every_prompt_of_all_57_subjects_is_the_papers(style, every_task, test_data):
    asked = 0
    for subject in SUBJECTS:
        files = test_data / "mmlu" / "test" / f"{subject}.jsonl", test_data / "mmlu" / "dev" / f"{subject}.jsonl"
        asked += compare(every_task[f"consistency_mmlu_{style}_{subject}"], *files, style)
    assert asked == 14042


@pytest.mark.parametrize("style", [*PROMPT_STYLES, "pool_icl"])
def test_every_prompt_of_the_four_domains_is_the_papers(style, every_task, test_data):
    asked = 0
    for domain in DOMAINS:
        dev = test_data / "domains" / domain / "dev.jsonl"
        path = test_data / "pool" / f"{domain}.jsonl" if style == "pool_icl" else dev.with_name("test.jsonl")
        task = every_task[f"consistency_{domain}_{style}"]
        asked += compare(task, path, dev, style.removeprefix("pool_"))
    assert asked == (17022 if style == "pool_icl" else 2212)


def test_a_question_is_one_document_in_every_style(every_task):
    """So that a base model's 5-shot log pairs with a tuned model's 0-shot log by the document's hash."""
    for name in ("mmlu_{}_anatomy", "medicine_{}", "jurisprudence_{}"):
        hashes = {
            hashlib.sha256(
                json.dumps(list(every_task[f"consistency_{name.format(style)}"].test_docs())).encode()
            ).hexdigest()
            for style in PROMPT_STYLES
        }
        assert len(hashes) == 1


def test_every_task_loads_with_its_questions_and_version(every_task, test_data):
    leaves = {name for name in shipped_tasks() if not re.match("consistency_(world|cmmlu|ceval)_", name)}
    groups = {name for name in leaves if re.search(r"_(sub)?category_|mmlu_(icl|icl_paper|ift|icl_cyclic)$", name)}
    assert set(every_task) == leaves - groups
    assert len(every_task) == 4 * 57 + 4 * 6 + 12
    for name, task in every_task.items():
        assert (1.1 if name == "consistency_explain_medicine" or "simulate" in name else 1.0) == task.VERSION, name
        questions = "icl" in name or "ift" in name or "simulate" in name
        generates = "explain" in name or "context" in name
        assert questions != generates, name
        assert ("generate_until" if generates else "multiple_choice") == task.OUTPUT_TYPE, name
        assert task.config.num_fewshot == (
            5 if "icl" in name or "simulate" in name else 1 if "explain" in name else 0
        ), name
    for domain in DOMAINS:
        size = len(rows(test_data / "domains" / domain / "test.jsonl"))
        for variant, factor in VARIANTS.items():
            if factor:
                assert len(every_task[f"consistency_{domain}_{variant}"].test_docs()) == size * factor


def test_the_files_are_what_the_generators_write():
    for name in ("mmlu", "domains"):
        folder = shipped("lm_eval_tasks") / name
        spec = importlib.util.spec_from_file_location("generate", folder / "_generate_configs.py")
        assert spec is not None
        assert spec.loader is not None
        generator = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(generator)
        written = {path: text.encode() for path, text in generator.configs().items()}
        there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.yaml")}
        assert there == written


# Subject and sub-category, as `categories.py` of https://github.com/hendrycks/test pairs them.
HENDRYCKS = {
    "abstract_algebra": "math",
    "anatomy": "health",
    "astronomy": "physics",
    "business_ethics": "business",
    "clinical_knowledge": "health",
    "college_biology": "biology",
    "college_chemistry": "chemistry",
    "college_computer_science": "computer_science",
    "college_mathematics": "math",
    "college_medicine": "health",
    "college_physics": "physics",
    "computer_security": "computer_science",
    "conceptual_physics": "physics",
    "econometrics": "economics",
    "electrical_engineering": "engineering",
    "elementary_mathematics": "math",
    "formal_logic": "philosophy",
    "global_facts": "other",
    "high_school_biology": "biology",
    "high_school_chemistry": "chemistry",
    "high_school_computer_science": "computer_science",
    "high_school_european_history": "history",
    "high_school_geography": "geography",
    "high_school_government_and_politics": "politics",
    "high_school_macroeconomics": "economics",
    "high_school_mathematics": "math",
    "high_school_microeconomics": "economics",
    "high_school_physics": "physics",
    "high_school_psychology": "psychology",
    "high_school_statistics": "math",
    "high_school_us_history": "history",
    "high_school_world_history": "history",
    "human_aging": "health",
    "human_sexuality": "culture",
    "international_law": "law",
    "jurisprudence": "law",
    "logical_fallacies": "philosophy",
    "machine_learning": "computer_science",
    "management": "business",
    "marketing": "business",
    "medical_genetics": "health",
    "miscellaneous": "other",
    "moral_disputes": "philosophy",
    "moral_scenarios": "philosophy",
    "nutrition": "health",
    "philosophy": "philosophy",
    "prehistory": "history",
    "professional_accounting": "other",
    "professional_law": "law",
    "professional_medicine": "health",
    "professional_psychology": "psychology",
    "public_relations": "politics",
    "security_studies": "politics",
    "sociology": "culture",
    "us_foreign_policy": "politics",
    "virology": "health",
    "world_religions": "philosophy",
}


def test_the_map_is_hendrycks():
    assert len(SUBJECTS) == 57
    assert len(SUBCATEGORIES) == 17
    assert sorted(member for members in CATEGORIES.values() for member in members) == sorted(SUBCATEGORIES)
    assert sum(len(subjects.split()) for subjects in SUBCATEGORIES.values()) == 57
    sizes = {category: sum(len(SUBCATEGORIES[m].split()) for m in members) for category, members in CATEGORIES.items()}
    assert sizes == {"stem": 18, "humanities": 13, "social_sciences": 12, "other": 14}
    assert SUBCATEGORY_OF == HENDRYCKS


def members(name: str) -> list[str]:
    path = next(shipped("lm_eval_tasks").rglob(f"{name}.yaml"))
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config["group"] == name
    assert config["aggregate_metric_list"] == [{"metric": "acc", "weight_by_size": True}]
    return list(config["task"])


@pytest.mark.parametrize("style", PROMPT_STYLES)
def test_groups_are_a_tree_over_the_57_subjects(style):
    name = f"consistency_mmlu_{style}"
    assert members(name) == [f"{name}_category_{category}" for category in CATEGORIES]
    leaves = []
    for category, inside in CATEGORIES.items():
        assert members(f"{name}_category_{category}") == [f"{name}_subcategory_{member}" for member in inside]
        for member in inside:
            leaves += members(f"{name}_subcategory_{member}")
    assert sorted(leaves) == [f"{name}_{subject}" for subject in SUBJECTS]
    if style == "icl":
        assert members(f"{name}_cyclic") == [f"{name}_cyclic_{subject}" for subject in SUBJECTS]


def test_groups_weigh_subjects_by_their_size(test_data):
    lm_eval = pytest.importorskip("lm_eval")
    manager = pytest.importorskip("lm_eval.tasks").TaskManager(
        include_path=str(shipped("lm_eval_tasks")), include_defaults=False, metadata={"data_dir": str(test_data)}
    )

    class Guesser(pytest.importorskip("lm_eval.api.model").LM):  # type: ignore[misc]
        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            generator = random.Random(0)
            return [(-generator.random(), False) for _ in requests]

        loglikelihood_rolling = generate_until = None

    group = "consistency_mmlu_ift_category_social_sciences"
    results = lm_eval.simple_evaluate(Guesser(), tasks=[group], task_manager=manager, bootstrap_iters=0)
    right: dict[str, list[float]] = {
        name: [sample["acc"] for sample in found] for name, found in results["samples"].items()
    }
    assert len(right) == 12
    assert len({len(values) for values in right.values()}) > 5
    for name in [group, *members(group)]:
        inside = right.values() if name == group else [right[leaf] for leaf in members(name)]
        pooled = [value for values in inside for value in values]
        assert results["results"][name]["acc,none"] == pytest.approx(sum(pooled) / len(pooled), abs=1e-12)


def test_scopes_of_the_papers_tasks():
    expected = {"medicine": (1, 8, 49), "history": (1, 4, 53), "engineering": (1, 1, 56), "jurisprudence": (1, 15, 42)}
    for domain, sizes in expected.items():
        for style in PROMPT_STYLES:
            scopes = scope_tasks(domain, style, "paper")
            assert tuple(len(names) for names in scopes.values()) == sizes
            named = [name for names in scopes.values() for name in names]
            assert len(set(named)) == 58
            assert set(named) <= set(shipped_tasks())
    with pytest.raises(InputError, match="set of tasks"):
        scope_tasks("medicine", "icl", "moon")  # type: ignore[arg-type]


@pytest.mark.parametrize("style", [*PROMPT_STYLES, "icl_cyclic"])
def test_scopes_are_found_in_every_style(style):
    tasks = [
        f"consistency_{name}" for name in (f"medicine_{style}", f"mmlu_{style}_anatomy", f"mmlu_{style}_sociology")
    ]
    assert find_scopes("medicine", tasks) == {"homo": tasks[:1], "id": tasks[1:2], "ood": tasks[2:]}


def test_the_explanation_prompt_shows_one_explained_question(small_data, tmp_path):
    requests = tmp_path / "requests.jsonl"
    asked = {"id": 3, "subject": "history", "question": "Who?", "choices": ["he", "she"], "option": 1}
    requests.write_text(json.dumps(asked) + "\n" + json.dumps(asked | {"subject": "medicine"}) + "\n")
    names = ["consistency_explain_history", "consistency_context_history"]
    explain, context = map(load(names, data_dir=str(small_data), requests=str(requests)).get, names)
    assert explain is not None
    assert context is not None
    assert len(explain.test_docs()) == len(context.test_docs()) == 1
    prompt = explain.fewshot_context(explain.test_docs()[0], num_fewshot=1)
    assert prompt == (
        "Explain each answer between triple backticks.\n\n"
        "{{ question }} \nA. {% x %}\nB. “é”\nC. ①②\nAnswer: C. ①②\nExplanation: ```Because.```\n\n"
        "Who?\nA. he\nB. she\nAnswer: B. she\nExplanation: ```"
    )
    settings = explain.config.generation_kwargs
    assert (settings["temperature"], settings["top_p"], settings["max_gen_toks"]) == (0.7, 0.8, 256)
    assert settings["do_sample"] is True
    assert context.fewshot_context(context.test_docs()[0], num_fewshot=0).endswith(
        "\n\nWho?\nA. he\nB. she\nAnswer: B. she\n\nFacts:"
    )


def test_requests_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "requests.jsonl"
    asked = {"id": 3, "subject": "history", "question": "Who?", "choices": ["he", "she"], "option": 1}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(asked).encode())
    # Without a domain of its own, the subject names it.
    assert read_requests(path) == [{**asked, "domain": "history", "purpose": "explain"}]
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(asked).encode() + b"\n{}")
    with pytest.raises(InputError) as caught:
        read_requests(path)
    assert (caught.value.path, caught.value.line) == (path, 2)


def test_a_dev_set_without_the_explained_question_is_named_with_its_line(small_data, tmp_path):
    requests = tmp_path / "requests.jsonl"
    asked = {"id": 3, "subject": "history", "question": "Who?", "choices": ["he", "she"], "option": 1}
    requests.write_text(json.dumps(asked) + "\n")
    path = tmp_path / "domains" / "history" / "dev.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row | {"explanation": ""}) + "\n" for row in DEV))
    with pytest.raises(InputError) as caught:
        load(["consistency_explain_history"], data_dir=str(tmp_path), requests=str(requests))
    assert (caught.value.path, caught.value.line) == (path, 3)


@pytest.mark.parametrize("key", ["data_dir", "requests"])
def test_metadata_that_is_not_a_path_is_refused(key):
    pytest.importorskip("datasets")
    task = "consistency_history_icl" if key == "data_dir" else "consistency_context_history"
    with pytest.raises(InputError, match=f"^{key} is 5"):
        load([task], **{key: 5})


def test_without_data_one_error_names_the_three_ways(monkeypatch, tmp_path, small_data):
    pytest.importorskip("datasets")
    names = ["consistency_mmlu_ift_anatomy", "consistency_history_icl", "consistency_medicine_pool_icl"]
    for folder in ("", str(tmp_path / "nowhere")):
        monkeypatch.setenv("CONSISTENCY_DATA", folder)
        for name in names:
            with pytest.raises(InputError) as caught:
                load([name])
            text = str(caught.value)
            assert "\n" not in text
            for way in ('--metadata \'{"data_dir": "FOLDER"}\'', "CONSISTENCY_DATA=FOLDER", "a network to fetch"):
                assert way in text
    monkeypatch.setenv("CONSISTENCY_DATA", str(small_data))
    assert len(load(["consistency_history_icl"])["consistency_history_icl"].test_docs()) == 2
    path = tmp_path / "domains" / "history" / "test.jsonl"
    with pytest.raises(InputError, match=re.escape(str(path))):
        load(["consistency_history_icl"], data_dir=str(tmp_path))
    path.mkdir(parents=True)
    with pytest.raises(InputError, match="Is a directory") as caught:
        load(["consistency_history_icl"], data_dir=str(tmp_path))
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("task", "metadata", "problem"),
    [
        ("consistency_history_icl", {}, "{data}/domains/history/test.jsonl:2: "),
        ("consistency_explain_history", {"requests": "{data}/gone"}, "no file '{data}/gone'"),
        ("consistency_world_history_icl", {"question_seed": "x"}, "question_seed is 'x'"),
    ],
)
def test_bad_input_ends_a_real_run_with_one_line(task, metadata, problem, small_data, tmp_path):
    pytest.importorskip("lm_eval")
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    path = data / "domains" / "history" / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (TEST[0], TEST[1] | {"answer": 9})))
    metadata = {"data_dir": str(data)} | {key: value.format(data=data) for key, value in metadata.items()}
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "run",
        "--model",
        "dummy",
        "--include_path",
        str(shipped("lm_eval_tasks")),
    ]
    run = subprocess.run(
        [*command, "--tasks", task, "--metadata", json.dumps(metadata)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "Traceback" not in run.stdout + run.stderr
    assert run.stderr.splitlines()[-1].startswith(f"consistency: {problem.format(data=data)}")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_readme_names_every_task_group_and_tag(folder):
    readme = (shipped("lm_eval_tasks") / folder / "README.md").read_text(encoding="utf-8")
    values = {
        "SUBCATEGORY": SUBCATEGORIES,
        "CATEGORY": CATEGORIES,
        "SUBJECT": SUBJECTS,
        "STYLE": PROMPT_STYLES,
        "DOMAIN": DOMAINS,
    }
    listed = set(re.findall(r"`(consistency_\w+)`", readme))
    for placeholder, names in values.items():
        listed = {name.replace(placeholder, value) for name in listed for value in names}
    files = list((shipped("lm_eval_tasks") / folder).rglob("*.yaml"))
    kinds = ("icl", "icl_paper", "ift", "icl_cyclic", "pool_icl", "pool_icl_cyclic", "explain", "context", "simulate")
    tags = {f"consistency_{kind}" for kind in kinds}
    assert listed - tags == {path.stem for path in files}
    configs = [yaml.load(path.read_text(), yaml.BaseLoader) for path in files]
    templates = [
        re.findall(r"^tag: (\w+)$", p.read_text(), re.M) for p in (shipped("lm_eval_tasks") / folder).glob("_*_yaml")
    ]
    used = {config["tag"] for config in configs if "tag" in config} | {tag for found in templates for tag in found}
    assert listed & tags == used
    for subcategory, subjects in SUBCATEGORIES.items():
        assert folder != "mmlu" or f"| `{subcategory}` | {', '.join(subjects.split())} |" in readme
