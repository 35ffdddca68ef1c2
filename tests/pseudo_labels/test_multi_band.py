"""Multi-band transfer: thresholds like the public code's sort."""

from __future__ import annotations

from ptseg_d2.pseudo_labels.multi_band import LEVELS, ConfidenceQuantiles

import numpy as np
import pytest


def slow_thresholds(labels: np.ndarray, levels: np.ndarray, num_classes: int, quantile: float, cap: float) -> list[int]:
    """Sorts the confidences of every class."""
    thresholds = []
    for c in range(num_classes):
        found = np.sort(levels[labels == c])
        at = found[min(int(np.rint(quantile * len(found))), len(found) - 1)] if len(found) else 0
        thresholds.append(min(int(at), round(cap * LEVELS)))
    return thresholds


@pytest.mark.parametrize(("quantile", "cap"), [(0.66, 0.9), (0.0, 1.0), (1.0, 0.5), (0.5, 1.0)])
def test_thresholds_equal_a_sort(quantile: float, cap: float) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 3], (2, 9, 11)).astype(np.uint8)
    levels = rng.integers(0, LEVELS + 1, labels.shape).astype(np.uint16)
    quantiles = ConfidenceQuantiles(4, quantile, cap)
    for image in range(2):
        quantiles.update(labels[image], levels[image])
    assert quantiles.thresholds().tolist() == slow_thresholds(labels, levels, 4, quantile, cap)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], got 1.2 and 0.9"):
        ConfidenceQuantiles(3, quantile=1.2)
