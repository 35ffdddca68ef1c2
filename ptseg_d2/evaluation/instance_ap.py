"""Instance segmentation scores: the official Cityscapes AP, and precision and recall at IoU .5.

AP follows the conventions of the instance-level Cityscapes script: ground truth below a minimum size and
groups are ignored; a prediction that matches no ground truth is a false positive unless more than the IoU
threshold's share of it lies on ignored regions; AP is averaged over IoU .5:.05:.95 and then over the classes
that occur in the ground truth. One difference: objects of classes that are not evaluated (caravan, trailer)
are void here ([cityscapesScripts], "classes that are not evaluated"). precision50 = TP
/ (TP + FP) is what [thesis] calls "mAP"; it needs no scores.

Shapes: N images, B resamples, C evaluated classes, T thresholds, P predicted segments of a class over all images.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ptseg_d2.evaluation.confidence import (
    NUM_RESAMPLES,
    FloatArray,
    Interval,
    masked_mean,
    or_none,
    percentile_intervals,
    resample_weights,
    weighted_average_precision,
)
from ptseg_d2.evaluation.instance_matches import (
    AP_THRESHOLDS,
    IGNORED,
    TRUE,
    ClassMatches,
    all_matches,
    match_instances,
)
from ptseg_d2.evaluation.per_image_scores import ImageKey, PerImageScores
from ptseg_d2.evaluation.segment_overlap import SegmentInfo, SegmentOverlap, count_overlap

import numpy as np
from numpy.typing import NDArray

OFFICIAL_MIN_REGION_SIZE = 100  # pixels
MEANS = ("AP", "AP50", "precision50", "recall50")
COUNTS = ("num_predicted", "num_matched", "num_ground_truth")
CHUNK = 32  # resamples at a time, so that the curves stay in the cache of the processor


class InstanceAP:
    """Accumulates instance scores over images, of disjoint instances (`update`) or of masks that overlap (`add`).

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
        self.entries = PerImageScores()

    def update(
        self,
        pred_ids: NDArray[np.integer],
        pred_segments: Sequence[SegmentInfo],
        gt_ids: NDArray[np.integer],
        gt_segments: Sequence[SegmentInfo],
        key: ImageKey | None = None,
    ) -> None:
        """Add one image; arguments and errors as in `count_overlap` and `add`. Crowd segments are the groups."""
        self.add(count_overlap(pred_ids, pred_segments, gt_ids, gt_segments), key)

    def add(self, overlap: SegmentOverlap, key: ImageKey | None = None) -> None:
        """Add the counts of one image; segments of other classes are left aside.

        Args:
            overlap: of its segments.
            key: name of the image, so that it counts once; without a name every call is another image.

        Raises:
            ValueError: the image came before with other counts.
        """
        self.entries.add(
            key, match_instances(overlap, list(self.class_names), self.min_region_size, self.min_region_size_50)
        )

    def merge(self, other: InstanceAP) -> None:
        """Add the images of another accumulator of the same classes, for example of another process."""
        self.entries.merge(other.entries)

    def compute(self) -> dict[str, Any]:
        """Percentages and counts.

        Returns:
            AP, AP50, precision50, recall50 (means over classes), num_predicted, num_matched, num_ground_truth
            (sums; the IoU .5 matching), per_class: name -> the same keys. AP and recall are None for a class
            without ground truth; precision50 is 0 for a class of which nothing was predicted, None if it does
            not occur.
        """
        scores = self._class_scores(np.ones((1, len(self.entries))))
        rows = {key: values[0] for key, values in scores.items()}
        per_class = {
            name: {
                **{key: or_none(rows[key][c]) for key in MEANS},
                **{key: int(rows[key][c]) for key in COUNTS},
            }
            for c, name in enumerate(self.class_names.values())
        }
        return {
            **{key: or_none(_mean_of_defined(rows[key])) for key in MEANS},
            **{key: int(rows[key].sum()) for key in COUNTS},
            "per_class": per_class,
        }

    def intervals(self, num_resamples: int = NUM_RESAMPLES) -> dict[str, Interval]:
        """95 % bootstrap interval over images of AP, AP50, precision50 and recall50, in percent."""
        weights = resample_weights(len(self.entries), num_resamples)
        scores = self._class_scores(weights)
        return percentile_intervals({key: _mean_of_defined(scores[key]) for key in MEANS}, len(self.entries))

    def _class_scores(self, weights: FloatArray) -> dict[str, FloatArray]:
        """(B, C) the scores in percent, NaN where undefined, and the counts, of weighted images (B, N)."""
        columns = [
            _scores_of_class(matches, weights)
            for matches in all_matches(self.entries.ordered(), list(self.class_names))
        ]
        return {
            key: np.stack([column[key] for column in columns], axis=1) if columns else np.zeros((len(weights), 0))
            for key in (*MEANS, *COUNTS)
        }


def _scores_of_class(matches: ClassMatches, weights: FloatArray) -> dict[str, FloatArray]:
    """(B,) each, of images weighted with (B, N)."""
    num_true, num_predicted = (
        weights @ np.bincount(matches.images, keep, minlength=weights.shape[1])
        for keep in (matches.outcomes_50 == TRUE, matches.outcomes_50 != IGNORED)
    )
    num_objects = weights @ matches.num_objects_50
    occurs = num_predicted + num_objects > 0
    curves = _average_precisions(matches, weights)
    return {
        "AP": 100 * curves.mean(axis=0),
        "AP50": 100 * curves[0],
        "precision50": np.where(occurs, 100 * num_true / np.maximum(num_predicted, 1), np.nan),
        "recall50": np.where(num_objects > 0, 100 * num_true / np.maximum(num_objects, 1), np.nan),
        "num_predicted": num_predicted,
        "num_matched": num_true,
        "num_ground_truth": num_objects,
    }


def _average_precisions(matches: ClassMatches, weights: FloatArray) -> FloatArray:
    """(T, B) average precision in [0, 1] per threshold; NaN without ground truth."""
    curves = np.full((len(AP_THRESHOLDS), len(weights)), np.nan)
    if not matches.num_objects.any():
        return curves
    for start in range(0, len(weights), CHUNK):
        chunk = slice(start, start + CHUNK)
        num_objects = weights[chunk] @ matches.num_objects
        of_predictions = np.ascontiguousarray(weights[chunk].T)[matches.images]
        for t, outcomes in enumerate(matches.outcomes):
            curves[t, chunk] = weighted_average_precision(
                matches.scores, outcomes == TRUE, outcomes != IGNORED, of_predictions, num_objects
            )
    return curves


def average_precision(scores: FloatArray, is_true: NDArray[np.bool_], num_ground_truth: int) -> float:
    """Area under the precision-recall curve, as `weighted_average_precision` of images that count once.

    Args:
        scores: (P,) confidences, in any order.
        is_true: (P,) whether a prediction is a match.
        num_ground_truth: number of objects, > 0.

    Returns:
        value in [0, 1].
    """
    order = np.argsort(-scores, kind="stable")
    every = np.ones((len(scores), 1))
    area = weighted_average_precision(
        scores[order], is_true[order], every[:, 0] > 0, every, np.array([float(num_ground_truth)])
    )
    return float(area[0])


def _mean_of_defined(values: FloatArray) -> FloatArray:
    """(...,) mean over the last axis without NaN."""
    is_defined = ~np.isnan(values)
    return masked_mean(np.where(is_defined, values, 0), is_defined)
