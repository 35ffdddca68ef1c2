"""Which weights a model starts from: a stage of ours, or a backbone of somebody else."""

from __future__ import annotations

import os
from typing import Any

from ptseg_d2.modeling.momentum_teacher import MomentumTeacher

from detectron2.checkpoint import DetectionCheckpointer
from torch import nn


def load_weights(model: nn.Module, path: str, backbone_only: bool = False) -> None:
    """Load a checkpoint into a model.

    A `MomentumTeacher` takes its own checkpoints, those of a single network of an earlier stage (for student and
    teacher alike), and foreign ones such as ImageNet weights: these go into the student, which the teacher then copies.

    Args:
        model: may be inside DistributedDataParallel.
        path: file or address like detectron2://...; "" keeps the random weights.
        backbone_only: leave the head as it is: the checkpoint is of a network of another kind.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    require_weights(path)
    (_BackboneCheckpointer if backbone_only else _Checkpointer)(model).load(path)


def require_weights(path: str) -> None:
    """Raise a FileNotFoundError that says what to do when a checkpoint on this machine is missing.

    Args:
        path: MODEL.WEIGHTS; "" (random weights) and addresses like detectron2://... pass.
    """
    if path and "://" not in path and not os.path.isfile(path):
        raise FileNotFoundError(
            f"weights {path} not found; run the stage that makes them (RECIPE.NEEDS), make ImageNet weights with "
            "tools/convert_torchvision_resnet.py, or set MODEL.WEIGHTS"
        )


class _Checkpointer(DetectionCheckpointer):
    """Loads foreign checkpoints into the student of a `MomentumTeacher`."""

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        # Detectron2 looks for the names of a foreign checkpoint at the end of the model's, and refuses to choose
        # between student and teacher.
        if not (isinstance(self.model, MomentumTeacher) and checkpoint.get("matching_heuristics", False)):
            return super()._load_model(checkpoint)
        incompatible = DetectionCheckpointer(self.model.student)._load_model(checkpoint)
        self.model.refresh_teacher_()
        return incompatible


class _BackboneCheckpointer(DetectionCheckpointer):
    """Loads the backbone of a network with another head."""

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        weights = {name: value for name, value in checkpoint["model"].items() if name.startswith("backbone.")}
        return super()._load_model({**checkpoint, "model": weights})
