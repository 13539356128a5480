"""How far a program is, told from what the programs wrote into their logs."""

import sys
from pathlib import Path

import pytest

from consistency.experiment.progress import Progress, read_progress

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from measure_progress import summary

PROGRAMS = Path(__file__).parent / "data" / "programs"


def _until(name: str, end: str) -> str:
    """A program's log up to a place in it, as it was when the program had come so far."""
    text = (PROGRAMS / name).read_bytes().decode()
    assert end in text
    return text[: text.index(end) + len(end)]


def _bars(what: str, *places: tuple[int, int], total: int) -> str:
    """The bars of tqdm for numbers done after so many seconds."""
    name = f"{what}: " if what else ""
    clock = ((done, f"{seconds // 60:02}:{seconds % 60:02}") for done, seconds in places)
    return "\n" + "".join(f"\r{name} 10%|█         | {done}/{total} [{time}<09:59,  1.00it/s]" for done, time in clock)


@pytest.mark.parametrize(
    ("name", "end", "stage"),
    [
        ("evaluate.log", "Including path", "starting"),
        ("evaluate.log", "Initializing hf-shared-prefix model", "loading the model"),
        ("evaluate.log", "0/92 [00:00<?, ?it/s]", "loading the model"),
        # The bars of the prompts count something else than the work.
        ("evaluate.log", "0/40 [00:00<?, ?it/s]", "writing the prompts"),
        ("evaluate.log", "Running loglikelihood requests", "answering"),
        ("evaluate.log", "Saving results aggregated", "saving"),
        ("train.log", "axolotl.cli.config] config:", "starting"),
        ("train.log", "Tokenizing Prompts:   0%|          | 0/26", "preparing the rows"),
        ("train.log", "Loading weights:   0%|          | 0/92", "loading the model"),
        ("train.log", "Starting trainer...", "training"),
        ("train.log", "Training completed!", "saving"),
        ("train.log", "1/1 [00:00", "saving"),
    ],
)
def test_phases(name: str, end: str, stage: str) -> None:
    assert read_progress(_until(name, end)) == Progress(stage)


@pytest.mark.parametrize(
    "bar",
    [
        "1.2.3/10 [00:05<00:09",
        "./10 [00:05<00:09",
        f"{'9' * 400}/{'9' * 400} [00:05<00:09",
        f"5/10 [{'9' * 5000}:05<00:09",
        f"5/{'9' * 5000}k [00:05<00:09",
    ],
)
def test_what_looks_like_a_bar_and_counts_nothing(bar: str) -> None:
    """A program prints what a model wrote, too."""
    real = _bars("Running loglikelihood requests", (1, 1), (5, 5), total=10)
    found = read_progress(f"{real}\rRunning loglikelihood requests:  50%|█    | {bar},  1.00it/s]")
    assert found == read_progress(real)
    assert (found.stage, found.done, found.total) == ("answers", 5, 10)


def test_answers_of_an_evaluation() -> None:
    assert read_progress(_until("evaluate.log", "0/3520 [00:00<?, ?it/s]")) == Progress("answers", 0, 3520)
    found = read_progress(_until("evaluate.log", "2481/3520 [00:06<00:01, 546.40it/s]"))
    assert found == Progress("answers", 2481, 3520, 2480 / 5, (3520 - 2481) / (2480 / 5))


def test_texts_of_a_generation() -> None:
    found = read_progress(_until("explain.log", "1/13 [00:01<00:13,  1.10s/it]"))
    assert found == Progress("texts", 1, 13)
    assert read_progress(_until("explain.log", "13/13 [00:01<00:00, 11.85it/s]")) == Progress("texts", 13, 13)


def test_steps_of_a_training() -> None:
    text = _until("train.log", "3/5 [00:02<00:01,  1.05it/s]")
    assert read_progress(text) == Progress("steps", 3, 5, 2.0, 1.0)
    assert read_progress(_until("train.log", "1/5 [00:01<00:04,  1.24s/it]")) == Progress("steps", 1, 5, 1.0, 4.0)
    # Where the end that is read begins after the start of the training.
    assert read_progress(text[text.index("{'loss'") :]) == Progress("steps", 3, 5, 2.0, 1.0)


