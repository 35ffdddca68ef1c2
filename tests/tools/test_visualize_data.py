"""The sample drawing tool on a tiny Cityscapes folder."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

TOOL = Path(__file__).parents[2] / "tools" / "visualize_data.py"
HEIGHT, WIDTH = 64, 128


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("visualize_data", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three gray images: left half road, right half one car; the labels of val only."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    label_ids = np.full((HEIGHT, WIDTH), 7, np.uint8)
    label_ids[:, WIDTH // 2 :] = 26
    instances = np.where(label_ids == 26, 26001, 7).astype(np.uint16)
    for split in ("train", "val"):
        images = tmp_path / "cityscapes/leftImg8bit" / split / "ulm"
        labels = tmp_path / "cityscapes/gtFine" / split / "ulm"
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index in range(3):
            gray = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
            cv2.imwrite(str(images / f"ulm_{index}_leftImg8bit.png"), gray)
            if split == "val":
                cv2.imwrite(str(labels / f"ulm_{index}_gtFine_labelIds.png"), label_ids)
                cv2.imwrite(str(labels / f"ulm_{index}_gtFine_instanceIds.png"), instances)
    return tmp_path


def run(tool: ModuleType, name: str, num: int, output: Path) -> int:
    status: int = tool.main(["--dataset", name, "--num", str(num), "--output", str(output)])
    return status


def test_labels_are_painted_beside_the_image(tool: ModuleType, root: Path) -> None:
    assert run(tool, "cityscapes_labeled_val", 1, root / "out") == 0
    picture = cv2.cvtColor(cv2.imread(str(root / "out/ulm_0.png")), cv2.COLOR_BGR2RGB).astype(int)
    middle_row = picture[picture.shape[0] // 2]
    quarters = np.array_split(middle_row, 4)  # image: left, right; labels: road, car
    image_left, image_right, road, car = (np.median(quarter, axis=0) for quarter in quarters)
    assert image_left.tolist() == image_right.tolist() == [100, 100, 100]
    assert road[0] > road[1] and road[2] > road[1], "road is purple"
    assert car[2] > car[0] and car[2] > car[1], "a car is blue"


def test_unlabelled_samples_are_the_plain_images_spread_over_the_set(tool: ModuleType, root: Path) -> None:
    assert run(tool, "cityscapes_unlabeled_train", 2, root / "out") == 0
    assert sorted(p.name for p in (root / "out").iterdir()) == ["ulm_0.png", "ulm_1.png"]
    assert (cv2.imread(str(root / "out/ulm_0.png")) == 100).all()


def test_more_samples_than_entries(tool: ModuleType, root: Path) -> None:
    assert run(tool, "cityscapes_unlabeled_train", 99, root / "out") == 0
    assert len(list((root / "out").iterdir())) == 3


def test_missing_data_is_one_error(tool: ModuleType, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(tool, "gta5_labeled_train", 1, root / "out") == 1
    assert "datasets/README.md" in caplog.text and "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("name", "num", "message"),
    [("nowhere", 1, "expected one of:.*cityscapes_labeled_val"), ("gta5_labeled_train", 0, ">= 1, got 0")],
)
def test_wrong_arguments(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, num: int, message: str
) -> None:
    with pytest.raises(SystemExit):
        run(tool, name, num, tmp_path)
    assert re.search(message, capsys.readouterr().err)
