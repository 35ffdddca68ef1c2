"""Listing of the official layouts, real and drawn, and the errors about missing data."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from ptseg_d2.data import datasets
from ptseg_d2.data.datasets.paths import datasets_root
from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.labels import read_labels
from ptseg_d2.worlds import miniscapes

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog

NAMES = [
    "synthia_labeled_train",
    "gta5_labeled_train",
    "cityscapes_unlabeled_train",
    "cityscapes_labeled_train",
    "cityscapes_labeled_val",
]
touched: list[str] | None = None


def record_path(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: remembers what is opened or listed while a test asks for it."""
    if touched is not None and event in ("open", "os.scandir", "os.listdir"):
        touched.append(str(args[0]))


sys.addaudithook(record_path)
datasets.register_all()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def make_cityscapes(root: Path) -> None:
    """Two cities in train, one in val; the files are empty, since listing opens none."""
    for frame in ("train/ulm/ulm_000002", "train/aachen/aachen_000001", "val/bonn/bonn_000003"):
        touch(
            root / f"cityscapes/leftImg8bit/{frame}_leftImg8bit.png",
            root / f"cityscapes/gtFine/{frame}_gtFine_labelIds.png",
            root / f"cityscapes/gtFine/{frame}_gtFine_instanceIds.png",
        )


def test_all_names_are_registered_with_and_without_prefix() -> None:
    assert {*NAMES, *(f"miniscapes_{name}" for name in NAMES)} <= set(DatasetCatalog.list())


def test_root_defaults_to_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    assert datasets_root() == Path("datasets")


def test_synthia(root: Path) -> None:
    base = root / "synthia/RAND_CITYSCAPES"
    for stem in ("0000002", "0000001"):
        touch(base / f"RGB/{stem}.png", base / f"GT/LABELS/{stem}.png")
    touch(base / "RGB/._0000001.png", base / "RGB/readme.txt")
    entries = DatasetCatalog.get("synthia_labeled_train")
    assert [e["image_id"] for e in entries] == ["0000001", "0000002"]
    assert entries[0] == {
        "file_name": str(base / "RGB/0000001.png"),
        "image_id": "0000001",
        "domain": "source",
        "label_format": "synthia",
        "label_file_name": str(base / "GT/LABELS/0000001.png"),
    }


def test_gta5(root: Path) -> None:
    touch(root / "gta5/images/00001.png", root / "gta5/labels/00001.png")
    assert DatasetCatalog.get("gta5_labeled_train") == [
        {
            "file_name": str(root / "gta5/images/00001.png"),
            "image_id": "00001",
            "domain": "source",
            "label_format": "gta5",
            "label_file_name": str(root / "gta5/labels/00001.png"),
        }
    ]


def test_cityscapes_labeled(root: Path) -> None:
    make_cityscapes(root)
    train = DatasetCatalog.get("cityscapes_labeled_train")
    assert [e["image_id"] for e in train] == ["aachen_000001", "ulm_000002"]
    assert DatasetCatalog.get("cityscapes_labeled_val") == [
        {
            "file_name": str(root / "cityscapes/leftImg8bit/val/bonn/bonn_000003_leftImg8bit.png"),
            "image_id": "bonn_000003",
            "domain": "target",
            "label_format": "cityscapes",
            "label_file_name": str(root / "cityscapes/gtFine/val/bonn/bonn_000003_gtFine_labelIds.png"),
            "instance_file_name": str(root / "cityscapes/gtFine/val/bonn/bonn_000003_gtFine_instanceIds.png"),
        }
    ]


@pytest.mark.parametrize("labels_exist", [True, False])
def test_unlabeled_never_touches_labels(root: Path, labels_exist: bool) -> None:
    global touched
    make_cityscapes(root)
    if not labels_exist:
        (root / "cityscapes/gtFine").rename(root / "elsewhere")
    touched = []
    try:
        entries = DatasetCatalog.get("cityscapes_unlabeled_train")
        seen = touched
    finally:
        touched = None
    assert [set(e) for e in entries] == [{"file_name", "image_id", "domain"}] * 2
    assert {e["domain"] for e in entries} == {"target"}
    assert any("leftImg8bit" in path for path in seen), "the hook saw the listing"
    assert not any("gtFine" in path for path in seen)


