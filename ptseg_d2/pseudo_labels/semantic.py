"""Semantic pseudo labels from several views of one target image (SAC, Araslanov & Roth 2021).

Shapes: V views of one canvas, C classes, H x W pixels (any resolution, the network's own included); class
255 = ignore.
Nothing here has a gradient.
"""

from __future__ import annotations

from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.views import warp_to_canvas, warp_to_view

import torch
from torch import Tensor

# Initial value of the class prior, which means "class not seen yet".
UNSEEN_PRIOR = 1e-3

# Total probability below which a canvas pixel is seen by no view.
MIN_MASS = 0.1


@torch.no_grad()
def fuse_views(probabilities: Tensor, thetas: Tensor, valid: Tensor | None = None) -> Tensor:
    """Average the predictions of all views on their canvas and show the average to every view again.

    Each canvas pixel gets the mean over the views that see it; a pixel that no view sees (or that is padding
    in all of them) gets 0 for every class.

    Args:
        probabilities: (V, C, H, W) float, softmax output for each view.
        thetas: (V, 2, 3) view-to-canvas maps, see `ptseg_d2.data.views`.
        valid: (V, 1, H, W) bool or float in [0, 1], 0 on padding; None = everywhere valid.

    Returns:
        (V, C, H, W) float, refined probabilities; they sum to at most 1.
    """
    if valid is not None:
        probabilities = probabilities * valid.to(probabilities.dtype)
    total = warp_to_canvas(probabilities, thetas).sum(0, keepdim=True)
    mass = total.sum(1, keepdim=True)
    canvas = torch.cat([total / mass.clamp(min=1e-3), (mass > MIN_MASS).to(total.dtype)], dim=1)
    refined = warp_to_view(canvas.expand(len(thetas), -1, -1, -1), thetas)
    return refined[:, :-1] * refined[:, -1:]


@torch.no_grad()
def update_class_prior_(
    chi: Tensor, batch_mean: Tensor, momentum: float = 0.99, sentinel: float = UNSEEN_PRIOR
) -> None:
    """Move the running class prior towards the mean prediction of a batch, in place.

    Args:
        chi: (C,) float, the prior; a class whose value is exactly `sentinel` has not been seen. It takes the
            batch mean as soon as that exceeds 1e-8 and stays as it is until then.
        batch_mean: (C,) float, mean over views and pixels of the teacher's softmax before fusion; over all processes
            in a distributed run (the public code lets each process have its own, and keeps the first one's).
        momentum: weight of the old value, in [0, 1).
        sentinel: initial value of chi.
    """
    batch_mean = batch_mean.to(chi.dtype)
    first = torch.where(batch_mean > 1e-8, batch_mean, chi)
    chi.copy_(torch.where(chi == sentinel, first, momentum * chi + (1 - momentum) * batch_mean))


def class_thresholds(peaks: Tensor, chi: Tensor, upper: float = 0.75, lower: float = 0.2, beta: float = 1e-3) -> Tensor:
    """Confidence thresholds max(lower, upper * (1 - exp(-chi / beta)) * peak): rare classes get lower ones.

    Args:
        peaks: (..., C) float in [0, 1], highest confidence of each class in an image.
        chi: (C,) float, running class prior.
        upper: share of the peak that a frequent class must reach (zeta), in [0, 1].
        lower: smallest threshold, in [0, 1].
        beta: class prior at which the discount is 1 - 1/e.
    """
    return (upper * (1 - torch.exp(-chi / beta)) * peaks).clamp(min=lower)


@torch.no_grad()
def select_pseudo_labels(
    refined: Tensor, chi: Tensor, upper: float = 0.75, lower: float = 0.2, beta: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Keep the pixels that are more confident than the threshold of their class in their view.

    Args:
        refined: (V, C, H, W) float, fused probabilities.
        chi: (C,) float, running class prior.
        upper, lower, beta: see `class_thresholds`.

    Returns:
        Labels (V, H, W) int64, 255 where the confidence does not exceed the threshold, and the confidence
        (V, H, W) in [0, 1], the largest fused probability of every pixel.
    """
    confidence, labels = refined.max(dim=1)
    flat_labels, flat_confidence = labels.flatten(1), confidence.flatten(1)
    peaks = refined.new_zeros(refined.shape[:2]).scatter_reduce(1, flat_labels, flat_confidence, "amax")
    thresholds = class_thresholds(peaks, chi.to(refined.dtype), upper, lower, beta)
    keep = (flat_confidence > thresholds.gather(1, flat_labels)).view_as(labels)
    return labels.masked_fill(~keep, VOID), confidence


@torch.no_grad()
def select_by_share(refined: Tensor, floor: float = 0.968) -> tuple[Tensor, Tensor]:
    """Label every pixel, and measure how much of the batch is confident (DACS).

    Args:
        refined: (N, C, H, W) float, probabilities.
        floor: probability from which a pixel counts as confident, in [0, 1].

    Returns:
        Labels (N, H, W) int64 without 255, and the share of confident pixels (scalar), which weights all of them.
    """
    confidence, labels = refined.max(dim=1)
    return labels, (confidence >= floor).to(refined.dtype).mean()
