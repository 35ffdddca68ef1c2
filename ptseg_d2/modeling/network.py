"""What every network of ptseg_d2 shares: pixels in, a dict of dense maps out. Shapes: N images of H x W pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ptseg_d2.resizing import resize

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn
from torch.nn import functional as F


class DenseNetwork(nn.Module):
    """Base of the meta-architectures: normalisation, padding to the stride, precision, resizing of outputs."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        backbone: Backbone,
        head: nn.Module,
        output_name: str,
        pixel_mean: list[float],
        pixel_std: list[float],
        size_divisibility: int,
        use_bfloat16: bool,
        flip_channels: bool = False,
        normalize_images: bool = False,
    ) -> None:
        """
        Args:
            backbone: image (N, 3, H, W) -> features by name.
            head: features by name -> one dense map (N, channels, h, w).
            output_name: key of that map in the output dict, "sem_seg" or "embeddings".
            pixel_mean: per channel in the order the backbone expects, in grey levels (0-255).
            pixel_std: likewise.
            size_divisibility: images are padded on the right and bottom to a multiple of this.
            use_bfloat16: run under autocast where the device computes in bfloat16; outputs stay float32.
            flip_channels: the backbone expects BGR; images given to this class are always RGB.
            normalize_images: each channel of each image gets mean 0 and deviation 1 over its own pixels, instead of
                those of `pixel_mean` and `pixel_std` ([PanopticUNet], section 4.1.2).
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.output_name = output_name
        self.size_divisibility = size_divisibility
        self.use_bfloat16 = use_bfloat16
        self.flip_channels = flip_channels
        self.normalize_images = normalize_images
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return self.pixel_mean.device

    @property
    def mean_colour(self) -> Tensor:
        """The colour that becomes 0 inside the network: (3, 1, 1), RGB grey levels."""
        return self.pixel_mean.flip(0) if self.flip_channels else self.pixel_mean

    def build_hooks(self) -> list[HookBase]:
        """What changes it in training besides the optimiser; the trainer calls them."""
        return []

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Dense maps of images of one size.

        Args:
            images: (N, 3, H, W), RGB grey levels 0-255, any numeric dtype.

        Returns:
            {output_name: (N, channels, H, W)} float32, resized to the images.
        """
        return {self.output_name: resize(self.predict_strided(images), images.shape[-2:])}

    def predict_strided(self, images: Tensor) -> Tensor:
        """As `predict`, but the one map at the head's own resolution, when no padding is needed.

        Args:
            images: (N, 3, H, W).

        Returns:
            (N, channels, h, w) float32, covering exactly H x W pixels.
        """
        return self._dense_maps(images, lambda features: [self.head(features)])[0]

    def all_maps(self, features: dict[str, Tensor]) -> list[Tensor]:
        """Everything the network predicts, of which `predict_strided` gives the first; what its cost is counted of.

        Args:
            features: by name.

        Returns:
            (N, channels, h, w) each; for most networks one.
        """
        return [self.head(features)]

    def _dense_maps(self, images: Tensor, heads: Callable[[dict[str, Tensor]], list[Tensor]]) -> list[Tensor]:
        """Maps of features, from one pass of the backbone, with the padding taken off.

        Args:
            images: (N, 3, H, W).
            heads: features by name -> maps; runs in the network's precision.

        Returns:
            each (N, channels, h, w) float32 with its own h x w, covering exactly H x W pixels.
        """
        return [self._without_padding(output, images.shape[-2:]) for output in self._padded_maps(images, heads)]

    def _padded_maps(self, images: Tensor, heads: Callable[[dict[str, Tensor]], list[Tensor]]) -> list[Tensor]:
        """As `_dense_maps`, but at the heads' own strides, and with the padding below and on the right."""
        x = images.to(self.device).float()
        x = self._normalized(x.flip(1) if self.flip_channels else x)
        height, width = self._padded_size(x.shape[-2:])
        x = F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2])).contiguous(memory_format=torch.channels_last)
        with self._precision():
            outputs = heads(self.backbone(x))
        return [output.float() for output in outputs]

    def _without_padding(self, output: Tensor, size: Sequence[int]) -> Tensor:
        """A map of `_padded_maps` of images of a size (H, W): as it is, or in pixels where there is padding."""
        height, width = size
        padded = self._padded_size(size)
        return output if padded == (height, width) else resize(output, padded)[..., :height, :width]

    def _padded_size(self, size: Sequence[int]) -> tuple[int, int]:
        height, width = (side + -side % self.size_divisibility for side in size)
        return height, width

    def _normalized(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) grey levels in the backbone's channel order -> what the backbone expects."""
        if not self.normalize_images:
            return (x - self.pixel_mean) / self.pixel_std
        deviation, mean = torch.std_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return (x - mean) / deviation.clamp(min=1.0)  # an image of one colour becomes 0

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.use_bfloat16 and computes_bfloat16(self.device),
        )

    def output_per_image(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Tensor]]:
        """Detectron2's test-time protocol: each image on its own, at its `height` x `width`."""
        outputs = []
        for item in batched_inputs:
            dense = self.predict(item["image"][None])[self.output_name]
            size = (item.get("height", dense.shape[-2]), item.get("width", dense.shape[-1]))
            outputs.append({self.output_name: resize(dense, size)[0]})
        return outputs


def network_options(cfg: CfgNode) -> dict[str, Any]:
    """The options of `DenseNetwork` that every meta-architecture reads alike.

    Raises:
        ValueError: INPUT.FORMAT is neither "RGB" nor "BGR".
    """
    if cfg.INPUT.FORMAT not in ("RGB", "BGR"):
        raise ValueError(f"INPUT.FORMAT = {cfg.INPUT.FORMAT!r}; expected 'RGB' or 'BGR'")
    backbone = build_backbone(cfg)
    divisibility = max(int(shape.stride or 1) for shape in backbone.output_shape().values())
    return {
        "backbone": backbone,
        "pixel_mean": cfg.MODEL.PIXEL_MEAN,
        "pixel_std": cfg.MODEL.PIXEL_STD,
        "size_divisibility": max(divisibility, backbone.size_divisibility),
        "use_bfloat16": cfg.MODEL.BFLOAT16,
        "flip_channels": cfg.INPUT.FORMAT == "BGR",
        "normalize_images": cfg.MODEL.NORMALIZE_IMAGES,
    }


def stack_images(batched_inputs: list[dict[str, Any]], key: str = "image") -> Tensor:
    """Training images (all of INPUT.CROP_SIZE) as one (N, 3, H, W) tensor."""
    return torch.stack([item[key] for item in batched_inputs])


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: a GPU that supports it, or a CPU with its instructions."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
