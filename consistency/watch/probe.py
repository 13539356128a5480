"""Scoring with the model in training: the fixed questions in, an ordinary lm_eval log out, and the training left as it was."""

from __future__ import annotations

import copy
import inspect
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.loggers.utils import add_env_info, add_tokenizer_info
from torch.nn import functional

from consistency.errors import InputError
from consistency.shared_prefix.harness import commit
from consistency.shared_prefix.model import SharedPrefixLM
from consistency.support.files import folder_in_place
from consistency.watch.lockstep import Lockstep
from consistency.watch.messages import LookError, end, reason
from consistency.watch.questions import FEWSHOT_SEED, NUMPY_SEED, PYTHON_SEED, Questions
from consistency.watch.quiet import quiet
from consistency.watch.rows import TextRow
from consistency.watch.settings import WatchSettings
from consistency.watch.text import Text, text_row

Answer = tuple[float, bool]
# Questions for each process, by which the cost of all is estimated.
TIMED = 4
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


class LiveModel:
    """The model in training as lm_eval's `hf` takes one: its attributes are those of the model, its call the Trainer's own.

    Where the weights are spread over processes, each call gathers them, so that all processes have to call equally often: a
    process that has nothing left to score repeats passes until all have ended, see `join`.

    Parameters
    ----------
    trainer : transformers.Trainer
        With its model prepared for training.
    """

    def __init__(self, trainer: Any) -> None:
        accelerator = trainer.accelerator
        self._inner = accelerator.unwrap_model(trainer.model)
        self.is_sharded = accelerator.num_processes > 1 and (
            trainer.is_deepspeed_enabled or bool(getattr(trainer, "is_fsdp_enabled", False))
        )
        self._call: Callable[..., Any] = trainer.model_wrapped if self.is_sharded else trainer.model
        self._device = accelerator.device
        self.lockstep = Lockstep(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def get_base_model(self) -> Any:
        """The model without PEFT's wrapper."""
        inner = self._inner
        return inner.get_base_model() if hasattr(inner, "get_base_model") else inner

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """A pass of the model."""
        self._any_left(True)
        if not self.is_sharded:
            return self._call(*arguments, **named)
        return self._together(*arguments, **named)

    def join(self) -> None:
        """Take part in the passes of the other processes until none has any left."""
        if not self.is_sharded:
            return
        token = torch.zeros((1, 1), dtype=torch.long, device=self._device)
        while self._any_left(False):
            # What this process was asked is answered.
            with suppress(Exception):
                self._together(input_ids=token, use_cache=False)

    def _together(self, *arguments: Any, **named: Any) -> Any:
        """A pass that all processes come to the end of."""
        with self.lockstep.kept():
            found = self._call(*arguments, **named)
        problem = self.lockstep.take_problem()
        if problem is not None:
            raise problem
        return found

    def _any_left(self, mine: bool) -> bool:
        """Whether any process has a pass to compute."""
        if not self.is_sharded:
            return mine
        left = torch.tensor(int(mine), device=self._device)
        torch.distributed.all_reduce(left, op=torch.distributed.ReduceOp.MAX)
        return bool(left.item())


class LiveLM(SharedPrefixLM):
    """The model in training as lm_eval's model `hf-shared-prefix`.

    Parameters
    ----------
    model : LiveModel
    tokenizer : transformers.PreTrainedTokenizerBase
        A copy of the training's.
    device : torch.device
        Where the input goes.
    mixed_precision : torch.dtype or None
        The type in which the training's passes are computed, where that is not the weights' own.
    """

    def __init__(self, model: LiveModel, tokenizer: Any, device: torch.device, mixed_precision: Any) -> None:
        super().__init__(
            pretrained=model, tokenizer=tokenizer, batch_size="auto", mixed_precision_dtype=mixed_precision
        )
        self._device = self.forward.device = device
        self.forward.without_gradients = torch.no_grad

    def _detect_batch_size(self, requests: Any = None, pos: int = 0) -> int:
        # lm_eval computes batches until one no longer fits, which a training has no memory for.
        longest = len(requests[pos][1]) + len(requests[pos][2]) if requests else int(self.max_length)
        return min(self._batch_of(longest), int(self.max_batch_size))

    def share_counts(self) -> None:
        """Say nothing yet: a process has a part of the questions, and what was cut in all is known when they have answered."""

    def get_model_info(self) -> dict[str, Any]:
        """What lm_eval logs of a model, and the prompts that were cut."""
        model = self.model
        return {
            "model_num_parameters": model.num_parameters() if hasattr(model, "num_parameters") else -1,
            "model_dtype": getattr(model, "dtype", ""),
            "model_revision": "main",
            "model_sha": "",
            "truncated_prompts": self.cut_prompts.to_dict(),
        }


class _Answered(LM):  # type: ignore[misc]
    """A model of lm_eval whose answers are known."""

    def __init__(self, answers: Mapping[int, Answer], live: LiveLM) -> None:
        super().__init__()
        self._answers, self._live = answers, live

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[Answer]:
        return [self._answers[id(request)] for request in requests]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
        raise NotImplementedError

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
        raise NotImplementedError

    def apply_chat_template(self, *arguments: Any, **named: Any) -> Any:
        return self._live.apply_chat_template(*arguments, **named)

    @property
    def tokenizer_name(self) -> str:
        return str(self._live.tokenizer_name)


class Probe:
    """The questions asked of a model in training, as often as wanted.

    Parameters
    ----------
    trainer : transformers.Trainer
        With its model prepared for training.
    questions : Questions
        Their requests are built here.
    settings : WatchSettings
    names : tuple of str
        How logs name the model before its first step, and afterwards.
    folder : Path
        Of the watch.

    Raises
    ------
    InputError
        If the model or its tokenizer cannot be asked.
    """

    def __init__(
        self, trainer: Any, questions: Questions, settings: WatchSettings, names: tuple[str, str], folder: Path
    ) -> None:
        self.trainer, self.questions, self.settings, self.names = trainer, questions, settings, names
        accelerator = trainer.accelerator
        tokenizer = copy.deepcopy(trainer.processing_class)
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        if tokenizer is None:
            raise InputError(
                "watch: the Trainer has no tokenizer", do="give it one: Trainer(processing_class=tokenizer)"
            )
        template = settings.apply_chat_template
        if template and not getattr(tokenizer, "chat_template", None):
            raise InputError(
                "watch: the tokenizer has no chat template",
                do="set the training's own (Axolotl: chat_template), or apply_chat_template: false under watch",
            )
        types = {"bf16": torch.bfloat16, "fp16": torch.float16}
        self.model = LiveModel(trainer)
        # Other programs are asked, which takes a second: meanwhile prompts are made.
        self._of_machine = ThreadPoolExecutor(1).submit(_of_machine) if accelerator.is_main_process else None
        with untouched(self.model), quiet():
            self.lm = LiveLM(self.model, tokenizer, accelerator.device, types.get(accelerator.mixed_precision))
            self._template = self.lm.chat_template(template) if template else None
            questions.build(settings, self.lm.apply_chat_template if template else None)
        self.text = None
        if settings.text is not None:
            self.text = Text(settings.text, tokenizer, int(self.lm.max_length), folder)
        self._environment: dict[str, Any] = {}
        if accelerator.is_main_process:
            add_tokenizer_info(self._environment, self.lm)

    def read_text(self, step: int) -> TextRow | None:
        """The figures of the text at a step, in the first process; every process calls it.

        Parameters
        ----------
        step : int

        Raises
        ------
        LookError
            As `answers`.
        """
        text = self.text
        assert text is not None
        numbers = list(range(len(text.windows)))
        found = self._shared(numbers, lambda mine: [text.score(number, self._logprobs) for number in mine])
        return (
            text_row(step, dict(zip(numbers, found, strict=True))) if self.trainer.accelerator.is_main_process else None
        )

    def _logprobs(self, tokens: Any, count: int) -> torch.Tensor:
        """Logprobs [count, vocabulary] of the last positions of a row of tokens."""
        if "logits_to_keep" in inspect.signature(self.model.get_base_model().forward).parameters:
            return self.lm.forward.plain_logprobs(tokens, count)
        logits = self.lm._model_call(torch.from_numpy(tokens).to(self.lm.device)[None])
        return functional.log_softmax(logits[0, -count:], dim=-1, dtype=torch.float32)

    def answers(self) -> dict[int, Answer]:
        """The answers of the model as it is, by the `id` of the request; every process calls it.

        Raises
        ------
        LookError
            In all processes, if one of them failed.
        """
        questions = self.questions.requests
        found = self._shared(questions, self._answer)
        counted = self._gathered([self.lm.cut_prompts.to_bytes()])
        if self.trainer.accelerator.is_main_process:
            for others in counted[1:]:
                self.lm.cut_prompts.join(others)
            self.lm.cut_prompts.say()
        everything = [request for question in questions for request in question]
        return {id(request): answer for request, answer in zip(everything, found, strict=True)}

    def time_some(self) -> tuple[float, int]:
        """Seconds that a few questions take, without the first ones, and how many tokens they have; every process calls it."""
        count = self.trainer.accelerator.num_processes * TIMED
        # The first passes of a process take longer than all others.
        asked = self.questions.requests[: 2 * count]
        first, timed = asked[: len(asked) // 2], asked[len(asked) // 2 :]
        seconds = 0.0
        for part in (first, timed):
            start = time.perf_counter()
            self._shared(part, self._answer)
            seconds = time.perf_counter() - start
        tokens = 0
        for question in timed:
            contexts = {request.args[0] for request in question}
            texts = [*contexts, *(request.args[1] for request in question)]
            tokens += sum(map(len, self.lm.tokenizer(texts, add_special_tokens=False)["input_ids"]))
        return seconds / max(len(timed), 1), tokens // max(len(timed), 1)

    def cut(self, counts: Mapping[str, int]) -> None:
        """Ask so many questions of each task, no more: see `Questions.cut`."""
        self.questions = self.questions.cut(counts, self.settings.seed)
        # What was cut of prompts that are no longer asked does not count.
        self.lm.__dict__.pop("cut_prompts", None)

    def _answer(self, mine: Sequence[list[Any]]) -> list[Answer]:
        requests = [request for question in mine for request in question]
        return self.lm.loglikelihood(requests, disable_tqdm=True) if requests else []

    def _gathered(self, items: list[_Item]) -> list[_Item]:
        """What all processes have, one after the other."""
        if self.trainer.accelerator.num_processes == 1:
            return items
        from accelerate.utils import gather_object

        found: list[_Item] = gather_object(items)
        return found

    def _shared(self, items: Sequence[_Item], work: Callable[[Sequence[_Item]], list[_Found]]) -> list[_Found]:
        """What is found for all items, each process having done the work of its share."""
        accelerator = self.trainer.accelerator
        first, last = (
            len(items) * rank // accelerator.num_processes
            for rank in (accelerator.process_index, accelerator.process_index + 1)
        )
        found: list[_Found] = []
        problem: str | None = None
        with untouched(self.model):
            try:
                found = work(items[first:last])
            except Exception as error:
                if self.model.lockstep.is_stuck:
                    # The others wait in a pass that this process cannot go through.
                    end(error)
                problem = reason(error)
            self.model.join()
        found = self._gathered(found)
        problem = next(filter(None, self._gathered([problem])), None)
        if problem is not None:
            raise LookError(problem)
        return found

    def write(self, folder: Path, step: int, answers: Mapping[int, Answer]) -> None:
        """Write the log of a step.

        Parameters
        ----------
        folder : Path
            Of this step: appears whole.
        step : int
        answers : mapping of int to (float, bool)
            As `answers` gave them.

        Raises
        ------
        InputError, RuntimeError
            If it cannot be written.
        """
        with unchanged_random_state(), quiet(), folder_in_place(folder, mark=None) as draft:
            self.questions.forget_answers()
            results = evaluate(
                lm=_Answered(answers, self.lm),
                task_dict=self.questions.tree,
                samples=self.questions.samples,
                bootstrap_iters=0,
                apply_chat_template=self.settings.apply_chat_template,
                system_instruction=self.settings.system_instruction,
                fewshot_as_multiturn=bool(self.settings.apply_chat_template),
            )
            for name, asked in self.questions.tasks.items():
                results["n-samples"][name] = {"original": asked.of, "effective": len(asked.ids)}
            model = {"pretrained": self.names[step > 0], **({"revision": f"step-{step}"} if step else {})}
            results["config"] = {
                "model": "hf-shared-prefix",
                "model_args": model,
                **self.lm.get_model_info(),
                "batch_size": None,
                "batch_sizes": [],
                "device": str(self.lm.device),
                "use_cache": None,
                "limit": None,
                "bootstrap_iters": 0,
                "gen_kwargs": None,
                "random_seed": PYTHON_SEED,
                "numpy_seed": NUMPY_SEED,
                "torch_seed": NUMPY_SEED,
                "fewshot_seed": FEWSHOT_SEED,
            }
            of_machine = {} if self._of_machine is None else self._of_machine.result()
            results |= {"date": time.time(), **self._environment, **of_machine}
            samples = results.pop("samples")
            tracker = EvaluationTracker(output_path=str(draft / "results.json"))
            tracker.general_config_tracker.log_experiment_args(
                model_source="hf-shared-prefix",
                model_args=model,
                system_instruction=self.settings.system_instruction,
                chat_template=self._template,
                fewshot_as_multiturn=bool(self.settings.apply_chat_template),
            )
            tracker.save_results_aggregated(results=results, samples=samples)
            for name in self.questions.tasks:
                tracker.save_results_samples(task_name=name, samples=samples[name])
            written = len(list(draft.glob("samples_*.jsonl")))
            # lm_eval only warns where it could not write.
            if written != len(self.questions.tasks) or not list(draft.glob("results_*.json")):
                raise RuntimeError(f"{folder}: lm_eval could not write its logs")


def _of_machine() -> dict[str, Any]:
    """What a log of lm_eval says of the machine and of the repository."""
    found: dict[str, Any] = {}
    add_env_info(found)
    return found | {"git_hash": commit()}


@contextmanager
def untouched(model: LiveModel) -> Iterator[None]:
    """Evaluation mode inside a `with` block; afterwards the training's state is bit for bit what it was.

    Parameters
    ----------
    model : LiveModel
    """
    modules = list(model.modules())
    flags = [module.training for module in modules]
    configs = {id(config): config for config in (model.config, model.get_base_model().config)}
    caches = [(config, config.use_cache) for config in configs.values() if hasattr(config, "use_cache")]
    try:
        with unchanged_random_state(), torch.no_grad():
            for module in modules:
                module.training = False
            for config, _ in caches:
                config.use_cache = False
            yield
    finally:
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag
        for config, value in caches:
            config.use_cache = value
        torch.clear_autocast_cache()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def unchanged_random_state() -> Iterator[None]:
    """Give Python, NumPy and PyTorch their random states back after a `with` block."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpus:
            with suppress(RuntimeError):
                torch.cuda.set_rng_state_all(gpus)
