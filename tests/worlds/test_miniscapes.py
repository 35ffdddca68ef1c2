"""The street world: a seed is a scene, labels agree, crowds defeat connected components, files read back as drawn."""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import THING_IDS
from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.labels import read_labels
from ptseg_d2.worlds import miniscapes
from ptseg_d2.worlds.drawing.creation import work_prefix
from ptseg_d2.worlds.miniscapes import Scene, creation, layouts, render_scene

import cv2
import numpy as np
import pytest

VAL_SEED = 3 * layouts.SEED_RANGE  # first scene of the target val split
FIRST = {"source": 0, "target": VAL_SEED}
NUM_SCENES = 40
SMALL: dict[str, Any] = {"num_train": 3, "num_val": 1, "size": (128, 64), "seed": 4}


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Scene]]:
    """The first scenes of each look; for the target those of the val split."""
    return {look: [render_scene(first + i, look) for i in range(NUM_SCENES)] for look, first in FIRST.items()}


def same(first: Scene, second: Scene) -> bool:
    """Whether image and labels agree in every pixel."""
    names = ("image", "sem_seg", "instance_ids")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


@pytest.mark.parametrize("look", ["source", "target"])
def test_a_seed_determines_the_scene(look: str) -> None:
    first, other = render_scene(7, look), render_scene(8, look)
    assert same(render_scene(7, look), first)
    assert not same(first, other)


@pytest.mark.parametrize(
    ("look", "labels", "image"),
    [("source", "226e5fde75f97380", "3a714ee5eaa661fc"), ("target", "0df562921dd34147", "336f93b3227e8c09")],
)
def test_a_scene_is_drawn_as_ever(look: str, labels: str, image: str) -> None:
    """Results that were measured on this world hold for these pixels: whoever changes them does so on purpose."""
    scene = render_scene(7, look)
    drawn = (scene.sem_seg.tobytes() + scene.instance_ids.astype("<i4").tobytes(), scene.image.tobytes())
    assert [hashlib.sha256(pixels).hexdigest()[:16] for pixels in drawn] == [labels, image]


def test_the_looks_differ_and_share_their_classes(scenes: dict[str, list[Scene]]) -> None:
    seen = {look: set(np.unique([scene.sem_seg for scene in scenes[look]]).tolist()) for look in scenes}
    assert seen["source"] - {255} == seen["target"] - {255} == set(range(19))


@pytest.mark.parametrize(("width", "height"), [(256, 128), (64, 48), (400, 160)])
def test_shapes_and_types(width: int, height: int) -> None:
    scene = render_scene(1, "target", (width, height))
    assert scene.image.shape == (height, width, 3) and scene.image.dtype == np.uint8
    assert scene.sem_seg.shape == (height, width) and scene.sem_seg.dtype == np.uint8
    assert scene.instance_ids.shape == (height, width) and scene.instance_ids.dtype == np.int32


