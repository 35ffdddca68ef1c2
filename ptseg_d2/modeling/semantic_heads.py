"""Semantic heads. Shapes: N images, C classes, h x w the head's own (strided) resolution."""

from __future__ import annotations

from ptseg_d2.modeling.layers import ASPP, conv_norm_relu
from ptseg_d2.resizing import resize

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn


class SemanticHead(nn.Module):
    """Base of the semantic heads: features by name -> logits (N, C, h, w)."""

    def auxiliary_logits(self, features: dict[str, Tensor]) -> list[Tensor]:
        """Further logits (N, C, h', w') that only training uses (deep supervision); none unless a head has some.

        Args:
            features: as for `forward`.
        """
        return []


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV2Head(SemanticHead):
    """DeepLabv2 ([DeepLabv2]): four dilated 3x3 convolutions straight to the classes, added up.

    [thesis] says that they are concatenated; here they are added, as in public code ([SAC], "added branches").
    """

    @configurable
    def __init__(
        self, input_shape: dict[str, ShapeSpec], *, in_feature: str, num_classes: int, aspp_dilations: list[int]
    ) -> None:
        """
        Args:
            input_shape: channels of the backbone's features.
            in_feature: name of the feature that is classified.
            num_classes: C.
            aspp_dilations: dilations of the branches; 6, 12, 18, 24 in [DeepLabv2].
        """
        super().__init__()
        self.in_feature = in_feature
        channels = input_shape[in_feature].channels or 0
        self.branches = nn.ModuleList(_small_convolution(channels, num_classes, d) for d in aspp_dilations)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
        """Options from MODEL.SEM_SEG_HEAD; the last of IN_FEATURES is the one."""
        return {**_shared_options(cfg, input_shape), "in_feature": cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES[-1]}

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> logits (N, C, h, w) at the feature's resolution."""
        x = features[self.in_feature]
        first, *others = self.branches
        logits = first(x).float()  # each addition in bfloat16 would round
        for branch in others:
            logits += branch(x)
        return logits


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3Decoder(SemanticHead):
    """DeepLabv3 ([DeepLabv3]): ASPP with image pooling, a 3x3 convolution and a classifier.

    Detectron2's DeepLab project has a `DeepLabV3Head` without the 3x3 convolution that holds its own loss.
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        in_feature: str,
        channels: int,
        num_classes: int,
        aspp_dilations: list[int],
        norm: str,
    ) -> None:
        """
        Args:
            input_shape: channels of the backbone's features.
            in_feature: name of the feature that is classified.
            channels: width of the ASPP and of the convolution behind it.
            num_classes: C.
            aspp_dilations: dilations of the 3x3 branches; 6, 12, 18 at output stride 16 in [DeepLabv3].
            norm: a normalisation name known to Detectron2's `get_norm`.
        """
        super().__init__()
        self.in_feature = in_feature
        self.aspp = ASPP(input_shape[in_feature].channels or 0, channels, aspp_dilations, norm)
        self.fuse = conv_norm_relu(channels, channels, 3, norm)
        self.predictor = nn.Conv2d(channels, num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
        """Options from MODEL.SEM_SEG_HEAD; the last of IN_FEATURES is the one."""
        head = cfg.MODEL.SEM_SEG_HEAD
        return {
            **_shared_options(cfg, input_shape),
            "in_feature": head.IN_FEATURES[-1],
            "channels": head.CONVS_DIM,
            "norm": head.NORM,
        }

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> logits (N, C, h, w) at the feature's resolution."""
        return self.predictor(self.fuse(self.aspp(features[self.in_feature])))


@SEM_SEG_HEADS_REGISTRY.register()
class DeepLabV3PlusDecoder(SemanticHead):
    """DeepLabv3+ ([DeepLabv3+]): ASPP on the coarse feature, joined step by step with projected low-level features.

    One low-level feature is the published decoder; a second, finer one keeps thin objects of small images. Unlike
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
            self.low_level.append(conv_norm_relu(input_shape[name].channels or 0, projected, 1, norm))
            self.fuse.append(
                nn.Sequential(
                    conv_norm_relu(coarser + projected, width, 3, norm), conv_norm_relu(width, width, 3, norm)
                )
            )
        self.predictor = nn.Conv2d(decoder_channels[0], num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
        """Options from MODEL.SEM_SEG_HEAD."""
        head = cfg.MODEL.SEM_SEG_HEAD
        return {
            **_shared_options(cfg, input_shape),
            "in_features": head.IN_FEATURES,
            "channels": head.CONVS_DIM,
            "low_level_channels": head.LOW_LEVEL_CHANNELS,
            "decoder_channels": head.DECODER_CHANNELS,
            "norm": head.NORM,
        }

    def decode(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> what is classified (N, channels, h, w), at the finest low-level feature's resolution."""
        x = self.aspp(features[self.coarse_name])
        for name, project, fuse in reversed(list(zip(self.low_level_names, self.low_level, self.fuse))):
            low_level = project(features[name])
            x = resize(x, low_level.shape[-2:])
            x = fuse(torch.cat([x, low_level], dim=1))
        return x

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> logits (N, C, h, w) at the finest low-level feature's resolution."""
        return self.predictor(self.decode(features))


def _shared_options(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
    """What every DeepLab head reads alike."""
    head = cfg.MODEL.SEM_SEG_HEAD
    return {"input_shape": input_shape, "num_classes": head.NUM_CLASSES, "aspp_dilations": head.ASPP_DILATIONS}


def _small_convolution(in_channels: int, num_classes: int, dilation: int) -> nn.Conv2d:
    """Dilated 3x3 classifier that begins close to 0: normal weights of deviation 0.01, biases 0."""
    layer = nn.Conv2d(in_channels, num_classes, 3, padding=dilation, dilation=dilation)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
