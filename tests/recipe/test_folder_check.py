"""Folders of a user: what is in them is said before training, and so is what would spoil it."""

from __future__ import annotations

import logging
from pathlib import Path

from ptseg_d2.errors import DataError
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.recipe.folder_check import check_folders

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny import CONFIGS

TWO_OBJECTS = np.array([[0, 0, 7, 7], [9, 0, 7, 7], [9, 9, 0, 0]], np.uint16)
BINARY = np.where(TWO_OBJECTS > 0, 255, 0).astype(np.uint8)
BINARY[:, 1] = 0  # two pieces


def make(folder: Path, labels: list[np.ndarray], num_images: int) -> Path:
    """Images of 3 x 4 pixels, of which the last ones have these labels."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(num_images):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), np.full((3, 4), 50, np.uint8))
    for number, label in enumerate(labels, num_images - len(labels)):
        cv2.imwrite(str(folder / "labels" / f"{number}.png"), label)
    return folder


def check(tmp_path: Path, source: list[np.ndarray], test: list[np.ndarray]) -> None:
    folders = make(tmp_path / "a", source, len(source)), make(tmp_path / "b", test, 3 + len(test))
    keys = ["WORLD.SOURCE", str(folders[0]), "WORLD.TARGET", str(folders[1]), "WORLD.TEST_SHARE", "0.0"]
    check_folders(load_config(CONFIGS / "nuclei" / "selftrain.yaml", keys))


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "ptseg_d2.recipe.folder_check"]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ptseg_d2")


def test_what_is_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(tmp_path, [TWO_OBJECTS, 0 * TWO_OBJECTS], [TWO_OBJECTS])
    assert messages(caplog) == [
        "folder_source_labeled_train: 2 images, 2 objects; 1 images without one",
        "folder_target_unlabeled_train: 3 images",
        "folder_target_labeled_test: 1 images, 2 objects; 0 images without one",
    ]


def test_binary_masks_are_suspected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(tmp_path, [BINARY, BINARY, TWO_OBJECTS], [TWO_OBJECTS])
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "a/labels: 2 of 3 labels that show anything have one number in several pieces" in warning
    assert "scipy.ndimage.label" in warning


def test_labels_that_show_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a/labels: no label of folder_source_labeled_train shows an object"):
        check(tmp_path, [0 * TWO_OBJECTS] * 2, [TWO_OBJECTS])


def test_one_bad_label_of_the_source_is_said_and_one_of_the_test_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    colored = np.stack([BINARY] * 3, axis=-1)
    check(tmp_path / "source", [TWO_OBJECTS, colored], [TWO_OBJECTS])
    assert any("1 images cannot be used. The first: " in text and "1.png" in text for text in messages(caplog))
    with pytest.raises(DataError, match="labeled_test: 1 of 2 images cannot be used.*4.png: expected one"):
        check(tmp_path / "test", [TWO_OBJECTS], [TWO_OBJECTS, colored])
    with pytest.raises(DataError, match="labeled_train: 2 of 2 images cannot be used.*expected one channel"):
        check(tmp_path / "all", [colored, colored], [TWO_OBJECTS])


def test_stacks_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make(tmp_path / "c", [TWO_OBJECTS], 1)
    (folder / "images" / "0.png").unlink()
    pages = [Image.fromarray(np.full((3, 4), value, np.uint8)) for value in (10, 20, 30)]
    pages[0].save(folder / "images" / "0.tif", save_all=True, append_images=pages[1:])
    target = make(tmp_path / "d", [TWO_OBJECTS], 3)
    check_folders(
        load_config(CONFIGS / "nuclei" / "selftrain.yaml", ["WORLD.SOURCE", str(folder), "WORLD.TARGET", str(target)])
    )
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "1 TIFF files have several pages, such as" in warning and "0.tif with 3; only the first" in warning


def test_what_would_end_the_evaluation_is_found(tmp_path: Path) -> None:
    """More objects than panoptic ids, and a test image that cannot be decoded."""
    many = np.arange(1001, dtype=np.uint16).reshape(77, 13)
    folders = make(tmp_path / "a", [TWO_OBJECTS], 1), make(tmp_path / "b", [many], 2)
    keys = ["WORLD.SOURCE", str(folders[0]), "WORLD.TARGET", str(folders[1]), "WORLD.TEST_SHARE", "0.0"]
    cfg = load_config(CONFIGS / "nuclei" / "selftrain.yaml", keys)
    image = folders[1] / "images" / "1.png"
    cv2.imwrite(str(image), np.random.default_rng(0).integers(0, 256, (77, 13), np.uint8))
    with pytest.raises(DataError, match="1.png has 1000 objects; an image to test on may have 999"):
        check_folders(cfg)
    cv2.imwrite(str(folders[1] / "labels" / "1.png"), many.clip(max=5))
    check_folders(cfg)
    image.write_bytes(image.read_bytes()[:-40])
    with pytest.raises(DataError, match="labeled_test: 1 of 1 images cannot be used.*1.png: truncated"):
        check_folders(cfg)


def test_a_damaged_stack_is_left_to_training(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", [TWO_OBJECTS] * 2, 2)
    (folder / "images" / "0.png").unlink()
    stack = folder / "images" / "0.tif"
    page = Image.fromarray(np.zeros((3, 4), np.uint8))
    page.save(stack, save_all=True, append_images=[page])
    content = stack.read_bytes()
    target = make(tmp_path / "d", [TWO_OBJECTS], 3)
    keys = ["WORLD.SOURCE", str(folder), "WORLD.TARGET", str(target)]
    for length in range(4, len(content), 8):
        stack.write_bytes(content[:length])
        check_folders(load_config(CONFIGS / "nuclei" / "selftrain.yaml", keys))
