"""The estimated cost of an experiment: runs, rows, tokens, steps, hours of a device, and disk space."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from consistency.errors import InputError
from consistency.experiment.grid import Experiment, TunedRun, needs_contexts, needs_explanations
from consistency.experiment.memory import count_parameters
from consistency.experiment.packing import read_turns
from consistency.experiment.requirements import Fetch, asks_mmlu, fetches
from consistency.experiment.seeds import CHANGE, SeedPlan, plan_seeds
from consistency.statistics.crossed import RunSpread
from consistency.support.text import joined, padded, visible, width
from consistency.tasks import mmlu, sources
from consistency.tasks.own_domain import OwnDomain
from consistency.tasks.own_tasks import read_own_domain
from consistency.world import questions
from consistency.world.fields import SUBJECTS

# English text has about four characters to a token; a row holds the sentence of the chat format besides.
CHARACTERS_PER_TOKEN = 4
FORMAT_TOKENS = 40
SAMPLE_BYTES = 3000  # of a log, for each question and evaluation
NEW_TOKENS = 256  # of an explanation, at most
# Decoding one token at a time waits for memory, not for arithmetic.
DECODING = 0.1


# The peak of one device in 10¹² floating point operations a second, and the share of it that is reached: an H100 in bfloat16; a
# Mac's GPU; a core of a CPU in float32, where the embedded model was measured.
PEAKS = {"cuda": (989, 0.3), "mps": (10, 0.3), "cpu": (0.1, 0.5)}


@dataclass(frozen=True)
class Sizes:
    """Numbers of questions and tokens of a set of tasks, where they cannot be counted.

    Attributes
    ----------
    asked, row : int
        Questions in the training set of a group, and tokens of a training row (the mean over questions and general
        instructions).
    pool, few : int
        Questions in a domain's pool, and tokens of a prompt with five shots.
    test, subjects, zero : int
        Questions in a domain's test set and in all subjects, and tokens of a prompt without shots.
    """

    asked: int
    row: int
    pool: int
    few: int
    test: int
    subjects: int
    zero: int


# The paper's: means of the released groups of Llama-2-7B and -13B, and of the questions, at four characters a token.
SIZES = {
    "paper": Sizes(asked=982, row=300, pool=4256, few=780, test=553, subjects=14_042, zero=200),
    "world": Sizes(
        asked=100, row=120, pool=questions.SIZES["pool"], few=250,
        test=questions.SIZES["test"], subjects=questions.SUBJECT_TEST_SIZE * len(SUBJECTS), zero=90,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ModelPlan:
    """The estimated cost of one base model's runs.

    Attributes
    ----------
    model, parameters : str, float
        Its name, and the number of its parameters. Of several trainings of one base model the first bears what is done with
        the base model.
    runs, evaluations : int
        Models to fine-tune; and to evaluate, those after each epoch among them.
    rows, tokens, steps : int
        Training rows and their tokens of content, once; and optimizer steps over all epochs. Sums over the runs.
    estimated_rows : int
        Those among `rows` whose training set is not made yet.
    training_hours, evaluation_hours, generation_hours : float
        Hours of one device.
    disk_gb : float
        Weights and logs that stay, in 10⁹ bytes.
    """

    model: str
    parameters: float
    runs: int
    evaluations: int
    rows: int
    estimated_rows: int
    tokens: int
    steps: int
    training_hours: float
    evaluation_hours: float
    generation_hours: float
    disk_gb: float

    @property
    def hours(self) -> float:
        """Hours of one device in all."""
        return self.training_hours + self.evaluation_hours + self.generation_hours


@dataclass(frozen=True)
class Plan:
    """The estimated cost of an experiment.

    Attributes
    ----------
    name : str
        The experiment.
    models : tuple of ModelPlan
        One for each base model.
    device : str
        Where the grid runs.
    peak_tflops, utilisation : float
        The assumed peak of a device, and the share of it that training and evaluation reach.
    fetched : tuple of Fetch
        What is taken from the network, unless a cache has it.
    network : bool
        Whether the experiment allows that.
    seeds : SeedPlan or None
        How many seeds a claim about the groups needs; None without two groups to compare.
    """

    name: str
    models: tuple[ModelPlan, ...]
    device: str
    peak_tflops: float
    utilisation: float
    fetched: tuple[Fetch, ...] = ()
    network: bool = True
    seeds: SeedPlan | None = None

    @property
    def hours(self) -> float:
        """Hours of one device in all."""
        return sum(model.hours for model in self.models)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready values."""
        return asdict(self) | {"formula": self.formula, "hours": self.hours}

    @property
    def formula(self) -> str:
        """The formula of the hours, in words."""
        return (
            "seconds = FLOP / (peak × utilisation): training 6 N tokens epochs (8 N with recomputed activations, 4 N for"
            f" adapters), evaluation 2 N tokens, generation 2 N tokens at {DECODING:g} of the utilisation;"
            f" peak {self.peak_tflops:g} TFLOP/s of {self.device}, utilisation {self.utilisation:g}; padding and start-up are"
            " not in it"
        )

    def to_text(self) -> str:
        """A table of the models, with the assumptions below it."""
        heads = (
            "model",
            "parameters",
            "runs",
            "evaluations",
            "rows",
            "tokens",
            "steps",
            "train h",
            "evaluate h",
            "generate h",
            "disk GB",
        )
        lines: list[tuple[str, ...]] = [heads]
        for item in self.models:
            hours = (item.training_hours, item.evaluation_hours, item.generation_hours)
            counts = (
                f"{item.parameters:.3g}",
                str(item.runs),
                str(item.evaluations),
                *(f"{n:,}" for n in (item.rows, item.tokens, item.steps)),
            )
            lines.append((visible(item.model), *counts, *(f"{value:.3g}" for value in (*hours, item.disk_gb))))
        widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(padded(cell, n, right=True) for cell, n in zip(line, widths, strict=True)) for line in lines]
        estimated = sum(item.estimated_rows for item in self.models)
        rows = sum(item.rows for item in self.models)
        basis = "rows were counted, " if not estimated else f"{estimated:,} of {rows:,} rows are an estimate, "
        device = {"cpu": "this CPU", "mps": "this Mac's GPU"}.get(self.device, "one GPU")
        lines_below = [
            f"{self.hours:.3g} hours of {device} in all",
            f"{basis}tokens are characters / {CHARACTERS_PER_TOKEN} where rows exist",
            self.formula,
        ]
        if self.fetched:
            says = "fetched from the network" if self.network else "needed, but network: false; they must be in a cache"
            lines_below += [f"{says}:", *(f"  {item.to_text()}" for item in self.fetched)]
        if self.seeds:
            lines_below.extend(self.seeds.to_text().splitlines())
        return joined([*table, *lines_below])


