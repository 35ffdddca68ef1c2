"""What is built from a config: the model of a stage, the clustering of its embeddings, the options of its results."""

from __future__ import annotations

from ptseg_d2.data.datasets import classes_of
from ptseg_d2.inference.clusterers import Clustering
from ptseg_d2.inference.instance_grouping import PanopticOptions
from ptseg_d2.stages import StageInputs

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from torch import nn


def build_stage_model(cfg: CfgNode, inputs: StageInputs) -> nn.Module:
    """MODEL.META_ARCHITECTURE on MODEL.DEVICE.

    Args:
        cfg: config of the stage.
        inputs: their group decides what a network separates that says of itself `separates_groups`.
    """
    architecture = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    if not (inputs.group and getattr(architecture, "separates_groups", False)):
        model: nn.Module = build_model(cfg)
        return model
    group_model: nn.Module = architecture(cfg, thing_ids=classes_of(cfg).ids(inputs.group))
    return group_model.to(torch.device(cfg.MODEL.DEVICE))


def build_clustering(cfg: CfgNode) -> Clustering:
    """The clustering of INSTANCE.CLUSTER* at the radii of MODEL.EMBEDDING, for pseudo labels and predictions alike."""
    return Clustering(
        cfg.INSTANCE.CLUSTERING,
        delta_var=cfg.MODEL.EMBEDDING.DELTA_VAR,
        delta_dist=cfg.MODEL.EMBEDDING.DELTA_DIST,
        num_samples=cfg.INSTANCE.CLUSTER_SAMPLES,
        num_seeds=cfg.INSTANCE.CLUSTER_SEEDS,
        bandwidth=cfg.INSTANCE.CLUSTER_BANDWIDTH,
    )


def build_panoptic_options(cfg: CfgNode) -> PanopticOptions:
    """The things of the data sets, and sizes from INSTANCE.MIN_AREA and EVAL."""
    return PanopticOptions(
        thing_ids=classes_of(cfg).thing_ids,
        min_thing_share=cfg.INSTANCE.MIN_AREA,
        min_stuff_share=cfg.EVAL.MIN_STUFF_AREA,
        opening=cfg.EVAL.OPENING,
        closing=cfg.EVAL.CLOSING,
    )
