"""How long vLLM takes for the same questions, in lm_eval's own backend and with its prefix cache, and how equal the logprobs are.

    python scripts/benchmark_vllm.py --way ours --model FOLDER --data-dir FOLDER --out results/ours
    python scripts/benchmark_vllm.py --way vllm --model FOLDER --data-dir FOLDER --out results/vllm --every 16
    python scripts/benchmark_vllm.py --way vllm-cached --model FOLDER --data-dir FOLDER --out results/cached
    python scripts/benchmark_vllm.py --compare results

One process for each way, since vLLM takes a GPU for itself. Timed is `loglikelihood`, from the requests that lm_eval built to the
answers, after a few requests to warm up; the start of the program and of vLLM's engine is not. `hf` and `ours` are lm_eval's
`hf` and `hf-shared-prefix`. `vllm` is lm_eval's backend as it is: each option is a request that asks for the logprobs of its
prompt, for which vLLM reads no cached prefix. `vllm-cached` is what one would write by hand: one request a question, one token,
the logprobs of the likeliest `--top` tokens, prefixes from the cache; options that are not among them are asked as the
backend does. With `--every N` every N-th question of a task is asked, and the time is taken in proportion.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import inspect
import itertools
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

for name, value in {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "VLLM_NO_USAGE_STATS": "1"}.items():
    os.environ.setdefault(name, value)
os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")

# Requests that are scored before the clock starts.
WARM = 64


def hf_model(asked: argparse.Namespace) -> Any:
    """lm_eval's `hf`, or this project's model."""
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM

    from consistency.shared_prefix import attention
    from consistency.shared_prefix.model import SharedPrefixLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, further = (SharedPrefixLM, {"pass_tokens": asked.pass_tokens}) if asked.way == "ours" else (HFLM, {})
    lm = kind(pretrained=asked.model, dtype=asked.dtype, device=device, batch_size=asked.batch, **further)
    if asked.compile:
        table = transformers.AttentionInterface()
        # What looks up the layout of a pass cannot be compiled.
        transformers.AttentionInterface.register(attention.NAME, torch.compiler.disable(table[attention.NAME]))  # type: ignore[no-untyped-call]
        lm.model.forward = torch.compile(lm.model.forward, dynamic=True)
    return lm


def vllm_model(asked: argparse.Namespace) -> Any:
    """lm_eval's `vllm`, or the same with one request for all options of a question."""
    backend = vllm_backend()
    kind = backend.VLLM if asked.way == "vllm" else with_cache(backend, asked.top)
    return kind(
        pretrained=asked.model,
        dtype=asked.dtype,
        batch_size="auto",
        max_model_len=asked.max_length,
        enable_prefix_caching=True,
        max_logprobs=max(20, asked.top),
        seed=1234,
        **json.loads(asked.vllm),
    )


def vllm_backend() -> Any:
    """lm_eval's module, which newer releases of vLLM no longer fit: names that they moved or dropped are put back."""
    import vllm
    from vllm.engine.arg_utils import EngineArgs

    # Imported by lm_eval, and used for several engines alone.
    sys.modules.setdefault("ray", ModuleType("ray"))
    try:
        from vllm.entrypoints import chat_utils
    except ImportError:
        chat_utils = sys.modules["vllm.entrypoints.chat_utils"] = ModuleType("vllm.entrypoints.chat_utils")
    if not hasattr(chat_utils, "resolve_hf_chat_template"):
        chat_utils.resolve_hf_chat_template = chat_template_finder()
    # The CPU's distribution has another name.
    version = importlib.metadata.version
    named: Any = lambda name: vllm.__version__ if name == "vllm" else version(name)  # noqa: E731
    importlib.metadata.version = named
    import lm_eval.models.vllm_causallms as backend

    backend.version, importlib.metadata.version = named, version
    known, engine = set(EngineArgs.__dataclass_fields__), backend.LLM
    backend.LLM = lambda **given: engine(
        **{key: item for key, item in given.items() if key in known and item is not None}
    )
    return backend


def chat_template_finder() -> Callable[..., Any]:
    """What `resolve_hf_chat_template` was called before vLLM moved it."""
    try:
        from vllm.renderers.hf import resolve_chat_template
    except ImportError:
        return lambda **_: None
    known = set(inspect.signature(resolve_chat_template).parameters)
    return lambda **given: resolve_chat_template(**{key: item for key, item in given.items() if key in known})


