"""Worst and best test images of a run, for its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.data.labels import read_labels
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.evaluation.ground_truth import ground_truth_panoptic
from ptseg_d2.inference.protocols import PanopticSystem
from ptseg_d2.report.page import Block, Figure, Gallery, Heading, Legend
from ptseg_d2.report.run_files import ImageScore
from ptseg_d2.results.rows import PanopticRows
from ptseg_d2.visualization.panels import Picture, data_uri, paint_segments, shrink_photo

import numpy as np
from detectron2.data import DatasetCatalog
from torch import Tensor


def class_legend(classes: ClassTable) -> Legend:
    """Colours of the classes; "void" is black."""
    return Legend([*zip(classes.names, classes.colors), ("void", (0, 0, 0))])


def example_blocks(
    dataset_name: str, rows: PanopticRows, before: dict[str, float], after: Sequence[ImageScore], count: int
) -> list[Block]:
    """The worst and the best test images: input, truth, and the first and last panoptic row.

    Args:
        dataset_name: labelled test set.
        rows: models of the run.
        before: image id -> PQ of the first panoptic row.
        after: PQ of the last panoptic row, worst first.
        count: images of each kind.
    """
    worst = list(after[:count])
    best = list(reversed(after[len(worst) :]))[:count]
    shown = list(dict.fromkeys([rows.panoptic_rows()[0], rows.panoptic_rows()[-1]]))
    models = {row.name: rows.panoptic(row) for row in shown}
    items = {str(item["image_id"]): item for item in DatasetCatalog.get(dataset_name)}
    blocks: list[Block] = [class_legend(rows.classes)]
    for title, scores in (("Worst", worst), ("Best", best)):
        if not scores:
            continue
        blocks.append(Heading(f"{title} {len(scores)} of {len(after)} images by PQ of row {shown[-1].name!r}"))
        gallery = []
        for score in (s for s in scores if s.image_id in items):
            old = before.get(score.image_id)
            change = f"PQ {score.pq:.1f}" if old is None or len(shown) == 1 else f"PQ {old:.1f} → {score.pq:.1f}"
            gallery.append((f"{score.image_id}: {change}", _example(items[score.image_id], models, rows.classes)))
        blocks.append(Gallery(gallery))
    return blocks


def _example(item: dict[str, Any], models: Mapping[str, PanopticSystem], classes: ClassTable) -> list[Figure]:
    item = TestMapper()(item)
    panels = {"truth": paint_segments(*ground_truth_panoptic(read_labels(item), classes), classes.colors)}
    for name, model in models.items():
        ids, segments = model([item])[0]["panoptic_seg"]
        panels[name] = paint_segments(ids.cpu().numpy(), segments, classes.colors)
    image_id = item["image_id"]
    return [
        photo(to_picture(item["image"]), f"input {image_id}", "input"),
        *(Figure(data_uri(panel), f"{name} of {image_id}", name) for name, panel in panels.items()),
    ]


def photo(picture: Picture, alt: str, caption: str) -> Figure:
    """A photograph, at most as wide as a panel."""
    return Figure(data_uri(shrink_photo(picture), is_photo=True), alt, caption)


def to_picture(image: Tensor) -> Picture:
    """(3, H, W) grey levels -> (H, W, 3) uint8."""
    return image.permute(1, 2, 0).cpu().numpy().astype(np.uint8)
