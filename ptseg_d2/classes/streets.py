"""The 19 evaluated classes of Cityscapes, which SYNTHIA and GTA5 share, and the label ids of each data set.

Their sources are `cityscapesscripts.helpers.labels` (official ids and colours) and the README of
SYNTHIA-RAND-CITYSCAPES.
"""

from __future__ import annotations

from ptseg_d2.classes.tables import Category, ClassTable

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
