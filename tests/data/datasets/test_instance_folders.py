"""A user's own folders: split, labels, registration by config keys or options, and errors that say what to do."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from ptseg_d2.classes.tables import single_thing
from ptseg_d2.data.datasets.instance_folders import (
    FOLDER_NAMES,
    SOURCE,
    TARGET_LABELED,
    TARGET_TEST,
    TARGET_UNLABELED,
    FolderWorld,
)
from ptseg_d2.data.labels import read_labels
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.errors import DataError
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.recipe.configs import load_config, load_recipe

import cv2
import numpy as np
import pytest
import train_net
import visualize_data
from detectron2.data import DatasetCatalog
from PIL import Image
from tiny import CONFIGS

CONFIG = CONFIGS / "nuclei" / "selftrain.yaml"
NUCLEI = Path(os.environ.get("PTSEG_NUCLEI") or CONFIGS.parents[1] / "shared" / "data" / "nuclei")
LABEL = np.array([[0, 0, 7, 7], [300, 0, 7, 7], [300, 300, 0, 2]], np.uint16)


def make(folder: Path, stems: str, labelled: str = "") -> Path:
    """A folder with a 3 x 4 grey image per letter, and labels for some of them."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for stem in stems:
        cv2.imwrite(str(folder / "images" / f"{stem}.png"), np.full((3, 4), 50, np.uint8))
    for stem in labelled:
        cv2.imwrite(str(folder / "labels" / f"{stem}.png"), LABEL)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A source of two images and a target of eight, of which the last three by name have labels."""
    return make(tmp_path / "source", "ab", "ab"), make(tmp_path / "target", "hgfedcba", "fgh")


@pytest.fixture
def world(folders: tuple[Path, Path]) -> FolderWorld:
    return FolderWorld(source=str(folders[0]), target=str(folders[1]))


def stems(world: FolderWorld, name: str) -> str:
    return "".join(item["image_id"] for item in world.load(name))


def test_the_last_images_by_name_are_the_test_set(world: FolderWorld) -> None:
    assert [stems(world, name) for name in (SOURCE, TARGET_UNLABELED, TARGET_TEST)] == ["ab", "abcde", "fgh"]


def test_without_a_share_the_test_images_are_those_with_a_label(folders: tuple[Path, Path], world: FolderWorld) -> None:
    (folders[1] / "labels" / "f.png").rename(folders[1] / "labels" / "b.png")
    world = FolderWorld(world.source, world.target, test_share=0.0)
    assert [stems(world, name) for name in (TARGET_UNLABELED, TARGET_TEST)] == ["acdef", "bgh"]


def test_unlabelled_entries_know_no_label(world: FolderWorld) -> None:
    for item in world.load(TARGET_UNLABELED):
        assert item.keys() == {"file_name", "image_id", "domain"} and item["domain"] == "target"
    assert world.load(SOURCE)[0]["domain"] == "source"


def test_labels_are_numbered_from_one(world: FolderWorld) -> None:
    labels = read_labels(world.load(SOURCE)[0])
    assert labels.sem_seg.tolist() == (LABEL > 0).astype(int).tolist()
    assert labels.instance_ids.tolist() == [[0, 0, 2, 2], [3, 0, 2, 2], [3, 3, 0, 1]]


def test_a_label_of_8_bits_will_do(folders: tuple[Path, Path], world: FolderWorld) -> None:
    cv2.imwrite(str(folders[0] / "labels" / "a.png"), (LABEL % 256).astype(np.uint8))
    assert read_labels(world.load(SOURCE)[0]).instance_ids.max() == 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_coloured_label_is_refused_by_name(folders: tuple[Path, Path], world: FolderWorld, mode: str) -> None:
    Image.new(mode, (4, 3)).save(folders[0] / "labels" / "a.png")
    with pytest.raises(DataError, match=r"labels/a\.png: expected one channel of 8 or 16 bits"):
        read_labels(world.load(SOURCE)[0])


def test_a_label_of_another_size_is_refused_by_name(folders: tuple[Path, Path], world: FolderWorld) -> None:
    cv2.imwrite(str(folders[0] / "labels" / "a.png"), LABEL[:2])
    with pytest.raises(DataError, match=r"images/a\.png has 4x3 pixels but .*labels/a\.png has 4x2"):
        read_labels(world.load(SOURCE)[0])


def test_images_of_any_kind_are_rgb(tmp_path: Path) -> None:
    folder = make(tmp_path / "mixed", "")
    Image.new("L", (4, 3), 50).save(folder / "images" / "a.jpg")
    Image.new("RGBA", (6, 5), (50, 50, 50, 0)).save(folder / "images" / "b.PNG")
    cv2.imwrite(str(folder / "images" / "c.tif"), np.full((3, 4), 50 * 257, np.uint16))
    (folder / "images" / "._a.jpg").write_text("macOS leaves such files")
    (folder / "images" / "notes.txt").write_text("no image")
    entries = FolderWorld(target=str(folder), test_share=0.0)
    cv2.imwrite(str(folder / "labels" / "b.png"), np.zeros((5, 6), np.uint8))
    items = [*entries.load(TARGET_UNLABELED), *entries.load(TARGET_TEST)]
    images = [TestMapper()(item)["image"] for item in items]
    assert [tuple(image.shape) for image in images] == [(3, 3, 4), (3, 3, 4), (3, 5, 6)]
    assert all((image == 50).all() for image in images)


def test_what_is_missing_is_said(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError, match=r"WORLD\.SOURCE is not set; .*--source-folder FOLDER.*datasets/README"):
        FolderWorld().load(SOURCE)
    with pytest.raises(FileNotFoundError, match=r"WORLD\.TARGET = nowhere: no such folder; .*--target-folder"):
        FolderWorld(target="nowhere").load(TARGET_TEST)
    with pytest.raises(FileNotFoundError, match="holds a.png, b.png; expected images/ and labels/"):
        FolderWorld(source=str(folders[0] / "images")).load(SOURCE)
    with pytest.raises(FileNotFoundError, match="images holds no image; expected files that end in .*tif"):
        FolderWorld(source=str(make(tmp_path / "empty", ""))).load(SOURCE)
    with pytest.raises(FileNotFoundError, match=r"labels/a\.png of a\.png not found \(5 of 5 are missing\)"):
        FolderWorld(target=str(folders[1])).load(TARGET_LABELED)
    cv2.imwrite(str(folders[0] / "images" / "a.jpg"), np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png share one name"):
        FolderWorld(source=str(folders[0])).load(SOURCE)


def test_a_split_without_an_image_to_adapt_to_is_an_error(tmp_path: Path) -> None:
    folder = make(tmp_path / "one", "a", "a")
    for share in (0.375, 0.0):
        with pytest.raises(ValueError, match="1 images, of which 1 are the test set.*leaves none to adapt to"):
            FolderWorld(target=str(folder), test_share=share).load(TARGET_UNLABELED)


def test_a_target_without_labels_has_no_test_set(tmp_path: Path) -> None:
    folder = make(tmp_path / "target", "abc")
    (folder / "labels").rmdir()
    world = FolderWorld(target=str(folder), test_share=0.0)
    assert stems(world, TARGET_UNLABELED) == "abc"
    with pytest.raises(ValueError, match=r"nothing to test on; with DATASETS.TEST \(\) the run trains without a test"):
        world.load(TARGET_TEST)


@pytest.mark.parametrize("suffix", [".PNG", ".tif", ".TIFF"])
def test_labels_may_be_tiff_and_upper_case(tmp_path: Path, suffix: str) -> None:
    folder = make(tmp_path / "source", "a")
    cv2.imwrite(str(folder / "labels" / f"a{suffix}"), LABEL)
    (item,) = FolderWorld(source=str(folder)).load(SOURCE)
    assert read_labels(item).instance_ids.max() == 3


def test_two_labels_of_one_image_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "source", "a", "a")
    cv2.imwrite(str(folder / "labels" / "a.tif"), LABEL)
    with pytest.raises(ValueError, match=r"labels/a\.png and a\.tif share one name"):
        FolderWorld(source=str(folder)).load(SOURCE)


def test_other_names_than_the_labels_should_have_are_said(tmp_path: Path) -> None:
    folder = make(tmp_path / "source", "a")
    cv2.imwrite(str(folder / "labels" / "a_mask.png"), LABEL)
    with pytest.raises(FileNotFoundError, match=r"labels/a\.png of a\.png not found .*labels holds a_mask\.png"):
        FolderWorld(source=str(folder)).load(SOURCE)
    (folder / "labels").rename(folder / "masks")
    with pytest.raises(FileNotFoundError, match=r"source holds images, masks\. Expected a PNG or TIFF"):
        FolderWorld(source=str(folder)).load(SOURCE)


def keys(source: Path, target: Path) -> list[str]:
    return ["WORLD.SOURCE", str(source), "WORLD.TARGET", str(target)]


def test_loading_a_config_registers_its_folders(folders: tuple[Path, Path]) -> None:
    for run in load_recipe(CONFIG, keys(*folders)):
        assert [run.cfg.WORLD.SOURCE, run.cfg.WORLD.TARGET] == [str(folder) for folder in folders]
    assert [len(DatasetCatalog.get(name)) for name in (SOURCE, TARGET_UNLABELED, TARGET_TEST)] == [2, 5, 3]


def test_the_folders_of_the_last_config_count(folders: tuple[Path, Path], tmp_path: Path) -> None:
    load_config(CONFIG, keys(*folders))
    load_config(CONFIG)  # says nothing of folders, as when a finished run is compared with its file
    assert len(DatasetCatalog.get(SOURCE)) == 2
    load_config(CONFIG, keys(make(tmp_path / "other", "xyz", "xyz"), folders[1]))
    assert len(DatasetCatalog.get(SOURCE)) == 3


def test_a_world_can_be_pickled(world: FolderWorld) -> None:
    assert pickle.loads(pickle.dumps(world)) == world


def test_folders_for_a_config_of_other_data_sets_are_an_error(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=r"folders are given .*DATASETS names none of folder_source_labeled_train"):
        load_config(CONFIGS / "selftrain_icm.yaml", keys(*folders))
    with pytest.raises(ValueError, match=r"WORLD\.TEST_SHARE = 1\.0; expected a share in \[0, 1\)"):
        load_config(CONFIG, ["WORLD.TEST_SHARE", "1.0"])


def test_options_of_the_command_line_are_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["--config-file", "x", "--source-folder", "a", "--target-folder", "/b/../c", "SEED", "2"]
    args = train_net.parse_arguments(command)
    assert args.opts == [*keys(tmp_path / "a", Path("/c")), "SEED", "2"]
    assert train_net.parse_arguments(["--config-file", "x", "SEED", "2"]).opts == ["SEED", "2"]


def test_a_folder_can_be_looked_at(folders: tuple[Path, Path], tmp_path: Path) -> None:
    command = ["--dataset", TARGET_TEST, "--target-folder", str(folders[1]), "--output", str(tmp_path / "out")]
    assert visualize_data.main(command) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["f.png", "g.png", "h.png"]
    assert visualize_data.main(["--dataset", SOURCE, "--output", str(tmp_path / "out")]) == 1


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="no nuclei beside the repository")
def test_real_nuclei() -> None:
    world = FolderWorld(str(NUCLEI / "fluorescence"), str(NUCLEI / "histology"))
    assert [len(world.load(name)) for name in FOLDER_NAMES] == [110, 67, 67, 40]
    assert read_labels(world.load(TARGET_TEST)[-1]).instance_ids.max() > 1


def test_more_objects_than_panoptic_ids_is_an_error_of_that_file(tmp_path: Path) -> None:
    label = tmp_path / "label.png"
    files = {"file_name": str(label), "label_file_name": str(label), "label_format": "instance_png"}
    cache = GroundTruthCache(single_thing("cell"))
    assert cv2.imwrite(str(label), np.arange(1000, dtype=np.uint16).reshape(40, 25))
    assert len(cache.read(files).segments) == 1000  # 999 objects and the background
    cv2.imwrite(str(label), np.arange(1001, dtype=np.uint16).reshape(77, 13))
    with pytest.raises(DataError, match="label.png has 1000 objects; an image to test on may have 999"):
        GroundTruthCache(single_thing("cell")).read(files)
