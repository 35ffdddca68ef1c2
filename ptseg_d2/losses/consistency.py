"""Consistency of the student's and the teacher's embeddings ([SPOCO]; [thesis], Eq. 7.10).

Shapes: N images, E embedding dims, H x W pixels, M pixels of a region, A anchors. Around the same anchor pixel each
network's embeddings make a soft mask, and the Dice loss asks both masks to be alike. Only distances within one
space are used, so the two spaces may differ by any rotation or shift.

The region is the predicted mask of the classes that the network separates, because only there are its embeddings
clustered and its anchors drawn ([thesis], Algorithm 2); elsewhere they may be anything.

On a GPU the gradients of the anchors are atomic additions in no fixed order: their last bits may differ between runs.
"""

from __future__ import annotations

from ptseg_d2.losses.embedding import kernel_width

import torch
from torch import Tensor, nn


def consistency_loss(
    student: Tensor,
    teacher: Tensor,
    region: Tensor,
    *,
    radius: float,
    two_sigma2: float,
    max_anchors: int,
    rest: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean over anchors of 1 - Dice(S_student, S_teacher) over the region of one image.

    Args:
        student: (E, H, W) float; gets the gradient, as anchor too.
        teacher: (E, H, W) float, no gradient.
        region: (H, W) bool, pixels that are compared.
        radius: distance in embedding units within which pixels count as covered by an anchor (delta_var).
        two_sigma2: width of the masks, see `kernel_width`.
        max_anchors: anchors at most.
        rest: share of the region's pixels, in [0, 1), that may stay uncovered; of the image's, a class that covers
            less of it would never be compared. An empty region costs a zero that keeps the graph.
        generator: of the anchors, on the CPU; None = the global one.
    """
    indices = region.flatten().nonzero().squeeze(1)
    if len(indices) == 0 or max_anchors < 1:
        return student.sum() * 0
    f, g = (maps.flatten(1).index_select(1, indices) for maps in (student, teacher.detach()))
    anchors = draw_anchors(f.detach(), g, radius, max_anchors, int(rest * len(indices)), generator)
    return anchor_loss(f, g, anchors, two_sigma2)


def draw_anchors(
    student: Tensor,
    teacher: Tensor,
    radius: float,
    max_anchors: int,
    rest: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw pixels until the discs around them cover all but `rest` pixels.

    Args:
        student, teacher: (E, M) float, M > rest.
        radius: of the discs.
        max_anchors: draws at most, > 0.
        rest: pixels that may stay uncovered.
        generator: on the CPU; None = the global one.

    Returns:
        (A,) int64, 1 <= A <= max_anchors: each uniform among the pixels that those before it left uncovered.
    """
    # The first uncovered pixel in a random order is uniform among the uncovered ones.
    order = torch.randperm(student.shape[1], generator=generator).to(student.device)
    spaces = [space.index_select(1, order) for space in (student, teacher)]
    uncovered = torch.ones_like(order, dtype=torch.uint8)
    drawn: list[Tensor] = []
    while len(drawn) < max_anchors and (not drawn or int(uncovered.sum()) > rest):
        anchor = uncovered.argmax()
        drawn.append(anchor)
        # A pixel goes when it is near in either space: together the masks of both shall cover the region, and an
        # anchor there would repeat one of the two. The anchor itself goes even where its embedding is NaN.
        for space in spaces:
            distances = (space - space.index_select(1, anchor[None])).square_().sum(0)
            uncovered.masked_fill_(distances <= radius**2, 0)
        uncovered[anchor] = 0
    return order[torch.stack(drawn)]


def anchor_loss(student: Tensor, teacher: Tensor, anchors: Tensor, two_sigma2: float) -> Tensor:
    """Mean over anchors of 1 - 2 sum(p q) / (sum p^2 + sum q^2) with masks p, q = exp(-d^2 / two_sigma2).

    Per anchor, so that a small object counts like a large one; each mask is 1 at its anchor, so no epsilon.

    Args:
        student, teacher: (E, M) float.
        anchors: (A,) int64, 0..M-1.
        two_sigma2: width of the masks.
    """
    p, q = (_soft_masks(space, anchors, two_sigma2) for space in (student, teacher.detach()))
    return (1 - 2 * (p * q).sum(1) / (p.square().sum(1) + q.square().sum(1))).mean()


def _soft_masks(embeddings: Tensor, anchors: Tensor, two_sigma2: float) -> Tensor:
    """(A, M) from embeddings (E, M); distances by a product, around an origin near the points to keep digits."""
    points = embeddings - embeddings.detach().mean(1, keepdim=True)
    square = points.square().sum(0)
    centers = points.index_select(1, anchors)
    distances = torch.addmm(square.expand(len(anchors), -1), centers.t(), points, alpha=-2) + square[anchors, None]
    return torch.exp(distances.clamp(min=0) / -two_sigma2)


class ConsistencyLoss(nn.Module):
    """`consistency_loss` of a batch."""

    def __init__(
        self,
        weight: float = 1.0,
        delta_var: float = 0.5,
        kernel_threshold: float = 0.5,
        max_anchors: int = 20,
        rest: float = 0.05,
    ) -> None:
        """
        Args:
            weight: of the term, >= 0.
            delta_var: radius of an instance, in embedding units.
            kernel_threshold: value of the soft mask at that radius, in (0, 1).
            max_anchors: anchors per image at most.
            rest: share of an image's region that may stay uncovered, in [0, 1).
        """
        super().__init__()
        self.weight, self.radius = weight, delta_var
        self.two_sigma2 = kernel_width(delta_var, kernel_threshold)
        self.max_anchors, self.rest = max_anchors, rest

    def forward(self, student: Tensor, teacher: Tensor, region: Tensor) -> dict[str, Tensor]:
        """{"loss_consistency": weight * mean over the images}.

        Args:
            student, teacher: (N, E, H, W) float; computed in float32 at least, also under autocast.
            region: (N, H, W) bool.
        """
        if student.dtype in (torch.float16, torch.bfloat16):
            student = student.float()
        with torch.autocast(device_type=student.device.type, enabled=False):
            losses = [
                consistency_loss(
                    *image,
                    radius=self.radius,
                    two_sigma2=self.two_sigma2,
                    max_anchors=self.max_anchors,
                    rest=self.rest,
                )
                for image in zip(student, teacher.to(student.dtype), region)
            ]
        return {"loss_consistency": self.weight * torch.stack(losses).mean()}
