"""Scores, export and pictures of a recipe, from the checkpoints of its finished stages."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptseg_d2.data.categories import CLASS_NAMES, MEANS, THING_IDS, class_ids
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.data.streams import build_test_loader
from ptseg_d2.data.targets import read_labels
from ptseg_d2.engine.groups import run_configs
from ptseg_d2.engine.mix import mix_row, mixed_networks
from ptseg_d2.engine.recipe import trains_groups
from ptseg_d2.engine.records import read_done
from ptseg_d2.engine.stages import trained_network
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.evaluation.ground_truth import GroundTruthCache, ground_truth_panoptic
from ptseg_d2.evaluation.results import format_table, update_results
from ptseg_d2.inference.predictor import ComponentFinder, EmbeddingFinder, PanopticModel, PanopticOptions
from ptseg_d2.visualization.overlays import draw_panoptic, save_png, side_by_side

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from detectron2.utils import comm
from torch import nn

logger = logging.getLogger(__name__)

Stages = dict[str, CfgNode]

MAX_PICTURE_BYTES = 4_000_000
"""Pictures of a run keep their full colour: squeezing one takes ten times as long as drawing it."""


class Rows:
    """The rows of results.json as models, built from checkpoints when they are asked for."""

    def __init__(self, cfg: CfgNode, stages: list[CfgNode]) -> None:
        """
        Args:
            cfg: the config the user asked for.
            stages: configs of its recipe, as `load_recipe` returns them.
        """
        self.stages: Stages = {stage.RECIPE.STAGE: stage for stage in stages}
        self.options = panoptic_options(cfg)
        self.supervised = cfg.RECIPE.SUPERVISED_ROW
        self._semantic: dict[str, nn.Module] = {}
        self._finders: dict[str, EmbeddingFinder] = {}

    def semantic(self, stage: str) -> nn.Module:
        """The trained semantic network of a stage."""
        if stage not in self._semantic:
            self._semantic[stage] = trained_network(self.stages[stage])
        return self._semantic[stage]

    def finder(self, stage: str) -> EmbeddingFinder:
        """The trained instance network(s) of a stage."""
        if stage not in self._finders:
            self._finders[stage] = self._load_finder(self.stages[stage])
        return self._finders[stage]

    def _load_finder(self, cfg: CfgNode) -> EmbeddingFinder:
        networks = mixed_networks(cfg) if cfg.RECIPE.STAGE == "instance_mix" else self._networks(cfg)
        return EmbeddingFinder(
            networks,
            self.options,
            delta_var=cfg.MODEL.EMBEDDING.DELTA_VAR,
            delta_dist=cfg.MODEL.EMBEDDING.DELTA_DIST,
            # What self-training selects its pseudo labels by also selects its predictions.
            min_stability=cfg.INSTANCE.STABILITY if cfg.MODEL.META_ARCHITECTURE == "EmbeddingMomentumTeacher" else 0.0,
        )

    def _networks(self, cfg: CfgNode) -> list[tuple[tuple[int, ...], nn.Module]]:
        """Thing classes and the network that separates them, for each run of a stage."""
        networks = [
            (class_ids(c.INSTANCE.GROUP) if c.INSTANCE.GROUP else THING_IDS, trained_network(c))
            for c in run_configs(cfg)
        ]
        rest = tuple(sorted(set(THING_IDS) - {i for ids, _ in networks for i in ids}))
        start = self.stages.get(cfg.RECIPE.INIT_FROM)
        if rest and start is not None and not trains_groups(start):
            networks.append((rest, trained_network(start)))  # the network that the groups started from
        elif rest:
            logger.warning("No network of %s separates %s", cfg.OUTPUT_DIR, ", ".join(CLASS_NAMES[i] for i in rest))
        return networks

    def panoptic(self, row: str) -> PanopticModel:
        """The whole system of a row of `panoptic_rows`."""
        semantic, instance = self._panoptic_stages()[row]
        return PanopticModel(self.semantic(semantic), self.finder(instance), self.options)

    def panoptic_rows(self) -> list[str]:
        """Rows for which both branches are there."""
        return [row for row, stages in self._panoptic_stages().items() if self.stages.keys() >= set(stages)]

    def _panoptic_stages(self) -> dict[str, tuple[str, str]]:
        """Row -> the stages of its semantic and its instance branch."""
        rows = {
            self.supervised: ("semantic_source", "instance_source"),
            "selftrain": ("semantic_selftrain", "instance_selftrain"),
        }
        if "instance_mix" in self.stages:
            rows[mix_row(self.stages["instance_mix"])] = ("semantic_selftrain", "instance_mix")
        return rows

    def evaluations(self) -> Iterator[tuple[PanopticModel, dict[str, str]]]:
        """Models with the (section of results.json -> row) that each one fills."""
        rows = {"source": self.supervised, "styled": "styled", "adapted": "adapted", "selftrain": "selftrain"}
        for stage, row in rows.items():
            if f"semantic_{stage}" in self.stages:
                model = PanopticModel(self.semantic(f"semantic_{stage}"), None, self.options)
                yield model, {"semantic": row}
        for row in self.panoptic_rows():
            sections = {"panoptic": row}
            if row != "source":
                sections["instance"] = row
            yield self.panoptic(row), sections
        if "semantic_selftrain" in self.stages:
            masks = self.semantic("semantic_selftrain")
            for stage, row in (("source", self.supervised), ("adapted", "adapted")):
                if f"instance_{stage}" in self.stages:
                    yield PanopticModel(masks, self.finder(f"instance_{stage}"), self.options), {"instance": row}
            yield PanopticModel(masks, ComponentFinder(self.options), self.options), {"instance": "components"}


def panoptic_options(cfg: CfgNode) -> PanopticOptions:
    """Sizes, clustering and morphology from INSTANCE."""
    return PanopticOptions(
        thing_ids=THING_IDS,
        min_thing_share=cfg.INSTANCE.MIN_AREA,
        min_stuff_share=cfg.INSTANCE.MIN_STUFF_AREA,
        clustering=cfg.INSTANCE.CLUSTERING,
        num_samples=cfg.INSTANCE.CLUSTER_SAMPLES,
        num_seeds=cfg.INSTANCE.CLUSTER_SEEDS,
        opening=cfg.INSTANCE.OPENING,
        closing=cfg.INSTANCE.CLOSING,
    )


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
            update = {section: {row: scores[section]} for section, row in sections.items()}
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
