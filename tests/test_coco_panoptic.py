"""The COCO panoptic export: panopticapi and Detectron2's own evaluator read it and agree with our PQ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.data.categories import CATEGORIES, CLASS_NAMES, THING_IDS
from ptseg_d2.data.datasets import panoptic_metadata
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter, category_entries
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.panoptic_ids import rgb_to_ids

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOPanopticEvaluator
from panopticapi.evaluation import pq_compute
from references_evaluation import Ids, Segments, list_segments, random_pair

Pair = tuple[Ids, Segments, Ids, Segments]
DATASET = "test_coco_panoptic_val"


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


@pytest.mark.parametrize("seed", range(3))
def test_panopticapi_gives_our_pq(tmp_path: Path, seed: int) -> None:
    ours = export(tmp_path, random_pairs(seed))
    theirs = pq_compute(*(str(tmp_path / name) for name in ("gt.json", "pred.json", "gt", "pred")))
    assert 0 < ours["PQ"] < 100
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        for key in ("pq", "sq", "rq"):
            assert ours[key.upper() + suffix] == pytest.approx(100 * theirs[group][key], abs=1e-9)
    for category in CATEGORIES:
        scores = ours["per_class"][category.name]
        for key in (
            "pq",
            "sq",
            "rq",
        ):  # panopticapi says 0 for a class that does not occur, and skips it in its means
            expected = 100 * theirs["per_class"][category.label_id][key]
            assert (scores[key.upper()] or 0) == pytest.approx(expected, abs=1e-9)


def test_detectron2_evaluator_gives_our_pq(tmp_path: Path) -> None:
    pairs = random_pairs(3)
    ours = export(tmp_path, pairs)
    MetadataCatalog.get(DATASET).set(
        **panoptic_metadata(), panoptic_json=str(tmp_path / "gt.json"), panoptic_root=str(tmp_path / "gt")
    )
    evaluator = COCOPanopticEvaluator(DATASET)
    evaluator.reset()
    for index, (pred_ids, pred_segments, _, _) in enumerate(pairs):
        segments = [{**s, "isthing": s["category_id"] in THING_IDS} for s in pred_segments]
        evaluator.process(
            [{"image_id": f"city/{index}", "file_name": f"{index}.jpg"}],
            [{"panoptic_seg": (torch.from_numpy(pred_ids), segments)}],
        )
    theirs = evaluator.evaluate()["panoptic_seg"]
    MetadataCatalog.remove(DATASET)
    for key in ("PQ", "SQ", "RQ", "PQ_th", "PQ_st"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-9)


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
    picture = cv2.imread(str(tmp_path / "export" / "pred" / "a_b.png"), cv2.IMREAD_UNCHANGED)
    assert rgb_to_ids(np.asarray(picture[..., ::-1], dtype=np.uint8)).tolist() == ids.tolist()
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == ["pred", "pred.json"]


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


def test_bad_input_is_refused(tmp_path: Path) -> None:
    ids = np.ones((2, 2), dtype=np.int32)
    segments = list_segments(ids, {1: 0})
    writer = CocoPanopticWriter(tmp_path, "pred")
    writer.add("one", "one.png", ids, segments)
    with pytest.raises(ValueError, match="one.png was already added"):
        writer.add("one", "one.png", ids, segments)
    with pytest.raises(ValueError, match="two.png hold different segment ids"):
        writer.add("two", "two.png", ids, [])
