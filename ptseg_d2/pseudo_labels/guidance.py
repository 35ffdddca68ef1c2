"""Instance masks and class masks improve each other (thesis section 9.5).

Shapes: K instances, H x W pixels. Instance id 0 = none, -1 = ignored; class 255 = void.
"""

from __future__ import annotations

from collections.abc import Iterable

from ptseg_d2.inference.components import connected_pieces

import torch
from torch import Tensor

_NUM_CLASSES = 256
_VOID = 255


def majority_classes(instance_ids: Tensor, sem_seg: Tensor, thing_ids: Iterable[int]) -> Tensor:
    """The thing class that most pixels of each instance have; the lower class id when two are equal.

    Args:
        instance_ids: (H, W) int64.
        sem_seg: (H, W) int64 classes; stuff and 255 do not vote.
        thing_ids: classes that do.

    Returns:
        (K,) int64, entry k - 1 for instance k, K the highest id; 255 = no pixel of a thing class.
    """
    ids, classes = instance_ids.flatten(), sem_seg.flatten().long()
    num_instances = max(0, int(ids.max())) if ids.numel() else 0
    voters = (ids > 0) & torch.isin(classes, torch.tensor(sorted(thing_ids), device=classes.device))
    votes = ((ids[voters].long() - 1) * _NUM_CLASSES + classes[voters]).bincount(minlength=num_instances * _NUM_CLASSES)
    votes = votes.view(num_instances, _NUM_CLASSES)
    # Unlike a plain argmax, one vote for a lower class id settles a tie on every device.
    ranked = votes * _NUM_CLASSES + torch.arange(_NUM_CLASSES - 1, -1, -1, device=votes.device)
    return torch.where(votes.sum(1) > 0, ranked.argmax(1), _VOID)


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