def plan(
    experiment: Experiment,
    *,
    peak_tflops: float | None = None,
    utilisation: float | None = None,
    parameters: Mapping[str, float] | None = None,
    change: float = CHANGE,
    spread: RunSpread | None = None,
    measured_in: str = "",
) -> Plan:
    """The estimated cost of an experiment.

    Parameters
    ----------
    experiment : Experiment
        The experiment. Training sets below its root are counted, others estimated from `SIZES`.
    peak_tflops : float, optional
        Peak of one device in 10¹² floating point operations a second. Default by the device: 989, an H100's in bfloat16, 10 of
        a Mac, 0.1 for each core of this CPU.
    utilisation : float, optional
        Share of it that training and evaluation reach. Default: 0.3, on a CPU 0.5.
    parameters : mapping, optional
        Number of parameters by model, where it follows neither from a folder nor from a name.
    change, spread, measured_in
        Of the plan of seeds (`plan_seeds`).

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If a model's size is unknown, or a number is out of range.

    Notes
    -----
    6 N operations a token: Kaplan et al., Scaling laws for neural language models, 2020, section 2.1.
    """
    kind = experiment.device.partition(":")[0]
    peak, share = PEAKS[kind]
    if peak_tflops is None:
        peak_tflops = peak * ((os.cpu_count() or 1) if kind == "cpu" else 1)
    utilisation = share if utilisation is None else utilisation
    if not 0 < peak_tflops < math.inf or not 0 < utilisation <= 1:
        raise InputError(f"peak {peak_tflops}, utilisation {utilisation}", expected="a positive peak and a share of it")
    for model, given in (parameters or {}).items():
        if model not in {*experiment.models, *experiment.sources}:
            raise InputError(f"--parameters: no model {model!r}", expected=f"one of {', '.join(experiment.models)}")
        if not 1 <= given < math.inf:
            raise InputError(f"--parameters {model}={given:g}", expected="a number of parameters, such as 7e9")
    per_hour = peak_tflops * 1e12 * utilisation * 3600
    sizes, counts = SIZES[experiment.task_set], count_questions(experiment)
    found: list[ModelPlan] = []
    bases: set[str] = set()
    for model in experiment.models:
        origin = experiment.recipe(model).base
        n = (
            (parameters or {}).get(model)
            or (parameters or {}).get(origin)
            or _parameters(experiment.sources[origin], model)
        )
        training, rows, tokens, steps, estimated = 0.0, 0, 0, 0, 0
        runs = [run for run in experiment.runs() if run.model == model]
        configs = {group: experiment.config(model, group) for group in experiment.groups}
        kept, evaluations, asked = 0.0, 0, 0
        for run in runs:
            values = configs[run.group].values
            asked_rows = min(experiment.size or sizes.asked, counts.pools[run.domain])
            count, length, real = _size(run, sizes, asked_rows, 1 if experiment.general == "none" else 2)
            rows, tokens = rows + count, tokens + length
            estimated += 0 if real else count
            epochs = values["num_epochs"]
            steps += math.ceil(math.ceil(count / configs[run.group].batch) * epochs)
            training += _operations(values) * n * length * epochs
            saved = math.ceil(epochs) if experiment.every_epoch else 1
            evaluations += saved
            asked += saved * (counts.tests[run.domain] + counts.subjects)
            kept += saved * n * (0.01 if values.get("adapter") else 2 if values.get("bf16") else 4)
        # What the base model is asked it is asked once, in however many ways it is then trained.
        once = origin not in bases
        bases.add(origin)
        pools, tests = sum(counts.pools.values()), sum(counts.tests.values()) + counts.subjects
        base = once * (pools * sizes.few + tests * (sizes.few + sizes.zero))
        texts = sum(map(any, (map(needs_explanations, experiment.groups), map(needs_contexts, experiment.groups))))
        requests = len(experiment.domains) * min(experiment.size or sizes.asked, max(counts.pools.values()))
        written = once * texts * requests * (sizes.few // 5 + NEW_TOKENS)
        found.append(
            ModelPlan(
                model=model,
                parameters=n,
                runs=len(runs),
                evaluations=evaluations,
                rows=rows,
                estimated_rows=estimated,
                tokens=tokens,
                steps=steps,
                training_hours=training / per_hour,
                evaluation_hours=2 * n * (base + asked * sizes.zero) / per_hour,
                generation_hours=2 * n * written / (per_hour * DECODING),
                disk_gb=(kept + (once * (pools + 2 * tests) + asked) * SAMPLE_BYTES) / 1e9,
            )
        )
    return Plan(
        experiment.name,
        tuple(found),
        kind,
        peak_tflops,
        utilisation,
        tuple(fetches(experiment)),
        experiment.network,
        plan_seeds(experiment, min(counts.tests.values()), change=change, spread=spread, measured_in=measured_in)
        if len(experiment.groups) > 1
        else None,
    )


@dataclass(frozen=True)
class Counts:
    """How many questions an experiment asks.

    Attributes
    ----------
    pools, tests : dict of str to int
        In the pool and the test set of each domain.
    subjects : int
        In all subjects.
    """

    pools: dict[str, int]
    tests: dict[str, int]
    subjects: int


def count_questions(experiment: Experiment) -> Counts:
    """How many questions an experiment asks: counted in the folder of questions where there is one, else as in `SIZES`.

    Parameters
    ----------
    experiment : Experiment
        Its `limit` holds for each task.
    """
    sizes, most = SIZES[experiment.task_set], experiment.limit or sys.maxsize
    local = experiment.task_set == "paper" and bool(os.environ.get(sources.VARIABLE))

    def count(file: str, otherwise: int) -> int:
        path = sources.place(file) if local else None
        return min(most, sum(1 for _ in path.open("rb")) if path is not None and path.is_file() else otherwise)

    own = {name: _own_counts(domain, most) for name, domain in experiment.own_domains.items()}
    given = [domain for domain in experiment.domains if domain not in own]
    names = SUBJECTS if experiment.task_set == "world" else mmlu.SUBJECTS
    each = sizes.subjects // len(names)
    return Counts(
        {name: pool for name, (pool, _) in own.items()}
        | {domain: count(sources.domain_file(domain, "pool"), sizes.pool) for domain in given},
        {name: test for name, (_, test) in own.items()}
        | {domain: count(sources.domain_file(domain, "test"), sizes.test) for domain in given},
        # Other tasks of an own domain than MMLU's are not counted.
        asks_mmlu(experiment) * sum(count(sources.benchmark_file("mmlu", subject, "test"), each) for subject in names),
    )


def _own_counts(domain: OwnDomain, most: int) -> tuple[int, int]:
    """Questions in the pool and the test set of an own domain; of a data set of the hub as many as in the paper's."""
    if any(source.is_hub for source in domain.sources.values()):
        return min(most, SIZES["paper"].pool), min(most, SIZES["paper"].test)
    questions = read_own_domain(domain).questions
    return min(most, len(questions["pool"])), min(most, len(questions["test"]))


def _operations(values: Mapping[str, Any]) -> int:
    """Floating point operations of a training step for each parameter and token."""
    if values.get("adapter"):
        return 4
    recomputed = values.get("gradient_checkpointing") or (values.get("fsdp_config") or {}).get(
        "activation_checkpointing"
    )
    return 8 if recomputed else 6


def _size(run: TunedRun, sizes: Sizes, questions: int, times: int) -> tuple[int, int, bool]:
    """Rows of a run's training set, their tokens, and whether they were counted."""
    if not run.rows.is_file():
        return times * questions, times * questions * sizes.row, False
    count = characters = 0
    for turns in read_turns(run.rows):
        count += 1
        characters += sum(len(turn["content"]) for turn in turns)
    return count, characters // CHARACTERS_PER_TOKEN + count * FORMAT_TOKENS, True


def _parameters(source: str, model: str) -> float:
    """The number of parameters of a model, which must be known."""
    found = count_parameters(source)
    if found is None:
        raise InputError(
            f"{model}: the size of {source} is unknown",
            expected="safetensors in its folder",
            do=f"--parameters {model}=7e9",
        )
    return found
