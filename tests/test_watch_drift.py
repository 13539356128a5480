"""A watched training's record: its figures are those of a comparison, its alarm is the same after a kill, its file is whole."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.stats import binomtest

from consistency import InputError, compare
from consistency.statistics.sequential import MOST_LOOKS, Turned
from consistency.watch.alarm import judge
from consistency.watch.drift import Drift, check_tasks
from consistency.watch.frontier import best_step, frontier
from consistency.watch.rows import DRIFT, DriftRow, Number, Pool, most_harm, read_drift
from consistency.watch.settings import Stop, WatchSettings, read_settings

STEPS = (0, 20, 40, 60, 80, 100)
SIZES = {"kept_a": 200, "kept_b": 150, "law": 100}


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory, write_scores: Callable[..., None]) -> Path:
    """The logs of a training that learns law, and forgets half of what it knew."""
    folder, rng = tmp_path_factory.mktemp("watch"), np.random.default_rng(0)
    gold = {name: rng.integers(4, size=size) for name, size in SIZES.items()}
    known = {name: 2.0 * np.eye(4)[gold[name]] * (rng.random(size) < 0.5)[:, None] for name, size in SIZES.items()}
    base = {name: known[name] + rng.normal(size=(size, 4)) for name, size in SIZES.items()}
    for step in STEPS:
        done = step / STEPS[-1]
        moved = {
            name: base[name] - done**3 * known[name] + done * 0.3 * rng.normal(size=base[name].shape)
            for name in ("kept_a", "kept_b")
        }
        write_scores(
            folder / f"step-{step:06d}", {**moved, "law": base["law"] + 2 * done * np.eye(4)[gold["law"]]}, gold
        )
    return folder


BOTH = {"harmful_flips": "3 %", "margin": "1 %"}


@pytest.fixture(scope="module")
def watched(training: Path, tmp_path_factory: pytest.TempPathFactory) -> Drift:
    """The record of the whole training."""
    return watch(Path(shutil.copytree(training, tmp_path_factory.mktemp("whole") / "watch")), stop=BOTH)


@pytest.fixture
def copied(training: Path, tmp_path: Path) -> Path:
    """The logs in a folder of the test's own."""
    return Path(shutil.copytree(training, tmp_path / "watch"))


def settings(**other: object) -> WatchSettings:
    """Settings of the training above."""
    return read_settings({"tasks": list(SIZES), "learn": "la*", "every": 20, **other}, planned_steps=100)


def watch(folder: Path, steps: tuple[int, ...] = STEPS, **other: object) -> Drift:
    """The record of some steps."""
    drift = Drift(folder, settings(**other))
    for step in steps:
        drift.add(step, step / 100, 1.0, 2.0, progress=step / 100)
    return drift


def test_figures_are_those_of_a_comparison(watched: Drift) -> None:
    rows, folder = watched.rows, watched.folder
    found = compare(
        folder / "step-000000", folder / "step-000060", scopes={"kept": ["kept_a", "kept_b"], "learned": ["law"]}
    )
    row = rows[3]
    assert row.step == 60
    for pool, section in ((row.kept, found.by_scope["kept"]), (row.learned, found.by_scope["learned"])):
        assert pool is not None
        for name, of in (
            ("accuracy", "accuracy_after"),
            ("change", "delta_accuracy"),
            ("harmful_flips", "harmful_flips"),
        ):
            estimate = section.estimates[of]
            assert pool.figures[name] == Number(estimate.value, estimate.ci_low, estimate.ci_high, section.n)
        assert pool.value("kl") == section.estimates["kl"].value
        assert section.decomposition is not None
        assert pool.value("change_calibrated") == section.decomposition.estimates["calibrated_change"].value
    assert row.kept is not None
    assert found.by_scope["kept"].flips is not None
    assert row.kept.n == row.asked == 350
    assert sum(map(len, row.lost.values())) == found.by_scope["kept"].flips["harmful"]
    assert row.tasks["law"].value("spearman") == found.by_task["law"].estimates["spearman"].value
    assert rows[0].kept is not None
    assert [rows[0].kept.value(name) for name in ("change", "kl", "spearman")] == [0, 0, 1]


def test_flips_are_counted_by_hand(watched: Drift) -> None:
    for row in watched.rows[1:]:
        lost = []
        for before, after in zip(*(_rights(watched.folder, step) for step in (0, row.step)), strict=True):
            lost += [before[doc] and not after[doc] for doc in before]
        look = row.looks["harmful_flips"]
        assert look.estimate == pytest.approx(np.mean(lost))
        assert look.p == pytest.approx(binomtest(sum(lost), len(lost), 0.03, alternative="greater").pvalue)


