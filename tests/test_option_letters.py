"""Letters in explanations: what names an option follows it, what is something else stays, and what is unclear is said to be."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consistency.knowledge.letter_rules import EXAMPLE, RULES, Mention, Options, rule_of
from consistency.knowledge.option_letters import move_letters
from consistency.knowledge.plain_text import plain_text

CHOICES = ["apple", "banana", "cherry", "date"]
ORDER = [3, 2, 1, 0]  # A and D change places, and B and C
LEFT_OUT = None


def inverse(order: list[int]) -> list[int]:
    return [order.index(place) for place in range(len(order))]


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        # Markup
        ("The correct answer is **B**.", "The correct answer is **C**."),
        ("Therefore, **B** is correct because", "Therefore, **C** is correct because"),
        ("The answer is *B*.", "The answer is *C*."),
        ("The answer is __B__.", "The answer is __C__."),
        ("Answer: <b>B</b>", "Answer: <b>C</b>"),
        ("- **A**: wrong\n- **C**: correct", "- **D**: wrong\n- **B**: correct"),
        ("1. **A**: Incorrect.", "1. **D**: Incorrect."),
        ("> ### Answer: `B`", "> ### Answer: `C`"),
        ("**B. banana** is right", "**C. banana** is right"),
        ("so **Option B** is right", "so **Option C** is right"),
        ("| A | wrong |\n| B | correct |", "| D | wrong |\n| C | correct |"),
        (r"\boxed{B}", r"\boxed{C}"),
        (r"So $\boxed{\text{B}}$", r"So $\boxed{\text{C}}$"),
        ("The answer is $B$.", "The answer is $C$."),
        (r"The answer is \(B\)", r"The answer is \(C\)"),
        ("The final answer is B.", "The final answer is C."),
        # Alone, what they say is unclear.
        *((text, LEFT_OUT) for text in ("*B*", "__B__", "`B`", "$B$", "(b)", "B")),
        # Slashes, ranges and enumerations
        ("options A/B", "options D/C"),
        ("The answer is B/C", "The answer is C/B"),
        ("B/C are wrong", "C/B are wrong"),
        ("Neither A nor B is correct.", "Neither D nor C is correct."),
        ('"A," "B," and "C" are wrong', '"D," "C," and "B" are wrong'),
        ("The answer is B, not C.", "The answer is C, not B."),
        ("options A-C are wrong", "options B-D are wrong"),
        ("options A–C are wrong", "options B–D are wrong"),
        ("options A to C are wrong", "options B to D are wrong"),
        ("options **A** through **C** are wrong", "options **B** through **D** are wrong"),
        ("A to C are wrong", "B to D are wrong"),
        ("options B-D", "options A-C"),
        ("options C to A are wrong", LEFT_OUT),
        ("options A, B and E are wrong", LEFT_OUT),
        ("It goes from A to B.", LEFT_OUT),
        ("In option A, B is liable.", LEFT_OUT),
        # What stands before and behind
        ("option B's claim", "option C's claim"),
        ("Answer = B", "Answer = C"),
        ("A can be eliminated.", "D can be eliminated."),
        ("A cannot be right.", "D cannot be right."),
        ("A would be wrong.", "D would be wrong."),
        ("A describes something else.", LEFT_OUT),
        ("A clearly refers to a fruit.", LEFT_OUT),
        ("A correct, B wrong.", LEFT_OUT),
        ("b is correct", "c is correct"),
        ("i choose b", "i choose c"),
        ("d. date is right; a. apple is wrong", "a. date is right; d. apple is wrong"),
        ("Here the answer is a", LEFT_OUT),
        ("Suppose A is true.", LEFT_OUT),
        # Chinese
        ("ABC错误", "BCD错误"),
        ("AB均错", "CD均错"),
        ("故选B", "故选C"),
        ("故选ABD。", "故选ACD。"),
        ("A、B、C均不正确", "D、C、B均不正确"),
        ("正确答案是**B**。", "正确答案是**C**。"),
        ("Ａ项错误，Ｂ项正确", "Ｄ项错误，Ｃ项正确"),
        ("维生素A和选项A", "维生素A和选项D"),
        ("AB型血和B细胞", "AB型血和B细胞"),
        # Names of other things
        ("vitamin A and option A", "vitamin A and option D"),
        ("hepatitis A and option B", "hepatitis A and option C"),
        ("Group A and option B", "Group A and option C"),
        ("In the country. B is wrong.", "In the country. C is wrong."),
        ("Method B is wrong.", LEFT_OUT),
        ("The correct answer is C. difficile.", "The correct answer is C. difficile."),
        ("The answer is A. fumigatus.", "The answer is A. fumigatus."),
        ("The answer is D. melanogaster.", "The answer is D. melanogaster."),
        ("It is option B, or C. difficile.", "It is option C, or C. difficile."),
        ("The answer is B or C-3.", LEFT_OUT),
        ("The answer is B. because it is.", "The answer is C. because it is."),
        ("Answer B. The rest is wrong.", "Answer C. The rest is wrong."),
        ("A * B, A*B, x_B and $A = B$", "A * B, A*B, x_B and $A = B$"),
        ("Options A + B are wrong.", LEFT_OUT),
        ("In 200 B.C. it was 5 °C, i.e. cold, as A. D. Smith says.", LEFT_OUT),
        ("In 200 B.C. it was 5 °C, i.e. cold.", "In 200 B.C. it was 5 °C, i.e. cold."),
        ("A fruit is a gas, and A gas is a fruit.", "A fruit is a gas, and A gas is a fruit."),
        ("AC and DC motors, in the 4th century BC", "AC and DC motors, in the 4th century BC"),
        ("Adenine (A) pairs; F = ma, where a is the acceleration.",) * 2,
    ],
)
def test_each_letter_moves_stays_or_leaves_the_text_out(text, moved):
    assert move_letters(text, CHOICES, ORDER) == moved
    if moved is not LEFT_OUT:
        assert move_letters(moved, [CHOICES[option] for option in ORDER], inverse(ORDER)) == text
    # Whether a text is left out does not depend on the order.
    for order in ([0, 1, 2, 3], [1, 3, 0, 2]):
        assert (move_letters(text, CHOICES, order) is None) == (moved is LEFT_OUT)


@pytest.mark.parametrize(
    ("order", "moved"),
    [
        ([0, 1, 2, 3], "options **A** to C are wrong"),
        ([3, 0, 1, 2], "options **B** to D are wrong"),
        ([0, 3, 1, 2], "options **A, C and D are wrong"),
    ],
)
def test_a_range_is_the_letters_that_it_means(order, moved):
    """The letters of apple, banana and cherry; where they are no range, a list."""
    text = "options **A** to C are wrong" if "**A**" in moved or "**B**" in moved else "options **A to C are wrong"
    assert move_letters(text, CHOICES, order) == moved


def test_letters_of_options_whose_texts_have_letters():
    choices = ["Vitamin A", "B cells", "A to U, G to C", "plan C"]
    text = 'The answer is "A to U, G to C" (option C), as B cells and plan C show.'
    assert move_letters(text, choices, ORDER) == text.replace("option C", "option B")
    # An option that is a letter cannot be told from its letter.
    assert move_letters("The answer is B.", ["B", "A", "AB", "0"], ORDER) is None
    assert move_letters("The answer is B.", ["$B$", "A", "AB", "0"], ORDER) is None


def test_every_rule_decides_its_examples():
    """Each rule is needed: the examples beside it are decided by it, and by none before it."""
    for rule in RULES:
        for example in rule.examples:
            before, letter, behind = example.replace("›", "‹").split("‹")
            mention = Mention(before + letter + behind, len(before), len(before) + 1, letter, Options(EXAMPLE))
            if rule.kind == "unclear" and behind.startswith(", B and C"):
                end = len(before) + len("A, B and C")
                mention = Mention(mention.text, len(before), end, "ABC", Options(EXAMPLE))
            assert rule_of(mention) is rule, example


# Sentences in which ‹n› is the letter of option n, and everything else is none.
SENTENCES = (
    "The correct answer is ‹0›.",
    "Option ‹1› is wrong, since ‹2› is correct.",
    "Options ‹0›, ‹1› and ‹2› are incorrect.",
    "So ‹3› can be ruled out.",
    "‹2›: wrong.",
    "Neither ‹1› nor ‹3› is right.",
    "I choose ‹2›.",
    "‹0›/‹1› are wrong.",
    "Answer: ‹3›.",
    "‹1›'s claim is unclear, but option ‹1› it is.",
    "A lack of vitamin A.",
    "It is hepatitis B, or C. difficile, at 5 °C.",
    "Franklin D. Roosevelt ate a fruit, e.g. a pear.",
    "Here *x* = 5 and y_B = 3.",
    "选项‹1›错误。",
)
DECORATIONS = (
    "{}",
    "**{}**",
    "*{}*",
    "__{}__",
    "`{}`",
    "<b>{}</b>",
    '<span class="a">{}</span>',
    "({})",
    '"{}"',
    "${}$",
    r"\text{{{}}}",
    "“{}”",
    "***{}***",
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4),
    st.sampled_from(DECORATIONS),
    st.permutations(range(4)),
    st.sampled_from([" ", "\n", "\n\n- ", "\n> "]),
)
def test_marked_letters_move_however_they_are_decorated_and_come_back(sentences, decoration, order, between):
    def written(places: list[int]) -> str:
        text = between.join(sentences)
        for option in range(4):
            text = text.replace(f"‹{option}›", decoration.format("ABCD"[places[option]]))
        return text

    text, there = written([0, 1, 2, 3]), written(inverse(order))
    moved = move_letters(text, CHOICES, order)
    assert moved in (there, None)
    if moved is not None:
        assert move_letters(moved, [CHOICES[option] for option in order], inverse(order)) == text
    if not any("'s claim" in sentence for sentence in sentences):
        assert moved == there


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ABab *_`$\\{}()[]<>/.,:;='\n-–与错选", max_size=60), st.permutations(range(4)))
def test_any_text_comes_back_or_is_left_out_in_every_order(text, order):
    moved = move_letters(text, CHOICES, order)
    assert (moved is None) == (move_letters(text, CHOICES, [0, 1, 2, 3]) is None)
    if moved is not None and len(moved) == len(text):
        assert sorted(moved) == sorted(text) or any(letter in text for letter in "ABab")
        assert all(old == new or old.upper() in "ABCD" for old, new in zip(text, moved, strict=True))
    assert move_letters(text, CHOICES, [0, 1, 2, 3]) in (text, None)


def test_plain_texts_know_where_their_signs_stood():
    text = "- **B**: <i>so</i>  $a = b$, x_B and A * B\n\n`C` \\boxed{Ｄ}"
    plain = plain_text(text)
    assert plain.text == "B: so ¤, x_B and A * B\nC answer: D"
    for sign, place in zip(plain.text, plain.places, strict=True):
        assert place == -1 or text[place] in (sign, "Ｄ")
    assert all(first < second for first, second in pairwise(place for place in plain.places if place >= 0))


@pytest.mark.parametrize(
    "unit",
    [
        "Option A is wrong. ",
        "A, ",
        "A to ",
        "**",
        "$",
        r"\(",
        "<b",
        "a ",
        "A" + " " * 50,
        "answer the ",
        "banana ",
        "(" * 9,
    ],
)
def test_time_grows_with_the_length_alone(unit):
    """Four times the text takes at most eight times as long; a quadratic way would take sixteen times."""

    def seconds(count: int) -> float:
        text, best = unit * (count // len(unit)), float("inf")
        for _ in range(3):
            start = time.process_time()
            move_letters(text, CHOICES, ORDER)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(8000) < 8 * seconds(2000) + 0.05
