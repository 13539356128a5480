"""Printed output of llama.cpp's `llama-perplexity`, as it was saved to a file.

Lines as printed by `tools/perplexity/perplexity.cpp` of llama.cpp (master of 2026, and the tables of #5081, #6936, #16321).
`--multiple-choice` and `--hellaswag` print after each question the share of right answers so far, `--winogrande` also what was
answered: each question's correctness follows, its text and its options' probabilities do not. `--kl-divergence` prints after each
chunk of a text means so far against the base model: of each chunk its own means follow, up to the digits that are printed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consistency.errors import InputError
from consistency.logs.formats.answers import ACC, Answer, Log, to_scores
from consistency.logs.packed import open_log
from consistency.logs.run_config import RunConfig
from consistency.logs.task_settings import TaskSettings

_NUMBER = r"-?(?:\d+(?:\.\d+)?|inf|nan)"
_PLUS = r"(?:±|\+/-|_)"
_SO_FAR = re.compile(rf"(\d+)\t({_NUMBER})(%?)(\t.*)?")
_CHUNK = re.compile(
    rf"\s*(\d+)\s+({_NUMBER})\s*{_PLUS}\s*{_NUMBER}\s+({_NUMBER})\s*{_PLUS}\s*{_NUMBER}\s+({_NUMBER})\s*{_PLUS}\s*{_NUMBER}"
    rf"\s+{_NUMBER}\s*{_PLUS}\s*{_NUMBER}\s*%\s+({_NUMBER})\s*{_PLUS}\s*{_NUMBER}\s*%"
)
# What each function prints before its table, to another stream than the table.
_KIND = re.compile(r"(hellaswag|winogrande|multiple_choice)_score ?:")
_TASKS = re.compile(r"(?:there are|loaded) (\d+) tasks (?:in|from) prompt|selecting (\d+) [a-z ]*tasks")
_HEAD = re.compile(rb"^(?:task\tacc_norm|chunk +PPL +ln\(PPL)", re.MULTILINE)
_WINOGRANDE = re.compile(rb"^1\t[\d.]+\t\s*-?[\d.]+\s+-?[\d.]+\s+[12]\s+[12]\s*$", re.MULTILINE)
_MODEL = re.compile(
    r"(?:llama_model_loader: loaded meta data .* from |general\.name +str += )(\S.*?)(?: \(version .*\))?$"
)
_BUILD = re.compile(r"^build: (.+)$")
# Behind the table.
_MEAN = re.compile(rf"Mean +KLD: +({_NUMBER})\s*{_PLUS}\s*{_NUMBER}")
# Half of the last digit of the table, and of this mean.
_ROUNDED = 6e-6
# A share of right answers times the number of questions is a whole number but for the digits that are printed.
_CLOSE = 0.05
_WHAT = "what llama-perplexity prints with --multiple-choice, --hellaswag, --winogrande or --kl-divergence"
KL, RATIO, SAME = "kl_divergence", "ln_ppl_ratio", "same_top_token"


@dataclass
class _Output:
    """The lines of an output: questions with the share of right answers so far, or chunks with means so far."""

    shares: list[tuple[int, int, float]]
    chunks: list[tuple[int, int, float, float, float]]
    model: str | None = None
    build: str | None = None
    tasks: int | None = None
    kind: str = ""
    divergence: float | None = None


class LlamaCppReader:
    """Reads printed output of llama-perplexity."""

    name = "llama.cpp"

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether it holds one of the tables' heads."""
        return bool(_HEAD.search(head) or _WINOGRANDE.search(head))

    def read(self, file: Path) -> Log:
        """The one task of an output."""
        output = _parse(file)
        config = RunConfig(model_name=output.model, harness=self.name, harness_version=output.build)
        if output.chunks:
            return Log(
                {KL: to_scores(KL, list(_of_chunks(output, file)), file, settings=_KL_SETTINGS, notes=_KL_NOTES)},
                config,
            )
        if not output.shares:
            raise InputError(
                "no result of a question or a chunk", expected=_WHAT, do="save all that was printed", path=file
            )
        answers = list(_of_shares(output, file))
        note = (
            "llama.cpp prints neither questions nor log-probabilities: questions pair by their number, so both outputs must "
            "be of one file of tasks"
        )
        return Log({"llama.cpp": to_scores("llama.cpp", answers, file, notes=[note])}, config)


