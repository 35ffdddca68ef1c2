"""The Detectron2 evaluator: what it passes on, and what it refuses."""

from __future__ import annotations

import dataclasses
import json

from ptseg_d2.classes.streets import CLASS_NAMES, THING_IDS
from ptseg_d2.classes.tables import VOID
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.evaluation.instance_ap import InstanceAP
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.evaluation.semantic_iou import ConfusionMatrix

import numpy as np
import pytest
import torch
from references_evaluation import (
    DATASET,
    perfect_output,
    random_output,
    scores_of,
)


def test_the_ground_truth_scores_100(entries: list[dict[str, str]]) -> None:
    evaluator = PanopticEvaluator(DATASET, min_region_size=0)
    evaluator.process(entries, [perfect_output(entry) for entry in entries])
    results = scores_of(evaluator)
    assert [results["panoptic"][key] for key in ("PQ", "SQ", "RQ", "PQ_th", "PQ_st", "PQ_plus", "PQ16")] == [100] * 7
    assert [results["semantic"][key] for key in ("mIoU", "mIoU16", "mIoU13")] == [100] * 3
    assert [results["instance"][key] for key in ("AP", "AP50", "precision50", "recall50")] == pytest.approx([100] * 4)
    assert results["panoptic"]["per_class"]["train"]["PQ"] is None
    assert results["semantic"]["IoU"]["train"] is None
    assert set(results["instance"]["per_class"]) == {CLASS_NAMES[i] for i in THING_IDS}
    json.dumps(results, allow_nan=False)


def test_same_as_the_accumulators(entries: list[dict[str, str]]) -> None:
    evaluator = PanopticEvaluator(DATASET, min_region_size=20)
    quality, instances = PanopticQuality(CLASS_NAMES, THING_IDS), InstanceAP(CLASS_NAMES, THING_IDS, 20)
    cache = GroundTruthCache()
    for seed, entry in enumerate(entries):
        output = random_output(seed)
        evaluator.process([entry], [output])
        truth = cache.read(entry)
        for scores in (quality, instances):
            scores.update(output["panoptic_seg"][0].numpy(), output["panoptic_seg"][1], truth.ids, truth.segments)
    results = scores_of(evaluator)
    expected = quality.compute()
    assert {key: results["panoptic"][key] for key in expected} == expected
    expected = instances.compute()
    assert {key: results["instance"][key] for key in expected} == expected


@pytest.mark.parametrize(("key", "sections"), [("sem_seg", {"semantic"}), ("panoptic_seg", {"panoptic", "instance"})])
def test_only_what_is_there(entries: list[dict[str, str]], key: str, sections: set[str]) -> None:
    evaluator = PanopticEvaluator(DATASET)
    evaluator.process(entries, [{key: random_output(seed)[key]} for seed in range(4)])
    assert set(scores_of(evaluator)) == sections
    evaluator.reset()
    assert evaluator.evaluate() == {}


def test_a_missing_prediction_is_refused(entries: list[dict[str, str]]) -> None:
    evaluator = PanopticEvaluator(DATASET)
    outputs = [random_output(seed) for seed in range(4)]
    del outputs[2]["sem_seg"]
    evaluator.process(entries, outputs)
    with pytest.raises(ValueError, match="sem_seg is in 3 of 4 outputs"):
        evaluator.evaluate()


@pytest.mark.parametrize("key", ["sem_seg", "panoptic_seg"])
def test_other_size_names_the_file(entries: list[dict[str, str]], key: str) -> None:
    output = {"sem_seg": torch.zeros(19, 4, 5), "panoptic_seg": (torch.zeros(4, 5, dtype=torch.int32), [])}
    with pytest.raises(ValueError, match="image0_leftImg8bit.png: .*one size"):
        PanopticEvaluator(DATASET).process(entries[:1], [{key: output[key]}])


