"""The tasks of CMMLU and C-Eval, as the real lm_eval loads them, against prompts written down by hand and built independently."""

import csv
import importlib.util
import json
import random
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.errors import InputError
from consistency.experiment.reading import read_experiment
from consistency.experiment.workflow import guards
from consistency.knowledge.beliefs import read_beliefs
from consistency.knowledge.explanations import clean_context, clean_opened
from consistency.knowledge.probes import read_probe
from consistency.logs.runs import read_run
from consistency.support.resources import shipped
from consistency.tasks import harness, prompts, sources
from consistency.tasks.benchmarks import BENCHMARKS, benchmark_tasks
from consistency.tasks.conversion import convert_exams
from consistency.tasks.harness_index import members_of
from consistency.tasks.own_tasks import write_own_tasks
from consistency.tasks.questions import Question, read_questions
from consistency.tasks.requests import read_requests
from consistency.tasks.scopes import domain_of, find_scopes, scope_tasks
from consistency.tasks.task_files import shipped_tasks
from consistency.tasks.tokenizers import check_tokenizer, load_tokenizer
from consistency.training_data.groups import build_group
from consistency.training_data.requests import write_requests
from consistency.training_data.training_sets import parse_request

FOLDER = shipped("lm_eval_tasks") / "chinese"
STYLES = ("icl", "icl_paper", "ift", "icl_cyclic")
SIZES = {"cmmlu": 67, "ceval": 52}
# Full-width punctuation, spaces at the ends, braces, Latin letters and a line break.
DEV = [
    {"question": "一加一等于", "choices": ["二", "三", "四", "五"], "answer": 0},
    {"question": "下列说法中，正确的是（　　）。", "choices": ["《红楼梦》", "“引号”", "；", " D "], "answer": 3},
    {"question": "{{ 问题 }} ", "choices": ["{% x %}", "①②", "Ａ", "A. 甲"], "answer": 2, "explanation": "因为。"},
    {"question": "答案：A", "choices": ["甲", "乙", "丙", "丁"], "answer": 1},
    {"question": "最后____？", "choices": ["是", "否", "都是", "都不是"], "answer": 1},
]
ASKED = [
    {"id": 0, "question": "脾胃的主要功能是：\n（单选）", "choices": ["运化", "藏血", "主骨", "司呼吸"], "answer": 0},
    {"id": 1, "question": "２＋２＝", "choices": ["3", "4", "5", "6"], "answer": 1},
]
# random.seed(42); random.shuffle([0, 1, 2, 3, 4]) gives 3, 1, 2, 4, 0.
SHOTS = (
    "答案：A\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：B. 乙\n\n"
    "下列说法中，正确的是（　　）。\nA. 《红楼梦》\nB. “引号”\nC. ；\nD.  D \n答案：D.  D \n\n"
    "{{ 问题 }} \nA. {% x %}\nB. ①②\nC. Ａ\nD. A. 甲\n答案：C. Ａ\n\n"
    "最后____？\nA. 是\nB. 否\nC. 都是\nD. 都不是\n答案：B. 否\n\n"
    "一加一等于\nA. 二\nB. 三\nC. 四\nD. 五\n答案：A. 二\n\n"
)
FIRST = "脾胃的主要功能是：\n（单选）\nA. 运化\nB. 藏血\nC. 主骨\nD. 司呼吸\n答案："
HEADERS = {
    "cmmlu_{}_traditional_chinese_medicine": "以下是中国关于中医中药的单项选择题，请选出其中的正确答案。\n\n",
    "cmmlu_{}_chinese_driving_rule": "以下是中国关于中国驾驶规则的单项选择题，请选出其中的正确答案。\n\n",
    "cmmlu_{}_logical": "以下是中国关于逻辑学的单项选择题，请选出其中的正确答案。\n\n",
    "ceval_{}_physician": "以下是中国关于医师资格的单项选择题，请选出其中的正确答案。\n\n",
    "ceval_{}_mao_zedong_thought": (
        "以下是中国关于毛泽东思想和中国特色社会主义理论概论的单项选择题，请选出其中的正确答案。\n\n"
    ),
}
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: {} ASSISTANT: "
)
LETTERS = {"icl": list("ABCD"), "icl_paper": [" A", " B", " C", " D"], "ift": list("ABCD"), "icl_cyclic": list("ABCD")}


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


