"""The colour of a leaf's surface: folded along the midrib, domed, veined, mottled, lighter where young."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ptseg_d2.worlds.drawing.noise import CLOUDS, GRAIN, crop_noise, magnified_noise

import numpy as np

from .blade import Blade
from .plant import Leaf

YELLOW = np.array([176, 164, 76], np.float32)  # of an ageing leaf
HAIR = 0.035  # contrast of hairs and sensor-sized grain of the surface


@dataclass(frozen=True)
class Tissue:
    """What the leaves of a plant have in common.

    Attributes:
        grown, young: (3,) RGB.
        spread: grey levels by which leaves differ.
        veins: contrast of the veins.
        fold: how much one half of a blade is brighter than the other in oblique light.
        gloss: brightness of sheen, share.
    """

    grown: np.ndarray
    young: np.ndarray
    spread: float
    veins: float
    fold: float
    gloss: float


def paint_leaf(
    leaf: Leaf, blade: Blade, tissue: Tissue, light: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Colours of a leaf, (h, w, 3) float32 about 0..255, in the box of its blade.

    Args:
        leaf: its age and habit.
        blade: where it lies.
        tissue: of its plant.
        light: (x, y) unit vector to where the light comes from.
        rng: of the picture.
    """
    brightness = _relief(leaf, blade, tissue, light) + _veins(leaf, blade, tissue)
    height, width = blade.cover.shape
    mottle = magnified_noise(rng, CLOUDS, height, width, 4)
    brightness *= 1 + 0.05 * mottle + HAIR * crop_noise(rng, GRAIN, height, width)
    sheen = np.clip(magnified_noise(rng, CLOUDS, height, width, 3) - 0.9, 0, 1.5) * np.float32(tissue.gloss)
    color = _base_color(leaf, blade, tissue)
    return color * brightness[..., None] + 255 * sheen[..., None] * np.array([0.8, 0.9, 0.75], np.float32)


def _base_color(leaf: Leaf, blade: Blade, tissue: Tissue) -> np.ndarray:
    """By age, with its variation, paler towards the stem and yellow from the tip when ageing."""
    fresh = np.float32(0.75 * (1 - leaf.maturity))
    color = (1 - fresh) * tissue.grown + fresh * tissue.young
    hue = leaf.habit.hue
    color = color + tissue.spread * (hue[0] + 0.35 * np.array([hue[1], 0.0, hue[2]]))
    paler = 0.35 * np.clip(1 - blade.along / max(0.05, 1.3 * leaf.petiole), 0, 1)
    colors = color + paler[..., None] * (tissue.young * 1.05 - color)
    if leaf.habit.senescence > 0:
        share = leaf.habit.senescence * leaf.maturity * np.clip(0.35 + 0.75 * blade.along, 0, 1)
        colors += 0.7 * share[..., None] * (YELLOW - colors)
    return np.asarray(colors, np.float32)


def _relief(leaf: Leaf, blade: Blade, tissue: Tissue, light: tuple[float, float]) -> np.ndarray:
    """Brightness by the slope of the surface towards the light, darker at the very margin."""
    cosine, sine = math.cos(leaf.habit.azimuth), math.sin(leaf.habit.azimuth)
    light_u, light_v = light[0] * cosine + light[1] * sine, light[1] * cosine - light[0] * sine
    across = np.clip(blade.across, -1, 1)
    side = np.tanh(6 * across)  # the two halves, with a rounded fold
    slope = light_v * (0.6 * across - side) * tissue.fold
    droop = light_u * tissue.fold * (0.9 * np.clip(blade.along, 0, 1) ** 2 - 0.2)
    steep = 1 + 0.10 * light_u * math.sin(leaf.tilt)
    edge = 1 - 0.12 * np.exp(-np.maximum(blade.rim, 0) / 1.2)
    return np.asarray((steep + slope + droop) * edge, np.float32)


def _veins(leaf: Leaf, blade: Blade, tissue: Tissue) -> np.ndarray:
    """Lighter midrib, and side veins that leave it at half a right angle; thin leaves show none."""
    length_px = max(1.0, float(blade.rim.max()) / max(0.02, leaf.habit.width) * 1.4)
    across_px = np.abs(blade.across) * max(1.0, float(blade.rim.max()))
    along = np.clip(blade.along, 0, 1)
    midrib_px = 0.5 + 0.018 * length_px * (1 - along)
    midrib = np.exp(-((across_px / midrib_px) ** 2)) * (1 - 0.5 * along)
    visible = np.clip((length_px - 25) / 50, 0, 1)
    phase = 9 * (along - 0.75 * np.abs(blade.across) * leaf.habit.width)
    side = np.exp(-(((phase - np.floor(phase)) - 0.5) ** 2) / 0.018) * np.clip(1 - np.abs(blade.across), 0, 1)
    return np.asarray(tissue.veins * (1.3 * midrib + visible * (0.8 * side - 0.25)), np.float32)
