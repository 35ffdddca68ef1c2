"""One scene from its seed: plan the street, draw it far to near, photograph it, cut the labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cmp_to_key

from ptseg_d2.counting import number_of
from ptseg_d2.worlds.drawing.photograph import photograph

import numpy as np

from .borders import furnish, line_street
from .camera import Camera
from .canvas import VOID, Canvas
from .ground import cast_shadows, draw_ground, draw_sky
from .looks import LOOKS, Look
from .objects.frontage import draw_skyline
from .stage import SUPERSAMPLING, Light, Stage, is_behind
from .street import lay_ground, sample_street
from .surfaces import paint_surfaces
from .traffic import drive, park_cars, populate, ride

MIN_INSTANCE_PIXELS = 8  # at 256 x 128; smaller visible remains of an instance become void


@dataclass(frozen=True)
class Scene:
    """One street with its ground truth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        sem_seg: (H, W) uint8 Cityscapes train ids 0..18, 255 = void.
        instance_ids: (H, W) int32, 0 = none, 1..K consecutive over all thing classes.
    """

    image: np.ndarray
    sem_seg: np.ndarray
    instance_ids: np.ndarray


def render_scene(seed: int, look: str, size: tuple[int, int] = (256, 128)) -> Scene:
    """Render a street scene; the same arguments always give the same scene.

    Instances with fewer than 8 visible pixels (at 256 x 128, in proportion at other sizes) are turned to void, so
    that no id of a few pixels is left; all thing pixels that remain belong to an instance.

    Args:
        seed: non-negative integer.
        look: "source" (clean rendering) or "target" (camera).
        size: width, height in pixels, at least 32 x 16.

    Raises:
        ValueError: for an unknown look or a size that is too small.
    """
    if look not in LOOKS:
        raise ValueError(f"look is {look!r}; expected one of {sorted(LOOKS)}")
    width, height = size
    if width < 32 or height < 16:
        raise ValueError(f"size is {size}; expected (width, height) of at least (32, 16)")
    stage = _set_stage(np.random.default_rng([seed, LOOKS[look].index]), LOOKS[look], size)
    _draw(stage)
    canvas = stage.canvas
    image = photograph(paint_surfaces(stage), stage.look, stage.rng)
    entity = canvas.pixels[::SUPERSAMPLING, ::SUPERSAMPLING, 3]
    sem_seg = np.array(canvas.classes, np.uint8)[entity]
    instances = np.array(canvas.instances, np.int32)[entity]
    least = number_of(MIN_INSTANCE_PIXELS / (256 * 128), width * height, at_least=1)
    sem_seg, instances = _drop_specks(sem_seg, instances, least)
    return Scene(image, sem_seg, instances)


def _set_stage(rng: np.random.Generator, look: Look, size: tuple[int, int]) -> Stage:
    width, height = SUPERSAMPLING * size[0], SUPERSAMPLING * size[1]
    camera = Camera(
        width,
        height,
        focal=float(rng.uniform(*look.focal)) * width,
        horizon=float(rng.uniform(*look.horizon)) * height,
        elevation=float(rng.uniform(*look.elevation_m)),
        yaw=float(rng.normal(0.0, look.yaw)),
    )
    angle, sunny = float(rng.uniform(0, 2 * math.pi)), bool(rng.random() < look.sunny)
    light = Light(
        x=math.cos(angle),
        z=math.sin(angle),
        reach=float(rng.uniform(0.5, 1.6)) if sunny else 0.1,
        shadow=float(rng.uniform(*look.shadow)) if sunny else 0.0,
        diffuse=float(rng.uniform(*look.diffuse)) if sunny else look.diffuse[0],
    )
    return Stage(Canvas(width, height), camera, look, light, rng)


def _draw(stage: Stage) -> None:
    """Everything, far to near."""
    street = sample_street(stage)
    ground = lay_ground(stage, street)
    items = line_street(stage, street, ground) + furnish(stage, street)
    items += park_cars(stage, street) + drive(stage, street) + populate(stage, street) + ride(stage, street)
    draw_sky(stage)
    draw_skyline(stage, 120.0, leafy=0.4)
    draw_ground(stage, ground)
    cast_shadows(stage, items)
    for item in sorted(items, key=cmp_to_key(is_behind)):
        item.draw(stage)
    if stage.chance(stage.look.hood):
        _draw_hood(stage)


def _draw_hood(stage: Stage) -> None:
    """The bonnet of the recording car along the lower border, unlabelled as in Cityscapes."""
    height, width = stage.canvas.pixels.shape[:2]
    rise = stage.between(0.05, 0.12) * height
    shade = stage.between(18, 60)
    stage.canvas.begin(VOID, 1.0)
    stage.canvas.ellipse((0.5 * width, height + rise), (0.62 * width, 2 * rise), (shade, shade, 1.05 * shade))
    stage.canvas.ellipse(
        (0.5 * width, height + 1.4 * rise), (0.5 * width, 2 * rise), (1.5 * shade, 1.5 * shade, 1.6 * shade)
    )


def _drop_specks(sem_seg: np.ndarray, instances: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Void for instances below `least` pixels, consecutive numbers for the rest."""
    areas = np.bincount(instances.ravel())
    tiny = areas < least
    tiny[0] = False
    keep = ~tiny
    keep[0] = False
    numbers = np.where(keep & (areas > 0), np.cumsum(keep & (areas > 0)), 0).astype(np.int32)
    return np.where(tiny[instances], VOID, sem_seg).astype(np.uint8), numbers[instances]
