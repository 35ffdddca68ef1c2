"""The only codec between (category, instance), panoptic ids and their RGB coding on disk.

Shapes: H x W pixels. A panoptic id is ``category * LABEL_DIVISOR + instance``; as a picture it is stored in
24 bits, R + 256 G + 65536 B, the coding of COCO panoptic files (Kirillov et al., CVPR 2019).
"""

from __future__ import annotations

from typing import TypeVar

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
