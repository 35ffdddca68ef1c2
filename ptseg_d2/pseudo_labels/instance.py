"""Pseudo instances: embeddings clustered inside predicted class masks, kept where masks and networks agree.

Shapes: E embedding dims, K instances, H x W pixels, A anchors per instance.
Instance id 0 = none, -1 = ignored, 1..K = instances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ptseg_d2.inference.clustering import one_thread
from ptseg_d2.inference.modes import blocks, squared_distances
from ptseg_d2.panoptic_ids import LABEL_DIVISOR

import torch
from torch import Tensor

_POINTS_PER_ANCHOR = 16
"""Pixels whose mean is an anchor (thesis section 7.2); a single one may lie at the border of its object."""


@torch.no_grad()
def cluster_things(
    embeddings: Tensor,
    sem_seg: Tensor,
    thing_ids: Iterable[int],
    cluster: Callable[[Tensor], Tensor],
    min_area: int,
) -> Tensor:
    """Cluster each thing class inside its own mask (thesis Algorithm 2, lines 4-11).

    Args:
        embeddings: (E, H, W) float.
        sem_seg: (H, W) int64 classes.
        thing_ids: classes to cluster; instances are numbered in ascending class order.
        cluster: (M, E) points -> (M,) int64 labels 0..K-1, -1 = none.
        min_area: class masks with fewer pixels are skipped.

    Returns:
        (H, W) int64: 0 or 1..K, each instance inside one class.

    Raises:
        ValueError: embeddings and classes of different sizes.
    """
    if embeddings.shape[-2:] != sem_seg.shape:
        raise ValueError(f"embeddings {tuple(embeddings.shape)} and classes {tuple(sem_seg.shape)} differ in size")
    features, classes = embeddings.flatten(1), sem_seg.flatten()
    instance_ids = torch.zeros_like(classes, dtype=torch.int64)
    num_instances = 0
    for thing in sorted(thing_ids):
        pixels = torch.nonzero(classes == thing)[:, 0]
        if len(pixels) < max(1, min_area):
            continue
        labels = cluster(features[:, pixels].T.contiguous())
        instance_ids[pixels] = torch.where(labels >= 0, labels + 1 + num_instances, 0)
        num_instances += int(labels.max()) + 1
    return instance_ids.view(sem_seg.shape)


@torch.no_grad()
def detected_instances(detected: Tensor, sem_seg: Tensor, thing_ids: Sequence[int], min_area: int) -> Tensor:
    """A detector's instances as pseudo instances: its masks as they are, and no opinion where it missed a thing.

    Args:
        detected: (H, W) int64 train id * 1000 + number, 0 = none (`ptseg_d2.inference.detections.paint`), of a view.
        sem_seg: (H, W) int64 classes that a semantic network predicted.
        thing_ids: classes to keep; instances of others are not there.
        min_area: pixels; smaller pieces are ignored.

    Returns:
        (H, W) int64: 1..K instances; -1 small pieces, and things of `sem_seg` outside of every instance; 0 elsewhere.
    """
    things = torch.tensor(tuple(thing_ids), device=detected.device)
    ours = torch.where(torch.isin(detected // LABEL_DIVISOR, things), detected, 0)
    values, places, areas = ours.unique(return_inverse=True, return_counts=True)
    is_instance = (values > 0) & (areas >= min_area)
    numbers = torch.where(is_instance, is_instance.cumsum(0), -1)
    numbers[values == 0] = 0
    instance_ids = numbers[places]
    return torch.where((instance_ids == 0) & torch.isin(sem_seg, things), -1, instance_ids)


@torch.no_grad()
def stable_instances(
    instance_ids: Tensor,
    networks: Sequence[Tensor],
    radius: float,
    num_anchors: int,
    threshold: float,
    rng: torch.Generator | None = None,
) -> tuple[Tensor, dict[int, float]]:
    """Set instances to -1 that the class mask, the student and the teacher do not agree on (Algorithm 2, line 8).

    Args:
        instance_ids: (H, W) int64.
        networks: embeddings and the other arguments as in `instance_stability`.
        radius: of an anchor's ball.
        num_anchors: per instance.
        threshold: smallest score of a stable instance, in [0, 1].
        rng: of the anchors.

    Returns:
        instance_ids with unstable instances set to -1, and the score in [0, 1] of every instance.
    """
    scores = instance_stability(instance_ids, networks, radius, num_anchors, rng)
    unstable = [number for number, score in scores.items() if score < threshold]
    is_unstable = torch.isin(instance_ids, torch.tensor(unstable, dtype=torch.int64, device=instance_ids.device))
    return instance_ids.masked_fill(is_unstable, -1), scores


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