@pytest.mark.parametrize("name", NAMES)
def test_missing_real_data_names_path_variable_and_fix(root: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        DatasetCatalog.get(name)
    message = str(caught.value)
    assert f"{root}/{name.split('_')[0]}" in message
    assert f"$DETECTRON2_DATASETS is '{root}'" in message
    assert "datasets/README.md" in message


def test_unset_variable_is_said_to_be_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\$DETECTRON2_DATASETS is not set, so 'datasets'"):
        DatasetCatalog.get("gta5_labeled_train")


def test_empty_data_set(root: Path) -> None:
    (root / "gta5/images").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"gta5/images/\*\.png not found.*datasets/README\.md"):
        DatasetCatalog.get("gta5_labeled_train")


def test_missing_label_files_are_counted_and_the_first_is_named(root: Path) -> None:
    make_cityscapes(root)
    for frame in ("aachen/aachen_000001", "ulm/ulm_000002"):
        (root / f"cityscapes/gtFine/train/{frame}_gtFine_instanceIds.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"aachen_000001_gtFine_instanceIds\.png \(2 of 4 label"):
        DatasetCatalog.get("cityscapes_labeled_train")


@pytest.fixture
def small_miniscapes(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small = partial(miniscapes.ensure, num_train=2, num_val=1, size=(128, 64))
    monkeypatch.setattr(miniscapes, "ensure", small)
    return root / "miniscapes"


@pytest.mark.parametrize("name", NAMES)
def test_miniscapes_are_drawn_on_first_use_and_readable(small_miniscapes: Path, name: str) -> None:
    assert not small_miniscapes.exists()
    entries = DatasetCatalog.get(f"miniscapes_{name}")
    assert len(entries) == (1 if name.endswith("val") else 2)
    assert DatasetCatalog.get(f"miniscapes_{name}") == entries
    assert read_image(entries[0]["file_name"]).shape == (64, 128, 3)
    if "unlabeled" not in name:
        labels = read_labels(entries[0])
        assert labels.sem_seg.shape == labels.instance_ids.shape == (64, 128)
        assert len(np.unique(labels.sem_seg)) > 3


def test_unlabeled_miniscapes_without_their_labels(small_miniscapes: Path) -> None:
    entries = DatasetCatalog.get("miniscapes_cityscapes_unlabeled_train")
    train_labels = small_miniscapes / "cityscapes/gtFine/train"
    train_labels.rename(small_miniscapes / "hidden")
    assert DatasetCatalog.get("miniscapes_cityscapes_unlabeled_train") == entries
    assert not train_labels.exists()


def test_worlds_put_in_place_of_miniscapes_are_left_alone(root: Path) -> None:
    make_cityscapes(root / "miniscapes")
    image = root / "miniscapes/cityscapes/leftImg8bit/val/bonn/bonn_000003_leftImg8bit.png"
    cv2.imwrite(str(image), np.zeros((2, 3, 3), np.uint8))
    assert len(DatasetCatalog.get("miniscapes_cityscapes_unlabeled_train")) == 2
    assert read_image(image).shape == (2, 3, 3)


def test_a_fifth_of_each_citys_training_images_is_held_out(root: Path) -> None:
    for city, count in (("aachen", 5), ("ulm", 11)):
        for number in range(count):
            stem = f"{city}/{city}_{number:06d}"
            touch(root / f"cityscapes/leftImg8bit/train/{stem}_leftImg8bit.png")
            for kind in ("labelIds", "instanceIds"):
                touch(root / f"cityscapes/gtFine/train/{stem}_gtFine_{kind}.png")
    held_out = [e["image_id"] for e in DatasetCatalog.get("cityscapes_labeled_train_held_out")]
    assert held_out == ["aachen_000004", "ulm_000009", "ulm_000010"]
    rest = [e["image_id"] for e in DatasetCatalog.get("cityscapes_labeled_train_fit")]
    assert sorted(rest + held_out) == [e["image_id"] for e in DatasetCatalog.get("cityscapes_labeled_train")]
