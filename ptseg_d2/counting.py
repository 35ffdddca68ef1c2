"""Numbers of pixels and of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def number_of(share: float, total: int, at_least: int = 0) -> int:
    """A share of a total as a whole number; of two equally near ones the even one, as `round` does.

    Args:
        share: in [0, 1].
        total: number of pixels or items.
        at_least: smallest result.
    """
    return max(at_least, round(share * total))


def evenly_spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly spread over them, the first and the last among them."""
    positions = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[position] for position in positions]
