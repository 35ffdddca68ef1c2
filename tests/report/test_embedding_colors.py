"""Embeddings as colours and as points on a plane."""

from __future__ import annotations

from ptseg_d2.report.embedding_colors import pca_colors, plane_layout, principal_components

import numpy as np
import pytest
from sklearn.decomposition import PCA


def two_halves(noise: float = 0.0) -> np.ndarray:
    """(4, 6, 8): two clusters, one per half of the image."""
    embeddings = noise * np.random.default_rng(0).standard_normal((4, 6, 8))
    embeddings[1, :, 4:] += 5
    return embeddings


def test_each_cluster_has_one_colour() -> None:
    picture = pca_colors(two_halves())
    assert picture.dtype == np.uint8 and picture.shape == (6, 8, 3)
    assert (picture[:, :4] == picture[0, 0]).all() and (picture[:, 4:] == picture[0, 4]).all()
    # The only direction with variance spans red; the others are constant.
    assert picture[0, 0].tolist() == [0, 128, 128] and picture[0, 4].tolist() == [255, 128, 128]


def test_pixels_outside_of_the_mask_or_without_embedding_are_black_and_do_not_count() -> None:
    embeddings = two_halves(noise=0.1)
    embeddings[:, 0, 0] = np.nan
    embeddings[2, 5] = 1e6  # outside of the mask
    mask = np.ones((6, 8), dtype=bool)
    mask[5] = False
    picture = pca_colors(embeddings, mask)
    assert not picture[0, 0].any() and not picture[5].any()
    assert picture[1:5, 4:, 0].min() > 200 and picture[1:5, :4, 0].max() < 60


def test_nothing_to_colour() -> None:
    assert not pca_colors(two_halves(), np.zeros((6, 8), dtype=bool)).any()
    assert (pca_colors(np.zeros((1, 2, 2))) == 128).all()  # fewer dimensions than channels


def test_components_are_those_of_scikit_learn() -> None:
    points = np.random.default_rng(1).standard_normal((50, 5)) * [5, 4, 3, 2, 1]
    expected = PCA(3).fit_transform(points)
    found = principal_components(points, 3)
    signs = np.sign((found * expected).sum(0))
    assert np.allclose(found, expected * signs)


def test_clusters_stay_apart_on_the_plane() -> None:
    points = two_halves(noise=0.1).reshape(4, -1).T
    is_right = points[:, 1] > 2.5
    plane = plane_layout(points)
    distances = np.linalg.norm(plane[:, None] - plane, axis=2) + np.diag(np.full(len(plane), np.inf))
    assert (is_right[distances.argmin(1)] == is_right).all()
    assert np.array_equal(plane, plane_layout(points))


@pytest.mark.parametrize("count", [5, 40])
def test_equal_points_have_a_place_too(count: int) -> None:
    assert np.isfinite(plane_layout(np.ones((count, 3)))).all()


def test_too_few_points() -> None:
    with pytest.raises(ValueError, match="at least 5 points, got 4"):
        plane_layout(np.zeros((4, 3)))
