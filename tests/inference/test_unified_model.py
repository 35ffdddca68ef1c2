"""A network in the place of both branches: which instances stay, and images larger than it may see."""

from __future__ import annotations

from typing import Any

from ptseg_d2.inference.unified_model import UnifiedPanopticModel, drop_low_score_segments
from ptseg_d2.prediction.images import predict_images

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STUFF = {"id": 1, "category_id": 0, "isthing": False}
SURE, UNSURE = (
    {"id": 2001, "category_id": 1, "isthing": True, "score": 0.8},
    {"id": 2002, "category_id": 1, "isthing": True, "score": 0.3},
)


def test_instances_below_the_score_become_void_and_stuff_stays() -> None:
    ids = torch.tensor([[1, 2001], [2002, 2002]], dtype=torch.int32)
    kept, segments = drop_low_score_segments((ids, [STUFF, SURE, UNSURE]), 0.5)
    assert kept.tolist() == [[1, 2001], [0, 0]] and segments == [STUFF, SURE]
    assert ids.tolist() == [[1, 2001], [2002, 2002]]
    assert drop_low_score_segments((ids, [STUFF, SURE, UNSURE]), 0.0)[1] == [STUFF, SURE, UNSURE]


class LightHalf(nn.Module):
    """Class 1 and one instance where the image is light; remembers the sizes that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [self._one(item["image"].float(), (item["height"], item["width"])) for item in batched_inputs]

    def _one(self, image: Tensor, size: tuple[int, int]) -> dict[str, Any]:
        self.seen.append(tuple(image.shape[-2:]))
        light = F.interpolate(image[None, :1], size, mode="nearest")[0, 0] > 127
        logits = torch.stack([~light, light]).float()
        ids = torch.where(light, 2001, 1).int()
        return {"sem_seg": logits, "panoptic_seg": (ids, [STUFF, SURE])}


def test_a_large_image_is_seen_smaller_and_answered_at_its_own_size() -> None:
    network = LightHalf()
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 40:] = 255
    whole, small = (predict_images(UnifiedPanopticModel(network), [image], limit, 1)[0] for limit in (3200, 800))
    assert network.seen == [(40, 80), (20, 40)]
    for prediction in (whole, small):
        assert prediction.panoptic.tolist() == [[1] * 40 + [2001] * 40] * 40
        assert prediction.sem_seg.tolist() == [[0] * 40 + [1] * 40] * 40
        assert prediction.segments_info == [STUFF, SURE]
