"""Records of every_eval_ever: of each side a file with its scores and their intervals, and one with its answers.

As the schemas 0.3.0 have it (`every_eval_ever/schemas/eval.schema.json` and `instance_level_eval.schema.json`), in the folders
of its data store: `data/TASK/DEVELOPER/MODEL/UUID.json` and `UUID_samples.jsonl`. `consistency.logs.formats.every_eval_ever`
reads them: the schema has no place for log-probabilities, so that they stand in the metadata of an answer.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.logs.documents import options_of
from consistency.logs.metrics import ACCURACY
from consistency.logs.run_config import RunConfig, model_name
from consistency.logs.scores import Scores
from consistency.report.pair.texts import SIDES, places_of, read_again
from consistency.report.questions import texts_of
from consistency.statistics.estimates import Estimate
from consistency.support.files import Outputs
from consistency.support.json_files import json_line, json_lines, pretty_json
from consistency.support.text import visible
from consistency.support.version import VERSION

SCHEMA_VERSION = "0.3.0"
# What an earlier folder of records is known by.
MARK = "records.json"
_LEVEL = 0.95
# Names of files that Windows takes as well.
_NOT_PORTABLE = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED = re.compile(r"(?i:(?:con|prn|aux|nul|data|com\d|lpt\d)(?:\..*)?)\Z")
_LONGEST = 80
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)", re.ASCII)
_NO_DEVELOPER = "local"
_TIME = re.compile(r"T(\d\d)-(\d\d)-")


def draft_records(comparison: Comparison, out: str | Path, outputs: Outputs) -> list[str]:
    """Write the paired answers of both runs into a folder that takes its place with other outputs.

    Parameters
    ----------
    comparison : Comparison
        The logs must still be in place.
    out : path-like
        The folder: `before` and `after`, each a data store of its own, and `records.json`, which lists the files. An earlier
        one is replaced.
    outputs : Outputs

    Returns
    -------
    list of str
        Metrics that are left out, since the schema asks which way is better and the log does not say.

    Raises
    ------
    InputError
        If `out` holds something else, or a log is no longer in place.
    """
    folder = outputs.folder(Path(out), MARK)
    written: dict[str, list[str]] = {}
    for number, side in enumerate(SIDES):
        config = (comparison.before, comparison.after)[number]
        taken: set[str] = set()
        files = [_write_task(comparison, task, number, config, folder / side, taken) for task in comparison.by_task]
        written[side] = [f"{side}/{name}" for names in files for name in names]
    left_out = [
        f"{metric} of {task}"
        for task, section in comparison.by_task.items()
        for metric, item in (section.metrics or {}).items()
        if item.higher_is_better is None and metric != _main_metric(section)
    ]
    (folder / MARK).write_text(pretty_json(written | {"left_out": left_out}), encoding="utf-8")
    return left_out


def _write_task(
    comparison: Comparison, task: str, number: int, config: RunConfig, folder: Path, taken: set[str]
) -> list[str]:
    """The files of a task of one side; none where no score of it can be written."""
    section, items = comparison.by_task[task], comparison.items[task]
    results = list(_results(comparison, task, section, number, config))
    if not results:
        return []
    scores = read_again(comparison, task, number)
    places = places_of(scores, items["doc_id_after" if number else "doc_id"])
    developer, model = _identity(config)
    identity = f"{developer}/{model}"
    now = str(int(time.time()))
    heads = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{visible(task)}/{identity}/{now}",
    }
    about = heads | {"model_id": identity, "evaluation_name": visible(task)}
    right = items[f"correct_{SIDES[number]}"]
    name = _portable(task, taken)
    place = f"data/{name}/{developer}/{model}"
    lines = b""
    if metric := _main_metric(section):
        about["evaluation_result_id"] = visible(metric)
        texts = comparison.score == "raw"
        lines = b"".join(json_lines(_answers(scores, places, right, about, texts)))
    # The same comparison has the same names: what is written again replaces what was there.
    digest = hashlib.sha256(repr((SIDES[number], task, comparison.signature)).encode() + lines).digest()
    stem = str(uuid.UUID(bytes=digest[:16], version=4))
    record = heads | {
        "retrieved_timestamp": now,
        # The time in a file's name has no colons.
        **({"evaluation_timestamp": _TIME.sub(r"T\1:\2:", config.date)} if config.date else {}),
        "source_metadata": {
            "source_name": "lm-eval-consistency",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
            "additional_details": {"signature": comparison.signature, "version": VERSION},
        },
        "eval_library": {
            "name": config.harness or "lm_eval",
            "version": config.harness_version or config.lm_eval_version or "unknown",
        },
        "model_info": _model_info(config, identity, developer),
        "evaluation_results": results,
    }
    files = [f"{place}/{stem}.json"]
    if lines:
        files.append(f"{place}/{stem}_samples.jsonl")
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": files[1],
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(lines).hexdigest(),
            "total_rows": lines.count(b"\n"),
        }
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / files[0]).write_text(pretty_json(record), encoding="utf-8")
    if lines:
        (folder / files[1]).write_bytes(lines)
    return files


# Scores


def _results(
    comparison: Comparison, task: str, section: Section, number: int, config: RunConfig
) -> Iterator[dict[str, Any]]:
    """The scores of a task: accuracy first, then the harness's other metrics of which is known which way is better."""
    side, other = SIDES[number], (comparison.after, comparison.before)[number]
    found = section.estimates[f"accuracy_{side}"]
    metric = _main_metric(section)
    # The second log may have another name for the task.
    names = task, comparison.names.renamed.get(task, task) if number else task
    if metric and found.value is not None:
        change = section.estimates["delta_accuracy"]
        details = {
            "pairs": str(section.n),
            "left_out": str(sum(dropped.count for dropped in section.pairing.dropped.values())),
            "compared_with": visible(model_name(other)),
        }
        if number:
            ends = {"change": change.value, "change_ci_low": change.ci_low, "change_ci_high": change.ci_high}
            details |= {name: repr(value) for name, value in ends.items() if value is not None}
        yield _result(names, metric, found, config, bounds=(0, 1), lower_is_better=False, details=details)
    for name, item in (section.metrics or {}).items():
        value = item.after if number else item.before
        if name == metric or value.value is None or item.higher_is_better is None:
            continue
        # Of other metrics a mean between 0 and 1 does not say that none is beyond.
        bounds: tuple[int | str, int | str] = (0, 1) if name in ACCURACY else ("-Infinity", "Infinity")
        yield _result(names, name, value, config, bounds=bounds, lower_is_better=not item.higher_is_better, details={})