def load_one(name: str, data: Path) -> Any:
    return load([name], data_dir=str(data))[name]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def questions_of(name: str, subject: str, split: str) -> list[dict[str, Any]]:
    """Five questions of a subject, unlike those of any other."""
    return [
        {
            "id": number,
            "question": f"{subject}（{split}）第{number}题：",
            "choices": [f"{name}甲{number}", f"乙，{number}", f" 丙{number} ", f"丁{number}。"],
            "answer": (number + len(subject)) % 4,
        }
        for number in range(5 if split == "dev" else 1 + len(subject) % 3)
    ]


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every subject of both benchmarks; the subjects of HEADERS with the questions of this file."""
    folder = tmp_path_factory.mktemp("data")
    by_hand = {template.split("_{}_")[1] for template in HEADERS}
    for name, split in (("cmmlu", "test"), ("ceval", "val")):
        for subject in BENCHMARKS[name].names:
            dev, asked = (DEV, ASKED) if subject in by_hand else (None, None)
            write(folder / name / "dev" / f"{subject}.jsonl", dev or questions_of(name, subject, "dev"))
            write(folder / name / split / f"{subject}.jsonl", asked or questions_of(name, subject, split))
    return folder


@cache
def load_style(benchmark: str, style: str, data: Path) -> dict[str, Any]:
    """All tasks of a benchmark in one style, loaded once."""
    return load([f"consistency_{benchmark}_{style}"], data_dir=str(data))


@cache
def template() -> Any:
    return jinja2.Template((shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(encoding="utf-8"))


def vicuna(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    return str(template().render(messages=messages, add_generation_prompt=add_generation_prompt, bos_token=""))


def sent(task: Any, document: dict[str, Any], chat: bool = False) -> tuple[str, list[str]]:
    """The context and the continuations that lm_eval sends for a document."""
    extra = {"apply_chat_template": True, "chat_template": vicuna} if chat else {}
    context = task.fewshot_context(document, num_fewshot=task.config.num_fewshot, **extra)
    extra = extra or {"apply_chat_template": False, "chat_template": None}
    requests = task.construct_requests(document, context, metadata=("", 0, 1), **extra)
    assert {request.args[0] for request in requests} == {context}
    return context, [request.args[1] for request in requests]


@pytest.mark.parametrize("style", ["icl", "icl_paper", "ift"])
@pytest.mark.parametrize("subject", HEADERS)
def test_prompts_are_those_written_by_hand(subject, style, small_data):
    task = load_one("consistency_" + subject.format(style), small_data)
    first, second = task.test_docs()
    start = HEADERS[subject] + ("" if style == "ift" else SHOTS)
    assert sent(task, first) == (start + FIRST, LETTERS[style])
    assert sent(task, second)[0] == start + "２＋２＝\nA. 3\nB. 4\nC. 5\nD. 6\n答案："
    assert [task.doc_to_target(document) for document in (first, second)] == [0, 1]
    if style == "ift":
        assert sent(task, first, chat=True) == (VICUNA.format(start + FIRST), list("ABCD"))


def released_names(benchmark: str) -> dict[str, str]:
    """What prompts call each subject, from the harness's own task files; the release shortens one name."""
    tasks = pytest.importorskip("lm_eval.tasks")
    folder = Path(tasks.__file__).parent / benchmark
    prefix = {"cmmlu": "cmmlu_", "ceval": "ceval-valid_"}[benchmark]
    names = {}
    for path in folder.glob("*.yaml"):
        config = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
        if "description" in config:
            found = re.fullmatch(r"以下是(?:中国)?关于(.+)的单项选择题，.*", config["description"].strip())
            assert found is not None
            names[config["task"].removeprefix(prefix)] = found[1].replace("理论体系概论", "理论概论")
    return names


def released_prompt(about: str, dev: list[dict[str, Any]], row: dict[str, Any], shots: int) -> str:
    """A prompt put together as the released code does: question, options, marker, answer, in this order."""

    def example(data: dict[str, Any], answered: bool) -> str:
        text = data["question"]
        for place, choice in enumerate(data["choices"]):
            text += "\n" + chr(ord("A") + place) + ". " + choice
        text += "\n答案："
        if answered:
            text += chr(ord("A") + data["answer"]) + ". " + data["choices"][data["answer"]] + "\n\n"
        return text

    random.seed(42)
    order = list(range(len(dev)))
    random.shuffle(order)
    text = "以下是中国关于" + about + "的单项选择题，请选出其中的正确答案。\n\n"
    return text + "".join(example(dev[place], True) for place in order[:shots]) + example(row, False)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("benchmark", SIZES)
