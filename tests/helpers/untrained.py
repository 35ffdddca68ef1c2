"""The folder of a finished run whose networks were never trained: made in seconds, for tests of what reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.recipe.configs import load_config, load_recipe
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.runs.records import run_once

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tiny import CONFIGS, NARROW
from torch import nn

NUM_CLASSES, ROAD, CAR = 19, 0, 13
OVERRIDES = [*NARROW, "INSTANCE.MIN_AREA", "0.0005", "MODEL.DEVICE", "cpu"]


def untrained_run(folder: Path, config: str = "instance_source.yaml", *overrides: str) -> Path:
    """What `tools/train_net.py --config-file CONFIG OUTPUT_DIR folder` would leave, with random weights."""
    config_file = CONFIGS / config
    arguments = [*OVERRIDES, *overrides, "OUTPUT_DIR", str(folder)]
    torch.manual_seed(0)
    for stage in load_recipe(config_file, arguments):
        for run in parts_of(stage):
            run_once(run, _save_random_weights)
    (folder / "config.yaml").write_text(load_config(config_file, arguments).dump())
    (folder / "results.json").write_text(json.dumps({"config": str(config_file)}))
    return folder


def _save_random_weights(cfg: CfgNode) -> dict[str, Any]:
    model = build_model(cfg)
    last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
    if last.out_channels == NUM_CLASSES:
        # Bright is car and dark is road, or the other way round; with the usual weights one class would win everywhere.
        nn.init.zeros_(last.weight)
        nn.init.normal_(last.weight[CAR], std=1.0)
        assert last.bias is not None
        nn.init.constant_(last.bias, -100.0)
        last.bias.data[[ROAD, CAR]] = 0.0
    DetectionCheckpointer(model, cfg.OUTPUT_DIR).save("model_final")
    return {}
