"""Overlapping masks -> instances that share no pixel; classes and instances -> one panoptic map.

Shapes: K instances, H x W pixels. Instance id <= 0 = none; class 255 = void; segment id 0 = void.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ptseg_d2.inference.components import connected_pieces

import torch
from torch import Tensor

_VOID = 255


class Crop(NamedTuple):
    """A mask in its bounding box, or in any box around it.

    Attributes:
        y: first row of the box in the image, likewise
        x: its first column.
        mask: (height, width) bool, not empty along any side.
    """

    y: int
    x: int
    mask: Tensor


def resolve_overlaps(masks: Tensor, scores: Tensor, min_visible: float = 0.5) -> Tensor:
    """Give each pixel to the best of the masks that claim it, and drop what the better ones hide.

    Args:
        masks: (K, H, W) bool; any may overlap, and any may be empty.
        scores: (K,) higher is better; of equal ones the earlier mask comes first.
        min_visible: an instance with less than this share of its area left visible is no instance, and what was left
            stays free for those after it, in [0, 1].

    Returns:
        (H, W) int64: 0, or k + 1 for mask k; numbers of hidden and empty masks are missing.
    """
    crops = []
    for mask in masks:
        rows, columns = mask.any(dim=1).nonzero()[:, 0].tolist(), mask.any(dim=0).nonzero()[:, 0].tolist()
        y, x = (rows[0], columns[0]) if rows else (0, 0)
        crops.append(Crop(y, x, mask[y : rows[-1] + 1, x : columns[-1] + 1] if rows else mask[:1, :1]))
    instance_ids = torch.zeros(masks.shape[-2:], dtype=torch.int64, device=masks.device)
    return paste_crops_(instance_ids, crops, scores.tolist(), min_visible)


def paste_crops_(
    instance_ids: Tensor, crops: Sequence[Crop], scores: Sequence[float], min_visible: float = 0.5
) -> Tensor:
    """`resolve_overlaps` of masks that are known in boxes only, for images on which K whole masks are too much.

    Args:
        instance_ids: (H, W) int64, is written to; pixels that are not 0 are not free.
        crops: of the K instances.
        scores: (K,).
        min_visible: as in `resolve_overlaps`.

    Returns:
        instance_ids.
    """
    for index in sorted(range(len(crops)), key=lambda k: -scores[k]):  # stable: of equal scores the earlier first
        y, x, mask = crops[index]
        window = instance_ids[y : y + mask.shape[0], x : x + mask.shape[1]]
        visible = mask & (window == 0)
        area = int(mask.sum())
        if area > 0 and int(visible.sum()) >= min_visible * area:
            window.masked_fill_(visible, index + 1)
    return instance_ids


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


_NUM_CLASSES = 256


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
