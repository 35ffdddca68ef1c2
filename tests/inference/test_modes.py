"""The steps of the mode search against slow loops and hand-made clouds."""

from __future__ import annotations

from ptseg_d2.inference.modes import (
    farthest_points,
    on_ridge,
    shift,
    squared_distances,
    strongest_apart,
    subsample,
)

import torch


def test_squared_distances() -> None:
    a, b = torch.randn(7, 3), torch.randn(5, 3)
    torch.testing.assert_close(squared_distances(a, b), torch.cdist(a, b) ** 2, atol=1e-5, rtol=1e-5)


def test_subsample_is_a_sorted_subset_for_any_order() -> None:
    points = torch.randn(1000, 4)
    samples = subsample(points, 100, seed=1)
    assert {tuple(p) for p in samples.tolist()} <= {tuple(p) for p in points.tolist()}
    assert len(samples.unique(dim=0)) == 100
    assert torch.equal(samples, subsample(points.flip(0), 100, seed=1))
    assert not torch.equal(samples, subsample(points, 100, seed=2))


def test_subsample_keeps_the_shares_of_clusters() -> None:
    points = torch.tensor([0.0] * 900 + [5.0] * 90 + [9.0] * 10)[:, None]
    _, counts = subsample(points, 100, seed=0).unique(return_counts=True)
    assert counts.tolist() == [90, 9, 1]


def test_farthest_points_equals_a_slow_loop() -> None:
    samples = torch.randn(60, 3)
    chosen = [0]
    while len(chosen) < 10:
        gaps = [min(float((p - samples[c]).norm()) for c in chosen) for p in samples]
        chosen.append(max(range(60), key=gaps.__getitem__))
    assert torch.equal(farthest_points(samples, 10, radius=0.0), samples[chosen])


def test_farthest_points_stops_when_all_are_covered() -> None:
    samples = torch.tensor([[0.0], [0.4], [5.0], [5.5], [9.0]])
    assert farthest_points(samples, 100, radius=0.6).flatten().tolist() == [0.0, 9.0, 5.0]


def test_shift_by_hand() -> None:
    samples = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
    # From 0 the ball of radius 1 holds {0, 1} -> 0.5; then {0, 1} again. From 9 only itself; from 20 nothing.
    modes, support = shift(torch.tensor([[0.0], [9.0], [20.0]]), samples, radius=1.0, max_iterations=10)
    assert modes.flatten().tolist() == [0.5, 9.0, 20.0]
    assert support.tolist() == [2, 1, 0]


def test_strongest_apart_by_hand() -> None:
    modes = torch.tensor([[0.0], [1.0], [2.0], [3.5], [8.0]])
    # 5 points at 1 absorb 0 and 2; 3.5 is 2.5 away and stays; 8 has no support.
    assert strongest_apart(modes, torch.tensor([3, 5, 4, 1, 0]), distance=1.0).tolist() == [1, 3]
    assert strongest_apart(modes, torch.zeros(5, dtype=torch.int64), distance=1.0).tolist() == []


def test_on_ridge_by_hand() -> None:
    """Peaks of 9 and 6 points at 0 and 6, two points per unit between: the one at 3 is part of the way down."""
    samples = torch.tensor([0.0] * 9 + [6.0] * 6 + [1.5] * 2 + [2.5, 3.0, 3.5] + [4.5] * 2)[:, None]
    modes = torch.tensor([[0.0], [6.0], [3.0]])
    ridge = on_ridge(modes, torch.tensor([9, 6, 3]), samples, radius=0.6, reach=4.0, ratio=0.6)
    assert ridge.tolist() == [False, False, True]  # middles 1.5 and 4.5 hold 2 >= .6 * 3
    assert not on_ridge(modes, torch.tensor([9, 6, 3]), samples, radius=0.6, reach=2.0, ratio=0.6).any()


def test_on_ridge_without_modes() -> None:
    empty = torch.zeros(0, 3)
    assert on_ridge(empty, torch.zeros(0), torch.randn(5, 3), radius=1.0, reach=2.0, ratio=0.5).tolist() == []