@pytest.mark.parametrize(("look", "size"), [("night", (256, 128)), ("source", (8, 8))])
def test_bad_arguments_are_named(look: str, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        render_scene(0, look, size)


@pytest.mark.parametrize("look", ["source", "target"])
def test_every_thing_pixel_has_one_instance_of_one_class(scenes: dict[str, list[Scene]], look: str) -> None:
    for scene in scenes[look]:
        assert np.array_equal(scene.instance_ids > 0, np.isin(scene.sem_seg, THING_IDS))
        ids, areas = np.unique(scene.instance_ids, return_counts=True)
        assert ids.tolist() == list(range(len(ids)))
        assert areas[1:].min(initial=8) >= 8
        for instance in ids[1:]:
            assert len(np.unique(scene.sem_seg[scene.instance_ids == instance])) == 1


@pytest.mark.parametrize("look", ["source", "target"])
def test_class_frequencies_are_those_of_a_street(scenes: dict[str, list[Scene]], look: str) -> None:
    share = np.bincount(np.concatenate([s.sem_seg.ravel() for s in scenes[look]]), minlength=256) / (
        NUM_SCENES * 128 * 256
    )
    road, building, vegetation, sky = share[[0, 2, 8, 10]]
    assert road + building + vegetation + sky > 0.6
    assert share[[3, 6, 12, 14, 15, 16, 17]].max() < 0.04  # wall, light, rider, truck, bus, train, motorcycle
    assert share[255] < 0.1


def found_by_components(scene: Scene, min_area: int) -> Iterator[bool]:
    """For each instance of at least `min_area` pixels: has a component of its class's true mask IoU > 0.5 with it?"""
    for train_id in THING_IDS:
        mask = scene.sem_seg == train_id
        count, components = cv2.connectedComponents(mask.astype(np.uint8))
        for instance in np.unique(scene.instance_ids[mask]):
            own = scene.instance_ids == instance
            if own.sum() >= min_area:
                parts = [components == k for k in range(1, count)]
                yield max((own & part).sum() / (own | part).sum() for part in parts) > 0.5


@pytest.mark.parametrize("look", ["source", "target"])
def test_components_of_the_true_masks_find_few_instances(scenes: dict[str, list[Scene]], look: str) -> None:
    found = [hit for scene in scenes[look] for hit in found_by_components(scene, min_area=20)]
    assert len(found) > 300
    assert np.mean(found) <= 0.6


def entry(folder: Path, part: str) -> dict[str, str]:
    """The first (training) scene of a part as a data set entry."""
    if part == "synthia":
        base = folder / "RAND_CITYSCAPES"
        image, label = base / "RGB/0000000.png", base / "GT/LABELS/0000000.png"
    elif part == "gta5":
        image, label = folder / "images/00001.png", folder / "labels/00001.png"
    else:
        image = folder / "leftImg8bit/train/ministadt/ministadt_000000_000000_leftImg8bit.png"
        label = folder / "gtFine/train/ministadt/ministadt_000000_000000_gtFine_labelIds.png"
    instances = str(label).replace("labelIds", "instanceIds")
    names = {"file_name": str(image), "label_file_name": str(label), "instance_file_name": instances}
    return {**names, "label_format": part}


@pytest.mark.parametrize(
    ("part", "look", "block"), [("synthia", "source", 0), ("gta5", "source", 1), ("cityscapes", "target", 2)]
)
def test_files_read_back_as_drawn(tmp_path: Path, part: str, look: str, block: int) -> None:
    files = entry(miniscapes.ensure(tmp_path, part, **SMALL), part)
    scene = render_scene((10 * SMALL["seed"] + block) * layouts.SEED_RANGE, look, SMALL["size"])
    labels = read_labels(files)
    assert np.array_equal(read_image(files["file_name"]), scene.image)
    assert np.array_equal(labels.sem_seg, scene.sem_seg)
    if part == "gta5":
        assert np.array_equal(labels.instance_ids == -1, scene.instance_ids > 0)
    else:  # the numbers may differ, but each one stands for one drawn instance and the other way round
        pairs = np.unique(np.stack([labels.instance_ids.ravel(), scene.instance_ids.ravel()]), axis=1)
        assert pairs.shape[1] == scene.instance_ids.max() + 1
        assert np.unique(pairs[0]).tolist() == np.unique(pairs[1]).tolist() == list(range(pairs.shape[1]))


def one_row(sem_seg: list[int], instance_ids: list[int]) -> Scene:
    image = np.zeros((1, len(sem_seg), 3), np.uint8)
    return Scene(image, np.array([sem_seg], np.uint8), np.array([instance_ids], np.int32))


def test_synthia_without_truck_train_terrain_keeps_their_instances() -> None:
    scene = Scene(
        np.zeros((1, 6, 3), np.uint8), np.array([[14, 16, 9, 13, 255, 0]], np.uint8), np.array([[1, 2, 0, 3, 0, 0]])
    )
    full, real = (layouts.synthia_label(scene, full_classes) for full_classes in (True, False))
    assert full[0, :, 0].tolist() == [18, 20, 16, 8, 0, 3]
    assert real[0, :, 0].tolist() == [0, 0, 0, 8, 0, 3]
    assert full[0, :, 1].tolist() == real[0, :, 1].tolist() == [1, 2, 0, 3, 0, 0]


def test_cityscapes_instances_count_from_zero_in_every_class() -> None:
    scene = Scene(
        np.zeros((1, 6, 3), np.uint8), np.array([[13, 13, 11, 13, 0, 255]], np.uint8), np.array([[1, 3, 2, 4, 0, 0]])
    )
    assert layouts.cityscapes_instances(scene).tolist() == [[26000, 26001, 24000, 26002, 7, 0]]


def test_every_split_has_its_own_scenes_and_cities(tmp_path: Path) -> None:
    folder = miniscapes.ensure(tmp_path, "cityscapes", **SMALL)
    images = sorted(folder.glob("leftImg8bit/*/*/*.png"))
    assert [path.parts[-3] for path in images] == ["train"] * 3 + ["val"]
    assert len({path.read_bytes() for path in images}) == 4
    assert not set(layouts.TRAIN_CITIES) & set(layouts.VAL_CITIES)


def test_an_interrupted_generation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, pixels: np.ndarray) -> None:
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    written: list[Path] = []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(layouts, "write_png", fails)
        miniscapes.ensure(tmp_path, "synthia", **SMALL)
    assert list(tmp_path.iterdir()) == []
    assert miniscapes.ensure(tmp_path, "synthia", **SMALL).is_dir()


