"""Fusion of views and the class prior, by hand and against loops."""

from __future__ import annotations

from ptseg_d2.data.views import View, full_view, random_view, warp_to_canvas, warp_to_view
from ptseg_d2.pseudo_labels.rules.class_thresholds import select_pseudo_labels
from ptseg_d2.pseudo_labels.semantic import fuse_views, update_class_prior_

import numpy as np
import pytest
import torch
from torch import Tensor, tensor


def random_probabilities(views: int, classes: int = 4, size_hw: tuple[int, int] = (8, 16)) -> Tensor:
    return (3 * torch.randn(views, classes, *size_hw, generator=torch.Generator().manual_seed(0))).softmax(1)


def thetas_of(*views: View) -> Tensor:
    return torch.stack([view.theta() for view in views])


def test_fusion_of_identical_views_is_identity() -> None:
    probabilities = random_probabilities(1).expand(3, -1, -1, -1)
    refined = fuse_views(probabilities, thetas_of(*[full_view((8, 16))] * 3))
    assert torch.allclose(refined, probabilities, atol=1e-5)


def test_two_full_views_one_flipped_give_the_mean() -> None:
    probabilities = random_probabilities(2)
    refined = fuse_views(probabilities, thetas_of(full_view((8, 16)), full_view((8, 16), flip=True)))
    mean = (probabilities[0] + probabilities[1].flip(2)) / 2
    assert torch.allclose(refined[0], mean, atol=1e-5)
    assert torch.allclose(refined[1], mean.flip(2), atol=1e-5)


def test_views_that_do_not_meet_keep_their_own_prediction() -> None:
    """Constant predictions of the left and the right half; compared away from the seam."""
    left, right = View((8, 16), 2, 0, 4, 8), View((8, 16), 2, 8, 4, 8)
    probabilities = torch.stack([tensor([0.9, 0.1]), tensor([0.2, 0.8])])[:, :, None, None].expand(2, 2, 8, 16)
    refined = fuse_views(probabilities, thetas_of(left, right))
    inner = (..., slice(2, 6), slice(3, 13))
    assert torch.allclose(refined[inner], probabilities[inner], atol=1e-5)


def test_equals_the_formula_step_by_step() -> None:
    rng = np.random.default_rng(0)
    views = [full_view((8, 16)), random_view((8, 16), rng), random_view((8, 16), rng)]
    probabilities, valid = random_probabilities(3), torch.rand(3, 1, 8, 16) > 0.3
    total = torch.zeros(1, 4, 8, 16)
    for prediction, inside, view in zip(probabilities, valid, views):
        total += warp_to_canvas((prediction * inside)[None], view.theta()[None])
    mass = total.sum(1, keepdim=True)
    mean, seen = total / mass.clamp(min=1e-3), (mass > 0.1).float()
    refined = fuse_views(probabilities, thetas_of(*views), valid)
    for k, view in enumerate(views):
        theta = view.theta()[None]
        expected = warp_to_view(mean, theta) * warp_to_view(seen, theta)
        assert torch.allclose(refined[k], expected[0], atol=1e-6)


def test_padding_counts_for_nothing() -> None:
    """Where view 0 is padding (left half) view 1 decides alone; where both are, the result is 0."""
    probabilities = random_probabilities(2)
    valid = torch.ones(2, 1, 8, 16, dtype=torch.bool)
    valid[0, :, :, :8] = False
    valid[:, :, :, :2] = False
    refined = fuse_views(probabilities, thetas_of(full_view((8, 16)), full_view((8, 16))), valid)
    assert torch.allclose(refined[0, ..., 2:8], probabilities[1, ..., 2:8], atol=1e-5)
    assert torch.allclose(refined[0, ..., 8:], probabilities[..., 8:].mean(0), atol=1e-5)
    assert (refined[..., :2] == 0).all()


def test_class_prior_copies_first_then_averages() -> None:
    """Class 0 is in both batches, class 1 only in the second, class 2 in none."""
    chi = torch.full((3,), 1e-3)
    first = tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(2, 3, 2, 2)
    second = tensor([0.6, 0.4, 0.0])[None, :, None, None].expand(2, 3, 2, 2)
    update_class_prior_(chi, first.mean(dim=(0, 2, 3)))
    assert chi.tolist() == pytest.approx([1.0, 1e-3, 1e-3])
    update_class_prior_(chi, second.mean(dim=(0, 2, 3)))
    assert chi.tolist() == pytest.approx([0.99 * 1.0 + 0.01 * 0.6, 0.4, 1e-3])
    update_class_prior_(chi, first.mean(dim=(0, 2, 3)))
    assert chi.tolist() == pytest.approx([0.99 * 0.996 + 0.01, 0.99 * 0.4, 1e-3])


def test_arguments_stay_unchanged_and_nothing_has_a_gradient() -> None:
    probabilities, chi = random_probabilities(2).requires_grad_(), torch.rand(4)
    before = probabilities.detach().clone(), chi.clone()
    refined = fuse_views(probabilities, thetas_of(full_view((8, 16)), full_view((8, 16))))
    _, confidence = select_pseudo_labels(refined, chi)
    assert not refined.requires_grad and not confidence.requires_grad
    assert torch.equal(before[0], probabilities) and torch.equal(before[1], chi)
