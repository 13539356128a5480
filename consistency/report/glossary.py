"""What the words of the output mean, for readers who are new to them: measures, intervals, caveats, and the terms of statistics.

Measures, methods and caveats come from the registries that also print them; here is what those leave unsaid.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import get_args

from consistency.errors import InputError, not_one_of
from consistency.metrics.measures import MEASURES, Measure
from consistency.report.terms import ALL_MEASURES, INTERVALS, STATISTICS, TERMS, Term
from consistency.statistics.estimates import Caveat, Estimate, Method, Unit

_MOST_NEAR = 5
# Of a term: fewer characters are no part that tells which.
_SHORTEST_PART = 4
_AS_SPACES = str.maketrans(dict.fromkeys("_-–−", " "))


_OF_MEASURES = {
    "accuracy_before": "The share of right answers of the first run.",
    "accuracy_after": "The share of right answers of the second run.",
    "delta_accuracy": "Accuracy after less accuracy before: wrong answers that became right less right ones that became wrong.",
    "same_top": "The share of questions to which both runs give the same answer, right or wrong.",
    "kl": "The Kullback-Leibler divergence: how far the probabilities of the options moved. 0: not at all.",
    "kl_reverse": "The same as KL with the two runs exchanged; it weighs what the second run holds likely.",
    "js": "The Jensen-Shannon divergence: like KL, but the same in both directions, and never infinite.",
    "total_variation": "The probability that has moved from some options to others.",
    "cosine": "The cosine of the angle between the two runs' probabilities of the options. 1: proportional, so equal.",
    "hellinger": "A distance of the two runs' probabilities between 0 and 1, which weighs small probabilities more.",
    "spearman": "Whether the options stand in the same order of likelihood. 1: the same order; -1: the opposite one.",
    "spearman_paper": "Spearman ρ as the code of Ren et al. (2024) computes it, for comparison with the paper.",
    "tau_b": "The order of the options, by the pairs of them that kept it less those that did not.",
    "weighted_tau": "Kendall's τ with more weight for the options that are most likely.",
    "delta_gold": "By how much the right option's probability rose: another number than accuracy, and often a surer one.",
    "delta_margin": "By how much the right option moved ahead of the best wrong one, in log-probability.",
    "delta_entropy": "Above 0: the second run is less sure of its answers, right or wrong.",
    "brier_before": "How far the first run's probabilities are from the truth, squared. 0: sure and right; 2: sure and wrong.",
    "brier_after": "How far the second run's probabilities are from the truth, squared. 0: sure and right; 2: sure and wrong.",
    "rms_delta_gold": "How far the right option's probability moved in a typical question, up or down.",
    "harmful_flips": "The share of all questions whose answer was right before and is wrong after.",
    "beneficial_flips": "The share of all questions whose answer was wrong before and is right after.",
    "wrong_to_wrong_flips": "The share of all questions with a wrong answer before and another wrong one after.",
}
_OF_METHODS = {
    "t": "The usual interval of a mean: the mean ± a quantile of Student's t times the standard error.",
    "t-hall": "Skewed numbers, such as KL, need an interval that is longer on one side.",
    "t-cr3": "Clusters of questions or whole tasks are what was sampled: the interval says what others of the kind would give.",
    "t-cr1": "Another variance of whole tasks, for comparison; CR3 covers better where tasks are unequal.",
    "t-jackknife": "Of a number that is no mean, such as a perplexity: how it changes when questions are left out one by one.",
    "score": "Of a change of accuracy: the changes that the turned answers do not contradict. It has a width where none turned.",
    "bounded": "Also allows for questions that were not drawn and changed as far as a question can: long if few were drawn.",
    "wilson": "Of a share: the shares that the count does not contradict. It stays between 0 and 1.",
    "exact": "Of a share: never surer than it says. Conditions and policies judge shares by it.",
    "welch": "Of a difference of two means over different questions.",
    "normal": "The mean ± 1.96 standard errors.",
    "bca": "From repeated draws of the questions, corrected for bias and skewness.",
    "bootstrap-t": "From repeated draws of the tasks.",
    "fit": "Of what a fit explains of KL: from the lower end by the fit to all questions to the upper end by that to the others.",
    "run variance": "Also holds what two runs of one model differ by (Banerjee 1960). From one pair of runs it is wide.",
    "partial pooling": "Of a slice, shrunk: its change, pulled towards the mean of all slices.",
    "none": "The data are too few to say how sure the number is.",
}
_OF_CAVEATS = {
    "too few": "At least two are needed, of what was fitted first a hundred.",
    "constant": "All are alike, which says little about how much others would differ.",
    "skewed": "A few large values decide the mean.",
    "few clusters": "Fewer than ten tasks, passages and the like hardly show how much they differ.",
}
_OF_UNITS = {
    "question": "Questions are taken as drawn one by one: the interval says what other questions of these tasks would give.",
    "stratum": "Strata: the tasks are these and no others, and questions are drawn within each.",
    "cluster": "Whole tasks are taken as drawn: the interval says what other tasks of the kind would give.",
    "question cluster": "Questions that share a passage or the like are taken as drawn together, since they change together.",
    "question cluster in stratum": "The same within tasks that are these and no others.",
    "both": "Whole tasks are taken as drawn, and besides the questions that several of them ask.",
}


# What no registry holds.
@cache
def glossary() -> tuple[Term, ...]:
    """All terms: those of the registries, then the others."""
    return (*map(_of_measure, MEASURES), *_of_estimates(), *TERMS)


def explain(word: str) -> Term:
    """The term of a word.

    Parameters
    ----------
    word : str
        As it is printed, in any case, with spaces, underscores or hyphens; with or without its unit.

    Raises
    ------
    InputError
        If there is none; with the nearest ones.

    Examples
    --------
    >>> explain("Harmful-Flips").name
    'harmful flips'
    """
    names, wanted = _names(), _plain(word)
    if wanted in names:
        return names[wanted]
    # A part of one term alone, such as its beginning, is that term.
    holders = {
        names[name].name: names[name]
        for name in names
        if len(wanted) >= _SHORTEST_PART and f" {wanted} " in f" {name} "
    }
    if len(holders) == 1:
        return next(iter(holders.values()))
    near = difflib.get_close_matches(wanted, names, _MOST_NEAR, 0.6)
    within = [name for name in names if wanted and wanted in name.split()]
    found = list(dict.fromkeys(names[name].name for name in [*within, *near]))[:_MOST_NEAR]
    if not found:
        raise InputError(f"no term {word!r}", expected="a word of the output", do="consistency explain lists all")
    raise not_one_of("term", word, found)


@cache
def meaning(word: str) -> str:
    """What the term of this name says; empty where the word is none, or only another form of one, which may mean something else.

    Examples
    --------
    >>> meaning("Hellinger distance")[:10], meaning("KL (nats)")[:19], meaning("before")
    ('A distance', 'The Kullback-Leible', '')
    """
    return next((term.text for term in glossary() if _plain(term.name) == _plain(word)), "")


@cache
def _names() -> dict[str, Term]:
    """The terms by all their names."""
    # A term of its own says more than an alias of a registry's.
    names = {_plain(alias): term for term in reversed(TERMS) for alias in term.aliases}
    names |= {_plain(term.name): term for term in reversed(glossary())}
    return {_plain(alias): term for term in reversed(glossary()) for alias in term.aliases} | names


def _plain(word: str) -> str:
    """A word as terms are found by."""
    text = word.lower().replace("’", "'").translate(_AS_SPACES).strip().removeprefix("in the ").removeprefix("the ")
    for unit in ("(nats)", "(points)", "(%)"):
        text = text.removesuffix(unit)
    return " ".join(text.split())


def _of_measure(measure: Measure) -> Term:
    unit = {"": "", "%": "In %.", "points": "In percentage points.", "nats": "In nats."}[measure.unit]
    larger = {
        "better": "Larger: the second run is better.",
        "worse": "Larger: the second run is worse.",
        "more alike": "Larger: the runs are more alike.",
        "further apart": "Larger: the runs are further apart.",
        "neither": "",
    }[measure.direction]
    text = " ".join(filter(None, (_OF_MEASURES.get(measure.name, ""), unit, larger)))
    others = dict.fromkeys((measure.short, measure.name, *measure.aliases))
    aliases = tuple(name for name in others if _plain(name) != _plain(measure.title))
    return Term(measure.title, text, aliases, ALL_MEASURES)


def _of_estimates() -> Iterator[Term]:
    """Methods, units and caveats of an estimate, as it describes itself."""
    plain = Estimate(None, None, None, None, 0)
    for method in get_args(Method):
        phrase = replace(plain, method=method).describe().partition(", ")[2]
        yield Term(phrase, _OF_METHODS.get(method, "How the interval was made."), (method,), INTERVALS)
    for unit in get_args(Unit):
        phrase = replace(plain, unit=unit).describe().partition(",")[0]
        plural = {
            "question": "questions",
            "stratum": "strata",
            "cluster": "whole tasks",
            "question cluster": "clusters",
        }.get(unit, unit)
        yield Term(
            plural, _OF_UNITS.get(unit, "What was taken as sampled."), (unit, phrase.removeprefix("mean ")), INTERVALS
        )
    for caveat in get_args(Caveat):
        phrase = replace(plain, warnings=(caveat,)).describe().partition("; ")[2]
        lead = "A caveat of an interval, or why there is none."
        yield Term(phrase, " ".join(filter(None, (lead, _OF_CAVEATS.get(caveat, "")))), (caveat,), STATISTICS)
