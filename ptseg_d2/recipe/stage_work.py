"""What each kind of stage does: train, adapt batch norm, detect, choose networks; its model per group of classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from ptseg_d2.data.streams import target_stream
from ptseg_d2.detectors.pseudo_instances import predict_detections
from ptseg_d2.modeling.network import DenseNetwork
from ptseg_d2.recipe.groups import Launcher, run_groups
from ptseg_d2.recipe.mix import choose_networks
from ptseg_d2.recipe.target_files.masks import predict_masks, predicted_share
from ptseg_d2.runs.records import note_start, run_once
from ptseg_d2.stages import StageRun
from ptseg_d2.stages.table import Work, Writes
from ptseg_d2.training.checkpoints import load_network
from ptseg_d2.training.trainer import Trainer

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.env import seed_all_rng
from fvcore.nn.precise_bn import update_bn_stats
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def run_stage(run: StageRun, resume: bool, launcher: Launcher | None = None) -> None:
    """Run one stage of a recipe unless it is finished.

    Args:
        run: the stage.
        resume: continue an interrupted training from its last checkpoint.
        launcher: runs groups in other processes; None runs them one after another in this one.

    Raises:
        RecipeError: see `run_once` and `run_groups`.
    """
    work = partial(WORK[run.stage.work], resume=resume)
    if run.has_groups:
        run_groups(run, work, launcher)
    else:
        run_once(run, work)


def run_group(group: StageRun, resume: bool) -> None:
    """Run one group of a stage, as `run_groups` does in this process.

    Args:
        group: the run of the group.
        resume: as in `run_stage`.
    """
    run_once(group, partial(WORK[group.stage.work], resume=resume))


def train(run: StageRun, resume: bool) -> dict[str, Any] | None:
    """Train one model, from its last checkpoint if `resume` is set and there is one.

    A model that learns from the class masks of target images keeps what it starts from where its classes were predicted
    nowhere.
    """
    if run.group_folder and run.stage.sees_target and run.inputs.masks and predicted_share(run) == 0:
        return _keep_start(run)
    note_start(run, resume)
    seed_all_rng(None if run.cfg.SEED < 0 else run.cfg.SEED)
    trainer = Trainer(run.cfg, run.inputs)
    trainer.resume_or_load(resume)
    trainer.train()
    _write_target_files(run, trainer.model)
    return {"trained": True} if run.group_folder else None


def _keep_start(run: StageRun) -> dict[str, Any]:
    logger.warning("%s keeps the model it starts from: its classes were predicted in no target image", run.folder)
    DetectionCheckpointer(load_network(run.cfg, inputs=run.inputs), str(run.folder)).save("model_final")
    return {"trained": False}


def adapt_batch_norm(run: StageRun, resume: bool = False) -> None:
    """Replace running statistics by those of target images ([AdaBN]); nothing else changes.

    Public code mixes this with source training ([SAC], "adaptive batch norm"); done afterwards, the source row stays
    free of target images.

    Args:
        run: the stage.
        resume: without effect, there is nothing to continue.
    """
    cfg = run.cfg
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED)
    network = load_network(cfg, inputs=run.inputs)
    assert isinstance(network, DenseNetwork)
    stream = target_stream(cfg, run.inputs)
    size = cfg.SOLVER.TARGET_PER_BATCH

    def batches() -> Iterator[Tensor]:
        for position in range(0, cfg.SOLVER.MAX_ITER * size, size):
            items = [stream[position + offset] for offset in range(size)]
            yield torch.cat([item["teacher_views"] for item in items])

    forward = _PredictOnly(network)
    network.train()
    with torch.no_grad():
        update_bn_stats(forward, islice(batches(), cfg.SOLVER.MAX_ITER), cfg.SOLVER.MAX_ITER, progress="tqdm")
    DetectionCheckpointer(network, cfg.OUTPUT_DIR).save("model_final")
    _write_target_files(run, network)


class _PredictOnly(nn.Module):
    """Calls `predict_strided` in training mode, where `forward` would ask for labels."""

    def __init__(self, network: DenseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.predict_strided(images)


def detect_with_zoo_weights(run: StageRun, resume: bool = False) -> None:
    """Find the objects of the target images with a detector that somebody else trained, such as the model zoo's.

    Args:
        run: the stage; MODEL.WEIGHTS are the detector's.
        resume: without effect, there is nothing to continue.
    """
    model = load_network(run.cfg, inputs=run.inputs)
    DetectionCheckpointer(model, run.cfg.OUTPUT_DIR).save("model_final")
    _write_target_files(run, model)


def _write_target_files(run: StageRun, model: nn.Module) -> None:
    """What the stage predicts on the target images for later stages."""
    if run.stage.writes is Writes.MASKS:
        predict_masks(run.cfg, model)
    if run.stage.writes is Writes.DETECTIONS:
        predict_detections(run.cfg, model)


WORK: dict[Work, Callable[..., dict[str, Any] | None]] = {
    Work.TRAIN: train,
    Work.ADAPT: adapt_batch_norm,
    Work.DETECT: detect_with_zoo_weights,
    Work.CHOOSE: choose_networks,
}
"""What a stage, or a group of it, does: run and `resume` -> facts for `done.json`."""
