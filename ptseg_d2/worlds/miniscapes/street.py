"""The plan of a street seen from above: kerbs, lanes, pavements, crossing, median, tram track."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .ground import FAR, WIDE, Ground, Patch
from .stage import ROAD, SIDEWALK, TERRAIN, Stage

LANE = 3.3  # metres


@dataclass(frozen=True)
class Street:
    """All positions are x in metres; the camera drives at x = 0.

    Attributes:
        kerbs: left and right edge of the roadway.
        fronts: left and right line where houses begin.
        lanes: middle and heading of every driving lane, the camera's own first.
        parking: left, right: "none", "along" or "across" the kerb.
        junction: z0, z1 of a crossing street.
        median: x0, x1 of a strip between the directions.
        track: middle of a tram track.
    """

    kerbs: tuple[float, float]
    fronts: tuple[float, float]
    lanes: tuple[tuple[float, float], ...]
    parking: tuple[str, str]
    junction: tuple[float, float] | None
    median: tuple[float, float] | None
    track: float | None

    def is_crossed(self, z0: float, z1: float) -> bool:
        """Whether the crossing street runs between z0 and z1, so that nothing may stand there."""
        return self.junction is not None and z1 > self.junction[0] and z0 < self.junction[1]


def sample_street(stage: Stage) -> Street:
    """Draw the plan of one street from the look's contents."""
    contents, rng = stage.look.contents, stage.rng
    parking = tuple(_parking(stage) for _ in range(2))
    lanes: list[tuple[float, float]] = [(0.0, 0.0)]
    right = 0.5 * LANE + stage.between(0.0, 0.5)
    if stage.chance(0.3):
        lanes.append((LANE, 0.0))
        right += LANE
    left = -0.5 * LANE
    median = track = None
    if stage.chance(contents["train"]):
        track = left - 1.9
        left -= 3.8
    elif stage.chance(contents["median"]):
        median = (left - stage.between(1.5, 3.5), left - 0.2)
        left = median[0] - 0.2
    for _ in range(int(rng.choice([0, 1, 2], p=[0.15, 0.6, 0.25])) if median is None else 1):
        lanes.append((left - 0.5 * LANE, math.pi))
        left -= LANE
    room = {"none": 0.3, "along": 2.2, "across": 4.9}
    left, right = left - room[parking[0]], right + room[parking[1]]
    fronts = (left - stage.between(2.2, 6.0), right + stage.between(2.2, 6.0))
    junction = None
    if stage.chance(contents["junction"]):
        start = stage.between(14.0, 45.0)
        junction = (start, start + stage.between(8.0, 14.0))
    return Street((left, right), fronts, tuple(lanes), (parking[0], parking[1]), junction, median, track)


def _parking(stage: Stage) -> str:
    if not stage.chance(stage.look.contents["parked_row"]):
        return "none"
    return "across" if stage.chance(0.25) else "along"


def lay_ground(stage: Stage, street: Street) -> Ground:
    """Roadway, pavements, crossing street, median, markings and rails of a street."""
    left, right = street.kerbs
    ground = Ground()
    ground.patches += [
        Patch(SIDEWALK, -WIDE, left, 0.0, FAR),
        Patch(SIDEWALK, right, WIDE, 0.0, FAR),
        Patch(ROAD, left, right, 0.0, FAR),
    ]
    ground.kerbs += [Patch(SIDEWALK, left - 0.22, left, 0.0, FAR), Patch(SIDEWALK, right, right + 0.22, 0.0, FAR)]
    if street.median is not None:
        ground.patches.append(Patch(TERRAIN if stage.chance(0.7) else SIDEWALK, *street.median, 0.0, FAR))
    if street.junction is not None:
        z0, z1 = street.junction
        ground.kerbs.clear()
        for side_left, side_right in ((left - 0.22, left), (right, right + 0.22)):
            ground.kerbs += [
                Patch(SIDEWALK, side_left, side_right, 0.0, z0),
                Patch(SIDEWALK, side_left, side_right, z1, FAR),
            ]
        ground.patches.append(Patch(ROAD, -WIDE, WIDE, z0, z1))
        _lay_crossing(ground, left, right, z0 - 3.2)
    if street.track is not None:
        ground.rails += [street.track - 0.72, street.track + 0.72]
    _lay_lines(stage, ground, street)
    return ground


def _lay_crossing(ground: Ground, left: float, right: float, z: float) -> None:
    x = left + 0.4
    while x + 0.5 < right:
        ground.markings.append(Patch(ROAD, x, x + 0.5, z, z + 2.6))
        x += 1.0


def _lay_lines(stage: Stage, ground: Ground, street: Street) -> None:
    """Dashes between lanes and edge lines along the parking strips."""
    edges = {round(x + 0.5 * LANE * side, 2) for x, _ in street.lanes for side in (-1, 1)}
    outer = {min(edges), max(edges)}
    for x in sorted(edges):
        solid = x in outer
        if solid and stage.chance(0.6):
            continue
        step, length = (90.0, 90.0) if solid else (6.0, 3.0)
        z = 1.0
        while z < 90.0:
            if solid or not street.is_crossed(z - 4, z + length):
                ground.markings.append(Patch(ROAD, x - 0.07, x + 0.07, z, z + length))
            z += step
