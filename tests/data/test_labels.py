"""Labels from files of each official format, by literal arrays written and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.labels import Labels, check_size, read_labels
from ptseg_d2.errors import DataError

import cv2
import numpy as np
import pytest
from PIL import Image

Array = np.ndarray


def write_image(path: Path, height: int, width: int) -> str:
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))
    return str(path)


def write_gray(path: Path, values: list[list[int]], dtype: Any) -> str:
    cv2.imwrite(str(path), np.array(values, dtype))
    return str(path)


def cityscapes_entry(folder: Path, label_ids: list[list[int]], instances: list[list[int]]) -> dict[str, str]:
    return {
        "file_name": write_image(folder / "image.png", len(label_ids), len(label_ids[0])),
        "label_format": "cityscapes",
        "label_file_name": write_gray(folder / "labelIds.png", label_ids, np.uint8),
        "instance_file_name": write_gray(folder / "instanceIds.png", instances, np.uint16),
    }


def synthia_entry(folder: Path, label_ids: list[list[int]], instances: list[list[int]]) -> dict[str, str]:
    zeros = np.zeros_like(np.array(label_ids))
    bgr = np.stack([zeros, instances, label_ids], axis=-1).astype(np.uint16)
    cv2.imwrite(str(folder / "label.png"), bgr)
    return {
        "file_name": write_image(folder / "image.png", len(label_ids), len(label_ids[0])),
        "label_format": "synthia",
        "label_file_name": str(folder / "label.png"),
    }


def gta5_entry(folder: Path, label_ids: list[list[int]]) -> dict[str, str]:
    """A palette picture, as GTA5's files are."""
    picture = Image.fromarray(np.array(label_ids, np.uint8), mode="P")
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    picture.save(folder / "label.png")
    return {
        "file_name": write_image(folder / "image.png", len(label_ids), len(label_ids[0])),
        "label_format": "gta5",
        "label_file_name": str(folder / "label.png"),
    }


def test_cityscapes_labels_by_hand(tmp_path: Path) -> None:
    # 7 road, 26 car, 24 person, 29 caravan (void); a car in a group region has the bare label id as instance
    entry = cityscapes_entry(
        tmp_path,
        [[7, 26, 26, 26], [24, 24, 29, 4]],
        [[7, 26000, 26007, 26], [24003, 24003, 29001, 4]],
    )
    labels = read_labels(entry)
    assert labels.sem_seg.tolist() == [[0, 13, 13, 13], [11, 11, 255, 255]]
    assert labels.instance_ids.tolist() == [[0, 2, 3, -1], [1, 1, 0, 0]]
    assert labels.sem_seg.dtype == labels.instance_ids.dtype == np.int64


def test_cityscapes_pixels_of_an_instance_of_another_class_are_ignored(tmp_path: Path) -> None:
    labels = read_labels(cityscapes_entry(tmp_path, [[26, 26, 24]], [[26001, 24001, 24001]]))
    assert labels.sem_seg.tolist() == [[13, 13, 11]]
    assert labels.instance_ids.tolist() == [[2, -1, 1]]


def test_license_plate_is_void(tmp_path: Path) -> None:
    labels = read_labels(cityscapes_entry(tmp_path, [[255, 7]], [[65535, 7]]))
    assert labels.sem_seg.tolist() == [[255, 0]]
    assert labels.instance_ids.tolist() == [[0, 0]]


def test_synthia_labels_by_hand(tmp_path: Path) -> None:
    # 3 road, 22 lane marking, 8 car, 10 pedestrian, 13 parking slot (void); 5 is a car and a pedestrian
    entry = synthia_entry(tmp_path, [[3, 22, 8, 8], [10, 8, 10, 13]], [[0, 0, 300, 5], [5, 0, 5, 9]])
    labels = read_labels(entry)
    assert labels.sem_seg.tolist() == [[0, 0, 13, 13], [11, 13, 11, 255]]
    assert labels.instance_ids.tolist() == [[0, 0, 3, 2], [1, -1, 1, 0]]


def test_synthia_with_alpha_channel(tmp_path: Path) -> None:
    entry = synthia_entry(tmp_path, [[8]], [[4]])
    cv2.imwrite(entry["label_file_name"], np.array([[[0, 4, 8, 65535]]], np.uint16))
    assert read_labels(entry) == Labels(np.array([[13]]), np.array([[1]]))


