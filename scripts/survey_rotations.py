"""Which multiple-choice tasks of the installed lm_eval, whose options are letters or numbers, can be asked in all rotations.

    python scripts/survey_rotations.py > docs/rotatable_tasks.md

Each kind of prompt is asked for real, by the task's own file, of made-up documents in the format of its dataset, since the
datasets themselves are not read. Prints Markdown.
"""

from __future__ import annotations

import ast
import json
import logging
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lm_eval
import yaml
from lm_eval.tasks import TaskManager

from consistency.errors import InputError
from consistency.tasks.rotated_tasks import prepare_rotated

FILES = Path(lm_eval.__file__).parent / "tasks"
HEAD = """# Which tasks of lm_eval can be asked in all rotations

`consistency eval --rotate TASK` ([how](cookbook.md#knowledge-or-letters-any-task-in-all-rotations)) takes any `multiple_choice`
task whose prompt shows the options behind what is scored. Of the task files of lm_eval {version}, {all} score letters or
numbers; in {served} of them, {kinds} kinds of prompts, the options rotate, and {refused} are refused. Each kind was asked
by its own file of made-up documents in the format of its dataset, by the command

<!-- not run: takes two minutes -->
```console
$ python scripts/survey_rotations.py > docs/rotatable_tasks.md
```

A dataset may hold a document that is unlike the others: two right answers, as in some of AGIEval; an option missing; fewer
options than are scored, as in some of BIG-bench hard; in one text, something else behind the last option. Then the task is
refused, and the line names the document. Options that a text alone tells (BIG-bench hard, HAE-RAE, tinyMMLU) are looked for
behind their labels, in lines or in one; of several such runs the last, and the last option ends with its line.

## Rotated
"""
Document = dict[str, Any]
Maker = Callable[[str, list[str], int], Document]
LETTERS = "ABCDEFGHIJKLMNOPQR"
_LABEL = re.compile(r"\W*(?:[A-Za-z]|\d{1,2})\W*")
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")


def lettered(names: Sequence[str], **more: Callable[[int], Any]) -> Maker:
    """Documents with a field for each option."""
    return lambda q, options, gold: {
        "question": q,
        **dict(zip(names, options, strict=False)),
        **{name: make(gold) for name, make in more.items()},
    }


def letter(gold: int) -> str:
    """The letter of an option."""
    return LETTERS[gold]


def shown(options: Sequence[str], form: str = "({}) ", between: str = "\n") -> str:
    """Options behind letters in a text."""
    return between.join(form.format(LETTERS[i]) + text for i, text in enumerate(options))


def bbh(count: int) -> Maker:
    """Documents of a task of BIG-bench hard with so many options."""

    def make(q: str, options: list[str], gold: int) -> Document:
        texts = [*options[:3], *(f"{options[i % 3]} or {i}" for i in range(3, count))][:count]
        return {"input": f"{q}\nOptions:\n{shown(texts)}", "target": f"({LETTERS[gold % count]})"}

    return make


def arabic(q: str, options: list[str], gold: int) -> Document:
    """Documents of ArabicMMLU and its translations."""
    numbered = {f"Option {i + 1}": options[i] if i < 4 else None for i in range(5)}
    return {
        "Question": q,
        "question": q,
        "Context": "",
        "context": "",
        "Subject": "Law",
        "Level": "",
        "Country": "",
        "options": dict(zip("ABCD", options, strict=False)),
        "Answer Key": letter(gold),
        **numbered,
    }


def metabench(q: str, options: list[str], gold: int) -> Document:
    """Documents of metabench, which hold their examples."""
    shots = {
        key: value
        for i in range(1, 6)
        for key, value in {
            f"mmlu_question_shot_{i}": f"What is {i} + {i}?",
            f"mmlu_choices_shot_{i}": ["2", "4", "6", "8"],
            f"mmlu_answers_shot_{i}": i % 4,
            f"mmlu_ind_shot_{i}": i,
        }.items()
    }
    asked = {"question": q, "choices": options[:4], "answer": gold, "subject": "sums", "allfiveshot_longprompt": ""}
    return {**asked, **shots}


