"""Several views (crop, zoom, flip) of one canvas, and the affine maps that bring each back ([SAC]).

Shapes: N images, C channels, H x W pixels. A *canvas* is the target image as loaded; a *view* is a crop of
it, resized to the canvas size, maybe mirrored. `theta` (N, 2, 3) maps view coordinates to canvas coordinates,
both normalised to [-1, 1] with align_corners=False (-1 and 1 are the outer edges of the border pixels), so it
holds at any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

from ptseg_d2.counting import number_of

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class View:
    """A box of whole canvas pixels that is shown at the canvas size.

    Attributes:
        canvas_hw: height and width of the canvas in pixels.
        top, left, height, width: the box in canvas pixels, inside the canvas.
        flip: the view is mirrored left to right.
    """

    canvas_hw: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    flip: bool = False

    def theta(self) -> Tensor:
        """Affine map (2, 3) float32 from view to canvas coordinates."""
        canvas_height, canvas_width = self.canvas_hw
        scale_x, scale_y = self.width / canvas_width, self.height / canvas_height
        shift_x = (2 * self.left + self.width) / canvas_width - 1
        shift_y = (2 * self.top + self.height) / canvas_height - 1
        mirror = -1.0 if self.flip else 1.0
        return torch.tensor([[mirror * scale_x, 0.0, shift_x], [0.0, scale_y, shift_y]])


def full_view(canvas_hw: tuple[int, int], flip: bool = False) -> View:
    """The whole canvas, maybe mirrored."""
    return View(canvas_hw, 0, 0, canvas_hw[0], canvas_hw[1], flip)


def random_view(
    size_hw: tuple[int, int],
    rng: np.random.Generator,
    zoom: tuple[float, float] = (0.5, 1.0),
    flip_p: float = 0.5,
) -> View:
    """Draw a view: a crop of the canvas' shape at a uniform place, mirrored with probability `flip_p`.

    Args:
        size_hw: height and width of the canvas in pixels.
        rng: source of randomness.
        zoom: smallest and largest side of the crop as a share of the canvas, in (0, 1].
        flip_p: probability in [0, 1].

    Raises:
        ValueError: `zoom` is not an increasing pair in (0, 1].
    """
    if not 0 < zoom[0] <= zoom[1] <= 1:
        raise ValueError(f"View zoom is {zoom}, expected (smallest, largest) with 0 < smallest <= largest <= 1.")
    share = rng.uniform(*zoom)
    height, width = (number_of(share, side, at_least=1) for side in size_hw)
    top = int(rng.integers(size_hw[0] - height + 1))
    left = int(rng.integers(size_hw[1] - width + 1))
    return View(size_hw, top, left, height, width, flip=bool(rng.random() < flip_p))


def inverse_affine(theta: Tensor) -> Tensor:
    """Inverse maps (N, 2, 3) of affine maps (N, 2, 3): canvas to view coordinates."""
    linear = torch.linalg.inv(theta[:, :, :2])
    return torch.cat([linear, -linear @ theta[:, :, 2:]], dim=2)


def warp_to_view(canvas: Tensor, theta: Tensor) -> Tensor:
    """Show canvases as views: bilinear, 0 outside.

    Args:
        canvas: (N, C, H, W) float.
        theta: (N, 2, 3) view-to-canvas maps.
    """
    grid = F.affine_grid(theta.to(canvas), list(canvas.shape), align_corners=False)
    return F.grid_sample(canvas, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def warp_to_canvas(views: Tensor, theta: Tensor) -> Tensor:
    """Lay views (N, C, H, W) back on their canvases: bilinear, 0 where the view does not reach."""
    return warp_to_view(views, inverse_affine(theta))


def render_image(image: Tensor, theta: Tensor) -> Tensor:
    """One view of an image (3, H, W) uint8 by one map (2, 3): bilinear, border pixels repeated outside."""
    grid = F.affine_grid(theta.float()[None], [1, *image.shape], align_corners=False)
    view = F.grid_sample(image.float()[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return view[0].round().clamp(0, 255).to(torch.uint8)


def render_labels(labels: Tensor, theta: Tensor) -> Tensor:
    """One view of a label map (H, W) of any dtype by one map (2, 3): nearest neighbour, values kept."""
    height, width = labels.shape
    grid = F.affine_grid(theta.float()[None], [1, 1, height, width], align_corners=False)[0]
    columns = (((grid[..., 0] + 1) * width - 1) / 2).round().long().clamp(0, width - 1)
    rows = (((grid[..., 1] + 1) * height - 1) / 2).round().long().clamp(0, height - 1)
    return labels[rows, columns]
