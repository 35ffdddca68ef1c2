"""The one place that turns INSTANCE.CLUSTERING into a clustering, for pseudo labels and for predictions alike.

Shapes: M points, E embedding dims.
"""

from __future__ import annotations

from dataclasses import dataclass

from ptseg_d2.inference.clustering import agglomerative, mean_shift_plus, sampled_mean_shift

from torch import Tensor

CLUSTERINGS = ("mean_shift_plus", "mean_shift", "agglomerative")
"""The clusterings of thesis section 9.2, the default first."""


@dataclass(frozen=True)
class Clustering:
    """A clustering with its options; `partial(clustering, min_size=...)` is what `cluster_things` takes.

    Attributes:
        name: one of `CLUSTERINGS`: "mean_shift_plus" merges modes nearer than delta_dist and tells peaks from ridges;
            "mean_shift" is the plain one at a bandwidth; "agglomerative" is average linkage at delta_dist.
            The thesis' merging of clusters by their mean embeddings is done by the first alone, on the modes.
        delta_var: radius of a tight cluster, embedding units.
        delta_dist: clusters nearer than this are one; plain mean-shift does not use it.
        num_samples: points of a mask on which clusters are searched; the others join the nearest one.
        num_seeds: of mean_shift_plus alone; plain mean-shift starts at every sample.
        seed: of the sub-sample.
        bandwidth: radius of plain mean-shift's kernel, embedding units; 0 = delta_var. Paper 2 uses delta_dist.
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
