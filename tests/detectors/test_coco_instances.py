"""Our labels in COCO's format, and COCO's AP of a detector, against pycocotools itself."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ptseg_d2.classes.coco import CITYSCAPES_THINGS
from ptseg_d2.classes.tables import single_thing
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.labels import read_labels
from ptseg_d2.detectors.coco_instances import METRICS, CocoScores, coco_instances, common_folder, register_coco_folder

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from references_evaluation import write_cityscapes_entry

CAR, PERSON, ROAD = 13, 11, 0
CAR_LABEL, PERSON_LABEL = 26, 24


def test_export_by_hand(tmp_path: Path) -> None:
    """A car of three pixels, a person of one, persons that nobody told apart."""
    sem_seg = np.array([[CAR, CAR, ROAD, 255], [CAR, PERSON, PERSON, PERSON]], dtype=np.int32)
    ids = np.array([[1, 1, 0, 0], [1, 2, -1, -1]], dtype=np.int32)
    entry = write_cityscapes_entry(tmp_path, "a", sem_seg, ids)
    content, failures = coco_instances([entry], common_folder([entry["file_name"]]))
    assert failures == [] and content["images"] == [
        {"id": 1, "file_name": "a_leftImg8bit.png", "height": 2, "width": 4}
    ]
    assert [c["name"] for c in content["categories"]] == list(CITYSCAPES_THINGS)
    found = [[a[key] for key in ("category_id", "iscrowd", "area", "bbox")] for a in content["annotations"]]
    assert found == [
        [PERSON_LABEL, 1, 2, [2, 1, 2, 1]],
        [PERSON_LABEL, 0, 1, [1, 1, 1, 1]],
        [CAR_LABEL, 0, 3, [0, 0, 2, 2]],
    ]
    car = content["annotations"][2]["segmentation"]
    assert mask_api.decode(car).tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    json.dumps(content)


def test_classes_are_those_of_the_data_set(tmp_path: Path) -> None:
    """Two leaves on a background."""
    numbers = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)
    for name in ("image", "label"):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), numbers)
    files = {"file_name": str(tmp_path / "image.png"), "label_file_name": str(tmp_path / "label.png")}
    content, failures = coco_instances([{**files, "label_format": "cvppp"}], tmp_path, single_thing("leaf"))
    assert failures == [] and [category["name"] for category in content["categories"]] == ["leaf"]
    assert [annotation["bbox"] for annotation in content["annotations"]] == [[1, 0, 2, 1], [0, 1, 2, 1]]
    assert {a["category_id"] for a in content["annotations"]} == {content["categories"][0]["id"]}


def test_unreadable_labels_are_named_and_the_others_exported(world: Path) -> None:
    dicts = load_dataset(("miniscapes_cityscapes_labeled_val",), "test")
    Path(dicts[1]["label_file_name"]).write_bytes(b"")
    content, failures = coco_instances(dicts, common_folder(d["file_name"] for d in dicts))
    assert len(content["images"]) == 2 and {a["image_id"] for a in content["annotations"]} == {1, 2}
    assert len(failures) == 1 and dicts[1]["label_file_name"] in failures[0]
    objects = sum(len(np.unique(ids[ids > 0])) for ids in (read_labels(dicts[i]).instance_ids for i in (0, 2)))
    assert sum(not a["iscrowd"] for a in content["annotations"]) == objects > 0


class CocoWorld:
    """Random rectangles of all sizes in COCO's format, and detections that overlap, of which some are wrong."""

    names = ("cat", "car", "dog")

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        (folder / "images").mkdir(parents=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in (1, 2, 3):
            cv2.imwrite(str(folder / "images" / f"{number}.png"), np.zeros((160, 200, 3), np.uint8))
            images.append({"id": number, "file_name": f"{number}.png", "height": 160, "width": 200})
            for _ in range(6):
                mask, box = self.rectangle()
                rle = mask_api.encode(np.asfortranarray(mask))
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": int(self.rng.choice([3, 7])),
                        "bbox": box,
                        "area": int(mask.sum()),
                        "iscrowd": int(self.rng.random() < 0.1),
                        "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    }
                )
        categories = [{"id": 3, "name": "car"}, {"id": 7, "name": "dog"}]
        self.content: dict[str, Any] = {"images": images, "annotations": annotations, "categories": categories}
        self.json = folder / "instances.json"
        self.json.write_text(json.dumps(self.content))
        self.images = folder / "images"

    def rectangle(self) -> tuple[Any, list[float]]:
        width, height = self.rng.integers(5, 110, 2)
        x, y = self.rng.integers(0, 200 - width), self.rng.integers(0, 160 - height)
        mask = np.zeros((160, 200), np.uint8)
        mask[y : y + height, x : x + width] = 1
        return mask, [float(v) for v in (x, y, width, height)]

    def detections(self, image_id: int) -> Instances:
        """Every object moved a little, twice, and one that is not there; outputs are `names`."""
        boxes, masks, classes = [], [], []
        for a in (a for a in self.content["annotations"] if a["image_id"] == image_id):
            for _ in range(2):
                shift = self.rng.integers(-3, 4, 2)
                mask = np.roll(mask_api.decode(a["segmentation"]), shift, axis=(0, 1))
                x, y, w, h = mask_api.toBbox(mask_api.encode(np.asfortranarray(mask)))
                boxes.append([x, y, x + w, y + h])
                masks.append(mask)
                classes.append(1 if a["category_id"] == 3 else 2)
        mask, (x, y, w, h) = self.rectangle()
        boxes, masks, classes = [*boxes, [x, y, x + w, y + h]], [*masks, mask], [*classes, 0]
        return Instances(
            (160, 200),
            pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32)),
            pred_classes=torch.tensor(classes),
            scores=torch.from_numpy(self.rng.random(len(boxes))).float(),
            pred_masks=torch.from_numpy(np.stack(masks)).bool(),
        )


