"""Pseudo instances on maps small enough to read."""

from __future__ import annotations

import math
import statistics
from functools import partial

from ptseg_d2.pseudo_labels.instance import cluster_things, instance_scores, stable_instances

import pytest
import torch
from torch import Tensor, tensor


def by_sign(points: Tensor) -> Tensor:
    """A clusterer whose answer is plain: the sign of the first coordinate."""
    return (points[:, 0] < 0).long()


def columns(values: list[float], height: int = 4) -> Tensor:
    """(1, height, len(values)) embeddings that are constant in each column."""
    return tensor(values).expand(1, height, -1).clone()


def test_cluster_things_inside_each_class() -> None:
    sem_seg = tensor([[11, 11, 13, 13, 0], [11, 11, 13, 13, 18]])
    embeddings = columns([1.0, -1.0, 1.0, -1.0, 1.0], height=2)
    ids = cluster_things(embeddings, sem_seg, (13, 11, 18), by_sign, min_area=2)
    assert ids.tolist() == [[1, 2, 3, 4, 0], [1, 2, 3, 4, 0]]  # one pixel of class 18 < 2: skipped
    assert ids.dtype == torch.int64


def test_cluster_things_leaves_unlabelled_points_out() -> None:
    ids = cluster_things(
        columns([1.0, 2.0]), torch.full((4, 2), 11), {11}, lambda p: by_sign(p) - (p[:, 0] > 1).long(), 1
    )
    assert ids.tolist() == [[1, 0]] * 4


def test_cluster_things_without_things() -> None:
    sem_seg = torch.full((4, 3), 255)
    assert cluster_things(columns([1.0] * 3), sem_seg, {11}, by_sign, 0).eq(0).all()
    with pytest.raises(ValueError, match="differ in size"):
        cluster_things(columns([1.0] * 3), torch.zeros(4, 4), {11}, by_sign, 0)


def test_instance_stays_only_where_student_and_teacher_agree() -> None:
    instance_ids = tensor([1, 1, 2, 2, 0]).expand(4, -1)
    teacher = columns([0.0, 0.0, 5.0, 5.0, 5.0])
    student = columns([0.0, 0.0, 5.0, 9.0, 5.0])  # splits instance 2, whose masks overlap by half
    stable, scores = stable_instances(instance_ids, student, teacher, radius=0.5, num_anchors=7, threshold=0.6)
    assert stable.tolist() == [[1, 1, -1, -1, 0]] * 4
    assert scores == {1: 1.0, 2: 0.5}
    assert instance_ids.tolist() == [[1, 1, 2, 2, 0]] * 4


def test_classes_bound_the_masks() -> None:
    """Instance 2 collapses onto instance 1 in the student; with classes given, only its own class counts."""
    instance_ids, sem_seg = tensor([1, 1, 2, 2]).expand(4, -1), tensor([11, 11, 13, 13]).expand(4, -1)
    teacher, student = columns([0.0, 0.0, 5.0, 5.0]), columns([0.0, 0.0, 0.0, 0.0])
    judge = partial(stable_instances, instance_ids, student, teacher, radius=0.5, num_anchors=3, threshold=0.6)
    assert judge()[1] == {1: 0.5, 2: 0.5}
    assert judge(sem_seg=sem_seg)[1] == {1: 1.0, 2: 1.0}


def test_scores_equal_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    instance_ids = torch.randint(-1, 4, (6, 7), generator=generator) * 2  # gaps in the numbers
    teacher = torch.randn(3, 6, 7, generator=generator)
    student = teacher + 0.5 * torch.randn(3, 6, 7, generator=generator)
    _, scores = stable_instances(instance_ids, student, teacher, 1.0, 5, 0.5, rng=torch.Generator().manual_seed(1))

    draws = torch.rand(3, 5, generator=torch.Generator().manual_seed(1))
    clustered = [(y, x) for y in range(6) for x in range(7) if instance_ids[y, x] > 0]
    for row, number in enumerate([2, 4, 6]):
        own = [p for p in clustered if instance_ids[p] == number]
        overlaps = []
        for draw in draws[row]:
            y, x = own[int(draw * len(own))]
            masks = [
                {p for p in clustered if (e[:, p[0], p[1]] - e[:, y, x]).norm() <= 1.0} for e in (student, teacher)
            ]
            overlaps.append(len(masks[0] & masks[1]) / len(masks[0] | masks[1]))
        assert scores[number] == pytest.approx(statistics.median(overlaps), abs=1e-6)


def test_anchors_come_from_the_given_generator() -> None:
    instance_ids = torch.ones(8, 8, dtype=torch.int64)
    student, teacher = torch.randn(2, 2, 8, 8)
    runs = [
        stable_instances(instance_ids, student, teacher, 1.0, 3, 0.5, rng=torch.Generator().manual_seed(s))[1]
        for s in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_nothing_to_judge_and_nan() -> None:
    none = torch.zeros(4, 3, dtype=torch.int64)
    stable, scores = stable_instances(none, columns([0.0] * 3), columns([0.0] * 3), 0.5, 5, 0.6)
    assert stable.eq(0).all() and scores == {}
    nan = columns([math.nan] * 3)
    stable, scores = stable_instances(none + 1, nan, nan, 0.5, 5, 0.6)
    assert stable.eq(-1).all() and scores == {1: 0.0}


def test_instance_scores_by_hand() -> None:
    """Pixels of instance 1 lie delta_var from their mean, where the kernel equals its threshold; of 3, on it."""
    instance_ids = tensor([[1, 1, 3, 0, -1]])
    scores = instance_scores(tensor([[[0.0, 1.0, 7.0, 7.0, 7.0]]]), instance_ids, kernel_threshold=0.4, delta_var=0.5)
    assert scores == {1: pytest.approx(0.4), 3: 1.0}
    assert instance_scores(torch.zeros(1, 2, 2), torch.zeros(2, 2, dtype=torch.int64), 0.5, 0.5) == {}
