"""Weights of torchvision, random, in the place of those of ImageNet."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn


def torchvision_resnet(depth: int) -> nn.Module:
    """With random weights and random batch-norm statistics."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(f"resnet{depth}", weights=None).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
    return model


def res5(model: torchvision.models.ResNet, x: Tensor) -> Tensor:
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))