def pycocotools_scores(world: CocoWorld, detections: dict[int, Instances], task: str) -> list[float]:
    """AP, AP50, AP75, APs, APm, APl in percent, without Detectron2."""
    category = {1: 3, 2: 7}
    results = []
    for image_id, found in detections.items():
        for i in range(len(found)):
            if int(found.pred_classes[i]) not in category:
                continue
            x1, y1, x2, y2 = found.pred_boxes.tensor[i].tolist()
            entry: dict[str, Any] = {
                "image_id": image_id,
                "category_id": category[int(found.pred_classes[i])],
                "score": float(found.scores[i]),
            }
            if task == "bbox":
                entry["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            else:
                entry["segmentation"] = mask_api.encode(np.asfortranarray(found.pred_masks[i].numpy().astype(np.uint8)))
            results.append(entry)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(world.json))
        evaluation = COCOeval(truth, truth.loadRes(results), task)
        evaluation.params.imgIds = list(detections)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * float(value) for value in evaluation.stats[:6]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("image_ids", [(1, 2, 3), (1, 3)], ids=["all", "one left out"])
def test_pycocotools(tmp_path: Path, seed: int, image_ids: tuple[int, ...]) -> None:
    world = CocoWorld(tmp_path, seed)
    name = register_coco_folder(world.json, world.images)
    dicts = {d["image_id"]: d for d in load_dataset((name,), "test")}
    scores = CocoScores(name, CocoWorld.names)
    detections = {i: world.detections(i) for i in image_ids}
    for image_id, found in detections.items():
        scores.add(dicts[image_id], found)
    ours = scores.compute()
    assert scores.unknown == []
    for task in ("bbox", "segm"):
        official = pycocotools_scores(world, detections, task)
        assert list(ours[task]) == list(METRICS)
        for key, value in zip(METRICS, official):
            assert ours[task][key] == (pytest.approx(value, abs=1e-9) if value >= 0 else None), (task, key)
        assert 5 < official[0] < 95


def test_nothing_detected_is_0(tmp_path: Path) -> None:
    world = CocoWorld(tmp_path, 0)
    name = register_coco_folder(world.json, world.images)
    dicts = load_dataset((name,), "test")
    scores = CocoScores(name, ["cat", "car"])
    assert scores.unknown == ["dog"]
    for item in dicts:
        scores.add(item, world.detections(1)[:0])
    assert scores.compute() == {task: dict.fromkeys(METRICS, 0.0) for task in ("bbox", "segm")}


def test_names_that_do_not_match(tmp_path: Path) -> None:
    world = CocoWorld(tmp_path, 0)
    name = register_coco_folder(world.json, world.images)
    load_dataset((name,), "test")
    with pytest.raises(
        ValueError, match=r"classes \(boat, \.\.\.\) and those of .* \(car, dog, \.\.\.\) have no name in"
    ):
        CocoScores(name, ["boat"])


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {k: v for k, v in content.items() if k != key}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            without("annotations"),
            "has no list 'annotations'; COCO's instance files have images, annotations, categories",
        ),
        (lambda content: [content], "has no list 'images'"),
        (lambda content: {**content, "images": []}, "lists no image"),
        (lambda content: {**content, "categories": [{"id": 3}]}, "an entry of 'categories' has no 'name': {\"id\": 3}"),
        (
            lambda content: {**content, "annotations": [content["annotations"][0]] * 2},
            "two entries of 'annotations' have the id 1",
        ),
        (
            lambda content: {**content, "annotations": [{"id": 1, "image_id": 1}]},
            "of 'annotations' has no 'category_id'",
        ),
    ],
)
def test_wrong_json(tmp_path: Path, damage: Callable[[dict[str, Any]], Any], message: str) -> None:
    world = CocoWorld(tmp_path, 0)
    world.json.write_text(json.dumps(damage(world.content)))
    with pytest.raises(ValueError, match=re.escape(message)):
        register_coco_folder(world.json, world.images)


def test_no_json_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text("{")
    with pytest.raises(ValueError, match="instances.json is no JSON file"):
        register_coco_folder(tmp_path / "instances.json", tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere.json not found; give --coco-json"):
        register_coco_folder(tmp_path / "nowhere.json", tmp_path)
