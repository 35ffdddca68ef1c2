"""Pseudo instances: embeddings clustered inside predicted class masks, kept where student and teacher agree.

Shapes: E embedding dims, K instances, H x W pixels, A anchors, M pixels of instances.
Instance id 0 = none, -1 = ignored, 1..K = instances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ptseg_d2.inference.modes import blocks, squared_distances

import torch
from torch import Tensor


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
def stable_instances(
    instance_ids: Tensor,
    student_embeddings: Tensor,
    teacher_embeddings: Tensor,
    radius: float,
    num_anchors: int,
    threshold: float,
    rng: torch.Generator | None = None,
    sem_seg: Tensor | None = None,
) -> tuple[Tensor, dict[int, float]]:
    """Set instances to -1 on which student and teacher disagree (thesis Algorithm 2, line 8).

    An anchor is a random pixel of an instance; its mask in one network is every clustered pixel within the radius
    of the anchor's embedding. The score of an instance is the median over its anchors of the IoU of the two masks.

    Args:
        instance_ids: (H, W) int64.
        student_embeddings: (E, H, W) float.
        teacher_embeddings: (E, H, W) float, of the same image in the same frame.
        radius: in embedding units, delta_v.
        num_anchors: per instance, drawn with replacement.
        threshold: smallest score of a stable instance, in [0, 1].
        rng: CPU generator of the anchors; None = torch's global one.
        sem_seg: (H, W) int64 classes; masks then end at the class of their anchor.

    Returns:
        instance_ids with unstable instances set to -1, and the score in [0, 1] of every instance.
    """
    ids = instance_ids.flatten()
    pixels = torch.nonzero(ids > 0)[:, 0]
    if len(pixels) == 0:
        return instance_ids.clone(), {}
    pixels = pixels[ids[pixels].argsort(stable=True)]
    numbers, sizes = ids[pixels].unique_consecutive(return_counts=True)
    draws = torch.rand(len(numbers), num_anchors, generator=rng).to(ids.device)
    anchors = (sizes.cumsum(0) - sizes)[:, None] + (draws * sizes[:, None]).long().clamp(max=sizes[:, None] - 1)
    classes = None if sem_seg is None else sem_seg.flatten()[pixels]
    with torch.autocast(ids.device.type, enabled=False):
        student, teacher = (_points(x, pixels) for x in (student_embeddings, teacher_embeddings))
        overlaps = [
            _mask_overlap(student, teacher, block, radius, classes) for block in blocks(anchors.flatten(), len(pixels))
        ]
    scores = torch.cat(overlaps).view(anchors.shape).quantile(0.5, dim=1)
    unstable = torch.isin(instance_ids, numbers[scores < threshold])
    return instance_ids.masked_fill(unstable, -1), dict(zip(numbers.tolist(), scores.tolist()))


def _points(embeddings: Tensor, pixels: Tensor) -> Tensor:
    """(E, H, W) -> centred (M, E) float32 at the given flat pixels; centring keeps squared norms exact."""
    points = embeddings.flatten(1)[:, pixels].T.float()
    return points - points.nanmean(0)


def _mask_overlap(student: Tensor, teacher: Tensor, anchors: Tensor, radius: float, classes: Tensor | None) -> Tensor:
    """IoU (A,) of the balls around each anchor in two (M, E) clouds; 0 where both are empty (NaN embeddings)."""
    in_student = squared_distances(student[anchors], student) <= radius**2
    in_teacher = squared_distances(teacher[anchors], teacher) <= radius**2
    both, either = in_student & in_teacher, in_student | in_teacher
    if classes is not None:
        same = classes[anchors][:, None] == classes
        both, either = both & same, either & same
    return both.sum(1) / either.sum(1).clamp(min=1)


@torch.no_grad()
def instance_scores(
    embeddings: Tensor, instance_ids: Tensor, kernel_threshold: float, delta_var: float
) -> dict[int, float]:
    """How tightly each instance's pixels lie around their mean: mean Gaussian kernel exp(-d^2 / s).

    Args:
        embeddings: (E, H, W) float.
        instance_ids: (H, W) int64.
        kernel_threshold: value of the kernel at distance delta_var, in (0, 1).
        delta_var: radius of the pull loss, embedding units.

    Returns:
        id -> score in (0, 1].
    """
    pixels = torch.nonzero(instance_ids.flatten() > 0)[:, 0]
    numbers, index = instance_ids.flatten()[pixels].unique(return_inverse=True)
    points = embeddings.flatten(1)[:, pixels].T.float()
    sizes = index.bincount(minlength=len(numbers))
    centers = points.new_zeros(len(numbers), points.shape[1]).index_add_(0, index, points) / sizes[:, None]
    squared = (points - centers[index]).square().sum(1)
    kernel = (squared * (math.log(kernel_threshold) / delta_var**2)).exp()
    means = kernel.new_zeros(len(numbers)).index_add_(0, index, kernel) / sizes
    return dict(zip(numbers.tolist(), means.tolist()))