def culture(q: str, options: list[str], gold: int) -> Document:
    """Documents of ArabCulture, which show three options behind Arabic letters."""
    return {
        "country": "Egypt",
        "region": "Nile Valley",
        "first_statement": q,
        "options": {"arabic_keys": ["أ", "ب", "ج"], "english_keys": list("ABC"), "text": options[:3]},
        "answer_key": {"arabic_answer_key": "أبج"[gold % 3], "english_answer_key": "ABC"[gold % 3]},
    }


def agieval(q: str, options: list[str], gold: int) -> Document:
    """Documents of AGIEval: options in one line of the query, and once more in a list, each behind its letter."""
    listed = shown(options[:4], "({})", " ")
    query = f"Q: {q} Answer Choices: {listed}\nA: Among A through D, the answer is"
    return {"query": query, "choices": [f"({LETTERS[i]}){text}" for i, text in enumerate(options[:4])], "gold": [gold]}


_FOUR = ("A", "B", "C", "D")


def mmlu(q: str, options: list[str], gold: int) -> Document:
    """Documents of MMLU."""
    return {"question": q, "choices": options[:4], "answer": gold}


def lettered_answer(q: str, options: list[str], gold: int) -> Document:
    """Documents with fields A to D, and the letter of the right one."""
    asked = dict(zip(_FOUR, options, strict=False))
    return {"question": q, "Question": q, **asked, "answer": letter(gold), "Answer": letter(gold)}


def candidates(q: str, options: list[str], gold: int) -> Document:
    """Documents of the Basque exams."""
    return {"question": q, "context": "A text.", "candidates": options[:4], "answer": gold}


def belebele(q: str, options: list[str], gold: int) -> Document:
    """Documents of Belebele."""
    answers = {f"mc_answer{i + 1}": text for i, text in enumerate(options[:4])}
    return {"flores_passage": "A text.", "question": q, **answers, "correct_answer_num": str(gold + 1)}


def arc(count: int) -> Maker:
    """Documents of ARC, CommonsenseQA and OpenBookQA."""
    return lambda q, options, gold: {
        "question": q,
        "question_stem": q,
        "fact": "A fact.",
        "answerKey": letter(gold),
        "answer": letter(gold),
        "choices": {"text": options[:count], "label": list(LETTERS[:count])},
    }


def gpqa(q: str, options: list[str], gold: int) -> Document:
    """Documents of GPQA."""
    wrong = [text for text in options[:4] if text != options[gold]]
    return {
        "Question": q,
        "Correct Answer": options[gold],
        **{f"Incorrect Answer {i + 1}": text for i, text in enumerate(wrong)},
    }


