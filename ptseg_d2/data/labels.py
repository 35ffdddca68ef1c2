"""Labels of the entries of all data sets: train ids and instance ids, checked against their images.

Shapes: H x W pixels. What the numbers mean is said in `ptseg_d2.data.label_readers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptseg_d2.data.image_files import PathLike, image_size
from ptseg_d2.data.label_readers import LABEL_READER_REGISTRY, Labels, check_equal_size

from numpy.typing import NDArray

__all__ = ["Labels", "check_size", "read_labels"]


def read_labels(dataset_dict: Mapping[str, Any]) -> Labels:
    """Labels of one entry of a registered labelled data set.

    Args:
        dataset_dict: with keys file_name, label_file_name, label_format (a name in `LABEL_READER_REGISTRY`) and, for
            cityscapes, instance_file_name.

    Raises:
        FileNotFoundError: a file is missing.
        DataError: a label file is unreadable, has another size than the image or an unknown class id.
        ValueError: unknown label_format.
    """
    labels = LABEL_READER_REGISTRY.get(dataset_dict["label_format"])(dataset_dict)
    check_equal_size(
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
        check_equal_size(image.shape[:2], values.shape, file, "its label")