def test_the_rate_is_that_of_the_last_minute() -> None:
    """lm_eval asks its longest prompts first: 10 in the first minute, then 60."""
    moves = ((0, 0), (5, 30), (10, 60), *((10 + done, 60 + done) for done in range(12, 61, 12)))
    text = _bars("Running loglikelihood requests", *moves, total=1000)
    assert read_progress(text) == Progress("answers", 70, 1000, 1.0, 930.0)


def test_moves_that_take_longer_than_a_minute() -> None:
    text = "Starting trainer" + _bars("", (0, 0), (1, 200), (2, 300), total=10)
    assert read_progress(f"[axolotl.train] {text}") == Progress("steps", 2, 10, 0.01, 800.0)


def test_the_first_move_of_a_batch_is_no_measure() -> None:
    """Batches of 64 that take 100 s each, drawn at their first answers."""
    bars = [(0, 0), (1, 100), (65, 200), (129, 300)]
    found = [read_progress(_bars("Running loglikelihood requests", *bars[: n + 1], total=257)) for n in range(4)]
    assert [progress and progress.seconds for progress in found] == [None, None, 300.0, 200.0]


def test_a_bar_that_is_drawn_again_has_not_moved() -> None:
    text = _bars("Shared prefixes", (0, 0), (100, 10), (200, 20), (200, 28), total=400)
    assert read_progress(text) == Progress("answers", 200, 400, 10.0, 12.0)


def test_a_second_kind_of_requests_begins_anew() -> None:
    text = _bars("Running loglikelihood requests", (0, 0), (50, 5), (100, 10), total=100)
    text += _bars("Running generate_until requests", (0, 0), (1, 10), (4, 40), total=20)
    assert read_progress(text) == Progress("texts", 4, 20, 0.1, 160.0)
    again = _bars("Running loglikelihood requests", (0, 0), (50, 5), (100, 10), total=100)
    again += _bars("Running loglikelihood requests", (0, 0), (1, 5), (11, 10), total=100)
    assert read_progress(again) == Progress("answers", 11, 100, 2.0, 44.5)


def test_hours_and_numbers_in_thousands() -> None:
    text = "\rRunning loglikelihood requests:  1%| | 1.00k/20.0k [59:00<9:00:00, 1it/s]"
    text += "\rRunning loglikelihood requests: 10%| | 1.06k/20.0k [1:00:00<9:00:00, 1it/s]"
    assert read_progress(text) == Progress("answers", 1060, 20_000, 1.0, 18_940.0)


@pytest.mark.parametrize("text", ["", "one\ntwo\r", "100%|", "12%|██ | 1/0 [00", "Shared prefixes: 5%| | 3/9 [0:99<"])
def test_what_no_program_of_the_grid_prints(text: str) -> None:
    found = read_progress(text)
    assert found is None or found.rate is None
    assert read_progress("Running loglikelihood requests: 0%| | 0/0 [00:00<?, ?it/s]") == Progress("answers", 0, 0)


def test_how_right_the_time_left_was() -> None:
    """A job of 200 s of which 70 were said to be left after a minute, half of what was true, and all that was later."""
    looks = [
        {"job": "train a", "ran": ran, "said": said, "left": 200 - ran} for ran, said in ((30, 9), (60, 70), (100, 100))
    ]
    looks.append({"job": "train a", "ran": 195, "said": 50, "left": 5})  # too short to count
    looks.append({"job": "probe a", "ran": 10, "said": None, "left": 20})
    _, train, probe = (line.split()[2:] for line in summary(looks).splitlines())
    assert train == ["200", "70", "140", "0.50", "0.50"]
    assert probe == ["30", "-", "-", "-", "-"]
