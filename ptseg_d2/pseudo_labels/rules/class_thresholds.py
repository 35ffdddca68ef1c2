"""[SAC]: a threshold for each class, lower for rare ones.

Shapes: V views, C classes, H x W pixels; class 255 = ignore.
"""

from __future__ import annotations

from ptseg_d2.classes.tables import VOID
from ptseg_d2.pseudo_labels.rules.rule import PSEUDO_LABEL_REGISTRY, Evidence, PseudoLabelRule, PseudoLabels
from ptseg_d2.resizing import resize

import torch
from torch import Tensor


@PSEUDO_LABEL_REGISTRY.register(name="class_thresholds")
class ClassThresholds(PseudoLabelRule):
    """Pixels more confident than the threshold of their class in their view; the confidence is their weight."""

    uses_prior = True

    def __call__(self, evidence: Evidence) -> PseudoLabels:
        """See `PseudoLabelRule`."""
        chosen = [
            select_pseudo_labels(
                resize(views, evidence.size),
                evidence.class_prior,
                upper=self.options.threshold_upper,
                lower=self.options.threshold_lower,
                beta=self.options.threshold_beta,
            )
            for views in evidence.probabilities
        ]
        return PseudoLabels(*(torch.cat(maps) for maps in zip(*chosen)))


def class_thresholds(peaks: Tensor, chi: Tensor, upper: float = 0.75, lower: float = 0.2, beta: float = 1e-3) -> Tensor:
    """Confidence thresholds max(lower, upper * (1 - exp(-chi / beta)) * peak) of [SAC]: low for rare classes.

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
