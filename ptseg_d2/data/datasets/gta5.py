"""GTA5 ([GTA5]): game frames with classes, without instances.

Layout: ``gta5/images/*.png`` and ``gta5/labels/*.png`` (palette indices = Cityscapes label ids).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.data.datasets.catalog import Entries, add_dataset, drawn_streets
from ptseg_d2.data.datasets.paths import list_images, require_labels
from ptseg_d2.data.label_readers import IS_THING, LABEL_READER_REGISTRY, Labels, cityscapes_train_ids

import numpy as np


def load_labeled(root: Path, fix: str) -> Entries:
    """All images with their label files; no file is opened.

    Args:
        root: folder that contains ``gta5``.
        fix: what to do when something is missing.

    Raises:
        FileNotFoundError: the images or some label files are missing.
    """
    base = root / "gta5"
    images = list_images(base / "images", "*.png", fix)
    dicts = [
        {
            "file_name": str(image),
            "image_id": image.stem,
            "domain": "source",
            "label_format": "gta5",
            "label_file_name": str(base / "labels" / image.name),
        }
        for image in images
    ]
    require_labels((Path(d["label_file_name"]) for d in dicts), fix)
    return dicts


@LABEL_READER_REGISTRY.register(name="gta5")
def read_label_file(dataset_dict: Mapping[str, Any]) -> Labels:
    """Palette PNG whose indices are Cityscapes label ids; GTA5 has no instances."""
    sem_seg = cityscapes_train_ids(dataset_dict["label_file_name"])
    return Labels(sem_seg, -IS_THING[sem_seg].astype(np.int64))


add_dataset("gta5_labeled_train", load_labeled, CITYSCAPES, drawn_streets("gta5"))
