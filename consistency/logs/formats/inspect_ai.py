"""Logs of Inspect (`.eval` and `.json`): multiple choice with log-probabilities where they were asked for, else scores.

Fields as in inspect_ai 0.3.260: `log/_log.py` (EvalLog, EvalSample), `log/_recorders/eval.py` (the entries of the archive),
`model/_model_output.py` (log-probabilities), `scorer/_metric.py` (what a score's value means).
"""

from __future__ import annotations

import math
import re
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.logs.formats.answers import ACC, Answer, Log, option_index, to_scores
from consistency.logs.formats.decoding import decode
from consistency.logs.formats.prompts import asked
from consistency.logs.labels import label_of
from consistency.logs.packed import archive_members, is_archive, read_log
from consistency.logs.run_config import RunConfig
from consistency.support.text import counted

# Ids may hold slashes: HumanEval/0.
_SAMPLE = re.compile(r"samples/(?s:.*)_epoch_\d+(?:\.json|/sample\.json)")
# Where the scorer of multiple choice reads the answer.
_ANSWER = re.compile(r"ANSWER\s*:\s*([A-Z\d])\b", re.IGNORECASE)
_WHAT = "a log of Inspect"
_SHUFFLED = "Choices were shuffled before"
_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


class _Content(msgspec.Struct, gc=False):
    text: str = ""


class _Message(msgspec.Struct, gc=False):
    content: str | list[_Content] = ""
    role: str = ""

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class _Token(msgspec.Struct, gc=False):
    token: str
    logprob: float
    top_logprobs: list[_Token] | None = None


class _Tokens(msgspec.Struct, gc=False):
    content: list[_Token] = []


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    logprobs: _Tokens | None = None


class _Output(msgspec.Struct, gc=False):
    choices: list[_Choice] = []


class _Score(msgspec.Struct, gc=False):
    value: Any
    answer: str | None = None
    explanation: str | None = None


class _Sample(msgspec.Struct, gc=False):
    id: int | str
    epoch: int
    input: str | list[_Message]
    target: str | list[str]
    choices: list[str] | None = None
    messages: list[_Message] = []
    output: _Output = msgspec.field(default_factory=_Output)
    scores: dict[str, _Score] | None = None
    error: Any = None


class _Dataset(msgspec.Struct, gc=False):
    samples: int | None = None


class _Config(msgspec.Struct, gc=False):
    limit: int | list[int] | None = None


class _Revision(msgspec.Struct, gc=False):
    commit: str | None = None


class _Spec(msgspec.Struct, gc=False):
    task: str
    model: str
    created: str
    task_version: int | str = 0
    dataset: _Dataset = msgspec.field(default_factory=_Dataset)
    config: _Config = msgspec.field(default_factory=_Config)
    revision: _Revision | None = None
    packages: dict[str, str] = {}
    task_args: dict[str, Any] = {}
    model_generate_config: dict[str, Any] = {}


class _Step(msgspec.Struct, gc=False):
    solver: str
    params: dict[str, Any] = {}


class _Plan(msgspec.Struct, gc=False):
    steps: list[_Step] = []


class _Metric(msgspec.Struct, gc=False):
    value: float


class _Result(msgspec.Struct, gc=False):
    name: str
    metrics: dict[str, _Metric] = {}


class _Results(msgspec.Struct, gc=False):
    scores: list[_Result] = []


class _Header(msgspec.Struct, gc=False):
    version: int
    eval: _Spec
    status: str = "started"
    plan: _Plan = msgspec.field(default_factory=_Plan)
    results: _Results | None = None


class _Whole(_Header, gc=False):
    samples: list[_Sample] | None = None


