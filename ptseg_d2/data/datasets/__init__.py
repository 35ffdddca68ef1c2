"""The data sets under their registered names: real ones, and the drawn ones of the same layouts with a prefix.

Real data lie in $DETECTRON2_DATASETS. Drawn streets have ``miniscapes_`` in front of the name and lie in its sub-folder
``miniscapes``; drawn plants have ``minileaves_`` and lie in ``minileaves``. Nothing is read, and nothing drawn, before
a data set is first asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import VOID, ClassTable, single_thing
from ptseg_d2.data.datasets import cityscapes, cvppp, gta5, synthia
from ptseg_d2.data.datasets import gta5_trucktrain as mixed
from ptseg_d2.data.datasets.instance_folders import FOLDER_NAMES, FolderWorld
from ptseg_d2.data.datasets.paths import MINILEAVES_FIX, MINISCAPES_FIX, REAL_DATA_FIX, datasets_root
from ptseg_d2.panoptic_ids import LABEL_DIVISOR
from ptseg_d2.worlds import minileaves, miniscapes

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

EVALUATOR_TYPE = "ptseg_panoptic"
MINISCAPES = "miniscapes"
MINILEAVES = "minileaves"
DATASET_KEYS = ("SOURCE", "VALIDATION", "TARGET", "TEST")
"""Below DATASETS: what names registered data sets."""

# name -> (folder below the root, function of (root, fix))
LOADERS: dict[str, tuple[str, Callable[..., list[dict[str, Any]]]]] = {
    "synthia_labeled_train": ("synthia", synthia.load_labeled),
    "gta5_labeled_train": ("gta5", gta5.load_labeled),
    "cityscapes_unlabeled_train": ("cityscapes", partial(cityscapes.load_unlabeled, split="train")),
    "cityscapes_labeled_train": ("cityscapes", partial(cityscapes.load_labeled, split="train")),
    "cityscapes_labeled_train_fit": ("cityscapes", partial(cityscapes.load_train_part, held_out=False)),
    "cityscapes_labeled_train_held_out": ("cityscapes", partial(cityscapes.load_train_part, held_out=True)),
    "cityscapes_labeled_val": ("cityscapes", partial(cityscapes.load_labeled, split="val")),
}
# name -> function of (root, fix)
LEAF_LOADERS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "cvppp_labeled_train": partial(cvppp.load_labeled, part="train"),
    "cvppp_labeled_val": partial(cvppp.load_labeled, part="val"),
    "cvppp_labeled_test": partial(cvppp.load_labeled, part="test"),
    "cvppp_unlabeled": cvppp.load_unlabeled,
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


def load_leaves(name: str) -> list[dict[str, Any]]:
    """Entries of a data set of real plants, a key of `LEAF_LOADERS`; as `load_real` otherwise."""
    return LEAF_LOADERS[name](datasets_root(), REAL_DATA_FIX)


def load_minileaves(name: str) -> list[dict[str, Any]]:
    """Entries of a data set of drawn plants, which are drawn first if they do not exist; as `load_leaves` otherwise."""
    root = datasets_root() / MINILEAVES
    minileaves.ensure(root)
    return LEAF_LOADERS[name](root, MINILEAVES_FIX)


def panoptic_metadata(classes: ClassTable = CITYSCAPES) -> dict[str, Any]:
    """Metadata of a data set, in the form of Detectron2's Cityscapes panoptic ones, with the table as `class_table`.

    Thing and stuff classes both list all names, so that a train id indexes either; the ids of exported files are the
    label ids.

    Args:
        classes: of the data set.
    """
    names, colors = list(classes.names), list(classes.colors)
    return {
        "class_table": classes,
        "thing_classes": names,
        "stuff_classes": names,
        # Objects of a single class are told apart by colours that Detectron2's Visualizer draws at random.
        **({"thing_colors": colors} if len(classes.thing_ids) > 1 else {}),
        "stuff_colors": colors,
        "thing_dataset_id_to_contiguous_id": {c.label_id: c.train_id for c in classes.categories if c.is_thing},
        "stuff_dataset_id_to_contiguous_id": {c.label_id: c.train_id for c in classes.categories if not c.is_thing},
        "ignore_label": VOID,
        "label_divisor": LABEL_DIVISOR,
        "evaluator_type": EVALUATOR_TYPE,
    }


def register_all() -> None:
    """Registers every data set in Detectron2's catalogs; names that are there already stay as they are."""
    for name in LOADERS:
        register(name, partial(load_real, name), CITYSCAPES)
        register(f"{MINISCAPES}_{name}", partial(load_miniscapes, name), CITYSCAPES)
    for name in LEAF_LOADERS:
        register(name, partial(load_leaves, name), cvppp.CLASSES)
        register(f"{MINILEAVES}_{name}", partial(load_minileaves, name), cvppp.CLASSES)
    for prefix in ("", f"{MINISCAPES}_"):
        whole = f"{prefix}gta5_labeled_train"
        name = f"{prefix}gta5_trucktrain_labeled_train"
        register(name, partial(mixed.load_with_truck_and_train, whole), CITYSCAPES)
    _register_folder_names(FolderWorld())


