"""Overlays: what is painted, and the size of what is saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets import panoptic_metadata
from ptseg_d2.visualization.overlays import draw_panoptic, save_png, side_by_side

import numpy as np
import pytest
import torch
from detectron2.data import Metadata, MetadataCatalog
from PIL import Image

DATASET = "test_overlays"
SKY, CAR = 10, 13


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    yield MetadataCatalog.get(DATASET).set(**panoptic_metadata())
    MetadataCatalog.remove(DATASET)


def scene() -> tuple[np.ndarray, torch.Tensor, list[dict[str, Any]]]:
    """Gray image; sky above, void in the middle, two cars below."""
    ids = torch.zeros(32, 64, dtype=torch.int32)
    ids[:12], ids[22:, :32], ids[22:, 32:] = 3, 1, 2
    segments = [
        {"id": 1, "category_id": CAR, "isthing": True, "area": 320, "score": 0.9},
        {"id": 2, "category_id": CAR, "isthing": True, "area": 320, "score": 0.8},
        {"id": 3, "category_id": SKY, "isthing": False, "area": 768, "score": 1.0},
    ]
    return np.full((32, 64, 3), 100, dtype=np.uint8), ids, segments


def test_classes_are_painted_and_void_is_not(metadata: Metadata) -> None:
    image, ids, segments = scene()
    picture = draw_panoptic(image, ids, segments, metadata)
    assert picture.shape == (32 * 16, 64 * 16, 3) and picture.dtype == np.uint8
    large = ids.repeat_interleave(16, 0).repeat_interleave(16, 1).numpy()
    typical = {i: np.median(picture[large == i], axis=0) for i in range(4)}
    assert typical[0].tolist() == [100, 100, 100]
    assert typical[3] == pytest.approx((100 + np.array([70, 130, 180])) / 2, abs=2)
    assert np.abs(typical[1] - typical[2]).max() > 5  # two instances, two colours
    assert segments == scene()[2] and (image == 100).all()


def test_same_picture_again_without_touching_the_random_numbers(metadata: Metadata) -> None:
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    pictures = [draw_panoptic(*scene(), metadata, scale=2) for _ in range(2)]
    assert np.random.rand() == expected
    assert (pictures[0] == pictures[1]).all()
    assert pictures[0].shape == (64, 128, 3)


def test_nothing_predicted_leaves_the_image(metadata: Metadata) -> None:
    image, ids, _ = scene()
    assert (draw_panoptic(image, torch.zeros_like(ids), [], metadata, scale=1) == image).all()


def test_other_size_is_refused(metadata: Metadata) -> None:
    _, ids, segments = scene()
    with pytest.raises(ValueError, match=r"expected an image of shape \(32, 64, 3\)"):
        draw_panoptic(np.zeros((32, 32, 3), np.uint8), ids, segments, metadata)


def test_panels() -> None:
    red = np.full((20, 40, 3), (255, 0, 0), dtype=np.uint8)
    blue = np.full((10, 20, 3), (0, 0, 255), dtype=np.uint8)  # half the size: enlarged
    sheet = side_by_side([red, blue, red], ["one", "two", "a title that is far too long"], columns=2)
    panel = 28 + 20
    assert sheet.shape == (2 * panel + 4, 2 * 40 + 4, 3)
    assert (sheet[28:panel, :40] == (255, 0, 0)).all()
    assert (sheet[28:panel, 44:] == (0, 0, 255)).all()
    assert (sheet[:28, :40] < 128).any()  # the title
    assert (sheet[panel + 4 :, 44:] == 255).all()  # the empty place


@pytest.mark.parametrize(("images", "titles"), [([], []), ([np.zeros((2, 2, 3), np.uint8)], [])])
def test_panels_need_titles(images: list[np.ndarray], titles: list[str]) -> None:
    with pytest.raises(ValueError, match="one title per image"):
        side_by_side(images, titles)


def test_a_picture_that_fits_is_kept_exactly(tmp_path: Path) -> None:
    picture = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    save_png(tmp_path / "new" / "picture.png", picture)
    assert (np.array(Image.open(tmp_path / "new" / "picture.png")) == picture).all()


def test_a_noisy_picture_is_made_to_fit(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (128, 256, 3), dtype=np.uint8)
    path = tmp_path / "picture.png"
    for max_bytes, size in ((60_000, (256, 128)), (7_000, (128, 64))):
        save_png(path, picture, max_bytes)
        assert path.stat().st_size <= max_bytes
        assert Image.open(path).size == size
