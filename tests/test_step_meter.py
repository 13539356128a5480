"""What the benchmark of training recipes counts in a batch, against counts done by hand."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("axolotl")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from step_meter import count  # noqa: E402

PAD, END = 0, 9


def counted(batch: dict[str, list[list[int]]], pad: int = PAD, end: int = END) -> list[int]:
    found: list[int] = count({name: torch.tensor(rows) for name, rows in batch.items()}, pad, end).tolist()
    return found


def test_padded_rows_are_counted_by_their_mask() -> None:
    ids = [[5, 6, 7, END, PAD, PAD], [5, END, PAD, PAD, PAD, PAD]]
    mask = [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]]
    labels = [[-100, -100, 7, END, -100, -100], [-100, END, -100, -100, -100, -100]]
    assert counted({"input_ids": ids, "labels": labels, "attention_mask": mask}) == [2, 6, 3, 12]


@pytest.mark.parametrize("pad", [PAD, END])
def test_packed_rows_are_counted_up_to_the_padding_behind_their_last_token(pad: int) -> None:
    # Three conversations in two rows; positions restart in each, and in the padding.
    ids = [[5, 6, END, 7, END, pad, pad], [5, 6, 7, 8, 6, 5, END]]
    positions = [[0, 1, 2, 0, 1, 0, 1], [0, 1, 2, 3, 4, 5, 6]]
    labels = [[-100, 6, END, 7, END, -100, -100], [-100, -100, -100, -100, -100, 5, END]]
    assert counted({"input_ids": ids, "labels": labels, "position_ids": positions}, pad) == [3, 12, 6, 14]
