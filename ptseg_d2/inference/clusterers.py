"""The one place that turns INSTANCE.CLUSTERING into a clustering, for pseudo labels and for predictions alike.

Shapes: M points, E embedding dims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ptseg_d2.inference.clustering import agglomerative, mean_shift_plus, sampled_mean_shift

import torch
from torch import Tensor

CLUSTERINGS = ("mean_shift_plus", "mean_shift", "agglomerative")
"""The clusterings of [thesis], section 9.2, the default first."""


@dataclass(frozen=True)
class Clustering:
    """A clustering with its options; `partial(clustering, min_size=...)` is what `cluster_things` takes.

    Attributes:
        name: one of `CLUSTERINGS`: "mean_shift_plus" merges modes nearer than delta_dist and tells peaks from ridges;
            "mean_shift" is the plain one at a bandwidth; "agglomerative" is average linkage at delta_dist.
            The merging of near clusters ([thesis], section 8) is done by the first alone, on the modes.
        delta_var: radius of a tight cluster, embedding units.
        delta_dist: clusters nearer than this are one; plain mean-shift does not use it.
        num_samples: points of a mask on which clusters are searched; the others join the nearest one.
        num_seeds: of mean_shift_plus alone; plain mean-shift starts at every sample.
        seed: of the sub-sample.
        bandwidth: radius of plain mean-shift's kernel, embedding units; 0 = delta_var. [PanopticUNet] uses delta_dist.
    """

    name: str
    delta_var: float
    delta_dist: float
    num_samples: int = 2048
    num_seeds: int = 128
    seed: int = 0
    bandwidth: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown name or a negative bandwidth."""
        if self.name not in CLUSTERINGS:
            choices = ", ".join(map(repr, CLUSTERINGS))
            raise ValueError(f"INSTANCE.CLUSTERING = {self.name!r}; expected one of {choices}")
        if self.bandwidth < 0:
            raise ValueError(f"INSTANCE.CLUSTER_BANDWIDTH = {self.bandwidth}; expected 0 (DELTA_VAR) or more")

    @property
    def radius(self) -> float:
        """Half way between delta_var and delta_dist: a ball around a centre that holds its cluster and no other."""
        return (self.delta_var + self.delta_dist) / 2

    def __call__(self, points: Tensor, min_size: int = 1) -> Tensor:
        """(M, E) points -> (M,) int64 labels.

        Args:
            points: one row per pixel of a mask, in any order.
            min_size: clusters with fewer points are dissolved into the nearest left.

        Returns:
            0 = the largest cluster; -1 = not finite; all -1 when fewer than min_size points are finite.
        """
        if self.name == "mean_shift_plus":
            return mean_shift_plus(
                points, self.delta_var, self.delta_dist, min_size, self.num_samples, self.num_seeds, seed=self.seed
            )
        if self.name == "mean_shift":
            return sampled_mean_shift(
                points, self.bandwidth or self.delta_var, min_size, self.num_samples, seed=self.seed
            )
        return agglomerative(points, self.delta_dist, self.num_samples, self.seed, min_size)


@torch.no_grad()
def cluster_things(
    embeddings: Tensor,
    sem_seg: Tensor,
    thing_ids: Iterable[int],
    cluster: Callable[[Tensor], Tensor],
    min_area: int,
) -> Tensor:
    """Cluster each thing class inside its own mask ([thesis], Algorithm 2, lines 4-11).

    Args:
        embeddings: (E, H, W) float.
        sem_seg: (H, W) int64 classes.
        thing_ids: classes to cluster; instances are numbered in ascending class order.
        cluster: (M, E) points -> (M,) int64 labels 0..K-1, -1 = none.
        min_area: class masks with fewer pixels are skipped.

    Returns:
        (H, W) int64: 0 or 1..K, each instance inside one class.

    Raises:
        ValueError: embeddings and classes of different sizes.
    """
    if embeddings.shape[-2:] != sem_seg.shape:
        raise ValueError(f"embeddings {tuple(embeddings.shape)} and classes {tuple(sem_seg.shape)} differ in size")
    features, classes = embeddings.flatten(1), sem_seg.flatten()
    instance_ids = torch.zeros_like(classes, dtype=torch.int64)
    num_instances = 0
    for thing in sorted(thing_ids):
        pixels = torch.nonzero(classes == thing)[:, 0]
        if len(pixels) < max(1, min_area):
            continue
        labels = cluster(features[:, pixels].T.contiguous())
        instance_ids[pixels] = torch.where(labels >= 0, labels + 1 + num_instances, 0)
        num_instances += int(labels.max()) + 1
    return instance_ids.view(sem_seg.shape)
