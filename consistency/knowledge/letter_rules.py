"""Rules that tell whether letters in a plain text name options or something else; what no rule knows is unclear."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

from consistency.knowledge.plain_text import FORMULA
from consistency.tasks.prompts import LETTERS

Kind = Literal["option", "other", "unclear"]

OPEN, CLOSE = r"[\"'`‘“(\[（【「『]*", r"[\"'`’”)\]）】」』]*"
# How far before a letter its context reaches.
_BEFORE = 160
# An option's text is recognised by its beginning: this share of its signs, and at least so many; at most so many are compared.
_ENOUGH, _SHORTEST, _LONGEST = 0.6, 10, 200
_ADVERBS = (
    r"(?:\s+(?:also|both|all|each|likely|indeed|therefore|thus|hence|clearly|not|probably|most likely|then|definitely|actually|"
    r"obviously|certainly|simply|still|partially|partly|generally|technically|factually|completely|entirely))*"
)
_FUNCTION_WORDS = (
    r"because|since|as|for|due|which|and|or|but|nor|that|in|i\.?\s?e|not|while|whereas|so|rather|instead|if|when|with|to|based|"
    r"according|ref|here|where|it|this|the|these|they|there|its|by|at|on|of|from|we|is|are|was|an|also|however|therefore|thus|other|"
    r"none|all|both|each|only"
)
_NOUN = r"\b(?:options?|choices?|alternatives?|distractors?)(?:\s+(?:letters?|labell?ed))?"
_GIVEN = r"(?:\s+(?:mentioned|provided|listed|given|presented|above|like|such as))?"
_OPTION_NOUN = re.compile(
    rf"(?:{_NOUN}{_GIVEN}(?:\s+(?:in|as)(?:\s+the\s+question)?)?\s*[:：\-–]?"
    rf"|\b(?:other|remaining|rest|incorrect|wrong)\s+(?:options|choices|answers),|选项\s*[:：]?)\s*{OPEN}\s*\Z",
    re.IGNORECASE,
)
_ANSWER_NOUN = re.compile(
    rf"(?:\b(?:answers?|ans|options?|choices?|response)\b\.?(?:\s*(?:[:：.\-–—→]|=+>?)?"
    rf"|(?:\s+(?!is\b|are\b)[\w'’,\-]+){{0,12}}?(?:\s(?:is|are|was|be|as){_ADVERBS}(?:\s+(?:either|neither|both|only))?\s*[:：.]?|\s*[:：]))"
    r"|(?:\b(?:I|we|you|to|should|would|must|so|therefore|thus|can|will|['’]d|['’]ll)\s+|\A|[.!?\n]\s*)"
    r"(?:choos(?:e|ing)|chose|pick(?:ed)?|select(?:ed)?|(?:go|going|went)\s+with|opt(?:ed)?\s+for)|\b(?:correct|key)[:：]"
    rf"|答案(?:应?[是为])?\s*[:：]?|[故应可]?选择?|排除)\s*{OPEN}\s*\Z",
    re.IGNORECASE,
)
_EQUALS_BEFORE = re.compile(rf"\b(?:answers?|ans|key|option|choice)\s*(?:→|=+>?)\s*{OPEN}\s*\Z", re.IGNORECASE)
_ENDS = re.compile(
    rf"{CLOSE}\s*(?:\Z|[.,:;!?\n]|[-–—]\s|[(（]|[^\x00-\x7f]|(?:{_FUNCTION_WORDS})\b(?![-’']))", re.IGNORECASE
)
_VERDICT = (
    r"(?:(?:in)?correct\b(?!ion)|wrong\b|false\b|(?:the\s+)?answers?\b|(?:ruled|crossed)\s+out\b|eliminated\b|excluded\b|dismissed\b|"
    r"rejected\b|discarded\b|discounted\b|options?\b|choices?\b|distractors?\b|"
    r"(?:right|true|accurate|inaccurate|appropriate|inappropriate|suitable|unsuitable|valid|invalid)\b"
    rf"(?=\s*(?:\Z|[^\w\s\-]|\n|(?:answers?|options?|choices?|statements?|descriptions?|{_FUNCTION_WORDS}|one|about|regarding)\b)))"
)
_TO_BE = (
    r"(?:is|are|was|were|isn['’]t|aren['’]t|(?:can|could|would|should|may|might|must|will|cannot|can['’]t|couldn['’]t|shouldn['’]t)"
    rf"{_ADVERBS}\s+be|seems?(?:\s+to\s+be)?|appears?(?:\s+to\s+be)?|looks)"
)
_JUDGED = re.compile(
    rf"{CLOSE}\s*(?:,?\s+{_TO_BE}{_ADVERBS}\s+(?:the\s+|an?\s+)?(?:(?:only|most|best|more|least|less|very)\s+)*{_VERDICT}"
    rf"|\s*(?:[:：=\-–—|.]|(?<=[)\]])(?=\s))\s*(?:(?:this|it|that)(?:\s+option)?\s+is\s+|not\s+)?(?:in)?(?:correct|wrong|right|true|false|accurate)\b(?!\s+[a-z]+s?\b\s+[a-z])"
    r"|\s*[:：=\-–—]?\s*[✓✔✗✘✅❌]"
    r"|[两三四]?(?:选?项|个?选项)?(?:的?(?:说法|叙述|表述|描述))?[均都皆也是全]*(?:为|属于)?(?:不?正确|错误?|不对|对(?=[,.;，。；、\s]|\Z)|不?符合(?:题意|题目)|不选|排除)|选?项)",
    re.IGNORECASE,
)
# What stands before a letter that is judged: not a noun, which it might be the name of.
_SUBJECT = re.compile(
    rf"(?:\A|[^\w\s]|\n|[^\x00-\x7f]|(?<![\w-])(?:{_FUNCTION_WORDS}|why|how|whether|although|though|then|hence|answers?|statement|letters?|says?|"
    rf"either|neither|believe|think|conclude|means?|making|makes|say|actually|clearly|yes|no|now|consequently|instead|finally|similarly))"
    rf"\s*[,:]?\s*{OPEN}\s*\Z",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    rf"\b(?:if|suppose|supposing|assume|assuming|when|whenever|unless)\s+(?:that\s+)?{OPEN}\Z", re.IGNORECASE
)
_NAME_NOUN = re.compile(
    r"(?:\b(?:(?:vit|figs?|vol|ig|apo)\.|vitamins?|vit|hepatitis|groups?|grades?|types?|class(?:es)?|stages?|phases?|categor(?:y|ies)|fig(?:ure)?s?|tables?|"
    r"sections?|schedules?|appendix|parts?|levels?|plans?|points?|immunoglobulins?|ig|influenza|factors?|proteins?|subunits?|"
    r"ha?emophilia|blood|series|zones?|regions?|league|apo|apolipoproteins?|lipid|cyclosporin|amphotericin|penicillin|toxins?|"
    r"chains?|genes?|subtypes?|serotypes?|antigens?|strains?|company|companies|country|countries|nodes?|teams?|sides?|"
    r"coenzyme|ubiquinone|mitomycin|polymyxin|protein\s+kinase|cyclin|aldolase|polymerase|complex|hospital|gaba|serum|streptolysin|\w+toxins?|prostaglandins?|cytochromes?|phospholipase|inhibin|compounds?|maps?|"
    r"hemoglobin|haemoglobin|cathepsin|interferon|globulin|provitamin|polymorphism|genotypes?|phenotypes?|"
    r"chapters?|volumes?|vol|annex|exhibit|objects?|wires?|substances?|villages?|city|student|patients?|person|party|ward|"
    r"cam|ego|world\s+war|dou|washington)[ \t]+|维生素|血型|免疫球蛋白|肝炎病毒|载脂蛋白)\Z",
    re.IGNORECASE,
)
_NAME_BEHIND = re.compile(
    r"[-\s](?:and [A-Z][- ])?(?:cells?|lymphocytes?|peptides?|fib(?:re|er)s?|waves?|proteins?|antigens?|"
    r"chains?|viruses|virus|virion|"
    r"streptococc\w+|types?|subunits?|receptors?|deficiency|lines?|lymphoma|vitamins?|complex|toxins?|toxoid|dimers?|section|reactive|scan|"
    r"mode|inhibitors?|oxidase|genes?|nucleotides?|converters?|ratio|programming|language|levels?|team|flat|minor|major|league|shares?|h(?:a?e)?molytic)\b|-(?:lactam|ring|[a-z]{2,}ing|[a-z]{2,}ed)\b"
    r"|\s?[型股级超族座细]|反应蛋白|细胞|淋巴",
    re.IGNORECASE,
)
_OPERATOR_BEFORE = re.compile(rf"(?:[=+×÷*^<>≤≥~±→¤]\s*{OPEN}|[_\\^]\{{?|\\[a-zA-Z]+\{{\s*|°\s*|\d[ \t])\Z")
_OPERATOR_BEHIND = re.compile(rf"{CLOSE}\s*(?:=|\+(?!\s*\n)|[×÷*^<>≤≥±→_¤]|[−]\s*\d)")
_PART_BEFORE = re.compile(r"(?:(?<![^\W\d])[^\W\d_][./]|[^\W\d_][-'’&]|\d[./\-]|[#@\\])\Z")
_SYMBOL_OF = re.compile(
    r"\b(?:adenine|cytosine|guanine|amperes?|amps?|anode|acceleration|capacitance|celsius|farads?)\s*[(\[]\Z", re.I
)
_IS_THE = re.compile(r"\s+(?:is|are)\s+(?:the|its|an?|constants?)\b")
_EQUATION = re.compile(
    rf"(?<!\w)([A-Ja-j])\s*[=*/^+]\s*[\w({FORMULA}]|[\w)]\s*[=*/^+]\s*([A-Ja-j])(?!\w)|([{FORMULA}=])"
)
_COMPOUND = re.compile(r"-(?!(?:in)?correct|wrong|right|true|false)[a-z]{3,}")
_ANSWER_PART = re.compile(r"\b(?:options?|choices?|answers?|ans|key)[-'’]\Z", re.IGNORECASE)
_PART_BEHIND = re.compile(
    r"\.[A-Za-z](?![a-z])|/[A-Za-z](?![A-Za-z])|\.\d|\.\s\d{3}|-\d|\s?['’]\s?(?=[aeiouhé])(?!is\b|and\b|in\b|or\b|as\b|are\b|i\.)[a-zé]{3}|-[A-Z](?![a-z])|[#&+](?!\s)\w?|\+(?=[\s,.;)])"
)
_INITIAL_BEFORE = re.compile(
    r"(?:\b(?!(?:Answer|Ans|Option|Choice|Correct|Therefore|Thus|Hence|So|Only|Actually|Both|Not|The|In|Is|And|Or|But|Statement|Key|As)\b)"
    r"[A-Z][a-z]+,?|\b[A-Z]\.)[ \t]?\Z"
)
_INITIAL_BEHIND = re.compile(
    r"\.,?\s?(?:(?:[A-Z]\.,?\s?)*(?:&|and\s|et\s|\(\d{4})|[A-Z]\.|[A-Z]?(?!(?:The|It|This|These|In|All|There|As|To|A|An|However|Option|Both|They|He)\b)"
    r"[A-Z][A-Za-z'’]+)"
)
_GENUS = re.compile(r"\.\s?([a-z]{3,})\b")
_SPECIES = frozenset(
    "abortus aegypti albicans ani anthracis aureus baumannii botulinum braziliensis burgdorferi canis cereus coli "
    "dermatitidis difficile diphtheriae ducreyi duodenale duodenalis elegans faecalis flavus fragilis fumigatus "
    "gondii granulosus haemolytica henselae hepatica histolytica hominis immitis influenzae israelii jejuni lamblia "
    "latum lumbricoides mallei medinensis melanogaster melitensis nana neoformans niger parapertussis perfringens "
    "pertussis pylori quintana sapiens sinensis subtilis tetani trachomatis tularensis vaginalis vermicularis "
    "welchii".split()
)
_LATIN = re.compile(r"\w{3,}(?:us|um|is|ae|ii|ans|ens|oides)\Z")
_PRONOUN = re.compile(
    r"\s+(?:am|was|have|had|think|believe|will|would|do|did|can|could|chose|choose)\b|['’](?:m|ve|d|ll)\b"
)
# A word behind "A" with which it is no article.
_NOT_A_NOUN = re.compile(
    rf"\s+(?:(?:{_FUNCTION_WORDS}|than|because|has|does|did|do|says|states|means\s+that|alone|too|cannot|can['’]t|could|couldn['’]t|"
    r"would|wouldn['’]t|should|shouldn['’]t|must|may|had|were|been|being|isn['’]t|wasn['’]t|doesn['’]t|didn['’]t|hasn['’]t|"
    r"itself|seems|never|always|fits|best\s+\w+s|gave|became|went|took|said|knew|thought)\b(?![-’'])"
    r"|(?:can|will|might)(?:not)?\s+(?:not|be|have|also|only|never|then|thus|easily|still|safely|therefore|[a-z]+ly)\b"
    r"|(?:(?:in)?correct|right|wrong|true|false)\s*(?:\Z|[,.;:!?)\n])|(?:\w+ly\s+)?[a-z]+(?<!s)(?<!u)(?<!i)s\b(?![-’']))"
)
_SINGULAR_IN_S = re.compile(
    r"\s+(?:gas|lens|series|means|species|bias|sales|sports|news|plus|goods|arms|customs|savings|electronics|physics|"
    r"mathematics|economics|politics|statistics|ethics|genetics|thermodynamics|atlas|canvas|pancreas|biceps|triceps|forceps|"
    r"[a-z]+ics|[a-z]+eas|chaos|logos|ethos|years|days|hours|weeks|months|times|cosmos|pus|plants|systems|communications|"
    r"operations|human\w*|rights|herpes|diabetes|mumps|measles|rabies|always-\w+)\b",
    re.IGNORECASE,
)
_WORD_BEHIND = re.compile(r"\s+[\"'“‘(]?\w|\s+\$?\d")


@dataclass(frozen=True)
class Options:
    """A question's options as texts are compared with them.

    Attributes
    ----------
    choices : tuple of str
        In the order that a text speaks of.
    """

    choices: tuple[str, ...]

    @cached_property
    def signs(self) -> list[str]:
        """The letters and digits of each option, of a long one the first."""
        return [signs(choice)[:_LONGEST] for choice in self.choices]

    @cached_property
    def bare(self) -> bool:
        """Whether an option is itself a letter, or begins with one: "B", "B. Blood"."""
        return any(re.match(r"\s*\(?[A-J][.)]?\s*\Z|\s*\(?[A-J]\s?[.):]\s", choice, re.I) for choice in self.choices)

    def __len__(self) -> int:
        return len(self.choices)

    def beginning(self, text: str) -> list[int]:
        """The options that a text begins with, or with the greater part of a long one."""
        folded, found = text.casefold(), signs(text)
        return [
            option
            for option, (choice, wanted) in enumerate(zip(self.choices, self.signs, strict=True))
            if _begins(folded, choice.strip().casefold()[: 2 * _LONGEST])
            or (
                len(wanted) >= (enough := max(_SHORTEST, int(_ENOUGH * len(wanted))))
                and found.startswith(wanted[:enough])
            )
        ]

    def ending(self, text: str) -> list[int]:
        """The options that a text ends with."""
        found, last = signs(text), signs(re.split(r"\s", text.rstrip())[-1])
        return [
            option
            for option, wanted in enumerate(self.signs)
            if wanted and (found.endswith(wanted) if len(wanted) > 3 else last == wanted)
        ]


_MARKS = re.compile(
    rf"{CLOSE}\s*[.:：,，、)\-–—=]*\s*(?:i\s?\.?\s?e\b[.,:]*\s*)?{OPEN}\s*(?:(?:the|an?)\s+)?", re.IGNORECASE
)
_MARK = re.compile(r"[.:：,，、)\]–—=]|\s-|-\s")
_BARE_MARKS = re.compile(rf"{CLOSE}\s*[.:：,，、)\-–—=]*\s*(?:i\s?\.?\s?e\b[.,:]*\s*)?{OPEN}\s*", re.IGNORECASE)


def signs(text: str) -> str:
    """A text's letters and digits, folded."""
    return "".join(filter(str.isalnum, text.casefold()))


