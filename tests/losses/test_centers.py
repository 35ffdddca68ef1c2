"""Centre heatmaps and offsets: by hand, by a slow loop, and what ignored pixels must not do."""

from __future__ import annotations

import math

from ptseg_d2.losses.centers import (
    CenterTargets,
    adaptive_sigmas,
    center_targets,
    gaussian_radius,
    heatmap_focal,
    heatmap_mse,
    instance_geometry,
    offset_l1,
)

import pytest
import torch
from torch import Tensor, tensor

THINGS = (11, 13)


def scene() -> tuple[Tensor, Tensor]:
    """Two images of 12x16: a car and two persons that touch; a car cut by the border, an ignored one and void."""
    sem_seg, ids = torch.zeros(2, 2, 12, 16, dtype=torch.int64)
    sem_seg[0, 2:7, 1:9], ids[0, 2:7, 1:9] = 13, 1
    sem_seg[0, 3:9, 9:11], ids[0, 3:9, 9:11] = 11, 2
    sem_seg[0, 3:9, 11:13], ids[0, 3:9, 11:13] = 11, 7
    sem_seg[1, 8:, 10:], ids[1, 8:, 10:] = 13, 1
    sem_seg[1, :3, :5], ids[1, :3, :5] = 13, -1
    sem_seg[1, 4:6] = 255
    return sem_seg, ids


def slow_targets(sem_seg: Tensor, ids: Tensor, sigma_of: dict[tuple[int, int], float]) -> CenterTargets:
    """The definition, pixel by pixel."""
    num_images, height, width = sem_seg.shape
    heatmap = torch.zeros(num_images, len(THINGS), height, width)
    offsets, weight = torch.zeros(num_images, 2, height, width), torch.zeros(num_images, 1, height, width)
    for image in range(num_images):
        for number in ids[image].unique().tolist():
            if number <= 0:
                continue
            pixels = (ids[image] == number).nonzero().double()
            mean = pixels.mean(0)
            sigma = sigma_of[(image, number)]
            channel = THINGS.index(int(sem_seg[image][ids[image] == number][0]))
            for y in range(height):
                for x in range(width):
                    squared = (y - round(float(mean[0]))) ** 2 + (x - round(float(mean[1]))) ** 2
                    value = math.exp(-squared / (2 * sigma**2))
                    heatmap[image, channel, y, x] = max(float(heatmap[image, channel, y, x]), value)
            for y, x in pixels.long().tolist():
                offsets[image, :, y, x] = (mean - tensor([y, x])).float()
                weight[image, 0, y, x] = 1
    known = ((sem_seg != 255) & (ids >= 0))[:, None].float()
    return CenterTargets(heatmap, known, offsets, weight)


@pytest.mark.parametrize("fixed_sigma", [2.0, 0.0])
def test_targets_are_those_of_a_slow_loop(fixed_sigma: float) -> None:
    sem_seg, ids = scene()
    boxes = {(0, 1): (5, 8), (0, 2): (6, 2), (0, 7): (6, 2), (1, 1): (4, 6)}
    sigmas = {
        key: fixed_sigma or float(adaptive_sigmas(tensor([size], dtype=torch.float32), 0.5))
        for key, size in boxes.items()
    }
    expected = slow_targets(sem_seg, ids, sigmas)
    found = center_targets(sem_seg, ids, THINGS, fixed_sigma=fixed_sigma, min_overlap=0.5)
    for name in CenterTargets._fields:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-5, rtol=1e-5, msg=name)


def test_geometry() -> None:
    found = instance_geometry(*scene())
    assert found.image.tolist() == [0, 0, 0, 1]
    assert found.category.tolist() == [13, 11, 11, 13]
    assert found.centers_yx.tolist() == [[4, 4.5], [5.5, 9.5], [5.5, 11.5], [9.5, 12.5]]
    assert found.sizes_hw.tolist() == [[5, 8], [6, 2], [6, 2], [4, 6]]
    assert found.pixel_index[0, 3, 9:14].tolist() == [1, 1, 2, 2, -1]


def test_radii_keep_exactly_the_overlap() -> None:
    """Of a 10x10 box half must stay: 10 - 2 r = sqrt(50) when it shrinks, which is the smallest of the three."""
    assert float(gaussian_radius(tensor([[10.0, 10.0]]), 0.5)) == pytest.approx((10 - math.sqrt(50)) / 2, abs=1e-5)
    # 1x100: shrinking is bounded by the short side, (1 - 2 r)(100 - 2 r) = 50.
    radius = float(gaussian_radius(tensor([[1.0, 100.0]]), 0.5))
    assert (1 - 2 * radius) * (100 - 2 * radius) == pytest.approx(50, rel=1e-4)
    assert float(adaptive_sigmas(tensor([[10.0, 10.0]]), 0.5)) == pytest.approx((11 - math.sqrt(50)) / 6, abs=1e-5)


