"""Fixed masks are the labels, each pixel with full weight."""

from __future__ import annotations

from ptseg_d2.pseudo_labels.rules import Evidence, RuleOptions
from ptseg_d2.pseudo_labels.rules.predicted_masks import PredictedMasks

from torch import tensor


def test_masks_are_the_labels() -> None:
    masks = tensor([[[3, 255]]])
    labels, confidence = PredictedMasks(RuleOptions())(Evidence([], tensor([0.5]), masks, (1, 2)))
    assert labels is masks and confidence.tolist() == [[[1.0, 1.0]]]
