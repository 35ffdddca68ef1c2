"""Pictures of a run: input, truth and every panoptic row of some test images."""

from __future__ import annotations

import logging
from pathlib import Path

from ptseg_d2.counting import evenly_spread
from ptseg_d2.data.labels import read_labels
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.evaluation.ground_truth import ground_truth_panoptic
from ptseg_d2.results.rows import PanopticRows
from ptseg_d2.visualization.overlays import draw_panoptic, save_png, side_by_side

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

logger = logging.getLogger(__name__)

MAX_PICTURE_BYTES = 4_000_000
"""Pictures of a run keep their full colour: squeezing one takes ten times as long as drawing it."""


@torch.no_grad()
def draw_pictures(rows: PanopticRows, cfg: CfgNode) -> None:
    """OUTPUT_DIR/pictures/*.png: input, truth and every panoptic row, two abreast, for evenly spread test images."""
    dataset_name = cfg.DATASETS.TEST[0]
    metadata = MetadataCatalog.get(dataset_name)
    items = evenly_spread(DatasetCatalog.get(dataset_name), cfg.EVAL.NUM_PICTURES)
    models = {row.name: rows.panoptic(row) for row in rows.panoptic_rows()}
    if not models or not items:
        return
    folder = Path(cfg.OUTPUT_DIR) / "pictures"
    logger.info("Drawing %d test images, see %s", len(items), folder)
    folder.mkdir(exist_ok=True)
    for item in map(TestMapper(), items):
        image = item["image"].permute(1, 2, 0).numpy()
        truth_ids, truth_segments = ground_truth_panoptic(read_labels(item), rows.classes)
        results = {"truth": (torch.from_numpy(truth_ids), truth_segments)}
        results.update({name: model([item])[0]["panoptic_seg"] for name, model in models.items()})
        panels = [draw_panoptic(image, *result, metadata) for result in results.values()]
        name = item["image_id"].replace("/", "_")
        sheet = side_by_side([image, *panels], ["input", *results], columns=2)
        save_png(folder / f"{name}.png", sheet, MAX_PICTURE_BYTES)
