"""Connected components of masks by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def connected_pieces(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Number the 8-connected pieces of a mask.

    Args:
        mask: (H, W) bool.

    Returns:
        pieces (H, W) int64, 0 = outside, and areas (1 + number of pieces,) int64 in pixels, entry 0 = outside.
    """
    array = mask.cpu().numpy().astype(np.uint8)
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(array, connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA].astype(np.int64)
    return torch.from_numpy(pieces).to(mask.device).long(), torch.from_numpy(areas).to(mask.device)
