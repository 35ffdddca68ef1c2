"""Folders that a user brings, registered without code: images, and a PNG of instance numbers beside each labelled one.

    <folder>/images/<stem>.<png, tif, jpg, ...>   8 or 16 bits, grey or colour, any sizes
    <folder>/labels/<stem>.<png, tif>             8 or 16 bits, one channel: 0 = background, 1..65535 = objects

One folder is the labelled source (WORLD.SOURCE), another one the target (WORLD.TARGET), of which a part is the test
set. There is one thing class, WORLD.THING, and the background. The names are filled whenever a config is loaded, so
every process has them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import single_thing
from ptseg_d2.counting import number_of
from ptseg_d2.data.datasets.catalog import DATASET_REGISTRY, Entries, NamedDataset
from ptseg_d2.data.image_files import IMAGE_SUFFIXES
from ptseg_d2.data.label_readers import LABEL_READER_REGISTRY, read_numbers

from detectron2.config import CfgNode

PREFIX = "folder_"
SOURCE = f"{PREFIX}source_labeled_train"
TARGET_UNLABELED = f"{PREFIX}target_unlabeled_train"
TARGET_LABELED = f"{PREFIX}target_labeled_train"
TARGET_TEST = f"{PREFIX}target_labeled_test"
FIX = 'See "Your own images" in datasets/README.md'

LABEL_SUFFIXES = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class FolderWorld:
    """A source and a target folder; nothing is opened before a data set is asked for.

    Attributes:
        source: folder of the source, "" = none.
        target: folder of the target, "" = none.
        thing: name of the class of objects.
        test_share: see `split_target`.
    """

    source: str = ""
    target: str = ""
    thing: str = "object"
    test_share: float = 0.375

    @classmethod
    def from_config(cls, cfg: CfgNode) -> FolderWorld:
        """That of cfg.WORLD.

        Raises:
            ValueError: WORLD.TEST_SHARE is out of its range.
        """
        world = cfg.WORLD
        if not 0 <= world.TEST_SHARE < 1:
            raise ValueError(f"WORLD.TEST_SHARE = {world.TEST_SHARE}; expected a share in [0, 1)")
        return cls(world.SOURCE, world.TARGET, world.THING, float(world.TEST_SHARE))

    def load(self, name: str) -> Entries:
        """Entries of one of `FOLDER_NAMES`, sorted by file name.

        Returns:
            Detectron2 dicts with file_name, image_id (the stem), domain and, but for `TARGET_UNLABELED`,
            label_format and label_file_name.

        Raises:
            FileNotFoundError: a folder, its images or a label file is missing; the message says what was expected.
            ValueError: two images or two labels have one stem; no image is left to adapt to, or none to test on.
        """
        if name == SOURCE:
            folder = _require_folder(self.source, "WORLD.SOURCE", "--source-folder")
            return _with_labels(folder, list_images(folder), "source")
        folder = _require_folder(self.target, "WORLD.TARGET", "--target-folder")
        unlabeled, test = split_target(folder, list_images(folder), self.test_share)
        if name == TARGET_TEST and not test:
            raise ValueError(
                f"no image of {folder / 'images'} has a file in labels/, so there is nothing to test on; with "
                "DATASETS.TEST () the run trains without a test"
            )
        if name == TARGET_UNLABELED:
            return [_entry(image, "target") for image in unlabeled]
        return _with_labels(folder, test if name == TARGET_TEST else unlabeled, "target")

    def datasets(self) -> dict[str, NamedDataset]:
        """Those of `FOLDER_NAMES`."""
        classes = single_thing(self.thing)
        return {name: NamedDataset(partial(self.load, name), classes) for name in FOLDER_NAMES}


FOLDER_NAMES = (SOURCE, TARGET_UNLABELED, TARGET_LABELED, TARGET_TEST)
"""The registered names; `TARGET_LABELED` is `TARGET_UNLABELED` with labels, for the upper bound only."""


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """The two options of a command line that bring folders."""
    group = parser.add_argument_group("your own images, see datasets/README.md")
    group.add_argument("--source-folder", metavar="FOLDER", help="labelled: images/ and labels/ (= WORLD.SOURCE)")
    group.add_argument("--target-folder", metavar="FOLDER", help="images/, labels/ of the test part (= WORLD.TARGET)")


def folder_overrides(args: argparse.Namespace) -> list[str]:
    """The options of `add_folder_arguments` as config keys and values; folders become absolute."""
    given = {"WORLD.SOURCE": args.source_folder, "WORLD.TARGET": args.target_folder}
    return [
        text for key, folder in given.items() if folder for text in (key, os.path.abspath(os.path.expanduser(folder)))
    ]


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder's images/, sorted by name, without hidden ones.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: two images have the same stem.
    """
    images = folder / "images"
    if not images.is_dir():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise FileNotFoundError(f"{images} not found: {folder} holds {found}; expected images/ and labels/. {FIX}.")
    files = [path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
    if not files:
        raise FileNotFoundError(f"{images} holds no image; expected files that end in {', '.join(IMAGE_SUFFIXES)}")
    return list(_by_stem(files).values())


def _by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Files by the names that images and labels share, in their order."""
    by_stem: dict[str, Path] = {}
    for file in sorted(files):
        other = by_stem.setdefault(file.stem, file)
        if other is not file:
            raise ValueError(f"{other} and {file.name} share one name, and so one label: rename or remove one of them")
    return by_stem


def split_target(folder: Path, images: list[Path], test_share: float) -> tuple[list[Path], list[Path]]:
    """The images to adapt to, and those to test on.

    Args:
        folder: of the target.
        images: all of its images in their order.
        test_share: share of them, the last ones, for the test, at least one; 0 = those with a label file (no file is
            opened), which may be none.

    Raises:
        ValueError: no image is left to adapt to.
    """
    if test_share > 0:
        num_unlabeled = len(images) - number_of(test_share, len(images), at_least=1)
        unlabeled, test = images[:num_unlabeled], images[num_unlabeled:]
        what = f"the last {test_share:g} of them by name (WORLD.TEST_SHARE)"
    else:
        labels = label_files(folder)
        unlabeled = [image for image in images if image.stem not in labels]
        test = [image for image in images if image.stem in labels]
        what = "those with a file in labels/ (WORLD.TEST_SHARE is 0)"
    if not unlabeled:
        raise ValueError(
            f"{folder / 'images'}: {len(images)} images, of which {len(test)} are the test set, {what}: this leaves "
            "none to adapt to"
        )
    return unlabeled, test


def label_files(folder: Path) -> dict[str, Path]:
    """Label files of a folder's labels/, which may be absent, by the stem of their image.

    Raises:
        ValueError: two files have the same stem.
    """
    labels = folder / "labels"
    files = labels.iterdir() if labels.is_dir() else []
    return _by_stem(
        file for file in files if file.suffix.lower() in LABEL_SUFFIXES and file.name[0] != "." and file.is_file()
    )


def _require_folder(folder: str, key: str, flag: str) -> Path:
    path = Path(folder).expanduser()
    if not folder or not path.is_dir():
        what = f"{key} is not set" if not folder else f"{key} = {folder}: no such folder"
        raise FileNotFoundError(f"{what}; name a folder with images/ and labels/ by {flag} FOLDER. {FIX}.")
    return path


def _entry(image: Path, domain: str) -> dict[str, Any]:
    return {"file_name": str(image), "image_id": image.stem, "domain": domain}


def _with_labels(folder: Path, images: list[Path], domain: str) -> Entries:
    labels = label_files(folder)
    absent = [image for image in images if image.stem not in labels]
    if absent:
        place = folder / "labels"
        seen = place if place.is_dir() else folder
        found = ", ".join(sorted(path.name for path in seen.iterdir())[:5]) or "nothing"
        raise FileNotFoundError(
            f"label file {place / absent[0].stem}.png of {absent[0].name} not found ({len(absent)} of {len(images)} "
            f"are missing); {seen} holds {found}. Expected a PNG or TIFF of one channel, 0 = background, 1..65535 = "
            f"objects. {FIX}."
        )
    return [
        {
            **_entry(image, domain),
            "label_format": "instance_png",
            "label_file_name": str(labels[image.stem]),
        }
        for image in images
    ]


LABEL_READER_REGISTRY.register(read_numbers, name="instance_png")

for _name, _dataset in FolderWorld().datasets().items():
    DATASET_REGISTRY.register(_dataset, name=_name)
