"""What the modules of this package declare: registered names, each with its entries and its classes.

A data set of files is declared once by `add_dataset`. If one of the drawn worlds has its layout, the same files can be
drawn: they are registered under the name of the world, such as ``miniscapes_``, and the name of the real data set, and
lie in a sub-folder of $DETECTRON2_DATASETS of the world's name. Nothing is read, and nothing drawn, before a data set
is first asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.datasets.paths import MINILEAVES_FIX, MINISCAPES_FIX, REAL_DATA_FIX, datasets_root
from ptseg_d2.registry import NamedRegistry
from ptseg_d2.worlds import minileaves, miniscapes

Entries = list[dict[str, Any]]
"""Detectron2 dicts with file_name, image_id, domain ("source" or "target") and, for labelled sets, label_format (a name
in `LABEL_READER_REGISTRY`), label_file_name and what else the reader wants."""

ListEntries = Callable[[Path, str], Entries]
"""Lists the files below a root; its second argument says what to do when something is missing. Raises a
FileNotFoundError if data are missing."""


@dataclass(frozen=True)
class NamedDataset:
    """A data set under a name.

    Attributes:
        load: its entries; called when they are first needed.
        classes: of its labels.
    """

    load: Callable[[], Entries]
    classes: ClassTable


DATASET_REGISTRY: NamedRegistry[NamedDataset] = NamedRegistry("DATASET", "DATASETS")
"""By the names for a config."""


@dataclass(frozen=True)
class DrawnWorld:
    """Stands in for real data in their layout.

    Attributes:
        name: of its folder below $DETECTRON2_DATASETS, and with "_" before the names of its data sets.
        ensure: draws the files into that folder unless they are there.
        fix: says how to get them.
    """

    name: str
    ensure: Callable[[Path], Path]
    fix: str


def drawn_streets(part: str) -> DrawnWorld:
    """The streets in the layout of "synthia", "gta5" or "cityscapes"."""
    return DrawnWorld("miniscapes", lambda root: miniscapes.ensure(root, part), MINISCAPES_FIX)


def drawn_plants() -> DrawnWorld:
    """The plants in the layout of CVPPP."""
    return DrawnWorld("minileaves", lambda root: minileaves.ensure(root), MINILEAVES_FIX)


def add_dataset(name: str, list_entries: ListEntries, classes: ClassTable, drawn: DrawnWorld | None = None) -> None:
    """Declare a data set below $DETECTRON2_DATASETS, and the drawn one of its layout.

    Args:
        name: for a config.
        list_entries: of the real or of the drawn files.
        classes: of its labels.
        drawn: what draws files of its layout; None = nothing does.
    """
    DATASET_REGISTRY.register(NamedDataset(partial(_load_real, list_entries), classes), name=name)
    if drawn is not None:
        twin = NamedDataset(partial(_load_drawn, list_entries, drawn), classes)
        DATASET_REGISTRY.register(twin, name=f"{drawn.name}_{name}")


def _load_real(list_entries: ListEntries) -> Entries:
    return list_entries(datasets_root(), REAL_DATA_FIX)


def _load_drawn(list_entries: ListEntries, drawn: DrawnWorld) -> Entries:
    root = datasets_root() / drawn.name
    drawn.ensure(root)
    return list_entries(root, drawn.fix)
