"""The mean of several networks, one step of the multi-band transfer of [FDA].

Networks that were trained with different windows (beta) err differently. Shapes: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class MeanOfNetworks(nn.Module):
    """Averages the softmax of several networks ([FDA], Eq. 8); Detectron2's protocol in and out."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        """
        Args:
            networks: each predicts {"sem_seg": logits (C, height, width)} per image in evaluation mode.
        """
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Tensor]]:
        """List of {"sem_seg": probabilities (C, height, width)}."""
        outputs = [network(batched_inputs) for network in self.networks]
        return [
            {"sem_seg": torch.stack([item["sem_seg"].softmax(dim=0) for item in items]).mean(dim=0)}
            for items in zip(*outputs)
        ]
