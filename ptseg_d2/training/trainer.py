"""Detectron2's `DefaultTrainer` with source and target streams, our hooks and our evaluator."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import Any

from ptseg_d2.data.loader import JointLoader
from ptseg_d2.data.streams import build_streams, build_test_loader
from ptseg_d2.evaluation.evaluators import PanopticEvaluator
from ptseg_d2.modeling.building import build_stage_model
from ptseg_d2.modeling.distributed import unwrap
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher
from ptseg_d2.stages import StageInputs
from ptseg_d2.training.checkpoints import load_start
from ptseg_d2.training.early_stopping import StopTraining, early_stopping_hooks
from ptseg_d2.training.hooks import ProgressBar, RandomStateHook
from ptseg_d2.training.nan_guard import NanGuard
from ptseg_d2.training.oracle_curves import OraclePseudoInstanceCurves
from ptseg_d2.training.pseudo_label_pictures import PseudoLabelPictures

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.hooks import EvalHook
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.projects.deeplab import build_lr_scheduler
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.utils.events import EventWriter, JSONWriter, TensorboardXWriter
from torch import nn


def check_schedule(cfg: CfgNode) -> None:
    """Raise a ValueError when the warm-up is as long as the training."""
    if cfg.SOLVER.WARMUP_ITERS >= cfg.SOLVER.MAX_ITER:
        raise ValueError(
            f"stage {cfg.RECIPE.STAGE}: SOLVER.WARMUP_ITERS = {cfg.SOLVER.WARMUP_ITERS} must be below SOLVER.MAX_ITER "
            f"= {cfg.SOLVER.MAX_ITER}: the learning rate would never leave its warm-up"
        )


class Trainer(DefaultTrainer):
    """Trains any of ptseg_d2's meta-architectures; needs MODEL.META_ARCHITECTURE, DATASETS.SOURCE/TARGET."""

    def __init__(self, cfg: CfgNode, inputs: StageInputs) -> None:
        """
        Args:
            cfg: config of one stage.
            inputs: what it takes from earlier ones.

        Raises:
            ValueError: the warm-up is as long as the training.
        """
        check_schedule(cfg)
        self.inputs = inputs
        super().__init__(_with_total_batch(cfg))
        self.model.register_forward_hook(NanGuard(cfg.OUTPUT_DIR))

    def build_model(self, cfg: CfgNode) -> nn.Module:
        """The model of the stage, for the group of classes among its inputs."""
        model = build_stage_model(cfg, self.inputs)
        logging.getLogger("detectron2.engine.defaults").info("Model:\n%s", model)
        return model

    def build_train_loader(self, cfg: CfgNode) -> JointLoader:
        """Source and target streams, as the meta-architecture needs them."""
        return JointLoader(build_streams(cfg, self.inputs), cfg.DATALOADER.NUM_WORKERS)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """Detectron2's test loader; images in RGB at their own size."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Scores whatever the model predicts: classes, panoptic segments or both."""
        return PanopticEvaluator(dataset_name, bootstrap=0)  # `test` logs flat numbers, without the intervals

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """SGD or [AdamW] on Detectron2's parameter groups, with a learning-rate factor for the heads."""
        kinds: dict[str, Any] = {
            "SGD": partial(torch.optim.SGD, momentum=cfg.SOLVER.MOMENTUM, nesterov=cfg.SOLVER.NESTEROV),
            "AdamW": torch.optim.AdamW,
        }
        if cfg.SOLVER.OPTIMIZER not in kinds:
            raise ValueError(f"SOLVER.OPTIMIZER = {cfg.SOLVER.OPTIMIZER!r}; expected 'SGD' or 'AdamW'")
        optimizer = kinds[cfg.SOLVER.OPTIMIZER](_parameter_groups(cfg, model), lr=cfg.SOLVER.BASE_LR)
        return maybe_add_gradient_clipping(cfg, optimizer)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """Detectron2's schedules and "WarmupPolyLR" of its DeepLab project.

        "WarmupMultiStepLR" with empty SOLVER.STEPS and SOLVER.WARMUP_ITERS = 0 is a constant rate.
        """
        return build_lr_scheduler(cfg, optimizer)

    def build_hooks(self) -> list[HookBase | None]:
        """Detectron2's hooks; teacher updates come before the checkpointer, so that it saves their result.

        What looks at student and teacher comes before them.
        """
        model = unwrap(self.model)
        of_model: list[HookBase] = getattr(model, "build_hooks", list)()
        stopping = early_stopping_hooks(self.cfg, model, self.checkpointer.save)
        ours = [*_lookers(self.cfg, self.inputs, model), *of_model, *stopping, RandomStateHook()]
        theirs = super().build_hooks()
        if self.cfg.TEST.EVAL_PERIOD == 0:  # Detectron2 0.6 would still evaluate at the end; the recipe does that
            theirs = [hook for hook in theirs if not isinstance(hook, EvalHook)]
        return [*ours, *theirs]

    def train(self) -> Any:
        """Train to SOLVER.MAX_ITER, or until the validation loss falls no more."""
        try:
            return super().train()
        except StopTraining:
            return None

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> dict[str, Any]:
        """Scores on DATASETS.TEST during training, without the per-class ones (Detectron2 logs flat numbers)."""
        results: dict[str, Any] = {}
        for name in cfg.DATASETS.TEST:
            scores = inference_on_dataset(model, cls.build_test_loader(cfg, name), cls.build_evaluator(cfg, name))
            for section, values in (scores or {}).items():
                flat = {key: value for key, value in values.items() if isinstance(value, (int, float))}
                results.setdefault(section, {}).update(flat)
        return results

    def build_writers(self) -> list[EventWriter]:
        """A progress bar, metrics.json and TensorBoard."""
        folder = self.cfg.OUTPUT_DIR
        description = os.path.relpath(folder, os.path.dirname(os.path.dirname(folder)) or ".")
        return [
            ProgressBar(description, self.max_iter),
            JSONWriter(os.path.join(folder, "metrics.json")),
            TensorboardXWriter(folder),
        ]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds besides the model; Detectron2 0.6 forgets the optimiser."""
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    def resume_or_load(self, resume: bool = True) -> None:
        """As Detectron2's, and the data go on where the checkpoint left them."""
        if resume and self.checkpointer.has_checkpoint():
            super().resume_or_load(resume)
        else:
            load_start(self.model, self.cfg)
        self.data_loader.start_step = self.start_iter