def test_gta5_indices_are_read_and_instances_are_unknown(tmp_path: Path) -> None:
    labels = read_labels(gta5_entry(tmp_path, [[7, 26, 34], [0, 33, 23]]))
    assert labels.sem_seg.tolist() == [[0, 13, 255], [255, 18, 10]]
    assert labels.instance_ids.tolist() == [[0, -1, 0], [0, -1, 0]]


def test_image_without_any_thing(tmp_path: Path) -> None:
    labels = read_labels(cityscapes_entry(tmp_path, [[7, 7]], [[7, 7]]))
    assert labels.instance_ids.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("label_format", "bad_id"), [("cityscapes", 35), ("cityscapes", 200), ("gta5", 77), ("synthia", 23)]
)
def test_unknown_class_id_names_the_file_and_the_id(tmp_path: Path, label_format: str, bad_id: int) -> None:
    values, zeros = [[7, bad_id, bad_id]], [[0, 0, 0]]
    if label_format == "gta5":
        entry = gta5_entry(tmp_path, values)
    else:
        entry = {"cityscapes": cityscapes_entry, "synthia": synthia_entry}[label_format](tmp_path, values, zeros)
    with pytest.raises(DataError, match=f"unknown class id {bad_id} at 2 pixels") as caught:
        read_labels(entry)
    assert entry["label_file_name"] in str(caught.value)


def test_unknown_class_in_the_instance_file(tmp_path: Path) -> None:
    entry = cityscapes_entry(tmp_path, [[26]], [[41002]])
    with pytest.raises(DataError, match=r"instanceIds\.png: unknown class id 41"):
        read_labels(entry)


def test_label_of_another_size_than_the_image(tmp_path: Path) -> None:
    entry = gta5_entry(tmp_path, [[7, 7, 7]])
    write_image(tmp_path / "image.png", 4, 5)
    with pytest.raises(DataError, match=r"image\.png has 5x4 pixels but .*label\.png has 3x1"):
        read_labels(entry)


def test_instance_file_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labelIds\.png has 2x1 pixels but .*instanceIds\.png has 1x1"):
        read_labels(cityscapes_entry(tmp_path, [[7, 7]], [[7]]))


def test_check_size() -> None:
    labels = Labels(np.zeros((4, 5), np.int64), np.zeros((4, 5), np.int64))
    check_size(np.zeros((4, 5, 3)), labels, "a.png")
    with pytest.raises(DataError, match=r"a\.png has 4x5 pixels but its label has 5x4"):
        check_size(np.zeros((5, 4, 3)), labels, "a.png")


def test_synthia_label_converted_to_8_bits_is_refused(tmp_path: Path) -> None:
    entry = synthia_entry(tmp_path, [[8]], [[4]])
    cv2.imwrite(entry["label_file_name"], np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(DataError, match="expected a 16-bit RGB image, got uint8"):
        read_labels(entry)


def test_colour_picture_in_place_of_label_ids_is_refused(tmp_path: Path) -> None:
    entry = gta5_entry(tmp_path, [[7]])
    write_image(tmp_path / "label.png", 1, 1)
    with pytest.raises(DataError, match="expected one channel of 8 or 16 bits with label ids"):
        read_labels(entry)


def noise(shape: tuple[int, ...], dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


@pytest.mark.parametrize("maker", [cityscapes_entry, synthia_entry])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.95])
def test_truncated_label(tmp_path: Path, maker: Any, kept: float) -> None:
    entry = maker(tmp_path, [[7] * 50] * 50, [[1] * 50] * 50)
    path = Path(entry["label_file_name"])
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DataError, match=path.name):
        read_labels(entry)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_damaged_bytes_in_the_middle(tmp_path: Path, dtype: Any) -> None:
    path = tmp_path / "damaged.png"
    cv2.imwrite(str(path), noise((40, 60, 3), dtype))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(bytes(data))
    entry = {"label_format": "synthia", "label_file_name": str(path), "file_name": str(path)}
    with pytest.raises(DataError, match=r"damaged\.png"):
        read_image(path) if dtype == np.uint8 else read_labels(entry)


def test_unknown_label_format() -> None:
    with pytest.raises(
        ValueError, match="label_format = 'coco'; expected one of: cityscapes, cvppp, gta5, instance_png, synthia"
    ):
        read_labels({"label_format": "coco"})
