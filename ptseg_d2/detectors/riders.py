"""Riders among COCO's persons: COCO has no such class, Cityscapes counts whoever sits on two wheels.

Boxes are (x1, y1, x2, y2) in pixels, y downwards. N detections of one image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RiderRule(NamedTuple):
    """When a person is a rider of a bicycle or motorcycle; see `find_riders`.

    Attributes:
        min_overlap: share of the person's box that lies in the two-wheeler's, in [0, 1]: legs do.
        min_clearance: height of the feet above the ground on which the wheels stand, as a share of the
            two-wheeler's height. Feet on pedals are; those of somebody who stands beside it are not.
    """

    min_overlap: float = 0.15
    min_clearance: float = 0.05


RULE = RiderRule()


def find_riders(persons: Tensor, two_wheelers: Tensor, rule: RiderRule = RULE) -> Tensor:
    """Which persons ride, by the boxes alone.

    Person and two-wheeler belong together if all of this holds:

    - at least `min_overlap` of the person's box lies in the two-wheeler's;
    - the person's horizontal centre is between its left and its right end;
    - the person rises above it: the head is higher than its top;
    - the feet hang over it: the lower edge of the person is within its height, and at least `min_clearance` of that
      height above its lower edge.

    A two-wheeler carries one rider and a person rides one: pairs are taken by falling overlap. Pillion passengers and
    riders whose vehicle was not detected stay persons.

    Args:
        persons: (P, 4) boxes.
        two_wheelers: (W, 4) boxes.
        rule: its numbers.

    Returns:
        (P,) bool.
    """
    is_rider = torch.zeros(len(persons), dtype=torch.bool, device=persons.device)
    if len(persons) == 0 or len(two_wheelers) == 0:
        return is_rider
    x1, y1, x2, y2 = (persons[:, i, None] for i in range(4))
    left, top, right, bottom = (two_wheelers[None, :, i] for i in range(4))
    width = (torch.minimum(x2, right) - torch.maximum(x1, left)).clamp(min=0)
    height = (torch.minimum(y2, bottom) - torch.maximum(y1, top)).clamp(min=0)
    overlap = width * height / ((x2 - x1) * (y2 - y1)).clamp(min=1e-6)
    centre = (x1 + x2) / 2
    feet_end = bottom - rule.min_clearance * (bottom - top)
    sits = (overlap >= rule.min_overlap) & (centre >= left) & (centre <= right)
    sits &= (y1 < top) & (y2 > top) & (y2 <= feet_end)
    overlap = overlap.masked_fill(~sits, -1)
    for _ in range(min(overlap.shape)):
        best = int(overlap.argmax())
        person, vehicle = divmod(best, overlap.shape[1])
        if overlap[person, vehicle] < 0:
            break
        is_rider[person] = True
        overlap[person], overlap[:, vehicle] = -1, -1
    return is_rider


def with_riders(
    boxes: Tensor,
    classes: Tensor,
    person: int,
    rider: int,
    two_wheelers: tuple[int, ...],
    rule: RiderRule = RULE,
) -> Tensor:
    """Classes of detections in which persons that ride are riders.

    Args:
        boxes: (N, 4).
        classes: (N,) int64; not changed.
        person: class of persons.
        rider: class of riders.
        two_wheelers: classes of what they ride.
        rule: see `find_riders`.

    Returns:
        (N,) int64.
    """
    is_person = classes == person
    vehicles = torch.isin(classes, torch.tensor(two_wheelers, dtype=classes.dtype, device=classes.device))
    changed = classes.clone()
    changed[is_person] = torch.where(find_riders(boxes[is_person], boxes[vehicles], rule), rider, person).to(classes)
    return changed
