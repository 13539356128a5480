"""Own domains: tables to questions, the key `domains`, kept task files and their prompts, scopes, check and split."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from consistency.cli.evaluate import with_own_tasks
from consistency.errors import InputError
from consistency.experiment.grid import Experiment
from consistency.experiment.reading import read_experiment
from consistency.experiment.validation import validate
from consistency.experiment.workflow import guards, stage_tasks, workflow
from consistency.report.grid.report import write_report
from consistency.support.resources import shipped
from consistency.tasks import mmlu
from consistency.tasks.harness_index import asked_tasks, members_of, task_problems
from consistency.tasks.own_domain import OwnDomain, in_style, joined_tasks, leaves, name_problem
from consistency.tasks.own_tasks import description, manifest_name, write_own_tasks
from consistency.tasks.question_tables import Columns, QuestionSource, read_source
from consistency.tasks.questions import Question, read_questions
from consistency.tasks.task_files import shipped_tasks
from consistency.training_data.domain_check import check_domains
from consistency.training_data.domain_files import split_questions
from consistency.training_data.duplicates import Index

Call = Callable[..., tuple[int, str, str]]
SPORTS = (
    "rowing judo fencing golf rugby sailing curling diving polo boxing archery cycling luge biathlon karate".split()
)


def facts(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Invented questions on sport, none nearly the same as another."""
    made = []
    for number in range(first, first + count):
        sport, other = SPORTS[number % len(SPORTS)], SPORTS[(number * 7 + 3) % len(SPORTS)]
        choices = [f"{sport} club {number * 4 + place}" for place in range(4)]
        question = f"Who won the {number + 1900} cup of {sport} in the town of {other.title()}{number * 31}?"
        made.append({"question": question, "choices": choices, "answer": number % 4})
    return made


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_sources(folder: Path) -> Path:
    write_jsonl(folder / "pool.jsonl", facts(40))
    write_jsonl(folder / "test.jsonl", facts(14, 100))
    write_jsonl(folder / "dev.jsonl", [row | {"explanation": f"So it is, {n}."} for n, row in enumerate(facts(6, 200))])
    return folder


def write_experiment(folder: Path, domains: Any, **other: Any) -> Path:
    content = {
        "name": "mine",
        "models": {"tiny": "embedded"},
        "tasks": "paper",
        "domains": domains,
        "groups": ["harmonious"],
        "seeds": [0],
        "general": "none",
    }
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content | other, sort_keys=False), encoding="utf-8")
    return path


SPORT = {"pool": "pool.jsonl", "test": "test.jsonl", "dev": "dev.jsonl"}


@pytest.fixture
def sport(tmp_path: Path) -> Callable[..., Experiment]:
    """Read an experiment with the domain sport, some of its keys replaced."""

    def build(other: dict[str, Any] | None = None, **keys: Any) -> Experiment:
        write_sources(tmp_path)
        return read_experiment(write_experiment(tmp_path, {"sport": SPORT | (other or {})}, **keys), tmp_path / "runs")

    return build


# Tables


