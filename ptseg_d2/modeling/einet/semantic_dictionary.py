"""One centre embedding per class, a moving average over training ([EINet], A.2).

Shapes: N images, C classes, E embedding dims, h x w pixels. Class 255 = void.
"""

from __future__ import annotations

from ptseg_d2.modeling.distributed import sum_over_processes

import torch
from torch import Tensor, nn

_UNSEEN = -1e4
"""Logit of a class that was never seen; minus infinity for all of them would make the softmax NaN."""


def class_sums(embeddings: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Sums (C, E) of the embeddings of each class and numbers of pixels (C,), both float32.

    Args:
        embeddings: (N, E, h, w) float.
        labels: (N, h, w) int64 train ids; those outside 0..C-1 count nowhere.
        num_classes: C.
    """
    one_hot = (labels.flatten(1)[:, None] == torch.arange(num_classes, device=labels.device)[:, None]).float()
    sums = torch.bmm(one_hot, embeddings.flatten(2).float().transpose(1, 2)).sum(0)
    return sums, one_hot.sum((0, 2))


class SemanticDictionary(nn.Module):
    """The centres Q as buffers: a checkpoint keeps them, no gradient changes them."""

    centers: Tensor
    seen: Tensor

    def __init__(self, num_classes: int, dim: int, momentum: float) -> None:
        """
        Args:
            num_classes: C.
            dim: E.
            momentum: weight of the old centre at each update, in [0, 1).

        Raises:
            ValueError: momentum is outside [0, 1).
        """
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"MODEL.EINET.DICTIONARY_MOMENTUM = {momentum}; expected a number in [0, 1)")
        self.momentum = momentum
        self.register_buffer("centers", torch.zeros(num_classes, dim))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.bool))

    @torch.no_grad()
    def update_(self, embeddings: Tensor, labels: Tensor) -> None:
        """Q_j <- momentum Q_j + (1 - momentum) V_j for the classes j of a batch ([EINet], Eq. 1).

        V_j is the mean over the pixels of all processes. The first V_j of a class becomes its centre as it is: a
        moving average that began at 0 would be too short for many steps.

        Args:
            embeddings: (N, E, h, w).
            labels: (N, h, w) int64.
        """
        sums, counts = (sum_over_processes(x) for x in class_sums(embeddings, labels, len(self.centers)))
        present = counts > 0
        means = sums / counts.clamp(min=1)[:, None]
        momentum = torch.where(present, torch.where(self.seen, self.momentum, 0.0), 1.0)[:, None]
        self.centers.copy_(momentum * self.centers + (1 - momentum) * means)
        self.seen.logical_or_(present)

    def similarity(self, embeddings: Tensor) -> Tensor:
        """Cosine between a pixel and each centre, both seen from the middle of all centres.

        Embeddings that come out of a ReLU all point the same way; from the middle they differ in direction.

        Args:
            embeddings: (N, E, h, w).

        Returns:
            (N, C, h, w) float32 in [-1, 1], 0 for a class that was never seen.
        """
        middle = self._middle()
        centers = nn.functional.normalize(self.centers - middle, dim=1) * self.seen[:, None]
        pixels = nn.functional.normalize(embeddings.float() - middle[:, None, None], dim=1)
        return nn.functional.conv2d(pixels, centers[:, :, None, None])

    def recall(self, similarity: Tensor, sharpness: float | Tensor) -> Tensor:
        """What the dictionary knows about a pixel: the centres, weighted with the softmax of the similarities.

        Args:
            similarity: (N, C, h, w) of `similarity`.
            sharpness: factor before the softmax, > 0.

        Returns:
            (N, E, h, w) float32, seen from the middle of all centres; 0 while no class was seen.
        """
        weights = (sharpness * similarity).masked_fill(~self.seen[:, None, None], _UNSEEN).softmax(1)
        centers = (self.centers - self._middle()) * self.seen[:, None]
        return nn.functional.conv2d(weights, centers.T[:, :, None, None])

    def _middle(self) -> Tensor:
        """(E,) mean of the centres of the classes that were seen."""
        return self.centers.sum(0) / self.seen.sum().clamp(min=1)
