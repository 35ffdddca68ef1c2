"""Turning images and dense maps about their centre.

Shapes: N images, C channels, E embedding dims, H x W pixels, h x w the resolution of a network.
"""

from __future__ import annotations

from ptseg_d2.modeling.network import DenseNetwork

import torch
from torch import Tensor
from torch.nn import functional as F


def rotate(images: Tensor, angles: Tensor, mode: str = "bilinear") -> Tensor:
    """Turn each image counter-clockwise in pixel geometry, so that shapes stay what they are; 0 outside.

    `rotate(rotate(x, a), -a)` is x where `stays_inside`.

    Args:
        images: (N, C, H, W) float.
        angles: (N,) degrees.
        mode: "bilinear" or "nearest".

    Returns:
        as `images`; the corners that leave the frame are lost.
    """
    grid = _source_positions(angles, images.shape[-2], images.shape[-1]).to(images)
    return F.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)


def stays_inside(angles: Tensor, height: int, width: int) -> Tensor:
    """(N, H, W) bool: pixels that the image turned by (N,) degrees still shows, so that they can be turned back."""
    # A pixel of the image turned back is read from where it was in the turned image. The border itself is out:
    # there the interpolation would mix with the outside.
    return (_source_positions(-angles, height, width).abs() < 1 - 1e-4).all(-1)


def _source_positions(angles: Tensor, height: int, width: int) -> Tensor:
    """(N, H, W, 2) positions (x, y) in [-1, 1] from which the pixels of the turned image are read."""
    radians = torch.deg2rad(angles.double())
    cos, sin = radians.cos(), radians.sin()
    # [-1, 1] stands for W pixels in x, but H in y: the ratio makes both the same unit.
    zero = torch.zeros_like(cos)
    row_x = torch.stack([cos, -sin * height / width, zero], dim=1)
    row_y = torch.stack([sin * width / height, cos, zero], dim=1)
    theta = torch.stack([row_x, row_y], dim=1)
    return F.affine_grid(theta, [len(angles), 1, height, width], align_corners=False)


@torch.no_grad()
def turned_embeddings(
    network: DenseNetwork, images: Tensor, embeddings: Tensor, max_rotation: float
) -> tuple[Tensor, Tensor]:
    """What a network says of turned images, turned back ([thesis], section 7.2).

    With MODEL.EMBEDDING.COORDINATES these embeddings are built on other positions than those of the images as they
    are; only distances within each space are compared.

    Args:
        network: predicts (N, E, h, w) embeddings.
        images: (N, 3, H, W) grey levels.
        embeddings: (N, E, h, w) of these; the result where nothing is turned.
        max_rotation: angles are drawn from U(0, this), in degrees; 0 = nothing is turned.

    Returns:
        (N, E, h, w) embeddings; (N, h, w) bool, pixels that the turned images showed.
    """
    height, width = embeddings.shape[-2:]
    if max_rotation == 0:
        return embeddings, torch.ones(len(embeddings), height, width, dtype=torch.bool, device=embeddings.device)
    angles = max_rotation * torch.rand(len(images))
    # The network sees the mean colour, its 0, outside of the images.
    colour = network.mean_colour
    turned = rotate(images.to(network.device).float() - colour, angles) + colour
    # Nearest, because a mean of two objects' embeddings at their border would lie in neither.
    found = rotate(network.predict_strided(turned), -angles, mode="nearest")
    return found, stays_inside(angles, height, width).to(network.device)
