"""Masked image consistency: whole blocks are hidden, at the asked rate."""

from __future__ import annotations

from ptseg_d2.modeling.teachers.masking import random_blocks

import pytest
import torch


def test_blocks_are_hidden_whole_and_cut_at_the_border() -> None:
    hidden = random_blocks((5, 7), block=2, ratio=0.5, generator=torch.Generator().manual_seed(3))
    assert hidden.shape == (5, 7) and hidden.dtype == torch.bool
    assert hidden.any() and not hidden.all()
    for top in range(0, 5, 2):
        for left in range(0, 7, 2):
            assert len(hidden[top : top + 2, left : left + 2].unique()) == 1


@pytest.mark.parametrize(("ratio", "share"), [(0.0, 0.0), (0.7, 0.7), (1.0, 1.0)])
def test_share_of_hidden_blocks(ratio: float, share: float) -> None:
    hidden = random_blocks((200, 200), block=2, ratio=ratio, generator=torch.Generator().manual_seed(0))
    assert float(hidden.float().mean()) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("block", "ratio"), [(0, 0.5), (4, -0.1), (4, 1.1)])
def test_nonsense_is_refused(block: int, ratio: float) -> None:
    with pytest.raises(ValueError, match="masking needs blocks"):
        random_blocks((8, 8), block, ratio)
