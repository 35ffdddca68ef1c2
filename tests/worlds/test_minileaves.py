"""The plant world: a seed is a plant, labels agree, leaves overlap and are green, files are those of CVPPP."""

from __future__ import annotations

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path

from ptseg_d2.worlds import minileaves
from ptseg_d2.worlds.minileaves import PlantPicture, creation
from ptseg_d2.worlds.minileaves.blade import place
from ptseg_d2.worlds.minileaves.creation import Plan, draw_plant, plants_by_subset
from ptseg_d2.worlds.minileaves.picture import MIN_BLADE_PIXELS, Light, cast_shadow, keep_visible
from ptseg_d2.worlds.minileaves.plant import Habit, Leaf, grow, sample_plant
from ptseg_d2.worlds.minileaves.species import SPECIES

import cv2
import numpy as np
import pytest
from PIL import Image

SUBSETS = ("A1", "A2", "A3", "A4")
PLAN = Plan(num_plants=40, num_stages=2, side=256, seed=0)


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[PlantPicture]]:
    """Three plants of each kind, young and old in turn."""
    return {subset: [p for number in (1, 2, 3) for p in draw_plant(subset, number, PLAN)] for subset in SUBSETS}


def straight_leaf(azimuth: float = 0.0, length: float = 0.5, width: float = 0.3) -> Leaf:
    """A symmetric leaf without petiole or waves, flat on the ground."""
    habit = Habit(
        born=0.0,
        azimuth=azimuth,
        length=length,
        petiole=0.0,
        width=width,
        taper=0.5,
        tip=0.5,
        bend=0.0,
        skew=0.0,
        waves=np.zeros((4, 3)),
        steepness=0.0,
        height=0.0,
        hue=np.zeros(3),
        senescence=0.0,
    )
    return Leaf(habit, length, maturity=1.0, tilt=0.0, petiole=0.0)


@pytest.mark.parametrize("azimuth", [0.0, 0.5 * math.pi, 0.7])
def test_a_leaf_of_equal_exponents_is_an_ellipse(azimuth: float) -> None:
    blade = place(straight_leaf(azimuth, 0.4), (100.0, 100.0), 250)  # 100 long, 2 x 30 wide: 2 sqrt(t (1 - t)) x width
    assert blade is not None
    assert blade.cover.sum() == pytest.approx(math.pi / 4 * 100 * 60, rel=0.02)
    rows, columns = np.nonzero(blade.cover > 0.5)
    center = columns.mean() + blade.columns.start, rows.mean() + blade.rows.start
    assert center == pytest.approx((100 + 50 * math.cos(azimuth), 100 + 50 * math.sin(azimuth)), abs=1)
    assert not blade.cover[[0, -1]].any() and not blade.cover[:, [0, -1]].any(), "the box holds all of it"


def test_a_leaf_beyond_the_picture_is_nowhere() -> None:
    assert place(straight_leaf(), (300.0, 20.0), 256) is None
    assert place(straight_leaf(length=0.001), (20.0, 20.0), 256) is None


def test_hidden_leaves_are_left_out_and_the_rest_is_numbered_from_below() -> None:
    leaves = [straight_leaf(length=0.2), straight_leaf(math.pi), straight_leaf()]  # the third covers the first
    placed = [(leaf, place(leaf, (128.0, 128.0), 256)) for leaf in leaves]
    seen, leaf_ids = keep_visible([(leaf, blade) for leaf, blade in placed if blade is not None], 256)
    assert [leaf for leaf, _ in seen] == leaves[1:]
    assert (leaf_ids[128, 64], leaf_ids[128, 192], leaf_ids[64, 128]) == (1, 2, 0)


def test_a_leaf_whose_stalk_alone_is_seen_is_left_out() -> None:
    below = replace(straight_leaf(length=0.3), petiole=0.5)
    above = straight_leaf(math.pi, length=0.3)
    for stem_of_above, expected in (((166.0, 128.0), 1), ((250.0, 128.0), 2)):  # on its blade, and beside it
        blades = place(below, (90.0, 128.0), 256), place(above, stem_of_above, 256)
        assert blades[0] is not None and blades[1] is not None
        seen, _ = keep_visible([(below, blades[0]), (above, blades[1])], 256)
        assert len(seen) == expected


def test_a_shadow_falls_away_from_the_light() -> None:
    canvas = np.ones((64, 64, 3), np.float32)
    blade = place(straight_leaf(length=0.3), (22.0, 32.0), 64)
    assert blade is not None
    cast_shadow(canvas, blade, Light(toward=(0.0, -1.0), shadow=0.5, softness_px=1.0, reach_px=5.0))
    below, above = canvas[41, 31], canvas[23, 31]
    assert (below < 0.6).all() and (above > 0.99).all()
    assert (canvas[:, 55:] == 1).all() and canvas.min() >= 0.5 - 1e-6


def test_plants_grow() -> None:
    species, _ = SPECIES["A1"]
    plant = sample_plant(np.random.default_rng(0), species)
    young, old = grow(plant, 0.5 * len(plant)), grow(plant, len(plant) + 3.0)
    assert 2 <= len(young) < len(old) == len(plant)
    length = {id(leaf.habit): leaf.length for leaf in old}
    assert all(leaf.length < length[id(leaf.habit)] for leaf in young)
    youngest, longest = max(old, key=lambda leaf: leaf.habit.born), max(old, key=lambda leaf: leaf.length)
    assert youngest.length < 0.5 * longest.length


