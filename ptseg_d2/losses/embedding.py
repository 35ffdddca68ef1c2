"""Discriminative embedding losses on sparse labels (SPOCO, Wolny et al. 2022; thesis section 7.2).

Shapes: N images, E embedding dims, K instances, M points, H x W pixels. Instance id 0 = unlabelled, -1 =
ignored, any other id is an instance; ids need not be consecutive. Distances are Euclidean, in embedding
units. Every term is computed per image. An image without instances costs nothing: all terms are a zero that
keeps the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Largest K x M distance matrix (in numbers) kept for the backward pass; larger ones are recomputed in blocks.
MAX_MATRIX = 1 << 22


@dataclass(frozen=True)
class Segments:
    """One image cut into its instances; ignored pixels are gone.

    Attributes:
        points: (E, M) float, embeddings of the pixels of all instances.
        labels: (M,) int64 in 0..K-1, the instance (column of `means`) of every point.
        counts: (K,) float >= 1, pixels per instance.
        means: (E, K) float, mean embedding per instance.
        unlabeled: (E, M0) float, embeddings of the unlabelled pixels.
    """

    points: Tensor
    labels: Tensor
    counts: Tensor
    means: Tensor
    unlabeled: Tensor

    @property
    def num_instances(self) -> int:
        return self.means.shape[1]

    def zero(self) -> Tensor:
        """A zero that depends on every pixel kept, so that backward() works without instances."""
        return self.points.sum() * 0 + self.unlabeled.sum() * 0

    def sum_per_instance(self, values: Tensor) -> Tensor:
        """Sums (K,) of one value (M,) per point over each instance."""
        return values.new_zeros(self.num_instances).index_add(0, self.labels, values)


def cut_segments(embeddings: Tensor, instance_ids: Tensor) -> Segments:
    """Group the pixels of one image by instance.

    Args:
        embeddings: (E, H, W) float.
        instance_ids: (H, W) int64, 0 = unlabelled, -1 = ignored.
    """
    flat, ids = embeddings.flatten(1), instance_ids.flatten()
    is_instance = ids > 0
    points = flat[:, is_instance]
    instances, labels, counts = torch.unique(ids[is_instance], return_inverse=True, return_counts=True)
    counts = counts.to(points.dtype)
    means = points.new_zeros(points.shape[0], len(instances)).index_add(1, labels, points) / counts
    return Segments(points, labels, counts, means, unlabeled=flat[:, ids == 0])


def pull_loss(image: Segments, margin: float | Tensor) -> Tensor:
    """Mean over instances of the mean squared hinge [|e_i - mu_k| - margin]_+^2 of their pixels.

    Args:
        image: instances of one image.
        margin: radius without penalty (delta_var).
    """
    if image.num_instances == 0:
        return image.zero()
    distances = _safe_sqrt(_own_squared_distances(image))
    hinge = (distances - margin).clamp(min=0).square()
    return (image.sum_per_instance(hinge) / image.counts).mean()


def push_loss(image: Segments, margin: float | Tensor) -> Tensor:
    """Mean over ordered pairs of instances of [2 margin - |mu_k - mu_l|]_+^2; 0 for a single instance.

    Args:
        image: instances of one image.
        margin: radius each mean keeps free of other means (delta_dist).
    """
    if image.num_instances < 2:
        return image.zero()
    k, other = torch.triu_indices(image.num_instances, image.num_instances, 1, device=image.means.device)
    distances = _safe_sqrt((image.means[:, k] - image.means[:, other]).square().sum(0))
    return (2 * margin - distances).clamp(min=0).square().mean()


def reg_loss(image: Segments) -> Tensor:
    """Mean norm of all means; as in SPOCO's code, that of the unlabelled pixels (label 0) is one of them."""
    if image.num_instances == 0:
        return image.zero()
    means = image.means
    if image.unlabeled.shape[1] > 0:
        means = torch.cat([means, image.unlabeled.mean(1, keepdim=True)], dim=1)
    return _safe_sqrt(means.square().sum(0)).mean()


def object_loss(image: Segments, two_sigma2: float) -> Tensor:
    """Mean over instances of 1 - Dice(S_k, 1[label = k]) over all pixels that are not ignored.

    S_k = exp(-|e_i - mu_k|^2 / two_sigma2) is a soft mask around the mean. Dice has the V-Net form
    2 sum(p q) / (sum p^2 + sum q^2); the denominator is at least the instance's area, so it needs no epsilon.
    Public SPOCO pools all instances into one Dice, which large objects dominate; this is the paper's mean.

    Args:
        image: instances of one image.
        two_sigma2: width of the kernel, see `kernel_width`.
    """
    if image.num_instances == 0:
        return image.zero()
    overlap = image.sum_per_instance(torch.exp(-_own_squared_distances(image) / two_sigma2))

    def squared_kernel(squared_distances: Tensor) -> Tensor:
        return torch.exp(squared_distances * (-2 / two_sigma2))

    mass = _sum_over_points(squared_kernel, image.means, image.points)
    mass = mass + _sum_over_points(squared_kernel, image.means, image.unlabeled)
    return (1 - 2 * overlap / (mass + image.counts)).mean()


