"""What each kind of stage does: train, adapt batch norm, train one model per group of classes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ptseg_d2.atomic import write_atomically
from ptseg_d2.data.streams import target_stream
from ptseg_d2.detectors.pseudo_instances import predict_detections
from ptseg_d2.modeling.network import DenseNetwork
from ptseg_d2.recipe.configs import trains_groups
from ptseg_d2.recipe.groups import Launcher, run_groups
from ptseg_d2.recipe.mix import choose_networks
from ptseg_d2.recipe.target_files.masks import predict_masks, predicted_share, with_masks
from ptseg_d2.runs.records import built_on, check_record, run_once, settings
from ptseg_d2.training.checkpoints import load_network
from ptseg_d2.training.trainer import Trainer

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from fvcore.nn.precise_bn import update_bn_stats
from torch import nn

logger = logging.getLogger(__name__)


def run_stage(cfg: CfgNode, resume: bool, launcher: Launcher | None = None) -> None:
    """Run one stage of a recipe unless it is finished.

    Args:
        cfg: config of the stage.
        resume: continue an interrupted training from its last checkpoint.
        launcher: runs groups in other processes; None runs them one after another in this one.

    Raises:
        RecipeError: see `run_once` and `run_groups`.
    """
    work = partial(_WORK[cfg.RECIPE.STAGE], resume=resume)
    if trains_groups(cfg):
        run_groups(cfg, work, launcher)
    else:
        run_once(with_masks(cfg), work)


def run_group(cfg: CfgNode, resume: bool) -> None:
    """Run one group of a stage, as `run_groups` does in this process.

    Args:
        cfg: config of the group.
        resume: as in `run_stage`.
    """
    run_once(cfg, partial(_WORK[cfg.RECIPE.STAGE], resume=resume))


def train(cfg: CfgNode, resume: bool) -> None:
    """Train one model, from its last checkpoint if `resume` is set and there is one."""
    _begin(cfg, resume)
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    if cfg.RECIPE.STAGE == "semantic_selftrain":
        predict_masks(cfg, trainer.model)
    if cfg.RECIPE.STAGE == "detector_source":
        predict_detections(cfg, trainer.model)


def detect_with_zoo_weights(cfg: CfgNode, resume: bool = False) -> None:
    """Find the objects of the target images with a detector that somebody else trained, such as the model zoo's.

    Args:
        cfg: config of the stage; MODEL.WEIGHTS are the detector's.
        resume: without effect, there is nothing to continue.
    """
    model = load_network(cfg)
    DetectionCheckpointer(model, cfg.OUTPUT_DIR).save("model_final")
    predict_detections(cfg, model)


def _begin(cfg: CfgNode, resume: bool) -> None:
    """Note the settings of a run and what it starts from, so that `--resume` never continues a run of others."""
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    started = folder / "started.json"
    if resume and started.exists():
        check_record(cfg, started)
    if comm.is_main_process():
        if not resume:
            (folder / "last_checkpoint").unlink(missing_ok=True)
        write_atomically(started, json.dumps({"settings": settings(cfg), "built_on": built_on(cfg)}, indent=1))
    comm.synchronize()


def adapt_batch_norm(cfg: CfgNode, resume: bool = False) -> None:
    """Replace running statistics by those of target images (AdaBN); nothing else changes.

    SAC interleaves this with source training (algorithms.md 1.1); done afterwards, the source row stays
    free of target images.

    Args:
        cfg: config of the stage.
        resume: without effect, there is nothing to continue.
    """
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED)
    network = load_network(cfg)
    assert isinstance(network, DenseNetwork)
    stream = target_stream(cfg)
    size = cfg.SOLVER.TARGET_PER_BATCH

    def batches() -> Any:
        for position in range(0, cfg.SOLVER.MAX_ITER * size, size):
            items = [stream[position + offset] for offset in range(size)]
            yield torch.cat([item["teacher_views"] for item in items])

    forward = _PredictOnly(network)
    network.train()
    with torch.no_grad():
        update_bn_stats(forward, islice(batches(), cfg.SOLVER.MAX_ITER), cfg.SOLVER.MAX_ITER, progress="tqdm")
    DetectionCheckpointer(network, cfg.OUTPUT_DIR).save("model_final")
    if cfg.RECIPE.STAGE in ("semantic_adapted", "panoptic_adapted"):
        predict_masks(cfg, network)


class _PredictOnly(nn.Module):
    """Calls `predict_strided` in training mode, where `forward` would ask for labels."""

    def __init__(self, network: DenseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.predict_strided(images)


def _train_group(cfg: CfgNode, resume: bool) -> dict[str, Any]:
    """Train a group's model; a group whose classes were predicted nowhere keeps the model it starts from."""
    if predicted_share(cfg) > 0:
        train(cfg, resume)
        return {"trained": True}
    logger.warning("%s keeps the model it starts from: its classes were predicted in no target image", cfg.OUTPUT_DIR)
    DetectionCheckpointer(load_network(cfg), cfg.OUTPUT_DIR).save("model_final")
    return {"trained": False}


_WORK: dict[str, Callable[..., dict[str, Any] | None]] = {
    "semantic_source": train,
    "semantic_styled": train,
    "semantic_adapted": adapt_batch_norm,
    "semantic_selftrain": train,
    "instance_source": train,
    "instance_adapted": adapt_batch_norm,
    "instance_selftrain": _train_group,
    "instance_mix": choose_networks,
    "panoptic_source": train,
    "panoptic_adapted": adapt_batch_norm,
    "panoptic_selftrain": train,
    "detector_source": train,
    "detector_zoo": detect_with_zoo_weights,
}
"""What a stage, or a group of it, does: config and `resume` -> facts for `done.json`."""
