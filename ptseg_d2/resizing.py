"""The one way in which dense maps change resolution."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize(dense: Tensor, size_hw: tuple[int, ...]) -> Tensor:
    """Bilinear resize (align_corners=False) of (N, channels, h, w) to (height, width); itself when it fits already."""
    if tuple(dense.shape[-2:]) == tuple(size_hw):
        return dense
    return F.interpolate(dense, size=tuple(size_hw), mode="bilinear", align_corners=False)
