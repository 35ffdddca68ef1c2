"""Sky, ground plane, markings and cast shadows: everything that is drawn before the first upright object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .canvas import Color, tint
from .stage import ROAD, SIDEWALK, SKY, TERRAIN, Item, Stage

FAR = 400.0  # metres, where the ground ends
WIDE = 60.0  # metres to either side
MATERIALS = {ROAD: "road", SIDEWALK: "sidewalk", TERRAIN: "terrain"}


@dataclass(frozen=True)
class Patch:
    """Rectangle of ground x0..x1, z0..z1 in metres."""

    category: int
    x0: float
    x1: float
    z0: float
    z1: float


@dataclass
class Ground:
    """Flat things of a scene: patches in drawing order (later ones cover earlier ones) and road markings."""

    patches: list[Patch] = field(default_factory=list)
    markings: list[Patch] = field(default_factory=list)
    kerbs: list[Patch] = field(default_factory=list)
    rails: list[float] = field(default_factory=list)  # x of each rail


def flat(stage: Stage, x0: float, x1: float, z0: float, z1: float) -> np.ndarray:
    """A rectangle on the ground -> int32 pixels (M, 2), clipped at the near plane."""
    return stage.camera.project_polygon(np.array([(x0, 0.0, z0), (x1, 0.0, z0), (x1, 0.0, z1), (x0, 0.0, z1)]))


def draw_sky(stage: Stage) -> None:
    """Vertical gradient, paler towards the horizon."""
    canvas = stage.canvas
    canvas.begin(SKY, distance=1e-3)
    top = np.array(stage.color("sky"))
    bottom = 0.45 * top + 0.55 * np.array(stage.look.palette["cloud"][0])
    share = np.linspace(0.0, 1.0, canvas.pixels.shape[0])[:, None]
    colors = np.clip((1 - share) * top + share * bottom, 0, 255).astype(np.uint16)
    canvas.pixels[..., :3] = colors[:, None, :]
    canvas.pixels[..., 3] = len(canvas.classes) - 1


def draw_ground(stage: Stage, ground: Ground) -> None:
    """Patches, kerbs, rails and markings."""
    canvas = stage.canvas
    colors = {category: stage.color(material) for category, material in MATERIALS.items()}
    entities: list[tuple[Sequence[Patch], Color]] = [([patch], colors[patch.category]) for patch in ground.patches]
    entities.append((ground.kerbs, stage.color("kerb", 3)))
    paint = tint(stage.color("paint", 3), stage.between(0.7, 1.0) if stage.look.worn else 1.0)
    entities.append((ground.markings, paint))
    for patches, color in entities:
        if patches:
            canvas.begin(patches[0].category)
            corners = [[(q.x0, 0, q.z0), (q.x1, 0, q.z0), (q.x1, 0, q.z1), (q.x0, 0, q.z1)] for q in patches]
            canvas.polygons(stage.camera.project_polygons(np.array(corners, np.float64)), color)
    if ground.rails:
        canvas.begin(ROAD)
        canvas.polygons([flat(stage, x - 0.05, x + 0.05, 0.0, 120.0) for x in ground.rails], tint(colors[ROAD], 0.55))


def cast_shadows(stage: Stage, items: Sequence[Item]) -> None:
    """Darken the ground below and beside what stands on it: contact shadows, and the sun's when it shines."""
    height, width = stage.canvas.pixels.shape[:2]
    sun = np.zeros((height, width), np.uint8)
    contact = np.zeros((height, width), np.uint8)
    light = stage.light
    for item in items:
        x0, x1, z0, z1 = item.box
        if item.height <= 0:
            continue
        if x1 - x0 < 30 and item.height < 5:
            footprint = flat(stage, x0 - 0.15, x1 + 0.15, z0 - 0.25, z1 + 0.1)
            if len(footprint):
                cv2.fillPoly(contact, [footprint], (255,))
        corners = np.array([(x, 0.0, z) for x in (x0, x1) for z in (z0, z1)])
        shifted = corners - np.array([light.x, 0.0, light.z]) * light.reach * item.height
        view = stage.camera.to_view(np.concatenate([corners, shifted]))
        view[:, 2] = np.maximum(view[:, 2], 0.8)
        cv2.fillConvexPoly(sun, cv2.convexHull(stage.camera.to_pixels(view)), (255,))
    row = min(max(0, int(stage.camera.horizon)), height - 1)
    size = max(3, width // 128) | 1
    soft = np.maximum(contact[row:] * np.float32(0.55 / 255), sun[row:] * np.float32(light.shadow / 255))
    stage.canvas.darken_below(row, cv2.blur(soft, (size, size)))
