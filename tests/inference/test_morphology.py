"""Repair of instance masks, on maps readable by eye."""

from __future__ import annotations

from ptseg_d2.inference.morphology import clean_instances

import cv2
import numpy as np
import pytest
import torch
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


def enclosed(mask: np.ndarray) -> np.ndarray:
    """Pixels outside a mask (H, W) from which no walk up, down, left and right reaches the border, one by one."""
    height, width = mask.shape
    reached = np.zeros_like(mask)
    border = [(y, x) for y in range(height) for x in range(width) if y in (0, height - 1) or x in (0, width - 1)]
    while border:
        y, x = border.pop()
        if 0 <= y < height and 0 <= x < width and not mask[y, x] and not reached[y, x]:
            reached[y, x] = True
            border += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return ~mask & ~reached


@pytest.mark.parametrize("share", [0.3, 0.55, 0.6, 0.65, 0.9])
def test_holes_equal_a_walk_from_the_border(share: float) -> None:
    """Masks of every density: holes that meet in a corner only, and walks that wind."""
    rng = np.random.default_rng(0)
    num_holes = 0
    for _ in range(10):
        mask = rng.random((20, 25)) < share
        holes = enclosed(mask)
        cleaned = clean_instances(mask.astype(np.int32) * 7, min_area=1, min_island_share=0.0)
        assert cleaned.dtype == torch.int64
        assert np.array_equal(cleaned.numpy(), (mask | holes) * 7)
        num_holes += int(holes.sum())
    assert num_holes > 0


def test_a_hole_ends_at_a_corner() -> None:
    """The way out must share an edge: both pixels below touch in a corner, and only the left one is outside."""
    ids = tensor([[1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 1, 1], [1, 0, 1, 1]])
    filled = tensor([[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1], [1, 0, 1, 1]])
    assert clean_instances(ids, min_area=1).equal(filled)


def test_nothing_to_clean() -> None:
    assert clean_instances(torch.zeros(3, 4, dtype=torch.int64), min_area=5).eq(0).all()
    assert clean_instances(torch.full((3, 4), -1), min_area=5).eq(-1).all()
    assert clean_instances(torch.ones(3, 4, dtype=torch.int64), min_area=12).eq(1).all()


def picture(*rows: str) -> torch.Tensor:
    """One digit per pixel, "." = none."""
    return tensor([[0 if pixel == "." else int(pixel) for pixel in row] for row in rows])


def test_opening_by_hand() -> None:
    """10 rows x .1 = radius 1, whose ellipse is a cross: spikes and corners go."""
    ids = picture(
        "..........",
        ".1111.....",
        ".1111.....",
        ".1111111..",
        ".1111.....",
        "....1.....",
        "....1.....",
        "......222.",
        "......222.",
        "......222.",
    )
    opened = picture(
        "..........",
        "..11......",
        ".1111.....",
        ".11111....",
        "..111.....",
        "..........",
        "..........",
        "......222.",  # 2 touches the lower border and is taken to go on below it
        "......222.",
        "......222.",
    )
    opened[7, 6] = opened[7, 8] = 0
    assert clean_instances(ids, 1, opening=0.1).equal(opened)
    assert clean_instances(ids, 1, opening=0.04).equal(ids)  # radius 0


def test_a_thin_instance_is_not_opened() -> None:
    ids = picture("1.........", "1..2222222", "1.........", "1.........")
    ids = torch.cat([ids, torch.zeros(6, 10, dtype=torch.int64)])
    assert clean_instances(ids, 4, opening=0.1).equal(ids)
    assert clean_instances(ids, 5, opening=0.1).equal(ids.where(ids == 2, 0))  # 1 has 4 pixels < 5 as it is


def test_closing_bridges_a_gap_but_takes_no_pixel_of_another() -> None:
    ids = picture(
        "..........",
        ".111.111..",
        ".111.111..",
        ".111.111..",
        ".111.1112.",
        ".1112111..",
        "..........",
        "..........",
        "..........",
        "..........",
    )
    closed = ids.clone()
    closed[1:5, 4] = 1  # (5, 4) belongs to 2; (1, 4) and (4, 4) are closed from above and below alike
    found = clean_instances(ids, 1, closing=0.1, min_island_share=0.1)
    assert found.ge(ids).all() and found[ids > 0].equal(ids[ids > 0])
    assert found[2:4, 4].tolist() == [1, 1]
    assert found[5, 4] == 2
    assert clean_instances(found, 1, closing=0.1, min_island_share=0.1).equal(found)
    assert (found == closed)[2:5].all()


def test_opening_and_closing_equal_opencv_far_from_the_border() -> None:
    rng = np.random.default_rng(1)
    mask = np.zeros((100, 120), np.uint8)
    mask[20:80, 20:100] = cv2.GaussianBlur(rng.random((60, 80)), (0, 0), 2) > 0.5
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    for share, operation in (({"opening": 0.02}, cv2.MORPH_OPEN), ({"closing": 0.02}, cv2.MORPH_CLOSE)):
        found = clean_instances(mask.astype(np.int64), 1, fill_holes=False, min_island_share=0.0, **share)
        assert np.array_equal(found.numpy(), cv2.morphologyEx(mask, operation, element))


def test_closing_does_not_grow_to_the_image_border() -> None:
    ids = torch.zeros(10, 10, dtype=torch.int64)
    ids[1:9, 1:9] = 1
    assert clean_instances(ids, 1, closing=0.3).equal(ids)
    assert clean_instances(torch.ones_like(ids), 1, opening=0.3, closing=0.3).eq(1).all()


def test_nothing_to_open_or_close() -> None:
    for ids in (torch.zeros(10, 4, dtype=torch.int64), torch.full((10, 4), -1)):
        assert clean_instances(ids, 1, opening=0.2, closing=0.2).equal(ids)
    lone = torch.zeros(10, 4, dtype=torch.int64)
    lone[0, 3] = 200
    assert clean_instances(lone, 1, opening=0.2, closing=0.2).equal(lone)
    assert clean_instances(lone, 2, opening=0.2, closing=0.2).eq(0).all()


def test_two_hundred_instances_keep_their_pixels() -> None:
    grid = torch.arange(1, 201).view(10, 20).repeat_interleave(12, 0).repeat_interleave(12, 1)
    assert clean_instances(grid, 20, opening=0.01, closing=0.01).ge(1).float().mean() > 0.9
    holes = grid.clone()
    holes[6::12, 6::12] = 0
    assert clean_instances(holes, 20, closing=0.01).equal(grid)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_a_map_without_pixels(shape: tuple[int, int]) -> None:
    cleaned = clean_instances(torch.zeros(shape, dtype=torch.int32), 3, opening=0.1, closing=0.1)
    assert cleaned.shape == shape and cleaned.dtype == torch.int64
