"""Bootstrap intervals against a loop that really draws images and adds them to fresh accumulators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

from ptseg_d2.evaluation.confidence import (
    masked_mean,
    percentile_interval,
    percentile_intervals,
    resample_weights,
    weighted_average_precision,
)
from ptseg_d2.evaluation.instance_ap import InstanceAP, average_precision
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.evaluation.semantic_iou import ConfusionMatrix

import numpy as np
import pytest
from references_evaluation import random_blocks, random_pair

Accumulator = Union[PanopticQuality, ConfusionMatrix, InstanceAP]

NAMES = ["road", "sky", "tree", "car", "bus", "person"]
THINGS = [3, 4, 5]
NUM_IMAGES, NUM_RESAMPLES = 6, 40


def panoptic_images(seed: int) -> tuple[Callable[[], PanopticQuality], list[Any]]:
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng, [0, 1, 3, i % 5], num_ids=5) for i in range(NUM_IMAGES)]
    return lambda: PanopticQuality(NAMES, THINGS, {"PQ3": [0, 1, 4], "SQ3": [0, 1, 4]}), pairs


def instance_images(seed: int) -> tuple[Callable[[], InstanceAP], list[Any]]:
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng, [0, 3, 3 + i % 3], num_ids=14) for i in range(NUM_IMAGES)]
    return lambda: InstanceAP(NAMES, THINGS, min_region_size=40), pairs


def semantic_images(seed: int) -> tuple[Callable[[], ConfusionMatrix], list[Any]]:
    rng = np.random.default_rng(seed)
    maps = []
    for index in range(NUM_IMAGES):
        gt = random_blocks(rng, 3 + index % 3, (12, 20), 4)
        maps.append((np.where(rng.random(gt.shape) < 0.7, gt, random_blocks(rng, 5, (12, 20), 3)), gt))
    return lambda: ConfusionMatrix(NAMES, {"mIoU3": [0, 1, 4]}), maps


def intervals_by_resampling(new: Callable[[], Accumulator], images: list[Any]) -> dict[str, list[float] | None]:
    """The images of each resample are added, as often as they were drawn, to an accumulator of its own."""
    scores: dict[str, list[float]] = {}
    for row in resample_weights(len(images), NUM_RESAMPLES):
        resample = new()
        for image, times in zip(images, row.astype(int)):
            for _ in range(times):
                resample.update(*image)
        for key, value in resample.compute().items():
            if value is None or isinstance(value, float):
                scores.setdefault(key, []).append(np.nan if value is None else value)
    return percentile_intervals({key: np.array(values) for key, values in scores.items()}, len(images))


@pytest.mark.parametrize("make", [panoptic_images, semantic_images, instance_images])
@pytest.mark.parametrize("seed", range(2))
def test_equals_really_resampled_images(make: Callable[[int], tuple[Any, list[Any]]], seed: int) -> None:
    new, images = make(seed)
    accumulator = new()
    for index, image in enumerate(images):
        accumulator.update(*image, index)
    found, expected = accumulator.intervals(NUM_RESAMPLES), intervals_by_resampling(new, images)
    assert found.keys() == expected.keys() and len(found) >= 2
    for key, interval in expected.items():
        assert interval is not None and interval[0] <= interval[1]
        assert found[key] == pytest.approx(interval, abs=1e-9), key
    assert any(interval is not None and interval[1] - interval[0] > 1 for interval in expected.values())


@pytest.mark.parametrize("make", [panoptic_images, semantic_images, instance_images])
def test_equal_images_leave_no_doubt(make: Callable[[int], tuple[Any, list[Any]]]) -> None:
    new, images = make(0)
    accumulator = new()
    for key in range(5):
        accumulator.update(*images[0], key)
    scores = accumulator.compute()
    for key, interval in accumulator.intervals(50).items():
        assert interval is None if scores[key] is None else interval == pytest.approx([scores[key]] * 2, abs=1e-9)


@pytest.mark.parametrize("make", [panoptic_images, semantic_images, instance_images])
@pytest.mark.parametrize("num_images", [0, 1])
def test_too_few_images_have_no_interval(make: Callable[[int], tuple[Any, list[Any]]], num_images: int) -> None:
    new, images = make(0)
    accumulator = new()
    for image in images[:num_images]:
        accumulator.update(*image)
    assert set(accumulator.intervals(10).values()) == {None}


def test_a_mean_has_the_interval_of_the_normal_distribution() -> None:
    # One class, images of one size, no wrong class: the IoU is the mean share of right pixels.
    shares = np.random.default_rng(0).integers(0, 101, 60)
    matrix = ConfusionMatrix(["a"])
    for key, share in enumerate(shares):
        matrix.update(np.where(np.arange(100) < share, 0, 255)[None], np.zeros((1, 100), int), key)
    assert matrix.compute()["mIoU"] == pytest.approx(shares.mean())
    margin = 1.96 * shares.std() / 60**0.5
    assert matrix.intervals()["mIoU"] == pytest.approx(
        [shares.mean() - margin, shares.mean() + margin], abs=0.1 * margin
    )


def test_resamples_are_as_large_as_the_data_and_the_same_each_time() -> None:
    weights = resample_weights(7, 500)
    assert weights.shape == (500, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)
    assert weights.var(axis=0) == pytest.approx(np.full(7, 7 * 1 / 7 * 6 / 7), abs=0.2)  # binomial
    assert (weights == resample_weights(7, 500)).all() and (weights != resample_weights(7, 500, seed=1)).any()
    assert resample_weights(0, 3).shape == (3, 0)


def test_interval_by_hand() -> None:
    assert percentile_interval(np.arange(101.0)) == pytest.approx([2.5, 97.5])
    assert percentile_interval(np.array([np.nan, 4.0, np.nan])) == [4.0, 4.0]
    assert percentile_interval(np.array([np.nan])) is None


def test_masked_mean_by_hand() -> None:
    means = masked_mean(np.array([[1.0, 2, 6], [5, 5, 5]]), np.array([[True, False, True], [False] * 3]))
    assert means.tolist()[0] == 3.5 and np.isnan(means[1])


def test_weighted_predictions_are_repeated_ones() -> None:
    rng = np.random.default_rng(0)
    scores = np.sort(rng.random(30).round(1))[::-1]  # with ties
    is_true, is_kept = rng.random(30) < 0.5, rng.random(30) < 0.9
    weights = rng.integers(0, 4, (30, 5)).astype(float)
    areas = weighted_average_precision(scores, is_true & is_kept, is_kept, weights, np.array([60.0, 60, 60, 60, 0]))
    for area, column in zip(areas[:4], weights.T.astype(int)):
        repeated = np.repeat(np.arange(30), column)
        repeated = repeated[is_kept[repeated]]
        assert area == pytest.approx(average_precision(scores[repeated], is_true[repeated], 60), abs=1e-12)
    assert np.isnan(areas[4])  # a resample without objects
