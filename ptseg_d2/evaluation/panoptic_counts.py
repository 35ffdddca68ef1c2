"""What panoptic quality is made of: matches and misses per class, and the sums of IoU ([PQ]).

Shapes: C classes, G ground-truth and P predicted segments of one image.
"""

from __future__ import annotations

from typing import NamedTuple

from ptseg_d2.evaluation.confidence import FloatArray, Mask
from ptseg_d2.evaluation.segment_overlap import SegmentOverlap

import numpy as np
from numpy.typing import NDArray

MATCH_IOU = 0.5


class PanopticCounts(NamedTuple):
    """Per class, (..., C) float64 each; whole numbers but for the sums of IoU."""

    iou: FloatArray  # sum over true positives
    true_positives: FloatArray
    false_positives: FloatArray
    false_negatives: FloatArray
    any_iou: FloatArray  # sum over all pairs of one class, also below the threshold
    num_segments: FloatArray  # ground truth without crowds

    @property
    def occurs(self) -> Mask:
        """(..., C) whether there is anything to score."""
        return self.true_positives + self.false_positives + self.false_negatives > 0

    def qualities(self) -> dict[str, FloatArray]:
        """PQ, SQ and RQ, (..., C) in [0, 1]; 0 for a class that does not occur."""
        # .5 keeps classes that do not occur finite.
        weight = np.maximum(self.true_positives + 0.5 * self.false_positives + 0.5 * self.false_negatives, 0.5)
        return {
            "PQ": self.iou / weight,
            "SQ": self.iou / np.maximum(self.true_positives, 1),
            "RQ": self.true_positives / weight,
        }

    def stuff_iou(self) -> FloatArray:
        """(..., C) sum(IoU) / number of ground-truth segments, in [0, 1], without a threshold."""
        return self.any_iou / np.maximum(self.num_segments, 1)


def count_matches(overlap: SegmentOverlap, num_classes: int) -> PanopticCounts:
    """Counts (C,) of one image.

    Raises:
        ValueError: a category id is outside 0..C-1.
    """
    gt_classes, pred_classes = overlap.gt_classes, overlap.pred_classes
    for classes in (gt_classes, pred_classes):
        if classes.size and (classes.min() < 0 or classes.max() >= num_classes):
            raise ValueError(f"category ids must be in 0..{num_classes - 1}, got {np.unique(classes).tolist()}")
    iou = _pair_iou(overlap)
    is_match = iou > MATCH_IOU  # at most one per row and column, as segments do not overlap
    is_object = ~overlap.gt_is_crowd
    is_missed = is_object & ~is_match.any(axis=1)
    is_wrong = ~is_match.any(axis=0) & (_ignored_pixels(overlap, num_classes) <= MATCH_IOU * overlap.pred_areas)
    rows, columns = np.nonzero(is_match)

    def per_class(classes: NDArray[np.int64], weights: FloatArray | None = None) -> FloatArray:
        return np.bincount(classes, weights, minlength=num_classes).astype(np.float64)

    return PanopticCounts(
        iou=per_class(gt_classes[rows], iou[rows, columns]),
        true_positives=per_class(gt_classes[rows]),
        false_positives=per_class(pred_classes[is_wrong]),
        false_negatives=per_class(gt_classes[is_missed]),
        any_iou=per_class(gt_classes, iou.sum(axis=1)),
        num_segments=per_class(gt_classes[is_object]),
    )


def _pair_iou(overlap: SegmentOverlap) -> FloatArray:
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
