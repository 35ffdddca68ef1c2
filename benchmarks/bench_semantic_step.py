"""What a semantic self-training step costs beside its own networks.

    python benchmarks/bench_semantic_step.py                                     # configs/semantic_selftrain.yaml
    python benchmarks/bench_semantic_step.py --config-file configs/synthia_to_cityscapes/semantic_deeplabv2_r101.yaml \
        MODEL.DEVICE cuda MODEL.BFLOAT16 True

Times, interleaved in one process, (a) a whole step: pseudo labels of all views, both losses, backward, optimiser, EMA;
(b) forward and backward of the student alone on the same images; (c) forward of the teacher alone; (d) warping and
fusing the views. Prints medians and the ratio (a) / ((b) + (c)). Images are noise: no part's cost depends on what they
show.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from ptseg_d2.data.views import full_view, random_view
from ptseg_d2.losses.semantic import cross_entropy
from ptseg_d2.modeling.teachers.semantic_teacher import SemanticMomentumTeacher
from ptseg_d2.pseudo_labels.semantic import fuse_views
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.training.trainer import Trainer

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from tabulate import tabulate


def noise_batch(cfg: CfgNode) -> list[dict[str, Any]]:
    """Source and target images of noise, in the form and number of the config."""
    rng = np.random.default_rng(0)
    size = tuple(cfg.INPUT.CROP_SIZE)
    batch: list[dict[str, Any]] = []
    for _ in range(cfg.SOLVER.SOURCE_PER_BATCH):
        labels = torch.from_numpy(rng.integers(0, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, size))
        image = torch.from_numpy(rng.integers(0, 256, (3, *size), dtype=np.uint8))
        batch.append({"image": image, "sem_seg": labels, "domain": "source"})
    for _ in range(cfg.SOLVER.TARGET_PER_BATCH):
        views = torch.from_numpy(rng.integers(0, 256, (cfg.INPUT.TARGET_VIEWS, 3, *size), dtype=np.uint8))
        zoomed = [random_view(size, rng, tuple(cfg.INPUT.TARGET_ZOOM)) for _ in range(cfg.INPUT.TARGET_VIEWS - 1)]
        thetas = torch.stack([view.theta() for view in (full_view(size), *zoomed)])
        batch.append({"student_views": views, "teacher_views": views, "thetas": thetas, "domain": "target"})
    return batch


def parts_of_a_step(cfg: CfgNode) -> dict[str, Callable[[], None]]:
    """The timed parts by name; all use the same model and images."""
    model = build_model(cfg).train()
    assert isinstance(model, SemanticMomentumTeacher)
    optimizer = Trainer.build_optimizer(cfg, model)
    batch = noise_batch(cfg)
    source = [item for item in batch if item["domain"] == "source"]
    target = [item for item in batch if item["domain"] == "target"]
    source_images = torch.stack([item["image"] for item in source])
    source_labels = torch.stack([item["sem_seg"] for item in source]).to(model.device)
    views = torch.cat([item["student_views"] for item in target])
    view_labels = source_labels[torch.arange(len(views)) % len(source)]
    student_batches = [(source_images, source_labels), (views, view_labels)]
    if cfg.INPUT.MASK_RATIO > 0:  # the student sees the first view of every image once more
        student_batches.append((views[: len(target)], view_labels[: len(target)]))
    with torch.no_grad():
        probabilities = model.teacher.predict_strided(views).softmax(dim=1)
    groups = probabilities.split([len(item["thetas"]) for item in target])
    thetas = [item["thetas"].to(model.device) for item in target]

    def step() -> None:
        optimizer.zero_grad()
        with EventStorage():
            losses = model(batch)
        sum(losses.values()).backward()
        optimizer.step()
        model.update_teacher_(cfg.MODEL.SELF_TRAINING.EMA_DECAY)

    def student() -> None:
        optimizer.zero_grad()
        for images, labels in student_batches:
            cross_entropy(model.student.predict_strided(images), labels).backward()

    def teacher() -> None:
        with torch.no_grad():
            model.teacher.predict_strided(views)

    def warping() -> None:
        for group, theta in zip(groups, thetas):
            fuse_views(group, theta)

    return {"step": step, "student": student, "teacher": teacher, "warping and fusion": warping}


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default="configs/semantic_selftrain.yaml")
    parser.add_argument("--runs", type=int, default=15, help="timed repetitions of every part")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch on the CPU")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that override the config")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cfg = load_config(args.config_file, args.opts)
    device = torch.device(cfg.MODEL.DEVICE)
    parts = parts_of_a_step(cfg)
    times: dict[str, list[float]] = {name: [] for name in parts}
    for repetition in range(args.runs + 2):
        for name, work in parts.items():
            elapsed = seconds(work, device)
            if repetition >= 2:  # the first ones warm up
                times[name].append(elapsed)
    median = {name: statistics.median(values) for name, values in times.items()}
    alone = median["student"] + median["teacher"]
    images = cfg.SOLVER.SOURCE_PER_BATCH + cfg.SOLVER.TARGET_PER_BATCH * cfg.INPUT.TARGET_VIEWS
    rows = [(name, f"{1000 * value:.1f}", f"{value / median['step']:.3f}") for name, value in median.items()]
    print(f"{args.config_file} on {device}, {args.threads} threads, torch {torch.__version__}, median of {args.runs}")
    print(tabulate(rows, headers=["part", "ms", "share of the step"], tablefmt="github", disable_numparse=True))
    print(f"step / (student + teacher) = {median['step'] / alone:.3f}   ({images / median['step']:.1f} images/s)")
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name()}: peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
