"""`consistency explain`: every word that the output prints is explained, and documented where it says."""

import re
from pathlib import Path
from typing import get_args

import pytest

from consistency.comparison.compare import compare
from consistency.errors import InputError
from consistency.metrics.measures import MEASURES
from consistency.report.glossary import explain, glossary
from consistency.statistics.estimates import Caveat, Estimate, Method, Unit

ROOT = Path(__file__).parent.parent
MOST_SENTENCES = 4


def anchors(document: Path) -> set[str]:
    """The headings of a document, as GitHub links to them."""
    heads = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_term_is_short_and_documented_where_it_says() -> None:
    for term in glossary():
        path, _, anchor = term.where.partition("#")
        assert (ROOT / path).is_file(), term
        assert not anchor or anchor in anchors(ROOT / path), term
        assert 1 <= len(re.findall(r"[.?](?:\s|$)", term.text)) <= MOST_SENTENCES, term
    assert len({term.name for term in glossary()}) == len(glossary())


def test_every_measure_method_unit_and_caveat_has_a_term() -> None:
    for measure in MEASURES:
        for name in (measure.title, measure.heading, measure.name, measure.short):
            assert explain(name).text, name
        assert explain(measure.title).name == measure.title
    plain = Estimate(0.0, None, None, None, 2)
    for values, field in ((get_args(Method), "method"), (get_args(Unit), "unit")):
        for value in values:
            described = Estimate(0.0, None, None, None, 2, **{field: value}).describe()
            phrase = (
                described.partition(", ")[2]
                if field == "method"
                else described.partition(", ")[0].removeprefix("mean ")
            )
            assert value in explain(phrase).aliases
            assert explain(value).text
    for caveat in get_args(Caveat):
        phrase = Estimate(0.0, None, None, None, 2, warnings=(caveat,)).describe().removeprefix(f"{plain.describe()}; ")
        assert caveat in explain(phrase).aliases
        assert explain(caveat).text


def test_every_head_of_the_table_and_word_of_the_verdict_has_a_term(test_data: Path) -> None:
    logs = (test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5))
    text = compare(*logs).to_text()
    (head,) = [line for line in text.splitlines() if line.startswith("task ")]
    # The heads hold single spaces, and are set apart by as few.
    for column in (
        "task",
        "metric",
        "n",
        "before",
        "after",
        "change",
        "95 % interval",
        "same top",
        "Spearman ρ",
        "KL (nats)",
        "flips −/+",
        "p (Holm)",
    ):
        assert column in head
        head = head.replace(column, "", 1)
        assert explain(column).text
    assert head.strip() == ""
    for words in (
        "points",
        "95 % interval",
        "score interval of paired shares (Tango 1998)",
        "gold option's probability",
        "would be found 4 times in 5",
        "distinguishable from chance",
        "keep their answer",
        "p",
    ):
        assert words in text
        assert explain(words).text
    for part in text.splitlines()[-1].split("|"):
        assert explain(part.partition(":")[0]).text, part


def labels(text: str) -> set[str]:
    """What stands before the numbers with a point, without what is in brackets, articles and verbs."""
    found = re.findall(r"([A-Za-z][A-Za-z' ]+?)(?: =)? [+-]?\d*\.\d", re.sub(r"\([^()]*\)", "", text))
    return {re.sub(r"^(?:a|and) |(?: explains| leave| of)$", "", each) for each in found}


def test_every_label_of_a_number_has_a_term(test_data: Path) -> None:
    logs = (test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5))
    text = compare(*logs).to_text()
    found = labels(text.split("\n\n")[3])
    assert len(found) >= 10
    for label in found:
        assert explain(label).text, label
    # Words of the verdict and behind the numbers.
    terms = {
        "unexplained": "rest of KL",
        "letter offsets": "letters of KL",
        "one offset for each letter": "letters of KL",
        "on balance": "moved to other options on balance",
        "4 times in 5": "detectable change",
        "score": "score",
    }
    for word, name in terms.items():
        assert word in text
        assert explain(word).name == name


@pytest.mark.parametrize(
    "word",
    ["equivalence", "margin", "strata", "clusters", "CR3", "score interval", "heterogeneity", "macro", "micro", "noise",
     "detectable change", "selection bias", "harmful flips", "policy", "inconclusive", "budget", "Holm", "non-inferiority",
     "Clopper–Pearson", "exact (Clopper–Pearson)", "surely", "possibly", "excess", "tie rate", "ece", "HOMO"],
)  # fmt: skip
def test_words_of_verdicts_conditions_and_policies_have_a_term(word: str) -> None:
    assert explain(word).text


def test_the_program_explains_suggests_and_lists(call) -> None:
    assert "right before and are wrong after" in call("explain", "harmful", "flips")[1]
    code, out, _ = call("explain")
    assert (code, {term.name for term in glossary()} - set(out.splitlines())) == (0, set())
    code, out, err = call("explain", "equivalnce")
    assert (code, out) == (2, "")
    assert "expected one of equivalence" in err
    with pytest.raises(InputError, match="consistency explain lists all"):
        explain("qqq")
