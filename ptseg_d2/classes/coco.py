"""From the 80 object classes of [COCO] to the 8 of Cityscapes, by name.

Seven have the same name and meaning. Cityscapes' rider has no counterpart: COCO calls whoever sits on two wheels a
person. A detector trained on COCO therefore scores 0 on riders, and its riders are false persons, unless the rule of
`ptseg_d2.detectors.riders` renames them. The other 73 classes (animals, food, furniture, ...; also boats, which
Cityscapes does not evaluate) have no place in a street scene's 8 and are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import VOID

import numpy as np
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from numpy.typing import NDArray

COCO_CLASSES: tuple[str, ...] = tuple(str(c["name"]) for c in COCO_CATEGORIES if c["isthing"])
"""The 80 names in the order of a detector's outputs."""

COCO_TO_CITYSCAPES: dict[str, str] = {
    "person": "person",
    "bicycle": "bicycle",
    "car": "car",
    "motorcycle": "motorcycle",
    "bus": "bus",
    "train": "train",
    "truck": "truck",
}
"""COCO name -> Cityscapes name; names that are not listed have no counterpart."""

CITYSCAPES_THINGS: tuple[str, ...] = tuple(c.name for c in CITYSCAPES.categories if c.is_thing)
WITHOUT_COCO_CLASS: tuple[str, ...] = tuple(n for n in CITYSCAPES_THINGS if n not in COCO_TO_CITYSCAPES.values())
"""("rider",)"""

COCO_NAME_OF: dict[str, str] = {ours: theirs for theirs, ours in COCO_TO_CITYSCAPES.items()} | {"rider": "person"}
"""Cityscapes name -> what COCO would call the object."""


def train_ids_of(names: Sequence[str]) -> NDArray[np.int64]:
    """Cityscapes train ids of a detector's outputs.

    Args:
        names: of its classes in their order; those of COCO or of Cityscapes.

    Returns:
        (len(names),) train ids, 255 for a class without a counterpart.

    Raises:
        ValueError: no name has one.
    """
    ours = [name if name in CITYSCAPES_THINGS else COCO_TO_CITYSCAPES.get(name, "") for name in names]
    ids = np.array([CITYSCAPES.ids([name])[0] if name else VOID for name in ours], dtype=np.int64)
    if (ids == VOID).all():
        raise ValueError(
            f"none of the detector's classes ({', '.join(names[:8])}, ...) is one of Cityscapes' objects "
            f"({', '.join(CITYSCAPES_THINGS)}); name its outputs in MODEL.DETECTOR.CLASSES"
        )
    return ids


def outputs_of_train_ids(names: Sequence[str]) -> NDArray[np.int64]:
    """What a detector of these classes should answer for each train id: the inverse of `train_ids_of`.

    A rider is a "person" for a detector without riders, as in COCO.

    Args:
        names: of its classes in their order.

    Returns:
        (19,) output numbers, -1 = not one of its classes.
    """
    numbers = np.full(CITYSCAPES.num_classes, -1, dtype=np.int64)
    for name in CITYSCAPES_THINGS:
        known = [n for n in (name, COCO_NAME_OF[name]) if n in names]
        if known:
            numbers[CITYSCAPES.ids([name])[0]] = list(names).index(known[0])
    return numbers


def class_map_rows() -> list[tuple[str, str]]:
    """Cityscapes class and its COCO class, for tables."""
    of_ours = {ours: theirs for theirs, ours in COCO_TO_CITYSCAPES.items()}
    return [(name, of_ours.get(name, "none (COCO: person)")) for name in CITYSCAPES_THINGS]
