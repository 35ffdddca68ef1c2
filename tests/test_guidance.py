"""Instances vote classes and classes lose false islands, on maps readable by eye."""

from __future__ import annotations

from ptseg_d2.pseudo_labels.guidance import drop_islands, majority_classes, overlay_instances

import torch
from torch import tensor

THINGS = (11, 13)


def test_majority_counts_things_only() -> None:
    instance_ids = tensor([[1, 1, 1, 1, 1, 2, 2, 4, 0, -1]])
    sem_seg = tensor([[0, 0, 0, 13, 255, 11, 13, 0, 13, 13]])
    # 1: one thing pixel wins over three of stuff; 2: a tie, the lower id; 3: no pixel; 4: stuff alone.
    assert majority_classes(instance_ids, sem_seg, THINGS).tolist() == [13, 11, 255, 255]


def test_majority_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    instance_ids = torch.randint(-1, 6, (20, 30), generator=generator)
    sem_seg = torch.randint(9, 15, (20, 30), generator=generator)
    expected = [max(THINGS, key=lambda c: (int(((instance_ids == k) & (sem_seg == c)).sum()), -c)) for k in range(1, 6)]
    assert majority_classes(instance_ids, sem_seg, THINGS).tolist() == expected


def test_majority_without_instances() -> None:
    nothing = torch.zeros(2, 2, dtype=torch.int64)
    assert majority_classes(nothing, nothing, THINGS).tolist() == []
    assert majority_classes(nothing - 1, nothing, THINGS).tolist() == []


def test_overlay_by_hand() -> None:
    sem_seg = tensor([[11, 13, 13, 0, 255, 2]])
    instance_ids = tensor([[1, 1, 1, 2, 1, -1]])
    assert overlay_instances(sem_seg, instance_ids, tensor([13, 255])).tolist() == [[13, 13, 13, 0, 13, 2]]
    assert overlay_instances(sem_seg, instance_ids * 0, tensor([], dtype=torch.int64)).equal(sem_seg)
    assert sem_seg.tolist() == [[11, 13, 13, 0, 255, 2]]


def test_islands_without_instance_become_void() -> None:
    sem_seg = tensor([[11, 0, 11, 0, 11, 11], [0, 0, 0, 0, 11, 0], [13, 11, 0, 0, 0, 0]])
    instance_ids = tensor([[0, 0, 5, 0, 0, -1], [0, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 0, 0]])
    # Kept: the pixel with instance 5, and the region of three pixels; class 13 touches 11 but is its own region.
    expected = [[255, 0, 11, 0, 11, 11], [0, 0, 0, 0, 11, 0], [255, 255, 0, 0, 0, 0]]
    assert drop_islands(sem_seg, instance_ids, THINGS, min_area=3).tolist() == expected
    assert drop_islands(sem_seg, instance_ids, (11,), min_area=3)[2, 0] == 13
    assert drop_islands(sem_seg, instance_ids, THINGS, min_area=0).equal(sem_seg)
