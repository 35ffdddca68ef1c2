"""Views of a canvas: round trips, exact crops and flips, label values kept."""

from __future__ import annotations

from ptseg_d2.data.views import (
    View,
    full_view,
    inverse_affine,
    random_view,
    render_image,
    render_labels,
    warp_to_canvas,
    warp_to_view,
)

import numpy as np
import pytest
import torch
from torch import Tensor


def smooth_canvas(height: int, width: int) -> Tensor:
    """(1, 2, H, W): normalised column and row of every pixel, which bilinear sampling reproduces."""
    columns = (torch.arange(width) + 0.5) / width * 2 - 1
    rows = (torch.arange(height) + 0.5) / height * 2 - 1
    return torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)])[None]


@pytest.mark.parametrize("seed", range(5))
def test_inverse_affine_round_trip(seed: int) -> None:
    theta = random_view((64, 128), np.random.default_rng(seed)).theta()[None]
    bottom = torch.tensor([[[0.0, 0.0, 1.0]]])
    product = torch.cat([theta, bottom], 1) @ torch.cat([inverse_affine(theta), bottom], 1)
    assert torch.allclose(product, torch.eye(3)[None], atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_canvas_to_view_and_back_inside_the_view(seed: int) -> None:
    view = random_view((32, 64), np.random.default_rng(seed))
    canvas, theta = smooth_canvas(32, 64), view.theta()[None]
    back = warp_to_canvas(warp_to_view(canvas, theta), theta)
    top, left, bottom, right = view.top, view.left, view.top + view.height, view.left + view.width
    # one pixel inside the box, where neither direction samples beyond an edge
    inside = (..., slice(top + 1, bottom - 1), slice(left + 1, right - 1))
    assert torch.allclose(back[inside], canvas[inside], atol=1e-5)
    outside = torch.ones(32, 64, dtype=torch.bool)
    outside[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = False
    assert (back[0, :, outside] == 0).all()


def test_view_shows_the_box() -> None:
    """Half-size box, flipped: view pixel (i, j) lies at row top + (i + .5) / 2, mirrored columns likewise."""
    view = View((8, 16), top=2, left=4, height=4, width=8, flip=True)
    shown = warp_to_view(smooth_canvas(8, 16), view.theta()[None])[0]
    columns = (4 + 8 - (torch.arange(16) + 0.5) / 2) / 16 * 2 - 1
    rows = (2 + (torch.arange(8) + 0.5) / 2) / 8 * 2 - 1
    assert torch.allclose(shown[0], columns.expand(8, 16), atol=1e-6)
    assert torch.allclose(shown[1], rows[:, None].expand(8, 16), atol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_full_view_is_identity_or_exact_mirror(flip: bool) -> None:
    image = torch.randint(256, (3, 10, 14), dtype=torch.uint8)
    labels = torch.randint(-1, 70000, (10, 14))
    theta = full_view((10, 14), flip).theta()
    assert torch.equal(render_image(image, theta), image.flip(2) if flip else image)
    assert torch.equal(render_labels(labels, theta), labels.flip(1) if flip else labels)


def test_rendered_labels_repeat_the_pixels_of_a_half_size_box() -> None:
    labels = torch.arange(8 * 16).reshape(8, 16) - 1
    view = View((8, 16), top=1, left=3, height=4, width=8)
    expected = labels[1:5, 3:11].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(render_labels(labels, view.theta()), expected)


def test_rendered_image_has_no_dark_border() -> None:
    image = torch.full((3, 20, 30), 200, dtype=torch.uint8)
    view = View((20, 30), top=0, left=0, height=11, width=17)
    assert torch.equal(render_image(image, view.theta()), image)


def test_random_views_lie_inside_cover_the_range_and_repeat_by_seed() -> None:
    rng = np.random.default_rng(0)
    views = [random_view((50, 100), rng, zoom=(0.4, 0.9), flip_p=0.25) for _ in range(400)]
    for view in views:
        assert 0 <= view.top and view.top + view.height <= 50
        assert 0 <= view.left and view.left + view.width <= 100
        assert abs(view.width - 2 * view.height) <= 2  # the canvas' shape, to a rounded pixel
    heights = [view.height for view in views]
    assert (min(heights), max(heights)) == (20, 45)
    assert {view.left for view in views} >= {0, 1, 2}
    assert sum(view.flip for view in views) / 400 == pytest.approx(0.25, abs=0.07)
    again = np.random.default_rng(0)
    assert views[:3] == [random_view((50, 100), again, (0.4, 0.9), 0.25) for _ in range(3)]


@pytest.mark.parametrize("zoom", [(0.0, 1.0), (0.8, 0.5), (0.5, 1.5)])
def test_rejects_zoom_outside_the_canvas(zoom: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="zoom"):
        random_view((8, 8), np.random.default_rng(0), zoom)
