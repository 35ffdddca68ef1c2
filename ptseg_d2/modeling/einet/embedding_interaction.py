"""Semantic and instance embeddings change each other ([EINet], "interaction").

[EINet] says what the interaction does (A.1, B.1), its equations are in the paper itself; these are ours:
instance embeddings modulate the semantic ones, what the dictionary recalls for those modulates the instance embeddings
back, and a pixel's similarity to each class centre is added to the logit of that class.

Shapes: N images, C classes, E semantic and D instance embedding dims, h x w pixels.
"""

from __future__ import annotations

from typing import NamedTuple

from ptseg_d2.modeling.einet.semantic_dictionary import SemanticDictionary

import torch
from torch import Tensor, nn

FIRST_SHARPNESS = 5.0
"""Of the softmax over cosines: a pixel at a centre and 90 degrees from the rest is e^5 times as likely of its class."""


class Interacted(NamedTuple):
    """Embeddings that have seen each other.

    Attributes:
        semantic: (N, E, h, w).
        instance: (N, D, h, w).
        class_evidence: (N, C, h, w) float32, to be added to the logits; 0 for classes that were never seen.
    """

    semantic: Tensor
    instance: Tensor
    class_evidence: Tensor


class Modulation(nn.Module):
    """x * (1 + scale) + shift, both linear in a guide; begins as the identity."""

    def __init__(self, guide_dim: int, dim: int) -> None:
        """
        Args:
            guide_dim: channels of the guide.
            dim: channels of x.
        """
        super().__init__()
        self.linear = nn.Conv2d(guide_dim, 2 * dim, 1)
        nn.init.zeros_(self.linear.weight)
        assert self.linear.bias is not None
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(N, dim, h, w) and (N, guide_dim, h, w) -> (N, dim, h, w)."""
        scale, shift = self.linear(guide).chunk(2, dim=1)
        return x * (1 + scale) + shift


class EmbeddingInteraction(nn.Module):
    """Both directions and the dictionary between them."""

    def __init__(self, semantic_dim: int, instance_dim: int, dictionary: SemanticDictionary) -> None:
        """
        Args:
            semantic_dim: E.
            instance_dim: D.
            dictionary: of C centres with E dims.
        """
        super().__init__()
        self.dictionary = dictionary
        self.to_semantic = Modulation(instance_dim, semantic_dim)
        self.to_instance = Modulation(semantic_dim, instance_dim)
        self.sharpness = nn.Parameter(torch.tensor(FIRST_SHARPNESS))

    def forward(self, semantic: Tensor, instance: Tensor, labels: Tensor | None = None) -> Interacted:
        """Let the embeddings interact; with labels, in training mode, the dictionary first learns from them.

        Args:
            semantic: (N, E, h, w).
            instance: (N, D, h, w).
            labels: (N, h, w) int64 train ids, 255 = void; None = unknown.
        """
        semantic = self.to_semantic(semantic, instance)
        if self.training and labels is not None:
            self.dictionary.update_(semantic.detach(), labels)
        with torch.autocast(semantic.device.type, enabled=False):
            similarity = self.dictionary.similarity(semantic)
            recalled = self.dictionary.recall(similarity, self.sharpness)
            evidence = self.sharpness * similarity
        return Interacted(semantic, self.to_instance(instance, recalled.to(semantic.dtype)), evidence)
