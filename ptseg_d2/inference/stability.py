"""How well instances are what the networks themselves would draw: the score of pseudo instances and of predictions.

Shapes: E embedding dims, K instances, H x W pixels, A anchors per instance. Instance id <= 0 = none.
"""

from __future__ import annotations

from collections.abc import Sequence

from ptseg_d2.inference.clustering import one_thread
from ptseg_d2.inference.modes import blocks, squared_distances

import torch
from torch import Tensor

_POINTS_PER_ANCHOR = 16
"""Pixels whose mean is an anchor ([thesis], section 7.2); a single one may lie at the border of its object."""


@torch.no_grad()
@one_thread()
def instance_stability(
    instance_ids: Tensor,
    networks: Sequence[Tensor],
    radius: float,
    num_anchors: int = 1,
    rng: torch.Generator | None = None,
) -> dict[int, float]:
    """How well each instance is what the networks themselves would draw around its anchors.

    An anchor is the mean embedding of a few random pixels of an instance. Its mask in a network is the ball around it:
    every pixel of the image, inside the class mask or not, whose embedding is within the radius. The score is the
    median over the anchors of the IoU of the instance and these masks, |all of them| / |any of them|. A wrong region
    of a class mask looks like what surrounds it, and a fragment like the rest of its object: there the ball spills
    over, which the probabilities of the semantic network do not tell.

    Args:
        instance_ids: (H, W) int64.
        networks: one or more (E, H, W) float, of the same image in the same frame: the student's and the teacher's.
        radius: in embedding units.
        num_anchors: per instance; 1 = the mean of all its pixels, and nothing is random, but on a GPU the last bits of
            that mean (atomic additions).
        rng: CPU generator of the anchors; None = torch's global one.

    Returns:
        id -> score in [0, 1]; 0 where embeddings are not finite.
    """
    ids = instance_ids.flatten()
    pixels = torch.nonzero(ids > 0)[:, 0]
    if len(pixels) == 0:
        return {}
    pixels = pixels[ids[pixels].argsort(stable=True)]
    numbers, sizes = ids[pixels].unique_consecutive(return_counts=True)
    members = _anchor_members(sizes, num_anchors, rng)
    with torch.autocast(ids.device.type, enabled=False):
        clouds = [_centred(network) for network in networks]
        anchors = [_mean_of(cloud[pixels], sizes, members) for cloud in clouds]
        owners, ids = numbers.repeat_interleave(num_anchors)[:, None].int(), ids.int()  # compared faster than int64
        # All anchors meet a few pixels at once: one after another each would read the whole image from memory.
        parts = zip(blocks(ids, len(owners)), *(blocks(cloud, len(owners)) for cloud in clouds))
        counts = torch.stack([_overlap(anchors, part, owners == here, radius) for here, *part in parts]).sum(0)
    scores = (counts[0] / counts[1]).view(len(numbers), num_anchors).quantile(0.5, dim=1)
    return dict(zip(numbers.tolist(), scores.tolist()))


def _anchor_members(sizes: Tensor, num_anchors: int, rng: torch.Generator | None) -> Tensor | None:
    """(K, A, points) places of the drawn pixels among all, sorted by instance; None = all pixels, one anchor."""
    if num_anchors == 1:
        return None
    draws = torch.rand(len(sizes), num_anchors, _POINTS_PER_ANCHOR, generator=rng).to(sizes.device)
    size = sizes[:, None, None]
    return (sizes.cumsum(0) - sizes)[:, None, None] + (draws * size).long().clamp(max=size - 1)


def _mean_of(points: Tensor, sizes: Tensor, members: Tensor | None) -> Tensor:
    """Anchors (K A, E) of the points (M, E) of all instances, sorted by instance."""
    if members is not None:
        return points[members].mean(2).flatten(0, 1)
    owners = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    return points.new_zeros(len(sizes), points.shape[1]).index_add_(0, owners, points) / sizes[:, None]


def _centred(embeddings: Tensor) -> Tensor:
    """(E, H, W) -> (H W, E) float32 around their mean, which keeps squared norms exact."""
    points = embeddings.flatten(1).T.float().clone(memory_format=torch.contiguous_format)
    finite = points.sum(1).isfinite()
    return points.sub_((points if finite.all() else points[finite]).mean(0))


def _overlap(anchors: Sequence[Tensor], clouds: Sequence[Tensor], masks: Tensor, radius: float) -> Tensor:
    """Pixels (2, A) in common, and in any, of masks (A, M) and the balls around the anchors (A, E) in clouds (M, E)."""
    every = some = masks
    for anchor, cloud in zip(anchors, clouds):
        ball = squared_distances(anchor, cloud) <= radius**2
        every, some = every & ball, some | ball
    return torch.stack([every.sum(1), some.sum(1)])
