"""Semantic losses. N images, C classes, H x W label pixels, h x w network pixels; class 255 = ignore."""

from __future__ import annotations

from ptseg_d2.data.categories import VOID

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample_logits(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear resizing (align_corners=False) of (N, C, h, w) logits to `size_hw`; float32 under autocast."""
    if tuple(logits.shape[-2:]) == tuple(size_hw):
        return logits
    return F.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)


def cross_entropy(logits: Tensor, sem_seg: Tensor) -> Tensor:
    """Mean cross entropy over the labelled pixels.

    Args:
        logits: (N, C, h, w) float, resized to the label size.
        sem_seg: (N, H, W) int64, train ids 0..C-1 or 255.

    Returns:
        Scalar; 0 (tied to the graph) when no pixel is labelled, where PyTorch's own mean is NaN.
    """
    logits = upsample_logits(logits, (sem_seg.shape[-2], sem_seg.shape[-1]))
    total = F.cross_entropy(logits, sem_seg, ignore_index=VOID, reduction="sum")
    return total / (sem_seg != VOID).sum().clamp(min=1)


def focal_confidence_loss(
    logits: Tensor, pseudo_labels: Tensor, confidence: Tensor, class_prior: Tensor, gamma: float = 3.0
) -> Tensor:
    """Focal loss on pseudo labels, weighted with the teacher's confidence (SAC).

    The weight of class c is (1 - chi_c)^gamma, so that frequent classes count less. The mean goes over *all*
    pixels, ignored ones included: few pseudo labels then mean a small loss, not a noisy one.

    Args:
        logits: (N, C, h, w) float, student; resized to the label size.
        pseudo_labels: (N, H, W) int64, train ids or 255.
        confidence: (N, H, W) float in [0, 1], the teacher's largest probability; no gradient flows into it.
        class_prior: (C,) float in [0, 1], the running class prior chi; no gradient flows into it.
        gamma: focal exponent (lambda in the paper), >= 0.
    """
    logits = upsample_logits(logits, (pseudo_labels.shape[-2], pseudo_labels.shape[-1]))
    weight = (1 - class_prior.detach()).pow(gamma).to(logits.dtype)
    pixel_loss = F.cross_entropy(logits, pseudo_labels, weight=weight, ignore_index=VOID, reduction="none")
    return torch.mean(pixel_loss * confidence.detach())
