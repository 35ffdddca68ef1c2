"""Ground truth as panoptic maps: against the converter of Cityscapes and literals."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ptseg_d2.classes.streets import CITYSCAPES_TO_TRAIN, CLASS_NAMES, THING_IDS
from ptseg_d2.data.labels import Labels, read_labels
from ptseg_d2.evaluation.ground_truth import GroundTruthCache, ground_truth_panoptic
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.panoptic_ids import rgb_to_ids

import numpy as np
import pytest
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from PIL import Image
from references_evaluation import random_labels, write_cityscapes_entry

ROAD, SKY, CAR, BUS, VOID = 0, 10, 13, 15, 255


def test_by_hand() -> None:
    # One road in two pieces, two cars, a car group, a bus without a known instance, void.
    labels = Labels(np.array([[ROAD, CAR, CAR, ROAD], [CAR, CAR, BUS, VOID]]), np.array([[0, 1, 2, 0], [-1, -1, 0, 0]]))
    ids, segments = ground_truth_panoptic(labels)
    assert ids.tolist() == [[7, 26001, 26002, 7], [26, 26, 28, 0]]
    assert ids.dtype == np.int32
    assert [tuple(s[k] for k in ("id", "category_id", "isthing", "iscrowd", "area")) for s in segments] == [
        (7, ROAD, False, 0, 2),
        (26, CAR, True, 1, 2),
        (28, BUS, True, 1, 1),
        (26001, CAR, True, 0, 1),
        (26002, CAR, True, 0, 1),
    ]
    assert labels.sem_seg[0, 0] == ROAD  # the input stays as it was


def test_nothing_labelled() -> None:
    ids, segments = ground_truth_panoptic(Labels(np.full((2, 3), VOID), np.zeros((2, 3), np.int64)))
    assert not ids.any() and segments == []


def test_too_many_instances_are_refused() -> None:
    with pytest.raises(ValueError, match="1000"):
        ground_truth_panoptic(Labels(np.array([[CAR]]), np.array([[1000]])))


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_cityscapes_converter(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "val" / "city"
    folder.mkdir(parents=True)
    entry = write_cityscapes_entry(folder, "city_000000_000001", *random_labels(np.random.default_rng(seed)))
    convert2panoptic(str(tmp_path), str(tmp_path), useTrainId=False, setNames=["val"])
    official = json.loads((tmp_path / "cityscapes_panoptic_val.json").read_text())["annotations"][0]
    picture = tmp_path / "cityscapes_panoptic_val" / official["file_name"]
    official_ids = rgb_to_ids(np.array(Image.open(picture)))

    ids, segments = ground_truth_panoptic(read_labels(entry))
    assert ((ids == 0) == (official_ids == 0)).all()
    assert len(segments) == len(official["segments_info"])
    for theirs in official["segments_info"]:
        (segment_id,) = np.unique(ids[official_ids == theirs["id"]]).tolist()
        ours = next(s for s in segments if s["id"] == segment_id)
        assert ours["category_id"] == CITYSCAPES_TO_TRAIN[theirs["category_id"]]
        assert (ours["area"], ours["iscrowd"]) == (theirs["area"], theirs["iscrowd"])
    quality = PanopticQuality(CLASS_NAMES, THING_IDS)
    quality.update(ids, segments, ids, [{**s, "iscrowd": 0} for s in segments])
    assert quality.compute()["PQ"] == 100


def test_cache_reads_once_and_forgets_the_oldest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = [write_cityscapes_entry(tmp_path, f"image{i}", *random_labels(rng)) for i in range(3)]
    cache = GroundTruthCache(max_bytes=2 * 24 * 40 * 5)  # two images: 1 + 4 bytes per pixel
    first = cache.read(entries[0])
    cache.read(entries[1])
    assert cache.read(entries[0]) is first
    cache.read(entries[2])  # image 1 was unused for longest
    for entry in entries:
        os.remove(entry["label_file_name"])
    assert cache.read(entries[0]) is first
    with pytest.raises(FileNotFoundError, match="image1"):
        cache.read(entries[1])
