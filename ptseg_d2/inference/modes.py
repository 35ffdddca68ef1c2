"""Density modes of a point cloud: sub-sample, seed, shift, and keep those that are peaks of their own.

Shapes: M points, n <= M samples, S seeds, K modes, E dimensions. The kernel is flat: the density at a place is the
number of samples within a radius, its *support*. Nothing here depends on the order of the points beyond rounding.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1 << 21
"""Entries of a distance matrix that are alive at once: 8 MB in float32, which stays in the cache."""

_STRONGER_NEIGHBOURS = 6
"""A ridge leads to one of the nearest stronger modes; 3 and 12 gave nearly the same modes on simulated scenes."""


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(A, E), (B, E) -> (A, B), by one matrix product; exact to rounding of the squared norms."""
    return torch.addmm((a * a).sum(1, keepdim=True) + (b * b).sum(1), a, b.T, alpha=-2)


def blocks(rows: Tensor, columns: int) -> tuple[Tensor, ...]:
    """Split rows so that each block's distances to `columns` points fit the cache."""
    return rows.split(max(1, _BLOCK // max(1, columns)))


def subsample(points: Tensor, num_samples: int, seed: int) -> Tensor:
    """Every (M / num_samples)-th point in the order along one random direction: even in density, any input order.

    Args:
        points: (M, E).
        num_samples: n, at least 1.
        seed: of the direction.

    Returns:
        (min(M, n), E), sorted along the direction.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(points.shape[1], generator=generator, dtype=torch.float64).to(points.device)
    # float64: among 100,000 points float32 has ties, which would fall as the points are ordered.
    order = (points.double() @ direction).argsort(stable=True)
    if len(points) > num_samples:
        steps = torch.arange(num_samples, device=points.device, dtype=torch.float64) + 0.5
        order = order[(steps * (len(points) / num_samples)).long()]
    return points[order]


def farthest_points(samples: Tensor, num_seeds: int, radius: float) -> Tensor:
    """Seeds that cover the samples: each next one is the sample farthest from the seeds so far.

    Small far clusters are reached as soon as large near ones, which random seeds would miss.

    Args:
        samples: (n, E), n at least 1.
        num_seeds: upper limit.
        radius: stop when every sample has a seed within it.

    Returns:
        (S, E), 1 <= S <= num_seeds.
    """
    # A few microseconds of NumPy per seed: on a GPU each seed would wait for the device, and torch's threads
    # would wait for each other.
    points = samples.cpu().numpy()
    squared_norms = np.einsum("ne,ne->n", points, points)
    nearest = np.full(len(points), np.inf, dtype=points.dtype)
    chosen = [0]
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged network
        while len(chosen) < num_seeds:
            last = chosen[-1]
            distances = squared_norms + squared_norms[last] - 2 * np.einsum("ne,e->n", points, points[last])
            np.minimum(nearest, distances, out=nearest)
            farthest = int(nearest.argmax())
            if nearest[farthest] <= radius**2:
                break
            chosen.append(farthest)
    return samples[chosen]


def shift(seeds: Tensor, samples: Tensor, radius: float, max_iterations: int) -> tuple[Tensor, Tensor]:
    """Move each seed to the mean of the samples around it until it rests ([thesis], Eq. 9.2, flat kernel).

    Args:
        seeds: (S, E).
        samples: (n, E).
        radius: of the kernel.
        max_iterations: moves after the first one; stops earlier when no seed moves more than radius / 1000.

    Returns:
        modes (S, E) and their support (S,) int64, the number of samples of the last mean; 0 = none was near, and the
        seed stays where it is.
    """
    # Beside their coordinates places hold a 1 and samples -|x|^2: one product compares all distances with the radius,
    # a second one sums and counts. There are hundreds of moves of few seeds, whose cost is the number of operations.
    ones = samples.new_ones(len(samples), 1)
    tested = torch.cat([2 * samples, -(samples * samples).sum(1, keepdim=True)], 1).T
    summed = torch.cat([samples, ones], 1)
    places = torch.cat([seeds, seeds.new_ones(len(seeds), 1)], 1)
    support = seeds.new_zeros(len(seeds), 1)
    active = torch.arange(len(seeds), device=seeds.device)
    moving = places
    for _ in range(max_iterations + 1):
        if len(active) == 0:
            break
        sums = torch.cat([_ball_sums(block, tested, summed, radius) for block in blocks(moving, len(samples))])
        counts = sums[:, -1:]
        means = torch.where(counts > 0, sums / counts, moving)
        going_on = (means - moving).square_().sum(1) > (1e-3 * radius) ** 2
        places[active], support[active] = means, counts
        active, moving = active[going_on], means[going_on]
    return places[:, :-1], support[:, 0].long()


def _ball_sums(places: Tensor, tested: Tensor, summed: Tensor, radius: float) -> Tensor:
    """(A, E + 1) sums, the last one the number, of the samples within the radius of (A, E + 1) places.

    |p - x|^2 <= r^2 where 2 p x - |x|^2 >= |p|^2 - r^2.
    """
    bounds = (places * places).sum(1, keepdim=True) - (1 + radius**2)
    return (places @ tested).ge_(bounds) @ summed


def strongest_apart(modes: Tensor, support: Tensor, distance: float) -> Tensor:
    """Greedy choice in descending support: a mode within the distance of a chosen one belongs to that one.

    Args:
        modes: (S, E), many of them (nearly) equal.
        support: (S,) int64; modes without support are left out. Ties go by coordinates, larger first.
        distance: a mode at exactly this distance is still absorbed.

    Returns:
        (K,) int64 indices of the chosen modes, strongest first.
    """
    coordinates = modes.double().cpu().numpy()
    counts = support.cpu().numpy()
    order = np.lexsort((*coordinates.T[::-1], counts))[::-1]
    free = counts > 0
    chosen = []
    for index in order:
        if free[index]:
            chosen.append(int(index))
            free &= ((coordinates - coordinates[index]) ** 2).sum(1) > distance**2
    return torch.tensor(chosen, dtype=torch.int64, device=modes.device)


def on_ridge(modes: Tensor, support: Tensor, samples: Tensor, radius: float, reach: float, ratio: float) -> Tensor:
    """Modes that are no peak: half way to a stronger mode the density is not clearly lower than at the mode itself.

    Pixels on the border of two touching objects lie on the line between their centres and make such modes.

    Args:
        modes: (K, E), strongest first.
        support: (K,) samples within the radius of each mode.
        samples: (n, E).
        radius: of the ball in which density is counted.
        reach: farthest stronger mode to look at.
        ratio: a peak's midpoints hold fewer than this share of its own support, in [0, 1].

    Returns:
        (K,) bool; never true for the strongest.
    """
    num_modes = len(modes)
    distances = squared_distances(modes, modes).masked_fill(
        torch.ones(num_modes, num_modes, dtype=torch.bool, device=modes.device).triu(), torch.inf
    )
    nearest, stronger = distances.topk(min(_STRONGER_NEIGHBOURS, num_modes), dim=1, largest=False)
    weak, column = torch.nonzero(nearest <= reach**2, as_tuple=True)
    middle = (modes[weak] + modes[stronger[weak, column]]) / 2
    density = torch.cat([(squared_distances(b, samples) <= radius**2).sum(1) for b in blocks(middle, len(samples))])
    ridge = torch.zeros(num_modes, dtype=torch.bool, device=modes.device)
    ridge[weak[density >= ratio * support[weak]]] = True
    return ridge
