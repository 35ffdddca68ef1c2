#!/usr/bin/env python3
"""What follows the networks beside the networks themselves, on one image of a crowded street.

    python benchmarks/bench_post_processing.py
    python benchmarks/bench_post_processing.py --size 512 1024 --runs 1

Beside other busy processes set OMP_WAIT_POLICY=PASSIVE: threads that wait for each other in a loop, for a processor
that somebody else has, make the small operations of the post-processing ten times slower, and the table with them.

Post-processing: most probable classes, clustering of the embeddings of each thing class, repair and stability of the
instances, merging. Its input is drawn: logits and embeddings of 60 regions, 30 of them objects of the 8 thing classes,
with blurred borders and noise. The networks are those of configs/selftrain_icm.yaml, one for classes and one per thing
class, with random weights; resizing their outputs to the image is their time. The exit status is 1 when one of the
first two bounds does not hold; the third compares with a single network for all thing classes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ptseg_d2.classes.streets import CLASS_NAMES, THING_IDS
from ptseg_d2.counting import number_of
from ptseg_d2.inference.clusterers import Clustering, cluster_things
from ptseg_d2.inference.instance_grouping import EmbeddingGrouping, PanopticOptions
from ptseg_d2.inference.morphology import clean_instances
from ptseg_d2.inference.panoptic_model import PanopticModel, mean_per_instance, merge_instances
from ptseg_d2.inference.stability import instance_stability
from ptseg_d2.modeling.building import build_clustering, build_panoptic_options
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.stages import StageRun

import torch
from bench_clustering import touching_centers
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

CONFIG = "configs/selftrain_icm.yaml"
BANDS = {"sidewalk": 0.65, "building": 0.55, "vegetation": 0.35, "sky": 0.2}  # lower end, share of the height
NUM_PATCHES, NUM_OBJECTS = 25, 30  # with the bands and the road 60 regions
MAX_SECONDS = 5.0


class Fixed(nn.Module):
    """A network whose output is known beforehand."""

    def __init__(self, **output: Tensor) -> None:
        """
        Args:
            output: of one image, by name.
        """
        super().__init__()
        self.output = {name: dense[None] for name, dense in output.items()}

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        return self.output


def street(size: tuple[int, int], dims: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (19, H, W), embeddings (dims, H, W) and true instances (H, W), 1..30, of a drawn street.

    Stuff lies in bands, the sky on top and the road below, with patches of other stuff; objects are ellipses, larger
    below. The embeddings of objects of a class touch each other, those of the background are another cluster.
    """
    rng = torch.Generator().manual_seed(seed)
    height, width = size
    ys, xs = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / height, indexing="ij")
    stuff = [i for i in range(len(CLASS_NAMES)) if i not in THING_IDS]
    sem_seg = torch.full(size, CLASS_NAMES.index("road"))
    for name, bottom in BANDS.items():
        sem_seg[ys < bottom] = CLASS_NAMES.index(name)
    draws = torch.rand(NUM_PATCHES + NUM_OBJECTS, 4, generator=rng)
    instance_ids = torch.zeros(size, dtype=torch.int64)
    for number, (y, x, tall, wide) in enumerate(draws.tolist()):
        is_object = number >= NUM_PATCHES
        y = 0.35 + 0.6 * y if is_object else y
        scale = 0.25 * y if is_object else 0.1
        radii = (scale * (0.3 + 0.7 * tall), scale * (0.3 + 0.7 * wide))
        inside = ((ys - y) / radii[0]) ** 2 + ((xs - x * width / height) / radii[1]) ** 2 < 1
        sem_seg[inside] = THING_IDS[number % len(THING_IDS)] if is_object else stuff[number % len(stuff)]
        instance_ids[inside] = number - NUM_PATCHES + 1 if is_object else 0
    centers = touching_centers(int(instance_ids.max()) + 1, dims, rng)
    embeddings = _blurred(centers[instance_ids].permute(2, 0, 1).contiguous())
    embeddings += 0.2 / dims**0.5 * torch.randn(embeddings.shape, generator=rng)
    logits = _blurred(6 * F.one_hot(sem_seg, len(CLASS_NAMES)).permute(2, 0, 1).float())
    logits += 0.3 * torch.randn(logits.shape, generator=rng)
    return logits, embeddings, instance_ids


def _blurred(dense: Tensor) -> Tensor:
    """The mean of 7 x 7 pixels, as the borders of a network's output are."""
    return F.avg_pool2d(dense[None], 7, stride=1, padding=3, count_include_pad=False)[0]


class Timing(NamedTuple):
    """Median seconds on the clock, and of the processor, which other work on the machine hardly changes."""

    clock: float
    processor: float

    def __add__(self, other: Timing) -> Timing:  # type: ignore[override]
        return Timing(self.clock + other.clock, self.processor + other.processor)

    def times(self, count: int) -> Timing:
        """So much for `count` of it."""
        return Timing(count * self.clock, count * self.processor)


