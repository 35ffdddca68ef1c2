"""Detected objects with masks that may overlap, in the classes of Cityscapes. N objects, H x W pixels."""

from __future__ import annotations

from typing import NamedTuple

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import VOID
from ptseg_d2.detectors.riders import with_riders
from ptseg_d2.panoptic_ids import LABEL_DIVISOR

import torch
from torch import Tensor

PERSON, RIDER, BICYCLE, MOTORCYCLE = CITYSCAPES.ids(["person", "rider", "bicycle", "motorcycle"])


class Detections(NamedTuple):
    """Objects of one image.

    Attributes:
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        classes: (N,) int64 train ids.
        scores: (N,) float confidences in [0, 1].
        masks: (N, H, W) bool.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor
    masks: Tensor

    def keep(self, chosen: Tensor) -> Detections:
        """Those of a (N,) bool or the positions of an int64 tensor."""
        return Detections(*(values[chosen] for values in self))


def in_cityscapes_classes(outputs: Detections, train_ids: Tensor, riders: bool = False) -> Detections:
    """Detections in Cityscapes' classes; those without one, and those without a pixel, are dropped.

    Args:
        outputs: of a detector, `classes` being numbers of its outputs.
        train_ids: (num_outputs,) int64 train id of each output, 255 = none.
        riders: apply the rule of `ptseg_d2.detectors.riders`.
    """
    found = outputs._replace(classes=train_ids.to(outputs.classes.device)[outputs.classes])
    found = found.keep((found.classes != VOID) & found.masks.flatten(1).any(1))
    if not riders:
        return found
    return found._replace(classes=with_riders(found.boxes, found.classes, PERSON, RIDER, (BICYCLE, MOTORCYCLE)))


def paint(detections: Detections, min_score: float, min_area: int) -> Tensor:
    """One map of disjoint instances: where masks overlap, the surer one is on top.

    Args:
        detections: in train ids.
        min_score: less sure ones are left out.
        min_area: likewise those with fewer pixels left.

    Returns:
        (H, W) int64: train id * 1000 + number (from 1, by falling score over all classes), 0 = none; see
        `ptseg_d2.panoptic_ids`. At most 999 instances.
    """
    canvas = torch.zeros(detections.masks.shape[1:], dtype=torch.int64, device=detections.masks.device)
    order = detections.scores.argsort(descending=True, stable=True).tolist()
    number = 0
    for i in order:
        mine = detections.masks[i] & (canvas == 0)
        if detections.scores[i] < min_score or number == LABEL_DIVISOR - 1:
            break
        if int(mine.sum()) >= max(1, min_area):
            number += 1
            canvas[mine] = int(detections.classes[i]) * LABEL_DIVISOR + number
    return canvas
