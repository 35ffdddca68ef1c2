"""Folders with a file for each target image: they appear only when complete, and name what could not be read."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ptseg_d2.errors import DataError

from tqdm import tqdm

logger = logging.getLogger(__name__)

T = TypeVar("T")

INDEX = "index.json"
"""What every such folder holds."""

MASKS = Path("target_masks") / INDEX
"""Class masks, below the folder of the stage that predicted them."""
DETECTIONS = Path("target_detections") / INDEX
"""Detected instances, below the folder of the stage whose detector found them."""
PREDICTED_GUIDANCE = Path("target_guidance") / INDEX
"""Instance masks that guide a semantic stage, below the folder of the instance stage that predicted them."""
ORACLE_GUIDANCE = Path("oracle_guidance") / INDEX
"""The same from labels of the target, below OUTPUT_DIR."""


def reads_labels(guidance: str) -> bool:
    """Whether guidance, the path of its index.json, was made from labels of the target."""
    return Path(guidance).parts[-2:] == ORACLE_GUIDANCE.parts


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A new, empty folder that takes the place of `folder` at the end, and not at all after an error.

    Raises:
        ValueError: `folder` holds something, but not the index.json of an earlier time.
    """
    if folder.exists() and not (folder.is_dir() and ((folder / INDEX).exists() or not any(folder.iterdir()))):
        raise ValueError(
            f"{folder} exists and would be replaced, but it has no {INDEX}, so it is none of these folders: name a new "
            "folder, or remove it yourself"
        )
    partial, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "replaced"))
    for left_over in (partial, old):
        shutil.rmtree(left_over, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    if folder.exists():
        os.replace(folder, old)  # whole: a kill while it is removed leaves nothing half under its name
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)


def each_readable(
    dataset_dicts: Sequence[Mapping[str, Any]],
    read: Callable[[Mapping[str, Any]], T],
    description: str,
    skipped: list[str],
) -> Iterator[tuple[str, T]]:
    """Image ids with what is read of them.

    Args:
        dataset_dicts: Detectron2's list of images.
        read: may raise DataError or OSError; that image is left out with a warning that names it.
        description: of the progress bar.
        skipped: the ids of images that are left out are appended.
    """
    for item in tqdm(dataset_dicts, desc=description, unit="image"):
        try:
            value = read(item)
        except (DataError, OSError) as error:
            logger.warning("Skipping a target image: %s", error)
            skipped.append(item["image_id"])
            continue
        yield item["image_id"], value
