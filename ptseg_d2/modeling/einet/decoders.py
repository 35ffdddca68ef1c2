"""Head of EINet: a semantic and a lighter instance branch, and what they predict together.

Shapes: N images, C classes, T thing classes, h x w the resolution of the finest feature.
"""

from __future__ import annotations

from typing import NamedTuple

from ptseg_d2.modeling.einet.embedding_interaction import EmbeddingInteraction
from ptseg_d2.modeling.embedding_net import shrink_labels
from ptseg_d2.modeling.layers import conv_norm_relu
from ptseg_d2.modeling.semantic_heads import DeepLabV3PlusDecoder, SemanticHead
from ptseg_d2.resizing import resize

import torch
from detectron2.layers import DepthwiseSeparableConv2d, ShapeSpec
from torch import Tensor, nn
from torch.nn import functional as F

RARE_LOGIT = -2.19
"""Logit of probability .1: with the focal loss every pixel begins as hardly a centre ([ObjectsAsPoints])."""


class EINetMaps(NamedTuple):
    """Dense predictions at one resolution.

    Attributes:
        sem_seg: (N, C, h, w) logits.
        heatmap: (N, T, h, w): values of the centre heatmaps, or their logits where a focal loss trains them.
        offsets: (N, 2, h, w) centre minus position, (y, x) in pixels of the image.
    """

    sem_seg: Tensor
    heatmap: Tensor
    offsets: Tensor


def separable_5x5(in_channels: int, out_channels: int, norm: str) -> DepthwiseSeparableConv2d:
    """A 5x5 convolution of each channel for itself and a 1x1 convolution, each with norm and ReLU."""
    return DepthwiseSeparableConv2d(
        in_channels,
        out_channels,
        kernel_size=5,
        padding=2,
        norm1=norm,
        activation1=F.relu,
        norm2=norm,
        activation2=F.relu,
    )


class InstanceDecoder(nn.Module):
    """The lighter branch: no ASPP; at each low-level feature up-sampling and one separable 5x5 convolution."""

    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        in_features: list[str],
        channels: int,
        low_level_channels: list[int],
        decoder_channels: list[int],
        norm: str,
    ) -> None:
        """
        Args:
            input_shape: channels of the backbone's features.
            in_features: names of the low-level features, fine to coarse, and last the coarse one.
            channels: width to which the coarse feature is projected.
            low_level_channels: widths of the projected low-level features.
            decoder_channels: widths of the decoder at each of them; the first is D, that of the embedding.
            norm: a normalisation name known to Detectron2's `get_norm`.

        Raises:
            ValueError: there are not as many widths as low-level features.
        """
        super().__init__()
        *self.low_level_names, self.coarse_name = in_features
        if not len(self.low_level_names) == len(low_level_channels) == len(decoder_channels):
            raise ValueError(
                f"MODEL.EINET: the low-level features {self.low_level_names} need as many LOW_LEVEL_CHANNELS and "
                f"DECODER_CHANNELS, got {low_level_channels} and {decoder_channels}"
            )
        self.dim = decoder_channels[0]
        self.coarse = conv_norm_relu(input_shape[self.coarse_name].channels or 0, channels, 1, norm)
        self.low_level = nn.ModuleList(
            conv_norm_relu(input_shape[name].channels or 0, width, 1, norm)
            for name, width in zip(self.low_level_names, low_level_channels)
        )
        below = [*decoder_channels[1:], channels]
        self.fuse = nn.ModuleList(
            separable_5x5(coarser + projected, width, norm)
            for coarser, projected, width in zip(below, low_level_channels, decoder_channels)
        )

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> embedding (N, D, h, w)."""
        x = self.coarse(features[self.coarse_name])
        for name, project, fuse in reversed(list(zip(self.low_level_names, self.low_level, self.fuse))):
            low_level = project(features[name])
            x = fuse(torch.cat([resize(x, low_level.shape[-2:]), low_level], dim=1))
        return x


class DensePredictor(nn.Module):
    """A separable 5x5 convolution and a linear layer in float32: bfloat16 would round positions and peaks."""

    def __init__(self, in_channels: int, channels: int, out_channels: int, norm: str, bias: float = 0.0) -> None:
        """
        Args:
            in_channels: of the embedding.
            channels: of the hidden layer.
            out_channels: of the prediction.
            norm: a normalisation name known to Detectron2's `get_norm`.
            bias: what is predicted before training, but for small random weights.
        """
        super().__init__()
        self.hidden = separable_5x5(in_channels, channels, norm)
        self.linear = nn.Conv2d(channels, out_channels, 1)
        nn.init.normal_(self.linear.weight, std=0.001)
        assert self.linear.bias is not None
        nn.init.constant_(self.linear.bias, bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, out_channels, h, w) float32."""
        hidden = self.hidden(embedding)
        with torch.autocast(hidden.device.type, enabled=False):
            return self.linear(hidden.float())


class EINetHead(SemanticHead):
    """Two branches, their interaction and three predictions."""

    def __init__(
        self,
        *,
        semantic: DeepLabV3PlusDecoder,
        instance: InstanceDecoder,
        interaction: EmbeddingInteraction | None,
        num_things: int,
        channels: int,
        norm: str,
        stride: int,
        heatmap_bias: float,
    ) -> None:
        """
        Args:
            semantic: semantic branch with its own ASPP and classifier.
            instance: instance branch, of the same resolution.
            interaction: of the two embeddings; None = off: each branch predicts by itself.
            num_things: T.
            channels: hidden width of the heatmap's and the offsets' predictors.
            norm: a normalisation name known to Detectron2's `get_norm`.
            stride: pixels of the image per pixel of the maps.
            heatmap_bias: what the heatmap is before training.
        """
        super().__init__()
        self.semantic = semantic
        self.instance = instance
        self.interaction = interaction
        self.stride = stride
        self.heatmap = DensePredictor(instance.dim, channels, num_things, norm, heatmap_bias)
        self.offsets = DensePredictor(instance.dim, channels, 2, norm)

    def maps(self, features: dict[str, Tensor], labels: Tensor | None = None) -> EINetMaps:
        """All predictions.

        Args:
            features: by name.
            labels: (N, H, W) int64 of the same images, from which the dictionary learns in training mode.
        """
        semantic, instance = self.semantic.decode(features), self.instance(features)
        evidence: Tensor | float = 0.0
        if self.interaction is not None:
            small = None if labels is None else shrink_labels(labels, semantic.shape[-2:])
            semantic, instance, evidence = self.interaction(semantic, instance, small)
        logits = self.semantic.predictor(semantic)
        return EINetMaps(logits + evidence, self.heatmap(instance), self.stride * self.offsets(instance))

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> semantic logits (N, C, h, w)."""
        return self.maps(features).sem_seg
