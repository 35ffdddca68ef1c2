"""Shares as whole numbers, and items that are evenly spread."""

from __future__ import annotations

from ptseg_d2.counting import evenly_spread, number_of

import pytest


@pytest.mark.parametrize(
    ("share", "total", "at_least", "number"),
    [(0.25, 10, 0, 2), (0.35, 10, 0, 4), (0.5, 7, 0, 4), (5e-4, 1024 * 2048, 0, 1049), (1e-4, 100, 0, 0)]
    + [(1e-4, 100, 1, 1), (0.9, 10, 1, 9), (0.0, 10, 0, 0), (1.0, 0, 1, 1)],
)
def test_share_of_a_total(share: float, total: int, at_least: int, number: int) -> None:
    """2.5 becomes 2, 3.5 becomes 4: the even one."""
    assert number_of(share, total, at_least) == number


@pytest.mark.parametrize(
    ("count", "chosen"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, list(range(10))), (99, list(range(10)))]
)
def test_evenly_spread_items_have_both_ends(count: int, chosen: list[int]) -> None:
    assert evenly_spread(range(10), count) == chosen


def test_nothing_to_choose_from() -> None:
    assert evenly_spread([], 3) == [] and evenly_spread(["a"], 0) == []
