"""Detections in Cityscapes' classes, and as one map."""

from __future__ import annotations

from ptseg_d2.detectors.detections import Detections, in_cityscapes_classes, paint

import torch

CAR, PERSON, RIDER, BICYCLE = 13, 11, 12, 18


def row(masks: list[list[int]], classes: list[int], scores: list[float]) -> Detections:
    """Masks of one row of pixels, with boxes that do not matter."""
    return Detections(
        torch.zeros(len(masks), 4),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(scores),
        torch.tensor(masks).bool().reshape(len(masks), 1, -1),
    )


def test_outputs_without_a_class_or_a_pixel_go() -> None:
    found = in_cityscapes_classes(row([[1, 0], [0, 1], [0, 0]], [0, 1, 0], [0.9, 0.8, 0.7]), torch.tensor([CAR, 255]))
    assert found.classes.tolist() == [CAR] and found.scores.tolist() == [torch.tensor(0.9).item()]


def test_riders_are_an_option() -> None:
    outputs = row([[1], [1]], [0, 1], [0.9, 0.8])
    outputs = outputs._replace(boxes=torch.tensor([[20.0, 0, 40, 70], [0.0, 40, 60, 80]]))
    ids = torch.tensor([PERSON, BICYCLE])
    assert in_cityscapes_classes(outputs, ids).classes.tolist() == [PERSON, BICYCLE]
    assert in_cityscapes_classes(outputs, ids, riders=True).classes.tolist() == [RIDER, BICYCLE]


def test_the_surer_mask_is_on_top_and_numbers_follow_the_scores() -> None:
    found = row([[1, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]], [CAR, PERSON, CAR], [0.6, 0.9, 0.3])
    assert paint(found, min_score=0.5, min_area=1).tolist() == [[13002, 13002, 11001, 11001, 0]]
    assert paint(found, min_score=0.0, min_area=1).tolist() == [[13002, 13002, 11001, 11001, 13003]]
    assert paint(found, min_score=0.0, min_area=2).tolist() == [[13002, 13002, 11001, 11001, 0]]


def test_nothing_detected() -> None:
    empty = Detections(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0), torch.zeros(0, 2, 3).bool()
    )
    assert paint(empty, 0.5, 1).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert len(in_cityscapes_classes(empty, torch.tensor([CAR]), riders=True).classes) == 0
