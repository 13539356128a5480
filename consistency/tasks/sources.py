"""The questions of the benchmarks and of the four domains, from a folder that the user named or from their public source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consistency.errors import InputError, not_one_of, one_line
from consistency.support.manifests import check_manifest
from consistency.support.streams import tell
from consistency.tasks.benchmarks import find_benchmark
from consistency.tasks.conversion import MANIFEST, convert_exam, convert_medmcqa, read_csv
from consistency.tasks.prompts import ENGLISH
from consistency.tasks.questions import Question, check_questions, read_questions
from consistency.world.fields import DOMAINS

VARIABLE = "CONSISTENCY_DATA"
MMLU = "cais/mmlu"
CEVAL = "ceval/ceval-exam"
MEDMCQA = "openlifescienceai/medmcqa"
# The repository of CMMLU's authors: the hub's copy needs a program of its own to be read.
CMMLU = "haonan-li/CMMLU"
CMMLU_COMMIT = "d6e7b716d8ac694f38969a6c0407437d1fded799"
# The authors' repository, at the commit that holds their data.
RELEASE = "renmengjie7/Self-Aligning"
RELEASE_COMMIT = "e129ea533157d0f40f82c3b34abf2a4baf8fb231"
RELEASE_NAME = f"github.com/{RELEASE} at {RELEASE_COMMIT[:7]}"
# Together they hold every question that some base model answered with confidence, right (a sample) or wrong.
_RELEASED_GROUPS = ("consistent-correct-exp-sample", "inconsistent-golden-exp")
_RELEASED_MODELS = {
    "history": ("llama-2-70b", "llama-2-7b", "mistral-7b"),
    "engineering": ("llama-2-13b", "llama-2-70b", "llama-2-7b", "mistral-7b"),
    "jurisprudence": ("llama-2-13b", "llama-2-70b", "llama-2-7b", "mistral-7b"),
}


def benchmark_questions(benchmark: str, subject: str, split: str, data_dir: str = "") -> list[Question]:
    """The questions of a benchmark's subject.

    Parameters
    ----------
    benchmark : {"mmlu", "cmmlu", "ceval"}
        Its name.
    subject : str
        One of its subjects, such as ``high_school_us_history``.
    split : {"dev", "val", "test"}
        The five few-shot examples or what is evaluated: the test set, or C-Eval's "val", since the answers to its test
        set are not public.
    data_dir : str
        A folder with ``BENCHMARK/SPLIT/SUBJECT.jsonl``. Without it the variable CONSISTENCY_DATA names the folder, and
        without that the questions are those of ``cais/mmlu``, CMMLU's repository or ``ceval/ceval-exam``.

    Raises
    ------
    InputError
        If the benchmark, subject or split is unknown, no source can be read, or a question is malformed.
    """
    known = find_benchmark(benchmark)
    if subject not in known.names:
        expected = f"one of the {len(known.names)}, such as {next(iter(known.names))}"
        raise InputError(f"no {known.title} subject {subject!r}", expected=expected)
    if split not in (*known.splits, "dev"):
        raise not_one_of("split", split, (*known.splits, "dev"))
    about = known.names[subject]
    source, public = {
        "mmlu": (MMLU, lambda: check_questions(_hub(MMLU, split, subject), about, f"{MMLU}/{subject}/{split}")),
        "cmmlu": (f"github.com/{CMMLU} at {CMMLU_COMMIT[:7]}", lambda: _cmmlu(subject, split)),
        "ceval": (CEVAL, lambda: _exam(_hub(CEVAL, split, subject), about, f"{CEVAL}/{subject}/{split}")),
    }[benchmark]
    return _find(benchmark_file(benchmark, subject, split), about, data_dir, source, public, known.language)


def domain_questions(domain: str, split: str, data_dir: str = "") -> list[Question]:
    """The questions of one of the four domains.

    Parameters
    ----------
    domain : str
        ``medicine``, ``history``, ``engineering`` or ``jurisprudence``.
    split : {"dev", "test", "pool"}
        Few-shot examples, test set or training pool.
    data_dir : str
        A folder with ``domains/DOMAIN/dev.jsonl``, ``domains/DOMAIN/test.jsonl`` and ``pool/DOMAIN.jsonl``. Without it
        the variable CONSISTENCY_DATA names the folder, and without that the questions are those that the authors
        released; medicine's pool is the training split of ``openlifescienceai/medmcqa``.

    Raises
    ------
    InputError
        As for `benchmark_questions`.
    """
    if domain not in DOMAINS:
        raise not_one_of("domain", domain, DOMAINS)
    if split != "pool":
        folder = "medmcqa" if domain == "medicine" else domain
        source, public = RELEASE_NAME, lambda: _released([f"data/source/{folder}/{split}.jsonl"], domain)
    elif domain == "medicine":
        source, public = MEDMCQA, _medicine_pool
    else:
        folders = [f"data/group/{model}/{domain}" for model in _RELEASED_MODELS[domain]]
        files = [f"{folder}/{group}.jsonl" for folder in folders for group in _RELEASED_GROUPS]
        source, public = RELEASE_NAME, lambda: _released(files, domain)
    return _find(domain_file(domain, split), domain, data_dir, source, public)


def benchmark_file(benchmark: str, subject: str, split: str) -> str:
    """Path of a subject's questions within a folder of questions."""
    return f"{benchmark}/{split}/{subject}.jsonl"


