"""Drawing surface: colour and index of the drawn entity in one four-channel image, so that one call writes both.

An entity is anything that has one class, one instance number and one distance: a car, a tree, one house, the road.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

VOID = 255
Color = tuple[float, float, float]  # RGB, 0..255; values outside may be drawn and are clipped at the end


class Canvas:
    """Painter's canvas, (height, width) pixels; later shapes cover earlier ones.

    Attributes:
        pixels: (H, W, 4) uint16: RGB, nominally 0..255, and the entity index.
        classes, instances, distances, planes: one entry per entity. Distance in metres, 0 = lies on the ground, so
            that it follows from the pixel; plane: x of the street-side facade the entity lies in, 0 = none.
    """

    def __init__(self, width: int, height: int) -> None:
        self.pixels = np.zeros((height, width, 4), np.uint16)
        self.classes: list[int] = [VOID]
        self.instances: list[int] = [0]
        self.distances: list[float] = [0.0]
        self.planes: list[float] = [0.0]
        self.num_instances = 0

    def begin(self, category: int, distance: float = 0.0, plane: float = 0.0, instance: bool = False) -> int:
        """Start a new entity: what is drawn from now on belongs to it. Returns its index."""
        self.num_instances += int(instance)
        self.classes.append(category)
        self.instances.append(self.num_instances if instance else 0)
        self.distances.append(distance)
        self.planes.append(plane)
        return len(self.classes) - 1

    def _value(self, color: Sequence[float]) -> tuple[float, float, float, int]:
        return color[0], color[1], color[2], len(self.classes) - 1

    def polygon(self, points: np.ndarray, color: Sequence[float]) -> None:
        """Fill one polygon, int32 pixels (M, 2)."""
        if len(points) >= 3:
            cv2.fillPoly(self.pixels, [points], self._value(color))

    def polygons(self, points: Sequence[np.ndarray], color: Sequence[float]) -> None:
        """Fill polygons that do not overlap, int32 pixels (M, 2) each, with one colour; empty ones are skipped."""
        seen = [polygon for polygon in points if len(polygon) >= 3]
        if seen:
            cv2.fillPoly(self.pixels, seen, self._value(color))

    def lines(
        self, points: Sequence[np.ndarray], color: Sequence[float], thickness: int = 1, closed: bool = False
    ) -> None:
        """Draw polylines, int32 pixels (M, 2) each."""
        cv2.polylines(self.pixels, points, closed, self._value(color), max(1, int(thickness)))

    def relabel(self, points: np.ndarray) -> None:
        """Give the pixels of one polygon to the current entity and keep their colours."""
        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(mask, [points], (1,))
        self.pixels[..., 3][mask > 0] = len(self.classes) - 1

    def ellipse(
        self, center: Sequence[float], axes: Sequence[float], color: Sequence[float], thickness: int = -1
    ) -> None:
        """Upright ellipse with half axes in pixels, filled for thickness -1."""
        cv2.ellipse(
            self.pixels,
            (int(round(center[0])), int(round(center[1]))),
            (max(0, int(round(axes[0]))), max(0, int(round(axes[1])))),
            0,
            0,
            360,
            self._value(color),
            thickness,
        )

    def disc(self, center: Sequence[float], radius: float, color: Sequence[float]) -> None:
        """Filled circle, radius in pixels."""
        cv2.circle(self.pixels, (round(center[0]), round(center[1])), round(radius), self._value(color), -1)

    def darken_below(self, row: int, shadow: np.ndarray) -> None:
        """Multiply the colours drawn so far from this row on by 1 - shadow, (H - row, W) float32 in 0..1."""
        region = self.pixels[row:, :, :3]
        region[...] = region * (1.0 - shadow)[..., None]


def tint(color: Sequence[float], factor: float) -> Color:
    """The colour in brighter (factor > 1) or dimmer light."""
    return color[0] * factor, color[1] * factor, color[2] * factor


def faded(color: Sequence[float], share: float) -> Color:
    """The colour moved this share (0..1) of the way to the grey of the same brightness."""
    grey = sum(color) / 3
    return tuple((1 - share) * channel + share * grey for channel in color)  # type: ignore[return-value]


def vary(rng: np.random.Generator, color: Sequence[float], amount: float) -> Color:
    """A neighbour of the colour: brightness and each channel change by up to about `amount` (grey levels)."""
    shift = rng.normal(0.0, amount) + rng.normal(0.0, 0.4 * amount, 3)
    return color[0] + shift[0], color[1] + shift[1], color[2] + shift[2]


def pick(rng: np.random.Generator, colors: Sequence[Sequence[float]], amount: float) -> Color:
    """A random palette entry, varied."""
    return vary(rng, colors[int(rng.integers(len(colors)))], amount)
