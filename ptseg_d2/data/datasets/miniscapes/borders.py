"""Both sides of a street: the row of houses, walls, fences and parks, and the furniture along the kerb."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .frontage import draw_fence, draw_house, draw_pole, draw_wall
from .furniture import SIGN_KINDS, draw_hedge, draw_sign, draw_signal, draw_static, draw_tree
from .ground import Ground, Patch
from .stage import TERRAIN, Item, Stage
from .street import Street

LAST = 95.0  # metres, where the rows end


def line_street(stage: Stage, street: Street, ground: Ground) -> list[Item]:
    """Everything upright beyond the pavements; parks add their lawn to the ground."""
    items: list[Item] = []
    mix = stage.look.mix
    names = ["wall", "fence", "park", "hedge"]
    weights = [mix[name] for name in names]
    for side, front in zip((-1.0, 1.0), street.fronts):
        z = stage.between(-14.0, 0.0)
        while z < LAST:
            length = stage.between(8.0, 18.0)
            end = z + length
            if street.junction is not None and z < street.junction[1] and end > street.junction[0]:
                end = street.junction[0]
                if end - z < 3.0:
                    z = street.junction[1]
                    continue
            draw = stage.rng.random()
            kind = "house"
            for name, weight in zip(names, weights):
                if draw < weight and kind == "house":
                    kind = name
                draw -= weight
            if end > 1.0:
                items += _block(stage, ground, kind, front, side, z, end)
            z = end + (stage.between(1.0, 4.0) if stage.chance(0.15) else 0.0)
    return items


def _block(stage: Stage, ground: Ground, kind: str, x: float, side: float, z0: float, z1: float) -> list[Item]:
    """One piece of the row between z0 and z1."""

    def box(depth: float) -> tuple:
        return (min(x, x + side * depth), max(x, x + side * depth), z0, z1)

    if kind == "house":
        height = stage.between(6.0, 19.0)
        return [Item(box(10.0), height, partial(draw_house, x=x, z0=z0, z1=z1, height=height))]
    items: list[Item] = []
    ground.patches.append(Patch(TERRAIN, min(x, x + side * 25), max(x, x + side * 25), z0, z1))
    if kind == "wall":
        height = stage.between(1.6, 3.0)
        items.append(Item(box(0.4), height, partial(draw_wall, x=x, z0=z0, z1=z1, height=height)))
    elif kind == "fence":
        height = stage.between(1.1, 2.0)
        items.append(
            Item(box(0.1), 0.0, partial(draw_fence, x=x, z0=z0, z1=z1, height=height, color=stage.color("fence")))
        )
    elif kind == "hedge":
        height = stage.between(1.2, 2.4)
        items.append(Item(box(1.2), height, partial(draw_hedge, x=x, z0=z0, z1=z1, height=height)))
    back = x + side * 17.0
    height = stage.between(6.0, 15.0)
    if stage.chance(0.7):
        rear = (min(back, back + side * 8), max(back, back + side * 8), z0, z1)
        items.append(Item(rear, 0.0, partial(draw_house, x=back, z0=z0, z1=z1, height=height)))
    for _ in range(int(stage.rng.integers(1, 5))):
        items += _tree(stage, x + side * stage.between(3.0, 13.0), stage.between(z0 + 1, z1))
    return items


def _tree(stage: Stage, x: float, z: float) -> list[Item]:
    height = stage.between(5.0, 9.5)
    crown = stage.between(0.26, 0.38) * height
    draw = partial(draw_tree, x=x, z=z, height=height, crown=crown)
    return _thin(stage, x, z, 0.8 * height, crown, draw)


def _thin(stage: Stage, x: float, z: float, height: float, radius: float, draw: Callable[[Stage], None]) -> list[Item]:
    """Something on a narrow foot, `radius` metres wide above; nothing when it is out of sight."""
    if not stage.camera.sees(x, z, radius):
        return []
    return [Item((x - 0.3, x + 0.3, z - 0.3, z + 0.3), height, draw)]


def furnish(stage: Stage, street: Street) -> list[Item]:
    """Lamps, street trees, signs, traffic lights and unlabelled things along both kerbs."""
    mix = stage.look.mix
    items: list[Item] = []
    for side, kerb, front in zip((-1.0, 1.0), street.kerbs, street.fronts):
        x = kerb + side * 0.5
        if stage.chance(mix["lamp"]):
            z, step, height = stage.between(5.0, 20.0), stage.between(16.0, 28.0), stage.between(5.0, 8.0)
            while z < 70:
                draw = partial(draw_pole, x=x, z=z, height=height, radius=0.12, arm=-side * 1.6)
                items += _thin(stage, x, z, height, 1.5, draw)
                z += step
        if stage.chance(mix["trees"]):
            z, step = stage.between(6.0, 18.0), stage.between(7.0, 14.0)
            while z < 75:
                if not street.is_clear(z - 2, z + 2) and stage.chance(0.85):
                    items += _tree(stage, x + side * stage.between(0.2, 0.8), z)
                z += step
        for _ in range(int(stage.rng.poisson(mix["sign"]))):
            z = stage.between(6.0, 30.0)
            kind = SIGN_KINDS[int(stage.rng.integers(len(SIGN_KINDS)))]
            items += _thin(stage, x, z, 2.5, 1.0, partial(draw_sign, x=x, z=z, kind=kind))
        for _ in range(int(stage.rng.poisson(0.5 * mix["static"]))):
            z = stage.between(6.0, 30.0)
            at = kerb + side * stage.between(0.7, max(0.8, abs(front - kerb) - 0.5))
            kind = ("bin", "bench", "box")[int(stage.rng.integers(3))]
            items += _thin(stage, at, z, 1.0, 1.0, partial(draw_static, x=at, z=z, kind=kind))
    if stage.chance(mix["signal"]):
        z = street.junction[0] - 0.8 if street.junction else stage.between(12.0, 30.0)
        for side, kerb in zip((-1.0, 1.0), street.kerbs):
            x, arm = kerb + side * 0.4, (-side * 3.0 if stage.chance(0.5) else 0.0)
            items += _thin(stage, x, z, 4.0, 2.0, partial(draw_signal, x=x, z=z, arm=arm))
    return items
