#!/usr/bin/env python3
"""Draw minileaves, the embedded plant world, in the layout of CVPPP 2017.

Training draws it on first use, so this is for other sizes, numbers or seeds, or to draw beforehand.
Example: python datasets/prepare_minileaves.py --num-plants 300 --num-stages 3
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.data.datasets.paths import ROOT_VARIABLE, datasets_root
from ptseg_d2.worlds.minileaves import ensure
from ptseg_d2.worlds.minileaves.creation import NUM_PLANTS, NUM_STAGES, SEED, SIDE


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--root", type=Path, help=f"folder to draw into; None = ${ROOT_VARIABLE}/minileaves")
    parser.add_argument("--num-plants", type=int, default=NUM_PLANTS, help="over A1 to A4")
    parser.add_argument("--num-stages", type=int, default=NUM_STAGES, help="photographs of each plant, young to old")
    parser.add_argument("--side", type=int, default=SIDE, help="of the square pictures, pixels")
    parser.add_argument("--seed", type=int, default=SEED, help="another one gives other plants")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws the plants if the folder does not exist yet."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parse_arguments(arguments)
    root = args.root or datasets_root() / "minileaves"
    folder = ensure(root, num_plants=args.num_plants, num_stages=args.num_stages, side=args.side, seed=args.seed)
    logging.info("%s is ready", folder)


if __name__ == "__main__":
    main()
