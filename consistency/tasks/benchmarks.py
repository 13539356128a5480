"""The benchmarks that judge knowledge outside a domain's own test set: their subjects, what prompts call them, their groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consistency.errors import not_one_of
from consistency.tasks import ceval, cmmlu, mmlu
from consistency.tasks.prompts import ENGLISH


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark of many subjects.

    Attributes
    ----------
    name, title : str
        In names of tasks and folders, and in sentences.
    names : mapping of str to str
        What the prompts call each subject, by its name in tasks.
    splits : tuple of str
        The evaluated split, then those that need not be there; "dev" holds the few-shot examples.
    categories : mapping of str to tuple of str
        Members of each category: sub-categories, or subjects where there are none. Every subject is in one category.
    subcategories : mapping of str to tuple of str
        Subjects of each sub-category.
    more_categories : mapping of str to tuple of str
        Subjects of categories that cut across the others.
    domains : mapping of str to tuple of str
        Subjects that belong to each of the paper's four domains.
    language : str
        In which its questions are asked: see `prompts.WORDINGS`.
    harness : str
        What the names of lm_eval's own tasks for it begin with.
    """

    name: str
    title: str
    names: Mapping[str, str]
    splits: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    domains: Mapping[str, tuple[str, ...]]
    harness: str
    subcategories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    more_categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    language: str = ENGLISH


def _split(table: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(subjects.split()) for name, subjects in table.items()}


def _of_subcategories(table: Mapping[str, str], domains: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The subjects of the sub-categories that belong to each domain, by name."""
    return {
        domain: tuple(sorted(subject for name in names for subject in table[name].split()))
        for domain, names in domains.items()
    }


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="mmlu",
            title="MMLU",
            names={subject: mmlu.display_name(subject) for subject in mmlu.SUBJECTS},
            splits=("test",),
            categories=mmlu.CATEGORIES,
            subcategories=_split(mmlu.SUBCATEGORIES),
            domains=_of_subcategories(mmlu.SUBCATEGORIES, mmlu.ID_SUBCATEGORIES),
            harness="mmlu_",
        ),
        Benchmark(
            name="cmmlu",
            title="CMMLU",
            names=cmmlu.NAMES,
            splits=("test",),
            categories=cmmlu.CATEGORIES,
            subcategories=_split(cmmlu.SUBCATEGORIES),
            more_categories={"china_specific": tuple(cmmlu.CHINA_SPECIFIC.split())},
            domains=_split(cmmlu.DOMAINS),
            language="zh",
            harness="cmmlu_",
        ),
        Benchmark(
            name="ceval",
            title="C-Eval",
            names=ceval.NAMES,
            splits=("val", "test"),
            categories=_split(ceval.CATEGORIES),
            domains=_split(ceval.DOMAINS),
            language="zh",
            harness="ceval-valid_",
        ),
    )
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> find_benchmark("ceval").splits[0], len(find_benchmark("cmmlu").names)
    ('val', 67)
    """
    if name not in BENCHMARKS:
        raise not_one_of("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]


def benchmark_tasks(name: str, style: str) -> dict[str, str]:
    """The lm_eval task of each subject of a benchmark.

    Parameters
    ----------
    name : {"mmlu", "cmmlu", "ceval"}
        The benchmark.
    style : {"icl", "icl_paper", "icl_cyclic", "ift"}
        See `consistency.tasks.scopes.scope_tasks`.

    Raises
    ------
    InputError
        If there is no such benchmark.

    Examples
    --------
    >>> benchmark_tasks("ceval", "ift")["physician"]
    'consistency_ceval_ift_physician'
    """
    return {subject: f"consistency_{name}_{style}_{subject}" for subject in find_benchmark(name).names}
