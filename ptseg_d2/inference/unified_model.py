"""A network that gives classes and instances at once, in the place of a `PanopticModel` of two branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ptseg_d2.inference.protocols import EmbeddingNetworks

import torch
from torch import Tensor, nn

Panoptic = tuple[Tensor, list[dict[str, Any]]]
"""(H, W) integer segment ids, 0 = void, and per segment "id", "isthing" and, of things, "score"."""


class UnifiedPanopticModel(nn.Module):
    """Calls a meta-architecture whose evaluation outputs hold "sem_seg" and "panoptic_seg".

    `min_score` may be set: instances of a lower score become void.
    """

    embedding_networks: EmbeddingNetworks | None = None

    def __init__(self, network: nn.Module, min_score: float = 0.0) -> None:
        """
        Args:
            network: Detectron2's protocol, each image at its `height` x `width`.
            min_score: in [0, 1].
        """
        super().__init__()
        self.network = network
        self.min_score = min_score
        self.eval()

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Per image `sem_seg` (C, height, width) logits and `panoptic_seg`."""
        outputs: list[dict[str, Any]] = self.network(list(batched_inputs))
        kept = [drop_low_score_segments(output["panoptic_seg"], self.min_score) for output in outputs]
        return [{**output, "panoptic_seg": panoptic} for output, panoptic in zip(outputs, kept)]


def drop_low_score_segments(panoptic: Panoptic, min_score: float) -> Panoptic:
    """A panoptic result without the instances below a score in [0, 1]."""
    ids, segments = panoptic
    unsure = [s["id"] for s in segments if s["isthing"] and s.get("score", 1.0) < min_score]
    if not unsure:
        return ids, segments
    is_unsure = torch.isin(ids, torch.tensor(unsure, dtype=ids.dtype, device=ids.device))
    return ids.masked_fill(is_unsure, 0), [s for s in segments if s["id"] not in unsure]
