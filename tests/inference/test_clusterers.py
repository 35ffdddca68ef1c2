"""Each clustering by its name, inside class masks, and on clouds and masks that are hardly any."""

from __future__ import annotations

from functools import partial

from ptseg_d2.inference.clusterers import CLUSTERINGS, Clustering, cluster_things
from ptseg_d2.inference.clustering import agglomerative, mean_shift, mean_shift_plus, sampled_mean_shift
from ptseg_d2.inference.instance_grouping import EmbeddingGrouping, PanopticOptions
from ptseg_d2.inference.panoptic_model import mean_per_instance
from ptseg_d2.pseudo_labels.instance import stable_instances

import pytest
import torch
from sklearn.cluster import MeanShift
from torch import Tensor, nn, tensor

each = pytest.mark.parametrize("name", CLUSTERINGS)


def by_name(name: str, num_samples: int = 512) -> Clustering:
    return Clustering(name, delta_var=0.5, delta_dist=1.5, num_samples=num_samples, num_seeds=256)


def two_classes() -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings (2, 8, 12), classes and instances: 13 holds a half and a quarter, 11 the rest in one piece."""
    instance_ids = torch.zeros(8, 12, dtype=torch.int64)
    instance_ids[:, :4], instance_ids[:, 4:8], instance_ids[:4, 8:] = 1, 2, 3
    sem_seg = tensor([0, 11, 13, 13])[instance_ids]
    centers = tensor([[9.0, 9.0], [0.0, 0.0], [0.0, 0.0], [4.0, 0.0]])  # 1 and 2 differ in class alone
    return centers[instance_ids].permute(2, 0, 1), sem_seg, instance_ids


def test_a_name_stands_for_its_function() -> None:
    points = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(by_name("mean_shift_plus")(points, 9), mean_shift_plus(points, 0.5, 1.5, 9, 512, 256))
    assert torch.equal(by_name("mean_shift")(points, 9), sampled_mean_shift(points, 0.5, 9, 512))
    assert torch.equal(by_name("agglomerative")(points, 9), agglomerative(points, 1.5, 512, 0, 9))


def test_plain_mean_shift_takes_the_bandwidth_it_is_given() -> None:
    """Two clouds of diameter 0, 1.2 apart: two clusters at the bandwidth delta_var = .5, one at 1.5."""
    points = tensor([[0.0, 0.0]] * 5 + [[1.2, 0.0]] * 4)
    wide = Clustering("mean_shift", delta_var=0.5, delta_dist=1.5, bandwidth=1.5)
    assert by_name("mean_shift")(points).tolist() == [0] * 5 + [1] * 4
    assert wide(points).tolist() == [0] * 9


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'kmeans'; expected one of 'mean_shift_plus', 'mean_shift', 'agglomerative'"):
        by_name("kmeans")


def test_sampled_mean_shift_of_all_points_equals_scikit_learn() -> None:
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(4))
    expected = torch.from_numpy(MeanShift(bandwidth=0.3).fit_predict(points.double().numpy()))
    pairs = torch.stack([sampled_mean_shift(points, 0.3), expected]).unique(dim=1)
    assert pairs.shape[1] == len(expected.unique()) > 3


@each
def test_inside_each_class_mask(name: str) -> None:
    embeddings, sem_seg, instance_ids = two_classes()
    found = cluster_things(embeddings, sem_seg, (11, 13), partial(by_name(name), min_size=4), 4)
    assert torch.equal(found, instance_ids)


@each
@pytest.mark.parametrize("num_points", [400, 30000])  # without and with sub-sampling, ties in float32 projections
def test_neither_order_nor_chance_matters(name: str, num_points: int) -> None:
    rng = torch.Generator().manual_seed(1)
    points = 2.5 * torch.eye(6)[torch.randint(6, (num_points,), generator=rng)]
    points += 0.3 * torch.randn(num_points, 6, generator=rng)
    labels, order = by_name(name)(points, 20), torch.randperm(num_points, generator=rng)
    assert torch.equal(labels, by_name(name)(points, 20))
    assert (labels[order] == by_name(name)(points[order], 20)).double().mean() > 0.999  # rounding of product blocks


@each
def test_hardly_any_points(name: str) -> None:
    cluster = by_name(name)
    assert cluster(torch.zeros(0, 4)).tolist() == []
    assert cluster(torch.ones(1, 4)).tolist() == [0]
    assert cluster(torch.full((1000, 4), 7.0), 20).tolist() == [0] * 1000
    assert cluster(torch.zeros(5, 4), 6).tolist() == [-1] * 5
    # Squares of 1e20 are no float32: the linkage of float64 still finds clusters, the others find none.
    labels = cluster(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 1e20)
    assert (labels.min() == 0) if name == "agglomerative" else labels.eq(-1).all()


@each
def test_points_that_are_not_finite(name: str) -> None:
    points = tensor([[0.0], [torch.nan], [9.0], [9.0], [torch.inf], [-torch.inf]])
    assert by_name(name)(points).tolist() == [1, -1, 0, 0, -1, -1]
    assert by_name(name)(torch.full((3, 2), torch.nan)).tolist() == [-1] * 3


def test_exact_mean_shift_leaves_out_what_is_not_finite() -> None:
    points = tensor([[0.0, 0.0], [torch.nan, 0.0], [9.0, 0.0], [9.0, 0.0], [0.0, torch.inf]])
    assert mean_shift(points, 1.0).tolist() == [1, -1, 0, 0, -1]
    assert mean_shift(points, 1.0, seeds=tensor([[0.5, 0.0]])).tolist() == [0, -1, 0, 0, -1]
    assert mean_shift(torch.full((3, 2), torch.nan), 1.0).tolist() == [-1] * 3


@each
def test_small_clusters_join_the_nearest(name: str) -> None:
    line = tensor([0.0] * 6 + [10.0] * 5 + [3.0, 3.0, 8.0])[:, None]
    assert by_name(name)(line, 3).tolist() == [0] * 6 + [1] * 5 + [0, 0, 1]


@each
def test_masks_from_nothing_to_two_hundred_objects(name: str) -> None:
    cluster = partial(by_name(name, num_samples=1024), min_size=4)
    classes = torch.full((20, 80), 255)
    grid = torch.cartesian_prod(torch.arange(10.0), torch.arange(20.0)).T.view(2, 10, 20) * 4
    embeddings = grid.repeat_interleave(2, 1).repeat_interleave(4, 2)  # objects of 2 x 4 pixels

    def found(sem_seg: Tensor) -> int:
        instance_ids = cluster_things(embeddings, sem_seg, (13,), cluster, 1)
        stable, scores = stable_instances(instance_ids, [embeddings, embeddings], 0.5, 3, 1.0)
        assert torch.equal(stable, instance_ids)  # student = teacher, and the objects are apart
        return len(scores)

    assert found(classes) == 0
    assert found(torch.full_like(classes, 13)) == 200
    embeddings = torch.zeros(2, 20, 80)
    assert found(torch.full_like(classes, 13)) == 1  # fills the image
    one_pixel = classes.clone()
    one_pixel[3, 5] = 13
    assert found(one_pixel) == 0  # 1 < min_size


@each
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_diverged_network_has_no_instances(name: str, value: float) -> None:
    embeddings, sem_seg = torch.full((3, 6, 6), value), torch.full((6, 6), 13)
    instance_ids = cluster_things(embeddings, sem_seg, (13,), partial(by_name(name), min_size=2), 1)
    assert instance_ids.eq(0).all()
    ones = torch.ones_like(sem_seg)
    stable, scores = stable_instances(ones, [embeddings, embeddings], 0.5, 3, 0.6)
    assert stable.eq(-1).all() and scores == {1: 0.0}


def test_mean_per_instance_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    values, instance_ids = torch.rand(20, 30, generator=generator), torch.randint(0, 9, (20, 30), generator=generator)
    instance_ids[instance_ids == 4] = 0  # a gap in the numbers
    means = mean_per_instance(values, instance_ids)
    expected = [float(values[instance_ids == n].double().mean()) if n != 4 else 0 for n in range(9)]
    assert means.tolist() == pytest.approx(expected, abs=1e-12)
    assert mean_per_instance(values, torch.zeros_like(instance_ids)).tolist() == pytest.approx([float(values.mean())])


class Fixed(nn.Module):
    """A network whose embeddings are given."""

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__()
        self.embeddings = embeddings

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        return {"embeddings": self.embeddings[None]}


@each
def test_the_grouping_uses_its_clustering_and_the_morphology_of_its_options(name: str) -> None:
    embeddings, sem_seg, instance_ids = two_classes()
    embeddings[:, instance_ids == 0] = 50.0  # nothing beside the things looks like them
    embeddings[:, 5, 2] = torch.nan  # a hole in instance 1, filled; its score must not become NaN
    networks = [((11, 13), Fixed(embeddings))]
    options = PanopticOptions((11, 13), min_thing_share=0.05, min_stuff_share=0, closing=0.13)
    grouping = EmbeddingGrouping(networks, options, Clustering(name, delta_var=0.5, delta_dist=1.5))
    found, scores = grouping(torch.zeros(3, 8, 12), sem_seg)
    assert torch.equal(found, instance_ids)
    assert scores.keys() == {1, 2, 3}
    # 1 and 2 differ in class alone, so that each one's ball covers both.
    assert scores == {1: pytest.approx(31 / 63), 2: pytest.approx(32 / 63), 3: 1.0}
