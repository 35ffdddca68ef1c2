"""Numbers of pixels and of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def evenly_spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spread over them, the first and the last among them."""
    positions = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[position] for position in positions]
