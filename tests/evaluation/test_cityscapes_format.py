"""The Cityscapes export: the official scripts find and read it and agree with our numbers."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import ModuleType
from typing import Any

from ptseg_d2.classes.streets import CATEGORIES, CLASS_NAMES, THING_IDS
from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.labels import Labels, read_labels
from ptseg_d2.evaluation.cityscapes_format import CityscapesWriter
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter
from ptseg_d2.evaluation.ground_truth import GroundTruth, ground_truth_panoptic
from ptseg_d2.evaluation.instance_ap import InstanceAP
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.evaluation.semantic_iou import ConfusionMatrix

import cv2
import numpy as np
import pytest
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as instance_script
from cityscapesscripts.evaluation import evalPanopticSemanticLabeling as panoptic_script
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as pixel_script
from PIL import Image
from references_evaluation import Ids, Segments, list_segments, random_labels, random_pair, write_cityscapes_entry

ROAD, PERSON, CAR = 0, 11, 13
NUM_IMAGES = 3
MIN_REGION_SIZE = 30


class Exported:
    """Random images in the Cityscapes layout, exported predictions for them, and our scores."""

    def __init__(self, folder: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.results, self.gt_folder = folder / "results", folder / "gtFine"
        self.gt_folder.mkdir()
        self.quality = PanopticQuality(CLASS_NAMES, THING_IDS)
        self.instances = InstanceAP(CLASS_NAMES, THING_IDS, MIN_REGION_SIZE)
        self.semantic = ConfusionMatrix(CLASS_NAMES)
        writer, truth_writer = CityscapesWriter(self.results), CocoPanopticWriter(folder, "gt")
        self.entries = []
        for index in range(NUM_IMAGES):
            name = f"city_000000_{index:06d}"
            entry = write_cityscapes_entry(self.gt_folder, name, *random_labels(rng))
            labels = read_labels(entry)
            truth = GroundTruth(labels.sem_seg.astype(np.uint8), *ground_truth_panoptic(labels))
            pred_ids, pred_segments = noisy(rng, truth)
            sem_seg = np.where(rng.random(truth.ids.shape) < 0.8, truth.sem_seg, rng.choice([ROAD, CAR, VOID]))
            self.quality.update(pred_ids, pred_segments, truth.ids, truth.segments)
            self.instances.update(pred_ids, pred_segments, truth.ids, truth.segments)
            self.semantic.update(sem_seg, truth.sem_seg)
            writer.add(name, entry["file_name"], pred_ids, pred_segments, sem_seg)
            truth_writer.add(name, entry["file_name"], truth.ids, truth.segments)
            self.entries.append(entry)
        writer.finish()
        self.gt_json = truth_writer.finish()


def noisy(rng: np.random.Generator, truth: GroundTruth) -> tuple[Ids, Segments]:
    """The truth moved by some pixels, with a few objects of another class, void and scores of many digits."""
    ids = np.roll(truth.ids, rng.integers(-2, 3, 2), axis=(0, 1)) * 3
    ids = np.where(rng.random(ids.shape) < 0.1, 0, ids).astype(np.int32)
    classes = {3 * s["id"]: s["category_id"] if rng.random() < 0.8 else CAR for s in truth.segments}
    return ids, list_segments(ids, classes, score={i: float(rng.random()) for i in classes})


def find_predictions(script: ModuleType, root: Path, truths: list[str]) -> list[str]:
    """The files that a script itself finds for the truths below a folder."""
    script.args.predictionPath, script.args.predictionWalk = str(root.absolute()), None
    if script is pixel_script:
        return [script.getPrediction(script.args, truth) for truth in truths]
    return [script.getPrediction(truth, script.args) for truth in truths]


@pytest.fixture(params=range(3))
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Exported:
    """Also prepares the scripts: no output, no files elsewhere, and what newer NumPy has lost."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    for script in (pixel_script, instance_script):
        for key in ("quiet", "JSONOutput", "predictionPath", "predictionWalk"):
            monkeypatch.setattr(script.args, key, key == "quiet")
    return Exported(tmp_path, request.param)


