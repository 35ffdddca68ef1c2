"""A run that was killed and resumed is the run that was not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ptseg_d2.recipe import stage_work as stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.stages import StageRun
from ptseg_d2.training.trainer import Trainer

import pytest
import torch
from detectron2.engine import HookBase
from tiny import CONFIGS, TINY


class Kill(HookBase):
    """Stops the process' work in the middle of iteration 3, after the checkpoint of iteration 1."""

    def after_step(self) -> None:
        if self.trainer.iter == 3:
            raise KeyboardInterrupt


def stage_run(config: str, output: Path) -> StageRun:
    """The last stage of a config, alone: from random weights, without masks."""
    overrides = ["RECIPE.INIT_FROM", "", "RECIPE.MASKS_FROM", "", "SOLVER.MAX_ITER", "5"]
    overrides += ["MODEL.SELF_TRAINING.EMA_INTERVAL", "2", "MODEL.SELF_TRAINING.CLASS_MIX", "True"]
    run = load_recipe(CONFIGS / config, [*TINY, "OUTPUT_DIR", str(output), *overrides])[-1]
    return dataclasses.replace(run, stage=dataclasses.replace(run.stage, writes=None))


@pytest.mark.parametrize("config", ["semantic_selftrain.yaml", "instance_source.yaml"])
def test_resumed_run_ends_with_the_same_weights(
    config: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages.train(stage_run(config, tmp_path / "whole"), resume=False)

    run = stage_run(config, tmp_path / "parts")
    build_hooks = Trainer.build_hooks
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "build_hooks", lambda self: [*build_hooks(self), Kill()])
        with pytest.raises(KeyboardInterrupt):
            stages.train(run, resume=False)
    torch.rand(7)  # whatever happened in between
    stages.train(run, resume=True)

    folder = run.folder.name
    whole = torch.load(tmp_path / "whole" / folder / "model_final.pth", weights_only=False)["model"]
    parts = torch.load(tmp_path / "parts" / folder / "model_final.pth", weights_only=False)["model"]
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(torch.as_tensor(whole[name]), torch.as_tensor(parts[name]))] == []
