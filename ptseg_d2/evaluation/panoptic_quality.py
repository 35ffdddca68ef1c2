"""Panoptic quality with the conventions of panopticapi (Kirillov et al., "Panoptic Segmentation", CVPR 2019).

A predicted and a ground-truth segment of one class match at IoU > .5, void pixels left out of the union. A
predicted segment of which more than half lies on void or on the crowd region of its class is no false
positive. A class that occurs in neither is left out of every mean; one that occurs without a match counts 0
in PQ, SQ and RQ. (Some papers leave such classes out of SQ, which raises it.)

Shapes: H x W pixels, C classes, G ground-truth and P predicted segments. Segment id 0 = void.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ptseg_d2.evaluation.segment_overlap import SegmentInfo, SegmentOverlap, count_overlap

import numpy as np
from numpy.typing import NDArray

MATCH_IOU = 0.5


class PanopticQuality:
    """Accumulates PQ over images.

    Args:
        class_names: C names; category id = position.
        thing_ids: category ids of the things, the others are stuff.
        subsets: name -> category ids, further means of PQ over some of the classes, such as "PQ16".
    """

    def __init__(
        self,
        class_names: Sequence[str],
        thing_ids: Collection[int],
        subsets: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        self.class_names = tuple(class_names)
        self.is_thing = np.isin(np.arange(len(self.class_names)), list(thing_ids))
        self.subsets = dict(subsets or {})
        num_classes = len(self.class_names)
        self.iou = np.zeros(num_classes)  # sum over true positives
        self.true_positives = np.zeros(num_classes, dtype=np.int64)
        self.false_positives = np.zeros(num_classes, dtype=np.int64)
        self.false_negatives = np.zeros(num_classes, dtype=np.int64)
        self.any_iou = np.zeros(num_classes)  # sum over all pairs of one class, also below the threshold
        self.num_segments = np.zeros(num_classes, dtype=np.int64)  # ground truth without crowds

    def update(
        self,
        pred_ids: NDArray[np.integer],
        pred_segments: Sequence[SegmentInfo],
        gt_ids: NDArray[np.integer],
        gt_segments: Sequence[SegmentInfo],
    ) -> None:
        """Add one image; arguments and errors as in `count_overlap`."""
        self.add(count_overlap(pred_ids, pred_segments, gt_ids, gt_segments))

    def add(self, overlap: SegmentOverlap) -> None:
        """Add the counts of one image.

        Raises:
            ValueError: a category id is outside 0..C-1.
        """
        gt_classes, pred_classes = overlap.gt_classes, overlap.pred_classes
        num_classes = len(self.class_names)
        for classes in (gt_classes, pred_classes):
            if classes.size and (classes.min() < 0 or classes.max() >= num_classes):
                raise ValueError(f"category ids must be in 0..{num_classes - 1}, got {np.unique(classes).tolist()}")
        iou = _pair_iou(overlap)
        is_match = iou > MATCH_IOU  # at most one per row and column, as segments do not overlap
        is_object = ~overlap.gt_is_crowd
        is_missed = is_object & ~is_match.any(axis=1)
        is_wrong = ~is_match.any(axis=0) & (_ignored_pixels(overlap, num_classes) <= MATCH_IOU * overlap.pred_areas)

        def per_class(classes: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.bincount(classes, minlength=num_classes)

        rows, columns = np.nonzero(is_match)
        self.iou += np.bincount(gt_classes[rows], weights=iou[rows, columns], minlength=num_classes)
        self.true_positives += per_class(gt_classes[rows])
        self.false_positives += per_class(pred_classes[is_wrong])
        self.false_negatives += per_class(gt_classes[is_missed])
        self.any_iou += np.bincount(gt_classes, weights=iou.sum(axis=1), minlength=num_classes)
        self.num_segments += per_class(gt_classes[is_object])

    def merge(self, other: PanopticQuality) -> None:
        """Add what another accumulator of the same classes, for example another process, has counted."""
        self.iou += other.iou
        self.true_positives += other.true_positives
        self.false_positives += other.false_positives
        self.false_negatives += other.false_negatives
        self.any_iou += other.any_iou
        self.num_segments += other.num_segments

    def compute(self) -> dict[str, Any]:
        """Percentages; None where no class of a mean occurs.

        Returns:
            PQ, SQ, RQ, and each with _th (things) and _st (stuff); PQ_plus: PQ of a stuff class replaced by
            sum(IoU) / number of its ground-truth segments, without a threshold (Porzi et al., "Seamless Scene
            Segmentation", CVPR 2019); the subsets; per_class: name -> PQ, SQ, RQ, TP, FP, FN.
        """
        tp, fp, fn = self.true_positives, self.false_positives, self.false_negatives
        occurs = tp + fp + fn > 0
        weight = np.maximum(tp + 0.5 * fp + 0.5 * fn, 0.5)  # 0.5: keeps classes that do not occur finite
        values = {"PQ": self.iou / weight, "SQ": self.iou / np.maximum(tp, 1), "RQ": tp / weight}
        plus = np.where(self.is_thing, values["PQ"], self.any_iou / np.maximum(self.num_segments, 1))

        results: dict[str, Any] = {}
        for suffix, group in (
            ("", occurs),
            ("_th", occurs & self.is_thing),
            ("_st", occurs & ~self.is_thing),
        ):
            results.update({key + suffix: _mean_percent(value, group) for key, value in values.items()})
        results["PQ_plus"] = _mean_percent(plus, occurs)
        for name, ids in self.subsets.items():
            results[name] = _mean_percent(values["PQ"], occurs & np.isin(np.arange(len(occurs)), list(ids)))
        results["per_class"] = {
            name: {
                **{key: 100 * float(value[i]) if occurs[i] else None for key, value in values.items()},
                **{"TP": int(tp[i]), "FP": int(fp[i]), "FN": int(fn[i])},
            }
            for i, name in enumerate(self.class_names)
        }
        return results


def _pair_iou(overlap: SegmentOverlap) -> NDArray[np.float64]:
    """(G, P) IoU of the pairs of one class, void left out of the union; 0 for other pairs and crowds."""
    is_pair = overlap.gt_classes[:, None] == overlap.pred_classes
    is_pair &= ~overlap.gt_is_crowd[:, None] & (overlap.intersections > 0)
    union = overlap.gt_areas[:, None] + (overlap.pred_areas - overlap.pred_void) - overlap.intersections
    return np.divide(overlap.intersections, union, out=np.zeros(union.shape), where=is_pair)


def _ignored_pixels(overlap: SegmentOverlap, num_classes: int) -> NDArray[np.int64]:
    """(P,) pixels on void or on the crowd of the segment's class (the last one listed, if several)."""
    crowd_rows = np.full(num_classes, -1)
    for row in np.flatnonzero(overlap.gt_is_crowd):
        crowd_rows[overlap.gt_classes[row]] = row
    rows = crowd_rows[overlap.pred_classes]
    on_crowd = np.zeros_like(overlap.pred_void)
    has_crowd = np.flatnonzero(rows >= 0)
    on_crowd[has_crowd] = overlap.intersections[rows[has_crowd], has_crowd]
    return overlap.pred_void + on_crowd


def _mean_percent(values: NDArray[np.float64], keep: NDArray[np.bool_]) -> float | None:
    return 100 * float(values[keep].mean()) if keep.any() else None
