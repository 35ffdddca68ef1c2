"""One set of predictions under panopticapi, the three Cityscapes scripts and our evaluator: the same numbers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CATEGORIES, CLASS_NAMES
from ptseg_d2.data.datasets import panoptic_metadata
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.panoptic_ids import ids_to_rgb

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from official_cityscapes import (
    LABEL_IDS,
    official_instance_scores,
    official_panoptic_scores,
    official_pixel_scores,
    write_instance_predictions,
)
from panopticapi.evaluation import pq_compute_single_core
from PIL import Image
from references_evaluation import list_segments, random_labels, random_pair, write_cityscapes_entry

DATASET = "test_official_parity_val"
MIN_REGION_SIZE = 30
ROAD, CAR = 0, 13
CARAVAN_LABEL = 29
GROUPS = (("All", ""), ("Things", "_th"), ("Stuff", "_st"))


@pytest.mark.parametrize("seed", range(8))
def test_panopticapi(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    quality, annotations = PanopticQuality([str(i) for i in range(8)], range(4, 8)), []
    pairs = [random_pair(rng, [0, 1, 2, 4, 5, 6], num_ids=4 + 3 * i, block=4 + 2 * i) for i in range(4)]
    for index, (pred_ids, pred_segments, gt_ids, gt_segments) in enumerate(pairs):
        quality.update(pred_ids, pred_segments, gt_ids, gt_segments)
        for name, ids in (("pred", pred_ids), ("gt", gt_ids)):
            Image.fromarray(ids_to_rgb(ids)).save(tmp_path / f"{name}{index}.png")
        sides = (("gt", gt_segments), ("pred", pred_segments))
        annotations.append(
            tuple({"image_id": index, "file_name": f"{n}{index}.png", "segments_info": s} for n, s in sides)
        )
    categories = {i: {"id": i, "isthing": int(i >= 4)} for i in range(8)}
    with contextlib.redirect_stdout(io.StringIO()):
        official = pq_compute_single_core(0, annotations, str(tmp_path), str(tmp_path), categories)
    ours, counts = quality.compute(), quality.counts()
    for (_, suffix), is_thing in zip(GROUPS, (None, True, False)):
        theirs, per_class = official.pq_average(categories, isthing=is_thing)
        assert [ours[key.upper() + suffix] for key in ("pq", "sq", "rq")] == pytest.approx(
            [100 * theirs[key] for key in ("pq", "sq", "rq")], abs=1e-9
        )
        for i, scores in per_class.items():
            for key, value in scores.items():  # they say 0 for a class that does not occur
                assert (ours["per_class"][str(i)][key.upper()] or 0) == pytest.approx(100 * value, abs=1e-9)
    # Everything that the rules treat on its own is there: void and crowds, hits, misses, wrong and absent classes.
    assert counts.true_positives.sum() and counts.false_negatives.sum() and counts.false_positives.sum()
    assert not counts.occurs[3] and not counts.occurs[7]
    assert any((gt_ids == 0).any() for *_, gt_ids, _ in pairs) and any((ids == 0).any() for ids, *_ in pairs)
    assert any(segment["iscrowd"] for *_, gt_segments in pairs for segment in gt_segments)


class CityscapesWorld:
    """Three made-up images in the layout of gtFine, predictions of all kinds, and what we make of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.folder, self.gt_folder = folder, folder / "gtFine"
        labels = self.gt_folder / "val" / "city"
        labels.mkdir(parents=True)
        names = [f"city_000000_{i:06d}" for i in range(3)]
        self.entries = [write_cityscapes_entry(labels, name, *random_labels(rng)) for name in names]
        outputs = [self.output(rng, entry) for entry in self.entries]
        self.write(outputs)
        evaluator = PanopticEvaluator(DATASET, min_region_size=MIN_REGION_SIZE)
        evaluator.process(self.entries, outputs)
        results = evaluator.evaluate()
        assert results is not None
        self.results = results

    def output(self, rng: np.random.Generator, entry: dict[str, str]) -> dict[str, Any]:
        """The truth moved by some pixels, with another class for some segments and noise; scores often equal."""
        truth = GroundTruthCache().read(entry)
        ids = np.roll(truth.ids, rng.integers(-2, 3, 2), axis=(0, 1))
        ids = np.where(rng.random(ids.shape) < 0.1, 0, ids).astype(np.int32)
        classes = {s["id"]: s["category_id"] if rng.random() < 0.8 else CAR for s in truth.segments}
        segments = list_segments(ids, classes, score={i: round(float(rng.random()), 1) for i in classes})
        known = np.where(truth.sem_seg == 255, ROAD, truth.sem_seg).astype(np.int64)
        logits = torch.nn.functional.one_hot(torch.from_numpy(known), 19).permute(2, 0, 1)
        return {
            "panoptic_seg": (torch.from_numpy(ids), segments),
            "sem_seg": logits + torch.from_numpy(rng.random((19, *ids.shape))) * 1.5,
        }

    def write(self, outputs: list[dict[str, Any]]) -> None:
        """The predictions as each script reads them."""
        writer = CocoPanopticWriter(self.folder, "pred")
        self.masks, self.pictures = [], []
        for entry, output in zip(self.entries, outputs):
            ids, segments = output["panoptic_seg"]
            writer.add(entry["image_id"], entry["file_name"], ids.numpy(), segments)
            self.masks.append(write_instance_predictions(self.folder, entry["image_id"], ids.numpy(), segments))
            self.pictures.append(str(self.folder / f"{entry['image_id']}_classes.png"))
            cv2.imwrite(self.pictures[-1], np.array(LABEL_IDS, np.uint8)[output["sem_seg"].argmax(0).numpy()])
        writer.finish()