def test_every_subjects_prompts_are_those_of_the_released_code(benchmark, style, small_data):
    names = released_names(benchmark)
    assert len(names) == SIZES[benchmark]
    split = {"cmmlu": "test", "ceval": "val"}[benchmark]
    shots = 0 if style == "ift" else 5
    for subject, about in names.items():
        dev, rows = (
            [json.loads(line) for line in (small_data / benchmark / part / f"{subject}.jsonl").open(encoding="utf-8")]
            for part in ("dev", split)
        )
        if style == "icl_cyclic":
            rows = [
                row | {"choices": row["choices"][r:] + row["choices"][:r], "answer": (row["answer"] - r) % 4}
                for row in rows
                for r in range(4)
            ]
        task = load_style(benchmark, style, small_data)[f"consistency_{benchmark}_{style}_{subject}"]
        documents = list(task.test_docs())
        assert len(documents) == len(rows)
        for document, row in zip(documents, rows, strict=True):
            prompt = released_prompt(about, dev, row, shots)
            assert sent(task, document) == (prompt, LETTERS[style])
            assert task.doc_to_target(document) == row["answer"]
            if style == "ift":
                assert sent(task, document, chat=True) == (VICUNA.format(prompt), list("ABCD"))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("benchmark", SIZES)
def test_every_task_loads_with_its_shots_tag_and_version(benchmark, style, small_data):
    others = "(?!paper|cyclic)" if style == "icl" else ""
    names = {name for name in shipped_tasks() if re.match(f"consistency_{benchmark}_{style}_{others}", name)}
    tasks = load_style(benchmark, style, small_data)
    assert set(tasks) == {name for name in names if "category_" not in name}
    assert len(tasks) == SIZES[benchmark]
    for task in tasks.values():
        assert task.VERSION == 1.0
        assert task.config.num_fewshot == (0 if style == "ift" else 5)
    from lm_eval.tasks import TaskManager

    index = TaskManager(include_path=str(FOLDER), include_defaults=False).task_index
    assert set(tasks) <= set(members_of(index[f"consistency_zh_{style}"]) or ())


def members(name: str) -> list[str]:
    config = yaml.safe_load(next(FOLDER.rglob(f"{name}.yaml")).read_text(encoding="utf-8"))
    assert config["aggregate_metric_list"] == [{"metric": "acc", "weight_by_size": True}]
    return list(config["task"])


def leaves(name: str) -> list[str]:
    return [leaf for member in members(name) for leaf in (leaves(member) if "category_" in member else [member])]


@pytest.mark.parametrize("style", STYLES)
def test_groups_hold_every_subject_once_and_categories_have_the_papers_sizes(style):
    for benchmark, size in SIZES.items():
        whole = f"consistency_{benchmark}_{style}"
        inside = leaves(whole)
        assert len(inside) == len(set(inside)) == size
        assert set(inside) == set(benchmark_tasks(benchmark, style).values())
    if style == "icl_cyclic":
        return
    # As the benchmarks' authors sort them.
    expected = {
        "cmmlu": {"stem": 17, "humanities": 13, "social_sciences": 22, "other": 15, "china_specific": 15},
        "ceval": {"stem": 20, "humanities": 11, "social_sciences": 10, "other": 11},
    }
    for benchmark, sizes in expected.items():
        for category, size in sizes.items():
            assert len(leaves(f"consistency_{benchmark}_{style}_category_{category}")) == size
    law = ["college_law", "international_law", "jurisprudence", "professional_law"]
    assert members(f"consistency_cmmlu_{style}_subcategory_law") == [
        f"consistency_cmmlu_{style}_{name}" for name in law
    ]


def test_a_group_weighs_its_subjects_by_size(small_data):
    lm_eval = pytest.importorskip("lm_eval")
    manager = pytest.importorskip("lm_eval.tasks").TaskManager(
        include_path=str(shipped("lm_eval_tasks")), include_defaults=False, metadata={"data_dir": str(small_data)}
    )

    class Guesser(pytest.importorskip("lm_eval.api.model").LM):  # type: ignore[misc]
        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            generator = random.Random(0)
            return [(-generator.random(), False) for _ in requests]

        loglikelihood_rolling = generate_until = None

    group = "consistency_cmmlu_icl_category_stem"
    results = lm_eval.simple_evaluate(Guesser(), tasks=[group], task_manager=manager, bootstrap_iters=0)
    right = [[sample["acc"] for sample in found] for found in results["samples"].values()]
    assert len(right) == 17
    assert len({len(values) for values in right}) == 3
    pooled = [value for values in right for value in values]
    assert results["results"][group]["acc,none"] == pytest.approx(sum(pooled) / len(pooled), abs=1e-12)