_KL_SETTINGS = TaskSettings(metrics=(KL, RATIO, SAME), higher_is_better={KL: False, RATIO: False, SAME: True})
_KL_NOTES = (
    "each chunk's means are taken from the means so far that llama.cpp prints, so they are rounded",
    "chunks pair by their number, so both outputs must be of one text and one base model",
)


def _parse(file: Path) -> _Output:
    output = _Output([], [])
    try:
        with open_log(file) as lines:
            for number, line in enumerate(lines, 1):
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                if found := _KIND.search(text):
                    output.kind = found[1]
                if found := _CHUNK.fullmatch(text):
                    output.chunks.append((number, int(found[1]), *map(float, found.groups()[2:])))  # type: ignore[arg-type]
                elif found := _SO_FAR.fullmatch(text):
                    output.shares.append((number, int(found[1]), float(found[2])))
                    # Hellaswag prints a percent sign and Winogrande what was answered.
                    output.kind = output.kind or (
                        "hellaswag" if found[3] else "winogrande" if found[4] else "multiple_choice"
                    )
                elif found := _MEAN.fullmatch(text):
                    output.divergence = float(found[1])
                elif found := _TASKS.search(text):
                    output.tasks = int(found[2] or found[1])
                elif found := _MODEL.search(text):
                    output.model = output.model or found[1]
                elif found := _BUILD.match(text):
                    output.build = found[1]
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", do="check the path and its permissions", path=file
        ) from None
    return output


def _of_shares(output: _Output, file: Path) -> Iterator[Answer]:
    total = "" if output.tasks is None else f" of {output.tasks}"
    kind = output.kind.replace("_", " ")
    right = 0
    for place, (line, number, share) in enumerate(output.shares, 1):
        found = share * number / 100
        now = round(found) if math.isfinite(found) else -1
        if number != place or abs(found - now) > _CLOSE or now - right not in (0, 1):
            raise InputError(
                f"question {number} with {share} % right so far, after {right} of {place - 1}",
                expected="every question once, in sequence",
                do="save the output of one run, all of it",
                path=file,
                line=line,
            )
        yield Answer(
            id=number, question=f"task {number}{total} of llama.cpp's {kind}", metrics={ACC: float(now - right)}
        )
        right = now
    if output.tasks is not None and len(output.shares) < output.tasks:
        raise InputError(
            f"ends after question {len(output.shares)} of {output.tasks}",
            do="run it to its end, and save all that is printed",
            path=file,
            line=output.shares[-1][0],
        )


def _of_chunks(output: _Output, file: Path) -> Iterator[Answer]:
    sums = (0.0, 0.0, 0.0)
    for place, (line, number, *means) in enumerate(output.chunks, 1):
        if number != place or not all(map(math.isfinite, means)):
            raise InputError(
                f"chunk {number}, after {place - 1} others",
                expected="every chunk once, in sequence, with numbers",
                do="save the output of one run, all of it",
                path=file,
                line=line,
            )
        now = tuple(mean * number for mean in means)
        ratio, divergence, same = (new - old for new, old in zip(now, sums, strict=True))
        sums = now  # type: ignore[assignment]
        yield Answer(
            id=number,
            question=f"chunk {number} of the text that llama.cpp read",
            metrics={KL: divergence, RATIO: ratio, SAME: same / 100},
        )
    if output.divergence is None or abs(output.divergence - output.chunks[-1][3]) > _ROUNDED:
        line, last, *_ = output.chunks[-1]
        raise InputError(
            f"ends after chunk {last}",
            expected="behind the table a line Mean KLD, with the number of the last chunk",
            do="run it to its end, and save all that is printed",
            path=file,
            line=line,
        )
