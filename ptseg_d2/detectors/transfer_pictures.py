"""What detectors see in street scenes beside the ground truth: figure 3 of the COCO -> Cityscapes report."""

from __future__ import annotations

from pathlib import Path

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.counting import evenly_spread
from ptseg_d2.detectors.detections import Detections
from ptseg_d2.detectors.transfer import Image, Look
from ptseg_d2.evaluation.ground_truth import GroundTruth
from ptseg_d2.visualization.overlays import draw_objects, save_png, side_by_side

import numpy as np
import torch
from detectron2.data import DatasetCatalog

DRAWN_SCORE = 0.5
"""Less sure detections are not drawn."""
MAX_PICTURE_BYTES = 4_000_000


class Sheets:
    """Figure 3: some images of a data set, each as input, ground truth and what the detectors saw."""

    def __init__(self, folder: Path, num_pictures: int) -> None:
        self.folder = folder
        self.num_pictures = num_pictures
        self._panels: dict[tuple[str, int], dict[str, Image]] = {}

    def looker(self, dataset: str, detector: str) -> Look:
        """What draws the detections of one detector; the sheets grow with every detector."""
        count = len(DatasetCatalog.get(dataset))
        chosen = set(evenly_spread(range(count), self.num_pictures))

        def look(position: int, image: Image, truth: GroundTruth, found: Detections) -> None:
            if position not in chosen:
                return
            panels = self._panels.setdefault((dataset, position), {})
            if not panels:
                panels.update({"input": image, "ground truth": drawn(image, truth_detections(truth), scores=False)})
            panels[detector] = drawn(image, found.keep(found.scores >= DRAWN_SCORE))
            sheet = side_by_side(list(panels.values()), list(panels), columns=2)
            save_png(self.folder / f"{dataset}_{position:04d}.png", sheet, MAX_PICTURE_BYTES)

        return look


def drawn(image: Image, objects: Detections, scores: bool = True) -> Image:
    """Objects over their image, in the colours of Cityscapes."""
    texts = [
        f"{CITYSCAPES.names[c]} {100 * s:.0f}%" if scores else CITYSCAPES.names[c]
        for c, s in zip(objects.classes.tolist(), objects.scores.tolist())
    ]
    colors = [CITYSCAPES.colors[c] for c in objects.classes.tolist()]
    return draw_objects(image, objects.masks.numpy(), objects.boxes.numpy(), texts, colors)


def truth_detections(truth: GroundTruth) -> Detections:
    """The objects of a ground truth as detections of certainty 1, to draw them."""
    objects = [s for s in truth.segments if s["isthing"] and not s["iscrowd"]]
    ids = torch.from_numpy(truth.ids.astype(np.int64))
    masks = torch.stack([ids == s["id"] for s in objects]) if objects else torch.zeros(0, *ids.shape, dtype=torch.bool)
    boxes = [
        [float(x.min()), float(y.min()), float(x.max()) + 1, float(y.max()) + 1] for y, x in map(torch.where, masks)
    ]
    return Detections(
        torch.tensor(boxes).reshape(-1, 4),
        torch.tensor([s["category_id"] for s in objects], dtype=torch.int64),
        torch.ones(len(objects)),
        masks,
    )
