"""The two looks: every number that differs between the clean rendering (source) and the camera (target).

Colours are RGB 0..255. Only appearance, camera and what stands in a street live here; shapes are shared by both looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Range = tuple[float, float]
Palette = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Look:
    """Ranges are uniform (low, high); lengths are shares of the image unless a unit is given.

    Attributes:
        index: part of the random seed.
        palette: material name -> base colours.
        spread: standard deviation of a colour around its base, grey levels.
        texture: material name -> amplitude of its texture, share of the brightness.
        contents: what stands in a street -> probability per scene, or a mean count where the use says so.
    """

    index: int
    palette: dict[str, Palette]
    texture: dict[str, float]
    contents: dict[str, float]
    spread: float = 8.0
    elevation_m: Range = (1.3, 1.3)
    horizon: Range = (0.4, 0.4)  # of the height
    focal: Range = (0.9, 0.9)  # of the width
    yaw: float = 0.0  # standard deviation, radians
    sunny: float = 0.5  # probability of hard shadows
    shadow: Range = (0.3, 0.3)  # darkening of shadowed ground, 0..1
    diffuse: Range = (0.2, 0.2)  # brightness gain of a wall that faces the sun
    visibility_m: Range = (300.0, 300.0)  # distance where haze hides 63 %
    exposure: Range = (1.0, 1.0)
    white_balance: float = 0.0  # standard deviation of the red and blue gains
    contrast: Range = (1.0, 1.0)
    saturation: Range = (1.0, 1.0)
    vignetting: Range = (0.0, 0.0)  # loss of light in the corners
    blur_px: Range = (0.0, 0.0)  # at 256 pixels width
    sensor_noise: Range = (0.0, 0.0)  # grey levels
    jpeg_quality: tuple[int, int] = (100, 100)  # 100 = not compressed
    hood: float = 0.0  # probability that the own bonnet is in the picture
    worn: bool = False  # cracks, patches and worn paint
    sky_cover: Range = field(default=(0.2, 0.4))  # share of clouds


_SOURCE_PALETTE: dict[str, Palette] = {
    "sky": ((96, 156, 232), (112, 176, 240), (84, 140, 220)),
    "cloud": ((240, 246, 252),),
    "road": ((72, 72, 80), (80, 78, 84), (64, 66, 76)),
    "paint": ((245, 245, 240),),
    "sidewalk": ((196, 176, 160), (188, 172, 176), (204, 188, 156)),
    "kerb": ((224, 216, 208),),
    "terrain": ((132, 176, 60), (150, 184, 72)),
    "building": ((216, 120, 84), (228, 188, 112), (200, 92, 76), (236, 212, 172), (164, 136, 196), (208, 148, 120)),
    "roof": ((156, 60, 48), (96, 84, 100)),
    "window": ((60, 92, 140), (84, 124, 172)),
    "shop": ((196, 48, 60), (48, 112, 180), (232, 176, 40)),
    "wall": ((168, 148, 140), (188, 160, 132)),
    "fence": ((100, 72, 52), (60, 76, 68)),
    "pole": ((124, 132, 140), (148, 148, 152)),
    "signal": ((40, 44, 44), (52, 60, 40)),
    "leaf": ((56, 148, 48), (84, 164, 56), (40, 124, 56)),
    "trunk": ((112, 76, 48),),
    "car": (
        (208, 32, 36), (28, 72, 192), (240, 240, 244), (24, 24, 28),
        (236, 180, 28), (36, 140, 84), (176, 180, 188), (232, 108, 24),
    ),
    "truck": ((232, 232, 228), (220, 140, 24), (36, 96, 172), (196, 36, 36)),
    "bus": ((232, 64, 36), (252, 196, 32), (32, 148, 96)),
    "train": ((32, 88, 168), (236, 224, 56), (200, 40, 72)),
    "glass": ((32, 48, 68), (48, 64, 88)),
    "skin": ((232, 188, 156), (196, 144, 108), (128, 84, 60)),
    "cloth": (
        (220, 40, 48), (40, 84, 200), (250, 250, 250), (40, 40, 48),
        (248, 200, 40), (48, 160, 88), (200, 72, 176), (112, 200, 224),
    ),
    "metal": ((40, 40, 44), (180, 40, 40), (36, 92, 160), (190, 190, 196)),
    "static": ((52, 92, 64), (120, 120, 124), (160, 72, 40)),
}  # fmt: skip

_TARGET_PALETTE: dict[str, Palette] = {
    "sky": ((206, 214, 218), (188, 202, 214), (222, 222, 216)),
    "cloud": ((238, 238, 234), (176, 182, 188)),
    "road": ((118, 118, 116), (106, 110, 112), (128, 124, 120)),
    "paint": ((196, 196, 188),),
    "sidewalk": ((146, 128, 116), (138, 124, 118), (152, 136, 118)),
    "kerb": ((150, 148, 142),),
    "terrain": ((124, 116, 72), (136, 122, 80), (108, 110, 62)),
    "building": (
        (128, 116, 104), (108, 102, 100), (146, 134, 116), (92, 80, 72),
        (156, 150, 140), (120, 96, 82), (98, 104, 108),
    ),
    "roof": ((96, 72, 64), (72, 72, 74)),
    "window": ((64, 70, 74), (96, 104, 108), (150, 158, 160)),
    "shop": ((110, 52, 48), (60, 76, 92), (140, 124, 84)),
    "wall": ((132, 126, 108), (118, 114, 98)),
    "fence": ((70, 70, 64), (56, 64, 58)),
    "pole": ((84, 88, 88), (104, 106, 104), (68, 74, 74)),
    "signal": ((36, 38, 36), (54, 56, 46)),
    "leaf": ((66, 82, 42), (82, 92, 50), (54, 70, 42), (96, 94, 50)),
    "trunk": ((72, 64, 56),),
    "car": (
        (24, 26, 28), (150, 152, 152), (204, 206, 204), (58, 62, 66),
        (40, 48, 72), (96, 28, 30), (88, 92, 92), (112, 106, 92),
    ),
    "truck": ((188, 188, 182), (140, 112, 68), (70, 84, 104), (112, 50, 44)),
    "bus": ((176, 170, 150), (132, 56, 46), (84, 98, 108)),
    "train": ((148, 144, 132), (120, 52, 46), (74, 86, 96)),
    "glass": ((30, 34, 36), (52, 58, 60)),
    "skin": ((188, 152, 128), (156, 116, 92), (104, 74, 58)),
    "cloth": (
        (40, 42, 46), (62, 64, 72), (96, 92, 88), (44, 54, 78),
        (128, 116, 100), (104, 50, 48), (160, 158, 152), (64, 72, 56),
    ),
    "metal": ((36, 36, 36), (86, 88, 88), (72, 44, 42), (120, 122, 122)),
    "static": ((70, 76, 70), (104, 102, 98), (92, 72, 58)),
}  # fmt: skip

_SOURCE_CONTENTS = {
    "parked_row": 0.4, "traffic": 0.25, "bus": 0.2, "truck": 0.22, "train": 0.14, "crowd": 3.4, "rack": 0.45,
    "rider": 0.6, "motor_rider": 0.25, "motorcycle": 0.3, "signal": 0.45,
    "sign": 0.7, "lamp": 0.7, "trees": 0.55, "static": 0.4,
    "wall": 0.11, "fence": 0.18, "park": 0.16, "hedge": 0.08, "median": 0.18, "junction": 0.5,
}  # fmt: skip
_TARGET_CONTENTS = {
    "parked_row": 0.5, "traffic": 0.2, "bus": 0.17, "truck": 0.19, "train": 0.13, "crowd": 3.0, "rack": 0.6,
    "rider": 0.6, "motor_rider": 0.22, "motorcycle": 0.35, "signal": 0.45,
    "sign": 0.8, "lamp": 0.6, "trees": 0.75, "static": 0.6,
    "wall": 0.13, "fence": 0.2, "park": 0.18, "hedge": 0.12, "median": 0.16, "junction": 0.4,
}  # fmt: skip

SOURCE = Look(
    index=1,
    palette=_SOURCE_PALETTE,
    texture={"ground": 0.03, "facade": 0.02, "leaf": 0.1, "terrain": 0.05, "other": 0.0, "bricks": 0.0, "tiles": 0.08},
    contents=_SOURCE_CONTENTS,
    elevation_m=(1.7, 2.6),
    horizon=(0.34, 0.44),
    focal=(0.75, 0.95),
    yaw=0.06,
    sunny=0.6,
    shadow=(0.2, 0.35),
    diffuse=(0.15, 0.3),
    visibility_m=(400.0, 900.0),
    exposure=(0.92, 1.08),
    contrast=(1.0, 1.1),
)
TARGET = Look(
    index=2,
    palette=_TARGET_PALETTE,
    texture={
        "ground": 0.1,
        "facade": 0.13,
        "leaf": 0.45,
        "terrain": 0.25,
        "other": 0.04,
        "bricks": 0.16,
        "tiles": 0.1,
    },
    contents=_TARGET_CONTENTS,
    spread=10.0,
    elevation_m=(1.15, 1.5),
    horizon=(0.38, 0.47),
    focal=(0.85, 1.05),
    yaw=0.05,
    sunny=0.5,
    shadow=(0.1, 0.5),
    diffuse=(0.05, 0.5),
    visibility_m=(90.0, 320.0),
    exposure=(0.8, 1.2),
    white_balance=0.05,
    contrast=(0.95, 1.3),
    saturation=(0.8, 1.15),
    vignetting=(0.1, 0.3),
    blur_px=(0.3, 0.65),
    sensor_noise=(1.5, 5.0),
    jpeg_quality=(70, 95),
    hood=0.75,
    worn=True,
    sky_cover=(0.3, 1.0),
)

LOOKS: dict[str, Look] = {"source": SOURCE, "target": TARGET}
