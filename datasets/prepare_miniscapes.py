#!/usr/bin/env python3
"""Draw miniscapes, the embedded street world, in the layouts of SYNTHIA, GTA5 and Cityscapes.

Training draws what it needs on first use, so this is for other sizes, numbers or seeds, or to draw beforehand.
Example: python datasets/prepare_miniscapes.py --parts synthia cityscapes --num-train 1000
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.data.datasets.paths import ROOT_VARIABLE, datasets_root
from ptseg_d2.worlds.miniscapes import ensure
from ptseg_d2.worlds.miniscapes.layouts import NUM_TRAIN, NUM_VAL, PARTS, SEED, SIZE


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    numbers = ", ".join(f"{part} {number}" for part, number in NUM_TRAIN.items())
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--root", type=Path, help=f"folder to draw into; None = ${ROOT_VARIABLE}/miniscapes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to draw")
    parser.add_argument("--num-train", type=int, help=f"training scenes of each part; None = {numbers}")
    parser.add_argument("--num-val", type=int, default=NUM_VAL, help="validation scenes of cityscapes")
    parser.add_argument("--size", nargs=2, type=int, default=list(SIZE), metavar=("WIDTH", "HEIGHT"), help="in pixels")
    parser.add_argument("--seed", type=int, default=SEED, help="another one gives another world")
    parser.add_argument(
        "--without-truck-train-terrain",
        action="store_true",
        help="leave these classes out of the labels of synthia, as the real SYNTHIA does; their instances stay",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws the parts asked for that do not exist yet."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parse_arguments(arguments)
    root = args.root or datasets_root() / "miniscapes"
    for part in args.parts:
        folder = ensure(
            root,
            part,
            num_train=args.num_train,
            num_val=args.num_val,
            size=(args.size[0], args.size[1]),
            seed=args.seed,
            full_classes=not args.without_truck_train_terrain,
        )
        logging.info("%s is ready", folder)


if __name__ == "__main__":
    main()