@pytest.mark.parametrize(
    ("header", "row", "gold"),
    [
        ("question,A,B,C,answer", "Q?,x,y,z,C", 2),
        ("question;A;B;C;answer", 'Q?;"x; or ""x""";y;z;c', 2),
        ("question\tA\tB\tanswer", "Q?\tx\ty\t1", 1),
        ("question|choice_1|choice_2|answer", "Q?|x|y|y", 1),
        ("id,question,choices,answer", 'a1,Q?,"[""x"", ""y""]",0', 0),
        ("question,Option 1,Option 2,Option 3,answer", "Q?,x,y,,x", 0),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_file_is_read_whatever_its_delimiter_and_answers(
    tmp_path: Path, header: str, row: str, gold: int, mark: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{mark}{header}\r\n{row}\r\n\r\n", encoding="utf-8", newline="")
    (question,) = read_source(QuestionSource(str(path)), "sport")
    assert (question.question, question.answer, question.subject) == ("Q?", gold, "sport")
    assert question.choices[0].startswith("x")
    assert all(question.choices)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("question,A,B,answer\nQ?,x,y,A\nP?,x,y,D\n", 3, "'D' is no option; expected a letter from A to B"),
        ("question,A,B,answer\nQ?,x,,A\n", 2, "1 option"),
        ("question,A,B,C,answer\nQ?,x,,z,A\n", 2, "option B is empty"),
        ("question,A,B,answer\n ,x,y,A\n", 2, "the question is empty"),
        ("question,A,B,answer\nQ?,x,y\n", 2, "3 cells; expected 4"),
        ('question,A,B,answer\n"two\nlines",x,y,A\nQ?,x,y\n', 4, "3 cells"),
        ('question,A,B,answer\n"Q?,x,y,A\n', 2, "not CSV"),
        ("question,A,A,answer\nQ?,x,y,A\n", 1, "two columns 'A'"),
        ("stem,A,B,answer\nQ?,x,y,A\n", 1, "no column 'question'"),
        ("question,A,B,key\nQ?,x,y,A\n", None, "no column 'answer'"),
        ("question,text,answer\nQ?,x,A\n", None, "no columns with options"),
        ("question,A,B,answer\n", None, "no questions"),
        ("question,A,B,answer\nQ?,1,0,1\n", 2, "can be read as index and as text"),
        ("question,A,B,answer\nQ?,x,x,x\n", 2, "is no option"),
        ("id,question,A,B,answer\n7,Q?,x,y,A\n7,P?,x,y,B\n", 3, "the id '7' is that of line"),
    ],
)
def test_a_mistake_in_a_csv_file_is_named_with_its_line(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_source(QuestionSource(str(path)), "sport")
    assert error.value.path == path
    assert error.value.line == line


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("question,A,B,answer\nWho is Zoë?,x,y,A\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8") as error:
        read_source(QuestionSource(str(path)), "sport")
    assert error.value.line == 2


def test_numbers_among_the_options_are_told_from_indices(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("question,A,B,C,answer\nOne and one?,1,2,3,2\nTwo and one?,3,1,2,0\n")
    # "0" is no option's text, so that the column counts from 0.
    assert [item.answer for item in read_source(QuestionSource(str(path)), "")] == [2, 0]
    path.write_text("question,A,B,C,answer\nOne and one?,1,3,2,2\nTwo and one?,1,2,3,1\n")
    with pytest.raises(InputError, match="answer_as"):
        read_source(QuestionSource(str(path)), "")
    path.write_text("question,A,B,answer\nOne?,x,y,1\nTwo?,x,y,2\n")
    with pytest.raises(InputError, match=r"expected an index from 0 to 1; if they count from 1, say so .* number"):
        read_source(QuestionSource(str(path)), "")
    path.write_text("question,A,B,C,answer\n" + "".join(f"{n}?,x,y,z,{n % 2 + 1}\n" for n in range(20)))
    with pytest.raises(InputError, match="no answer of 20 is 0"):
        read_source(QuestionSource(str(path)), "")
    path.write_text("question,A,B,C,answer\nOne and one?,1,3,2,2\nTwo and one?,1,2,3,1\n")
    as_text, as_number = (QuestionSource(str(path), Columns(answer_as=kind)) for kind in ("text", "number"))  # type: ignore[arg-type]
    assert [item.answer for item in read_source(as_text, "")] == [2, 0]
    assert [item.answer for item in read_source(as_number, "")] == [1, 0]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "Q?", "choices": ["x", "y"], "answer": 1.0}, None),
        ({"question": "Q?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answer": "B"}, None),
        ({"question": "Q?", "choices": ["x", "y"], "answer": True}, "'True' is no option"),
        ({"question": "Q?", "choices": ["x", "y"], "answer": None}, "'' is no option"),
        ({"question": "Q?", "choices": ["x", "y"], "answer": 2}, "can be read as|is no option|number from 1"),
        ({"question": 3, "choices": ["x", "y"], "answer": 1}, "Expected `str`, got `int`"),
        ({"question": "Q?", "choices": ["x", ["y"]], "answer": 0}, "Expected `str`, got `array`"),
        ({"question": "Q?", "choices": "x, y", "answer": 0}, "choices holds no list"),
        ({"question": "Q?", "choices": [], "answer": 0}, "is no option"),
        ({"question": "Q?", "choices": ["x", "y"], "answer": 0, "id": 1.5}, "Expected `int | str | null`"),
        ([1], "not an object"),
    ],
)
def test_a_row_of_json_is_a_question_or_named_as_none(tmp_path: Path, row: Any, says: str | None) -> None:
    path = tmp_path / "t.json"
    path.write_text(
        json.dumps([{"question": "P?", "choices": ["x", "y"], "answer": row["answer"] if says is None else 0}, row])
    )
    if says is None:
        assert [item.answer for item in read_source(QuestionSource(str(path)), "")] == [1, 1]
        return
    with pytest.raises(InputError, match=says) as error:
        read_source(QuestionSource(str(path)), "")
    assert (error.value.path, error.value.line) == (path, 2)