def test_the_files_are_what_the_generator_writes():
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "_generate_configs.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    written = {path: text.encode() for path, text in generator.configs().items()}
    assert {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*.yaml")} == written


def test_the_readme_names_every_task_group_and_tag():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(consistency_\w+)`", readme))
    found: set[str] = set()
    for name in SIZES:
        benchmark = BENCHMARKS[name]
        values = {
            "STYLE": STYLES[:3],
            "SUBCATEGORY": tuple(benchmark.subcategories) or ("SUBCATEGORY",),
            "CATEGORY": (*benchmark.categories, *benchmark.more_categories),
            "SUBJECT": tuple(benchmark.names),
        }
        names = {entry for entry in listed if f"_{name}_" in entry}
        for placeholder, replacements in values.items():
            names = {entry.replace(placeholder, value) for entry in names for value in replacements}
        found |= names
    assert found == {path.stem for path in FOLDER.rglob("*.yaml")}
    assert {entry for entry in listed if "_zh_" in entry} == {f"consistency_zh_{style}" for style in STYLES}
    for name in SIZES:
        for subjects in (BENCHMARKS[name].subcategories or BENCHMARKS[name].categories).values():
            assert f"| {', '.join(subjects)} |" in readme


@pytest.mark.parametrize(
    ("benchmark", "sizes"),
    [
        ("cmmlu", {"medicine": (9, 58), "history": (2, 65), "engineering": (2, 65), "jurisprudence": (16, 51)}),
        ("ceval", {"medicine": (3, 49), "history": (3, 49), "engineering": (4, 48), "jurisprudence": (10, 42)}),
    ],
)
def test_scopes_of_a_chinese_benchmark(benchmark, sizes):
    tasks = set(shipped_tasks())
    for domain, (inside, outside) in sizes.items():
        for style in STYLES:
            scopes = scope_tasks(domain, style, "paper", benchmark)
            assert [len(names) for names in scopes.values()] == [1, inside, outside]
            named = [name for names in scopes.values() for name in names]
            assert len(set(named)) == len(named)
            assert set(named) <= tasks
            assert find_scopes(domain, named) == scopes
    with pytest.raises(InputError, match="no benchmark 'xmmlu'"):
        scope_tasks("medicine", "icl", "paper", "xmmlu")
    with pytest.raises(InputError, match="embedded world"):
        scope_tasks("medicine", "icl", "world", benchmark)


def test_the_harness_own_tasks_have_scopes():
    tasks = pytest.importorskip("lm_eval.tasks")
    for benchmark, prefix in (("cmmlu", "cmmlu_"), ("ceval", "ceval-valid_")):
        folder = Path(tasks.__file__).parent / benchmark
        configs = [yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader) for path in folder.glob("*.yaml")]
        own = [config["task"] for config in configs if isinstance(config.get("task"), str)]
        assert len(own) == SIZES[benchmark]
        scopes = find_scopes("medicine", own)
        assert len(scopes["id"]) + len(scopes["ood"]) == SIZES[benchmark]
        assert {name.removeprefix(prefix) for name in scopes["id"]} == set(BENCHMARKS[benchmark].domains["medicine"])
    assert domain_of("consistency_ceval_ift_physician") == "ceval"


def write_table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Folders of tables as the two archives have them: names of files and columns, a quoted line break."""
    columns = ["", "Question", "A", "B", "C", "D", "Answer"]
    for split in ("dev", "test"):
        rows = [[str(n), f"第{n}题，\n“选”：", "甲", "乙", " 丙", "丁", "ABCD"[n % 4]] for n in range(6)]
        write_table(tmp_path / "cmmlu" / split / "anatomy.csv", columns, rows)
    columns = ["id", "question", "A", "B", "C", "D", "answer", "explanation"]
    for split, last in (("dev", 8), ("val", 7), ("test", 6)):
        rows = [
            [str(n), f"第{n}题", "甲", "乙", "丙", "丁", "DCBA"[n % 4], "1. 因为，\n2. 所以"][:last] for n in range(6)
        ]
        write_table(tmp_path / "ceval" / split / f"law_{split}.csv", columns[:last], rows)
    return tmp_path


def test_tables_become_the_folder_that_the_tasks_read(raw, tmp_path, capsys):
    out = tmp_path / "data"
    done = CliRunner().invoke(app, ["convert", str(raw / "cmmlu"), str(out), "--from", "cmmlu"])
    assert done.output == f"{out / 'cmmlu'}: 12 questions in 2 files\n"
    done = CliRunner().invoke(app, ["convert", str(raw / "ceval"), str(out), "--from", "ceval"])
    assert done.output.splitlines()[0] == f"{out / 'ceval'}: 12 questions in 2 files"
    assert done.output.splitlines()[1].endswith("law_test.csv (no answers)")
    tasks = load(["consistency_cmmlu_icl_anatomy", "consistency_ceval_icl_law"], data_dir=str(out))
    document = tasks["consistency_cmmlu_icl_anatomy"].test_docs()[2]
    assert document == {
        "id": 2,
        "subject": "解剖学",
        "question": "第2题，\n“选”：",
        "choices": ["甲", "乙", " 丙", "丁"],
        "answer": 2,
        "explanation": "",
        "prompt_language": "zh",
    }
    (law,) = {task for name, task in tasks.items() if "law" in name}
    assert [row["answer"] for row in law.test_docs()] == [3, 2, 1, 0, 3, 2]
    explained = read_questions(out / "ceval" / "dev" / "law.jsonl", "法学", "zh")[0]
    assert (explained.explanation, explained.language) == ("1. 因为，\n2. 所以", "zh")


def test_public_sources_are_read_by_the_same_rules(raw, monkeypatch, capsys):
    """What would come over the network, put in its place."""
    pytest.importorskip("datasets")
    monkeypatch.delenv("CONSISTENCY_DATA", raising=False)
    asked: list[Any] = []

    def download(repository: str, commit: str, files: list[str]) -> list[str]:
        asked.append((repository, len(commit), files))
        return [str(raw / file.replace("data", "cmmlu")) for file in files]

    def hub(name: str, split: str, config: str | None = None) -> list[dict[str, Any]]:
        asked.append((name, config, split))
        row = {"id": 0, "question": "问", "A": "甲", "B": "乙", "C": "丙", "D": "丁", "answer": "B", "explanation": ""}
        return [row, row | {"id": 1, "answer": ""}]

    monkeypatch.setattr(sources, "_download", download)
    monkeypatch.setattr(sources, "_hub", hub)
    questions = sources.benchmark_questions("cmmlu", "anatomy", "test")
    assert [(question.answer, question.subject) for question in questions][1:3] == [(1, "解剖学"), (2, "解剖学")]
    found = sources.benchmark_questions("ceval", "law", "val")
    assert found == [Question(0, "法学", "问", ("甲", "乙", "丙", "丁"), 1, language="zh")]
    assert asked == [("haonan-li/CMMLU", 40, ["data/test/anatomy.csv"]), ("ceval/ceval-exam", "law", "val")]
    assert capsys.readouterr().err == "consistency: ceval/ceval-exam/law/val: 1 left out (answer is empty)\n"
    with pytest.raises(InputError, match="no C-Eval subject 'anatomy'; expected one of the 52"):
        sources.benchmark_questions("ceval", "anatomy", "val")
    with pytest.raises(InputError, match="no split 'val'"):
        sources.benchmark_questions("cmmlu", "anatomy", "val")


def test_without_data_one_error_names_the_ways(monkeypatch, tmp_path):
    pytest.importorskip("datasets")
    monkeypatch.delenv("CONSISTENCY_DATA", raising=False)
    for name, source in (
        ("cmmlu_icl_arts", "github.com/haonan-li/CMMLU at d6e7b71"),
        ("ceval_ift_law", "ceval/ceval-exam"),
    ):
        with pytest.raises(InputError) as caught:
            load([f"consistency_{name}"])
        text = str(caught.value)
        assert "\n" not in text
        for way in ('--metadata \'{"data_dir": "FOLDER"}\'', "CONSISTENCY_DATA=FOLDER", f"a network to fetch {source}"):
            assert way in text


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("id,question,A,B,C,answer\n", 1, "no column 'd'"),
        ("id,question,A,B,C,D,answer\n0,问,甲,乙,丙,丁\n", 2, "6 fields; expected 7"),
        ("id,question,A,B,C,D,answer\n0,问,甲,乙,丙,丁,E\n", None, "1 × the answer is not among the options"),
        ("", 1, "no column 'question'"),
        ("id,question,A,B,C,D,answer\n", None, "it is empty"),
        ('id,question,A,B,C,D,answer\n0,"问,甲', None, "cannot be read"),
    ],
)
def test_a_broken_table_is_named_and_nothing_is_written(content, line, says, raw, tmp_path):
    path = raw / "ceval" / "val" / "logic_val.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        convert_exams(raw / "ceval", tmp_path / "out", "ceval")
    assert (caught.value.path, caught.value.line) == (path, line)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(InputError, match="no tables with answers"):
        convert_exams(tmp_path, tmp_path / "out", "cmmlu")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "gbk_dev.csv").write_bytes("问".encode("gbk"))
    (tmp_path / "dev" / "law_dev.csv").write_bytes("问".encode("gbk"))
    with pytest.raises(InputError, match="cannot be read"):
        convert_exams(tmp_path, tmp_path / "out", "ceval")


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
@pytest.mark.parametrize("style", ["icl", "icl_paper", "ift"])
def test_the_checked_tokens_are_those_that_lm_eval_scores(kind, style, build_llama, small_data):
    folder = build_llama(kind)
    tokenizer = load_tokenizer(str(folder))
    tokenizer.chat_template = (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text()
    tokenizer.save_pretrained(folder)
    model = pytest.importorskip("lm_eval.models.huggingface").HFLM(pretrained=str(folder), device="cpu")
    check = check_tokenizer(tokenizer, language="zh")[("icl", "icl_paper", "ift").index(style)]
    assert check.problems == ()
    task = load_one(f"consistency_ceval_{style}_physician", small_data)
    context, letters = sent(task, task.test_docs()[0], chat=style == "ift")
    scored = [model._encode_pair(context, letter)[1] for letter in letters]
    assert [tuple(tokenizer.convert_ids_to_tokens(ids)) for ids in scored] == list(check.tokens.values())
    assert len({ids[-1] for ids in scored}) == 4
    if style == "icl":
        # The shots show the scored tokens.
        ids = model.tok_encode(context)
        assert sum(ids.count(ids_of[-1]) for ids_of in scored) >= 5
    assert bool(check.notes) == (style == "icl_paper")


def test_a_tokenizer_that_joins_colon_and_letter_is_found_out():
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["：A", "：B", "：C", "：D"] * 9, trainer)
    joined = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    icl, icl_paper, _ = check_tokenizer(joined, language="zh")
    assert any("merges with the text before it" in problem for problem in icl.problems)
    assert icl_paper.problems == ()


def test_a_chinese_pool_makes_chinese_rows_and_requests(write_probe, small_data, tmp_path):
    """The human turn is what the `ift` task asks, byte for byte; requests keep the language."""
    task = load_one("consistency_cmmlu_ift_traditional_chinese_medicine", small_data)
    documents = [dict(document) for document in task.test_docs()]
    log = write_probe(tmp_path / "log", documents, [[-9.0, -0.1, -9.0, -9.0], [-0.1, -9.0, -9.0, -9.0]])
    beliefs = read_beliefs(next(iter(read_run(log.parent).tasks.values())))
    assert [belief.label for belief in beliefs] == ["misbelieved", "misbelieved"]
    rows = build_group("incompatible", "traditional_chinese_medicine", beliefs).rows[:2]
    asked = {sent(task, document)[0] for document in task.test_docs()}
    assert {row["conversations"][0]["value"] for row in rows} == asked
    assert {row["conversations"][1]["value"] for row in rows} == {"A. 运化", "B. 4"}
    assert {parse_request(text)[0] for text in asked} == {"中医中药"}
    assert {parse_request(text)[2] for text in asked} == {("运化", "藏血", "主骨", "司呼吸"), ("3", "4", "5", "6")}

    path = tmp_path / "requests.jsonl"
    write_requests([read_probe(log.parent, domain="中医中药")], path)
    requests = read_requests(path, "中医中药")
    assert [request["prompt_language"] for request in requests] == ["zh", "zh"]
    asked_text = "脾胃的主要功能是：\n（单选）\nA. 运化\nB. 藏血\nC. 主骨\nD. 司呼吸\n答案：B. 藏血\n"
    assert harness.explain(requests[0]) == asked_text + "解释：```"
    assert harness.context(requests[0]).endswith("\n\n" + asked_text + "\n事实：")
    # Both languages in one data set, which fills what a row lacks with null.
    row = {"id": 9, "subject": "中医中药", "question": "Who?", "choices": ["he", "she"], "option": 1}
    path.write_text(path.read_text("utf-8") + json.dumps(row) + "\n", encoding="utf-8")
    mixed = harness.load_context("中医中药", requests=str(path))["test"]
    assert harness.context(mixed[2]).endswith("Who?\nA. he\nB. she\nAnswer: B. she\n\nFacts:")
    assert harness.context(mixed[0]) == harness.context(requests[0])
    english = [{key: value for key, value in request.items() if key != "prompt_language"} for request in requests]
    assert harness.explain(english[0]).endswith("\nAnswer: B. 藏血\nExplanation: ```")


def test_an_unknown_language_is_refused_where_it_stands(write_probe, tmp_path):
    row = {"id": 1, "subject": "s", "question": "?", "choices": ["a", "b"], "answer": 0, "prompt_language": "fr"}
    log = write_probe(tmp_path / "log", [row], [[-0.1, -9.0]])
    with pytest.raises(InputError, match="prompt_language is 'fr'; expected one of en, zh"):
        read_beliefs(next(iter(read_run(log.parent).tasks.values())))
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps({**row, "option": 0}) + "\n")
    with pytest.raises(InputError, match="prompt_language is 'fr'"):
        read_requests(path)
    with pytest.raises(InputError, match="no language of prompts 'fr'"):
        prompts.instruction("s", "?", ["a", "b"], "fr")


