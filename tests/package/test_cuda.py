"""What runs on a GPU says there what it says on a CPU. Atomic additions on the GPU allow for rounding, not for more."""

from __future__ import annotations

from functools import partial

from ptseg_d2.inference.clusterers import CLUSTERINGS, Clustering, cluster_things
from ptseg_d2.inference.panoptic_model import mean_per_instance
from ptseg_d2.inference.stability import instance_stability
from ptseg_d2.losses.consistency import ConsistencyLoss
from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.pseudo_labels.instance import stable_instances

import pytest
import torch
from torch import Tensor

GPU = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def scene(noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """Embeddings (4, 24, 32) of six objects 3 units apart, one of them unlabelled, and their ids 0..5."""
    generator = torch.Generator().manual_seed(0)
    instance_ids = torch.arange(6).view(2, 3).repeat_interleave(12, 0).repeat_interleave(11, 1)[:, :32]
    centers = 3 * torch.cat([torch.zeros(1, 4), torch.eye(4), -torch.eye(4)[:1]])
    embeddings = centers[instance_ids].permute(2, 0, 1)
    return embeddings + noise * torch.randn(embeddings.shape, generator=generator), instance_ids


@pytest.mark.parametrize("name", CLUSTERINGS)
def test_clustering(name: str) -> None:
    embeddings, instance_ids = scene()
    cluster = partial(Clustering(name, delta_var=0.5, delta_dist=1.5, num_samples=256, num_seeds=64), min_size=9)
    sem_seg = torch.where(instance_ids > 0, 13, 0)
    found = [cluster_things(embeddings.to(d), sem_seg.to(d), (13,), cluster, 9).cpu() for d in ("cpu", GPU)]
    pairs = torch.stack([found[0].flatten(), instance_ids.flatten()]).unique(dim=1)
    assert pairs.shape[1] == 6  # each found instance is one object
    assert torch.equal(*found)


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_embedding_loss_and_its_gradient(noise: float) -> None:
    embeddings, instance_ids = scene(noise)
    instance_ids = instance_ids.masked_fill(instance_ids == 5, -1)
    losses, gradients = [], []
    for device in ("cpu", GPU):
        leaf = embeddings[None].to(device).requires_grad_()
        terms = EmbeddingLoss()(leaf, instance_ids[None].to(device))
        torch.stack(list(terms.values())).sum().backward()
        assert leaf.grad is not None
        losses.append({name: term.item() for name, term in terms.items()})
        gradients.append(leaf.grad.cpu())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4, abs=1e-6)
    assert gradients[0].any()
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)


def test_consistency_loss_and_its_gradient() -> None:
    student, instance_ids = scene()
    teacher = scene(0.3)[0]
    losses, gradients = [], []
    for device in ("cpu", GPU):
        torch.manual_seed(0)  # the anchors, drawn on the CPU
        leaf = student[None].to(device).requires_grad_()
        criterion = ConsistencyLoss(max_anchors=3)
        loss = criterion(leaf, teacher[None].to(device), (instance_ids > 0)[None].to(device))["loss_consistency"]
        loss.backward()
        assert leaf.grad is not None
        losses.append(loss.item())
        gradients.append(leaf.grad.cpu())
    assert losses[0] > 1e-3
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("num_anchors", [1, 5])
def test_stability(num_anchors: int) -> None:
    embeddings, instance_ids = scene(0.4)
    other = scene(0.5)[0]
    scores = [
        instance_stability(
            instance_ids.to(device),
            [embeddings.to(device), other.to(device)],
            1.0,
            num_anchors,
            torch.Generator().manual_seed(0),
        )
        for device in ("cpu", GPU)
    ]
    assert 0 < min(scores[0].values()) < max(scores[0].values()) < 1
    assert scores[1] == pytest.approx(scores[0], abs=0.02)  # a pixel at the rim of a ball may change sides
    stable, _ = stable_instances(instance_ids.to(GPU), [embeddings.to(GPU)], 1.0, num_anchors, 2.0)
    assert stable.device.type == GPU and stable[instance_ids > 0].eq(-1).all()


def test_mean_per_instance() -> None:
    values, instance_ids = scene()[0][0], scene()[1]
    means = [mean_per_instance(values.to(device), instance_ids.to(device)).tolist() for device in ("cpu", GPU)]
    assert means[1] == pytest.approx(means[0], abs=1e-9)
