#!/usr/bin/env python3
"""Convert torchvision's [ImageNet] weights of a ResNet to Detectron2's names, for MODEL.WEIGHTS.

Example: python tools/convert_torchvision_resnet.py --depth 18 --output weights/R-18.pkl

Detectron2 hosts no ResNet-18. A config with these weights needs INPUT.FORMAT RGB, MODEL.PIXEL_MEAN
[123.675, 116.28, 103.53], MODEL.PIXEL_STD [58.395, 57.12, 57.375] and MODEL.RESNETS.STRIDE_IN_1X1 False.
"""

from __future__ import annotations

import argparse
import pickle
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
import torchvision
from torch import Tensor

DEPTHS = (18, 34, 50, 101, 152)


def convert_names(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The weights of a torchvision ResNet under the names of Detectron2's.

    Args:
        weights: state dict of a torchvision ResNet.

    Returns:
        conv1 -> stem.conv1, layer1 -> res2, bn1 -> conv1.norm, downsample -> shortcut; without the classifier.

    Raises:
        ValueError: the weights are not those of a torchvision ResNet.
    """
    if "layer4.0.conv1.weight" not in weights:
        raise ValueError(f"these are not the weights of a torchvision ResNet: they begin with {list(weights)[:3]}")
    converted = {}
    for name, value in weights.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        name = re.sub(r"^layer(\d)", lambda match: f"res{int(match[1]) + 1}", name)
        name = re.sub(r"\bbn(\d)", r"conv\1.norm", name)
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        converted[name if name.startswith("res") else f"stem.{name}"] = value.numpy()
    return converted


def read_weights(depth: int, path: Path | None) -> Mapping[str, Tensor]:
    """State dict from a file, or ImageNet's from torchvision.

    Raises:
        OSError: the file does not exist, or the download failed.
    """
    if path is not None:
        weights: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights
    try:
        return torchvision.models.get_model(f"resnet{depth}", weights="IMAGENET1K_V1").state_dict()
    except URLError as error:
        raise ConnectionError(
            f"the weights could not be downloaded ({error.reason}). Fetch resnet{depth}-*.pth from "
            "https://download.pytorch.org/models on another machine and give it with --weights"
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, choices=DEPTHS, required=True)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="ends in .pkl")
    parser.add_argument("--weights", type=Path, metavar="FILE", help=".pth of torchvision; default: download")
    args = parser.parse_args(argv)
    if args.output.suffix != ".pkl":
        parser.error(f"--output {args.output} must end in .pkl, by which Detectron2 knows the format")
    try:
        weights = convert_names(read_weights(args.depth, args.weights))
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with open(args.output, "wb") as file:
        pickle.dump({"model": weights, "__author__": "torchvision", "matching_heuristics": True}, file)
    sys.stdout.write(f"{len(weights)} tensors in {args.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