def _rights(folder: Path, step: int) -> list[dict[int, bool]]:
    found = []
    for task in ("kept_a", "kept_b"):
        (log,) = (folder / f"step-{step:06d}").rglob(f"samples_{task}_*.jsonl")
        found.append({row["doc_id"]: row["acc"] == 1 for row in map(json.loads, log.read_text().splitlines())})
    return found


@pytest.mark.parametrize("killed_after", [0, 80])
def test_a_killed_training_decides_as_one_that_was_not(watched: Drift, copied: Path, killed_after: int) -> None:
    watch(copied, tuple(step for step in STEPS if step <= killed_after), stop=BOTH)
    # The last step before the kill is scored anew, from the checkpoint before it.
    again = watch(copied, tuple(step for step in STEPS if step >= killed_after), stop=BOTH)
    assert again.alarm == watched.alarm is not None
    for name in (DRIFT, "alarm.json"):
        assert (copied / name).read_bytes() == (watched.folder / name).read_bytes()
    assert again.best_step() == watched.best_step()


def test_a_step_before_the_alarm_takes_it_back(copied: Path) -> None:
    drift = watch(copied)
    assert drift.alarm is not None
    drift.add(20, 0.2, None, 1.0, progress=0.2)
    assert drift.alarm is None
    assert not (copied / "alarm.json").exists()
    assert [row.step for row in read_drift(copied)] == [0, 20]


def test_the_alarm_says_what_was_lost(watched: Drift) -> None:
    alarm = watched.alarm
    assert alarm is not None
    lost = alarm.lost - alarm.won if alarm.condition == "margin" else alarm.lost
    assert alarm.estimate == pytest.approx(lost / alarm.n)
    assert alarm.p <= alarm.level < 0.05
    assert alarm.limit < alarm.bound < alarm.estimate
    stored = json.loads((watched.folder / "alarm.json").read_text())
    assert (stored["step"], stored["text"]) == (alarm.step, alarm.to_text())


def test_a_folder_of_logs_as_the_baseline(watched: Drift, copied: Path, tmp_path: Path) -> None:
    shutil.move(copied / "step-000000", tmp_path / "base")
    other = watch(copied, (60, 80), baseline=str(tmp_path / "base")).rows
    assert [row.kept for row in other] == [row.kept for row in watched.rows[3:5]]


def test_a_baseline_of_other_tasks_is_refused(copied: Path, tmp_path: Path, write_scores: Callable[..., None]) -> None:
    write_scores(tmp_path / "base", {"history": np.zeros((5, 4))}, {"history": np.zeros(5, int)})
    for learn in ("la*", None):
        with pytest.raises(
            InputError, match=r"base: watch\.baseline: none of the tasks .* expected logs of kept_a, kept_b, law"
        ):
            watch(copied, (20,), baseline=str(tmp_path / "base"), learn=learn)


def test_what_is_left_out_of_a_step_is_said(tmp_path: Path, write_scores: Callable[..., None]) -> None:
    rng = np.random.default_rng(1)
    gold = {name: rng.integers(4, size=30) for name in ("kept_a", "law")}
    for number, rows in ((0, 30), (20, 30), (40, 25)):
        scores = {name: rng.normal(size=(30, 4))[:rows] for name in gold}
        scores["kept_a"][:4] = [np.nan, -np.inf][number == 20] if number else 0.0
        write_scores(tmp_path / f"step-{number:06d}", scores, {name: right[:rows] for name, right in gold.items()})
    found = watch(tmp_path, (0, 20, 40)).rows
    no_kl = (
        "4 questions have no KL and no ranking: log-probabilities that are not numbers, or all of them minus infinity"
    )
    assert [row.notes for row in found] == [
        (),
        (f"step 20: {no_kl}",),
        ("step 40: 10 questions left out: not asked at this step", f"step 40: {no_kl}"),
    ]
    # Of a baseline of its own it is no news that it holds more.
    assert watch(tmp_path, (40,), baseline=str(tmp_path / "step-000000")).rows[-1].notes == (f"step 40: {no_kl}",)


def test_tasks_that_are_to_be_kept_stay_the_same(copied: Path) -> None:
    watch(copied, STEPS[:2])
    with pytest.raises(InputError, match=r"watch\.learn: kept_a, law to be kept, and kept_a, kept_b at step 0"):
        watch(copied, STEPS[2:3], learn="kept_b")
    assert [row.step for row in read_drift(copied)] == [0, 20]