def test_pixel_level_script_gives_our_iou(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    args = pixel_script.args
    truths = [entry["label_file_name"] for entry in exported.entries]
    predictions = find_predictions(pixel_script, exported.results / "labelIds", truths)
    monkeypatch.setattr(args, "evalInstLevelScore", False)
    counts = pixel_script.generateMatrix(args)
    for prediction, truth in zip(predictions, truths):
        pixel_script.evaluatePair(prediction, truth, counts, {}, {}, args)
    ours = exported.semantic.compute()
    for category in CATEGORIES:
        theirs = pixel_script.getIouScoreForLabel(category.label_id, counts, args)
        expected = None if np.isnan(theirs) else pytest.approx(100 * theirs, abs=1e-9)
        assert ours["IoU"][category.name] == expected
    assert 0 < ours["mIoU"] < 100


def test_instance_level_script_gives_our_ap(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = instance_script.args
    monkeypatch.setattr(args, "gtInstancesFile", str(tmp_path / "gtInstances.json"))
    monkeypatch.setattr(args, "minRegionSizes", np.array([MIN_REGION_SIZE, 1000, 1000]))
    truths = [entry["instance_file_name"] for entry in exported.entries]
    predictions = find_predictions(instance_script, exported.results / "instances", truths)
    theirs = instance_script.evaluateImgLists(predictions, truths, args)["averages"]
    ours = exported.instances.compute()
    assert 0 < ours["AP"] < 100
    assert (ours["AP"], ours["AP50"]) == pytest.approx((100 * theirs["allAp"], 100 * theirs["allAp50%"]), abs=1e-9)
    for name, scores in theirs["classes"].items():
        expected = None if np.isnan(scores["ap"]) else pytest.approx(100 * scores["ap"], abs=1e-9)
        assert ours["per_class"][name]["AP"] == expected


def test_panoptic_script_gives_our_pq(exported: Exported, tmp_path: Path) -> None:
    files = (exported.gt_json, tmp_path / "gt", exported.results / "panoptic.json", exported.results / "panoptic")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = panoptic_script.evaluatePanoptic(*map(str, files), str(tmp_path / "results.json"))
    ours = exported.quality.compute()
    assert 0 < ours["PQ"] < 100
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        for key in ("pq", "sq", "rq"):
            assert ours[key.upper() + suffix] == pytest.approx(100 * theirs[group][key], abs=1e-9)


def read_back(results: Path, name: str) -> tuple[Ids, list[dict[str, Any]]]:
    """The panoptic map that the reader of gtFine makes of an exported image."""
    files = {kind: str(results / kind / f"{name}_{kind}.png") for kind in ("labelIds", "instanceIds")}
    return ground_truth_panoptic(
        read_labels(
            {
                "file_name": files["labelIds"],
                "label_format": "cityscapes",
                "label_file_name": files["labelIds"],
                "instance_file_name": files["instanceIds"],
            }
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_our_reader_of_gtfine_gives_the_panoptic_map_back(tmp_path: Path, seed: int) -> None:
    ids, segments, *_ = random_pair(np.random.default_rng(seed), [ROAD, 2, PERSON, CAR])
    # One segment per stuff class, as in every panoptic result: pieces of one class are one to the format.
    merged = np.copy(ids)
    for segment in segments:
        if segment["category_id"] not in THING_IDS:
            merged[ids == segment["id"]] = 1000 + segment["category_id"]
    classes = {s["id"]: s["category_id"] for s in segments} | {1000 + i: i for i in (ROAD, 2)}
    writer = CityscapesWriter(tmp_path / "results")
    writer.add("one", "one.png", merged, list_segments(merged, classes))
    back, back_segments = read_back(writer.finish(), "one")
    assert ((merged == 0) == (back == 0)).all()
    assert len(back_segments) == len(np.unique(merged[merged > 0]))
    for segment in back_segments:
        (segment_id,) = np.unique(merged[back == segment["id"]]).tolist()
        assert classes[segment_id] == segment["category_id"]
        assert (segment["iscrowd"], segment["area"]) == (0, (merged == segment_id).sum())


def test_a_ground_truth_with_groups_comes_back(tmp_path: Path) -> None:
    labels = Labels(np.array([[ROAD, CAR, CAR, CAR, VOID, PERSON]]), np.array([[0, 1, 2, -1, 0, 1]]))
    ids, segments = ground_truth_panoptic(labels)
    writer = CityscapesWriter(tmp_path / "results")
    writer.add("one", "one.png", ids, segments)
    back, back_segments = read_back(writer.finish(), "one")
    assert [(s["category_id"], s["iscrowd"]) for s in back_segments] == [
        *((ROAD, 0), (CAR, 1), (PERSON, 0), (CAR, 0), (CAR, 0))
    ]
    assert (back == [[7, 26002, 26003, 26, 0, 24001]]).all()  # our reader counts over all classes


def test_files_by_hand(tmp_path: Path) -> None:
    #               void, road, two cars, a person
    ids = np.array([[0, 9, 9], [4, 5, 70000]], dtype=np.int32)
    segments = list_segments(
        ids, {4: CAR, 5: CAR, 9: ROAD, 70000: PERSON}, score={4: 0.1 + 0.2, 5: 1.0, 9: 1.0, 70000: 0.5}
    )
    writer = CityscapesWriter(tmp_path / "results")
    writer.add("a/b", "/data/a/b.png", ids, segments)
    assert not (tmp_path / "results").exists()
    folder = writer.finish()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "results/instanceIds/a_b_instanceIds.png",
        "results/instances/a_b_pred.txt",
        "results/instances/masks/a_b_24000.png",
        "results/instances/masks/a_b_26000.png",
        "results/instances/masks/a_b_26001.png",
        "results/labelIds/a_b_labelIds.png",
        "results/panoptic.json",
        "results/panoptic/a_b.png",
    ]
    numbers = cv2.imread(str(folder / "instanceIds" / "a_b_instanceIds.png"), cv2.IMREAD_UNCHANGED)
    assert numbers.dtype == np.uint16
    assert numbers.tolist() == [[0, 7, 7], [26000, 26001, 24000]]
    label_ids = np.array(Image.open(folder / "labelIds" / "a_b_labelIds.png"))
    assert label_ids.dtype == np.uint8
    assert label_ids.tolist() == [[0, 7, 7], [26, 26, 24]]
    assert (folder / "instances" / "a_b_pred.txt").read_text().splitlines() == [
        "masks/a_b_26000.png 26 0.30000000000000004",
        "masks/a_b_26001.png 26 1.0",
        "masks/a_b_24000.png 24 0.5",
    ]
    mask = np.array(Image.open(folder / "instances" / "masks" / "a_b_26001.png"))
    assert mask.dtype == np.uint8 and mask.tolist() == [[0, 0, 0], [0, 255, 0]]


def test_an_image_without_segments(tmp_path: Path) -> None:
    writer = CityscapesWriter(tmp_path / "results")
    writer.add("one", "one.png", np.zeros((2, 2), np.int32), [])
    folder = writer.finish()
    assert (folder / "instances" / "one_pred.txt").read_text() == ""
    assert not np.array(Image.open(folder / "labelIds" / "one_labelIds.png")).any()


def test_an_interrupted_export_leaves_the_earlier_one(tmp_path: Path) -> None:
    ids = np.ones((2, 2), dtype=np.int32)
    segments = list_segments(ids, {1: CAR})

    def names() -> list[str]:
        return sorted(path.name for path in (tmp_path / "results").rglob("*.*"))

    for name, is_finished in (("first", True), ("second", False), ("third", True)):
        before = names()
        writer = CityscapesWriter(tmp_path / "results")
        writer.add(name, f"{name}.png", ids, segments)
        if is_finished:
            writer.finish()
            assert len(names()) == 6 and all(n.startswith(name) for n in names() if n != "panoptic.json")
        else:
            assert names() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_bad_input_is_refused(tmp_path: Path) -> None:
    ids = np.arange(1, 1002, dtype=np.int32)[None]
    cars = [{"id": i, "category_id": CAR} for i in range(1, 1002)]
    writer = CityscapesWriter(tmp_path / "results")
    with pytest.raises(ValueError, match="prediction for many.png: more than 1000 instances of category 13"):
        writer.add("many", "many.png", ids, cars)
    writer.add("enough", "enough.png", ids[:, :1000], cars[:1000])
    with pytest.raises(ValueError, match="'a b' has a space"):
        writer.add("a b", "a b.png", ids[:, :1], cars[:1])
    with pytest.raises(ValueError, match="already added"):
        writer.add("enough", "enough.png", ids[:, :1], cars[:1])
    with pytest.raises(ValueError, match="different segment ids"):
        writer.add("other", "other.png", ids[:, :1], [])