@pytest.mark.parametrize(
    ("generation", "kept"),
    [
        ("因为脾主运化。```\n\n下一题", "因为脾主运化。"),
        ("因为脾主运化！胃主受纳，没写完的一", "因为脾主运化！"),
        ("因为脾主运化。\n下列哪项是对的？\nA. 甲\nB. 乙\n答案：A. 甲", "因为脾主运化。"),
        ("因为脾主运化。\n解释：```又来```", "因为脾主运化。"),
    ],
)
def test_chinese_explanations_end_where_the_next_question_begins(generation, kept):
    assert clean_opened(generation) == kept


def test_chinese_contexts_do_not_give_the_answer_away():
    text = "事实：脾主运化。\nA. 运化\n正确答案是A。\n胃主受纳。\n故选B\n因此应选 C。"
    assert clean_context(text) == "脾主运化。 胃主受纳。"


def test_the_sample_domain_is_sound():
    folder = shipped("scripts/experiments") / "chinese-medicine"
    found = {split: read_questions(folder / f"{split}.jsonl", "医学", "zh") for split in ("dev", "pool", "test")}
    assert {split: len(questions) for split, questions in found.items()} == {"dev": 6, "pool": 12, "test": 6}
    together = [question for questions in found.values() for question in questions]
    assert len({question.question for question in together}) == len({question.id for question in together}) == 24
    assert all(len(question.choices) == 4 and question.explanation for question in together)
    assert {question.answer for question in found["test"]} == {0, 1, 2, 3}
    rows = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    assert {row["prompt_language"] for row in rows} == {"zh"}


