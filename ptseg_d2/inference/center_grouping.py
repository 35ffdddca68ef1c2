"""Centre heatmaps and offsets -> instances: peaks, then each thing pixel goes to the centre it points at.

Shapes: T thing classes, K centres, P thing pixels, H x W pixels. Positions are (y, x) in pixels. Instance id 0 = none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ptseg_d2.counting import number_of
from ptseg_d2.inference.merging import merge_panoptic
from ptseg_d2.inference.panoptic_model import mean_per_instance
from ptseg_d2.resizing import resize

import torch
import torch.nn.functional as F
from torch import Tensor

SCORES = ("objectness", "semantic", "product")
"""How instances are ranked ([EINet], table 3)."""

_DISTANCES_AT_ONCE = 2**24


class Centers(NamedTuple):
    """Peaks of heatmaps, the highest first.

    Attributes:
        positions_yx: (K, 2) float.
        channels: (K,) int64, the heatmap's channel.
        scores: (K,) float, the heatmap's value.
    """

    positions_yx: Tensor
    channels: Tensor
    scores: Tensor


def find_centers(heatmap: Tensor, threshold: float, kernel: int, top_k: int) -> Centers:
    """Pixels that are the largest of their neighbourhood in their channel; of equal neighbours the first.

    Args:
        heatmap: (T, H, W) float.
        threshold: values must be above it.
        kernel: side of the neighbourhood in pixels, odd.
        top_k: no more centres than this.
    """
    pooled, index = F.max_pool2d(heatmap[None], kernel, stride=1, padding=kernel // 2, return_indices=True)
    own = torch.arange(heatmap[0].numel(), device=heatmap.device).view(1, 1, *heatmap.shape[-2:])
    peaks = ((index == own) & (pooled > threshold))[0].nonzero()
    scores = heatmap[tuple(peaks.T)]
    order = scores.argsort(descending=True, stable=True)[:top_k]
    return Centers(peaks[order, 1:].to(heatmap.dtype), peaks[order, 0], scores[order])


def group_pixels(sem_seg: Tensor, offsets: Tensor, centers: Centers, thing_ids: Sequence[int]) -> Tensor:
    """Give each pixel of a thing class to the nearest centre of its class from where its offset points.

    A pixel whose class has no centre goes to the nearest of any class: most often its class is the mistake.

    Args:
        sem_seg: (H, W) int64 classes.
        offsets: (2, H, W) float, centre minus position.
        centers: with positions in the pixels of sem_seg.
        thing_ids: classes of the channels.

    Returns:
        (H, W) int64: 0, or k + 1 for centre k; a centre to which no pixel points has none.
    """
    instance_ids = torch.zeros_like(sem_seg)
    things = torch.tensor(list(thing_ids), device=sem_seg.device)
    place = torch.isin(sem_seg, things).nonzero()
    num_centers = len(centers.scores)
    if num_centers == 0 or len(place) == 0:
        return instance_ids
    y, x = place.unbind(1)
    targets = place + offsets[:, y, x].T
    classes = things[centers.channels]
    for part in torch.arange(len(place), device=place.device).split(max(1, _DISTANCES_AT_ONCE // num_centers)):
        distance = torch.cdist(targets[part], centers.positions_yx, compute_mode="donot_use_mm_for_euclid_dist")
        other_class = sem_seg[y[part], x[part]][:, None] != classes
        # Any centre of the class comes before all others.
        distance = distance + other_class * (distance.amax() + 1)
        instance_ids[y[part], x[part]] = distance.argmin(1) + 1
    return instance_ids


def instance_scores(
    kind: str, instance_ids: Tensor, sem_seg: Tensor, probabilities: Tensor, objectness: Tensor
) -> dict[int, float]:
    """Score of each instance: its centre's value, the mean probability of its pixels' classes, or the product.

    Args:
        kind: one of `SCORES`.
        instance_ids: (H, W) int64, values 0..K.
        sem_seg: (H, W) int64 classes.
        probabilities: (C, H, W) float of the classes.
        objectness: (K,) float, values of the centres.

    Returns:
        id -> score in [0, 1], of all K.
    """
    chosen = probabilities.gather(0, sem_seg[None])[0]
    semantic = mean_per_instance(chosen, instance_ids)
    # The highest ids may have no pixel.
    semantic = F.pad(semantic, (0, len(objectness) + 1 - len(semantic)))[1:]
    certainty = objectness.clamp(0, 1).to(semantic)
    scores = {"objectness": certainty, "semantic": semantic, "product": certainty * semantic}[kind]
    return {number + 1: score for number, score in enumerate(scores.tolist())}


@dataclass(frozen=True)
class CenterOptions:
    """How heatmaps and offsets become instances. Sizes are shares of the image, as in `PanopticOptions`.

    Attributes:
        thing_ids: train ids of the heatmap's channels.
        threshold: lowest value of a centre.
        kernel: side of the neighbourhood in which a centre is the only one of its class, in pixels of the heatmap, odd.
        top_k: at most so many centres of an image.
        score: one of `SCORES`.
        min_thing_share: smallest instance.
        min_stuff_share: smallest stuff segment; smaller ones become void.
    """

    thing_ids: tuple[int, ...]
    threshold: float
    kernel: int
    top_k: int
    score: str
    min_thing_share: float
    min_stuff_share: float


def panoptic_from_centers(
    logits: Tensor, heatmap: Tensor, offsets: Tensor, stride_yx: Tensor, options: CenterOptions
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Detectron2's `panoptic_seg` of one image.

    Args:
        logits: (C, H, W) float.
        heatmap: (T, h, w) float; its first pixel lies in the corner of the result.
        offsets: (2, any, any) float, centre minus position in pixels of the H x W result, which it covers.
        stride_yx: (2,) pixels of the result per pixel of the heatmap.
        options: thresholds.

    Returns:
        (H, W) int32 ids, 0 = void, and segments_info, see `merge_panoptic`.
    """
    size = logits.shape[-2:]
    sem_seg = logits.argmax(0)
    centers = find_centers(heatmap, options.threshold, options.kernel, options.top_k)
    placed = centers._replace(positions_yx=(centers.positions_yx + 0.5) * stride_yx - 0.5)
    instance_ids = group_pixels(sem_seg, resize(offsets[None], size)[0], placed, options.thing_ids)
    scores = instance_scores(options.score, instance_ids, sem_seg, logits.softmax(0), centers.scores)
    return merge_panoptic(
        sem_seg,
        instance_ids,
        options.thing_ids,
        scores=scores,
        min_stuff_area=number_of(options.min_stuff_share, sem_seg.numel()),
        min_thing_area=number_of(options.min_thing_share, sem_seg.numel()),
    )
