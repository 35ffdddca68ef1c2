"""Common pixels of ground-truth segments and predicted masks that may overlap each other, as a detector's do.

Shapes: H x W pixels, G ground-truth segments, P predicted masks. Segment id 0 = void.
"""

from __future__ import annotations

from collections.abc import Sequence

from ptseg_d2.evaluation.segment_overlap import IntArray, SegmentInfo, SegmentOverlap

import numpy as np
from numpy.typing import NDArray


def count_mask_overlap(
    masks: NDArray[np.bool_],
    classes: IntArray,
    scores: NDArray[np.floating],
    gt_ids: NDArray[np.integer],
    gt_segments: Sequence[SegmentInfo],
) -> SegmentOverlap:
    """Count the common pixels of every mask with every segment.

    Args:
        masks: (P, H, W); one without a pixel is left out, as in the official script.
        classes: (P,) category ids.
        scores: (P,) confidences.
        gt_ids: (H, W) integer segment ids, 0 = void. Pixels of an id that is not listed are neither void nor matched.
        gt_segments: per segment "id" > 0, "category_id" and optionally "iscrowd".

    Raises:
        ValueError: masks and map differ in size.
    """
    if masks.shape[1:] != gt_ids.shape:
        raise ValueError(f"expected masks of the size of the labels {gt_ids.shape}, got {masks.shape[1:]}")
    ids, places = np.unique(gt_ids, return_inverse=True)
    places = places.reshape(gt_ids.shape)
    counts = np.array([np.bincount(places[mask], minlength=len(ids)) for mask in masks], dtype=np.int64)
    counts = counts.reshape(len(masks), len(ids))
    seen = counts.sum(axis=1) > 0
    column_of = {int(i): column for column, i in enumerate(ids)}
    areas = np.bincount(places.ravel(), minlength=len(ids))

    def of_segments(values: IntArray) -> IntArray:
        """Columns of `values` (..., ids) in the order of the segments; 0 for one that has no pixel."""
        columns = [column_of.get(int(s["id"]), -1) for s in gt_segments]
        padded = np.concatenate([values, np.zeros((*values.shape[:-1], 1), np.int64)], axis=-1)
        return padded[..., columns]

    return SegmentOverlap(
        intersections=of_segments(counts[seen]).T,
        gt_classes=np.array([s["category_id"] for s in gt_segments], dtype=np.int64),
        gt_areas=of_segments(areas),
        gt_is_crowd=np.array([bool(s.get("iscrowd", 0)) for s in gt_segments], dtype=bool),
        pred_classes=np.asarray(classes, dtype=np.int64)[seen],
        pred_areas=counts[seen].sum(axis=1),
        pred_void=counts[seen][:, column_of[0]] if 0 in column_of else np.zeros(int(seen.sum()), np.int64),
        pred_scores=np.asarray(scores, dtype=np.float64)[seen],
    )
