"""Common pixels of every ground-truth and every predicted segment of an image: what PQ and AP come from.

Shapes: H x W pixels, G ground-truth segments, P predicted segments, R runs. Segment id 0 = void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SegmentInfo = Mapping[str, Any]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SegmentOverlap:
    """Overlaps of one image; rows and columns follow the order of the two segment lists.

    Attributes:
        intersections: (G, P) int64, common pixels of two segments.
        gt_classes: (G,) int64 category ids.
        gt_areas: (G,) int64 pixels.
        gt_is_crowd: (G,) bool, region of several objects that nobody told apart.
        pred_classes: (P,) int64 category ids.
        pred_areas: (P,) int64 pixels.
        pred_void: (P,) int64, pixels of a predicted segment on ground-truth void.
        pred_scores: (P,) float64 confidence, 1 for a segment without "score".
    """

    intersections: IntArray
    gt_classes: IntArray
    gt_areas: IntArray
    gt_is_crowd: NDArray[np.bool_]
    pred_classes: IntArray
    pred_areas: IntArray
    pred_void: IntArray
    pred_scores: NDArray[np.float64]


def count_overlap(
    pred_ids: NDArray[np.integer],
    pred_segments: Sequence[SegmentInfo],
    gt_ids: NDArray[np.integer],
    gt_segments: Sequence[SegmentInfo],
) -> SegmentOverlap:
    """Count the common pixels of all pairs of segments in one pass.

    Segments are compact, so both maps are first cut into the runs along rows in which neither changes; only
    the runs, a few percent of the pixels of a street scene, are looked up and counted.

    Args:
        pred_ids: (H, W) integer segment ids, 0 = void.
        pred_segments: per segment "id" > 0, "category_id" and optionally "score".
        gt_ids: (H, W) integer segment ids, 0 = void. Pixels of an id that is not listed are neither void nor
            matched.
        gt_segments: per segment "id" > 0, "category_id" and optionally "iscrowd".

    Raises:
        ValueError: the maps differ in size, an id is listed twice or is not positive, a predicted map and its
            list do not hold the same ids.
    """
    if pred_ids.ndim != 2 or pred_ids.shape != gt_ids.shape:
        raise ValueError(f"expected two (H, W) maps of one size, got {pred_ids.shape} and {gt_ids.shape}")
    pred_runs, gt_runs, lengths = common_runs(pred_ids.ravel(), gt_ids.ravel())
    columns = _positions(pred_runs, pred_segments, "predicted")
    rows = _positions(gt_runs, gt_segments, "ground-truth")
    num_gt, num_pred = len(gt_segments), len(pred_segments)
    if columns.max() > num_pred:
        unlisted = pred_runs[np.argmax(columns)]
        raise ValueError(f"predicted segment {unlisted} is in the map but not in its segments_info")

    # Row and column 0 are void, the last row holds ground-truth ids that are not listed.
    table = np.bincount(rows * (num_pred + 1) + columns, weights=lengths, minlength=(num_gt + 2) * (num_pred + 1))
    table = table.astype(np.int64).reshape(num_gt + 2, num_pred + 1)
    pred_areas = table.sum(axis=0)[1:]
    if not pred_areas.all():
        missing = pred_segments[int(np.argmin(pred_areas))]["id"]
        raise ValueError(f"predicted segment {missing} is in segments_info but has no pixel in the map")
    return SegmentOverlap(
        intersections=table[1:-1, 1:],
        gt_classes=_column(gt_segments, "category_id"),
        gt_areas=table.sum(axis=1)[1:-1],
        gt_is_crowd=np.array([bool(s.get("iscrowd", 0)) for s in gt_segments], dtype=bool),
        pred_classes=_column(pred_segments, "category_id"),
        pred_areas=pred_areas,
        pred_void=table[0, 1:],
        pred_scores=np.array([s.get("score", 1.0) for s in pred_segments], dtype=np.float64),
    )


def common_runs(
    pred: NDArray[np.integer], gt: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.integer], IntArray]:
    """Ids (R,), (R,) and lengths (R,) of the runs in which neither of two flat maps changes."""
    is_start = np.ones(pred.size, dtype=bool)
    np.not_equal(pred[1:], pred[:-1], out=is_start[1:])
    is_start[1:] |= gt[1:] != gt[:-1]
    starts = np.flatnonzero(is_start)
    return pred[starts], gt[starts], np.diff(starts, append=pred.size)


def _positions(run_ids: NDArray[np.integer], segments: Sequence[SegmentInfo], kind: str) -> IntArray:
    """(R,) place of each id in the list, from 1; 0 for void, len(segments) + 1 for an id not listed."""
    ids = np.concatenate([np.zeros(1, dtype=np.int64), _column(segments, "id")])
    order = np.argsort(ids, kind="stable")
    sorted_ids = ids[order]
    if sorted_ids[0] < 0 or (sorted_ids[1:] == sorted_ids[:-1]).any():
        raise ValueError(f"ids of {kind} segments must be positive and unique, got {ids[1:].tolist()}")
    places = np.minimum(np.searchsorted(sorted_ids, run_ids), len(ids) - 1)
    return np.where(sorted_ids[places] == run_ids, order[places], len(ids))


def _column(segments: Sequence[SegmentInfo], key: str) -> IntArray:
    return np.array([segment[key] for segment in segments], dtype=np.int64)
