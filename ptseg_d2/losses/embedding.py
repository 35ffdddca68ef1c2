"""Discriminative embedding losses on sparse labels ([SPOCO]; [thesis], section 7.2).

Shapes: N images, E embedding dims, K instances, M points, H x W pixels. Instance id 0 = unlabelled, -1 =
ignored, any other id is an instance; ids need not be consecutive. Distances are Euclidean, in embedding
units. Every term is computed per image. An image without instances costs nothing: all terms are a zero that
keeps the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ptseg_d2.losses.pair_sums import PairSums, pair_sums
from ptseg_d2.losses.segments import Segments, cut_segments

import torch
from torch import Tensor, nn


def pull_loss(image: Segments, margin: float | Tensor, sums: PairSums | None = None) -> Tensor:
    """Mean over instances of the mean squared hinge [|e_i - mu_k| - margin]_+^2 of their pixels.

    Args:
        image: instances of one image.
        margin: radius without penalty (delta_var).
        sums: if they are known already, as in the two other terms on pixels.
    """
    if image.num_instances == 0:
        return image.zero()
    distances = _safe_sqrt((sums or pair_sums(image)).own)
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
    """Mean norm of all means; that of the unlabelled pixels (label 0) is one of them ([SPOCO], "regulariser")."""
    if image.num_instances == 0:
        return image.zero()
    means = torch.cat([image.means, image.background], dim=1)
    return _safe_sqrt(means.square().sum(0)).mean()


def object_loss(image: Segments, two_sigma2: float, sums: PairSums | None = None) -> Tensor:
    """Mean over instances of 1 - Dice(S_k, 1[label = k]) over all pixels that are not ignored.

    S_k = exp(-|e_i - mu_k|^2 / two_sigma2) is a soft mask around the mean. Dice has the form of [VNet],
    2 sum(p q) / (sum p^2 + sum q^2); the denominator is at least the instance's area, so it needs no epsilon.
    The mean over instances is the paper's ([SPOCO], "Dice per instance").

    Args:
        image: instances of one image.
        two_sigma2: width of the kernel, see `kernel_width`.
        sums: if they are known already, for the same width.
    """
    if image.num_instances == 0:
        return image.zero()
    sums = sums or pair_sums(image, two_sigma2)
    overlap = image.sum_per_instance(torch.exp(-sums.own / two_sigma2))
    return (1 - 2 * overlap / (sums.kernel + image.counts)).mean()


def unlabeled_push_loss(image: Segments, margin: float | Tensor, sums: PairSums | None = None) -> Tensor:
    """Mean over instances and unlabelled pixels of [margin - |e_i - mu_k|]_+^2.

    Args:
        image: instances of one image.
        margin: distance from each mean that unlabelled pixels keep (delta_dist, not doubled).
        sums: if they are known already, for the same margin.
    """
    if image.num_instances == 0 or len(image.unlabeled) == 0:
        return image.zero()
    return (sums or pair_sums(image, margin=margin)).hinge.mean() / len(image.unlabeled)


def kernel_width(delta_var: float, threshold: float) -> float:
    """two_sigma2 of the kernel S(d) = exp(-d^2 / two_sigma2) with S(delta_var) = threshold.

    Args:
        delta_var: radius of an instance, > 0.
        threshold: value at that radius, in (0, 1).
    """
    return delta_var**2 / -math.log(threshold)


class EmbeddingLoss(nn.Module):
    """All five terms, weighted, averaged over the batch.

    The buffer `margin_offset` (a scalar, 0 at first; the epsilon of [thesis], section 9.2) is added to delta_var
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
        # A term that does not count is not computed, and the others share one pass over the pixels.
        sums = None
        if image.num_instances and (self.pull or self.object or self.unlabeled_push):
            sums = pair_sums(image, two_sigma2 if self.object else None, push_margin if self.unlabeled_push else None)
        terms: dict[str, tuple[float, Callable[[], Tensor]]] = {
            "loss_pull": (self.pull, lambda: pull_loss(image, pull_margin, sums)),
            "loss_push": (self.push, lambda: push_loss(image, push_margin)),
            "loss_reg": (self.reg, lambda: reg_loss(image)),
            "loss_object": (self.object, lambda: object_loss(image, two_sigma2, sums)),
            "loss_unlabeled_push": (self.unlabeled_push, lambda: unlabeled_push_loss(image, push_margin, sums)),
        }
        # A term that is off needs no graph, unless all of them are: then backward() must still work.
        is_off = not any(weight for weight, _ in terms.values())
        none = image.zero() if is_off else image.means.new_zeros(())
        return {name: weight * term() if weight else none for name, (weight, term) in terms.items()}


def _safe_sqrt(values: Tensor) -> Tensor:
    """Square root whose gradient is 0 (instead of infinite or NaN) at 0 and below; 1e-19 or less there."""
    return values.clamp(min=torch.finfo(values.dtype).tiny).sqrt()
