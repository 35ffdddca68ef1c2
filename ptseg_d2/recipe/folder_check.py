"""A look at the folders that a user brings, before any training: what is in them, and what would spoil a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets import DATASET_KEYS
from ptseg_d2.data.datasets.instance_folders import FOLDER_NAMES
from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.labels import Labels, read_labels
from ptseg_d2.errors import DataError
from ptseg_d2.evaluation.ground_truth import check_num_objects

import cv2
import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from PIL import Image
from tqdm import tqdm

logger = logging.getLogger(__name__)

MANY_PAGES = (".tif", ".tiff")


def check_folders(cfg: CfgNode) -> None:
    """Log what the folder data sets of a config hold, and warn of what is probably meant otherwise.

    Labels of the target's training images are opened only where an oracle's config names them. Every process checks, so
    that all of them stop.

    Raises:
        FileNotFoundError, ValueError: as from `FolderWorld.load`; or no label shows an object.
        DataError: no label of a data set can be used, or an image or label of DATASETS.TEST cannot.
    """
    for name in dict.fromkeys(name for key in DATASET_KEYS for name in cfg.DATASETS[key] if name in FOLDER_NAMES):
        dicts = DatasetCatalog.get(name)
        keys = ("file_name", "label_file_name")
        _warn_of_pages(name, [Path(item[key]) for item in dicts for key in keys if key in item])
        if "label_format" in dicts[0]:
            _check_labels(name, dicts, all_needed=name in cfg.DATASETS.TEST)
        else:
            logger.info("%s: %d images", name, len(dicts))


@dataclass
class _Content:
    """What the labels of a data set hold: objects per image, images of one object in several pieces, bad files."""

    num_objects: list[int] = field(default_factory=list)
    num_scattered: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, labels: Labels) -> None:
        """Count the objects of an image."""
        self.num_objects.append(int(labels.instance_ids.max(initial=0)))
        if self.num_objects[-1] == 1:
            num_pieces = cv2.connectedComponents((labels.instance_ids > 0).astype(np.uint8))[0] - 1
            self.num_scattered += num_pieces > 1


def _check_labels(name: str, dicts: Sequence[dict[str, Any]], all_needed: bool) -> None:
    content = _Content()
    for item in tqdm(dicts, desc=f"labels of {name}", unit="image", disable=not comm.is_main_process()):
        try:
            labels = read_labels(item)
            if all_needed:
                check_num_objects(labels, item["label_file_name"])
                read_image(item["file_name"])
            content.add(labels)
        except (DataError, OSError) as error:
            content.failures.append(str(error))
    num_bad = len(content.failures)
    if num_bad == len(dicts) or (num_bad and all_needed):
        raise DataError(f"{name}: {num_bad} of {len(dicts)} images cannot be used. The first: {content.failures[0]}")
    if num_bad:
        logger.warning("%s: %d images cannot be used. The first: %s", name, num_bad, content.failures[0])
    folder, num_images = Path(dicts[0]["label_file_name"]).parent, len(content.num_objects)
    num_empty = content.num_objects.count(0)
    total = sum(content.num_objects)
    logger.info("%s: %d images, %d objects; %d images without one", name, num_images, total, num_empty)
    if total == 0:
        raise ValueError(f"{folder}: no label of {name} shows an object; expected 0 = background, 1, 2, ... = objects")
    if 2 * content.num_scattered >= num_images - num_empty:
        logger.warning(
            "%s: %d of %d labels that show anything have one number in several pieces, as masks of foreground and "
            "background have. If every piece is an object, number them: scipy.ndimage.label(mask)[0].astype('uint16')",
            *(folder, content.num_scattered, num_images - num_empty),
        )


def _warn_of_pages(name: str, files: Sequence[Path]) -> None:
    """TIFF stacks: `read_image` reads the first page."""
    stacks = [file for file in files if file.suffix.lower() in MANY_PAGES and _num_pages(file) > 1]
    if stacks:
        logger.warning(
            "%s: %d TIFF files have several pages, such as %s with %d; only the first page is used",
            *(name, len(stacks), stacks[0], _num_pages(stacks[0])),
        )


def _num_pages(file: Path) -> int:
    try:
        with Image.open(file) as picture:
            return getattr(picture, "n_frames", 1)
    except Exception:  # Pillow's decoders raise many types; the file is named when it is read
        return 1
