"""Semantic losses against pixel loops and hand literals."""

from __future__ import annotations

import math

from ptseg_d2.losses.semantic import (
    balanced_class_weights,
    charbonnier_entropy,
    cross_entropy,
    focal_confidence_loss,
    update_class_shares_,
)

import pytest
import torch
from torch import Tensor, tensor


def random_batch(num_classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits (2, C, 3, 5) and labels (2, 3, 5), a third of them void."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, num_classes, 3, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(num_classes, (2, 3, 5), generator=generator)
    return logits, labels.masked_fill(torch.rand(2, 3, 5, generator=generator) < 0.33, 255)


def slow_pixel_losses(logits: Tensor, labels: Tensor) -> list[tuple[float, int, tuple[int, int, int]]]:
    """(cross entropy, label, position) of every labelled pixel, by the definition."""
    losses = []
    for n, y, x in torch.cartesian_prod(*(torch.arange(size) for size in labels.shape)).tolist():
        label = int(labels[n, y, x])
        if label != 255:
            scores = logits[n, :, y, x].exp()
            losses.append((-math.log(scores[label] / scores.sum()), label, (n, y, x)))
    return losses


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits, labels = random_batch()
    losses = [loss for loss, _, _ in slow_pixel_losses(logits, labels)]
    assert cross_entropy(logits, labels).item() == pytest.approx(sum(losses) / len(losses))


def test_cross_entropy_of_void_only_is_a_zero_with_graph() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert logits.grad is not None
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_logits_are_resized_to_the_labels_by_pixel_areas() -> None:
    logits = tensor([[[[0.0, 4.0]], [[0.0, 0.0]]]])  # (1, 2, 1, 2); class-0 logits at 4 columns: 0, 1, 3, 4
    labels = tensor([[[0, 0, 0, 0]]])
    expected = sum(math.log(1 + math.exp(-score)) for score in (0, 1, 3, 4)) / 4
    assert cross_entropy(logits, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_focal_loss_is_the_mean_over_all_pixels(gamma: float) -> None:
    logits, labels = random_batch()
    confidence = torch.rand(labels.shape, dtype=torch.float64)
    prior = tensor([0.6, 0.3, 0.1, 0.001])
    total = sum(
        (1 - prior[label].item()) ** gamma * loss * confidence[position].item()
        for loss, label, position in slow_pixel_losses(logits, labels)
    )
    loss = focal_confidence_loss(logits, labels, confidence, prior, gamma)
    assert loss.item() == pytest.approx(total / labels.numel(), rel=1e-6)


@pytest.mark.parametrize(("prior", "weight"), [(0.35, 0.274625), (0.1, 0.729), (0.01, 0.970299)])
def test_focal_weights_of_the_paper(prior: float, weight: float) -> None:
    logits = torch.zeros(1, 2, 1, 1)  # cross entropy log 2
    loss = focal_confidence_loss(logits, tensor([[[1]]]), torch.ones(1, 1, 1), tensor([0.5, prior]))
    assert loss.item() == pytest.approx(weight * math.log(2), rel=1e-5)


def test_focal_loss_has_no_gradient_for_teacher_and_prior() -> None:
    logits, labels = random_batch()
    logits.requires_grad_()
    confidence = torch.rand(labels.shape, dtype=torch.float64, requires_grad=True)
    prior = torch.rand(4, requires_grad=True)
    focal_confidence_loss(logits, labels, confidence, prior).backward()
    assert confidence.grad is None and prior.grad is None
    assert logits.grad is not None and logits.grad.abs().sum() > 0


def test_focal_loss_of_void_only_is_zero() -> None:
    loss = focal_confidence_loss(
        torch.randn(1, 3, 2, 2), torch.full((1, 4, 4), 255), torch.ones(1, 4, 4), torch.zeros(3)
    )
    assert loss.item() == 0


def test_weighted_cross_entropy_is_the_weighted_mean() -> None:
    logits, labels = random_batch()
    weights = tensor([1.0, 0.5, 4.0, 0.0], dtype=torch.float64)
    losses = [(loss, float(weights[label])) for loss, label, _ in slow_pixel_losses(logits, labels)]
    expected = sum(loss * weight for loss, weight in losses) / sum(weight for _, weight in losses)
    assert cross_entropy(logits, labels, weights).item() == pytest.approx(expected)
    assert cross_entropy(logits, torch.full_like(labels, 255), weights).item() == 0


def test_balanced_weights_by_hand() -> None:
    # shares 4 : 1, square root of the inverse 1 : 2, mean over the pixels .8 a + .2 * 2 a = 1.2 a = 1
    assert balanced_class_weights(tensor([0.8, 0.2]), 0.5).tolist() == pytest.approx([1 / 1.2, 2 / 1.2])
    assert balanced_class_weights(tensor([0.8, 0.2]), 0.0).tolist() == pytest.approx([1, 1])
    assert balanced_class_weights(tensor([0.8, 0.2]), 1.0).tolist() == pytest.approx([0.625, 2.5])


def test_class_that_never_occurs_has_a_finite_weight() -> None:
    weights = balanced_class_weights(tensor([1.0, 0.0]), 0.5)
    assert weights[1] / weights[0] == pytest.approx(100)  # counts as a share of 1e-4


def test_class_shares_are_a_running_mean_over_labelled_pixels() -> None:
    shares = tensor([0.5, 0.5])
    update_class_shares_(shares, tensor([[[0, 0, 0, 1, 255, 255]]]), momentum=0.9)
    assert shares.tolist() == pytest.approx([0.9 * 0.5 + 0.1 * 0.75, 0.9 * 0.5 + 0.1 * 0.25])
    before = shares.clone()
    update_class_shares_(shares, tensor([[[255]]]))
    assert torch.equal(shares, before)


def test_charbonnier_entropy_by_hand() -> None:
    """One pixel knows nothing (H = 1), one is sure (H = 0); two classes."""
    logits = tensor([[[[0.0, 50.0]], [[0.0, -50.0]]]])
    assert charbonnier_entropy(logits, power=2.0).item() == pytest.approx((1 + 1e-8) ** 2 / 2)
    assert charbonnier_entropy(logits, power=0.5).item() == pytest.approx(0.5, abs=1e-4)
