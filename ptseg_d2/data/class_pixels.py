"""How many pixels of every class each labelled image has: counted once, kept below $DETECTRON2_DATASETS.

Reading all labels of a large data set takes minutes, so the counts are kept in `class_pixels/<data set>.npz`. An image
whose label file has another size or time than then is counted again. C classes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from ptseg_d2.atomic import replaced_file
from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.labels import read_labels
from ptseg_d2.errors import DataError

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

logger = logging.getLogger(__name__)

VERSION = 1  # of the counts: raise it when the same label file gives other classes
MAX_THREADS = 8  # decoding releases Python's lock, so threads suffice


def scan(
    dataset_dicts: Sequence[Mapping[str, Any]], name: str, folder: Path, classes: ClassTable = CITYSCAPES
) -> NDArray[np.int64]:
    """Pixels of every class in every image; label files are read unless they were counted before.

    Args:
        dataset_dicts: entries of a labelled data set, or of a part of it.
        name: of the data set, also of its file in the cache.
        folder: of the cache, usually `paths.class_pixels_folder()`. A warning says so if it cannot be written.
        classes: of the data set.

    Returns:
        (images, C) int64. A row of zeros for an image whose label cannot be used; a warning names it.

    Raises:
        ValueError: an entry has no label file, like those of a target data set.
    """
    for item in dataset_dicts:
        if "label_file_name" not in item:
            raise ValueError(f"{name} has no labels ({item['file_name']}); only labelled source images are counted")
    file = folder / f"{name}.npz"
    known = _load(file)
    keys = [_key(item) for item in dataset_dicts]
    new = {key: item for key, item in zip(keys, dataset_dicts) if key not in known}
    if new:
        known.update(_count_all(new, name, classes.num_classes))
        _save(file, known)
    nothing = np.zeros(classes.num_classes, np.int64)
    counts = np.array([known.get(key, nothing) for key in keys], np.int64).reshape(-1, classes.num_classes)
    _report(counts, name, classes)
    return counts


def count_pixels(sem_seg: NDArray[np.integer], num_classes: int) -> NDArray[np.int64]:
    """(C,) pixels of each class in a map (H, W) of train ids; void is left out."""
    return np.bincount(sem_seg.ravel(), minlength=num_classes)[:num_classes]


def _key(item: Mapping[str, Any]) -> str:
    """Image id with what tells a changed label file from the one that was counted."""
    try:
        status = os.stat(item["label_file_name"])
        return f"{item['image_id']} {item['label_format']} {status.st_size} {status.st_mtime_ns}"
    except OSError:
        return f"{item['image_id']} unreadable"  # never kept: reading it fails, too


def _count_all(items: Mapping[str, Mapping[str, Any]], name: str, num_classes: int) -> dict[str, NDArray[np.int64]]:
    """Counts (C,) of the images that can be used, by the same keys."""
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as threads:
        counted = tqdm(
            threads.map(partial(_count, num_classes=num_classes), items.values()),
            total=len(items),
            desc=f"classes in {name}",
            unit="image",
            disable=None,
        )
        return {key: counts for key, counts in zip(items, counted) if counts is not None}


def _count(item: Mapping[str, Any], num_classes: int) -> NDArray[np.int64] | None:
    try:
        return count_pixels(read_labels(item).sem_seg, num_classes)
    except (DataError, OSError) as error:
        logger.warning("Counted as an image without any class: %s", error)
        return None


def _load(file: Path) -> dict[str, NDArray[np.int64]]:
    """Counts by key; none if there is no file, or none that fits."""
    try:
        with np.load(file) as content:
            if int(content["version"]) == VERSION:
                return dict(zip(content["keys"].tolist(), content["counts"]))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        logger.warning("%s cannot be used (%s); the labels are read again", file, error)
    return {}


def _save(file: Path, known: Mapping[str, NDArray[np.int64]]) -> None:
    """Keep counts for the next time; a warning if that fails."""
    if not known:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(file) as place:
            np.savez_compressed(place, version=VERSION, keys=list(known), counts=np.stack(list(known.values())))
    except OSError as error:
        logger.warning("%s cannot be written (%s); the labels are read again next time", file, error)


def _report(counts: NDArray[np.int64], name: str, classes: ClassTable) -> None:
    images = ", ".join(f"{label} {number}" for label, number in zip(classes.names, (counts > 0).sum(axis=0)))
    logger.info("%s: %d images; images with %s", name, len(counts), images)