def test_other_number_of_classes_is_refused(entries: list[dict[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"sem_seg must be \(19, H, W\), got \(16, 24, 40\)"):
        PanopticEvaluator(DATASET).process(entries[:1], [{"sem_seg": torch.zeros(16, 24, 40)}])


def test_another_prediction_of_the_same_image_is_refused(entries: list[dict[str, str]]) -> None:
    evaluator = PanopticEvaluator(DATASET)
    evaluator.process(entries[:1], [random_output(0)])
    with pytest.raises(ValueError, match="image0_leftImg8bit.png: .*added twice"):
        evaluator.process(entries[:1], [random_output(1)])


def test_sixteen_way_means(entries: list[dict[str, str]]) -> None:
    # Terrain is predicted on what is road: an error of the 19-way prediction, not of the 16-way one, whose second
    # best is road. Where terrain is right, the 16-way prediction must err.
    terrain = CLASS_NAMES.index("terrain")
    outputs = []
    for entry in entries:
        output = perfect_output(entry)
        scores = output["sem_seg"]
        scores[terrain] += 2 * scores[0]
        segments = [{**s, "category_id": terrain} if s["category_id"] == 0 else s for s in output["panoptic_seg"][1]]
        outputs.append(
            {
                **output,
                "panoptic_seg": (output["panoptic_seg"][0], segments),
                "panoptic_seg_16way": output["panoptic_seg"],
            }
        )
    evaluator = PanopticEvaluator(DATASET)
    evaluator.process(entries, outputs)
    results = scores_of(evaluator)
    panoptic, semantic = results["panoptic"], results["semantic"]
    assert [panoptic[key] for key in ("PQ16_16way", "SQ16_16way", "RQ16_16way")] == [100] * 3
    assert semantic["mIoU16_16way"] == 100
    assert panoptic["per_class"]["road"]["PQ"] == semantic["IoU"]["road"] == 0
    occurring = sum(row["PQ"] is not None for name, row in panoptic["per_class"].items() if name != "terrain")
    assert panoptic["PQ16"] == pytest.approx(100 * (1 - 1 / occurring))
    assert semantic["mIoU16"] < 100
    assert panoptic["ci95"]["PQ16_16way"] == semantic["ci95"]["mIoU16_16way"] == pytest.approx([100, 100])
    assert "per_class" not in panoptic["ci95"]


def test_pixels_of_the_other_three_classes_stay_errors(
    entries: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the 16-way evaluation a truck is not void: what is predicted there is wrong.
    truth = GroundTruthCache().read(entries[0])
    truck, car = CLASS_NAMES.index("truck"), CLASS_NAMES.index("car")
    is_car = truth.sem_seg == car
    labels = np.where(is_car & (np.arange(truth.sem_seg.shape[1]) % 2 == 0), truck, truth.sem_seg)
    cache = GroundTruthCache()
    monkeypatch.setattr(cache, "read", lambda _: dataclasses.replace(truth, sem_seg=labels))
    evaluator = PanopticEvaluator(DATASET, ground_truth=cache)
    output = {"sem_seg": perfect_output(entries[0])["sem_seg"]}
    evaluator.process(entries[:1], [output])
    semantic = scores_of(evaluator)["semantic"]
    share = ((labels == car).sum()) / is_car.sum()
    assert semantic["IoU"]["car"] == pytest.approx(100 * share)
    num_classes = len(set(np.unique(truth.sem_seg)) - {VOID})
    assert semantic["mIoU16_16way"] == pytest.approx(100 * (num_classes - 1 + share) / num_classes)


def test_a_sixteen_way_output_with_another_class_is_refused(entries: list[dict[str, str]]) -> None:
    ids, segments = perfect_output(entries[0])["panoptic_seg"]
    segments = [{**segment, "category_id": 9} for segment in segments]
    with pytest.raises(ValueError, match="panoptic_seg_16way holds a class outside of the 16: 9"):
        PanopticEvaluator(DATASET).process(entries[:1], [{"panoptic_seg_16way": (ids, segments)}])


def test_key_of_the_scored_output(entries: list[dict[str, str]]) -> None:
    outputs = [{"panoptic_seg": random_output(i)["panoptic_seg"]} for i in range(4)]
    for output, entry in zip(outputs, entries):
        output["panoptic_seg_guided"] = perfect_output(entry)["panoptic_seg"]
    scores = {}
    for key in ("panoptic_seg", "panoptic_seg_guided"):
        evaluator = PanopticEvaluator(DATASET, panoptic_key=key, bootstrap=0)
        evaluator.process(entries, outputs)
        scores[key] = scores_of(evaluator)["panoptic"]
        assert "ci95" not in scores[key]
    assert scores["panoptic_seg"]["PQ"] < 50 and scores["panoptic_seg_guided"]["PQ"] == 100
    evaluator = PanopticEvaluator(DATASET, panoptic_key="absent")
    evaluator.process(entries, outputs)
    assert evaluator.evaluate() == {}


def test_every_headline_number_has_an_interval(entries: list[dict[str, str]]) -> None:
    evaluator = PanopticEvaluator(DATASET, min_region_size=0)
    outputs = [random_output(i) for i in range(4)]
    for output, entry in zip(outputs, entries):
        output["panoptic_seg_16way"] = perfect_output(entry)["panoptic_seg"]
    evaluator.process(entries, outputs)
    results = scores_of(evaluator)
    headline = {
        "panoptic": ("PQ", "SQ", "RQ", "PQ_th", "PQ_st", "PQ_plus", "PQ16", "PQ16_16way"),
        "semantic": ("mIoU", "mIoU16", "mIoU13", "mIoU16_16way"),
        "instance": ("AP50", "AP", "precision50", "recall50"),
    }
    for section, keys in headline.items():
        for key in keys:
            low, high = results[section]["ci95"][key]
            assert 0 <= low <= high <= 100 + 1e-9


def test_details(entries: list[dict[str, str]]) -> None:
    evaluator = PanopticEvaluator(DATASET)
    outputs = [random_output(i) for i in range(4)]
    outputs[1] = perfect_output(entries[1])
    evaluator.process(entries, outputs)
    scores_of(evaluator)
    details = json.loads(json.dumps(evaluator.details, allow_nan=False))
    assert [image["image_id"] for image in details["panoptic"]["images"]] == [f"image{i}" for i in range(4)]
    cache = GroundTruthCache()
    for entry, output, panoptic, semantic in zip(
        entries, outputs, details["panoptic"]["images"], details["semantic"]["images"]
    ):
        truth = cache.read(entry)
        quality = PanopticQuality(CLASS_NAMES, THING_IDS)
        quality.update(output["panoptic_seg"][0].numpy(), output["panoptic_seg"][1], truth.ids, truth.segments)
        expected = quality.compute()
        totals = {key: sum(row[key] for row in expected["per_class"].values()) for key in ("TP", "FP", "FN")}
        names = {"image_id": entry["image_id"], "file_name": entry["file_name"]}
        assert panoptic == {**names, "PQ": pytest.approx(expected["PQ"]), **totals}
        matrix = ConfusionMatrix(CLASS_NAMES)
        matrix.update(output["sem_seg"].argmax(0).numpy(), truth.sem_seg)
        assert semantic == {**names, "mIoU": pytest.approx(matrix.compute()["mIoU"])}
    assert details["panoptic"]["images"][1]["PQ"] == 100
    confusion = np.array(details["semantic"]["confusion"])
    assert details["semantic"]["class_names"] == list(CLASS_NAMES) and confusion.shape == (19, 20)
    assert confusion.sum() == sum((cache.read(entry).sem_seg != VOID).sum() for entry in entries)


def test_evaluators_share_the_ground_truth(entries: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = GroundTruthCache()
    outputs = [random_output(seed) for seed in range(4)]
    first = PanopticEvaluator(DATASET, ground_truth=cache)
    first.process(entries, outputs)
    monkeypatch.setattr("ptseg_d2.evaluation.ground_truth.read_labels", lambda _: pytest.fail("read again"))
    second = PanopticEvaluator(DATASET, ground_truth=cache)
    second.process(entries, outputs)
    assert second.evaluate() == first.evaluate()
