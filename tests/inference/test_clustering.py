"""Clusterings against scikit-learn, hand-made clouds and invariants."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ptseg_d2.inference.clustering import agglomerative, mean_shift, mean_shift_plus, nearest_center

import numpy as np
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering, MeanShift, get_bin_seeds
from torch import Tensor


def cloud(
    sizes: list[int], dims: int = 8, gap: float = 3.0, spread: float = 0.1, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Shuffled Gaussian clusters on the axes, centres gap * sqrt(2) apart, and the cluster of each point."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    truth = truth[torch.randperm(len(truth), generator=generator)]
    centers = gap * torch.eye(dims)[: len(sizes)]
    return centers[truth] + spread * torch.randn(len(truth), dims, generator=generator), truth


def same_partition(a: Tensor, b: Tensor) -> bool:
    """Whether two labellings are equal up to the names of the labels."""
    pairs = torch.stack([a, b]).unique(dim=1)
    return pairs.shape[1] == len(a.unique()) == len(b.unique())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mean_shift_equals_scikit_learn(seed: int) -> None:
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)  # no clear clusters
    expected = MeanShift(bandwidth=0.3).fit(points.numpy())
    assert len(expected.cluster_centers_) > 3
    assert mean_shift(points, 0.3).tolist() == expected.labels_.tolist()


def test_mean_shift_equals_scikit_learn_on_its_bin_seeds() -> None:
    points = torch.rand(300, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    seeds = torch.from_numpy(get_bin_seeds(points.numpy(), 0.2))
    expected = MeanShift(bandwidth=0.2, bin_seeding=True).fit(points.numpy())
    assert mean_shift(points, 0.2, seeds).tolist() == expected.labels_.tolist()


def test_mean_shift_without_a_point_near_the_seeds() -> None:
    assert mean_shift(torch.zeros(3, 2), 1.0, seeds=torch.full((1, 2), 9.0)).tolist() == [-1, -1, -1]


def test_near_modes_are_one_cluster() -> None:
    line = torch.tensor([0.0, 0.0, 0.0, 0.9, 0.9, 4.0, 4.0])[:, None]  # 0.9 < merge distance < 4
    assert mean_shift_plus(line, bandwidth=0.1, merge_distance=1.5).tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_every_cluster_is_found_and_numbered_by_size() -> None:
    points, truth = cloud([50, 400, 200, 100])
    labels = mean_shift_plus(points, 0.5, 1.5, min_size=20)
    assert labels.dtype == torch.int64
    assert labels.tolist() == torch.tensor([3, 0, 1, 2])[truth].tolist()


def test_border_between_two_objects_is_no_third_object() -> None:
    """Two touching objects leave a bridge of pixels on the line between their centres; it is cut in the middle."""
    points, truth = cloud([600, 300])
    bridge = torch.linspace(0.02, 0.98, 90)[:, None] * (points[truth == 1].mean(0) - points[truth == 0].mean(0))
    bridge = bridge + points[truth == 0].mean(0)
    labels = mean_shift_plus(torch.cat([points, bridge]), 0.5, 1.5, min_size=20)
    assert labels[:900].tolist() == truth.tolist()
    assert labels[900:].diff().abs().sum() == 1
    assert 40 <= (labels[900:] == 0).sum() <= 50


@pytest.mark.parametrize("num_samples", [4096, 1024])
def test_small_far_cluster_beside_a_large_one(num_samples: int) -> None:
    points, truth = cloud([6000, 40], spread=0.15)
    labels = mean_shift_plus(points, 0.5, 1.5, min_size=20, num_samples=num_samples)
    assert labels.tolist() == truth.tolist()


def test_small_clusters_dissolve_into_the_nearest() -> None:
    line = torch.tensor([0.0] * 5 + [10.0] * 5 + [3.0, 4.0, 8.0])[:, None]
    labels = mean_shift_plus(line, 0.5, 1.5, min_size=3)
    assert labels.tolist() == [0] * 5 + [1] * 5 + [0, 0, 1] or labels.tolist() == [1] * 5 + [0] * 5 + [1, 1, 0]


def test_fewer_points_than_a_cluster_needs() -> None:
    assert mean_shift_plus(torch.zeros(4, 2), 0.5, 1.5, min_size=5).tolist() == [-1] * 4
    assert mean_shift_plus(torch.zeros(5, 2), 0.5, 1.5, min_size=5).tolist() == [0] * 5


@pytest.mark.parametrize("size", [900, 7000])  # without and with sub-sampling
def test_order_of_the_points_does_not_matter(size: int) -> None:
    points, _ = cloud([size // 2, size // 3, size // 6], spread=0.3)
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(5))
    labels = mean_shift_plus(points, 0.5, 1.5, min_size=20, num_samples=1024)
    assert torch.equal(labels[order], mean_shift_plus(points[order], 0.5, 1.5, min_size=20, num_samples=1024))
    assert torch.equal(agglomerative(points, 1.5)[order], agglomerative(points[order], 1.5))


def test_same_seed_same_labels_and_caller_state_untouched() -> None:
    points, truth = cloud([3000, 2000, 1000])
    before, threads, state = points.clone(), torch.get_num_threads(), torch.get_rng_state()
    labels = mean_shift_plus(points, 0.5, 1.5, num_samples=512, seed=3)
    assert torch.equal(labels, mean_shift_plus(points, 0.5, 1.5, num_samples=512, seed=3))
    assert labels.tolist() == truth.tolist()
    assert torch.equal(points, before) and torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_half_precision_around_it_changes_nothing() -> None:
    points, truth = cloud([300, 200, 100])
    points = points + 50  # bfloat16 would round 50 to multiples of 1/4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert mean_shift_plus(points, 0.5, 1.5).tolist() == truth.tolist()


@pytest.mark.parametrize(
    "cluster", [partial(mean_shift_plus, bandwidth=0.5, merge_distance=1.5), partial(agglomerative, merge_distance=1.5)]
)
def test_degenerate_clouds(cluster: Callable[[Tensor], Tensor]) -> None:
    assert cluster(torch.zeros(0, 4)).tolist() == []
    assert cluster(torch.ones(1, 4)).tolist() == [0]
    assert cluster(torch.ones(5, 4)).tolist() == [0] * 5
    assert cluster(torch.full((3, 4), torch.nan)).tolist() == [-1] * 3
    assert cluster(torch.tensor([[0.0], [torch.nan], [9.0], [9.0], [torch.inf]])).tolist() == [1, -1, 0, 0, -1]
    assert len(cluster(torch.randn(50, 4) * 1e20)) == 50  # a diverged network: no crash


@pytest.mark.parametrize("num_instances", [1, 200])
def test_one_and_two_hundred_instances(num_instances: int) -> None:
    grid = torch.cartesian_prod(torch.arange(20.0), torch.arange(10.0))[:num_instances] * 4
    points = grid.repeat_interleave(30, dim=0)
    labels = mean_shift_plus(points, 0.5, 1.5, min_size=20)
    assert same_partition(labels, torch.arange(num_instances).repeat_interleave(30))


def test_agglomerative_equals_scikit_learn_centres() -> None:
    points, _ = cloud([40, 30, 20], spread=0.6)
    linkage = AgglomerativeClustering(n_clusters=None, distance_threshold=2.0, linkage="average")
    expected = linkage.fit_predict(points.numpy())
    centers = np.stack([points.numpy()[expected == k].mean(0) for k in np.unique(expected)])
    nearest = ((points.numpy()[:, None] - centers) ** 2).sum(2).argmin(1)
    assert len(centers) > 3  # wide clusters are over-split: the labels are not trivial
    assert same_partition(agglomerative(points, 2.0), torch.from_numpy(nearest))


def test_agglomerative_on_a_sub_sample() -> None:
    points, truth = cloud([3000, 2000, 500])
    assert agglomerative(points, 1.5, num_samples=300, min_size=20).tolist() == truth.tolist()


def test_nearest_center_in_blocks_equals_a_slow_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptseg_d2.inference.modes._BLOCK", 20)
    points, centers = torch.randn(17, 3), torch.randn(4, 3)
    expected = [min(range(4), key=lambda k: float((p - centers[k]).norm())) for p in points]
    assert nearest_center(points, centers).tolist() == expected
    assert nearest_center(points, centers[:0]).tolist() == [-1] * 17
