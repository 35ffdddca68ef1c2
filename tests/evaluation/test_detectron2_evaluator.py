"""Detectron2's own evaluators and loaders on our outputs, data sets and exports: they agree with our numbers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CATEGORIES, CLASS_NAMES, THING_IDS
from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.datasets import panoptic_metadata
from ptseg_d2.data.datasets.exported import register_exported_panoptic
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.results.export import PanopticExport

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
from detectron2.data.datasets.cityscapes_panoptic import load_cityscapes_panoptic
from detectron2.data.datasets.coco_panoptic import load_coco_panoptic_json, register_coco_panoptic
from detectron2.evaluation import CityscapesSemSegEvaluator, COCOPanopticEvaluator, inference_on_dataset
from references_evaluation import list_segments

VAL = "miniscapes_cityscapes_labeled_val"
EXPORTED = "test_detectron2_evaluator_val"
KEYS = [f"{key}{group}" for group in ("", "_th", "_st") for key in ("PQ", "SQ", "RQ")]
ROAD, CAR = 0, 13


@pytest.fixture(autouse=True)
def unregister() -> Iterator[None]:
    yield
    if EXPORTED in DatasetCatalog.list():
        DatasetCatalog.remove(EXPORTED)
    if EXPORTED in MetadataCatalog.list():
        MetadataCatalog.remove(EXPORTED)
    for key in ("panoptic_json", "panoptic_root", "gt_dir"):
        vars(MetadataCatalog.get(VAL)).pop(key, None)


class NoisyTruth(torch.nn.Module):
    """Predicts what the labels say, moved by some pixels, with void and wrong classes; the same for the same image."""

    def __init__(self) -> None:
        super().__init__()
        self.ground_truth = GroundTruthCache()
        self.labelled = {item["image_id"]: item for item in DatasetCatalog.get(VAL)}

    def forward(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [self.predict(item["image_id"]) for item in batch]

    def predict(self, image_id: str) -> dict[str, Any]:
        truth = self.ground_truth.read(self.labelled[image_id])
        rng = np.random.default_rng(sum(image_id.encode()))
        ids = np.roll(truth.ids, (0, 1), axis=(0, 1)) * 3
        ids[:, 60:64] = 0
        listed = [s for s in truth.segments if (ids == 3 * s["id"]).any()]
        classes = {3 * s["id"]: s["category_id"] if rng.random() < 0.9 else CAR for s in listed}
        segments = list_segments(ids, classes, isthing={i: c in THING_IDS for i, c in classes.items()})
        sem_seg = np.where(truth.sem_seg == VOID, ROAD, np.roll(truth.sem_seg, 2, axis=1) % len(CLASS_NAMES))
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(sem_seg.astype(np.int64)), len(CLASS_NAMES))
        return {"panoptic_seg": (torch.from_numpy(ids), segments), "sem_seg": one_hot.permute(2, 0, 1).float()}


def loader(name: str) -> Any:
    return build_detection_test_loader(DatasetCatalog.get(name), mapper=TestMapper(), num_workers=0)


@pytest.fixture
def exported(world: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Folder of an export of the validation scenes, and our scores of the same predictions."""
    ours = PanopticEvaluator(VAL)
    inference_on_dataset(NoisyTruth(), loader(VAL), [PanopticExport(coco=tmp_path / "export"), ours])
    scores = ours.evaluate()
    assert scores is not None
    assert all(0 < scores["panoptic"][key] < 100 for key in KEYS)
    return tmp_path / "export", scores


