"""Spatial and channel squeeze & excitation ([scSE]; [scSE-journal]). Shapes: N images, h x w pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

COMBINATIONS = ("add", "max")
"""How the two excited maps become one: their sum ([scSE]) or the larger of both per value ([scSE-journal])."""


class SCSE(nn.Module):
    """Features scaled per channel (cSE) and, beside it, per pixel (sSE), both by factors in (0, 1).

    cSE: sigmoid(W2 relu(W1 mean over pixels)), a factor per channel. sSE: sigmoid of a 1x1 convolution to one channel,
    a factor per pixel. [scSE-journal] finds "max" best by a little; the addition is that of [scSE] and of [smp],
    on which [PanopticUNet] is built. At a factor of 1/2 each "add" leaves the features as they
    are.
    """

    def __init__(self, channels: int, *, reduction: int = 2, combine: str = "add") -> None:
        """
        Args:
            channels: of the features.
            reduction: channels / this are left in the middle of cSE, at least 1; [scSE] uses 2.
            combine: one of `COMBINATIONS`.

        Raises:
            ValueError: unknown combination, or a reduction below 1.
        """
        super().__init__()
        if combine not in COMBINATIONS:
            choices = " or ".join(map(repr, COMBINATIONS))
            raise ValueError(f"MODEL.PANOPTIC_UNET.SCSE_COMBINE = {combine!r}; expected {choices}")
        if reduction < 1:
            raise ValueError(f"MODEL.PANOPTIC_UNET.SCSE_REDUCTION = {reduction}; expected 1 or more")
        self.combine = combine
        squeezed = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, squeezed)
        self.excite = nn.Linear(squeezed, channels)
        self.spatial = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> same."""
        by_channel = x * self.channel_factors(x)
        by_pixel = x * self.pixel_factors(x)
        return by_channel + by_pixel if self.combine == "add" else torch.maximum(by_channel, by_pixel)

    def channel_factors(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, channels, 1, 1) in (0, 1)."""
        factors: Tensor = self.excite(self.squeeze(x.mean(dim=(2, 3))).relu()).sigmoid()
        return factors[:, :, None, None]

    def pixel_factors(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, 1, h, w) in (0, 1)."""
        factors: Tensor = self.spatial(x).sigmoid()
        return factors
