"""The command after: what a training of Axolotl taught the model and what it broke, from its configuration alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consistency.cli.evaluate import ask, described_model
from consistency.errors import InputError, how_to_install
from consistency.support.streams import say, say_sentences, show, tell

if TYPE_CHECKING:
    from consistency.comparison.result import Comparison
    from consistency.experiment.trained import Trained
    from consistency.training_data.audit import TrainingSetAudit
    from consistency.training_data.decontamination import Contamination

_SPOKEN = "--apply_chat_template"
# Options of lm_eval that this command sets itself.
_OWN = "--output_path -o --log_samples -s --apply_chat_template --use_cache -c --config -C --model -M".split()
# Files of a model, by whose sizes and dates it is known that they are the same ones.
_FILES = ("*.json", "*.safetensors", "*.bin", "*.jinja", "*.model")


def after(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="What axolotl train was given.")],
    tasks: Annotated[str, typer.Option(help="Tasks or groups of lm_eval, joined by commas.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for logs and reports. Default: `after` in the model's folder.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder of the trained model. Default: output_dir.", show_default=False)
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(help="Logs of the base model for the same tasks, instead of asking it.", show_default=False),
    ] = None,
    chat_template: Annotated[
        bool, typer.Option(help="Ask both models in the chat template that the trained one was saved with.")
    ] = True,
    audit: Annotated[bool, typer.Option(help="Ask the base model the questions of the training set.")] = True,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Condition such as 'harmful flips > 2 %'; if it holds, exit code 1. May be repeated."),
    ] = None,
) -> None:
    """Evaluate a model that axolotl trained and its base, audit what it was trained on, and report what changed.

    All other flags go to lm_eval: --device, --batch_size, --limit, --include_path, --model_args.
    """
    from consistency.cli.compare import MOST_TASKS
    from consistency.cli.gate import end
    from consistency.comparison.checked import Checked
    from consistency.comparison.compare import compare
    from consistency.comparison.conditions import check, read_condition
    from consistency.experiment.checkpoint import check_checkpoint, saved_template
    from consistency.experiment.trained import read_trained
    from consistency.logs.runs import read_run
    from consistency.report.pair.report import write_comparison
    from consistency.support.terminal import columns, shows_colours

    if not tasks.strip(" ,"):
        raise InputError("--tasks: names no task", expected="tasks or groups of lm_eval, such as mmlu,medmcqa")
    conditions = [read_condition(text) for text in fail_if or ()]
    flags = _checked(context.args)
    trained = read_trained(config, checkpoint)
    saved = check_checkpoint(trained.folder, base=trained.base_model, needs_template=False)
    tell(saved.to_text())
    out = out or trained.folder / "after"
    template = saved_template(trained.folder) if chat_template else ""
    if chat_template and not template:
        tell(f"{trained.folder} has no chat template: both models are asked in plain text")
    # Without a dtype each model would be computed in that of its own files.
    both = _Evaluations(flags, out / "logs", {} if trained.adapter else {"dtype": saved.dtypes[0]})
    asked = ["--tasks", tasks]
    # What can be refused comes before what takes long.
    known = None if before is None else read_run(before, skip_unreadable=True)
    formats = [] if known is not None else _base_formats(trained, template, out)
    tuned = both.asked("tuned", trained.tuned_args, [*asked, *([_SPOKEN] if template else [])])
    logs = {item.name: both.asked(f"base-{item.name}", item.model_args, [*asked, *item.flags]) for item in formats}
    comparison = compare(known or logs["own"], tuned)
    reports = [write_comparison(comparison, out / "report")]
    same = compare(logs["same"], tuned) if "same" in logs else None
    if same is not None:
        reports.append(write_comparison(same, out / "report-same-format"))
    checked = Checked.of(check(conditions, comparison), comparison)
    audited = _audited(trained, both, tuned, out) if audit else _Audited()
    found = [_found(comparison)]
    if same is not None:
        found = [
            f"The base model asked in its own format: {found[0]}",
            f"In the chat template of the training, which it may never have seen: {_found(same)}",
        ]
    # Behind everything that lm_eval prints.
    show(comparison.to_text(MOST_TASKS, columns=columns(), styles=shows_colours()) + "\n", styles=True)
    if trained.began_from is not None:
        found.append(
            f"The training began from {trained.began_from} (lora_model_dir): what this had been taught is part of the change"
        )
    say_sentences(
        *checked.to_lines(),
        *checked.doubt,
        *found,
        *audited.sentences(),
    )
    say(*(f"report: {path}" for path in reports), *(f"audit: {folder / 'audit.md'}" for folder in audited.folders))
    end(checked)


def _checked(arguments: Sequence[str]) -> list[str]:
    """The flags for lm_eval, without those that this command sets."""
    for argument in arguments:
        if argument.partition("=")[0] in _OWN:
            raise InputError(f"{argument}: set by this command", do="use consistency eval and consistency compare")
    return list(arguments)


@dataclass(frozen=True)
class _Evaluations:
    """Runs of lm_eval with the same flags; one that is there already is not run again."""

    flags: Sequence[str]
    folder: Path
    defaults: Mapping[str, str]

    def asked(
        self, name: str, model: Mapping[str, str], arguments: Sequence[str], own_tasks: Sequence[Path] = ()
    ) -> Path:
        """The folder of a model's logs."""
        from consistency.support.files import write_atomically
        from consistency.support.json_files import pretty_json

        made_of = self.made_of(model, arguments, own_tasks)
        digest = sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()
        folder = self.folder / f"{name}-{digest[:12]}"
        done = folder / "complete.json"
        if done.is_file():
            tell(f"{name}: evaluated before; to ask again, delete {folder}")
            return folder
        tell(f"{name}: evaluation of {model['pretrained']}{' with its adapter' if 'peft' in model else ''}")
        given = ["--model_args", json.dumps(made_of["model_args"], ensure_ascii=False), "--output_path", str(folder)]
        # lm_eval prints its own table, which would stand before the conclusion.
        with redirect_stdout(sys.stderr):
            ask([*self.flags, *arguments, *given, "--log_samples"], own_tasks=own_tasks)
        write_atomically(done, pretty_json(made_of))
        return folder

    def made_of(
        self, model: Mapping[str, str], arguments: Sequence[str], own_tasks: Sequence[Path] = ()
    ) -> dict[str, Any]:
        """What the answers of a run follow from: another run of the same is not needed.

        Of files of a model and of tasks beside lm_eval's it holds sizes and dates, of `own_tasks` and what lies beside them, the
        questions, their content.
        """
        from consistency.support.version import version_of

        lm_eval = version_of("lm_eval")
        if lm_eval is None:
            raise InputError("lm_eval is not installed", do=how_to_install("eval"))
        files = [path for place in model.values() for pattern in _FILES for path in sorted(Path(place).glob(pattern))]
        files += [path for place in _included(self.flags) for path in _written(place)]
        questions = [path for place in own_tasks for path in _written(place.parent)]
        return {
            "model_args": {**self.defaults, **described_model(self.flags)["model_args"], **model},
            "arguments": [*arguments, *self.flags],
            "lm_eval": lm_eval,
            "files": {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in files},
            "questions": {str(path): sha256(path.read_bytes()).hexdigest() for path in questions},
        }


