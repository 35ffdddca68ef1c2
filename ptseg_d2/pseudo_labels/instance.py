"""Pseudo instances: embeddings clustered inside predicted class masks, kept where masks and networks agree.

Shapes: E embedding dims, K instances, H x W pixels, A anchors per instance.
Instance id 0 = none, -1 = ignored, 1..K = instances.
"""

from __future__ import annotations

from collections.abc import Sequence

from ptseg_d2.inference.stability import instance_stability
from ptseg_d2.panoptic_ids import LABEL_DIVISOR

import torch
from torch import Tensor


@torch.no_grad()
def detected_instances(detected: Tensor, sem_seg: Tensor, thing_ids: Sequence[int], min_area: int) -> Tensor:
    """A detector's instances as pseudo instances: its masks as they are, and no opinion where it missed a thing.

    Args:
        detected: (H, W) int64 train id * 1000 + number, 0 = none (`ptseg_d2.detectors.detections.paint`), of a view.
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
    """Set instances to -1 that class mask, student and teacher do not agree on ([SPOCO], "stable instances").

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
