"""The Detectron2 evaluator: what it passes on, what it refuses, and many processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptseg_d2.data.categories import CLASS_NAMES, THING_IDS, VOID
from ptseg_d2.data.datasets import panoptic_metadata
from ptseg_d2.evaluation import evaluators
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.evaluation.instance_ap import InstanceAP
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from references_evaluation import random_labels, random_pair, write_cityscapes_entry

DATASET = "test_evaluators_val"


@pytest.fixture(autouse=True)
def dataset() -> Iterator[None]:
    MetadataCatalog.get(DATASET).set(**panoptic_metadata())
    yield
    MetadataCatalog.remove(DATASET)


@pytest.fixture
def entries(tmp_path: Path) -> list[dict[str, str]]:
    rng = np.random.default_rng(0)
    return [write_cityscapes_entry(tmp_path, f"image{i}", *random_labels(rng)) for i in range(4)]


def perfect_output(entry: dict[str, str]) -> dict[str, Any]:
    """The ground truth as a prediction; crowds and void stay void, void pixels get some class."""
    truth = GroundTruthCache().read(entry)
    objects = [segment for segment in truth.segments if not segment["iscrowd"]]
    ids = np.where(np.isin(truth.ids, [segment["id"] for segment in objects]), truth.ids, 0)
    classes = np.where(truth.sem_seg == VOID, 3, truth.sem_seg).astype(np.int64)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(classes), len(CLASS_NAMES))
    return {"panoptic_seg": (torch.from_numpy(ids), objects), "sem_seg": one_hot.permute(2, 0, 1).float()}


def random_output(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    ids, segments, *_ = random_pair(rng, [0, 2, 11, 13, 14])
    scores = torch.from_numpy(rng.random((len(CLASS_NAMES), *ids.shape)))
    return {"panoptic_seg": (torch.from_numpy(ids), segments), "sem_seg": scores}


def scores_of(evaluator: PanopticEvaluator) -> dict[str, dict[str, Any]]:
    results = evaluator.evaluate()
    assert results is not None
    return results


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
    assert results["instance"] == instances.compute()


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


def test_processes_add_up(entries: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [random_output(seed) for seed in range(4)]
    whole, first, second = (PanopticEvaluator(DATASET) for _ in range(3))
    whole.process(entries, outputs)
    first.process(entries[:1], outputs[:1])
    second.process(entries[1:], outputs[1:])
    expected = scores_of(whole)
    states: list[Any] = []

    def gather(state: Any) -> list[Any]:
        states.append(state)
        return states

    monkeypatch.setattr(evaluators.comm, "gather", gather)
    monkeypatch.setattr(evaluators.comm, "is_main_process", lambda: len(states) == 2)
    assert second.evaluate() is None
    merged = scores_of(first)
    assert merged["semantic"] == expected["semantic"]
    assert merged["instance"] == expected["instance"]
    for key in ("PQ", "SQ", "RQ", "PQ_plus", "PQ16"):  # sums of floats in another order
        assert merged["panoptic"][key] == pytest.approx(expected["panoptic"][key], abs=1e-9)


def test_evaluators_share_the_ground_truth(entries: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = GroundTruthCache()
    outputs = [random_output(seed) for seed in range(4)]
    first = PanopticEvaluator(DATASET, ground_truth=cache)
    first.process(entries, outputs)
    monkeypatch.setattr("ptseg_d2.evaluation.ground_truth.read_labels", lambda _: pytest.fail("read again"))
    second = PanopticEvaluator(DATASET, ground_truth=cache)
    second.process(entries, outputs)
    assert second.evaluate() == first.evaluate()
