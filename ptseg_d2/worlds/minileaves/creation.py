"""Draws minileaves in the file layout of CVPPP 2017, on first use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ptseg_d2.worlds.drawing.creation import Drawing, make_once
from ptseg_d2.worlds.drawing.files import write_png

import numpy as np
from PIL import Image

from .picture import PlantPicture, pot_plant, render_plant
from .plant import LEAF_EVERY
from .species import SPECIES

VERSION = 4  # of the drawing code: raise it when pictures of the same seed change
NUM_PLANTS = 120
NUM_STAGES = 2  # photographs of each plant
SIDE = 256  # pixels
SEED = 0


@dataclass(frozen=True)
class Plan:
    """What to draw.

    Attributes:
        num_plants: over all sub-data-sets.
        num_stages: photographs of each plant, from young to old.
        side: of the pictures, pixels.
        seed: another one gives other plants.
    """

    num_plants: int
    num_stages: int
    side: int
    seed: int


def ensure(
    root: Path, *, num_plants: int = NUM_PLANTS, num_stages: int = NUM_STAGES, side: int = SIDE, seed: int = SEED
) -> Path:
    """Make `root/cvppp` unless it exists, as `make_once` does.

    Args:
        root: folder of minileaves, usually $DETECTRON2_DATASETS/minileaves.
        num_plants: 1 or more, over all sub-data-sets.
        num_stages: photographs of each plant, 1 or more.
        side: of the pictures, at least 32 pixels.
        seed: non-negative; another one gives other plants.

    Returns:
        The folder. If it was there before with other settings it stays as it is, with a warning.

    Raises:
        ValueError: a number is out of range.
    """
    limits = {"num_plants": (num_plants, 1), "num_stages": (num_stages, 1), "side": (side, 32), "seed": (seed, 0)}
    for name, (value, least) in limits.items():
        if value < least:
            raise ValueError(f"{name} is {value}; expected at least {least}")
    plan = Plan(num_plants, num_stages, side, seed)
    settings = {"version": VERSION, **asdict(plan)}
    total = num_plants * num_stages
    return make_once(Path(root) / "cvppp", Drawing("minileaves", settings, partial(draw_all, plan=plan), total))


def plants_by_subset(num_plants: int) -> dict[str, int]:
    """How many plants each sub-data-set has: by the shares of `SPECIES`, the first one takes what rounding leaves."""
    counts = {subset: int(share * num_plants) for subset, (_, share) in SPECIES.items()}
    first = next(iter(counts))
    counts[first] += num_plants - sum(counts.values())
    return counts


def draw_all(folder: Path, plan: Plan) -> Iterator[None]:
    """Draws all plants into a folder, one photograph per step of the iterator."""
    for subset, count in plants_by_subset(plan.num_plants).items():
        for number in range(1, count + 1):
            for stage, picture in enumerate(draw_plant(subset, number, plan)):
                name = f"plant{number:03d}" + (f"_{stage + 1}" if stage else "")
                write_png(folder / subset / f"{name}_rgb.png", picture.image)
                write_label(folder / subset / f"{name}_label.png", picture.leaf_ids)
                yield


def draw_plant(subset: str, number: int, plan: Plan) -> Iterator[PlantPicture]:
    """The photographs of a plant, from young to old."""
    species, _ = SPECIES[subset]
    key = [plan.seed, list(SPECIES).index(subset), number]
    rng = np.random.default_rng(key)
    plant = pot_plant(rng, species, plan.side)
    grown = LEAF_EVERY * len(plant.leaves) + float(rng.uniform(1, 4))
    first = float(rng.uniform(0.5, 0.75))
    for stage in range(plan.num_stages):
        share = 1.0 if plan.num_stages == 1 else first + (1 - first) * stage / (plan.num_stages - 1)
        yield render_plant(plant, share * grown, np.random.default_rng([*key, stage]))


def write_label(path: Path, leaf_ids: np.ndarray) -> None:
    """Writes leaf numbers, (H, W) uint8, as a palette PNG like those of the challenge."""
    label = Image.fromarray(leaf_ids)
    label.putpalette(PALETTE.tobytes())  # makes it mode "P"
    label.save(path)


def _palette() -> np.ndarray:
    """(256, 3) uint8: black, then bright colours of which neighbours differ."""
    hue = (np.arange(256) * 0.618034) % 1.0
    channels = np.abs((6 * hue[:, None] + np.array([0, 4, 2])) % 6 - 3) - 1
    colors = (38 + 217 * np.clip(channels, 0, 1)).astype(np.uint8)
    colors[0] = 0
    return colors


PALETTE = _palette()
