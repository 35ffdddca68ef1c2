"""Pedestrians as upright cut-outs in the image plane, and the cut-out itself.

Local units are metres: (across, up) from the point on the ground, scaled by the pixels per metre at that distance.
"""

from __future__ import annotations

from collections.abc import Sequence

from ptseg_d2.worlds.miniscapes.canvas import Color, tint
from ptseg_d2.worlds.miniscapes.stage import PERSON, Stage

import numpy as np

Point = tuple[float, float]


class Cutout:
    """Draws in local metres; `squeeze` narrows a side view to the view at an angle, a negative one mirrors it too."""

    def __init__(self, stage: Stage, x: float, z: float, squeeze: float = 1.0) -> None:
        base = stage.camera.project(np.array([x, 0.0, z]))
        self.distance = stage.camera.depth(x, z)
        self.scale = stage.camera.focal / self.distance
        self.u, self.v, self.squeeze = float(base[0]), float(base[1]), squeeze
        self.canvas = stage.canvas

    def points(self, local: Sequence[Point]) -> np.ndarray:
        """(across, up) in metres -> int32 pixels (M, 2)."""
        across = self.scale * self.squeeze
        return np.array([(round(self.u + across * a), round(self.v - self.scale * up)) for a, up in local], np.int32)

    def polygon(self, local: Sequence[Point], color: Color) -> None:
        """Fill a polygon given in metres."""
        self.canvas.polygon(self.points(local), color)

    def limb(self, local: Sequence[Point], color: Color, width: float) -> None:
        """Thick polyline given in metres."""
        self.canvas.lines([self.points(local)], color, round(width * self.scale))

    def wheel(self, center: Point, radius: float, color: Color, ring: float = 0.0) -> None:
        """Disc that narrows with the view, or a ring of this width."""
        at = (self.u + self.scale * self.squeeze * center[0], self.v - self.scale * center[1])
        axes = (max(1.0, self.scale * abs(self.squeeze) * radius), self.scale * radius)
        self.canvas.ellipse(at, axes, color, max(1, round(ring * self.scale)) if ring else -1)

    def ball(self, center: Point, radius: float, color: Color) -> None:
        """Disc that looks the same from everywhere."""
        at = (self.u + self.scale * self.squeeze * center[0], self.v - self.scale * center[1])
        self.canvas.disc(at, self.scale * radius, color)

    def head(self, stage: Stage, center: Point, radius: float) -> None:
        """Face with hair above it."""
        skin = stage.color("skin")
        self.ball((center[0], center[1] + 0.04), 1.12 * radius, tint(skin, stage.between(0.25, 0.6)))
        self.ball((center[0], center[1] - 0.03), 0.92 * radius, skin)


def draw_person(stage: Stage, x: float, z: float, height: float) -> None:
    """A standing or walking pedestrian, `height` metres tall."""
    body = Cutout(stage, x, z)
    stage.canvas.begin(PERSON, body.distance, instance=True)
    size = height / 1.75
    shirt, trousers = stage.color("cloth"), stage.color("cloth")
    stride = stage.between(-0.28, 0.28) * size
    lean = 0.15 * stride
    for foot, factor in ((-stride, 0.75), (stride, 1.0)):
        body.limb([(lean, 0.85 * size), (foot, 0.03)], tint(trousers, factor), 0.17 * size)
    half = stage.between(0.2, 0.27) * size
    torso = ((-0.75, 0.8), (0.75, 0.8), (1.0, 1.42), (0.5, 1.5), (-0.5, 1.5), (-1.0, 1.42))
    body.polygon([(lean + half * a, size * up) for a, up in torso], shirt)
    for side in (-1, 1):
        hand = (lean + side * (half + 0.06 * size) - side * 0.3 * stride, 0.8 * size)
        body.limb([(lean + side * half, 1.4 * size), hand], tint(shirt, 0.8), 0.1 * size)
    body.head(stage, (lean, 1.62 * size), 0.12 * size)
    if stage.chance(0.3):
        left = half if stage.chance(0.5) else -half - 0.2
        low, high = 0.6 * size, 0.9 * size
        body.polygon([(left, low), (left + 0.2, low), (left + 0.2, high), (left, high)], stage.color("cloth"))
