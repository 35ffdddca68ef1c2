"""A paper-scale self-training step beside a training step of Detectron2's Panoptic-DeepLab, on one GPU.

    python benchmarks/bench_paper_scale_step.py

Ours: SAC with DeepLabv2 and ResNet-101, 8 source images and 4 views each of 2 target images of 512x1024
(configs/synthia_to_cityscapes/semantic_deeplabv2_r101.yaml): the student's forward and backward on 16 images, the
teacher's forward on 8. Theirs: Panoptic-DeepLab with ResNet-50, forward and backward on as many images as the student
sees. Both from random weights on noise, in float32 and under bfloat16 autocast, with their own optimiser.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from ptseg_d2.recipe.configs import load_config

import torch
from bench_semantic_step import parts_of_a_step, seconds
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.projects.panoptic_deeplab import add_panoptic_deeplab_config
from tabulate import tabulate

OURS = "configs/synthia_to_cityscapes/semantic_deeplabv2_r101.yaml"


def panoptic_deeplab_config(size: tuple[int, int], device: str, norm: str) -> CfgNode:
    """Panoptic-DeepLab R50 at output stride 16, as in the project's Cityscapes configs.

    Args:
        size: (height, width) of the crops in pixels.
        device: a torch device.
        norm: a normalisation name known to Detectron2's `get_norm`.
    """
    cfg = get_cfg()
    add_panoptic_deeplab_config(cfg)
    cfg.DATASETS.TRAIN = ("cityscapes_fine_panoptic_train",)  # for its class names
    cfg.MODEL.DEVICE = device
    cfg.MODEL.META_ARCHITECTURE = "PanopticDeepLab"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_deeplab_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.merge_from_other_cfg(
        CfgNode({"OUT_FEATURES": ["res2", "res3", "res5"], "RES5_DILATION": 2, "STRIDE_IN_1X1": False, "NORM": norm})
    )
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = 128
    head = cfg.MODEL.SEM_SEG_HEAD
    head.NAME = "PanopticDeepLabSemSegHead"
    head.IN_FEATURES = ["res2", "res3", "res5"]
    head.PROJECT_FEATURES, head.PROJECT_CHANNELS = ["res2", "res3"], [32, 64]
    head.CONVS_DIM, head.COMMON_STRIDE, head.NUM_CLASSES = 256, 4, 19
    head.NORM = cfg.MODEL.INS_EMBED_HEAD.NORM = norm
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", list(size)
    return cfg


def panoptic_deeplab_step(cfg: CfgNode, num_images: int) -> Callable[[], None]:
    """A training step on images of noise with one object each."""
    model = build_model(cfg).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    height, width = cfg.INPUT.CROP.SIZE
    ones = torch.ones(height, width)
    item: dict[str, Any] = {
        "image": torch.randint(0, 256, (3, height, width), dtype=torch.uint8),
        "sem_seg": torch.randint(0, 19, (height, width)),
        "sem_seg_weights": ones,
        "center": torch.rand(height, width),
        "center_weights": ones,
        "offset": torch.randn(2, height, width),
        "offset_weights": ones,
    }

    def step() -> None:
        optimizer.zero_grad()
        sum(model([item] * num_images).values()).backward()
        optimizer.step()

    return step


def _our_step(cfg: CfgNode) -> Callable[[], None]:
    return parts_of_a_step(cfg)["step"]


def measure(step: Callable[[], None], device: torch.device, runs: int, bfloat16: bool) -> tuple[float, float]:
    """Median seconds of a step after two warm-up ones, and the peak memory in GiB (0 on a CPU)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        times = [seconds(step, device) for _ in range(runs + 2)]
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    return statistics.median(times[2:]), memory


def main(device_name: str, size: tuple[int, int], runs: int, overrides: list[str]) -> str:
    """The table, one row per step and precision."""
    device = torch.device(device_name)
    options = [*("MODEL.DEVICE", device_name, "INPUT.CROP_SIZE", str(size)), *overrides]
    rows = []
    for bfloat16 in (False, True):
        precision = "bfloat16" if bfloat16 else "float32"
        cfg = load_config(OURS, [*options, "MODEL.BFLOAT16", str(bfloat16)])
        num_images = cfg.SOLVER.SOURCE_PER_BATCH + cfg.SOLVER.TARGET_PER_BATCH * cfg.INPUT.TARGET_VIEWS
        their_cfg = panoptic_deeplab_config(size, device_name, cfg.MODEL.RESNETS.NORM)
        timed = [  # one after the other, so that each has the card's memory; our networks choose autocast themselves
            ("SAC, DeepLabv2 R101", partial(_our_step, cfg), False),
            ("Panoptic-DeepLab R50", partial(panoptic_deeplab_step, their_cfg, num_images), bfloat16),
        ]
        for name, build, autocast in timed:
            time, memory = measure(build(), device, runs, autocast)
            speed = f"{num_images / time:.1f}"
            rows.append([name, precision, num_images, f"{1000 * time:.0f}", speed, f"{memory:.1f}"])
    headers = ["step", "precision", "images", "ms", "images/s", "peak memory (GiB)"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--runs", type=int, default=20, help="timed steps of each row")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="overrides of our config's keys")
    args = parser.parse_args()
    print(main(args.device, tuple(args.size), args.runs, args.opts))
    where = torch.cuda.get_device_name(args.device) if "cuda" in args.device else f"{torch.get_num_threads()} threads"
    print(f"{args.size[0]}x{args.size[1]}, {args.device} ({where}), torch {torch.__version__}, median of {args.runs}")
