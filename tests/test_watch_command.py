"""`consistency watch`: a record in the terminal, while the training runs, as JSON and as a page."""

import csv
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from consistency import InputError
from consistency.experiment.grid import Experiment
from consistency.report.grid.document import GridReport
from consistency.report.grid.report import write_report
from consistency.report.schema import read_document
from consistency.report.watch.document import WatchReport
from consistency.support.files import write_atomically
from consistency.support.text import width
from consistency.watch.record import read_record
from consistency.watch.rows import DRIFT, TEXT, Alarm, DriftRow, Look, Number, Pool, TextRow, write_drift

Call = Callable[..., tuple[int, str, str]]
ALARM = Alarm(60, 0.6, "margin", 0.01, 0.08, 0.031, 0.0004, 0.009, 20, 4, 200, -0.08, -0.03)
HOSTILE = "<b>law</b>\x1b[31m|`"


def pool(change: float, lettered: bool = True) -> Pool:
    """Figures of 200 questions."""
    figures = {
        "accuracy": Number(0.6 + change, 0.55 + change, 0.65 + change, 200),
        "change": Number(change, change - 0.04, change + 0.04, 200),
        "harmful_flips": Number(max(-change, 0) + 0.02, 0.01, 0.2, 200),
        "beneficial_flips": Number(0.02, 0.01, 0.05, 200),
        "kl": Number(0.1 + abs(change), 0.1, None, 200),
        "spearman": Number(None, None, None, 0),
    }
    if lettered:
        figures |= {f"{name}_calibrated": figures[name] for name in ("accuracy", "change", "harmful_flips", "kl")}
        figures["change_by_letters"] = Number(change / 2, None, None, 200)
    return Pool(200, figures)


def step(number: int, alarm: Alarm | None = None, learned: bool = True, task: str = "law") -> DriftRow:
    """A step of a training that loses a point of the kept tasks in ten steps, and gains three of the others."""
    kept = pool(-number / 1000)
    lost = list(range(round(number / 5)))
    return DriftRow(
        step=number,
        epoch=number / 100,
        loss=1.0 - number / 200,
        seconds=2.0,
        kept=kept,
        learned=pool(3 * number / 1000, lettered=False) if learned else None,
        tasks={"mmlu": kept, **({task: pool(3 * number / 1000)} if learned else {})},
        asked=200,
        lost={"mmlu": lost},
        won={"mmlu": []},
        looks={"margin": Look(len(lost) / 200, 0.01, 0.2 / (number or 1), 0.009)} if number else {},
        alarm=alarm,
    )


def write(folder: Path, rows: list[DriftRow], **about: object) -> Path:
    """A record as a training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_drift(folder, rows)
    write_atomically(folder / "watch.json", json.dumps({"model": "tiny", "max_steps": 80, **about}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record with an alarm at its third look."""
    rows = [step(0), step(20), step(40), step(60, ALARM), step(80)]
    return write(tmp_path / "out" / "watch", rows)


def test_each_step_has_a_line(folder: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    code, printed, _ = call("watch", folder)
    lines = printed.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines if line[:6].strip().isdigit()] == ["0", "20", "40", "60", "80"]
    assert [line.split()[0] for line in lines if line.endswith("ALARM")] == ["60"]
    assert sum(line.count("●") for line in lines) == 1 + 5
    for columns, more in ((100, ["epoch", "KL", "ρ"]), (80, [])):
        monkeypatch.setenv("COLUMNS", str(columns))
        narrow = call("watch", folder)[1].splitlines()
        assert max(width(line) for line in narrow if line[:6].strip().isdigit()) <= columns
        (head,) = (line for line in narrow if line.split()[:1] == ["step"])
        assert [name for name in ("epoch", "KL", "ρ") if name in head.split()] == more
    # The folder of the training will do.
    assert call("watch", folder.parent)[1].splitlines() == narrow


