"""How fast `hf-shared-prefix` scores few-shot questions, against lm_eval's `hf` and one prompt at a time, and how equal.

    python scripts/benchmark_scoring.py --model FOLDER --data-dir FOLDER --device cuda --dtype bfloat16
    python scripts/benchmark_scoring.py --random-llama 1b --tokenizer FOLDER --data-dir FOLDER --device cuda --dtype bfloat16
    python scripts/benchmark_scoring.py --model FOLDER --data-dir FOLDER --subjects abstract_algebra virology --limit 50
    python scripts/benchmark_scoring.py --model FOLDER --data-dir FOLDER --style ift --chat

All in one process, on the same weights. `hf` gets the batch size that is fastest on a sample. Its strings are encoded on
a sample, and the time is taken in proportion to the requests (`hf` encodes each by itself); so are the prompts of the
one-at-a-time loop, which has a model to load for each subject. What comes before and after scoring (imports, loading, tasks,
building of requests, metrics and logs) is run as well, as `consistency eval` and as `lm_eval` does it, and the share of each
stage is printed. With `--hf-every` hf's scoring
is run on a part, and the time taken in proportion to the tokens. Everything else is run in full.

Tokenization, and the search for shared prefixes, go on while the device computes. So two things are printed: how long each
takes on the processor, and how long the device had no pass to compute, by its own clock (`waiting`).
"""

# ruff: noqa: E402 (the time of the imports is taken)
from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
BEGUN = time.perf_counter()

import numpy as np
import torch
import transformers
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager, get_task_dict

from consistency.shared_prefix.model import SharedPrefixLM
from consistency.shared_prefix.passes import units_of
from consistency.shared_prefix.prefixes import Segment
from consistency.shared_prefix.requests import Encoded, Requests
from consistency.support.resources import shipped
from consistency.tasks.harness_speed import faster_harness, without_unasked_tasks
from consistency.tasks.mmlu import SUBCATEGORIES
from consistency.world.fields import DOMAINS

IMPORTS = time.perf_counter() - BEGUN

SUBJECTS = sorted(subject for subjects in SUBCATEGORIES.values() for subject in subjects.split())
# Llama-3.2's and SmolLM2's layers of these sizes, with the vocabulary of the given tokenizer.
LLAMAS = {
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
    },
}


class Clock:
    """Seconds by name, counted once the device has finished."""

    def __init__(self, device: str) -> None:
        self.seconds: dict[str, float] = {}
        self.device = device

    def now(self) -> float:
        """Seconds since some moment, once the device has finished."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the seconds of a block to those of this name."""
        begun = self.now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - begun


