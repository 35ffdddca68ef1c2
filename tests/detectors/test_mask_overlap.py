"""Overlapping masks: counts by hand, equal to those of a map where masks are disjoint, and the official AP."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.classes.streets import CLASS_NAMES, THING_IDS
from ptseg_d2.detectors.mask_overlap import count_mask_overlap
from ptseg_d2.evaluation.instance_ap import InstanceAP
from ptseg_d2.evaluation.segment_overlap import count_overlap

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from official_cityscapes import LABEL_IDS, official_instance_scores, write_instance_labels
from references_evaluation import random_pair

CAR, BUS = 13, 15
MIN_REGION_SIZE = 30


def test_counts_by_hand() -> None:
    """Two masks over one car; the second also covers void, the third is empty, segment 9 has no pixel."""
    gt_ids = np.array([[1, 1, 0, 2]], dtype=np.int32)
    segments = [{"id": 2, "category_id": BUS}, {"id": 1, "category_id": CAR}, {"id": 9, "category_id": CAR}]
    masks = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]], dtype=bool)
    overlap = count_mask_overlap(masks, np.array([CAR, BUS, CAR]), np.array([0.9, 0.8, 0.7]), gt_ids, segments)
    assert overlap.intersections.tolist() == [[0, 0], [2, 1], [0, 0]]
    assert (overlap.pred_areas.tolist(), overlap.pred_void.tolist()) == ([2, 2], [0, 1])
    assert (overlap.gt_areas.tolist(), overlap.pred_classes.tolist()) == ([1, 2, 0], [CAR, BUS])


def test_without_masks_or_void() -> None:
    overlap = count_mask_overlap(
        np.zeros((0, 1, 2), bool), np.zeros(0, int), np.zeros(0), np.ones((1, 2), int), [{"id": 1, "category_id": CAR}]
    )
    assert overlap.intersections.shape == (1, 0) and overlap.pred_void.shape == (0,)


def test_disjoint_masks_count_as_a_map() -> None:
    pred_ids, pred_segments, gt_ids, gt_segments = random_pair(np.random.default_rng(0), [CAR, BUS])
    masks = np.array([pred_ids == s["id"] for s in pred_segments])
    classes, scores = (np.array([s[key] for s in pred_segments]) for key in ("category_id", "score"))
    ours = count_mask_overlap(masks, classes, scores, gt_ids, gt_segments)
    expected = count_overlap(pred_ids, pred_segments, gt_ids, gt_segments)
    for name, value in vars(expected).items():
        assert np.array_equal(getattr(ours, name), value), name


def test_a_size_that_differs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"size of the labels \(1, 3\), got \(1, 2\)"):
        count_mask_overlap(np.zeros((1, 1, 2), bool), np.zeros(1, int), np.zeros(1), np.zeros((1, 3), int), [])


def test_of_two_masks_on_one_object_the_surer_is_right() -> None:
    gt_ids = np.array([[1, 1, 1, 1]])
    masks = np.array([[[1, 1, 1, 0]], [[1, 1, 1, 1]]], dtype=bool)
    scores = InstanceAP(CLASS_NAMES, THING_IDS, min_region_size=0)
    segments = [{"id": 1, "category_id": CAR}]
    scores.add(count_mask_overlap(masks, np.array([CAR, CAR]), np.array([0.9, 0.4]), gt_ids, segments))
    car = scores.compute()["per_class"]["car"]
    assert (car["precision50"], car["recall50"], car["AP50"]) == (
        50,
        100,
        100,
    )  # the wrong one comes after all objects are found


def random_masks(
    rng: np.random.Generator, gt_ids: NDArray[np.integer], classes: dict[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
    """Every object several times, moved and with holes, over each other; scores often equal."""
    numbers = [i for i in np.unique(gt_ids) if i > 0] * 3
    moved = [np.roll(gt_ids == i, rng.integers(-2, 3, 2), axis=(0, 1)) for i in numbers]
    masks = np.array([mask & (rng.random(mask.shape) < 0.9) for mask in moved])
    names = [classes[int(i)] if rng.random() < 0.8 else BUS for i in numbers]
    return masks, np.array(names), rng.random(len(numbers)).round(1)


@pytest.mark.parametrize("seed", range(6))
def test_official_script(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = InstanceAP(CLASS_NAMES, THING_IDS, min_region_size=MIN_REGION_SIZE)
    predictions, ground_truths = [], []
    for index in range(3):
        *_, gt_ids, gt_segments = random_pair(rng, [0, 11, CAR, BUS])
        masks, classes, confidences = random_masks(rng, gt_ids, {s["id"]: s["category_id"] for s in gt_segments})
        scores.add(count_mask_overlap(masks, classes, confidences, gt_ids, gt_segments))
        ground_truths.append(write_instance_labels(tmp_path, f"image{index}", gt_ids, gt_segments))
        lines = []
        for number, (mask, class_id, score) in enumerate(zip(masks, classes, confidences)):
            cv2.imwrite(str(tmp_path / f"{index}_{number}.png"), mask.astype(np.uint8) * 255)
            lines.append(f"{index}_{number}.png {LABEL_IDS[class_id]} {float(score)!r}")
        predictions.append(str(tmp_path / f"image{index}.txt"))
        Path(predictions[-1]).write_text("\n".join(lines))
    official = official_instance_scores(tmp_path, predictions, ground_truths, MIN_REGION_SIZE)
    ours = scores.compute()
    for name, theirs in official["classes"].items():
        for key, their_key in (("AP", "ap"), ("AP50", "ap50%")):
            value, expected = ours["per_class"][name][key], 100 * float(theirs[their_key])
            assert np.isnan(expected) if value is None else value == pytest.approx(expected, abs=1e-6), (name, key)
    assert ours["AP"] == pytest.approx(100 * official["allAp"], abs=1e-6) and ours["AP"] > 1
    assert ours["num_predicted"] > ours["num_matched"] > 0
