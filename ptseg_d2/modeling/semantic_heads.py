"""Semantic heads. Shapes: N images, C classes, h x w the head's own (strided) resolution."""

from __future__ import annotations

from ptseg_d2.resizing import resize

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
    """DeepLabv3+: ASPP on the coarse feature, joined step by step with projected low-level features.

    One low-level feature is the paper's decoder; a second, finer one keeps thin objects of small images. Unlike
    `DeepLabV3PlusHead` of Detectron2's DeepLab project it returns logits only: losses live in `ptseg_d2.losses`, so
    that supervised and self-training share one network.
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        in_features: list[str],
        channels: int,
        low_level_channels: list[int],
        decoder_channels: list[int],
        num_classes: int,
        aspp_dilations: list[int],
        norm: str,
    ) -> None:
        """
        Args:
            input_shape: channels of the backbone's features.
            in_features: names of the low-level features, fine to coarse, and last the one for the ASPP.
            channels: width of the ASPP.
            low_level_channels: widths of the projected low-level features.
            decoder_channels: widths of the decoder at each of them.
            num_classes: C.
            aspp_dilations: dilations of the 3x3 branches.
            norm: a normalisation name known to Detectron2's `get_norm`.
        """
        super().__init__()
        *self.low_level_names, self.coarse_name = in_features
        if not len(self.low_level_names) == len(low_level_channels) == len(decoder_channels):
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD: the low-level features {self.low_level_names} need as many LOW_LEVEL_CHANNELS "
                f"and DECODER_CHANNELS, got {low_level_channels} and {decoder_channels}"
            )
        self.aspp = ASPP(input_shape[self.coarse_name].channels or 0, channels, aspp_dilations, norm)
        self.low_level = nn.ModuleList()
        self.fuse = nn.ModuleList()
        below = [*decoder_channels[1:], channels]
        for name, projected, width, coarser in zip(self.low_level_names, low_level_channels, decoder_channels, below):
            self.low_level.append(_conv(input_shape[name].channels or 0, projected, 1, norm))
            self.fuse.append(nn.Sequential(_conv(coarser + projected, width, 3, norm), _conv(width, width, 3, norm)))
        self.predictor = nn.Conv2d(decoder_channels[0], num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
        """Options from MODEL.SEM_SEG_HEAD."""
        head = cfg.MODEL.SEM_SEG_HEAD
        return {
            "input_shape": input_shape,
            "in_features": head.IN_FEATURES,
            "channels": head.CONVS_DIM,
            "low_level_channels": head.LOW_LEVEL_CHANNELS,
            "decoder_channels": head.DECODER_CHANNELS,
            "num_classes": head.NUM_CLASSES,
            "aspp_dilations": head.ASPP_DILATIONS,
            "norm": head.NORM,
        }

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> logits (N, C, h, w) at the finest low-level feature's resolution."""
        x = self.aspp(features[self.coarse_name])
        for name, project, fuse in reversed(list(zip(self.low_level_names, self.low_level, self.fuse))):
            low_level = project(features[name])
            x = resize(x, low_level.shape[-2:])
            x = fuse(torch.cat([x, low_level], dim=1))
        return self.predictor(x)


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
