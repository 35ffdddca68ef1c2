"""Cityscapes (Cordts et al., CVPR 2016): real streets, straight from the official download.

Layout: ``cityscapes/leftImg8bit/<split>/<city>/*_leftImg8bit.png`` and
``cityscapes/gtFine/<split>/<city>/*_gtFine_{labelIds,instanceIds}.png``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.counting import number_of
from ptseg_d2.data.datasets.paths import list_images, require_labels

IMAGE_SUFFIX = "_leftImg8bit.png"
HELD_OUT = 0.2  # share of the training images that paper 2 validates on


def load_unlabeled(root: Path, fix: str, split: str) -> list[dict[str, Any]]:
    """All images of a split, as target images. Label folders are neither opened nor listed and may be absent.

    Args:
        root: folder that contains ``cityscapes``.
        fix: what to do when something is missing.
        split: "train" or "val".

    Raises:
        FileNotFoundError: the images are missing.
    """
    images = list_images(root / "cityscapes" / "leftImg8bit" / split, f"*/*{IMAGE_SUFFIX}", fix)
    return [
        {"file_name": str(image), "image_id": image.name[: -len(IMAGE_SUFFIX)], "domain": "target"} for image in images
    ]


def load_train_part(root: Path, fix: str, held_out: bool) -> list[dict[str, Any]]:
    """The training images but for the last fifth of each city by name, or that fifth; as `load_labeled` otherwise.

    Args:
        root: folder that contains ``cityscapes``.
        fix: what to do when something is missing.
        held_out: whether the fifth is asked for.
    """
    cities: dict[Path, list[dict[str, Any]]] = {}
    for entry in load_labeled(root, fix, "train"):
        cities.setdefault(Path(entry["file_name"]).parent, []).append(entry)
    chosen = []
    for entries in cities.values():
        first = len(entries) - number_of(HELD_OUT, len(entries))
        chosen += entries[first:] if held_out else entries[:first]
    return chosen


def load_labeled(root: Path, fix: str, split: str) -> list[dict[str, Any]]:
    """All images of a split with their label files; no file is opened.

    Args:
        root: folder that contains ``cityscapes``.
        fix: what to do when something is missing.
        split: "train" or "val".

    Raises:
        FileNotFoundError: the images or some label files are missing.
    """
    dicts = load_unlabeled(root, fix, split)
    for entry in dicts:
        city = Path(entry["file_name"]).parent.name
        stem = root / "cityscapes" / "gtFine" / split / city / entry["image_id"]
        entry["label_format"] = "cityscapes"
        entry["label_file_name"] = f"{stem}_gtFine_labelIds.png"
        entry["instance_file_name"] = f"{stem}_gtFine_instanceIds.png"
    keys = ("label_file_name", "instance_file_name")
    require_labels((Path(entry[key]) for key in keys for entry in dicts), fix)
    return dicts
