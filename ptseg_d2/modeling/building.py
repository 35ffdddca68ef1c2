"""The model of a stage: Detectron2's `build_model`, and for one group of classes its part."""

from __future__ import annotations

from ptseg_d2.data.datasets import classes_of
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
