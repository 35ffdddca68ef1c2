#!/usr/bin/env python3
"""Our `EmbeddingLoss` beside its dense one-hot form: time, extra memory, equal values and gradients.

The dense form is what one writes first, and what the public code of [SPOCO] does: a mask per instance, the means
repeated for every pixel, a K x E x H x W tensor of differences per term, and autograd. Both forms run forward and
backward in turns on the same image; memory is measured in one fresh process per form.

    python benchmarks/bench_embedding_loss.py
    python benchmarks/bench_embedding_loss.py --size 256 512 --instances 20 --runs 5 --device cuda
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ptseg_d2.losses.embedding import EmbeddingLoss

import torch
from torch import Tensor

DELTA_VAR, DELTA_DIST, REG_WEIGHT, KERNEL_THRESHOLD = 0.5, 1.5, 0.001, 0.5
VALUE_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-5

Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]


class Problem(NamedTuple):
    """What is measured: H, W, embedding dims, instances, "cpu" or "cuda"."""

    height: int
    width: int
    dims: int
    instances: int
    device: str


def dense_losses(embeddings: Tensor, instance_ids: Tensor) -> dict[str, Tensor]:
    """All terms of one image by their definitions, on tensors of K x E x H x W.

    Args:
        embeddings: (E, H, W) float.
        instance_ids: (H, W) int64: 1..K all present, 0 = unlabelled, -1 = ignored.
    """
    ids = torch.arange(1, int(instance_ids.max()) + 1, device=embeddings.device)
    masks = (instance_ids == ids[:, None, None]).to(embeddings.dtype)  # (K, H, W)
    unlabeled = (instance_ids == 0).to(embeddings.dtype)
    valid = (instance_ids >= 0).to(embeddings.dtype)
    counts, num_unlabeled = masks.sum((1, 2)), unlabeled.sum()
    means = (masks[:, None] * embeddings).sum((2, 3)) / counts[:, None]  # (K, E)
    background = (unlabeled * embeddings).sum((1, 2)) / num_unlabeled

    def distances() -> Tensor:
        repeated = means[:, :, None, None].expand(-1, -1, *instance_ids.shape)
        return torch.linalg.vector_norm(embeddings - repeated, dim=1)  # (K, H, W)

    hinge = (distances() - DELTA_VAR).clamp(min=0).square() * masks
    pull = (hinge.sum((1, 2)) / counts).mean()

    pairs = torch.linalg.vector_norm(means[:, None] - means[None] + 1e-12, dim=2)
    others = 1 - torch.eye(len(means), device=means.device)
    push = ((2 * DELTA_DIST - pairs).clamp(min=0).square() * others).sum() / (len(means) * (len(means) - 1))

    reg = torch.linalg.vector_norm(torch.cat([means, background[None]]), dim=1).mean()

    soft = torch.exp(-distances().square() * (-math.log(KERNEL_THRESHOLD) / DELTA_VAR**2)) * valid
    dice = 2 * (soft * masks).sum((1, 2)) / (soft.square() + masks.square()).sum((1, 2))

    hinge = (DELTA_DIST - distances()).clamp(min=0).square() * unlabeled
    unlabeled_push = (hinge.sum((1, 2)) / num_unlabeled).mean()
    return {
        "loss_pull": pull,
        "loss_push": push,
        "loss_reg": REG_WEIGHT * reg,
        "loss_object": (1 - dice).mean(),
        "loss_unlabeled_push": unlabeled_push,
    }


def our_losses(embeddings: Tensor, instance_ids: Tensor) -> dict[str, Tensor]:
    """`EmbeddingLoss` on a batch of one image."""
    criterion = EmbeddingLoss(DELTA_VAR, DELTA_DIST, reg=REG_WEIGHT, kernel_threshold=KERNEL_THRESHOLD)
    return criterion.to(embeddings.device)(embeddings[None], instance_ids[None])


FORMS: dict[str, Loss] = {"dense": dense_losses, "ours": our_losses}


def scene(problem: Problem, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An image in training: blobs as instances, embeddings = centre of the instance + noise.

    Returns:
        (E, H, W) float32 embeddings; (H, W) int64 ids: half of the image is instances, a tenth ignored.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width, num = problem.height, problem.width, problem.instances
    y = torch.arange(height)[:, None].expand(-1, width).float()
    x = torch.arange(width).expand(height, -1).float()
    places = torch.rand(num, 2, generator=generator) * torch.tensor([height, width])
    nearest, distance = torch.zeros(height, width, dtype=torch.int64), torch.full((height, width), math.inf)
    for k, (row, column) in enumerate(places.tolist()):  # one by one: no K x H x W tensor here
        squared = (y - row).square() + (x - column).square()
        nearest = torch.where(squared < distance, k, nearest)
        distance = torch.minimum(distance, squared)
    ids = nearest + 1
    limits = distance.flatten()[:: max(1, distance.numel() // 10000)].quantile(torch.tensor([0.5, 0.6]))
    ids[distance > limits[0]] = 0
    ids[(distance > limits[0]) & (distance <= limits[1])] = -1  # borders between object and background
    for k, (row, column) in enumerate(places.tolist()):
        ids[int(row), int(column)] = k + 1
    centers = 1.5 * torch.randn(num + 2, problem.dims, generator=generator)
    embeddings = centers[ids].permute(2, 0, 1) + 0.2 * torch.randn(problem.dims, height, width, generator=generator)
    return embeddings.contiguous().to(problem.device), ids.to(problem.device)


def run(form: str, embeddings: Tensor, instance_ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Forward and backward: the terms, and the gradient of their sum."""
    leaf = embeddings.detach().requires_grad_()
    losses = FORMS[form](leaf, instance_ids)
    torch.stack(list(losses.values())).sum().backward()
    assert leaf.grad is not None
    if leaf.is_cuda:
        torch.cuda.synchronize()
    return {name: loss.detach() for name, loss in losses.items()}, leaf.grad


