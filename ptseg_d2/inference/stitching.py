"""Instances that were found in overlapping tiles, as those of the whole image.

Shapes: H x W pixels of the image, h x w of a tile. Instance id 0 = none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ptseg_d2.inference.merging import Crop, paste_crops_

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor

Box = tuple[slice, slice]
"""Rows and columns of a tile in the image."""

Found = tuple[Tensor, dict[int, float]]
"""What an `InstanceGrouping` returns: (h, w) int64 ids and a score per id."""

MIN_IOU = 0.5
"""Instances of two tiles that agree better than this in the common strip are one; each has one partner at most."""


def stitch_instances(boxes: Sequence[Box], tiles: Iterable[Found]) -> Found:
    """Unite the parts of instances that several tiles see.

    Args:
        boxes: tiles, the last one ends in the image's lower right corner.
        tiles: their instances, in the same order.

    Returns:
        (H, W) int64 ids and the score of each: the mean of its parts, weighted by their areas. Where instances of
        two tiles that are not one overlap, `resolve_overlaps` decides. A single tile is returned as it is; the ids
        of several are on the CPU.
    """
    if len(boxes) == 1:
        return next(iter(tiles))
    maps: list[NDArray[np.int64]] = []
    parts: list[tuple[Crop, float]] = []
    part_of: list[dict[int, int]] = []  # per tile: id -> its part
    partner: list[int] = []  # of a part: an earlier part of the same instance, or itself
    for box, (ids, scores) in zip(boxes, tiles):
        ids_here = ids.cpu().numpy()
        numbers: dict[int, int] = {}
        for number, place in enumerate(find_objects(ids_here), start=1):
            if place is not None:
                numbers[number] = len(parts)
                partner.append(len(parts))
                mask = torch.from_numpy(ids_here[place] == number)
                corner = (box[0].start + place[0].start, box[1].start + place[1].start)
                parts.append((Crop(*corner, mask), scores.get(number, 0.0)))
        for other_box, other, other_numbers in zip(boxes, maps, part_of):
            for mine, theirs in _matches(box, ids_here, other_box, other):
                a, b = _root(partner, numbers[mine]), _root(partner, other_numbers[theirs])
                partner[max(a, b)] = min(a, b)
        maps.append(ids_here)
        part_of.append(numbers)
    groups: dict[int, list[tuple[Crop, float]]] = {}
    for index, part in enumerate(parts):
        groups.setdefault(_root(partner, index), []).append(part)
    united = [_united(group) for group in groups.values()]
    ids = torch.zeros(boxes[-1][0].stop, boxes[-1][1].stop, dtype=torch.int64)
    paste_crops_(ids, [crop for crop, _ in united], [score for _, score in united])
    left = set(ids.unique().tolist())
    return ids, {number: score for number, (_, score) in enumerate(united, start=1) if number in left}


def _root(partner: Sequence[int], part: int) -> int:
    while partner[part] != part:
        part = partner[part]
    return part


def _matches(box: Box, ids: NDArray[np.int64], other_box: Box, other: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of ids of two tiles whose masks agree by more than MIN_IOU within the strip that both tiles see."""
    strip = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, other_box)]
    if any(side.start >= side.stop for side in strip):
        return []
    mine, theirs = (
        tile[tuple(slice(side.start - own.start, side.stop - own.start) for side, own in zip(strip, place))]
        for tile, place in ((ids, box), (other, other_box))
    )
    width = int(theirs.max()) + 1
    counts = np.bincount((mine * width + theirs).ravel(), minlength=(int(mine.max()) + 1) * width).reshape(-1, width)
    unions = counts.sum(1, keepdims=True) + counts.sum(0) - counts
    agree = counts > MIN_IOU * unions
    agree[0] = agree[:, 0] = False
    return [(int(a), int(b)) for a, b in zip(*agree.nonzero())]


def _united(parts: Sequence[tuple[Crop, float]]) -> tuple[Crop, float]:
    """One instance from its parts."""
    y, x = min(crop.y for crop, _ in parts), min(crop.x for crop, _ in parts)
    bottom = max(crop.y + crop.mask.shape[0] for crop, _ in parts)
    right = max(crop.x + crop.mask.shape[1] for crop, _ in parts)
    mask = torch.zeros(bottom - y, right - x, dtype=torch.bool)
    for crop, _ in parts:
        window = mask[crop.y - y :, crop.x - x :][: crop.mask.shape[0], : crop.mask.shape[1]]
        window |= crop.mask
    areas = [int(crop.mask.sum()) for crop, _ in parts]
    return Crop(y, x, mask), sum(area * score for area, (_, score) in zip(areas, parts)) / sum(areas)