def _written(folder: Path) -> list[Path]:
    """The files in a folder, without what Python compiles of them."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "__pycache__"]


def _included(flags: Sequence[str]) -> Iterator[Path]:
    """The folders of tasks that --include_path names."""
    for flag, following in pairwise([*flags, ""]):
        name, equals, value = flag.partition("=")
        if name == "--include_path" and (value or following):
            yield Path(value if equals else following)


@dataclass(frozen=True)
class _Format:
    """A way to ask the base model."""

    name: str
    model_args: Mapping[str, str]
    flags: Sequence[str]


def _base_formats(trained: Trained, template: str, out: Path) -> list[_Format]:
    """The format that the base model knows, and that of the training where it is another one.

    A model that has never seen a chat template answers badly in it, and seems to lose nothing in the training.
    """
    from consistency.support.files import write_atomically
    from consistency.tasks.tokenizers import load_tokenizer, save_tokenizer

    if not template:
        return [_Format("own", trained.base_args, [])]
    known = load_tokenizer(trained.base_model).chat_template or ""
    own = _Format("own", trained.base_args, [_SPOKEN] if known else [])
    if known.strip() == template.strip():
        return [own]
    text, folder = out / "base-tokenizer.jinja", out / "base-tokenizer"
    if not (folder.is_dir() and text.is_file() and text.read_text(encoding="utf-8") == template):
        write_atomically(text, template)
        save_tokenizer(trained.base_model, str(text), folder)
    return [own, _Format("same", {**trained.base_args, "tokenizer": str(folder)}, [_SPOKEN])]


@dataclass(frozen=True)
class _Audited:
    """What the audit of the training sets found.

    Attributes
    ----------
    audits : sequence of TrainingSetAudit
    folders : sequence of Path
        Of each of them.
    questions : int
        Different ones in all training sets.
    shared : Contamination or None
        Those that the evaluation asks as well; None where nothing was audited.
    gaps : sequence of str
        What was not audited, and why.
    """

    audits: Sequence[TrainingSetAudit] = ()
    folders: Sequence[Path] = ()
    questions: int = 0
    shared: Contamination | None = None
    gaps: Sequence[str] = ()

    def sentences(self) -> Iterator[str]:
        """Which rows contradict the base model, and how many questions the evaluation asks."""
        yield from self.gaps
        for item in self.audits:
            yield f"{item.path}: {item.conclusion()}"
        if self.shared is None:
            return
        asked = [item for item in self.shared.findings if item.file is not None]
        if not asked:
            yield f"None of the {self.questions} questions of the training set is asked in the evaluation."
            return
        exact, first = sum(item.kind == "exact" for item in asked), asked[0]
        yield (
            f"Of the {self.questions} questions of the training set the evaluation asks {exact}, and {len(asked) - exact} in "
            f"nearly the same words: an answer to these may be remembered. The first: {first.file}:{first.line}"
        )


def _audited(trained: Trained, both: _Evaluations, tuned: Path, out: Path) -> _Audited:
    """The audit of the training sets, written into folders, with the base model asked their questions."""
    from consistency.training_data.audit import audit
    from consistency.training_data.audit_page import write_audit
    from consistency.training_data.decontamination import find_contamination
    from consistency.training_data.training_probe import write_probe
    from consistency.training_data.training_sets import read_training_set

    gaps = [f"{name}: not audited, it is no file of JSON rows on this machine" for name in trained.elsewhere]
    readable = []
    for path in trained.training_sets:
        try:
            read_training_set(path)
            readable.append(path)
        except InputError as error:
            gaps.append(f"not audited: {error}")
    if not readable:
        return _Audited(gaps=gaps)
    try:
        probe = write_probe(readable, out / "probe")
    except InputError as error:
        return _Audited(gaps=[*gaps, f"the training set is not audited: {error}"])
    if probe is None:
        few = "it has fewer than six multiple-choice questions with options behind letters"
        return _Audited(gaps=[*gaps, f"the training set is not audited: {few}"])
    gaps += [
        f"{path}: audited whole, though only {trained.parts[str(path)]} of it was trained on"
        for path in readable
        if str(path) in trained.parts
    ]
    if trained.held_out:
        gaps.append(f"The rows that were held out (val_set_size: {trained.held_out:g}) are audited as well")
    logs = both.asked("probe", trained.base_args, ["--tasks", probe.task], [probe.folder])
    # The probe's header is no subject.
    audits = [audit(path, [logs], own_subjects=True) for path in readable]
    folders = [out / ("audit" if len(audits) == 1 else f"audit-{number}") for number in range(1, len(audits) + 1)]
    for found, folder in zip(audits, folders, strict=True):
        write_audit(found, folder)
    shared = find_contamination(probe.questions, [item.id for item in probe.questions], [tuned])
    return _Audited(audits, folders, len(probe.questions), shared, gaps)


def _found(comparison: Comparison) -> str:
    """What a comparison found, in short: the first part of each verdict, and each change of the gold probability that is sure."""
    from consistency.comparison.sentences import ALPHA, gold_change, sentence
    from consistency.statistics.hypotheses import no_change

    parts = [clauses[0] for clauses in comparison.conclusions]
    for pool in comparison.pools:
        change = pool.estimates.get("delta_gold")
        p = None if change is None else no_change(change)
        if change is not None and p is not None and p < ALPHA:
            parts.append(gold_change(change))
    return sentence(parts)
