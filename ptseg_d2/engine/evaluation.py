"""Scores, export and pictures of a recipe, from the checkpoints of its finished stages."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from ptseg_d2.data.categories import CLASS_NAMES, MEANS
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.data.streams import build_test_loader
from ptseg_d2.data.targets import read_labels
from ptseg_d2.engine.groups import run_configs
from ptseg_d2.engine.records import read_done
from ptseg_d2.engine.rows import ORACLE_MASKS, Rows
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache, ground_truth_panoptic
from ptseg_d2.evaluation.results import format_table, update_results
from ptseg_d2.visualization.overlays import draw_panoptic, save_png, side_by_side

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from detectron2.utils import comm

logger = logging.getLogger(__name__)

Stages = dict[str, CfgNode]

MAX_PICTURE_BYTES = 4_000_000
"""Pictures of a run keep their full colour: squeezing one takes ten times as long as drawing it."""


def evaluate_recipe(cfg: CfgNode, stages: list[CfgNode], config_file: str) -> dict[str, Any]:
    """Fill OUTPUT_DIR/results.json row by row, export the last panoptic row, draw pictures.

    Args:
        cfg: the config the user asked for.
        stages: configs of its recipe, all finished.
        config_file: for the record.

    Returns:
        The content of results.json (main process).
    """
    path = os.path.join(cfg.OUTPUT_DIR, "results.json")
    rows = Rows(cfg, stages)
    header = {
        "config": config_file,
        "seed": cfg.SEED,
        "datasets": {key.lower(): list(cfg.DATASETS[key]) for key in ("SOURCE", "TARGET", "TEST")},
        "seconds": stage_seconds(stages),
        "classes": {name: [CLASS_NAMES[i] for i in ids] for name, ids in MEANS.items()},
    }
    results: dict[str, Any] = {}
    if comm.is_main_process():
        set_aside_other_results(Path(path), header)
        results = update_results(path, header)
    dataset_name = cfg.DATASETS.TEST[0]
    ground_truth = GroundTruthCache()
    exported = rows.panoptic_rows()[-1:]
    for model, sections in rows.evaluations():
        logger.info("Evaluating %s on %s", sections, dataset_name)
        evaluators: list[DatasetEvaluator] = [PanopticEvaluator(dataset_name, ground_truth=ground_truth)]
        if exported == [sections.get("panoptic")] and comm.get_world_size() == 1:
            evaluators.append(CocoExport(os.path.join(cfg.OUTPUT_DIR, "coco_panoptic"), ground_truth))
        loader = build_test_loader(cfg, dataset_name)
        scores = inference_on_dataset(model, loader, DatasetEvaluators(evaluators))
        if comm.is_main_process():
            update = {
                section: {row: scores["instance" if section == ORACLE_MASKS else section]}
                for section, row in sections.items()
            }
            results = update_results(path, update)
    if comm.is_main_process():
        draw_pictures(rows, cfg)
        logger.info("%s:\n%s", path, format_table(results))
    return results


def set_aside_other_results(path: Path, header: dict[str, Any]) -> None:
    """Keep the rows of another config, seed or data set as results.previous.json, so that rows never mix."""
    if not path.exists():
        return
    old = json.loads(path.read_text(encoding="utf-8"))
    if any(old.get(key) != header[key] for key in ("config", "seed", "datasets")):
        os.replace(path, path.with_name("results.previous.json"))


def stage_seconds(stages: list[CfgNode]) -> dict[str, float]:
    """Wall-clock seconds of every finished stage; groups are added up."""
    seconds = {}
    for cfg in stages:
        seconds[cfg.RECIPE.STAGE] = round(sum(read_done(c.OUTPUT_DIR)["seconds"] for c in run_configs(cfg)), 1)
    return seconds


class CocoExport(DatasetEvaluator):
    """Writes predictions and ground truth in the COCO panoptic format while they are evaluated."""

    def __init__(self, folder: str, ground_truth: GroundTruthCache) -> None:
        """
        Args:
            folder: gets pred.json, pred/, gt.json and gt/.
            ground_truth: shared with the evaluator.
        """
        self.folder = folder
        self.ground_truth = ground_truth
        self.reset()

    def reset(self) -> None:
        """Begin the export anew."""
        self.writers = {name: CocoPanopticWriter(self.folder, name) for name in ("pred", "gt")}

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Write the pictures of a batch."""
        for item, output in zip(inputs, outputs):
            ids, segments = output["panoptic_seg"]
            truth = self.ground_truth.read(item)
            key = (item["image_id"], item["file_name"])
            self.writers["pred"].add(*key, ids.cpu().numpy(), segments)
            self.writers["gt"].add(*key, truth.ids, truth.segments)

    def evaluate(self) -> None:
        """Write the lists."""
        for writer in self.writers.values():
            writer.finish()


@torch.no_grad()
def draw_pictures(rows: Rows, cfg: CfgNode) -> None:
    """OUTPUT_DIR/pictures/*.png: input, truth and every panoptic row, two abreast, for evenly spread test images."""
    dataset_name = cfg.DATASETS.TEST[0]
    metadata = MetadataCatalog.get(dataset_name)
    dicts = DatasetCatalog.get(dataset_name)
    count = min(cfg.RECIPE.NUM_PICTURES, len(dicts))
    models = {row: rows.panoptic(row) for row in rows.panoptic_rows()}
    if not models or count == 0:
        return
    folder = Path(cfg.OUTPUT_DIR) / "pictures"
    folder.mkdir(exist_ok=True)
    for index in np.linspace(0, len(dicts) - 1, count).round().astype(int):
        item = TestMapper()(dicts[index])
        image = item["image"].permute(1, 2, 0).numpy()
        truth_ids, truth_segments = ground_truth_panoptic(read_labels(item))
        results = {"truth": (torch.from_numpy(truth_ids), truth_segments)}
        results.update({row: model([item])[0]["panoptic_seg"] for row, model in models.items()})
        panels = [draw_panoptic(image, *result, metadata) for result in results.values()]
        name = item["image_id"].replace("/", "_")
        sheet = side_by_side([image, *panels], ["input", *results], columns=2)
        save_png(folder / f"{name}.png", sheet, MAX_PICTURE_BYTES)
