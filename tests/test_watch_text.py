"""KL on a user's text: what was impossible adds nothing, and a model that gives no numbers has none."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from consistency.watch.text import Text, TokenScores, text_row

SIZE = 50


class Letters:
    """A tokenizer with a token for each character."""

    bos_token_id = None

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(character) % SIZE for character in text]}


@pytest.fixture
def text(tmp_path: Path) -> Text:
    path = tmp_path / "text.txt"
    path.write_text("abcdefghij" * 4)
    return Text(path, Letters(), 16, tmp_path)


def test_kl_of_the_whole_vocabulary(text: Text) -> None:
    generator = torch.Generator().manual_seed(0)
    first, later = (torch.log_softmax(torch.randn(16, SIZE, generator=generator), -1) for _ in range(2))
    # Not possible before nor after, and no longer possible after as far as it was before.
    first[:, 3] = later[:, 3] = -torch.inf
    first[:, 4], later[:, 4] = -200.0, -torch.inf
    first, later = torch.log_softmax(first, -1), torch.log_softmax(later, -1)
    assert text.score(0, lambda _, count: first[-count:]).kl == pytest.approx([0.0] * text.scored, abs=1e-5)
    found = text.score(0, lambda _, count: later[-count:])
    assert found.same_top == (first.argmax(-1) == later.argmax(-1))[-text.scored - 1 : -1].tolist()
    p, q = (x[-text.scored - 1 : -1].double().exp().numpy() for x in (first, later))
    possible = [0, 1, 2, *range(5, SIZE)]
    expected = p * (np.log(p, where=p > 0, out=np.zeros_like(p)) - np.log(q, where=q > 0, out=np.zeros_like(q)))
    assert found.kl == pytest.approx(expected[:, possible].sum(axis=1), rel=1e-2)


@pytest.mark.parametrize(("later", "kl"), [(math.nan, math.nan), (-math.inf, math.inf)])
def test_a_broken_model_is_not_the_same(text: Text, later: float, kl: float) -> None:
    first = torch.log_softmax(torch.ones(16, SIZE), -1)
    text.score(0, lambda _, count: first[-count:])
    broken = first.clone()
    broken[:, [5]] = later
    if math.isnan(later):
        broken[:] = later
    found = text.score(0, lambda _, count: broken[-count:])
    assert found.kl == pytest.approx([kl] * text.scored, nan_ok=True)
    row = text_row(20, {0: found, 1: TokenScores(kl=[0.0], same_top=[True], before=[-1.0], after=[-1.0])})
    # Not the mean of those that are left.
    assert [row.figures[name].value for name in ("kl", "kl_median", "kl_max")] == [None] * 3
    assert row.figures["same_top"].value is not None
    assert (row.figures["perplexity"].value is None) == math.isnan(later)
