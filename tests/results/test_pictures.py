"""Pictures of a run: of which images, and what stands where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.data.labels import read_labels
from ptseg_d2.evaluation.ground_truth import ground_truth_panoptic
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.results import pictures
from ptseg_d2.results.row import Row
from ptseg_d2.stages import StageRun
from ptseg_d2.visualization.overlays import GAP, TITLE_HEIGHT

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from numpy.typing import NDArray
from tiny import CONFIGS

HEIGHT, WIDTH = 64, 128
BRIGHTNESS = {"source": 50, "selftrain": 100}


class Rows:
    """Every row fills the image with one segment, whose id tells it from the others."""

    classes = CITYSCAPES
    runs: Mapping[str, StageRun] = {}

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def panoptic_rows(self) -> list[Row]:
        return [Row(name) for name in self.names]

    def panoptic(self, row: Row) -> Any:
        ids = torch.full((HEIGHT, WIDTH), BRIGHTNESS[row.name])
        return lambda batch: [{"panoptic_seg": (ids, [])} for _ in batch]


def ids_as_grey(image: NDArray[np.uint8], ids: torch.Tensor, *_: Any) -> NDArray[np.uint8]:
    """In place of Detectron2's Visualizer: segment ids modulo 256."""
    return np.repeat(ids.numpy()[..., None], 3, axis=2).astype(np.uint8)


def draw(names: list[str], num_pictures: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Returns the test images."""
    monkeypatch.setattr(pictures, "draw_panoptic", ids_as_grey)
    cfg = load_config(
        CONFIGS / "selftrain_icm.yaml", ["OUTPUT_DIR", str(folder), "EVAL.NUM_PICTURES", str(num_pictures)]
    )
    pictures.draw_pictures(Rows(names), cfg)
    return DatasetCatalog.get(cfg.DATASETS.TEST[0])


def test_input_truth_and_every_row_stand_two_abreast(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, last = draw(["source", "selftrain"], 2, tmp_path, monkeypatch)
    files = {f"{item['image_id'].replace('/', '_')}.png": item for item in (first, last)}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == set(files)
    for name, item in files.items():
        sheet = cv2.imread(str(tmp_path / "pictures" / name))
        below = TITLE_HEIGHT + HEIGHT + GAP
        assert sheet is not None and sheet.shape == (2 * below - GAP, 2 * WIDTH + GAP, 3)
        top, bottom = (sheet[start : start + HEIGHT] for start in (TITLE_HEIGHT, below + TITLE_HEIGHT))
        truth, _ = ground_truth_panoptic(read_labels(item), CITYSCAPES)
        assert np.array_equal(top[:, :WIDTH], cv2.imread(item["file_name"]))
        assert np.array_equal(top[:, -WIDTH:, 0], truth.astype(np.uint8))
        assert (bottom[:, :WIDTH] == BRIGHTNESS["source"]).all()
        assert (bottom[:, -WIDTH:] == BRIGHTNESS["selftrain"]).all()


@pytest.mark.parametrize(("names", "num_pictures"), [(["source"], 0), ([], 2)])
def test_nothing_to_draw_makes_no_folder(
    names: list[str], num_pictures: int, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(names, num_pictures, tmp_path, monkeypatch)
    assert not (tmp_path / "pictures").exists()
