#!/usr/bin/env python
"""Write the panoptic predictions of a finished recipe: COCO's panoptic format, the formats of Cityscapes, or both.

    python tools/export_coco_panoptic.py --config-file configs/selftrain_icm.yaml
    python tools/export_coco_panoptic.py --config-file configs/selftrain_icm.yaml --format coco cityscapes \
        --dataset miniscapes_cityscapes_unlabeled_train --output exported --opts OUTPUT_DIR output/miniscapes

coco: pred.json and pred/ and, of images with labels, gt.json and gt/, which `panopticapi`'s `pq_compute` reads, and
Detectron2 with `ptseg_d2.data.datasets.exported`. cityscapes: a folder cityscapes_results with labelIds/, instances/,
panoptic/ and instanceIds/, for the scripts and the server of that benchmark; see
`ptseg_d2.evaluation.cityscapes_format`. An earlier export in the same folder is replaced once the new one is complete.
"""

from __future__ import annotations

import argparse
import os
import sys

from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.streams import build_test_loader
from ptseg_d2.errors import DataError, RecipeError
from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.results.export import PanopticExport
from ptseg_d2.results.rows import ResultRows

from detectron2.evaluation import inference_on_dataset
from detectron2.utils.logger import setup_logger

COCO, CITYSCAPES = "coco", "cityscapes"


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="export of a finished run: COCO's panoptic format, the formats of Cityscapes, or both"
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config of the finished recipe")
    parser.add_argument(
        "--format", nargs="+", choices=(COCO, CITYSCAPES), default=[COCO], help="one or both; default: coco"
    )
    parser.add_argument("--row", default="", help="panoptic row of results.json; default: the last one")
    parser.add_argument("--dataset", default="", metavar="NAME", help="registered data set; default: DATASETS.TEST")
    parser.add_argument(
        "--output",
        default="",
        metavar="FOLDER",
        help="gets pred.json, pred/, gt.json, gt/ and/or cityscapes_results/; default: OUTPUT_DIR/coco_panoptic and "
        "OUTPUT_DIR/cityscapes_results, with ROW and NAME, if given, at the end of their names",
    )
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="overrides: KEY VALUE ...")
    return parser


def main(args: argparse.Namespace) -> None:
    """Predict a data set once and write it."""
    cfg = load_config(args.config_file, args.opts)
    if args.dataset:
        load_dataset((args.dataset,), "--dataset")
    else:
        load_dataset(cfg.DATASETS.TEST[:1], "DATASETS.TEST")
    rows = ResultRows(cfg, load_recipe(args.config_file, args.opts))
    row = rows.panoptic_row(args.row or None, args.config_file)
    folders = output_folders(args, cfg.OUTPUT_DIR)
    export = PanopticExport(coco=folders.get(COCO), cityscapes=folders.get(CITYSCAPES), classes=classes_of(cfg))
    loader = build_test_loader(cfg, args.dataset or cfg.DATASETS.TEST[0])
    inference_on_dataset(rows.panoptic(row), loader, export)


def output_folders(args: argparse.Namespace, output_dir: str) -> dict[str, str]:
    """Folders by format; another row or data set than usual does not replace what training has exported."""
    suffix = "".join(f"_{part}" for part in (args.row, args.dataset) if part)
    folders = {
        COCO: args.output or os.path.join(output_dir, f"coco_panoptic{suffix}"),
        CITYSCAPES: os.path.join(args.output or output_dir, f"cityscapes_results{'' if args.output else suffix}"),
    }
    return {name: folders[name] for name in args.format}


if __name__ == "__main__":
    setup_logger()
    setup_logger(name="ptseg_d2")
    try:
        main(build_parser().parse_args())
    except (DataError, OSError, RecipeError, ValueError) as error:
        sys.exit(f"error: {error}")
