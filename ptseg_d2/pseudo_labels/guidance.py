"""Instance masks and class masks improve each other ([thesis], section 9.5).

Shapes: K instances, H x W pixels. Instance id 0 = none, -1 = ignored; class 255 = void.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ptseg_d2.inference.components import connected_pieces
from ptseg_d2.inference.merging import majority_classes

import torch
from torch import Tensor

_VOID = 255

ISLAND = 254
"""In guidance: a small region of a thing class in which no instance was found."""


def overlay_instances(sem_seg: Tensor, instance_ids: Tensor, classes: Tensor) -> Tensor:
    """Give every pixel of an instance the instance's class.

    Args:
        sem_seg: (H, W) int64 classes.
        instance_ids: (H, W) int64, values -1..K.
        classes: (K,) int64 from `majority_classes`; 255 leaves an instance's pixels as they are.

    Returns:
        (H, W) int64.
    """
    of_pixel = torch.cat([classes.new_full((1,), _VOID), classes])[instance_ids.clamp(min=0)]
    return torch.where(of_pixel == _VOID, sem_seg, of_pixel)


def drop_islands(sem_seg: Tensor, instance_ids: Tensor, thing_ids: Iterable[int], min_area: int) -> Tensor:
    """Make small connected thing regions void in which no instance was found: most are false positives.

    Args:
        sem_seg: (H, W) int64 classes.
        instance_ids: (H, W) int64; a pixel above 0 keeps its region.
        thing_ids: classes whose regions are looked at.
        min_area: regions with at least so many pixels stay.

    Returns:
        (H, W) int64.
    """
    cleaned = sem_seg.clone()
    for thing in sorted(thing_ids):
        pieces, areas = connected_pieces(sem_seg == thing)
        has_instance = pieces[instance_ids > 0].bincount(minlength=len(areas)) > 0
        drop = (areas < min_area) & ~has_instance
        drop[0] = False
        cleaned[drop[pieces]] = _VOID
    return cleaned


def guidance_map(sem_seg: Tensor, instance_ids: Tensor, thing_ids: Collection[int], min_area: int) -> Tensor:
    """What the instances of an image say about its classes.

    Args:
        sem_seg: (H, W) int64 predicted classes.
        instance_ids: (H, W) int64 instances found inside them.
        thing_ids: classes with instances.
        min_area: connected regions of a thing class with fewer pixels and no instance are islands.

    Returns:
        (H, W) int64: the majority class of the instance, `ISLAND`, or 255 where nothing is said.
    """
    void = torch.full_like(sem_seg, _VOID)
    classes = majority_classes(instance_ids, sem_seg, thing_ids)
    is_island = drop_islands(sem_seg, instance_ids, thing_ids, min_area) != sem_seg
    return overlay_instances(void, instance_ids, classes).masked_fill(is_island, ISLAND)


def guide(labels: Tensor, confidence: Tensor, guidance: Tensor, thing_ids: Collection[int]) -> tuple[Tensor, Tensor]:
    """Lay instances over semantic pseudo labels, after the views are fused ([thesis], section 9.5).

    Args:
        labels: (..., H, W) int64 pseudo labels, 255 = unsure.
        confidence: (..., H, W) float in [0, 1], weight of each pixel.
        guidance: (..., H, W) int64 of `guidance_map`, through the geometric transforms of the labels.
        thing_ids: classes that become unsure on islands.

    Returns:
        Guided labels, and their confidence: 1 where the instance gave a pixel its class, which the teacher's
        probability is not about; as before elsewhere.
    """
    is_thing = torch.isin(labels, torch.tensor(sorted(thing_ids), device=labels.device))
    labels = labels.masked_fill(is_thing & (guidance == ISLAND), _VOID)
    speaks = guidance < ISLAND
    changed = speaks & (guidance != labels)
    return torch.where(speaks, guidance, labels), confidence.masked_fill(changed, 1.0)
