"""U-Net decoders ([UNet]) on the features of any Detectron2 backbone. Shapes: N images, E embedding dims, C classes."""

from __future__ import annotations

from collections.abc import Callable

from ptseg_d2.modeling.layers import conv_norm_relu

import torch
from detectron2.layers import ShapeSpec
from torch import Tensor, nn
from torch.nn import functional as F


class UNetTrunk(nn.Module):
    """Nearest up-sampling, concatenation with the skip, two 3x3 convolutions per level, and attention if it is on."""

    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        in_features: list[str],
        channels: list[int],
        norm: str,
        attention: Callable[[int], nn.Module] | None = None,
    ) -> None:
        """
        Args:
            input_shape: channels of the backbone's features.
            in_features: feature names from fine to coarse.
            channels: decoder widths from fine to coarse, one less than `in_features`; as many as these = one more level
                without a skip, at twice the finest feature's resolution.
            norm: a normalisation name known to Detectron2's `get_norm`.
            attention: width -> module that follows each level; None = off.
        """
        super().__init__()
        num_skips = len(in_features) - 1
        if len(channels) not in (num_skips, num_skips + 1):
            raise ValueError(
                f"{len(in_features)} U-Net features need {num_skips} decoder widths (or one more, for a level at twice "
                f"the finest feature's resolution), got {channels} (MODEL.EMBEDDING.DECODER_CHANNELS)"
            )
        self.in_features = in_features
        widths = [int(input_shape[name].channels or 0) for name in in_features]
        skips = [0] * (len(channels) - num_skips) + widths[:-1]
        below = [*channels[1:], widths[-1]]
        self.levels = nn.ModuleList(
            nn.Sequential(
                conv_norm_relu(coarse + skip, width, 3, norm),
                conv_norm_relu(width, width, 3, norm),
                *([] if attention is None else [attention(width)]),
            )
            for coarse, skip, width in zip(below, skips, channels)
        )

    def decode(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> (N, channels[0], h, w) at the finest level's resolution."""
        *names, coarsest = self.in_features
        x = features[coarsest]
        without_skip = len(self.levels) - len(names)
        for name, level in reversed(list(zip(names, self.levels[without_skip:]))):
            skip = features[name]
            x = level(torch.cat([F.interpolate(x, size=skip.shape[-2:], mode="nearest"), skip], dim=1))
        for level in self.levels[:without_skip]:
            x = level(F.interpolate(x, scale_factor=2, mode="nearest"))
        return x


class UNetDecoder(UNetTrunk):
    """U-Net with one linear head of embeddings."""

    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        in_features: list[str],
        channels: list[int],
        out_channels: int,
        norm: str,
        coordinates: bool,
        position_gain: float = 0.0,
        head_conv: bool = True,
        attention: Callable[[int], nn.Module] | None = None,
        position_height: float = 0.0,
    ) -> None:
        """
        Args:
            input_shape, in_features, channels, norm, attention: see `UNetTrunk`.
            out_channels: E, channels of the result, which has the finest level's resolution.
            coordinates: give the head the pixel position, so that equal-looking objects can differ.
            position_gain: start with the first two embedding dims = gain * position (x, y), in embedding units per
                image height; training then only has to bend them into objects. Needs `coordinates`.
            head_conv: a 3x3 convolution before the linear head; False = the head alone, on features and position.
            position_height: pixels of the input that count as one image height, whatever its size: objects keep their
                distance in crops and in whole images. Positions then go beyond those of the training crops, so only
                the linear head gets them. 0 = the height of the image itself.
        """
        super().__init__(input_shape, in_features=in_features, channels=channels, norm=norm, attention=attention)
        self.coordinates = coordinates
        finest_stride = int(input_shape[in_features[0]].stride or 1) / 2 ** (len(channels) - len(in_features) + 1)
        self.position_height = position_height / finest_stride
        width = channels[0] + (2 if coordinates else 0)
        conv_width = channels[0] if position_height > 0 else width
        self.mix = conv_norm_relu(conv_width, channels[0], 3, norm) if head_conv else None
        self.predictor = nn.Conv2d(width, out_channels, 1)
        if coordinates:
            with torch.no_grad():
                self.predictor.weight[:, -2:] = 0
                self.predictor.weight[:2, -2:, 0, 0] = position_gain * torch.eye(2)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> (N, E, h, w) at the finest level's resolution."""
        return self.embed(self.decode(features))

    def embed(self, x: Tensor) -> Tensor:
        """(N, channels[0], h, w) of `decode` -> (N, E, h, w) float32."""
        position = pixel_positions(x, self.position_height) if self.coordinates else x[:, :0].float()
        if self.mix is not None:
            conv_position = position[:, :0] if self.position_height > 0 else position
            x = self.mix(torch.cat([x, conv_position.to(x.dtype)], dim=1))
        # Eight bits of mantissa would put embeddings of 32 units on a grid of .25, half a small object's radius.
        with torch.autocast(x.device.type, enabled=False):
            embeddings: Tensor = self.predictor(torch.cat([x.float(), position], dim=1))
        return embeddings


class TwoHeadUNetDecoder(UNetDecoder):
    """U-Net with a linear head of embeddings and a linear head of class logits ([PanopticUNet], 3.1)."""

    def __init__(self, input_shape: dict[str, ShapeSpec], *, num_classes: int, **options: object) -> None:
        """
        Args:
            input_shape: channels of the backbone's features.
            num_classes: C.
            options: those of `UNetDecoder`.
        """
        super().__init__(input_shape, **options)  # type: ignore[arg-type]
        self.classifier = nn.Conv2d(self.levels[0][0].out_channels, num_classes, 1)  # type: ignore[index, arg-type]

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> (N, C, h, w) logits."""
        logits: Tensor = self.classifier(self.decode(features))
        return logits

    def both(self, features: dict[str, Tensor]) -> list[Tensor]:
        """Features by name -> logits (N, C, h, w) and embeddings (N, E, h, w), from one pass of the decoder."""
        x = self.decode(features)
        return [self.classifier(x), self.embed(x)]


def pixel_positions(x: Tensor, unit: float = 0.0) -> Tensor:
    """(N, 2, h, w) float32 positions (x, y) of the pixels of (N, channels, h, w).

    Args:
        x: gives size and device.
        unit: pixels of the map that count as 1; 0 = its height h.
    """
    height, width = x.shape[-2:]
    rows = (torch.arange(height, device=x.device) + 0.5) / (unit or height)
    columns = (torch.arange(width, device=x.device) + 0.5) / (unit or height)
    grid = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)])
    return grid.expand(len(x), -1, -1, -1)
