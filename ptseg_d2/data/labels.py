"""Labels from the official files of SYNTHIA, GTA5, Cityscapes and CVPPP: train ids and instance ids.

Shapes: H x W pixels. Class 255 = void. Instance id 0 = none, -1 = ignored (a thing pixel whose instance is
unknown), 1..K = instances, consecutive over all thing classes. A bad file raises `DataError`, which names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ptseg_d2.classes.streets import (
    CITYSCAPES_TO_TRAIN,
    NUM_CITYSCAPES_LABEL_IDS,
    NUM_SYNTHIA_LABEL_IDS,
    SYNTHIA_TO_TRAIN,
    THING_IDS,
)
from ptseg_d2.classes.tables import lookup_table
from ptseg_d2.data.image_files import (
    PathLike,
    image_size,
    read_image,
    read_one_channel,
    read_rgb16,
)
from ptseg_d2.errors import DataError

import numpy as np
from numpy.typing import NDArray

__all__ = ["DataError", "Labels", "check_size", "read_image", "read_labels"]

# "license plate" is -1 officially: 255 in an 8-bit file, and the label files of GTA5 store it as 34.
LICENSE_PLATE_IDS = (34, 255)
INSTANCES_PER_CLASS = 1000  # Cityscapes stores an instance as label id * 1000 + number
CITYSCAPES_TABLE = lookup_table(CITYSCAPES_TO_TRAIN, NUM_CITYSCAPES_LABEL_IDS).astype(np.int64)
SYNTHIA_TABLE = lookup_table(SYNTHIA_TO_TRAIN, NUM_SYNTHIA_LABEL_IDS).astype(np.int64)
IS_THING = np.isin(np.arange(256), THING_IDS)


class Labels(NamedTuple):
    """What is known about the pixels of an image.

    Attributes:
        sem_seg: (H, W) int64 train ids, 255 = void.
        instance_ids: (H, W) int64, 0 = none, -1 = ignored, 1..K consecutive.
    """

    sem_seg: NDArray[np.int64]
    instance_ids: NDArray[np.int64]


def read_labels(dataset_dict: Mapping[str, Any]) -> Labels:
    """Labels of one entry of a registered labelled data set.

    Args:
        dataset_dict: with keys file_name, label_file_name, label_format ("synthia", "gta5",
            "cityscapes" or "cvppp") and, for cityscapes, instance_file_name.

    Raises:
        FileNotFoundError: a file is missing.
        DataError: a label file is unreadable, has another size than the image or an unknown class id.
        ValueError: unknown label_format.
    """
    readers = {
        "synthia": _read_synthia,
        "gta5": _read_gta5,
        "cityscapes": _read_cityscapes,
        "cvppp": _read_numbers,
        "instance_png": _read_numbers,
    }
    label_format = dataset_dict["label_format"]
    if label_format not in readers:
        raise ValueError(f"unknown label_format {label_format!r}; expected one of: {', '.join(readers)}")
    labels = readers[label_format](dataset_dict)
    _check_equal_size(
        image_size(dataset_dict["file_name"]),
        labels.sem_seg.shape,
        dataset_dict["file_name"],
        dataset_dict["label_file_name"],
    )
    return labels


def check_size(image: NDArray[Any], labels: Labels, file: PathLike) -> None:
    """Checks that an image and its labels cover the same pixels.

    Args:
        image: (H, W, 3).
        labels: the labels of this image.
        file: name of the image for the message.

    Raises:
        DataError: the sizes differ.
    """
    for values in labels:
        _check_equal_size(image.shape[:2], values.shape, file, "its label")


def _check_equal_size(
    expected_hw: tuple[int, ...], label_hw: tuple[int, ...], file: PathLike, label_file: PathLike
) -> None:
    if tuple(expected_hw) != tuple(label_hw):
        raise DataError(
            f"{file} has {expected_hw[1]}x{expected_hw[0]} pixels but {label_file} has "
            f"{label_hw[1]}x{label_hw[0]}; both must have the same size"
        )


def _to_train_ids(label_ids: NDArray[np.integer[Any]], table: NDArray[np.int64], path: PathLike) -> NDArray[np.int64]:
    """Train ids of label ids; a label id beyond the table is unknown."""
    unknown = label_ids >= len(table)
    if unknown.any():
        raise DataError(
            f"{path}: unknown class id {label_ids[unknown][0]} at {int(unknown.sum())} pixels; "
            f"expected official label ids 0..{len(table) - 1}"
        )
    return table[label_ids]


def _cityscapes_train_ids(path: PathLike) -> NDArray[np.int64]:
    label_ids = read_one_channel(path)
    for license_plate in LICENSE_PLATE_IDS:
        label_ids[label_ids == license_plate] = 0
    return _to_train_ids(label_ids, CITYSCAPES_TABLE, path)


def _number_instances(
    keys: NDArray[np.integer[Any]], known: NDArray[np.bool_], things: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Consecutive numbers for equal keys.

    Args:
        keys: (H, W) >= 0, equal exactly within an instance; the numbers follow the order of the keys.
        known: (H, W) pixels whose instance is known.
        things: (H, W) pixels of thing classes, a superset of ``known``.

    Returns:
        (H, W) 1..K at known pixels, -1 at other things, 0 elsewhere.
    """
    instance_ids = -things.astype(np.int64)
    known_keys = keys[known]
    exists = np.zeros(int(known_keys.max(initial=0)) + 1, dtype=bool)
    exists[known_keys] = True
    instance_ids[known] = np.cumsum(exists)[known_keys]
    return instance_ids


def _read_cityscapes(dataset_dict: Mapping[str, Any]) -> Labels:
    """labelIds and instanceIds.

    A group region ("cargroup") has the bare label id in the instance file: its class is known, its instances
    are not. The same holds for a thing pixel that the instance file gives to another class.
    """
    sem_seg = _cityscapes_train_ids(dataset_dict["label_file_name"])
    instance_file = dataset_dict["instance_file_name"]
    keys = read_one_channel(instance_file)
    _check_equal_size(sem_seg.shape, keys.shape, dataset_dict["label_file_name"], instance_file)
    things = IS_THING[sem_seg]
    owners = _to_train_ids(keys * things // INSTANCES_PER_CLASS, CITYSCAPES_TABLE, instance_file)
    return Labels(sem_seg, _number_instances(keys, things & (owners == sem_seg), things))


def _read_synthia(dataset_dict: Mapping[str, Any]) -> Labels:
    """R = class, G = instance, numbered within its class; 0 marks objects not annotated one by one."""
    pixels = read_rgb16(dataset_dict["label_file_name"])
    label_ids, numbers = pixels[..., 0], pixels[..., 1]
    sem_seg = _to_train_ids(label_ids, SYNTHIA_TABLE, dataset_dict["label_file_name"])
    things = IS_THING[sem_seg]
    return Labels(sem_seg, _number_instances(sem_seg * 65536 + numbers, things & (numbers > 0), things))


def _read_gta5(dataset_dict: Mapping[str, Any]) -> Labels:
    """Palette PNG whose indices are Cityscapes label ids; GTA5 has no instances."""
    sem_seg = _cityscapes_train_ids(dataset_dict["label_file_name"])
    return Labels(sem_seg, -IS_THING[sem_seg].astype(np.int64))


def _read_numbers(dataset_dict: Mapping[str, Any]) -> Labels:
    """One channel: 0 = background (class 0), every other number is one object (class 1)."""
    numbers = read_one_channel(dataset_dict["label_file_name"])
    things = numbers > 0
    return Labels(things.astype(np.int64), _number_instances(numbers, things, things))
