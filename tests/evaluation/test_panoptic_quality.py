"""Panoptic quality against a slow loop over masks and values worked out by hand."""

from __future__ import annotations

from ptseg_d2.evaluation.panoptic_quality import PanopticQuality

import numpy as np
import pytest
from references_evaluation import list_segments, random_pair, slow_panoptic_counts

NAMES = ["road", "sky", "car", "bus"]
THINGS = [2, 3]
NAMES_6 = [str(i) for i in range(6)]


def row(values: list[int]) -> np.ndarray:
    return np.array([values], dtype=np.int32)


def test_one_image_by_hand() -> None:
    # Road: IoU 4/6. Car 20 is found exactly, car 21 is missed. Sky is only predicted, on the rest.
    gt = row([10, 10, 10, 10, 10, 10, 20, 20, 21, 21])
    pred = row([1, 1, 1, 1, 2, 2, 3, 3, 2, 2])
    quality = PanopticQuality(NAMES, THINGS, subsets={"PQ_first": [0, 3]})
    quality.update(pred, list_segments(pred, {1: 0, 2: 1, 3: 2}), gt, list_segments(gt, {10: 0, 20: 2, 21: 2}))
    results = quality.compute()
    road = 100 * 4 / 6
    car = 100 * 1 / 1.5
    assert results["per_class"]["road"] == pytest.approx({"PQ": road, "SQ": road, "RQ": 100, "TP": 1, "FP": 0, "FN": 0})
    assert results["per_class"]["sky"] == {"PQ": 0, "SQ": 0, "RQ": 0, "TP": 0, "FP": 1, "FN": 0}
    assert results["per_class"]["car"] == pytest.approx({"PQ": car, "SQ": 100, "RQ": car, "TP": 1, "FP": 0, "FN": 1})
    # The bus occurs nowhere: no score, and out of every mean.
    assert results["per_class"]["bus"] == {"PQ": None, "SQ": None, "RQ": None, "TP": 0, "FP": 0, "FN": 0}
    assert results["PQ"] == pytest.approx((road + 0 + car) / 3)
    assert results["SQ"] == pytest.approx((road + 0 + 100) / 3)
    assert results["RQ"] == pytest.approx((100 + 0 + car) / 3)
    assert (results["PQ_th"], results["SQ_th"]) == pytest.approx((car, 100))
    assert (results["PQ_st"], results["RQ_st"]) == pytest.approx((road / 2, 50))
    assert results["PQ_first"] == pytest.approx(road)


def test_exactly_half_is_no_match_but_counts_in_pq_plus() -> None:
    gt = row([1, 1, 1, 1])
    pred = row([1, 1, 0, 0])
    for class_id, plus in ((0, 50.0), (2, 0.0)):  # stuff, thing
        quality = PanopticQuality(NAMES, THINGS)
        quality.update(pred, list_segments(pred, {1: class_id}), gt, list_segments(gt, {1: class_id}))
        assert quality.compute()["PQ"] == 0
        assert quality.compute()["PQ_plus"] == plus