def test_many_steps_are_shortened(tmp_path: Path, call: Call) -> None:
    write(tmp_path, [step(number) for number in range(0, 200, 2)])
    printed = call("watch", tmp_path)[1]
    assert "… 60 steps" in printed.splitlines()
    assert sum(line[:6].strip().isdigit() for line in printed.splitlines()) == 40


def test_without_tasks_to_learn_there_is_no_plane(tmp_path: Path, call: Call) -> None:
    write(tmp_path, [step(0, learned=False), step(20, learned=False)])
    code, printed, _ = call("watch", tmp_path)
    assert code == 0
    assert "●" not in printed


def test_of_one_look_there_is_no_plane(tmp_path: Path, call: Call) -> None:
    write(tmp_path, [step(0), step(20)])
    assert "●" not in call("watch", tmp_path)[1]
    write(tmp_path, [step(0), step(20), step(40)])
    assert "●" in call("watch", tmp_path)[1]


def test_steps_at_one_place_of_the_plane_are_all_named(tmp_path: Path, call: Call) -> None:
    at_once = [msgspec.structs.replace(step(80), step=number) for number in (8, 10, 12, 14)]
    write(tmp_path, [step(0), *at_once[:2]])
    assert "8,10" in call("watch", tmp_path)[1]
    write(tmp_path, [step(0), *at_once])
    assert "8,10,12…" in call("watch", tmp_path)[1]


def test_json_holds_all_that_the_record_does(folder: Path, call: Call, tmp_path: Path) -> None:
    record = read_record(folder)
    _, printed, _ = call("watch", folder, "--json", "-")
    found = json.loads(printed)
    assert msgspec.convert(found["steps"], list[DriftRow]) == list(record.rows)
    assert (found["alarm"]["step"], found["best_step"]) == (60, 0)
    assert found["frontier"] == [0, 20, 40, 60, 80]
    assert found["limits"] == {"margin": 0.01}
    call("watch", folder, "--json", tmp_path / "record.json")
    assert json.loads((tmp_path / "record.json").read_text()) == found


def test_nothing_is_written_over_the_record(folder: Path, call: Call, tmp_path: Path) -> None:
    before = (folder / DRIFT).read_bytes()
    for option, place in (("--json", folder / DRIFT), ("--json", folder / "new.json"), ("--out", folder)):
        code, printed, error = call("watch", folder.parent, option, place)
        assert (code, printed, option in error) == (2, "", True)
    assert (folder / DRIFT).read_bytes() == before
    assert not (folder / "new.json").exists()
    # Of two outputs both appear or none.
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").touch()
    assert call("watch", folder, "--json", tmp_path / "record.json", "--out", tmp_path / "taken")[0] == 2
    assert not (tmp_path / "record.json").exists()
    assert call("watch", folder, "--json", tmp_path / "page" / "record.json", "--out", tmp_path / "page")[0] == 0
    assert json.loads((tmp_path / "page" / "record.json").read_text())["best_step"] == 0


def test_the_record_says_what_the_model_went_back_to(folder: Path, call: Call, tmp_path: Path) -> None:
    write(folder, list(read_record(folder).rows), rollback=40)
    assert json.loads(call("watch", folder, "--json", "-")[1])["rollback"] == 40
    call("watch", folder, "--out", tmp_path / "page")
    document = read_document(tmp_path / "page")
    assert isinstance(document, WatchReport)
    assert document.rollback == 40


def test_exit_codes(folder: Path, call: Call, tmp_path: Path) -> None:
    assert call("watch", folder)[0] == 0
    assert call("watch", folder, "--fail-on-alarm")[0] == 1
    calm = write(tmp_path / "calm", [step(0), step(20)])
    assert call("watch", calm, "--fail-on-alarm")[0] == 0
    code, _, error = call("watch", tmp_path / "none")
    assert (code, error.count("\n")) == (2, 1)
    (calm / DRIFT).write_text((calm / DRIFT).read_text() + '{"step": 40, "epo')
    code, _, error = call("watch", calm)
    assert (code, error.count("\n")) == (2, 1)
    assert f"{DRIFT}:3:" in error
    other = msgspec.structs.replace(step(20), looks={"harm": Look(0.1, 0.01, 0.2, 0.01)})
    code, _, error = call("watch", write(calm, [step(0), other]))
    assert (code, error.count("\n")) == (2, 1)
    assert f"{DRIFT}:2: Invalid enum value 'harm'" in error
    (calm / DRIFT).write_text("")
    assert call("watch", calm)[0] == 2
    (folder / "watch.json").write_text("[]")
    assert call("watch", folder)[0] == 2


