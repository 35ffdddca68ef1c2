"""Fixed labels: masks that an earlier stage or tools/predict_masks.py wrote, such as those of [FDA]."""

from __future__ import annotations

from ptseg_d2.pseudo_labels.rules.rule import PSEUDO_LABEL_REGISTRY, Evidence, PseudoLabelRule, PseudoLabels

import torch


@PSEUDO_LABEL_REGISTRY.register(name="predicted")
class PredictedMasks(PseudoLabelRule):
    """The masks as they are, every pixel with weight 1."""

    asks_teacher = False
    needs_masks = True

    def __call__(self, evidence: Evidence) -> PseudoLabels:
        """See `PseudoLabelRule`."""
        labels = evidence.class_masks
        assert labels is not None
        return PseudoLabels(labels, torch.ones(labels.shape, device=labels.device))
