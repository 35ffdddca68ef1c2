"""A photograph of a plant with its labels: leaves laid over each other from below, each casting a shadow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ptseg_d2.counting import number_of
from ptseg_d2.worlds.drawing.photograph import photograph

import cv2
import numpy as np

from .blade import Blade, place
from .plant import Habit, Leaf, grow, sample_plant
from .soil import paint_ground, pick
from .species import Species
from .tissue import Tissue, paint_leaf

MIN_BLADE_PIXELS = 14  # at 256 x 256; a leaf of whose blade less is seen is not drawn at all


@dataclass(frozen=True)
class PottedPlant:
    """A plant and where it stands, which stay the same on all its photographs.

    Attributes:
        species: decides on the camera as well.
        leaves: habits of all leaves it will have.
        tissue: their colours.
        ground: (side, side, 3) float32 RGB about 0..255, the pot without plant in even light.
        stem: its pixel (x, y).
    """

    species: Species
    leaves: list[Habit]
    tissue: Tissue
    ground: np.ndarray
    stem: tuple[float, float]


@dataclass(frozen=True)
class PlantPicture:
    """A photograph and its labels.

    Attributes:
        image: (side, side, 3) uint8 RGB.
        leaf_ids: (side, side) uint8, 0 = background, 1..K consecutive, from the lowest leaf to the highest.
    """

    image: np.ndarray
    leaf_ids: np.ndarray


@dataclass(frozen=True)
class Light:
    """Where the light comes from: (x, y) on the picture, unit vector; strength 0..1 and softness of shadows."""

    toward: tuple[float, float]
    shadow: float
    softness_px: float
    reach_px: float


def pot_plant(rng: np.random.Generator, species: Species, side: int = 256) -> PottedPlant:
    """A random plant of a kind on a random ground; side of the picture in pixels, at least 32."""
    leaves = sample_plant(rng, species)
    tissue = Tissue(
        grown=pick(rng, species.tissue, 7),
        young=pick(rng, species.young, 6),
        spread=species.spread,
        veins=float(rng.uniform(*species.veins)),
        fold=float(rng.uniform(0.04, 0.22)),
        gloss=float(rng.uniform(0.0, 0.10)),
    )
    stem = (side * float(rng.uniform(0.44, 0.56)), side * float(rng.uniform(0.44, 0.56)))
    return PottedPlant(species, leaves, tissue, paint_ground(rng, species, side), stem)


def render_plant(plant: PottedPlant, time: float, rng: np.random.Generator) -> PlantPicture:
    """Photograph of a plant at a time of its life.

    Args:
        plant: on its ground.
        time: as in `grow`.
        rng: decides on light and camera.
    """
    side = len(plant.ground)
    placed = [
        (leaf, blade) for leaf in grow(plant.leaves, time) if (blade := place(leaf, plant.stem, side)) is not None
    ]
    seen, leaf_ids = keep_visible(placed, side)
    light = _sample_light(rng, plant.species, side)
    canvas = plant.ground * _illumination(rng, side)[..., None]
    _shade_ground(canvas, leaf_ids > 0, light)
    for number, (leaf, blade) in enumerate(seen):
        cast_shadow(canvas, blade, light)
        color = paint_leaf(leaf, blade, plant.tissue, light.toward, rng)
        color *= np.float32(0.82 + 0.18 * (number + 1) / len(seen))  # less light arrives below
        box = canvas[blade.rows, blade.columns]
        box += blade.cover[..., None] * (color - box)
    return PlantPicture(photograph(canvas, plant.species, rng), leaf_ids)


def keep_visible(placed: Sequence[tuple[Leaf, Blade]], side: int) -> tuple[list[tuple[Leaf, Blade]], np.ndarray]:
    """The leaves of whose blade enough is seen, and the labels of these leaves with their stalks."""
    least = number_of(MIN_BLADE_PIXELS / 256**2, side * side, at_least=1)
    seen = list(placed)
    while True:
        leaf_ids = np.zeros((side, side), np.uint8)
        for number, (_, blade) in enumerate(seen, start=1):
            leaf_ids[blade.rows, blade.columns][blade.cover > 0.5] = number
        kept = [
            (leaf, blade)
            for number, (leaf, blade) in enumerate(seen, start=1)
            if ((leaf_ids[blade.rows, blade.columns] == number) & (blade.along > leaf.petiole)).sum() >= least
        ]
        if len(kept) == len(seen):
            return seen, leaf_ids
        seen = kept


def _sample_light(rng: np.random.Generator, species: Species, side: int) -> Light:
    angle = float(rng.uniform(0, 2 * math.pi))
    scale = side / 256
    return Light(
        toward=(math.cos(angle), math.sin(angle)),
        shadow=float(rng.uniform(*species.shadow)),
        softness_px=float(rng.uniform(1.2, 3.5)) * scale,
        reach_px=float(rng.uniform(1.0, 4.5)) * scale,
    )


def cast_shadow(canvas: np.ndarray, blade: Blade, light: Light) -> None:
    """Darkens in place what lies under a leaf and beside it, away from the light."""
    margin = math.ceil(3 * light.softness_px + light.reach_px)
    top, left = max(0, blade.rows.start - margin), max(0, blade.columns.start - margin)
    below = canvas[top : blade.rows.stop + margin, left : blade.columns.stop + margin]
    cover = np.zeros(below.shape[:2], np.float32)
    row, column = blade.rows.start - top, blade.columns.start - left
    cover[row : row + blade.cover.shape[0], column : column + blade.cover.shape[1]] = blade.cover
    shift = np.array([[1, 0, -light.reach_px * light.toward[0]], [0, 1, -light.reach_px * light.toward[1]]], np.float32)
    cast = cv2.warpAffine(cover, shift, (cover.shape[1], cover.shape[0]))
    cast = cv2.GaussianBlur(cast, (0, 0), light.softness_px)
    below *= 1 - np.float32(light.shadow) * cast[..., None]


def _shade_ground(canvas: np.ndarray, plant: np.ndarray, light: Light) -> None:
    """The plant as a whole keeps light from the ground around it."""
    around = cv2.GaussianBlur(plant.astype(np.float32), (0, 0), len(canvas) / 22)
    canvas *= 1 - np.float32(0.5 * light.shadow) * around[..., None]


def _illumination(rng: np.random.Generator, side: int) -> np.ndarray:
    """Uneven light, about 1: (side, side) float32."""
    angle, strength = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0, 0.25))
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    return np.asarray(1 + strength * (math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None]), np.float32)