def timed(work: Callable[[], Any], runs: int) -> tuple[Timing, Any]:
    """Medians of `runs` calls after one that does not count, and the last result."""
    clock, processor = [], []
    for _ in range(runs + 1):
        start, processor_start = time.perf_counter(), time.process_time()
        result = work()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - processor_start)
    return Timing(statistics.median(clock[1:]), statistics.median(processor[1:])), result


def parts(
    logits: Tensor, embeddings: Tensor, options: PanopticOptions, clustering: Clustering, runs: int
) -> dict[str, Timing]:
    """Each part of the post-processing, its input being what the parts before it gave."""
    times = dict.fromkeys(("classes", "clustering", "repair", "stability", "merging"), Timing(0, 0))

    def measure(part: str, work: Callable[[], Any]) -> Any:
        time_taken, result = timed(work, runs)
        times[part] += time_taken
        return result

    probability, sem_seg = measure("classes", lambda: logits.softmax(0).max(0))
    min_area = number_of(options.min_thing_share, sem_seg.numel())
    cluster = partial(clustering, min_size=min_area)
    instance_ids, scores = torch.zeros_like(sem_seg), {}
    for thing in options.thing_ids:
        found = measure("clustering", partial(cluster_things, embeddings, sem_seg, (thing,), cluster, min_area))
        repair = partial(clean_instances, found, min_area, opening=options.opening, closing=options.closing)
        found = measure("repair", repair)
        stability = partial(instance_stability, found, [embeddings], clustering.radius)
        offset = int(instance_ids.max())
        scores.update({number + offset: score for number, score in measure("stability", stability).items()})
        instance_ids = torch.where(found > 0, found + offset, instance_ids)

    def merge() -> None:
        mean_per_instance(probability, instance_ids)
        merge_instances(sem_seg, instance_ids, scores, options)

    measure("merging", merge)
    return times


@torch.no_grad()
def post_processing(
    size: tuple[int, int], cfg: CfgNode, runs: int
) -> tuple[Timing, dict[str, Timing], list[dict[str, Any]], int]:
    """The whole, its parts, the segments, and how many objects the scene shows."""
    logits, embeddings, truth = street(size, cfg.MODEL.EMBEDDING.DIM)
    options, clustering = build_panoptic_options(cfg), build_clustering(cfg)
    network = Fixed(embeddings=embeddings)
    grouping = EmbeddingGrouping([((thing,), network) for thing in THING_IDS], options, clustering)
    model = PanopticModel(Fixed(sem_seg=logits), grouping, options)
    image = torch.zeros(3, *size)
    whole, (_, segments) = timed(lambda: model.from_logits(image, logits), runs)
    num_objects = len(truth.unique()) - 1
    return whole, parts(logits, embeddings, options, clustering, runs), segments, num_objects


@torch.no_grad()
def networks(size: tuple[int, int], stages: Sequence[StageRun], runs: int) -> tuple[Timing, Timing]:
    """The semantic and one instance network of the self-trained row."""
    of_stage = {run.name: run.cfg for run in stages}
    image = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    medians = []
    for stage in ("semantic_selftrain", "instance_selftrain"):
        network = build_model(of_stage[stage]).eval()
        medians.append(timed(partial(network.predict, image), runs)[0])
    return medians[0], medians[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; the exit status is 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 2048), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--runs", type=int, default=5, help="timed calls; the median counts")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="overrides of the config's keys")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    size = (args.size[0], args.size[1])
    stages = load_recipe(CONFIG, ["MODEL.DEVICE", "cpu", *args.opts])
    whole, of_parts, segments, num_objects = post_processing(size, stages[-1].cfg, args.runs)
    semantic, instance = networks(size, stages, args.runs)
    both, all_networks = semantic + instance, semantic + instance.times(len(THING_IDS))

    def show(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
        print("\n" + tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True), flush=True)

    num_found = sum(segment["isthing"] for segment in segments)
    print(
        f"{size[0]}x{size[1]}, {args.threads} CPU threads, median of {args.runs}, torch {torch.__version__}; "
        f"{num_objects} objects to be seen, {num_found} found, {len(segments)} segments"
    )
    table = {
        "post-processing": whole,
        **{f"- {name}": timing for name, timing in of_parts.items()},
        "semantic network": semantic,
        "an instance network": instance,
        f"semantic and {len(THING_IDS)} instance networks": all_networks,
    }
    ratios = [f"{whole.clock / timing.clock:.2f}" for timing in table.values()]
    show(
        [[name, *(f"{s:.3f}" for s in timing), ratio] for (name, timing), ratio in zip(table.items(), ratios)],
        ["", "s", "processor, s", "post-processing / it"],
    )
    bounds = [
        (f"post-processing in {MAX_SECONDS:.0f} s", whole.clock < MAX_SECONDS),
        ("less than the networks of the config", whole.clock < all_networks.clock),
        ("less than one network of each kind", whole.clock < both.clock),
    ]
    show([[name, "yes" if holds else "NO"] for name, holds in bounds], ["post-processing", "holds"])
    return int(not all(holds for _, holds in bounds[:2]))


if __name__ == "__main__":
    sys.exit(main())