def test_pq_plus_averages_stuff_over_ground_truth_segments() -> None:
    # Sky: IoU 1/4 in the first image, missed in the second, a false positive in the third.
    quality = PanopticQuality(NAMES, THINGS)
    gt, pred = row([1, 1, 1, 1]), row([1, 2, 2, 2])
    quality.update(pred, list_segments(pred, {1: 1, 2: 0}), gt, list_segments(gt, {1: 1}))
    gt, pred = row([1, 1]), row([0, 0])
    quality.update(pred, [], gt, list_segments(gt, {1: 1}))
    gt, pred = row([1, 1]), row([5, 5])
    quality.update(pred, list_segments(pred, {5: 1}), gt, list_segments(gt, {1: 0}))
    # Road occurs once in the ground truth, unmatched: (sky 25 / 2 + road 0) / 2.
    assert quality.compute()["PQ_plus"] == pytest.approx((25 / 2 + 0) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_equals_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quality = PanopticQuality(NAMES_6, [3, 4, 5])
    expected = {key: np.zeros(6) for key in ("iou", "tp", "fp", "fn")}
    for _ in range(4):
        pair = random_pair(rng, [0, 1, 3, 4])  # 2 and 5 occur nowhere
        quality.update(*pair)
        for key, value in slow_panoptic_counts(*pair, num_classes=6).items():
            expected[key] += value
    assert expected["tp"].sum() and expected["fp"].sum() and expected["fn"].sum()
    counts = quality.counts()
    np.testing.assert_allclose(counts.iou, expected["iou"], rtol=1e-12)
    assert counts.true_positives.tolist() == expected["tp"].tolist()
    assert counts.false_positives.tolist() == expected["fp"].tolist()
    assert counts.false_negatives.tolist() == expected["fn"].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_any_split_in_any_order_gives_the_same_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = {f"image{i}": random_pair(rng, [0, 1, 3, 4]) for i in range(12)}
    whole = PanopticQuality(NAMES_6, [3, 4, 5])
    for key, pair in pairs.items():
        whole.update(*pair, key)
    parts = [PanopticQuality(NAMES_6, [3, 4, 5]) for _ in range(4)]  # one of them may stay empty
    for key in rng.permutation([*pairs, "image3", "image7"]):  # two images are seen twice
        parts[rng.integers(4)].update(*pairs[str(key)], str(key))
    for part in parts[1:]:
        parts[0].merge(part)
    assert parts[0].compute() == whole.compute()
    assert parts[0].intervals(100) == whole.intervals(100)


def test_means_of_sq_and_rq_over_some_classes() -> None:
    # Road: IoU 3/4. Car: found exactly, and one that is not there.
    gt = row([1, 1, 1, 1, 2, 2, 0, 3])
    pred = row([1, 1, 1, 0, 2, 2, 0, 4])
    quality = PanopticQuality(NAMES, THINGS, {"PQ_c": [2], "SQ_c": [2, 0], "RQ_c": [2]})
    gt_segments, pred_segments = list_segments(gt, {1: 0, 2: 2, 3: 1}), list_segments(pred, {1: 0, 2: 2, 4: 2})
    quality.update(pred, pred_segments, gt, gt_segments)
    results = quality.compute()
    assert (results["PQ_c"], results["RQ_c"]) == pytest.approx((100 / 1.5, 100 / 1.5))
    assert results["SQ_c"] == pytest.approx((100 + 75) / 2)


def test_perfect_prediction_is_100_and_empty_is_none() -> None:
    quality = PanopticQuality(NAMES, THINGS)
    assert quality.compute()["PQ"] is None and quality.compute()["PQ_plus"] is None
    gt = row([0, 0, 4, 4, 5, 9])
    segments = list_segments(gt, {4: 2, 5: 2, 9: 0})
    quality.update(gt, segments, gt, segments)
    results = quality.compute()
    assert [results[key] for key in ("PQ", "SQ", "RQ", "PQ_th", "PQ_st", "PQ_plus")] == [100] * 6


def test_nothing_labelled_and_nothing_predicted() -> None:
    quality = PanopticQuality(NAMES, THINGS)
    void = row([0, 0, 0])
    quality.update(void, [], void, [])
    pred = row([1, 1, 1])
    quality.update(pred, list_segments(pred, {1: 2}), void, [])  # all on void: no false positive
    assert quality.compute()["PQ"] is None


def test_unlisted_ground_truth_is_neither_void_nor_matched() -> None:
    # As in panopticapi: pixels of id 8 count against the prediction's IoU (2/5) and do not excuse it.
    gt, pred = row([1, 1, 8, 8, 8]), row([1, 1, 1, 1, 1])
    quality = PanopticQuality(NAMES, THINGS)
    quality.update(pred, list_segments(pred, {1: 0}), gt, [{"id": 1, "category_id": 0}])
    assert quality.compute()["per_class"]["road"] == {"PQ": 0, "SQ": 0, "RQ": 0, "TP": 0, "FP": 1, "FN": 1}


@pytest.mark.parametrize(
    ("pred_segments", "message"),
    [
        ([{"id": 1, "category_id": 0}], "segment 2 is in the map but not"),
        ([{"id": i, "category_id": 0} for i in (1, 2, 3)], "segment 3 is in segments_info but has no pixel"),
        ([{"id": i, "category_id": 0} for i in (1, 2, 2)], "positive and unique"),
        ([{"id": i, "category_id": 0} for i in (0, 1, 2)], "positive and unique"),
        ([{"id": i, "category_id": 4} for i in (1, 2)], r"category ids must be in 0\.\.3"),
    ],
)
def test_bad_prediction_is_refused(pred_segments: list[dict[str, int]], message: str) -> None:
    gt = row([1, 1, 0])
    with pytest.raises(ValueError, match=message):
        PanopticQuality(NAMES, THINGS).update(row([1, 2, 0]), pred_segments, gt, list_segments(gt, {1: 0}))


def test_other_size_is_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        PanopticQuality(NAMES, THINGS).update(row([0, 0]), [], row([0, 0, 0]), [])
