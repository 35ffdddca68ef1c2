"""Models with weights: those that a stage starts from, ours or a backbone of somebody else, and those it ends with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ptseg_d2.engine.records import check_same_settings, read_done
from ptseg_d2.modeling.momentum_teacher import MomentumTeacher

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

ARCHITECTURE = tuple(
    f"MODEL.{name}"
    for name in (
        *("META_ARCHITECTURE", "BACKBONE", "RESNETS", "SEM_SEG_HEAD", "BISENET", "EMBEDDING", "EINET"),
        "INS_EMBED_HEAD",
    )
)
"""Keys that decide which weights a checkpoint holds."""


def load_network(cfg: CfgNode, weights: str | None = None) -> nn.Module:
    """The model of a stage in evaluation mode.

    Args:
        cfg: config of the stage.
        weights: checkpoint; default MODEL.WEIGHTS, what the stage starts from.
    """
    model = build_model(cfg)
    if weights is None:
        load_weights(model, cfg.MODEL.WEIGHTS, cfg.RECIPE.INIT_BACKBONE_ONLY)
    else:
        load_weights(model, weights)
    return model.eval()


def trained_network(cfg: CfgNode) -> nn.Module:
    """The final model of a finished stage."""
    read_done(cfg.OUTPUT_DIR)
    check_same_settings(cfg, Path(cfg.OUTPUT_DIR) / "done.json", ARCHITECTURE)
    return load_network(cfg, os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))


def load_weights(model: nn.Module, path: str, backbone_only: bool = False) -> None:
    """Load a checkpoint into a model.

    A `MomentumTeacher` takes its own checkpoints, those of a single network of an earlier stage (for student and
    teacher alike), and foreign ones such as ImageNet weights: these go into the student, which the teacher then copies.

    Args:
        model: may be inside DistributedDataParallel.
        path: file or address like detectron2://...; "" keeps the random weights.
        backbone_only: leave the head as it is: the checkpoint is of a network of another kind, or of a
            `MomentumTeacher`, which gives its student's backbone.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it shall give a backbone and holds none.
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
    """Loads the backbone of a network with another head; a `MomentumTeacher` gives it to student and teacher."""

    def _load_file(self, filename: str) -> dict[str, Any]:
        checkpoint: dict[str, Any] = super()._load_file(filename)
        names = {name.removeprefix("student."): name for name in checkpoint["model"]}
        weights = {own: checkpoint["model"][name] for own, name in names.items() if own.startswith("backbone.")}
        if not weights:
            raise ValueError(
                f"{filename} holds no weight named backbone.*: RECIPE.INIT_BACKBONE_ONLY reads checkpoints of this "
                "project's networks; set it to False for weights of a backbone alone, such as those of ImageNet"
            )
        return {**checkpoint, "model": weights}
