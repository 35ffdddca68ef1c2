"""Who is in the street: parked and driving vehicles, pedestrians alone and in crowds, two-wheelers and racks."""

from __future__ import annotations

import math
from functools import partial

from .objects.people import draw_person
from .objects.two_wheelers import draw_bicycle, draw_motorcycle
from .objects.vehicles import CAR_SHAPES, draw_bus, draw_car, draw_train, draw_truck
from .stage import Frame, Item, Stage
from .street import Street


def _car(stage: Stage, frame: Frame) -> Item:
    names = list(CAR_SHAPES)
    shape = names[int(stage.rng.choice(len(names), p=[0.35, 0.3, 0.22, 0.13]))]
    draw = partial(draw_car, frame=frame, shape=shape, color=stage.color("car"))
    return Item(frame.box(1.8, CAR_SHAPES[shape].length), 1.4, draw)


def _bus(stage: Stage, frame: Frame) -> Item:
    return Item(frame.box(2.5, 11.0), 3.1, partial(draw_bus, frame=frame, color=stage.color("bus")))


def _truck(stage: Stage, frame: Frame) -> Item:
    cab, box = stage.color("truck"), stage.color("truck")
    draw = partial(draw_truck, frame=frame, cab_color=cab, box_color=box, tarpaulin=stage.chance(0.5))
    return Item(frame.box(2.5, 8.0), 3.7, draw)


LENGTHS = {"car": 4.5, "bus": 11.0, "truck": 8.0}
MAKERS = {"car": _car, "bus": _bus, "truck": _truck}


def park_cars(stage: Stage, street: Street) -> list[Item]:
    """Rows of parked cars along both kerbs, bumper to bumper: the crowd that only embeddings can separate."""
    items: list[Item] = []
    for side, kerb, style in zip((-1, 1), street.kerbs, street.parking):
        if style == "none":
            continue
        z, full = stage.between(3.0, 16.0), stage.between(0.5, 1.0)
        pitch = (4.9, 5.7) if style == "along" else (2.25, 2.7)
        while z < 50:
            if stage.chance(full) and not street.is_crossed(z - 4, z + 4):
                if style == "along":
                    heading = (0.0 if side > 0 or stage.chance(0.3) else math.pi) + stage.rng.normal(0, 0.03)
                    frame = Frame(kerb - side * (1.05 + stage.rng.normal(0, 0.08)), z, heading)
                else:
                    heading = (0.5 if stage.chance(0.5) else -0.5) * math.pi + stage.rng.normal(0, 0.05)
                    frame = Frame(kerb - side * (2.5 + stage.rng.normal(0, 0.15)), z, heading)
                if stage.camera.sees(frame.x, frame.z, 2.6):
                    items.append(_car(stage, frame))
            z += stage.between(*pitch)
    return items


def drive(stage: Stage, street: Street) -> list[Item]:
    """Driving vehicles: queues of cars, now and then a bus or lorry among them, a tram on its track, cross traffic."""
    contents, items = stage.look.contents, []
    special = [kind for kind in ("bus", "truck") if stage.chance(contents[kind])]
    for number, (x, heading) in enumerate(street.lanes):
        z = stage.between(9.0, 30.0) if number == 0 else stage.between(7.0, 22.0)
        dense = stage.chance(contents["traffic"])
        last = number == len(street.lanes) - 1
        while z < 70:
            kind = "car"
            if special and (last or stage.chance(0.5)):
                kind = special.pop()
            length = LENGTHS[kind]
            frame = Frame(x + stage.rng.normal(0, 0.2), z + 0.5 * length, heading + stage.rng.normal(0, 0.02))
            if stage.camera.sees(frame.x, frame.z, 0.5 * length):
                items.append(MAKERS[kind](stage, frame))
            z += length + (stage.between(1.5, 5.0) if dense else stage.between(12.0, 60.0))
    if street.track is not None:
        coaches = int(stage.rng.integers(2, 4))
        frame = Frame(street.track, stage.between(9.0, 24.0) + 4.65 * coaches, 0.0 if stage.chance(0.5) else math.pi)
        draw = partial(draw_train, frame=frame, coaches=coaches, color=stage.color("train"))
        items.append(Item(frame.box(2.5, 9.3 * coaches), 3.4, draw))
    if street.junction is not None and stage.chance(0.6):
        items += _cross_traffic(stage, street.junction)
    return items


