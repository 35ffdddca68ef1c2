"""Parts of GTA5 that fill the gaps of SYNTHIA, whose labels have neither truck nor train.

Mixed sources are several names in DATASETS.SOURCE, such as synthia_labeled_train and gta5_trucktrain_labeled_train.
"""

from __future__ import annotations

import logging
from functools import partial

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.data.class_pixels import scan
from ptseg_d2.data.datasets.catalog import DATASET_REGISTRY, Entries, NamedDataset
from ptseg_d2.data.datasets.paths import class_pixels_folder

from detectron2.data import DatasetCatalog

logger = logging.getLogger(__name__)

REQUIRED = ("truck", "train")


def load_with_truck_and_train(name: str) -> Entries:
    """The images of a registered data set that show both a truck and a train.

    Args:
        name: a labelled data set. All its label files are read the first time, see `class_pixels`.

    Raises:
        FileNotFoundError: its data are missing.
        ValueError: no image shows both.
    """
    dicts = DatasetCatalog.get(name)
    shown = scan(dicts, name, class_pixels_folder())[:, CITYSCAPES.ids(REQUIRED)] > 0
    both = shown.all(axis=1)
    logger.info("%s: %d of %d images show both truck and train", name, both.sum(), len(dicts))
    if not both.any():
        raise ValueError(
            f"none of the {len(dicts)} images of {name} shows both truck and train ({shown[:, 0].sum()} show a truck, "
            f"{shown[:, 1].sum()} a train). Check that the data set is complete, or use {name} itself, with "
            "DATASETS.LISTS for a part of it"
        )
    return [item for item, chosen in zip(dicts, both) if chosen]


for _prefix in ("", "miniscapes_"):
    DATASET_REGISTRY.register(
        NamedDataset(partial(load_with_truck_and_train, f"{_prefix}gta5_labeled_train"), CITYSCAPES),
        name=f"{_prefix}gta5_trucktrain_labeled_train",
    )
