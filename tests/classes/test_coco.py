"""The map from COCO's classes to Cityscapes', as literals."""

from __future__ import annotations

from ptseg_d2.classes.coco import (
    CITYSCAPES_THINGS,
    COCO_CLASSES,
    WITHOUT_COCO_CLASS,
    class_map_rows,
    outputs_of_train_ids,
    train_ids_of,
)

import pytest

PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(11, 19)


def test_of_80_outputs_seven_are_objects_of_cityscapes() -> None:
    """The first eight outputs of COCO's detectors, by position; airplane and all from boat on have no counterpart."""
    assert (
        len(COCO_CLASSES) == 80 and COCO_CLASSES[8:10] == ("boat", "traffic light") and COCO_CLASSES[79] == "toothbrush"
    )
    ids = train_ids_of(COCO_CLASSES).tolist()
    assert ids[:8] == [PERSON, BICYCLE, CAR, MOTORCYCLE, 255, BUS, TRAIN, TRUCK]
    assert set(ids[8:]) == {255}


def test_rider_has_no_coco_class() -> None:
    assert WITHOUT_COCO_CLASS == ("rider",)
    assert dict(class_map_rows())["rider"] == "none (COCO: person)"
    assert [name for name, _ in class_map_rows()] == list(CITYSCAPES_THINGS)


def test_a_detector_with_cityscapes_names_keeps_them() -> None:
    assert train_ids_of(CITYSCAPES_THINGS).tolist() == list(range(11, 19))
    assert train_ids_of(["rider", "cat", "train"]).tolist() == [RIDER, 255, TRAIN]


def test_labels_of_a_detector_without_riders_call_them_persons() -> None:
    names = ["car", "person", "bicycle"]
    outputs = outputs_of_train_ids(names).tolist()
    assert [outputs[i] for i in (PERSON, RIDER, CAR, BICYCLE, BUS, 0)] == [1, 1, 0, 2, -1, -1]
    assert outputs_of_train_ids([*names, "rider"])[RIDER] == 3


def test_names_that_do_not_match_are_listed() -> None:
    with pytest.raises(
        ValueError, match=r"none of the detector's classes \(cat, dog, .*person, rider.*DETECTOR.CLASSES"
    ):
        train_ids_of(["cat", "dog"])