def _cross_traffic(stage: Stage, junction: tuple[float, float]) -> list[Item]:
    items = []
    for z, heading in ((junction[0] + 2.3, 0.5 * math.pi), (junction[1] - 2.3, -0.5 * math.pi)):
        x = stage.between(-22.0, -2.0)
        while x < 20:
            items.append(_car(stage, Frame(x, z, heading)))
            x += stage.between(5.2, 14.0)
    return items


def populate(stage: Stage, street: Street) -> list[Item]:
    """Pedestrians on the pavements and the crossing, in groups that touch."""
    items: list[Item] = []
    for _ in range(int(stage.rng.poisson(stage.look.contents["crowd"]))):
        side = int(stage.rng.integers(2))
        kerb, front = street.kerbs[side], street.fronts[side]
        x, z = kerb + (front - kerb) * stage.between(0.15, 0.9), stage.between(6.5, 28.0)
        if street.junction is not None and stage.chance(0.3):
            x, z = stage.between(*street.kerbs), street.junction[0] - 1.8
        for _ in range(int(stage.rng.choice([1, 2, 3, 5, 7], p=[0.2, 0.25, 0.25, 0.2, 0.1]))):
            at_x, at_z = x + stage.rng.normal(0, 0.45), z + stage.rng.normal(0, 0.6)
            height = stage.between(1.55, 1.9) if stage.chance(0.9) else stage.between(1.0, 1.35)
            if stage.camera.sees(at_x, at_z, 0.3):
                draw = partial(draw_person, x=at_x, z=at_z, height=height)
                items.append(Item((at_x - 0.25, at_x + 0.25, at_z - 0.15, at_z + 0.15), height, draw))
    return items


def _two_wheeler(stage: Stage, frame: Frame, motor: bool, ridden: bool) -> list[Item]:
    if not stage.camera.sees(frame.x, frame.z, 1.0):
        return []
    kind = draw_motorcycle if motor else draw_bicycle
    draw = partial(kind, frame=frame, color=stage.color("metal", 20), ridden=ridden)
    return [Item(frame.box(0.4, 1.7), 1.6 if ridden else 0.9, draw)]


def ride(stage: Stage, street: Street) -> list[Item]:
    """Cyclists, motorcyclists, parked motorcycles and bicycle racks."""
    contents, items = stage.look.contents, []
    for motor, rate in ((False, contents["rider"]), (True, contents["motor_rider"])):
        for _ in range(int(stage.rng.poisson(rate))):
            items += _riders(stage, street, motor)
    for motor, probability in ((True, contents["motorcycle"]), (False, contents["rack"])):
        if stage.chance(probability):
            items += _rack(stage, street, motor)
    return items


def _riders(stage: Stage, street: Street, motor: bool) -> list[Item]:
    """One rider or two side by side, along a kerb or crossing the street."""
    z = stage.between(7.0, 24.0)
    if stage.chance(0.3):
        x, heading = stage.between(-4.0, 4.0), stage.between(1.0, 1.7) * (1 if stage.chance(0.5) else -1)
    elif stage.chance(0.6):
        x, heading = street.kerbs[1] - 2.9, 0.0
    else:
        x, heading = street.kerbs[0] + 2.9, math.pi
    items: list[Item] = []
    for i in range(1 if stage.chance(0.7) else 2):
        items += _two_wheeler(stage, Frame(x + 0.7 * i, z + 1.1 * i, heading), motor, ridden=True)
    return items


def _rack(stage: Stage, street: Street, motor: bool) -> list[Item]:
    """A row of parked two-wheelers, nearly touching."""
    side = int(stage.rng.integers(2))
    sign = 2 * side - 1
    x, z = street.kerbs[side] + sign * stage.between(0.9, 1.5), stage.between(6.5, 18.0)
    count = int(stage.rng.integers(2, 5)) if motor else int(stage.rng.integers(4, 10))
    lengthwise = stage.chance(0.5)
    items: list[Item] = []
    for _ in range(count):
        step = stage.between(0.55, 0.8) * (1.4 if motor else 1.0)
        heading = (0.5 * math.pi if lengthwise else 0.0) + stage.rng.normal(0.35, 0.12)
        x, z = (x, z + step) if lengthwise else (x + sign * 0.6 * step, z + 0.25 * step)
        items += _two_wheeler(stage, Frame(x, z, heading), motor, ridden=False)
    return items
