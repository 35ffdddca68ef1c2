"""A registered data set of Detectron2's kind, as small as can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image


@contextmanager
def squares(folder: Path) -> Iterator[str]:
    """The name of a data set of two 8x12 images (width 12) with one 4x4 square and semantic labels 0, 1."""
    records = []
    for index in range(2):
        Image.fromarray(np.full((8, 12, 3), 40 * index, np.uint8)).save(folder / f"{index}.png")
        Image.fromarray(np.tile(np.array([0, 1], np.uint8), (8, 6))).save(folder / f"{index}_labels.png")
        square = {"bbox": [2, 2, 6, 6], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
        square["segmentation"] = [[2, 2, 6, 2, 6, 6, 2, 6]]
        record = {"file_name": str(folder / f"{index}.png"), "image_id": index, "height": 8, "width": 12}
        record |= {"sem_seg_file_name": str(folder / f"{index}_labels.png"), "annotations": [square]}
        records.append(record)
    name = f"toy_{folder.name}"
    DatasetCatalog.register(name, lambda: records)
    MetadataCatalog.get(name).set(thing_classes=["square"], stuff_classes=["a", "b", "c"], ignore_label=255)
    try:
        yield name
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
