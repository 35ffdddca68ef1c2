"""The consistency loss against a loop over pixels and anchors, and against finite differences."""

from __future__ import annotations

import math
import time
from typing import Any

from ptseg_d2.losses.consistency import ConsistencyLoss, anchor_loss, consistency_loss, draw_anchors
from ptseg_d2.losses.embedding import kernel_width

import pytest
import torch
from torch import Tensor, tensor

TWO_SIGMA2 = kernel_width(0.5, 0.5)


def random_maps(num_pixels: int = 12) -> tuple[Tensor, Tensor]:
    """Student's and teacher's embeddings (3, M) float64, a little alike."""
    generator = torch.Generator().manual_seed(1)
    student = 0.4 * torch.randn(3, num_pixels, generator=generator, dtype=torch.float64)
    return student, student + 0.2 * torch.randn(3, num_pixels, generator=generator, dtype=torch.float64)


def slow_loss(student: Tensor, teacher: Tensor, anchors: list[int]) -> float:
    """`anchor_loss` by its definition."""
    losses = []
    for anchor in anchors:
        p, q = (
            [math.exp(-(math.dist(e, points[anchor]) ** 2) / TWO_SIGMA2) for e in points]
            for points in (student.t().tolist(), teacher.t().tolist())
        )
        overlap = sum(a * b for a, b in zip(p, q))
        losses.append(1 - 2 * overlap / (sum(a * a for a in p) + sum(b * b for b in q)))
    return sum(losses) / len(losses)


def options(**changes: float) -> dict[str, Any]:
    """Arguments of `consistency_loss`."""
    return {"radius": 0.5, "two_sigma2": TWO_SIGMA2, "max_anchors": 20, "rest": 0.05, **changes}


def test_equals_slow_reference() -> None:
    student, teacher = random_maps()
    anchors = tensor([3, 0, 11])
    expected = slow_loss(student, teacher, anchors.tolist())
    assert expected > 0.01
    assert anchor_loss(student, teacher, anchors, TWO_SIGMA2).item() == pytest.approx(expected, rel=1e-12)
    far = anchor_loss((student + 100).float(), (teacher - 100).float(), anchors, TWO_SIGMA2)
    assert far.item() == pytest.approx(expected, rel=1e-3)


def test_whole_loss_looks_at_the_region_only() -> None:
    student, teacher = random_maps()
    region = tensor([True] * 5 + [False] * 3 + [True] * 4)
    anchors = draw_anchors(student[:, region], teacher[:, region], 0.5, 20, 0, torch.Generator().manual_seed(7))
    found = consistency_loss(
        student.view(3, 2, 6),
        teacher.view(3, 2, 6),
        region.view(2, 6),
        **options(rest=0.05),
        generator=torch.Generator().manual_seed(7),
    )
    assert found.item() == pytest.approx(slow_loss(student[:, region], teacher[:, region], anchors.tolist()))


def test_gradient_with_fixed_anchors() -> None:
    student, teacher = random_maps(6)
    anchors = tensor([5, 2])
    inputs = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: anchor_loss(s, teacher, anchors, TWO_SIGMA2), inputs[:1])
    anchor_loss(*inputs, anchors, TWO_SIGMA2).backward()
    assert inputs[1].grad is None


def test_same_distances_in_another_space_are_consistent() -> None:
    student, _ = random_maps()
    turned = student.flip(0) + 5
    loss = consistency_loss(student.view(3, 3, 4), turned.view(3, 3, 4), torch.ones(3, 4).bool(), **options())
    assert loss.item() == pytest.approx(0, abs=1e-9)


def test_anchors_cover_objects_once() -> None:
    """Four tight objects far apart in both spaces need exactly one anchor each."""
    labels = torch.arange(40) % 4
    objects = labels[None].double() * 3
    for seed in range(5):
        anchors = draw_anchors(objects, objects, 0.5, 20, 0, torch.Generator().manual_seed(seed))
        assert sorted(labels[anchors].tolist()) == [0, 1, 2, 3]
    anchors = draw_anchors(objects, objects, 0.5, 20, 20, torch.Generator().manual_seed(0))
    assert len(anchors) == 2  # 20 of 40 pixels may stay uncovered
    assert len(draw_anchors(objects, objects, 0.5, 3, 0)) == 3


def test_near_in_either_space_is_covered() -> None:
    """The student splits the pixels in two, the teacher in three, crosswise."""
    student, teacher = tensor([[0.0, 0, 0, 3, 3, 3]]), tensor([[0.0, 0, 3, 3, 6, 6]])
    for seed in range(10):
        anchors = draw_anchors(student, teacher, 0.5, 20, 0, torch.Generator().manual_seed(seed)).tolist()
        uncovered = set(range(6))
        for anchor in anchors:
            assert anchor in uncovered
            uncovered -= {
                i for i in range(6) if student[0, i] == student[0, anchor] or teacher[0, i] == teacher[0, anchor]
            }
        assert not uncovered


