"""Images of any size in overlapping tiles: one blended class map, and instances found tile by tile.

Shapes: C classes, H x W pixels of the image, h x w of a tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ptseg_d2.inference.panoptic_model import PanopticModel, drop_low_scores, mean_per_instance
from ptseg_d2.inference.stitching import Box, stitch_instances

import torch
from torch import Tensor

OVERLAP = 0.125
"""Of neighbouring tiles, as a share of a tile's side: 256 pixels of 2048."""


class Grid(NamedTuple):
    """Tiles, every span of rows with every span of columns."""

    rows: list[slice]
    columns: list[slice]

    def boxes(self) -> list[Box]:
        """Row by row."""
        return [(rows, columns) for rows in self.rows for columns in self.columns]


def tile_grid(size_hw: tuple[int, int], max_pixels: int, overlap: float = OVERLAP) -> Grid:
    """The fewest equal tiles, as square as the image allows, that cover it.

    Args:
        size_hw: (H, W).
        max_pixels: largest tile, at least 1.
        overlap: least overlap of neighbours, share of a tile's side in [0, 1).
    """
    height = min(size_hw[0], math.isqrt(max_pixels))
    width = min(size_hw[1], max_pixels // height)
    height = min(size_hw[0], max_pixels // width)
    return Grid(_spans(size_hw[0], height, overlap), _spans(size_hw[1], width, overlap))


def _spans(length: int, tile: int, overlap: float) -> list[slice]:
    common = min(math.ceil(overlap * tile), tile - 1)
    gaps = -(-(length - tile) // (tile - common))
    return [slice(start, start + tile) for start in (i * (length - tile) // max(gaps, 1) for i in range(gaps + 1))]


def blend_classes(grid: Grid, predict: Callable[[Box], Tensor]) -> tuple[Tensor, Tensor]:
    """Most probable classes of logits that are averaged where tiles overlap, with weights that fall to their borders.

    Only the logits of one row of tiles are alive at once.

    Args:
        grid: covers the image.
        predict: logits (C, h, w) of a tile, wanted row by row.

    Returns:
        (H, W) float32 probabilities and (H, W) uint8 classes; of a single tile those of its logits, exactly.
    """
    probabilities, classes = [], []
    row_weights, column_weights = _weights(grid.rows), _weights(grid.columns)
    ends = [rows.start for rows in grid.rows[1:]] + [grid.rows[-1].stop]
    waiting: Tensor | None = None  # (C, rows, W) weighted logits of the rows that the next tiles cover as well
    for rows, row_weight, end in zip(grid.rows, row_weights, ends):
        band: Tensor | None = None
        for columns, column_weight in zip(grid.columns, column_weights):
            logits = predict((rows, columns)).float()
            if band is None:
                band = logits.new_zeros(len(logits), rows.stop - rows.start, grid.columns[-1].stop)
            weight = row_weight[:, None] * column_weight
            band[..., columns] += logits * weight.to(logits.device)
        assert band is not None
        if waiting is not None:
            band[:, : waiting.shape[1]] += waiting
        probability, sem_seg = band[:, : end - rows.start].softmax(dim=0).max(dim=0)
        waiting = band[:, end - rows.start :].clone()
        probabilities.append(probability)
        classes.append(sem_seg.to(torch.uint8))
    return torch.cat(probabilities), torch.cat(classes)


def _weights(spans: Sequence[slice]) -> list[Tensor]:
    """Per span the (length,) shares of its entries, which add up to 1 over all spans; 1 where it is alone."""
    raw = []
    for span in spans:
        place = torch.arange(1.0, span.stop - span.start + 1, dtype=torch.float64)
        raw.append(place.minimum(place.flip(0)))
    total = torch.zeros(spans[-1].stop, dtype=torch.float64)
    for span, weight in zip(spans, raw):
        total[span] += weight
    return [(weight / total[span]).float() for span, weight in zip(spans, raw)]


@torch.no_grad()
def predict_tiled(model: PanopticModel, image: Tensor, max_pixels: int) -> tuple[Tensor, Tensor, list[dict[str, Any]]]:
    """Panoptic result of an image that the networks see in tiles; of a single tile it is the model's own.

    The smallest instance and the opening that the grouping applies are shares of a tile, those of the result of the
    whole image.

    Args:
        model: with a grouping.
        image: (3, H, W), grey levels 0-255.
        max_pixels: largest tile.

    Returns:
        (H, W) uint8 classes, (H, W) int32 segment ids and segments_info as of `PanopticModel`.
    """
    grouping = model.grouping
    assert grouping is not None
    grid = tile_grid((image.shape[-2], image.shape[-1]), max_pixels)

    def logits(box: Box) -> Tensor:
        return model.semantic.predict(image[(..., *box)][None])["sem_seg"][0]

    probability, sem_seg = blend_classes(grid, logits)
    tiles = (grouping(image[(..., *box)].float(), sem_seg[box].long()) for box in grid.boxes())
    instance_ids, scores = stitch_instances(grid.boxes(), tiles)
    instance_ids = instance_ids.to(sem_seg.device)
    means = mean_per_instance(probability, instance_ids).tolist()
    scores = {number: score * means[number] for number, score in scores.items()}
    panoptic, segments = drop_low_scores(sem_seg.long(), instance_ids, scores, model.min_score, model.options)
    return sem_seg, panoptic, segments