def test_not_a_number_is_no_time(folder: Path, call: Call) -> None:
    write(folder, [step(0)])
    code, printed, error = call("watch", folder, "--follow", "--seconds", "nan")
    assert (code, printed) == (2, "")
    assert "--seconds" in error


def test_a_running_training_is_followed_to_its_end(tmp_path: Path, call: Call) -> None:
    rows = [step(number) for number in (0, 20, 40, 60, 80)]
    folder = tmp_path / "out" / "watch"

    def train() -> None:
        for count in range(1, len(rows) + 1):
            time.sleep(0.15)
            write(folder, rows[:count])

    training = threading.Thread(target=train)
    training.start()
    code, printed, told = call("watch", tmp_path / "out", "--follow", "--seconds", "0.1")
    training.join()
    assert code == 0
    assert "no drift.jsonl yet: waiting" in told
    assert [line.split()[0] for line in printed.splitlines() if line[:6].strip().isdigit()] == [
        *("0", "20", "40", "60", "80")
    ]


def test_a_training_that_an_alarm_stopped_is_over(tmp_path: Path, call: Call) -> None:
    write(tmp_path, [step(0), step(60, ALARM)], settings={"on_alarm": "stop"})
    assert call("watch", tmp_path, "--follow", "--fail-on-alarm")[0] == 1
    assert not read_record(write(tmp_path, [step(0), step(60, ALARM)], settings={"on_alarm": "warn"})).is_over


def test_a_training_that_was_killed_has_not_ended(tmp_path: Path, call: Call) -> None:
    write(tmp_path, [step(0), step(60)])
    assert "not ended: at step 60 of 80" in call("watch", tmp_path)[1]
    # Another callback may end it before its last step.
    write(tmp_path, [step(0), step(60)], ended=60)
    assert read_record(tmp_path).is_over
    assert "not ended" not in call("watch", tmp_path)[1]


def test_the_page_and_its_files(folder: Path, call: Call, tmp_path: Path) -> None:
    code, _, _ = call("watch", folder, "--out", tmp_path / "page")
    assert code == 0
    document = read_document(tmp_path / "page")
    assert isinstance(document, WatchReport)
    assert document.steps == list(read_record(folder).rows)
    assert document.alarm == ALARM
    page = (tmp_path / "page" / "report.html").read_text()
    assert page.index("<h1") < page.index(ALARM.headline) < page.index("<svg")
    with (tmp_path / "page" / "figures" / "drift.csv").open() as file:
        drawn = list(csv.DictReader(file))
    assert {(row["tasks"], row["answers"]) for row in drawn} == {
        ("kept", "as answered"),
        ("kept", "corrected for letter bias"),
        ("learned", "as answered"),
    }
    changes = [
        float(row["value"])
        for row in drawn
        if (row["tasks"], row["answers"], row["measure"]) == ("kept", "as answered", "change")
    ]
    assert changes == pytest.approx([0, -0.02, -0.04, -0.06, -0.08])
    # Again over itself, and not over anything else.
    assert call("watch", folder, "--out", tmp_path / "page")[0] == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    assert call("watch", folder, "--out", tmp_path / "other")[0] == 2
    assert call("report", "--compare", tmp_path / "page", tmp_path / "page")[0] == 2


