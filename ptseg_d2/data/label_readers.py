"""What the readers of label files share; each one stands with its data set in `ptseg_d2.data.datasets`.

`LABEL_READER_REGISTRY` maps `label_format` of a data set's entries to its reader. Importing ptseg_d2 fills it.

Shapes: H x W pixels. Class 255 = void. Instance id 0 = none, -1 = ignored (a thing pixel whose instance is
unknown), 1..K = instances, consecutive over all thing classes. A bad file raises `DataError`, which names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ptseg_d2.classes.streets import CITYSCAPES_TO_TRAIN, NUM_CITYSCAPES_LABEL_IDS, THING_IDS
from ptseg_d2.classes.tables import lookup_table
from ptseg_d2.data.image_files import PathLike, read_one_channel
from ptseg_d2.errors import DataError
from ptseg_d2.registry import NamedRegistry

import numpy as np
from numpy.typing import NDArray

# "license plate" is -1 officially: 255 in an 8-bit file, and the label files of GTA5 store it as 34.
LICENSE_PLATE_IDS = (34, 255)
CITYSCAPES_TABLE = lookup_table(CITYSCAPES_TO_TRAIN, NUM_CITYSCAPES_LABEL_IDS).astype(np.int64)
IS_THING = np.isin(np.arange(256), THING_IDS)
"""Of Cityscapes' train ids."""


class Labels(NamedTuple):
    """What is known about the pixels of an image.

    Attributes:
        sem_seg: (H, W) int64 train ids, 255 = void.
        instance_ids: (H, W) int64, 0 = none, -1 = ignored, 1..K consecutive.
    """

    sem_seg: NDArray[np.int64]
    instance_ids: NDArray[np.int64]


LabelReader = Callable[[Mapping[str, Any]], Labels]
"""Labels of an entry of a data set, from the files that it names; raises what `read_labels` does."""

LABEL_READER_REGISTRY: NamedRegistry[LabelReader] = NamedRegistry("LABEL_READER", "label_format")


def to_train_ids(label_ids: NDArray[np.integer[Any]], table: NDArray[np.int64], path: PathLike) -> NDArray[np.int64]:
    """Train ids of label ids.

    Args:
        label_ids: (H, W) >= 0.
        table: label id -> train id.
        path: of the label file, for the message.

    Raises:
        DataError: a label id is beyond the table.
    """
    unknown = label_ids >= len(table)
    if unknown.any():
        raise DataError(
            f"{path}: unknown class id {label_ids[unknown][0]} at {int(unknown.sum())} pixels; "
            f"expected official label ids 0..{len(table) - 1}"
        )
    return table[label_ids]


def cityscapes_train_ids(path: PathLike) -> NDArray[np.int64]:
    """(H, W) train ids of a file with Cityscapes' label ids."""
    label_ids = read_one_channel(path)
    for license_plate in LICENSE_PLATE_IDS:
        label_ids[label_ids == license_plate] = 0
    return to_train_ids(label_ids, CITYSCAPES_TABLE, path)


def number_instances(
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


def read_numbers(dataset_dict: Mapping[str, Any]) -> Labels:
    """One channel: 0 = background (class 0), every other number is one object (class 1)."""
    numbers = read_one_channel(dataset_dict["label_file_name"])
    things = numbers > 0
    return Labels(things.astype(np.int64), number_instances(numbers, things, things))


def check_equal_size(
    expected_hw: tuple[int, ...], label_hw: tuple[int, ...], file: PathLike, label_file: PathLike
) -> None:
    """Raise a `DataError` that names both files unless their pixels (height, width) are as many."""
    if tuple(expected_hw) != tuple(label_hw):
        raise DataError(
            f"{file} has {expected_hw[1]}x{expected_hw[0]} pixels but {label_file} has "
            f"{label_hw[1]}x{label_hw[0]}; both must have the same size"
        )