def test_an_exported_folder_is_a_data_set_for_its_panoptic_evaluator(
    exported: tuple[Path, dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    folder, ours = exported
    register_exported_panoptic(EXPORTED, folder, world / "cityscapes" / "leftImg8bit")
    evaluator = COCOPanopticEvaluator(EXPORTED, str(tmp_path / "theirs"))
    theirs = inference_on_dataset(NoisyTruth(), loader(EXPORTED), evaluator)["panoptic_seg"]
    assert {key: theirs[key] for key in KEYS} == pytest.approx({key: ours["panoptic"][key] for key in KEYS}, abs=1e-9)
    # What it writes itself is what we have exported, without areas, boxes and scores.
    written = json.loads((tmp_path / "theirs" / "predictions.json").read_text())["annotations"]
    for mine, other in zip(json.loads((folder / "pred.json").read_text())["annotations"], written):
        assert mine["image_id"] == other["image_id"]
        assert [(s["id"], s["category_id"], s["area"]) for s in mine["segments_info"]] == [
            (s["id"], s["category_id"], s["area"]) for s in other["segments_info"]
        ]


def test_our_own_data_set_with_two_paths_serves_its_panoptic_evaluator(exported: tuple[Path, dict[str, Any]]) -> None:
    folder, ours = exported
    MetadataCatalog.get(VAL).set(panoptic_json=str(folder / "gt.json"), panoptic_root=str(folder / "gt"))
    theirs = inference_on_dataset(NoisyTruth(), loader(VAL), COCOPanopticEvaluator(VAL))["panoptic_seg"]
    assert {key: theirs[key] for key in KEYS} == pytest.approx({key: ours["panoptic"][key] for key in KEYS}, abs=1e-9)


def test_our_own_data_set_with_the_label_folder_serves_its_semantic_evaluator(
    exported: tuple[Path, dict[str, Any]], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # gone from newer NumPy
    MetadataCatalog.get(VAL).set(gt_dir=str(world / "cityscapes" / "gtFine" / "val"))
    theirs = inference_on_dataset(NoisyTruth(), loader(VAL), CityscapesSemSegEvaluator(VAL))["sem_seg"]
    assert theirs["IoU"] == pytest.approx(exported[1]["semantic"]["mIoU"], abs=1e-9)


def test_void_is_no_road_for_its_panoptic_evaluator(tmp_path: Path) -> None:
    # Road covers 10 pixels: 6 are predicted, 4 are void, so IoU .6; void as road would make it 1. The car is right.
    gt = np.array([[7] * 10 + [26001] * 2], dtype=np.int32)
    pred = np.array([[1] * 6 + [0] * 4 + [2] * 2], dtype=np.int32)
    writer = CocoPanopticWriter(tmp_path, "gt")
    writer.add("one", "one.png", gt, list_segments(gt, {7: ROAD, 26001: CAR}))
    writer.finish()
    register_exported_panoptic(EXPORTED, tmp_path)  # without images: enough to evaluate
    evaluator = COCOPanopticEvaluator(EXPORTED)
    evaluator.reset()
    segments = list_segments(pred, {1: ROAD, 2: CAR}, isthing={1: False, 2: True})
    entry = {"image_id": "one", "file_name": "one.png"}
    evaluator.process([entry], [{"panoptic_seg": (torch.from_numpy(pred), segments)}])
    theirs = evaluator.evaluate()["panoptic_seg"]
    assert (theirs["PQ_st"], theirs["PQ_th"]) == pytest.approx((60, 100))


def test_entries_of_a_registered_export(exported: tuple[Path, dict[str, Any]], world: Path) -> None:
    register_exported_panoptic(EXPORTED, exported[0], world / "cityscapes" / "leftImg8bit")
    entries, labelled = DatasetCatalog.get(EXPORTED), DatasetCatalog.get(VAL)
    cache = GroundTruthCache()
    assert len(entries) == len(labelled) == 3
    for entry, item in zip(entries, labelled):
        truth = cache.read(item)
        assert Path(entry["file_name"]) == Path(item["file_name"])
        assert entry["image_id"] == item["image_id"]
        assert (entry["height"], entry["width"]) == truth.ids.shape
        assert Path(entry["pan_seg_file_name"]).is_file()
        for ours, theirs in zip(truth.segments, entry["segments_info"]):
            assert {key: theirs[key] for key in ours} == ours
    assert MetadataCatalog.get(EXPORTED).evaluator_type == "coco_panoptic_seg"


def test_detectron2_cityscapes_loader_reads_the_export(exported: tuple[Path, dict[str, Any]], world: Path) -> None:
    images = world / "cityscapes" / "leftImg8bit" / "val"
    for item in DatasetCatalog.get(VAL):  # it insists on train ids, which a script of Cityscapes makes
        stem = item["file_name"].replace("leftImg8bit", "gtFine").split(".")[0]
        Path(stem + "_labelTrainIds.png").touch()
    folder = exported[0]
    entries = load_cityscapes_panoptic(
        str(images), str(folder / "gt"), str(folder / "gt.json"), copy.deepcopy(panoptic_metadata())
    )
    register_exported_panoptic(EXPORTED, folder, images)
    for theirs, ours in zip(entries, DatasetCatalog.get(EXPORTED)):
        assert theirs["pan_seg_file_name"] == ours["pan_seg_file_name"]
        assert theirs["image_id"] == ours["image_id"]
        without_kind = [{k: v for k, v in s.items() if k != "isthing"} for s in ours["segments_info"]]
        assert theirs["segments_info"] == without_kind


def test_detectron2_coco_loader_reads_an_export_of_coco_like_images(tmp_path: Path) -> None:
    ids = np.array([[0, 5, 5], [6, 6, 6]], dtype=np.int32)
    segments = list_segments(ids, {5: CAR, 6: ROAD}, iscrowd={5: 1, 6: 0})
    photograph = tmp_path / "images" / "000000000139.jpg"
    photograph.parent.mkdir()
    cv2.imwrite(str(photograph), np.zeros((2, 3, 3), np.uint8))
    writer = CocoPanopticWriter(tmp_path, "gt")
    writer.add(139, str(photograph), ids, segments)
    json_file = writer.finish()
    metadata = panoptic_metadata()
    (entry,) = load_coco_panoptic_json(str(json_file), str(photograph.parent), str(tmp_path / "gt"), metadata)
    register_exported_panoptic(EXPORTED, tmp_path, photograph.parent)
    (ours,) = DatasetCatalog.get(EXPORTED)
    assert entry == {key: ours[key] for key in entry}
    assert [(s["category_id"], s["isthing"], s["iscrowd"]) for s in entry["segments_info"]] == [
        (CAR, True, 1),
        (ROAD, False, 0),
    ]


def test_detectron2_registration_of_an_export(tmp_path: Path) -> None:
    ids = np.full((2, 2), 26000, dtype=np.int32)
    photograph = tmp_path / "images" / "7.jpg"
    photograph.parent.mkdir()
    cv2.imwrite(str(photograph), np.zeros((2, 2, 3), np.uint8))
    writer = CocoPanopticWriter(tmp_path, "gt")
    writer.add(7, str(photograph), ids, list_segments(ids, {26000: CAR}))
    json_file = writer.finish()
    names = ("thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id")
    metadata = {key: panoptic_metadata()[key] for key in names}
    paths = (str(photograph.parent), str(tmp_path / "gt"), str(json_file))
    register_coco_panoptic(EXPORTED, metadata, *paths)
    assert DatasetCatalog.get(EXPORTED)[0]["segments_info"][0]["category_id"] == CAR


def test_bad_exports_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gt.json not found. Create it with tools/export_coco_panoptic.py"):
        register_exported_panoptic(EXPORTED, tmp_path)
    assert EXPORTED not in DatasetCatalog.list()
    ids = np.ones((2, 2), dtype=np.int32)
    writer = CocoPanopticWriter(tmp_path, "gt")
    writer.add("one", "one.png", ids, list_segments(ids, {1: ROAD}))
    writer.finish()
    register_exported_panoptic(EXPORTED, tmp_path)
    with pytest.raises(ValueError, match="register it with the image_root"):
        DatasetCatalog.get(EXPORTED)
    for cities, error, message in (((), FileNotFoundError, r"one.png \(1 of 1 photographs\) not found in"),
                                   (("a", "b"), ValueError, "have the same name")):  # fmt: skip
        images = tmp_path / f"images{len(cities)}"
        for city in cities:
            (images / city).mkdir(parents=True)
            (images / city / "one.png").touch()
        DatasetCatalog.remove(EXPORTED)
        MetadataCatalog.remove(EXPORTED)
        register_exported_panoptic(EXPORTED, tmp_path, images)
        with pytest.raises(error, match=message):
            DatasetCatalog.get(EXPORTED)


def test_the_metadata_names_every_class_once() -> None:
    metadata = panoptic_metadata()
    things, stuff = (metadata[f"{kind}_dataset_id_to_contiguous_id"] for kind in ("thing", "stuff"))
    assert {**things, **stuff} == {c.label_id: c.train_id for c in CATEGORIES} and not things.keys() & stuff.keys()
