"""The layout of CVPPP 2017: label files by literal arrays, listing by part, and the tool that writes the split."""

from __future__ import annotations

import logging
import runpy
import shutil
from pathlib import Path
from typing import Any

from ptseg_d2.data.datasets.cvppp import load_labeled, load_unlabeled, plant_of
from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.labels import read_labels
from ptseg_d2.errors import DataError
from ptseg_d2.worlds import minileaves

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

PARTS = ("train", "val", "test")
FIX = "Get it."
LEAVES = [[0, 0, 3], [1, 3, 7]]  # numbers 2 and 4 to 6 are missing: 1, 3, 7 become 1, 2, 3


def write_label(path: Path, values: list[list[int]], kind: str) -> None:
    """A label as a palette picture, or grey of 8 or 16 bits."""
    if kind == "16 bits":
        Image.fromarray(np.array(values, np.uint16)).save(path)
        return
    label = Image.fromarray(np.array(values, np.uint8), mode="P" if kind == "palette" else "L")
    if kind == "palette":
        label.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    label.save(path)


def write_plant(root: Path, name: str, label: bool = True, values: list[list[int]] = LEAVES) -> None:
    """A photograph with transparency, its label, and files that the challenge ships beside them."""
    path = root / "cvppp" / f"{name}_rgb.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((len(values), len(values[0]), 4), 90, np.uint8)).save(path)
    for other in ("fg", "centers", "bbox"):
        path.with_name(path.name.replace("_rgb.png", f"_{other}.png")).touch()
    path.with_name("._" + path.name).touch()
    if label:
        write_label(root / "cvppp" / f"{name}_label.png", values, "palette")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def entry(folder: Path, kind: str, size: tuple[int, int] = (2, 3)) -> dict[str, str]:
    write_label(folder / "plant001_label.png", LEAVES, kind)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / "plant001_rgb.png")
    files = {"file_name": "plant001_rgb.png", "label_file_name": "plant001_label.png"}
    return {**{key: str(folder / name) for key, name in files.items()}, "label_format": "cvppp"}


@pytest.mark.parametrize("kind", ["palette", "8 bits", "16 bits"])
def test_labels_by_hand(tmp_path: Path, kind: str) -> None:
    labels = read_labels(entry(tmp_path, kind))
    assert labels.sem_seg.tolist() == [[0, 0, 1], [1, 1, 1]]
    assert labels.instance_ids.tolist() == [[0, 0, 2], [1, 2, 3]]
    assert labels.sem_seg.dtype == labels.instance_ids.dtype == np.int64


def test_a_photograph_without_a_leaf(tmp_path: Path) -> None:
    names = entry(tmp_path, "palette")
    write_label(Path(names["label_file_name"]), [[0, 0, 0], [0, 0, 0]], "palette")
    assert not np.any(read_labels(names))


def test_a_label_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"plant001_rgb\.png has 4x5 pixels but .*plant001_label\.png has 3x2"):
        read_labels(entry(tmp_path, "palette", size=(5, 4)))


def test_a_colour_picture_in_place_of_a_label_is_refused(tmp_path: Path) -> None:
    names = entry(tmp_path, "palette")
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(names["label_file_name"])
    with pytest.raises(DataError, match=r"plant001_label\.png: expected one channel .* got uint8 of shape \(2, 3, 3\)"):
        read_labels(names)


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("A1/plant007_rgb.png", "A1/plant007"),
        ("A1/plant007_2_rgb.png", "A1/plant007"),
        ("A4/plant0007_day 3_rgb.png", "A4/plant0007"),
        ("A2/rosette_rgb.png", "A2/rosette"),
    ],
)
def test_a_plant_is_the_number_in_the_name(name: str, plant: str) -> None:
    assert plant_of(Path("/data/cvppp") / name) == plant


@pytest.mark.parametrize("name", ["cvppp_labeled_train", "minileaves_cvppp_labeled_test", "cvppp_unlabeled"])
def test_classes(name: str) -> None:
    metadata = MetadataCatalog.get(name)
    assert list(metadata.stuff_classes) == ["background", "leaf"] and metadata.class_table.thing_ids == (1,)


