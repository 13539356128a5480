"""The words of the output that no registry explains, in plain sentences."""

from __future__ import annotations

from dataclasses import dataclass

# The documents that say terms in full.
ALL_MEASURES, INTERVALS = "docs/methods.md#all-measures", "docs/methods.md#intervals"
TESTS, STATISTICS, GATE = "docs/methods.md#flips", "docs/statistics.md", "docs/cookbook.md#a-gate-in-ci"
PARTS = "docs/methods.md#letter-bias-and-sharpness"
MANY = "docs/statistics.md#many-runs"


@dataclass(frozen=True)
class Term:
    """A word of the output.

    Attributes
    ----------
    name : str
        As it is printed.
    text : str
        Two or three plain sentences.
    aliases : tuple of str
        Other forms of it.
    where : str
        The document that says it in full.
    """

    name: str
    text: str
    aliases: tuple[str, ...] = ()
    where: str = STATISTICS

    def to_text(self) -> str:
        """As it is printed."""
        also = f"\nalso: {', '.join(self.aliases)}" if self.aliases else ""
        return f"{self.name}\n{self.text}{also}\nmore: {self.where}"


TERMS = (
    Term(
        "points",
        "Differences of percentages: from 40 % to 43 % are 3 points. Shares are in %, changes of them in points.",
        ("point", "percentage points"),
        ALL_MEASURES,
    ),
    Term("nats", "The unit of log-probabilities with the natural logarithm; 1 nat is a factor of 2.7.", ("nat",), ALL_MEASURES),
    Term("task", "A task of lm_eval: one set of questions, asked and scored in one way.", ("tasks",), "docs/methods.md"),
    Term("metric", "The number of lm_eval by which an answer counts as right, such as acc or exact_match.", (), STATISTICS),
    Term(
        "slice",
        "The questions with one value of a field of the documents (--by), such as a subject or a level; also those of a task, a "
        "group or a tag of lm_eval.",
        ("slices", "by"),
        "docs/statistics.md#slices",
    ),
    Term(
        "shrunk",
        "Of a slice: its change, pulled towards the mean of all slices, the more the fewer questions it has. Extreme changes of "
        "small slices are mostly chance, so it is nearer to the truth on average; a slice that alone changed is pulled too far.",
        ("shrinkage", "partial pooling", "partially pooled"),
        "docs/statistics.md#slices",
    ),
    Term("n", "Questions that both runs answered, and that enter the number.", (), STATISTICS),
    Term(
        "flips −/+",
        "Answers that turned: − from right to wrong, + from wrong to right. Their difference is the change of accuracy; their "
        "sum shows what the change hides.",
        ("flips", "flip", "turned"),
        ALL_MEASURES,
    ),
    Term(
        "harmful flips",
        "Answers that were right before and are wrong after, as a share of all questions.",
        ("right to wrong", "harmful"),
        ALL_MEASURES,
    ),
    Term(
        "p",
        "How often chance alone would bring a change at least this large if nothing had changed. A small p speaks against "
        "chance; a large one is no proof that nothing changed.",
        ("p value", "McNemar's p", "significance"),
        TESTS,
    ),
    Term(
        "p (Holm)",
        "The p of a task, made larger because several tasks are tested: of all tasks in which nothing changed, one comes below "
        ".05 in at most 5 % of comparisons.",
        ("Holm", "adjusted p", "Bonferroni"),
        TESTS,
    ),
    Term(
        "p (joint)",
        "Of many runs: the p of a change, made larger because many are tested, by the same distribution as the interval "
        "beside it.",
        ("p_simultaneous",),
        MANY,
    ),
    Term(
        "p (BH)",
        "The p of a task after Benjamini and Hochberg: of the tasks with one below .05, at most 5 % on average have not changed.",
        ("BH", "Benjamini-Hochberg", "false discovery rate"),
        TESTS,
    ),
    Term(
        "McNemar",
        "The exact test of a change of accuracy: of the answers that turned, are more of one kind than a fair coin would bring?",
        ("mcnemar_p", "exact test", "McNemar's exact test"),
        TESTS,
    ),
    Term(
        "sign-flip test",
        "A test that asks how large the change would be if each difference had either sign by chance; of whole tasks where these "
        "are what was sampled.",
        ("sign_flip_p", "permutation test", "sign flips"),
        TESTS,
    ),
    Term(
        "95 % interval",
        "The numbers that the data do not contradict. Of many such intervals 95 % hold the true number.",
        ("interval", "confidence interval", "ci"),
        INTERVALS,
    ),
    Term(
        "intervals that hold together",
        "Of many runs: all intervals of a family (all runs in all tasks together; all runs in single tasks) contain the true "
        "changes with 95 %, and not only each of them. They are wider, the more there are and the less alike the runs are.",
        ("simultaneous interval", "95 % together", "intervals for all together", "Dunnett"),
        MANY,
    ),
    Term(
        "probability of being the best",
        "Of many runs: how probable it is that no other, nor the reference, is more accurate in truth, given the answers. It "
        "counts that all runs, or the most accurate ones, may be equal: these then share it. That all are equal, that the most "
        "accurate are, and that none are count as equally likely before looking: a choice, on which the number depends.",
        ("best", "the best with probability"),
        MANY,
    ),
    Term(
        "judgement",
        "Of many runs: whether one is worse than the reference, by its interval that holds together with those of the others. "
        "Worse: all of it is below zero. Not worse by more than the margin (non-inferiority): all of it is above a loss of the "
        "margin. Better: all of it is above zero; else unclear.",
        ("not worse by more than", "surely worse in", "worse than"),
        MANY,
    ),
    Term(
        "set of the best",
        "Of many runs: those that may be the best. With 95 % confidence it holds the run that is: those that cannot be told "
        "apart from the most accurate, all pairs of runs tested together.",
        ("may be the best",),
        MANY,
    ),
    Term(
        "group",
        "Of many runs: letters. Two runs that share one cannot be told apart, all pairs being tested together.",
        ("compact letter display", "share a letter"),
        MANY,
    ),
    Term(
        "no letters",
        "Of many runs: the change of accuracy corrected for letter bias.",
        ("without letter bias",),
        PARTS,
    ),
    Term(
        "by a straight line",
        "Of a series of runs: the change of accuracy from the first to the last position of the straight line that fits all runs "
        "best. It says whether accuracy rises or falls along the series, where no single run need be sure.",
        ("along the line", "trend", "slope"),
        MANY,
    ),
    Term(
        "first harmful",
        "Of a series of runs: the first whose change of accuracy has an interval below zero. The intervals hold together, so "
        "with 95 % no run is called harmful that is not.",
        ("first harmful position",),
        MANY,
    ),
    Term(
        "alarm",
        "Of a watched training: it is certain that more answers were lost than the limit allows, among all questions of which "
        "those asked are a sample. It is raised where p of a look is no larger than the level of that look; all looks of a "
        "training together raise a false one in at most 5 % of trainings, unless another level was asked for.",
        ("watch", "look", "level of this look"),
        "docs/watch.md#the-alarm",
    ),
    Term(
        "lost on balance",
        "Of a watched training: the answers that turned from right to wrong, less those that turned from wrong to right, as a "
        "share of the questions that are to be kept. The limit of it is the `margin` of `stop`.",
        (),
        "docs/watch.md#the-alarm",
    ),
    Term(
        "frontier",
        "Of a watched training: the steps that no other step beats, being better in what was learned or in what was kept, and at "
        "least as good in the other.",
        ("on the frontier", "last step on the frontier"),
        "docs/watch.md#in-the-terminal-and-as-a-page",
    ),
    Term(
        "distinguishable from chance",
        "Chance alone rarely brings such a change (p below .05). Not distinguishable does not mean none: see equivalence.",
        ("beyond chance", "significant"),
        TESTS,
    ),
    Term(
        "equivalence",
        "It is shown that accuracy changed by less than the margin, up or down. This needs more questions than finding no "
        "difference.",
        ("equivalence_p", "equivalent", "no change by more than", "TOST", "two one-sided tests"),
        TESTS,
    ),
    Term(
        "non-inferiority",
        "It is shown that a number fell by less than the margin; how far it rose does not matter. The default of a policy.",
        ("one-sided",),
        GATE,
    ),
    Term(
        "margin",
        "The largest change that counts as none, set before looking (--margin, or margin in a policy). Not the margin of the "
        "right option, which is a measure.",
        (),
        GATE,
    ),
    Term(
        "score interval",
        "The changes of accuracy that the answers that turned do not contradict (Tango 1998).",
        ("Tango",),
        INTERVALS,
    ),
    Term(
        "Gaffke's bound",
        "An interval and a p for a mean of which few questions may hold much: it allows for values that were not seen, up to the "
        "largest possible one (Gaffke 2005).",
        ("Gaffke",),
        INTERVALS,
    ),
    Term(
        "Clopper–Pearson",
        "The exact interval of a share: its error is never larger than stated. Conditions and policies judge shares by it.",
        ("exact (Clopper–Pearson)", "Clopper-Pearson"),
        INTERVALS,
    ),
    Term(
        "CR3",
        "A variance for means over clusters of questions or whole tasks: the mean is computed again without each of them, and "
        "how much it moves is the uncertainty.",
        ("cluster-robust", "CR1"),
        INTERVALS,
    ),
    Term(
        "macro",
        "The mean of the tasks' numbers: each task counts the same, however many questions it has.",
        ("mean of the tasks", "macro mean"),
        INTERVALS,
    ),
    Term(
        "micro",
        "The mean over all questions: a task counts by its number of questions.",
        ("over all questions", "overall"),
        INTERVALS,
    ),
    Term(
        "heterogeneity",
        "Whether accuracy changed by the same number of points in all tasks. A small p: some tasks changed otherwise than "
        "others, and the mean hides it.",
        ("heterogeneity_p", "the tasks change differently", "Cochran's Q"),
        TESTS,
    ),
    Term(
        "detectable change",
        "The true change that a comparison like this one finds 4 times in 5. Smaller ones are mostly missed.",
        ("would be found 4 times in 5", "4 times in 5", "true change", "minimum_detectable_change", "power"),
        TESTS,
    ),
    Term(
        "gold option's probability",
        "What the model gives to the right option, among the options. Its change is another number than that of accuracy, and "
        "often a surer one.",
        ("gold", "gold option", "gold probability"),
        ALL_MEASURES,
    ),
    Term(
        "rotation",
        "The options of a question in another order: number r and the following ones come first. Over all rotations each option "
        "has each letter once, so that a preference for letters cancels.",
        ("rotations", "cyclic", "folded", "--rotate"),
        "docs/methods.md#rotations",
    ),
    Term(
        "RStd",
        "The standard deviation over the letters of recall, the share of right answers where a letter is gold (Zheng et al. "
        "2024). 0: no letter helps.",
        ("rstd", "standard deviation of recalls"),
        "docs/methods.md#selection-bias",
    ),
    Term(
        "PriDe",
        "A correction for selection bias (Zheng et al. 2024): the prior of the letters is estimated from the rotations of some "
        "questions, and taken out of the answers to the others.",
        (),
        "docs/methods.md#rotations",
    ),
    Term(
        "selection bias",
        "The model favours an option's letter or place, whatever it says. Then right answers are partly luck of the position.",
        ("position bias",),
        "docs/methods.md#selection-bias",
    ),
    Term(
        "accuracy without the letters' prior",
        "The accuracy after each letter's score is moved by one number, so that all letters are equally probable on average. Its "
        "change is a change of knowledge, or of letters that a model favours in some questions only; answers in all rotations "
        "tell them apart. Over several tasks the numbers are the same in all of them, so that the change need not lie between "
        "those of the tasks.",
        (
            *("calibrated_change", "calibrated_drop", "corrected for letter bias", "calibrated", "calibrated_before"),
            *("calibrated_after", "calibrated accuracy", "without the prior", "accuracy corrected for letter bias"),
        ),
        PARTS,
    ),
    Term(
        "prior of the letters",
        "How often a model answers A, B, C … whatever is asked. A training that shifts it changes accuracy without a change of "
        "knowledge. It is estimated from the mean probability of each letter, which right answers would spread evenly.",
        (
            *("letter bias", "letters' prior", "prior", "mean probability", "mean probability of each letter"),
            *("batch calibration", "batch_after", "uneven gold letters"),
        ),
        PARTS,
    ),
    Term(
        "change due to letter bias",
        "The change of accuracy less the change corrected for letter bias: the answers that change because letters became more "
        "or less probable whatever is asked. Where the gold letters are uneven both parts mislead.",
        ("prior_change", "due to letter bias"),
        PARTS,
    ),
    Term(
        "letters of KL",
        "What one number for each letter explains of KL: letters that became more or less probable from one run to the other, "
        "whatever is asked. It is given besides a temperature (kl_prior), and before it (kl_prior_first).",
        (
            *("kl_prior", "kl_prior_first", "letter offsets", "letter offsets alone", "offset"),
            *("one offset for each letter", "one number for each letter"),
        ),
        PARTS,
    ),
    Term(
        "sharpness",
        "How sure a model is, whatever the order of the options: what one temperature changes. Much of KL is often only that. It "
        "is given before the letters (kl_sharpness), and besides them (kl_sharpness_last).",
        ("kl_sharpness", "kl_sharpness_last", "temperature", "temperature alone"),
        PARTS,
    ),
    Term(
        "rest of KL",
        "What neither one temperature nor one number for each letter explains, nor both together: other contents, or shifts that "
        "differ from question to question.",
        ("kl_rest", "neither", "unexplained", "both together"),
        PARTS,
    ),
    Term(
        "KL corrected for letter bias",
        "What is left of KL where one number for each letter is fitted, and no temperature: kl_rest and kl_sharpness_last "
        "together.",
        ("kl_calibrated",),
        PARTS,
    ),
    Term(
        "flips corrected for letter bias",
        "Answers that turn from right to wrong (calibrated_harmful) or from wrong to right (calibrated_beneficial) after both "
        "runs' priors of the letters are taken out.",
        ("calibrated_harmful", "calibrated_beneficial"),
        PARTS,
    ),
    Term(
        "ranking correlation without the prior",
        "Spearman ρ of the options after both runs' priors of the letters are taken out.",
        ("spearman_calibrated", "ranking correlation corrected for letter bias"),
        PARTS,
    ),
    Term(
        "moved to other options on balance",
        "Answers that each option won less those that it lost, as a share of all answers and without what a change of accuracy "
        "gives: 10 % of them to D means that D is answered more often, and other letters less.",
        ("on balance", "moved to other options", "answers moved", "shift of the answers"),
        "docs/methods.md#selection-bias",
    ),
    Term(
        "noise",
        "What two runs of the same model differ by, without any change of the model: another batch size or hardware, or another "
        "seed. --noise A B measures it, and a change should be more than that.",
        ("run-to-run variation",),
        GATE,
    ),
    Term(
        "excess",
        "With --noise: the share of answers that turn from right to wrong, less the share that does between two runs of the same "
        "model.",
        ("more than between two runs",),
        GATE,
    ),
    Term(
        "policy",
        "A file of what a new model must keep. It passes (exit code 0), fails (1), or is inconclusive (3): more questions would "
        "decide.",
        ("inconclusive", "tier", "rule"),
        GATE,
    ),
    Term(
        "budget",
        "An error probability that repeated checks share, so that twenty checks fail falsely no more often than one would.",
        ("alpha spending", "ledger"),
        GATE,
    ),
    Term(
        "surely, possibly, measured",
        "What of a number must lie beyond the limit of a condition: its whole interval, any of it, or the number itself.",
        ("surely", "possibly", "measured"),
        GATE,
    ),
    Term(
        "undecided",
        "The limit lies within the interval: the data neither show nor exclude that it is passed.",
        ("unclear",),
        GATE,
    ),
    Term(
        "not judged",
        "A condition that does not hold for what was compared, while something else was not compared and may break it (exit "
        "code 2).",
        ("incomplete",),
        GATE,
    ),
    Term(
        "filter",
        "How lm_eval takes the answer out of a generated text: strict-match reads one form alone, flexible-extract any number. "
        "The first of the task counts, or that of --filter; where others disagree, the form of the texts may have changed alone.",
        ("--filter", "strict-match", "flexible-extract", "by filter", "in place of"),
        STATISTICS,
    ),
    Term(
        "at the floor",
        "No answer is right, before or after. Such a task cannot show a loss, nor that there is none.",
        ("floor",),
        STATISTICS,
    ),
    Term(
        "bit-identical",
        "Two runs gave the same log-probabilities to the last bit, which different models do not: most often a stale cache, or "
        "one model under two names.",
        ("identical log-probabilities",),
        STATISTICS,
    ),
    Term(
        "prompts differ",
        "The two runs were asked in other words: with other few-shot examples, another chat template or another version of the "
        "task. What changed may be this, and not the model.",
        ("the prompts differ", "prompts", "few-shot", "chat template", "settings"),
        "docs/methods.md#settings",
    ),
    Term(
        "keep their answer", "Questions to which both runs give the same answer, right or wrong.", (), ALL_MEASURES
    ),
    Term(
        "no answer can be read",
        "A generated text holds no answer in the form that the task looks for: it is empty, cut off, or in another form.",
        ("unreadable",),
        STATISTICS,
    ),
    Term(
        "calibration error",
        "How far the model's confidence is from how often it is right: 5 % means that answers given with 80 % are right in about "
        "75 or 85 %.",
        ("ece", "expected calibration error"),
        "docs/methods.md",
    ),
    Term(
        "ties", "Questions in which two options are equally likely to the last bit, mostly by rounding.", ("tie rate", "tied")
    ),
    Term(
        "quantiles",
        "kl_p95 is the KL divergence that 95 % of the questions stay below: how far the worst ones moved.",
        ("kl_p95", "kl_p99", "kl_quantiles"),
        ALL_MEASURES,
    ),
    Term(
        "largest KL",
        "As much as the option that is least likely in the logs allows in one question. The interval of the mean KL allows for "
        "questions that were not seen up to it; it promises nothing of questions beyond.",
        ("kl_largest", "largest allowed for", "rare questions", "KL's interval"),
        STATISTICS,
    ),
    Term(
        "trimmed mean",
        "The mean without the fifth of the questions with the smallest values and the fifth with the largest: the "
        "mean of the middle, on which rare large values have no influence.",
        ("trimmed",),
    ),
    Term(
        "score",
        "By what the best option is chosen (--score): raw, its log-probability; acc_norm or acc_bytes, that by length; "
        "acc_mutual_info, that less its log-probability without the question.",
        ("--score", "raw", "acc_norm", "acc_bytes", "acc_mutual_info"),
    ),
    Term(
        "domain scopes",
        "HOMO: held-out questions of the domain that was trained on; ID: benchmarks of that domain; OOD: all others.",
        ("homo", "id", "ood", "scope", "scopes"),
        "docs/methods.md",
    ),
    Term(
        "signature",
        "The last line: what makes the numbers comparable with others. Questions (n), tasks, score, what was sampled (unit), "
        "interval, confidence (ci), margin, versions of lm_eval and of this program.",
        ("unit", "version", "lm_eval"),
        "docs/methods.md",
    ),
)  # fmt: skip
