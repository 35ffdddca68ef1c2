"""Entries by image: order, repeated images, several processes."""

from __future__ import annotations

from ptseg_d2.evaluation.per_image_scores import PerImageScores

import numpy as np
import pytest


def test_order_is_that_of_the_keys() -> None:
    entries = PerImageScores()
    for key in ("b", None, 10, "a", 9, ("c", "d")):
        entries.add(key, (np.array([str(key)]),))
    assert entries.keys() == [9, 10, "a", "b", ("c", "d"), None]
    assert [entry[0][0] for entry in entries.ordered()] == [str(key) for key in entries.keys()]
    assert len(entries) == 6


def test_an_image_counts_once() -> None:
    first, second = PerImageScores(), PerImageScores()
    for entries in (first, first, second):
        entries.add("x", (np.array([1, 2]), np.array([0.5])))
    second.add("y", ())
    first.merge(second)
    assert first.keys() == ["x", "y"]


def test_without_a_key_every_call_is_an_image() -> None:
    first, second = PerImageScores(), PerImageScores()
    for entries in (first, first, second):
        entries.add(None, (np.zeros(1),))
    first.merge(second)
    assert len(first) == 3


@pytest.mark.parametrize("other", [np.array([1, 3]), np.array([1])])
def test_another_entry_of_the_same_image_is_refused(other: np.ndarray) -> None:
    first, second = PerImageScores(), PerImageScores()
    first.add("x", (np.array([1, 2]),))
    second.add("x", (other,))
    with pytest.raises(ValueError, match="image x was added twice"):
        first.merge(second)
