"""What every drawing function needs: canvas, camera, look, light and random numbers of one scene."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .canvas import Canvas, Color, pick
from .looks import Look

SUPERSAMPLING = 2  # canvas pixels per picture pixel, along each side

# Cityscapes train ids, by name
ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, SIGNAL, SIGN, VEGETATION, TERRAIN, SKY = range(11)
PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(11, 19)


@dataclass(frozen=True)
class Light:
    """Sun direction on the ground (unit vector, towards the sun), its height, and how much it matters.

    Attributes:
        x, z: towards the sun.
        reach: length of a shadow per metre of height.
        shadow: darkening of shadowed ground, 0..1.
        diffuse: brightness gain of a surface that faces the sun.
    """

    x: float
    z: float
    reach: float
    shadow: float
    diffuse: float

    def gain(self, normal_x: float, normal_z: float) -> float:
        """Brightness of an upright surface with this outward normal (unit vector on the ground), about 0.6 to 1.2."""
        facing = normal_x * self.x + normal_z * self.z
        return 1.0 - 0.6 * self.diffuse + self.diffuse * max(0.0, facing) - 0.15 * self.diffuse * min(0.0, facing)


@dataclass(frozen=True)
class Stage:
    """One scene in the making."""

    canvas: Canvas
    camera: Camera
    look: Look
    light: Light
    rng: np.random.Generator

    def color(self, material: str, amount: float = -1.0) -> Color:
        """A palette colour of this material; amount: spread in grey levels, the look's own when negative."""
        return pick(self.rng, self.look.palette[material], self.look.spread if amount < 0 else amount)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        """Uniform random number."""
        return float(self.rng.uniform(low, high))


Draw = Callable[[Stage], None]


@dataclass(frozen=True)
class Item:
    """Something that stands on the ground, drawn by `draw` once everything behind it is drawn.

    Attributes:
        box: footprint x0, x1, z0, z1 in metres.
        height: metres, for its shadow; 0 = casts none.
    """

    box: tuple[float, float, float, float]
    height: float
    draw: Draw


@dataclass(frozen=True)
class Frame:
    """Place of an object: its centre on the ground and its heading (radians, 0 = along the street, away)."""

    x: float
    z: float
    heading: float = 0.0

    def world(self, points: np.ndarray) -> np.ndarray:
        """Local points (..., 3): right, up, ahead -> world points (..., 3)."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        right, ahead = points[..., 0], points[..., 2]
        x = self.x + right * cos + ahead * sin
        z = self.z - right * sin + ahead * cos
        return np.stack([x, points[..., 1], z], axis=-1)

    def camera_position(self) -> tuple[float, float]:
        """Where the camera stands in local coordinates: right, ahead."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return -self.x * cos + self.z * sin, -self.x * sin - self.z * cos

    def direction(self, right: float, ahead: float) -> tuple[float, float]:
        """A local direction on the ground in world coordinates x, z."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return right * cos + ahead * sin, -right * sin + ahead * cos

    def box(self, width: float, length: float) -> tuple[float, float, float, float]:
        """Footprint x0, x1, z0, z1 of an object of this size."""
        cos, sin = abs(math.cos(self.heading)), abs(math.sin(self.heading))
        half_x, half_z = 0.5 * (width * cos + length * sin), 0.5 * (width * sin + length * cos)
        return self.x - half_x, self.x + half_x, self.z - half_z, self.z + half_z


def is_behind(first: Item, second: Item) -> int:
    """Comparison for the painter's order: negative when `first` must be drawn before `second`.

    What lies wholly farther along the street is behind; where the footprints overlap along the street, what lies
    farther to the side is behind (the camera stands at x = 0).
    """
    if first.box[2] >= second.box[3]:
        return -1
    if second.box[2] >= first.box[3]:
        return 1
    return -1 if _side_distance(first) > _side_distance(second) else 1


def _side_distance(item: Item) -> float:
    left, right = item.box[0], item.box[1]
    return 0.0 if left < 0 < right else min(abs(left), abs(right))
