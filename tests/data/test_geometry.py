"""Turned, flipped and stretched images: labels go where their pixels go."""

from __future__ import annotations

from ptseg_d2.data.augmentation import random_crop_affine, warp_image, warp_labels
from ptseg_d2.data.geometry import Geometry, rotation, scaling

import numpy as np
import pytest
from numpy.typing import NDArray

LEVELS = np.array([0, 11, 37, 97, 211], np.uint8)


def painted(labels: NDArray[np.int16]) -> NDArray[np.uint8]:
    """A picture whose grey level tells the label."""
    return np.repeat(LEVELS[labels][..., None], 3, axis=2)


@pytest.mark.parametrize(
    "options",
    [
        {"rotation": 360.0},
        {"vertical_flip": 0.5},
        {"stretch": True, "scale": (1.0, 1.5)},
        {"rotation": 360.0, "vertical_flip": 0.5, "stretch": True, "scale": (0.7, 1.5), "fit": True},
    ],
)
def test_labels_follow_the_image(options: dict[str, object]) -> None:
    """Where the image is no mixture of two regions its grey level tells the label, whatever was drawn."""
    np.random.seed(0)
    labels = np.kron(np.arange(1, 5, dtype=np.int16).reshape(2, 2), np.ones((30, 40), np.int16))
    geometry = Geometry(**{"crop": (48, 64), "scale": (1.0, 1.0), **options})  # type: ignore[arg-type]
    for _ in range(20):
        affine = geometry.draw((60, 80))
        image = warp_image(painted(labels), affine, (48, 64))[..., 0]
        warped = warp_labels(labels, affine, (48, 64))
        seen = np.isin(image, LEVELS[1:]) & (warped != 255)
        assert seen.mean() > 0.4
        assert (image[seen] == LEVELS[warped[seen]]).mean() > 0.99


def test_quarter_turn_by_hand() -> None:
    """Counter-clockwise by 90 degrees: the first row becomes the first column, from bottom to top."""
    labels = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.int16)
    turned = warp_labels(labels, rotation(90, (3, 3))[:2], (3, 3))
    assert turned.tolist() == np.rot90(labels).tolist() == [[3, 6, 9], [2, 5, 8], [1, 4, 7]]


def test_vertical_flip_by_hand() -> None:
    labels = np.array([[1, 2], [3, 4], [5, 6]], np.int16)
    affine = Geometry(crop=(3, 2), scale=(1.0, 1.0), flip=0.0, vertical_flip=1.0).draw((3, 2))
    assert warp_labels(labels, affine, (3, 2)).tolist() == [[5, 6], [3, 4], [1, 2]]


def test_fit_shows_the_whole_image_whatever_its_size() -> None:
    geometry = Geometry(crop=(4, 4), scale=(1.0, 1.0), flip=0.0, fit=True)
    for size in ((8, 8), (2, 8), (12, 4)):
        labels = np.zeros(size, np.int16)
        labels[: size[0] // 2, size[1] // 2 :] = 1
        assert warp_labels(labels, geometry.draw(size), (4, 4)).tolist() == [[0, 0, 1, 1]] * 2 + [[0] * 4] * 2


def test_scaling_keeps_the_upper_left_corner() -> None:
    """The left edge of pixel 0 is at -.5 in both, the right edge of pixel 1 of 2 goes to that of pixel 5 of 6."""
    x, y, _ = scaling(2.0, 3.0) @ np.array([[-0.5, 1.5], [-0.5, 1.5], [1, 1]])
    assert x.tolist() == [-0.5, 5.5] and y.tolist() == [-0.5, 3.5]


def test_stretch_draws_a_factor_for_each_side() -> None:
    np.random.seed(0)
    geometry = Geometry(crop=(8, 8), scale=(1.0, 1.5), flip=0.0, stretch=True)
    factors = np.array([np.diag(geometry.draw((8, 8))[:, :2]) for _ in range(200)])
    assert factors.min() >= 1.0 and factors.max() <= 1.5
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.2 and factors.std(0).min() > 0.1


def test_nothing_more_asked_for_is_the_old_crop() -> None:
    """The same random numbers, so that results with earlier configs stay."""
    np.random.seed(3)
    expected = [random_crop_affine((9, 12), (8, 8), (0.5, 2.0), 0.5) for _ in range(5)]
    np.random.seed(3)
    found = [Geometry(crop=(8, 8), scale=(0.5, 2.0), flip=0.5).draw((9, 12)) for _ in range(5)]
    assert np.array_equal(found, expected)


def test_reflected_border_shows_the_image_and_has_no_label() -> None:
    labels = np.array([[1, 2, 3]], np.int16)
    beside = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    assert warp_image(painted(labels), beside, (1, 5), "reflect")[0, :, 0].tolist() == [97, 37, 11, 37, 97]
    assert warp_image(painted(labels), beside, (1, 5))[0, :, 0].tolist() == [127, 127, 11, 37, 97]
    assert warp_labels(labels, beside, (1, 5)).tolist() == [[255, 255, 1, 2, 3]]
