"""Images as they come from elsewhere: the right pixels, or one line that names the file and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ptseg_d2.data.image_files import image_size, read_image
from ptseg_d2.errors import DataError

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from odd_files import noise, truncate, write_gray_alpha_16, write_png
from PIL import Image
from tiny import small

GRAY = np.array([[0, 100], [200, 255]], np.uint8)
GRAY_16 = np.array([[0, 128, 129, 257], [25700, 32896, 65406, 65535]], np.uint16)
GRAY_8 = [[0, 0, 1, 1], [100, 128, 254, 255]]  # round(x / 257)


def test_an_ordinary_image_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    assert (read_image(write_png(tmp_path / "a.png", 37, 51)) == noise(37, 51, 3)).all()


@pytest.mark.parametrize(("mode", "channels"), [("L", ()), ("LA", (2,))])
def test_gray(tmp_path: Path, mode: str, channels: tuple[int, ...]) -> None:
    values = GRAY if not channels else np.stack([GRAY, 255 - GRAY], axis=-1)
    Image.fromarray(values, mode).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == np.stack([GRAY] * 3, axis=-1).tolist()


def test_transparency_is_dropped(tmp_path: Path) -> None:
    Image.fromarray(noise(4, 5, 4)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == noise(4, 5, 4)[..., :3]).all()


@pytest.mark.parametrize("transparent", [{}, {"transparency": 1}])
def test_palette(tmp_path: Path, transparent: dict[str, Any]) -> None:
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png", **transparent)
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]


@pytest.mark.parametrize("extension", ["png", "tiff"])
def test_16_bit_gray_is_scaled_and_not_clipped(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    cv2.imwrite(str(path), GRAY_16)
    assert read_image(path).tolist() == np.stack([GRAY_8] * 3, axis=-1).tolist()


@pytest.mark.parametrize("num_channels", [3, 4])
def test_16_bit_colour_is_scaled_and_not_cut_off(tmp_path: Path, num_channels: int) -> None:
    bgr = np.stack([GRAY_16, 0 * GRAY_16, GRAY_16[::-1], 0 * GRAY_16][:num_channels], axis=-1)
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint8 and image.shape == (2, 4, 3)
    assert image[..., 2].tolist() == GRAY_8 and image[..., 0].tolist() == GRAY_8[::-1] and not image[..., 1].any()


def test_16_bit_gray_with_alpha(tmp_path: Path) -> None:
    path = write_gray_alpha_16(tmp_path / "a.png", np.stack([GRAY_16, GRAY_16[::-1]], axis=-1))
    assert read_image(path).tolist() == np.stack([GRAY_8] * 3, axis=-1).tolist()


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "sixteen.png"])
def test_orientation_is_applied(tmp_path: Path, name: str, orientation: int, turns: int) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:, 16:], upright[8:] = 250, 100
    stored = np.rot90(upright, -turns)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    if name == "sixteen.png":
        Image.fromarray(stored[..., 0].astype(np.uint16) * 257).save(path, exif=exif)
    else:
        Image.fromarray(stored).save(path, exif=exif, quality=95)
    image = read_image(path)
    assert image.shape == upright.shape and np.abs(image.astype(int) - upright).mean() < 4
    assert image_size(path) == (16, 32)


def test_cmyk(tmp_path: Path) -> None:
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[..., 0] = 255  # cyan only
    Image.fromarray(cmyk, "CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - [0, 255, 255]).max() < 4


@pytest.mark.parametrize("size", [(1, 1), (5000, 300), (300, 5000)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    assert read_image(write_png(tmp_path / "a.png", *size)).shape == (*size, 3)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("no image at all")


def cut_off(path: Path) -> None:
    truncate(write_png(path))


def float_tiff(path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.float32)).save(path, format="TIFF")


def large_integers(path: Path) -> None:
    Image.fromarray(np.full((3, 4), 1 << 20, np.int32)).save(path, format="TIFF")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (empty, "the file is empty"),
        (text, "not an image file"),
        (cut_off, "truncated PNG"),
        (float_tiff, "expected 8 or 16 bits per channel, got float32"),
        (large_integers, "expected 8 or 16 bits per channel, got int32"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(tmp_path / "odd.png")
    with pytest.raises(DataError, match=rf"odd\.png: {message}") as error:
        read_image(tmp_path / "odd.png")
    assert "\n" not in str(error.value)


NETWORKS = {
    "UNet": ("semantic_source.yaml", []),
    "DeepLabv2": ("semantic_source.yaml", ["RECIPE.SEMANTIC_NETWORK", "networks/deeplabv2.yaml"]),
    "DeepLabv3+": (
        "semantic_source.yaml",
        ["RECIPE.SEMANTIC_NETWORK", "networks/deeplabv3plus.yaml", "MODEL.SEM_SEG_HEAD.LOW_LEVEL_CHANNELS", "[4]"]
        + ["MODEL.SEM_SEG_HEAD.DECODER_CHANNELS", "[8]"],
    ),
    "DeepLabv3": ("semantic_source.yaml", ["RECIPE.SEMANTIC_NETWORK", "networks/deeplabv3.yaml"]),
    "BiSeNet": ("semantic_source.yaml", ["RECIPE.SEMANTIC_NETWORK", "networks/bisenet.yaml"]),
    "embeddings": ("instance_source.yaml", []),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_see_a_single_pixel_and_long_strips(name: str) -> None:
    config, overrides = NETWORKS[name]
    depth = ["MODEL.RESNETS.DEPTH", "50"] if name.startswith("DeepLab") else []
    network = build_model(small(config, *overrides, *depth, "MODEL.DEVICE", "cpu")).eval()
    for size in ((1, 1), (3, 700), (700, 3)):
        with torch.no_grad():
            (dense,) = network.predict(torch.zeros(1, 3, *size, dtype=torch.uint8)).values()
        assert dense.shape[-2:] == size and dense.isfinite().all()
