"""Recipes of networks that do both branches at once, from tools/train_net.py to export, report and prediction."""

from __future__ import annotations

import json
from pathlib import Path

from ptseg_d2.data.labels import read_labels
from ptseg_d2.evaluation.ground_truth import ground_truth_panoptic
from ptseg_d2.prediction.predictor import PanopticPredictor
from ptseg_d2.visualization.overlays import draw_panoptic
from ptseg_d2.worlds import minileaves

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from whole_run import run_recipe

NARROW_EINET = [
    *("MODEL.SEM_SEG_HEAD.ASPP_DILATIONS", "[1]", "MODEL.SEM_SEG_HEAD.LOW_LEVEL_CHANNELS", "[4, 4]"),
    *("MODEL.EINET.CONVS_DIM", "8", "MODEL.EINET.LOW_LEVEL_CHANNELS", "[4, 4]"),
    *("MODEL.EINET.DECODER_CHANNELS", "[8, 8]", "MODEL.EINET.HEAD_CHANNELS", "4"),
    *("SOLVER.SOURCE_PER_BATCH", "2", "EVAL.REPORT", "True"),
]


@pytest.fixture
def leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight drawn plants of 64x64 pixels."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    minileaves.ensure(tmp_path / "data" / "minileaves", num_plants=8, num_stages=1, side=64)


@pytest.mark.usefixtures("leaves")
def test_two_head_unet_on_leaves(tmp_path: Path) -> None:
    output = tmp_path / "out"
    flags = ["INPUT.CROP_SIZE", "(64, 64)", "INPUT.TEST_SIZE", "(64, 64)", "EVAL.REPORT", "True"]
    flags += ["SOLVER.SOURCE_PER_BATCH", "2", "SOLVER.VALIDATION_PERIOD", "2"]
    results = run_recipe("panoptic_unet/minileaves_scse.yaml", output, *flags)
    assert {section: list(results[section]) for section in ("panoptic", "semantic", "instance")} == {
        "panoptic": ["source"],
        "semantic": ["source"],
        "instance": ["source"],
    }
    assert results["classes"] == {"PQ": ["background", "leaf"], "mIoU": ["background", "leaf"]}
    assert list(results["panoptic"]["source"]["per_class"]) == ["background", "leaf"]
    assert list(results["seconds"]) == ["panoptic_source"]

    exported = json.loads((output / "coco_panoptic" / "pred.json").read_text())
    assert [(c["id"], c["name"], c["isthing"]) for c in exported["categories"]] == [
        (1, "background", 0),
        (2, "leaf", 1),
    ]
    page = (output / "report.html").read_text()
    assert "leaf" in page and "thesis" not in page

    again = run_recipe("panoptic_unet/minileaves_scse.yaml", output, "--eval-only", *flags)
    assert again["panoptic"] == results["panoptic"]

    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    prediction = PanopticPredictor(output, device="cpu").predict(image)
    assert prediction.panoptic.shape == prediction.sem_seg.shape == (50, 70)
    assert set(np.unique(prediction.panoptic)) - {0} == {s["id"] for s in prediction.segments_info}


@pytest.mark.usefixtures("world")
def test_einet_trains_itself_on_the_target(tmp_path: Path) -> None:
    results = run_recipe("einet_selftrain.yaml", tmp_path / "out", *NARROW_EINET)
    assert list(results["panoptic"]) == ["source", "adapted", "selftrain"]
    assert list(results["seconds"]) == ["panoptic_source", "panoptic_adapted", "panoptic_selftrain"]
    metrics = [json.loads(x) for x in (tmp_path / "out/panoptic_selftrain/metrics.json").read_text().splitlines()]
    losses = {name for line in metrics for name in line if name.startswith("loss_")}
    assert {"loss_sem_seg_source", "loss_center_source", "loss_offset_source", "loss_sem_seg_target"} <= losses


@pytest.mark.usefixtures("leaves")
def test_the_true_leaves_of_a_picture_have_colours_of_their_own() -> None:
    """Read as Cityscapes, every leaf would be the sidewalk, all in one colour."""
    item = DatasetCatalog.get("minileaves_cvppp_labeled_test")[0]
    metadata = MetadataCatalog.get("minileaves_cvppp_labeled_test")
    labels = read_labels(item)
    ids, segments = ground_truth_panoptic(labels, metadata.class_table)
    numbers = np.unique(labels.instance_ids[labels.instance_ids > 0])
    assert [segment["id"] for segment in segments] == [1, *(2000 + numbers)]
    drawn = draw_panoptic(np.zeros((64, 64, 3), np.uint8), torch.from_numpy(ids), segments, metadata, scale=8)
    large = labels.instance_ids.repeat(8, axis=0).repeat(8, axis=1)
    colors = [np.median(drawn[large == number], axis=0) for number in numbers]
    assert len({tuple(color.tolist()) for color in colors}) == len(numbers) > 1