def test_parquet_json_and_a_data_set_of_the_hub_have_columns_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{"stem": row["question"], "options": row["choices"], "key": "ABCD"[row["answer"]]} for row in facts(8)]
    columns = Columns(question="stem", choices="options", answer="key")
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "t.json").write_text(json.dumps(rows))
    # A data set in a folder loads as one of the hub does.
    (tmp_path / "org" / "name").mkdir(parents=True)
    write_jsonl(tmp_path / "org" / "name" / "validation.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for place, split in (("t.parquet", None), ("t.json", None), ("hub:org/name", "validation")):
        read = read_source(QuestionSource(place, columns, split), "sport")
        assert [(item.question, list(item.choices), item.answer) for item in read] == [
            (row["question"], row["choices"], row["answer"]) for row in facts(8)
        ]
    with pytest.raises(InputError, match="cannot be loaded"):
        read_source(QuestionSource("hub:org/name", columns, "train"), "sport")
    with pytest.raises(InputError, match="names no data set"):
        read_source(QuestionSource("hub:../etc"), "sport")


# The key `domains`


def test_a_list_of_domains_still_works_and_both_kinds_may_be_mixed(tmp_path: Path) -> None:
    write_sources(tmp_path)
    path = write_experiment(tmp_path, ["medicine", "history"])
    assert read_experiment(path, "r").domains == ("medicine", "history")
    path = write_experiment(tmp_path, {"sport": SPORT, "medicine": None})
    found = read_experiment(path, "r")
    assert found.domains == ("sport", "medicine")
    assert list(found.own_domains) == ["sport"]


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ([], "domains: []"),
        ("sport", "domains: 'sport'"),
        (["medicine", "medicine"], "distinct names"),
        ({"sport": SPORT, "Sport": SPORT}, "distinct names"),
        (["sport"], "no domain 'sport'; expected one of medicine, history"),
        ({"medicine": SPORT}, "medicine is one of the four domains"),
        ({"sport": [1]}, "domains: sport: [1]"),
        ({"sport": {"pool": "p.jsonl", "test": "t.jsonl"}}, "domains: sport: no key 'dev'"),
        ({"sport": SPORT | {"tests": 1}}, "'tests'"),
        ({"sport": SPORT | {"pool": 3}}, "domains: sport: pool: 3"),
        (
            {"sport": SPORT | {"pool": {"file": "p.csv", "split": "train"}}},
            "domains: sport: pool: split: a file has none",
        ),
        ({"sport": SPORT | {"columns": {"stem": "x"}}}, "domains: sport: columns: no key 'stem'"),
        ({"sport": SPORT | {"columns": {"answer_as": "word"}}}, "'word'; expected one of letter, index, number, text"),
        ({"sport": SPORT | {"header": "two\nlines"}}, "domains: sport: header:"),
        ({"sport": SPORT | {"header": 3}}, "domains: sport: header: 3"),
        ({"sport": SPORT | {"header": "medicine"}, "medicine": None}, "the header 'medicine' is that of medicine"),
        ({"sport": SPORT | {"subjects": ["anatomi"]}}, "no subject of MMLU 'anatomi'; expected perhaps anatomy"),
        ({"sport": SPORT | {"subjects": ["anatomy"], "id": ["sciq"]}}, "both subjects and id"),
        ({"sport": SPORT | {"id": ["a,b"]}}, "domains: sport: id:"),
        ({"sport": SPORT | {"id": ["../x.yaml"]}}, "domains: sport: id:"),
        ({"sport": SPORT | {"id": ["sciq"], "ood": ["sciq"]}}, "sciq is in both ID and OOD"),
        ({"sport": SPORT | {"explain_shot": "none.json"}}, "domains: sport: explain_shot:"),
        ({"sport": SPORT | {"explain_shot": {"question": "Q?"}}}, "has the keys question; expected question, choices"),
        (
            {
                "sport": SPORT
                | {"context_shot": {"question": "Q?", "choices": ["a", "b"], "answer": "C", "context": "x"}}
            },
            "domains: sport: context_shot: answer: 'C'",
        ),
        *(
            ({name: SPORT}, "cannot be the name of a domain")
            for name in (
                "../sport",
                "a/b",
                ".sport",
                "a b",
                "sport,law",
                "mmlu",
                "world",
                "world_x",
                "x_pool",
                "my_icl",
                "é",
            )
        ),
    ],
)
def test_a_mistake_in_the_domains_is_named_with_its_key(tmp_path: Path, domains: Any, message: str) -> None:
    write_sources(tmp_path)
    path = write_experiment(tmp_path, domains)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_experiment(path, "r")
    assert error.value.path == path


