"""Scores, export and pictures of a recipe, from the checkpoints of its finished stages."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.labels import read_labels
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.data.streams import build_test_loader
from ptseg_d2.detectors.transfer import detector_scores
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache, ground_truth_panoptic
from ptseg_d2.recipe.groups import run_configs
from ptseg_d2.recipe.rounds import stage_name, tried_rounds
from ptseg_d2.report.report import write_report
from ptseg_d2.report.run_files import DETAILS
from ptseg_d2.results.export import PanopticExport
from ptseg_d2.results.passes import ORACLE_MASKS, Scored, passes
from ptseg_d2.results.rows import Rows
from ptseg_d2.results.tables import format_table, update_results
from ptseg_d2.runs.records import read_done, write_atomically
from ptseg_d2.visualization.overlays import draw_panoptic, save_png, side_by_side

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.utils import comm
from torch import nn

logger = logging.getLogger(__name__)

MAX_PICTURE_BYTES = 4_000_000
"""Pictures of a run keep their full colour: squeezing one takes ten times as long as drawing it."""


def evaluate_recipe(cfg: CfgNode, stages: list[CfgNode], config_file: str) -> dict[str, Any]:
    """Fill OUTPUT_DIR/results.json row by row, export the last panoptic row, draw pictures.

    Without DATASETS.TEST it only says what was trained, which is what tools/demo.py needs.

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
        "seconds": stage_seconds(list(rows.stages.values())),
        "classes": _means(classes_of(cfg)),
    }
    results: dict[str, Any] = {}
    if comm.is_main_process():
        set_aside_other_results(Path(path), header)
        forget_rounds(Path(path))
        results = update_results(path, header)
    if not cfg.DATASETS.TEST:
        logger.info(
            "DATASETS.TEST is empty: nothing is evaluated. tools/demo.py --run-folder %s shows what was learned",
            cfg.OUTPUT_DIR,
        )
        return results
    ground_truth = GroundTruthCache(classes_of(cfg))
    exported = [Scored("panoptic_seg", "panoptic", row) for row in rows.panoptic_rows()[-1:]]
    for model, scored in passes(rows):
        logger.info("Evaluating %s on %s", ", ".join(f"{s.section}.{s.row}" for s in scored), cfg.DATASETS.TEST[0])
        update = _evaluate(cfg, model, scored, ground_truth, export=any(s in exported for s in scored))
        if comm.is_main_process():
            results = update_results(path, update)
    if comm.is_main_process():
        for stage in (stage for stage in stages if stage.RECIPE.STAGE.startswith("detector")):
            scores = detector_scores(stage, cfg.DATASETS.TEST[0])
            results = update_results(path, {"instance": {"detector": scores}})
        if rows.round_rows():
            results = update_results(path, {"rounds": _rounds_summary(rows, stages, results)})
        draw_pictures(rows, cfg)
        if cfg.EVAL.REPORT:
            write_report(cfg, list(rows.stages.values()), rows, Path(cfg.OUTPUT_DIR) / "report.html")
        logger.info("%s:\n%s", path, format_table(results))
    return results


def _means(classes: ClassTable) -> dict[str, list[str]]:
    """Names of the classes of every mean."""
    means = {**classes.panoptic_means, **classes.semantic_means}
    return {name: [classes.names[i] for i in ids] for name, ids in means.items()}


def _evaluate(
    cfg: CfgNode, model: nn.Module, scored: list[Scored], ground_truth: GroundTruthCache, export: bool
) -> dict[str, Any]:
    """One pass over the test images; returns section -> row -> scores, and writes what a report shows of each image."""
    name = cfg.DATASETS.TEST[0]
    options = {"ground_truth": ground_truth, "bootstrap": cfg.EVAL.BOOTSTRAP}
    with_classes = {s.key for s in scored if s.section == "semantic"}
    evaluators = {
        key: PanopticEvaluator(name, panoptic_key=key, semantic=key in with_classes, **options)
        for key in dict.fromkeys(s.key for s in scored)
    }
    coco = os.path.join(cfg.OUTPUT_DIR, "coco_panoptic")
    exports = [PanopticExport(coco=coco, ground_truth=ground_truth, classes=classes_of(cfg))] if export else []
    scores = inference_on_dataset(model, build_test_loader(cfg, name), _Together(evaluators, exports))
    update: dict[str, Any] = {}
    for key, section, row in scored if comm.is_main_process() else []:
        # Without intervals, those of an earlier evaluation go.
        new = {"ci95": None, **scores[key]["instance" if section == ORACLE_MASKS else section]}
        update.setdefault(section, {})[row] = new
        if section in ("panoptic", "semantic"):
            details = {section: evaluators[key].details[section]}
            update_results(os.path.join(cfg.OUTPUT_DIR, DETAILS, f"{row}.json"), details)
    return update


