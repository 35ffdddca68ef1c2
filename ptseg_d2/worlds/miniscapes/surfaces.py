"""Textures fixed to what they lie on: grain and joints on the ground, bricks on facades, leaves, clouds; then haze.

All arrays are (H, W) float32 at the size of the picture, or (H, W, 3) with RGB about 0..255, unless noted.
"""

from __future__ import annotations

from dataclasses import dataclass

from ptseg_d2.worlds.drawing.noise import CLOUDS, GRAIN, SIZE, TILES, WORN, crop_noise, fractal_noise

import cv2
import numpy as np

from .stage import BUILDING, ROAD, SIDEWALK, SKY, SUPERSAMPLING, TERRAIN, VEGETATION, WALL, Stage

FAR = 500.0  # metres, where the ground ends


@dataclass(frozen=True)
class Surfaces:
    """What every pixel of the picture shows.

    Attributes:
        category: uint8 train id.
        distance: metres.
        on_ground: bool, lies on the ground plane.
        plane: x of the facade plane the pixel lies in, 0 = none.
        ray_x, ray_y, ray_z: world direction of the line of sight, with a forward part of one.
    """

    category: np.ndarray
    distance: np.ndarray
    on_ground: np.ndarray
    plane: np.ndarray
    ray_x: np.ndarray
    ray_y: np.ndarray
    ray_z: np.ndarray


def find_surfaces(stage: Stage) -> Surfaces:
    """Look up the drawn entity of every pixel."""
    canvas = stage.canvas
    entity = canvas.pixels[::SUPERSAMPLING, ::SUPERSAMPLING, 3]
    distance = np.array(canvas.distances, np.float32)[entity]
    ray_x, ray_y, ray_z = stage.camera.rays(SUPERSAMPLING)
    on_ground = distance == 0
    to_ground = stage.camera.elevation / np.maximum(-ray_y, stage.camera.elevation / FAR)
    return Surfaces(
        category=np.array(canvas.classes, np.uint8)[entity],
        distance=np.where(on_ground, to_ground, distance),
        on_ground=on_ground,
        plane=np.array(canvas.planes, np.float32)[entity],
        ray_x=ray_x,
        ray_y=ray_y,
        ray_z=ray_z,
    )


def paint_surfaces(stage: Stage) -> np.ndarray:
    """Colours of the canvas with textures, clouds and haze: (H, W, 3)."""
    seen = find_surfaces(stage)
    height, width = seen.category.shape
    drawn = np.minimum(stage.canvas.pixels[..., :3], 255)
    color = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    gain = np.ones((height, width), np.float32)
    _texture_ground_(gain, stage, seen)
    _texture_facades_(gain, stage, seen)
    _texture_others_(gain, stage, seen)
    color *= np.maximum(gain, 0.15)[..., None]
    sky = seen.category == SKY
    color[sky] = _add_clouds(stage, color)[sky]
    haze = np.array(stage.look.palette["cloud"][0], np.float32) * 0.92
    clear = np.exp(-seen.distance / stage.between(*stage.look.visibility_m))[..., None]
    return color * clear + haze * (1 - clear)