def register(name: str, load: Callable[[], list[dict[str, Any]]], classes: ClassTable) -> None:
    """Register a data set in Detectron2's catalogs; a name that is there already stays as it is.

    Args:
        name: for the config.
        load: the entries; called when they are first needed.
        classes: of the data set.
    """
    if name not in DatasetCatalog:
        DatasetCatalog.register(name, load)
        MetadataCatalog.get(name).set(**panoptic_metadata(classes))


def register_world(world: FolderWorld) -> None:
    """Register the folders of a user under `FOLDER_NAMES`, in place of those that are there."""
    for name in FOLDER_NAMES:
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
    _register_folder_names(world)


def _register_folder_names(world: FolderWorld) -> None:
    for name in FOLDER_NAMES:
        register(name, partial(world.load, name), single_thing(world.thing))


def register_folders(cfg: CfgNode) -> None:
    """Register the folders of a config; whoever loads a config does so, in every process.

    Args:
        cfg: if it names folder data sets but no folder, those of the last config stay; on import they only say what is
            missing.

    Raises:
        ValueError: folders are given, but the config trains and tests on other data sets.
    """
    world = FolderWorld.from_config(cfg)
    if not world.source and not world.target:
        return
    named = {name for key in DATASET_KEYS for name in cfg.DATASETS[key]}
    if named.isdisjoint(FOLDER_NAMES):
        raise ValueError(
            f"folders are given (WORLD.SOURCE = {world.source!r}, WORLD.TARGET = {world.target!r}), but DATASETS names "
            f"none of {', '.join(FOLDER_NAMES)}: use a config that does, such as configs/nuclei/selftrain.yaml"
        )
    register_world(world)


def classes_of(cfg: CfgNode) -> ClassTable:
    """The class table of the data sets of a config; Cityscapes' if none of ours is named.

    Raises:
        ValueError: they have different ones.
    """
    names = [name for key in DATASET_KEYS for name in cfg.DATASETS[key]]
    tables = {name: classes_of_dataset(name) for name in names if name in DatasetCatalog}
    first, classes = next(iter(tables.items()), ("", CITYSCAPES))
    for name, table in tables.items():
        if table != classes:
            raise ValueError(
                f"DATASETS: {first} has the classes {', '.join(classes.names)}, but {name} has "
                f"{', '.join(table.names)}; the data sets of a config must have the same classes"
            )
    return classes


def classes_of_dataset(name: str) -> ClassTable:
    """The class table of a registered data set; Cityscapes' if it is none of ours."""
    table: ClassTable = MetadataCatalog.get(name).get("class_table", CITYSCAPES)
    return table
