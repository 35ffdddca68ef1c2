#!/usr/bin/env python3
"""The share of clustering and stability test in a step of instance self-training, for each clustering.

    python benchmarks/bench_instance_step.py                                     # configs/selftrain_icm.yaml, car
    python benchmarks/bench_instance_step.py --embeddings random --threads 1
    python benchmarks/bench_instance_step.py --device cuda

A step is that of one individual-class model: pseudo instances of all target images, losses on both domains, backward,
optimiser. Target images are the scenes of the embedded world with the most pixels of the class, the "predicted" masks
are their true ones, which costs the most. A network with random weights has no objects in its embeddings, so the
pseudo instances are made from embeddings like those after training: one centre per true instance, within about a third
of delta_var, and pixels on object borders between two of them; `--embeddings random` leaves the network's own.
The exit status is 1 when the config's clustering takes more than 15 % of the step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ptseg_d2.classes.streets import CLASS_NAMES
from ptseg_d2.data.mappers import to_tensor
from ptseg_d2.data.views import full_view
from ptseg_d2.inference.clusterers import CLUSTERINGS
from ptseg_d2.modeling.building import build_stage_model
from ptseg_d2.modeling.embedding_net import shrink_labels
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.trainer import Trainer
from ptseg_d2.worlds.miniscapes import Scene, render_scene

import torch
from bench_clustering import touching_centers
from bench_semantic_step import seconds
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

MAX_SHARE = 0.15
POOL = 4  # scenes drawn per target image; the most crowded ones are used


class Batch(NamedTuple):
    """What a step gets, and the true instance ids (B, H, W) of its target images."""

    items: list[dict[str, Any]]
    target_ids: Tensor


def crowded_batch(cfg: CfgNode, thing: int) -> Batch:
    """Source images, and those target images of the drawn world that show most of a class; one view each."""
    height, width = cfg.INPUT.CROP_SIZE
    number = cfg.SOLVER.TARGET_PER_BATCH
    source = [render_scene(seed, "source", (width, height)) for seed in range(cfg.SOLVER.SOURCE_PER_BATCH)]
    target = [render_scene(seed, "target", (width, height)) for seed in range(POOL * number)]
    target.sort(key=lambda scene: int((scene.sem_seg == thing).sum()), reverse=True)
    items = [_source_item(scene, thing) for scene in source] + [_target_item(scene) for scene in target[:number]]
    return Batch(items, torch.stack([_instances(scene, thing) for scene in target[:number]]))


def _instances(scene: Scene, thing: int) -> Tensor:
    ids = torch.from_numpy(scene.instance_ids).long()
    return torch.where(torch.from_numpy(scene.sem_seg) == thing, ids, 0)


def _source_item(scene: Scene, thing: int) -> dict[str, Any]:
    sem_seg = torch.from_numpy(scene.sem_seg).long()
    image = to_tensor(scene.image)
    return {"image": image, "sem_seg": sem_seg, "instance_ids": _instances(scene, thing), "domain": "source"}


def _target_item(scene: Scene) -> dict[str, Any]:
    views = to_tensor(scene.image)[None]
    height, width = scene.sem_seg.shape
    return {
        "student_views": views,
        "teacher_views": views,
        "thetas": full_view((height, width)).theta()[None],
        "class_mask_views": torch.from_numpy(scene.sem_seg).long()[None],
        "domain": "target",
    }


def embeddings_after_training(instance_ids: Tensor, dims: int, delta_var: float, seed: int = 0) -> Tensor:
    """Embeddings (E, h, w) of true instances (h, w), blurred over one pixel at their borders."""
    rng = torch.Generator().manual_seed(seed)
    numbers, index = instance_ids.unique(return_inverse=True)
    points = touching_centers(len(numbers), dims, rng)[index].permute(2, 0, 1)
    points = F.avg_pool2d(points[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    return points + delta_var / 3 / dims**0.5 * torch.randn(points.shape, generator=rng)


class Step:
    """A training step that notes how long its pseudo instances took."""

    def __init__(self, cfg: CfgNode, group: str, batch: Batch, realistic: bool) -> None:
        """
        Args:
            cfg: of an instance self-training stage.
            group: class of the model.
            batch: what every step gets.
            realistic: pseudo instances come from `embeddings_after_training`, not from the network's embeddings.
        """
        model = build_stage_model(cfg, StageInputs(group=(group,))).train()
        assert isinstance(model, EmbeddingMomentumTeacher)
        self.model = model
        self.batch = batch.items
        self.optimizer = Trainer.build_optimizer(cfg, model)
        self.num_instances = 0
        self._ids = batch.target_ids
        self._realistic = realistic
        self._known: dict[int, Tensor] = {}
        self._clustering_seconds: list[float] = []
        self._pseudo_instances = model.pseudo_instances
        model.pseudo_instances = self._timed_pseudo_instances  # type: ignore[method-assign]

    def __call__(self) -> tuple[float, float]:
        """Seconds of one step, and of clustering and stability test in it."""
        self._clustering_seconds.clear()
        self.num_instances = 0
        total = seconds(self._step, self.model.device)
        return total, sum(self._clustering_seconds)

    def _step(self) -> None:
        self.optimizer.zero_grad()
        with EventStorage():
            losses = self.model(self.batch)
        sum(losses.values()).backward()
        self.optimizer.step()

    def _timed_pseudo_instances(
        self, teacher: Tensor, student: Tensor, sem_seg: Tensor
    ) -> tuple[Tensor, dict[int, float]]:
        if self._realistic:
            teacher, student = self._trained(len(self._clustering_seconds), teacher)
        if teacher.is_cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        found = self._pseudo_instances(teacher, student, sem_seg)
        if teacher.is_cuda:
            torch.cuda.synchronize()
        self._clustering_seconds.append(time.perf_counter() - start)
        self.num_instances += int((found[0].unique() > 0).sum())
        return found

    def _trained(self, view: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of teacher and student, made on the first (untimed) call."""
        if view not in self._known:
            ids = shrink_labels(self._ids[view : view + 1], like.shape[-2:])[0]
            delta_var = self.model.student.criterion.delta_var
            self._known[view] = embeddings_after_training(ids, like.shape[0], delta_var).to(like)
        known = self._known[view]
        return known, known + 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, time, print; the exit status is 1 if the bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default="configs/selftrain_icm.yaml")
    parser.add_argument("--group", default="car", choices=CLASS_NAMES, help="the class of the model")
    parser.add_argument("--embeddings", choices=("trained", "random"), default="trained")
    parser.add_argument("--runs", type=int, default=9, help="timed steps with every clustering; medians count")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that override the config")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    cfg = load_config(args.config_file, ["MODEL.DEVICE", args.device, *args.opts])
    batch = crowded_batch(cfg, CLASS_NAMES.index(args.group))
    steps = {}
    for name in CLUSTERINGS:
        cfg.INSTANCE.CLUSTERING = name
        steps[name] = Step(cfg, args.group, batch, args.embeddings == "trained")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for repetition in range(args.runs + 2):
        for name, step in steps.items():
            elapsed = step()
            if repetition >= 2:  # the first ones warm up
                times[name].append(elapsed)
    rows = []
    for name, pairs in times.items():
        total, clustering = (1e3 * statistics.median(column) for column in zip(*pairs))
        share = statistics.median(part / whole for whole, part in pairs)
        if name == CLUSTERINGS[0]:
            holds = share <= MAX_SHARE
        cells = (f"{total:.0f}", f"{clustering:.1f}", f"{100 * share:.1f}", f"{total:.0f}", f"{clustering:.1f}")
        rows.append((name, *cells, str(steps[name].num_instances)))
    height, width = cfg.INPUT.CROP_SIZE
    print(
        f"{args.config_file}, {args.group}, {len(batch.items)} images of {height}x{width} on {args.device}, "
        f"{args.threads} threads, torch {torch.__version__}, {args.embeddings} embeddings, median of {args.runs}"
    )
    headers = ["clustering", "step, ms", "clustering + stability, ms", "share, %"]
    headers += ["1,000 steps, s", "of which clustering, s", "instances"]
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