def _main_metric(section: Section) -> str:
    """The metric that says which answers are right; empty where none does."""
    return (section.accuracy_metric or "acc") if section.estimates["delta_accuracy"].value is not None else ""


def _result(
    names: tuple[str, str],
    metric: str,
    found: Estimate,
    config: RunConfig,
    *,
    bounds: tuple[int | str, int | str],
    lower_is_better: bool,
    details: Mapping[str, str],
) -> dict[str, Any]:
    task, own = names
    score: dict[str, Any] = {"score": found.value, "uncertainty": _uncertainty(found)}
    shots = config.num_fewshot.get(own)
    settings = {"num_fewshot": str(shots)} if shots is not None else {}
    return {
        "evaluation_result_id": visible(metric),
        "evaluation_name": visible(task),
        "source_data": _source(own, config),
        "metric_config": {
            "metric_name": visible(metric),
            "lower_is_better": lower_is_better,
            "score_type": "continuous",
            "min_score": bounds[0],
            "max_score": bounds[1],
        },
        "score_details": score | ({"details": dict(details)} if details else {}),
        **({"generation_config": {"additional_details": settings}} if settings else {}),
    }


def _uncertainty(found: Estimate) -> dict[str, Any]:
    """How sure a number is, as far as the data say it."""
    method = visible(found.describe())
    uncertainty: dict[str, Any] = {"num_samples": found.n}
    if found.se is not None:
        uncertainty["standard_error"] = {"value": found.se, "method": f"analytic; {found.unit}"}
    if found.ci_low is not None and found.ci_high is not None:
        ends = {"lower": found.ci_low, "upper": found.ci_high}
        uncertainty["confidence_interval"] = {**ends, "confidence_level": _LEVEL, "method": method}
    return uncertainty


