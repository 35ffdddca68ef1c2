#!/usr/bin/env python3
"""Draw samples of a registered data set: image and labels side by side, or the image alone if there are none.

Examples:
    python tools/visualize_data.py --dataset miniscapes_synthia_labeled_train --output output/samples
    python tools/visualize_data.py --dataset folder_source_labeled_train --source-folder A --output output/samples
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets import EVALUATOR_TYPE, register_world
from ptseg_d2.data.datasets.instance_folders import FolderWorld, add_folder_arguments
from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.labels import read_labels
from ptseg_d2.evaluation.ground_truth import ground_truth_panoptic
from ptseg_d2.visualization.overlays import Picture, draw_panoptic, side_by_side

import torch
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from PIL import Image

logger = logging.getLogger("ptseg_d2.visualize_data")


def draw_sample(dataset_dict: Mapping[str, Any], metadata: Metadata) -> Picture:
    """Picture of one entry: the image, and beside it its labels through Detectron2's Visualizer.

    Args:
        dataset_dict: entry of a registered data set.
        metadata: of that data set.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    image = read_image(dataset_dict["file_name"])
    if "label_file_name" not in dataset_dict:
        return image
    ids, segments = ground_truth_panoptic(read_labels(dataset_dict), metadata.class_table)
    drawn = draw_panoptic(image, torch.from_numpy(ids), segments, metadata)
    return side_by_side([image, drawn], [dataset_dict["image_id"], "labels"])


def draw_samples(name: str, num: int, output: Path) -> list[Path]:
    """Draws entries spread evenly over a data set into a folder, one PNG file each.

    Args:
        name: registered data set.
        num: number of samples, at most as many as there are entries.
        output: folder for the pictures, made if missing.

    Returns:
        the files written.
    """
    entries = DatasetCatalog.get(name)
    metadata = MetadataCatalog.get(name)
    num = min(num, len(entries))
    output.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(num):
        entry = entries[index * len(entries) // num]
        files.append(output / f"{entry['image_id']}.png")
        Image.fromarray(draw_sample(entry, metadata)).save(files[-1])
        logger.info("%d of %d: %s", index + 1, num, files[-1])
    return files


def is_ours(metadata: Metadata) -> bool:
    """Whether a registered data set is one of this package; Detectron2 brings its own."""
    return bool(metadata.get("evaluator_type") == EVALUATOR_TYPE)


def positive(text: str) -> int:
    """Argument type: an integer >= 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number >= 1, got {value}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [name for name in DatasetCatalog.list() if is_ours(MetadataCatalog.get(name))]
    parser.add_argument("--dataset", required=True, metavar="NAME", help="one of:\n" + "\n".join(names))
    parser.add_argument("--num", type=positive, default=4, help="number of samples (default: 4)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    add_folder_arguments(parser)
    args = parser.parse_args(argv)
    register_world(FolderWorld(source=args.source_folder or "", target=args.target_folder or ""))
    if args.dataset not in names:
        parser.error(f"unknown data set {args.dataset!r}; expected one of: {', '.join(names)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        draw_samples(args.dataset, args.num, args.output)
    except (FileNotFoundError, ValueError) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
