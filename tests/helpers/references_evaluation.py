"""Random panoptic maps and slow, pixel-by-pixel oracles for the evaluation tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CLASS_NAMES, THING_IDS, TRAIN_TO_CITYSCAPES
from ptseg_d2.classes.tables import VOID
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

DATASET = "test_evaluators_val"  # what the fixture `entries` registers
Ids = NDArray[np.int32]
Segments = list[dict[str, Any]]


def write_cityscapes_entry(folder: Path, name: str, sem_seg: Ids, instance_ids: Ids) -> dict[str, str]:
    """Image and label files of one made-up image in the Cityscapes layout, and its Detectron2 dict.

    Args:
        sem_seg: (H, W) train ids, 255 = void.
        instance_ids: (H, W) 0 = none, -1 = group, 1.. = instances.
    """
    label_ids = np.vectorize(lambda i: TRAIN_TO_CITYSCAPES.get(i, 0))(sem_seg)
    is_instance = np.isin(sem_seg, THING_IDS) & (instance_ids > 0)
    names = {key: str(folder / f"{name}_{key}.png") for key in ("leftImg8bit", "gtFine_labelIds", "gtFine_instanceIds")}
    cv2.imwrite(names["leftImg8bit"], np.zeros((*sem_seg.shape, 3), np.uint8))
    cv2.imwrite(names["gtFine_labelIds"], label_ids.astype(np.uint8))
    instances = np.where(is_instance, label_ids * 1000 + instance_ids, label_ids)
    cv2.imwrite(names["gtFine_instanceIds"], instances.astype(np.uint16))
    return {
        "file_name": names["leftImg8bit"],
        "image_id": name,
        "label_format": "cityscapes",
        "label_file_name": names["gtFine_labelIds"],
        "instance_file_name": names["gtFine_instanceIds"],
    }


def random_labels(rng: np.random.Generator, size: tuple[int, int] = (24, 40)) -> tuple[Ids, Ids]:
    """sem_seg and instance_ids of blocks of stuff, instances, groups and void; most classes occur nowhere."""
    kinds = random_blocks(rng, 12, size, 8)
    sem_seg = np.array([255, 0, 2, 10, 10, 11, 11, 13, 13, 13, 18, 18], dtype=np.int32)[kinds]
    instance_ids = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4, -1, 5, -1], dtype=np.int32)[kinds]
    return sem_seg, instance_ids


def random_blocks(rng: np.random.Generator, num_values: int, size: tuple[int, int], block: int) -> Ids:
    """(H, W) map of random square blocks with values 0..num_values - 1; 0 is void."""
    height, width = size
    coarse = rng.integers(0, num_values, (-(-height // block), -(-width // block)))
    return np.kron(coarse, np.ones((block, block), dtype=np.int64))[:height, :width].astype(np.int32)


def list_segments(ids: Ids, classes: dict[int, int], **extra: dict[int, Any]) -> Segments:
    """segments_info of the ids > 0 that occur in a map; `extra` are further columns by id."""
    return [
        {
            "id": int(i),
            "category_id": classes[int(i)],
            "area": int((ids == i).sum()),
            **{k: v[int(i)] for k, v in extra.items()},
        }
        for i in np.unique(ids)
        if i > 0
    ]


def random_pair(
    rng: np.random.Generator,
    classes: list[int],
    size: tuple[int, int] = (24, 40),
    num_ids: int = 9,
    block: int = 8,
) -> tuple[Ids, Segments, Ids, Segments]:
    """A prediction and a ground truth that agree on most pixels, with void on both sides and crowds.

    Args:
        classes: category ids to draw from; at most one ground-truth crowd per class.

    Returns:
        pred_ids, pred_segments (with scores, often equal ones), gt_ids, gt_segments (with iscrowd).
    """
    gt_ids = random_blocks(rng, num_ids, size, block)
    pred_ids = np.roll(gt_ids, rng.integers(-2, 3, 2), axis=(0, 1))
    noise = rng.random(size) < 0.15
    pred_ids = np.where(noise, random_blocks(rng, num_ids, size, 3), pred_ids).astype(np.int32)
    pred_ids *= 7  # ids of the two maps need not agree, nor be consecutive
    gt_classes = {i: int(rng.choice(classes)) for i in range(1, num_ids)}
    pred_classes = {7 * i: gt_classes[i] if rng.random() < 0.8 else int(rng.choice(classes)) for i in range(1, num_ids)}
    scores = {i: round(float(rng.random()), 1) for i in pred_classes}
    crowds: dict[int, int] = {}
    for i in rng.permutation(np.arange(1, num_ids))[: num_ids // 3].tolist():
        crowds.setdefault(gt_classes[i], i)
    is_crowd = {i: int(i in crowds.values()) for i in gt_classes}
    return (
        pred_ids,
        list_segments(pred_ids, pred_classes, score=scores),
        gt_ids,
        list_segments(gt_ids, gt_classes, iscrowd=is_crowd),
    )


def slow_panoptic_counts(
    pred_ids: Ids, pred_segments: Segments, gt_ids: Ids, gt_segments: Segments, num_classes: int
) -> dict[str, NDArray[np.float64]]:
    """iou, tp, fp, fn (C,) of one image, one mask at a time, after the definitions of the paper."""
    counts = {key: np.zeros(num_classes) for key in ("iou", "tp", "fp", "fn")}
    void = gt_ids == 0
    matched_pred, matched_gt = set(), set()
    for gt in gt_segments:
        for pred in pred_segments:
            gt_mask, pred_mask = gt_ids == gt["id"], pred_ids == pred["id"]
            if gt["iscrowd"] or gt["category_id"] != pred["category_id"]:
                continue
            iou = (gt_mask & pred_mask).sum() / (gt_mask | (pred_mask & ~void)).sum()
            if iou > 0.5:
                counts["tp"][gt["category_id"]] += 1
                counts["iou"][gt["category_id"]] += iou
                matched_gt.add(gt["id"])
                matched_pred.add(pred["id"])
    for gt in gt_segments:
        if not gt["iscrowd"] and gt["id"] not in matched_gt:
            counts["fn"][gt["category_id"]] += 1
    for pred in pred_segments:
        if pred["id"] in matched_pred:
            continue
        ignored = void.copy()
        for gt in gt_segments:
            if gt["iscrowd"] and gt["category_id"] == pred["category_id"]:
                ignored |= gt_ids == gt["id"]
        pred_mask = pred_ids == pred["id"]
        if (pred_mask & ignored).sum() <= 0.5 * pred_mask.sum():
            counts["fp"][pred["category_id"]] += 1
    return counts


def perfect_output(entry: dict[str, str]) -> dict[str, Any]:
    """The ground truth as a prediction; crowds and void stay void, void pixels get some class."""
    truth = GroundTruthCache().read(entry)
    objects = [segment for segment in truth.segments if not segment["iscrowd"]]
    ids = np.where(np.isin(truth.ids, [segment["id"] for segment in objects]), truth.ids, 0)
    classes = np.where(truth.sem_seg == VOID, 3, truth.sem_seg).astype(np.int64)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(classes), len(CLASS_NAMES))
    return {"panoptic_seg": (torch.from_numpy(ids), objects), "sem_seg": one_hot.permute(2, 0, 1).float()}


def random_output(seed: int) -> dict[str, Any]:
    """What a model may predict that has never seen the image."""
    rng = np.random.default_rng(seed)
    ids, segments, *_ = random_pair(rng, [0, 2, 11, 13, 14])
    scores = torch.from_numpy(rng.random((len(CLASS_NAMES), *ids.shape)))
    return {"panoptic_seg": (torch.from_numpy(ids), segments), "sem_seg": scores}


def scores_of(evaluator: PanopticEvaluator) -> dict[str, dict[str, Any]]:
    """What an evaluator in the only process returns."""
    results = evaluator.evaluate()
    assert results is not None
    return results
