"""The folder of a finished run whose networks were never trained: made in seconds, for tests of what reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.modeling.building import build_stage_model
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.finished_run import note_command
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.runs.records import run_once
from ptseg_d2.stages import StageRun

import torch
from detectron2.checkpoint import DetectionCheckpointer
from tiny import CONFIGS, NARROW
from torch import nn

NUM_CLASSES, ROAD, CAR = 19, 0, 13
OVERRIDES = [*NARROW, "INSTANCE.MIN_AREA", "0.0005", "MODEL.DEVICE", "cpu"]


def untrained_run(folder: Path, config: str = "instance_source.yaml", *overrides: str) -> Path:
    """What `tools/train_net.py --config-file CONFIG OUTPUT_DIR folder` would leave, with random weights."""
    config_file = CONFIGS / config
    arguments = [*OVERRIDES, *overrides, "OUTPUT_DIR", str(folder)]
    torch.manual_seed(0)
    for run in load_recipe(config_file, arguments):
        for part in parts_of(run):
            run_once(part, _save_random_weights)
    note_command(folder, str(config_file), arguments)
    return folder


def _save_random_weights(run: StageRun) -> dict[str, Any]:
    model = build_stage_model(run.cfg, run.inputs)
    last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
    if last.out_channels == NUM_CLASSES:
        # Bright is car and dark is road, or the other way round; with the usual weights one class would win everywhere.
        nn.init.zeros_(last.weight)
        nn.init.normal_(last.weight[CAR], std=1.0)
        assert last.bias is not None
        nn.init.constant_(last.bias, -100.0)
        last.bias.data[[ROAD, CAR]] = 0.0
    DetectionCheckpointer(model, run.cfg.OUTPUT_DIR).save("model_final")
    return {}
