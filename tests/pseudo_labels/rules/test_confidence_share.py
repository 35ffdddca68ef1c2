"""DACS' weight by hand."""

from __future__ import annotations

from ptseg_d2.pseudo_labels.rules import Evidence, RuleOptions
from ptseg_d2.pseudo_labels.rules.confidence_share import ConfidenceShare, select_by_share

from torch import tensor


def test_share_of_confident_pixels_by_hand() -> None:
    refined = tensor([[[[0.97, 0.4, 0.5, 0.03]], [[0.03, 0.6, 0.5, 0.97]]]])
    labels, share = select_by_share(refined, floor=0.968)
    assert labels.tolist() == [[[0, 1, 0, 1]]]
    assert share.item() == 0.5


def test_one_share_for_all_images_and_processes() -> None:
    """One of two pixels is confident here, none in the other process."""
    views = [tensor([[[[0.9]], [[0.1]]]]), tensor([[[[0.3]], [[0.7]]]])]
    evidence = Evidence(views, tensor([0.5, 0.5]), None, (1, 1), mean_over_processes=lambda share: (share + 0) / 2)
    labels, confidence = ConfidenceShare(RuleOptions(confidence_floor=0.8))(evidence)
    assert labels.tolist() == [[[0]], [[1]]]
    assert confidence.tolist() == [[[0.25]], [[0.25]]]
