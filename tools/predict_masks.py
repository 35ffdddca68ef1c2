#!/usr/bin/env python
r"""Predict class masks of the unlabelled target images: importance weights and fixed pseudo labels for later runs.

    python tools/predict_masks.py --config-file configs/semantic_source.yaml \
        --weights output/miniscapes/semantic_source/model_final.pth --output masks
    python tools/train_net.py --config-file ... INPUT.PREDICTED_MASKS masks/index.json

The masks' class content decides how often self-training draws an image (INPUT.IMPORTANCE_SAMPLING). With
several --weights their softmax outputs are averaged, and with --quantile only the most confident pixels of each class
stay: the multi-band transfer of [FDA], trained on with MODEL.SELF_TRAINING.PSEUDO_LABELS predicted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import DataError, RecipeError
from ptseg_d2.inference.ensemble import MeanOfNetworks
from ptseg_d2.pseudo_labels.multi_band import ConfidenceQuantiles
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.recipe.target_files.masks import write_masks
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.checkpoints import load_network

import numpy as np
from tabulate import tabulate


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description="class masks of the target images, by one network or the mean of some")
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config of the network(s)")
    parser.add_argument("--weights", required=True, nargs="+", metavar="FILE", help="one or several checkpoints")
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="gets index.json and the masks; replaces older masks there"
    )
    parser.add_argument("--quantile", type=float, help="share of each class's pixels that is given up (FDA: .66)")
    parser.add_argument("--cap", type=float, default=0.9, help="no confidence threshold is above this (FDA: .9)")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="overrides: KEY VALUE ...")
    return parser


def content_table(index: dict[str, Any], classes: ClassTable) -> str:
    """How much of each class was predicted, and in how many images."""
    shares = np.array([image["class_shares"] for image in index["images"].values()]).reshape(-1, classes.num_classes)
    rows = [
        (name, f"{100 * shares[:, i].mean():.3f}", int((shares[:, i] > 0).sum()))
        for i, name in enumerate(classes.names)
    ]
    return tabulate(rows, headers=["class", "% of the pixels", f"of {len(shares)} images"], tablefmt="github")


def main(args: argparse.Namespace) -> None:
    """Predict, write, show the content."""
    cfg = load_config(args.config_file, args.opts)
    dicts = load_dataset(cfg.DATASETS.TARGET, "DATASETS.TARGET")
    network = MeanOfNetworks([load_network(cfg, StageInputs.from_config(cfg), weights) for weights in args.weights])
    classes = classes_of(cfg)
    quantiles = None if args.quantile is None else ConfidenceQuantiles(classes.num_classes, args.quantile, args.cap)
    index = write_masks(dicts, network, Path(args.output), quantiles)
    print(content_table(index, classes))


if __name__ == "__main__":
    try:
        main(build_parser().parse_args())
    except (DataError, FileNotFoundError, RecipeError, ValueError) as error:
        sys.exit(f"error: {error}")
