"""Class tables: what a data set's classes are, and the label ids under which each data set stores them.

A class is a train id 0, 1, ..., 255 is void. A label id is the number in a data set's own files. `single_thing` is the
table of a world with one kind of object; that of Cityscapes is in `ptseg_d2.classes.streets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

    def ids_of_group(self, group: Sequence[str]) -> tuple[int, ...]:
        """Train ids of the classes whose objects one network separates.

        Args:
            group: names of thing classes, one of INSTANCE.GROUPS; empty = all of them.

        Raises:
            ValueError: a name is no class of this table.
        """
        return self.ids(group) if group else self.thing_ids


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
