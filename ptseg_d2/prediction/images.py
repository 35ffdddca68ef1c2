"""Panoptic results of images in memory, of any number and size: batched, in tiles where they are large.

Shapes: H x W pixels; images are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ptseg_d2.data.mappers import to_tensor
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.inference.protocols import PanopticSystem
from ptseg_d2.inference.tiling import predict_tiled
from ptseg_d2.resizing import resize

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.uint8]

MAX_PIXELS = 2 * 1024 * 2048
"""Larger images are cut into tiles: twice the size of Cityscapes' images."""


@dataclass(frozen=True)
class PanopticPrediction:
    """What is seen in an image.

    Attributes:
        panoptic: (H, W) int32 segment ids, 0 = void.
        segments_info: per segment id, category_id (train id), isthing, area in pixels and score in [0, 1].
        sem_seg: (H, W) uint8 train ids, the most probable class of every pixel.
        image: (H, W, 3) uint8 RGB, what was predicted.
        file_name: "" for an array.
    """

    panoptic: NDArray[np.int32]
    segments_info: list[dict[str, Any]]
    sem_seg: Picture
    image: Picture
    file_name: str = ""


@torch.no_grad()
def predict_images(
    model: PanopticSystem, images: Sequence[Picture], max_pixels: int, batch_size: int
) -> list[PanopticPrediction]:
    """Panoptic results of images of any sizes.

    Args:
        model: one that separates objects.
        images: (H, W, 3) uint8 RGB.
        max_pixels: larger images are cut into tiles for a `PanopticModel`; another system sees them smaller instead.
        batch_size: images of one size that the semantic network sees at once.

    Raises:
        ValueError: no such array, or one without a pixel.
    """
    batches: list[list[int]] = []
    for index, image in enumerate(images):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"expected a (height, width, 3) uint8 RGB image, got {image.dtype} of {image.shape}")
        for batch in batches:
            if images[batch[0]].shape == image.shape and len(batch) < batch_size:
                batch.append(index)
                break
        else:
            batches.append([index])
    predictions: dict[int, PanopticPrediction] = {}
    for batch in batches:
        tensors = torch.stack([to_tensor(images[index]) for index in batch])
        if not isinstance(model, PanopticModel):
            found = [_predict_whole(model, tensor, max_pixels) for tensor in tensors]
        elif tensors[0, 0].numel() > max_pixels:
            found = [predict_tiled(model, tensor, max_pixels) for tensor in tensors]
        else:
            logits = model.semantic.predict(tensors)["sem_seg"]
            found = [(one.argmax(0), *model.from_logits(image.float(), one)) for image, one in zip(tensors, logits)]
        for index, (sem_seg, ids, segments) in zip(batch, found):
            classes = sem_seg.to(torch.uint8).cpu().numpy()
            predictions[index] = PanopticPrediction(ids.cpu().numpy(), segments, classes, images[index])
    return [predictions[index] for index in range(len(images))]


def _predict_whole(
    model: PanopticSystem, image: Tensor, max_pixels: int
) -> tuple[Tensor, Tensor, list[dict[str, Any]]]:
    """(H, W) classes, (H, W) segment ids and segments_info of a (3, H, W) image that the system sees at once."""
    height, width = image.shape[-2:]
    scale = min(1.0, math.sqrt(max_pixels / (height * width)))
    size = (max(1, int(height * scale)), max(1, int(width * scale)))
    item = {"image": image if scale == 1 else resize(image[None].float(), size)[0], "height": height, "width": width}
    output = model([item])[0]
    return (output["sem_seg"].argmax(0), *output["panoptic_seg"])
