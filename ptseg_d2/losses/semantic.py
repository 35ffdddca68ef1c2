"""Semantic losses. N images, C classes, H x W label pixels, h x w network pixels; class 255 = ignore."""

from __future__ import annotations

import math

from ptseg_d2.classes.tables import VOID
from ptseg_d2.resizing import resize

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, sem_seg: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Weighted mean cross entropy over the labelled pixels (unlike [SAC], "mean over all pixels").

    Args:
        logits: (N, C, h, w) float, resized to the label size.
        sem_seg: (N, H, W) int64, train ids 0..C-1 or 255.
        class_weights: (C,) float >= 0, weight of a pixel by its class; None = all alike.

    Returns:
        Scalar; 0 (tied to the graph) when no pixel is labelled, where PyTorch's own mean is NaN.
    """
    logits = resize(logits, sem_seg.shape[-2:])
    labelled = sem_seg != VOID
    total = F.cross_entropy(logits, sem_seg, weight=class_weights, ignore_index=VOID, reduction="sum")
    if class_weights is None:
        return total / labelled.sum().clamp(min=1)
    weight = class_weights[sem_seg[labelled]].sum()
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def balanced_class_weights(class_shares: Tensor, exponent: float) -> Tensor:
    """Weights proportional to share^-exponent whose mean over the pixels is 1.

    Args:
        class_shares: (C,) float, share of the labelled pixels in each class; a class with 0 counts as one with 1e-4.
        exponent: 0 = all alike, 0.5 = inverse square root, 1 = all classes count the same.
    """
    shares = class_shares.clamp(min=1e-4)
    weights = shares.pow(-exponent)
    return weights / (shares * weights).sum() * shares.sum()


def update_class_shares_(class_shares: Tensor, sem_seg: Tensor, momentum: float = 0.99) -> None:
    """Move the running share of each class towards that of a batch, in place; nothing if no pixel is labelled.

    Args:
        class_shares: (C,) float.
        sem_seg: (N, H, W) int64, train ids or 255.
        momentum: weight of the old value, in [0, 1).
    """
    counts = torch.bincount(sem_seg[sem_seg != VOID], minlength=len(class_shares)).to(class_shares)
    if counts.sum() > 0:
        class_shares.lerp_(counts / counts.sum(), 1 - momentum)


def focal_confidence_loss(
    logits: Tensor, pseudo_labels: Tensor, confidence: Tensor, class_prior: Tensor, gamma: float = 3.0
) -> Tensor:
    """[FocalLoss] on pseudo labels, weighted with the teacher's confidence ([SAC], "confidence in the loss").

    The weight of class c is (1 - chi_c)^gamma, so that frequent classes count less. The mean goes over *all*
    pixels, ignored ones included: few pseudo labels then mean a small loss, not a noisy one.

    Args:
        logits: (N, C, h, w) float, student; resized to the label size.
        pseudo_labels: (N, H, W) int64, train ids or 255.
        confidence: (N, H, W) float in [0, 1], the teacher's largest probability; no gradient flows into it.
        class_prior: (C,) float in [0, 1], the running class prior chi; no gradient flows into it.
        gamma: focal exponent (lambda in [SAC]), >= 0.
    """
    logits = resize(logits, pseudo_labels.shape[-2:])
    weight = (1 - class_prior.detach()).pow(gamma).to(logits.dtype)
    pixel_loss = F.cross_entropy(logits, pseudo_labels, weight=weight, ignore_index=VOID, reduction="none")
    return torch.mean(pixel_loss * confidence.detach())


def charbonnier_entropy(logits: Tensor, power: float = 2.0) -> Tensor:
    """Mean of (H^2 + 1e-8)^power over pixels, H the entropy of the prediction divided by ln C ([FDA], Eq. 6).

    Args:
        logits: (N, C, h, w) float.
        power: eta > 0; above .5 confident pixels, which the network has made up its mind about, count less.
    """
    log_probabilities = logits.log_softmax(dim=1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1) / math.log(logits.shape[1])
    return (entropy.square() + 1e-8).pow(power).mean()
