"""A callback for any Trainer of transformers or TRL: when the model in training is asked, and what follows from the answers."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from transformers import TrainerCallback

from consistency.errors import InputError
from consistency.support.files import write_atomically
from consistency.support.json_files import pretty_json
from consistency.support.text import counted, shortened
from consistency.support.version import VERSION
from consistency.watch.copies import WeightsCopy
from consistency.watch.drift import ALARM, Drift, check_tasks, step_folder
from consistency.watch.messages import LookError, end, reason, tell_above
from consistency.watch.probe import Answer, Probe, unchanged_random_state
from consistency.watch.questions import Questions, choose_questions, shares
from consistency.watch.quiet import quiet
from consistency.watch.record import ABOUT, settings_before
from consistency.watch.rows import DRIFT, TEXT, most_harm, read_drift
from consistency.watch.schedule import Schedule, affordable_questions, training_seconds, training_tokens
from consistency.watch.settings import WatchSettings, read_settings
from consistency.watch.terminal import look_line
from consistency.watch.text import REFERENCE, add_row

_T = TypeVar("_T")
# After so many steps it is said that looks cost too much.
_SURE = 8
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
    seconds_before : float
        That this took.
    **settings
        Those of `read_settings`: `tasks`, `questions`, `every`, `stop`, `on_alarm`, …

    Raises
    ------
    InputError
        If a setting is unknown or cannot be used.

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
        seconds_before: float = 0.0,
        **settings: Any,
    ) -> None:
        read_settings(settings, planned_steps=1000)
        self.trainer, self._given, self._name, self._chosen = trainer, settings, model_name, questions_chosen
        self._active = False
        self._last = -1
        self._seconds, self._look = seconds_before, 0.0
        self._said = False
        self._timed_from: tuple[int, float, float] | None = None

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
        if not self._active:
            return
        step = state.global_step
        if self._timed_from is None:
            # The first step of a process takes longer than all others.
            self._timed_from = (step, time.perf_counter(), self._seconds)
        elif self.schedule.is_revised(step):
            self._revise(step)
        if self.schedule.is_due(step):
            self._try(state, control)
            self._revise(step)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask after each epoch."""
        if self._active and self.schedule.is_due_at_epoch(state.global_step):
            self._try(state, control)
            self._revise(state.global_step)

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
            self._record["ended"] = state.global_step
            self._add_cost(0)
            tell_above(self._summary())

    # Start

    def _start(self, args: Any, state: Any) -> None:
        trainer = self.trainer
        self._main = bool(trainer.accelerator.is_main_process)
        self._began = time.perf_counter() - self._seconds
        self.settings = read_settings(self._given, planned_steps=state.max_steps)
        self.folder = self.settings.folder or Path(args.output_dir) / "watch"
        if getattr(trainer.accelerator, "parallelism_config", None) is not None:
            parallel = trainer.accelerator.parallelism_config
            if getattr(parallel, "cp_size", 1) > 1 or getattr(parallel, "sp_size", 1) > 1:
                raise InputError(
                    "watch: sequences that are split over devices (context_parallel_size) cannot be scored"
                )
        questions = self._chosen or choose(self.settings)
        for line in self._notes(questions) if self._main else ():
            tell_above(line)
        with unchanged_random_state(), quiet():
            name = self._name or str(getattr(trainer.model.config, "_name_or_path", "") or type(trainer.model).__name__)
            self.probe = Probe(trainer, questions, self.settings, (name, str(args.output_dir)), self.folder)
            # What was found of the training before the checkpoint that it goes on from.
            before = self._everywhere(
                lambda: settings_before(self.folder, self.settings) if state.global_step else None
            )
            self._cut_questions(before, state.max_steps)
        self.copy = WeightsCopy(self.folder, trainer, self.probe.model.is_sharded)
        self._last = self._everywhere(lambda: self._prepare_folder(before, state))
        self.schedule = Schedule(self.settings.every, self.settings.share, state.max_steps, last=max(self._last, 0))
        self._timed_from = None
        self._seconds = time.perf_counter() - self._began

    def _notes(self, questions: Questions) -> Iterator[str]:
        """What a user of these settings must know first."""
        if questions.unused:
            yield f"watch: num_fewshot is not used by {shortened(questions.unused)}: a task that says 0 examples keeps 0"

    def _cut_questions(self, before: dict[str, Any] | None, max_steps: int) -> None:
        """Ask fewer questions where these would cost too much; as many as before the checkpoint where there is one."""
        settings, questions = self.settings, self.probe.questions
        if settings.least is None:
            return
        sizes = {name: len(asked.ids) for name, asked in questions.tasks.items()}
        if before is not None:
            counts = {name: before["tasks"].get(name, {}).get("questions", 0) for name in sizes}
            if all(counts[name] <= size for name, size in sizes.items()):
                self.probe.cut(counts)
            return
        tokens = training_tokens(self.trainer, max_steps)
        if tokens is None:
            return
        each, length = self.probe.time_some()

        def affordable() -> int:
            training = training_seconds(tokens, max(length, 1) / each)
            spent = time.perf_counter() - self._began
            return affordable_questions(questions.count, settings.share, training, spent, each)

        count = self._everywhere(affordable)
        if count < questions.count:
            self.probe.cut(shares(sizes, count))

    def _prepare_folder(self, before: dict[str, Any] | None, state: Any) -> int:
        """The last step of which the folder has a log; -1 for none."""
        steps = {int(found[1]): path for path in self.folder.glob("step-*") if (found := _STEP.fullmatch(path.name))}
        begins, about = before is None, self.folder / ABOUT
        if steps and not about.exists():
            # They are removed below; those of a watch have its settings beside them.
            raise InputError(
                f"watch.folder: holds {min(steps.values()).name}, which no watch wrote",
                expected="a folder of its own",
                do="name another one",
                path=self.folder,
            )
        # A step that was scored and not compared is scored again.
        compared = set() if begins else {row.step for row in read_drift(self.folder)}
        if before is not None:
            if 0 not in compared:
                raise InputError(
                    "watch: this training goes on from a checkpoint, and was not watched before",
                    do="train from the start, or leave watch out",
                    path=self.folder,
                )
            if before.get("sha256") != self.probe.questions.sha256:
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
            tell_above(
                f"watch: replaces the record of an earlier training in {self.folder} ({counted(len(steps), 'step')})"
            )
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
        self._record = self._describe(state)
        if before is not None:
            self._record["cost"] |= before.get("cost") or {}
        self._before = dict(self._record["cost"])
        self._write_record()
        self.drift = Drift(self.folder, self.settings)
        return max((step for step in compared if step <= last), default=-1)

    def _describe(self, state: Any) -> dict[str, Any]:
        questions = self.probe.questions
        return {
            "settings": self.settings.to_dict(),
            "tasks": {name: {"questions": len(asked.ids), "of": asked.of} for name, asked in questions.tasks.items()},
            "questions": questions.count,
            "sha256": questions.sha256,
            "model": self.probe.names[0],
            "max_steps": state.max_steps,
            "versions": {
                "consistency": VERSION,
                **{name: version(name) for name in ("lm_eval", "transformers", "torch")},
            },
            "cost": {"looks": 0, "seconds": 0.0, "training_seconds": 0.0, "share": 0.0},
            "rollback": None,
        }

    def _write_record(self) -> None:
        write_atomically(self.folder / ABOUT, pretty_json(self._record))

    def _add_cost(self, looks: int) -> None:
        """Write what the watch cost so far, of the whole training with what came before a checkpoint that it goes on from."""
        before, cost = self._before, self._record["cost"]
        seconds = before["seconds"] + self._seconds
        whole = before["training_seconds"] + max(self._seconds, time.perf_counter() - self._began)
        cost |= {
            "looks": cost["looks"] + looks,
            "seconds": seconds,
            "training_seconds": whole,
            "share": seconds / whole,
        }
        self._write_record()

    def _summary(self) -> str:
        """What a user reads at the end."""
        cost, alarm, rows = self._record["cost"], self.drift.alarm, self.drift.rows
        parts = [f"watch: {cost['seconds']:.1f} s in all, {100 * cost['share']:.1f} % of the training's time"]
        if alarm is None and len(rows) > 1:
            harm = most_harm(rows[-1])
            parts.append(
                f"no alarm in {counted(len(rows) - 1, 'look')}" + (f": with 95 % confidence {harm}" if harm else "")
            )
        return "; ".join([*parts, f"see {self.folder}"])

    def _revise(self, step: int) -> None:
        """Choose the next look by what steps and looks took so far, in all processes the same."""
        schedule = self.schedule
        if schedule.every is not None or self._timed_from is None or step == self._timed_from[0]:
            return

        def chosen() -> tuple[int, bool, int]:
            begin, began, spent = self._timed_from or (0, 0.0, 0.0)
            alone = time.perf_counter() - began - (self._seconds - spent)
            seconds = self._before["seconds"] + self._seconds
            per_step = alone / (step - begin)
            schedule.revise(step, per_step, seconds, self._look)
            return schedule.next, schedule.has_spare, schedule.affordable(per_step, seconds, self._look)

        schedule.next, schedule.has_spare, affordable = self._everywhere(chosen)
        if affordable < 1 and schedule.last == 0 and not self._said and step >= min(_SURE, schedule.max_steps // 2):
            self._said = True
            if self._main:
                tell_above(
                    f"watch: looks at step 0 and at the end alone cost more than {100 * schedule.share:g} % of so short a "
                    "training: there are no others; for more, say how often: every: 20 %"
                )

    # Asking

    def _try(self, state: Any, control: Any) -> None:
        """Ask, and go on training where that fails."""
        try:
            self._ask(state, control)
        except Exception as error:
            if self._main:
                tell_above(f"watch: the look at step {state.global_step} failed, and training goes on: {reason(error)}")

    def _ask(self, state: Any, control: Any) -> None:
        if state.global_step == self._last:
            return
        self._last = self.schedule.last = step = state.global_step
        start = time.perf_counter()
        try:
            answers = self.probe.answers()
            figures, alarm, best = self._everywhere(lambda: self._record_step(state, answers, start))
            if best:
                self.copy.keep(step)
            figures |= self._read_text(step)
        finally:
            self._look = time.perf_counter() - start
            self._seconds += self._look
        if self._main:
            self._add_cost(1)
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
        every = self.settings.every
        looks = (
            f"more looks as far as all take at most {100 * self.settings.share:g} % of the training's time"
            if every is None
            else f"{counted(len({*range(every, about['max_steps'], every), about['max_steps']}), 'more look')}"
        )
        tasks = counted(len(about["tasks"]), "task")
        tell_above(f"watch: {about['questions']:,} questions of {tasks}{more}, {seconds:.1f} s at step 0; {looks}")

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
            progress=min(1.0, state.global_step / max(state.max_steps, 1)),
        )
        step, rollback = state.global_step, self.settings.on_alarm == "rollback"
        best = rollback and self.drift.best_step([*self.copy.steps, step]) == step
        before = {note for earlier in self.drift.rows if earlier.step < step for note in earlier.notes}
        for note in row.notes:
            if note not in before:
                tell_above(f"watch: {note}")
        if step:
            tell_above(f"watch: {look_line(row)}")
        if row.alarm is not None and self.drift.alarm == row.alarm:
            tell_above(f"watch: alarm: {row.alarm.to_text()}")
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
            tell_above(f"watch: alarm at step {alarm}, and no copy of the weights to go back to: they stay as they are")
        if alarm is not None and steps:
            try:
                self.copy.restore(steps[-1])
                if self._main:
                    self._record["rollback"] = steps[-1]
                found = f"the model has the weights of step {steps[-1]} again"
            except InputError as error:
                found = f"the weights stay as they are: {error}"
            if self._main:
                tell_above(f"watch: alarm at step {alarm}: {found}")
        self.trainer.accelerator.wait_for_everyone()
        if self._main:
            for step in steps:
                self.copy.remove(step)

    # All processes

    def _everywhere(self, work: Callable[[], _T]) -> _T:
        """What the first process makes of some work, in all processes; its error, too.

        Raises
        ------
        InputError, LookError
            If it failed there.
        """
        done: list[Any] = [None, None]
        if self._main:
            try:
                done = [work(), None]
            except Exception as error:
                if self.trainer.accelerator.num_processes == 1:
                    raise
                done = [None, error if isinstance(error, InputError) else LookError(reason(error))]
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
    """The questions of a watch, chosen without an effect on anything else: see `choose_questions`.

    Raises
    ------
    InputError
        As there, and if a name of `learn` is none of the tasks or the baseline has none of them.
    """
    with unchanged_random_state(), quiet():
        found = choose_questions(settings)
    check_tasks(settings, list(found.tasks), found.groups)
    return found
