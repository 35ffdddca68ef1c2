"""EVAL: what matters after training only. None of these keys is part of the settings of a finished stage."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_evaluation_config(cfg: CfgNode) -> None:
    """Add the node in place."""
    cfg.EVAL = CfgNode()
    _add_predictions(cfg)
    _add_centers(cfg)
    _add_outputs(cfg)
    _add_oracle(cfg)


def _add_predictions(cfg: CfgNode) -> None:
    # lowest score of an instance that is kept, stability times mean class probability, of self-trained models and of
    # networks that do both branches at once, in [0, 1]; 0 = all are kept
    cfg.EVAL.MIN_SCORE = 0.0
    cfg.EVAL.MIN_STUFF_AREA = 1e-3  # smaller stuff segments become void, as a share of the image, in [0, 1]
    # erosion then dilation of predicted instances by a disc of this radius, as a share of the image's height, >= 0;
    # 0 = off
    cfg.EVAL.OPENING = 0.0
    # dilation then erosion of predicted instances by a disc of this radius, as a share of the image's height, >= 0;
    # 0 = off
    cfg.EVAL.CLOSING = 0.0


def _add_centers(cfg: CfgNode) -> None:
    """How EINet's instances are found in its heatmaps; Detectron2's Panoptic-DeepLab has MODEL.PANOPTIC_DEEPLAB."""
    centers = cfg.EVAL.CENTERS = CfgNode()
    centers.THRESHOLD = 0.1  # lowest value of a centre, in [0, 1]
    centers.NMS_KERNEL = 7  # side of the square in which a centre is the only one of its class, in heatmap pixels (odd)
    centers.TOP_K = 200  # centres of an image, at most so many, >= 1
    # what ranks instances: "objectness" (value of the centre), "semantic" (mean class probability) or "product"
    # ([EINet], table 3; decides AP, not PQ)
    centers.SCORE = "product"


def _add_outputs(cfg: CfgNode) -> None:
    # name in results.json of the networks trained with labels: "source", or "oracle" for target labels
    cfg.EVAL.SUPERVISED_ROW = "source"
    # resamples of the test images behind each 95 % confidence interval, >= 0; 0 = no intervals
    cfg.EVAL.BOOTSTRAP = 1000
    cfg.EVAL.NUM_PICTURES = 8  # test images drawn as input / truth / before / after, >= 0
    cfg.EVAL.REPORT = True  # write OUTPUT_DIR/report.html
    cfg.EVAL.REPORT_IMAGES = 12  # worst and best test images in it, so many of each, >= 0
    # target images whose pseudo labels are drawn when self-training begins, at its middle and at its end, >= 0
    cfg.EVAL.PSEUDO_LABEL_PICTURES = 3


def _add_oracle(cfg: CfgNode) -> None:
    """ORACLE_*: diagnosis by labels that no training may see; off by default, and no result of a method."""
    # also score the instances inside the true class masks of DATASETS.TEST ([thesis], table 12.1)
    cfg.EVAL.ORACLE_MASKS = False
    # labelled twin of DATASETS.TARGET, whose labels count true and false pseudo instances for TensorBoard and
    # nothing else; "" = off
    cfg.EVAL.ORACLE_CURVES = ""
    cfg.EVAL.ORACLE_PERIOD = 10  # time between two counts, in iterations, >= 1
    cfg.EVAL.ORACLE_IMAGES = 20  # target images of each count, >= 1