def _sample(stage: Stage, exponent: float, across: np.ndarray, along: np.ndarray, metres: float) -> np.ndarray:
    """Noise whose tile covers `metres`, looked up at surface coordinates in metres."""
    tile = fractal_noise(exponent, int(stage.rng.integers(TILES)))
    scale = np.float32(SIZE / metres)
    right, down = stage.rng.integers(SIZE, size=2).astype(np.float32)
    return cv2.remap(tile, across * scale + right, along * scale + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _texture_ground_(gain: np.ndarray, stage: Stage, seen: Surfaces) -> None:
    """Grain and paving joints, fading with distance, which avoids aliasing; wear where the look has it."""
    texture = stage.look.texture
    rows = slice(max(0, int(stage.camera.horizon / SUPERSAMPLING)), None)
    on_ground, category = seen.on_ground[rows], seen.category[rows]
    distance = np.where(on_ground, seen.distance[rows], FAR)
    x, z = seen.ray_x[rows] * distance, seen.ray_z[rows] * distance
    near = np.exp(-distance / 18.0)
    change = texture["ground"] * near * _sample(stage, GRAIN, x, z, 16.0)
    joints = (np.mod(x * 1.5, 1) < 0.09) | (np.mod(z * 1.5, 1) < 0.09)
    change -= texture["tiles"] * near * (joints & (category == SIDEWALK))
    grass = texture["terrain"] * (0.3 + near) * _sample(stage, GRAIN, x, z, 24.0)
    change += grass * (category == TERRAIN)
    if stage.look.worn:
        change += _wear(stage, x, z, near, category == ROAD)
    gain[rows] += change * on_ground


def _wear(stage: Stage, x: np.ndarray, z: np.ndarray, near: np.ndarray, road: np.ndarray) -> np.ndarray:
    """Stains everywhere, cracks and sometimes bright wet patches on the road."""
    stains = 0.1 * np.clip(_sample(stage, CLOUDS, x, z, 60.0), -1.5, 1.5)
    cracks = np.abs(_sample(stage, WORN, x, z, 30.0)) < 0.035
    change = stains - 0.3 * near * (cracks & road)
    if stage.chance(0.3):
        change += 0.7 * np.clip(_sample(stage, CLOUDS, x, z, 40.0) - 0.4, 0, 1) * road
    return change


def _texture_facades_(gain: np.ndarray, stage: Stage, seen: Surfaces) -> None:
    """Dirt and brick courses on whatever lies in a plane along the street."""
    texture, facade = stage.look.texture, seen.plane != 0
    toward = np.where(np.abs(seen.ray_x) < 1e-3, np.float32(1e-3), seen.ray_x)
    reach = np.where(facade, np.clip(seen.plane / toward, 0.5, 200.0), 200.0)
    along, up = reach * seen.ray_z, stage.camera.elevation + reach * seen.ray_y
    near = np.exp(-reach / 22.0)
    dirt = _sample(stage, WORN, along, up * 0.5, 40.0) + near * _sample(stage, GRAIN, along, up, 12.0)
    course = up * 2.2
    joints = (np.mod(course, 1) < 0.18) | (np.mod(along * 1.1 + 0.5 * np.mod(np.floor(course), 2), 1) < 0.09)
    masonry = (seen.category == WALL) | (seen.category == BUILDING)
    change = 0.6 * texture["facade"] * dirt - texture["bricks"] * near * (joints & masonry)
    gain += change * facade


def _texture_others_(gain: np.ndarray, stage: Stage, seen: Surfaces) -> None:
    """Foliage, and a little roughness on everything else that stands."""
    height, width = gain.shape
    rough = 0.6 * (crop_noise(stage.rng, GRAIN, height, width) + crop_noise(stage.rng, WORN, height, width))
    leaves = seen.category == VEGETATION
    others = ~(seen.on_ground | leaves | (seen.plane != 0) | (seen.category == SKY))
    texture = stage.look.texture
    gain += 0.6 * texture["leaf"] * np.clip(rough, -1.6, 2.2) * leaves + texture["other"] * rough * others


def _add_clouds(stage: Stage, color: np.ndarray) -> np.ndarray:
    """The sky's gradient with clouds; their share is the look's."""
    height, width = color.shape[:2]
    noise = cv2.resize(crop_noise(stage.rng, CLOUDS, 256, 256), (width, 2 * height))[:height]
    cover = stage.between(*stage.look.sky_cover)
    clouds = np.clip(0.5 + 0.6 * (noise + 3.0 * (cover - 0.5)), 0, 1)[..., None]
    return color * (1 - clouds) + np.array(stage.color("cloud", 5), np.float32) * clouds
