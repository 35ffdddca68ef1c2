"""Pinhole camera over a flat street.

World frame in metres: x to the right, y up, z forward along the street; the camera stands at x = z = 0, `elevation`
above the ground. Pixel frame: u to the right, v down. All pixels are those of the supersampled canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

NEAR = 0.8  # metres in front of the camera where polygons are clipped
PIXEL_LIMIT = 30000.0  # OpenCV's fixed-point drawing wants 16-bit coordinates
DOWN = np.array([1.0, -1.0])  # v points down


@dataclass(frozen=True)
class Camera:
    """width, height, focal, horizon in canvas pixels; elevation in metres; yaw in radians, positive to the right."""

    width: int
    height: int
    focal: float
    horizon: float
    elevation: float
    yaw: float

    @cached_property
    def _rotation(self) -> np.ndarray:
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])

    @cached_property
    def _position(self) -> np.ndarray:
        return np.array([0.0, self.elevation, 0.0])

    @cached_property
    def _center(self) -> np.ndarray:
        return np.array([0.5 * self.width, self.horizon])

    def to_view(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) in the camera frame: right, up, forward."""
        return (points - self._position) @ self._rotation

    def to_pixels(self, view: np.ndarray) -> np.ndarray:
        """Camera-frame points (..., 3) in front of the camera -> int32 pixels (..., 2)."""
        offset = view[..., :2] * (self.focal / view[..., 2:])
        return np.rint(self._center + offset * DOWN).astype(np.int32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3), which must lie in front of the camera (see `sees`), -> int32 pixels (..., 2)."""
        return self.to_pixels(self.to_view(points))

    def project_polygons(self, points: np.ndarray) -> list[np.ndarray]:
        """Convex polygons (N, M, 3) clipped at the near plane -> int32 pixels (M', 2) each; without those behind."""
        view = self.to_view(points)
        if view[..., 2].min(initial=np.inf) >= NEAR:
            return list(self.to_pixels(view))
        clipped = [self._clip(polygon) for polygon in view]
        return [polygon for polygon in clipped if len(polygon) >= 3]

    def project_polygon(self, points: np.ndarray) -> np.ndarray:
        """One convex polygon (M, 3) clipped at the near plane -> int32 pixels (M', 2), empty when it lies behind."""
        view = self.to_view(points)
        return self.to_pixels(view) if view[:, 2].min() >= NEAR else self._clip(view)

    def _clip(self, view: np.ndarray) -> np.ndarray:
        kept = []
        for current, following in zip(view, np.roll(view, -1, axis=0)):
            if current[2] >= NEAR:
                kept.append(current)
            if (current[2] >= NEAR) != (following[2] >= NEAR):
                share = (NEAR - current[2]) / (following[2] - current[2])
                kept.append(current + share * (following - current))
        if not kept:
            return np.zeros((0, 2), np.int32)
        return np.clip(self.to_pixels(np.array(kept)), -PIXEL_LIMIT, PIXEL_LIMIT).astype(np.int32)

    def depth(self, x: float, z: float) -> float:
        """Forward distance of a world position, in metres."""
        return x * math.sin(self.yaw) + z * math.cos(self.yaw)

    def sees(self, x: float, z: float, radius: float) -> bool:
        """Whether a disc on the ground lies wholly in front of the camera and at least partly between the borders."""
        depth = self.depth(x, z)
        right = x * math.cos(self.yaw) - z * math.sin(self.yaw)
        return depth - radius > 1.5 and abs(right) - radius < 0.55 * self.width / self.focal * (depth + radius)

    def rays(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World direction x, y, z through the middle of every step x step block of pixels, with a forward part of one.

        Returns:
            three (height / step, width / step) float32 arrays.
        """
        right = ((np.arange(self.width // step) + 0.5) * step - 0.5 * self.width) / self.focal
        up = (self.horizon - (np.arange(self.height // step) + 0.5) * step) / self.focal
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        shape = (len(up), len(right))
        x, z = (right * cos + sin).astype(np.float32), (cos - right * sin).astype(np.float32)
        y = up.astype(np.float32)[:, None]
        return np.broadcast_to(x, shape), np.broadcast_to(y, shape), np.broadcast_to(z, shape)