def test_first_anchor_is_uniform() -> None:
    points = torch.zeros(1, 4)
    counts = torch.zeros(4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2000):
        counts[draw_anchors(points, points, 0.5, 1, 0, generator)] += 1
    assert counts.min() > 420  # 500 expected, 19 is one standard deviation


def test_empty_region_is_a_zero_with_graph() -> None:
    student = torch.randn(3, 4, 5, requires_grad=True)
    loss = consistency_loss(student, torch.randn(3, 4, 5), torch.zeros(4, 5, dtype=torch.bool), **options())
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None and not student.grad.any()


@pytest.mark.parametrize("rest", [0.0, 0.05, 0.6])
def test_small_region_counts(rest: float) -> None:
    """2 % of the image: two pixels that the student sees together and the teacher apart, Dice of (1, 1) and (1, 0)."""
    student, teacher = torch.zeros(1, 10, 10, requires_grad=True), torch.zeros(1, 10, 10)
    teacher[0, 0, 1] = 9.0
    region = torch.zeros(10, 10, dtype=torch.bool)
    region[0, :2] = True
    loss = consistency_loss(student, teacher, region, **options(rest=rest))
    assert loss.item() == pytest.approx(1 - 2 / (2 + 1))


def test_rest_is_a_share_of_the_region() -> None:
    """Four objects of 2 pixels in 8 of 100: 0.3 * 8 = 2 pixels may stay uncovered, so that three anchors are drawn."""
    objects = 3 * (torch.arange(8) // 2).double()
    maps, region = torch.zeros(1, 10, 10, dtype=torch.float64), torch.zeros(10, 10, dtype=torch.bool)
    maps[0, 0, :8], region[0, :8] = objects, True
    other = maps.clone()
    other[0, 0, ::2] += 100  # cuts every object in two: each anchor costs 1 / 3
    one_cut = maps.clone()
    one_cut[0, 0, 0] += 100  # cuts the first object only
    costs = {
        round(consistency_loss(maps, one_cut, region, **options(rest=0.3), generator=generator).item(), 6)
        for generator in (torch.Generator().manual_seed(seed) for seed in range(20))
    }
    # Near in either space is covered: each object takes one anchor, and the first is among three drawn of four or not.
    assert costs == {0.0, round(1 / 9, 6)}
    assert consistency_loss(maps, other, region, **options(rest=0.3)).item() == pytest.approx(1 / 3)


def test_no_anchor_is_a_zero() -> None:
    maps = torch.randn(3, 4, 5)
    assert consistency_loss(maps, -maps, torch.ones(4, 5).bool(), **options(max_anchors=0)).item() == 0


def test_nan_ends() -> None:
    student = torch.full((1, 3, 4, 5), math.nan, requires_grad=True)
    loss = ConsistencyLoss()(student, torch.randn(1, 3, 4, 5), torch.ones(1, 4, 5).bool())["loss_consistency"]
    loss.backward()
    assert loss.isnan()


def test_weight_and_mean_over_the_batch() -> None:
    """The objects of this image are tight, so that any anchors give the same loss."""
    labels = torch.arange(12) % 3
    student = (labels[None].double() * 0.4).view(1, 1, 3, 4)
    teacher = (labels[None].double() * 3).view(1, 1, 3, 4)
    region = torch.ones(1, 3, 4, dtype=torch.bool)
    values = {}
    for weight in (1.0, 2.0):
        for batch in (1, 2):
            criterion = ConsistencyLoss(weight=weight)
            torch.manual_seed(0)
            losses = criterion(
                student.expand(batch, -1, -1, -1), teacher.expand(batch, -1, -1, -1), region.expand(batch, -1, -1)
            )
            assert list(losses) == ["loss_consistency"]
            values[weight, batch] = losses["loss_consistency"].item()
    assert values[2.0, 1] == pytest.approx(2 * values[1.0, 1])
    assert values[1.0, 1] > 0.01


def test_batch_of_images_is_their_mean() -> None:
    maps = [torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    region = torch.ones(2, 6, 7, dtype=torch.bool)
    torch.manual_seed(3)
    single = [consistency_loss(s, t, r, **options()).item() for s, t, r in zip(*maps, region)]
    torch.manual_seed(3)
    assert ConsistencyLoss()(*maps, region)["loss_consistency"].item() == pytest.approx(sum(single) / 2)


def test_half_precision_is_computed_in_float32() -> None:
    maps = torch.randn(1, 3, 6, 7).bfloat16()
    loss = ConsistencyLoss()(maps, maps, torch.ones(1, 6, 7).bool())["loss_consistency"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_speed() -> None:
    """20 anchors on 64x128 take a few milliseconds; ten times that is a loop in Python."""
    student, teacher = torch.randn(2, 16, 64, 128)
    region = torch.ones(64, 128, dtype=torch.bool)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        consistency_loss(student, teacher, region, **options())
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1
