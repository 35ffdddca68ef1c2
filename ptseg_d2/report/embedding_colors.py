"""Embeddings made visible: as colours of an image, and as points on a plane.

Shapes: E embedding dims, H x W pixels, M points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

FloatArray = NDArray[np.floating]

PERPLEXITY = 30.0
MIN_POINTS = 5
"""Fewer points are not laid out by t-SNE."""


def pca_colors(embeddings: FloatArray, mask: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """The three directions of largest variance as red, green and blue.

    Args:
        embeddings: (E, H, W).
        mask: (H, W) pixels that decide the directions and are coloured, the others become black; None = all.

    Returns:
        (H, W, 3) uint8; the middle 96 % of the values of each channel span its range. Pixels whose embedding is not
        finite are black.
    """
    height, width = embeddings.shape[1:]
    points = embeddings.reshape(len(embeddings), -1).T.astype(np.float64)
    chosen = np.isfinite(points).all(axis=1)
    if mask is not None:
        chosen &= mask.ravel()
    picture = np.zeros((height * width, 3), dtype=np.uint8)
    if chosen.any():
        picture[chosen] = _to_bytes(principal_components(points[chosen], 3))
    return picture.reshape(height, width, 3)


def principal_components(points: FloatArray, count: int) -> FloatArray:
    """(M, E) -> (M, count) coordinates along the directions of largest variance; 0 where there are fewer.

    The sign of each direction is fixed: its largest entry is positive.
    """
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    vectors = vectors[:, ::-1][:, :count]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1, 1)
    coordinates = np.zeros((len(points), count))
    coordinates[:, : vectors.shape[1]] = centred @ vectors
    return coordinates


def plane_layout(points: FloatArray, seed: int = 0) -> FloatArray:
    """(M, E) -> (M, 2) by [t-SNE] with perplexity min(30, (M - 1) / 3), started from the principal components.

    Raises:
        ValueError: fewer than `MIN_POINTS` points.
    """
    if len(points) < MIN_POINTS:
        raise ValueError(f"t-SNE needs at least {MIN_POINTS} points, got {len(points)}")
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    start = principal_components(points, 2)
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4  # scikit-learn's own scale, without its division by 0
    layout: FloatArray = TSNE(perplexity=perplexity, init=start.astype(np.float32), random_state=seed).fit_transform(
        np.ascontiguousarray(points, dtype=np.float32)
    )
    return layout


def _to_bytes(values: FloatArray) -> NDArray[np.uint8]:
    """(M, channels): 2 % and 98 % quantiles of each become 0 and 255; a constant channel becomes 128."""
    low, high = np.quantile(values, (0.02, 0.98), axis=0)
    span = high - low
    scaled = np.where(span > 1e-9, (values - low) / np.where(span > 1e-9, span, 1), 0.5)
    return (scaled.clip(0, 1) * 255).round().astype(np.uint8)
