"""Panoptic merging on maps readable by eye, and against a slow pixel loop."""

from __future__ import annotations

from ptseg_d2.inference.merging import (
    Crop,
    connected_component_instances,
    merge_panoptic,
    paste_crops_,
    resolve_overlaps,
)

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from torch import Tensor, tensor

THINGS = {2, 3}


def rows(*lines: str) -> Tensor:
    """One mask of a single row per line, x = inside."""
    return tensor([[[letter == "x" for letter in line]] for line in lines])


def test_the_better_mask_takes_the_common_pixels() -> None:
    masks = rows("xxxx....", "..xxxx..", ".....xxx")
    assert resolve_overlaps(masks, tensor([0.5, 0.9, 0.1])).tolist() == [[1, 1, 2, 2, 2, 2, 3, 3]]
    assert resolve_overlaps(masks, tensor([0.5, 0.5, 0.5])).tolist() == [[1, 1, 1, 1, 2, 2, 3, 3]]  # earlier first


@pytest.mark.parametrize(("min_visible", "expected"), [(0.5, [2, 2, 2, 1]), (0.51, [2, 2, 2, 3]), (0.0, [2, 2, 2, 1])])
def test_hidden_masks_leave_their_pixels_to_the_next(min_visible: float, expected: list[int]) -> None:
    """Of mask 1 half is visible beside mask 2; if that is not enough, mask 3 gets the last pixel."""
    masks = rows("..xx", "xxx.", "...x")
    assert resolve_overlaps(masks, tensor([0.5, 0.9, 0.1]), min_visible).tolist() == [expected]


def test_no_mask_empty_masks_and_equal_masks() -> None:
    assert resolve_overlaps(torch.zeros(0, 2, 3, dtype=torch.bool), torch.zeros(0)).tolist() == [[0] * 3] * 2
    assert resolve_overlaps(rows("...", "xx."), tensor([0.9, 0.1]), 0.0).tolist() == [[2, 2, 0]]
    assert resolve_overlaps(rows("xx", "xx"), tensor([0.1, 0.9])).tolist() == [[2, 2]]


def test_crops_do_not_take_what_is_not_free() -> None:
    ids = tensor([[0, 0, 7, 0]])
    assert paste_crops_(ids, [Crop(0, 1, tensor([[True, True, True]]))], [0.3]) is ids
    assert ids.tolist() == [[0, 1, 7, 1]]


def test_random_overlaps_equal_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        masks = torch.zeros(9, 10, 12, dtype=torch.bool)
        for mask in masks:
            y, x = (int(torch.randint(0, 8, (), generator=generator)) for _ in range(2))
            mask[y : y + 5, x : x + 6] = torch.rand(mask[y : y + 5, x : x + 6].shape, generator=generator) < 0.8
        scores = torch.randint(0, 4, (9,), generator=generator) / 4  # with ties
        owner: dict[tuple[int, int], int] = {}
        for _, k in sorted((-float(score), k) for k, score in enumerate(scores)):
            own = [(int(y), int(x)) for y, x in masks[k].nonzero()]
            free = [place for place in own if place not in owner]
            if len(free) >= 0.5 * len(own):
                owner.update(dict.fromkeys(free, k + 1))
        found = resolve_overlaps(masks, scores)
        assert {(y, x): int(found[y, x]) for y, x in found.nonzero().tolist()} == owner


def test_small_stuff_becomes_void() -> None:
    sem_seg = tensor([[0, 0, 1], [0, 2, 2]])
    panoptic, segments = merge_panoptic(sem_seg, tensor([[0, 0, 0], [0, 1, 1]]), THINGS, min_stuff_area=2)
    assert panoptic.tolist() == [[2, 2, 0], [2, 1, 1]]  # class 1 covers 1 pixel < 2
    assert panoptic.dtype == torch.int32
    assert segments == [
        {"id": 1, "category_id": 2, "isthing": True, "area": 2, "score": 1.0},
        {"id": 2, "category_id": 0, "isthing": False, "area": 3, "score": 1.0},
    ]


