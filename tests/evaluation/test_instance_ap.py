"""Instance scores against the Cityscapes script and values worked out by hand."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.classes.streets import CLASS_NAMES, THING_IDS
from ptseg_d2.evaluation.instance_ap import InstanceAP, average_precision

import numpy as np
import pytest
from official_cityscapes import official_instance_scores, write_instance_labels, write_instance_predictions
from references_evaluation import list_segments, random_pair

CAR, BUS, ROAD = 13, 15, 0


def row(values: list[int]) -> np.ndarray:
    return np.array([values], dtype=np.int32)


def test_average_precision_by_hand() -> None:
    # Ranked: right, wrong, right of 3 objects: recall 0, 1/3, 1/3, 2/3; precision 1, 1, 1/2, 2/3.
    # Every point weighs half the recall distance of its neighbours: 1/6, 1/6, 1/6, 1/6.
    value = average_precision(np.array([0.5, 0.9, 0.7]), np.array([True, True, False]), 3)
    assert value == pytest.approx((1 + 1 + 1 / 2 + 2 / 3) / 6)


def test_average_precision_takes_equal_scores_together() -> None:
    # One point with recall 1/2 and precision 1/2, in any order: (1 + 1/2) * 1/4.
    for is_true in ([True, False], [False, True]):
        value = average_precision(np.array([0.3, 0.3]), np.array(is_true), 2)
        assert value == pytest.approx(0.375)


def test_average_precision_without_predictions_is_0() -> None:
    assert average_precision(np.zeros(0), np.zeros(0, dtype=bool), 4) == 0


def test_counts_by_hand() -> None:
    # Car 1: found with IoU 3/4. Car 2: missed. Prediction 12 mostly on void, 13 mostly on a group: left out.
    # Prediction 14, a bus on the road, is wrong. Stuff does not matter.
    gt = row([1, 1, 1, 1, 2, 2, 0, 0, 0, 3, 3, 3, 4, 4])
    pred = row([11, 11, 11, 0, 0, 12, 12, 12, 12, 13, 13, 0, 14, 14])
    gt_segments = list_segments(gt, {1: CAR, 2: CAR, 3: CAR, 4: ROAD}, iscrowd={1: 0, 2: 0, 3: 1, 4: 0})
    pred_segments = list_segments(pred, {11: CAR, 12: CAR, 13: CAR, 14: BUS})
    scores = InstanceAP(CLASS_NAMES, THING_IDS, min_region_size=0)
    scores.update(pred, pred_segments, gt, gt_segments)
    results = scores.compute()
    car, bus = results["per_class"]["car"], results["per_class"]["bus"]
    assert (car["num_predicted"], car["num_matched"], car["num_ground_truth"]) == (1, 1, 2)
    assert (car["precision50"], car["recall50"]) == (100, 50)
    assert car["AP50"] == pytest.approx(100 * (1 / 4 + 1 / 4))
    assert car["AP"] == pytest.approx(50 * 5 / 10)  # IoU .75 passes .5, .55, .6, .65, .7
    assert (bus["precision50"], bus["recall50"], bus["AP"]) == (0, None, None)
    assert results["per_class"]["train"]["precision50"] is None
    assert (results["precision50"], results["recall50"], results["AP50"]) == (50, 50, 50)
    assert (results["num_predicted"], results["num_matched"], results["num_ground_truth"]) == (2, 1, 2)


def test_a_class_of_which_nothing_is_predicted_has_precision_0() -> None:
    gt = row([1, 1])
    scores = InstanceAP(CLASS_NAMES, THING_IDS, min_region_size=0)
    scores.update(row([0, 0]), [], gt, list_segments(gt, {1: CAR}))
    car = scores.compute()["per_class"]["car"]
    assert (car["precision50"], car["recall50"], car["AP"], car["AP50"]) == (0, 0, 0, 0)


def test_small_ground_truth_is_ignored_by_ap_only() -> None:
    gt = row([1, 1, 2, 2, 2, 2])
    pred = row([5, 5, 0, 0, 0, 0])
    scores = InstanceAP(CLASS_NAMES, THING_IDS, min_region_size=3)
    scores.update(pred, list_segments(pred, {5: CAR}), gt, list_segments(gt, {1: CAR, 2: CAR}))
    car = scores.compute()["per_class"]["car"]
    assert car["AP50"] == 0  # the small car's match is neither right nor wrong, the large car is missed
    assert (car["num_matched"], car["num_ground_truth"], car["precision50"]) == (1, 2, 100)


def test_nothing_is_none() -> None:
    results = InstanceAP(CLASS_NAMES, THING_IDS).compute()
    assert [results[key] for key in ("AP", "AP50", "precision50", "recall50")] == [None] * 4
    assert results["num_ground_truth"] == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("min_region_size", [0, 100])
def test_equals_the_cityscapes_script(tmp_path: Path, seed: int, min_region_size: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng, [ROAD, 11, 12, CAR, BUS], num_ids=14) for _ in range(5)]
    scores = InstanceAP(CLASS_NAMES, THING_IDS, min_region_size)
    for pair in pairs:
        scores.update(*pair)
    results = scores.compute()
    predictions = [write_instance_predictions(tmp_path, str(i), *pair[:2]) for i, pair in enumerate(pairs)]
    truths = [write_instance_labels(tmp_path, str(i), *pair[2:]) for i, pair in enumerate(pairs)]
    expected = official_instance_scores(tmp_path, predictions, truths, min_region_size)
    assert 0 < expected["allAp"] < 1
    assert results["AP"] == pytest.approx(100 * expected["allAp"], abs=1e-9)
    assert results["AP50"] == pytest.approx(100 * expected["allAp50%"], abs=1e-9)
    for name, row_ in expected["classes"].items():
        ours = results["per_class"][name]
        if np.isnan(row_["ap"]):
            assert (ours["AP"], ours["AP50"]) == (None, None)
        else:
            assert (ours["AP"], ours["AP50"]) == pytest.approx((100 * row_["ap"], 100 * row_["ap50%"]), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_any_split_in_any_order_gives_the_same_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng, [ROAD, 11, CAR, BUS], num_ids=14) for _ in range(8)]
    whole, *parts = [InstanceAP(CLASS_NAMES, THING_IDS, 20) for _ in range(4)]
    for key, pair in enumerate(pairs):
        whole.update(*pair, key=key)
    for key in map(int, rng.permutation([*range(8), 5])):
        parts[rng.integers(3)].update(*pairs[key], key=key)
    for part in parts[1:]:
        parts[0].merge(part)
    assert parts[0].compute() == whole.compute()
    assert parts[0].intervals(50) == whole.intervals(50)


def test_without_classes() -> None:
    scores = InstanceAP(CLASS_NAMES, [])
    scores.update(row([1]), list_segments(row([1]), {1: CAR}), row([0]), [])
    assert (scores.compute()["AP"], scores.compute()["per_class"]) == (None, {})
