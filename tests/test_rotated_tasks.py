"""Any task with letters asked in all rotations of its options, by lm_eval itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

lm_eval = pytest.importorskip("lm_eval")

from lm_eval.tasks import TaskManager  # noqa: E402

import consistency.shared_prefix.model  # noqa: E402, F401
from consistency.cli.evaluate import with_rotated  # noqa: E402
from consistency.errors import InputError  # noqa: E402
from consistency.logs.rotations import fold_rotations  # noqa: E402
from consistency.logs.runs import read_run  # noqa: E402
from consistency.support.resources import shipped  # noqa: E402
from consistency.tasks.questions import Question, rotate  # noqa: E402
from consistency.tasks.rotated_tasks import prepare_rotated  # noqa: E402
from consistency.tasks.rotation import NotRotatableError, rotated_documents  # noqa: E402

KINDS = Path(__file__).parent / "data" / "harness_tasks"
WORLD = Path(__file__).parents[1] / "consistency/world/base_model"
FUNCTIONS = """
def three_or_four(doc):
    return "".join(f"{'WXYZ'[i]}) {text}  " for i, text in enumerate(doc["options"])) + doc["question"]

def letters(doc):
    return list("WXYZ"[: len(doc["options"])])

def number(doc):
    return "WXYZ".index(doc["answer"])

def hidden(doc):
    return len(doc["question"]) % 4

def upside_down(doc):
    return doc["question"] + "".join(f" {letter}. {text}" for letter, text in zip("ABCD", reversed(doc["choices"])))

def longest(doc):
    shown = "".join(f" {letter}. {text}" for letter, text in zip("ABCD", doc["choices"]))
    return f"{doc['question']}{shown} The first has {len(doc['choices'][0])} letters."
"""
LETTERED = "".join(f"{letter}. {{{{choices[{i}]}}}}\n" for i, letter in enumerate("ABCD"))


def questions(domain: str = "medicine", count: int = 6) -> list[dict[str, Any]]:
    lines = (KINDS / f"{domain}.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: json.loads(line)[key] for key in ("question", "choices", "answer")} for line in lines[:count]]


class Folder:
    """A folder of tasks as a user writes them."""

    def __init__(self, path: Path) -> None:
        self.path = path / "tasks"
        self.path.mkdir()
        (self.path / "asked.py").write_text(FUNCTIONS)

    def add(
        self, name: str, documents: Sequence[Mapping[str, Any]], shots: Sequence[Mapping[str, Any]] = (), **config: Any
    ) -> None:
        files = {"test": documents} | ({"dev": shots} if shots else {})
        for split, rows in files.items():
            (self.path / f"{name}.{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {split: str(self.path / f"{name}.{split}.jsonl") for split in files}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question.strip()}}\n" + LETTERED + "Answer:",
            "doc_to_choice": list("ABCD"),
            "doc_to_target": "answer",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            **config,
        }
        text = yaml.safe_dump(given, sort_keys=False)
        for function in ("three_or_four", "letters", "number", "hidden", "upside_down", "longest"):
            text = text.replace(f"FUNCTION {function}\n", f"!function asked.{function}\n")
        (self.path / f"{name}.yaml").write_text(text)

    def rotated(self) -> Path:
        """A new folder for the files of rotated tasks, beside that of the tasks."""
        found = self.path.parent / f"rotated{len(list(self.path.parent.iterdir()))}"
        found.mkdir()
        return found

    def manager(self, *more: Path) -> Any:
        return TaskManager(include_path=[str(self.path), *map(str, more)], include_defaults=False)

    def evaluate(
        self, model: str, pretrained: Path, rotate: Sequence[str] = (), tasks: Sequence[str] = (), **how: Any
    ) -> Any:
        rotated = self.rotated()
        names = prepare_rotated(self.manager(), rotate, rotated) if rotate else []
        return lm_eval.simple_evaluate(
            model=model,
            model_args={"pretrained": str(pretrained), "dtype": "float32"},
            tasks=[*tasks, *names],
            task_manager=self.manager(rotated),
            device="cpu",
            bootstrap_iters=0,
            **how,
        )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def by_hand(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rotations, written independently of the package."""
    for row in rows:
        order = list(range(len(row["choices"])))
        for _ in list(order):
            yield {**row, "choices": [row["choices"][i] for i in order], "answer": order.index(row["answer"])}
            order.append(order.pop(0))


