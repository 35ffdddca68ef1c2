"""Instances vote classes and classes lose false islands, on maps readable by eye."""

from __future__ import annotations

from ptseg_d2.inference.merging import majority_classes
from ptseg_d2.pseudo_labels.guidance import (
    ISLAND,
    drop_islands,
    guidance_map,
    guide,
    overlay_instances,
)

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


def test_guidance_map_by_hand() -> None:
    sem_seg = tensor([[11, 11, 13, 0, 13, 0], [0, 0, 0, 0, 13, 13]])
    instance_ids = tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    # The instance is of class 11 as a whole; the region of three pixels is an island only below its size.
    nothing = [255, 255, 255]
    assert guidance_map(sem_seg, instance_ids, THINGS, 3).tolist() == [[11, 11, 11, *nothing], [*nothing, *nothing]]
    expected = [[11, 11, 11, 255, ISLAND, 255], [*nothing, 255, ISLAND, ISLAND]]
    assert guidance_map(sem_seg, instance_ids, THINGS, 4).tolist() == expected


def test_instances_go_over_the_labels_and_islands_take_things_away() -> None:
    labels = tensor([[13, 255, 0, 11, 2, 255, 13]])
    confidence = tensor([[0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.9]])
    guidance = tensor([[13, 13, 13, ISLAND, ISLAND, ISLAND, 255]])
    guided, weight = guide(labels, confidence, guidance, THINGS)
    assert guided.tolist() == [[13, 13, 13, 255, 2, 255, 13]]
    assert torch.equal(weight, tensor([[0.5, 1.0, 1.0, 0.2, 0.1, 0.0, 0.9]]))
    assert labels[0, 3] == 11  # the arguments stay as they are
