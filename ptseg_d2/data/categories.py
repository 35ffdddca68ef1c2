"""Class tables: the 19 evaluated Cityscapes classes and the label ids under which each data set stores them.

A class is a train id 0..18 in Cityscapes order, 255 is void. A label id is the number in a data set's own
files. Sources: `cityscapesscripts.helpers.labels` (official ids and colours), the README of
SYNTHIA-RAND-CITYSCAPES.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VOID = 255


@dataclass(frozen=True)
class Category:
    """One evaluated class.

    Attributes:
        name: Cityscapes name.
        train_id: 0..18.
        label_id: official Cityscapes label id, 7..33; also the id in exported files.
        is_thing: whether its objects are counted.
        color: RGB, 0..255.
    """

    name: str
    train_id: int
    label_id: int
    is_thing: bool
    color: tuple[int, int, int]


CATEGORIES: tuple[Category, ...] = (
    Category("road", 0, 7, False, (128, 64, 128)),
    Category("sidewalk", 1, 8, False, (244, 35, 232)),
    Category("building", 2, 11, False, (70, 70, 70)),
    Category("wall", 3, 12, False, (102, 102, 156)),
    Category("fence", 4, 13, False, (190, 153, 153)),
    Category("pole", 5, 17, False, (153, 153, 153)),
    Category("traffic light", 6, 19, False, (250, 170, 30)),
    Category("traffic sign", 7, 20, False, (220, 220, 0)),
    Category("vegetation", 8, 21, False, (107, 142, 35)),
    Category("terrain", 9, 22, False, (152, 251, 152)),
    Category("sky", 10, 23, False, (70, 130, 180)),
    Category("person", 11, 24, True, (220, 20, 60)),
    Category("rider", 12, 25, True, (255, 0, 0)),
    Category("car", 13, 26, True, (0, 0, 142)),
    Category("truck", 14, 27, True, (0, 0, 70)),
    Category("bus", 15, 28, True, (0, 60, 100)),
    Category("train", 16, 31, True, (0, 80, 100)),
    Category("motorcycle", 17, 32, True, (0, 0, 230)),
    Category("bicycle", 18, 33, True, (119, 11, 32)),
)
NUM_CLASSES = len(CATEGORIES)
CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in CATEGORIES)
COLORS = tuple(category.color for category in CATEGORIES)
THING_IDS: tuple[int, ...] = tuple(c.train_id for c in CATEGORIES if c.is_thing)
STUFF_IDS: tuple[int, ...] = tuple(c.train_id for c in CATEGORIES if not c.is_thing)

# Official label ids 0..33; those without a class of ours (unlabeled, ego vehicle, ..., trailer) are void.
NUM_CITYSCAPES_LABEL_IDS = 34
CITYSCAPES_TO_TRAIN: dict[int, int] = {c.label_id: c.train_id for c in CATEGORIES}
TRAIN_TO_CITYSCAPES: dict[int, int] = {c.train_id: c.label_id for c in CATEGORIES}

# SYNTHIA-RAND-CITYSCAPES has ids 0..22; 0 void, 13 parking-slot and 14 road-work have no class of ours.
NUM_SYNTHIA_LABEL_IDS = 23
TRAIN_TO_SYNTHIA: dict[int, int] = {
    0: 3,
    1: 4,
    2: 2,
    3: 21,
    4: 5,
    5: 7,
    6: 15,
    7: 9,
    8: 6,
    9: 16,
    10: 1,
    11: 10,
    12: 17,
    13: 8,
    14: 18,
    15: 19,
    16: 20,
    17: 12,
    18: 11,
}
SYNTHIA_LANE_MARKING = 22
# Cityscapes counts markings as road, so they are road here too (1.4 % of the pixels); the tables of earlier
# work leave 22 out, which makes them void.
SYNTHIA_TO_TRAIN: dict[int, int] = {
    **{label_id: train_id for train_id, label_id in TRAIN_TO_SYNTHIA.items()},
    SYNTHIA_LANE_MARKING: 0,
}


def class_ids(names: Iterable[str]) -> tuple[int, ...]:
    """Train ids of class names, in the order given.

    Raises:
        ValueError: a name is no Cityscapes class.
    """
    by_name = {c.name: c.train_id for c in CATEGORIES}
    names = tuple(names)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"unknown class {unknown[0]!r}; expected one of: {', '.join(CLASS_NAMES)}")
    return tuple(by_name[name] for name in names)


def lookup_table(mapping: Mapping[int, int], size: int = 256) -> NDArray[np.uint8]:
    """Table that turns an array of label ids into train ids by indexing.

    Args:
        mapping: label id -> train id.
        size: number of label ids the table covers.

    Returns:
        (size,) uint8, VOID where the mapping has no entry.
    """
    table = np.full(size, VOID, dtype=np.uint8)
    for label_id, train_id in mapping.items():
        table[label_id] = train_id
    return table


# The semantic labels of SYNTHIA-RAND-CITYSCAPES lack terrain, truck and train, hence its 16 classes; the
# 13-class protocol of earlier work also drops wall, fence and pole.
SYNTHIA16_IDS: tuple[int, ...] = tuple(
    i for i in range(NUM_CLASSES) if i not in class_ids(["terrain", "truck", "train"])
)
SYNTHIA13_IDS: tuple[int, ...] = tuple(i for i in SYNTHIA16_IDS if i not in class_ids(["wall", "fence", "pole"]))

SUBSET_MEANS: dict[str, tuple[int, ...]] = {"mIoU16": SYNTHIA16_IDS, "mIoU13": SYNTHIA13_IDS}
"""Train ids of the mean IoUs over some of the classes; the prediction stays 19-way."""

SIXTEEN_WAY = "_16way"
"""Ends the names of means over the 16 classes whose prediction was chosen among these 16 only.

Without it the prediction is 19-way, and a pixel given to one of the other three classes is an error. The ground truth
keeps all 19 classes in both.
"""

PANOPTIC_MEANS: dict[str, tuple[int, ...]] = {
    "PQ": tuple(range(NUM_CLASSES)),
    "PQ16": SYNTHIA16_IDS,
    "PQ16" + SIXTEEN_WAY: SYNTHIA16_IDS,
}
"""Train ids of the means of PQ."""

SEMANTIC_MEANS: dict[str, tuple[int, ...]] = {
    "mIoU": tuple(range(NUM_CLASSES)),
    **SUBSET_MEANS,
    "mIoU16" + SIXTEEN_WAY: SYNTHIA16_IDS,
}
"""Train ids of the mean IoUs."""

MEANS: dict[str, tuple[int, ...]] = {**PANOPTIC_MEANS, **SEMANTIC_MEANS}
"""Train ids of every mean, as results.json lists them."""
