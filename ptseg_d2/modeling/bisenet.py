"""BiSeNet ([BiSeNet]): a wide shallow path for detail, a deep narrow one for context, and their fusion.

The arrangement is that of the public code ooooverflow/BiSeNet, which the cost in [GTA5-report], table 2,
points to: 12.58 M parameters, 25.78 G multiply-adds at 1024x512. Ours has 12.07 M: the rest is the
unused ImageNet classifier of torchvision's ResNet-18 (0.51 M). Unlike in [BiSeNet] no batch norm stands behind global
pooling but a bias: its statistics would be of one value per image, noise on small batches and an error on one image.
Unlike in that code the last 1x1 convolution comes before the up-sampling; both are linear, so nothing changes.

Shapes: N images of H x W pixels, C classes.
"""

from __future__ import annotations

from ptseg_d2.modeling.layers import conv_norm_relu
from ptseg_d2.modeling.semantic_heads import SemanticHead
from ptseg_d2.resizing import resize

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn
from torch.nn import functional as F

CONTEXT_FEATURES = ["res4", "res5"]
"""Features of the context path's ResNet, at strides 16 and 32."""


class AttentionRefinement(nn.Module):
    """Weights the channels of a feature by what the whole image shows ([BiSeNet], Fig. 2b)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same shape."""
        return x * self.attention(F.adaptive_avg_pool2d(x, 1)).sigmoid()


class FeatureFusion(nn.Module):
    """Convolves the concatenated paths and emphasises channels by what the whole image shows ([BiSeNet], Fig. 2c)."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__()
        self.mix = conv_norm_relu(in_channels, out_channels, 3, norm)
        self.attention = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 1), nn.ReLU(), nn.Conv2d(out_channels, out_channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, out_channels, h, w)."""
        x = self.mix(x)
        return x * self.attention(F.adaptive_avg_pool2d(x, 1)) + x


class BiSeNetBackbone(Backbone):
    """Both paths: features `spatial` (stride 8), `context16` and `context32` (strides 16 and 32, refined)."""

    def __init__(self, context: Backbone, in_channels: int, spatial_channels: list[int], norm: str) -> None:
        """
        Args:
            context: ResNet that gives `res4` and `res5`; keeps its own names, so that ImageNet weights match.
            in_channels: of the image.
            spatial_channels: widths of the spatial path's convolutions of stride 2 each.
            norm: a normalisation name known to Detectron2's `get_norm`.
        """
        super().__init__()
        widths = [in_channels, *spatial_channels]
        self.spatial = nn.Sequential(
            *(conv_norm_relu(below, width, 3, norm, stride=2) for below, width in zip(widths, spatial_channels))
        )
        self.context = context
        shapes = context.output_shape()
        self.refine16, self.refine32 = (AttentionRefinement(shapes[name].channels or 0) for name in CONTEXT_FEATURES)
        self._shapes = {
            "spatial": ShapeSpec(channels=spatial_channels[-1], stride=2 ** len(spatial_channels)),
            "context16": shapes["res4"],
            "context32": shapes["res5"],
        }

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) -> features by name."""
        context = self.context(images)
        tail = F.adaptive_avg_pool2d(context["res5"], 1)
        return {
            "spatial": self.spatial(images),
            "context16": self.refine16(context["res4"]),
            "context32": self.refine32(context["res5"]) * tail,
        }

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and strides by name."""
        return self._shapes


@BACKBONE_REGISTRY.register()
def build_bisenet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> BiSeNetBackbone:
    """Both paths of BiSeNet; MODEL.BISENET.CONTEXT_BACKBONE names the builder of the context path.

    Raises:
        ValueError: the context path does not give `res4` and `res5` at strides 16 and 32, or there are not three
            spatial widths.
    """
    options = cfg.MODEL.BISENET
    if sorted(cfg.MODEL.RESNETS.OUT_FEATURES) != CONTEXT_FEATURES:
        raise ValueError(
            f"MODEL.RESNETS.OUT_FEATURES = {cfg.MODEL.RESNETS.OUT_FEATURES}; BiSeNet needs {CONTEXT_FEATURES}"
        )
    if len(options.SPATIAL_CHANNELS) != 3:
        raise ValueError(f"MODEL.BISENET.SPATIAL_CHANNELS = {options.SPATIAL_CHANNELS}; expected three widths")
    context = BACKBONE_REGISTRY.get(options.CONTEXT_BACKBONE)(cfg, input_shape)
    strides = [context.output_shape()[name].stride for name in CONTEXT_FEATURES]
    if strides != [16, 32]:
        raise ValueError(
            f"BiSeNet's context path needs strides 16 and 32, got {strides}: set MODEL.RESNETS.RES5_DILATION to 1"
        )
    return BiSeNetBackbone(context, input_shape.channels or 3, options.SPATIAL_CHANNELS, cfg.MODEL.RESNETS.NORM)


@SEM_SEG_HEADS_REGISTRY.register()
class BiSeNetHead(SemanticHead):
    """Fusion of the two paths and the classifier; in training a classifier on each context feature besides."""

    @configurable
    def __init__(self, input_shape: dict[str, ShapeSpec], *, num_classes: int, norm: str) -> None:
        """
        Args:
            input_shape: of a `BiSeNetBackbone`.
            num_classes: C, also the width of the fused feature.
            norm: a normalisation name known to Detectron2's `get_norm`.
        """
        super().__init__()
        self.context_names = [name for name in input_shape if name != "spatial"]
        self.fusion = FeatureFusion(sum(shape.channels or 0 for shape in input_shape.values()), num_classes, norm)
        self.predictor = nn.Conv2d(num_classes, num_classes, 1)
        self.auxiliary = nn.ModuleList(
            nn.Conv2d(input_shape[name].channels or 0, num_classes, 1) for name in self.context_names
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
        """Options from MODEL.SEM_SEG_HEAD.

        Raises:
            ValueError: the backbone is not BiSeNet's.
        """
        if "spatial" not in input_shape:
            raise ValueError(
                f"BiSeNetHead needs MODEL.BACKBONE.NAME = 'build_bisenet_backbone', got {cfg.MODEL.BACKBONE.NAME!r}"
            )
        head = cfg.MODEL.SEM_SEG_HEAD
        return {"input_shape": input_shape, "num_classes": head.NUM_CLASSES, "norm": head.NORM}

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> logits (N, C, h, w) at stride 8."""
        spatial = features["spatial"]
        context = [resize(features[name], spatial.shape[-2:]) for name in self.context_names]
        return self.predictor(self.fusion(torch.cat([spatial, *context], dim=1)))

    def auxiliary_logits(self, features: dict[str, Tensor]) -> list[Tensor]:
        """Logits (N, C, h', w') of the refined context features, at strides 16 and 32."""
        return [predict(features[name]) for name, predict in zip(self.context_names, self.auxiliary)]
