"""Instances of neighbouring tiles, on rows that can be read."""

from __future__ import annotations

from ptseg_d2.inference.stitching import Box, stitch_instances

import pytest
import torch
from torch import Tensor, tensor


def box(start: int, stop: int) -> Box:
    """Columns of an image of one row."""
    return slice(0, 1), slice(start, stop)


def stitch(*tiles: tuple[int, list[int]], scores: dict[int, float] | None = None) -> list[int]:
    """Ids of an image of one row, from tiles given by their first column and their ids."""
    boxes = [box(start, start + len(ids)) for start, ids in tiles]
    found = [(tensor([ids]), scores or {i: 0.5 for i in ids if i}) for _, ids in tiles]
    ids, _ = stitch_instances(boxes, found)
    return [int(i) for i in ids[0]]


def test_an_object_across_the_border_is_one() -> None:
    assert stitch((0, [0, 0, 1, 1, 1, 1]), (4, [7, 7, 7, 0])) == [0, 0, 1, 1, 1, 1, 1, 0]


def test_a_chain_of_tiles_unites_a_long_object() -> None:
    assert stitch((0, [0, 3, 3, 3]), (2, [1, 1, 1, 1]), (4, [2, 2, 0, 0])) == [0, 1, 1, 1, 1, 1, 0, 0]


def test_touching_objects_stay_two() -> None:
    """The strip is columns 2 to 5; each object has its own partner there."""
    assert stitch((0, [1, 1, 1, 1, 2, 2]), (2, [5, 5, 4, 4, 4, 4])) == [1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ([2, 2, 2, 0, 2], [1, 1, 1, 1, 1, 1, 1]),  # 3 of 4 pixels of the strip agree
        ([2, 2, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]),  # 2 of 4: not one, and the second one is hidden
    ],
)
def test_half_of_the_strip_is_not_enough(second: list[int], expected: list[int]) -> None:
    assert stitch((0, [1, 1, 1, 1, 1, 1]), (2, second)) == expected


def test_what_is_not_united_goes_by_score() -> None:
    boxes = [box(0, 4), box(2, 6)]
    tiles = [(tensor([[1, 1, 1, 1]]), {1: 0.3}), (tensor([[0, 1, 1, 1]]), {1: 0.9})]
    ids, scores = stitch_instances(boxes, tiles)
    assert ids.tolist() == [[1, 1, 1, 2, 2, 2]] and scores == {1: 0.3, 2: 0.9}


def test_score_is_the_mean_by_area() -> None:
    tiles = [(tensor([[0, 1, 1, 1]]), {1: 0.8}), (tensor([[1, 1, 1, 1, 1, 1]]), {1: 0.2})]
    ids, scores = stitch_instances([box(0, 4), box(2, 8)], tiles)
    assert ids.tolist() == [[0, 1, 1, 1, 1, 1, 1, 1]]
    assert scores == {1: pytest.approx((3 * 0.8 + 6 * 0.2) / 9)}


def test_nothing_and_a_single_tile() -> None:
    assert stitch((0, [0, 0, 0]), (2, [0, 0])) == [0, 0, 0, 0]
    assert stitch((0, [0, 4, 4])) == [0, 4, 4]  # as it is, with its number


def test_cut_scenes_come_back() -> None:
    """Random rectangles, cut into four overlapping tiles with other numbers in each, are found again."""
    generator = torch.Generator().manual_seed(3)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    for _ in range(10):
        truth = torch.zeros(40, 50, dtype=torch.int64)
        for number in range(1, 9):
            y, x = draw(0, 30), draw(0, 40)
            truth[y : y + draw(5, 20), x : x + draw(5, 20)] = number
        boxes = [(rows, columns) for rows in (slice(0, 24), slice(16, 40)) for columns in (slice(0, 30), slice(20, 50))]
        tiles: list[tuple[Tensor, dict[int, float]]] = []
        for tile in boxes:
            order = torch.cat([tensor([0]), torch.randperm(8, generator=generator) + 1])
            tiles.append((order[truth[tile]], dict.fromkeys(range(1, 9), 0.5)))
        ids, scores = stitch_instances(boxes, tiles)
        pairs = torch.stack([ids.flatten(), truth.flatten()]).unique(dim=1)
        assert torch.equal(ids > 0, truth > 0)
        # Each found instance is of one object; an object that a better one cut in two may be found twice.
        assert len(pairs[0].unique()) == pairs.shape[1]
        assert scores.keys() == set(ids.unique().tolist()) - {0}
