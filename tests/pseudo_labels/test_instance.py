"""Pseudo instances on maps small enough to read."""

from __future__ import annotations

import math
import statistics

from ptseg_d2.inference import modes
from ptseg_d2.inference.clusterers import cluster_things
from ptseg_d2.inference.stability import instance_stability
from ptseg_d2.pseudo_labels.instance import stable_instances

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


def test_ball_that_leaves_its_instance_is_less_stable() -> None:
    """The last column looks like instance 2 and is not in it: two of the three columns of the ball are."""
    instance_ids = tensor([1, 1, 2, 2, 0]).expand(4, -1)
    embeddings = columns([0.0, 0.0, 5.0, 5.0, 5.0])
    stable, scores = stable_instances(instance_ids, [embeddings], radius=0.5, num_anchors=7, threshold=0.7)
    assert scores == {1: 1.0, 2: pytest.approx(2 / 3)}
    assert stable.tolist() == [[1, 1, -1, -1, 0]] * 4
    assert instance_ids.tolist() == [[1, 1, 2, 2, 0]] * 4


def test_student_and_teacher_must_agree() -> None:
    """Around the mean the student sees columns 1 to 3 and the teacher 2 to 4; the instance is 2 and 3."""
    instance_ids = tensor([0, 1, 1, 0, 0]).expand(4, -1)
    student, teacher = columns([5.0, 5.0, 5.0, 0.0, 0.0]), columns([0.0, 5.0, 5.0, 5.0, 0.0])
    assert instance_stability(instance_ids, [student], 0.5) == {1: pytest.approx(2 / 3)}
    assert instance_stability(instance_ids, [student, teacher], 0.5) == {1: 0.5}
    assert instance_stability(instance_ids, [student, teacher, columns([5.0, 5.0, 0.0, 0.0, 0.0])], 0.5) == {1: 0.0}


def test_scores_equal_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    instance_ids = torch.randint(-1, 4, (6, 7), generator=generator) * 2  # gaps in the numbers
    teacher = torch.randn(3, 6, 7, generator=generator)
    student = teacher + 0.5 * torch.randn(3, 6, 7, generator=generator)
    scores = instance_stability(instance_ids, [student, teacher], 1.5, 5, torch.Generator().manual_seed(1))

    draws = torch.rand(3, 5, 16, generator=torch.Generator().manual_seed(1))
    pixels = [(y, x) for y in range(6) for x in range(7)]
    for row, number in enumerate([2, 4, 6]):
        own = [p for p in pixels if instance_ids[p] == number]
        overlaps = []
        for draw in draws[row]:
            masks = [set(own)]
            for e in (student, teacher):
                anchor = sum(e[:, y, x] for y, x in (own[int(d * len(own))] for d in draw)) / 16
                masks.append({p for p in pixels if (e[:, p[0], p[1]] - anchor).norm() <= 1.5})
            overlaps.append(len(set.intersection(*masks)) / len(set.union(*masks)))
        assert scores[number] == pytest.approx(statistics.median(overlaps), abs=1e-6)


def test_scores_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels are looked at a few at a time; an image of one channel shares its memory with what is looked at."""
    generator = torch.Generator().manual_seed(0)
    instance_ids = torch.randint(0, 5, (9, 11), generator=generator)
    embeddings = torch.randn(1, 9, 11, generator=generator)
    before = embeddings.clone()
    whole = instance_stability(instance_ids, [embeddings], 0.7)
    monkeypatch.setattr(modes, "_BLOCK", 28)  # seven pixels for four instances, one in the last block
    assert instance_stability(instance_ids, [embeddings], 0.7) == pytest.approx(whole, abs=1e-6)
    assert torch.equal(embeddings, before) and 0 < min(whole.values()) < max(whole.values()) < 1


def test_anchors_come_from_the_given_generator() -> None:
    instance_ids = torch.ones(8, 8, dtype=torch.int64)
    embeddings = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    runs = [instance_stability(instance_ids, [embeddings], 1.0, 3, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_nothing_to_judge_and_nan() -> None:
    none = torch.zeros(4, 3, dtype=torch.int64)
    stable, scores = stable_instances(none, [columns([0.0] * 3)], 0.5, 5, 0.6)
    assert stable.eq(0).all() and scores == {}
    stable, scores = stable_instances(none + 1, [columns([math.nan] * 3)], 0.5, 5, 0.6)
    assert stable.eq(-1).all() and scores == {1: 0.0}


def test_a_broken_pixel_costs_its_own_instance_only() -> None:
    instance_ids = tensor([1, 1, 2, 2]).expand(4, -1)
    assert instance_stability(instance_ids, [columns([0.0, 0.0, 5.0, math.inf])], 0.5) == {1: 1.0, 2: 0.0}
