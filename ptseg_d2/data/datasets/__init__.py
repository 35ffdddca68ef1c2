"""The data sets under their registered names: real ones, and the same with ``miniscapes_`` in front.

Real data lie in $DETECTRON2_DATASETS, the drawn ones in its sub-folder ``miniscapes``, in the same layouts.
Nothing is read, and no miniscapes drawn, before a data set is first asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ptseg_d2.data.categories import CATEGORIES, VOID
from ptseg_d2.data.datasets import cityscapes, gta5, instance_folders, miniscapes, mixed, synthia
from ptseg_d2.data.datasets.paths import MINISCAPES_FIX, REAL_DATA_FIX, datasets_root
from ptseg_d2.panoptic_ids import LABEL_DIVISOR

from detectron2.data import DatasetCatalog, MetadataCatalog

EVALUATOR_TYPE = "ptseg_panoptic"
MINISCAPES = "miniscapes"

# name -> (folder below the root, function of (root, fix))
LOADERS: dict[str, tuple[str, Callable[..., list[dict[str, Any]]]]] = {
    "synthia_labeled_train": ("synthia", synthia.load_labeled),
    "gta5_labeled_train": ("gta5", gta5.load_labeled),
    "cityscapes_unlabeled_train": ("cityscapes", partial(cityscapes.load_unlabeled, split="train")),
    "cityscapes_labeled_train": ("cityscapes", partial(cityscapes.load_labeled, split="train")),
    "cityscapes_labeled_val": ("cityscapes", partial(cityscapes.load_labeled, split="val")),
}


def load_real(name: str) -> list[dict[str, Any]]:
    """Entries of a real data set.

    Args:
        name: key of `LOADERS`.

    Returns:
        Detectron2 dicts with file_name, image_id, domain ("source" or "target") and, for labelled sets,
        label_format, label_file_name and for Cityscapes instance_file_name.

    Raises:
        FileNotFoundError: data are missing.
    """
    _, load = LOADERS[name]
    return load(datasets_root(), REAL_DATA_FIX)


def load_miniscapes(name: str) -> list[dict[str, Any]]:
    """Entries of a drawn data set, which is drawn first if it does not exist; as `load_real` otherwise."""
    part, load = LOADERS[name]
    root = datasets_root() / MINISCAPES
    miniscapes.ensure(root, part)
    return load(root, MINISCAPES_FIX)


def panoptic_metadata() -> dict[str, Any]:
    """Metadata shared by all data sets, in the form of Detectron2's Cityscapes panoptic ones.

    Thing and stuff classes both list all 19 names, so that a train id indexes either; the ids of exported
    files are the official Cityscapes label ids.
    """
    names = [c.name for c in CATEGORIES]
    colors = [c.color for c in CATEGORIES]
    return {
        "thing_classes": names,
        "stuff_classes": names,
        "thing_colors": colors,
        "stuff_colors": colors,
        "thing_dataset_id_to_contiguous_id": {c.label_id: c.train_id for c in CATEGORIES if c.is_thing},
        "stuff_dataset_id_to_contiguous_id": {c.label_id: c.train_id for c in CATEGORIES if not c.is_thing},
        "ignore_label": VOID,
        "label_divisor": LABEL_DIVISOR,
        "evaluator_type": EVALUATOR_TYPE,
    }


def register_all() -> None:
    """Registers every data set in Detectron2's catalogs; names that are there already stay as they are."""
    for name in LOADERS:
        _register(name, partial(load_real, name))
        _register(f"{MINISCAPES}_{name}", partial(load_miniscapes, name))
    for prefix in ("", f"{MINISCAPES}_"):
        whole = f"{prefix}gta5_labeled_train"
        _register(f"{prefix}gta5_trucktrain_labeled_train", partial(mixed.load_with_truck_and_train, whole))
    instance_folders.register_world(instance_folders.FolderWorld())


def _register(name: str, load: Callable[[], list[dict[str, Any]]]) -> None:
    if name not in DatasetCatalog:
        DatasetCatalog.register(name, load)
        MetadataCatalog.get(name).set(**panoptic_metadata())
