"""What lines a street: houses with windows, walls, fences; and the skyline where it ends."""

from __future__ import annotations

from collections.abc import Sequence

from ptseg_d2.worlds.miniscapes.canvas import Color, tint
from ptseg_d2.worlds.miniscapes.stage import BUILDING, FENCE, POLE, VEGETATION, WALL, Stage

import numpy as np


def upright(stage: Stage, x: float, z0: float, z1: float, y0: float, y1: float) -> np.ndarray:
    """Rectangle in the plane x = const, along the street -> int32 pixels, clipped."""
    return stage.camera.project_polygon(np.array([(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)]))


def across(stage: Stage, z: float, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """Rectangle in the plane z = const, facing the camera -> int32 pixels, clipped."""
    return stage.camera.project_polygon(np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]))


def upright_row(stage: Stage, x: float, spans: Sequence[tuple[float, float, float, float]]) -> list[np.ndarray]:
    """Many rectangles (z0, z1, y0, y1) in the plane x = const -> int32 pixels each, those out of sight left out."""
    corners = [[(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)] for z0, z1, y0, y1 in spans]
    return stage.camera.project_polygons(np.array(corners).reshape(-1, 4, 3))


def across_row(stage: Stage, z: float, spans: Sequence[tuple[float, float, float, float]]) -> list[np.ndarray]:
    """Many rectangles (x0, x1, y0, y1) in the plane z = const -> int32 pixels each, those out of sight left out."""
    corners = [[(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)] for x0, x1, y0, y1 in spans]
    return stage.camera.project_polygons(np.array(corners).reshape(-1, 4, 3))


def draw_house(stage: Stage, x: float, z0: float, z1: float, height: float) -> None:
    """A house whose street side lies in the plane x, from z0 to z1, with its gable towards the camera."""
    canvas, side = stage.canvas, 1.0 if x > 0 else -1.0
    color, depth = stage.color("building"), stage.between(9.0, 14.0)
    distance = max(1.0, stage.camera.depth(x, 0.5 * (max(z0, 0.0) + z1)))
    shop, roofed = stage.chance(0.35), stage.chance(0.4)
    end = tint(color, stage.light.gain(0.0, -1.0))
    street = tint(color, stage.light.gain(-side, 0.0))
    canvas.begin(BUILDING, distance)
    canvas.polygon(across(stage, z0, x, x + side * depth, 0.0, height), end)
    _windows_across(stage, z0, x, x + side * depth, height)
    canvas.begin(BUILDING, distance, plane=x)
    canvas.polygon(upright(stage, x, z0, z1, 0.0, height), street)
    if roofed:
        _draw_roof(stage, x, x + side * depth, z0, z1, height, end)
    else:
        canvas.polygon(upright(stage, x, z0, z1, height - 0.5, height), tint(street, 0.8))
    canvas.polygon(upright(stage, x, z0, z1, 0.0, 0.6), tint(street, 0.7))
    _windows_along(stage, x, z0, z1, height, shop)
    corner = stage.camera.project_polygon(
        np.array([(x, 0.0, z0), (x, height, z0), (x, height, z0 + 0.1), (x, 0.0, z0 + 0.1)])
    )
    if len(corner):
        canvas.lines([corner], tint(street, 0.65), closed=True)


def _draw_roof(stage: Stage, x: float, back: float, z0: float, z1: float, height: float, gable: Color) -> None:
    """Pitched roof between the street side x and the back, its ridge along the street."""
    ridge, top = 0.5 * (x + back), height + 2.5
    stage.canvas.polygon(
        stage.camera.project_polygon(np.array([(x, height, z0), (ridge, top, z0), (back, height, z0)])), gable
    )
    slope = np.array([(x, height, z0), (x, height, z1), (ridge, top, z1), (ridge, top, z0)])
    stage.canvas.polygon(stage.camera.project_polygon(slope), stage.color("roof"))


def _windows_along(stage: Stage, x: float, z0: float, z1: float, height: float, shop: bool) -> None:
    """Rows of windows on the street side; the ground floor may be a shop front."""
    if z0 > 70 or z1 < 1.5:
        return
    cell, floor, wide = stage.between(2.0, 3.6), stage.between(2.8, 3.6), stage.between(0.45, 0.75)
    tall = stage.between(0.45, 0.65) * floor
    first = 1 if shop else 0
    glass, other = stage.color("window"), stage.color("window")
    columns = [z for z in np.arange(z0 + 0.3 * cell, z1 - wide * cell, cell).tolist() if z > 1.0]
    sills = [0.9 + row * floor for row in range(first, int((height - 0.8) / floor))]
    panes = upright_row(stage, x, [(z, z + wide * cell, sill, sill + tall) for sill in sills for z in columns])
    odd = stage.rng.random(len(panes)) < 0.3
    stage.canvas.polygons([pane for pane, flag in zip(panes, odd) if not flag], glass)
    stage.canvas.polygons([pane for pane, flag in zip(panes, odd) if flag], other)
    if shop:
        stage.canvas.polygon(upright(stage, x, z0, z1, 2.7, 3.3), stage.color("shop"))
        fronts = [(z + 0.3, min(z + 3.6, z1), 0.5, 2.6) for z in np.arange(max(z0, 0.7), z1 - 1, 4.0).tolist()]
        stage.canvas.polygons(upright_row(stage, x, fronts), tint(other, 0.8))