@pytest.mark.parametrize(("value", "key"), [({"condition": "other"}, "alarm"), ({"other": {}}, "looks")])
def test_a_condition_that_is_not_known_is_refused(copied: Path, value: dict[str, object], key: str) -> None:
    rows = [json.loads(line) for line in (watch(copied, stop=BOTH).folder / DRIFT).read_text().splitlines()]
    assert rows[-1][key]
    rows[-1][key] |= value
    (copied / DRIFT).write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match=f"{DRIFT}:6: .*{key}"):
        read_drift(copied)


def test_a_line_that_is_damaged_is_named(copied: Path) -> None:
    watch(copied, STEPS[:3])
    path = copied / DRIFT
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], json.dumps(json.loads(lines[1]) | {"of_a_later_release": 1}), lines[2]]))
    assert [row.step for row in read_drift(copied)] == [0, 20, 40]
    path.write_text("\n".join([lines[0], lines[1][:-20]]))
    with pytest.raises(InputError) as error:
        Drift(copied, settings())
    assert (error.value.path, error.value.line) == (path, 2)
    path.write_text("\n".join([lines[1], lines[0]]))
    with pytest.raises(InputError) as error:
        read_drift(copied)
    assert error.value.line == 2


def test_a_model_that_gives_no_numbers_raises_the_alarm(tmp_path: Path, write_scores: Callable[..., None]) -> None:
    """Its answers are then the first option, which may be right as often as before."""
    rng = np.random.default_rng(1)
    gold = {"kept_a": np.zeros(40, int), "law": rng.integers(4, size=30)}
    scores = {name: rng.normal(size=(len(right), 4)) for name, right in gold.items()}
    for number, broken in ((0, 0), (20, 19), (40, 40)):
        kept = scores["kept_a"].copy()
        kept[:broken] = np.nan
        write_scores(tmp_path / f"step-{number:06d}", scores | {"kept_a": kept}, gold)
    drift = watch(tmp_path, (0, 20, 40))
    alarm = drift.alarm
    assert alarm is not None
    assert (alarm.step, alarm.condition, alarm.estimate) == (40, "no_numbers", 1)
    assert drift.rows[-1].looks["margin"].p > 0.05
    # Nothing goes back to it, though as many of its answers are right.
    assert drift.best_step() == 20
    shutil.rmtree(tmp_path / "step-000000")
    shutil.move(tmp_path / "step-000040", tmp_path / "step-000000")
    (tmp_path / DRIFT).unlink()
    with pytest.raises(InputError, match="no numbers as the training begins"):
        watch(tmp_path, (0,))


