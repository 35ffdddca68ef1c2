"""Panoptic quality with the conventions of [panopticapi] ([PQ]).

A predicted and a ground-truth segment of one class match at IoU > .5, void pixels left out of the union. A
predicted segment of which more than half lies on void or on the crowd region of its class is no false
positive. A class that occurs in neither is left out of every mean; one that occurs without a match counts 0
in PQ, SQ and RQ. ([PQ], "classes without a match")

Shapes: H x W pixels, N images, C classes. Segment id 0 = void.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ptseg_d2.evaluation.confidence import (
    NUM_RESAMPLES,
    FloatArray,
    Interval,
    class_mask,
    masked_mean,
    or_none,
    percentile_intervals,
    resample_weights,
)
from ptseg_d2.evaluation.panoptic_counts import PanopticCounts, count_matches
from ptseg_d2.evaluation.per_image_scores import ImageKey, PerImageScores
from ptseg_d2.evaluation.segment_overlap import SegmentInfo, SegmentOverlap, count_overlap

import numpy as np
from numpy.typing import NDArray

QUALITIES = ("PQ", "SQ", "RQ")


class PanopticQuality:
    """Accumulates PQ over images.

    Args:
        class_names: C names; category id = position.
        thing_ids: category ids of the things, the others are stuff.
        subsets: name -> category ids, further means over some of the classes: of SQ or RQ if the name begins so,
            otherwise of PQ, such as "PQ16".
    """

    def __init__(
        self,
        class_names: Sequence[str],
        thing_ids: Collection[int],
        subsets: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        self.class_names = tuple(class_names)
        self.is_thing = class_mask(thing_ids, len(self.class_names))
        self.subsets = dict(subsets or {})
        self.entries = PerImageScores()  # the classes that occur (K,) and their counts (6, K)

    def update(
        self,
        pred_ids: NDArray[np.integer],
        pred_segments: Sequence[SegmentInfo],
        gt_ids: NDArray[np.integer],
        gt_segments: Sequence[SegmentInfo],
        key: ImageKey | None = None,
    ) -> None:
        """Add one image; arguments and errors as in `count_overlap` and `add`."""
        self.add(count_overlap(pred_ids, pred_segments, gt_ids, gt_segments), key)

    def add(self, overlap: SegmentOverlap, key: ImageKey | None = None) -> None:
        """Add the counts of one image.

        Args:
            overlap: of its segments.
            key: name of the image, so that it counts once; without a name every call is another image.

        Raises:
            ValueError: a category id is outside 0..C-1, or the image came before with other counts.
        """
        counts = np.stack(count_matches(overlap, len(self.class_names)))
        classes = np.flatnonzero(counts.any(axis=0))
        self.entries.add(key, (classes, counts[:, classes]))

    def merge(self, other: PanopticQuality) -> None:
        """Add the images of another accumulator of the same classes, for example of another process."""
        self.entries.merge(other.entries)

    def image_counts(self) -> PanopticCounts:
        """(N, C) counts of every image, in the order of the entries."""
        entries = self.entries.ordered()
        counts = np.zeros((len(PanopticCounts._fields), len(entries), len(self.class_names)))
        for index, (classes, values) in enumerate(entries):
            counts[:, index, classes] = values
        return PanopticCounts(*counts)

    def counts(self) -> PanopticCounts:
        """(C,) sums over the images."""
        return PanopticCounts(*(values.sum(axis=0) for values in self.image_counts()))

    def means(self, counts: PanopticCounts) -> dict[str, FloatArray]:
        """(...,) the means of `compute` in percent from counts (..., C); NaN where no class of a mean occurs."""
        occurs, qualities = counts.occurs, counts.qualities()
        groups = {"": np.ones_like(self.is_thing), "_th": self.is_thing, "_st": ~self.is_thing}
        means = {
            key + suffix: masked_mean(qualities[key], occurs & group)
            for suffix, group in groups.items()
            for key in QUALITIES
        }
        means["PQ_plus"] = masked_mean(np.where(self.is_thing, qualities["PQ"], counts.stuff_iou()), occurs)
        for name, ids in self.subsets.items():
            quality = qualities.get(name[:2], qualities["PQ"])
            means[name] = masked_mean(quality, occurs & class_mask(ids, len(self.class_names)))
        return {name: 100 * value for name, value in means.items()}

    def compute(self) -> dict[str, Any]:
        """Percentages; None where no class of a mean occurs.

        The same to the last bit in whatever order and by whichever process the images were added, if they have keys.

        Returns:
            PQ, SQ, RQ, and each with _th (things) and _st (stuff); PQ_plus: PQ of a stuff class replaced by
            sum(IoU) / number of its ground-truth segments, without a threshold ([PQ+]);
            the subsets; per_class: name -> PQ, SQ, RQ, TP, FP, FN.
        """
        counts = self.counts()
        occurs, qualities = counts.occurs, counts.qualities()
        results: dict[str, Any] = {name: or_none(value) for name, value in self.means(counts).items()}
        results["per_class"] = {
            name: {
                **{key: 100 * float(qualities[key][i]) if occurs[i] else None for key in QUALITIES},
                "TP": int(counts.true_positives[i]),
                "FP": int(counts.false_positives[i]),
                "FN": int(counts.false_negatives[i]),
            }
            for i, name in enumerate(self.class_names)
        }
        return results

    def intervals(self, num_resamples: int = NUM_RESAMPLES) -> dict[str, Interval]:
        """95 % bootstrap interval over images of every mean of `compute`, in percent."""
        weights = resample_weights(len(self.entries), num_resamples)
        resampled = PanopticCounts(*(weights @ values for values in self.image_counts()))
        return percentile_intervals(self.means(resampled), len(self.entries))
