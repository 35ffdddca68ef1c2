"""Semantic IoU against the Cityscapes script and values worked out by hand."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.data.categories import CATEGORIES, CLASS_NAMES, MEANS, TRAIN_TO_CITYSCAPES
from ptseg_d2.evaluation.semantic_iou import ConfusionMatrix

import cv2
import numpy as np
import pytest
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official

LABEL_IDS = np.array([TRAIN_TO_CITYSCAPES.get(i, 0) for i in range(256)], dtype=np.uint8)


def test_by_hand() -> None:
    matrix = ConfusionMatrix(["road", "sky", "car", "bus"], subsets={"first": [0, 3], "last": [3]})
    #            void ignored; road 2 of 3 right, sky 1 of 1 but also in place of a road pixel
    matrix.update(np.array([[2, 0, 0, 1, 1]]), np.array([[255, 0, 0, 0, 1]]))
    results = matrix.compute()
    assert results["IoU"] == pytest.approx({"road": 200 / 3, "sky": 50, "car": None, "bus": None})
    assert results["mIoU"] == pytest.approx((200 / 3 + 50) / 2)
    assert results["first"] == pytest.approx(200 / 3)
    assert results["last"] is None


def test_no_class_is_a_miss() -> None:
    matrix = ConfusionMatrix(["road", "sky"])
    matrix.update(np.array([[0, 255, -1]]), np.array([[0, 0, 0]]))
    assert matrix.compute()["IoU"]["road"] == pytest.approx(100 / 3)


def test_a_class_outside_of_the_subset_still_counts_as_a_miss() -> None:
    matrix = ConfusionMatrix(["road", "truck"], subsets={"road only": [0]})
    matrix.update(np.array([[0, 1, 1, 0]]), np.array([[0, 0, 1, 1]]))
    assert matrix.compute()["road only"] == pytest.approx(100 / 3)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_cityscapes_script(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    args = official.args
    args.evalInstLevelScore, args.evalPixelAccuracy = False, False
    official_counts = official.generateMatrix(args)
    matrix = ConfusionMatrix(CLASS_NAMES, MEANS)
    other = ConfusionMatrix(CLASS_NAMES, MEANS)
    for index in range(3):
        # The classes 15..18 occur nowhere; void occurs in both maps.
        gt = rng.choice([*range(15), 255], (20, 30)).astype(np.uint8)
        pred = np.where(rng.random(gt.shape) < 0.7, gt, rng.choice([*range(15), 255], gt.shape)).astype(np.uint8)
        (matrix if index else other).update(pred, gt)
        for name, train_ids in (("gt", gt), ("pred", pred)):
            cv2.imwrite(str(tmp_path / f"{name}.png"), LABEL_IDS[train_ids])
        official.evaluatePair(str(tmp_path / "pred.png"), str(tmp_path / "gt.png"), official_counts, {}, {}, args)
    matrix.merge(other)
    results = matrix.compute()
    expected = {c.name: official.getIouScoreForLabel(c.label_id, official_counts, args) for c in CATEGORIES}
    for name, iou in results["IoU"].items():
        assert iou == (None if np.isnan(expected[name]) else pytest.approx(100 * expected[name], abs=1e-9))
    for mean, ids in MEANS.items():
        some = {CLASS_NAMES[i]: expected[CLASS_NAMES[i]] for i in ids}
        assert results[mean] == pytest.approx(100 * official.getScoreAverage(some, args), abs=1e-9)


def test_the_three_class_lists() -> None:
    names = {mean: {CLASS_NAMES[i] for i in ids} for mean, ids in MEANS.items()}
    assert [len(ids) for ids in MEANS.values()] == [19, 16, 13]
    assert names["mIoU"] - names["mIoU16"] == {"terrain", "truck", "train"}
    assert names["mIoU16"] - names["mIoU13"] == {"wall", "fence", "pole"}


def test_nothing_is_none() -> None:
    assert ConfusionMatrix(["road"]).compute() == {"mIoU": None, "IoU": {"road": None}}


def test_bad_input_is_refused() -> None:
    matrix = ConfusionMatrix(["road", "sky"])
    with pytest.raises(ValueError, match="one size"):
        matrix.update(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="true class 7"):
        matrix.update(np.zeros((1, 2), int), np.array([[0, 7]]))
