"""Which predicted instances are right at which IoU: what AP, precision and recall are made of.

Shapes: N images, C evaluated classes, T thresholds, G ground-truth and P predicted segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ptseg_d2.evaluation.confidence import FloatArray
from ptseg_d2.evaluation.per_image_scores import Entry
from ptseg_d2.evaluation.segment_overlap import IntArray, SegmentOverlap

import numpy as np
from numpy.typing import NDArray

AP_THRESHOLDS: FloatArray = np.arange(0.5, 1.0, 0.05)
TRUE, FALSE, IGNORED = 1, 0, -1

Outcomes = NDArray[np.int8]


class ClassMatches(NamedTuple):
    """Predictions of one class over all images, by falling score.

    Attributes:
        images: (P,) position of each one's image.
        scores: (P,) confidences.
        outcomes: (T, P) TRUE, FALSE or IGNORED at each of `AP_THRESHOLDS`.
        outcomes_50: (P,) the same at .5 with the smallest objects of precision50 and recall50.
        num_objects: (N,) ground-truth objects.
        num_objects_50: (N,) the same, of precision50 and recall50.
    """

    images: IntArray
    scores: FloatArray
    outcomes: Outcomes
    outcomes_50: Outcomes
    num_objects: IntArray
    num_objects_50: IntArray


def match_instances(
    overlap: SegmentOverlap, class_ids: Sequence[int], min_region_size: int, min_region_size_50: int
) -> Entry:
    """Entry of one image.

    Args:
        overlap: of its segments, those of other classes are left aside.
        class_ids: the C classes.
        min_region_size: pixels; smaller ground truth is ignored by AP.
        min_region_size_50: the same for precision50 and recall50.

    Returns:
        class (P,) int16, score (P,) and outcomes (T + 1, P) int8 of its predictions, the last row for precision50 and
        recall50, and the number of objects (2, C) for the two.
    """
    columns, outcomes, num_objects = [], [], []
    for class_id in class_ids:
        columns.append(np.flatnonzero(overlap.pred_classes == class_id))
        of_ap, objects = _match(overlap, class_id, AP_THRESHOLDS, min_region_size)
        at_50, objects_50 = _match(overlap, class_id, AP_THRESHOLDS[:1], min_region_size_50)
        outcomes.append(np.concatenate([of_ap, at_50]))
        num_objects.append((objects, objects_50))
    if not columns:
        return ()  # nothing to score
    order = np.concatenate(columns)
    classes, scores = overlap.pred_classes[order].astype(np.int16), overlap.pred_scores[order]
    return classes, scores, np.concatenate(outcomes, axis=1), np.array(num_objects, dtype=np.int32).T


def all_matches(entries: Sequence[Entry], class_ids: Sequence[int]) -> Iterator[ClassMatches]:
    """The entries of all images, sorted by class.

    Args:
        entries: N, from `match_instances`.
        class_ids: the C classes of the entries.
    """
    if not class_ids:
        return
    empty = (
        np.zeros(0, np.int16),
        np.zeros(0),
        np.zeros((len(AP_THRESHOLDS) + 1, 0), np.int8),
        np.zeros((2, len(class_ids)), np.int32),
    )
    classes, scores, outcomes, _ = (np.concatenate(part, axis=-1) for part in zip(empty, *entries))
    images = np.repeat(np.arange(len(entries)), [len(entry[0]) for entry in entries])
    num_objects = np.stack([entry[3] for entry in (*entries, empty)])[: len(entries)]
    for c, class_id in enumerate(class_ids):
        mine = np.flatnonzero(classes == class_id)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        yield ClassMatches(
            images=images[mine],
            scores=scores[mine],
            outcomes=outcomes[:-1, mine],
            outcomes_50=outcomes[-1, mine],
            num_objects=num_objects[:, 0, c],
            num_objects_50=num_objects[:, 1, c],
        )


def _match(
    overlap: SegmentOverlap, class_id: int, thresholds: FloatArray, min_region_size: int
) -> tuple[Outcomes, int]:
    """Outcomes (T, P) of the predictions of one class in one image, and the number of objects."""
    columns = np.flatnonzero(overlap.pred_classes == class_id)
    rows = np.flatnonzero(overlap.gt_classes == class_id)
    intersections = overlap.intersections[np.ix_(rows, columns)]
    pred_areas, gt_areas = overlap.pred_areas[columns], overlap.gt_areas[rows, None]
    is_group, is_small = overlap.gt_is_crowd[rows], overlap.gt_areas[rows] < min_region_size
    is_object = ~is_group & ~is_small

    # At .5 and above a prediction matches at most one ground truth, and of disjoint predictions at most one matches it.
    # Of overlapping ones the surest counts; the script calls the others wrong.
    iou = intersections / (gt_areas + pred_areas - intersections)
    passes = iou > thresholds[:, None, None]  # (T, G, P)
    matches = passes & is_object[:, None]
    surest = np.where(matches, overlap.pred_scores[columns], -np.inf).argmax(axis=2) if matches.size else 0
    is_true = (matches & (np.arange(len(columns)) == np.expand_dims(surest, -1))).any(axis=1)
    is_double = matches.any(axis=1) & ~is_true
    matches_ignored = (passes & ~is_object[:, None]).any(axis=1)
    # As in the script, pixels on a group that is also too small count twice.
    weights = is_group.astype(np.int64) + is_small
    ignored_share = (overlap.pred_void[columns] + weights @ intersections) / pred_areas
    is_ignored = matches_ignored | (ignored_share > thresholds[:, None])
    outcomes = np.where(is_true, TRUE, np.where(is_ignored & ~is_double, IGNORED, FALSE)).astype(np.int8)
    return outcomes, int(is_object.sum())
