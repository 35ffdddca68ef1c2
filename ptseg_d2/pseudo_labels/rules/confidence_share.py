"""[DACS]: all labels count, by how much of the batch is confident.

Shapes: N views, C classes, H x W pixels; class 255 = ignore.
"""

from __future__ import annotations

from ptseg_d2.pseudo_labels.rules.rule import PSEUDO_LABEL_REGISTRY, Evidence, PseudoLabelRule, PseudoLabels
from ptseg_d2.resizing import resize

import torch
from torch import Tensor


@PSEUDO_LABEL_REGISTRY.register(name="confidence_share")
class ConfidenceShare(PseudoLabelRule):
    """Every pixel has its most probable class; the share of confident pixels is the weight of all."""

    def __call__(self, evidence: Evidence) -> PseudoLabels:
        """See `PseudoLabelRule`; the share is that of all processes."""
        probabilities = torch.cat([resize(views, evidence.size) for views in evidence.probabilities])
        labels, share = select_by_share(probabilities, self.options.confidence_floor)
        return PseudoLabels(labels, evidence.mean_over_processes(share).expand(labels.shape))


@torch.no_grad()
def select_by_share(refined: Tensor, floor: float = 0.968) -> tuple[Tensor, Tensor]:
    """Label every pixel, and measure how much of the batch is confident ([DACS]).

    Args:
        refined: (N, C, H, W) float, probabilities.
        floor: probability from which a pixel counts as confident, in [0, 1].

    Returns:
        Labels (N, H, W) int64 without 255, and the share of confident pixels (scalar), which weights all of them.
    """
    confidence, labels = refined.max(dim=1)
    return labels, (confidence >= floor).to(refined.dtype).mean()
