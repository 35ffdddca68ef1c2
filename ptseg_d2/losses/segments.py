"""One image cut into its instances, for losses that treat instances alike, whatever their size.

Shapes: E embedding dims, K instances, M pixels of instances, M0 unlabelled pixels, P = H x W. Instance id 0 =
unlabelled, -1 = ignored, any other id is an instance; ids need not be consecutive.

On a GPU sums over pixels are atomic additions in no fixed order: losses and gradients are equal from run to run but for
their last bits. On a CPU they are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Pixels added up one after the other; more of them would lose digits in float32.
PARTIAL_SUM = 1024


@dataclass(frozen=True)
class Segments:
    """One image cut into its instances. Pixels are named by their index, because copies of them cost most here.

    Attributes:
        pixels: (E, P) float, embeddings of all pixels, ignored ones too.
        indices: (M,) int64, the pixels of all instances.
        labels: (M,) int64 in 0..K-1, the instance (column of `means`) of each of them.
        counts: (K,) float >= 1, pixels per instance.
        means: (E, K) float, mean embedding per instance.
        unlabeled: (M0,) int64, the unlabelled pixels.
        background: (E, 1) float, their mean; (E, 0) if there is none.
    """

    pixels: Tensor
    indices: Tensor
    labels: Tensor
    counts: Tensor
    means: Tensor
    unlabeled: Tensor
    background: Tensor

    @property
    def num_instances(self) -> int:
        return self.means.shape[1]

    def zero(self) -> Tensor:
        """A zero that depends on the embeddings, so that backward() works without instances."""
        return (self.means.sum() + self.background.sum()) * 0

    def sum_per_instance(self, values: Tensor) -> Tensor:
        """Sums (K,) of one value (M,) per pixel over each instance."""
        return label_sums(values[None], self.labels, self.num_instances)[0]


def cut_segments(embeddings: Tensor, instance_ids: Tensor) -> Segments:
    """Group the pixels of one image by instance.

    Args:
        embeddings: (E, H, W) float.
        instance_ids: (H, W) int64, 0 = unlabelled, -1 = ignored.
    """
    pixels, ids = embeddings.flatten(1), instance_ids.flatten()
    values, columns, counts = torch.unique(ids, return_inverse=True, return_counts=True)
    # Ignored pixels get a mean too, which nobody reads: that is cheaper than to take them out.
    means = label_sums(pixels, columns, len(values)) / counts
    known = values.tolist()
    first = sum(value <= 0 for value in known)
    indices = (ids > 0).nonzero().squeeze(1)
    return Segments(
        pixels=pixels,
        indices=indices,
        labels=columns[indices] - first,
        counts=counts[first:].to(pixels.dtype),
        means=means[:, first:],
        unlabeled=(ids == 0).nonzero().squeeze(1),
        background=means[:, first - 1 : first] if 0 in known else means[:, :0],
    )


def label_sums(values: Tensor, labels: Tensor, num_labels: int) -> Tensor:
    """Sums (C, K) of the columns of values (C, M) with the same label (M,) in 0..K-1."""
    num_parts = max(1, -(-len(labels) // PARTIAL_SUM))
    if num_parts > 1:
        labels = labels + torch.arange(len(labels), device=labels.device) // PARTIAL_SUM * num_labels
    sums = values.new_zeros(len(values), num_parts * num_labels).index_add(1, labels, values)
    return sums.view(len(values), num_parts, num_labels).sum(1)