class InspectReader:
    """Reads a log of Inspect."""

    name = "Inspect"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether it is a `.eval` archive, or a JSON object that begins as a log of Inspect does."""
        if file.suffix == ".eval":
            return True
        start = head[: 1 << 12]
        return start.lstrip().startswith(b"{") and b'"eval"' in head and b'"version"' in start and b'"status"' in start

    def read(self, file: Path) -> Log:
        """The one task of a log."""
        if is_archive(file):
            header, samples = _read_archive(file)
        else:
            whole = decode(read_log(file), _Whole, file, _WHAT)
            header, samples = whole, iter(whole.samples or [])
        answers: list[tuple[int, Answer]] = []
        unanswered = unordered = 0
        shuffles = any(step.params.get("shuffle") for step in header.plan.steps)
        for sample in samples:
            if not sample.scores:
                unanswered += 1
                continue
            answer, shuffled = _answer(sample, shuffles)
            unordered += shuffled
            answers.append((sample.epoch, answer))
        notes = []
        if unanswered:
            notes.append(f"{counted(unanswered, 'sample', 'have')} no score (left out)")
        if unordered:
            notes.append(
                f"{counted(unordered, 'question', 'have')} shuffled options, of which the log-probabilities are not known"
            )
        if header.status != "success":
            notes.append(f"the evaluation did not end: its status is {header.status}")
        if not answers:
            raise InputError(
                f"no sample with a score, and the status {header.status}",
                expected=_WHAT,
                do="run inspect eval, or inspect score, to its end",
                path=file,
            )
        task = header.eval.task.rpartition("/")[2] or header.eval.task
        # Of the first epoch, whichever place that has in the file.
        answers.sort(key=lambda item: item[0])
        scores = to_scores(task, [answer for _, answer in answers], file, notes=notes, repeats="epochs")
        return Log({task: scores}, _config(header, task))


def _read_archive(file: Path) -> tuple[_Header, Iterator[_Sample]]:
    members = {member.relative_to(file).as_posix(): member for member in archive_members(file)}
    # A run that was stopped has the header's content in the journal.
    held = members.get("header.json") or members.get("_journal/start.json")
    if held is None:
        raise InputError("neither header.json nor _journal/start.json in the archive", expected=_WHAT, path=file)
    header = decode(read_log(held), _Header, held, _WHAT)
    found = sorted(name for name in members if _SAMPLE.fullmatch(name))

    def samples() -> Iterator[_Sample]:
        for name in found:
            yield decode(read_log(members[name]), _Sample, members[name], "a sample of Inspect")

    return header, samples()


def _answer(sample: _Sample, shuffles: bool) -> tuple[Answer, bool]:
    """The answer of a sample, and whether its options were shuffled behind the letters that the model saw."""
    question, options = _question(sample)
    named = [sample.target] if isinstance(sample.target, str) else sample.target
    gold = _gold(named, options)
    scores = dict(sample.scores or {})
    # A scorer of several values does not say which of them is whether the answer is right.
    single = [name for name, score in scores.items() if not isinstance(score.value, dict)]
    first = "choice" if "choice" in single else next(iter(single or scores))
    main = scores[first]
    metrics = {ACC: _number(main.value)} if single else {}
    for name, score in scores.items():
        for key, value in score.value.items() if isinstance(score.value, dict) else [(None, score.value)]:
            if name != first or key is not None:
                metrics[f"{name}.{key}" if key else name] = _number(value)
    message = sample.output.choices[0] if sample.output.choices else None
    sent = [item for item in sample.messages if item.role in ("system", "user")]
    shuffled = bool(options) and (shuffles or (main.explanation or "").startswith(_SHUFFLED))
    tokens = message.logprobs.content if message is not None and message.logprobs is not None else []
    logprobs = () if shuffled or not options else _of_letters(tokens, len(options), main.answer or "")
    return (
        Answer(
            id=sample.id,
            question=question,
            options=options,
            gold=gold,
            logprobs=logprobs,
            scored=tuple(f" {letter}" for letter in _letters(len(options))) if logprobs else (),
            target=", ".join(named),
            text=None if message is None else message.message.text,
            answer=main.answer,
            metrics=metrics,
            prompt="\n\n".join(item.text for item in sent),
        ),
        shuffled and bool(tokens),
    )


def _question(sample: _Sample) -> tuple[str, tuple[str, ...]]:
    """What is asked, without a system message, and the options: those of the sample, else the ones that its text lists."""
    given = sample.input
    text = given if isinstance(given, str) else "\n".join(item.text for item in given if item.role != "system")
    if sample.choices:
        return text, tuple(sample.choices)
    question, options = asked(text)
    return (question, options) if options else (text, ())


def _gold(named: Sequence[str], options: Sequence[str]) -> tuple[int, ...]:
    """The options that a target names: by letters, of which several may stand in one text, or by their texts.

    Examples
    --------
    >>> _gold(["B, C"], ["x", "y", "z"]), _gold(["y"], ["x", "y", "z"]), _gold(["else"], ["x", "y"])
    ((1, 2), (1,), ())
    """
    letters = _letters(len(options))
    found: list[int | None] = []
    for text in named:
        parts = [part for part in re.split(r"[ ,]+", text) if part]
        if all(part in letters for part in parts):
            found += map(letters.index, parts)
        else:
            found.append(option_index(text, options))
    # One that is unknown leaves all unknown.
    return () if None in found else tuple(sorted({option for option in found if option is not None}))


def _letters(count: int) -> list[str]:
    """The labels of choices: letters, then numbers."""
    return [chr(ord("A") + place) if place < 26 else str(place - 25) for place in range(count)]


def _of_letters(tokens: list[_Token], count: int, answer: str) -> tuple[float, ...]:
    """Log-probabilities of the options' letters where the model wrote its answer; NaN for those not among the top.

    A letter may be several tokens, with a space or without one: their probabilities are added.
    """
    letters = _letters(count)
    written = _answered(tokens, letters, label_of(answer))
    if written is None:
        return ()
    found: dict[str, list[float]] = {}
    for token in written.top_logprobs or ():
        found.setdefault(label_of(token.token), []).append(token.logprob)
    return tuple(_added(found[letter]) if letter in found else math.nan for letter in letters)


def _answered(tokens: list[_Token], letters: Sequence[str], answer: str) -> _Token | None:
    """The token that is the answer: the letter behind the last "ANSWER:", else the one that the scorer read."""
    ends = list(accumulate(len(token.token) for token in tokens))
    said = [*_ANSWER.finditer("".join(token.token for token in tokens))]
    if said:
        # An "A" further on may be an article.
        tokens = [tokens[bisect(ends, said[-1].start(1))]]
    found = [token for token in tokens if token.top_logprobs and label_of(token.token) in letters]
    if answer in letters:
        found = [token for token in found if label_of(token.token) == answer]
    if not found:
        return None
    begins = next((token for token in tokens if token.token.strip()), None)
    return begins if begins is found[0] else found[-1]


def _added(logprobs: list[float]) -> float:
    most = max(logprobs)
    return (
        most
        if len(logprobs) == 1 or math.isinf(most)
        else most + math.log(math.fsum(math.exp(x - most) for x in logprobs))
    )


def _number(value: Any) -> float:
    """What Inspect's own metrics take a score's value to be; NaN for what is no number there."""
    if isinstance(value, str):
        found = _VALUES.get(value, _VALUES.get(value.lower()) if len(value) > 1 else None)
        if found is not None:
            return found
    elif not isinstance(value, bool | int | float):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _config(header: _Header, task: str) -> RunConfig:
    spec = header.eval
    generate: Mapping[str, Any] = spec.model_generate_config
    shots = spec.task_args.get("fewshot", spec.task_args.get("num_fewshot"))
    version = spec.task_version
    system = generate.get("system_message")
    return RunConfig(
        model=spec.model.partition("/")[0] if "/" in spec.model else None,
        model_name=spec.model,
        date=spec.created,
        num_fewshot={task: shots} if type(shots) is int else {},
        versions={task: version} if isinstance(version, int) else {},
        system_instruction=system if isinstance(system, str) else None,
        limit=spec.config.limit if isinstance(spec.config.limit, int) else None,
        git_commit=None if spec.revision is None else spec.revision.commit,
        documents={} if spec.dataset.samples is None else {task: spec.dataset.samples},
        harness=InspectReader.name,
        harness_version=spec.packages.get("inspect_ai"),
    )