class Marked(SharedPrefixLM):
    """The model, which notes when its parts begin and end, without waiting for the device.

    Attributes
    ----------
    processor : dict of str to float
        Seconds of the last run that the processor spent on each part; the device may have worked meanwhile.
    passes : float
        Seconds of that run in which the device had a pass to compute.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.processor: dict[str, float] = {}
        self._moments: list[tuple[Any, Any]] = []
        for name in ("logprobs", "plain_logprobs"):
            setattr(self.forward, name, self._marked(getattr(self.forward, name)))

    def _marked(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def marked(*arguments: Any) -> Any:
            begun = self._moment()
            found = compute(*arguments)
            self._moments.append((begun, self._moment()))
            return found

        return marked

    def _moment(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    @property
    def passes(self) -> float:
        """Seconds in which the device had a pass to compute."""
        if self.device.type != "cuda":
            return float(sum(end - begin for begin, end in self._moments))
        torch.cuda.synchronize()
        return float(sum(begin.elapsed_time(end) for begin, end in self._moments) / 1000)

    @contextmanager
    def noted(self, part: str) -> Iterator[None]:
        """Add the seconds of a block to those of a part, less what other parts took of it."""
        begun, others = time.perf_counter(), sum(self.processor.values())
        yield
        others = sum(self.processor.values()) - others
        self.processor[part] = self.processor.get(part, 0.0) + time.perf_counter() - begun - others

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Noted."""
        self.processor, self._moments = {}, []
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def _blocks(self, *arguments: Any) -> Iterator[Any]:
        return self._noted("tokenization", super()._blocks(*arguments))

    def _units(self, *arguments: Any) -> Iterator[Any]:
        return self._noted("finding prefixes", super()._units(*arguments))

    def _noted(self, part: str, items: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while True:
            with self.noted(part):
                item = next(items, end)
            if item is end:
                return
            yield item

    def _longest_served(self, length: int) -> int:
        with self.noted("trial of long prompts"):
            return super()._longest_served(length)


class Timed(Marked):
    """The model with a clock at its parts."""

    def __init__(self, clock: Clock, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.clock = clock
        logprobs = self.forward.logprobs

        def timed(*arguments: Any) -> Any:
            with clock("passes"):
                return logprobs(*arguments)

        self.forward.logprobs = timed  # type: ignore[assignment]

    def _add(self, name: str, seconds: float) -> None:
        self.clock.seconds[name] = self.clock.seconds.get(name, 0.0) + seconds

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Timed."""
        head = self.forward.base_model.get_output_embeddings()
        begun: list[float] = []
        hooks = [
            head.register_forward_pre_hook(lambda *_: begun.append(self.clock.now())),
            head.register_forward_hook(lambda *_: self._add("head", self.clock.now() - begun.pop())),
        ]
        try:
            with self.clock("total"):
                return super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        finally:
            # They belong to the model, which others use: each looks at the clock, and waits for the device.
            for hook in hooks:
                hook.remove()


def main() -> None:
    """Measure, and print the figures as JSON."""
    options = read_options()
    torch.manual_seed(0)
    device, dtype = options.device, getattr(torch, options.dtype)
    clock = Clock(device)
    with clock("load"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(options.tokenizer or options.model)
        model = load_model(options, tokenizer).to(device, dtype).eval()
    load = clock.seconds["load"]
    with as_consistency_eval(options):
        tasks, index, build = build_requests(options, HFLM(pretrained=model, tokenizer=tokenizer))
    again, hf_index, hf_build = build_requests(options, HFLM(pretrained=model, tokenizer=tokenizer))
    assert [[item.args for item in task] for task in tasks.values()] == [
        [item.args for item in task] for task in again.values()
    ]
    del again
    requests = [request for task in tasks.values() for request in task]
    documents = {(name, request.doc_id) for name, task in tasks.items() for request in task}
    say(f"{len(tasks)} tasks, {len(documents)} questions, {len(requests)} requests")

    common = {"pretrained": model, "tokenizer": tokenizer}
    hf, ours = HFLM(**common), Timed(clock, **common)
    say(f"hf-shared-prefix on this model: {ours.why_unsupported or 'served'}")
    ours.loglikelihood(requests[:64], disable_tqdm=True)
    hf.loglikelihood(requests[:8], disable_tqdm=True)
    clock.seconds.clear()

    reset_memory(device)
    processor = time.process_time()
    with as_consistency_eval(options):
        found = ours.loglikelihood(requests)
    ours_processor = time.process_time() - processor
    seconds, ours_memory, marked = dict(clock.seconds), memory(device), ours
    totals = [seconds["total"]]
    if device == "cuda":
        # Looking at the clock makes the device wait: three times without.
        runs = []
        for _ in range(3):
            marked = Marked(**common)
            begun, processor = clock.now(), time.process_time()
            with as_consistency_eval(options):
                marked.loglikelihood(requests)
            runs.append((clock.now() - begun, time.process_time() - processor, marked))
            assert marked.why_unsupported == ours.why_unsupported
        totals = [total for total, _, _ in runs]
        seconds["total"], ours_processor, marked = sorted(runs, key=lambda run: run[0])[1]
    total = seconds["total"]
    waiting = {
        "waiting": total - marked.passes,
        **{f"{part}, processor": took for part, took in marked.processor.items()},
    }
    shares = {part: took / total for part, took in waiting.items()}
    say(f"hf-shared-prefix: {total:.1f} s ({', '.join(f'{part} {share:.1%}' for part, share in shares.items())})")

    encoded = encode(ours, requests)
    every = max(1, len(requests) // 800)
    encode_seconds = time_hf_encoding(hf, requests, encoded, every)
    sizes = options.batch_sizes
    batches = (
        {size: seconds_of_batch(hf, encoded, size, clock) for size in sizes} if len(sizes) > 1 else {sizes[0]: 0.0}
    )
    best = min(batches, key=batches.__getitem__)
    say(f"hf on a sample: {', '.join(f'{size}: {took:.1f} s' for size, took in batches.items())}")
    hf.batch_size_per_gpu = best
    reset_memory(device)
    kept = [place for place, request in enumerate(requests) if request.doc_id % options.hf_every == 0]
    asked = [encoded[place] for place in kept]
    begun, processor = clock.now(), time.process_time()
    expected = hf._loglikelihood_tokens(asked)
    hf_took, hf_processor = clock.now() - begun, time.process_time() - processor
    batch = Requests(encoded, hf.max_length)
    hf_tokens = sum(len(item) for item in batch.sequences)
    scored_tokens = sum(len(item) for item in Requests(asked, hf.max_length).sequences)
    part = scored_tokens / hf_tokens
    hf_seconds = hf_took / part
    hf_memory = memory(device)

    hf_writing = time_writing(options, found)
    with as_consistency_eval(options):
        writing = time_writing(options, found)
    stages = {
        way: {
            "imports": IMPORTS,
            "loading": load,
            "task files and data": before,
            "building of requests": building,
            "tokenization, while the device waits": encoding,
            "passes": passes,
            "metrics and logs": logs,
        }
        for way, before, building, encoding, passes, logs in (
            ("hf-shared-prefix", index, build, waiting["waiting"], marked.passes, writing),
            ("hf", hf_index, hf_build, encode_seconds, hf_seconds, hf_writing),
        )
    }
    tell_stages(stages)

    loop = released_loop(options, hf, requests, len(tasks), len(documents), clock)
    forest = batch.forest()
    prefix = sum(len(tree) for tree in forest if tree.children)
    unique = sum(count(tree) for tree in forest)
    rate = matrix_rate(device, dtype, clock)
    layers = layer_parameters(model)
    floor = unique * 2 * layers / rate
    model_seconds = seconds["passes"] - seconds.get("head", 0.0)
    result = {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "dtype": options.dtype,
        "versions": {item.__name__: item.__version__ for item in (torch, transformers)},
        "parameters": model.num_parameters(),
        "tasks": len(tasks),
        "questions": len(documents),
        "requests": len(requests),
        "tokens": {
            "hf": hf_tokens,
            "hf, run": scored_tokens,
            "shared": unique,
            "of these prefixes": prefix,
            "trees": len({unit.tree for unit in units_of(forest, 2**20)}),
        },
        "seconds": {
            "hf-shared-prefix": seconds["total"],
            "hf": hf_seconds + encode_seconds,
            "one at a time": loop,
            "hf-shared-prefix, each run": totals,
            "hf-shared-prefix, passes only": marked.passes,
            "hf, passes only": hf_seconds,
        },
        "times faster": {
            "than hf, from imports to logs": sum(stages["hf"].values()) / sum(stages["hf-shared-prefix"].values()),
            "than hf": (hf_seconds + encode_seconds) / seconds["total"],
            "than hf, passes only": hf_seconds / marked.passes,
            "than one at a time": loop / seconds["total"],
        },
        "stages, seconds": stages,
        "share of the run": shares,
        # What counts on a CPU that others use as well.
        "processor seconds": {
            "hf-shared-prefix": ours_processor,
            "hf": hf_processor / part + encode_seconds,
            "times faster": (hf_processor / part + encode_seconds) / ours_processor,
        },
        "where the time goes": {
            **waiting,
            "prefixes, by their share of the tokens": model_seconds * prefix / max(1, unique),
            "questions": model_seconds * (unique - prefix) / max(1, unique),
            "head": seconds.get("head", 0.0),
        },
        "hf batch sizes, seconds on a sample": batches,
        "floor": {"seconds": floor, "matrix rate, TFLOP/s": rate / 1e12, "layer parameters": layers},
        "share of the floor": floor / marked.passes,
        "memory, bytes": {"hf-shared-prefix": ours_memory, "hf": hf_memory},
        "equality": compare([found[place] for place in kept], expected, [requests[place] for place in kept]),
    }
    if dtype != torch.float32:
        result["distance to float32"] = distances(
            model, tokenizer, asked, [found[place] for place in kept], expected, options, best
        )
    text = json.dumps(result, indent=1)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")
    print(text)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--model", help="folder of a model")
    chosen.add_argument("--random-llama", choices=LLAMAS, help="a randomly initialised Llama of this size")
    parser.add_argument("--tokenizer", help="folder of a tokenizer, for --random-llama")
    parser.add_argument("--data-dir", required=True, help="folder with mmlu/ and domains/")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--subjects", nargs="*", default=SUBJECTS, help="of MMLU; none: the domains only")
    parser.add_argument("--domains", nargs="*", default=[], help=f"of {', '.join(DOMAINS)}")
    parser.add_argument("--style", default="icl", help="icl: 5 shots; ift: none")
    parser.add_argument("--chat", action="store_true", help="apply the tokenizer's chat template, as for tuned models")
    parser.add_argument("--limit", type=int, help="questions of each task")
    parser.add_argument(
        "--batch-sizes", nargs="+", type=int, help="of hf; default: 4 to 16 on a CPU, 16 to 128 on a GPU"
    )
    parser.add_argument("--hf-every", type=int, default=1, help="let hf score every n-th question of each task only")
    parser.add_argument("--released-sample", type=int, default=40, help="prompts of the one-at-a-time loop")
    parser.add_argument(
        "--reference-sample", type=int, default=1000, help="requests that are scored in float32 as well"
    )
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    if options.random_llama and not options.tokenizer:
        parser.error("--random-llama needs --tokenizer")
    options.batch_sizes = options.batch_sizes or ([16, 32, 64, 128] if options.device == "cuda" else [4, 8, 16])
    return options


def say(text: str) -> None:
    """Tell the user where the run is."""
    print(text, file=sys.stderr, flush=True)


def load_model(options: argparse.Namespace, tokenizer: Any) -> Any:
    """Load the model, or make one up."""
    if options.model:
        return transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype))
    shape = LLAMAS[options.random_llama]
    config = transformers.LlamaConfig(**shape, vocab_size=len(tokenizer), max_position_embeddings=8192, rope_theta=5e5)
    with torch.device(options.device):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, options.dtype))


def task_names(options: argparse.Namespace) -> list[str]:
    """The names of all tasks."""
    names = [f"consistency_mmlu_{options.style}_{subject}" for subject in options.subjects]
    return [*names, *(f"consistency_{domain}_{options.style}" for domain in options.domains)]


@contextmanager
def as_consistency_eval(options: argparse.Namespace) -> Iterator[None]:
    """Do inside a `with` block what `consistency eval` does to be faster than lm_eval, other than scoring."""
    with without_unasked_tasks(task_names(options)), faster_harness():
        yield


def build_requests(options: argparse.Namespace, lm: HFLM) -> tuple[dict[str, list[Any]], float, float]:
    """The requests of all tasks as lm_eval builds them, and the seconds of loading the tasks, and of building."""
    begun = time.perf_counter()
    manager = TaskManager(include_path=str(shipped("lm_eval_tasks")), metadata={"data_dir": str(options.data_dir)})
    loaded = get_task_dict(task_names(options), manager)
    index = time.perf_counter() - begun
    chat = {"apply_chat_template": True, "chat_template": lm.apply_chat_template} if options.chat else {}
    begun = time.perf_counter()
    tasks: dict[str, list[Any]] = {}
    for name, task in loaded.items():
        task.build_all_requests(limit=options.limit, rank=0, world_size=1, **chat)
        tasks[name] = task.instances
    return tasks, index, time.perf_counter() - begun


class Replay(LM):  # type: ignore[misc]  # lm_eval has no types
    """Gives the answers that were found before, and notes when it was asked.

    Parameters
    ----------
    answers : list of (float, bool)
        In the order of the requests.
    """

    def __init__(self, answers: list[tuple[float, bool]]) -> None:
        super().__init__()
        self.answers, self.asked = answers, 0.0

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """The answers."""
        self.asked = time.perf_counter()
        return self.answers

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Not asked."""
        raise NotImplementedError

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Not asked."""
        raise NotImplementedError


def time_writing(options: argparse.Namespace, answers: list[tuple[float, bool]]) -> float:
    """Seconds of all that lm_eval does once it has the answers: metrics, hashes, and the files of results and samples."""
    manager = TaskManager(
        include_path=str(shipped("lm_eval_tasks")),
        include_defaults=False,
        metadata={"data_dir": str(options.data_dir)},
    )
    replay = Replay(answers)
    with tempfile.TemporaryDirectory() as folder:
        tracker = EvaluationTracker(output_path=folder)
        results = simple_evaluate(
            replay,
            tasks=task_names(options),
            task_manager=manager,
            limit=options.limit,
            log_samples=True,
            evaluation_tracker=tracker,
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        for name, found in samples.items():
            tracker.save_results_samples(task_name=name, samples=found)
        return time.perf_counter() - replay.asked


def tell_stages(stages: dict[str, dict[str, float]]) -> None:
    """Print the seconds and the share of each stage."""
    say(f"{'seconds (share)':38s}" + "".join(f"{way:>24s}" for way in stages))
    for stage in next(iter(stages.values())):
        cells = ((found[stage], found[stage] / sum(found.values())) for found in stages.values())
        say(f"{stage:38s}" + "".join(f"{f'{value:.1f} ({share:.1%})':>24s}" for value, share in cells))
    say(f"{'all':38s}" + "".join(f"{f'{sum(found.values()):.1f}':>24s}" for found in stages.values()))


def encode(lm: SharedPrefixLM, requests: list[Any]) -> list[Encoded]:
    """Encode the requests."""
    kept: dict[int, Encoded] = {}

    class Keep(SharedPrefixLM):
        def _scored(self, blocks: Any, *_: Any) -> dict[int, tuple[float, bool]]:
            for numbers, block, _ in blocks:
                # As hf takes them.
                lists = [(texts, np.asarray(context).tolist(), answer) for texts, context, answer in block]
                kept.update(zip(numbers, lists, strict=True))
            return dict.fromkeys(kept, (0.0, False))

    Keep(pretrained=lm.model, tokenizer=lm.tokenizer).loglikelihood(requests)
    return [kept[number] for number in range(len(requests))]


def time_hf_encoding(hf: HFLM, requests: list[Any], encoded: list[Encoded], every: int) -> float:
    """Seconds that hf takes to encode all requests, from every n-th."""
    begun = time.perf_counter()
    pairs = [hf._encode_pair(*request.args) for request in requests[::every]]
    seconds = time.perf_counter() - begun
    assert pairs == [(context, answer) for _, context, answer in encoded[::every]]
    return seconds * len(requests) / len(pairs)


def seconds_of_batch(hf: HFLM, encoded: list[Encoded], size: int, clock: Clock) -> float:
    """Seconds of hf on some questions in batches of this size; infinite if they do not fit."""
    questions = {tuple(item[1]): item for item in encoded}
    sample = list(questions.values())[:: max(1, len(questions) // ((4 if clock.device == "cuda" else 2) * size))]
    hf.batch_size_per_gpu = size
    begun = clock.now()
    try:
        hf._loglikelihood_tokens(sample, disable_tqdm=True)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return float("inf")
    return (clock.now() - begun) / len(sample) * len(questions)


def released_loop(
    options: argparse.Namespace, hf: HFLM, requests: list[Any], tasks: int, documents: int, clock: Clock
) -> float:
    """Seconds of one prompt at a time, with a model to load for each task, from a sample of prompts and one load."""
    prompts = list(dict.fromkeys(request.args[0] for request in requests))
    sample = prompts[:: max(1, len(prompts) // options.released_sample)]
    begun = clock.now()
    for prompt in sample:
        with torch.inference_mode():
            tokens = hf.tokenizer(prompt, return_tensors="pt").input_ids.to(hf.device)
            hf.model(tokens).logits[0, -1].softmax(-1).cpu()
    per_prompt = (clock.now() - begun) / len(sample)
    with tempfile.TemporaryDirectory() as folder:
        path = options.model
        if path is None:
            hf.model.save_pretrained(folder)
            path = folder
        begun = clock.now()
        again = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=hf.model.dtype).to(hf.device)
        load = clock.now() - begun
        del again
    return per_prompt * documents + load * tasks


def count(segment: Segment) -> int:
    """Tokens of a tree."""
    return len(segment) + sum(count(child) for child in segment.children)


def matrix_rate(device: str, dtype: torch.dtype, clock: Clock) -> float:
    """Floating-point operations a second of a large matrix product, the best of five."""
    size = 8192 if device == "cuda" else 2048
    first, second = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(6):
        begun = clock.now()
        torch.mm(first, second)
        times.append(clock.now() - begun)
    return float(2 * size**3 / min(times[1:]))


def layer_parameters(model: Any) -> int:
    """Parameters that each token is multiplied with: all but the embeddings and the head."""
    outer = {
        id(item.weight): item.weight.numel() for item in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    return int(model.num_parameters() - sum(outer.values()))


def reset_memory(device: str) -> None:
    """Begin to watch the peak of memory."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def memory(device: str) -> int:
    """Peak of memory; on a CPU, that of the process so far."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compare(
    found: list[tuple[float, bool]], expected: list[tuple[float, bool]], requests: list[Any]
) -> dict[str, float]:
    """Differences of logprobs, and how often the same option is the best."""
    by_document: dict[tuple[str, int], list[int]] = {}
    for place, request in enumerate(requests):
        by_document.setdefault((request.task_name, request.doc_id), []).append(place)
    ours, theirs = (np.array([item[0] for item in answers]) for answers in (found, expected))
    same = sum(int(ours[places].argmax() == theirs[places].argmax()) for places in by_document.values())
    return {
        "max |difference| of logprobs": float(np.abs(ours - theirs).max()),
        "RMS difference of logprobs": float(np.sqrt(np.mean((ours - theirs) ** 2))),
        "same best option": same / len(by_document),
        "same is_greedy": float(np.mean([a[1] == b[1] for a, b in zip(found, expected, strict=True)])),
    }


def distances(
    model: Any,
    tokenizer: Any,
    encoded: list[Encoded],
    found: list[tuple[float, bool]],
    expected: list[tuple[float, bool]],
    options: argparse.Namespace,
    size: int,
) -> dict[str, float]:
    """Root mean square distance of a sample's logprobs to those of the same weights in float32."""
    reference = HFLM(pretrained=model.float(), tokenizer=tokenizer)
    reference.batch_size_per_gpu = max(1, size // 4)
    step = max(1, len(encoded) // options.reference_sample)
    exact = np.array([item[0] for item in reference._loglikelihood_tokens(encoded[::step], disable_tqdm=True)])
    ours, theirs = (
        float(np.sqrt(np.mean((np.array([item[0] for item in answers[::step]]) - exact) ** 2)))
        for answers in (found, expected)
    )
    return {"requests": len(exact), "hf-shared-prefix": ours, "hf": theirs, "ratio": ours / theirs}


if __name__ == "__main__":
    main()
