"""Panoptic results of images in memory, with networks that have seen everything."""

from __future__ import annotations

from typing import Any

from ptseg_d2.data.mappers import to_tensor
from ptseg_d2.inference.instance_grouping import ComponentGrouping, PanopticOptions
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.inference.tiling import predict_tiled
from ptseg_d2.inference.unified_model import UnifiedPanopticModel
from ptseg_d2.prediction.images import predict_images

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from odd_files import noise
from torch import Tensor, nn

ROAD, CAR = 0, 1


class Left(nn.Module):
    """A semantic network that sees a car on the left of the middle and road elsewhere; counts its images."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        self.batches.append(len(images))
        right = (torch.arange(images.shape[-1]) >= images.shape[-1] // 2).float().expand_as(images[:, :1])
        return {"sem_seg": torch.cat([right, 1 - right], 1)}


def test_batches_hold_images_of_one_size() -> None:
    options = PanopticOptions((1,), min_thing_share=0.0, min_stuff_share=0.0)
    network = Left()
    model = PanopticModel(network, ComponentGrouping(options), options)
    sizes = [(2, 4), (3, 6), (2, 4), (2, 4), (1, 1), (3, 6)]
    found = predict_images(model, [np.zeros((*size, 3), np.uint8) for size in sizes], 100, batch_size=2)
    assert sorted(network.batches) == [1, 1, 2, 2]
    assert [prediction.panoptic.shape for prediction in found] == sizes
    assert found[0].panoptic.tolist() == [[1, 1, 2, 2]] * 2 and found[4].panoptic.tolist() == [[1]]
    assert predict_images(model, [], 100, 2) == []


def test_stuff_limit_is_a_share_of_the_image() -> None:
    """The road is half of the image: kept at 40 %, void at 60 %, however many pixels that is."""
    for share, num_segments in ((0.4, 2), (0.6, 1)):
        options = PanopticOptions((1,), min_thing_share=0.0, min_stuff_share=share)
        model = PanopticModel(Left(), ComponentGrouping(options), options)
        for width in (4, 40):
            (found,) = predict_images(model, [np.zeros((4, width, 3), np.uint8)], 1000, 1)
            assert len(found.segments_info) == num_segments


class Bright(nn.Module):
    """A semantic network that sees a car where an image is bright."""

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        bright = (images.float().mean(1, keepdim=True) > 127).float()
        return {"sem_seg": 8 * torch.cat([1 - bright, bright], 1)}


def bright_model() -> PanopticModel:
    options = PanopticOptions((CAR,), min_thing_share=0.0, min_stuff_share=0.0)
    return PanopticModel(Bright(), ComponentGrouping(options), options)


def two_cars(height: int, width: int) -> NDArray[np.uint8]:
    """Grey 9, with white in the first and in the last quarter of the columns."""
    image = np.full((height, width, 3), 9, np.uint8)
    image[:, : width // 4] = image[:, -(width // 4) :] = 255
    return image


def test_a_result_by_hand() -> None:
    image = two_cars(3, 8)
    (found,) = predict_images(bright_model(), [image], 100, batch_size=1)
    assert found.sem_seg.tolist() == [[CAR, CAR, ROAD, ROAD, ROAD, ROAD, CAR, CAR]] * 3
    left, right, road = found.panoptic[0, 0], found.panoptic[0, -1], found.panoptic[0, 3]
    assert found.panoptic.tolist() == [[left, left, road, road, road, road, right, right]] * 3
    facts = {s["id"]: (s["category_id"], s["isthing"], s["area"]) for s in found.segments_info}
    assert facts == {left: (CAR, True, 6), right: (CAR, True, 6), road: (ROAD, False, 12)}
    # Logits 8 and 0: a probability of 1 / (1 + e^-8), and connected components are certain.
    scores = [segment["score"] for segment in found.segments_info if segment["isthing"]]
    assert scores == pytest.approx([0.9996646] * 2)
    assert found.image is image and found.file_name == ""
    assert found.panoptic.dtype == np.int32 and found.sem_seg.dtype == np.uint8


@pytest.mark.parametrize("max_pixels", [16 * 40, 16 * 40 - 1, 100])
def test_an_image_beyond_the_limit_is_cut_into_tiles(max_pixels: int) -> None:
    """The same two cars, whatever the tiles: nothing that these networks see depends on the surroundings."""
    image = two_cars(16, 40)
    (found,) = predict_images(bright_model(), [image], max_pixels, batch_size=1)
    whole = predict_images(bright_model(), [image], 16 * 40, batch_size=1)[0]
    assert np.array_equal(found.panoptic, whole.panoptic) and np.array_equal(found.sem_seg, whole.sem_seg)
    if max_pixels < 16 * 40:
        _, ids, segments = predict_tiled(bright_model(), to_tensor(image), max_pixels)
        assert np.array_equal(found.panoptic, ids.numpy()) and found.segments_info == segments


class Halves(nn.Module):
    """A single panoptic network: the left half of what it is shown is segment 7; remembers the sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (item,) = items
        self.sizes.append(tuple(item["image"].shape[1:]))
        left = (torch.arange(item["width"]) < item["width"] / 2).expand(item["height"], -1)
        segments = [{"id": 7, "category_id": CAR, "isthing": True, "area": int(left.sum()), "score": 1.0}]
        return [{"sem_seg": torch.stack([~left, left]).float(), "panoptic_seg": (7 * left.int(), segments)}]


@pytest.mark.parametrize(("max_pixels", "seen"), [(800, (20, 40)), (799, (19, 39)), (200, (10, 20)), (1, (1, 1))])
def test_a_single_network_sees_a_large_image_smaller(max_pixels: int, seen: tuple[int, int]) -> None:
    network = Halves()
    (found,) = predict_images(UnifiedPanopticModel(network), [noise(20, 40, 3)], max_pixels, batch_size=4)
    assert network.sizes == [seen]
    assert found.panoptic.tolist() == [[7] * 20 + [0] * 20] * 20
    assert found.sem_seg.tolist() == [[CAR] * 20 + [ROAD] * 20] * 20


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(image: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a \(height, width, 3\) uint8 RGB image"):
        predict_images(bright_model(), [two_cars(2, 4), image], 100, 1)