def domain_file(domain: str, split: str) -> str:
    """Path of a domain's questions within a folder of questions."""
    return f"pool/{domain}.jsonl" if split == "pool" else f"domains/{domain}/{split}.jsonl"


def place(file: str, data_dir: str = "") -> Path:
    """Path of a file of questions in the folder that the user named; without a folder, the file's name alone.

    Parameters
    ----------
    file : str
        See `benchmark_file` and `domain_file`.
    data_dir : str
        The folder; by default that of the variable CONSISTENCY_DATA.

    Raises
    ------
    InputError
        If the folder is not a text.
    """
    folder = _folder(data_dir)
    return Path(folder).expanduser() / file if folder else Path(file)


def _folder(data_dir: str) -> str:
    # It comes from --metadata, which may hold any type.
    if data_dir and not isinstance(data_dir, str):
        raise InputError(f"data_dir is {data_dir!r}", expected="""the path of a folder: '{"data_dir": "FOLDER"}'""")
    return data_dir or os.environ.get(VARIABLE, "")


def _find(
    relative: str,
    subject: str,
    data_dir: str,
    source: str,
    public: Callable[[], list[Question]],
    language: str = ENGLISH,
) -> list[Question]:
    if _folder(data_dir):
        path = place(relative, data_dir)
        if path.exists():
            within = Path(relative)
            check_manifest(
                path.parents[len(within.parts) - 2], MANIFEST, within.relative_to(within.parts[0]).as_posix()
            )
            return read_questions(path, subject, language)
        problem = f"{path} does not exist"
    else:
        try:
            return public()
        except InputError:
            raise
        except Exception as error:  # each library between here and the network has errors of its own
            problem = f"{source} cannot be reached ({one_line(error)})"
    raise InputError(
        f"no questions for {relative.removesuffix('.jsonl')}: {problem}",
        expected=f"""--metadata '{{"data_dir": "FOLDER"}}', or {VARIABLE}=FOLDER, with FOLDER/{relative}; or, with """
        f"neither, a network to fetch {source}",
    )


def _hub(name: str, split: str, config: str | None = None) -> Any:
    from datasets import load_dataset

    return load_dataset(name, config, split=split)


def _download(repository: str, commit: str, files: list[str]) -> list[str]:
    """Paths of copies of a GitHub repository's files."""
    from datasets import DownloadConfig, DownloadManager, config

    if config.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    manager = DownloadManager(download_config=DownloadConfig(disable_tqdm=True))
    base = f"https://raw.githubusercontent.com/{repository}/{commit}"
    copies: list[str] = manager.download([f"{base}/{file}" for file in files])
    return copies


def _cmmlu(subject: str, split: str) -> list[Question]:
    file = f"data/{split}/{subject}.csv"
    (copy,) = _download(CMMLU, CMMLU_COMMIT, [file])
    return _exam(read_csv(copy), find_benchmark("cmmlu").names[subject], f"{CMMLU}/{file}")


def _exam(records: Any, subject: str, place: str) -> list[Question]:
    """The questions of raw records of CMMLU or C-Eval; how many are none is said on stderr."""
    questions, dropped = convert_exam(records, subject)
    for reason, count in sorted(dropped.items()):
        tell(f"consistency: {place}: {count} left out ({reason})")
    if not questions:
        raise InputError("no questions", expected="records with a question, A to D and answer", path=place)
    return questions


def _released(files: list[str], domain: str) -> list[Question]:
    """Questions of the authors' release, each once, in the order of their ids where several files hold them."""
    parts = [read_questions(path, domain) for path in _download(RELEASE, RELEASE_COMMIT, files)]
    if len(parts) == 1:
        return parts[0]
    found: dict[int | str, Question] = {}
    for question in (question for part in parts for question in part):
        if question.id not in found or not found[question.id].explanation:
            found[question.id] = question
    return [found[identifier] for identifier in sorted(found, key=int)]


def _medicine_pool() -> list[Question]:
    """MedMCQA's training questions with one right answer and an explanation; ids are row numbers, as in the release."""
    shots = {question.id for question in _released(["data/source/medmcqa/dev.jsonl"], "medicine")}
    questions, _ = convert_medmcqa(_hub(MEDMCQA, "train"), first_option=0)
    return [question for question in questions if question.explanation and question.id not in shots]
