"""Extruded solids: a side profile drawn out to a width, seen in perspective with its faces lit one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ptseg_d2.worlds.miniscapes.canvas import Color, tint
from ptseg_d2.worlds.miniscapes.stage import Frame, Stage

import numpy as np

Points = Sequence[tuple[float, float]]
EdgeColor = Callable[[int], Color]


class Solid:
    """A profile in the (ahead, up) plane extruded over the width, in metres.

    Attributes:
        side: +1 or -1 when the right or left face is seen, 0 when neither.
        end: -1 when the rear is seen, +1 when the front is.
    """

    def __init__(self, stage: Stage, frame: Frame, profile: Points, width: float) -> None:
        self.stage = stage
        self.frame = frame
        self.profile = np.asarray(profile, dtype=np.float64)
        self.half = 0.5 * width
        self.camera_right, self.camera_ahead = frame.camera_position()
        self.side = 0 if abs(self.camera_right) <= self.half else (1 if self.camera_right > 0 else -1)
        self.end = 1 if self.camera_ahead > 0 else -1
        points = np.empty((2, len(self.profile), 3))
        points[:, :, 1:] = self.profile[None, :, ::-1]
        points[0, :, 0], points[1, :, 0] = -self.half, self.half
        self._left, self._right = stage.camera.project(frame.world(points))

    def on_side(self, points: Points) -> np.ndarray:
        """Points (ahead, up) on the seen side face -> pixels (M, 2)."""
        local = [(self.side * self.half, up, ahead) for ahead, up in points]
        return self.stage.camera.project(self.frame.world(np.array(local)))

    def on_end(self, points: Points, ahead: float) -> np.ndarray:
        """Points (right, up) on the cross-section at `ahead` -> pixels (M, 2)."""
        return self.stage.camera.project(self.frame.world(np.array([(right, up, ahead) for right, up in points])))

    def draw(self, edge_color: EdgeColor, side_color: Color) -> None:
        """Draw the faces that look to the camera.

        Args:
            edge_color: colour of the face over profile edge i, before lighting.
            side_color: colour of the side face, before lighting.
        """
        light, canvas = self.stage.light, self.stage.canvas
        ahead, up = self.profile[:, 0], self.profile[:, 1]
        step_ahead, step_up = np.roll(ahead, -1) - ahead, np.roll(up, -1) - up
        # The profile runs counter-clockwise with "ahead" to the right: the outward normal is (step_up, -step_ahead).
        facing = step_up * (self.camera_ahead - ahead) - step_ahead * (self.stage.camera.elevation - up)
        visible = np.flatnonzero(facing > 0)
        middle = ahead + 0.5 * step_ahead
        order = visible[np.argsort(-np.abs(middle[visible] - self.camera_ahead))]
        for i in order.tolist():
            j = (i + 1) % len(ahead)
            length = math.hypot(step_ahead[i], step_up[i]) + 1e-9
            upward = -step_ahead[i] / length
            normal = self.frame.direction(0.0, float(np.sign(step_up[i])))
            gain = (1 - abs(upward)) * light.gain(*normal) + max(0.0, upward) * (1 + 0.5 * light.diffuse)
            quad = np.array([self._left[i], self._left[j], self._right[j], self._right[i]])
            canvas.polygon(quad, tint(edge_color(i), gain))
        if self.side:
            face = self._right if self.side > 0 else self._left
            gain = light.gain(*self.frame.direction(self.side, 0.0))
            canvas.polygon(face, tint(side_color, gain))
            canvas.lines([face], tint(side_color, 0.55 * gain), closed=True)


def rectangle(x0: float, x1: float, y0: float, y1: float) -> Points:
    """Corner points of an axis-parallel rectangle."""
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def disc(center: tuple[float, float], radius: float, corners: int = 10) -> Points:
    """Corner points of a circle."""
    angles = [2 * math.pi * i / corners for i in range(corners)]
    return [(center[0] + radius * math.cos(a), center[1] + radius * math.sin(a)) for a in angles]
