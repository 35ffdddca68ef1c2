"""The mean of networks is a mean of probabilities."""

from __future__ import annotations

from typing import Any

from ptseg_d2.inference.ensemble import MeanOfNetworks

import torch
from torch import nn


class Constant(nn.Module):
    """Predicts the same logits everywhere."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits).view(-1, 1, 1)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, torch.Tensor]]:
        return [{"sem_seg": self.logits.repeat(1, item["height"], item["width"])} for item in batched_inputs]


def test_mean_of_networks_averages_probabilities() -> None:
    mean = MeanOfNetworks([Constant([0.0, 2.0]), Constant([1.0, 0.0])])
    small, wide = mean([{"height": 1, "width": 1}, {"height": 1, "width": 3}])
    expected = (torch.tensor([0.0, 2.0]).softmax(0) + torch.tensor([1.0, 0.0]).softmax(0)) / 2
    torch.testing.assert_close(small["sem_seg"].flatten(), expected)
    torch.testing.assert_close(wide["sem_seg"], expected.view(2, 1, 1).expand(2, 1, 3))