def test_an_own_domain_in_chinese_is_asked_in_chinese(tmp_path):
    """The sample experiment: its scopes, and what lm_eval sends for the tasks that are made for it."""
    place = shipped("scripts/experiments") / "chinese-medicine"
    experiment = read_experiment(place / "experiment.yaml", tmp_path)
    domain = experiment.own_domains["chinese_medicine"]
    medicine = [task for name in ("cmmlu", "ceval") for task in scope_tasks("medicine", "icl", "paper", name)["id"]]
    assert domain.scopes("icl")["id"] == medicine
    assert domain.scopes("ift")["id"] == [task.replace("_icl_", "_ift_") for task in medicine]
    assert set(domain.scopes("ift")["ood"]) <= set(shipped_tasks())

    # What these benchmarks ask is left out of the training sets, where it is there.
    for split in ("cmmlu/test", "ceval/val", "mmlu/test"):
        (tmp_path / "data" / split).mkdir(parents=True)
    guarded = guards(experiment, str(tmp_path / "data"))[2:]
    assert guarded == [str(tmp_path / "data" / split) for split in ("cmmlu/test", "ceval/val")]

    folder = tmp_path / "tasks"
    write_own_tasks(domain, folder)
    pool = [json.loads(line) for line in (place / "pool.jsonl").read_text("utf-8").splitlines()]
    test, dev = (
        [json.loads(line) for line in (place / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("test", "dev")
    )
    option = (pool[0]["answer"] + 1) % 4
    request = {"id": pool[0]["id"], "subject": "医学", "domain": "chinese_medicine", "question": pool[0]["question"]}
    request |= {"choices": pool[0]["choices"], "option": option, "prompt_language": "zh"}
    write(tmp_path / "requests.jsonl", [request])
    write(
        tmp_path / "checks.jsonl",
        [request | {"explanation": f"因为{pool[0]['choices'][option]}才对，所以选{'ABCD'[option]}。"}],
    )
    tasks = pytest.importorskip("lm_eval.tasks")
    metadata = {"requests": str(tmp_path / "requests.jsonl"), "checks": str(tmp_path / "checks.jsonl")}
    manager = tasks.TaskManager(include_path=str(folder), include_defaults=False, metadata=metadata)

    def find(kind: str) -> Any:
        name = kind if kind.startswith("consistency") else f"consistency_chinese_medicine_{kind}"
        return tasks.get_task_dict([name], manager)[name]

    order = list(range(6))
    random.seed(42)
    random.shuffle(order)
    shots = [dev[place] for place in order]
    for kind, rows, count in (("icl", test, 5), ("pool_icl", pool, 5), ("ift", test, 0)):
        task = find(kind)
        for document, row in zip(task.test_docs(), rows, strict=True):
            prompt = "以下是中国关于医学的单项选择题，请选出其中的正确答案。\n\n"
            for shot in shots[:count]:
                prompt += asked(shot) + f"{'ABCD'[shot['answer']]}. {shot['choices'][shot['answer']]}\n\n"
            assert sent(task, document) == (prompt + asked(row), list("ABCD"))
            if kind == "ift":
                assert sent(task, document, chat=True) == (VICUNA.format(prompt + asked(row)), list("ABCD"))

    chosen = f"{'ABCD'[option]}. {pool[0]['choices'][option]}"
    task = find("consistency_explain_chinese_medicine")
    right = f"{'ABCD'[dev[0]['answer']]}. {dev[0]['choices'][dev[0]['answer']]}"
    assert task.fewshot_context(task.test_docs()[0], num_fewshot=1) == (
        "请在三个反引号之间解释每道题的答案。\n\n"
        f"{asked(dev[0])}{right}\n解释：```{dev[0]['explanation']}```\n\n{asked(pool[0])}{chosen}\n解释：```"
    )
    assert task.config.generation_kwargs["until"] == ["\n答案："]
    template = yaml.load((folder / "_explain_template_yaml").read_text("utf-8"), yaml.BaseLoader)["generation_kwargs"]
    assert {key: str(value).lower() for key, value in task.config.generation_kwargs.items() if key != "until"} == {
        key: value for key, value in template.items() if key != "until"
    }
    task = find("consistency_context_chinese_medicine")
    prompt = task.fewshot_context(task.test_docs()[0], num_fewshot=0)
    assert prompt.endswith(f"\n\n{asked(pool[0])}{chosen}\n\n事实：")
    task = find("consistency_simulate_chinese_medicine")
    text, letters = sent(task, task.test_docs()[0])
    right = f"因为{pool[0]['choices'][option]}才对，所以选{'ABCD'[option]}。"
    assert text.endswith(asked(pool[0]).removesuffix("答案：") + f"解释：{right}\n答案：")
    assert not re.search("[Aa]nswer|[Ee]xplanation", text)
    assert letters == list("ABCD")


def asked(row: dict[str, Any]) -> str:
    options = "".join(f"{letter}. {choice}\n" for letter, choice in zip("ABCD", row["choices"], strict=True))
    return f"{row['question']}\n{options}答案："


def test_converted_questions_are_those_of_their_manifest(raw, tmp_path):
    found = convert_exams(raw / "ceval", tmp_path / "out", "ceval")
    manifest = json.loads((tmp_path / "out" / "ceval" / "manifest.json").read_text())
    names = {path.relative_to(tmp_path / "out" / "ceval").as_posix(): path for path in found.files}
    assert manifest["files"] == {name: sha256(path.read_bytes()).hexdigest() for name, path in names.items()}
    assert sum(manifest["questions"].values()) == sum(found.files.values())
    path = next(path for name, path in names.items() if name.startswith("dev/"))
    kept = path.read_bytes()
    assert sources.benchmark_questions("ceval", path.stem, "dev", str(tmp_path / "out"))
    path.write_bytes(kept.replace(b"\n", b" \n", 1))
    with pytest.raises(InputError, match="is not the file that its manifest speaks of") as caught:
        sources.benchmark_questions("ceval", path.stem, "dev", str(tmp_path / "out"))
    assert caught.value.path == path
    (tmp_path / "out" / "ceval" / "manifest.json").unlink()
    assert sources.benchmark_questions("ceval", path.stem, "dev", str(tmp_path / "out"))
