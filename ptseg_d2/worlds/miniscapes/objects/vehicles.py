"""Cars, buses, trucks and trains as extruded solids with windows, wheels and lights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ptseg_d2.worlds.miniscapes.canvas import Color, tint
from ptseg_d2.worlds.miniscapes.stage import BUS, CAR, TRAIN, TRUCK, Frame, Stage

import numpy as np

from .solids import Points, Solid, disc, rectangle

RED, AMBER, WHITE, BLACK = (190, 20, 24), (240, 190, 90), (244, 244, 232), (22, 22, 24)


class CarShape(NamedTuple):
    """Side view in units of length (ahead, -0.5..0.5) and height (up, 0..1); `glass`: profile edges of the screens."""

    length: float
    height: float
    profile: Points
    glass: tuple[int, int]
    windows: tuple[Points, ...]


CAR_SHAPES: dict[str, CarShape] = {
    "sedan": CarShape(
        4.5,
        1.45,
        (
            (-0.5, 0.16),
            (0.5, 0.16),
            (0.5, 0.5),
            (0.44, 0.6),
            (0.22, 0.66),
            (0.06, 0.98),
            (-0.24, 1),
            (-0.38, 0.7),
            (-0.5, 0.66),
        ),
        (4, 6),
        (
            ((0.17, 0.67), (0.05, 0.92), (-0.07, 0.93), (-0.07, 0.67)),
            ((-0.1, 0.67), (-0.1, 0.93), (-0.22, 0.93), (-0.33, 0.69)),
        ),
    ),
    "hatchback": CarShape(
        3.9,
        1.5,
        ((-0.5, 0.16), (0.5, 0.16), (0.5, 0.5), (0.45, 0.6), (0.25, 0.66), (0.08, 0.98), (-0.36, 1), (-0.49, 0.64)),
        (4, 6),
        (
            ((0.19, 0.67), (0.07, 0.92), (-0.1, 0.93), (-0.1, 0.67)),
            ((-0.13, 0.67), (-0.13, 0.93), (-0.33, 0.93), (-0.43, 0.68)),
        ),
    ),
    "suv": CarShape(
        4.6,
        1.75,
        ((-0.5, 0.2), (0.5, 0.2), (0.5, 0.55), (0.46, 0.63), (0.24, 0.67), (0.12, 0.98), (-0.42, 1), (-0.5, 0.66)),
        (4, 6),
        (
            ((0.2, 0.68), (0.11, 0.92), (-0.07, 0.93), (-0.07, 0.68)),
            ((-0.1, 0.68), (-0.1, 0.93), (-0.4, 0.93), (-0.45, 0.69)),
        ),
    ),
    "van": CarShape(
        4.9,
        2.0,
        ((-0.5, 0.14), (0.5, 0.14), (0.5, 0.45), (0.42, 0.58), (0.28, 0.97), (-0.47, 1), (-0.5, 0.6)),
        (3, 5),
        (((0.36, 0.6), (0.27, 0.9), (0.1, 0.91), (0.1, 0.6)), ((0.07, 0.6), (0.07, 0.91), (-0.42, 0.91), (-0.44, 0.6))),
    ),
}


def draw_car(stage: Stage, frame: Frame, shape: str, color: Color) -> None:
    """One car; its heading may be anything."""
    kind = CAR_SHAPES[shape]
    stage.canvas.begin(CAR, stage.camera.depth(frame.x, frame.z), instance=True)
    scale = np.array([kind.length, kind.height])
    solid = Solid(stage, frame, np.array(kind.profile) * scale, 1.8)
    glass = stage.color("glass", 6)
    solid.draw(lambda edge: glass if edge in kind.glass else color, color)
    if solid.side:
        windows = [solid.on_side(np.array(window) * scale) for window in kind.windows]
        stage.canvas.polygons(windows, tint(glass, 1.1))
        _wheels(stage, solid, (-0.3 * kind.length, 0.3 * kind.length), 0.33)
    _car_end(stage, solid, kind, color)


def _car_end(stage: Stage, solid: Solid, kind: CarShape, color: Color) -> None:
    """Lamps, number plate and bumper on the end that faces the camera."""
    ahead = 0.5 * solid.end * kind.length
    low, high = 0.42 * kind.height, 0.58 * kind.height
    if solid.end > 0:
        low, high = 0.36 * kind.height, 0.48 * kind.height
    lamp = RED if solid.end < 0 else WHITE
    lamps = [solid.on_end(rectangle(side * 0.86, side * 0.5, low, high), ahead) for side in (-1, 1)]
    stage.canvas.polygons(lamps, lamp)
    stage.canvas.polygon(
        solid.on_end(rectangle(-0.85, 0.85, 0.16 * kind.height, 0.26 * kind.height), ahead), tint(color, 0.4)
    )
    stage.canvas.polygon(
        solid.on_end(rectangle(-0.26, 0.26, 0.3 * kind.height, 0.38 * kind.height), ahead), (225, 225, 215)
    )


def _wheels(stage: Stage, solid: Solid, positions: Sequence[float], radius: float) -> None:
    stage.canvas.polygons([solid.on_side(disc((ahead, radius), radius)) for ahead in positions], BLACK)
    stage.canvas.polygons(
        [solid.on_side(disc((ahead, radius), 0.5 * radius, 6)) for ahead in positions], (128, 128, 130)
    )


def draw_bus(stage: Stage, frame: Frame, color: Color) -> None:
    """City bus, 11 m long."""
    stage.canvas.begin(BUS, stage.camera.depth(frame.x, frame.z), instance=True)
    solid = Solid(stage, frame, ((-5.5, 0.3), (5.5, 0.3), (5.5, 2.9), (5.3, 3.1), (-5.4, 3.1), (-5.5, 3.0)), 2.5)
    solid.draw(lambda edge: color, color)
    glass = stage.color("glass", 6)
    if solid.side:
        panes = [solid.on_side(rectangle(-5.2 + 1.5 * i, -3.85 + 1.5 * i, 1.35, 2.55)) for i in range(7)]
        stage.canvas.polygons(panes, glass)
        stage.canvas.polygon(solid.on_side(rectangle(-5.5, 5.5, 0.75, 1.0)), tint(color, 0.6))
        stage.canvas.polygons([solid.on_side(rectangle(a, a + 1.1, 0.45, 2.55)) for a in (-0.6, 3.9)], tint(glass, 1.3))
        _wheels(stage, solid, (-3.2, 2.9), 0.5)
    ahead = 5.5 * solid.end
    top = 2.55 if solid.end > 0 else 2.4
    stage.canvas.polygon(solid.on_end(rectangle(-1.1, 1.1, 1.2 if solid.end > 0 else 1.6, top), ahead), glass)
    stage.canvas.polygon(solid.on_end(rectangle(-0.8, 0.8, 2.62, 2.9), ahead), (30, 26, 20))
    stage.canvas.polygon(solid.on_end(rectangle(-0.5, 0.5, 2.68, 2.84), ahead), AMBER)
    _lamps(stage, solid, ahead, 1.05, 0.75)


def _lamps(stage: Stage, solid: Solid, ahead: float, right: float, up: float) -> None:
    color = RED if solid.end < 0 else WHITE
    lamps = [
        solid.on_end(rectangle(side * right - 0.14, side * right + 0.14, up - 0.15, up + 0.15), ahead)
        for side in (-1, 1)
    ]
    stage.canvas.polygons(lamps, color)


def draw_truck(stage: Stage, frame: Frame, cab_color: Color, box_color: Color, tarpaulin: bool) -> None:
    """Lorry, 8 m long: a cab and a high box on a dark chassis; `tarpaulin` adds ribs to the box."""
    stage.canvas.begin(TRUCK, stage.camera.depth(frame.x, frame.z), instance=True)
    chassis = Solid(stage, frame, ((-4.0, 0.4), (4.0, 0.4), (4.0, 1.05), (-4.0, 1.05)), 2.2)
    cab = Solid(stage, frame, ((2.1, 0.5), (4.0, 0.5), (4.0, 1.5), (3.75, 2.7), (2.1, 2.85)), 2.35)
    box = Solid(stage, frame, ((-4.0, 1.05), (1.9, 1.05), (1.9, 3.7), (-4.0, 3.7)), 2.5)
    chassis.draw(lambda edge: (38, 38, 40), (38, 38, 40))
    glass = stage.color("glass", 6)

    def paint_cab() -> None:
        cab.draw(lambda edge: glass if edge == 2 else cab_color, cab_color)
        if cab.side:
            stage.canvas.polygon(cab.on_side(rectangle(2.6, 3.55, 1.6, 2.4)), glass)
        if cab.end > 0:
            stage.canvas.polygon(cab.on_end(rectangle(-0.8, 0.8, 0.75, 1.1), 4.0), (34, 34, 36))
            _lamps(stage, cab, 4.0, 0.95, 0.85)

    def paint_box() -> None:
        box.draw(lambda edge: box_color, box_color)
        if box.side and tarpaulin:
            ribs = [box.on_side(((a, 1.1), (a, 3.65))) for a in np.arange(-3.4, 1.8, 0.75).tolist()]
            stage.canvas.lines(ribs, tint(box_color, 0.72))
        elif box.side:
            stage.canvas.polygon(box.on_side(rectangle(-3.0, 0.9, 2.0, 2.9)), tint(cab_color, 0.8))
        if box.end < 0:
            stage.canvas.lines([box.on_end(((0.0, 1.1), (0.0, 3.65)), -4.0)], tint(box_color, 0.5))
            stage.canvas.lines([box.on_end(rectangle(-1.2, 1.2, 1.1, 3.65), -4.0)], tint(box_color, 0.6), closed=True)
            _lamps(stage, box, -4.0, 1.0, 0.85)

    for paint in (paint_cab, paint_box) if chassis.end < 0 else (paint_box, paint_cab):
        paint()
    if chassis.side:
        _wheels(stage, chassis, (-3.0, -1.9, 3.0), 0.5)


def draw_train(stage: Stage, frame: Frame, coaches: int, color: Color) -> None:
    """Tram of several 9 m coaches with one pantograph; `frame` is the middle of the whole train."""
    stage.canvas.begin(TRAIN, stage.camera.depth(frame.x, frame.z), instance=True)
    nose = 0.5 * 9.3 * coaches - 4.65
    centers = [-nose + 9.3 * i for i in range(coaches)]
    camera_ahead = frame.camera_position()[1]
    for center in sorted(centers, key=lambda ahead: -abs(ahead - camera_ahead)):
        right, ahead = frame.direction(0.0, center)
        _draw_coach(stage, Frame(frame.x + right, frame.z + ahead, frame.heading), color)


def _draw_coach(stage: Stage, frame: Frame, color: Color) -> None:
    profile: list[tuple[float, float]] = [
        (-4.5, 0.25), (4.5, 0.25), (4.6, 1.4), (4.2, 3.0), (3.8, 3.4), (-3.8, 3.4), (-4.2, 3.0), (-4.6, 1.4),
    ]  # fmt: skip
    solid = Solid(stage, frame, profile, 2.5)
    glass = stage.color("glass", 6)
    solid.draw(lambda edge: glass if edge in (2, 6) else color, color)
    if solid.side:
        stage.canvas.polygon(solid.on_side(rectangle(-4.2, 4.2, 1.5, 2.65)), glass)
        posts = [solid.on_side(rectangle(a, a + 0.25, 1.5, 2.65)) for a in (-3.0, -1.5, 0.0, 1.5, 2.8)]
        stage.canvas.polygons(posts, tint(color, 0.9))
        stage.canvas.polygon(solid.on_side(rectangle(-4.5, 4.5, 0.25, 0.6)), tint(color, 0.45))
        stage.canvas.polygon(solid.on_side(rectangle(-4.5, 4.5, 2.9, 3.1)), tint(color, 1.35))
    ahead = 4.5 * solid.end
    _lamps(stage, solid, ahead, 0.85, 0.95)
    stage.canvas.polygon(solid.on_end(rectangle(-0.6, 0.6, 2.95, 3.25), 4.2 * solid.end), AMBER)
    arm = [solid.on_end(((0.0, 3.4), (0.0, 4.3)), 0.0), solid.on_end(((-0.6, 4.3), (0.6, 4.3)), 0.0)]
    stage.canvas.lines(arm, (48, 48, 50))
