"""A loss that is no number ends the run with a message, before it reaches the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.modeling.embedding_net import EmbeddingUNet
from ptseg_d2.recipe import stage_work as stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.training.nan_guard import NanGuard
from ptseg_d2.training.trainer import Trainer

import pytest
import torch
from detectron2.engine import HookBase
from detectron2.utils.events import EventStorage
from tiny import CONFIGS, TINY
from torch import Tensor, nn


class Weights(HookBase):
    """Keeps the weights as they are before each step."""

    def before_step(self) -> None:
        self.before = {name: value.clone() for name, value in self.trainer.model.state_dict().items()}


def test_nan_embeddings_name_iteration_and_terms(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second step on, the network returns NaN."""
    predict, calls, hook = EmbeddingUNet.predict_strided, [0], Weights()

    def broken(self: EmbeddingUNet, images: Tensor) -> Tensor:
        calls[0] += 1
        return predict(self, images) * (float("nan") if calls[0] == 2 else 1)

    monkeypatch.setattr(EmbeddingUNet, "predict_strided", broken)
    build_hooks = Trainer.build_hooks
    monkeypatch.setattr(Trainer, "build_hooks", lambda self: [*build_hooks(self), hook])
    overrides = [*TINY, "OUTPUT_DIR", str(tmp_path), "RECIPE.INIT_FROM", ""]
    run = load_recipe(CONFIGS / "instance_source.yaml", overrides)[-1]
    with pytest.raises(FloatingPointError) as caught:
        stages.train(run, resume=False)
    message = str(caught.value)
    assert "loss_pull = nan" in message and "loss_object = nan" in message
    assert f"at iteration 1 of {tmp_path}/instance_source" in message and "SOLVER.BASE_LR" in message
    trained = hook.trainer.model.named_parameters()
    assert all(torch.equal(parameter, hook.before[name]) for name, parameter in trained)


class Losses(nn.Module):
    """Returns what it is given."""

    def forward(self, losses: Any) -> Any:
        return losses


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_only_broken_terms_are_named(value: float) -> None:
    model = Losses()
    model.register_forward_hook(NanGuard("out/run"))
    with EventStorage(7), pytest.raises(FloatingPointError, match=rf"^loss_b = {value} at iteration 7 of out/run"):
        model({"loss_a": torch.tensor(1.0), "loss_b": torch.tensor(value)})


def test_finite_losses_and_predictions_pass() -> None:
    model = Losses()
    model.register_forward_hook(NanGuard("out/run"))
    model({"loss_a": torch.tensor(1e30)})
    model({})
    model.eval()([{"embeddings": torch.tensor(float("nan"))}])
