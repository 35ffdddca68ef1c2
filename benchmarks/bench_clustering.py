#!/usr/bin/env python3
"""Clusterings of pixel embeddings side by side: ours, and scikit-learn's `MeanShift(bin_seeding=True)`.

    python benchmarks/bench_clustering.py
    python benchmarks/bench_clustering.py --points 16384 65536 --peer-points 0 --threads 1     # without scikit-learn

The clouds look like embeddings after training with delta_var .5 and delta_dist 1.5: neighbouring clusters touch
(centres 2.6 to 3.2 apart), each lies within about .2 of its centre, sizes differ by a factor of 20, and pixels of
object borders lie on the lines between centres. Three tables: speed and agreement beside scikit-learn, ours over the
number of points, and a whole 1024x2048 frame whose every pixel belongs to one of eight thing masks. The exit status is
1 when a bound does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from ptseg_d2.counting import number_of
from ptseg_d2.inference.clusterers import CLUSTERINGS, Clustering, cluster_things
from ptseg_d2.inference.clustering import nearest_center
from ptseg_d2.inference.morphology import clean_instances

import sklearn
import torch
from sklearn.cluster import MeanShift
from sklearn.metrics import adjusted_rand_score
from tabulate import tabulate
from torch import Tensor

DELTA_VAR, DELTA_DIST = 0.5, 1.5
MIN_SHARE = 5e-4  # of all points or pixels: INSTANCE.MIN_AREA
FRAME, NUM_MASKS = (1024, 2048), 8
MIN_SPEEDUP, MAX_LOSS, MAX_SECONDS, MAX_FRAME_SECONDS = 150.0, 0.005, 1.5, 4.0


class Cloud(NamedTuple):
    """Points (M, E), the cluster (M,) of each (the nearer one on a border), and which (M,) lie on no border."""

    points: Tensor
    truth: Tensor
    inner: Tensor


def touching_centers(num_clusters: int, dims: int, rng: torch.Generator) -> Tensor:
    """(K, E): each centre is 2.6 to 3.2 from an earlier one and at least 2.6 from all."""
    centers = torch.zeros(1, dims)
    while len(centers) < num_clusters:
        direction = torch.randn(dims, generator=rng)
        gap = 2.6 + 0.6 * torch.rand(1, generator=rng)
        start = centers[torch.randint(len(centers), (1,), generator=rng)]
        center = start + gap * direction / direction.norm()
        if torch.cdist(center, centers).min() >= 2.6 - 1e-4:
            centers = torch.cat([centers, center])
    return centers


def touching_cloud(num_points: int, dims: int, num_clusters: int = 30, seed: int = 0) -> Cloud:
    """Shuffled clusters of unequal sizes; 4 % of the points between two centres, .2 % far from all.

    Args:
        num_points: M.
        dims: E.
        num_clusters: the largest has 20 times the points of the smallest.
        seed: another one gives another cloud.
    """
    rng = torch.Generator().manual_seed(seed)
    centers = touching_centers(num_clusters, dims, rng)
    truth = torch.multinomial(torch.logspace(0, -1.301, num_clusters), num_points, replacement=True, generator=rng)
    spread = (0.15 + 0.1 * torch.rand(num_clusters, generator=rng)) / dims**0.5  # .15 to .25 from the centre
    points = centers[truth] + spread[truth, None] * torch.randn(num_points, dims, generator=rng)
    inner = torch.ones(num_points, dtype=torch.bool)

    border = torch.randperm(num_points, generator=rng)[: num_points // 25]
    gaps = torch.cdist(centers, centers).fill_diagonal_(torch.inf)
    share = 0.5 * torch.rand(len(border), 1, generator=rng)
    points[border] += share * (centers[gaps.argmin(1)[truth[border]]] - centers[truth[border]])
    inner[border] = False

    outliers = border[: num_points // 500]
    points[outliers] += torch.randn(len(outliers), dims, generator=rng)
    truth[outliers] = nearest_center(points[outliers], centers)
    return Cloud(points, truth, inner)


def crowded_frame(size: tuple[int, int], dims: int, per_mask: int = 15, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings (E, H, W), classes (H, W) and true instances (H, W), 1..K, without a pixel of stuff.

    Eight rectangles are the thing masks 0..7, each cut into Voronoi cells. Within 4 pixels of a cell's border the
    embedding slides towards the neighbour's.
    """
    rng = torch.Generator().manual_seed(seed)
    height, width = size[0] // 2, size[1] // (NUM_MASKS // 2)
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    places = torch.stack([rows, columns], dim=-1).view(-1, 2)
    embeddings = torch.empty(dims, *size)
    sem_seg, instance_ids = torch.empty(2, *size, dtype=torch.int64)
    for mask in range(NUM_MASKS):
        centers = touching_centers(per_mask, dims, rng)
        sites = torch.rand(per_mask, 2, generator=rng) * torch.tensor([height, width])
        near, cell = torch.cdist(places, sites).topk(2, largest=False)
        share = (0.5 - (near[:, 1:] - near[:, :1]) / 8).clamp(min=0)
        points = torch.lerp(centers[cell[:, 0]], centers[cell[:, 1]], share)
        points += 0.2 / dims**0.5 * torch.randn(points.shape, generator=rng)
        y, x = mask // (NUM_MASKS // 2) * height, mask % (NUM_MASKS // 2) * width
        part = (slice(y, y + height), slice(x, x + width))
        embeddings[:, part[0], part[1]] = points.T.view(dims, height, width)
        sem_seg[part] = mask
        instance_ids[part] = (cell[:, 0] + 1 + mask * per_mask).view(height, width)
    return embeddings, sem_seg, instance_ids


