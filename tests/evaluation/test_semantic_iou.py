"""Semantic IoU against the Cityscapes script and values worked out by hand."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.classes.streets import (
    CATEGORIES,
    CITYSCAPES,
    CLASS_NAMES,
    TRAIN_TO_CITYSCAPES,
)
from ptseg_d2.evaluation.semantic_iou import ConfusionMatrix, argmax_among

import cv2
import numpy as np
import pytest
import torch
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
    matrix = ConfusionMatrix(CLASS_NAMES, CITYSCAPES.semantic_means)
    other = ConfusionMatrix(CLASS_NAMES, CITYSCAPES.semantic_means)
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
    for mean, ids in CITYSCAPES.semantic_means.items():
        some = {CLASS_NAMES[i]: expected[CLASS_NAMES[i]] for i in ids}
        assert results[mean] == pytest.approx(100 * official.getScoreAverage(some, args), abs=1e-9)


def test_class_lists_of_the_means() -> None:
    means = {**CITYSCAPES.panoptic_means, **CITYSCAPES.semantic_means}
    names = {mean: {CLASS_NAMES[i] for i in ids} for mean, ids in means.items()}
    assert {mean: len(ids) for mean, ids in means.items()} == {
        **{"PQ": 19, "PQ16": 16, "PQ16_16way": 16},
        **{"mIoU": 19, "mIoU16": 16, "mIoU13": 13, "mIoU16_16way": 16},
    }
    assert names["PQ"] == names["mIoU"]
    assert names["PQ16"] == names["PQ16_16way"] == names["mIoU16_16way"] == names["mIoU16"]
    assert names["mIoU"] - names["mIoU16"] == {"terrain", "truck", "train"}
    assert names["mIoU16"] - names["mIoU13"] == {"wall", "fence", "pole"}


@pytest.mark.parametrize("seed", range(3))
def test_any_split_in_any_order_gives_the_same_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = [(rng.integers(0, 5, (9, 7)), rng.choice([0, 1, 2, 255], (9, 7))) for _ in range(8)]
    whole, *parts = (ConfusionMatrix([str(i) for i in range(4)]) for _ in range(4))
    for key, pair in enumerate(maps):
        whole.update(*pair, key=key)
    for key in map(int, rng.permutation([*range(8), 5])):
        parts[rng.integers(3)].update(*maps[key], key=key)
    for part in parts[1:]:
        parts[0].merge(part)
    assert parts[0].compute() == whole.compute()
    assert parts[0].intervals(50) == whole.intervals(50)
    assert (parts[0].counts == whole.counts).all() and whole.counts.sum() == sum((gt < 255).sum() for _, gt in maps)


@pytest.mark.parametrize("given", [True, False])
def test_argmax_among_some_classes(given: bool) -> None:
    scores = torch.rand(6, 8, 9, generator=torch.Generator().manual_seed(0))
    restricted = scores.clone()
    restricted[[1, 4]] = -1
    best = argmax_among(scores, (0, 2, 3, 5), scores.argmax(0) if given else None)
    assert torch.equal(best, restricted.argmax(0))
    assert not torch.equal(best, scores.argmax(0))
    assert torch.equal(argmax_among(scores, range(6)), scores.argmax(0))


def test_nothing_is_none() -> None:
    assert ConfusionMatrix(["road"]).compute() == {"mIoU": None, "IoU": {"road": None}}


def test_bad_input_is_refused() -> None:
    matrix = ConfusionMatrix(["road", "sky"])
    with pytest.raises(ValueError, match="one size"):
        matrix.update(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="true class 7"):
        matrix.update(np.zeros((1, 2), int), np.array([[0, 7]]))