def test_an_own_domain_is_not_of_the_embedded_world(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sport is not of the embedded world"):
        read_experiment(write_experiment(tmp_path, {"sport": SPORT}, tasks="world"), "r")


def test_no_model_has_the_name_of_the_folder_of_own_domains(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"models: .tasks. is the name of another folder"):
        read_experiment(write_experiment(tmp_path, {"sport": SPORT}, models={"tasks": "embedded"}), "r")


def test_no_generated_task_can_have_the_name_of_a_shipped_one() -> None:
    shipped_names = shipped_tasks()
    for task in shipped_names:
        for part in re.findall(r"consistency_(.+)", task):
            own = OwnDomain(part, part, {})
            if name_problem(part, shipped_names) is None:
                assert own.task("icl") not in shipped_names


def test_files_are_sought_beside_the_experiment_and_then_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_sources(tmp_path / "b")
    write_jsonl(tmp_path / "a" / "pool.jsonl", facts(9))
    monkeypatch.chdir(tmp_path / "b")
    sources = read_experiment(write_experiment(tmp_path / "a", {"sport": SPORT}), "r").own_domains["sport"].sources
    assert [len(read_source(sources[split], "")) for split in ("pool", "test", "dev")] == [9, 14, 6]


# Scopes and stages


def test_without_subjects_all_of_mmlu_is_out_of_the_domain(sport: Callable[..., Experiment]) -> None:
    found = sport().scopes("sport", "ift")
    assert found["homo"] == ["consistency_sport_ift"]
    assert found["ood"] == [f"consistency_mmlu_ift_{subject}" for subject in mmlu.SUBJECTS]
    assert "id" not in found


def test_subjects_are_in_the_domain_and_the_others_out_of_it(sport: Callable[..., Experiment]) -> None:
    found = sport({"subjects": ["anatomy", "virology"]}).scopes("sport", "icl")
    assert found["id"] == ["consistency_mmlu_icl_anatomy", "consistency_mmlu_icl_virology"]
    assert len(found["ood"]) == 55
    assert not set(found["ood"]) & set(found["id"])


def test_the_stages_ask_each_task_once_and_mmlu_as_its_group(tmp_path: Path) -> None:
    write_sources(tmp_path)
    domains = {
        "sport": SPORT | {"subjects": ["anatomy"]},
        "games": SPORT | {"id": ["sciq"], "ood": ["arc_easy", "consistency_mmlu_icl_virology"]},
        "history": None,
    }
    experiment = read_experiment(write_experiment(tmp_path, domains), tmp_path / "runs")
    stages = stage_tasks(experiment)
    assert sorted(stages["probe"].split(",")) == sorted(
        [f"consistency_{name}_icl" for name in domains]
        + [f"consistency_{name}_pool_icl" for name in domains]
        + ["consistency_mmlu_icl", "sciq", "arc_easy"]
    )
    assert sorted(stages["base"].split(",")) == sorted(
        [f"consistency_{name}_ift" for name in domains] + ["consistency_mmlu_ift", "sciq", "arc_easy"]
    )
    assert stages["evaluate"]["games"].split(",") == [
        "consistency_games_ift", "sciq", "arc_easy", "consistency_mmlu_ift_virology",
    ]  # fmt: skip
    assert stages["pool"] == {name: f"consistency_{name}_pool_icl" for name in domains}
    assert stages["explain"] == "consistency_explain_sport,consistency_explain_games,consistency_explain_history"


def test_the_tests_of_an_own_domain_and_local_ones_of_mmlu_are_guarded(
    tmp_path: Path, sport: Callable[..., Experiment]
) -> None:
    experiment = sport(guard="more.jsonl")
    kept = experiment.root / "tasks" / "sport" / "questions"
    own = ["more.jsonl", str(kept / "test.jsonl"), str(kept / "dev.jsonl")]
    assert guards(experiment) == own
    (tmp_path / "data" / "mmlu" / "test").mkdir(parents=True)
    assert guards(experiment, str(tmp_path / "data")) == [*own, str(tmp_path / "data" / "mmlu" / "test")]
    notes = "\n".join(validate(experiment).notes)
    assert f"questions of {', '.join(own)} are left out of the training sets" in notes
    assert guards(sport({"ood": ["mmlu_virology"]}), str(tmp_path / "data"))[-1].endswith("mmlu/test")
    alone = sport({"ood": ["arc_easy"]})
    assert guards(alone, str(tmp_path / "data")) == own[1:]
    assert workflow(alone)["guards"] == own[1:]


def test_names_of_styles_and_groups() -> None:
    assert in_style("consistency_sport_pool_icl", "ift") == "consistency_sport_pool_icl"
    assert in_style("consistency_mmlu_icl", "ift") == "consistency_mmlu_ift"
    assert in_style("consistency_mmlu_icl_anatomy", "icl") == "consistency_mmlu_icl_anatomy"
    assert leaves(["a", "g", "h"], {"g": ["b", "h"], "h": ["c", "g"], "a": []}) == ["a", "b", "c"]
    assert joined_tasks([["consistency_mmlu_icl_anatomy"], ["x"]]) == ["consistency_mmlu_icl_anatomy", "x"]


# Kept task files


def times(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_task_files_are_written_once_and_only_where_something_changed(
    tmp_path: Path, sport: Callable[..., Experiment]
) -> None:
    experiment = sport()
    own, folder = experiment.own_domains["sport"], experiment.own_tasks("sport")
    written = write_own_tasks(own, folder)
    assert written.counts == {"pool": 40, "test": 14, "dev": 6}
    first, before = times(folder), manifest_name(own)
    assert set(first) == set(written.changed)
    assert before in first
    assert write_own_tasks(own, folder).changed == ()
    assert times(folder) == first
    # The kept questions are those that were given, and do not change with the user's files.
    kept = read_questions(folder / "questions" / "test.jsonl", "sport")
    assert [(item.question, item.answer) for item in kept] == [
        (row["question"], row["answer"]) for row in facts(14, 100)
    ]
    write_jsonl(tmp_path / "test.jsonl", facts(13, 100))
    assert len(read_questions(folder / "questions" / "test.jsonl", "sport")) == 14
    again = write_own_tasks(own, folder)
    assert set(again.changed) == {
        "questions/test.jsonl",
        manifest_name(own),
        *(f"consistency_sport_{variant}.yaml" for variant in ("icl", "ift", "icl_cyclic")),
    }
    assert again.removed == (before,)
    # A run that was killed before the list was written is completed.
    (folder / manifest_name(own)).unlink()
    assert write_own_tasks(own, folder).changed == (manifest_name(own),)
    # An example that is gone takes its file and its task with it.
    write_jsonl(tmp_path / "dev.jsonl", facts(6, 200))
    assert {"consistency_explain_sport.yaml", "questions/explain_shot.jsonl"} < set(
        write_own_tasks(own, folder).removed
    )
    assert not list(folder.rglob("*explain_s*"))


def test_too_few_examples_and_a_missing_explanation_are_problems(
    tmp_path: Path, sport: Callable[..., Experiment]
) -> None:
    experiment = sport()
    write_jsonl(tmp_path / "dev.jsonl", facts(4, 200))
    with pytest.raises(InputError, match="4 few-shot examples; expected at least 5"):
        write_own_tasks(experiment.own_domains["sport"], experiment.own_tasks("sport"))
    assert not experiment.root.exists()
    write_jsonl(tmp_path / "dev.jsonl", facts(5, 200))
    path = write_experiment(tmp_path, {"sport": SPORT}, groups=["mixed_0.4", "self_aligning"])
    (problem,) = validate(read_experiment(path, tmp_path / "runs")).problems
    assert "mixed_0.4, self_aligning needs an explained example" in problem
    (tmp_path / "pool.jsonl").unlink()
    (problem,) = validate(read_experiment(path, tmp_path / "runs")).problems
    assert "pool.jsonl: cannot be read (No such file or directory)" in problem


def test_the_manifest_cannot_make_other_files_disappear(tmp_path: Path, sport: Callable[..., Experiment]) -> None:
    experiment = sport()
    own, folder = experiment.own_domains["sport"], experiment.own_tasks("sport")
    write_own_tasks(own, folder)
    victims = [tmp_path / "victim", folder.parent / "victim.yaml"]
    for victim in victims:
        victim.write_text("x")
    manifest = folder / manifest_name(own)
    content = json.loads(manifest.read_text())
    content["files"] |= dict.fromkeys(["../victim.yaml", "questions/../../victim.yaml", str(victims[0])], "0")
    manifest.write_text(json.dumps(content))
    write_own_tasks(own, folder)
    assert all(victim.exists() for victim in victims)


HOSTILE = "sport \"and\" 'games' {{ 7 * 7 }} {% endraw %} {# no #} & <b> | é: - #x"


@pytest.fixture
def load(sport: Callable[..., Experiment]) -> Callable[..., Any]:
    """Load a task of the domain as lm_eval does, beside the shipped ones."""
    pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    def loaded(task: str, other: dict[str, Any], metadata: dict[str, Any] | None = None) -> Any:
        experiment = sport(other)
        write_own_tasks(experiment.own_domains["sport"], experiment.own_tasks("sport"))
        folders = [str(shipped("lm_eval_tasks")), str(experiment.root / "tasks")]
        manager = TaskManager(include_path=folders, include_defaults=False, metadata=metadata or {})
        assert "consistency_history_icl" in (members_of(manager.task_index["consistency_icl"]) or [])
        return manager.load_task_or_group([task])[task]

    return loaded


def prompt(task: Any, number: int, shots: int) -> str:
    text = task.fewshot_context(list(task.test_docs())[number], shots)
    assert isinstance(text, str)
    return text


def asked(row: dict[str, Any]) -> str:
    options = "".join(f"{letter}. {text}\n" for letter, text in zip("ABCD", row["choices"], strict=True))
    return f"{row['question']}\n{options}Answer:"


def test_the_five_shot_prompt_is_that_of_the_shipped_tasks(load: Callable[..., Any]) -> None:
    task = load("consistency_sport_icl", {"header": HOSTILE})
    dev = facts(6, 200)
    import random

    order = list(range(6))
    random.Random(42).shuffle(order)
    shots = "".join(
        f"{asked(dev[i])} {'ABCD'[dev[i]['answer']]}. {dev[i]['choices'][dev[i]['answer']]}\n\n" for i in order[:5]
    )
    header = f"The following are multiple choice questions about {HOSTILE}. Please choose the correct answer. \n\n"
    assert prompt(task, 3, 5) == header + shots + asked(facts(14, 100)[3])
    document = list(task.test_docs())[3]
    assert task.doc_to_choice(document) == ["A", "B", "C", "D"]
    assert task.doc_to_target(document) == facts(14, 100)[3]["answer"]


def test_the_zero_shot_prompt_holds_the_header_in_the_question(load: Callable[..., Any]) -> None:
    text = prompt(load("consistency_sport_ift", {"header": HOSTILE}), 0, 0)
    header = f"The following are multiple choice questions about {HOSTILE}. Please choose the correct answer. \n\n"
    assert text == header + asked(facts(14, 100)[0])


@pytest.mark.parametrize("header", ["{{ 1 }}", "{% raw %}", "{# x #}", "{", "}}", HOSTILE])
def test_a_header_is_rendered_to_itself(header: str) -> None:
    utils = pytest.importorskip("lm_eval.utils")
    expected = f"The following are multiple choice questions about {header}. Please choose the correct answer. \n\n"
    assert utils.apply_template(description(header), {}) == expected


@pytest.mark.parametrize(
    ("task", "count", "rotations"), [("pool_icl", 40, 1), ("icl_cyclic", 14, 4), ("pool_icl_cyclic", 40, 4)]
)
def test_pools_and_rotations_are_tasks_too(load: Callable[..., Any], task: str, count: int, rotations: int) -> None:
    documents = list(load(f"consistency_sport_{task}", {}).test_docs())
    assert len(documents) == count * rotations


def test_the_explain_and_context_prompts_show_the_users_example(tmp_path: Path, load: Callable[..., Any]) -> None:
    row = facts(1)[0]
    request = {"id": "q", "subject": HOSTILE, "question": row["question"], "choices": row["choices"], "option": 2}
    requests = {
        "requests": str(write_jsonl(tmp_path / "requests.jsonl", [request, request | {"subject": "law", "id": "r"}]))
    }
    (tmp_path / "shot.json").write_text(
        json.dumps(
            {"question": "Why {{x}}?", "choices": ["so", "no"], "answer": "no", "explanation": " It is {{so}}. "}
        )
    )
    task = load("consistency_explain_sport", {"header": HOSTILE, "explain_shot": "shot.json"}, requests)
    assert len(list(task.test_docs())) == 1
    assert prompt(task, 0, 1) == (
        "Explain each answer between triple backticks.\n\n"
        "Why {{x}}?\nA. so\nB. no\nAnswer: B. no\nExplanation: ```It is {{so}}.```\n\n"
        f"{asked(row)} C. {row['choices'][2]}\nExplanation: ```"
    )
    # Without a shot of its own, the first explained development question is the example.
    text = prompt(load("consistency_explain_sport", {"header": HOSTILE}, requests), 0, 1)
    assert f"{asked(facts(1, 200)[0])} A. {facts(1, 200)[0]['choices'][0]}\nExplanation: ```So it is, 0.```" in text
    shot = {"question": "Why?", "choices": ["so", "no"], "answer": 0, "context": "Facts of the matter."}
    plain = prompt(load("consistency_context_sport", {"header": HOSTILE}, requests), 0, 0)
    shown = load("consistency_context_sport", {"header": HOSTILE, "context_shot": shot}, requests)
    assert shown.config.num_fewshot == 1
    example, _, rest = prompt(shown, 0, 1).partition("\n\nBelow are a multiple-choice question")[0::1]
    assert prompt(shown, 0, 1).endswith(plain)
    assert "Why?\nA. so\nB. no\nAnswer: A. so\n\nFacts: Facts of the matter.\n\n" in prompt(shown, 0, 1)
    assert example
    assert rest


# lm_eval in several folders


def test_the_folder_of_own_tasks_is_added_to_the_shipped_one_or_the_users(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()

    def config(*arguments: str) -> tuple[dict[str, Any], list[str]]:
        first, file, *others = with_own_tasks(arguments, [own], tmp_path)
        assert first == "--config"
        return yaml.safe_load(Path(file).read_text()), others

    assert config("--tasks", "a") == ({"include_path": [str(shipped("lm_eval_tasks")), str(own)]}, ["--tasks", "a"])
    assert config("--include_path", "x") == ({"include_path": ["x", str(own)]}, [])
    (tmp_path / "c.yaml").write_text("limit: 3\ninclude_path: [x, y]\n")
    found, others = config("--config", str(tmp_path / "c.yaml"), "--device", "cpu")
    assert (found, others) == ({"limit": 3, "include_path": ["x", "y", str(own)]}, ["--device", "cpu"])
    with pytest.raises(InputError, match="no such folder"):
        with_own_tasks([], [tmp_path / "none"], tmp_path)


# The report


@pytest.fixture
def write_logs(write_scores: Callable[..., None]) -> Callable[[Experiment, dict[str, list[str]]], None]:
    """Random scores of every task of the scopes, in all three kinds of logs, with the groups that lm_eval writes."""

    def write(experiment: Experiment, groups: dict[str, list[str]]) -> None:
        rng = np.random.default_rng(1)
        few = {
            task: rng.normal(size=(12, 4))
            for tasks in experiment.scopes("sport", "icl", groups).values()
            for task in tasks
        }
        gold = {task: rng.integers(4, size=12) for task in few}
        few["consistency_sport_pool_icl"] = rng.normal(size=(4, 4))
        gold |= {"consistency_sport_pool_icl": rng.integers(4, size=4)}
        write_scores(experiment.base_logs("tiny", "icl"), few, gold)
        chat = {in_style(task, "ift"): rng.normal(size=(12, 4)) for task in few if "_pool_" not in task}
        write_scores(experiment.base_logs("tiny", "ift"), chat, gold)
        for run in experiment.runs():
            write_scores(run.logs, {task: rng.normal(size=(12, 4)) for task in chat}, gold)
        for path in experiment.root.rglob("results_*.json"):
            content = json.loads(path.read_text())
            path.write_text(json.dumps(content | {"group_subtasks": groups}))

    return write


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ({"id": ["sciq"], "ood": ["arc", "consistency_world_mmlu_icl_games"]}, {"homo": 12, "id": 12, "ood": 36}),
        ({"ood": ["arc"]}, {"homo": 12, "ood": 24}),
        ({"id": ["arc"], "ood": []}, {"homo": 12, "id": 24}),
    ],
)
def test_the_report_measures_the_scopes_that_an_own_domain_has(
    tmp_path: Path,
    sport: Callable[..., Experiment],
    write_logs: Callable[..., None],
    scopes: dict[str, Any],
    expected: dict[str, int],
) -> None:
    experiment = sport(scopes, groups=["harmonious", "incompatible"])
    write_logs(experiment, {"arc": ["arc_easy", "arc_challenge"], "arc_easy": []})
    page = write_report(experiment, tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert page.is_file()
    for group in ("harmonious", "incompatible"):
        assert {row["scope"]: row["n"] for row in report["results"] if row["group"] == group} == expected
    assert report["pairing"]["absent_tasks"] == {}
    assert report["experiment"]["domains"] == ["sport"]


def test_two_logs_are_compared_in_the_scopes_of_an_own_domain(
    tmp_path: Path, sport: Callable[..., Experiment], write_logs: Callable[..., None], call: Call
) -> None:
    experiment = sport({"id": ["sciq"], "ood": ["arc"]})
    write_logs(experiment, {"arc": ["arc_easy", "arc_challenge"]})
    (run,) = experiment.runs()
    arguments = ("compare", experiment.base_logs("tiny", "ift"), run.logs, "--scopes", "sport", "--json", "-")
    code, out, _ = call(*arguments, "--experiment", tmp_path / "mine.yaml")
    assert code == 0
    assert {name: section["n"] for name, section in json.loads(out)["by_scope"].items()} == {
        "homo": 12,
        "id": 12,
        "ood": 24,
    }
    assert call(*arguments)[0] == 2


# Check and split


def test_the_check_counts_and_finds_what_is_wrong(tmp_path: Path, call: Call) -> None:
    write_sources(tmp_path)
    pool, test, dev = facts(40), facts(14, 100), facts(6, 200)
    pool += [test[0], {**test[1], "question": test[1]["question"] + " Really"}, {**pool[0], "answer": 3}]
    test.append({**dev[2], "choices": dev[2]["choices"][::-1], "answer": 3 - dev[2]["answer"]})
    write_jsonl(tmp_path / "pool.jsonl", [{**row, "answer": 0} if n < 40 else row for n, row in enumerate(pool)])
    write_jsonl(tmp_path / "test.jsonl", test)
    path = write_experiment(tmp_path, {"sport": SPORT | {"id": ["consistency_mmlu_icl_anatomi"], "ood": []}})
    (found,) = check_domains(read_experiment(path, "r"))
    assert {split: item.questions for split, item in found.figures.items()} == {"pool": 43, "test": 15, "dev": 6}
    assert found.figures["pool"].options == {4: 43}
    assert found.figures["pool"].gold["A"] == 40 + (test[0]["answer"] == 0) + (test[1]["answer"] == 0)
    assert found.figures["dev"].explained == 6
    assert found.figures["pool"].exact == 1
    assert found.shared == {("pool", "test"): 2, ("pool", "dev"): 0, ("test", "dev"): 1}
    assert found.left == 43 - 2 - 1
    problems = "\n".join(found.problems)
    assert "few-shot examples show questions of the test set" in problems
    assert "pool: the same question with another gold option" in problems
    assert "lm_eval has no task consistency_mmlu_icl_anatomi; perhaps consistency_mmlu_icl_anatomy" in problems
    assert any("gold letters are uneven" in note for note in found.notes)
    code, out, _ = call("domain", "check", path)
    assert code == 1
    assert out.count("problem:") == len(found.problems)
    write_sources(tmp_path)
    code, out, _ = call("domain", "check", write_experiment(tmp_path, {"sport": SPORT}))
    assert (code, out.count("problem:")) == (0, 0)
    assert call("domain", "check", write_experiment(tmp_path, ["medicine"]))[0] == 2


def test_names_of_the_harness_are_looked_up() -> None:
    pytest.importorskip("lm_eval")
    found = task_problems(["arc_easy", "mmlu", "ai2_arc", "arc_eazy", "mmlu_virology", "sciq", "mmlu_stem"])
    assert set(found) == {"ai2_arc", "arc_eazy", "mmlu_virology", "mmlu_stem"}
    assert "is a tag" in found["ai2_arc"]
    assert "arc_easy" in found["arc_eazy"]
    assert "mmlu and mmlu_virology both ask mmlu_virology" in found["mmlu_virology"]
    assert "mmlu and mmlu_stem" in found["mmlu_stem"]
    assert task_problems(["consistency_mmlu_icl", "consistency_world_mmlu_icl_games"]) == {}
    assert set(task_problems(["consistency_mmlu_icl_anatomy", "consistency_mmlu_icl"])) == {"consistency_mmlu_icl"}


def test_two_domains_cannot_ask_a_group_and_its_member(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    write_sources(tmp_path)
    world = "consistency_world_mmlu_icl"
    domains = {"sport": SPORT | {"id": [f"{world}_games"], "ood": []}, "chess": SPORT | {"ood": [world]}}
    experiment = read_experiment(write_experiment(tmp_path, domains), "r")
    assert [bool(item.problems) for item in check_domains(experiment)] == [False, True]
    # The whole of MMLU holds what another domain asks of it.
    domains = {"sport": SPORT | {"subjects": ["anatomy"], "ood": []}, "chess": SPORT}
    assert (
        task_problems(asked_tasks(read_experiment(write_experiment(tmp_path, domains), "r").own_domains.values())) == {}
    )


def as_questions(rows: list[dict[str, Any]]) -> list[Question]:
    return [Question(n, "", row["question"], tuple(row["choices"]), row["answer"]) for n, row in enumerate(rows)]


def test_a_split_keeps_near_duplicates_together() -> None:
    rows = facts(60)
    near = [{**row, "question": row["question"].replace("Who", "What team")} for row in rows[:12]]
    near += [{**row, "choices": [*row["choices"][:3], "none"]} for row in rows[:12]]
    questions = as_questions([*rows, *near, *rows[20:25]])
    split = split_questions(questions, seed=3)
    parts = split.parts
    assert split.repeated == 5
    assert len(parts["dev"]) == 5
    assert sum(map(len, parts.values())) == len(questions) - split.repeated - split.shared
    assert 0.15 < len(parts["test"]) / (len(parts["test"]) + len(parts["pool"])) < 0.35
    for one, other in (("pool", "test"), ("pool", "dev"), ("test", "dev")):
        assert Index(parts[one]).found_in(Index(parts[other])) == []
    assert split_questions(questions, seed=3) == split
    assert split_questions(questions, seed=4) != split


@pytest.mark.parametrize(("count", "share"), [(19, 0.25), (60, 0.0), (60, 1.0), (60, 1e-6)])
def test_what_cannot_be_split_is_refused(count: int, share: float) -> None:
    with pytest.raises(InputError):
        split_questions(as_questions(facts(count)), test_share=share)


def test_a_new_domain_from_a_table_can_be_checked_and_validated_at_once(tmp_path: Path, call: Call) -> None:
    with (tmp_path / "all.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stem", "a", "b", "c", "d", "key", "why"])
        for row in facts(60):
            writer.writerow([row["question"], *row["choices"], "ABCD"[row["answer"]], "Because."])
    columns = ("question=stem", "choices=a,b,c,d", "answer=key", "explanation=why")
    options = [word for text in columns for word in ("--column", text)]
    code, out, err = call("domain", "new", "sport", "--out", tmp_path / "new", "--from", tmp_path / "all.csv", *options)
    assert code == 0, err
    assert "pool 41, test 14, dev 5" in out
    file_ = tmp_path / "new" / "sport.yaml"
    found = read_experiment(file_, "r")
    assert found.groups == ("harmonious", "incompatible", "self_aligning")
    assert call("domain", "check", file_)[0] == 0
    assert validate(found).problems == ()
    texts = {q.question for split in SPORT for q in read_questions(tmp_path / "new" / f"{split}.jsonl", "")}
    assert texts == {row["question"] for row in facts(60)}
    # The same again changes nothing, and nothing is written over.
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in file_.parent.iterdir()}
    again = ("domain", "new", "sport", "--out", tmp_path / "new", "--from", tmp_path / "all.csv", *options)
    assert call(*again)[0] == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in file_.parent.iterdir()} == before
    code, out, err = call(*again, "--seed", 1)
    assert (code, err.count("\n")) == (2, 1)
    assert "exists; choose another folder" in err
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in file_.parent.iterdir()} == before
    assert call("domain", "new", "medicine", "--out", tmp_path / "other")[0] == 2
    assert call("domain", "new", "../x", "--out", tmp_path / "other")[0] == 2
    assert not (tmp_path / "other").exists()


