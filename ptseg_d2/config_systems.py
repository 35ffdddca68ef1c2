"""Keys of the systems beside the semantic and embedding networks of `ptseg_d2.config`, one function for each."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.projects.point_rend import add_pointrend_config


def add_systems_config(cfg: CfgNode) -> None:
    """Add the keys of every further system and their defaults to a Detectron2 config, in place."""
    _add_detector(cfg)


def _add_detector(cfg: CfgNode) -> None:
    """Detectron2's detectors (Mask R-CNN, PointRend) on street scenes, and as instance source of self-training."""
    add_pointrend_config(cfg)
    cfg.MODEL.DETECTOR = CfgNode()
    # names of the detector's outputs, MODEL.ROI_HEADS.NUM_CLASSES of them in their order; [] = the 80 of COCO
    cfg.MODEL.DETECTOR.CLASSES = []
    cfg.MODEL.DETECTOR.RIDERS = False  # a detected person on two wheels becomes a rider, which COCO does not know
    cfg.MODEL.DETECTOR.MIN_SCORE = 0.5  # lowest score of a detection that is kept as a pseudo instance, in [0, 1]
    # stage whose detections on the target images are the first pseudo instances of this one; "" = none
    cfg.RECIPE.DETECTIONS_FROM = ""
    cfg.INPUT.DETECTIONS = ""  # index.json of such detections, see ptseg_d2.engine.detected; set by the recipe
    # steps during which they are the pseudo instances, before the teacher's own clusters take over; 0 = never
    cfg.INSTANCE.DETECTED_ITERS = 0
