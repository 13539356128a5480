"""A callback for any Trainer of transformers or TRL: when the model in training is asked, and what follows from the answers."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tqdm.auto import tqdm
from transformers import TrainerCallback

from consistency.errors import InputError, one_line
from consistency.support.files import write_atomically
from consistency.support.json_files import pretty_json, read_json
from consistency.support.streams import tell
from consistency.support.text import counted
from consistency.support.version import own_version
from consistency.watch.copies import WeightsCopy
from consistency.watch.drift import ALARM, Drift, step_folder
from consistency.watch.probe import Answer, Probe, unchanged_random_state
from consistency.watch.questions import Questions, choose_questions
from consistency.watch.quiet import quiet
from consistency.watch.record import ABOUT
from consistency.watch.rows import DRIFT, TEXT, read_drift
from consistency.watch.settings import WatchSettings, planned_looks, read_settings
from consistency.watch.terminal import look_line
from consistency.watch.text import REFERENCE, add_row

_T = TypeVar("_T")
_MISTAKE = 2  # exit code
_STEP = re.compile(r"step-(\d+)")


class WatchCallback(TrainerCallback):  # type: ignore[misc]
    """Asks fixed questions of the model in training: before its first step, every so many steps, after each epoch and at the end.

    Parameters
    ----------
    trainer : transformers.Trainer
        The one that this is added to.
    model_name : str, optional
        How logs name the model before its first step; by default what it was loaded from.
    questions_chosen : Questions, optional
        By `choose`, where that was done before the model was loaded.
    **settings
        Those of `read_settings`: `tasks`, `questions`, `every`, `stop`, `on_alarm`, …

    Examples
    --------
    >>> trainer.add_callback(WatchCallback(trainer, tasks=["mmlu"], every=20))  # doctest: +SKIP
    """

    def __init__(
        self,
        trainer: Any,
        *,
        model_name: str | None = None,
        questions_chosen: Questions | None = None,
        **settings: Any,
    ) -> None:
        self.trainer, self._given, self._name, self._chosen = trainer, settings, model_name, questions_chosen
        self._or_end(lambda: read_settings(settings, planned_steps=1000))
        self._active = False
        self._last = -1
        self._seconds = 0.0

    settings: WatchSettings
    folder: Path

    # Events

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Build the requests and ask them a first time; where that fails, the training ends at once."""
        self._or_end(lambda: self._start(args, state))
        self._active = True
        if state.global_step == 0:
            self._or_end(lambda: self._ask(state, control))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask after every so many steps."""
        if self._active and state.global_step % self.settings.every == 0:
            self._try(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask after each epoch."""
        if self._active:
            self._try(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask the trained model, and say what the watch cost."""
        if not self._active:
            return
        self._try(state, control)
        self._active = False
        self._go_back()
        if self.probe.text is not None and self._main:
            self.probe.text.remove_reference()
        if self._main:
            share = self._add_cost(self._seconds, 0)
            _tell(f"watch: {self._seconds:.1f} s in all, {100 * share:.1f} % of the training's time; see {self.folder}")

    # Start

    def _start(self, args: Any, state: Any) -> None:
        trainer = self.trainer
        self._main = bool(trainer.accelerator.is_main_process)
        self._began = time.perf_counter()
        self.settings = read_settings(self._given, planned_steps=state.max_steps)
        self.folder = self.settings.folder or Path(args.output_dir) / "watch"
        if getattr(trainer.accelerator, "parallelism_config", None) is not None:
            parallel = trainer.accelerator.parallelism_config
            if getattr(parallel, "cp_size", 1) > 1 or getattr(parallel, "sp_size", 1) > 1:
                raise InputError(
                    "watch: sequences that are split over devices (context_parallel_size) cannot be scored"
                )
        questions = self._chosen or choose(self.settings)
        with unchanged_random_state(), quiet():
            name = self._name or str(getattr(trainer.model.config, "_name_or_path", "") or type(trainer.model).__name__)
            self.probe = Probe(trainer, questions, self.settings, (name, str(args.output_dir)), self.folder)
        self.copy = WeightsCopy(self.folder, trainer, self.probe.model.is_sharded)
        self._last = self._everywhere(lambda: self._prepare_folder(questions, state))
        self._seconds = time.perf_counter() - self._began

    def _prepare_folder(self, questions: Questions, state: Any) -> int:
        """The last step of which the folder has a log; -1 for none."""
        steps = {int(found[1]): path for path in self.folder.glob("step-*") if (found := _STEP.fullmatch(path.name))}
        begins, about = state.global_step == 0, self.folder / ABOUT
        if steps and not about.exists():
            # They are removed below; those of a watch have its settings beside them.
            raise InputError(
                f"watch.folder: holds {min(steps.values()).name}, which no watch wrote",
                expected="a folder of its own",
                do="name another one",
                path=self.folder,
            )
        # A step that was scored and not compared is scored again.
        known = not begins and (self.folder / DRIFT).exists()
        compared = {row.step for row in read_drift(self.folder)} if known else set()
        if not begins:
            if 0 not in compared:
                raise InputError(
                    "watch: this training goes on from a checkpoint, and was not watched before",
                    do="train from the start, or leave watch out",
                    path=self.folder,
                )
            if read_json(about, "the settings of a watch").get("sha256") != questions.sha256:
                raise InputError(
                    "watch: other questions than before the checkpoint that this training goes on from",
                    do="give the settings that it had, or train from the start",
                    path=about,
                )
            if self.settings.text is not None and not (self.folder / REFERENCE).is_dir():
                raise InputError(
                    "watch.text: what it was held against is gone: the training was over, or had no text",
                    expected="the distributions of step 0",
                    do="leave text out, or train from the start",
                    path=self.folder / REFERENCE,
                )
        # What is left of another training, or of steps after the checkpoint.
        last = -1 if begins else state.global_step
        if begins and steps:
            tell(f"watch: replaces the record of an earlier training in {self.folder} ({counted(len(steps), 'step')})")
        for step, path in steps.items():
            if step > last or step not in compared:
                shutil.rmtree(path)
        for step in self.copy.steps:
            if step > last:
                self.copy.remove(step)
        if begins:
            for name in (ABOUT, DRIFT, ALARM, TEXT):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / REFERENCE, ignore_errors=True)
        looks = planned_looks(self.settings.every, state.max_steps, self._epoch_ends(state))
        self._record = self._describe(questions, state, looks)
        self._write_record()
        self.drift = Drift(self.folder, self.settings, looks)
        return max((step for step in compared if step <= last), default=-1)

    def _epoch_ends(self, state: Any) -> list[int]:
        epochs = float(self.trainer.args.num_train_epochs)
        per_epoch = state.max_steps / epochs if self.trainer.args.max_steps <= 0 and epochs else 0
        return [round(per_epoch * number) for number in range(1, int(epochs) + 1)] if per_epoch else []

    def _describe(self, questions: Questions, state: Any, looks: int | None) -> dict[str, Any]:
        settings = asdict(replace(self.settings, folder=None, text=None))
        return {
            "settings": settings | {"text": self.settings.text and str(self.settings.text)},
            "tasks": {name: {"questions": len(asked.ids), "of": asked.of} for name, asked in questions.tasks.items()},
            "questions": questions.count,
            "sha256": questions.sha256,
            "model": self.probe.names[0],
            "max_steps": state.max_steps,
            "looks": looks,
            "versions": {
                "consistency": own_version(),
                **{name: version(name) for name in ("lm_eval", "transformers", "torch")},
            },
            "cost": None,
        }

    def _write_record(self) -> None:
        write_atomically(self.folder / ABOUT, pretty_json(self._record))

    def _add_cost(self, seconds: float, looks: int) -> float:
        """Write what the watch cost so far, and give its share of the training's time."""
        share = seconds / max(seconds, time.perf_counter() - self._began)
        before = self._record["cost"]["looks"] if self._record["cost"] else 0
        self._record["cost"] = {"looks": before + looks, "seconds": seconds, "share": share}
        self._write_record()
        return share

    # Asking

    def _try(self, state: Any, control: Any) -> None:
        """Ask, and go on training where that fails."""
        try:
            self._ask(state, control)
        except Exception as error:
            if self._main:
                _tell(
                    f"watch: the look at step {state.global_step} failed, and training goes on: "
                    f"{type(error).__name__}: {one_line(error)}"
                )

    def _ask(self, state: Any, control: Any) -> None:
        if state.global_step == self._last:
            return
        self._last = step = state.global_step
        start = time.perf_counter()
        try:
            answers = self.probe.answers()
            figures, alarm, best = self._everywhere(lambda: self._record_step(state, answers, start))
            if best:
                self.copy.keep(step)
            figures |= self._read_text(step)
        finally:
            self._seconds += time.perf_counter() - start
        self._log(figures, state, control)
        if step == 0 and self._main:
            self._say_cost(time.perf_counter() - start)
        if alarm and self.settings.on_alarm != "warn":
            control.should_training_stop = True

    def _read_text(self, step: int) -> dict[str, float]:
        """The figures of the text by flat names, written into `text.jsonl`; none without a text."""
        if self.settings.text is None:
            return {}
        row = self.probe.read_text(step)

        def write() -> dict[str, float]:
            assert row is not None
            add_row(self.folder, row)
            return {
                f"watch/text/{name}": figure.value for name, figure in row.figures.items() if figure.value is not None
            }

        return self._everywhere(write)

    def _say_cost(self, seconds: float) -> None:
        about, text = self._record, self.probe.text
        more = f", {text.scored * len(text.windows):,} tokens of text ({text.size / 1e6:,.0f} MB kept)" if text else ""
        looks = f"{about['looks']} more looks" if about["looks"] else f"a look every {self.settings.every} steps"
        tasks = counted(len(about["tasks"]), "task")
        _tell(f"watch: {about['questions']:,} questions of {tasks}{more}, {seconds:.1f} s at step 0; {looks}")

    def _record_step(
        self, state: Any, answers: Mapping[int, Answer], start: float
    ) -> tuple[dict[str, float], bool, bool]:
        """The figures of a step for loggers, whether there is an alarm, and whether to keep a copy of the weights."""
        self.probe.write(step_folder(self.folder, state.global_step), state.global_step, answers)
        logged: dict[str, Any] = next((row for row in reversed(state.log_history) if "loss" in row), {})
        row = self.drift.add(
            step=state.global_step,
            epoch=float(state.epoch or 0),
            loss=logged.get("loss"),
            seconds=time.perf_counter() - start,
            learning_rate=logged.get("learning_rate"),
        )
        self._add_cost(self._seconds + time.perf_counter() - start, 1)
        step, rollback = state.global_step, self.settings.on_alarm == "rollback"
        best = rollback and self.drift.best_step([*self.copy.steps, step]) == step
        before = {note for earlier in self.drift.rows if earlier.step < step for note in earlier.notes}
        for note in row.notes:
            if note not in before:
                _tell(f"watch: {note}")
        if step:
            _tell(f"watch: {look_line(row)}")
        if row.alarm is not None and self.drift.alarm == row.alarm:
            _tell(f"watch: alarm: {row.alarm.to_text()}")
        return row.figures(), row.alarm is not None, best

    def _log(self, figures: Mapping[str, float], state: Any, control: Any) -> None:
        """Hand figures to the Trainer's own loggers.

        Not by `Trainer.log`: TRL's and Axolotl's take the training's own figures that wait for the next line with them.
        """
        logs = dict(figures)
        if state.epoch is not None:
            logs["epoch"] = state.epoch
        state.log_history.append({**logs, "step": state.global_step})
        waits = control.should_log
        self.trainer.callback_handler.on_log(self.trainer.args, state, control, logs)
        control.should_log = waits

    def _go_back(self) -> None:
        """After an alarm, where that was asked for, give the model the weights of the last step on the frontier."""
        if self.settings.on_alarm != "rollback":
            return
        alarm = self._everywhere(lambda: self.drift.alarm and self.drift.alarm.step)
        steps = self.copy.steps
        if alarm is not None and not steps and self._main:
            _tell(f"watch: alarm at step {alarm}, and no copy of the weights to go back to: they stay as they are")
        if alarm is not None and steps:
            try:
                self.copy.restore(steps[-1])
                found = f"the model has the weights of step {steps[-1]} again"
            except InputError as error:
                found = f"the weights stay as they are: {error}"
            if self._main:
                _tell(f"watch: alarm at step {alarm}: {found}")
        self.trainer.accelerator.wait_for_everyone()
        if self._main:
            for step in steps:
                self.copy.remove(step)

    # All processes

    def _everywhere(self, work: Callable[[], _T]) -> _T:
        """What the first process makes of some work, in all processes; its error, too.

        Raises
        ------
        InputError, RuntimeError
            If it failed there.
        """
        done: list[Any] = [None, None]
        if self._main:
            try:
                done = [work(), None]
            except Exception as error:
                if self.trainer.accelerator.num_processes == 1:
                    raise
                done = [None, error if isinstance(error, InputError) else RuntimeError(one_line(error))]
        if self.trainer.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            done = broadcast_object_list(done)
        if done[1] is not None:
            raise done[1]
        found: _T = done[0]
        return found

    def _or_end(self, work: Callable[[], _T]) -> _T:
        """Do some work; where it fails, say why in one line and end the training."""
        try:
            return work()
        except Exception as error:
            end(error, self.trainer.is_world_process_zero())


def choose(settings: WatchSettings) -> Questions:
    """The questions of a watch, chosen without an effect on anything else: see `choose_questions`."""
    with unchanged_random_state(), quiet():
        return choose_questions(settings)


def _tell(line: str) -> None:
    """Print a line to standard error, not behind the Trainer's bar, which is drawn again below it."""
    with tqdm.external_write_mode(file=sys.stderr):
        tell(line)


def end(error: Exception, say: bool = True) -> NoReturn:
    """Say in one line why a training cannot be watched, and end it with exit code 2."""
    if say:
        what = str(error) if isinstance(error, InputError) else f"watch: {type(error).__name__}: {one_line(error)}"
        _tell(f"consistency: {what}")
    sys.exit(_MISTAKE)
