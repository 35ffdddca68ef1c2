"""Semantic intersection over union, equal to the pixel-level Cityscapes script.

Shapes: H x W pixels, C classes. Ground truth 255 = void: its pixels do not count at all. A prediction outside
0..C-1 on a labelled pixel is a miss of the true class.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
        # (C, C + 1) pixels [true class, predicted class]; the last column collects predictions of no class.
        self.counts = np.zeros((len(self.class_names), len(self.class_names) + 1), dtype=np.int64)

    def update(self, pred: NDArray[np.integer], gt: NDArray[np.integer]) -> None:
        """Add one image.

        Args:
            pred: (H, W) integer train ids.
            gt: (H, W) integer train ids, void = ignored.

        Raises:
            ValueError: the maps differ in size, or the ground truth holds a value that is neither a class nor
                void.
        """
        if pred.shape != gt.shape:
            raise ValueError(f"expected two (H, W) maps of one size, got {pred.shape} and {gt.shape}")
        num_classes = len(self.class_names)
        is_valid = gt != self.void
        true = gt[is_valid].astype(np.int64)
        if true.size and (true.min() < 0 or true.max() >= num_classes):
            unknown = true[(true < 0) | (true >= num_classes)][0]
            raise ValueError(f"true class {unknown} is neither in 0..{num_classes - 1} nor void ({self.void})")
        predicted = pred[is_valid].astype(np.int64)
        predicted = np.where((predicted >= 0) & (predicted < num_classes), predicted, num_classes)
        pairs = np.bincount(true * (num_classes + 1) + predicted, minlength=self.counts.size)
        self.counts += pairs.reshape(self.counts.shape)

    def merge(self, other: ConfusionMatrix) -> None:
        """Add what another accumulator of the same classes, for example another process, has counted."""
        self.counts += other.counts

    def compute(self) -> dict[str, Any]:
        """Percentages; None for a class that occurs in neither, which also stays out of the means.

        Returns:
            mIoU, the subsets, IoU: class name -> IoU.
        """
        correct = np.diagonal(self.counts).astype(np.float64)
        union = self.counts.sum(axis=1) + self.counts.sum(axis=0)[:-1] - correct
        occurs = union > 0
        iou = 100 * correct / np.maximum(union, 1)

        def mean(ids: Collection[int]) -> float | None:
            keep = [i for i in ids if occurs[i]]
            return float(iou[keep].mean()) if keep else None

        return {
            "mIoU": mean(range(len(iou))),
            **{name: mean(ids) for name, ids in self.subsets.items()},
            "IoU": {name: float(iou[i]) if occurs[i] else None for i, name in enumerate(self.class_names)},
        }
