"""Instance segmentation scores: the official Cityscapes AP, and precision and recall at IoU .5.

AP follows the conventions of the instance-level Cityscapes script: ground truth below a minimum size and
groups are ignored; a prediction that matches no ground truth is a false positive unless more than the IoU
threshold's share of it lies on ignored regions; AP is averaged over IoU .5:.05:.95 and then over the classes
that occur in the ground truth. One difference: objects of classes that are not evaluated (caravan, trailer)
are void here, as they are in PQ; the script counts a prediction on them as a false positive. precision50 = TP
/ (TP + FP) is what the self-trained panoptic segmentation thesis calls "mAP"; it needs no scores.

Shapes: G ground-truth and P predicted segments of one image, T thresholds, N predictions of a class over all
images.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptseg_d2.evaluation.segment_overlap import SegmentInfo, SegmentOverlap, count_overlap

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
AP_THRESHOLDS: FloatArray = np.arange(0.5, 1.0, 0.05)
OFFICIAL_MIN_REGION_SIZE = 100  # pixels
TRUE, FALSE, IGNORED = 1, 0, -1


@dataclass
class _Matches:
    """Predictions of one class: per image scores (P,) and outcomes (T, P) of TRUE, FALSE or IGNORED."""

    scores: list[FloatArray] = field(default_factory=list)
    outcomes: list[NDArray[np.int8]] = field(default_factory=list)
    num_ground_truth: int = 0

    def merge(self, other: _Matches) -> None:
        self.scores += other.scores
        self.outcomes += other.outcomes
        self.num_ground_truth += other.num_ground_truth


class InstanceAP:
    """Accumulates instance scores over images; predicted instances are disjoint, as in a panoptic map.

    Args:
        class_names: all class names; category id = position.
        thing_ids: category ids of the classes to evaluate.
        min_region_size: AP ignores ground-truth instances of fewer pixels; 100 is official, for 2048 x 1024
            images.
        min_region_size_50: the same for precision50 and recall50.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        thing_ids: Collection[int],
        min_region_size: int = OFFICIAL_MIN_REGION_SIZE,
        min_region_size_50: int = 0,
    ) -> None:
        self.class_names = {i: class_names[i] for i in sorted(thing_ids)}
        self.min_region_size = min_region_size
        self.min_region_size_50 = min_region_size_50
        self._ap = {i: _Matches() for i in self.class_names}
        self._at_50 = {i: _Matches() for i in self.class_names}

    def update(
        self,
        pred_ids: NDArray[np.integer],
        pred_segments: Sequence[SegmentInfo],
        gt_ids: NDArray[np.integer],
        gt_segments: Sequence[SegmentInfo],
    ) -> None:
        """Add one image; arguments and errors as in `count_overlap`. Crowd segments are the groups."""
        self.add(count_overlap(pred_ids, pred_segments, gt_ids, gt_segments))

    def add(self, overlap: SegmentOverlap) -> None:
        """Add the counts of one image; segments of other classes are left aside."""
        for class_id in self.class_names:
            self._ap[class_id].merge(_match(overlap, class_id, AP_THRESHOLDS, self.min_region_size))
            self._at_50[class_id].merge(_match(overlap, class_id, AP_THRESHOLDS[:1], self.min_region_size_50))

    def merge(self, other: InstanceAP) -> None:
        """Add what another accumulator of the same classes, for example another process, has counted."""
        for class_id in self.class_names:
            self._ap[class_id].merge(other._ap[class_id])
            self._at_50[class_id].merge(other._at_50[class_id])

    def compute(self) -> dict[str, Any]:
        """Percentages and counts.

        Returns:
            AP, AP50, precision50, recall50 (means over classes), num_predicted, num_matched, num_ground_truth
            (sums; the IoU .5 matching), per_class: name -> the same keys. AP and recall are None for a class
            without ground truth; precision50 is 0 for a class of which nothing was predicted, None if it does
            not occur.
        """
        per_class: dict[str, dict[str, Any]] = {}
        for class_id, name in self.class_names.items():
            ap = _average_precisions(self._ap[class_id])
            per_class[name] = {
                "AP": None if ap is None else 100 * float(ap.mean()),
                "AP50": None if ap is None else 100 * float(ap[0]),
                **_precision_recall(self._at_50[class_id]),
            }
        results: dict[str, Any] = {}
        for key in ("AP", "AP50", "precision50", "recall50"):
            values = [row[key] for row in per_class.values() if row[key] is not None]
            results[key] = sum(values) / len(values) if values else None
        for key in ("num_predicted", "num_matched", "num_ground_truth"):
            results[key] = sum(row[key] for row in per_class.values())
        return {**results, "per_class": per_class}


