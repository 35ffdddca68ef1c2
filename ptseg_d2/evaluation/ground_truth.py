"""Labels as a panoptic map with segments, the way Cityscapes converts its own, read once per image.

Shapes: H x W pixels. Class 255 = void, segment id 0 = void.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.cache import MemoryCache
from ptseg_d2.data.image_files import PathLike
from ptseg_d2.data.labels import Labels, read_labels
from ptseg_d2.errors import DataError
from ptseg_d2.panoptic_ids import LABEL_DIVISOR, encode

import numpy as np
from numpy.typing import NDArray

NO_LABEL_ID = 0


def label_id_table(classes: ClassTable) -> NDArray[np.int64]:
    """(256,) label id of each train id, 0 where there is no class."""
    return np.array([classes.label_ids.get(i, NO_LABEL_ID) for i in range(256)], dtype=np.int64)


def ground_truth_panoptic(
    labels: Labels, classes: ClassTable = CITYSCAPES
) -> tuple[NDArray[np.int32], list[dict[str, Any]]]:
    """One segment per stuff class and thing instance; thing pixels without an instance are a crowd per class.

    Args:
        labels: sem_seg (H, W) train ids, 255 = void; instance_ids (H, W), <= 0 where there is no known
            instance.
        classes: of the data set.

    Returns:
        ids (H, W) int32: 0 = void, label id for stuff and crowds, label id * 1000 + instance for
        instances;
        segments_info: per segment id, category_id (train id), isthing, iscrowd (0 or 1), area (pixels), by
            id.

    Raises:
        ValueError: an instance number is 1000 or more.
    """
    ids = label_id_table(classes)[labels.sem_seg]
    is_instance = np.isin(labels.sem_seg, classes.thing_ids) & (labels.instance_ids > 0)
    ids[is_instance] = encode(ids[is_instance], labels.instance_ids[is_instance])
    instance_classes = dict(zip(ids[is_instance].tolist(), labels.sem_seg[is_instance].tolist()))
    train_ids = {label_id: train_id for train_id, label_id in classes.label_ids.items()}
    segments = []
    for segment_id, area in zip(*(values.tolist() for values in np.unique(ids, return_counts=True))):
        if segment_id == NO_LABEL_ID:
            continue
        category_id = instance_classes.get(segment_id, train_ids.get(segment_id))
        is_thing = category_id in classes.thing_ids
        segments.append(
            {
                "id": segment_id,
                "category_id": category_id,
                "isthing": is_thing,
                "iscrowd": int(is_thing and segment_id not in instance_classes),
                "area": area,
            }
        )
    return ids.astype(np.int32), segments


def check_num_objects(labels: Labels, file: PathLike) -> None:
    """Raise a DataError that names the label file when an image has more objects than panoptic ids have room for."""
    num_objects = int(labels.instance_ids.max(initial=0))
    if num_objects >= LABEL_DIVISOR:
        raise DataError(
            f"{file} has {num_objects} objects; an image to test on may have {LABEL_DIVISOR - 1} (a panoptic id is "
            f"class x {LABEL_DIVISOR} + number): cut it into smaller ones"
        )


@dataclass(frozen=True)
class GroundTruth:
    """What an image is evaluated against.

    Attributes:
        sem_seg: (H, W) uint8 train ids, 255 = void.
        ids: (H, W) int32 segment ids, 0 = void.
        segments: as from `ground_truth_panoptic`.
    """

    sem_seg: NDArray[np.uint8]
    ids: NDArray[np.int32]
    segments: list[dict[str, Any]]

    @property
    def num_bytes(self) -> int:
        """Memory of the two maps."""
        return self.sem_seg.nbytes + self.ids.nbytes


class GroundTruthCache:
    """Ground truth by label file; forgets the images unused for longest beyond a limit of memory.

    Share one between evaluators of several models on the same data set.

    Args:
        classes: of the data set.
        max_bytes: memory for the maps; the default holds 1,600 images of 256 x 128 or 25 of 2048 x 1024.
    """

    def __init__(self, classes: ClassTable = CITYSCAPES, max_bytes: int = 256 * 2**20) -> None:
        self.classes = classes
        self._cache: MemoryCache[GroundTruth] = MemoryCache(max_bytes, lambda entry: entry.num_bytes)

    def read(self, dataset_dict: Mapping[str, Any]) -> GroundTruth:
        """Ground truth of one entry of a labelled data set.

        Raises:
            FileNotFoundError, DataError: as from `read_labels`; also for more objects than panoptic ids have room for.
        """

        def load() -> GroundTruth:
            labels = read_labels(dataset_dict)
            check_num_objects(labels, dataset_dict["label_file_name"])
            return GroundTruth(labels.sem_seg.astype(np.uint8), *ground_truth_panoptic(labels, self.classes))

        return self._cache.get((dataset_dict["label_file_name"], dataset_dict.get("instance_file_name")), load)