def test_a_seed_determines_the_pictures() -> None:
    plan = replace(PLAN, side=64)
    first, again = (next(draw_plant("A1", 1, plan)) for _ in range(2))
    assert np.array_equal(first.image, again.image) and np.array_equal(first.leaf_ids, again.leaf_ids)
    others = [("A1", 2, plan), ("A2", 1, plan), ("A1", 1, replace(plan, seed=1))]
    for other in others:
        assert not np.array_equal(next(draw_plant(*other)).image, first.image)


@pytest.mark.parametrize("subset", SUBSETS)
def test_labels_are_consecutive_and_leaves_visible(pictures: dict[str, list[PlantPicture]], subset: str) -> None:
    for picture in pictures[subset]:
        assert picture.image.shape == (256, 256, 3) and picture.image.dtype == picture.leaf_ids.dtype == np.uint8
        numbers, areas = np.unique(picture.leaf_ids, return_counts=True)
        assert numbers.tolist() == list(range(len(numbers)))
        assert len(numbers) > 2 and areas.min() >= MIN_BLADE_PIXELS
        assert 0.01 < (picture.leaf_ids > 0).mean() < 0.6


@pytest.mark.parametrize("subset", SUBSETS)
def test_leaves_are_greener_than_the_ground(pictures: dict[str, list[PlantPicture]], subset: str) -> None:
    for picture in pictures[subset]:
        rgb = picture.image.astype(np.float64)
        green = 2 * rgb[..., 1] - rgb[..., 0] - rgb[..., 2]
        assert green[picture.leaf_ids > 0].mean() > green[picture.leaf_ids == 0].mean() + 15
        assert rgb[picture.leaf_ids == 0].std() > 3, "soil has a texture"


def test_leaves_overlap_so_that_components_find_few(pictures: dict[str, list[PlantPicture]]) -> None:
    num_leaves = num_components = 0
    for picture in [picture for several in pictures.values() for picture in several]:
        num_leaves += int(picture.leaf_ids.max())
        num_components += cv2.connectedComponents((picture.leaf_ids > 0).astype(np.uint8))[0] - 1
    assert num_components < 0.2 * num_leaves


def test_neighbouring_leaves_are_of_similar_colour(pictures: dict[str, list[PlantPicture]]) -> None:
    for picture in pictures["A1"]:
        means = [picture.image[picture.leaf_ids == k].mean() for k in range(1, int(picture.leaf_ids.max()) + 1)]
        assert np.std(means) < 30, "colour alone does not tell leaves apart"


def test_a_plant_keeps_its_pot(pictures: dict[str, list[PlantPicture]]) -> None:
    young, old, other = pictures["A1"][0], pictures["A1"][1], pictures["A1"][2]

    def alike(first: PlantPicture, second: PlantPicture) -> float:
        free = (first.leaf_ids == 0) & (second.leaf_ids == 0)
        fine = [p.image.mean(axis=2) - cv2.blur(p.image.mean(axis=2), (15, 15)) for p in (first, second)]
        return float(np.corrcoef(fine[0][free], fine[1][free])[0, 1])

    assert alike(young, old) > 0.5 > 5 * abs(alike(young, other))


def test_shares_of_the_kinds() -> None:
    assert plants_by_subset(120) == {"A1": 48, "A2": 24, "A3": 24, "A4": 24}
    assert plants_by_subset(5) == {"A1": 2, "A2": 1, "A3": 1, "A4": 1}
    assert plants_by_subset(1) == {"A1": 1, "A2": 0, "A3": 0, "A4": 0}


def test_files_are_those_of_the_challenge(tmp_path: Path) -> None:
    folder = minileaves.ensure(tmp_path, num_plants=2, num_stages=2, side=64, seed=3)
    names = ["plant001", "plant001_2", "plant002", "plant002_2"]
    expected = sorted(f"{name}_{kind}.png" for name in names for kind in ("rgb", "label"))
    assert sorted(path.name for path in (folder / "A1").iterdir()) == expected
    drawn = list(draw_plant("A1", 2, Plan(2, 2, 64, 3)))
    label = Image.open(folder / "A1" / "plant002_2_label.png")
    assert label.mode == "P" and np.array_equal(np.array(label), drawn[1].leaf_ids)
    assert np.array_equal(np.array(Image.open(folder / "A1" / "plant002_rgb.png")), drawn[0].image)
    assert len(set(map(tuple, creation.PALETTE[:40].tolist()))) == 40


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, leaf_ids: np.ndarray) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(creation, "write_label", fails)
        minileaves.ensure(tmp_path, num_plants=1, num_stages=1, side=64)
    assert list(tmp_path.iterdir()) == []


def test_other_settings_are_kept_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = minileaves.ensure(tmp_path, num_plants=1, num_stages=1, side=32)
    assert json.loads((folder / "minileaves.json").read_text())["side"] == 32 and not caplog.records
    assert minileaves.ensure(tmp_path, num_plants=1, num_stages=1, side=64) == folder
    assert "side 32 instead of 64" in caplog.text


@pytest.mark.parametrize("wrong", [{"num_plants": 0}, {"num_stages": 0}, {"side": 16}, {"seed": -1}])
def test_numbers_out_of_range(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*expected at least"):
        minileaves.ensure(tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == []


def test_command_line_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = runpy.run_path(str(Path(__file__).parents[2] / "datasets" / "prepare_minileaves.py"))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    tool["main"]("--num-plants 1 --num-stages 3 --side 48 --seed 2".split())
    folder = tmp_path / "minileaves" / "cvppp"
    assert json.loads((folder / "minileaves.json").read_text())["seed"] == 2
    assert [path.name for path in sorted(folder.glob("A1/*_rgb.png"))] == [
        "plant001_2_rgb.png",
        "plant001_3_rgb.png",
        "plant001_rgb.png",
    ]
