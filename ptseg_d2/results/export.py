"""Panoptic predictions as files, while they are made: COCO's panoptic format and those of Cityscapes."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES
from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.evaluation.cityscapes_format import CityscapesWriter
from ptseg_d2.evaluation.coco_panoptic import CocoPanopticWriter
from ptseg_d2.evaluation.ground_truth import GroundTruthCache

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

logger = logging.getLogger(__name__)


class PanopticExport(DatasetEvaluator):
    """Writes the predictions on a data set, and its ground truth where it has labels.

    With several processes, all must see the same folders. Beside Detectron2's `COCOPanopticEvaluator`, which turns the
    category ids of the outputs into label ids, this one must come first.
    """

    def __init__(
        self,
        *,
        coco: str | os.PathLike[str] | None = None,
        cityscapes: str | os.PathLike[str] | None = None,
        ground_truth: GroundTruthCache | None = None,
        panoptic_key: str = "panoptic_seg",
        classes: ClassTable = CITYSCAPES,
    ) -> None:
        """
        Args:
            coco: folder for pred.json and pred/ and, of images with labels, gt.json and gt/; see `CocoPanopticWriter`.
            cityscapes: folder for predictions only, replaced as a whole; see `CityscapesWriter`.
            ground_truth: cache to share with an evaluator of the same data set; by default its own.
            panoptic_key: which of the outputs is written.
            classes: of the data set.
        """
        self.coco = coco
        self.cityscapes = cityscapes
        self.ground_truth = GroundTruthCache(classes) if ground_truth is None else ground_truth
        self.classes = classes
        self.panoptic_key = panoptic_key

    def reset(self) -> None:
        """Begin the export anew; files of an earlier one stay until `evaluate`."""
        if not comm.is_main_process():
            comm.synchronize()  # the main process has removed what an interrupted export left
        joining = not comm.is_main_process()
        self._coco = {}
        if self.coco is not None:
            self._coco = {n: CocoPanopticWriter(self.coco, n, joining, self.classes) for n in ("pred", "gt")}
        self._cityscapes = None if self.cityscapes is None else CityscapesWriter(self.cityscapes, joining, self.classes)
        if comm.is_main_process():
            comm.synchronize()

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Write the files of a batch.

        Args:
            inputs: entries of the data set: image_id, file_name and, of a labelled one, its label files.
            outputs: per image a panoptic result, (ids (H, W) integer tensor, 0 = void, segments_info), and optionally
                "sem_seg" (C, H, W), whose classes then are Cityscapes' pixel-level files.

        Raises:
            ValueError: as from the writers' `add`.
            DataError: a label file is bad.
        """
        for item, output in zip(inputs, outputs):
            ids, segments = output[self.panoptic_key]
            image = (item["image_id"], item["file_name"])
            prediction = (ids.cpu().numpy(), segments)
            if self._coco:
                self._coco["pred"].add(*image, *prediction)
                if "label_file_name" in item:
                    truth = self.ground_truth.read(item)
                    self._coco["gt"].add(*image, truth.ids, truth.segments)
            if self._cityscapes is not None:
                classes = output["sem_seg"].argmax(dim=0).cpu().numpy() if "sem_seg" in output else None
                self._cityscapes.add(*image, *prediction, classes)

    def evaluate(self) -> None:
        """Put the files of all processes in place; without any label an earlier ground truth goes away."""
        comm.synchronize()
        gathered = comm.gather((self._coco, self._cityscapes))
        if not comm.is_main_process():
            return
        for coco, cityscapes in gathered[1:]:
            for name, writer in self._coco.items():
                writer.merge(coco[name])
            if self._cityscapes is not None:
                self._cityscapes.merge(cityscapes)
        for name, writer in self._coco.items():
            if name == "pred" or len(writer) > 0:
                logger.info("Exported %d images: %s", len(writer), writer.finish())
            else:
                writer.discard()
        if self._cityscapes is not None:
            logger.info("Exported %d images: %s", len(self._cityscapes), self._cityscapes.finish())