def _match(overlap: SegmentOverlap, class_id: int, thresholds: FloatArray, min_region_size: int) -> _Matches:
    """Outcomes of the predictions of one class in one image."""
    columns = np.flatnonzero(overlap.pred_classes == class_id)
    rows = np.flatnonzero(overlap.gt_classes == class_id)
    intersections = overlap.intersections[np.ix_(rows, columns)]
    pred_areas, gt_areas = overlap.pred_areas[columns], overlap.gt_areas[rows, None]
    is_group, is_small = overlap.gt_is_crowd[rows], overlap.gt_areas[rows] < min_region_size
    is_object = ~is_group & ~is_small

    # At .5 and above disjoint predictions match at most one ground truth each, and the other way round.
    iou = intersections / (gt_areas + pred_areas - intersections)
    passes = iou > thresholds[:, None, None]  # (T, G, P)
    is_true = (passes & is_object[:, None]).any(axis=1)
    matches_ignored = (passes & ~is_object[:, None]).any(axis=1)
    # As in the script, pixels on a group that is also too small count twice.
    weights = is_group.astype(np.int64) + is_small
    ignored_share = (overlap.pred_void[columns] + weights @ intersections) / pred_areas
    is_ignored = matches_ignored | (ignored_share > thresholds[:, None])
    outcomes = np.where(is_true, TRUE, np.where(is_ignored, IGNORED, FALSE)).astype(np.int8)
    return _Matches([overlap.pred_scores[columns]], [outcomes], int(is_object.sum()))


def _average_precisions(matches: _Matches) -> FloatArray | None:
    """(T,) average precision in [0, 1] per threshold; None without ground truth."""
    if matches.num_ground_truth == 0:
        return None
    scores = np.concatenate(matches.scores)
    outcomes = np.concatenate(matches.outcomes, axis=1)
    kept = outcomes != IGNORED
    return np.array(
        [average_precision(scores[k], o[k] == TRUE, matches.num_ground_truth) for k, o in zip(kept, outcomes)]
    )


def average_precision(scores: FloatArray, is_true: NDArray[np.bool_], num_ground_truth: int) -> float:
    """Area under the precision-recall curve, integrated as the Cityscapes script does.

    Each point, one per distinct score plus the artificial (recall 0, precision 1), weighs half the recall
    distance of its two neighbours.

    Args:
        scores: (N,) confidences.
        is_true: (N,) whether a prediction is a match.
        num_ground_truth: number of objects, > 0.

    Returns:
        value in [0, 1].
    """
    order = np.argsort(-scores, kind="stable")
    # Predictions of one score enter together: keep the last of each.
    last_of_score = np.append(np.diff(scores[order]) != 0, True)[: len(scores)]
    num_true = np.cumsum(is_true[order])[last_of_score]
    num_kept = np.flatnonzero(last_of_score) + 1
    recall = np.concatenate([[0.0], num_true / num_ground_truth])
    precision = np.concatenate([[1.0], num_true / num_kept])
    widths = (np.append(recall[1:], recall[-1]) - np.append(0.0, recall[:-1])) / 2
    return float(precision @ widths)


def _precision_recall(matches: _Matches) -> dict[str, Any]:
    outcomes = np.concatenate([np.zeros((1, 0), dtype=np.int8), *matches.outcomes], axis=1)
    num_true = int((outcomes == TRUE).sum())
    num_predicted = int((outcomes != IGNORED).sum())
    num_objects = matches.num_ground_truth
    occurs = num_predicted + num_objects > 0
    return {
        "precision50": 100 * num_true / max(num_predicted, 1) if occurs else None,
        "recall50": 100 * num_true / num_objects if num_objects else None,
        "num_predicted": num_predicted,
        "num_matched": num_true,
        "num_ground_truth": num_objects,
    }
