"""Percentile bootstrap over images ([Bootstrap], chapter 13).

A test set is one draw of images. Drawing as many from it with replacement, again and again, shows how far a score
would move with another draw. A resample is the vector of how often it holds each image, so the counts of all
resamples are one matrix product and no image is looked at twice.

Shapes: N images, B resamples, C classes, S statistics per image, P predictions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Optional

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
Interval = Optional[list[float]]
NUM_RESAMPLES, SEED, LEVEL = 1000, 0, 0.95


def resample_weights(num_images: int, num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> FloatArray:
    """(B, N) how often each image is in each resample; every row sums to N. One seed, one answer."""
    if num_images == 0:
        return np.zeros((num_resamples, 0))
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=num_resamples).astype(np.float64)


def percentile_interval(values: FloatArray, level: float = LEVEL) -> Interval:
    """[low, high] that holds `level` of the values, as much left out on either side.

    Args:
        values: (B,) a score in each resample; NaN where it is undefined, which does not count.
        level: in (0, 1).

    Returns:
        None if the score is defined in no resample.
    """
    defined = values[~np.isnan(values)]
    if defined.size == 0:
        return None
    return [float(x) for x in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])]


def percentile_intervals(scores: Mapping[str, FloatArray], num_images: int) -> dict[str, Interval]:
    """Intervals of several scores.

    Args:
        scores: name -> (B,) values.
        num_images: a single one tells nothing about others, so its intervals are None.
    """
    return {key: percentile_interval(values) if num_images > 1 else None for key, values in scores.items()}


def masked_mean(values: FloatArray, keep: Mask) -> FloatArray:
    """(...,) mean over the last axis of what is kept; NaN where nothing is.

    Args:
        values: (..., C) finite.
        keep: (..., C) or (C,).
    """
    keep = np.broadcast_to(keep, values.shape)
    count = keep.sum(axis=-1)
    return np.where(count > 0, np.where(keep, values, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def class_mask(ids: Collection[int], num_classes: int) -> Mask:
    """(C,) true for the ids."""
    return np.isin(np.arange(num_classes), list(ids))


def or_none(value: FloatArray | float) -> float | None:
    """A single number, None for NaN."""
    return None if np.isnan(value) else float(value)


def weighted_average_precision(
    scores: FloatArray, is_true: Mask, is_kept: Mask, weights: NDArray[np.floating], num_objects: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Areas under the precision-recall curves of B resamples, integrated as the Cityscapes script does.

    Each point, one per distinct score plus the artificial (recall 0, precision 1), weighs half the recall distance of
    its two neighbours: the trapezoidal rule. A score that no prediction of a resample has repeats a point, which
    leaves the area as it is.

    Args:
        scores: (P,) confidences, falling.
        is_true: (P,) whether a prediction is a match.
        is_kept: (P,) false for a prediction that is neither right nor wrong.
        weights: (P, B) how often the image of each prediction is in each resample.
        num_objects: (B,) objects to find, as often as their image is in the resample.

    Returns:
        (B,) values in [0, 1]; NaN in a resample without objects.
    """
    # Predictions of one score enter together: a point per score, the sums up to the last prediction that has it.
    starts = np.flatnonzero(np.diff(scores, prepend=np.inf))
    num_true = _cumulated(weights, is_true, starts)
    num_kept = _cumulated(weights, is_kept, starts)
    precision = np.divide(num_true, num_kept, out=np.ones_like(num_true), where=num_kept > 0)
    precision[1:] += precision[:-1].copy()
    precision[:1] += 1
    area = np.einsum("pb,pb->b", np.diff(num_true, axis=0, prepend=0), precision) / 2
    return np.where(num_objects > 0, area / np.maximum(num_objects, 1), np.nan)


def _cumulated(weights: NDArray[np.floating], keep: Mask, starts: NDArray[np.int64]) -> NDArray[np.floating]:
    """(number of scores, B) running sums of the kept weights over the distinct scores."""
    kept = weights * keep[:, None]
    if len(starts) < len(kept):
        kept = np.add.reduceat(kept, starts, axis=0)
    return np.cumsum(kept, axis=0, out=kept)
