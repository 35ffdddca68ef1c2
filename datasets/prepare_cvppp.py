#!/usr/bin/env python3
"""Check the leaf photographs of CVPPP 2017, or your own in its layout, and write their split by plant to a file.

Reads every label, counts the leaves, and puts 60 % of the plants into train and 20 % each into val and test. Without
the file the same split is made each time with seed 0, so this is for another seed, or to keep the split with the data.
Example: python datasets/prepare_cvppp.py --seed 1
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.data.datasets.cvppp import label_of, list_labeled, list_photographs, photographs_by_subset, plant_of
from ptseg_d2.data.datasets.paths import REAL_DATA_FIX, ROOT_VARIABLE, datasets_root
from ptseg_d2.data.datasets.plant_split import SEED, SPLIT_FILE, count_by_part, make_split, write_split
from ptseg_d2.data.labels import read_labels

from tqdm import tqdm

logger = logging.getLogger("ptseg_d2.prepare_cvppp")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help=f"folder that contains cvppp (default: ${ROOT_VARIABLE})")
    parser.add_argument("--seed", type=int, default=SEED, help="of the split, 0 or more (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help=f"replace a {SPLIT_FILE} that is there already")
    args = parser.parse_args(arguments)
    if args.seed < 0:
        parser.error(f"--seed is {args.seed}; expected 0 or more")
    return args


def count_leaves(images: Sequence[Path]) -> int:
    """Leaves in the labels of photographs; every label is read and compared with its photograph.

    Raises:
        DataError: a label cannot be used; the message names the file.
    """
    total = 0
    for image in tqdm(images, desc="reading labels", unit="image"):
        names = {"file_name": str(image), "label_file_name": str(label_of(image)), "label_format": "cvppp"}
        total += int(read_labels(names).instance_ids.max())
    return total


def prepare(root: Path, seed: int, overwrite: bool) -> Path:
    """Checks the data set and writes its split file.

    Args:
        root: folder that contains ``cvppp``.
        seed: of the split.
        overwrite: replace a file that is there.

    Returns:
        the split file.

    Raises:
        FileExistsError: there is one already.
        FileNotFoundError: there is no photograph, or none with a label.
        ValueError: a label cannot be used, or there are too few plants.
    """
    base = root / "cvppp"
    if (base / SPLIT_FILE).exists() and not overwrite:
        raise FileExistsError(f"{base / SPLIT_FILE} exists already; give --overwrite to replace it")
    labeled = list_labeled(root, REAL_DATA_FIX)
    split = make_split(sorted({plant_of(image) for image in labeled}), seed)
    for subset, images in photographs_by_subset(labeled).items():
        plants = len({plant_of(image) for image in images})
        logger.info("%s: %d photographs of %d plants, %d leaves", subset, len(images), plants, count_leaves(images))
    unlabeled = len(list_photographs(root, REAL_DATA_FIX)) - len(labeled)
    logger.info("%d photographs without a label file: the data set cvppp_unlabeled", unlabeled)
    file = write_split(base, split)
    logger.info("%s: plants split with seed %d into %s", file, split.seed, count_by_part(split))
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    args = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        prepare(args.root or datasets_root(), args.seed, args.overwrite)
    except (OSError, ValueError) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
