"""Repair of instance masks, on maps readable by eye."""

from __future__ import annotations

from ptseg_d2.inference.morphology import clean_instances

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes
from torch import tensor


def test_islands_and_crumbs_are_freed() -> None:
    ids = tensor([[1, 1, 0, 1, 0, 3], [1, 1, 0, 0, 0, 0], [2, 0, 2, 2, 0, 0], [0, 0, 0, 0, 2, -1]])
    expected = [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [2, 0, 2, 2, 0, 0], [0, 0, 0, 0, 2, -1]]
    # 1's lone pixel is < .3 of 4; 2's is not < .3 of 3 (diagonals touch); 3 has fewer than 2 pixels.
    assert clean_instances(ids, min_area=2, min_island_share=0.3).tolist() == expected
    assert ids[0, 3] == 1


def test_area_counts_after_islands_are_gone() -> None:
    ids = tensor([[1, 1, 1, 1, 1, 0, 1]])
    assert clean_instances(ids, min_area=6, min_island_share=0.5).eq(0).all()
    assert clean_instances(ids, min_area=6, min_island_share=0.0).equal(ids)


def test_holes_are_filled_but_not_other_instances() -> None:
    ids = tensor([[1, 1, 1, 1, 1], [1, 0, 1, 2, 1], [1, 1, 1, 1, 1], [0, 1, -1, 1, 0], [0, 1, 1, 1, 0]])
    filled = tensor([[1, 1, 1, 1, 1], [1, 1, 1, 2, 1], [1, 1, 1, 1, 1], [0, 1, -1, 1, 0], [0, 1, 1, 1, 0]])
    assert clean_instances(ids, min_area=1).equal(filled)
    assert clean_instances(ids, min_area=1, fill_holes=False).equal(ids)


def test_an_island_inside_another_instance_joins_it() -> None:
    ids = tensor([[2, 2, 2, 1, 1], [2, 1, 2, 1, 1], [2, 2, 2, 1, 1]])
    expected = [[2, 2, 2, 1, 1], [2, 2, 2, 1, 1], [2, 2, 2, 1, 1]]
    assert clean_instances(ids, min_area=1).tolist() == expected


def test_a_notch_at_the_image_border_is_no_hole() -> None:
    ids = tensor([[1, 0, 1], [1, 1, 1]])
    assert clean_instances(ids, min_area=1).equal(ids)
    diagonal = tensor([[1, 1, 0], [1, 0, 1], [1, 1, 1]])  # 4-connected background does not slip through
    assert clean_instances(diagonal, min_area=1)[1, 1] == 1


def test_holes_equal_scipy_on_random_masks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        mask = rng.random((20, 25)) < 0.6
        cleaned = clean_instances(mask.astype(np.int32) * 7, min_area=1, min_island_share=0.0)
        assert cleaned.dtype == torch.int64
        assert np.array_equal(cleaned.numpy(), binary_fill_holes(mask) * 7)


def test_nothing_to_clean() -> None:
    assert clean_instances(torch.zeros(3, 4, dtype=torch.int64), min_area=5).eq(0).all()
    assert clean_instances(torch.full((3, 4), -1), min_area=5).eq(-1).all()
    assert clean_instances(torch.ones(3, 4, dtype=torch.int64), min_area=12).eq(1).all()
