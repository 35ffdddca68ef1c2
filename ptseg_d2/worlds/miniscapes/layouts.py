"""Writes scenes in the file layouts of SYNTHIA, GTA5 and Cityscapes, so that the loaders of the real data read them.

Every part and split draws its scenes from a seed range of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ptseg_d2.classes.streets import (
    SYNTHIA16_IDS,
    THING_IDS,
    TRAIN_TO_CITYSCAPES,
    TRAIN_TO_SYNTHIA,
)
from ptseg_d2.worlds.drawing.files import write_png

import numpy as np

from .scene import Scene, render_scene

NUM_TRAIN = {"synthia": 600, "gta5": 200, "cityscapes": 500}
NUM_VAL = 100  # of cityscapes; the others have no val split
SIZE = (256, 128)  # width, height in pixels
SEED = 0
SEED_RANGE = 100_000  # scenes per part and split before their seeds would meet
TRAIN_CITIES = ("ministadt", "kleindorf", "zwergenau", "winzingen", "puppenheim")
VAL_CITIES = ("daeumlingen", "liliput", "miniatur")


@dataclass(frozen=True)
class Plan:
    """What to draw.

    Attributes:
        num_train, num_val: scenes per split.
        size: width, height in pixels.
        seed: base seed; another one gives another world.
        full_classes: False leaves truck, train and terrain out of the SYNTHIA labels.
    """

    num_train: int
    num_val: int
    size: tuple[int, int]
    seed: int
    full_classes: bool = True


def label_table(train_to_label: dict[int, int]) -> np.ndarray:
    """(256,) uint8: train id -> label id, everything else 0 (unlabelled)."""
    table = np.zeros(256, np.uint8)
    for train_id, label_id in train_to_label.items():
        table[train_id] = label_id
    return table


SYNTHIA_TABLE = label_table(TRAIN_TO_SYNTHIA)
SYNTHIA16_TABLE = label_table({i: TRAIN_TO_SYNTHIA[i] for i in SYNTHIA16_IDS})
CITYSCAPES_TABLE = label_table(TRAIN_TO_CITYSCAPES)


def synthia_label(scene: Scene, full_classes: bool) -> np.ndarray:
    """(H, W, 3) uint16 RGB: class, instance (0 for stuff), 0, as in GT/LABELS of SYNTHIA-RAND-CITYSCAPES."""
    table = SYNTHIA_TABLE if full_classes else SYNTHIA16_TABLE
    label = np.zeros((*scene.sem_seg.shape, 3), np.uint16)
    label[..., 0] = table[scene.sem_seg]
    label[..., 1] = scene.instance_ids
    return label


def cityscapes_instances(scene: Scene) -> np.ndarray:
    """(H, W) uint16: label_id * 1000 + k for instance k = 0, 1, ... of its class, label_id elsewhere."""
    label_ids = CITYSCAPES_TABLE[scene.sem_seg].astype(np.uint16)
    codes = label_ids.copy()
    for train_id in THING_IDS:
        of_class = scene.sem_seg == train_id
        for k, instance in enumerate(np.unique(scene.instance_ids[of_class]).tolist()):
            codes[of_class & (scene.instance_ids == instance)] = TRAIN_TO_CITYSCAPES[train_id] * 1000 + k
    return codes


def _draw_synthia(folder: Path, index: int, seed: int, plan: Plan) -> None:
    scene = render_scene(seed, "source", plan.size)
    base = folder / "RAND_CITYSCAPES"
    write_png(base / "RGB" / f"{index:07d}.png", scene.image)
    write_png(base / "GT" / "LABELS" / f"{index:07d}.png", synthia_label(scene, plan.full_classes))


def _draw_gta5(folder: Path, index: int, seed: int, plan: Plan) -> None:
    scene = render_scene(seed, "source", plan.size)
    write_png(folder / "images" / f"{index + 1:05d}.png", scene.image)
    write_png(folder / "labels" / f"{index + 1:05d}.png", CITYSCAPES_TABLE[scene.sem_seg])


def _draw_cityscapes(folder: Path, index: int, seed: int, plan: Plan, split: str) -> None:
    scene = render_scene(seed, "target", plan.size)
    cities = TRAIN_CITIES if split == "train" else VAL_CITIES
    city = cities[index % len(cities)]
    name = f"{city}_{index // len(cities):06d}_000000"
    write_png(folder / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", scene.image)
    write_png(folder / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", CITYSCAPES_TABLE[scene.sem_seg])
    write_png(folder / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png", cityscapes_instances(scene))


PARTS = ("synthia", "gta5", "cityscapes")


def draw_part(folder: Path, part: str, plan: Plan) -> Iterator[None]:
    """Draw all scenes of a part into a folder, one per step of the iterator."""
    first = 10 * SEED_RANGE * plan.seed
    for index in range(plan.num_train):
        if part == "synthia":
            _draw_synthia(folder, index, first + index, plan)
        elif part == "gta5":
            _draw_gta5(folder, index, first + SEED_RANGE + index, plan)
        else:
            _draw_cityscapes(folder, index, first + 2 * SEED_RANGE + index, plan, "train")
        yield
    for index in range(plan.num_val if part == "cityscapes" else 0):
        _draw_cityscapes(folder, index, first + 3 * SEED_RANGE + index, plan, "val")
        yield