def test_a_text_is_shown_where_there_is_one(folder: Path, call: Call, tmp_path: Path) -> None:
    numbers = {"kl": Number(0.0123, 0.011, 0.0141, 2048), "same_top": Number(0.97, None, None, 2048)}
    rows = [TextRow(number, 2048, numbers) for number in (0, 40)]
    (folder / TEXT).write_text("".join(f"{json.dumps(msgspec.to_builtins(row))}\n" for row in rows))
    _, printed, _ = call("watch", folder, "--out", tmp_path / "page", "--json", tmp_path / "record.json")
    assert "text, 2048 tokens, step 40: kl 0.0123, same top 0.970" in printed.splitlines()
    document = read_document(tmp_path / "page")
    assert isinstance(document, WatchReport)
    assert (
        document.text
        == rows
        == msgspec.convert(json.loads((tmp_path / "record.json").read_text())["text"], list[TextRow])
    )
    with (tmp_path / "page" / "tables" / "text.csv").open() as file:
        assert [row["kl"] for row in csv.DictReader(file)] == ["0.0123", "0.0123"]
    (folder / TEXT).write_text("{")
    code, _, error = call("watch", folder)
    assert (code, f"{TEXT}:1:" in error) == (2, True)


def test_hostile_names_stay_text(tmp_path: Path, call: Call) -> None:
    folder = write(tmp_path / "watch", [step(0, task=HOSTILE), step(20, task=HOSTILE)], model=HOSTILE)
    code, printed, _ = call("watch", folder, "--out", tmp_path / "page")
    assert code == 0
    assert "\x1b" not in printed
    page = (tmp_path / "page" / "report.html").read_text()
    assert "<b>law" not in page
    assert "\x1b" not in page
    assert "<b>" not in (tmp_path / "page" / "report.md").read_text()


@pytest.mark.parametrize(
    "rows",
    [
        [step(0)],
        [step(20)],
        [step(0), msgspec.structs.replace(step(20), kept=None)],
        # Tasks without options.
        [msgspec.structs.replace(step(number), kept=None, learned=None) for number in (0, 20)],
        [msgspec.structs.replace(step(number), kept=None) for number in (0, 20)],
    ],
)
def test_a_record_with_little_in_it(rows: list[DriftRow], tmp_path: Path, call: Call) -> None:
    folder = write(tmp_path / "watch", rows)
    assert call("watch", folder, "--out", tmp_path / "page")[0] == 0


def test_a_grid_shows_its_watched_trainings(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = make_experiment(domains=("medicine",), groups=("harmonious", "incompatible"))
    assert read_document(write_report(experiment, tmp_path / "plain").parent).watched == []  # type: ignore[union-attr]
    for run in experiment.runs():
        write(run.watch, [step(0), step(20), step(40, ALARM if run.group == "incompatible" else None)])
    folder = write_report(experiment, tmp_path / "report").parent
    document = read_document(folder)
    assert isinstance(document, GridReport)
    assert {run.group: run.alarm for run in document.watched} == {"harmonious": None, "incompatible": ALARM}
    with (folder / "figures" / "over_training.csv").open() as file:
        drawn = list(csv.DictReader(file))
    assert len(drawn) == 2 * 2 * 3
    lost = [float(row["value"]) for row in drawn if (row["group"], row["tasks"]) == ("incompatible", "kept")]
    assert lost == pytest.approx([0, -0.02, -0.04])
    with (folder / "tables" / "over_training.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "20", "40"] * 2
    (next(iter(experiment.runs())).watch / DRIFT).write_text("{")
    with pytest.raises(InputError, match=DRIFT):
        write_report(experiment, tmp_path / "damaged")


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        ("{tasks: [law], evry: 3}", "watch: unknown key 'evry'; expected every"),
        ("{tasks: 3}", "watch.tasks: 3; expected a name, or a list of names"),
        ("{tasks: law, on_alarm: stop}", "watch: on_alarm; expected warn"),
    ],
)
def test_an_experiment_with_a_wrong_watch_is_refused_before_it_runs(
    watch: str, said: str, tmp_path: Path, call: Call
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"name: mine\ntasks: world\nmodels: {{tiny: embedded}}\ndomains: [medicine]\ngroups: [harmonious]\n"
        f"seeds: [0]\nwatch: {watch}\n"
    )
    code, _, errors = call("experiment", "validate", file)
    assert (code, said in errors) == (2, True)
