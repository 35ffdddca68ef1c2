"""The rule that makes riders of persons, on boxes that can be drawn by hand: (x1, y1, x2, y2), y downwards."""

from __future__ import annotations

from ptseg_d2.detectors.riders import RiderRule, find_riders, with_riders

import pytest
import torch

BIKE = (0.0, 40.0, 60.0, 80.0)
ON_IT = (20.0, 0.0, 40.0, 70.0)


def riders(
    persons: list[tuple[float, ...]], vehicles: list[tuple[float, ...]], rule: RiderRule | None = None
) -> list[bool]:
    people, wheels = (torch.tensor(boxes).reshape(-1, 4) for boxes in (persons, vehicles))
    answer: list[bool] = find_riders(people, wheels, rule or RiderRule()).tolist()
    return answer


@pytest.mark.parametrize(
    ("person", "rides"),
    [
        pytest.param(ON_IT, True, id="sits on it, feet on the pedals"),
        pytest.param((20.0, 12.0, 40.0, 82.0), False, id="stands before it: the feet are below its wheels"),
        pytest.param((20.0, 10.0, 40.0, 79.0), False, id="stands beside it: the feet are on its ground"),
        pytest.param((20.0, 0.0, 40.0, 45.0), False, id="stands behind it: only the feet are hidden"),
        pytest.param((50.0, 0.0, 80.0, 70.0), False, id="its middle is beside it"),
        pytest.param((20.0, 42.0, 40.0, 70.0), False, id="does not rise above it"),
        pytest.param((20.0, 0.0, 40.0, 39.0), False, id="is above it"),
        pytest.param((200.0, 0.0, 220.0, 70.0), False, id="is far away"),
    ],
)
def test_one_person_and_one_bicycle(person: tuple[float, ...], rides: bool) -> None:
    assert riders([person], [BIKE]) == [rides]


def test_a_two_wheeler_carries_the_one_who_overlaps_most() -> None:
    """The second person has 30/65 of its height in the bicycle's, the first 30/70."""
    assert riders([ON_IT, (22.0, 5.0, 38.0, 70.0)], [BIKE]) == [False, True]
    assert riders([ON_IT, (22.0, 5.0, 38.0, 70.0)], [BIKE, BIKE]) == [True, True]


def test_a_person_rides_one_two_wheeler_and_leaves_the_other() -> None:
    other = (100.0, 5.0, 120.0, 70.0)
    assert riders([ON_IT, other], [BIKE, (0.0, 45.0, 60.0, 80.0)]) == [True, False]


def test_numbers_of_the_rule() -> None:
    assert riders([ON_IT], [BIKE], RiderRule(min_overlap=0.5)) == [False]  # 30 of 70
    assert riders([ON_IT], [BIKE], RiderRule(min_clearance=0.3)) == [False]  # 10 of 40


@pytest.mark.parametrize(("persons", "vehicles"), [([], []), ([ON_IT], []), ([], [BIKE])])
def test_nothing_there(persons: list[tuple[float, ...]], vehicles: list[tuple[float, ...]]) -> None:
    assert riders(persons, vehicles) == [False] * len(persons)


def test_only_persons_change() -> None:
    """A car where the rider sits stays a car; the classes given are not touched."""
    boxes = torch.tensor([ON_IT, ON_IT, BIKE, (200.0, 0.0, 220.0, 70.0)])
    classes = torch.tensor([13, 11, 18, 11])
    assert with_riders(boxes, classes, person=11, rider=12, two_wheelers=(18, 17)).tolist() == [13, 12, 18, 11]
    assert classes.tolist() == [13, 11, 18, 11]