def test_radius_is_the_smallest_of_three() -> None:
    def overlaps(height: float, width: float, r: float) -> list[float]:
        area, moved = height * width, (height - r) * (width - r)
        shrunk, grown = (height - 2 * r) * (width - 2 * r) / area, area / ((height + 2 * r) * (width + 2 * r))
        return [moved / (2 * area - moved), shrunk, grown]

    sizes = tensor([[4.0, 9.0], [30.0, 12.0], [7.0, 7.0]])
    for overlap in (0.3, 0.7):
        for size, radius in zip(sizes.tolist(), gaussian_radius(sizes, overlap).tolist()):
            assert min(overlaps(size[0], size[1], radius)) == pytest.approx(overlap, abs=1e-5)


def test_each_centre_is_one_pixel_of_value_one() -> None:
    targets = center_targets(*scene(), THINGS, fixed_sigma=0.0, min_overlap=0.3)
    assert (targets.heatmap == 1).nonzero().tolist() == [[0, 0, 6, 10], [0, 0, 6, 12], [0, 1, 4, 4], [1, 1, 10, 12]]
    assert targets.heatmap.min() >= 0


def test_a_class_that_is_no_thing_counts_as_ignored() -> None:
    sem_seg, ids = scene()
    targets = center_targets(sem_seg, ids, (13,), fixed_sigma=1.0, min_overlap=0.3)
    assert targets.heatmap.shape == (2, 1, 12, 16) and int((targets.heatmap == 1).sum()) == 2
    person = ids[0] > 1
    assert targets.heatmap_weight[0, 0][person].sum() == 0 and targets.offset_weight[0, 0][person].sum() == 0


@pytest.mark.parametrize("ids_value", [0, -1])
@pytest.mark.parametrize("sem_value", [0, 13, 255])
def test_no_instance_is_finite(ids_value: int, sem_value: int) -> None:
    sem_seg, ids = torch.full((1, 4, 4), sem_value), torch.full((1, 4, 4), ids_value)
    targets = center_targets(sem_seg, ids, THINGS, fixed_sigma=0.0, min_overlap=0.3)
    maps = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = heatmap_mse(maps, targets) + heatmap_focal(maps, targets) + offset_l1(maps, targets)
    loss.backward()
    assert loss.isfinite() and maps.grad is not None and maps.grad.isfinite().all()
    assert bool(maps.grad.any()) == (ids_value == 0 and sem_value != 255)


def test_ignored_pixels_give_no_gradient() -> None:
    sem_seg, ids = scene()
    targets = center_targets(sem_seg, ids, THINGS, fixed_sigma=0.0, min_overlap=0.3)
    ignored = (sem_seg == 255) | (ids < 0)
    for loss in (heatmap_mse, heatmap_focal, offset_l1):
        maps = torch.randn(2, 2, 12, 16, requires_grad=True)
        loss(maps, targets).backward()
        assert maps.grad is not None
        has_gradient = maps.grad.abs().sum(1) > 0
        assert not has_gradient[ignored].any() and has_gradient.any()
    assert torch.equal(has_gradient, ids > 0)  # offsets: only where an instance is


def test_losses_by_hand() -> None:
    targets = CenterTargets(
        heatmap=tensor([[[[1.0, 0.5, 0.0]]]]),
        heatmap_weight=tensor([[[[1.0, 1.0, 0.0]]]]),
        offsets=tensor([[[[1.0, 0.0, 0.0]], [[2.0, 0.0, 0.0]]]]),
        offset_weight=tensor([[[[1.0, 0.0, 0.0]]]]),
    )
    assert float(heatmap_mse(tensor([[[[0.0, 1.0, 9.0]]]]), targets)) == pytest.approx((1 + 0.25) / 2)
    # Probability .5 everywhere: (1 - .5)^2 ln 2 at the centre, (1 - .5)^4 .5^2 ln 2 beside it, one centre.
    assert float(heatmap_focal(torch.zeros(1, 1, 1, 3), targets)) == pytest.approx(math.log(2) * (1 / 4 + 1 / 64))
    assert float(offset_l1(torch.zeros(1, 2, 1, 3), targets)) == pytest.approx(3)


def test_focal_loss_of_sure_logits_is_finite() -> None:
    targets = center_targets(*scene(), THINGS, fixed_sigma=0.0, min_overlap=0.3)
    logits = (200 * torch.randn(2, 2, 12, 16)).requires_grad_()
    heatmap_focal(logits, targets).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
