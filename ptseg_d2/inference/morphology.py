"""Repair of instance masks: islands, crumbs and holes that clustering without regard to place leaves behind.

Shapes: H x W pixels. Instance id <= 0 = none.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor


def clean_instances(
    instance_ids: Tensor | NDArray[np.integer],
    min_area: int,
    *,
    fill_holes: bool = True,
    min_island_share: float = 0.25,
) -> Tensor:
    """Drop islands and small instances, then fill holes; each instance is seen once, inside its bounding box.

    Args:
        instance_ids: (H, W) integers.
        min_area: instances with fewer pixels after islands are gone are dropped.
        fill_holes: pixels without instance that an instance encloses join it; another instance's pixels do not.
        min_island_share: 8-connected pieces below this share of the largest piece are dropped, in [0, 1].

    Returns:
        (H, W) int64; numbers stay, so they may have gaps; freed pixels are 0; pixels below 0 stay as they are.
    """
    tensor = torch.as_tensor(instance_ids)
    cleaned = np.ascontiguousarray(tensor.cpu().numpy()).astype(np.int64)
    boxes = [(i + 1, box) for i, box in enumerate(find_objects(cleaned)) if box is not None]
    for number, box in boxes:
        crop = cleaned[box]
        mask = crop == number
        crop[mask & ~_main_pieces(mask, min_area, min_island_share)] = 0
    for number, box in boxes if fill_holes else []:
        crop = cleaned[box]
        crop[_holes(crop == number) & (crop == 0)] = number
    return torch.from_numpy(cleaned).to(tensor.device)


def _main_pieces(mask: NDArray[np.bool_], min_area: int, min_share: float) -> NDArray[np.bool_]:
    """The pieces of at least min_share of the largest one's area; nothing if they have fewer than min_area pixels."""
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = (areas > 0) & (areas >= min_share * areas.max())
    kept &= areas[kept].sum() >= min_area
    return kept[pieces]


def _holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels outside the mask without a 4-connected way to the crop's border."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, pieces = cv2.connectedComponents(outside, connectivity=4)
    return ((pieces != pieces[0, 0]) & (outside > 0))[1:-1, 1:-1]