def scores(samples: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    return [[float(score) for score, _ in sample["filtered_resps"]] for sample in samples]


def flat(values: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in values for value in row]


def prompts(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    return [sample["arguments"][0][0] for sample in samples]


def test_each_rotation_is_scored_as_a_hand_made_dataset_is(folder: Folder, tiny_llama: Path) -> None:
    asked, shots = questions(), questions("history", 5)
    how: dict[str, Any] = {
        "shots": shots,
        "description": "The following are multiple choice questions (with answers) about medicine.\n\n",
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": 5,
    }
    folder.add("exam", asked, **how)
    folder.add("hand", list(by_hand(asked)), **how)
    expected = folder.evaluate("hf", tiny_llama, tasks=["hand"])
    for model in ("hf", "hf-shared-prefix"):
        found = folder.evaluate(model, tiny_llama, rotate=["exam"])
        samples, made = found["samples"]["exam_cyclic"], expected["samples"]["hand"]
        assert prompts(samples) == prompts(made)
        assert flat(scores(samples)) == pytest.approx(flat(scores(made)), abs=1e-4)
        assert [sample["acc"] for sample in samples] == [sample["acc"] for sample in made]
        assert [sample["target"] for sample in samples] == [sample["target"] for sample in made]
        assert found["results"]["exam_cyclic"]["acc,none"] == pytest.approx(expected["results"]["hand"]["acc,none"])
        assert found["n-shot"]["exam_cyclic"] == 5
    assert [(s["doc"]["id"], s["doc"]["rotation"]) for s in samples] == [(q, r) for q in range(6) for r in range(4)]


def test_drawn_examples_are_those_of_the_unrotated_question(folder: Folder, tiny_llama: Path) -> None:
    # Drawn from the questions themselves, without the one that is asked.
    asked = questions(count=12)
    folder.add("exam", asked, fewshot_split="test", num_fewshot=2)
    for several in ({}, {"num_fewshot": 3}, {"apply_chat_template": True, "fewshot_as_multiturn": True}):
        pretrained = WORLD if "apply_chat_template" in several else tiny_llama
        plain = folder.evaluate("hf-shared-prefix", pretrained, tasks=["exam"], limit=5, **several)["samples"]["exam"]
        found = folder.evaluate("hf-shared-prefix", pretrained, rotate=["exam"], limit=20, **several)
        turned = prompts(found["samples"]["exam_cyclic"])

        def shown(document: Mapping[str, Any]) -> str:
            options = "".join(f"{letter}. {text}\n" for letter, text in zip("ABCD", document["choices"], strict=True))
            return f"{document['question']}\n{options}Answer:"

        hand = list(by_hand(asked))
        for number, prompt in enumerate(turned):
            original = prompts(plain)[number // 4]
            assert original.count(shown(asked[number // 4])) == 1
            assert prompt == original.replace(shown(asked[number // 4]), shown(hand[number]))


SHAPES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any]]] = {
    "arc": (
        lambda q: {
            "question": q["question"],
            "choices": {"text": q["choices"], "label": list("ABCD")},
            "answerKey": "ABCD"[q["answer"]],
        },
        {
            "doc_to_text": "{{question}}\n{% for t in choices.text %}{{choices.label[loop.index0]}}: {{t}}\n{% endfor %}",
            "doc_to_choice": "{{choices.label}}",
            "doc_to_target": "{{choices.label.index(answerKey)}}",
        },
    ),
    "cmmlu": (
        lambda q: {
            "Question": q["question"],
            **dict(zip("ABCD", q["choices"], strict=True)),
            "Answer": "ABCD"[q["answer"]],
        },
        {
            "doc_to_text": "{{Question}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}\n答案：",
            "doc_to_target": "{{['A', 'B', 'C', 'D'].index(Answer)}}",
        },
    ),
    "belebele": (
        lambda q: {
            "question": q["question"],
            **{f"mc_answer{i + 1}": text for i, text in enumerate(q["choices"])},
            "correct_answer_num": str(q["answer"] + 1),
        },
        {
            "doc_to_text": "Q: {{question}}\n1: {{mc_answer1}}\n2: {{mc_answer2}}\n3: {{mc_answer3}}\n4: {{mc_answer4}}\n",
            "doc_to_choice": list("1234"),
            "doc_to_target": "{{['1', '2', '3', '4'].index(correct_answer_num)}}",
        },
    ),
    "gpqa": (
        lambda q: {
            "Question": q["question"],
            **{f"choice{i + 1}": t for i, t in enumerate(q["choices"])},
            "answer": f"({'ABCD'[q['answer']]})",
        },
        {
            "doc_to_text": "{{Question}}\n(A) {{choice1}}\n(B) {{choice2}}\n(C) {{choice3}}\n(D) {{choice4}}\nAnswer:",
            "doc_to_choice": ["(A)", "(B)", "(C)", "(D)"],
            "doc_to_target": "answer",
        },
    ),
    "medmcqa": (
        lambda q: {
            "question": q["question"],
            **dict(zip(("opa", "opb", "opc", "opd"), q["choices"], strict=True)),
            "cop": q["answer"],
        },
        {"doc_to_text": "{{question}} A. {{opa}} B. {{opb}} C. {{opc}} D. {{opd}}", "doc_to_target": "cop"},
    ),
    "medqa": (
        lambda q: {
            "q": q["question"],
            "options": [{"key": k, "text": t} for k, t in zip("ABCD", q["choices"], strict=True)],
            "idx": q["answer"],
        },
        {
            "doc_to_text": "{{q}}{% for o in options %} {{o.key}}. {{o.text}}{% endfor %}",
            "doc_to_target": "idx",
        },
    ),
    "pro": (
        lambda q: {
            "question": q["question"],
            "options": q["choices"][: 4 if q["answer"] == 3 else 3],
            "answer": "WXYZ"[q["answer"]],
        },
        {
            "doc_to_text": "FUNCTION three_or_four",
            "doc_to_choice": "FUNCTION letters",
            "doc_to_target": "FUNCTION number",
        },
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_options_are_found_in_the_documents_of_many_benchmarks(shape: str, folder: Folder) -> None:
    make, config = SHAPES[shape]
    asked = questions(count=12)
    folder.add(shape, [make(question) for question in asked], **config)
    rotated = folder.rotated()
    names = prepare_rotated(folder.manager(), [shape], rotated)
    (task,) = load(folder.manager(rotated), names[0])
    documents = iter(task.eval_docs)
    for question in asked:
        options = make(question).get("options", question["choices"])
        count = len(options)
        texts = question["choices"][:count]
        for rotation in range(count):
            document, order = next(documents), [(i + rotation) % count for i in range(count)]
            prompt = task.doc_to_text(document)
            places = [prompt.index(f"{mark} {texts[i]}") for mark, i in zip(marks(shape), order, strict=False)]
            assert places == sorted(places)
            target = task.doc_to_target(document)
            labels = task.doc_to_choice(document)
            gold = target if isinstance(target, int) else labels.index(target)
            assert texts[order[gold]] == question["choices"][question["answer"]]
            assert document["rotation"] == rotation
    assert next(documents, None) is None


def marks(shape: str) -> list[str]:
    around = {"arc": "{}:", "belebele": "{}:", "gpqa": "({})", "pro": "{})"}.get(shape, "{}.")
    return [around.format(letter) for letter in {"belebele": "1234", "pro": "WXYZ"}.get(shape, "ABCD")]


def load(manager: Any, name: str) -> list[Any]:
    from consistency.tasks.rotated_tasks import _leaves

    return list(_leaves(manager, name).values())


# Files of lm_eval, and what their documents look like.
FOREIGN: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "mmlu_anatomy": ("mmlu/default/mmlu_anatomy.yaml", lambda q: {**q, "subject": "anatomy"}),
    "cmmlu_anatomy": ("cmmlu/cmmlu_anatomy.yaml", SHAPES["cmmlu"][0]),
    "medmcqa": ("medmcqa/medmcqa.yaml", SHAPES["medmcqa"][0]),
    "commonsense_qa": (
        "commonsense_qa/default.yaml",
        lambda q: {
            "question": q["question"],
            "choices": {"text": [*q["choices"], "none"], "label": list("ABCDE")},
            "answerKey": "ABCD"[q["answer"]],
        },
    ),
    "leaderboard_mmlu_pro": (
        "leaderboard/mmlu_pro/mmlu_pro.yaml",
        lambda q: {"question": q["question"], "options": q["choices"], "answer": "ABCD"[q["answer"]]},
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_tasks_of_lm_eval_are_rotated_as_they_are(name: str, folder: Folder) -> None:
    file, make = FOREIGN[name]
    path = Path(lm_eval.__file__).parent / "tasks" / file
    if not path.exists():
        pytest.skip(f"this release of lm_eval has no {file}")
    asked = questions()
    data = folder.path / "data.jsonl"
    data.write_text("".join(json.dumps(make(question)) + "\n" for question in asked))
    files = dict.fromkeys(("train", "validation", "test", "dev"), str(data))
    local = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    (folder.path / "local.yaml").write_text(yaml.safe_dump({"include": str(path), "task": "local", **local}))
    rotated = folder.rotated()
    prepare_rotated(folder.manager(), ["local"], rotated)
    (plain,), (task,) = load(folder.manager(), "local"), load(folder.manager(rotated), "local_cyclic")
    count = len(plain.doc_to_choice(plain.eval_docs[0]))
    assert len(task.eval_docs) == count * len(asked)
    for number, document in enumerate(task.eval_docs):
        question = asked[number // count]
        original = plain.doc_to_text(plain.eval_docs[number // count])
        texts = [*question["choices"], "none"][:count]
        for place, text in enumerate(texts):
            letter = "ABCDE"[(place - number) % count]
            assert f"{letter}. {text}\n" in task.doc_to_text(document)
        assert len(task.doc_to_text(document)) == len(original)
        target = task.doc_to_target(document)
        gold = target if isinstance(target, int) else "ABCDE".index(target)
        assert gold == (question["answer"] - number) % count


def options_in_lines(texts: Sequence[str], form: str = "({}) ") -> str:
    return "\n".join(form.format("ABCDE"[number]) + text for number, text in enumerate(texts))


def agieval(q: dict[str, Any]) -> dict[str, Any]:
    shown = [f"({letter}){text}" for letter, text in zip("ABCD", q["choices"], strict=True)]
    query = f"Q: {q['question']} Answer Choices: {' '.join(shown)}\nA: Among A through D, the answer is"
    return {"query": query, "choices": shown, "gold": [q["answer"]]}


# Files of lm_eval whose prompts are a field of the document, or whose right answer is told in other ways.
IN_TEXT: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "agieval": ("agieval/lsat-ar.yaml", agieval),
    "bbh": (
        "leaderboard/bbh_mc/temporal_sequences.yaml",
        lambda q: {
            "input": f"{q['question']}\nOptions:\n{options_in_lines(q['choices'])}",
            "target": f"({'ABCD'[q['answer']]})",
        },
    ),
    "haerae": (
        "haerae/haerae_gk.yaml",
        lambda q: {
            "query": f"{q['question']}\n### 선택지:\n{options_in_lines(q['choices'])}\n### 정답:",
            "answer": f"({'ABCDE'[q['answer']]})",
        },
    ),
    "med_concepts_qa": (
        "med_concepts_qa/med_concepts_qa_atc_easy.yaml",
        lambda q: {
            "question": f"{q['question']}\n{options_in_lines(q['choices'], '{}. ')}",
            "answer_id": "ABCD"[q["answer"]],
            **{f"option{number + 1}": text for number, text in enumerate(q["choices"])},
        },
    ),
    "csatqa": (
        "csatqa/csatqa_gr.yaml",
        lambda q: {
            "question": q["question"],
            "context": "",
            "gold": str(q["answer"] + 1),
            **{f"option#{number + 1}": text for number, text in enumerate(q["choices"])},
        },
    ),
    "click": (
        "click/click_cul/click_cul_economy.yaml",
        lambda q: {
            "id": f"Economy {q['question']}",
            "paragraph": "",
            "question": q["question"],
            "choices": q["choices"],
            "answer": q["choices"][q["answer"]],
        },
    ),
    "arab_culture": (
        "arab_culture/arab_culture_egypt.yaml",
        lambda q: {
            "country": "Egypt",
            "region": "Nile Valley",
            "first_statement": q["question"],
            "options": {"arabic_keys": list("أبج"), "english_keys": list("ABC"), "text": q["choices"]},
            "answer_key": {"arabic_answer_key": "أبج"[q["answer"]], "english_answer_key": "ABC"[q["answer"]]},
        },
    ),
}


@pytest.mark.parametrize("name", IN_TEXT)
def test_options_in_texts_are_rotated_as_hand_made_documents_are(name: str, folder: Folder) -> None:
    file, make = IN_TEXT[name]
    path = Path(lm_eval.__file__).parent / "tasks" / file
    if not path.exists():
        pytest.skip(f"this release of lm_eval has no {file}")
    asked = questions()
    asked[0]["choices"][3] = "hepatitis (B)"  # an option that looks like a label
    if name in ("haerae", "csatqa"):
        asked = [{**q, "choices": [*q["choices"], "none"]} for q in asked]
    if name == "arab_culture":
        asked = [{**q, "choices": q["choices"][:3], "answer": q["answer"] % 3} for q in asked]
    for task, rows in (("local", asked), ("hand", list(by_hand(asked)))):
        data = folder.path / f"{task}.jsonl"
        data.write_text("".join(json.dumps(make(row)) + "\n" for row in rows))
        files = dict.fromkeys(("train", "validation", "test", "dev", "gr"), str(data))
        local = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
        (folder.path / f"{task}.yaml").write_text(yaml.safe_dump({"include": str(path), "task": task, **local}))
    rotated = folder.rotated()
    prepare_rotated(folder.manager(), ["local"], rotated)
    (hand,), (task,) = load(folder.manager(), "hand"), load(folder.manager(rotated), "local_cyclic")
    assert len(task.eval_docs) == len(hand.eval_docs)
    for found, expected in zip(task.eval_docs, hand.eval_docs, strict=True):
        assert task.doc_to_text(found) == hand.doc_to_text(expected)
        assert task.doc_to_choice(found) == hand.doc_to_choice(expected)
        assert task.doc_to_target(found) == hand.doc_to_target(expected)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "two_right": (lambda doc: {**doc, "gold": [0, 1]}, r"not one gold option \(document 3\)"),
    "other_option": (
        lambda doc: {**doc, "choices": [*doc["choices"][:3], "(D)other"]},
        r"holds its options twice, and not the same ones \(document 3\)",
    ),
    "something_behind": (
        lambda doc: {**doc, "query": doc["query"] + " one of them"},
        r"not in the fields that hold those of the first document \(document 3\)",
    ),
    "one_less": (
        lambda doc: {**doc, "query": doc["query"].replace("(D)", "")},
        r"fields hold 3 options, and 4 are scored \(document 3\)|not the same ones \(document 3\)",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_text_that_is_unlike_the_others_is_refused_by_number(name: str, folder: Folder) -> None:
    change, why = BROKEN[name]
    documents = [agieval(question) for question in questions()]
    documents[3] = change(documents[3])
    folder.add("exam", documents, doc_to_text="{{query}}", doc_to_choice="{{choices}}", doc_to_target="{{gold}}")
    with pytest.raises(InputError, match=why):
        prepare_rotated(folder.manager(), ["exam"], folder.rotated())


def test_where_a_line_may_hold_more_than_the_last_option_it_is_refused(folder: Folder) -> None:
    def line(q: dict[str, Any]) -> dict[str, Any]:
        shown = " ".join(f"({letter}) {text}" for letter, text in zip("ABCD", q["choices"], strict=True))
        return {"query": f"{q['question']} {shown} Which of them is right?", "answer": q["answer"]}

    folder.add("exam", [line(question) for question in questions()], doc_to_text="{{query}}")
    with pytest.raises(InputError, match="no field of its documents holds 4 options"):
        prepare_rotated(folder.manager(), ["exam"], folder.rotated())


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "texts": ({"doc_to_text": "{{question}}", "doc_to_choice": "choices"}, "scored as texts"),
    "both": ({"doc_to_choice": "{{choices}}"}, "scored as texts"),
    "no_options": ({"doc_to_text": "{{question}}\nA, B, C or D?"}, "does not show the options"),
    "some": ({"doc_to_text": "{{question}} A. {{choices[0]}} B. {{choices[1]}}"}, "does not show the options"),
    "upside_down": ({"doc_to_text": "FUNCTION upside_down"}, "in another order"),
    "unnamed": ({"doc_to_text": "{{question}} {{choices | join(', ')}} Answer:"}, "'A', before the option"),
    "other_names": ({"doc_to_choice": list("WXYZ")}, "'W', before the option"),
    "other_number": ({"doc_to_choice": list("ABCDE")}, "no field of its documents holds 5 options"),
    "longest": ({"doc_to_text": "FUNCTION longest"}, "depends on the options otherwise"),
    "hidden": ({"doc_to_target": "FUNCTION hidden"}, "no field of its documents says which option is right"),
    "always": ({"doc_to_target": 0}, "no field of its documents says which option is right"),
    "generated": ({"output_type": "generate_until", "doc_to_choice": None}, "no multiple_choice task"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_checked_is_refused_by_name_in_a_line(name: str, folder: Folder) -> None:
    config, why = REFUSED[name]
    folder.add(name, questions(), **config)
    with pytest.raises(InputError) as error:
        prepare_rotated(folder.manager(), [name], folder.rotated())
    assert f"{name}: " in str(error.value)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_one_document_without_an_answer_is_named(folder: Folder) -> None:
    asked = questions()
    asked[4]["answer"] = -1
    folder.add("exam", asked)
    with pytest.raises(InputError, match=r"exam: it has not one gold option \(document 4\)"):
        prepare_rotated(folder.manager(), ["exam"], folder.rotated())


def test_options_that_speak_of_others_by_their_place_are_not_asked_and_counted(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "question": f"Which is {number}?",
            "choices": [f"{option} of {number}" for option in "pqrs"],
            "answer": number % 4,
        }
        for number in range(6)
    ]
    rows[1]["choices"] = ["cat", "dog", "Both A and B", "None of the above"]
    rows[4]["choices"] = ["one", "two", "three", "All of the above"]
    rows[5]["choices"] = ["hepatitis A", "hepatitis B", "both", "none of them"]
    folder.add("exam", rows)
    rotated = folder.rotated()
    prepare_rotated(folder.manager(), ["exam"], rotated)
    assert "2 of 6" in capsys.readouterr().err
    (task,) = (
        folder.manager(rotated).load(["exam_cyclic"])["tasks"].values()
        if hasattr(TaskManager, "load")
        else (folder.manager(rotated).load_task_or_group(["exam_cyclic"])["exam_cyclic"],)
    )
    assert list(dict.fromkeys(document["id"] for document in task.eval_docs)) == [0, 2, 3, 5]
    assert task.config.metadata["questions_left_out"] == 2
    folder.add("placed", rows[1:2])
    with pytest.raises(InputError, match="placed"):
        prepare_rotated(folder.manager(), ["placed"], folder.rotated())


def test_rotated_questions_are_not_rotated_again(folder: Folder) -> None:
    folder.add("exam", [{**row, "rotation": 0} for row in questions()])
    with pytest.raises(InputError, match="rotated by now"):
        prepare_rotated(folder.manager(), ["exam"], folder.rotated())
    folder.add("exam_cyclic", questions())
    with pytest.raises(InputError, match="another task exam_cyclic"):
        prepare_rotated(folder.manager(), ["exam"], folder.rotated())


def test_ids_of_the_documents_are_kept_where_they_are_distinct(folder: Folder) -> None:
    folder.add("own", [{"id": f"q{number}", **row} for number, row in enumerate(questions(count=3))])
    folder.add("same", [{"id": "q", **row} for row in questions(count=3)])
    for name, expected in (("own", ["q0", "q1", "q2"]), ("same", [0, 1, 2])):
        (task,) = load(folder.manager(), name)
        found = rotated_documents(task, list(task.eval_docs))
        assert [document["id"] for document in found[::4]] == expected


def test_our_own_questions_are_rotated_as_our_own_tasks_do() -> None:
    manager = TaskManager(include_path=str(shipped("lm_eval_tasks")), include_defaults=False)
    (task,) = load(manager, "consistency_world_medicine_icl")
    asked = list(task.eval_docs)[:50]
    expected = [
        {**document, **turned}
        for document in asked
        for turned in rotate(
            Question(
                document["id"],
                document["subject"],
                document["question"],
                tuple(document["choices"]),
                document["answer"],
            )
        )
    ]
    found = rotated_documents(task, asked)
    for ours, theirs in zip(found, expected, strict=True):
        assert {key: ours[key] for key in ("id", "question", "choices", "answer", "rotation")} == {
            key: theirs[key] for key in ("id", "question", "choices", "answer", "rotation")
        }


def test_a_task_without_documents_is_refused() -> None:
    with pytest.raises(NotRotatableError, match="no documents"):
        rotated_documents(None, [])  # type: ignore[arg-type]


def test_the_command_refuses_before_a_model_is_loaded(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(KINDS)
    asked = (
        "--include_path",
        KINDS,
        "--rotate",
        "kind_choice",
        "--rotate",
        "kind_pro",
        "--model_args",
        "pretrained=none",
    )
    code, _, told = call("eval", *asked)
    assert code == 2
    (line,) = [line for line in told.splitlines() if line.startswith("consistency: ")]
    assert "kind_choice: its options are scored as texts" in line
    assert "kind_pro_history: it is no multiple_choice task (generate_until)" in line
    code, _, told = call("eval", "--include_path", KINDS, "--rotate", "nothing", "--model_args", "pretrained=none")
    assert code == 2
    assert "Tasks not found: nothing" in told


def test_rotated_tasks_are_asked_beside_those_of_the_arguments_or_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(KINDS)
    (tmp_path / "run.yaml").write_text(f"tasks: [a, b]\ninclude_path: {KINDS}\nlimit: 3\n")
    for number, (given, tasks) in enumerate(((["-t", "c,d", "e"], ["c,d", "e"]), ([], ["a", "b"]))):
        folder = tmp_path / str(number)
        folder.mkdir()
        first, file, *others = with_rotated(
            ["--config", str(tmp_path / "run.yaml"), *given, "--device", "cpu"], ["kind_letters_medicin?"], folder
        )
        found = yaml.safe_load(Path(file).read_text())
        assert (first, others) == ("--config", ["--device", "cpu"])
        assert found["tasks"] == [*tasks, "kind_letters_medicine_cyclic"]
        assert found["limit"] == 3
        assert found["include_path"] == [str(KINDS), str(folder / "rotated")]
        written = (folder / "rotated" / "kind_letters_medicine_cyclic.yaml").read_text()
        assert written.splitlines()[0] == "task: kind_letters_medicine_cyclic"


def test_the_command_asks_a_group_and_its_log_is_folded_and_compared(tmp_path: Path) -> None:
    kinds = tmp_path / "kinds"
    shutil.copytree(KINDS, kinds)
    for model in ("hf", "hf-shared-prefix"):
        command = [sys.executable, "-m", "consistency.cli", "eval", "--model", model]
        command += ["--model_args", f"pretrained={WORLD},dtype=float32", "--include_path", "."]
        command += ["--rotate", "kind_social", "--tasks", "kind_letters_medicine", "--device", "cpu", "--limit", "16"]
        command += ["--log_samples", "--output_path", str(tmp_path / model)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=False, cwd=kinds
        )
        assert done.returncode == 0, done.stderr
    runs = [read_run(tmp_path / model) for model in ("hf", "hf-shared-prefix")]
    for run in runs:
        names = ["kind_letters_history_cyclic", "kind_letters_jurisprudence_cyclic", "kind_letters_medicine"]
        assert sorted(run.tasks) == names
        for name in names[:2]:
            folded = fold_rotations(run.tasks[name])
            assert (len(folded.scores), folded.incomplete) == (4, 0)
    for name in runs[0].tasks:
        first, second = (run.tasks[name].logprobs for run in runs)
        assert first == pytest.approx(second, abs=1e-4, nan_ok=True)
    results = json.loads(next((tmp_path / "hf").rglob("results_*.json")).read_text())
    assert results["group_subtasks"]["kind_social_cyclic"] == names[:2]
    command = [
        sys.executable,
        "-m",
        "consistency.cli",
        "compare",
        str(tmp_path / "hf"),
        str(tmp_path / "hf-shared-prefix"),
    ]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    by_task = json.loads(done.stdout)["by_task"]
    assert by_task["kind_letters_history_cyclic"]["n"] == 4
