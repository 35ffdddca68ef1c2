"""Rotation in pixel geometry, by flips, by hand and there and back."""

from __future__ import annotations

from ptseg_d2.modeling.teachers.rotation import rotate, stays_inside

import pytest
import torch
from torch import Tensor, tensor


def waves(height: int, width: int) -> Tensor:
    """A smooth image (1, 2, H, W)."""
    y, x = torch.meshgrid(torch.arange(height) / 20, torch.arange(width) / 20, indexing="ij")
    return torch.stack([torch.sin(x + y), torch.cos(2 * y - x)])[None]


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_known_angles(mode: str) -> None:
    image = torch.randn(1, 3, 6, 10)
    assert torch.allclose(rotate(image, tensor([0.0]), mode), image, atol=1e-5)
    assert torch.allclose(rotate(image, tensor([180.0]), mode), image.flip(2, 3), atol=1e-4)
    square = image[..., 2:8]
    assert torch.allclose(rotate(square, tensor([90.0]), mode), square.rot90(1, (2, 3)), atol=1e-4)


def test_each_image_has_its_own_angle() -> None:
    images = torch.randn(2, 1, 4, 8)
    turned = rotate(images, tensor([0.0, 180.0]))
    assert torch.allclose(turned[0], images[0], atol=1e-5)
    assert torch.allclose(turned[1], images[1].flip(1, 2), atol=1e-4)


def test_shapes_stay_what_they_are_in_a_wide_image() -> None:
    """A bar of 3 x 1 pixels in the middle of 5 x 9 stands upright after a quarter turn, and nothing else is there."""
    image = torch.zeros(1, 1, 5, 9)
    image[0, 0, 2, 3:6] = 1
    expected = torch.zeros(5, 9)
    expected[1:4, 4] = 1
    assert torch.allclose(rotate(image, tensor([90.0]))[0, 0], expected, atol=1e-4)


def test_what_stays_inside_by_hand() -> None:
    """Turned by 90 degrees, 2 x 6 pixels keep the square in the middle; by 180 all; both, image by image."""
    inside = stays_inside(tensor([90.0, 180.0, 0.0]), 2, 6)
    assert inside[0].tolist() == [[False, False, True, True, False, False]] * 2
    assert inside[1:].all()


@pytest.mark.parametrize("angle", [10.0, 45.0, 90.0, 137.0])
def test_there_and_back_restores_what_stays_inside(angle: float) -> None:
    image, angles = waves(40, 70), tensor([angle])
    inside = stays_inside(angles, 40, 70)[0]
    back = rotate(rotate(image, angles), -angles, "nearest")[0]
    difference = (back - image[0]).abs().amax(0)
    core = inside[1:-1, 1:-1] & (inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:])
    assert 0.3 < inside.float().mean() < 1
    assert difference[1:-1, 1:-1][core].max() < 0.12  # half a pixel of slope at most
    assert difference[~inside].max() > 0.3