@pytest.fixture(params=range(3))
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CityscapesWorld]:
    MetadataCatalog.get(DATASET).set(**panoptic_metadata())
    yield CityscapesWorld(tmp_path, request.param)
    MetadataCatalog.remove(DATASET)


def percent(value: float) -> Any:
    """What we report for a fraction of a script: None for NaN."""
    return None if np.isnan(value) else pytest.approx(100 * value, abs=1e-6)


def test_cityscapes_panoptic_script(world: CityscapesWorld) -> None:
    theirs = official_panoptic_scores(world.gt_folder, world.folder / "pred.json", world.folder / "pred")
    ours = world.results["panoptic"]
    assert 0 < ours["PQ"] < 100
    for group, suffix in GROUPS:
        assert [ours[key + suffix] for key in ("PQ", "SQ", "RQ")] == [
            percent(theirs[group][key]) for key in ("pq", "sq", "rq")
        ]
    for category in CATEGORIES:
        expected = theirs["per_class"][category.label_id]
        assert [ours["per_class"][category.name][key] or 0 for key in ("PQ", "SQ", "RQ")] == [
            percent(expected[key]) for key in ("pq", "sq", "rq")
        ]


def test_cityscapes_instance_script(world: CityscapesWorld) -> None:
    truths = [entry["instance_file_name"] for entry in world.entries]
    theirs = official_instance_scores(world.folder, world.masks, truths, MIN_REGION_SIZE)
    ours = world.results["instance"]
    assert 0 < ours["AP"] < 100
    assert [ours["AP"], ours["AP50"]] == [percent(theirs["allAp"]), percent(theirs["allAp50%"])]
    for name, scores in theirs["classes"].items():
        row = ours["per_class"][name]
        assert [row["AP"], row["AP50"]] == [percent(scores["ap"]), percent(scores["ap50%"])]


def test_cityscapes_pixel_script(world: CityscapesWorld) -> None:
    truths = [entry["label_file_name"] for entry in world.entries]
    theirs = official_pixel_scores(world.pictures, truths)
    ours = world.results["semantic"]
    assert 0 < ours["mIoU"] < 100
    assert ours["mIoU"] == percent(theirs["averageScoreClasses"])
    for name in CLASS_NAMES:
        assert ours["IoU"][name] == percent(theirs["classScores"][name])


def test_instance_script_counts_predictions_on_caravans(tmp_path: Path) -> None:
    """The one difference, see instance_ap.py: a caravan is void for us and for PQ, a false positive for the script."""
    instance_ids = np.zeros((4, 20), np.uint16)
    instance_ids[:, :8], instance_ids[:, 10:] = 26001, 1000 * CARAVAN_LABEL
    label_ids = instance_ids // 1000
    files = {key: str(tmp_path / f"a_b_c_gtFine_{key}.png") for key in ("labelIds", "instanceIds", "image")}
    cv2.imwrite(files["image"], np.zeros((4, 20, 3), np.uint8))
    cv2.imwrite(files["instanceIds"], instance_ids)
    cv2.imwrite(files["labelIds"], label_ids.astype(np.uint8))
    pred_ids = np.where(label_ids == 26, 1, np.where(label_ids == CARAVAN_LABEL, 2, 0)).astype(np.int32)
    segments = list_segments(pred_ids, {1: CAR, 2: CAR}, score={1: 0.5, 2: 0.9})
    masks = write_instance_predictions(tmp_path, "a", pred_ids, segments)
    theirs = official_instance_scores(tmp_path, [masks], [files["instanceIds"]], min_region_size=0)

    MetadataCatalog.get(DATASET).set(**panoptic_metadata())
    evaluator = PanopticEvaluator(DATASET, min_region_size=0)
    entry = {
        "label_file_name": files["labelIds"],
        "instance_file_name": files["instanceIds"],
        "file_name": files["image"],
    }
    evaluator.process(
        [{**entry, "label_format": "cityscapes"}], [{"panoptic_seg": (torch.from_numpy(pred_ids), segments)}]
    )
    results = evaluator.evaluate()
    MetadataCatalog.remove(DATASET)
    assert results is not None
    assert results["instance"]["AP50"] == results["panoptic"]["PQ"] == 100
    assert theirs["classes"]["car"]["ap50%"] == pytest.approx((0 + 1 / 2) / 2)  # the better score is the wrong one
