"""The COCO panoptic export: panopticapi reads it and agrees with our PQ; pycocotools sees the same areas and boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CATEGORIES, CLASS_NAMES, THING_IDS
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter, category_entries
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.panoptic_ids import rgb_to_ids

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from panopticapi.evaluation import pq_compute
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from references_evaluation import Ids, Segments, list_segments, random_pair

Pair = tuple[Ids, Segments, Ids, Segments]
ROAD, CAR = 0, 13


def random_pairs(seed: int) -> list[Pair]:
    """Three images with void and crowds; most of the 19 classes occur nowhere."""
    rng = np.random.default_rng(seed)
    return [random_pair(rng, [0, 5, 10, 11, 13, 18]) for _ in range(3)]


def export(folder: Path, pairs: list[Pair]) -> dict[str, Any]:
    """Writes both sides; returns our own scores."""
    writers = {name: CocoPanopticWriter(folder, name) for name in ("pred", "gt")}
    quality = PanopticQuality(CLASS_NAMES, THING_IDS)
    for index, (pred_ids, pred_segments, gt_ids, gt_segments) in enumerate(pairs):
        quality.update(pred_ids, pred_segments, gt_ids, gt_segments)
        writers["pred"].add(f"city/{index}", f"/data/{index}.jpg", pred_ids, pred_segments)
        writers["gt"].add(f"city/{index}", f"/data/{index}.jpg", gt_ids, gt_segments)
    for writer in writers.values():
        writer.finish()
    return quality.compute()


def read_ids(file: Path) -> NDArray[np.int64]:
    return rgb_to_ids(np.asarray(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[..., ::-1], dtype=np.uint8))


def official_scores(folder: Path) -> dict[str, Any]:
    scores: dict[str, Any] = pq_compute(*(str(folder / name) for name in ("gt.json", "pred.json", "gt", "pred")))
    return scores


@pytest.mark.parametrize("seed", range(3))
def test_panopticapi_gives_our_pq(tmp_path: Path, seed: int) -> None:
    ours = export(tmp_path, random_pairs(seed))
    theirs = official_scores(tmp_path)
    assert 0 < ours["PQ"] < 100
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        for key in ("pq", "sq", "rq"):
            assert ours[key.upper() + suffix] == pytest.approx(100 * theirs[group][key], abs=1e-9)
    for category in CATEGORIES:
        scores = ours["per_class"][category.name]
        for key in ("pq", "sq", "rq"):
            # panopticapi says 0 for a class that does not occur, and skips it in its means
            expected = 100 * theirs["per_class"][category.label_id][key]
            assert (scores[key.upper()] or 0) == pytest.approx(expected, abs=1e-9)


def test_files_by_hand(tmp_path: Path) -> None:
    ids = np.array([[0, 300, 300], [70000, 300, 0]], dtype=np.int32)
    segments = list_segments(ids, {300: 13, 70000: 0}, score={300: 0.5, 70000: 1.0})
    writer = CocoPanopticWriter(tmp_path / "export", "pred")
    writer.add("a/b", "/data/city/b.jpg", ids, segments)
    assert not (tmp_path / "export" / "pred.json").exists()
    content = json.loads(writer.finish().read_text())
    assert content["images"] == [{"id": "a/b", "file_name": "b.jpg", "height": 2, "width": 3}]
    assert content["annotations"] == [
        {
            "image_id": "a/b",
            "file_name": "a_b.png",
            "segments_info": [
                {"id": 300, "category_id": 26, "area": 3, "bbox": [1, 0, 2, 2], "iscrowd": 0, "score": 0.5},
                {"id": 70000, "category_id": 7, "area": 1, "bbox": [0, 1, 1, 1], "iscrowd": 0, "score": 1.0},
            ],
        }
    ]
    assert content["categories"] == category_entries()
    assert read_ids(tmp_path / "export" / "pred" / "a_b.png").tolist() == ids.tolist()
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == ["pred", "pred.json"]


@pytest.mark.parametrize("name", ["pred", "gt"])
def test_pycocotools_reads_images_categories_and_segments(tmp_path: Path, name: str) -> None:
    export(tmp_path, random_pairs(4))
    coco = COCO()
    coco.dataset = json.loads((tmp_path / f"{name}.json").read_text())
    # Its annotations are single segments, with ids unique in the file.
    coco.dataset["annotations"] = [
        {**segment, "id": f"{annotation['file_name']} {segment['id']}", "image_id": annotation["image_id"]}
        for annotation in coco.dataset["annotations"]
        for segment in annotation["segments_info"]
    ]
    coco.createIndex()
    coco.info()
    assert {category["name"] for category in coco.loadCats(coco.getCatIds())} == set(CLASS_NAMES)
    assert coco.getImgIds() == ["city/0", "city/1", "city/2"]
    assert len(coco.anns) > len(coco.getAnnIds(catIds=[26])) > 0
    for annotation in coco.anns.values():
        picture, segment_id = annotation["id"].split()
        ids = read_ids(tmp_path / name / picture)
        image = coco.imgs[annotation["image_id"]]
        assert ids.shape == (image["height"], image["width"])
        mask = coco_mask.encode(np.asfortranarray(ids == int(segment_id), dtype=np.uint8))
        assert annotation["area"] == coco_mask.area(mask)
        assert annotation["bbox"] == coco_mask.toBbox(mask).tolist()


def test_void_is_no_road(tmp_path: Path) -> None:
    # Road covers 10 pixels: 6 are predicted, 4 are void, so IoU .6; void as road would make it 1. The car is right.
    gt = np.array([[7] * 10 + [26001] * 2], dtype=np.int32)
    pred = np.array([[1] * 6 + [0] * 4 + [2] * 2], dtype=np.int32)
    gt_segments = list_segments(gt, {7: ROAD, 26001: CAR})
    ours = export(tmp_path, [(pred, list_segments(pred, {1: ROAD, 2: CAR}), gt, gt_segments)])
    assert (ours["PQ_st"], ours["PQ_th"]) == pytest.approx((60, 100))
    assert 100 * official_scores(tmp_path)["Stuff"]["pq"] == pytest.approx(60)


def test_an_image_without_segments(tmp_path: Path) -> None:
    nothing, street = np.zeros((2, 3), dtype=np.int32), np.array([[7, 7, 7], [26001] * 3], dtype=np.int32)
    segments = list_segments(street, {7: ROAD, 26001: CAR})
    ours = export(tmp_path, [(nothing, [], street, segments), (street, segments, nothing, []), (street, segments) * 2])
    # A car and a road are missed, two lie on void and do not count, two are found: RQ = 1 / (1 + 1 / 2).
    assert ours["RQ"] == pytest.approx(100 / 1.5)
    assert 100 * official_scores(tmp_path)["All"]["rq"] == pytest.approx(100 / 1.5)
    assert json.loads((tmp_path / "pred.json").read_text())["annotations"][0]["segments_info"] == []


def test_a_crowd_is_marked_in_the_ground_truth(tmp_path: Path) -> None:
    # Of two predicted cars one is mostly on a group of cars: it counts neither for nor against.
    gt = np.array([[26, 26, 26, 7, 7, 26001, 26001]], dtype=np.int32)
    pred = np.array([[1, 1, 1, 2, 2, 3, 3]], dtype=np.int32)
    segments = list_segments(gt, {26: CAR, 7: ROAD, 26001: CAR}, iscrowd={26: 1, 7: 0, 26001: 0})
    ours = export(tmp_path, [(pred, list_segments(pred, {1: CAR, 2: ROAD, 3: CAR}), gt, segments)])
    assert ours["PQ"] == 100 * official_scores(tmp_path)["All"]["pq"] == 100
    exported = json.loads((tmp_path / "gt.json").read_text())["annotations"][0]["segments_info"]
    assert {segment["id"]: segment["iscrowd"] for segment in exported} == {7: 0, 26: 1, 26001: 0}


def test_categories() -> None:
    entries = {entry["name"]: entry for entry in category_entries()}
    assert len(entries) == 19
    assert entries["car"] == {
        "id": 26, "name": "car", "supercategory": "vehicle", "isthing": 1, "color": [0, 0, 142]
    }  # fmt: skip
    assert entries["sky"]["supercategory"] == "sky" and entries["sky"]["isthing"] == 0


def test_an_interrupted_export_leaves_the_earlier_one(tmp_path: Path) -> None:
    ids = np.ones((2, 2), dtype=np.int32)
    writer = CocoPanopticWriter(tmp_path, "pred")
    writer.add("first", "first.png", ids, list_segments(ids, {1: 0}))
    before = writer.finish().read_text()
    CocoPanopticWriter(tmp_path, "pred").add("second", "second.png", ids, list_segments(ids, {1: 0}))  # no finish
    assert (tmp_path / "pred.json").read_text() == before
    assert [path.name for path in (tmp_path / "pred").iterdir()] == ["first.png"]
    writer = CocoPanopticWriter(tmp_path, "pred")
    writer.add("third", "third.png", ids, list_segments(ids, {1: 0}))
    writer.finish()
    assert [path.name for path in (tmp_path / "pred").iterdir()] == ["third.png"]


def test_numbers_as_image_ids_keep_the_names_of_the_photographs(tmp_path: Path) -> None:
    ids = np.ones((2, 2), dtype=np.int32)
    writer = CocoPanopticWriter(tmp_path, "pred")
    writer.add(139, "/data/000000000139.jpg", ids, list_segments(ids, {1: 0}))
    content = json.loads(writer.finish().read_text())
    assert content["images"][0]["id"] == content["annotations"][0]["image_id"] == 139
    assert content["annotations"][0]["file_name"] == "000000000139.png"


def test_two_processes_write_one_export(tmp_path: Path) -> None:
    ids = np.ones((2, 2), dtype=np.int32)
    first, second = CocoPanopticWriter(tmp_path, "pred"), CocoPanopticWriter(tmp_path, "pred", joining=True)
    first.add("one", "one.png", ids, list_segments(ids, {1: 0}))
    second.add("two", "two.png", ids, list_segments(ids, {1: 0}))
    first.merge(second)
    content = json.loads(first.finish().read_text())
    assert [image["id"] for image in content["images"]] == ["one", "two"]
    assert sorted(path.name for path in (tmp_path / "pred").iterdir()) == ["one.png", "two.png"]
    with pytest.raises(ValueError, match="two.png was already added"):
        first.merge(second)


@pytest.mark.parametrize(
    ("image_id", "ids", "segments", "message"),
    [
        ("one", [[1]], [{"id": 1, "category_id": 0}], "image one of new.png was already added"),
        ("city_1", [[1]], [{"id": 1, "category_id": 0}], "city_1.png is the picture of image city/1"),
        ("new", [[1]], [], "new.png: .*different segment ids, such as 1"),
        ("new", [[0]], [{"id": 1, "category_id": 0}], "different segment ids, such as 1"),
        ("new", [[0]], [{"id": 0, "category_id": 0}], "different segment ids, such as 0"),
        ("new", [[1]], [{"id": 1, "category_id": 0}] * 2, "different segment ids, such as 1"),
        ("new", [[2**24]], [{"id": 2**24, "category_id": 0}], "new.png: segment ids must be in .*16777216"),
        ("new", [[-1]], [{"id": -1, "category_id": 0}], "new.png: segment ids must be in"),
        ("new", [[1]], [{"id": 1, "category_id": 255}], "category_id 255; expected a train id in 0..18"),
        ("new", [[1]], [{"id": 1, "category_id": -1}], "category_id -1"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, image_id: str, ids: list[list[int]], segments: list[dict[str, Any]], message: str
) -> None:
    writer = CocoPanopticWriter(tmp_path, "pred")
    for known in ("one", "city/1"):
        writer.add(known, "known.png", np.array([[2**24 - 1]]), [{"id": 2**24 - 1, "category_id": 0}])
    with pytest.raises(ValueError, match=message):
        writer.add(image_id, "new.png", np.array(ids), segments)
    content = json.loads(writer.finish().read_text())  # what was refused leaves nothing
    assert [image["id"] for image in content["images"]] == ["one", "city/1"]
    assert len(list((tmp_path / "pred").iterdir())) == 2
