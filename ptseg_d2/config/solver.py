"""SOLVER: batches, optimiser and early stopping, beside Detectron2's own keys."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_solver_config(cfg: CfgNode) -> None:
    """Add the keys in place."""
    cfg.SOLVER.SOURCE_PER_BATCH = 8  # labelled source images per step, over all processes, >= 0
    cfg.SOLVER.TARGET_PER_BATCH = 2  # unlabelled target images per step, over all processes, >= 0
    cfg.SOLVER.OPTIMIZER = "SGD"  # "SGD" or "AdamW" (Detectron2's Panoptic-DeepLab has a key of this name)
    cfg.SOLVER.HEAD_LR_FACTOR = 1.0  # learning-rate factor of everything but the backbone ([SAC]: 10), > 0
    # time between two looks at the loss of DATASETS.VALIDATION, in iterations; 0 = once per epoch of the source
    cfg.SOLVER.VALIDATION_PERIOD = 0
    cfg.SOLVER.PATIENCE = 20  # looks without a lower loss after which training stops, >= 1