def _windows_across(stage: Stage, z: float, x0: float, x1: float, height: float) -> None:
    """Few windows in the gable."""
    if z > 60 or z < 2 or stage.chance(0.4):
        return
    low, high = min(x0, x1), max(x0, x1)
    columns = np.arange(low + 1.0, high - 1.5, 3.0).tolist()
    panes = [(x, x + 1.2, y, y + 1.5) for y in np.arange(1.0, height - 2.0, 3.2).tolist() for x in columns]
    stage.canvas.polygons(across_row(stage, z, panes), stage.color("window"))


def draw_wall(stage: Stage, x: float, z0: float, z1: float, height: float) -> None:
    """Free-standing masonry wall with pillars and a coping."""
    side = 1.0 if x > 0 else -1.0
    color = tint(stage.color("wall"), stage.light.gain(-side, 0.0))
    stage.canvas.begin(WALL, max(1.0, stage.camera.depth(x, 0.5 * (max(z0, 0.0) + z1))), plane=x)
    stage.canvas.polygon(across(stage, z0, x, x + side * 0.4, 0.0, height), tint(color, 0.8))
    stage.canvas.polygon(upright(stage, x, z0, z1, 0.0, height), color)
    pillars = [(z, z + 0.4, 0.0, height) for z in np.arange(max(z0, 1.0), z1 - 0.4, 3.5).tolist()]
    stage.canvas.polygons(upright_row(stage, x, pillars), tint(color, 0.85))
    stage.canvas.polygon(upright(stage, x, z0, z1, height - 0.2, height), tint(color, 1.2))


def draw_fence(stage: Stage, x: float, z0: float, z1: float, height: float) -> None:
    """Railing of posts and bars; what lies behind shines through, but its pixels are all fence."""
    canvas, rng = stage.canvas, stage.rng
    canvas.begin(FENCE, max(1.0, stage.camera.depth(x, 0.5 * (max(z0, 0.0) + z1))), plane=x)
    area = upright(stage, x, z0, z1, 0.0, height)
    if len(area) < 3:
        return
    canvas.relabel(area)
    color = stage.color("fence")
    step = 0.18 + 0.1 * rng.random()
    bars = [(z, z + 0.08, 0.0, height) for z in np.arange(max(z0, 1.2), min(z1, 45.0), step).tolist()]
    canvas.polygons(upright_row(stage, x, bars), color)
    rails = [(z0, z1, y, y + 0.1) for y in (0.12, 0.55 * height, height - 0.08)]
    canvas.polygons(upright_row(stage, x, rails), tint(color, 1.25))
    posts = [(z, z + 0.15, 0.0, height + 0.1) for z in np.arange(max(z0, 1.2), z1, 2.5).tolist()]
    canvas.polygons(upright_row(stage, x, posts), tint(color, 0.85))


def draw_skyline(stage: Stage, z: float, leafy: float) -> None:
    """Far houses and trees across the end of the street."""
    canvas, x = stage.canvas, -1.2 * z
    while x < 1.2 * z:
        width = stage.between(8.0, 22.0)
        if stage.chance(leafy):
            canvas.begin(VEGETATION, z)
            color = tint(stage.color("leaf"), 0.9)
            for _ in range(4):
                center = stage.camera.project(np.array([x + stage.between(0, width), stage.between(1.0, 4.0), z]))
                radius = stage.between(3.0, 6.0) * stage.camera.focal / z
                canvas.ellipse(center.tolist(), (1.3 * radius, radius), tint(color, stage.between(0.8, 1.15)))
        else:
            canvas.begin(BUILDING, z)
            height = stage.between(7.0, 24.0)
            color = tint(stage.color("building"), stage.light.gain(0.0, -1.0))
            canvas.polygon(across(stage, z, x, x + width, -0.5, height), color)
            glass = stage.color("window")
            columns = np.arange(x + 1, x + width - 2, 3.2).tolist()
            panes = [(a, a + 1.6, y, y + 1.7) for y in np.arange(2.0, height - 2, 3.5).tolist() for a in columns]
            canvas.polygons(across_row(stage, z, panes), glass)
        x += width


def draw_pole(stage: Stage, x: float, z: float, height: float, radius: float, arm: float) -> None:
    """Lamp post or mast; arm: length of the outrigger in metres towards positive x, 0 = none."""
    stage.canvas.begin(POLE, stage.camera.depth(x, z))
    color = stage.color("pole")
    stage.canvas.polygon(across(stage, z, x - radius, x + radius, 0.0, height), color)
    if arm:
        end = x + arm
        stage.canvas.polygon(across(stage, z, min(x, end), max(x, end), height - 0.14, height), tint(color, 0.9))
        lamp = np.sign(arm) * 0.7
        stage.canvas.polygon(
            across(stage, z, min(end, end - lamp), max(end, end - lamp), height - 0.3, height - 0.1), tint(color, 1.3)
        )
