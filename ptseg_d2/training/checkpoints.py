"""Models with weights: ours, or a backbone of somebody else."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ptseg_d2.modeling.backbones.timm_backbone import load_pretrained_backbones
from ptseg_d2.modeling.building import build_stage_model
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher, spread_single_network_
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.checkpoint_check import check_weights, listed

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.catalog import ModelCatalog, ModelCatalogHandler
from detectron2.config import CfgNode
from detectron2.utils.file_io import Detectron2Handler, PathManager
from iopath.common.file_io import get_cache_dir
from torch import nn

logger = logging.getLogger(__name__)


def load_network(cfg: CfgNode, inputs: StageInputs, weights: str | None = None) -> nn.Module:
    """The model of a stage in evaluation mode.

    Args:
        cfg: config of the stage.
        inputs: of the stage.
        weights: checkpoint; default MODEL.WEIGHTS, what the stage starts from.
    """
    model = build_stage_model(cfg, inputs)
    if weights is None:
        load_start(model, cfg)
    else:
        load_weights(model, weights)
    return model.eval()


def load_start(model: nn.Module, cfg: CfgNode) -> None:
    """Load what a stage starts from: MODEL.WEIGHTS, or without these the backbone that MODEL.TIMM.WEIGHTS name.

    Args:
        model: of the stage; may be inside DistributedDataParallel.
        cfg: of the stage.
    """
    if cfg.MODEL.WEIGHTS:
        load_weights(model, cfg.MODEL.WEIGHTS, cfg.RECIPE.INIT_BACKBONE_ONLY)
    else:
        load_pretrained_backbones(model, cfg.MODEL.TIMM.WEIGHTS)


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
        FileNotFoundError: the file does not exist, or cannot be downloaded.
        ValueError: it shall give a backbone and holds none, or it is of another architecture.
    """
    (_BackboneCheckpointer if backbone_only else _Checkpointer)(model).load(local_weights(path))


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


def local_weights(path: str) -> str:
    """A checkpoint as a file on this machine; an address is downloaded once and found in the cache from then on.

    Args:
        path: file, address (https://..., detectron2://..., catalog://...) or "".

    Raises:
        FileNotFoundError: there is no such file, or no network; says which file to put where.
    """
    require_weights(path)
    if "://" not in path:
        return path
    try:
        return str(PathManager.get_local_path(path))
    except (OSError, AssertionError) as error:
        address = _web_address(path)
        raise FileNotFoundError(
            f"weights {path} cannot be downloaded ({error}). Download {address} where there is a network and put it "
            f"here as {_cached_file(address)}, where it is found from then on; or put it anywhere and name "
            "that file (MODEL.WEIGHTS; tools/evaluate_transfer.py: --detector NAME CONFIG FILE)"
        ) from error


def _web_address(path: str) -> str:
    """The https address behind an address of Detectron2's model zoo."""
    if path.startswith(ModelCatalogHandler.PREFIX):
        return str(ModelCatalog.get(path.removeprefix(ModelCatalogHandler.PREFIX)))
    return path.replace(Detectron2Handler.PREFIX, Detectron2Handler.S3_DETECTRON2_PREFIX, 1)


def _cached_file(address: str) -> Path:
    """Where a downloaded file is kept ($FVCORE_CACHE, by default in the home folder)."""
    return Path(get_cache_dir()) / urlparse(address).path.lstrip("/")


class _Checkpointer(DetectionCheckpointer):
    """Refuses checkpoints of another architecture; loads foreign ones into the student of a `MomentumTeacher`."""

    backbone_only = False
    file_name = ""

    def _load_file(self, filename: str) -> dict[str, Any]:
        self.file_name = filename
        return super()._load_file(filename)

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        """What `check_weights` has let pass is as planned: a line each, not Detectron2's lists of warnings."""
        for what, names in (
            ("are not in it and keep their initial values", incompatible.missing_keys),
            ("of it are not used", incompatible.unexpected_keys),
        ):
            if names:
                logger.info("%s: %s", self.file_name, listed(f"weights and buffers {what}", names))

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        foreign = bool(checkpoint.get("matching_heuristics", False))
        # Detectron2 looks for the names of a foreign checkpoint at the end of the model's, and refuses to choose
        # between student and teacher.
        if foreign and isinstance(self.model, MomentumTeacher):
            student = self.model.student
            incompatible = DetectionCheckpointer(student)._load_model(checkpoint)
            check_weights(student, incompatible, self.file_name, foreign=True)
            self.model.refresh_teacher_()
        else:
            if isinstance(self.model, MomentumTeacher):  # here, so that shapes are compared
                spread_single_network_(checkpoint["model"], "")
            incompatible = super()._load_model(checkpoint)
            check_weights(self.model, incompatible, self.file_name, foreign=foreign, backbone_only=self.backbone_only)
        return incompatible


class _BackboneCheckpointer(_Checkpointer):
    """Loads the backbone of a network with another head; a `MomentumTeacher` gives it to student and teacher."""

    backbone_only = True

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
