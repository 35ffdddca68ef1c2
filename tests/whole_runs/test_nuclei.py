"""The nuclei recipe on two tiny folders, by the two options, without a label of the target's training images."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.prediction.predictor import PanopticPredictor

import cv2
import numpy as np
import pytest
import train_net
from tiny import CONFIGS, TINY

OVERRIDES = [*TINY, "INSTANCE.GROUPS", "[]", "INPUT.CROP_SIZE", "(32, 32)", "SOLVER.TARGET_PER_BATCH", "2"]


def discs(folder: Path, stem: str, size: tuple[int, int], light_on_dark: bool, labelled: bool) -> None:
    """An image of four discs, and its label."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    label = np.zeros(size, np.uint16)
    for number, (row, column) in enumerate(((10, 10), (10, 30), (30, 12), (26, 32)), start=1):
        cv2.circle(label, (column, row), 6, (number,), -1)
    is_light = (label > 0) == light_on_dark
    cv2.imwrite(str(folder / "images" / f"{stem}.png"), np.where(is_light, 200, 60).astype(np.uint8))
    if labelled:
        cv2.imwrite(str(folder / "labels" / f"{stem}.png"), label)


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Command-line options of a source and of a target whose first two images have no label file."""
    for number in range(3):
        discs(tmp_path / "A", f"{number}", (40, 48 + 8 * number), light_on_dark=True, labelled=True)
        discs(tmp_path / "B", f"{number}", (40, 48), light_on_dark=False, labelled=number == 2)
    return ["--source-folder", str(tmp_path / "A"), "--target-folder", str(tmp_path / "B")]


def test_the_whole_recipe_with_two_options(folders: list[str], tmp_path: Path) -> None:
    config = str(CONFIGS / "nuclei" / "selftrain.yaml")
    command = ["--config-file", config, *folders, *OVERRIDES, "OUTPUT_DIR", str(tmp_path / "out")]
    train_net.main(train_net.parse_arguments(command))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["panoptic"]) == ["source", "selftrain"]
    assert list(results["panoptic"]["selftrain"]["per_class"]) == ["background", "nucleus"]
    # The run knows its folders: neither option is needed again, and no image of them is.
    predictor = PanopticPredictor(tmp_path / "out", device="cpu")
    assert predictor.cfg.WORLD.SOURCE == str(tmp_path / "A")
    assert predictor.metadata.thing_classes == ["background", "nucleus"]
    assert predictor.predict(np.full((50, 60, 3), 90, np.uint8)).panoptic.shape == (50, 60)


def test_a_target_without_any_label(folders: list[str], tmp_path: Path) -> None:
    """Nothing is evaluated, and the demo knows the run all the same."""
    (tmp_path / "B" / "labels" / "2.png").unlink()
    config, output = str(CONFIGS / "nuclei" / "selftrain.yaml"), tmp_path / "out"
    no_test = ["WORLD.TEST_SHARE", "0.0", "DATASETS.TEST", "()", "OUTPUT_DIR", str(output)]
    train_net.main(train_net.parse_arguments(["--config-file", config, *folders, *OVERRIDES, *no_test]))
    assert "DATASETS.TEST is empty: nothing is evaluated" in (output / "log.txt").read_text()
    assert json.loads((output / "results.json").read_text())["datasets"]["test"] == []
    predictor = PanopticPredictor(output, device="cpu")
    assert predictor.metadata.thing_classes == ["background", "nucleus"] and predictor.row == "selftrain"