# By the beginning of the task's name: documents as those of its dataset.
DOCUMENTS: dict[str, Maker] = {
    "aclue": lettered_answer,
    "aexams": lettered_answer,
    "agieval": agieval,
    "arab_culture": culture,
    "arabic_leaderboard_arabic": lambda q, o, gold: {**lettered_answer(q, o, gold), "subject": "law"},
    "arabicmmlu": arabic,
    "AraDiCE_ArabicMMLU": arabic,
    "bangla_commonsenseqa": arc(5),
    "bangla_mmlu": lambda q, o, gold: {"question": q, "options": o[:4], "answer": letter(gold)},
    "belebele": belebele,
    "bertaqa": lambda q, o, gold: {"question": q, "candidates": o[:3], "answer": gold % 3},
    "careqa": lettered(("op1", "op2", "op3", "op4"), cop=lambda gold: gold + 1),
    "ceval": lettered_answer,
    "click": lambda q, o, gold: {
        "id": "Economy_1",
        "paragraph": "",
        "question": q,
        "choices": o[:4],
        "answer": o[gold],
    },
    "cmmlu": lettered_answer,
    "commonsense_qa": arc(5),
    "csatqa": lambda q, o, gold: {
        "question": q,
        "context": "A text.",
        "gold": str(gold + 1),
        **{f"option#{i + 1}": text for i, text in enumerate(o[:5])},
    },
    "darijammlu": lambda q, o, gold: {**mmlu(q, o, gold), "context": "", "subject_darija": "law"},
    "egymmlu": lambda q, o, gold: {**mmlu(q, o, gold), "context": "", "egy_subject": "law"},
    "eus": candidates,
    "evalita-mp_at": lambda q, o, gold: {
        "Question": q,
        **dict(zip("ABCDE", o, strict=False)),
        "Correct": letter(gold),
    },
    "evalita-mp_faq": lettered(_FOUR, correct_answer=letter),
    "evalita-mp_hs": lambda q, o, gold: {"full_text": q, "hs": gold % 2},
    "evalita-mp_sa": lambda q, o, gold: {"text": q, "opos": str(gold % 2), "oneg": str(gold // 2)},
    "evalita-mp_te": lambda q, o, gold: {"text1": q, "text2": o[0], "entailment": ("SI", "NO")[gold % 2]},
    "evalita-mp_wic": lambda q, o, gold: {
        "sentence1": q,
        "sentence2": q,
        "label": gold % 2,
        **dict.fromkeys(("start1", "start2"), 0),
        **dict.fromkeys(("end1", "end2"), 3),
    },
    "french_bench_fquadv2": lambda q, o, gold: {"context": o[0], "question": q, "is_impossible": gold % 2 == 1},
    "glianorex": lambda q, o, gold: {
        "question": q,
        "options": dict(zip(_FOUR, o, strict=False)),
        "answer_idx": letter(gold),
        "language": "en",
    },
    "global_mmlu": lettered(("option_a", "option_b", "option_c", "option_d"), answer=letter),
    "gpqa": gpqa,
    "groundcocoa": lambda q, o, gold: {
        "query": q,
        "Answer": "ABCDE"[gold],
        **{f"Option {'ABCDE'[i]}": text for i, text in enumerate(o[:5])},
    },
    "haerae": lambda q, o, gold: {
        "query": f"{q}\n### 선택지:\n{shown(o[:5])}\n### 정답:",
        "options": str(o[:5]),
        "answer": f"({letter(gold)})",
    },
    "include": lettered(("option_a", "option_b", "option_c", "option_d"), answer=lambda gold: gold),
    "kmmlu": lettered(_FOUR, answer=lambda gold: gold + 1),
    "leaderboard_bbh_date": bbh(6),
    "leaderboard_bbh_disambiguation": bbh(3),
    "leaderboard_bbh_geometric": bbh(10),
    "leaderboard_bbh_hyperbaton": bbh(2),
    "leaderboard_bbh_logical_deduction_five": bbh(5),
    "leaderboard_bbh_logical_deduction_seven": bbh(7),
    "leaderboard_bbh_object": lambda q, o, gold: {"input": q, "target": str(gold)},
    "leaderboard_bbh_reasoning": bbh(6),
    "leaderboard_bbh_temporal": bbh(4),
    "leaderboard_gpqa": gpqa,
    "leaderboard_mmlu_pro": lambda q, o, gold: {"question": q, "options": o, "answer": letter(gold)},
    "longbench2": lambda q, o, gold: {**mmlu(q, o, gold), "context": "A text.", "answer": letter(gold)},
    "m_mmlu": lambda q, o, gold: {
        "instruction": q,
        "answer": letter(gold),
        **dict(zip(("option_a", "option_b", "option_c", "option_d"), o, strict=False)),
    },
    "med_concepts_qa": lambda q, o, gold: {
        "question": f"{q}\n{shown(o[:4], '{}. ')}",
        "answer": o[gold],
        "answer_id": letter(gold),
        **{f"option{i + 1}": text for i, text in enumerate(o[:4])},
    },
    "medmcqa": lettered(("opa", "opb", "opc", "opd"), cop=lambda gold: gold),
    "medqa": lambda q, o, gold: {"sent1": q, **{f"ending{i}": o[i] for i in range(4)}, "label": gold},
    "mela": lambda q, o, gold: {"sentence": q, "label": gold % 2},
    "metabench_mmlu": metabench,
    "mmlu": mmlu,
    "mmlusr": lettered(("choice1", "choice2", "choice3", "choice4"), answer=lambda gold: gold),
    "mmmlu": lambda q, o, gold: {**lettered_answer(q, o, gold), "Subject": "abstract_algebra"},
    "naijarc": lambda q, o, gold: {
        **lettered([f"options_{i}" for i in _FOUR], Answer=letter)(q, o, gold),
        "story": "A text.",
    },
    "norbelebele": belebele,
    "norcommonsenseqa": arc(5),
    "noropenbookqa": arc(4),
    "nrk_quiz_qa": arc(4),
    "openai_mmlu": lettered_answer,
    "openbookqa_bn": arc(4),
    "piqa_bn": lambda q, o, gold: {"goal": q, "sol1": o[0], "sol2": o[1], "label": gold % 2},
    "tinyMMLU": lambda q, o, gold: {
        "input_formatted": f"What is 1 + 1?\n{shown(list('2345'), '{}. ')}\nAnswer: A\n\n{q}\n{shown(o[:4], '{}. ')}\nAnswer:",
        **mmlu(q, o, gold),
    },
    "tmlu": lettered_answer,
    "tmlu_AST_chemistry": lambda q, o, gold: {**lettered_answer(q, o, gold), "E": o[4]},
    "tmmluplus": lettered_answer,
    "turkishmmlu": lambda q, o, gold: {"question": q, "choices": o[:5], "answer": letter(gold)},
    "uhura": arc(4),
    "wmdp": mmlu,
}
# Only choose documents of a subject.
# Why kinds of prompts are refused, beyond what the refusal says of their documents.
REASONS = {
    **dict.fromkeys(
        ("evalita-mp_hs", "evalita-mp_sa", "evalita-mp_te", "evalita-mp_wic", "french_bench", "mela"),
        "its options are in the template, the same in every question",
    ),
    "leaderboard_bbh": "most of its questions show fewer options than are scored",
    "leaderboard_bbh_object": "its numbers are answers, and label nothing",
}
NOT_ASKED = "not asked: its file needs a package that is not installed"
_FILTERS = ("global_mmlu", "include", "mmmlu", "noropenbookqa", "careqa")


@dataclass(frozen=True)
class Kind:
    """Tasks with the same templates."""

    folder: str
    config: Mapping[str, Any]
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        """The first task."""
        return self.tasks[0]

    @property
    def maker(self) -> Maker | None:
        """How its documents are made; None where that is not known."""
        found = [begin for begin in DOCUMENTS if self.name.startswith(begin)]
        return DOCUMENTS[max(found, key=len)] if found else None


class _Loader(yaml.CSafeLoader):
    pass


_Loader.add_constructor("!function", lambda loader, node: f"function {node.value}")


def config_of(path: Path) -> dict[str, Any]:
    """A task file with what it includes."""
    found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    if not isinstance(found, dict):
        return {}
    included = found.pop("include", None)
    for name in reversed([included] if isinstance(included, str) else included or []):
        if (path.parent / name).is_file():
            found = {**config_of(path.parent / name), **found}
    return found


def kinds() -> list[Kind]:
    """The tasks that score letters or numbers, by their templates."""
    found: dict[str, list[tuple[Path, dict[str, Any]]]] = defaultdict(list)
    for path in sorted(FILES.rglob("*.yaml")):
        config = config_of(path)
        if config.get("output_type") == "multiple_choice" and isinstance(config.get("task"), str):
            templates = [config.get(key) for key in ("doc_to_text", "doc_to_choice", "doc_to_target")]
            own = config["task"].startswith(("AraDiCE", "arabic_leaderboard")) and path.parent.name
            found[json.dumps([path.relative_to(FILES).parts[0], own, *templates], default=str)].append((path, config))
    made = []
    for same in found.values():
        path, config = same[0]
        kind = Kind(path.relative_to(FILES).parts[0], {**config, "path": path}, tuple(c["task"] for _, c in same))
        if scores_letters(config) or (kind.maker and not isinstance(config.get("doc_to_choice"), list)):
            made.append(kind)
    return made


def scores_letters(config: Mapping[str, Any]) -> bool:
    """Whether the file itself says that letters or numbers are scored."""
    choices = config.get("doc_to_choice")
    if isinstance(choices, str) and choices.lstrip().startswith("["):
        try:
            choices = ast.literal_eval(choices)
        except (ValueError, SyntaxError):
            return False
    return isinstance(choices, list) and all(isinstance(each, str) and _LABEL.fullmatch(each) for each in choices)


def documents(kind: Kind) -> Iterator[Document]:
    """Made-up sums in the format of the dataset."""
    assert kind.maker is not None
    for number in range(6):
        first, second = 12 + number, 5 + 3 * number
        options = [str(first + second + shift) + " apples" for shift in (-1, 0, 2, 5, 7)]
        gold = number % 4
        options[1], options[gold] = options[gold], options[1]
        yield kind.maker(f"What is {first} + {second}?", options, gold)


def why_not(kind: Kind, folder: Path) -> str:
    """Why a kind of task cannot be rotated; empty where it can."""
    folder.mkdir()
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents(kind)), encoding="utf-8")
    local: dict[str, Any] = {"dataset_path": "json", "dataset_name": None, "task": "local"}
    splits = [kind.config[key] for key in _SPLITS if kind.config.get(key)]
    local["dataset_kwargs"] = {"data_files": dict.fromkeys(splits, str(data))}
    if kind.name.startswith(_FILTERS):
        local["process_docs"] = None
    text = yaml.safe_dump({"include": str(kind.config["path"]), **local})
    (folder / "local.yaml").write_text(text)
    rotated = folder / "rotated"
    rotated.mkdir()
    try:
        prepare_rotated(TaskManager(include_path=[str(folder)], include_defaults=False), ["local"], rotated)
    except ModuleNotFoundError:
        return NOT_ASKED
    except InputError as error:
        return re.sub(r"^.*?local: | \(document \d+\).*|; expected.*", "", str(error).splitlines()[0])
    return ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def rows_of(asked: Sequence[tuple[Kind, str]]) -> Iterator[tuple[str, str, str, str]]:
    """By folder and reason: tasks, kinds of prompts, an example, and the reason."""
    together: dict[tuple[str, str], list[Kind]] = defaultdict(list)
    for kind, why in asked:
        known = [begin for begin in REASONS if why and kind.name.startswith(begin)]
        together[kind.folder, REASONS[max(known, key=len)] if known else why].append(kind)
    for (folder, why), found in sorted(together.items()):
        yield f"`{folder}`", str(sum(len(kind.tasks) for kind in found)), f"`{found[0].name}`", why


