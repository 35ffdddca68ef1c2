"""CVPPP 2017 Leaf Segmentation Challenge ([CVPPP]): rosette plants from above, every leaf labelled.

Layout: ``cvppp/A1/plantNNN_rgb.png`` and ``cvppp/A1/plantNNN_label.png``, the same in A2, A3 and A4. The value of a
label pixel is the number of the leaf, 0 is background. Photographs without a label file are the test images of the
challenge. A plant may have several photographs: ``plantNNN_<anything>_rgb.png``. Other files (``_fg.png``,
``_centers.png``) are not opened.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import single_thing
from ptseg_d2.data.datasets.catalog import Entries, add_dataset, drawn_plants
from ptseg_d2.data.datasets.paths import missing, require
from ptseg_d2.data.datasets.plant_split import PARTS, count_by_part, read_or_make_split
from ptseg_d2.data.label_readers import LABEL_READER_REGISTRY, read_numbers

logger = logging.getLogger(__name__)

CLASSES = single_thing("leaf")
SUBSETS = ("A1", "A2", "A3", "A4")
IMAGE_SUFFIX = "_rgb.png"
LABEL_SUFFIX = "_label.png"
PLANT = re.compile(r"plant\d+")


def plant_of(image: Path) -> str:
    """Name of the plant that a photograph shows: its number within its sub-data-set, "A1/plant007".

    A name without "plant" and a number stands for a plant of its own.
    """
    stem = image.name[: -len(IMAGE_SUFFIX)]
    found = PLANT.match(stem)
    return f"{image.parent.name}/{found.group() if found else stem}"


def list_photographs(root: Path, fix: str) -> list[Path]:
    """Photographs of all sub-data-sets that are there, sorted; no file is opened.

    Args:
        root: folder that contains ``cvppp``.
        fix: what to do when something is missing.

    Raises:
        FileNotFoundError: there is no photograph.
    """
    base = require(root / "cvppp", fix)
    found = [path for subset in SUBSETS for path in sorted((base / subset).glob(f"*{IMAGE_SUFFIX}"))]
    images = [path for path in found if not path.name.startswith(".")]
    if not images:
        raise missing(f"no photograph in {base}: {base / SUBSETS[0]}/plant*{IMAGE_SUFFIX} (or {_others()})", fix)
    return images


def label_of(image: Path) -> Path:
    """Label file of a photograph, which may not exist."""
    return image.with_name(image.name[: -len(IMAGE_SUFFIX)] + LABEL_SUFFIX)


def list_labeled(root: Path, fix: str) -> list[Path]:
    """Photographs that have a label file; as `list_photographs` otherwise."""
    images = list_photographs(root, fix)
    labeled = [path for path in images if label_of(path).is_file()]
    if not labeled:
        expected = label_of(images[0])
        raise missing(f"label file {expected} (none of {len(images)} photographs has one)", fix)
    return labeled


def load_labeled(root: Path, fix: str, part: str) -> Entries:
    """Photographs with labels of one part of the split by plant; no image is opened.

    Args:
        root: folder that contains ``cvppp``.
        fix: what to do when something is missing.
        part: "train", "val" or "test".

    Raises:
        FileNotFoundError: there is no photograph, or none with a label file.
        ValueError: there are too few plants, or the split file does not fit the photographs.
    """
    labeled = list_labeled(root, fix)
    split = read_or_make_split(root / "cvppp", sorted({plant_of(path) for path in labeled}))
    part_of = {plant: name for name, plants in split.plants.items() for plant in plants}
    chosen = [path for path in labeled if part_of[plant_of(path)] == part]
    logger.info(
        "%s, %s: %d of %d labelled photographs; plants split with seed %d into %s",
        *(root / "cvppp", part, len(chosen), len(labeled), split.seed, count_by_part(split)),
    )
    domain = "target" if part == PARTS[-1] else "source"  # validation decides when training stops
    return [
        {**_entry(path, domain), "label_format": "cvppp", "label_file_name": str(label_of(path))} for path in chosen
    ]


def load_unlabeled(root: Path, fix: str) -> Entries:
    """Photographs without a label file, such as the test images of the challenge, as target images.

    Args:
        root: folder that contains ``cvppp``.
        fix: what to do when something is missing.

    Raises:
        FileNotFoundError: there is no photograph, or all have labels.
    """
    images = list_photographs(root, fix)
    unlabeled = [path for path in images if not label_of(path).is_file()]
    if not unlabeled:
        raise missing(f"a photograph without a label file in {root / 'cvppp'} (all {len(images)} have one)", fix)
    return [_entry(path, "target") for path in unlabeled]


def _entry(image: Path, domain: str) -> dict[str, Any]:
    image_id = f"{image.parent.name}_{image.name[: -len(IMAGE_SUFFIX)]}"
    return {"file_name": str(image), "image_id": image_id, "domain": domain}


def _others() -> str:
    return ", ".join(SUBSETS[1:])


def photographs_by_subset(images: Iterable[Path]) -> dict[str, list[Path]]:
    """Photographs by the name of their sub-data-set, in the order of the challenge."""
    images = list(images)
    groups = {subset: [path for path in images if path.parent.name == subset] for subset in SUBSETS}
    return {subset: group for subset, group in groups.items() if group}


LABEL_READER_REGISTRY.register(read_numbers, name="cvppp")

for _part in PARTS:
    add_dataset(f"cvppp_labeled_{_part}", partial(load_labeled, part=_part), CLASSES, drawn_plants())
add_dataset("cvppp_unlabeled", load_unlabeled, CLASSES, drawn_plants())
