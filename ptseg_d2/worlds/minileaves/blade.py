"""The outline of a leaf on the picture: which pixels it covers, and where along and across the leaf they lie.

Pixels are x to the right, y down; a leaf's own frame is u along its midrib from the stem, v across it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .plant import Leaf

STEPS = 256  # of the tabulated outline
PETIOLE_WIDTH = 0.028  # half of it, share of the leaf's length
MARGIN_PX = 3  # of the box round a leaf, beyond the end of its stalk


@dataclass(frozen=True)
class Blade:
    """The pixels of a leaf, in a box of h x w pixels cut from the picture.

    Attributes:
        rows, columns: of the box.
        cover: (h, w) float32, 0..1, share of the pixel that the leaf covers.
        along: (h, w) float32, 0 at the stem, 1 at the tip; outside 0..1 beyond them.
        across: (h, w) float32, -1..1 from margin to margin of the blade at its widest.
        rim: (h, w) float32, pixels to the margin, negative outside.
    """

    rows: slice
    columns: slice
    cover: np.ndarray
    along: np.ndarray
    across: np.ndarray
    rim: np.ndarray


def outline(leaf: Leaf, side: int) -> np.ndarray:
    """Half widths of a leaf in shares of its length: (2, STEPS) float32 for v < 0 and v > 0, u = 0..1."""
    habit = leaf.habit
    u = np.linspace(0, 1, STEPS, dtype=np.float32)
    t = np.clip((u - leaf.petiole) / (1 - leaf.petiole), 0, 1)
    widest = habit.taper / (habit.taper + habit.tip)
    blade = t**habit.taper * (1 - t) ** habit.tip / (widest**habit.taper * (1 - widest) ** habit.tip)
    blade *= habit.width * (1 - leaf.petiole) / math.cos(leaf.tilt) * (0.75 + 0.25 * leaf.maturity)
    stalk = np.maximum(PETIOLE_WIDTH, 0.9 / max(1.0, leaf.length * side)) * np.clip((1 - u) * 8, 0, 1)
    halves = []
    for half, sign in enumerate((-1, 1)):
        waves = habit.waves[2 * half : 2 * half + 2]
        wavy = sum(amplitude * np.sin(2 * math.pi * number * t + phase) for amplitude, number, phase in waves)
        halves.append(np.maximum(stalk, blade * (1 + sign * habit.skew + wavy)))
    return np.stack(halves).astype(np.float32)


def place(leaf: Leaf, stem_xy: tuple[float, float], side: int) -> Blade | None:
    """Where a leaf lies on a square picture.

    Args:
        leaf: to place.
        stem_xy: pixel of the stem.
        side: of the picture, pixels.

    Returns:
        None if it lies outside or is smaller than a pixel.
    """
    length = leaf.length * side
    halves = outline(leaf, side)
    if length < 2:
        return None
    cosine, sine = math.cos(leaf.habit.azimuth), math.sin(leaf.habit.azimuth)
    box = _box(halves, leaf.habit.bend, (cosine, sine), stem_xy, length, side)
    if box is None:
        return None
    rows, columns = box
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(stem_xy[0])
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(stem_xy[1])
    u = (x * cosine + y * sine) / np.float32(length)
    v = (y * cosine - x * sine) / np.float32(length) - np.float32(leaf.habit.bend) * u * u
    step = np.clip((u * (STEPS - 1)).astype(np.int32), 0, STEPS - 1)
    right = (v > 0).astype(np.int32)
    half_width = halves[right, step] - np.maximum(0, np.maximum(-u, u - 1))
    slope = np.gradient(halves, 1 / (STEPS - 1), axis=1).astype(np.float32)[right, step]
    rim = (half_width - np.abs(v)) / np.sqrt(1 + np.minimum(slope * slope, 9)) * np.float32(length)
    cover = np.clip(rim + 0.5, 0, 1)
    return Blade(rows, columns, cover, u, v / np.float32(halves.max()), rim)


def _box(
    halves: np.ndarray,
    bend: float,
    direction: tuple[float, float],
    stem_xy: tuple[float, float],
    length: float,
    side: int,
) -> tuple[slice, slice] | None:
    """Rows and columns of the picture that hold a leaf, or None."""
    u = np.tile(np.linspace(0, 1, STEPS), 2)
    v = np.concatenate([-halves[0], halves[1]]) + bend * u * u
    x = stem_xy[0] + length * (u * direction[0] - v * direction[1])
    y = stem_xy[1] + length * (u * direction[1] + v * direction[0])
    margin = MARGIN_PX + math.ceil(length * float(halves[:, 0].max()))
    left, top = (max(0, int(values.min()) - margin) for values in (x, y))
    right, bottom = (min(side, int(values.max()) + margin + 1) for values in (x, y))
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None
