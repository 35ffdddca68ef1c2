"""Plants: leaves that appear one after another round the stem and grow. A plant keeps its leaves over all its ages.

Lengths are shares of the side of the picture, angles radians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .species import Range, Species

GOLDEN_ANGLE = math.radians(137.5)  # between successive leaves
LEAF_EVERY = 1.0  # time between successive leaves; the unit of age
GROWN_AFTER = 7.0  # age at which a leaf has reached 1 - 1/e of its length
COTYLEDONS = 2  # the first two leaves: small, round and opposite each other


@dataclass(frozen=True)
class Habit:
    """What is fixed for a leaf over its life.

    Attributes:
        born: time of its appearance.
        azimuth: direction from the stem.
        length: when grown.
        petiole, width, taper, tip: as in `Species`.
        bend: sideways bend at the tip, share of the length.
        skew: how much wider one half of the blade is.
        waves: (4, 3): amplitude, number of waves along the blade and phase of the margin's waves, two for each side.
        steepness: angle to the ground when young.
        height: place in the order from below.
        hue: standard normal numbers, (3,), that vary its colour.
        senescence: 0..1, how yellow it has become at the end.
    """

    born: float
    azimuth: float
    length: float
    petiole: float
    width: float
    taper: float
    tip: float
    bend: float
    skew: float
    waves: np.ndarray
    steepness: float
    height: float
    hue: np.ndarray
    senescence: float


@dataclass(frozen=True)
class Leaf:
    """A leaf at one age.

    Attributes:
        habit: what does not change.
        length: as seen from above.
        maturity: 0..1, 1 = grown.
        tilt: angle to the ground.
        petiole: share of its length.
    """

    habit: Habit
    length: float
    maturity: float
    tilt: float
    petiole: float


def sample_plant(rng: np.random.Generator, species: Species) -> list[Habit]:
    """The leaves of a plant, oldest first."""
    count = round(float(rng.uniform(*species.num_leaves)))
    longest = float(rng.uniform(*species.length))
    # Plants of a kind differ more from each other than the leaves of a plant do.
    typical = {name: _narrow(rng, getattr(species, name)) for name in ("petiole", "width", "taper", "tip", "waviness")}
    start, handedness = float(rng.uniform(0, 2 * math.pi)), float(rng.choice([-1, 1]))
    return [_sample_leaf(rng, number, longest, typical, start, handedness) for number in range(count)]


def grow(plant: Sequence[Habit], time: float) -> list[Leaf]:
    """The leaves that have appeared by a time, lowest first."""
    leaves = [_at_age(habit, (time - habit.born) / GROWN_AFTER) for habit in plant if habit.born < time]
    return sorted(leaves, key=lambda leaf: leaf.habit.height)


def _narrow(rng: np.random.Generator, limits: Range) -> Range:
    """A third of a range, at a random place in it."""
    low, high = limits
    start = low + 2 / 3 * float(rng.random()) * (high - low)
    return start, start + (high - low) / 3


def _sample_leaf(
    rng: np.random.Generator,
    number: int,
    longest: float,
    typical: dict[str, Range],
    start: float,
    handedness: float,
) -> Habit:
    cotyledon = number < COTYLEDONS
    turn = math.pi if number == 1 else GOLDEN_ANGLE * number
    rank = min(1.0, 0.55 + 0.09 * (number - COTYLEDONS))  # later leaves become longer
    waves = np.stack(
        [
            rng.uniform(0.3, 1.0, 4) * float(rng.uniform(*typical["waviness"])),
            rng.uniform(1.5, 7.0, 4),
            rng.uniform(0, 2 * math.pi, 4),
        ],
        axis=1,
    )
    return Habit(
        born=LEAF_EVERY * (number if not cotyledon else 0.0) - (2.0 if cotyledon else 0.0),
        azimuth=start + handedness * turn + float(rng.normal(0, 0.2)),
        length=longest * (0.34 if cotyledon else rank) * float(rng.uniform(0.82, 1.12)),
        petiole=float(rng.uniform(*typical["petiole"])),
        width=0.46 if cotyledon else float(rng.uniform(*typical["width"])),
        taper=float(rng.uniform(*typical["taper"])),
        tip=0.45 if cotyledon else float(rng.uniform(*typical["tip"])),
        bend=float(rng.normal(0, 0.07)),
        skew=float(rng.normal(0, 0.06)),
        waves=waves,
        steepness=float(rng.uniform(0.5, 1.2)),
        height=number + float(rng.normal(0, 0.7)),
        hue=rng.normal(0, 1, 3),
        senescence=float(rng.uniform(0.3, 1.0)) if rng.random() < (0.35 if cotyledon else 0.06) else 0.0,
    )


def _at_age(habit: Habit, age: float) -> Leaf:
    """A leaf at an age in units of `GROWN_AFTER`."""
    maturity = 1 - math.exp(-((1.25 * age) ** 1.6))
    tilt = habit.steepness * (1 - maturity) + 0.15
    return Leaf(
        habit=habit,
        length=habit.length * (0.06 + 0.94 * maturity) * math.cos(tilt),
        maturity=maturity,
        tilt=tilt,
        petiole=habit.petiole * (0.4 + 0.6 * maturity),
    )
