#!/usr/bin/env python
"""Write the predictions of a finished recipe and the ground truth in the COCO panoptic format.

    python tools/export_coco_panoptic.py --config-file configs/selftrain_icm.yaml --output coco_panoptic \
        --opts OUTPUT_DIR output/miniscapes

Makes pred.json, pred/, gt.json and gt/, which `panopticapi`'s `pq_compute` reads.
"""

from __future__ import annotations

import argparse
import os
import sys

from ptseg_d2.data.image_files import DataError
from ptseg_d2.data.streams import build_test_loader
from ptseg_d2.engine.evaluation import CocoExport
from ptseg_d2.engine.recipe import RecipeError, load_config, load_recipe
from ptseg_d2.engine.rows import Rows
from ptseg_d2.evaluation.ground_truth import GroundTruthCache

from detectron2.evaluation import inference_on_dataset


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description="COCO panoptic export of a finished run")
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config of the finished recipe")
    parser.add_argument("--row", default="", help="row of results.json; default: the last one")
    parser.add_argument("--output", default="", help="folder; default: OUTPUT_DIR/coco_panoptic")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="overrides: KEY VALUE ...")
    return parser


def main(args: argparse.Namespace) -> None:
    """Predict DATASETS.TEST once and write it."""
    cfg = load_config(args.config_file, args.opts)
    rows = Rows(cfg, load_recipe(args.config_file, args.opts))
    names = rows.panoptic_rows()
    row = args.row or (names[-1] if names else "")
    if row not in names:
        raise RecipeError(f"{args.config_file} has no panoptic row {row!r}; it has: {', '.join(names) or 'none'}")
    folder = args.output or os.path.join(cfg.OUTPUT_DIR, "coco_panoptic")
    loader = build_test_loader(cfg, cfg.DATASETS.TEST[0])
    inference_on_dataset(rows.panoptic(row), loader, CocoExport(folder, GroundTruthCache()))


if __name__ == "__main__":
    try:
        main(build_parser().parse_args())
    except (DataError, FileNotFoundError, RecipeError, ValueError) as error:
        sys.exit(f"error: {error}")