def median_seconds(work: Callable[[], Tensor], runs: int) -> tuple[float, Tensor]:
    """Median wall-clock time of `runs` calls after one that does not count, and the last result on the CPU."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        found = work()
        if found.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]), found.cpu()


def agreement(labels: Tensor, cloud: Cloud) -> tuple[float, float]:
    """Adjusted Rand index with the true clusters over all points, and over those on no border."""
    whole = adjusted_rand_score(cloud.truth, labels)
    return whole, adjusted_rand_score(cloud.truth[cloud.inner], labels[cloud.inner])


def beside_scikit_learn(num_points: int, dims: int, runs: int, device: str) -> tuple[list[list[str]], bool]:
    """Rows of ours and theirs on one cloud, and whether the bounds of mean_shift_plus hold."""
    cloud = touching_cloud(num_points, dims)
    start = time.perf_counter()
    theirs = torch.from_numpy(MeanShift(bandwidth=DELTA_VAR, bin_seeding=True).fit_predict(cloud.points.numpy()))
    their_seconds, their_scores = time.perf_counter() - start, agreement(theirs, cloud)
    rows = [_row("sklearn MeanShift", their_seconds, their_seconds, theirs, their_scores)]
    holds = True
    for name in CLUSTERINGS:
        seconds, labels = median_seconds(partial(_clusterer(name, num_points), cloud.points.to(device)), runs)
        scores = agreement(labels, cloud)
        rows.append(_row(name, seconds, their_seconds, labels, scores))
        if name == "mean_shift_plus":
            near = all(ours >= peer - MAX_LOSS for ours, peer in zip(scores, their_scores))
            holds = near and their_seconds >= MIN_SPEEDUP * seconds
    return rows, holds


def _clusterer(name: str, num_points: int) -> Callable[[Tensor], Tensor]:
    return partial(Clustering(name, DELTA_VAR, DELTA_DIST), min_size=number_of(MIN_SHARE, num_points))


def _row(name: str, seconds: float, peer: float, labels: Tensor, scores: tuple[float, float]) -> list[str]:
    ratio = f"{peer / seconds:.0f}"
    return [name, f"{seconds:.4f}", ratio, str(len(labels.unique())), f"{scores[0]:.4f}", f"{scores[1]:.4f}"]


def over_points(sizes: Sequence[int], dims: int, runs: int, device: str) -> list[tuple[int, list[float]]]:
    """Points, and seconds of each clustering in the order of `CLUSTERINGS`."""
    table = []
    for num_points in sizes:
        points = touching_cloud(num_points, dims).points.to(device)
        work = [partial(_clusterer(name, num_points), points) for name in CLUSTERINGS]
        table.append((num_points, [median_seconds(w, runs)[0] for w in work]))
    return table


def whole_frame(size: tuple[int, int], dims: int, runs: int, device: str) -> tuple[list[list[str]], float]:
    """Seconds of clustering and of cleaning per clusterer, with agreement; and the clustering of the first one."""
    embeddings, sem_seg, truth = (x.to(device) for x in crowded_frame(size, dims))
    min_area = number_of(MIN_SHARE, sem_seg.numel())
    rows, first = [], 0.0
    for name in CLUSTERINGS:
        cluster = _clusterer(name, sem_seg.numel())
        work = partial(cluster_things, embeddings, sem_seg, range(NUM_MASKS), cluster, min_area)
        seconds, found = median_seconds(work, runs)
        cleaning, cleaned = median_seconds(
            partial(clean_instances, found, min_area, opening=0.004, closing=0.004), runs
        )
        score = adjusted_rand_score(truth.cpu().flatten(), found.flatten())
        rows.append([name, f"{seconds:.3f}", f"{cleaning:.3f}", str(int((cleaned.unique() > 0).sum())), f"{score:.4f}"])
        first = first or seconds
    return rows, first


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; the exit status is 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[16384, 65536, 262144, 1048576])
    parser.add_argument("--peer-points", type=int, default=16384, help="points given to scikit-learn; 0 = leave it out")
    parser.add_argument("--dims", type=int, default=16)
    parser.add_argument("--frame", type=int, nargs=2, default=FRAME, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--runs", type=int, default=5, help="timed calls of ours; the median counts")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--device", default="cpu", help="of ours")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    machine = torch.cuda.get_device_name() if args.device.startswith("cuda") else f"{args.threads} CPU threads"
    print(
        f"{machine}, E = {args.dims}, median of {args.runs}, torch {torch.__version__}, sklearn {sklearn.__version__}"
    )

    def show(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
        print("\n" + tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True), flush=True)

    bounds = []
    if args.peer_points:
        rows, holds = beside_scikit_learn(args.peer_points, args.dims, args.runs, args.device)
        show(rows, [f"{args.peer_points} points", "s", "sklearn / it", "clusters", "ARI", "ARI without borders"])
        bounds.append((f"{MIN_SPEEDUP:.0f} times faster than sklearn, ARI at most {MAX_LOSS} lower", holds))
    table = over_points(args.points, args.dims, args.runs, args.device)
    show(
        [[str(m), *(f"{s:.4f}" for s in seconds), f"{1e6 * seconds[0] / m:.2f}"] for m, seconds in table],
        ["points", *(f"{name}, s" for name in CLUSTERINGS), f"{CLUSTERINGS[0]}, us per point"],
    )
    in_time = all(seconds[0] < MAX_SECONDS for m, seconds in table if m <= 1 << 18)
    bounds.append((f"262144 points in {MAX_SECONDS} s", in_time))
    rows, seconds = whole_frame(tuple(args.frame), args.dims, args.runs, args.device)
    size = f"{args.frame[0]}x{args.frame[1]}, {NUM_MASKS} masks"
    show(rows, [size, "clustering, s", "clean_instances, s", "instances", "ARI"])
    bounds.append((f"frame in {MAX_FRAME_SECONDS} s", seconds < MAX_FRAME_SECONDS))
    show([[name, "yes" if holds else "NO"] for name, holds in bounds], ["mean_shift_plus", "holds"])
    return int(not all(holds for _, holds in bounds))


if __name__ == "__main__":
    sys.exit(main())