def unlabeled_push_loss(image: Segments, margin: float | Tensor) -> Tensor:
    """Mean over instances and unlabelled pixels of [margin - |e_i - mu_k|]_+^2.

    Args:
        image: instances of one image.
        margin: distance from each mean that unlabelled pixels keep (delta_dist, not doubled).
    """
    num_unlabeled = image.unlabeled.shape[1]
    if image.num_instances == 0 or num_unlabeled == 0:
        return image.zero()

    def hinge(squared_distances: Tensor) -> Tensor:
        return (margin - _safe_sqrt(squared_distances)).clamp(min=0).square()

    return _sum_over_points(hinge, image.means, image.unlabeled).mean() / num_unlabeled


def kernel_width(delta_var: float, threshold: float) -> float:
    """two_sigma2 of the kernel S(d) = exp(-d^2 / two_sigma2) with S(delta_var) = threshold.

    Args:
        delta_var: radius of an instance, > 0.
        threshold: value at that radius, in (0, 1).
    """
    return delta_var**2 / -math.log(threshold)


class EmbeddingLoss(nn.Module):
    """All five terms, weighted, averaged over the batch.

    The buffer `margin_offset` (a scalar, 0 at first; the epsilon of thesis section 9.2) is added to delta_var
    and delta_dist where they are radii of a hinge; the kernel keeps its width. It survives a resume.
    """

    margin_offset: Tensor

    def __init__(
        self,
        delta_var: float = 0.5,
        delta_dist: float = 1.5,
        pull: float = 1.0,
        push: float = 1.0,
        reg: float = 0.001,
        object: float = 1.0,
        unlabeled_push: float = 1.0,
        kernel_threshold: float = 0.5,
    ) -> None:
        """Set the radii and the weights.

        Args:
            delta_var: pull radius around a mean, in embedding units.
            delta_dist: push radius around a mean, in embedding units.
            pull, push, reg, object, unlabeled_push: weights of the terms, >= 0.
            kernel_threshold: value of the soft mask at distance delta_var, in (0, 1).
        """
        super().__init__()
        self.delta_var, self.delta_dist, self.kernel_threshold = delta_var, delta_dist, kernel_threshold
        self.pull, self.push, self.reg = pull, push, reg
        self.object, self.unlabeled_push = object, unlabeled_push
        self.register_buffer("margin_offset", torch.zeros(()))

    def forward(self, embeddings: Tensor, instance_ids: Tensor) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            embeddings: (N, E, H, W) float; computed in float32 at least, also under autocast.
            instance_ids: (N, H, W) int64, 0 = unlabelled, -1 = ignored.

        Returns:
            Scalars loss_pull, loss_push, loss_reg, loss_object, loss_unlabeled_push, already weighted.
        """
        if embeddings.dtype in (torch.float16, torch.bfloat16):
            embeddings = embeddings.float()
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            images = [cut_segments(*pair) for pair in zip(embeddings, instance_ids)]
            per_image = [self._image_losses(image) for image in images]
        return {name: torch.stack([loss[name] for loss in per_image]).mean() for name in per_image[0]}

    def _image_losses(self, image: Segments) -> dict[str, Tensor]:
        pull_margin = self.delta_var + self.margin_offset
        push_margin = self.delta_dist + self.margin_offset
        two_sigma2 = kernel_width(self.delta_var, self.kernel_threshold)
        return {
            "loss_pull": self.pull * pull_loss(image, pull_margin),
            "loss_push": self.push * push_loss(image, push_margin),
            "loss_reg": self.reg * reg_loss(image),
            "loss_object": self.object * object_loss(image, two_sigma2),
            "loss_unlabeled_push": self.unlabeled_push * unlabeled_push_loss(image, push_margin),
        }


def _own_squared_distances(image: Segments) -> Tensor:
    """Squared distances (M,) of the points to the mean of their own instance."""
    return (image.points - image.means.index_select(1, image.labels)).square().sum(0)


def _squared_distances(means: Tensor, points: Tensor) -> Tensor:
    """Squared distances (K, M) of means (E, K) to points (E, M) by one matrix product.

    |e|^2 - 2 e.mu + |mu|^2 loses digits where both are far from the origin, so the origin is moved into the
    means; what remains below 0 is rounding.
    """
    origin = means.detach().mean(1, keepdim=True)
    means, points = means - origin, points - origin
    ones_like_mean, ones_like_point = torch.ones_like(means[:1]), torch.ones_like(points[:1])
    left = torch.cat([-2 * means, ones_like_mean, means.square().sum(0, keepdim=True)])
    right = torch.cat([points, points.square().sum(0, keepdim=True), ones_like_point])
    return left.t() @ right


def _safe_sqrt(values: Tensor) -> Tensor:
    """Square root whose gradient is 0 (instead of infinite or NaN) at 0 and below; 1e-19 or less there."""
    return values.clamp(min=torch.finfo(values.dtype).tiny).sqrt()


def _sum_over_points(function: Callable[[Tensor], Tensor], means: Tensor, points: Tensor) -> Tensor:
    """Sums (K,) over points (E, M) of `function` of the squared distances (K, M) to the means (E, K).

    A matrix above MAX_MATRIX is cut along M, and each block is computed again in the backward pass.
    """

    def block_sum(means: Tensor, block: Tensor) -> Tensor:
        return function(_squared_distances(means, block)).sum(1)

    block_length = max(1, MAX_MATRIX // means.shape[1])
    if points.shape[1] <= block_length:
        return block_sum(means, points)
    blocks = points.split(block_length, dim=1)
    return torch.stack([checkpoint(block_sum, means, b, use_reentrant=False) for b in blocks]).sum(0)
