"""Paragraphs for the methods section of a paper, from the settings that the logs name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from consistency.comparison.section import named_test
from consistency.report.document import Log
from consistency.report.grid.document import GridReport
from consistency.report.pair.document import PairReport, Section

SCORES = {
    "raw": "the log-probabilities of the options",
    "acc_norm": "the log-probabilities of the options divided by their length in characters",
    "acc_bytes": "the log-probabilities of the options divided by their length in bytes",
    "acc_mutual_info": "the log-probabilities of the options less those without the question",
}
MEASURES_TEXT = (
    "The distribution over a question's options is the softmax of their scores. We report the Kullback–Leibler divergence "
    "KL(before ‖ after) in nats, Spearman's ρ of the options (with average ranks), and the share of questions whose most "
    "probable option stays."
)


def pair_methods(document: PairReport) -> tuple[str, ...]:
    """How two runs were compared, in paragraphs.

    Parameters
    ----------
    document : PairReport
    """
    comparison, (before, after) = document.comparison, document.logs
    sections = list(comparison.by_task.values())
    main = comparison.overall or sections[0]
    compared = [section for section in sections if section.estimate("kl")] or sections
    n, tasks, rest = sum(section.n for section in compared), len(compared), len(sections) - len(compared)
    by_hash = sum(section.pairing.by_hash for section in compared)
    by_content = sum(section.pairing.by_content for section in compared)
    change = main.estimate("delta_accuracy")
    how = f" ({change.describe()})" if change else ""
    whole, each = _tests([main]), _tests(sections)
    tested = whole if whole == each else f"{whole} over all questions and with {each} in each task"
    paragraphs = [
        f"Both models were evaluated with {_harness(document.logs)}, the first {_how(before)}, the second "
        f"{_how(after)}. We compared {n:,} questions of {tasks} task{'s' if tasks > 1 else ''}; {by_hash:,} were paired by the "
        f"harness's hash of the document{f' and {by_content} by what they ask' if by_content else ''}."
        + (f" Of {rest} more task{'s' if rest > 1 else ''}, without options, we compared the metrics." if rest else ""),
        f"All intervals are of 95 %{how}. Changes of accuracy were tested with {tested}"
        + (", adjusted over the tasks by Holm's and by Benjamini and Hochberg's procedure." if sections[1:] else "."),
    ]
    if comparison.overall:
        paragraphs.insert(1, f"Options were scored by {SCORES[comparison.score]}. {MEASURES_TEXT}")
    return (*paragraphs, _made(document))


def grid_methods(document: GridReport, training: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """How an experiment's models were made and measured, in paragraphs.

    Parameters
    ----------
    document : GridReport
    training : iterable of dict
        Configs that the models were trained with, as far as they are known.
    """
    grid, logs = document.experiment, document.logs
    by_role = {role: [log for log in logs if log.role == role] for role in ("base_few_shot", "base_zero_shot", "tuned")}
    few, zero, tuned = (_settings(found) for found in by_role.values())
    seeds = len(grid.seeds)
    paragraphs = [
        f"We follow the knowledge intervention framework of Ren et al. (2024) on {_list(grid.models)}, in the "
        f"domain{'s' if len(grid.domains) > 1 else ''} {_list(grid.domains)}, with the groups "
        f"{_list(name.upper().replace('_', '-') for name in grid.groups)} and {seeds} "
        f"seed{'s' if seeds > 1 else ''} of sampling and training. {_trained(training)}".strip(),
        f"All models were evaluated with {_harness(logs)}: the base model {few}, and again {zero}; the tuned models "
        f"{tuned}. HOMO is the held-out test set of a domain, ID the subjects that belong to it, OOD all others.",
        f"Options were scored by {SCORES['raw']}. {MEASURES_TEXT} Here “before” is the base model with shots and “after” the "
        "tuned model, on the questions that all three logs of a run hold.",
        f"{_sampled(seeds)} The partial correlation of consistency and accuracy is Spearman's, over the INCOMPATIBLE, MIXED and "
        "SELF-ALIGNING runs (means over seeds), given the base model's accuracy, which has one value for each domain; within "
        "domains; and within domains given the mixing ratio, by its rank and with an effect of each mix.",
    ]
    return (*paragraphs, _made(document))


def _tests(sections: Iterable[Section]) -> str:
    """The tests of no change of accuracy, of all sections together."""
    found = []
    for section in sections:
        change = section.estimate("delta_accuracy")
        if change is not None and isinstance(section.sign_flip_p, float):
            found.append(named_test(change.unit, exact=section.sign_flip_p == section.mcnemar_p))
    return _list(dict.fromkeys(found)) or "no test"


def _sampled(seeds: int) -> str:
    """What intervals and tests take as sampled."""
    made = (
        "Those of accuracies are Wilson's, of their changes score intervals (Tango 1998), and of KL allow for unseen values up "
        "to the largest possible (Gaffke 2005); others are t intervals, which those of means over several runs contain."
    )
    if seeds == 1:
        return (
            f"Intervals are of 95 %, over questions within fixed tasks. {made} Groups were compared over the questions that both "
            "tuned models answered, by t tests adjusted with Holm's procedure; each group was trained once, so that these tests "
            "are about the training runs at hand."
        )
    return (
        f"Intervals of means over seeds take training runs and questions as sampled, crossed ({seeds} runs of each group; "
        f"Banerjee 1960), those of single runs the questions within fixed tasks. {made} Groups were compared over the questions "
        "that both tuned models answered, paired by seed, with p adjusted by Holm's procedure."
    )


def _trained(configs: Iterable[Mapping[str, Any]]) -> str:
    """Settings of the training, each with every value that occurs."""
    found = list(configs)
    names = {"num_epochs": "epochs", "learning_rate": "learning rate", "lr_scheduler": "schedule"}
    settings = {}
    for key, name in names.items():
        values = dict.fromkeys(str(config[key]) for config in found if key in config)
        if values:
            settings[name] = "/".join(values)
    batch = dict.fromkeys(
        f"{config['micro_batch_size']} × {config['gradient_accumulation_steps']}"
        + (f" rows of {config.get('sequence_len')} tokens, packed" if config.get("sample_packing") else "")
        for config in found
        if "micro_batch_size" in config and "gradient_accumulation_steps" in config
    )
    if batch:
        settings["batch (on a device × accumulated)"] = "/".join(batch)
    if not settings:
        return ""
    return f"One model for each was fine-tuned with Axolotl: {', '.join(f'{name} {value}' for name, value in settings.items())}."


def _harness(logs: Sequence[Log]) -> str:
    others = list(dict.fromkeys(log.harness for log in logs if isinstance(log.harness, str)))
    own = [log for log in logs if not isinstance(log.harness, str)]
    if not own:
        return _list(others)
    versions = sorted({log.lm_eval_version for log in own if log.lm_eval_version})
    silent = sum(not log.lm_eval_version for log in own)
    named = f"the Language Model Evaluation Harness {_list(versions)}".strip()
    return _list([f"{named} (version not named in {silent} of {len(own)} logs)" if silent else named, *others])


def _settings(logs: Iterable[Log]) -> str:
    return _list(dict.fromkeys(map(_how, logs)), "or") or "not at all"


def _how(log: Log) -> str:
    shots = " or ".join(map(str, log.shots))
    parts = [f"with {shots} shots" if shots else "with a number of shots that was not logged"]
    if log.chat_template is not None:
        parts.append("with a chat template" if log.chat_template else "without a chat template")
    if log.dtype:
        parts.append(f"in {log.dtype}")
    return ", ".join(parts)


def _list(names: Iterable[str], last: str = "and") -> str:
    """Names joined by commas and "and".

    Examples
    --------
    >>> _list(["a", "b", "c"])
    'a, b and c'
    """
    *rest, end = [*names] or [""]
    return f"{', '.join(rest)} {last} {end}" if rest else end


def _made(document: PairReport | GridReport) -> str:
    return f"Figures: lm-eval-consistency {document.versions['consistency']}, signature {document.signature}."
