"""Large images: the tiles, the blending of their classes, and objects across their borders."""

from __future__ import annotations

from ptseg_d2.inference.clusterers import Clustering
from ptseg_d2.inference.instance_grouping import ComponentGrouping, EmbeddingGrouping, PanopticOptions
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.inference.tiling import Grid, blend_classes, predict_tiled, tile_grid

import pytest
import torch
from torch import Tensor, nn

ROAD, CAR = 0, 1
OPTIONS = PanopticOptions((CAR,), min_thing_share=1e-3, min_stuff_share=0.0)


def test_tiles_by_hand() -> None:
    assert tile_grid((10, 25), 100, overlap=0.2) == Grid([slice(0, 10)], [slice(0, 10), slice(7, 17), slice(15, 25)])
    assert tile_grid((10, 25), 250) == Grid([slice(0, 10)], [slice(0, 25)])
    assert len(tile_grid((2, 1), 1).boxes()) == 2


@pytest.mark.parametrize(
    ("size", "max_pixels"), [((1, 1), 1), ((300, 5000), 2**16), ((5000, 300), 2**16), ((777, 1001), 9999), ((3, 7), 2)]
)
def test_tiles_cover_the_image_and_are_small_enough(size: tuple[int, int], max_pixels: int) -> None:
    grid = tile_grid(size, max_pixels)
    for spans, length in zip(grid, size):
        tile = spans[0].stop
        assert spans[0].start == 0 and spans[-1].stop == length
        assert all(span.stop - span.start == tile for span in spans)
        assert all(a.stop - b.start >= min(tile - 1, 0.125 * tile) for a, b in zip(spans, spans[1:]))
    assert grid.rows[0].stop * grid.columns[0].stop <= max_pixels


def test_blending_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    grid = tile_grid((11, 14), 36, overlap=0.4)
    logits = [torch.randn(3, 6, 6, generator=generator) for _ in grid.boxes()]
    assert len(logits) > 4
    total, weights = torch.zeros(3, 11, 14), torch.zeros(11, 14)
    for box, tile in zip(grid.boxes(), logits):
        for y in range(6):
            for x in range(6):
                weight = min(y + 1, 6 - y) * min(x + 1, 6 - x)
                total[:, box[0].start + y, box[1].start + x] += weight * tile[:, y, x]
                weights[box[0].start + y, box[1].start + x] += weight
    expected, classes = (total / weights).softmax(0).max(0)
    iterator = iter(logits)
    probability, sem_seg = blend_classes(grid, lambda box: next(iterator))
    torch.testing.assert_close(probability, expected)
    assert torch.equal(sem_seg.long(), classes)


class FromColours(nn.Module):
    """Networks that have seen everything: red tells the class, green and blue the object."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        self.sizes.append(images[0, 0].numel())
        is_car = (images[:, :1] > 0).float()
        return {"sem_seg": torch.cat([-4 * is_car, 4 * is_car - 4], 1), "embeddings": images[:, 1:].float() / 10}


def street(height: int = 60, width: int = 200) -> Tensor:
    """Three cars on a road: two touch each other, the third one spans half of the image."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    for place, colour in (
        ((slice(5, 20), slice(20, 45)), (255, 40, 0)),
        ((slice(5, 20), slice(45, 60)), (255, 0, 40)),
        ((slice(30, 50), slice(50, 150)), (255, 200, 200)),
    ):
        image[:, place[0], place[1]] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    return image


def model() -> tuple[PanopticModel, FromColours]:
    network = FromColours()
    clustering = Clustering("mean_shift_plus", delta_var=0.5, delta_dist=1.5)
    return PanopticModel(network, EmbeddingGrouping([((CAR,), network)], OPTIONS, clustering), OPTIONS), network


@pytest.mark.parametrize("max_pixels", [2000, 1000, 500])
def test_objects_across_borders_stay_one(max_pixels: int) -> None:
    """Small tiles see few cars: the same objects as in the whole image, each once and whole."""
    image = street()
    whole, network = model()
    expected, expected_segments = whole([{"image": image}])[0]["panoptic_seg"]
    network.sizes.clear()
    sem_seg, ids, segments = predict_tiled(whole, image, max_pixels)
    assert max(network.sizes) <= max_pixels and len(network.sizes) > 5
    pairs = torch.stack([ids.flatten(), expected.flatten()]).unique(dim=1)
    assert pairs.shape[1] == 4 == len(segments) == len(expected_segments)
    assert sorted(s["area"] for s in segments if s["isthing"]) == [225, 375, 2000]
    assert all(s["score"] == pytest.approx(e["score"], abs=1e-5) for s, e in zip(segments, expected_segments))
    assert torch.equal(sem_seg.bool(), image[0] > 0) and ids.dtype == torch.int32


def test_one_tile_is_the_model_itself() -> None:
    whole, _ = model()
    output = whole([{"image": street()}])[0]
    sem_seg, ids, segments = predict_tiled(whole, street(), 60 * 200)
    assert torch.equal(ids, output["panoptic_seg"][0]) and segments == output["panoptic_seg"][1]
    assert torch.equal(sem_seg.long(), output["sem_seg"].argmax(0))


def test_smallest_segments_are_shares_of_the_whole_image() -> None:
    options = PanopticOptions((CAR,), min_thing_share=0.02, min_stuff_share=0.9)  # 240 pixels, more than the road
    network = FromColours()
    _, ids, segments = predict_tiled(PanopticModel(network, ComponentGrouping(options), options), street(), 1000)
    assert [s["category_id"] for s in segments] == [CAR, CAR]  # the touching two are one component
    assert int((ids > 0).sum()) == 600 + 2000


def test_min_score_holds_for_tiles() -> None:
    whole, _ = model()
    whole.min_score = 0.999
    assert [s["isthing"] for s in predict_tiled(whole, street(), 1000)[2]] == [False]