def test_what_a_killed_process_left_is_swept_away_and_a_running_one_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    prefix = work_prefix(tmp_path / "gta5")
    left, running = (tmp_path / f"{prefix}{pid}.x" for pid in (dead.pid, os.getppid()))
    for folder in (left, running):
        (folder / "images").mkdir(parents=True)
    miniscapes.ensure(tmp_path, "gta5", **SMALL)
    assert sorted(tmp_path.iterdir()) == sorted([running, tmp_path / "gta5"])


def test_the_first_of_two_processes_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(folder: Path, part: str, plan: layouts.Plan) -> Iterator[None]:
        (tmp_path / part / "images").mkdir(parents=True)
        yield None

    monkeypatch.setattr(creation, "draw_part", overtaken)
    folder = miniscapes.ensure(tmp_path, "gta5", **SMALL)
    assert list(tmp_path.iterdir()) == [folder] and [path.name for path in folder.iterdir()] == ["images"]


def test_a_part_made_with_other_settings_is_kept_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = miniscapes.ensure(tmp_path, "gta5", **SMALL)
    assert json.loads((folder / "miniscapes.json").read_text())["num_train"] == 3 and not caplog.records
    assert miniscapes.ensure(tmp_path, "gta5", **{**SMALL, "num_train": 5}) == folder
    assert "num_train 3 instead of 5" in caplog.text
    assert len(list(folder.glob("images/*.png"))) == 3


def test_unknown_part(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kitti.*synthia, gta5, cityscapes"):
        miniscapes.ensure(tmp_path, "kitti")


def test_command_line_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = runpy.run_path(str(Path(__file__).parents[2] / "datasets" / "prepare_miniscapes.py"))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    options = "--parts synthia --num-train 1 --size 64 32 --seed 2 --without-truck-train-terrain"
    tool["main"](options.split())
    manifest = json.loads((tmp_path / "miniscapes/synthia/miniscapes.json").read_text())
    assert manifest["size"] == [64, 32] and manifest["full_classes"] is False
    assert (tmp_path / "miniscapes/synthia/RAND_CITYSCAPES/GT/LABELS/0000000.png").is_file()
    assert [path.name for path in (tmp_path / "miniscapes").iterdir()] == ["synthia"]