def test_listing_by_part(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2, 3):
        write_plant(root, f"A1/plant{number:03d}")
        write_plant(root, f"A1/plant{number:03d}_2")
        write_plant(root, f"A3/plant{number:03d}")
    write_plant(root, "A5/plant001")  # pictures of A1 to A4 again
    write_plant(root, "A2/plant0009", label=False)
    with caplog.at_level(logging.INFO):
        parts = {part: DatasetCatalog.get(f"cvppp_labeled_{part}") for part in PARTS}
    seen = {part: {plant_of(Path(item["file_name"])) for item in items} for part, items in parts.items()}
    assert sorted(len(plants) for plants in seen.values()) == [1, 1, 4]
    assert set.union(*seen.values()) == {f"{subset}/plant00{number}" for subset in ("A1", "A3") for number in (1, 2, 3)}
    assert sum(len(items) for items in parts.values()) == 9
    assert "plants split with seed 0 into train 4, val 1, test 1" in caplog.text
    everything = {item["image_id"]: item for items in parts.values() for item in items}
    assert everything["A1_plant002_2"] == {
        "file_name": str(root / "cvppp/A1/plant002_2_rgb.png"),
        "image_id": "A1_plant002_2",
        "domain": everything["A1_plant002_2"]["domain"],
        "label_format": "cvppp",
        "label_file_name": str(root / "cvppp/A1/plant002_2_label.png"),
    }
    assert {part: items[0]["domain"] for part, items in parts.items()} == dict(
        zip(PARTS, ("source", "source", "target"))
    )
    assert read_image(everything["A1_plant001"]["file_name"]).tolist() == np.full((2, 3, 3), 90).tolist()
    assert [item["image_id"] for item in DatasetCatalog.get("cvppp_unlabeled")] == ["A2_plant0009"]


def test_five_pictures_are_enough_for_all_parts(root: Path) -> None:
    for number in range(1, 6):
        write_plant(root, f"A1/plant{number:03d}")
    assert [len(load_labeled(root, FIX, part)) for part in PARTS] == [3, 1, 1]


def test_three_pictures_of_one_plant_are_too_few(root: Path) -> None:
    for name in ("plant001", "plant001_2", "plant001_3"):
        write_plant(root, f"A1/{name}")
    with pytest.raises(
        ValueError, match=r"1 plant\(s\) \(A1/plant001\).*number pictures of different plants differently"
    ):
        load_labeled(root, FIX, "train")


def test_missing_data_say_what_is_expected(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cvppp not found\. Get it\."):
        load_labeled(root, FIX, "train")
    (root / "cvppp" / "A1").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"A1/plant\*_rgb\.png \(or A2, A3, A4\) not found"):
        load_labeled(root, FIX, "train")
    write_plant(root, "A1/plant001", label=False)
    with pytest.raises(FileNotFoundError, match=r"A1/plant001_label\.png \(none of 1 photographs has one\) not found"):
        load_labeled(root, FIX, "train")
    shutil.rmtree(root / "cvppp")
    write_plant(root, "A1/plant001")
    with pytest.raises(FileNotFoundError, match=r"without a label file in .*cvppp \(all 1 have one\) not found"):
        load_unlabeled(root, FIX)


def test_photographs_in_place_of_the_drawn_ones_are_used(root: Path) -> None:
    for number in range(1, 6):
        write_plant(root / "minileaves", f"A2/plant{number:03d}")
    assert len(DatasetCatalog.get("minileaves_cvppp_labeled_train")) == 3
    assert [path.name for path in (root / "minileaves" / "cvppp").iterdir()] == ["A2"]


def test_drawn_ones_are_drawn_on_first_use(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure = minileaves.ensure
    monkeypatch.setattr(minileaves, "ensure", lambda folder: ensure(folder, num_plants=5, num_stages=2, side=64))
    parts = [DatasetCatalog.get(f"minileaves_cvppp_labeled_{part}") for part in PARTS]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert read_labels(parts[0][0]).sem_seg.shape == (64, 64)


def prepare(*arguments: str) -> Any:
    tool = runpy.run_path(str(Path(__file__).parents[3] / "datasets" / "prepare_cvppp.py"))
    return tool["main"](list(arguments))


def test_the_tool_counts_and_writes_the_split(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1, 11):
        write_plant(root, f"A1/plant{number:03d}")
    write_plant(root, "A1/plant011", label=False)
    default = load_labeled(root, FIX, "test")
    with caplog.at_level(logging.INFO):
        assert prepare("--seed", "3") == 0
    assert "A1: 10 photographs of 10 plants, 30 leaves" in caplog.text
    assert "1 photographs without a label file" in caplog.text
    assert "split.json: plants split with seed 3 into train 6, val 2, test 2" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert load_labeled(root, FIX, "test") != default
    assert "plants split with seed 3" in caplog.text
    assert prepare("--seed", "0") == 1
    assert "split.json exists already; give --overwrite" in caplog.text
    assert prepare("--seed", "0", "--overwrite") == 0
    assert load_labeled(root, FIX, "test") == default


def test_the_tool_names_a_bad_label(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1, 4):
        write_plant(root, f"A1/plant{number:03d}")
    (root / "cvppp/A1/plant002_label.png").write_text("<html>404</html>")
    assert prepare() == 1
    assert "plant002_label.png: not an image file" in caplog.text
    assert not (root / "cvppp" / "split.json").exists()
