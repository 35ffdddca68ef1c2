"""Photographs of any kind as RGB, damaged ones refused; maps that a stage writes for a later one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.data.image_files import read_image, read_png, write_png
from ptseg_d2.errors import DataError

import cv2
import numpy as np
import pytest
from PIL import Image


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_image_is_rgb(tmp_path: Path) -> None:
    bgr = np.zeros((2, 3, 3), np.uint8)
    bgr[..., 2] = 200
    cv2.imwrite(str(tmp_path / "red.png"), bgr)
    image = read_image(tmp_path / "red.png")
    assert image.dtype == np.uint8 and image.shape == (2, 3, 3)
    assert image[1, 2].tolist() == [200, 0, 0]


def test_gray_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 7, np.uint8)).save(tmp_path / "gray.png")
    Image.fromarray(np.full((2, 2, 4), 9, np.uint8)).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "gray.png").tolist() == [[[7] * 3] * 2] * 2
    assert read_image(tmp_path / "rgba.png").tolist() == [[[9] * 3] * 2] * 2


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.fromarray(np.zeros((2, 5, 3), np.uint8)).save(tmp_path / "phone.jpg", exif=exif)
    assert read_image(tmp_path / "phone.jpg").shape == (5, 2, 3)


@pytest.mark.parametrize("extension", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_truncated_image(tmp_path: Path, extension: str, kept: float) -> None:
    path = tmp_path / f"cut.{extension}"
    cv2.imwrite(str(path), noise(40, 60))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DataError, match=f"cut.{extension}"):
        read_image(path)


def test_png_that_only_lacks_its_end_chunk(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    cv2.imwrite(str(path), noise(40, 60))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"cut\.png: truncated PNG"):
        read_image(path)


def test_text_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"page\.png: not an image file"):
        read_image(tmp_path / "page.png")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        read_image(tmp_path / "nowhere.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_was_written_is_read(tmp_path: Path, dtype: Any) -> None:
    values = np.array([[0, 13, 255], [1, 2, np.iinfo(dtype).max]], dtype)
    write_png(tmp_path / "map.png", values)
    found = read_png(tmp_path / "map.png")
    assert found.dtype == dtype and found.tolist() == values.tolist()


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_unreadable_map_ends_the_run(tmp_path: Path, content: bytes | None) -> None:
    """Other than a bad image, for which the loader takes another one."""
    if content is not None:
        (tmp_path / "map.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"map\.png cannot be read: delete the folder of the stage") as caught:
        read_png(tmp_path / "map.png")
    assert not isinstance(caught.value, DataError)


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"could not write .*absent/map\.png"):
        write_png(tmp_path / "absent" / "map.png", np.zeros((2, 2), np.uint8))
