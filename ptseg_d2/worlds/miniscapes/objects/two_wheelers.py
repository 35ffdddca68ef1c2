"""Bicycles and motorcycles, seen from the side or end on, parked or with a rider (an instance of its own)."""

from __future__ import annotations

import math

from ptseg_d2.worlds.miniscapes.canvas import Color, tint
from ptseg_d2.worlds.miniscapes.stage import BICYCLE, MOTORCYCLE, RIDER, Frame, Stage

from .people import Cutout, Point

END_ON = 0.35  # apparent share of the length below which the front or rear view is drawn
DARK, GREY = (26, 26, 28), (136, 136, 140)


def _cutout(stage: Stage, frame: Frame) -> tuple[Cutout, bool]:
    """The side view squeezed to the angle it is seen at; or the end view and True."""
    across = math.sin(frame.heading - math.atan2(frame.x, frame.z))
    end_on = abs(across) < END_ON
    return Cutout(stage, frame.x, frame.z, 1.0 if end_on else across), end_on


def draw_bicycle(stage: Stage, frame: Frame, color: Color, ridden: bool) -> None:
    """A bicycle; its wheels count as discs, spokes and what is between them alike."""
    bike, end_on = _cutout(stage, frame)
    stage.canvas.begin(BICYCLE, bike.distance, instance=True)
    if end_on:
        bike.limb([(0.0, 0.04), (0.0, 0.66)], DARK, 0.1)
        bike.limb([(0.0, 0.45), (0.0, 1.0)], color, 0.09)
        bike.limb([(-0.16, 0.24), (0.16, 0.34)], GREY, 0.06)
        bike.limb([(-0.29, 1.0), (-0.2, 1.06), (0.2, 1.06), (0.29, 1.0)], DARK, 0.07)
        bike.limb([(-0.1, 0.92), (0.1, 0.92)], DARK, 0.1)
    else:
        grey = stage.between(90, 150)
        for across in (-0.52, 0.52):
            bike.wheel((across, 0.35), 0.35, (grey, grey, grey))
            bike.wheel((across, 0.35), 0.33, DARK, ring=0.06)
        bike.limb([(-0.52, 0.35), (-0.05, 0.32), (0.38, 0.85), (-0.18, 0.8), (-0.05, 0.32)], color, 0.07)
        bike.limb([(-0.52, 0.35), (-0.18, 0.8), (-0.2, 0.92)], color, 0.07)
        bike.limb([(0.52, 0.35), (0.36, 1.0), (0.46, 1.05)], tint(color, 0.8), 0.07)
        bike.limb([(-0.3, 0.93), (-0.08, 0.93)], DARK, 0.1)
    if ridden:
        helmet = stage.chance(0.4)
        if end_on:
            _draw_rider_end_on(stage, bike, helmet, hand=(0.27, 1.05))
        else:
            _draw_rider(stage, bike, (-0.18, 0.98), (0.4, 1.06), (0.0, 0.28), helmet)


def draw_motorcycle(stage: Stage, frame: Frame, color: Color, ridden: bool) -> None:
    """A motorcycle."""
    bike, end_on = _cutout(stage, frame)
    stage.canvas.begin(MOTORCYCLE, bike.distance, instance=True)
    if end_on:
        from_behind = math.cos(frame.heading - math.atan2(frame.x, frame.z)) > 0
        bike.limb([(0.0, 0.05), (0.0, 0.6)], DARK, 0.2)
        bike.polygon([(-0.2, 0.38), (0.2, 0.38), (0.32, 0.72), (0.2, 1.02), (-0.2, 1.02), (-0.32, 0.72)], color)
        bike.polygon([(-0.34, 0.3), (-0.2, 0.3), (-0.2, 0.5), (-0.34, 0.5)], GREY)
        bike.limb([(-0.42, 1.08), (0.42, 1.08)], DARK, 0.08)
        for side in (-1, 1):
            bike.ball((side * 0.38, 1.2), 0.07, DARK)
        bike.ball((0.0, 0.82), 0.11, (200, 30, 30) if from_behind else (244, 240, 210))
    else:
        for across in (-0.65, 0.65):
            bike.wheel((across, 0.32), 0.32, DARK)
            bike.wheel((across, 0.32), 0.16, GREY)
        body = [
            (-0.95, 0.75),
            (-0.8, 0.35),
            (0.35, 0.3),
            (0.75, 0.6),
            (0.55, 1.0),
            (0.2, 0.95),
            (0.0, 0.8),
            (-0.6, 0.9),
        ]
        bike.polygon(body, color)
        bike.polygon([(-0.6, 0.2), (0.35, 0.2), (0.3, 0.45), (-0.5, 0.45)], (66, 66, 70))
        bike.polygon([(-0.8, 0.82), (0.0, 0.76), (0.0, 0.88), (-0.75, 0.95)], DARK)
        bike.limb([(0.65, 0.32), (0.45, 1.1), (0.3, 1.15)], (84, 84, 88), 0.09)
        bike.ball((0.62, 0.85), 0.12, (236, 232, 200))
    if ridden and end_on:
        _draw_rider_end_on(stage, bike, True, hand=(0.38, 1.08))
    elif ridden:
        _draw_rider(stage, bike, (-0.25, 0.95), (0.35, 1.12), (0.15, 0.3), True)


def _draw_rider(stage: Stage, bike: Cutout, hip: Point, hand: Point, foot: Point, helmet: bool) -> None:
    """Side view of the person on a two-wheeler."""
    stage.canvas.begin(RIDER, bike.distance, instance=True)
    shirt, trousers = stage.color("cloth"), stage.color("cloth")
    shoulder = (hip[0] + stage.between(0.12, 0.35), hip[1] + 0.52)
    knee = (hip[0] + 0.34, 0.5 * (hip[1] + foot[1]) + 0.12)
    elbow = (0.5 * (shoulder[0] + hand[0]) - 0.05, shoulder[1] - 0.3)
    bike.limb([hip, knee, foot], trousers, 0.17)
    bike.limb([hip, shoulder], shirt, 0.34)
    bike.limb([shoulder, elbow, hand], tint(shirt, 0.78), 0.11)
    head = (shoulder[0] + 0.1, shoulder[1] + 0.24)
    bike.head(stage, head, 0.13)
    if helmet:
        bike.ball((head[0], head[1] + 0.06), 0.15, stage.color("metal"))


def _draw_rider_end_on(stage: Stage, bike: Cutout, helmet: bool, hand: Point) -> None:
    """Front or rear view of the person on a two-wheeler."""
    stage.canvas.begin(RIDER, bike.distance, instance=True)
    shirt, trousers = stage.color("cloth"), stage.color("cloth")
    for side in (-1, 1):
        bike.limb([(side * 0.12, 0.95), (side * 0.24, 0.62), (side * 0.17, 0.28)], trousers, 0.17)
        bike.limb([(side * 0.22, 1.46), (side * 0.36, 1.22), (side * hand[0], hand[1])], tint(shirt, 0.8), 0.11)
    bike.polygon([(-0.19, 0.9), (0.19, 0.9), (0.26, 1.46), (0.12, 1.55), (-0.12, 1.55), (-0.26, 1.46)], shirt)
    bike.head(stage, (0.0, 1.68), 0.13)
    if helmet:
        bike.ball((0.0, 1.73), 0.15, stage.color("metal"))