def with_cache(backend: Any, top: int) -> Any:
    """lm_eval's class, but with one request a question, whose prefix vLLM may have in its cache."""

    class Cached(backend.VLLM):  # type: ignore[misc]
        asked_again = 0

        def _loglikelihood_tokens(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            places = defaultdict(list)
            for place, (_, context, continuation) in enumerate(requests):
                if len(continuation) == 1 and len(context) < self.max_length:
                    places[tuple(context)].append(place)
            outputs = self.model.generate(
                [backend.TokensPrompt(prompt_token_ids=list(context)) for context in places],
                sampling_params=backend.SamplingParams(temperature=0, max_tokens=1, logprobs=top, detokenize=False),
                use_tqdm=False,
            )
            answers: dict[int, tuple[float, bool]] = {}
            for those, output in zip(places.values(), outputs, strict=True):
                found = output.outputs[0].logprobs[0]
                best = max(found, key=lambda token: found[token].logprob)
                for place in those:
                    token = requests[place][2][0]
                    if token in found:
                        answers[place] = (found[token].logprob, token == best)
            rest = [place for place in range(len(requests)) if place not in answers]
            self.asked_again = len(rest)
            again = (
                super()._loglikelihood_tokens([requests[place] for place in rest], disable_tqdm=True) if rest else []
            )
            answers |= dict(zip(rest, again, strict=True))
            return [answers[place] for place in range(len(requests))]

    return Cached


def build(lm: Any, asked: argparse.Namespace) -> list[Any]:
    """The requests of MMLU and the domains, as lm_eval builds them."""
    from lm_eval.tasks import TaskManager, get_task_dict

    from consistency.support.resources import shipped
    from consistency.tasks.mmlu import SUBCATEGORIES
    from consistency.world.fields import DOMAINS

    subjects = sorted(subject for part in SUBCATEGORIES.values() for subject in part.split())
    names = [f"consistency_mmlu_{asked.style}_{subject}" for subject in asked.subjects or subjects]
    names += [f"consistency_{domain}_{asked.style}" for domain in (DOMAINS if asked.subjects is None else ())]
    manager = TaskManager(
        include_path=str(shipped("lm_eval_tasks")), include_defaults=False, metadata={"data_dir": str(asked.data_dir)}
    )
    requests = []
    for task in get_task_dict(names, manager).values():
        template = {"chat_template": lm.apply_chat_template, "tokenizer_name": lm.tokenizer_name} if asked.chat else {}
        task.build_all_requests(limit=asked.limit, apply_chat_template=asked.chat, **template)
        requests += task.instances
    return requests


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Score the questions one way; the figures, after the logprobs are written."""
    lm = vllm_model(asked) if asked.way.startswith("vllm") else hf_model(asked)
    everything = build(lm, asked)
    requests = [request for request in everything if request.doc_id % asked.every == 0]
    score, passes = lm._loglikelihood_tokens, []

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return score(*arguments, **named)
        finally:
            passes.append(time.perf_counter() - began)

    lm._loglikelihood_tokens = timed
    lm.loglikelihood(requests[:WARM], disable_tqdm=True)
    passes.clear()
    if asked.way.startswith("vllm"):
        lm.model.reset_prefix_cache()
    began, used = time.perf_counter(), time.process_time()
    answers = lm.loglikelihood(requests, disable_tqdm=True)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    share = len(everything) / len(requests)
    keys = [f"{request.task_name}|{request.doc_id}|{request.idx}" for request in requests]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(f"{asked.out}.npz", key=np.array(keys), logprob=np.array([value for value, _ in answers]))
    return {
        "way": asked.way,
        "dtype": asked.dtype,
        "questions": len({key.rpartition("|")[0] for key in keys}),
        "seconds": seconds,
        "of the processor": processor,
        # Of `ours` one call scores what another encodes.
        "of which tokenization": seconds - (max(passes) if asked.way == "ours" else sum(passes)),
        "seconds for all": seconds * share,
        "asked again": getattr(lm, "asked_again", 0),
    }


def compare(folder: Path) -> None:
    """Print the seconds of each way, and how far the logprobs of each two are apart on the questions that both were asked."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            found[path.stem] = dict(zip(stored["key"].tolist(), stored["logprob"].tolist(), strict=True))
        info = json.loads(path.with_suffix(".json").read_text())
        print(
            f"{path.stem:<24}{info['dtype']:<10}{info['questions']:>7} questions{info['seconds']:>9.1f} s, "
            f"of which tokenization {info['of which tokenization']:.1f}; for all {info['seconds for all']:.1f} s"
        )
    for (one, first), (other, second) in itertools.combinations(found.items(), 2):
        both = sorted(first.keys() & second.keys())
        if both:
            apart = np.array([first[key] - second[key] for key in both])
            most, root = np.abs(apart).max(), np.sqrt((apart**2).mean())
            print(
                f"{one} and {other}: {len(both)} logprobs, at most {most:.6f} nats apart, root mean square {root:.6f}"
            )


def main() -> None:
    """Score one way, or compare what was scored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=("ours", "hf", "vllm", "vllm-cached"))
    parser.add_argument("--compare", type=Path, metavar="FOLDER", help="of results")
    parser.add_argument("--model", metavar="FOLDER")
    parser.add_argument("--data-dir", type=Path, help="prepared data of MMLU and the domains")
    parser.add_argument("--out", type=Path, help="results: OUT.json and OUT.npz")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--style", default="icl", choices=("icl", "ift"))
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--subjects", nargs="*", help="of MMLU, without the domains; default: all, and the domains")
    parser.add_argument("--limit", type=int, help="questions of each task")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64, help="of hf")
    parser.add_argument("--pass-tokens", type=int, help="of ours; default: as it finds best")
    parser.add_argument("--compile", action="store_true", help="torch.compile, for hf and ours")
    parser.add_argument("--top", type=int, default=200)
    parser.add_argument("--max-length", type=int, default=4096)
    parser.add_argument("--vllm", default="{}", help="further arguments of vLLM, as JSON")
    asked = parser.parse_args()
    if asked.compare is not None:
        compare(asked.compare)
        return
    if None in (asked.way, asked.model, asked.data_dir, asked.out):
        parser.error("--way, --model, --data-dir and --out, or --compare")
    figures = measure(asked)
    Path(f"{asked.out}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1), flush=True)
    # vLLM's processes would keep this one from ending.
    os._exit(0)


if __name__ == "__main__":
    main()