def test_what_a_look_does_not_exclude_is_the_end_of_its_intervals(watched: Drift) -> None:
    row = watched.rows[1]
    assert row.kept is not None
    change, flips = row.kept.figures["change"], row.kept.figures["harmful_flips"]
    assert most_harm(row) == (
        f"at most {-100 * change.ci_low:.1f} % lost on balance and at most {100 * flips.ci_high:.1f} % turned from right to wrong"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learn": "medicine"}, "'medicine'"),
        ({"learn": ["law", "both"]}, "all tasks"),
        ({"baseline": "nowhere"}, "nowhere"),
    ],
)
def test_settings_that_no_look_could_use_are_refused_before_there_is_one(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_tasks(settings(**given), list(SIZES), {"both": ["kept_a", "kept_b"]})


def test_a_baseline_without_the_tasks_is_refused_before_there_is_a_look(copied: Path) -> None:
    check_tasks(settings(baseline=str(copied / "step-000000")), list(SIZES), {})
    with pytest.raises(InputError, match=r"watch\.baseline: none of the tasks"):
        check_tasks(settings(baseline=str(copied / "step-000000"), learn="anatomy"), ["anatomy", "biology"], {})


def test_very_many_looks_are_judged_by_their_own_part() -> None:
    rows = [msgspec.structs.replace(row_at(step, None, 3), progress=step / 1000) for step in range(1, MOST_LOOKS + 2)]
    found = judge(rows[:-1], rows[-1], {"margin": Turned(3, 0, 100)}, Stop(margin=0.01), 0.05)
    assert found["margin"].level == pytest.approx(0.05 * 0.9 / 1000)


def test_what_cannot_be_watched_is_said_at_step_0(copied: Path) -> None:
    with pytest.raises(InputError, match="'medicine'"):
        Drift(copied, settings(learn="medicine")).add(0, 0.0, None, 1.0, progress=0.0)
    with pytest.raises(InputError, match="all tasks are to be learned"):
        Drift(copied, settings(learn="*")).add(0, 0.0, None, 1.0, progress=0.0)
    assert not (copied / DRIFT).exists()
    drift = watch(copied, STEPS[:2])
    (lost,) = (copied / "step-000040").rglob("samples_kept_b_*.jsonl")
    lost.unlink()
    with pytest.raises(InputError, match="kept_b"):
        drift.add(40, 0.4, None, 1.0, progress=0.4)
    assert [row.step for row in read_drift(copied)] == [0, 20]


def test_without_tasks_to_learn_all_are_kept(copied: Path) -> None:
    row = watch(copied, STEPS[:2], learn=None).rows[1]
    assert (row.asked, row.learned, set(row.lost)) == (450, None, set(SIZES))


def row_at(step: int, gained: float | None, lost: int) -> DriftRow:
    """A step of 100 kept questions of which so many were lost."""
    learned = None if gained is None else Pool(10, {"change": Number(gained, None, None, 10)})
    return DriftRow(step, 0.0, None, 0.0, None, learned, {}, 100, {"kept": list(range(lost))}, {"kept": []})


def test_frontier() -> None:
    rows = [row_at(0, 0.0, 0), row_at(20, 0.3, 1), row_at(40, 0.2, 2), row_at(60, 0.3, 1), row_at(80, 0.5, 9)]
    assert frontier(rows) == [0, 60, 80]
    assert best_step(rows, {"margin": 0.02}) == 60
    assert best_step(rows, {"margin": 0.02}, among=[0, 40]) == 40
    assert best_step(rows, {"margin": 0.1, "harmful_flips": 0.005}) == 0
    without = [row_at(0, None, 0), row_at(20, None, 1), row_at(40, None, 1), row_at(60, None, 9)]
    assert frontier(without) == [0, 40, 60]
    assert best_step(without, {"margin": 0.02}) == 40


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"evry": 20}, "every"),
        ({"every": 0}, "watch.every"),
        ({"every": "5 parts"}, "watch.every"),
        ({"every": True}, "watch.every"),
        ({"questions": "all"}, "watch.questions"),
        ({"questions": 0.5}, "watch.questions"),
        ({"stop": {"margin": 1}}, "watch.stop.margin"),
        ({"stop": {"margin": "60 %"}}, "watch.stop.margin"),
        ({"stop": {"harm": "1 %"}}, "watch.stop"),
        ({"stop": {}}, "watch.stop"),
        ({"stop": "1 %"}, "watch.stop"),
        ({"on_alarm": "wrn"}, "warn"),
        ({"level": 5}, "watch.level"),
        ({"tasks": []}, "watch.tasks"),
        ({"tasks": [1]}, "watch.tasks"),
        ({"learn": {"a": 1}}, "watch.learn"),
        ({"num_fewshot": -1}, "watch.num_fewshot"),
        ({"seed": float("inf")}, "watch.seed"),
        ({"apply_chat_template": 1}, "watch.apply_chat_template"),
        # No float holds it, and JSON no more than 64 bits.
        ({"seed": 10**400}, "watch.seed"),
        ({"questions": 1e308}, "watch.questions"),
        ({"every": 10**400}, "watch.every"),
        ({"level": 10**400}, "watch.level"),
        ({"stop": {"margin": 10**400}}, "watch.stop.margin"),
    ],
)
def test_settings_that_are_refused_name_their_key(given: dict[str, object], key: str) -> None:
    with pytest.raises(InputError, match=key):
        read_settings({"tasks": ["mmlu"], **given}, planned_steps=100)


@pytest.mark.parametrize("given", [None, [], "mmlu", {}, {"questions": 5}])
def test_settings_without_tasks_are_refused(given: object) -> None:
    with pytest.raises(InputError, match="watch"):
        read_settings(given, planned_steps=100)


@pytest.mark.parametrize("share", ["3 %", "3%", "3 percent", 0.03, "0.03", "3.0 points"])
def test_shares_are_read_alike(share: object) -> None:
    found = read_settings({"tasks": "mmlu", "stop": {"harmful_flips": share}}, planned_steps=None)
    assert found.stop == Stop(harmful_flips=0.03)


def test_default_settings() -> None:
    found = read_settings({"tasks": ["a", "b", "a"], "every": None}, planned_steps=101)
    assert (found.tasks, found.every, found.share, found.stop) == (("a", "b"), None, 0.05, Stop(margin=0.01))
    # As many as may be paid, where no number was asked for.
    assert (found.questions, found.least) == (500, 100)
    asked = read_settings({"tasks": "a", "questions": 500, "every": "auto"}, planned_steps=101)
    assert (asked.questions, asked.least, asked.every) == (500, None, None)
    full = read_settings({"tasks": "a", "questions": "full"}, planned_steps=101)
    assert (full.questions, full.least) == (None, None)
    assert read_settings({"tasks": "a", "every": "5 %"}, planned_steps=30).every == 2
    with pytest.raises(InputError, match="not known"):
        read_settings({"tasks": "a", "every": "5 %"}, planned_steps=None)
