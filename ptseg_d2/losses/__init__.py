"""Training losses as plain functions on tensors; modules only hold options."""

from __future__ import annotations

from ptseg_d2.losses.consistency import ConsistencyLoss
from ptseg_d2.losses.embedding import EmbeddingLoss
from ptseg_d2.losses.semantic import cross_entropy, focal_confidence_loss

__all__ = ["ConsistencyLoss", "EmbeddingLoss", "cross_entropy", "focal_confidence_loss"]
