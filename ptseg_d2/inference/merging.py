"""Classes and instances -> one panoptic map.

Shapes: K instances, H x W pixels. Instance id <= 0 = none; class 255 = void; segment id 0 = void.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ptseg_d2.inference.components import connected_pieces
from ptseg_d2.pseudo_labels.guidance import majority_classes

import torch
from torch import Tensor

_VOID = 255


def merge_panoptic(
    sem_seg: Tensor,
    instance_ids: Tensor,
    thing_ids: Collection[int],
    *,
    scores: Mapping[int, float] | None = None,
    min_stuff_area: int,
    min_thing_area: int = 0,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Lay the instances over the stuff; thing pixels without an instance become void.

    An instance has the thing class most of its pixels have. One without any thing pixel, or below the smallest
    area, is no segment: its pixels count as pixels without an instance.

    Args:
        sem_seg: (H, W) int64 classes.
        instance_ids: (H, W) int64.
        thing_ids: classes whose segments are instances.
        scores: id -> score of an instance, 1 where missing.
        min_stuff_area: stuff classes with fewer pixels become void.
        min_thing_area: smallest instance in pixels.

    Returns:
        panoptic (H, W) int32: 0 = void, instances keep their number, stuff follows above the highest instance id;
        and segments_info, in ascending id: id, category_id (train id), isthing, area in pixels, score (stuff: 1).
    """
    classes = majority_classes(instance_ids, sem_seg, thing_ids)
    ids = instance_ids.long().clamp(min=0)
    areas = ids.flatten().bincount(minlength=len(classes) + 1)[1:]
    kept = (classes != _VOID) & (areas >= max(1, min_thing_area))
    panoptic = torch.where(torch.cat([kept.new_zeros(1), kept])[ids], ids, 0)
    segments = [
        _segment(number, int(classes[number - 1]), True, int(areas[number - 1]), (scores or {}).get(number, 1.0))
        for number in (kept.nonzero()[:, 0] + 1).tolist()
    ]
    stuff = torch.where(panoptic == 0, sem_seg.long(), _VOID)
    stuff_areas = stuff.flatten().bincount(minlength=_VOID + 1).tolist()
    number = len(classes)
    for category in range(_VOID):
        if category not in thing_ids and stuff_areas[category] >= max(1, min_stuff_area):
            number += 1
            panoptic[stuff == category] = number
            segments.append(_segment(number, category, False, stuff_areas[category], 1.0))
    return panoptic.to(torch.int32), segments


def _segment(number: int, category: int, is_thing: bool, area: int, score: float) -> dict[str, Any]:
    return {"id": number, "category_id": category, "isthing": is_thing, "area": area, "score": float(score)}


def connected_component_instances(sem_seg: Tensor, thing_ids: Collection[int], min_area: int) -> Tensor:
    """The trivial baseline: each 8-connected piece of a thing class is an instance.

    Args:
        sem_seg: (H, W) int64 classes.
        thing_ids: classes to split.
        min_area: smaller pieces get no instance.

    Returns:
        (H, W) int64: 0 or 1..K, in ascending class order.
    """
    instance_ids = torch.zeros_like(sem_seg, dtype=torch.int64)
    num_instances = 0
    for thing in sorted(thing_ids):
        pieces, areas = connected_pieces(sem_seg == thing)
        kept = areas >= max(1, min_area)
        kept[0] = False
        numbers = torch.where(kept, kept.cumsum(0) + num_instances, 0)
        instance_ids += numbers[pieces]
        num_instances += int(kept.sum())
    return instance_ids
