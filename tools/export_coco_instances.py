#!/usr/bin/env python
r"""A labelled data set as a COCO-format instance folder, for everything that reads COCO.

    python tools/export_coco_instances.py --dataset miniscapes_cityscapes_labeled_val --output miniscapes_coco
    python tools/evaluate_transfer.py --output output/transfer --coco-json miniscapes_coco/instances.json \
        --coco-images ...

Images are not copied: the file names in instances.json are relative to the folder above them all, which is printed. A
file that cannot be read is named at the end, with exit status 1, and hinders no other.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.atomic import write_atomically
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import classes_of_dataset
from ptseg_d2.detectors.coco_instances import coco_instances, common_folder
from ptseg_d2.errors import DataError


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, metavar="NAME", help="registered, with labels")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="gets instances.json")
    return parser


def export(dataset: str, folder: Path) -> list[str]:
    """Write instances.json and say how to use it; returns what is wrong with files that were left out.

    Raises:
        ValueError: the data set is not registered, has no labels or no image, or no file of it can be read.
    """
    dicts = load_dataset((dataset,), "--dataset")
    if "label_format" not in dicts[0]:
        raise ValueError(f"--dataset {dataset} has no labels; use its labelled twin")
    root = common_folder(item["file_name"] for item in dicts)
    content, failures = coco_instances(dicts, root, classes_of_dataset(dataset))
    if not content["images"]:
        raise ValueError(f"none of the {len(dicts)} images of {dataset} can be read: {failures[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "instances.json"
    write_atomically(file, json.dumps(content))
    print(f"{len(content['images'])} images, {len(content['annotations'])} objects")
    print(f"--coco-json {file} --coco-images {root}")
    return failures


def run(argv: Sequence[str] | None = None) -> None:
    """Parse the command line."""
    args = build_parser().parse_args(argv)
    try:
        failures = export(args.dataset, Path(args.output))
    except (DataError, OSError, ValueError) as error:
        failures = [str(error)]
    if failures:
        sys.exit("\n".join(f"error: {failure}" for failure in failures))


if __name__ == "__main__":
    run()
