"""Targets and losses of bottom-up instances: centre heatmaps and offsets to the centre.

Shapes: N images, T thing classes, K instances of all images of a batch, H x W pixels of the labels or of a strided map,
which are the unit of all positions (y, x). Class 255 = void. Instance id 0 = none, -1 = ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_NUM_CLASSES = 256


class InstanceGeometry(NamedTuple):
    """Where the instances of a batch are, in ascending order of image and id.

    Attributes:
        pixel_index: (N, H, W) int64, row of the pixel's instance in the other fields, -1 where there is none.
        image: (K,) int64, number of the image.
        category: (K,) int64 train id, the class that most of its pixels have.
        centers_yx: (K, 2) float, centre of mass.
        sizes_hw: (K, 2) float, sides of the bounding box.
    """

    pixel_index: Tensor
    image: Tensor
    category: Tensor
    centers_yx: Tensor
    sizes_hw: Tensor


class CenterTargets(NamedTuple):
    """What the instance branch learns.

    Attributes:
        heatmap: (N, T, H, W) float in [0, 1], exactly 1 at the pixel that holds a centre and nowhere else.
        heatmap_weight: (N, 1, H, W) float, 0 at void and ignored pixels, else 1.
        offsets: (N, 2, H, W) float, centre minus position (y, x) at pixels of instances, else 0.
        offset_weight: (N, 1, H, W) float, 1 at pixels of instances, else 0.
    """

    heatmap: Tensor
    heatmap_weight: Tensor
    offsets: Tensor
    offset_weight: Tensor


def instance_geometry(sem_seg: Tensor, instance_ids: Tensor) -> InstanceGeometry:
    """Centres, boxes and classes of all instances.

    Args:
        sem_seg: (N, H, W) int64 train ids, 255 = void.
        instance_ids: (N, H, W) int64; ids need not be consecutive.
    """
    num_images, height, width = instance_ids.shape
    device = instance_ids.device
    image_of_pixel = torch.arange(num_images, device=device)[:, None, None]
    stride = int(instance_ids.max()) + 1 if instance_ids.numel() else 1
    place = (instance_ids > 0).nonzero()
    image, y, x = place.unbind(1)
    keys, index = torch.unique(image * stride + instance_ids[image, y, x], return_inverse=True)
    num_instances = len(keys)
    pixel_index = torch.full_like(instance_ids, -1)
    pixel_index[image, y, x] = index
    counts = index.bincount(minlength=num_instances)
    positions = place[:, 1:].double()  # float32 sums of a large instance would lose the fraction of a pixel
    sums = torch.zeros(num_instances, 2, dtype=torch.float64, device=device).index_add_(0, index, positions)
    lows = torch.full((num_instances, 2), max(height, width), device=device)
    lows.scatter_reduce_(0, index[:, None].expand(-1, 2), place[:, 1:], "amin")
    highs = torch.full((num_instances, 2), -1, device=device)
    highs.scatter_reduce_(0, index[:, None].expand(-1, 2), place[:, 1:], "amax")
    votes = (index * _NUM_CLASSES + sem_seg[image, y, x]).bincount(minlength=num_instances * _NUM_CLASSES)
    return InstanceGeometry(
        pixel_index=pixel_index,
        image=image_of_pixel.flatten()[keys // stride],
        category=votes.view(num_instances, _NUM_CLASSES).argmax(1),
        centers_yx=(sums / counts[:, None]).float(),
        sizes_hw=(highs - lows + 1).float(),
    )


def gaussian_radius(sizes_hw: Tensor, min_overlap: float) -> Tensor:
    """How far the corners of a box may move until it overlaps itself too little ([CornerNet]; [ObjectsAsPoints]).

    The smallest of three radii: a box moved by r in both directions, one with both corners r inside, one with both r
    outside, each with exactly this intersection over union with the box.

    Args:
        sizes_hw: (K, 2) sides of boxes in pixels, > 0.
        min_overlap: intersection over union in (0, 1).

    Returns:
        (K,) radii in pixels, > 0.
    """
    height, width = sizes_hw.unbind(1)
    total, area = height + width, height * width
    shift = (total - (total.square() - 4 * area * (1 - min_overlap) / (1 + min_overlap)).clamp(min=0).sqrt()) / 2
    shrink = (total - (total.square() - 4 * area * (1 - min_overlap)).clamp(min=0).sqrt()) / 4
    grow = ((total.square() + 4 * area * (1 - min_overlap) / min_overlap).sqrt() - total) / 4
    return torch.stack([shift, shrink, grow]).amin(0)


def adaptive_sigmas(sizes_hw: Tensor, min_overlap: float) -> Tensor:
    """(K,) standard deviations for boxes (K, 2): a Gaussian of 2 r + 1 pixels is three of them wide on each side."""
    return (2 * gaussian_radius(sizes_hw, min_overlap) + 1) / 6


def center_targets(
    sem_seg: Tensor, instance_ids: Tensor, thing_ids: Sequence[int], *, fixed_sigma: float, min_overlap: float
) -> CenterTargets:
    """Heatmaps and offsets of a batch, without a loop.

    Instances of a class that is no thing, as labels of another data set may have, count as ignored.

    Args:
        sem_seg: (N, H, W) int64 train ids, 255 = void.
        instance_ids: (N, H, W) int64.
        thing_ids: train ids of the T heatmap channels.
        fixed_sigma: standard deviation of every Gaussian in pixels, > 0; 0 = from the size of the instance.
        min_overlap: of `gaussian_radius`, where the size decides.
    """
    found = instance_geometry(sem_seg, instance_ids)
    things = torch.tensor(list(thing_ids), dtype=torch.int64, device=sem_seg.device)
    matches = found.category[:, None] == things
    known = matches.any(1)
    image, channel = found.image[known], matches[known].long().argmax(1)
    sizes, centers = found.sizes_hw[known], found.centers_yx[known]
    sigmas = sizes.new_full((len(sizes),), fixed_sigma) if fixed_sigma > 0 else adaptive_sigmas(sizes, min_overlap)
    num_images, height, width = sem_seg.shape
    slots = draw_gaussians(centers.round(), sigmas, image * len(things) + channel, num_images * len(things), sem_seg)

    has_center = torch.cat([known, known.new_zeros(1)])[found.pixel_index]
    grid = torch.stack(
        torch.meshgrid(*(torch.arange(n, device=sem_seg.device) for n in (height, width)), indexing="ij")
    )
    own = torch.cat([found.centers_yx, found.centers_yx.new_zeros(1, 2)])[found.pixel_index].permute(0, 3, 1, 2)
    ignored = (sem_seg >= _NUM_CLASSES - 1) | (instance_ids < 0) | ((instance_ids > 0) & ~has_center)
    return CenterTargets(
        heatmap=slots.view(num_images, len(things), height, width),
        heatmap_weight=(~ignored)[:, None].float(),
        offsets=torch.where(has_center[:, None], own - grid, 0.0),
        offset_weight=has_center[:, None].float(),
    )


def draw_gaussians(centers_yx: Tensor, sigmas: Tensor, slots: Tensor, num_slots: int, like: Tensor) -> Tensor:
    """Maps of Gaussians with peak 1; where several of one map overlap, the largest counts.

    Args:
        centers_yx: (K, 2) float, whole numbers inside the map.
        sigmas: (K,) float > 0.
        slots: (K,) int64, the map of each.
        num_slots: number of maps.
        like: (..., H, W), gives the size and the device.

    Returns:
        (num_slots, H, W) float32 in [0, 1].
    """
    height, width = like.shape[-2:]
    falloff = -0.5 / sigmas.square()[:, None]
    rows = (falloff * (torch.arange(height, device=like.device) - centers_yx[:, :1]).square()).exp()
    columns = (falloff * (torch.arange(width, device=like.device) - centers_yx[:, 1:]).square()).exp()
    maps = torch.zeros(num_slots, height, width, device=like.device)
    drawn = rows[:, :, None] * columns[:, None, :]
    return maps.scatter_reduce_(0, slots[:, None, None].expand_as(drawn), drawn, "amax")


def heatmap_mse(heatmap: Tensor, targets: CenterTargets) -> Tensor:
    """Squared error, summed over the channels, mean over the pixels that count; 0 when none does.

    Args:
        heatmap: (N, T, H, W) float, any value.
        targets: of the same size.
    """
    squared = (heatmap - targets.heatmap).square() * targets.heatmap_weight
    return squared.sum() / targets.heatmap_weight.sum().clamp(min=1)


def heatmap_focal(logits: Tensor, targets: CenterTargets, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Penalty-reduced focal loss ([CornerNet], Eq. 1; [ObjectsAsPoints], Eq. 1) per centre.

    Args:
        logits: (N, T, H, W) float, before the sigmoid.
        targets: of the same size.
        alpha: exponent of the predicted error.
        beta: exponent that spares pixels close to a centre.
    """
    probability = logits.sigmoid()
    is_center = targets.heatmap == 1
    at_center = (1 - probability).pow(alpha) * F.softplus(-logits)
    elsewhere = (1 - targets.heatmap).pow(beta) * probability.pow(alpha) * F.softplus(logits)
    loss = torch.where(is_center, at_center, elsewhere) * targets.heatmap_weight
    return loss.sum() / (is_center * targets.heatmap_weight).sum().clamp(min=1)


def offset_l1(offsets: Tensor, targets: CenterTargets) -> Tensor:
    """Absolute error of y plus that of x, mean over the pixels of instances; 0 when there is none.

    Args:
        offsets: (N, 2, H, W) float in the unit of the targets.
        targets: of the same size.
    """
    error = (offsets - targets.offsets).abs() * targets.offset_weight
    return error.sum() / targets.offset_weight.sum().clamp(min=1)