def dataset_of(task: str, config: RunConfig) -> Mapping[str, str]:
    """Where the questions of a task are from, as its results file says: `path`, `name` and `split`, those that are known."""
    settings = config.content.get("configs")
    found = settings.get(task) if isinstance(settings, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    keys = {"path": ("dataset_path",), "name": ("dataset_name",), "split": ("test_split", "validation_split")}
    texts = {
        name: next((found[key] for key in names if isinstance(found.get(key), str) and found[key]), "")
        for name, names in keys.items()
    }
    return {name: text for name, text in texts.items() if text}


def _source(task: str, config: RunConfig) -> dict[str, Any]:
    found = dataset_of(task, config)
    if not _HUB_NAME.fullmatch(found.get("path", "")):
        return {"dataset_name": visible(task), "source_type": "other"}
    source = {"dataset_name": visible(found.get("name", task)), "source_type": "hf_dataset", "hf_repo": found["path"]}
    return source | ({"hf_split": visible(found["split"])} if "split" in found else {})


# Models


def _identity(config: RunConfig) -> tuple[str, str]:
    """Developer and name of a model, each the name of a folder; a model that is no name on the Hub is "local"."""
    name = config.model_name or ""
    if found := _CACHED.search(name):
        return _portable(found[1]), _portable(found[2])
    if _HUB_NAME.fullmatch(name) and not Path(name).exists():
        developer, _, model = name.partition("/")
        return _portable(developer), _portable(model)
    return _NO_DEVELOPER, _portable(model_name(config))


def _model_info(config: RunConfig, identity: str, developer: str) -> dict[str, Any]:
    known = {"model_args": config.model_args, "dtype": config.dtype}
    return {
        "name": visible(model_name(config)),
        "id": identity,
        **({} if developer == _NO_DEVELOPER else {"developer": developer}),
        "additional_details": {
            "deployment_type": "unknown",
            "model_availability": "unknown",
            **{name: visible(text) for name, text in known.items() if text},
        },
    }


def _portable(text: str, taken: set[str] | None = None) -> str:
    """A text as the name of a folder, another one than those taken.

    Examples
    --------
    >>> _portable("../a b"), _portable("CON"), _portable("a", {"a"})
    ('a-b', 'x-CON', 'a-2')
    """
    plain = _NOT_PORTABLE.sub("-", text)[:_LONGEST].strip(".-") or "unnamed"
    plain = f"x-{plain}" if _RESERVED.match(plain) else plain
    taken = set() if taken is None else taken
    found, number = plain, 1
    while found.casefold() in taken:
        number += 1
        found = f"{plain}-{number}"
    taken.add(found.casefold())
    return found


# Answers


def _answers(
    scores: Scores, places: list[int], right: NDArray[Any], about: Mapping[str, str], log_probabilities: bool
) -> Iterator[dict[str, Any]]:
    """An answer a line; those of which it is not known whether they are right are left out."""
    for place, value in zip(places, right.tolist(), strict=True):
        if np.isnan(value):
            continue
        question, options = texts_of(scores, place)
        metadata = {"doc_hash": scores.doc_hash[place], "prompt_hash": scores.prompt_hash[place]}
        if scores.has_options:
            count = int(scores.n_options[place])
            gold = np.flatnonzero(scores.gold[place, :count])
            reference = [options[option] for option in gold.tolist() if option < len(options)]
            chosen = int(scores.prediction[place])
            answer, method = (options[chosen] if 0 <= chosen < len(options) else ""), "highest log-probability"
            numbers = scores.logprobs[place, :count].tolist()
            if log_probabilities and np.isfinite(numbers).all():
                texts = scores.continuations[place][:count]
                metadata["option_logprobs"] = json_line(numbers).decode()
                metadata["option_continuations"] = json_line(texts).decode()
            said = answer
        else:
            if scores.right is not None:
                # Asked and answered in words, by another program: the options are those of its question.
                options = options_of(scores.documents[place])
            generation = scores.generations[place] if scores.generations is not None else None
            reference = [generation.target] if generation is not None else [scores.right[place]] if scores.right else []
            said = generation.text if generation is not None else ""
            answer = (generation.answer or "") if generation is not None else ""
            method = scores.filter
        yield {
            **about,
            "sample_id": str(int(scores.doc_id[place])),
            "sample_hash": hashlib.sha256("\0".join([question, *reference]).encode("utf-8", "replace")).hexdigest(),
            "interaction_type": "single_turn",
            "input": {"raw": question, "reference": reference, **({"choices": list(options)} if options else {})},
            "output": {"raw": [said]},
            "answer_attribution": [
                {
                    "turn_idx": 0,
                    "source": "output.raw",
                    "extracted_value": answer,
                    "extraction_method": method,
                    "is_terminal": True,
                }
            ],
            "evaluation": {"score": value, "is_correct": value == 1},
            "metadata": metadata,
        }
