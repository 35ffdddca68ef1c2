"""Semantic heads. Shapes: N images, C classes, h x w the head's own (strided) resolution."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling of DeepLabv3: 1x1, dilated 3x3 and image pooling, concatenated."""

    def __init__(self, in_channels: int, out_channels: int, dilations: list[int], norm: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_conv(in_channels, out_channels, 1, norm)])
        self.branches.extend(_conv(in_channels, out_channels, 3, norm, dilation) for dilation in dilations)
        # Pooled to one pixel, so without a norm: batch statistics of N values would be noise.
        self.pooled = _conv(in_channels, out_channels, 1, "")
        self.project = _conv(out_channels * (len(dilations) + 2), out_channels, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, out_channels, h, w)."""
        pooled = self.pooled(F.adaptive_avg_pool2d(x, 1)).expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3PlusDecoder(nn.Module):
    """DeepLabv3+: ASPP on the coarse feature, joined with a projected low-level feature.

    Unlike `DeepLabV3PlusHead` of Detectron2's DeepLab project it returns logits only: losses live in
    `ptseg_d2.losses`, so that supervised and self-training share one network.
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        in_features: list[str],
        channels: int,
        low_level_channels: int,
        num_classes: int,
        aspp_dilations: list[int],
        norm: str,
    ) -> None:
        """
        Args:
            input_shape: channels of the backbone's features.
            in_features: names of the low-level and the coarse feature, in this order.
            channels: width of the ASPP and of the decoder.
            low_level_channels: width of the projected low-level feature.
            num_classes: C.
            aspp_dilations: dilations of the 3x3 branches.
            norm: a normalisation name known to Detectron2's `get_norm`.
        """
        super().__init__()
        self.low_level_name, self.coarse_name = in_features
        low_level, coarse = (input_shape[name].channels or 0 for name in in_features)
        self.aspp = ASPP(coarse, channels, aspp_dilations, norm)
        self.low_level = _conv(low_level, low_level_channels, 1, norm)
        self.fuse = nn.Sequential(
            _conv(channels + low_level_channels, channels, 3, norm), _conv(channels, channels, 3, norm)
        )
        self.predictor = nn.Conv2d(channels, num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
        """Options from MODEL.SEM_SEG_HEAD."""
        head = cfg.MODEL.SEM_SEG_HEAD
        return {
            "input_shape": input_shape,
            "in_features": head.IN_FEATURES,
            "channels": head.CONVS_DIM,
            "low_level_channels": head.LOW_LEVEL_CHANNELS,
            "num_classes": head.NUM_CLASSES,
            "aspp_dilations": head.ASPP_DILATIONS,
            "norm": head.NORM,
        }

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> logits (N, C, h, w) at the low-level feature's resolution."""
        low_level = self.low_level(features[self.low_level_name])
        coarse = self.aspp(features[self.coarse_name])
        coarse = F.interpolate(coarse, size=low_level.shape[-2:], mode="bilinear", align_corners=False)
        return self.predictor(self.fuse(torch.cat([coarse, low_level], dim=1)))


def _conv(in_channels: int, out_channels: int, kernel: int, norm: str, dilation: int = 1) -> Conv2d:
    return Conv2d(
        in_channels,
        out_channels,
        kernel,
        padding=dilation * (kernel // 2),
        dilation=dilation,
        bias=not norm,
        norm=get_norm(norm, out_channels),
        activation=F.relu,
    )
