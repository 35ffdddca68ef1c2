"""Building blocks that several networks share. Shapes: N images, h x w the strided resolution."""

from __future__ import annotations

import torch
from detectron2.layers import Conv2d, get_norm
from torch import Tensor, nn
from torch.nn import functional as F


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling of DeepLabv3: 1x1, dilated 3x3 and image pooling, concatenated."""

    def __init__(self, in_channels: int, out_channels: int, dilations: list[int], norm: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm_relu(in_channels, out_channels, 1, norm)])
        self.branches.extend(conv_norm_relu(in_channels, out_channels, 3, norm, dilation=d) for d in dilations)
        # Pooled to one pixel, so without a norm: batch statistics of N values would be noise.
        self.pooled = conv_norm_relu(in_channels, out_channels, 1, "")
        self.project = conv_norm_relu(out_channels * (len(dilations) + 2), out_channels, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, out_channels, h, w)."""
        pooled = self.pooled(F.adaptive_avg_pool2d(x, 1)).expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel: int, norm: str, *, stride: int = 1, dilation: int = 1
) -> Conv2d:
    """Convolution that keeps the size (at stride 1), a norm Detectron2 knows ("" = a bias instead) and ReLU."""
    return Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=dilation * (kernel // 2),
        dilation=dilation,
        bias=not norm,
        norm=get_norm(norm, out_channels),
        activation=F.relu,
    )
