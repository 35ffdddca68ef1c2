"""Embedding losses against loops over pixels and instances, gradients against finite differences."""

from __future__ import annotations

import math

from ptseg_d2.losses import embedding, pair_sums
from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.losses.segments import PARTIAL_SUM, cut_segments, label_sums

import pytest
import torch
from torch import Tensor, tensor

LOSSES = ["loss_pull", "loss_push", "loss_reg", "loss_object", "loss_unlabeled_push"]


def random_image(spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Embeddings (3, 6, 7) float64; ids (6, 7) with unlabelled and ignored pixels, gaps in the numbers."""
    generator = torch.Generator().manual_seed(1)
    ids = tensor([-1, 0, 0, 2, 5, 9])[torch.randint(6, (6, 7), generator=generator)]
    return spread * torch.randn(3, 6, 7, generator=generator, dtype=torch.float64), ids


def slow_losses(
    embeddings: Tensor, ids: Tensor, delta_var: float = 0.5, delta_dist: float = 1.5, offset: float = 0.0
) -> dict[str, float]:
    """The five unweighted terms of one image by their definitions ([thesis], Eq. 7.5 to 7.9; [SPOCO]), K >= 2."""
    pixels = {k: embeddings[:, ids == k].t().tolist() for k in sorted(set(ids.flatten().tolist()) - {-1})}
    means = {k: [sum(values) / len(values) for values in zip(*points)] for k, points in pixels.items()}
    instances = [k for k in pixels if k > 0]
    num = len(instances)
    two_sigma2 = delta_var**2 / math.log(2)

    def hinge(value: float) -> float:
        return max(0.0, value) ** 2

    def average(values: list[float]) -> float:
        return sum(values) / len(values)

    pull = average(
        [average([hinge(math.dist(e, means[k]) - delta_var - offset) for e in pixels[k]]) for k in instances]
    )
    push = sum(
        hinge(2 * (delta_dist + offset) - math.dist(means[k], means[other]))
        for k in instances
        for other in instances
        if k != other
    ) / (num * (num - 1))
    dices = []
    for k in instances:
        soft = {
            other: [math.exp(-(math.dist(e, means[k]) ** 2) / two_sigma2) for e in points]
            for other, points in pixels.items()
        }
        square_sum = sum(value**2 for values in soft.values() for value in values)
        dices.append(1 - 2 * sum(soft[k]) / (square_sum + len(pixels[k])))
    return {
        "loss_pull": pull,
        "loss_push": push,
        "loss_reg": average([math.hypot(*mean) for mean in means.values()]),
        "loss_object": average(dices),
        "loss_unlabeled_push": average(
            [average([hinge(delta_dist + offset - math.dist(e, means[k])) for e in pixels[0]]) for k in instances]
        ),
    }


@pytest.mark.parametrize("spread", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("offset", [0.0, 0.2, -0.2])
def test_equals_slow_reference(spread: float, offset: float) -> None:
    embeddings, ids = random_image(spread)
    criterion = EmbeddingLoss(reg=1.0)
    criterion.margin_offset.fill_(offset)
    losses = criterion(embeddings[None], ids[None])
    assert list(losses) == LOSSES
    for name, expected in slow_losses(embeddings, ids, offset=offset).items():
        assert losses[name].item() == pytest.approx(expected, rel=1e-5, abs=1e-9), name


def test_float32_keeps_its_digits_far_from_the_origin() -> None:
    embeddings, ids = random_image()
    losses = EmbeddingLoss(reg=0.0)(embeddings.float()[None] + 100, ids[None])
    for name, expected in slow_losses(embeddings, ids).items():
        if name != "loss_reg":
            assert losses[name].item() == pytest.approx(expected, rel=1e-4), name


@pytest.mark.parametrize("block", [pair_sums.CPU_BLOCK, 9])
@pytest.mark.parametrize("by_row", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients(monkeypatch: pytest.MonkeyPatch, name: str, by_row: bool, block: int) -> None:
    """Each term against finite differences, in one block of pixels and in blocks of 3, in both memory layouts."""
    monkeypatch.setattr(pair_sums, "CPU_BLOCK", block)
    embeddings, ids = (values[..., :4, :4] for values in random_image(0.7))
    layout = torch.channels_last if by_row else torch.contiguous_format
    criterion = EmbeddingLoss(reg=1.0).double()

    def loss(values: Tensor) -> Tensor:
        return criterion(values.contiguous(memory_format=layout), ids[None])[name]

    assert torch.autograd.gradcheck(loss, embeddings[None].clone().requires_grad_())


def test_gradients_of_the_plain_functions() -> None:
    """Each computes only the sums that it needs."""
    embeddings, ids = (values[..., :4, :4] for values in random_image(0.7))
    for loss in (
        lambda image: embedding.pull_loss(image, 0.5),
        lambda image: embedding.push_loss(image, 1.5),
        embedding.reg_loss,
        lambda image: embedding.object_loss(image, 0.36),
        lambda image: embedding.unlabeled_push_loss(image, 1.5),
    ):
        values = embeddings.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda v, loss=loss: loss(cut_segments(v, ids)), values)


def test_plain_functions_and_module_agree() -> None:
    embeddings, ids = random_image()
    image = cut_segments(embeddings, ids)
    losses = EmbeddingLoss(reg=1.0)(embeddings[None], ids[None])
    found = {
        "loss_pull": embedding.pull_loss(image, 0.5),
        "loss_push": embedding.push_loss(image, 1.5),
        "loss_reg": embedding.reg_loss(image),
        "loss_object": embedding.object_loss(image, embedding.kernel_width(0.5, 0.5)),
        "loss_unlabeled_push": embedding.unlabeled_push_loss(image, 1.5),
    }
    for name in LOSSES:
        assert found[name].item() == pytest.approx(losses[name].item(), rel=1e-12), name


def loss_and_gradient(criterion: EmbeddingLoss, embeddings: Tensor, ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """The terms of a batch and the gradient of their sum."""
    leaf = embeddings.detach().clone().requires_grad_()
    losses = criterion(leaf, ids)
    torch.stack(list(losses.values())).sum().backward()
    assert leaf.grad is not None
    return losses, leaf.grad


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, ids = random_image()
    whole, gradient = loss_and_gradient(EmbeddingLoss(), embeddings[None], ids[None])
    monkeypatch.setattr(pair_sums, "CPU_BLOCK", 1)
    blocks, block_gradient = loss_and_gradient(EmbeddingLoss(), embeddings[None], ids[None])
    assert all(torch.isclose(whole[name], blocks[name], rtol=1e-12) for name in LOSSES)
    assert torch.allclose(gradient, block_gradient, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("off", ["pull", "push", "reg", "object", "unlabeled_push"])
def test_weight_0_leaves_the_others_as_they_are(off: str) -> None:
    embeddings, ids = random_image()
    full = EmbeddingLoss()(embeddings[None], ids[None])
    losses, gradient = loss_and_gradient(EmbeddingLoss(**{off: 0.0}), embeddings[None], ids[None])
    assert losses.pop(f"loss_{off}").item() == 0
    assert all(torch.isclose(losses[name], full[name], rtol=1e-12) for name in losses)
    assert torch.isfinite(gradient).all()


def test_order_of_ids_and_of_pixels_does_not_matter() -> None:
    embeddings, ids = random_image()
    other_ids = tensor([0, 70, 3, 12, 4, 900, 5, 6, 7, 1, -1])[ids]  # 2 -> 3, 5 -> 900, 9 -> 1, -1 -> -1
    order = torch.randperm(42, generator=torch.Generator().manual_seed(0))
    shuffled = embeddings.flatten(1)[:, order].view_as(embeddings)
    shuffled_ids = other_ids.flatten()[order].view_as(ids)
    first, gradient = loss_and_gradient(EmbeddingLoss(), embeddings[None], ids[None])
    second, shuffled_gradient = loss_and_gradient(EmbeddingLoss(), shuffled[None], shuffled_ids[None])
    assert all(torch.isclose(first[name], second[name], rtol=1e-12) for name in LOSSES)
    assert torch.allclose(gradient.flatten(2)[..., order], shuffled_gradient.flatten(2))


def test_200_instances_equal_the_slow_reference() -> None:
    generator = torch.Generator().manual_seed(2)
    ids = torch.arange(600).reshape(20, 30) % 204
    ids = torch.where(ids > 201, -1, ids)  # 201 instances, three pixels of most
    embeddings = torch.randn(3, 20, 30, generator=generator, dtype=torch.float64)
    losses = EmbeddingLoss(reg=1.0)(embeddings[None], ids[None])
    for name, expected in slow_losses(embeddings, ids).items():
        assert losses[name].item() == pytest.approx(expected, rel=1e-5), name


def test_nan_embeddings_give_nan_losses() -> None:
    embeddings, ids = random_image()
    for wrong in (embeddings * math.nan, embeddings.masked_fill(ids == 2, math.nan)):
        losses, gradient = loss_and_gradient(EmbeddingLoss(), wrong[None], ids[None])
        assert all(loss.isnan() for loss in losses.values())
        assert gradient.isnan().any()


def test_nan_in_ignored_pixels_changes_nothing() -> None:
    embeddings, ids = random_image()
    losses, gradient = loss_and_gradient(EmbeddingLoss(), embeddings[None], ids[None])
    wrong = embeddings.masked_fill(ids == -1, math.nan)
    same, same_gradient = loss_and_gradient(EmbeddingLoss(), wrong[None], ids[None])
    assert all(torch.equal(losses[name], same[name]) for name in LOSSES)
    assert torch.equal(gradient, same_gradient)


def test_one_pixel() -> None:
    losses, gradient = loss_and_gradient(EmbeddingLoss(), torch.randn(1, 4, 1, 1), torch.ones(1, 1, 1).long())
    assert {name for name, loss in losses.items() if loss.item() > 1e-6} == {"loss_reg"}
    assert torch.isfinite(gradient).all()


def test_label_sums_keep_float32_digits_over_many_pixels() -> None:
    """Added up one by one, half a million times 3.3 would lose its fourth digit."""
    count = 512 * PARTIAL_SUM + 5
    labels = torch.arange(count) % 2
    sums = label_sums(torch.full((1, count), 3.3), labels, 2)
    assert sums[0].tolist() == pytest.approx([3.3 * (count - count // 2), 3.3 * (count // 2)], rel=1e-5)


def test_batch_is_the_mean_of_its_images_and_weights_multiply() -> None:
    embeddings, ids = random_image()
    images = torch.stack([embeddings, 0.3 * embeddings.flip(2)])
    labels = torch.stack([ids, ids.t().reshape(6, 7)])
    both = EmbeddingLoss(pull=1, push=2, reg=3, object=4, unlabeled_push=5)(images, labels)
    for weight, name in enumerate(LOSSES, start=1):
        single = [slow_losses(image, label)[name] for image, label in zip(images, labels)]
        assert both[name].item() == pytest.approx(weight * sum(single) / 2, rel=1e-5), name


def test_two_points_by_hand() -> None:
    """Instances at 0 and 2 on a line, an unlabelled pixel at 1: every term can be written down."""
    embeddings, ids = tensor([[[0.0, 2.0, 1.0, 77.0]]]), tensor([[1, 2, 0, -1]])
    losses = EmbeddingLoss(reg=1.0)(embeddings[None], ids[None])
    assert losses["loss_pull"].item() == 0
    assert losses["loss_push"].item() == pytest.approx((3 - 2) ** 2)
    assert losses["loss_unlabeled_push"].item() == pytest.approx((1.5 - 1) ** 2)
    assert losses["loss_reg"].item() == pytest.approx((0 + 2 + 1) / 3)
    kernel_at = {d: 0.5 ** (d * d / 0.25) for d in (1, 2)}  # S(d) = t^(d^2 / delta_var^2), t = .5
    square_sum = 1 + kernel_at[1] ** 2 + kernel_at[2] ** 2
    assert losses["loss_object"].item() == pytest.approx(1 - 2 / (square_sum + 1), rel=1e-5)


@pytest.mark.parametrize(("distance", "value"), [(0.5, 0.5), (1.0, 0.0625), (2.0, 1.5e-5)])
def test_kernel_values_of_the_paper(distance: float, value: float) -> None:
    two_sigma2 = embedding.kernel_width(delta_var=0.5, threshold=0.5)
    assert two_sigma2 == pytest.approx(0.3607, abs=1e-4)
    assert math.exp(-(distance**2) / two_sigma2) == pytest.approx(value, rel=0.02)


@pytest.mark.parametrize("ids", [[[0, 0]], [[-1, -1]], [[0, -1]]], ids=["unlabelled", "ignored", "both"])
def test_no_instance_is_a_zero_with_graph(ids: list[list[int]]) -> None:
    embeddings = torch.randn(1, 4, 1, 2, requires_grad=True)
    losses = EmbeddingLoss()(embeddings, tensor([ids]))
    torch.stack(list(losses.values())).sum().backward()
    assert embeddings.grad is not None
    assert all(loss.item() == 0 for loss in losses.values())
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))


def test_single_instance_without_unlabelled_pixels() -> None:
    embeddings = torch.zeros(1, 4, 2, 2, requires_grad=True)
    losses = EmbeddingLoss()(embeddings, torch.full((1, 2, 2), 3))
    for name, loss in losses.items():  # a collapsed instance is a perfect one
        assert loss.item() == pytest.approx(0, abs=1e-12), name


def test_gradient_is_finite_where_all_pixels_coincide() -> None:
    embeddings = torch.zeros(1, 4, 2, 3, requires_grad=True)
    losses = EmbeddingLoss()(embeddings, tensor([[[1, 1, 2], [2, 0, 0]]]))
    torch.stack(list(losses.values())).sum().backward()
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


def test_ignored_pixels_change_nothing() -> None:
    embeddings, ids = random_image()
    moved = embeddings.masked_fill(ids == -1, 123.0)
    first, second = (EmbeddingLoss()(e[None], ids[None]) for e in (embeddings, moved))
    assert all(torch.equal(first[name], second[name]) for name in LOSSES)


def test_half_precision_is_computed_in_float32() -> None:
    embeddings, ids = random_image()
    losses = EmbeddingLoss()(embeddings[None].bfloat16(), ids[None])
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())


def test_margin_offset_survives_a_checkpoint() -> None:
    saved, loaded = EmbeddingLoss(), EmbeddingLoss()
    saved.margin_offset.fill_(0.125)
    loaded.load_state_dict(saved.state_dict())
    assert loaded.margin_offset.item() == 0.125


def test_all_weights_0_keep_the_graph() -> None:
    criterion = EmbeddingLoss(pull=0, push=0, reg=0, object=0, unlabeled_push=0)
    embeddings = torch.randn(2, 3, 4, 5, requires_grad=True)
    losses = criterion(embeddings, torch.arange(40).view(2, 4, 5) % 3)
    sum(losses.values(), torch.zeros(())).backward()
    assert [loss.item() for loss in losses.values()] == [0.0] * 5
    assert embeddings.grad is not None and not embeddings.grad.any()
