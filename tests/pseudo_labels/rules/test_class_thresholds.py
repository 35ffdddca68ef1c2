"""SAC's thresholds and what they keep, by hand and against loops."""

from __future__ import annotations

import math

from ptseg_d2.pseudo_labels.rules import Evidence, RuleOptions
from ptseg_d2.pseudo_labels.rules.class_thresholds import ClassThresholds, class_thresholds, select_pseudo_labels

import pytest
import torch
from torch import Tensor, tensor


def random_probabilities(views: int, classes: int, size_hw: tuple[int, int] = (8, 16)) -> Tensor:
    return (3 * torch.randn(views, classes, *size_hw, generator=torch.Generator().manual_seed(0))).softmax(1)


@pytest.mark.parametrize(
    ("chi", "threshold"),
    [(1e-4, 0.20), (5e-4, 0.28), (1e-3, 0.45), (2e-3, 0.616), (3e-3, 0.677), (5e-3, 0.708), (1e-2, 0.712)],
)
def test_threshold_table_of_sac_at_peak_95(chi: float, threshold: float) -> None:
    assert class_thresholds(tensor([0.95]), tensor([chi])).item() == pytest.approx(threshold, abs=1e-3)


def slow_selection(refined: Tensor, chi: Tensor) -> list:
    """Labels by loops over views and pixels."""
    num_views, num_classes, height, width = refined.shape
    labels = [[[255] * width for _ in range(height)] for _ in range(num_views)]
    for v in range(num_views):
        best = {(y, x): int(refined[v, :, y, x].argmax()) for y in range(height) for x in range(width)}
        for (y, x), c in best.items():
            peak = max(refined[v, c, i, j].item() for (i, j), other in best.items() if other == c)
            threshold = max(0.2, 0.75 * (1 - math.exp(-chi[c].item() / 1e-3)) * peak)
            if refined[v, c, y, x].item() > threshold:
                labels[v][y][x] = c
    return labels


def test_selection_equals_slow_reference() -> None:
    refined, chi = random_probabilities(3, 5).double(), tensor([0.5, 1e-2, 1e-3, 2e-4, 0.1]).double()
    labels, confidence = select_pseudo_labels(refined, chi)
    assert labels.tolist() == slow_selection(refined, chi)
    assert 0 < (labels == 255).float().mean() < 1
    assert torch.equal(confidence, refined.amax(1))


def test_threshold_is_strict_and_per_view() -> None:
    """A frequent class: .75 of its peak is .75 in view 0, where .75 itself is out, and .6 in view 1."""
    chi = tensor([1.0, 1.0])
    refined = torch.zeros(2, 2, 1, 3)
    refined[0, 1, 0] = tensor([1.0, 0.75, 0.76])
    refined[1, 1, 0] = tensor([0.80, 0.75, 0.0])
    labels, _ = select_pseudo_labels(refined, chi)
    assert labels.tolist() == [[[1, 255, 1]], [[1, 1, 255]]]


def test_rule_takes_its_numbers_and_one_peak_per_image() -> None:
    """Confidence 1 and .5 in the first image, .6 in the second: with zeta .5 all but the equal one are kept."""
    first, second = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    first[0, 1, 0], second[0, 1, 0] = tensor([1.0, 0.5]), tensor([0.6, 0.6])
    evidence = Evidence([first, second], tensor([1.0, 1.0]), None, (1, 2))
    labels, confidence = ClassThresholds(RuleOptions(threshold_upper=0.5, threshold_lower=0.0))(evidence)
    assert labels.tolist() == [[[1, 255]], [[1, 1]]]
    assert confidence.flatten().tolist() == pytest.approx([1.0, 0.5, 0.6, 0.6])