def _with_total_batch(cfg: CfgNode) -> CfgNode:
    """IMS_PER_BATCH is derived: Detectron2 uses it for scaling and logging only."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.IMS_PER_BATCH = cfg.SOLVER.SOURCE_PER_BATCH + cfg.SOLVER.TARGET_PER_BATCH
    cfg.freeze()
    return cfg


def _lookers(cfg: CfgNode, inputs: StageInputs, model: nn.Module) -> list[HookBase]:
    """Hooks that look at student and teacher and change nothing."""
    hooks: list[HookBase] = []
    if not isinstance(model, MomentumTeacher):
        return hooks
    if min(cfg.EVAL.PSEUDO_LABEL_PICTURES, cfg.SOLVER.TARGET_PER_BATCH) > 0 and model.makes_labels:
        hooks.append(PseudoLabelPictures(cfg, inputs, model))
    if cfg.EVAL.ORACLE_CURVES and isinstance(model, EmbeddingMomentumTeacher):
        hooks.append(OraclePseudoInstanceCurves(cfg, inputs, model))
    return hooks


def _parameter_groups(cfg: CfgNode, model: nn.Module) -> list[dict[str, Any]]:
    """Detectron2's groups (weight decay of norms and biases), split into backbone and heads.

    Those of [SAC], "parameter groups", come out with BIAS_LR_FACTOR 2, HEAD_LR_FACTOR 10, WEIGHT_DECAY_BIAS 0 and
    WEIGHT_DECAY_NORM = WEIGHT_DECAY: what a batch norm adds is a bias, what it multiplies with is a weight.
    """
    heads = {id(p) for name, p in model.named_parameters() if "backbone." not in name}
    defaults = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
    )
    groups = []
    for group in defaults:
        for is_head, factor in ((False, 1.0), (True, cfg.SOLVER.HEAD_LR_FACTOR)):
            parameters = [p for p in group["params"] if (id(p) in heads) == is_head]
            if parameters:
                groups.append({**group, "params": parameters, "lr": factor * group["lr"]})
    return groups


def check_meta_architecture(cfg: CfgNode) -> None:
    """Raise a ValueError that lists the registered names when MODEL.META_ARCHITECTURE is none of them."""
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in META_ARCH_REGISTRY:
        known = ", ".join(sorted(key for key, _ in META_ARCH_REGISTRY))
        raise ValueError(f"MODEL.META_ARCHITECTURE = {name!r} is not registered; expected one of: {known}")