def test_majority_class_and_pixels_without_instance() -> None:
    sem_seg = tensor([[2, 2, 3, 0, 0, 2, 3, 255]])
    instance_ids = tensor([[4, 4, 4, 4, 0, 0, -1, 0]])
    panoptic, segments = merge_panoptic(sem_seg, instance_ids, THINGS, scores={4: 0.25}, min_stuff_area=0)
    assert panoptic.tolist() == [[4, 4, 4, 4, 5, 0, 0, 0]]  # instance 4 lies over a pixel of stuff
    assert segments[0] == {"id": 4, "category_id": 2, "isthing": True, "area": 4, "score": 0.25}
    assert segments[1]["area"] == 1


def test_dropped_instances_give_their_stuff_back() -> None:
    sem_seg = tensor([[0, 0, 0, 2, 0, 2]])
    instance_ids = tensor([[1, 1, 1, 0, 2, 2]])  # 1 has no thing pixel, 2 is smaller than 3 pixels
    panoptic, segments = merge_panoptic(sem_seg, instance_ids, THINGS, min_stuff_area=1, min_thing_area=3)
    assert panoptic.tolist() == [[3, 3, 3, 0, 3, 0]]
    assert [s["category_id"] for s in segments] == [0]


def test_nothing_at_all() -> None:
    void = torch.full((2, 3), 255)
    panoptic, segments = merge_panoptic(void, torch.zeros(2, 3, dtype=torch.int64), THINGS, min_stuff_area=0)
    assert panoptic.eq(0).all() and segments == []


def test_void_stays_void() -> None:
    """Class 255 outside instances is segment 0 however large it is; inside one it belongs to the instance."""
    sem_seg = tensor([[255, 255, 255, 0], [255, 2, 255, 0]])
    instance_ids = tensor([[0, 0, -1, 0], [0, 1, 1, 0]])
    panoptic, segments = merge_panoptic(sem_seg, instance_ids, THINGS, min_stuff_area=0)
    assert panoptic.tolist() == [[0, 0, 0, 2], [0, 1, 1, 2]]
    assert [(s["category_id"], s["area"]) for s in segments] == [(2, 2), (0, 2)]


def test_random_maps_equal_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        sem_seg = torch.randint(0, 5, (12, 15), generator=generator)
        sem_seg[torch.rand(12, 15, generator=generator) < 0.1] = 255
        instance_ids = torch.randint(-1, 9, (12, 15), generator=generator)
        panoptic, segments = merge_panoptic(sem_seg, instance_ids, THINGS, min_stuff_area=12, min_thing_area=18)
        of_id = {s["id"]: s for s in segments}
        for number in range(1, 9):
            mask = instance_ids == number
            votes = [int((mask & (sem_seg == c)).sum()) for c in (2, 3)]
            kept = mask.sum() >= 18 and sum(votes) > 0
            assert (panoptic[mask] == number).all() == kept
            if kept:
                assert of_id[number]["category_id"] == (2 if votes[0] >= votes[1] else 3)
        rest = ~torch.isin(panoptic, tensor([s["id"] for s in segments if s["isthing"]]))
        for category in (0, 1, 4):
            mask = rest & (sem_seg == category)
            assert len(panoptic[mask].unique()) == 1
            assert (panoptic[mask][0] > 0) == (mask.sum() >= 12)
        assert panoptic[rest & torch.isin(sem_seg, tensor([2, 3, 255]))].eq(0).all()
        for segment in segments:
            assert segment["area"] == (panoptic == segment["id"]).sum()


def test_components_by_eye() -> None:
    sem_seg = tensor([[2, 0, 3, 3], [0, 2, 0, 3], [0, 0, 0, 0], [2, 0, 2, 2]])
    expected = [[1, 0, 3, 3], [0, 1, 0, 3], [0, 0, 0, 0], [0, 0, 2, 2]]  # diagonals touch; one pixel < 2
    assert connected_component_instances(sem_seg, THINGS, min_area=2).tolist() == expected
    assert connected_component_instances(sem_seg, {9}, min_area=2).eq(0).all()


def test_components_equal_scipy() -> None:
    sem_seg = torch.randint(0, 4, (30, 40), generator=torch.Generator().manual_seed(2))
    ids = connected_component_instances(sem_seg, {3}, min_area=1).numpy()
    expected, count = label(sem_seg.numpy() == 3, structure=np.ones((3, 3)))
    assert ids.max() == count
    assert len(np.unique(np.stack([ids, expected]).reshape(2, -1), axis=1).T) == count + 1
