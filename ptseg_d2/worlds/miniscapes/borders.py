"""Both sides of a street: the row of houses, walls, fences and parks, and the furniture along the kerb."""

from __future__ import annotations

from functools import partial

import numpy as np

from .ground import Ground, Patch
from .objects.frontage import draw_fence, draw_house, draw_pole, draw_wall
from .objects.furniture import SIGN_KINDS, STATIC_KINDS, draw_hedge, draw_sign, draw_signal, draw_static, draw_tree
from .stage import TERRAIN, Draw, Item, Stage
from .street import Street

LAST = 95.0  # metres, where the rows end
# what stands along a yard: how it is drawn, depth and range of heights in metres
LININGS = {
    "wall": (draw_wall, 0.4, (1.6, 3.0)),
    "fence": (draw_fence, 0.1, (1.1, 2.0)),
    "hedge": (draw_hedge, 1.2, (1.2, 2.4)),
}


def line_street(stage: Stage, street: Street, ground: Ground) -> list[Item]:
    """Everything upright beyond the pavements; all but houses add their lawn to the ground."""
    items: list[Item] = []
    for side, front in zip((-1.0, 1.0), street.fronts):
        z = stage.between(-14.0, 0.0)
        while z < LAST:
            end = z + stage.between(8.0, 18.0)
            if street.junction is not None and street.is_crossed(z, end):
                end = street.junction[0]
                if end - z < 3.0:
                    z = street.junction[1]
                    continue
            if end > 1.0:
                items += _block(stage, ground, front, side, z, end)
            z = end + (stage.between(1.0, 4.0) if stage.chance(0.15) else 0.0)
    return items


def _block(stage: Stage, ground: Ground, x: float, side: float, z0: float, z1: float) -> list[Item]:
    """One piece of the row between z0 and z1: a house, or a green yard, open or behind a wall, fence or hedge."""
    shares = [stage.look.contents[kind] for kind in ("park", *LININGS)]
    number = int(np.searchsorted(np.cumsum(shares), stage.rng.random()))
    if number > len(LININGS):
        height = stage.between(6.0, 19.0)
        return [_long(x, side, 10.0, z0, z1, height, partial(draw_house, x=x, z0=z0, z1=z1, height=height))]
    items: list[Item] = []
    if number > 0:
        draw, depth, heights = list(LININGS.values())[number - 1]
        height = stage.between(*heights)
        items.append(_long(x, side, depth, z0, z1, height, partial(draw, x=x, z0=z0, z1=z1, height=height)))
    return items + _yard(stage, ground, x, side, z0, z1)


def _yard(stage: Stage, ground: Ground, x: float, side: float, z0: float, z1: float) -> list[Item]:
    """Lawn with trees, often a house at its back."""
    ground.patches.append(Patch(TERRAIN, min(x, x + side * 25), max(x, x + side * 25), z0, z1))
    items: list[Item] = []
    if stage.chance(0.7):
        draw = partial(draw_house, x=x + side * 17.0, z0=z0, z1=z1, height=stage.between(6.0, 15.0))
        items.append(_long(x + side * 17.0, side, 8.0, z0, z1, 0.0, draw))
    for _ in range(int(stage.rng.integers(1, 5))):
        items += _tree(stage, x + side * stage.between(3.0, 13.0), stage.between(z0 + 1, z1))
    return items


def _long(x: float, side: float, depth: float, z0: float, z1: float, height: float, draw: Draw) -> Item:
    """Something along the street from z0 to z1, reaching `depth` metres away from it."""
    return Item((min(x, x + side * depth), max(x, x + side * depth), z0, z1), height, draw)


def _tree(stage: Stage, x: float, z: float) -> list[Item]:
    height = stage.between(5.0, 9.5)
    crown = stage.between(0.26, 0.38) * height
    draw = partial(draw_tree, x=x, z=z, height=height, crown=crown)
    return _thin(stage, x, z, 0.8 * height, crown, draw)


def _thin(stage: Stage, x: float, z: float, height: float, radius: float, draw: Draw) -> list[Item]:
    """Something on a narrow foot, `radius` metres wide above; nothing when it is out of sight."""
    if not stage.camera.sees(x, z, radius):
        return []
    return [Item((x - 0.3, x + 0.3, z - 0.3, z + 0.3), height, draw)]


def furnish(stage: Stage, street: Street) -> list[Item]:
    """Lamps, street trees, signs, traffic lights and unlabelled things along both kerbs."""
    items: list[Item] = []
    for side, kerb, front in zip((-1.0, 1.0), street.kerbs, street.fronts):
        items += _lamps(stage, kerb + side * 0.5, -side * 1.6) + _avenue(stage, street, kerb, side)
        for _ in range(int(stage.rng.poisson(stage.look.contents["sign"]))):
            x, z = kerb + side * 0.5, stage.between(6.0, 30.0)
            kind = SIGN_KINDS[int(stage.rng.integers(len(SIGN_KINDS)))]
            items += _thin(stage, x, z, 2.5, 1.0, partial(draw_sign, x=x, z=z, kind=kind))
        for _ in range(int(stage.rng.poisson(0.5 * stage.look.contents["static"]))):
            x, z = kerb + side * stage.between(0.7, abs(front - kerb) - 0.5), stage.between(6.0, 30.0)
            kind = STATIC_KINDS[int(stage.rng.integers(len(STATIC_KINDS)))]
            items += _thin(stage, x, z, 1.0, 1.0, partial(draw_static, x=x, z=z, kind=kind))
    return items + _signals(stage, street)


def _lamps(stage: Stage, x: float, arm: float) -> list[Item]:
    """A row of lamp posts, if this side has one."""
    items: list[Item] = []
    if stage.chance(stage.look.contents["lamp"]):
        z, step, height = stage.between(5.0, 20.0), stage.between(16.0, 28.0), stage.between(5.0, 8.0)
        while z < 70:
            draw = partial(draw_pole, x=x, z=z, height=height, radius=0.12, arm=arm)
            items += _thin(stage, x, z, height, 1.5, draw)
            z += step
    return items


def _avenue(stage: Stage, street: Street, kerb: float, side: float) -> list[Item]:
    """A row of street trees, if this side has one."""
    items: list[Item] = []
    if stage.chance(stage.look.contents["trees"]):
        z, step = stage.between(6.0, 18.0), stage.between(7.0, 14.0)
        while z < 75:
            if not street.is_crossed(z - 2, z + 2) and stage.chance(0.85):
                items += _tree(stage, kerb + side * stage.between(0.7, 1.3), z)
            z += step
    return items


def _signals(stage: Stage, street: Street) -> list[Item]:
    """A pair of traffic lights, before the crossing street if there is one."""
    items: list[Item] = []
    if stage.chance(stage.look.contents["signal"]):
        z = street.junction[0] - 0.8 if street.junction else stage.between(12.0, 30.0)
        for side, kerb in zip((-1.0, 1.0), street.kerbs):
            x, arm = kerb + side * 0.4, (-side * 3.0 if stage.chance(0.5) else 0.0)
            items += _thin(stage, x, z, 4.0, 2.0, partial(draw_signal, x=x, z=z, arm=arm))
    return items
