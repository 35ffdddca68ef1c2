"""Cityscapes ([Cityscapes]): real streets, straight from the official download.

Layout: ``cityscapes/leftImg8bit/<split>/<city>/*_leftImg8bit.png`` and
``cityscapes/gtFine/<split>/<city>/*_gtFine_{labelIds,instanceIds}.png``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.counting import number_of
from ptseg_d2.data.datasets.catalog import Entries, add_dataset, drawn_streets
from ptseg_d2.data.datasets.paths import list_images, require_labels
from ptseg_d2.data.image_files import read_one_channel
from ptseg_d2.data.label_readers import (
    CITYSCAPES_TABLE,
    IS_THING,
    LABEL_READER_REGISTRY,
    Labels,
    check_equal_size,
    cityscapes_train_ids,
    number_instances,
    to_train_ids,
)

IMAGE_SUFFIX = "_leftImg8bit.png"
HELD_OUT = 0.2  # share of the training images that [PanopticUNet] validates on
INSTANCES_PER_CLASS = 1000  # an instance is stored as label id * 1000 + number


def load_unlabeled(root: Path, fix: str, split: str) -> Entries:
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


def load_train_part(root: Path, fix: str, held_out: bool) -> Entries:
    """The training images but for the last fifth of each city by name, or that fifth; as `load_labeled` otherwise.

    Args:
        root: folder that contains ``cityscapes``.
        fix: what to do when something is missing.
        held_out: whether the fifth is asked for.
    """
    cities: dict[Path, Entries] = {}
    for entry in load_labeled(root, fix, "train"):
        cities.setdefault(Path(entry["file_name"]).parent, []).append(entry)
    chosen = []
    for entries in cities.values():
        first = len(entries) - number_of(HELD_OUT, len(entries))
        chosen += entries[first:] if held_out else entries[:first]
    return chosen


def load_labeled(root: Path, fix: str, split: str) -> Entries:
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


@LABEL_READER_REGISTRY.register(name="cityscapes")
def read_label_files(dataset_dict: Mapping[str, Any]) -> Labels:
    """labelIds and instanceIds.

    A group region ("cargroup") has the bare label id in the instance file: its class is known, its instances
    are not. The same holds for a thing pixel that the instance file gives to another class.
    """
    sem_seg = cityscapes_train_ids(dataset_dict["label_file_name"])
    instance_file = dataset_dict["instance_file_name"]
    keys = read_one_channel(instance_file)
    check_equal_size(sem_seg.shape, keys.shape, dataset_dict["label_file_name"], instance_file)
    things = IS_THING[sem_seg]
    owners = to_train_ids(keys * things // INSTANCES_PER_CLASS, CITYSCAPES_TABLE, instance_file)
    return Labels(sem_seg, number_instances(keys, things & (owners == sem_seg), things))


_DRAWN = drawn_streets("cityscapes")
add_dataset("cityscapes_unlabeled_train", partial(load_unlabeled, split="train"), CITYSCAPES, _DRAWN)
add_dataset("cityscapes_labeled_train", partial(load_labeled, split="train"), CITYSCAPES, _DRAWN)
add_dataset("cityscapes_labeled_train_fit", partial(load_train_part, held_out=False), CITYSCAPES, _DRAWN)
add_dataset("cityscapes_labeled_train_held_out", partial(load_train_part, held_out=True), CITYSCAPES, _DRAWN)
add_dataset("cityscapes_labeled_val", partial(load_labeled, split="val"), CITYSCAPES, _DRAWN)
