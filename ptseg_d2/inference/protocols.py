"""What the parts of a system ask of each other: networks and systems need no common base class.

Shapes: N images of H x W pixels, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class DensePredictor(Protocol):
    """A network that predicts maps of whole images."""

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) RGB grey levels 0-255 -> maps by name, (N, channels, H, W): "sem_seg" logits, "embeddings"."""
        ...


@runtime_checkable
class StridedPredictor(Protocol):
    """A network that predicts its one map at the resolution of its head."""

    def predict_strided(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) RGB grey levels 0-255 -> (N, channels, h, w), covering exactly H x W pixels."""
        ...


EmbeddingNetworks = Sequence[tuple[tuple[int, ...], DensePredictor]]
"""Thing classes and the network whose "embeddings" separate them."""


class PanopticSystem(Protocol):
    """What evaluation, prediction and report ask of a system; Detectron2's protocol, of one network or of several.

    Attributes:
        min_score: instances of a lower score become void, in [0, 1]; may be set.
    """

    min_score: float

    @property
    def embedding_networks(self) -> EmbeddingNetworks | None:
        """What separates its objects; None = something else than embeddings."""
        ...

    def __call__(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Per image `sem_seg` (C, height, width) logits and, of a system that separates objects, `panoptic_seg`."""
        ...


def as_predictor(network: nn.Module) -> DensePredictor:
    """A network that was loaded by name, as one that predicts whole images.

    Raises:
        TypeError: it has no `predict`, as a network of both branches or a detector.
    """
    if not isinstance(network, DensePredictor):
        raise TypeError(f"{type(network).__name__} predicts no dense maps: it has no `predict`")
    return network
