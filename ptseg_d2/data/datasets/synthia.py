"""SYNTHIA-RAND-CITYSCAPES ([SYNTHIA]): synthetic streets with classes and instances.

Layout: ``synthia/RAND_CITYSCAPES/RGB/*.png`` and ``synthia/RAND_CITYSCAPES/GT/LABELS/*.png`` (16 bits).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES, NUM_SYNTHIA_LABEL_IDS, SYNTHIA_TO_TRAIN
from ptseg_d2.classes.tables import lookup_table
from ptseg_d2.data.datasets.catalog import Entries, add_dataset, drawn_streets
from ptseg_d2.data.datasets.paths import list_images, require_labels
from ptseg_d2.data.image_files import read_rgb16
from ptseg_d2.data.label_readers import IS_THING, LABEL_READER_REGISTRY, Labels, number_instances, to_train_ids

import numpy as np

TABLE = lookup_table(SYNTHIA_TO_TRAIN, NUM_SYNTHIA_LABEL_IDS).astype(np.int64)


def load_labeled(root: Path, fix: str) -> Entries:
    """All images with their label files; no file is opened.

    Args:
        root: folder that contains ``synthia``.
        fix: what to do when something is missing.

    Raises:
        FileNotFoundError: the images or some label files are missing.
    """
    base = root / "synthia" / "RAND_CITYSCAPES"
    images = list_images(base / "RGB", "*.png", fix)
    dicts = [
        {
            "file_name": str(image),
            "image_id": image.stem,
            "domain": "source",
            "label_format": "synthia",
            "label_file_name": str(base / "GT" / "LABELS" / image.name),
        }
        for image in images
    ]
    require_labels((Path(d["label_file_name"]) for d in dicts), fix)
    return dicts


@LABEL_READER_REGISTRY.register(name="synthia")
def read_label_file(dataset_dict: Mapping[str, Any]) -> Labels:
    """R = class, G = instance, numbered within its class; 0 marks objects not annotated one by one."""
    pixels = read_rgb16(dataset_dict["label_file_name"])
    label_ids, numbers = pixels[..., 0], pixels[..., 1]
    sem_seg = to_train_ids(label_ids, TABLE, dataset_dict["label_file_name"])
    things = IS_THING[sem_seg]
    return Labels(sem_seg, number_instances(sem_seg * 65536 + numbers, things & (numbers > 0), things))


add_dataset("synthia_labeled_train", load_labeled, CITYSCAPES, drawn_streets("synthia"))
