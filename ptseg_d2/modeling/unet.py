"""U-Net decoder on the features of any Detectron2 backbone. Shapes: N images, E embedding dims."""

from __future__ import annotations

from ptseg_d2.modeling.layers import conv_norm_relu

import torch
from detectron2.layers import ShapeSpec
from torch import Tensor, nn
from torch.nn import functional as F


class UNetDecoder(nn.Module):
    """Nearest up-sampling, concatenation with the skip, two 3x3 convolutions per level, a linear head."""

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
        position_height: float = 0.0,
    ) -> None:
        """
        Args:
            input_shape: channels of the backbone's features.
            in_features: feature names from fine to coarse.
            channels: decoder widths from fine to coarse, one less than `in_features`.
            out_channels: E, channels of the result, which has the finest feature's resolution.
            norm: a normalisation name known to Detectron2's `get_norm`.
            coordinates: give the head the pixel position, so that equal-looking objects can differ.
            position_gain: start with the first two embedding dims = gain * position (x, y), in embedding units per
                image height; training then only has to bend them into objects. Needs `coordinates`.
            position_height: pixels of the input that count as one image height, whatever its size: objects keep their
                distance in crops and in whole images. Positions then go beyond those of the training crops, so only
                the linear head gets them. 0 = the height of the image itself.
        """
        super().__init__()
        if len(channels) != len(in_features) - 1:
            raise ValueError(
                f"{len(in_features)} U-Net features need {len(in_features) - 1} decoder widths, "
                f"got {channels} (MODEL.EMBEDDING.DECODER_CHANNELS)"
            )
        self.in_features = in_features
        self.coordinates = coordinates
        widths = [int(input_shape[name].channels or 0) for name in in_features]
        below = [*channels[1:], widths[-1]]
        self.levels = nn.ModuleList(
            nn.Sequential(conv_norm_relu(coarse + skip, width, 3, norm), conv_norm_relu(width, width, 3, norm))
            for coarse, skip, width in zip(below, widths, channels)
        )
        self.position_height = position_height / int(input_shape[in_features[0]].stride or 1)
        position_channels = 2 if coordinates else 0
        mixed_channels = 0 if position_height > 0 else position_channels
        self.mix = conv_norm_relu(channels[0] + mixed_channels, channels[0], 3, norm)
        self.predictor = nn.Conv2d(channels[0] + position_channels, out_channels, 1)
        if coordinates:
            with torch.no_grad():
                self.predictor.weight[:, -2:] = 0
                self.predictor.weight[:2, -2:, 0, 0] = position_gain * torch.eye(2)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Features by name -> (N, E, h, w) at the finest feature's resolution."""
        x = features[self.in_features[-1]]
        for name, level in reversed(list(zip(self.in_features, self.levels))):
            skip = features[name]
            x = level(torch.cat([F.interpolate(x, size=skip.shape[-2:], mode="nearest"), skip], dim=1))
        position = pixel_positions(x, self.position_height) if self.coordinates else x[:, :0].float()
        mixed = position[:, :0] if self.position_height > 0 else position
        x = self.mix(torch.cat([x, mixed.to(x.dtype)], dim=1))
        # Eight bits of mantissa would put embeddings of 32 units on a grid of .25, half a small object's radius.
        with torch.autocast(x.device.type, enabled=False):
            return self.predictor(torch.cat([x.float(), position], dim=1))


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