def test_every_key_of_the_skeleton_is_one_of_an_experiment(tmp_path: Path, call: Call) -> None:
    assert call("domain", "new", "on", "--out", tmp_path / "new")[0] == 0
    text = (tmp_path / "new" / "on.yaml").read_text()
    assert list(read_experiment(tmp_path / "new" / "on.yaml", "r").own_domains) == ["on"]
    # With the comments taken off its keys, it still is an experiment.
    keys = r"(columns|header|subjects|explain_shot|context_shot|general|guard|size|device|medicine):"
    (tmp_path / "new" / "full.yaml").write_text(re.sub(rf"# (?={keys})", "", text))
    full = read_experiment(tmp_path / "new" / "full.yaml", "r")
    assert full.domains == ("on", "medicine")
    assert full.own_domains["on"].sources["pool"].columns == Columns(
        "stem", ("a", "b", "c", "d"), "key", "why", answer_as="letter"
    )
    assert full.own_domains["on"].header == "on"
    assert len(full.own_domains["on"].id_tasks) == 2
    assert read_source(QuestionSource(str(tmp_path / "new" / "example.csv")), "")[0].answer == 2


def test_the_program_writes_the_tasks_below_the_root(tmp_path: Path, call: Call) -> None:
    write_sources(tmp_path)
    path = write_experiment(tmp_path, {"sport": SPORT})
    code, out, _ = call("experiment", "tasks", path, "--root", tmp_path / "root")
    assert code == 0
    assert "sport: pool 40, test 14, dev 6 questions" in out
    assert list((tmp_path / "root" / "tasks" / "sport").glob("manifest-*.json"))
    assert "0 files written" in call("experiment", "tasks", path, "--root", tmp_path / "root", "--domain", "sport")[1]
    assert call("experiment", "tasks", path, "--domain", "law")[0] == 2
    assert call("experiment", "tasks", write_experiment(tmp_path, ["medicine"]))[0] == 0
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["tasks"]
