"""From this package's own registry, and from the folders of a config, into Detectron2's catalogs."""

from __future__ import annotations

from collections.abc import Callable

from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.datasets.catalog import DATASET_REGISTRY, Entries
from ptseg_d2.data.datasets.instance_folders import FOLDER_NAMES, FolderWorld
from ptseg_d2.data.datasets.metadata import DATASET_KEYS, panoptic_metadata

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog


def register_all() -> None:
    """Registers every data set in Detectron2's catalogs; names that are there already stay as they are."""
    for name, dataset in DATASET_REGISTRY:
        register(name, dataset.load, dataset.classes)


def register(name: str, load: Callable[[], Entries], classes: ClassTable) -> None:
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
    for name, dataset in world.datasets().items():
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
        register(name, dataset.load, dataset.classes)


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
