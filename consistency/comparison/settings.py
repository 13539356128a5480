"""The settings of two runs: what their logs hold, where they differ, and how likely a difference moves scores.

`SETTINGS` is the whole audit: every setting that is looked at, the strongest first. What a log does not hold is unknown,
which is no difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from consistency.comparison.pairing import ONLY_FIRST, ONLY_SECOND, PairingReport
from consistency.logs.run_config import RunConfig, moment
from consistency.logs.runs import Run
from consistency.logs.settings import is_function_name, model_arguments, run_settings, same_value, task_settings
from consistency.support.text import shortened, visible
from consistency.tasks.templates import template_title

Kind = Literal["prompts", "questions", "tasks", "scoring", "tokens", "numerics"]
Evidence = Literal["", "prompts", "questions", "shared questions", "generation", "never"]
# Why a difference cannot have moved the scores that are compared.
NoEffect = Literal["", "same prompts", "same questions", "same shared questions", "not used", "never"]
# Of which a verdict speaks.
_LEADING: tuple[Kind, ...] = ("prompts", "questions", "tasks", "scoring")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d")
_REASONS: Mapping[NoEffect, str] = {
    "": "",
    "same prompts": ", but all prompts are the same",
    "same questions": ", but all questions are the same",
    "same shared questions": ", but the questions that both were asked are the same",
    "not used": ", which no task here uses",
    "never": ", which moves no score",
}


@dataclass(frozen=True)
class SettingDifference:
    """A setting in which two runs differ, and which may move scores without any change of the model.

    Attributes
    ----------
    setting : str
        Its name in `SETTINGS`.
    before, after : str
        Its values; of a long text where the two part, of a system instruction only the length.
    tasks : tuple of str
        The tasks that it concerns; empty where it concerns all.
    kind : {"prompts", "questions", "tasks", "scoring", "tokens", "numerics"}
        What it changes. Empty in reports of earlier versions.
    no_effect : {"", "same prompts", "same questions", "same shared questions", "not used", "never"}
        Why it cannot have moved these scores; empty where it may have.
    """

    setting: str
    before: str
    after: str
    tasks: tuple[str, ...] = ()
    kind: Kind | Literal[""] = ""
    no_effect: NoEffect = ""

    def to_text(self) -> str:
        """The setting with both values."""
        where = f" in {shortened(self.tasks)}" if self.tasks else ""
        return f"{self.setting} differs: {self.before} → {self.after}{where}{_REASONS[self.no_effect]}"


@dataclass(frozen=True)
class UnexplainedPrompts:
    """Prompts that differ although no setting that decides about them does.

    Attributes
    ----------
    tasks : tuple of str
        The tasks whose prompts differ.
    different, of : int
        How many of their paired questions have another prompt.
    """

    tasks: tuple[str, ...]
    different: int
    of: int
    kind: str = "unexplained prompts"

    def to_text(self) -> str:
        """A sentence for readers."""
        return (
            f"prompts differ in {self.different:,} of {self.of:,} questions of {shortened(self.tasks)}, and the settings "
            "that the logs hold do not say why"
        )


@dataclass(frozen=True)
class Setting:
    """A setting that is compared.

    Attributes
    ----------
    name : str
        A final `*` stands for the rest of a name.
    kind : Kind
    evidence : {"", "prompts", "questions", "shared questions", "generation", "never"}
        What tells that a difference had no effect: equal prompts, equal questions (or of those that both runs were asked), tasks
        none of which generates text; `"never"` where it has none in any case.
    instead_of : tuple of str
        Settings that say nothing more where this one is known in both logs.
    with_it : tuple of str
        Settings that change as a consequence, and are not named again.
    """

    name: str
    kind: Kind
    evidence: Evidence = ""
    instead_of: tuple[str, ...] = ()
    with_it: tuple[str, ...] = ()

    def fits(self, name: str) -> bool:
        """Whether it is the setting of this name."""
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


# The strongest first: docs/methods.md gives the reasons.
SETTINGS: tuple[Setting, ...] = (
    Setting("few-shot", "prompts", "prompts"),
    Setting("chat template", "prompts", "prompts"),
    Setting("system instruction", "prompts", "prompts"),
    Setting("doc_to_text", "prompts", "prompts"),
    Setting("use_prompt", "prompts", "prompts"),
    Setting("description", "prompts", "prompts"),
    Setting("gen_prefix", "prompts", "prompts"),
    Setting("fewshot_as_multiturn", "prompts", "prompts"),
    Setting("model_args.enable_thinking", "prompts", "prompts"),
    Setting("model_args.chat_template*", "prompts", "prompts"),
    Setting("model_args.add_bos_token", "prompts"),
    Setting("model_args.prefix_token_id", "prompts"),
    Setting("model_args.custom_prefix_token_id", "prompts"),
    Setting("fewshot_split", "prompts", "prompts"),
    Setting("training_split", "prompts", "prompts"),
    Setting("fewshot_config.*", "prompts", "prompts"),
    Setting("fewshot_delimiter", "prompts", "prompts"),
    Setting("fewshot_seed", "prompts", "prompts"),
    Setting("dataset_path", "questions", "questions"),
    Setting("dataset_name", "questions", "questions"),
    Setting("custom_dataset", "questions", "questions"),
    Setting("dataset_kwargs.*", "questions", "questions"),
    Setting("test_split", "questions", "questions"),
    Setting("validation_split", "questions", "questions"),
    Setting("process_docs", "questions", "questions"),
    Setting("metadata.*", "questions", "questions"),
    Setting("limit", "questions", "shared questions"),
    Setting("task version", "tasks"),
    Setting("harness", "scoring"),
    Setting("output_type", "scoring"),
    Setting("backend", "scoring"),
    Setting("doc_to_choice", "scoring"),
    Setting("target_delimiter", "scoring"),
    Setting("doc_to_target", "scoring"),
    Setting("process_results", "scoring"),
    Setting("filter_list", "scoring"),
    Setting("metric_list", "scoring"),
    Setting("generation_kwargs.*", "scoring", "generation"),
    Setting("gen_kwargs", "scoring", "generation"),
    Setting("model_args.max_gen_toks", "scoring", "generation"),
    Setting("model_args.think_end_token", "scoring", "generation"),
    Setting("EOS token", "scoring", "generation", with_it=("eot_token_id",)),
    Setting("repeats", "scoring"),
    Setting("doc_to_image", "scoring"),
    Setting("doc_to_audio", "scoring"),
    Setting("should_decontaminate", "scoring"),
    Setting("doc_to_decontamination_query", "scoring"),
    Setting("unsafe_code", "scoring"),
    Setting("max_length", "tokens", instead_of=("model_args.max_length", "model_args.max_model_len")),
    Setting("model_args.max_length", "tokens"),
    Setting("model_args.max_model_len", "tokens"),
    Setting("model_args.trunc*", "tokens"),
    Setting("model_args.tokenizer*", "tokens"),
    Setting("model_args.tokenized_requests", "tokens"),
    Setting("model_args.use_fast_tokenizer", "tokens"),
    Setting("BOS token", "tokens"),
    Setting("eot_token_id", "tokens"),
    Setting("pad token", "tokens"),
    Setting("model_args.load_in_*", "numerics"),
    Setting("model_args.quantization*", "numerics"),
    Setting("model_args.bnb_*", "numerics"),
    Setting("model_args.autogptq", "numerics"),
    Setting("model_args.gptqmodel", "numerics"),
    Setting("dtype", "numerics", instead_of=("model_args.dtype",)),
    Setting("model_args.dtype", "numerics"),
    Setting("model_args.softmax_dtype", "numerics"),
    Setting("model_args.mixed_precision_dtype", "numerics"),
    Setting("model_args.attn_implementation", "numerics"),
    Setting("lm_eval", "numerics"),
    *(Setting(name, "numerics") for name in ("Inspect", "lighteval", "NeMo Evaluator", "lmms-eval", "llama.cpp")),
    Setting("transformers", "numerics"),
    Setting("torch", "numerics"),
    Setting("device", "numerics", with_it=("device number", "hardware")),
    Setting("hardware", "numerics"),
    Setting("model_args.num_concurrent", "numerics", "never"),
    Setting("model_args.max_retries", "numerics", "never"),
    Setting("model_args.timeout", "numerics", "never"),
    Setting("model_args.verify_certificate", "numerics", "never"),
    Setting("model_args.ca_cert_path", "numerics", "never"),
    Setting("model_args.cache_dir", "numerics", "never"),
    Setting("model_args.download_dir", "numerics", "never"),
    Setting("model_args.*", "numerics"),
    Setting("batch size", "numerics"),
    Setting("torch_seed", "numerics"),
    Setting("numpy_seed", "numerics"),
    Setting("random_seed", "numerics"),
    Setting("use_cache", "numerics"),
    Setting("device number", "numerics", "never"),
    Setting("bootstrap_iters", "numerics", "never"),
)

_SHOWN, _CONTEXT, _LONGEST_NAME = 40, 12, 80


def setting_differences(
    first: Run, second: Run, chosen: Mapping[str, str], reports: Mapping[str, PairingReport]
) -> Iterator[SettingDifference]:
    """Differences between the settings of two runs, those that most likely moved scores first.

    Parameters
    ----------
    first, second : Run
    chosen : dict of str to str
        The tasks that are compared: names in `first`, and the names in `second`.
    reports : dict of str to PairingReport
        How the questions of these tasks were paired, by name in `first`.

    Yields
    ------
    SettingDifference
        One for each setting with the same two values; those that cannot have moved these scores last.
    """
    generates = {name: not first.tasks[name].has_options for name in chosen}
    found: dict[tuple[Setting, str, str, str, NoEffect], list[str]] = {}
    one, two = run_settings(first.config), run_settings(second.config)
    for setting, name, a, b in _different(one, two):
        effects = {_no_effect(setting, reports.get(task), generates[task]) for task in chosen}
        found[setting, name, *_shown(name, a, b), effects.pop() if len(effects) == 1 else ""] = []
    ignored = {*model_arguments(first.config), *model_arguments(second.config)}
    for task, other in chosen.items():
        one = task_settings(first, task, ignored)
        two = task_settings(second, other, ignored)
        if task != other:
            two.pop("task version", None)
        if first.config.lm_eval_version != second.config.lm_eval_version:
            # Its defaults differ between versions: what is not there is unknown.
            one.pop("generation_kwargs", None)
            two.pop("generation_kwargs", None)
        for setting, name, a, b in _different(one, two):
            effect = _no_effect(setting, reports.get(task), generates[task])
            found.setdefault((setting, name, *_shown(name, a, b), effect), []).append(task)
    if any(name.startswith("generation_kwargs.") for _, name, *_ in found):
        found = {key: tasks for key, tasks in found.items() if key[1] != "gen_kwargs"}
    for key in sorted(found, key=lambda key: (key[4] != "", SETTINGS.index(key[0]))):
        setting, name, before, after, effect = key
        yield SettingDifference(
            visible(_text(name)[:_LONGEST_NAME]), before, after, tuple(found[key]), setting.kind, effect
        )


def unexplained_prompts(
    settings: Sequence[SettingDifference], chosen: Mapping[str, str], reports: Mapping[str, PairingReport]
) -> UnexplainedPrompts | None:
    """Prompts that differ in tasks in which no setting does that could be the reason."""
    explained = leading(settings)
    everywhere = any(not item.tasks for item in explained)
    within = {task for item in explained for task in item.tasks}
    tasks = tuple(
        name
        for name, report in reports.items()
        if report.prompts.get("different") and chosen[name] == name and not (everywhere or name in within)
    )
    if not tasks:
        return None
    counts = [reports[name] for name in tasks]
    return UnexplainedPrompts(tasks, sum(r.prompts["different"] for r in counts), sum(r.paired for r in counts))


def leading(settings: Sequence[SettingDifference]) -> list[SettingDifference]:
    """The differences that a verdict is about: of prompts, questions, tasks or scoring, where they may have moved scores."""
    return [item for item in settings if item.kind in _LEADING and not item.no_effect]


def settings_clause(settings: Sequence[SettingDifference], *, unexplained: bool) -> str:
    """What a verdict says of the settings: that prompts, questions, tasks or scoring differ; empty where none does.

    Examples
    --------
    >>> settings_clause([SettingDifference("few-shot", "0", "5", (), "prompts")], unexplained=False)
    'the prompts differ (few-shot 0 → 5)'
    """
    parts = []
    for kind in _LEADING:
        found = [item for item in leading(settings) if item.kind == kind]
        if found:
            values = f" {found[0].before} → {found[0].after}"
            named = found[0].setting + (values if len(values) <= _SHOWN else "")
            parts.append((kind, f" ({named}{f' and {len(found) - 1} more' if len(found) > 1 else ''})"))
        elif kind == "prompts" and unexplained:
            parts.append((kind, ""))
    if not parts:
        return ""
    if len(parts) == 1:
        ((kind, named),) = parts
        return f"the {kind} differ{'s' if kind == 'scoring' else ''}{named}"
    *most, last = [f"the {kind}{named}" for kind, named in parts]
    return f"{', '.join(most)} and {last} differ"


def run_notes(before: RunConfig, after: RunConfig) -> Iterator[str]:
    """What of two runs is worth a note: settings that no log holds, and dates in the other order.

    Examples
    --------
    >>> older, newer = (RunConfig(date=f"2026-01-0{day}T00-00-00", content={"config": {}}) for day in (1, 2))
    >>> [note.partition(":")[0] for note in run_notes(newer, older)], [*run_notes(older, newer)]
    (['after is older than before (2026-01-01 and 2026-01-02)'], [])
    >>> [*run_notes(RunConfig(date="20260101_000000", harness="lmms-eval"), newer)]
    []
    >>> [*run_notes(RunConfig(date="2026-01-02T01:00:00+00:00", harness="Inspect"), newer)]
    []
    """
    for when, config in (("before", before), ("after", after)):
        if not config.content and config.harness is None:
            yield f"{when}: no results file, so that its settings, such as few-shot and chat template, are not known"
    dates = [moment(config.date or "") for config in (before, after)]
    # Not all programs write them so, and other forms have another order; one without a zone is hours before or behind.
    alike = len({date.endswith("+00-00") for date in dates}) == 1
    if all(map(_ISO_DATE.match, dates)) and alike and dates[1] < dates[0]:
        days, times = ([date[part] for date in dates] for part in (slice(10), slice(11, 19)))
        shown = [f"{day} {time.replace('-', ':')}" for day, time in zip(days, times, strict=True)]
        shown = shown if days[0] == days[1] else days
        yield f"after is older than before ({shown[1]} and {shown[0]}): if the two were exchanged, each change has the other sign"


_UNKNOWN = object()


def _different(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[tuple[Setting, str, Any, Any]]:
    """The settings known in both that differ, with both values; without those that another one speaks for."""
    found: list[tuple[Setting, str, Any, Any]] = []
    silent: set[str] = set()
    for name in sorted(one.keys() | two.keys()):
        setting = _setting(name)
        if setting is None:
            continue
        a, b = _value(one, name), _value(two, name)
        if _UNKNOWN in (a, b):
            continue
        silent.update(setting.instead_of)
        if not same_value(a, b) and is_function_name(a) == is_function_name(b):
            found.append((setting, name, a, b))
            silent.update(setting.with_it)
    return (item for item in found if item[1] not in silent)


@lru_cache(1024)
def _setting(name: str) -> Setting | None:
    return next((setting for setting in SETTINGS if setting.fits(name)), None)


def _value(settings: Mapping[str, Any], name: str) -> Any:
    """The value of a setting: null if it is of a group that the log holds without it, unknown if there is nothing."""
    group, dot, _ = name.partition(".")
    return settings.get(name, None if dot and group in settings else _UNKNOWN)


def _no_effect(setting: Setting, report: PairingReport | None, generates: bool) -> NoEffect:
    """Why a difference of a setting cannot have moved the scores of a task; empty where it may have."""
    if setting.evidence == "never":
        return "never"
    if setting.evidence == "generation":
        return "" if generates else "not used"
    if report is None or not report.paired:
        return ""
    if setting.evidence == "prompts" and report.prompts.get("same") == report.paired:
        return "same prompts"
    if setting.evidence.endswith("questions") and report.by_hash == report.paired:
        if not report.dropped:
            return "same questions"
        if setting.evidence == "shared questions" and set(report.dropped) <= {ONLY_FIRST, ONLY_SECOND}:
            return "same shared questions"
    return ""


def _shown(name: str, before: Any, after: Any) -> tuple[str, str]:
    """Two values as a reader sees them: short ones whole, of long texts the place where they part."""
    if name == "system instruction":
        # It may be private: not a word of it is repeated.
        lengths = ["none" if not text else f"{len(text)} characters" for text in (before, after)]
        return lengths[0], f"other {lengths[1]}" if lengths[0] == lengths[1] else lengths[1]
    if name == "chat template":
        if not (before and after):
            return ("yes" if before else "no"), ("yes" if after else "no")
        before, after = template_title(before), template_title(after)
    if name.endswith(" token") and isinstance(before, list) and isinstance(after, list):
        same = before[:1] == after[:1]
        before, after = (value if same else value[0] if value else None for value in (before, after))
    one, two = _text(before), _text(after)
    start, end = 0, _SHOWN
    if max(len(one), len(two)) > _SHOWN:
        parting = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
        start = max(0, parting - _CONTEXT)
        end += start
    # Quotes show where a text begins and ends.
    quote = any(isinstance(value, str) and (value != value.strip() or "\n" in value) for value in (before, after))
    return _excerpt(one, start, end, quote), _excerpt(two, start, end, quote)


def _excerpt(text: str, start: int, end: int, quote: bool) -> str:
    cut = "…" * (start > 0) + visible(text[start:end]) + "…" * (len(text) > end)
    return f'"{cut}"' if quote or not text else cut


def _text(value: Any) -> str:
    """A value as text that any file can hold."""
    if value is None:
        return "none"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "…"
    # Half a surrogate pair could not be written again.
    return text.encode("utf-8", "replace").decode()
