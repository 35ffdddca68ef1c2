"""Repair of instance masks: noise, islands, holes and gaps that clustering without regard to place leaves behind.

Shapes: H x W pixels. Instance id <= 0 = none. Opening and closing are those of thesis section 12.
"""

from __future__ import annotations

from ptseg_d2.counting import number_of

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects
from torch import Tensor

Mask = NDArray[np.uint8]


def clean_instances(
    instance_ids: Tensor | NDArray[np.integer],
    min_area: int,
    *,
    fill_holes: bool = True,
    min_island_share: float = 0.25,
    opening: float = 0.0,
    closing: float = 0.0,
) -> Tensor:
    """Open, drop islands and small instances, close, fill holes; each instance is seen once, in its bounding box.

    Every instance is repaired as if it were alone, then all shrink before any grows: an instance takes free pixels
    only, of which the lowest number comes first. An opening that would leave fewer than min_area pixels is not done
    to that instance: it is thin, not noisy.

    Args:
        instance_ids: (H, W) integers.
        min_area: instances with fewer pixels after islands are gone are dropped.
        fill_holes: pixels without instance that an instance encloses join it.
        min_island_share: 8-connected pieces below this share of the largest piece are dropped, in [0, 1].
        opening: radius of the ellipse that erodes, then dilates, as a share of H in [0, 1]; 0 = off. An object at
            the image border is taken to go on behind it.
        closing: radius of the ellipse that dilates, then erodes, likewise; no object is taken to be behind the border.

    Returns:
        (H, W) int64; numbers stay, so they may have gaps; freed pixels are 0; pixels below 0 stay as they are.
    """
    tensor = torch.as_tensor(instance_ids)
    cleaned = np.ascontiguousarray(tensor.cpu().numpy()).astype(np.int64)
    if cleaned.size == 0:  # `find_objects` asks for the highest number
        return torch.from_numpy(cleaned).to(tensor.device)
    open_with, close_with = (_ellipse(number_of(share, len(cleaned))) for share in (opening, closing))
    # One pixel more than the closing reaches: an opening must see that an object ends inside the image.
    margin = 1 + (0 if close_with is None else len(close_with) // 2)
    gains = []
    for number, box in enumerate(find_objects(cleaned.clip(min=0)), start=1):
        if box is None:
            continue
        box = _widened(box, margin)
        crop = cleaned[box]
        mask = (crop == number).astype(np.uint8)
        kept = _main_pieces(_opened(mask, open_with), min_area, min_island_share)
        if open_with is not None and not kept.any():
            kept = _main_pieces(mask, min_area, min_island_share)
        crop[(mask > 0) & (kept == 0)] = 0
        grown = _closed(kept, close_with)
        grown = binary_fill_holes(grown).astype(np.uint8) if fill_holes else grown
        gains.append((number, box, grown > kept))
    for number, box, gain in gains:
        crop = cleaned[box]
        crop[gain & (crop == 0)] = number
    return torch.from_numpy(cleaned).to(tensor.device)


def _ellipse(radius: int) -> Mask | None:
    if radius <= 0:
        return None
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.uint8)


def _widened(box: tuple[slice, ...], margin: int) -> tuple[slice, ...]:
    return tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)


def _opened(mask: Mask, element: Mask | None) -> Mask:
    """OpenCV's border is neutral: for the erosion, what lies outside belongs to the object."""
    return mask if element is None else np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, element), np.uint8)


def _closed(mask: Mask, element: Mask | None) -> Mask:
    """Padded, so that the erosion sees how far the dilation reached beyond the image."""
    if element is None or not mask.any():
        return mask
    pad = len(element) // 2
    closed = cv2.morphologyEx(np.pad(mask, pad), cv2.MORPH_CLOSE, element)
    return np.asarray(closed[pad:-pad, pad:-pad], np.uint8)


def _main_pieces(mask: Mask, min_area: int, min_share: float) -> Mask:
    """The pieces of at least min_share of the largest one's area; nothing if they have fewer than min_area pixels."""
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = (areas > 0) & (areas >= min_share * areas.max())
    kept &= areas[kept].sum() >= min_area
    return kept.astype(np.uint8)[pieces]