def differences(problem: Problem) -> tuple[float, float]:
    """Largest difference of a term, relative to it, and of the gradient, relative to its largest entry."""
    image = scene(problem)
    expected, expected_grad = run("dense", *image)
    found, grad = run("ours", *image)
    value = max(float((found[name] - expected[name]).abs() / expected[name].abs()) for name in expected)
    return value, float((grad - expected_grad).abs().max() / expected_grad.abs().max())


def milliseconds(problem: Problem, runs: dict[str, int]) -> dict[str, float]:
    """Median time of each form, in turns, after one call of each that does not count.

    Args:
        problem: what is measured.
        runs: timed calls per form.
    """
    image = scene(problem)
    seconds: dict[str, list[float]] = {form: [] for form in runs}
    for turn in range(max(runs.values()) + 1):
        for form, count in runs.items():
            if turn <= count:
                start = time.perf_counter()
                run(form, *image)
                seconds[form].append(time.perf_counter() - start)
    return {form: 1e3 * statistics.median(values[1:]) for form, values in seconds.items()}


def extra_megabytes(problem: Problem, form: str, threads: int) -> float:
    """Peak memory of forward and backward above what the inputs take, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_memory, (problem, form, threads))


def _measure_memory(problem: Problem, form: str, threads: int) -> float:
    torch.set_num_threads(threads)
    run(form, *scene(problem._replace(height=8, width=16, instances=2)))  # loads what is loaded on first use
    image = scene(problem)
    if problem.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        allocated = torch.cuda.memory_allocated()
        run(form, *image)
        return (torch.cuda.max_memory_allocated() - allocated) / 2**20
    _forget_peak()
    before = _peak_megabytes()
    run(form, *image)
    return _peak_megabytes() - before


def _forget_peak() -> None:
    """Let the peak of this process' memory begin anew; where the system cannot, it includes the scene's making."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _peak_megabytes() -> float:
    if sys.platform == "linux":  # ru_maxrss there never falls, and begins with the peak of the parent process
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def scaling(problem: Problem, runs: int) -> list[tuple[str, float]]:
    """Median milliseconds of our form for 1, 2, 4 times the pixels, then 10 to 80 instances."""
    height, width = problem.height // 2, problem.width // 2
    sizes = [(height, width), (height, 2 * width), (2 * height, 2 * width)]
    problems = {f"{h}x{w}, {problem.instances}": problem._replace(height=h, width=w) for h, w in sizes}
    for count in (10, 20, 40, 80):
        problems[f"{problem.height}x{problem.width}, {count}"] = problem._replace(instances=count)
    return [(name, milliseconds(item, {"ours": runs})["ours"]) for name, item in problems.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; the exit status is 1 if the results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--dims", type=int, default=16, help="embedding dims E")
    parser.add_argument("--instances", type=int, default=40, help="K")
    parser.add_argument("--runs", type=int, default=9, help="timed calls of our form; the dense one runs 3 times")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    problem = Problem(args.size[0], args.size[1], args.dims, args.instances, args.device)
    value, gradient = differences(problem)
    times = milliseconds(problem, {"dense": min(3, args.runs), "ours": args.runs})
    memory = {form: extra_megabytes(problem, form, args.threads) for form in FORMS}
    hardware = torch.cuda.get_device_name() if args.device == "cuda" else f"{args.threads} threads"
    print(
        f"{args.size[0]}x{args.size[1]}, E = {args.dims}, {args.instances} instances, float32, forward + backward, "
        f"{hardware}, medians, torch {torch.__version__}\n"
        "| | dense | ours | ratio |\n|---|---|---|---|\n"
        f"| time, ms | {times['dense']:.1f} | {times['ours']:.1f} | {times['dense'] / times['ours']:.1f} |\n"
        f"| extra memory, MB | {memory['dense']:.0f} | {memory['ours']:.0f} "
        f"| {memory['dense'] / max(1, memory['ours']):.1f} |\n\n"
        f"Largest relative difference: values {value:.1e}, gradients {gradient:.1e}\n\n"
        "| size, instances | ours, ms |\n|---|---|"
    )
    for name, median in scaling(problem, args.runs):
        print(f"| {name} | {median:.1f} |")
    return int(not (value < VALUE_TOLERANCE and gradient < GRADIENT_TOLERANCE))


if __name__ == "__main__":
    sys.exit(main())
