"""What a plant stands on: soil with crumbs, stones, fibres and moss, the rim of its pot, the tray or floor around."""

from __future__ import annotations

import math

from ptseg_d2.worlds.drawing.noise import CLOUDS, GRAIN, WORN, crop_noise, magnified_noise

import cv2
import numpy as np

from .species import Palette, Species

MOSS: Palette = ((70, 84, 40), (88, 96, 52), (58, 74, 44))
STONE: Palette = ((150, 142, 130), (196, 190, 180), (110, 98, 86), (168, 150, 120))
FIBRE: Palette = ((128, 104, 76), (150, 132, 104), (92, 74, 56))
ROUNDNESS = 9  # exponent of the superellipse that a square pot is
SHIFT = 3  # fractional bits of OpenCV's coordinates


def pick(rng: np.random.Generator, palette: Palette, amount: float) -> np.ndarray:
    """A random entry of a palette, varied by about so many grey levels: (3,) float32 RGB."""
    color = np.array(palette[int(rng.integers(len(palette)))])
    return np.asarray(color + rng.normal(0, amount) + rng.normal(0, 0.4 * amount, 3), np.float32)


def paint_ground(rng: np.random.Generator, species: Species, side: int) -> np.ndarray:
    """A square picture without plant, in even light: (side, side, 3) float32 RGB about 0..255."""
    ground = _soil(rng, species, side)
    if rng.random() < species.pot:
        _pot(rng, species, ground)
    return ground


def _soil(rng: np.random.Generator, species: Species, side: int) -> np.ndarray:
    base = pick(rng, species.soil, 5)
    rough = float(rng.uniform(0.10, 0.28))
    texture = (
        rough * crop_noise(rng, GRAIN, side, side)
        + 0.8 * rough * crop_noise(rng, WORN, side, side)
        + 0.12 * magnified_noise(rng, CLOUDS, side, side, 3)
    )
    picture = np.ascontiguousarray(base * np.exp(texture)[..., None])
    _crumbs(rng, picture, base, int(rng.uniform(60, 260)))
    if rng.random() < species.stones:
        _stones(rng, picture, int(rng.uniform(5, 70)))
    _fibres(rng, picture, int(rng.integers(0, 14)))
    if rng.random() < species.moss:
        _moss(rng, picture)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.55), np.float32)


def _moss(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Green patches with a rough surface."""
    side = len(picture)
    depth = magnified_noise(rng, CLOUDS, side, side, 2) + 0.25 * crop_noise(rng, GRAIN, side, side)
    cover = np.clip(3 * (depth - float(rng.uniform(0.3, 1.6))), 0, float(rng.uniform(0.5, 0.95)))
    grain = 1 + 0.22 * crop_noise(rng, GRAIN, side, side)
    moss = pick(rng, MOSS, 8) * np.clip(grain, 0.3, 2)[..., None]
    picture += cover[..., None] * (moss - picture)


def _crumbs(rng: np.random.Generator, picture: np.ndarray, base: np.ndarray, count: int) -> None:
    """Lumps of soil, each with a dark lower side."""
    for _ in range(count):
        radius = float(rng.gamma(2.0, 0.9)) * len(picture) / 256 + 0.6
        x, y = rng.uniform(0, len(picture), 2)
        shade = base * float(rng.uniform(0.6, 1.5))
        _ellipse(rng, picture, (x + 0.5, y + 0.8), radius, shade * 0.45)
        _ellipse(rng, picture, (x, y), radius, shade)


def _stones(rng: np.random.Generator, picture: np.ndarray, count: int) -> None:
    """Stones and perlite, lighter than the soil."""
    for _ in range(count):
        radius = float(rng.gamma(2.0, 0.7)) * len(picture) / 256 + 0.5
        x, y = rng.uniform(0, len(picture), 2)
        color = pick(rng, STONE, 12) * float(rng.uniform(0.55, 1.1))
        _ellipse(rng, picture, (x + 0.4, y + 0.7), radius, color * 0.35)
        _ellipse(rng, picture, (x, y), radius, color)


def _fibres(rng: np.random.Generator, picture: np.ndarray, count: int) -> None:
    """Roots and bits of straw."""
    side = len(picture)
    for _ in range(count):
        steps = rng.normal(0, 1, 2) * side / 60 + rng.normal(0, side / 200, (6, 2))
        points = rng.uniform(0, side, 2) + np.cumsum(steps, axis=0)
        color = pick(rng, FIBRE, 10) * float(rng.uniform(0.5, 1.1))
        fixed = np.round(points * 2**SHIFT).astype(np.int32)
        cv2.polylines(picture, [fixed], False, color.tolist(), 1, cv2.LINE_AA, SHIFT)


def _ellipse(
    rng: np.random.Generator, picture: np.ndarray, center: tuple[float, float], radius: float, color: np.ndarray
) -> None:
    middle = (round(center[0] * 2**SHIFT), round(center[1] * 2**SHIFT))
    axes = (round(radius * 2**SHIFT), round(radius * 2**SHIFT * float(rng.uniform(0.5, 1))))
    cv2.ellipse(picture, middle, axes, float(rng.uniform(0, 180)), 0, 360, color.tolist(), -1, cv2.LINE_8, SHIFT)


def _pot(rng: np.random.Generator, species: Species, picture: np.ndarray) -> None:
    """Everything outside a round or square pot, and its rim with the shadow it casts on the soil."""
    side = len(picture)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    x, y = columns - np.float32(side * rng.uniform(0.42, 0.58)), rows - np.float32(side * rng.uniform(0.42, 0.58))
    if rng.random() < 0.5:
        beyond = np.hypot(x, y)
    else:
        turn = float(rng.normal(0, 0.08))
        x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        beyond = (np.abs(x) ** ROUNDNESS + np.abs(y) ** ROUNDNESS) ** np.float32(1 / ROUNDNESS)
    beyond -= side * float(rng.uniform(0.40, 0.56))
    rim = side * float(rng.uniform(0.012, 0.04))
    around = pick(rng, species.around, 8)
    floor = (
        around
        * (1 + 0.05 * magnified_noise(rng, CLOUDS, side, side, 2) + 0.04 * crop_noise(rng, GRAIN, side, side))[
            ..., None
        ]
    )
    wall = pick(rng, species.around, 12) * float(rng.uniform(0.6, 1.5))
    glint = 1 + 0.5 * np.exp(-(((beyond - 0.4 * rim) / (0.3 * rim)) ** 2)) * np.tanh((x - y) / side * 3)
    picture *= 1 - 0.5 * np.exp(-np.clip(-beyond, 0, None) / (2 * rim))[..., None]
    _blend(picture, wall * glint[..., None], np.clip(beyond + 0.5, 0, 1))
    floor *= 1 - 0.5 * np.exp(-np.clip(beyond - rim, 0, None) / (1.5 * rim))[..., None]
    _blend(picture, floor, np.clip(beyond - rim + 0.5, 0, 1))


def _blend(picture: np.ndarray, over: np.ndarray, cover: np.ndarray) -> None:
    picture += cover[..., None] * (over - picture)