def _begins(text: str, choice: str) -> bool:
    return bool(choice) and text.startswith(choice) and not text[len(choice) :][:1].isalnum()


@dataclass(frozen=True)
class Mention:
    """One letter, or several as one ("A, B and C", "A to C"), in a plain text.

    Attributes
    ----------
    text : str
        The plain text.
    start, end : int
        Where the first letter begins, and where the last one ends.
    letters : str
        The letters.
    options : Options
        The question's.
    listed : bool
        Whether only commas stand between them.
    """

    text: str
    start: int
    end: int
    letters: str
    options: Options
    listed: bool = False

    @cached_property
    def before(self) -> str:
        """What stands before, of a long text the end."""
        return self.text[max(0, self.start - _BEFORE) : self.start]

    @property
    def several(self) -> bool:
        """Whether it has several letters."""
        return len(self.letters) > 1

    @property
    def small(self) -> bool:
        """Whether its letters are small."""
        return self.letters[0].islower()

    @property
    def article(self) -> bool:
        """Whether it could be an article, so far as the letter says."""
        return self.letters in ("A", "a")

    @property
    def possible(self) -> bool:
        """Whether there are options of these letters."""
        return all(LETTERS.index(letter.upper()) < len(self.options) for letter in self.letters)

    def follows(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Whether a pattern stands behind it."""
        return pattern.match(self.text, self.end)

    def preceded(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Whether a pattern stands before it, up to it."""
        return pattern.search(self.before)

    @cached_property
    def judged(self) -> bool:
        """Whether it is called right or wrong, and not by the name of something else."""
        return bool(self.follows(_JUDGED) and self.preceded(_SUBJECT)) and not (
            self.preceded(_SUPPOSED) and self.follows(_SUPPOSED_TRUE)
        )

    @cached_property
    def answers(self) -> bool:
        """Whether it stands where an answer is named."""
        return bool(self.preceded(_ANSWER_NOUN) and (self.follows(_ENDS) or self.enclosed)) or (
            self.start < 3 and bool(self.follows(_THAT_IS))
        )

    @property
    def enclosed(self) -> bool:
        """Whether it alone stands in brackets or quotes."""
        return self.before[-1:] in _ENCLOSING and self.text[self.end : self.end + 1] == _ENCLOSING[self.before[-1:]]

    @cached_property
    def called(self) -> bool:
        """Whether a word for an option stands before it."""
        if self.preceded(_OPTION_NOUN) is None:
            return False
        # "The option a patient chooses": an article.
        return not (self.letters == "a" and _is_article(self))

    @property
    def evidence(self) -> bool:
        """Whether anything says that it is an option."""
        return self.called or self.judged or self.answers

    @cached_property
    def told(self) -> list[int]:
        """The options whose texts stand behind it, or before it where it is in brackets."""
        room = 2 * _LONGEST
        for pattern in (_BARE_MARKS, _MARKS):
            marks = self.follows(pattern)
            if marks is None:
                continue
            # Without a mark, only where an answer is named: "a banana" has an article.
            weak = not _MARK.search(marks[0]) and (self.article or not marks[0].strip(" \t\n-"))
            if weak and (self.small or not self.preceded(_ANSWER_NOUN)):
                continue
            if found := self.options.beginning(self.text[marks.end() : marks.end() + room]):
                return found
        bracketed = re.search(r"\s*[\"'”’]?\s*[(\[（]\s*\Z", self.before)
        if bracketed and re.match(r"\s*[)\]）]", self.text[self.end : self.end + 9]):
            end = self.start - (len(self.before) - bracketed.start())
            return self.options.ending(self.text[max(0, end - room) : end])
        return []

    @property
    def own(self) -> bool:
        """Whether the text of the option of this letter is told."""
        return self.possible and LETTERS.index(self.letters[-1].upper()) in self.told


_ENCLOSING = {"(": ")", "[": "]", "（": "）", "'": "'", '"': '"', "“": "”", "‘": "’"}
_THAT_IS = re.compile(rf"{CLOSE}[.,:]?\s*i\s?\.?\s?e\b", re.IGNORECASE)
_SUPPOSED_TRUE = re.compile(
    rf"{CLOSE}\s+(?:is|are|was|were)\s+(?:true|false|correct|wrong|right|incorrect)\b", re.IGNORECASE
)


class Rule(NamedTuple):
    """What a mention is if a test holds and none of the rules before did.

    Attributes
    ----------
    kind : {"option", "other", "unclear"}
        What it is.
    holds : callable
        The test.
    examples : tuple of str
        Texts about the options of `EXAMPLE` in which it decides what the letter between ‹ › is.
    """

    kind: Kind
    holds: Callable[[Mention], bool]
    examples: tuple[str, ...]


EXAMPLE = ("apple", "banana", "cherry", "date")


def names_species(text: str, end: int) -> bool:
    """Whether a letter that ends here is the initial of a genus, as in "C. difficile"."""
    found = _GENUS.match(text, end)
    return bool(found and found[1] in _SPECIES)


def _species(mention: Mention) -> str:
    """The word behind an initial, where it looks like that of a species, or like nothing else."""
    found = mention.follows(_GENUS)
    if found is None or re.fullmatch(_FUNCTION_WORDS, found[1]):
        return ""
    return found[1]


@lru_cache(maxsize=4)
def _symbols(text: str) -> frozenset[str]:
    """The letters that stand for something in equations of a text; of small ones all, where there is any equation."""
    found = {letter for groups in _EQUATION.findall(text) for letter in groups if letter}
    return frozenset(found | set("abcdefghij") if found else found)


def _is_symbol(mention: Mention) -> bool:
    """Whether it is explained as a symbol of an equation: "F = ma, where a is the acceleration"."""
    return (
        not mention.evidence
        and bool(mention.follows(_IS_THE))
        and all(letter in _symbols(mention.text) for letter in mention.letters)
    )


def _is_article(mention: Mention) -> bool:
    if not mention.article or not mention.follows(_WORD_BEHIND):
        return False
    return not mention.follows(_NOT_A_NOUN) or bool(mention.follows(_SINGULAR_IN_S))


RULES: tuple[Rule, ...] = (
    Rule("other", lambda m: m.letters == "a" and _is_article(m), ("It is ‹a› fruit.", "The option ‹a› patient has.")),
    Rule(
        "option",
        lambda m: m.own,
        ("‹B›. banana", "It is the banana (‹b›).", "The answer is ‹B› banana.", "‹d›. date is right"),
    ),
    Rule(
        "option",
        lambda m: bool(
            (m.preceded(_EQUALS_BEFORE) or m.preceded(_ANSWER_PART))
            and m.follows(_ENDS)
            and not m.follows(_OPERATOR_BEHIND)
        ),
        ("Answer = ‹B›", "Ans-‹C›."),
    ),
    Rule(
        "unclear",
        lambda m: m.evidence and bool(m.preceded(_OPERATOR_BEFORE) or m.follows(_OPERATOR_BEHIND)),
        ("Options ‹A› + B are wrong.",),
    ),
    Rule(
        "other",
        lambda m: bool(m.preceded(_OPERATOR_BEFORE) or m.follows(_OPERATOR_BEHIND)),
        ("Here ‹B› = 5.", "At 5 °‹C›.", "x_‹B›", r"\vec{‹B›", "Type ‹A›+"),
    ),
    Rule(
        "unclear",
        lambda m: (
            m.several
            and bool(m.follows(_PART_BEHIND) or m.follows(_COMPOUND))
            and (m.called or bool(m.preceded(_ANSWER_NOUN)))
        ),
        ("The answer is ‹A›, B and C-3.",),
    ),
    Rule(
        "other",
        lambda m: bool(m.preceded(_PART_BEFORE) or (m.follows(_PART_BEHIND) and not m.called)),
        ("In 200 B.‹C›.", "HLA-‹B› says so.", "‹D›-2 is it."),
    ),
    Rule(
        "other",
        lambda m: bool(m.follows(_COMPOUND)) and not m.evidence and not m.preceded(_ANSWER_NOUN),
        ("An ‹a›-ketoacid.", "It is ‹D›-glucose."),
    ),
    Rule("other", lambda m: bool(m.preceded(_SYMBOL_OF)), ("Adenine (‹A›) and cytosine (C).", "In amperes (‹A›).")),
    Rule("other", _is_symbol, ("F = ma, where ‹a› is the acceleration.", "As C = 2 r, where ‹C› is the length.")),
    Rule(
        "unclear",
        lambda m: m.letters == "a" and m.end == len(m.text) and bool(m.preceded(_ANSWER_NOUN)),
        ("The answer is ‹a›",),
    ),
    Rule(
        "other",
        lambda m: (
            m.letters == "a" and m.end == len(m.text) and bool(re.search(r"[a-z,] \Z", m.before)) and not m.evidence
        ),
        ("What ends early, as ‹a›",),
    ),
    Rule("other", lambda m: m.small and bool(re.search(r"[A-Za-z0-9]/\Z", m.before)), ("5 mg/‹d›",)),
    Rule(
        "unclear",
        lambda m: m.several and bool(m.preceded(_NAME_NOUN) and m.follows(_JUDGED)),
        ("As of vitamin ‹A›, B and C are wrong.",),
    ),
    Rule(
        "other",
        lambda m: bool(m.preceded(_NAME_NOUN)),
        ("A lack of vitamin ‹A›.", "Hepatitis ‹B› is wrong.", "Group ‹A› is it."),
    ),
    Rule(
        "unclear",
        lambda m: bool(m.follows(_NAME_BEHIND)) and (m.called or m.listed or bool(m.preceded(_ANSWER_NOUN))),
        ("Option ‹B› cells.",),
    ),
    Rule("other", lambda m: bool(m.follows(_NAME_BEHIND)), ("These are ‹B› cells.", "The ‹C› peptide.")),
    Rule("other", lambda m: names_species(m.text, m.end), ("The answer is ‹C›. difficile.", "‹E›.coli")),
    Rule(
        "other",
        lambda m: bool(_LATIN.match(_species(m)) and re.search(r"[a-z,] \Z", m.before)) and not m.evidence,
        ("It is due to ‹C›. novyiensis.",),
    ),
    Rule("unclear", lambda m: bool(_species(m)), ("The answer is ‹C›. grows well.",)),
    Rule(
        "other",
        lambda m: bool(m.preceded(_INITIAL_BEFORE) and m.follows(_INITIAL_BEHIND)) and not m.called,
        ("Franklin ‹D›. Roosevelt", "Longo, ‹D›. L. (2012)"),
    ),
    Rule(
        "unclear",
        lambda m: m.possible and not m.several and any(len(m.options.signs[o]) > 2 for o in m.told),
        ("Option ‹B›, cherry, is wrong.", "cherry (‹B›)"),
    ),
    Rule("option", lambda m: m.called, ("Option ‹B›'s claim.", "options ‹A›/B", "Choice (‹c›)")),
    Rule(
        "option",
        lambda m: m.judged,
        ("So ‹B› is wrong.", "‹A› can be eliminated.", "‹B›: wrong", "‹b› is correct", "‹C›项错误"),
    ),
    Rule(
        "option",
        lambda m: m.answers and not (m.letters == "a" and bool(m.follows(_WORD_BEHIND))),
        ("The answer is ‹B›.", "I choose ‹b›", "故选‹B›"),
    ),
    Rule("other", lambda m: m.letters == "I" and bool(m.follows(_PRONOUN)), ("‹I› think so.",)),
    Rule("other", _is_article, ("‹A› fruit.", "‹A› gas is it.")),
    Rule("other", lambda m: not m.possible, ("Here ‹F› is the force.",)),
)


def rule_of(mention: Mention) -> Rule | None:
    """The rule that decides what a mention is; None if none does, and it is unclear.

    Examples
    --------
    >>> text = "Vitamin A."
    >>> rule_of(Mention(text, 8, 9, "A", Options(EXAMPLE))).kind
    'other'
    """
    return next((rule for rule in RULES if rule.holds(mention)), None)
