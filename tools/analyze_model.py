#!/usr/bin/env python3
"""Print parameters, FLOPs and latency of the networks that a config trains, for one image.

Example: python tools/analyze_model.py --config-file configs/selftrain_icm.yaml --size 128 256

FLOPs are fvcore's, which counts a multiply-add as one, as most papers do. Latency is the median of warm runs of one
image, from RGB pixels to maps of the image's size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence

from ptseg_d2.errors import RecipeError
from ptseg_d2.modeling.network import DenseNetwork
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.stages.table import Branch
from ptseg_d2.training.trainer import check_meta_architecture

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from fvcore.nn import FlopCountAnalysis
from tabulate import tabulate
from torch import Tensor, nn

NUM_WARM_UP = 3


def count_parameters(network: DenseNetwork) -> int:
    """Numbers that are trained; without running statistics."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: DenseNetwork, height: int, width: int) -> int:
    """fvcore's count for one image; a multiply-add is one.

    Args:
        network: backbone and head.
        height: of the image in pixels; padded as the network pads it.
        width: likewise.
    """
    step = network.size_divisibility
    pixels = torch.zeros(1, 3, height + -height % step, width + -width % step, device=network.device)
    counter = FlopCountAnalysis(_Everything(network).eval(), pixels)
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(counter.total())


class _Everything(nn.Module):
    """All maps of a network: only some of them are its output when it predicts classes."""

    def __init__(self, network: DenseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.all_maps(self.network.backbone(pixels)))


@torch.no_grad()
def measure_latency(network: DenseNetwork, height: int, width: int, runs: int) -> float:
    """Median seconds of one image through `predict`, after some warm-up runs."""
    network.eval()
    images = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, device=network.device)
    seconds = [_seconds(network, images) for _ in range(NUM_WARM_UP + runs)]
    return statistics.median(seconds[NUM_WARM_UP:])


def _seconds(network: DenseNetwork, images: Tensor) -> float:
    start = time.perf_counter()
    network.predict(images)
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - start


def networks_of(config_file: str, overrides: Sequence[str]) -> dict[str, CfgNode]:
    """The last stage of each branch ("semantic", "instance", "panoptic") of a recipe, without Detectron2's detectors.

    Raises:
        RecipeError: the config has no stage, or only that of a detector.
    """
    runs = load_recipe(config_file, overrides)
    if not runs:
        raise RecipeError(f"{config_file} is a part of other configs: it has no RECIPE.STAGE and no RECIPE.NEEDS")
    networks = {run.stage.branch.value: run.cfg for run in runs if run.stage.branch is not Branch.DETECTOR}
    if not networks:
        raise RecipeError(f"{config_file} has only a detector, which Detectron2's own tools analyze")
    return networks


def build_network(cfg: CfgNode) -> DenseNetwork:
    """The network of a stage from random weights; of student and teacher the student."""
    check_meta_architecture(cfg)
    model = build_model(cfg)
    network = model.student if isinstance(model, MomentumTeacher) else model
    assert isinstance(network, DenseNetwork)
    return network


def build_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("HEIGHT", "WIDTH"), help="in pixels")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument("--runs", type=int, default=10, help="timed runs; 0 = do not time (default: 10)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="overrides of config keys")
    return parser


def main(args: argparse.Namespace) -> None:
    """Print one row per network."""
    height, width = args.size
    if min(height, width) < 1 or args.runs < 0:
        raise ValueError(f"--size {height} {width} --runs {args.runs}: expected a size >= 1 and runs >= 0")
    if torch.device(args.device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {args.device}: torch {torch.__version__} finds no GPU here")
    overrides = [*args.opts, "MODEL.DEVICE", args.device]
    rows = []
    for branch, cfg in networks_of(args.config_file, overrides).items():
        network = build_network(cfg)
        rows.append(
            [
                branch,
                f"{cfg.MODEL.BACKBONE.NAME}, {type(network.head).__name__}",
                f"{count_parameters(network) / 1e6:.2f}",
                f"{count_flops(network, height, width) / 1e9:.2f}",
                f"{1000 * measure_latency(network, height, width, args.runs):.1f}" if args.runs else "-",
            ]
        )
    headers = ["branch", "network", "parameters (M)", "FLOPs (G)", "latency (ms)"]
    where = torch.cuda.get_device_name(args.device) if "cuda" in args.device else f"{torch.get_num_threads()} threads"
    print(tabulate(rows, headers, disable_numparse=True))
    print(f"input {height}x{width} (height x width), {args.device} ({where}), torch {torch.__version__}")


def run(argv: Sequence[str] | None = None) -> None:
    """Parse the command line; errors of the user end with a message."""
    args = build_parser().parse_args(argv)
    try:
        main(args)
    except (FileNotFoundError, KeyError, RecipeError, ValueError) as error:  # KeyError: a name in no registry
        if os.environ.get("PTSEG_TRACEBACK"):
            raise
        sys.exit(f"error: {error.args[0] if isinstance(error, KeyError) else error}")


if __name__ == "__main__":
    run()
