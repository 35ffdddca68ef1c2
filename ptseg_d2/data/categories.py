"""Class tables: what a data set's classes are, and the label ids under which each data set stores them.

A class is a train id 0, 1, ..., 255 is void. A label id is the number in a data set's own files. `CITYSCAPES` has the
19 evaluated classes; its sources are `cityscapesscripts.helpers.labels` (official ids and colours) and the README of
SYNTHIA-RAND-CITYSCAPES. `single_thing` is the table of a world with one kind of object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

VOID = 255


@dataclass(frozen=True)
class Category:
    """One evaluated class.

    Attributes:
        name: as the data set calls it.
        train_id: its position in the table.
        label_id: id in exported files, 1..65; of Cityscapes' classes the official one, 7..33.
        is_thing: whether its objects are counted.
        color: RGB, 0..255.
        group: its super-category in exported files.
    """

    name: str
    train_id: int
    label_id: int
    is_thing: bool
    color: tuple[int, int, int]
    group: str


@dataclass(frozen=True)
class ClassTable:
    """The classes of a world: of all data sets that one network is trained and tested on.

    Attributes:
        categories: by train id.
        panoptic_subsets: name of a further mean of PQ, beside that over all classes -> its train ids.
        semantic_subsets: likewise of mean IoUs.
        restricted_ids: train ids of the means whose prediction is chosen among these classes only; () = none.
    """

    categories: tuple[Category, ...]
    panoptic_subsets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    semantic_subsets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    restricted_ids: tuple[int, ...] = ()

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.categories)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """By train id."""
        return tuple(category.name for category in self.categories)

    @cached_property
    def colors(self) -> tuple[tuple[int, int, int], ...]:
        """RGB, 0..255, by train id."""
        return tuple(category.color for category in self.categories)

    @cached_property
    def thing_ids(self) -> tuple[int, ...]:
        """Train ids of the classes whose objects are counted."""
        return tuple(category.train_id for category in self.categories if category.is_thing)

    @cached_property
    def stuff_ids(self) -> tuple[int, ...]:
        """Train ids of the others."""
        return tuple(category.train_id for category in self.categories if not category.is_thing)

    @cached_property
    def label_ids(self) -> dict[int, int]:
        """Train id -> label id."""
        return {category.train_id: category.label_id for category in self.categories}

    @property
    def panoptic_means(self) -> dict[str, tuple[int, ...]]:
        """Train ids of the means of PQ."""
        return {"PQ": tuple(range(self.num_classes)), **self.panoptic_subsets, **self._restricted("PQ16")}

    @property
    def semantic_means(self) -> dict[str, tuple[int, ...]]:
        """Train ids of the mean IoUs."""
        return {"mIoU": tuple(range(self.num_classes)), **self.semantic_subsets, **self._restricted("mIoU16")}

    def _restricted(self, name: str) -> dict[str, tuple[int, ...]]:
        return {f"{name}{SIXTEEN_WAY}": self.restricted_ids} if self.restricted_ids else {}

    def ids(self, names: Iterable[str]) -> tuple[int, ...]:
        """Train ids of class names, in the order given.

        Raises:
            ValueError: a name is no class of this table.
        """
        names = tuple(names)
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(f"unknown class {unknown[0]!r}; expected one of: {', '.join(self.names)}")
        return tuple(self.names.index(name) for name in names)


def single_thing(name: str, color: tuple[int, int, int] = (60, 180, 75)) -> ClassTable:
    """Background and one kind of object: leaves, nuclei.

    Args:
        name: of the object.
        color: RGB, 0..255.
    """
    return ClassTable(
        (
            Category("background", 0, 1, False, (70, 70, 70), "background"),
            Category(name, 1, 2, True, color, "object"),
        )
    )


SIXTEEN_WAY = "_16way"
"""Ends the names of means over the 16 classes whose prediction was chosen among these 16 only.

Without it the prediction is 19-way, and a pixel given to one of the other three classes is an error. The ground truth
keeps all 19 classes in both.
"""

CATEGORIES: tuple[Category, ...] = (
    Category("road", 0, 7, False, (128, 64, 128), "flat"),
    Category("sidewalk", 1, 8, False, (244, 35, 232), "flat"),
    Category("building", 2, 11, False, (70, 70, 70), "construction"),
    Category("wall", 3, 12, False, (102, 102, 156), "construction"),
    Category("fence", 4, 13, False, (190, 153, 153), "construction"),
    Category("pole", 5, 17, False, (153, 153, 153), "object"),
    Category("traffic light", 6, 19, False, (250, 170, 30), "object"),
    Category("traffic sign", 7, 20, False, (220, 220, 0), "object"),
    Category("vegetation", 8, 21, False, (107, 142, 35), "nature"),
    Category("terrain", 9, 22, False, (152, 251, 152), "nature"),
    Category("sky", 10, 23, False, (70, 130, 180), "sky"),
    Category("person", 11, 24, True, (220, 20, 60), "human"),
    Category("rider", 12, 25, True, (255, 0, 0), "human"),
    Category("car", 13, 26, True, (0, 0, 142), "vehicle"),
    Category("truck", 14, 27, True, (0, 0, 70), "vehicle"),
    Category("bus", 15, 28, True, (0, 60, 100), "vehicle"),
    Category("train", 16, 31, True, (0, 80, 100), "vehicle"),
    Category("motorcycle", 17, 32, True, (0, 0, 230), "vehicle"),
    Category("bicycle", 18, 33, True, (119, 11, 32), "vehicle"),
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
SYNTHIA16_IDS: tuple[int, ...] = tuple(c.train_id for c in CATEGORIES if c.name not in ("terrain", "truck", "train"))
SYNTHIA13_IDS: tuple[int, ...] = tuple(i for i in SYNTHIA16_IDS if CLASS_NAMES[i] not in ("wall", "fence", "pole"))

CITYSCAPES = ClassTable(
    CATEGORIES,
    panoptic_subsets={"PQ16": SYNTHIA16_IDS},
    semantic_subsets={"mIoU16": SYNTHIA16_IDS, "mIoU13": SYNTHIA13_IDS},
    restricted_ids=SYNTHIA16_IDS,
)
"""The classes of SYNTHIA, GTA5 and Cityscapes. In the means over a part of them the prediction stays 19-way."""
