"""Trees, hedges, signs, traffic lights and the small unlabelled things of a street."""

from __future__ import annotations

import math
from typing import NamedTuple

from ptseg_d2.worlds.miniscapes.canvas import VOID, Color, faded, tint
from ptseg_d2.worlds.miniscapes.stage import SIGN, SIGNAL, VEGETATION, Stage

import numpy as np

from .frontage import across, draw_pole, upright

WHITE, RED = (236, 236, 232), (184, 36, 36)


class SignFace(NamedTuple):
    """A regular polygon: number of corners, rotation (radians), rim and inner colour, inner radius (metres)."""

    corners: int
    turn: float
    rim: Color
    color: Color
    inner: float


SIGN_FACES = {
    "stop": SignFace(8, math.pi / 8, WHITE, (188, 30, 36), 0.4),
    "order": SignFace(14, 0.0, WHITE, (32, 76, 168), 0.4),
    "warning": SignFace(3, -math.pi / 2, RED, WHITE, 0.32),
    "yield": SignFace(3, math.pi / 2, RED, (236, 190, 40), 0.32),
}
SIGN_KINDS = (*SIGN_FACES, "guide")
STATIC_KINDS = ("bin", "bench", "box")


def draw_tree(stage: Stage, x: float, z: float, height: float, crown: float) -> None:
    """A tree: trunk and a crown (radius in metres) of leaf clumps, darker below and away from the sun."""
    canvas, rng = stage.canvas, stage.rng
    distance = stage.camera.depth(x, z)
    canvas.begin(VEGETATION, distance)
    trunk = stage.color("trunk")
    canvas.polygon(across(stage, z, x - 0.16, x + 0.16, 0.0, height - crown), trunk)
    scale = stage.camera.focal / distance
    center = stage.camera.project(np.array([x, height - crown, z]))
    color = stage.color("leaf")
    count = 26 if scale * crown > 20 else 12
    angles, radii = rng.uniform(0, 2 * math.pi, count), np.sqrt(rng.random(count)) * 0.72
    right, up = radii * np.cos(angles), radii * np.sin(angles)
    sizes = rng.uniform(0.22, 0.45, count)
    lit = 0.86 + 0.28 * up + 0.14 * right * stage.light.x + rng.normal(0.0, 0.09, count)
    clumps = np.stack(
        [center[0] + right * crown * scale, center[1] - up * crown * scale, sizes * crown * scale, lit], axis=1
    )
    for u, v, radius, brightness in clumps[np.argsort(up)].tolist():
        canvas.disc((u, v), radius, tint(color, brightness))


def draw_hedge(stage: Stage, x: float, z0: float, z1: float, height: float) -> None:
    """A clipped hedge along the street."""
    side = 1.0 if x > 0 else -1.0
    color = tint(stage.color("leaf"), stage.light.gain(-side, 0.0))
    stage.canvas.begin(VEGETATION, max(1.0, stage.camera.depth(x, 0.5 * (max(z0, 0.0) + z1))), plane=x)
    stage.canvas.polygon(across(stage, z0, x, x + side * 1.2, 0.0, height), tint(color, 0.8))
    stage.canvas.polygon(upright(stage, x, z0, z1, 0.0, height), color)
    for z in np.arange(max(z0, 3.0), z1, 1.6).tolist():
        center = stage.camera.project(np.array([x, height - 0.1, z]))
        radius = stage.between(0.5, 1.0) * stage.camera.focal / stage.camera.depth(x, z)
        stage.canvas.ellipse(center.tolist(), (radius, 0.6 * radius), tint(color, stage.between(0.8, 1.15)))


def draw_sign(stage: Stage, x: float, z: float, kind: str) -> None:
    """A road sign on its post: one of `SIGN_FACES`, or "guide", a green board."""
    draw_pole(stage, x, z, 2.9 if kind != "guide" else 3.6, 0.06, 0.0)
    distance = stage.camera.depth(x, z)
    stage.canvas.begin(SIGN, distance)
    fading = 0.3 if stage.look.worn else 0.0
    if kind == "guide":
        stage.canvas.polygon(across(stage, z, x - 0.95, x + 0.95, 2.4, 3.6), WHITE)
        stage.canvas.polygon(across(stage, z, x - 0.86, x + 0.86, 2.48, 3.52), faded((40, 108, 76), fading))
        return
    face = SIGN_FACES[kind]
    scale = stage.camera.focal / distance
    center = stage.camera.project(np.array([x, 2.6, z]))
    angles = face.turn + np.arange(face.corners) * 2 * math.pi / face.corners
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * scale
    for radius, color in ((0.5, face.rim), (face.inner, face.color)):
        stage.canvas.polygon(np.rint(center + radius * outline).astype(np.int32), faded(color, fading))
    if kind == "stop":
        stage.canvas.polygon(across(stage, z, x - 0.28, x + 0.28, 2.53, 2.67), WHITE)


def draw_signal(stage: Stage, x: float, z: float, arm: float) -> None:
    """Traffic light on a mast; with an arm (metres towards positive x) a second one hangs over the road."""
    draw_pole(stage, x, z, 5.2 if arm else 3.0, 0.1, 0.0)
    if arm:
        stage.canvas.polygon(across(stage, z, min(x, x + arm), max(x, x + arm), 5.1, 5.28), stage.color("pole"))
    state = int(stage.rng.integers(3))
    _draw_signal_head(stage, x, z, 2.1, state)
    if arm:
        _draw_signal_head(stage, x + arm, z, 4.3, state)


def _draw_signal_head(stage: Stage, x: float, z: float, low: float, state: int) -> None:
    distance = stage.camera.depth(x, z)
    stage.canvas.begin(SIGNAL, distance)
    stage.canvas.polygon(across(stage, z, x - 0.3, x + 0.3, low, low + 1.4), stage.color("signal", 4))
    for lamp, color in enumerate(((70, 230, 120), (250, 180, 50), (250, 60, 50))):
        center = stage.camera.project(np.array([x, low + 0.27 + 0.43 * lamp, z]))
        lit = color if lamp == state else tint(color, 0.3)
        stage.canvas.disc(center.tolist(), 0.17 * stage.camera.focal / distance, lit)


def draw_static(stage: Stage, x: float, z: float, kind: str) -> None:
    """Unlabelled things: a bin, a bench or a kiosk-like box."""
    stage.canvas.begin(VOID, stage.camera.depth(x, z))
    color = stage.color("static")
    if kind == "bench":
        stage.canvas.polygon(across(stage, z, x - 0.9, x + 0.9, 0.4, 0.52), color)
        stage.canvas.polygon(across(stage, z, x - 0.9, x + 0.9, 0.62, 0.9), tint(color, 0.9))
        stage.canvas.polygons([across(stage, z, x + a, x + a + 0.1, 0.0, 0.4) for a in (-0.8, 0.7)], tint(color, 0.6))
        return
    half, height = (0.28, 0.95) if kind == "bin" else (0.5, 1.5)
    stage.canvas.polygon(across(stage, z, x - half, x + half, 0.0, height), color)
    stage.canvas.polygon(across(stage, z, x - half, x + half, 0.8 * height, height), tint(color, 0.7))
