"""A run folder and models that look like those of a finished recipe, made in a moment and without training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES, CLASS_NAMES, THING_IDS
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.inference.clusterers import Clustering
from ptseg_d2.inference.instance_grouping import EmbeddingGrouping, PanopticOptions
from ptseg_d2.inference.panoptic_model import PanopticModel
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.results.row import Row
from ptseg_d2.stages import StageRun
from ptseg_d2.stages.table import Work
from ptseg_d2.visualization.panels import join_pair

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import Tensor, nn

ROAD, SKY, CAR, PERSON = 0, 10, 13, 11
ODD_ID = "odd <b>&\"'name"
"""An image id that must not become HTML."""


ROWS = [
    *(Row("source"), Row("source", thresholded=True), Row("adapted"), Row("selftrain"), Row("components")),
    *(Row("mix", chosen_by_labels=True), Row("selftrain", 1), Row("selftrain", 2)),
]


class Bands(nn.Module):
    """Sky above, two cars and a person in the middle, road below; predicts the same for every image."""

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Logits by position."""
        height, width = images.shape[-2:]
        classes = torch.full((height, width), SKY)
        classes[height // 2 :] = ROAD
        rows = slice(height // 3, 2 * height // 3)
        classes[rows, : width // 4] = classes[rows, width // 2 : 3 * width // 4] = CAR
        classes[rows, -width // 8 :] = PERSON
        logits = 9.0 * torch.nn.functional.one_hot(classes, len(CLASS_NAMES)).permute(2, 0, 1)
        return {"sem_seg": logits[None].float()}


class LeftOrRight(nn.Module):
    """Embeddings of two clusters, one per half of the image, with a little noise."""

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """(1, 4, H, W)."""
        height, width = images.shape[-2:]
        noise = 0.05 * torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(0))
        noise[:, 0, :, width // 2 :] += 5
        return {"embeddings": noise}


class FakeRows:
    """Rows of which each is the same model."""

    def __init__(self, cfg: CfgNode, runs: Sequence[StageRun], models: Sequence[str] = ("source", "selftrain")) -> None:
        self.classes = classes_of(cfg)
        self.runs = {run.name: run for run in runs}
        self.shown = [Row(model) for model in models]
        self.options = PanopticOptions(THING_IDS, min_thing_share=1e-3, min_stuff_share=1e-3)
        self.networks: list[Any] = [((CAR,), LeftOrRight()), ((PERSON, 12), LeftOrRight())]

    def panoptic_rows(self) -> list[Row]:
        """The rows."""
        return self.shown

    def panoptic(self, row: Row) -> PanopticModel:
        """The same model for every row."""
        clustering = Clustering("mean_shift_plus", delta_var=0.5, delta_dist=1.5, num_samples=512, num_seeds=32)
        return PanopticModel(Bands(), EmbeddingGrouping(self.networks, self.options, clustering), self.options)


def write_run(cfg: CfgNode, runs: Sequence[StageRun]) -> None:
    """results.json, details, curves and pictures of pseudo labels, as a finished recipe leaves them."""
    output = Path(cfg.OUTPUT_DIR)
    _write_json(output / "results.json", results(runs))
    rng = np.random.default_rng(0)
    items = DatasetCatalog.get(cfg.DATASETS.TEST[0])
    confusion = rng.integers(0, 50, (19, 20))
    confusion[np.arange(19), np.arange(19)] += 400
    for shift, row in enumerate(("source", "selftrain")):
        images = [
            {"image_id": item["image_id"], "file_name": item["file_name"], "PQ": 10.0 * i + shift, "TP": i, "FP": 2}
            for i, item in enumerate(items)
        ]
        semantic = {"class_names": list(CLASS_NAMES), "confusion": confusion.tolist(), "images": []}
        _write_json(output / "details" / f"{row}.json", {"panoptic": {"images": images}, "semantic": semantic})
    for run in runs:
        for part in parts_of(run) if run.stage.work is Work.TRAIN else []:
            _write_curves(part.folder, rng, run.stage.sees_target)


def results(runs: Sequence[StageRun]) -> dict[str, Any]:
    """PQ of the rows is 9.5, 12.25 and 100, so that an order of letters is another one than that of numbers."""
    rng = np.random.default_rng(1)

    def row(**scores: float) -> dict[str, Any]:
        return {**scores, "ci95": {key: [value - 1, value + 2] for key, value in scores.items()}}

    def per_class(key: str, ids: Sequence[int]) -> Mapping[str, Any]:
        return {CLASS_NAMES[i]: {key: float(rng.uniform(0, 80))} for i in ids}

    every = range(19)
    panoptic = {"PQ": 9.5, "SQ": 44.0, "RQ": 16.0, "PQ_plus": 17.0, "PQ_th": 4.0, "PQ_st": 17.0, "PQ16": 12.0}
    better = {key: value + 2.75 for key, value in panoptic.items()}
    iou = {row: {name: float(rng.uniform(0, 80)) for name in CLASS_NAMES} for row in ("source", "selftrain")}
    instance = {"AP": 5.0, "AP50": 14.0, "precision50": 9.0, "recall50": 17.0}
    return {
        "config": "configs/selftrain_icm.yaml",
        "seed": 1,
        "datasets": {"source": ["a"], "target": ["b"], "test": ["c"]},
        "seconds": {run.name: 12.5 for run in runs},
        "classes": {"mIoU": list(CLASS_NAMES), "PQ16": [CLASS_NAMES[i] for i in CITYSCAPES.restricted_ids]},
        "rows": {row.name: row.facts() for row in ROWS},
        "panoptic": {
            "source": {**row(**panoptic), "per_class": per_class("PQ", every)},
            "selftrain": {**row(**better), "per_class": per_class("PQ", every)},
            "mix_oracle": {**row(**{**better, "PQ": 100.0}), "per_class": per_class("PQ", every)},
        },
        "semantic": {
            "source": {**row(mIoU=23.0), "IoU": iou["source"]},
            "adapted": {"mIoU": 25.0, "ci95": {"mIoU": None}},
            "selftrain": {**row(mIoU=32.0), "IoU": iou["selftrain"]},
        },
        "instance": {
            name: {**row(**instance), "per_class": per_class("AP50", THING_IDS)}
            for name in ("source", "source_thresholded", "selftrain", "components")
        },
        "instance_oracle_masks": {"selftrain": instance},
        "rounds": [
            {"round": 1, "row": "selftrain_round1", "kept": False, "agreement": 0.71, "PQ": 12.25, "mIoU": 32.0},
            {"round": 2, "row": "selftrain_round2", "kept": True, "agreement": 0.74, "PQ": 13.0, "mIoU": 32.5},
        ],
    }


def _write_curves(folder: Path, rng: np.random.Generator, is_self_training: bool) -> None:
    lines = []
    for iteration in range(19, 600, 20):
        decay = float(np.exp(-iteration / 200) + 0.1 * rng.random())
        entry = {"iteration": iteration, "total_loss": 3 * decay, "loss_a": 2 * decay, "loss_b": decay, "lr": 1e-3}
        if is_self_training:
            entry.update({"pseudo/coverage": 0.5 + 0.1 * decay, "pseudo/confidence": 0.7})
        lines.append(json.dumps(entry))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text("\n".join(lines) + '\n{"iteration": 61')
    if is_self_training:
        (folder / "pseudo_labels").mkdir(exist_ok=True)
        for iteration in (0, 300, 600):
            for image_id in ("one", ODD_ID):
                pair = join_pair(*rng.integers(0, 255, (2, 32, 64, 3), dtype=np.uint8))
                cv2.imwrite(str(folder / "pseudo_labels" / f"{iteration:07d}_{image_id}.png"), pair)


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
