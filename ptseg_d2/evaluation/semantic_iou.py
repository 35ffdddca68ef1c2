"""Semantic intersection over union, equal to the pixel-level Cityscapes script.

Shapes: H x W pixels, N images, C classes. Ground truth 255 = void: its pixels do not count at all. A prediction outside
0..C-1 on a labelled pixel is a miss of the true class.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

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
from ptseg_d2.evaluation.per_image_scores import ImageKey, PerImageScores
from ptseg_d2.evaluation.segment_overlap import common_runs

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class PixelCounts(NamedTuple):
    """Pixels per class, (..., C) float64: rightly predicted, and true or predicted."""

    correct: FloatArray
    union: FloatArray

    def iou(self) -> FloatArray:
        """(..., C) in [0, 1]; 0 for a class that does not occur."""
        return self.correct / np.maximum(self.union, 1)


class ConfusionMatrix:
    """Accumulates a confusion matrix over images.

    Args:
        class_names: C names; train id = position.
        subsets: name -> train ids, further means over some of the classes, such as "mIoU16". The prediction
            stays C-way: a pixel given to a class outside of the subset is a miss.
        void: ground-truth value of pixels that do not count.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        subsets: Mapping[str, Collection[int]] | None = None,
        void: int = 255,
    ) -> None:
        self.class_names = tuple(class_names)
        self.subsets = dict(subsets or {})
        self.void = void
        # Cells of the matrix that are not 0, row by row (K,) int32, and their pixels (K,) int64.
        self.entries = PerImageScores()

    @property
    def counts(self) -> NDArray[np.int64]:
        """(C, C + 1) pixels [true class, predicted class]; the last column collects predictions of no class."""
        num_classes = len(self.class_names)
        counts = np.zeros(num_classes * (num_classes + 1), dtype=np.int64)
        for cells, pixels in self.entries.ordered():
            counts[cells] += pixels
        return counts.reshape(num_classes, num_classes + 1)

    def update(self, pred: NDArray[np.integer], gt: NDArray[np.integer], key: ImageKey | None = None) -> None:
        """Add one image.

        Args:
            pred: (H, W) integer train ids.
            gt: (H, W) integer train ids, void = ignored.
            key: name of the image, so that it counts once; without a name every call is another image.

        Raises:
            ValueError: the maps differ in size, the ground truth holds a value that is neither a class nor
                void, or the image came before with other counts.
        """
        if pred.shape != gt.shape:
            raise ValueError(f"expected two (H, W) maps of one size, got {pred.shape} and {gt.shape}")
        num_classes = len(self.class_names)
        predicted, true, pixels = common_runs(pred.ravel(), gt.ravel())
        is_valid = true != self.void
        predicted, true, pixels = (values[is_valid].astype(np.int64) for values in (predicted, true, pixels))
        is_unknown = (true < 0) | (true >= num_classes)
        if is_unknown.any():
            unknown = true[is_unknown][0]
            raise ValueError(f"true class {unknown} is neither in 0..{num_classes - 1} nor void ({self.void})")
        predicted = np.where((predicted >= 0) & (predicted < num_classes), predicted, num_classes)
        counts = np.bincount(true * (num_classes + 1) + predicted, weights=pixels).astype(np.int64)
        cells = np.flatnonzero(counts)
        self.entries.add(key, (cells.astype(np.int32), counts[cells]))

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the images of another accumulator of the same classes, for example of another process."""
        self.entries.merge(other.entries)

    def image_counts(self) -> PixelCounts:
        """(N, C) counts of every image, in the order of the entries."""
        num_classes = len(self.class_names)
        correct, union = np.zeros((2, len(self.entries), num_classes))
        for index, (cells, pixels) in enumerate(self.entries.ordered()):
            true, predicted = np.divmod(cells, num_classes + 1)
            is_correct = true == predicted
            correct[index, true[is_correct]] = pixels[is_correct]
            union[index] = np.bincount(true, pixels, num_classes)
            union[index] += np.bincount(predicted[~is_correct], pixels[~is_correct], num_classes + 1)[:-1]
        return PixelCounts(correct, union)

    def means(self, counts: PixelCounts) -> dict[str, FloatArray]:
        """(...,) the means of `compute` in percent from counts (..., C); NaN where no class of a mean occurs."""
        num_classes = len(self.class_names)
        iou, occurs = counts.iou(), counts.union > 0
        subsets = {"mIoU": range(num_classes), **self.subsets}
        return {name: 100 * masked_mean(iou, occurs & class_mask(ids, num_classes)) for name, ids in subsets.items()}

    def compute(self) -> dict[str, Any]:
        """Percentages; None for a class that occurs in neither, which also stays out of the means.

        Returns:
            mIoU, the subsets, IoU: class name -> IoU.
        """
        counts = PixelCounts(*(values.sum(axis=0) for values in self.image_counts()))
        iou = 100 * counts.iou()
        return {
            **{name: or_none(value) for name, value in self.means(counts).items()},
            "IoU": {name: float(iou[i]) if counts.union[i] > 0 else None for i, name in enumerate(self.class_names)},
        }

    def intervals(self, num_resamples: int = NUM_RESAMPLES) -> dict[str, Interval]:
        """95 % bootstrap interval over images of every mean of `compute`, in percent."""
        weights = resample_weights(len(self.entries), num_resamples)
        resampled = PixelCounts(*(weights @ values for values in self.image_counts()))
        return percentile_intervals(self.means(resampled), len(self.entries))


def argmax_among(scores: Tensor, ids: Sequence[int], argmax: Tensor | None = None) -> Tensor:
    """Best class per pixel when only some of the classes may be chosen.

    Args:
        scores: (C, H, W) logits or probabilities.
        ids: the classes to choose from.
        argmax: (H, W) best of all C classes, if it is known already; only pixels of other classes are looked at again.

    Returns:
        (H, W) int64 class ids.
    """
    best = scores.argmax(dim=0) if argmax is None else argmax.clone()
    allowed = torch.as_tensor(ids, device=scores.device)
    is_other = torch.ones(len(scores), dtype=torch.bool, device=scores.device).index_fill_(0, allowed, False)[best]
    best[is_other] = allowed[scores[:, is_other][allowed].argmax(dim=0)]
    return best
