"""Confidence quantiles of a whole data set: the pseudo labels of the multi-band transfer of [FDA].

The mean of several networks (`ptseg_d2.inference.ensemble`) labels the target images once, and a network is trained on
what is most confident. Shapes: H x W pixels, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 2**16 - 1
"""Confidences are kept as 16-bit integers: round(LEVELS * probability)."""


class ConfidenceQuantiles:
    """Per-class confidence thresholds over a whole data set, by histograms.

    Args:
        num_classes: C.
        quantile: share of a class's pixels that is given up, in [0, 1] ([FDA]: .66).
        cap: no threshold is above this probability ([FDA]: .9).
    """

    def __init__(self, num_classes: int, quantile: float = 0.66, cap: float = 0.9) -> None:
        if not (0 <= quantile <= 1 and 0 <= cap <= 1):
            raise ValueError(f"quantile and cap must be in [0, 1], got {quantile} and {cap}")
        self.quantile = quantile
        self.cap = cap
        self.counts = np.zeros((num_classes, LEVELS + 1), dtype=np.int64)

    def update(self, labels: NDArray[np.uint8], levels: NDArray[np.uint16]) -> None:
        """Count an image.

        Args:
            labels: (H, W) predicted classes.
            levels: (H, W) their probability, see `LEVELS`.
        """
        pairs = labels.astype(np.int64) * (LEVELS + 1) + levels
        self.counts += np.bincount(pairs.ravel(), minlength=self.counts.size).reshape(self.counts.shape)

    def thresholds(self) -> NDArray[np.int64]:
        """(C,) smallest level that is kept of each class; 0 for a class that was never predicted."""
        totals = self.counts.sum(axis=1)
        # [FDA], "quantile of the confidences": element round(quantile * n) of the sorted ones.
        rank = np.minimum(np.rint(self.quantile * totals), np.maximum(totals - 1, 0))
        at_quantile = (np.cumsum(self.counts, axis=1) > rank[:, None]).argmax(axis=1)
        return np.minimum(at_quantile, round(self.cap * LEVELS))