def main() -> None:
    """Print the tables."""
    logging.disable(logging.WARNING)
    every = kinds()
    known = [kind for kind in every if kind.maker]
    with tempfile.TemporaryDirectory() as folder:
        asked = [(kind, why_not(kind, Path(folder, str(number)))) for number, kind in enumerate(known)]
    asked = [(kind, why) for kind, why in asked if scores_letters(kind.config) or not why]
    served = [(kind, "") for kind, why in asked if not why]
    refused = [(kind, why) for kind, why in asked if why]
    counts = [sum(len(kind.tasks) for kind, _ in group) for group in (served, refused)]
    print(
        HEAD.format(
            version=version("lm_eval"),
            all=f"{sum(counts):,}",
            served=f"{counts[0]:,}",
            kinds=len(served),
            refused=counts[1],
        )
    )
    print(table(("folder", "tasks", "for example"), [row[:3] for row in rows_of(served)]))
    print("\n## Refused\n")
    print(table(("folder", "tasks", "for example", "why"), list(rows_of(refused))))
    without = sorted({kind.name for kind in every if not kind.maker})
    if without:
        print(f"\nNot asked: {', '.join(f'`{name}`' for name in without)}.")
    print(
        "\nTasks that score the options' texts, or words that are the same in every question (yes and no), have no letters to "
        "rotate, and are not counted here."
    )


if __name__ == "__main__":
    main()
