"""What each kind of stage does: train, adapt batch norm, train one model per group of classes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.streams import images_per_step, require_masks, target_stream, uses_target
from ptseg_d2.data.validation import validation_dicts
from ptseg_d2.engine.detected import predict_detections
from ptseg_d2.engine.early_stopping import require_validation_loss
from ptseg_d2.engine.groups import Launcher, run_configs, run_groups
from ptseg_d2.engine.masks import predict_masks, predicted_share, with_masks
from ptseg_d2.engine.mix import choose_networks, read_candidates
from ptseg_d2.engine.recipe import trains_groups
from ptseg_d2.engine.records import (
    built_on,
    check_record,
    check_same_settings,
    read_done,
    run_once,
    settings,
    write_atomically,
)
from ptseg_d2.engine.trainer import Trainer, check_schedule
from ptseg_d2.engine.weights import ARCHITECTURE, load_network, local_weights
from ptseg_d2.modeling.network import DenseNetwork

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


def check_stages(stages: Sequence[CfgNode], num_processes: int) -> None:
    """Find what would end a later stage, perhaps days into the run, before the first one begins.

    Args:
        stages: configs of the recipe.
        num_processes: over which every step's images are divided.

    Raises:
        ValueError: images do not divide, a warm-up is too long, a stage trains on masks that no other makes, or its
            network has no loss to be validated by.
        FileNotFoundError: weights of a detector are neither here nor to be downloaded.
        RecipeError: a mix chooses among runs that are not finished or do not fit.
    """
    for cfg in stages:
        check_classes(cfg)
        if cfg.RECIPE.STAGE == "instance_mix":
            read_candidates(cfg)
            continue
        if cfg.RECIPE.STAGE == "detector_zoo":
            local_weights(cfg.MODEL.WEIGHTS)
        if cfg.RECIPE.STAGE.endswith(("_adapted", "_zoo")):  # no training: all processes see the same images
            continue
        for key, size in images_per_step(cfg).items():
            if size % num_processes:
                raise ValueError(
                    f"stage {cfg.RECIPE.STAGE}: SOLVER.{key} = {size} images per step do not divide over "
                    f"{num_processes} processes (--num-gpus x --num-machines); choose a multiple of {num_processes}"
                )
        check_schedule(cfg)
        require_masks(with_masks(cfg))
        require_validation_loss(cfg)


def check_finished(stages: Sequence[CfgNode], eval_only: bool) -> None:
    """Refuse what `run_stage` would refuse, before anything is written to the folder of a finished run.

    Args:
        stages: configs of the recipe.
        eval_only: only what the networks look like must be as it was.

    Raises:
        RecipeError: a stage is finished with other settings, or on stages that were made again since; or it is only to
            be evaluated and is not finished.
    """
    for stage in stages:
        if stage.RECIPE.ROUND > 1:  # the agreement of the rounds before decides whether it is visited at all
            continue
        for cfg in run_configs(with_masks(stage)):
            done = Path(cfg.OUTPUT_DIR) / "done.json"
            if eval_only:
                read_done(cfg.OUTPUT_DIR)
                prefixes = ("INSTANCE.MIX_",) if cfg.RECIPE.STAGE == "instance_mix" else ARCHITECTURE
                check_same_settings(cfg, done, prefixes)
            elif done.exists():
                check_record(cfg, done)


def check_data_sets(stages: Sequence[CfgNode]) -> None:
    """Find missing images and labels of a later stage before the first one begins; no file is opened.

    Args:
        stages: configs of the recipe; the data of finished ones may be gone.

    Raises:
        FileNotFoundError: images or labels are missing.
        ValueError: a data set is unknown, or DATASETS.VALIDATION holds labels of the target.
    """
    listed: set[tuple[str, ...]] = set()
    for stage in stages:
        runs = run_configs(with_masks(stage))
        if stage.RECIPE.STAGE == "instance_mix" or all(Path(cfg.OUTPUT_DIR, "done.json").exists() for cfg in runs):
            continue
        adapts = stage.RECIPE.STAGE.endswith(("_adapted", "_zoo"))
        for key, is_used in (("SOURCE", not adapts), ("TARGET", adapts or uses_target(stage))):
            if is_used and tuple(stage.DATASETS[key]) not in listed:
                load_dataset(stage.DATASETS[key], f"DATASETS.{key}")
                listed.add(tuple(stage.DATASETS[key]))
        if stage.DATASETS.VALIDATION and not adapts:
            validation_dicts(stage)


def check_classes(cfg: CfgNode) -> None:
    """Raise a ValueError when the network does not tell apart what the data sets have."""
    classes = classes_of(cfg)
    has_no_classifier = cfg.RECIPE.STAGE.startswith(("instance", "detector"))
    if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES != classes.num_classes and not has_no_classifier:
        raise ValueError(
            f"stage {cfg.RECIPE.STAGE}: MODEL.SEM_SEG_HEAD.NUM_CLASSES = {cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES}, but the "
            f"data sets have {classes.num_classes} classes: {', '.join(classes.names)}"
        )


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