class _Together(DatasetEvaluator):
    """Several evaluators of one pass whose results have the same names."""

    def __init__(self, evaluators: Mapping[str, DatasetEvaluator], silent: Sequence[DatasetEvaluator]) -> None:
        """
        Args:
            evaluators: by the name of their results.
            silent: evaluators without a result.
        """
        self.evaluators = evaluators
        self.silent = silent

    def reset(self) -> None:
        """Begin anew."""
        for evaluator in (*self.evaluators.values(), *self.silent):
            evaluator.reset()

    def process(self, inputs: Any, outputs: Any) -> None:
        """Show a batch to all."""
        for evaluator in (*self.evaluators.values(), *self.silent):
            evaluator.process(inputs, outputs)

    def evaluate(self) -> dict[str, Any]:
        """Name -> result of each evaluator."""
        for evaluator in self.silent:
            evaluator.evaluate()
        return {name: evaluator.evaluate() for name, evaluator in self.evaluators.items()}


def _rounds_summary(rows: Rows, stages: list[CfgNode], results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per round its row, the label-free agreement, main scores, and whether it is the one that is kept."""
    summary = []
    for number, (row, pair, (_, agreement)) in enumerate(zip(rows.round_rows(), rows.rounds, tried_rounds(stages)), 1):
        scores = {
            "PQ": results["panoptic"][row]["PQ"],
            "mIoU": results["semantic"][row]["mIoU"],
            "AP50": results["instance"][row]["AP50"],
        }
        summary.append({"round": number, "row": row, "agreement": agreement, "kept": pair == rows.final, **scores})
    return summary


def set_aside_other_results(path: Path, header: dict[str, Any]) -> None:
    """Keep the rows of another config, seed or data set as results.previous.json, so that rows never mix."""
    if not path.exists():
        return
    old = json.loads(path.read_text(encoding="utf-8"))
    if any(old.get(key) != header[key] for key in ("config", "seed", "datasets")):
        os.replace(path, path.with_name("results.previous.json"))


def forget_rounds(path: Path) -> None:
    """Take the rows of rounds out of a results file: this time there may be fewer, or others."""
    if not path.exists():
        return
    results = json.loads(path.read_text(encoding="utf-8"))
    results.pop("rounds", None)
    for section in ("panoptic", "semantic", "instance"):
        rows = results.get(section, {})
        results[section] = {row: rows[row] for row in rows if not re.search("_round[0-9]|_oracle_guidance", row)}
    write_atomically(path, json.dumps(results, indent=1))


def stage_seconds(stages: list[CfgNode]) -> dict[str, float]:
    """Wall-clock seconds of every finished stage; groups are added up."""
    seconds = {}
    for cfg in stages:
        seconds[stage_name(cfg)] = round(sum(read_done(c.OUTPUT_DIR)["seconds"] for c in run_configs(cfg)), 1)
    return seconds


@torch.no_grad()
def draw_pictures(rows: Rows, cfg: CfgNode) -> None:
    """OUTPUT_DIR/pictures/*.png: input, truth and every panoptic row, two abreast, for evenly spread test images."""
    dataset_name = cfg.DATASETS.TEST[0]
    metadata = MetadataCatalog.get(dataset_name)
    dicts = DatasetCatalog.get(dataset_name)
    count = min(cfg.EVAL.NUM_PICTURES, len(dicts))
    models = {row: rows.panoptic(row) for row in rows.panoptic_rows()}
    if not models or count == 0:
        return
    folder = Path(cfg.OUTPUT_DIR) / "pictures"
    logger.info("Drawing %d test images, see %s", count, folder)
    folder.mkdir(exist_ok=True)
    for index in np.linspace(0, len(dicts) - 1, count).round().astype(int):
        item = TestMapper()(dicts[index])
        image = item["image"].permute(1, 2, 0).numpy()
        truth_ids, truth_segments = ground_truth_panoptic(read_labels(item), rows.classes)
        results = {"truth": (torch.from_numpy(truth_ids), truth_segments)}
        results.update({row: model([item])[0]["panoptic_seg"] for row, model in models.items()})
        panels = [draw_panoptic(image, *result, metadata) for result in results.values()]
        name = item["image_id"].replace("/", "_")
        sheet = side_by_side([image, *panels], ["input", *results], columns=2)
        save_png(folder / f"{name}.png", sheet, MAX_PICTURE_BYTES)
