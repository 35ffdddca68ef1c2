"""Masked image consistency: hide blocks of an image from the student ([MIC])."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def random_blocks(size: tuple[int, int], block: int, ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Blocks on a grid, each hidden with probability `ratio`.

    Args:
        size: (height, width) of the image in pixels.
        block: side of a block in pixels; blocks at the right and bottom border may be cut.
        ratio: probability that a block is hidden, in [0, 1].
        generator: source of randomness on the CPU; None is PyTorch's global one.

    Returns:
        (height, width) bool, True on hidden pixels.

    Raises:
        ValueError: the block is smaller than a pixel, or the ratio is no probability.
    """
    if block < 1 or not 0 <= ratio <= 1:
        raise ValueError(f"masking needs blocks of at least 1 pixel and a ratio in [0, 1], got {block} and {ratio}")
    rows, columns = (-(-side // block) for side in size)
    hidden = (torch.rand(1, 1, rows, columns, generator=generator) < ratio).float()
    grown = F.interpolate(hidden, scale_factor=block, mode="nearest")[0, 0]
    return grown[: size[0], : size[1]].bool()
