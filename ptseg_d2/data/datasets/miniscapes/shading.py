"""From the drawn G-buffer to a picture: textures fixed to the ground and the facades, clouds, haze, then the camera.

Arrays are (H, W) or (H, W, 3) float32 with colours 0..255 unless noted.
"""

from __future__ import annotations

import cv2
import numpy as np

from .noise import CLOUDS, GRAIN, SIZE, TILES, WORN, crop_noise, fractal_noise
from .stage import BUILDING, ROAD, SIDEWALK, SKY, SUPERSAMPLING, TERRAIN, VEGETATION, WALL, Stage


def _sample(stage: Stage, exponent: float, across: np.ndarray, along: np.ndarray, metres: float) -> np.ndarray:
    """Noise whose tile covers `metres`, looked up at surface coordinates in metres."""
    tile = fractal_noise(exponent, int(stage.rng.integers(TILES)))
    scale = np.float32(SIZE / metres)
    right, down = stage.rng.integers(SIZE, size=2).astype(np.float32)
    return cv2.remap(tile, across * scale + right, along * scale + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def textured(stage: Stage) -> np.ndarray:
    """Colours of the canvas with textures and haze, at the size of the picture: (H, W, 3) float32."""
    canvas, look, rng = stage.canvas, stage.look, stage.rng
    entity = canvas.pixels[::SUPERSAMPLING, ::SUPERSAMPLING, 3]
    height, width = entity.shape
    drawn = np.minimum(canvas.pixels[..., :3], 255)
    color = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    category = np.array(canvas.classes, np.uint8)[entity]
    distance = np.array(canvas.distances, np.float32)[entity]
    plane = np.array(canvas.planes, np.float32)[entity]
    ray_x, ray_y, ray_z = stage.camera.rays(SUPERSAMPLING)
    reach = stage.camera.elevation / np.maximum(-ray_y, 1e-3)
    on_ground = distance == 0
    distance = np.where(on_ground, np.minimum(reach, 500.0), distance)

    gain = np.ones((height, width), np.float32)
    _texture_ground(stage, gain, category, on_ground, ray_x * reach, ray_z * reach, reach)
    _texture_facades(stage, gain, category, plane, ray_x, ray_y, ray_z)
    leaves = category == VEGETATION
    rough = 0.6 * crop_noise(rng, GRAIN, height, width) + 0.6 * crop_noise(rng, WORN, height, width)
    gain[leaves] += look.texture["leaf"] * np.clip(rough[leaves], -1.6, 2.2) * 0.6
    others = ~(on_ground | leaves | (plane != 0) | (category == SKY))
    gain[others] += look.texture["other"] * rough[others]
    color *= np.maximum(gain, 0.15)[..., None]
    sky = category == SKY
    color[sky] = _clouded(stage, color, height, width)[sky]

    haze = np.array(look.palette["cloud"][0], np.float32) * 0.92
    clear = np.exp(-distance / stage.between(*look.visibility_m))[..., None]
    return color * clear + haze * (1 - clear)


def _texture_ground(
    stage: Stage,
    gain: np.ndarray,
    category: np.ndarray,
    on_ground: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    reach: np.ndarray,
) -> None:
    """Grain, paving joints, and for worn streets patches and cracks; fades out with distance to avoid aliasing."""
    look = stage.look
    top = max(0, int(stage.camera.horizon / SUPERSAMPLING))
    rows = slice(top, None)
    x, z, category = x[rows], z[rows], np.where(on_ground[rows], category[rows], 255)
    near = np.exp(-reach[rows] / 18.0)
    grain = _sample(stage, GRAIN, x, z, 16.0)
    change = look.texture["ground"] * grain * near
    tiles = (np.mod(x * 1.5, 1) < 0.09) | (np.mod(z * 1.5, 1) < 0.09)
    change = change - np.where((category == SIDEWALK) & tiles, look.texture["tiles"] * near, 0)
    lawn = category == TERRAIN
    change[lawn] += look.texture["terrain"] * _sample(stage, GRAIN, x, z, 24.0)[lawn] * (0.3 + near[lawn])
    if look.worn:
        stains = _sample(stage, CLOUDS, x, z, 60.0)
        change += 0.1 * np.clip(stains, -1.5, 1.5)
        cracks = np.abs(_sample(stage, WORN, x, z, 30.0)) < 0.035
        change -= np.where((category == ROAD) & cracks, 0.3 * near, 0)
        if stage.chance(0.3):
            wet = np.clip(_sample(stage, CLOUDS, x, z, 40.0) - 0.4, 0, 1)
            change += np.where(category == ROAD, 0.7 * wet, 0)
    gain[rows] += np.where(category != 255, change, 0)


def _texture_facades(
    stage: Stage,
    gain: np.ndarray,
    category: np.ndarray,
    plane: np.ndarray,
    ray_x: np.ndarray,
    ray_y: np.ndarray,
    ray_z: np.ndarray,
) -> None:
    """Dirt and brick courses on whatever lies in a plane along the street."""
    look = stage.look
    facade = plane != 0
    if not facade.any():
        return
    safe = np.where(np.abs(ray_x) < 1e-3, 1e-3, ray_x)
    reach = np.where(facade, np.clip(plane / safe, 0.5, 200.0), 200.0)
    along, up = reach * ray_z, stage.camera.elevation + reach * ray_y
    near = np.exp(-reach / 22.0)
    change = (
        look.texture["facade"]
        * 0.6
        * (_sample(stage, WORN, along, up * 0.5, 40.0) + near * _sample(stage, GRAIN, along, up, 12.0))
    )
    bricks = (np.mod(up * 2.2, 1) < 0.18) | (np.mod(along * 1.1 + 0.5 * np.mod(np.floor(up * 2.2), 2), 1) < 0.09)
    masonry = (category == WALL) | (category == BUILDING)
    change -= np.where(bricks & masonry, look.texture["bricks"] * near, 0)
    gain += np.where(facade, change, 0)


def _clouded(stage: Stage, color: np.ndarray, height: int, width: int) -> np.ndarray:
    """The sky's gradient with clouds; their share is the look's."""
    noise = cv2.resize(crop_noise(stage.rng, CLOUDS, 256, 256), (width, 2 * height))[:height]
    cover = stage.between(*stage.look.sky_cover)
    clouds = np.clip(0.5 + 0.6 * (noise + 3.0 * (cover - 0.5)), 0, 1)[..., None]
    return color * (1 - clouds) + np.array(stage.color("cloud", 5), np.float32) * clouds


def photograph(stage: Stage, image: np.ndarray) -> np.ndarray:
    """What the camera of the look makes of the scene.

    Args:
        image: (H, W, 3) float32 RGB, about 0..255.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    look, rng = stage.look, stage.rng
    height, width = image.shape[:2]
    sigma = stage.between(*look.blur_px) * width / 256
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    balance = 1 + rng.normal(0, 1, 3) * look.white_balance * np.array([1.0, 0.3, 1.0])
    image = image * (stage.between(*look.exposure) * balance).astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + stage.between(*look.saturation) * (image - grey)
    image = 118 + stage.between(*look.contrast) * (image - 118)
    fall = stage.between(*look.vignetting)
    if fall > 0:
        v, u = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
        image = image * (1 - 0.5 * fall * (u * u + v * v))[..., None].astype(np.float32)
    noise = stage.between(*look.sensor_noise)
    if noise > 0:
        image = image + (noise * rng.standard_normal((height, width, 3), np.float32))
    picture = np.clip(image, 0, 255).astype(np.uint8)
    quality = int(rng.integers(look.jpeg_quality[0], look.jpeg_quality[1] + 1))
    if quality < 100:
        code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    return picture
