"""The only codec between (category, instance), panoptic ids and their coding on disk.

Shapes: H x W pixels. A panoptic id is ``category * LABEL_DIVISOR + instance``; as a picture it is stored in
24 bits, R + 256 G + 65536 B, the coding of COCO panoptic files ([PQ]), or in the 16 bits of
Cityscapes' ``*_instanceIds.png`` ([Cityscapes]).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

LABEL_DIVISOR = 1000
NUM_RGB_IDS = 256**3

IntOrArray = TypeVar("IntOrArray", int, NDArray[np.int64])


def encode(category: IntOrArray, instance: IntOrArray) -> IntOrArray:
    """Panoptic id of an instance of a category.

    Args:
        category: category id >= 0, a number or an integer array.
        instance: number of the instance in [0, LABEL_DIVISOR), of the same kind as ``category``.

    Returns:
        category * LABEL_DIVISOR + instance.

    Raises:
        ValueError: a category is negative or an instance is outside [0, LABEL_DIVISOR).
    """
    if np.any(np.less(category, 0)):
        raise ValueError(f"category ids must be >= 0, got {np.min(category)}")
    if np.any(np.less(instance, 0)) or np.any(np.greater_equal(instance, LABEL_DIVISOR)):
        raise ValueError(
            f"instance numbers must be in [0, {LABEL_DIVISOR}), got {np.min(instance)}..{np.max(instance)}"
        )
    return category * LABEL_DIVISOR + instance


def decode(panoptic_id: IntOrArray) -> tuple[IntOrArray, IntOrArray]:
    """Inverse of `encode`.

    Args:
        panoptic_id: id >= 0, a number or an integer array.

    Returns:
        (category, instance), of the same kind as ``panoptic_id``.

    Raises:
        ValueError: an id is negative.
    """
    if np.any(np.less(panoptic_id, 0)):
        raise ValueError(f"panoptic ids must be >= 0, got {np.min(panoptic_id)}")
    category = panoptic_id // LABEL_DIVISOR
    return category, panoptic_id - category * LABEL_DIVISOR


def ids_to_rgb(ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Picture of a map of segment ids.

    Args:
        ids: (H, W) integer, values in [0, 2**24).

    Returns:
        (H, W, 3) uint8 in RGB order, id = R + 256 G + 65536 B.

    Raises:
        ValueError: an id does not fit into 24 bits.
    """
    if ids.size and (ids.min() < 0 or ids.max() >= NUM_RGB_IDS):
        raise ValueError(f"segment ids must be in [0, {NUM_RGB_IDS}), got {ids.min()}..{ids.max()}")
    wide = ids.astype(np.int64)
    return np.stack([wide % 256, wide // 256 % 256, wide // 65536], axis=-1).astype(np.uint8)


def rgb_to_ids(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Inverse of `ids_to_rgb`.

    Args:
        rgb: (H, W, 3) uint8 in RGB order.

    Returns:
        (H, W) int64 segment ids in [0, 2**24).

    Raises:
        ValueError: not an (H, W, 3) uint8 array.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"expected an (H, W, 3) uint8 picture, got shape {rgb.shape} of {rgb.dtype}")
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue


def instance_ids_of_segments(
    segments_info: Sequence[Mapping[str, Any]], label_ids: Mapping[int, int], thing_ids: Collection[int]
) -> dict[int, int]:
    """Numbers under which Cityscapes' ``*_instanceIds.png`` stores the segments of one image.

    Args:
        segments_info: per segment "id", "category_id" and optionally "iscrowd".
        label_ids: category id -> label id, 1..65.
        thing_ids: categories whose segments are instances.

    Returns:
        segment id -> label id * 1000 + number for an instance, numbered from 0 within its class in the order of the
        list, as in the official files; the bare label id for stuff and for a crowd ("cargroup").

    Raises:
        ValueError: more than 1000 instances of a class.
    """
    counts: dict[int, int] = {}
    numbers = {}
    for segment in segments_info:
        category = segment["category_id"]
        label_id = label_ids[category]
        if category not in thing_ids or segment.get("iscrowd", 0):
            numbers[segment["id"]] = label_id
            continue
        count = counts.get(category, 0)
        if count >= LABEL_DIVISOR:
            raise ValueError(
                f"more than {LABEL_DIVISOR} instances of category {category} (label id {label_id}) in one image: the "
                "Cityscapes format has no number for them. Raise the smallest score or size of an instance"
            )
        numbers[segment["id"]] = encode(label_id, count)
        counts[category] = count + 1
    return numbers


def replace_ids(ids: NDArray[np.integer], new_ids: Mapping[int, int]) -> NDArray[np.int64]:
    """Map with other ids.

    Args:
        ids: (H, W) integer.
        new_ids: old id -> new id; an id that is missing becomes 0.

    Returns:
        (H, W) int64.
    """
    old = np.unique(ids)
    table = np.array([new_ids.get(i, 0) for i in old.tolist()], dtype=np.int64)
    return table[np.searchsorted(old, ids)]
