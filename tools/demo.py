#!/usr/bin/env python
"""Draw the panoptic result of a finished recipe over images.

    python tools/demo.py --config-file configs/selftrain_icm.yaml --input 'images/*.png' --output overlays \
        --opts OUTPUT_DIR output/miniscapes

`--opts` are the overrides of the training run; OUTPUT_DIR names its folder.
"""

from __future__ import annotations

import argparse
import glob
import os
import sys
from pathlib import Path

from ptseg_d2.data.image_files import DataError, read_image
from ptseg_d2.data.mappers import to_tensor
from ptseg_d2.engine.recipe import RecipeError, load_config, load_recipe
from ptseg_d2.engine.rows import Rows
from ptseg_d2.visualization.overlays import draw_panoptic, save_png

import torch
from detectron2.data import MetadataCatalog
from tqdm import tqdm


def build_parser() -> argparse.ArgumentParser:
    """Detectron2's demo flags."""
    parser = argparse.ArgumentParser(description="Panoptic overlays from a finished run")
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config of the finished recipe")
    parser.add_argument("--input", nargs="+", required=True, help="images, or patterns like 'folder/*.png'")
    parser.add_argument("--output", required=True, help="folder for the overlays")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="overrides: KEY VALUE ...")
    return parser


def expand_inputs(patterns: list[str]) -> list[str]:
    """Files of all patterns, sorted within each.

    Raises:
        FileNotFoundError: a pattern matches nothing.
    """
    files: list[str] = []
    for pattern in patterns:
        found = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(os.path.expanduser(pattern)))
        if not found:
            raise FileNotFoundError(f"--input {pattern} matches no file")
        files.extend(found)
    return files


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    """Predict and draw every image with the last panoptic row of the recipe."""
    files = expand_inputs(args.input)
    cfg = load_config(args.config_file, args.opts)
    rows = Rows(cfg, load_recipe(args.config_file, args.opts))
    names = rows.panoptic_rows()
    if not names:
        raise RecipeError(f"{args.config_file} trains one branch only: a panoptic result needs both")
    model = rows.panoptic(names[-1])
    metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
    stems = [Path(file).stem for file in files]
    for file in tqdm(files, unit="image"):
        image = read_image(file)
        ids, segments = model([{"image": to_tensor(image)}])[0]["panoptic_seg"]
        stem = Path(file).stem
        name = stem if stems.count(stem) == 1 else f"{Path(file).parent.name}_{stem}"
        save_png(Path(args.output) / f"{name}.png", draw_panoptic(image, ids, segments, metadata))


if __name__ == "__main__":
    try:
        main(build_parser().parse_args())
    except (DataError, FileNotFoundError, RecipeError, ValueError) as error:
        sys.exit(f"error: {error}")
