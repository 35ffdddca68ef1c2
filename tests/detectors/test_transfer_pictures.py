"""Figure 3 of the report: which images, which panels, and what is drawn over them."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.detectors import transfer_pictures
from ptseg_d2.detectors.detections import Detections
from ptseg_d2.detectors.transfer_pictures import Sheets, drawn, truth_detections
from ptseg_d2.evaluation.ground_truth import GroundTruth
from ptseg_d2.visualization.overlays import GAP, TITLE_HEIGHT

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from numpy.typing import NDArray

PERSON, CAR, ROAD = 11, 13, 0
HEIGHT, WIDTH = 300, 1024  # wide enough to be drawn at its own size


def grey() -> NDArray[np.uint8]:
    return np.full((HEIGHT, WIDTH, 3), 100, np.uint8)


def truth() -> GroundTruth:
    """A car of 40 x 60 pixels, a person of one pixel, a crowd and some road."""
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    ids[100:140, 200:260], ids[0, 7], ids[200:, :50], ids[200:, 50:] = 26001, 24002, 26, 7
    segments = [
        {"id": 26001, "category_id": CAR, "isthing": True, "iscrowd": 0},
        {"id": 24002, "category_id": PERSON, "isthing": True, "iscrowd": 0},
        {"id": 26, "category_id": CAR, "isthing": True, "iscrowd": 1},
        {"id": 7, "category_id": ROAD, "isthing": False, "iscrowd": 0},
    ]
    return GroundTruth(np.zeros_like(ids, dtype=np.uint8), ids, segments)


def cars(*scores: float) -> Detections:
    """Cars of 80 x 80 pixels side by side, far from the borders."""
    boxes = torch.tensor([[100.0 + 150 * k, 100, 180 + 150 * k, 180] for k in range(len(scores))]).reshape(-1, 4)
    masks = torch.zeros(len(scores), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2, x1:x2] = True
    return Detections(boxes, torch.full((len(scores),), CAR), torch.tensor(scores), masks)


def test_the_objects_of_a_truth_by_hand() -> None:
    """Neither the crowd nor the road is one; boxes end behind the last pixel."""
    objects = truth_detections(truth())
    assert objects.classes.tolist() == [CAR, PERSON] and objects.scores.tolist() == [1, 1]
    assert objects.boxes.tolist() == [[200, 100, 260, 140], [7, 0, 8, 1]]
    assert objects.masks.flatten(1).sum(1).tolist() == [40 * 60, 1]
    assert objects.masks[0, 100:140, 200:260].all() and objects.masks[1, 0, 7]


def test_a_truth_without_objects() -> None:
    objects = truth_detections(GroundTruth(np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.int32), []))
    assert objects.boxes.shape == (0, 4) and objects.masks.shape == (0, 4, 6) and objects.classes.dtype == torch.int64
    assert np.array_equal(drawn(grey(), cars()), grey())


def test_an_object_has_the_colour_of_its_class() -> None:
    """Inside, away from the text at its upper left, grey 100 and the class's colour in equal parts."""
    inside = drawn(grey(), cars(0.9))[150:175, 140:175].reshape(-1, 3)
    expected = 0.5 * 100 + 0.5 * np.array(CITYSCAPES.colors[CAR])
    assert np.abs(inside - expected).max() <= 2
    assert (drawn(grey(), cars(0.9))[:, 400:] == 100).all()


def test_scores_are_drawn_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[list[str]] = []
    monkeypatch.setattr(
        transfer_pictures, "draw_objects", lambda image, masks, boxes, labels, colors: texts.append(labels)
    )
    drawn(grey(), cars(0.876, 0.5))
    drawn(grey(), cars(0.876, 0.5), scores=False)
    assert texts == [["car 88%", "car 50%"], ["car", "car"]]


@pytest.mark.parametrize(
    ("num_pictures", "chosen"), [(0, []), (1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_images_are_spread_over_the_data_set(
    num_pictures: int, chosen: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DatasetCatalog, "get", lambda name: [{}] * 5)
    look = Sheets(tmp_path, num_pictures).looker("streets", "A")
    for position in range(5):
        look(position, grey(), truth(), cars())
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"streets_{k:04d}.png" for k in chosen]


def test_a_sheet_grows_with_every_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two panels in a row: input and truth, then the detectors, each with what it is sure enough of."""
    monkeypatch.setattr(DatasetCatalog, "get", lambda name: [{}])
    sheets = Sheets(tmp_path, 1)
    panel = TITLE_HEIGHT + HEIGHT
    for number, found in enumerate([cars(0.9, 0.49), cars()], start=1):
        sheets.looker("streets", f"detector {number}")(0, grey(), truth(), found)
        sheet = cv2.imread(str(tmp_path / "streets_0000.png"))[..., ::-1]
        assert sheet.shape == (2 * panel + GAP, 2 * WIDTH + GAP, 3)
    pictures = [sheet[y + TITLE_HEIGHT : y + panel, x : x + WIDTH] for y in (0, panel + GAP) for x in (0, WIDTH + GAP)]
    of_truth = drawn(grey(), truth_detections(truth()), scores=False)
    for picture, expected in zip(pictures, [grey(), of_truth, drawn(grey(), cars(0.9)), grey()]):
        assert np.array_equal(picture, expected)
