"""Learning rates and weight decays: which parameter gets which, and how they change."""

from __future__ import annotations

from ptseg_d2.config import get_ptseg_cfg
from ptseg_d2.recipe.configs import load_config
from ptseg_d2.training.trainer import Trainer

import pytest
import torch
from detectron2.config import CfgNode
from tiny import CONFIGS
from torch import nn


class TwoParts(nn.Module):
    """One convolution with batch norm and one classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))


@pytest.mark.parametrize("wrap", [False, True], ids=["network", "student"])
def test_rates_and_decays_are_those_of_sac(wrap: bool) -> None:
    """2.5e-4; bias x2, head x10, head bias x20; decay 5e-4 but none on what is added ([SAC], "parameter groups")."""
    network = TwoParts()
    model = nn.ModuleDict({"student": network}) if wrap else network
    cfg = load_config(CONFIGS / "cityscapes" / "semantic_selftrain.yaml")
    optimizer = Trainer.build_optimizer(cfg, model)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert {name: found[id(parameter)] for name, parameter in network.named_parameters()} == {
        "backbone.0.weight": pytest.approx((2.5e-4, 5e-4)),
        "backbone.0.bias": pytest.approx((5e-4, 0)),
        "backbone.1.weight": pytest.approx((2.5e-4, 5e-4)),
        "backbone.1.bias": pytest.approx((5e-4, 0)),
        "head.0.weight": pytest.approx((2.5e-3, 5e-4)),
        "head.0.bias": pytest.approx((5e-3, 0)),
        "head.1.weight": pytest.approx((2.5e-3, 5e-4)),
        "head.1.bias": pytest.approx((5e-3, 0)),
    }
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.9 and not optimizer.defaults["nesterov"]


def rates(cfg: CfgNode, iterations: int) -> list[float]:
    """The learning rate of each iteration."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = Trainer.build_lr_scheduler(cfg, optimizer)
    found = []
    for _ in range(iterations):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_constant_rate() -> None:
    cfg = load_config(CONFIGS / "cityscapes" / "semantic_source.yaml", ["SOLVER.MAX_ITER", "5"])
    assert rates(cfg, 5) == [1.0] * 5


def test_poly_rate() -> None:
    cfg = get_ptseg_cfg()
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupPolyLR"
    cfg.SOLVER.MAX_ITER = 4
    cfg.SOLVER.WARMUP_ITERS = 0
    cfg.SOLVER.POLY_LR_POWER = 2.0
    assert rates(cfg, 4) == pytest.approx([1.0, 0.75**2, 0.5**2, 0.25**2])
